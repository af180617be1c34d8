"""The page on which candidates are judged: one file, everything within it, nothing fetched from anywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_PARTS = Path(__file__).parent


def make_page(table: str, images: Sequence[dict[str, Any]], fields_um: tuple[float, float]) -> str:
    """The page as HTML.

    Parameters
    ----------
    table : str
        The table of the sample as CSV: what is saved is this text with its judgements filled in.
    images : sequence of dict
        Of each row, as `encode_sections` gives them, with the contrast that its brain shares.
    fields_um : (near, far)
        Width and height of the panels.
    """
    data = {
        # judgements kept by the browser are those of this sample only
        "key": hashlib.sha256(table.encode()).hexdigest()[:16],
        "table": table,
        "images": images,
        "fields": list(fields_um),
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":  # nothing in a name may end the element that it stands in
        text = text.replace(character, f"\\u{ord(character):04x}")
    page = _read("sheet.html")
    for name in ("sheet.css", "sheet.js"):
        page = page.replace(f"/*{name}*/", _read(name))
    return page.replace("/*data*/", text)


def _read(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")
