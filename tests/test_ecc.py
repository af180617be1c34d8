"""Scripts that were written for the original ecc: they run, and give what ecc_rf's own classes give."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

import ecc_rf
from ecc_rf.cells import write_cells
from ecc_rf.ecc import CellFinder, PixelClassifier
from ecc_rf.errors import ShapeError
from ecc_rf.volumes import open_volume
from tests.ecc_scripts import VOXEL, classifier, finder, names, own_probability

ORIGINAL_COLUMNS = ["X", "Y", "Z", "deltaI", "BG", "vol", "deltaI_total"]

# As users write it: from the original's documentation, the imports changed.
SCRIPT = """
from ecc_rf.ecc import PixelClassifier
from ecc_rf.ecc import CellFinder

for name in ("first", "second"):
    pc = PixelClassifier()
    pc.set_verbose(True)
    pc.set_ilastik_executable_path("/home/user/ilastik-1.3.0-Linux/")
    pc.set_project_file("cells.ilp")
    pc.set_num_threads(2)
    pc.set_max_memory_size(1000) # in MBs
    pc.set_output_dir("result/")
    pc.set_input_image("brain.h5")
    pc.set_basename("prob_" + name)
    pc.run()

    cf = CellFinder()
    cf.set_verbose(True)
    cf.set_num_workers(2)
    cf.set_block_size({"blocksize": 50, "overlap": 20})
    cf.set_image_voxel_size({"X": 2, "Y": 2, "Z": 5})
    cf.set_prob_threshold(0.70)
    cf.set_min_particle_volume(2)
    cf.set_max_particle_volume(64)
    cf.set_intensity_computation_mode("obj_mean")
    cf.set_nickname(name)
    cf.set_outdir("result/")
    cf.set_raw_image_path("brain.h5")
    cf.set_prob_image_path("result/prob_" + name + ".h5")
    cf.run_main()
    assert cf.table_path == "result/" + name + "_cells.csv"
"""


@pytest.fixture
def brain(fixtures: Path) -> Path:
    return fixtures / "brain.h5"


@pytest.fixture
def project(fixtures: Path) -> Path:
    return fixtures / "cells.ilp"


@pytest.fixture(scope="module")
def probability(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_probability(fixtures, tmp_path_factory.mktemp("own"))


def content(path: Path) -> str:
    """All that a result says; where in an HDF5 file a chunk lies depends on the threads that wrote it."""
    if path.suffix == ".csv":
        return path.read_text()
    with h5py.File(path) as file:
        dataset = file["probability"]
        assert list(file) == ["probability"]
        attributes = {name: np.asarray(value).tolist() for name, value in dataset.attrs.items()}
        return f"{dataset.shape} {dataset.dtype} {attributes} {hashlib.sha256(dataset[()]).hexdigest()}"


def test_a_script_of_the_original_runs_as_it_is_and_twice(brain: Path, project: Path, tmp_path: Path) -> None:
    shutil.copy(brain, tmp_path)
    shutil.copy(project, tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)

    def run() -> dict[str, str]:
        done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        assert "set_ilastik_executable_path: ilastik is not needed" in done.stderr
        assert "Traceback" not in done.stderr
        return {path.name: content(path) for path in (tmp_path / "result").iterdir()}

    first = run()
    assert sorted(first) == ["first_cells.csv", "prob_first.h5", "prob_second.h5", "second_cells.csv"]
    assert first["first_cells.csv"] == first["second_cells.csv"]
    assert run() == first

    own = ecc_rf.PixelClassifier.from_project(project)
    own.predict_volume(brain, tmp_path / "own.h5", labels=[1], dtype="uint8")
    with h5py.File(tmp_path / "own.h5") as ours, h5py.File(tmp_path / "result" / "prob_first.h5") as theirs:
        np.testing.assert_array_equal(theirs["probability"][()], ours["probability"][()])
    own_finder = ecc_rf.CellFinder(threshold=0.7, min_volume=2, max_volume=64, intensity="mean")
    write_cells(own_finder.find(tmp_path / "own.h5", brain, voxel_size=(5, 2, 2)), tmp_path / "own.csv")
    assert content(tmp_path / "own.csv") == first["first_cells.csv"]
    assert len(pd.read_csv(tmp_path / "own.csv")) > 20


def test_the_probability_image_is_the_originals(brain: Path, project: Path, tmp_path: Path) -> None:
    record = classifier(project, brain, tmp_path / "out").run()
    assert record is not None and record.voxels == 40 * 96 * 96
    assert names(tmp_path / "out") == ["prob_image.h5"]
    with h5py.File(tmp_path / "out" / "prob_image.h5") as file:
        assert list(file) == ["probability"]
        dataset = file["probability"]
        assert dataset.shape == (40, 96, 96, 1) and dataset.dtype == np.uint8
        assert dataset.attrs["drange"].tolist() == [0, 255]
        stored = dataset[()]
    with open_volume(tmp_path / "out" / "prob_image.h5") as volume:
        assert volume.axes == "zyxc" and volume.voxel_size == (5, 2, 2)
    labels = ecc_rf.PixelClassifier.from_project(project).predict(open_volume(brain).read(), axes="zyx")
    np.testing.assert_array_equal(stored, np.rint(labels[..., :1] * np.float32(255)).astype(np.uint8))


@pytest.mark.parametrize("axes", ["zyxc", "czyx", "yx"])
def test_the_probability_image_is_zyxc_whatever_the_input(
    tmp_path: Path, brain: Path, project: Path, axes: str
) -> None:
    with h5py.File(brain) as file:
        array = file["data"][:24, :48, :48]
    array = {"zyxc": array[..., None], "czyx": array[None], "yx": array[0]}[axes]
    with ecc_rf.create_volume(tmp_path / "in.h5", array.shape, array.dtype, axes) as volume:
        volume[()] = array
    pc = classifier(project, tmp_path / "in.h5", tmp_path / "out")
    if axes == "yx":  # the project's filters do not fit a plane: said before anything is written
        with pytest.raises(ShapeError):
            pc.run()
        assert names(tmp_path / "out") == []
        return
    pc.run()
    with h5py.File(tmp_path / "out" / "prob_image.h5") as file:
        assert file["probability"].shape == (24, 48, 48, 1)


def test_the_table_is_the_originals(brain: Path, probability: Path, tmp_path: Path) -> None:
    cf = finder(brain, probability, tmp_path / "out")
    assert not cf.table_path
    cells = cf.run_main()
    assert names(tmp_path / "out") == ["untitled_cells.csv"]
    assert cf.table_path == str(tmp_path / "out" / "untitled_cells.csv")
    table = pd.read_csv(cf.table_path)
    assert list(table.columns[:7]) == ORIGINAL_COLUMNS
    pd.testing.assert_frame_equal(table, cells, check_dtype=False, rtol=1e-13)  # fourteen digits are written
    own = ecc_rf.CellFinder(threshold=0.7, min_volume=0, max_volume=None, intensity="max")  # the original's defaults
    pd.testing.assert_frame_equal(cells, own.find(probability, brain, voxel_size=(5, 2, 2)))


@pytest.mark.parametrize(("mode", "own"), [("max", "max"), ("obj_mean", "mean"), ("local_mean", "local")])
def test_every_setter_sets_its_parameter(brain: Path, probability: Path, tmp_path: Path, mode: str, own: str) -> None:
    mask = np.zeros((40, 96, 96), np.uint8)
    mask[:, :50] = 7
    with ecc_rf.create_volume(tmp_path / "mask.h5", mask.shape, mask.dtype, "zyx") as volume:
        volume[()] = mask
    cf = finder(brain, probability, tmp_path)
    cf.set_prob_threshold(0.55)
    cf.set_min_particle_volume(5.5)
    cf.set_max_particle_volume(30)
    cf.set_intensity_computation_mode(mode)
    cf.set_local_max_rad(2)
    cf.set_local_min_rad(3)
    cf.set_local_min_percentile(12.5)
    cf.set_mask_image_path(tmp_path / "mask.h5")
    cf.set_buffersize(10)
    expected = ecc_rf.CellFinder(
        threshold=0.55,
        min_volume=5,
        max_volume=30,
        intensity=own,
        signal_radius=2,
        background_radius=3,
        background_percentile=12.5,
    ).find(probability, brain, mask=mask, voxel_size=(5, 2, 2))
    assert len(expected) > 0
    pd.testing.assert_frame_equal(cf.run_main(), expected)


def test_setters_in_any_order(brain: Path, project: Path, probability: Path, tmp_path: Path) -> None:
    calls: list[tuple[str, Any]] = [
        ("set_project_file", str(project)),
        ("set_input_image", str(brain)),
        ("set_output_dir", str(tmp_path / "p")),
        ("set_basename", "prob"),
    ]
    images = set()
    for order in (calls, calls[::-1]):
        pc = PixelClassifier()
        for setter, value in order:
            getattr(pc, setter)(value)
        pc.run()
        images.add(content(tmp_path / "p" / "prob.h5"))
    assert len(images) == 1

    calls = [
        ("set_image_voxel_size", VOXEL),
        ("set_min_particle_volume", 70),  # for a while more than the largest volume, or less than the least
        ("set_max_particle_volume", 64),
        ("set_min_particle_volume", 2),
        ("set_raw_image_path", str(brain)),
        ("set_prob_image_path", str(probability)),
        ("set_outdir", str(tmp_path / "c")),
        ("set_nickname", "n"),
        ("set_intensity_computation_mode", "obj_mean"),
    ]
    tables = set()
    for order in ([*calls[2:], *calls[:2], calls[3]], calls, sorted(calls[:1] + calls[2:], key=str)):
        cf = CellFinder()
        for setter, value in order:
            getattr(cf, setter)(value)
        cf.run_main()
        tables.add(content(tmp_path / "c" / "n_cells.csv"))
    assert len(tables) == 1


@pytest.mark.parametrize(
    ("basename", "expected"),
    [("brain_1", "brain_1.h5"), ("brain.h5", "brain.h5"), ("brain.HDF5", "brain.h5"), ("/brain", "brain.h5")],
)
def test_names_of_the_probability_image(
    brain: Path, project: Path, tmp_path: Path, basename: str, expected: str
) -> None:
    pc = classifier(project, brain, tmp_path / "out")
    pc.set_basename(basename)
    pc.run()
    assert names(tmp_path / "out") == [expected]


def test_a_name_with_a_point_is_shortened_as_by_ilastik_with_a_warning(
    brain: Path, project: Path, tmp_path: Path
) -> None:
    pc = classifier(project, brain, tmp_path / "out")
    with pytest.warns(UserWarning, match=r"set_basename: .*M1\.2 is named M1\.h5"):
        pc.set_basename("M1.2")
    pc.run()
    assert names(tmp_path / "out") == ["M1.h5"]


@pytest.mark.parametrize("limit", [1e12, 10**30, float("inf"), np.float32(1e12)])
def test_the_originals_unlimited_volume_splits_nothing(
    brain: Path, probability: Path, tmp_path: Path, limit: float
) -> None:
    cf = finder(brain, probability, tmp_path)
    unlimited = cf.run_main()
    cf.set_max_particle_volume(limit)
    pd.testing.assert_frame_equal(cf.run_main(), unlimited)


def test_no_cell_gives_an_empty_table_with_a_warning(brain: Path, probability: Path, tmp_path: Path) -> None:
    cf = finder(brain, probability, tmp_path)
    cf.set_prob_threshold(1)
    with pytest.warns(UserWarning, match="No cell was found"):
        cf.run_main()
    table = pd.read_csv(cf.table_path)
    assert len(table) == 0 and list(table.columns[:7]) == ORIGINAL_COLUMNS


def test_numbers_may_come_from_numpy_or_as_text_where_the_original_takes_it(
    brain: Path, project: Path, probability: Path, tmp_path: Path
) -> None:
    pc = classifier(project, brain, tmp_path)
    pc.set_num_threads("1")
    pc.set_max_memory_size(2500.7)
    false: Any = np.bool_(False)
    pc.set_verbose(false)
    record = pc.run()
    assert record is not None and (record.workers, record.memory) == (1, 2500 * 2**20)
    cf = finder(brain, probability, tmp_path)
    one: Any = np.int64(1)
    cf.set_num_workers(one)
    size: dict[str, Any] = {axis: np.float32(extent) for axis, extent in VOXEL.items()}
    cf.set_image_voxel_size(size)
    cf.set_prob_threshold(np.float64(0.7))
    cf.set_verbose(False)
    pd.testing.assert_frame_equal(cf.run_main(), finder(brain, probability, tmp_path).run_main())


@pytest.mark.parametrize("verbose", [True, False])
def test_nothing_is_printed_where_no_terminal_watches(
    brain: Path, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], verbose: bool
) -> None:
    pc = classifier(project, brain, tmp_path)
    pc.set_verbose(verbose)
    pc.run()
    cf = finder(brain, tmp_path / "prob_image.h5", tmp_path)
    cf.set_verbose(verbose)
    cf.run_main()
    assert capsys.readouterr() == ("", "")


def test_a_project_that_is_odd_is_used_with_a_warning(brain: Path, project: Path, tmp_path: Path) -> None:
    shutil.copy(project, tmp_path / "stale.ilp")
    with h5py.File(tmp_path / "stale.ilp", "r+") as file:
        block = next(iter(file["PixelClassification/LabelSets"].values()))
        del block[next(iter(block))]
    pc = classifier(tmp_path / "stale.ilp", brain, tmp_path / "out")
    with pytest.warns(UserWarning, match="stale"):
        pc.run()
    assert names(tmp_path / "out") == ["prob_image.h5"]


def test_importing_it_is_quick() -> None:
    code = (
        "import sys\nfrom ecc_rf.ecc import CellFinder, PixelClassifier\nPixelClassifier(), CellFinder()\n"
        "heavy = {'numba', 'zarr', 'pandas', 'matplotlib', 'h5py', 'numpy', 'joblib', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["1008_4", "1147_3", "1147_6", "753_6"])
def test_real_brains_give_the_originals_cells_each_once(cfos: Path, tmp_path: Path, name: str) -> None:
    votes = np.load(cfos / "golden" / f"{name}.npz")["votes"][..., :1]
    with ecc_rf.create_volume(tmp_path / "p.h5", votes.shape, "uint8", "zyxc", dataset="probability") as volume:
        volume[()] = np.rint(votes * np.float32(2.55)).astype(np.uint8)
    cf = CellFinder()
    cf.set_image_voxel_size({"X": 1.62, "Y": 1.62, "Z": 6.0})
    cf.set_block_size({"blocksize": 120, "overlap": 20})
    cf.set_prob_threshold(0.70)
    cf.set_min_particle_volume(2)
    cf.set_intensity_computation_mode("obj_mean")
    cf.set_raw_image_path(str(cfos / "patches" / f"{name}.h5"))
    cf.set_prob_image_path(str(tmp_path / "p.h5"))
    cf.set_outdir(str(tmp_path))
    cf.set_nickname(name)
    cf.run_main()

    ours = pd.read_csv(tmp_path / f"{name}_cells.csv")
    original = pd.read_csv(cfos / "cells_ecc" / f"{name}_maxnone.csv").drop_duplicates()
    for table in (ours, original):
        for axis, size in (("X", 1.62), ("Y", 1.62), ("Z", 6.0)):
            table[f"{axis}_voxel"] = np.rint(table[axis] / size).astype(int)
    place = ["X_voxel", "Y_voxel", "Z_voxel"]
    both = ours.merge(original, on=place, how="outer", suffixes=("", "_original"), indicator=True, validate="1:1")
    assert (both["_merge"] == "both").all()
    for column in ORIGINAL_COLUMNS[3:]:
        # the original writes two decimals
        np.testing.assert_allclose(both[column], both[f"{column}_original"], rtol=0, atol=0.0051, err_msg=column)


def test_a_real_brain_gives_the_originals_probability_image(cfos: Path, tmp_path: Path) -> None:
    """The probability image is the one that ilastik wrote for the original, voxel by voxel."""
    pc = classifier(cfos / "cfos.ilp", cfos / "patches" / "1147_3.h5", tmp_path)
    pc.run()
    with h5py.File(tmp_path / "prob_image.h5") as ours, h5py.File(cfos / "golden" / "ecc_export_1147_3.h5") as theirs:
        mine, original = ours["probability"], theirs["probability"]
        assert (mine.shape, mine.dtype) == (original.shape, original.dtype)
        np.testing.assert_array_equal(mine.attrs["drange"], original.attrs["drange"])
        np.testing.assert_array_equal(mine[()], original[()])
