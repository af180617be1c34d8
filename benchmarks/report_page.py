"""How large a report is, how long it takes to draw and to open.

    python benchmarks/report_page.py [CELLS ...]

Draws reports of made-up cells in an image of 120 x 600 x 800 voxels and opens each in headless Chromium, three times.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ecc_rf.reporting import summary, write_report
from tests.browser import Browser
from tests.report_cases import make_cells, make_image, make_record

SHAPE = (120, 600, 800)


def main() -> None:
    numbers = [int(argument) for argument in sys.argv[1:]] or [10_000, 1_000_000]
    print(f"{'cells':>9} {'MB':>6} {'drawn in cpu s':>15} {'opened in s':>12}")
    with tempfile.TemporaryDirectory() as folder, Browser(Path(folder) / "browser") as browser:
        for n in [0, *numbers]:  # the first imports what draws
            record = make_record(SHAPE)
            cells = make_cells(n, SHAPE, record)
            raw, probability = make_image(cells, SHAPE)
            record["summary"] = summary(record, cells)
            path = Path(folder) / f"{n}.html"
            started = time.process_time()
            write_report(path, record, cells, raw=raw, probability=probability)
            spent = time.process_time() - started
            opened = min(opening(browser, path) for _ in range(3))
            print(f"{n:>9,} {path.stat().st_size / 1e6:>6.2f} {spent:>15.1f} {opened:>12.2f}", flush=True)


def opening(browser: Browser, page: Path) -> float:
    """Seconds until a page and all that is in it are there."""
    started = time.perf_counter()
    browser.open(page)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
