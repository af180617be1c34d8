"""The report: what is on it, for runs of all kinds, and how a browser shows it."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from ecc_rf import open_volume
from ecc_rf.cells.inputs import Channel
from ecc_rf.cli import main
from ecc_rf.reporting import summary, write_report
from ecc_rf.reporting.places import places
from ecc_rf.reporting.projections import project
from ecc_rf.reporting.redraw import redraw
from ecc_rf.reporting.scene import Scene
from ecc_rf.volumes import create_volume
from ecc_rf.volumes.array import ArrayVolume
from tests.browser import PROGRAMS, Browser, find_browser
from tests.report_cases import make_cells, make_image, make_record

SHAPE = (40, 120, 160)
Size = tuple[int, int, int]


def draw(path: Path, n: int, shape: Size = SHAPE, *, axes: str = "zyx", raw: bool = True, **changes: Any) -> str:
    """The report of made-up cells; returns the page."""
    record = make_record((shape[1], shape[2]) if axes == "yx" else shape, axes, **changes)
    cells = make_cells(n, shape, record)
    image, probability = make_image(cells, shape, axes)
    record["summary"] = summary(record, cells)
    write_report(path, record, cells, raw=image if raw else None, probability=probability if raw else None, workers=1)
    return path.read_text()


def test_what_is_on_it(tmp_path: Path) -> None:
    page = draw(tmp_path / "report.html", 300, notes=["The forest <is> stale."])
    volume = math.prod(n * size for n, size in zip(SHAPE, (5, 2, 2))) / 1e9
    for expected in (
        *("<b>300</b>", f"<b>{300 / volume:,.0f}</b>", "cells per mm³", f"{volume:.3g} mm³", "5 × 2 × 2 µm"),
        *("The forest &lt;is&gt; stale.", "mouse &lt;1&gt;", "PV &amp; more.ilp", "marker cFos", "1.4.2"),
        *("3.4 % of the annotated", "HessianOfGaussianEigenvalues", "&lt;b&gt;background&lt;/b&gt;", "50%"),
        *("The densest place", "A typical place", "The least certain cell", "classify: 12.0 s"),
    ):
        assert expected in page, expected
    assert "<b>background" not in page and "<script" not in page
    images = re.findall(r'<img alt="([^"]*)" src="data:image/(png|svg\+xml);base64,[^"]+">', page)
    assert len(images) == page.count("<img") and all(len(alt) > 20 for alt, _ in images)
    assert not re.search(r'(?:src|href)="(?!data:)', page)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_cells(tmp_path: Path, n: int) -> None:
    page = draw(tmp_path / "report.html", n)
    assert f"<b>{n}</b>" in page and ("<h2>Sections" in page) == (n > 0)
    assert "The brightest voxels" in page


def test_a_plane(tmp_path: Path) -> None:
    page = draw(tmp_path / "report.html", 50, (1, 120, 160), axes="yx")
    area = 120 * 160 * 4 / 1e6
    assert f"{area:.3g} mm²" in page and "cells per mm²" in page and "seen along" not in page
    assert "equal disc" in page and "µm³" not in page


def test_unknown_voxel_size(tmp_path: Path) -> None:
    page = draw(tmp_path / "report.html", 50, known=False)
    assert "million voxels" in page and "<b>unknown</b>" in page and "µm" not in page.split("<h2>Settings")[0]


def test_without_the_image(tmp_path: Path) -> None:
    page = draw(tmp_path / "report.html", 50, raw=False)
    assert "The image was not there" in page and "50 cells (orange)" in page and "<h2>Sections" not in page


def test_a_mask_in_place_of_the_probability(tmp_path: Path) -> None:
    record = make_record(SHAPE)
    cells = make_cells(50, SHAPE, record, probability=False)
    image, probability = make_image(cells, SHAPE)
    mask = tmp_path / "mask.h5"
    attributes = {"ecc_rf": {"export": "mask", "threshold": 0.7}}
    with create_volume(mask, SHAPE, "u1", "zyx", attributes=attributes) as volume:
        volume[:] = (probability.read() > 0).astype(np.uint8)
    write_report(tmp_path / "report.html", record, cells, raw=image, probability=mask)
    page = (tmp_path / "report.html").read_text()
    assert "largest probability in" not in page and "The smallest cell" in page


def test_share_that_a_mask_excludes(tmp_path: Path) -> None:
    page = draw(tmp_path / "report.html", 10, masked_share=0.25)
    volume = math.prod(n * size for n, size in zip(SHAPE, (5, 2, 2))) / 1e9
    assert "without 25.0% masked" in page and f"<b>{10 / (0.75 * volume):,.0f}</b>" in page


def test_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever draws it, with whatever look of matplotlib."""
    import matplotlib

    first = draw(tmp_path / "a.html", 100)
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "savefig.bbox": "tight"}):
        assert draw(tmp_path / "b.html", 100) == first


def test_places_are_those_of_the_rule() -> None:
    record = make_record(SHAPE)
    cells = make_cells(200, SHAPE, record)
    crowd = cells.index[:40]
    cells.loc[crowd, ["z", "y", "x"]] = (20.0, 20.0, 20.0)
    cells.loc[7, "peak_probability"] = 0.7001
    cells.loc[9, "voxels"] = 10_000
    found = {place.title: place.voxel for place in places(cells, Scene.of(record))}
    assert found["The densest place"] == (20, 20, 20)
    for title, number in (("The least certain cell", 7), ("The largest cell", 9)):
        expected = tuple(int(v) for v in np.rint(cells.loc[number, ["z", "y", "x"]].to_numpy(float)))
        assert found.get(title, found["The densest place"]) == expected
    assert places(cells.iloc[:0], Scene.of(record)) == []


def test_projections_are_the_maxima(tmp_path: Path) -> None:
    """By blocks and threads, of any storage, against numpy on the whole."""
    rng = np.random.default_rng(1)
    voxels = rng.integers(0, 60000, (37, 300, 1501)).astype(np.uint16)
    size = (6.0, 1.5, 1.5)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", data=voxels, chunks=(16, 50, 64))
    with open_volume(tmp_path / "a.h5") as chunked:
        found = [
            project(Channel(source, "raw"), size, workers=workers)
            for source, workers in ((chunked, 2), (ArrayVolume("a", voxels, "zyx"), 1))
        ]
    fz, fy, fx = found[0].factors
    assert (fz, fy, fx) == (1, 2, 2)
    for axis, (seen, other, pixel) in enumerate(zip(found[0].views, found[1].views, ((fy, fx), (fz, fx), (fz, fy)))):
        largest = voxels.max(axis=axis)
        padded = np.pad(largest, [(0, -n % f) for n, f in zip(largest.shape, pixel)])
        expected = padded.reshape(padded.shape[0] // pixel[0], pixel[0], padded.shape[1] // pixel[1], pixel[1]).max(
            axis=(1, 3)
        )
        assert np.array_equal(seen, expected) and np.array_equal(other, expected)
    with_holes = np.where(voxels > 59000, np.nan, voxels.astype(np.float32))
    views = project(Channel(ArrayVolume("a", with_holes, "zyx"), "raw"), size).views
    assert all(np.isfinite(view).all() and view.max() <= 59000 for view in views)


def test_fewer_planes_of_huge_images(monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = np.random.default_rng(2).integers(0, 9, (400, 30, 40)).astype(np.uint16)
    monkeypatch.setattr("ecc_rf.reporting.projections.MOST_READ", voxels.size // 3)
    monkeypatch.setattr("ecc_rf.reporting.projections.PIXELS", 100)
    found = project(Channel(ArrayVolume("a", voxels, "zyx"), "raw"), (1.0, 1.0, 1.0), workers=1)
    assert found.every == 3 and found.factors == (4, 4, 4)
    read = voxels[::3]
    padded = np.pad(read.max(axis=0), [(0, 2), (0, 0)])
    assert np.array_equal(found.views[0], padded.reshape(8, 4, 10, 4).max(axis=(1, 3)))
    assert all(np.isfinite(view).all() for view in found.views)
    assert found.views[1].shape == (100, 10) and found.views[1][0, 0] == voxels[[0, 3], :, :4].max()


def test_report_again(tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    brain, out = tmp_path / "brain.h5", tmp_path / "out"
    shutil.copy(fixtures / "brain.h5", brain)
    assert main(["run", str(fixtures / "cells.ilp"), str(brain), "-o", str(out), "-q"]) == 0
    first = (out / "report.html").read_text()
    record = json.loads((out / "run.json").read_text())
    cells = pd.read_csv(out / "cells.csv")
    assert record["summary"]["density"] == pytest.approx(len(cells) / (200 * 192 * 192 / 1e9))
    assert record["training"]["labels"]["cell"] == 260
    assert main(["report", str(out)]) == 0
    again = (out / "report.html").read_text()
    # all but the times: the whole run's is not known before the report is drawn
    assert re.sub(r"times.*?</tr>", "", again) == re.sub(r"times.*?</tr>", "", first)
    capsys.readouterr()

    moved = tmp_path / "moved.h5"
    brain.rename(moved)
    assert main(["report", str(out)]) == 0
    assert "--image PATH" in capsys.readouterr().err
    assert "The image was not there" in (out / "report.html").read_text()
    assert main(["report", str(out), "--image", str(moved)]) == 0
    assert (out / "report.html").read_text() == again
    assert main(["report", str(out), "--image", str(brain)]) == 2
    assert main(["report", str(tmp_path / "absent")]) == 2
    (out / "run.json").write_text("{}")
    assert main(["report", str(out)]) == 2
    assert "no record of a run" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError):
        redraw(tmp_path)


FACTS = """({
    content: document.documentElement.scrollWidth, window: document.documentElement.clientWidth,
    images: document.images.length, alt: [...document.images].filter(i => i.alt.length > 10).length,
    loaded: [...document.images].filter(i => i.complete && i.naturalWidth > 0).length,
    outside: [...document.querySelectorAll('body *')].filter(e => !e.closest('.wide')
        && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).length,
    text: document.body.innerText})"""


@pytest.mark.skipif(find_browser() is None, reason=f"needs a browser, one of {', '.join(PROGRAMS)}; there is none")
@pytest.mark.parametrize("n", [300, 10_000])
def test_in_a_browser(tmp_path: Path, n: int) -> None:
    """At desktop and phone width: nothing sticks out, all is shown, nothing is asked of the network."""
    path = tmp_path / "report.html"
    draw(path, n, notes=["A long word: " + "x" * 300], shape=(60, 200, 300))
    assert path.stat().st_size < 5e6
    with Browser(tmp_path / "browser") as browser:
        for width, phone in ((1280, False), (390, True)):
            browser.open(path, width, phone=phone)
            facts = browser.run(FACTS)
            assert facts["content"] <= facts["window"] == width and facts["outside"] == 0, width
            assert facts["images"] == facts["loaded"] == facts["alt"] > 15
            browser.screenshot(tmp_path / f"{width}.png", whole=True)
            assert f"{n:,}" in facts["text"] and (tmp_path / f"{width}.png").stat().st_size > 100_000
        assert browser.errors == []
        assert all(url == path.as_uri() or url.startswith("data:") for url in browser.requests)
