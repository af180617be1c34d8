"""The page of candidates in a real browser: keys, clicks, reload, undo, download, and a model from what was saved."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecc_rf.cli import main
from ecc_rf.objects import ObjectModel
from tests.browser import PROGRAMS, Browser, find_browser
from tests.easy_probabilities import is_cell, write_probability

pytestmark = pytest.mark.skipif(
    find_browser() is None, reason=f"needs a browser to drive, one of {', '.join(PROGRAMS)}; there is none"
)


@pytest.fixture(scope="module")
def probability(tmp_path_factory: pytest.TempPathFactory, fixtures: Path) -> Path:
    return write_probability(fixtures, tmp_path_factory.mktemp("p") / "p.h5")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, probability: Path, fixtures: Path) -> Path:
    # a name that would end the element it stands in, if it were not written as text
    image = tmp_path_factory.mktemp("raw") / "<b>brain<&,.h5"
    image.write_bytes((fixtures / "brain.h5").read_bytes())
    out = tmp_path_factory.mktemp("judge")
    settings = ["--count", "30", "--threshold", "0.3", "-q"]
    assert main(["candidates", str(probability), "--raw", str(image), "-o", str(out), *settings]) == 0
    return out


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture
def browser(started: Browser, folder: Path) -> Iterator[Browser]:
    """The page as one who opens it for the first time sees it."""
    for file in started.downloads.iterdir():
        file.unlink()
    started.open(folder / "sheet.html")
    started.run("localStorage.clear()")
    started.reload()
    started.until("document.body.dataset.drawn === '1'")
    yield started
    assert started.errors == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in started.requests)


def answers(folder: Path, fixtures: Path) -> list[str]:
    """What a person would judge."""
    return ["cell" if cell else "not" for cell in is_cell(pd.read_csv(folder / "candidates.csv"), fixtures)]


def shades(browser: Browser, panel: int) -> np.ndarray:
    """The grey values of a panel as it is drawn."""
    script = f"""(() => {{ const c = document.querySelectorAll("canvas[data-panel]")[{panel}];
        return Array.from(c.getContext("2d").getImageData(0, 0, c.width, c.height).data); }})()"""
    return np.array(browser.run(script), np.uint8).reshape(-1, 4)[:, :3]


def test_judging_all_and_training(
    browser: Browser, folder: Path, fixtures: Path, probability: Path, tmp_path: Path
) -> None:
    said = answers(folder, fixtures)
    said[4] = "unsure"
    keys = {"cell": "1", "not": "n", "unsure": "3"}
    for number, judgement in enumerate(said[:20]):
        if number % 5 == 0:
            browser.click(f"#{judgement}")
        else:
            browser.press(keys[judgement])
    assert browser.text("#counts").startswith("20 of 30")
    browser.reload()  # the browser was closed by mistake
    browser.until("document.body.dataset.drawn === '21'")
    assert browser.text("#counts").startswith("20 of 30")
    for judgement in said[20:]:
        browser.press(keys[judgement])
    assert "All candidates are judged" in browser.text("#message")
    browser.press("d")
    saved = browser.downloaded("judged.csv")

    empty = (folder / "candidates.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(empty.splitlines()))
    column = rows[0].index("judgement")
    filled = list(csv.reader(saved.read_text(encoding="utf-8").splitlines()))
    assert [row[column] for row in filled[1:]] == said
    assert [row[:column] + row[column + 1 :] for row in filled] == [row[:column] + row[column + 1 :] for row in rows]

    model = tmp_path / "model.h5"
    arguments = ["--raw", str(fixtures / "brain.h5"), "--judged", str(saved), "-o", str(model), "-q"]
    assert main(["train-objects", str(probability), *arguments]) == 0
    training = ObjectModel.load(model).training
    assert (training["cells"], training["others"]) == (said.count("cell"), said.count("not"))


def test_going_back_and_forth(browser: Browser) -> None:
    for key in ("1", "2", "u"):
        browser.press(key)
    browser.press("z")
    browser.until("document.body.dataset.drawn === '3'")
    assert browser.text("#counts").startswith("2 of 30: 1 cells, 1 not, 0 unsure")
    browser.press("ArrowLeft")
    browser.press("c")  # changes its mind about the second; on goes the first open one
    assert browser.text("#counts").startswith("2 of 30: 2 cells, 0 not, 0 unsure")
    assert browser.text("#which").startswith("Candidate 3 of 30")
    browser.click("#undo")
    assert browser.text("#counts").startswith("2 of 30: 1 cells, 1 not")
    assert browser.text("#which").startswith("Candidate 2 of 30, <b>brain<&,")
    assert browser.run("document.querySelector('#not').getAttribute('aria-pressed')") == "true"
    for _ in range(3):
        browser.press("Backspace")
    assert "nothing to take back" in browser.text("#message")
    assert browser.text("#counts").startswith("0 of 30")
    browser.click("#strip", across=9.5 / 30)
    assert browser.text("#which").startswith("Candidate 10 of 30")
    browser.press("ArrowDown")
    browser.press("ArrowRight")
    browser.press("ArrowRight")
    assert browser.text("#which").startswith("Candidate 13 of 30")
    browser.click("#next")
    browser.click("#previous")
    browser.click("#open")
    assert browser.text("#which").startswith("Candidate 14 of 30")


def test_an_earlier_table_is_loaded(browser: Browser, folder: Path, tmp_path: Path) -> None:
    table = pd.read_csv(folder / "candidates.csv", dtype=str, keep_default_na=False)
    table.loc[:6, "judgement"] = ["cell", "not", "unsure", "Cell ", "", "perhaps", "not"]
    (tmp_path / "earlier.csv").write_text("\ufeff" + table.to_csv(index=False, lineterminator="\r\n"), "utf-8")
    browser.choose_file("#file", tmp_path / "earlier.csv")
    browser.until("!document.querySelector('#message').hidden")
    assert browser.text("#message") == "5 judgements were loaded; 1 are neither cell, not nor unsure."
    assert browser.text("#counts").startswith("5 of 30: 2 cells, 2 not, 1 unsure")
    assert browser.text("#which").startswith("Candidate 5 of 30")
    browser.press("2")
    browser.press("d")
    found = pd.read_csv(browser.downloaded("judged.csv"), keep_default_na=False)["judgement"][:7].tolist()
    assert found == ["cell", "not", "unsure", "cell", "not", "", "not"]
    table["fingerprint"] = "another"
    table.to_csv(tmp_path / "other.csv", index=False)
    for name, message in (("other.csv", "no judgement of these candidates"), ("x.csv", "no table of judgements")):
        (tmp_path / "x.csv").write_text("z,y,x\n1,2,3\n")
        browser.choose_file("#file", tmp_path / name)
        browser.until(f"document.querySelector('#message').textContent.includes({message!r})")
    assert browser.text("#counts").startswith("6 of 30")  # nothing was lost


def test_what_is_seen(browser: Browser) -> None:
    grey = shades(browser, 0)
    outline = (grey[:, 0] > 200) & (grey[:, 2] < 150)
    assert outline.sum() > 50  # yellow
    browser.press("o")
    browser.until("document.querySelector('#outline').getAttribute('aria-pressed') === 'false'")
    browser.run("new Promise(requestAnimationFrame)")
    plain = shades(browser, 0)
    assert not ((plain[:, 0] > 200) & (plain[:, 2] < 150)).any()
    is_grey = (plain[:, 0] == plain[:, 1]) & (plain[:, 1] == plain[:, 2])
    assert plain[is_grey].max() > 240 and plain[is_grey].min() < 30  # its own contrast fills the range
    browser.press("s")
    browser.run("new Promise(requestAnimationFrame)")
    assert (shades(browser, 0) != plain).any()
    browser.press("i")
    browser.run("new Promise(requestAnimationFrame)")
    squares = shades(browser, 0)
    assert len(np.unique(squares, axis=0)) < len(np.unique(plain, axis=0)) + 256


@pytest.mark.parametrize(("width", "height", "phone"), [(1280, 800, False), (390, 844, True), (320, 568, True)])
def test_everything_fits(browser: Browser, width: int, height: int, phone: bool) -> None:
    browser.resize(width, height, phone=phone)
    browser.run("new Promise(requestAnimationFrame)")
    assert browser.run("document.documentElement.scrollWidth") <= width
    boxes = browser.run(
        "[...document.querySelectorAll('#judge button, #tools button')].map((b) => b.getBoundingClientRect())"
        ".map((r) => [r.left, r.right, r.top, r.bottom, r.height])"
    )
    for left, right, top, bottom, tall in boxes:
        assert 0 <= left < right <= width and 0 <= top < bottom <= height and tall >= 44  # a thumb's width
