"""Previews: the probabilities that the whole prediction has, the right strokes, a figure that says what it is."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import matplotlib.image
import numpy as np
import pytest

from ecc_rf import FeatureSelection, IlastikProject, PixelClassifier, open_volume
from ecc_rf.cli import main
from ecc_rf.errors import FormatError, LabelError, NoForestError, OutputExistsError, SettingError, ShapeError
from ecc_rf.forest import RandomForest
from ecc_rf.ilp import ProjectChanges, edit_project
from ecc_rf.itksnap import export_labels
from ecc_rf.preview import PreviewSettings, save_figure, watch
from ecc_rf.preview.figure import SAFE, commonest, edges, overlay
from ecc_rf.preview.sections import PLANES, View, compute_sections
from ecc_rf.preview.watching import INTERVAL
from ecc_rf.project_preview import preview
from ecc_rf.volumes import AxisView, transpose_to
from tests.reference_forest import random_tree

SIZE = (5.0, 2.0, 2.0)


@pytest.fixture
def folder(tmp_path: Path, fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("brain.h5", "cells.ilp"):
        shutil.copy(fixtures / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def whole(fixtures: Path) -> np.ndarray[Any, Any]:
    """Probabilities of the whole image, z, y, x, label."""
    with open_volume(fixtures / "brain.h5") as volume:
        return PixelClassifier.from_project(fixtures / "cells.ilp").predict(volume.read(), "zyx")


@pytest.mark.parametrize("at", [(20, 48, 40), (0, 0, 0), (39, 95, 95), (3, 50, 90)])
@pytest.mark.parametrize("size", [16, 40, 500])
def test_the_same_as_the_whole(fixtures: Path, whole: np.ndarray[Any, Any], at: Any, size: int) -> None:
    project = IlastikProject.open(fixtures / "cells.ilp")
    labels = project.labels(0)
    voxels = np.column_stack([np.zeros(len(labels.values), int), labels.coords[:, :3]])
    dense = np.zeros(whole.shape[:3], np.uint8)
    dense[tuple(labels.coords[:, :3].T)] = labels.values
    with open_volume(fixtures / "brain.h5") as volume:
        image = volume.read()
        sections = compute_sections(
            AxisView(volume, "tczyx"),
            View(at, size),
            PixelClassifier.from_project(project),
            (voxels, labels.values),
            voxel_size=SIZE,
        )
    assert [section.plane for section in sections] == list(PLANES)
    for section in sections:
        cut: list[Any] = [slice(None)] * 3
        cut["zyx".index(section.third)] = at["zyx".index(section.third)]
        rows, columns = section.raw.shape
        window = tuple(slice(s, s + n) for s, n in zip(section.start, (rows, columns)))
        np.testing.assert_array_equal(section.raw, image[tuple(cut)][window])
        np.testing.assert_array_equal(section.probabilities, whole[tuple(cut)][window])
        np.testing.assert_array_equal(section.strokes, dense[tuple(cut)][window])
        expected = {"z": min(40, round(size * 2 / 5)), "y": min(96, size), "x": min(96, size)}
        assert (rows, columns) == tuple(expected[axis] for axis in section.axes)
        assert all(0 <= p - s < n for p, s, n in zip(section.point, section.start, (rows, columns)))


@pytest.mark.parametrize(("axes", "shape"), [("yx", (60, 70)), ("yxc", (60, 70, 2)), ("tzyxc", (3, 40, 50, 60, 2))])
def test_other_images(axes: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 1000, shape).astype(np.uint16)
    extents = dict(zip(axes, shape))
    selection = FeatureSelection.recommended()
    plan = selection.plan((extents.get("z", 1), extents["y"], extents["x"]), extents.get("c", 1))
    classifier = PixelClassifier(selection, forest_of(plan.n_features), ["a", "b"])
    expected = classifier.predict(image, axes)
    view = View((extents.get("z", 1) // 2, 30, 20), 32, time=extents.get("t", 1) - 1, channel=extents.get("c", 1) - 1)
    sections = compute_sections(transpose_to(image, axes, "tczyx"), view, classifier)
    assert [section.plane for section in sections] == (["xy"] if "z" not in axes else list(PLANES))
    xy = sections[0]
    y, x = (slice(s, s + n) for s, n in zip(xy.start, xy.raw.shape))
    now = expected[view.time, view.at[0]] if "z" in axes else expected
    np.testing.assert_array_equal(xy.probabilities, now[y, x])
    seen = image[view.time, view.at[0]] if "z" in axes else image
    np.testing.assert_array_equal(xy.raw, (seen[..., view.channel] if "c" in axes else seen)[y, x])


def forest_of(n_features: int) -> RandomForest:
    rng = np.random.default_rng(7)
    values = np.linspace(0, 1000, 50, dtype=np.float32)
    trees = [random_tree(rng, 20, n_features, 2, values=values) for _ in range(10)]
    return RandomForest.from_trees([trees], n_features, (1, 2), 2)


def test_only_the_slab_is_read(fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = IlastikProject.open(fixtures / "cells.ilp")
    classifier = PixelClassifier.from_project(project)
    read: list[int] = []
    with open_volume(fixtures / "brain.h5") as volume:
        view = AxisView(volume, "tczyx")
        original: Callable[..., Any] = type(view)._read
        monkeypatch.setattr(
            type(view),
            "_read",
            lambda self, s: (read.append(int(np.prod([i.stop - i.start for i in s]))), original(self, s))[1],
        )
        compute_sections(view, View((20, 48, 48), 10, ["xy"]), classifier)
        halo = classifier.plan(view.shape).halo
    assert read == [(1 + 2 * halo[0]) * (10 + 2 * halo[1]) * (10 + 2 * halo[2])]


def test_what_is_refused(folder: Path) -> None:
    for settings, match in (
        (PreviewSettings(at=(40, 0, 0)), "point's z is 40, the image has 0 to 39"),
        (PreviewSettings(time=1), "time step is 1"),
        (PreviewSettings(channel=1), "channel is 1"),
        (PreviewSettings(size=3), "section of 3"),
        (PreviewSettings(planes=["xy", "zz"]), "plane zz"),
    ):
        with pytest.raises(SettingError, match=match):
            preview("cells.ilp", "brain.h5", settings)
    with pytest.raises(SettingError, match="threshold"):
        PreviewSettings(threshold=2)
    with pytest.raises(SettingError, match="palette"):
        PreviewSettings(palette="grey")
    with pytest.raises(LabelError, match="no label 'nerve'"):
        preview("cells.ilp", "brain.h5", PreviewSettings(outline="nerve"))
    np.save("other.npy", np.zeros((40, 96, 95), np.uint16))
    with pytest.raises(ShapeError, match="has extents"):
        preview("cells.ilp", "other.npy", PreviewSettings(lane=0))
    edit_project("cells.ilp", "bare.ilp", changes=ProjectChanges(drop_forest=True))
    if not hasattr(PixelClassifier, "train"):
        with pytest.raises(NoForestError):
            preview("bare.ilp", "brain.h5")


# --- the figure ---


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.findobj(match=lambda artist: hasattr(artist, "get_text"))]


def test_what_the_figure_says(folder: Path) -> None:
    figure, notes = preview("cells.ilp", "brain.h5", PreviewSettings(at=(20, 48, 40), threshold=0.6, outline="cell"))
    assert notes == [] and len(figure.axes) == 6
    said = texts(figure)
    for text in ("xy, z = 20 (102.5 µm)", "X (µm)", "1 cell", "3 background (faint)", "cell > 0.6"):
        assert text in said, text
    # in µm from the image's corner, z downwards as long as it is in truth
    assert figure.axes[2].get_ylim() == (200.0, 0.0) and figure.axes[2].get_xlim() == (0.0, 192.0)
    for axes, ratio in ((figure.axes[0], 1.0), (figure.axes[2], 200 / 192)):
        box = axes.get_window_extent()
        assert box.height / box.width == pytest.approx(ratio, rel=1e-6)
    with h5py.File("brain.h5", "r+") as file:
        for name in list(file["data"].attrs):
            del file["data"].attrs[name]
    figure, _ = preview("cells.ilp", "brain.h5", PreviewSettings(planes=["xy"]))
    assert "x (voxels)" in texts(figure) and len(figure.axes) == 2


def test_colours(folder: Path) -> None:
    probabilities = np.float32([[[1, 0, 0], [0, 1, 0], [0, 0, 1]]])
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    gray = np.float32([[0.5, 0.5, 0.5]])
    seen = overlay(gray, probabilities, colors, faint=2)[0]
    assert seen[0].argmax() == 0 and seen[1].argmax() == 1 and np.ptp(seen[2]) < 0.13 < 0.5 < np.ptp(seen[0])
    figure, _ = preview("cells.ilp", "brain.h5", PreviewSettings(palette="safe", planes=["xy"]))
    patches = [handle.get_facecolor()[:3] for handle in figure.legends[0].get_patches()]
    np.testing.assert_allclose(patches, np.array(SAFE[:3]) / 255)


def test_the_background_is_the_commonest(fixtures: Path) -> None:
    with open_volume(fixtures / "brain.h5") as volume:
        sections = compute_sections(
            AxisView(volume, "tczyx"), View((20, 48, 40)), PixelClassifier.from_project(fixtures / "cells.ilp")
        )
    assert commonest(sections) == 2
    assert commonest([]) is None


def test_edges_against_a_loop() -> None:
    inside = np.random.default_rng(4).random((6, 9)) < 0.5
    padded = np.pad(inside, 1)
    expected = set()
    for row, column in np.ndindex(8, 11):
        if row < 7 and padded[row, column] != padded[row + 1, column]:
            expected.add(((column - 1, row), (column, row)))
        if column < 10 and padded[row, column] != padded[row, column + 1]:
            expected.add(((column, row - 1), (column, row)))
    found = {tuple(map(tuple, segment)) for segment in edges(inside).astype(int).tolist()}
    assert found == expected


# --- strokes ---


def test_strokes_are_those_of_the_lane(folder: Path) -> None:
    (folder / "link.h5").symlink_to(folder / "brain.h5")
    for image in ("brain.h5", "brain.h5/data", "link.h5", str(folder / "brain.h5")):
        figure, notes = preview("cells.ilp", image, PreviewSettings(planes=["xy"]))
        assert notes == [] and len(figure.axes[0].images) == 2, image
    shutil.copy("brain.h5", "copy.h5")
    figure, notes = preview("cells.ilp", "copy.h5", PreviewSettings(planes=["xy"]))
    assert "none of the project's" in notes[0] and len(figure.axes[0].images) == 1
    figure, notes = preview("cells.ilp", "copy.h5", PreviewSettings(planes=["xy"], lane="brain-data"))
    assert notes == [] and len(figure.axes[0].images) == 2


def test_strokes_of_a_label_file(folder: Path) -> None:
    export_labels("cells.ilp", 0, "l.nii.gz")
    shutil.copy("brain.h5", "copy.h5")
    settings = PreviewSettings(planes=["xy"], label_file="l.nii.gz")
    figure, _ = preview("cells.ilp", "copy.h5", settings)
    expected, _ = preview("cells.ilp", "brain.h5", PreviewSettings(planes=["xy"]))
    seen, wanted = (np.asarray(f.axes[0].images[1].get_array()) for f in (figure, expected))
    np.testing.assert_array_equal(seen, wanted)
    _, notes = preview("cells.ilp", "copy.h5", replace(settings, train=True))
    assert any("shown, but not trained on" in note for note in notes)


def test_trains_from_strokes(folder: Path) -> None:
    edit_project("cells.ilp", "bare.ilp", changes=ProjectChanges(drop_forest=True))
    figure, notes = preview("bare.ilp", "brain.h5", PreviewSettings(planes=["xy"]))
    assert len(figure.axes) == 2 and any("one is trained" in note for note in notes)
    _, notes = preview("cells.ilp", "brain.h5", PreviewSettings(planes=["xy"], train=True))
    assert notes == []


def test_of_a_classifier_in_a_notebook(folder: Path) -> None:
    figure = PixelClassifier.from_project("cells.ilp").preview("brain.h5", PreviewSettings(planes=["xz"]))
    assert len(figure.axes) == 2
    save_figure(figure, "a.pdf")
    assert Path("a.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(OutputExistsError):
        save_figure(figure, "a.pdf")
    with pytest.raises(FormatError, match=r"NAME\.png"):
        save_figure(figure, "a.jpeg")


# --- the command ---


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = "preview cells.ilp brain.h5 --at 20,48,40 --size 64 --planes xy,yz -o"
    assert main([*command.split(), "p.png"]) == 0
    assert "p.png: drawn in" in capsys.readouterr().out
    assert main([*command.split(), "q.png"]) == 0
    assert Path("p.png").read_bytes() == Path("q.png").read_bytes()
    assert matplotlib.image.imread("p.png").shape[1] == 11 * 110
    assert main([*command.split(), "p.png"]) == 2
    assert main([*command.split(), "p.png", "--watch"]) == 2
    assert main([*command.split(), "p.png", "--overwrite"]) == 0
    assert main([*command.split(), "p.gif"]) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["brain.h5", "cells.ilp", "p.png", "q.png"]


class Saves:
    """Stands in for the time between two looks: each call of `sleep` is a step of a story."""

    def __init__(self, *steps: Callable[[], Any]) -> None:
        self.steps = list(steps)
        self.slept: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self.steps:
            raise KeyboardInterrupt
        self.steps.pop(0)()


def nothing() -> None:
    pass


def watched(file: Path, saves: Saves, broken: str = "half") -> tuple[list[str], list[str]]:
    """What was drawn, by the file's content, and the errors that were reported."""
    drawn: list[str] = []
    errors: list[str] = []

    def work() -> None:
        text = file.read_text() if file.exists() else broken
        if text == broken:
            raise FormatError("the file is truncated")
        drawn.append(text)

    with pytest.raises(KeyboardInterrupt):
        watch(work, [file], errors.append, sleep=saves)
    return drawn, errors


def test_draws_at_first_and_after_each_change(tmp_path: Path) -> None:
    file = tmp_path / "l.nii"
    file.write_text("a")
    saves = Saves(
        nothing, nothing, lambda: file.write_text("bb"), nothing, nothing, lambda: file.write_text("ccc"), nothing
    )
    assert watched(file, saves) == (["a", "bb", "ccc"], [])
    assert set(saves.slept) == {INTERVAL}


def test_waits_while_a_file_is_being_saved(tmp_path: Path) -> None:
    file = tmp_path / "l.nii"
    file.write_text("a")
    growing = [lambda n=n: file.write_text("x" * n) for n in range(2, 6)]
    assert watched(file, Saves(*growing, nothing, nothing)) == (["a", "xxxxx"], [])


def test_a_half_saved_file_is_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "l.nii"
    file.write_text("a")
    saves = Saves(lambda: file.write_text("half"), nothing, lambda: file.write_text("whole"), nothing, nothing)
    assert watched(file, saves) == (["a", "whole"], [])


def test_an_error_is_reported_once_and_watching_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "l.nii"
    saves = Saves(*[nothing] * 8, lambda: file.write_text("now"), nothing, nothing)
    drawn, errors = watched(file, saves)
    assert drawn == ["now"] and len(errors) == 1 and "truncated" in errors[0]


def test_a_wrong_option_ends_watching(tmp_path: Path) -> None:
    def work() -> None:
        raise SettingError("a point outside")

    with pytest.raises(SettingError):
        watch(work, [tmp_path / "a"], lambda message: None, sleep=lambda seconds: None)


def test_ctrl_c_ends_watching(folder: Path) -> None:
    command = "preview cells.ilp brain.h5 --planes xy --size 32 -o p.png --watch"
    process = subprocess.Popen(
        [sys.executable, "-m", "ecc_rf", *command.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert "p.png: drawn" in process.stdout.readline()
    first = Path("p.png").stat().st_mtime_ns
    edit_project("cells.ilp", "cells.ilp", changes=ProjectChanges(label_names=["soma", "b", "c"]), overwrite=True)
    assert "p.png: drawn" in process.stdout.readline()
    assert Path("p.png").stat().st_mtime_ns > first
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert sorted(path.name for path in folder.iterdir()) == ["brain.h5", "cells.ilp", "p.png"]
