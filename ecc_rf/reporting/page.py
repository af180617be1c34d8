"""The parts of a page: its look, headline, notes and tables. Nothing of it needs a script or the network."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: #222; background: #fff;
  margin: 0 auto; max-width: 66rem; padding: 1.2rem 1rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; border-bottom: 2px solid #e3e6ea; padding-bottom: .2rem; }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .1rem; }
p { margin: .4rem 0 .8rem; max-width: 52rem; overflow-wrap: anywhere; }
a { color: #005a8c; }
.muted { color: #555; } .small { font-size: .88rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .7rem; margin: 1.1rem 0; }
.tile { background: #f3f6f9; border-left: 4px solid #0072B2; border-radius: 4px; padding: .55rem .8rem; }
.tile b { display: block; font-size: 1.35rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile.first b { font-size: 2.1rem; color: #005a8c; } .tile.long b { font-size: 1.5rem; line-height: 1.6; }
.tile span { font-size: .88rem; color: #444; overflow-wrap: anywhere; }
.notes { background: #fff6e0; border-left: 4px solid #E69F00; border-radius: 4px;
  padding: .5rem .9rem; margin: 1rem 0; }
.notes.bad { background: #fdeee6; border-color: #D55E00; }
.notes h2 { border: 0; margin: .1rem 0 .3rem; font-size: 1.05rem; padding: 0; }
.notes ul { margin: 0; padding-left: 1.2rem; } .notes li { margin: .25rem 0; overflow-wrap: anywhere; }
.fine { background: #eaf5f1; border-color: #009E73; }
.grid { display: grid; gap: 1rem 1.6rem; grid-template-columns: 1fr; }
@media (min-width: 46rem) { .g2 { grid-template-columns: 1fr 1fr; } .g3 { grid-template-columns: 1fr 1fr 1fr; } }
figure { margin: 0; min-width: 0; } img { display: block; width: 100%; max-width: 34rem; height: auto; }
figcaption { font-size: .88rem; color: #444; margin-top: .2rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .94rem; }
th, td { text-align: left; padding: .2rem 1.1rem .2rem 0; vertical-align: top; border-bottom: 1px solid #eceff2; }
th { font-weight: 600; } td { overflow-wrap: anywhere; min-width: 5rem; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; min-width: 0; white-space: nowrap; }
.key { display: inline-block; width: 1.6rem; height: 0; border-top: 3px solid #E69F00; vertical-align: middle; }
.key.dashed { border-top-style: dashed; }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } h2 { break-after: avoid; }
  figure, .tile, .notes, tr { break-inside: avoid; } .g2 { grid-template-columns: 1fr 1fr; }
  .tile, .notes, .key { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title><link rel="icon" href="data:,"><style>{style}</style></head><body>
{body}
</body></html>
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page of parts that are HTML."""
    return _PAGE.format(title=text(title), style=STYLE, body="\n".join(part for part in parts if part))


def text(value: Any) -> str:
    """Anything as text of a page: lists with commas, None as a dash.

    >>> text([1, "a<b"]), text(None), text(True)
    ('1, a&lt;b', '-', 'yes')
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(text(item) for item in value) or "-"
    if isinstance(value, Mapping):
        return "; ".join(f"{text(name)}: {text(item)}" for name, item in value.items()) or "-"
    return html.escape(str(value))


def tiles(entries: Iterable[tuple[str, str]]) -> str:
    """Figures that matter, each with what it is; the first is the largest."""
    shown = "".join(
        f'<div class="tile{" first" if number == 0 else ""}{" long" if number == 0 and len(value) > 7 else ""}">'
        f"<b>{text(value)}</b><span>{text(name)}</span></div>"
        for number, (value, name) in enumerate(entries)
    )
    return f'<div class="tiles">{shown}</div>'


def notes(title: str, entries: Sequence[str], *, kind: str = "") -> str:
    """A box of things to know; empty if there is nothing."""
    if not entries:
        return ""
    listed = "".join(f"<li>{'<br>'.join(text(line.strip()) for line in entry.splitlines())}</li>" for entry in entries)
    return f'<section class="notes {kind}"><h2>{text(title)}</h2><ul>{listed}</ul></section>'


def pairs(rows: Iterable[tuple[str, Any]]) -> str:
    """A table of names and values."""
    lines = "".join(f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>' for name, value in rows)
    return f'<div class="wide"><table>{lines}</table></div>'


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Sequence[int] = ()) -> str:
    """A table; values are text, or HTML where they are `Raw`. Columns of numbers are set to the right."""

    def cell(tag: str, value: Any, column: int) -> str:
        inner = value.html if isinstance(value, Raw) else text(value)
        kind = ' class="n"' if column in numbers else ""
        return f"<{tag}{kind}>{inner}</{tag}>"

    head = "".join(cell("th", name, column) for column, name in enumerate(headings))
    body = "".join(f"<tr>{''.join(cell('td', v, c) for c, v in enumerate(row))}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


class Raw:
    """HTML that stays as it is."""

    def __init__(self, html: str) -> None:
        self.html = html
