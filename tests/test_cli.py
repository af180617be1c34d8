"""The command line as people meet it: what it prints, its exit status, what it leaves behind."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from ecc_rf import open_volume
from ecc_rf.cli import main

COMMANDS = (
    *("run", "info", "classify", "cells", "filter", "evaluate", "normalize", "train-objects"),
    *("new", "train", "relink", "features", "convert", "labels", "preview", "report", "batch", "completion"),
)


@pytest.fixture
def brain(fixtures: Path) -> str:
    return str(fixtures / "brain.h5")


@pytest.fixture
def project(fixtures: Path) -> str:
    return str(fixtures / "cells.ilp")


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must fail as users' errors do, by argparse's exit or ours; returns its message."""
    try:
        status = main(arguments)
    except SystemExit as exit:
        status = exit.code
    assert status == 2
    message = capsys.readouterr().err
    assert message.startswith("ecc-rf: error: ") and "Traceback" not in message
    return message


def leftovers(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_help_of_every_command_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], *([c] for c in COMMANDS)):
        with pytest.raises(SystemExit) as exit:
            main([*arguments, "--help"])
        assert exit.value.code == 0
        assert "Example: ecc-rf" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom ecc_rf.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'numba', 'zarr', 'pandas', 'matplotlib', 'h5py', 'numpy', 'joblib', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_run(tmp_path: Path, project: str, brain: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["run", project, brain, "-o", str(out)]) == 0
    printed = capsys.readouterr()
    assert sorted(p.name for p in out.iterdir()) == ["cells.csv", "probability.ome.zarr", "report.html", "run.json"]
    cells = pd.read_csv(out / "cells.csv")
    assert list(cells.columns[:7]) == ["X", "Y", "Z", "deltaI", "BG", "vol", "deltaI_total"]
    assert f"{len(cells)} cells" in printed.out
    record = json.loads((out / "run.json").read_text())
    assert record["cells"] == len(cells) and record["voxel_size_um_zyx"] == [5, 2, 2]
    report = (out / "report.html").read_text()
    assert report.count("<img") >= 5 and f"<b>{len(cells)}</b>" in report
    # on a slow machine it says that it compiles, and how far it is
    assert [line for line in printed.err.splitlines() if "compiling" not in line and "voxel/s" not in line] == []


def test_the_cells_found_are_the_true_ones(tmp_path: Path, project: str, brain: str, fixtures: Path) -> None:
    assert main(["run", project, brain, "-o", str(tmp_path / "out"), "--no-report"]) == 0
    cells = pd.read_csv(tmp_path / "out/cells.csv")[["Z", "Y", "X"]].to_numpy()
    truth = pd.read_csv(fixtures / "truth.csv").to_numpy() * (5, 2, 2)
    distance = np.linalg.norm(cells[:, None] - truth[None], axis=-1)
    # A cell is found if a detection lies within its visible radius of 8 µm.
    recall, precision = (distance.min(axis=0) < 8).mean(), (distance.min(axis=1) < 8).mean()
    assert recall > 0.9 and precision > 0.9


def test_several_images_get_one_folder_each(tmp_path: Path, project: str, brain: str) -> None:
    twin = tmp_path / "twin.h5"
    shutil.copy(brain, twin)
    assert main(["run", project, brain, str(twin), "-o", str(tmp_path / "out"), "--no-report"]) == 0
    ours = [(tmp_path / "out" / name / "cells.csv").read_bytes() for name in ("brain", "twin")]
    assert ours[0] == ours[1]


def test_a_run_equals_its_two_halves(tmp_path: Path, project: str, brain: str) -> None:
    run, prob, table = tmp_path / "run", tmp_path / "prob.h5", tmp_path / "cells.csv"
    assert main(["run", project, brain, "-o", str(run), "--format", "h5", "--no-report", "-q"]) == 0
    assert main(["classify", project, brain, "-o", str(prob), "--labels", "1", "--dtype", "uint8", "-q"]) == 0
    assert main(["cells", str(prob), "--raw", brain, "-o", str(table)]) == 0
    assert table.read_bytes() == (run / "cells.csv").read_bytes()
    with h5py.File(prob) as ours, h5py.File(run / "probability.h5") as theirs:
        assert np.array_equal(ours["probability"][()], theirs["probability"][()])


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("block", ["17", "16,40,96"])
def test_same_bytes_for_all_blocks_and_workers(
    tmp_path_factory: pytest.TempPathFactory, project: str, brain: str, workers: str, block: str
) -> None:
    base = tmp_path_factory.getbasetemp() / "reference"
    if not base.exists():
        assert main(["run", project, brain, "-o", str(base), "--format", "h5", "--no-report"]) == 0
    out = tmp_path_factory.mktemp("out")
    arguments = ["-o", str(out), "--format", "h5", "--no-report", "--workers", workers, "--block", block]
    assert main(["run", project, brain, *arguments]) == 0
    assert (out / "cells.csv").read_bytes() == (base / "cells.csv").read_bytes()
    with h5py.File(out / "probability.h5") as ours, h5py.File(base / "probability.h5") as theirs:
        assert np.array_equal(ours["probability"][()], theirs["probability"][()])


def test_classify_a_region_equals_the_whole(tmp_path: Path, project: str, brain: str) -> None:
    whole, part = tmp_path / "whole.npy", tmp_path / "part.npy"
    assert main(["classify", project, brain, "-o", str(whole)]) == 0
    assert main(["classify", project, brain, "-o", str(part), "--roi", "z=5:20,x=30:", "--labels", "background"]) == 0
    assert np.array_equal(np.load(part), np.load(whole)[5:20, :, 30:, 2:3])


def test_classify_with_a_mask(tmp_path: Path, project: str, brain: str) -> None:
    mask = np.zeros((40, 96, 96), np.uint8)
    mask[10:20, 5:60] = 7
    np.save(tmp_path / "mask.npy", mask)
    for extra, name in ([], "whole"), (["--mask", str(tmp_path / "mask.npy"), "--block", "16"], "masked"):
        assert main(["classify", project, brain, "-o", str(tmp_path / f"{name}.npy"), *extra]) == 0
    whole, masked = np.load(tmp_path / "whole.npy"), np.load(tmp_path / "masked.npy")
    assert np.array_equal(masked, whole * (mask > 0)[..., None])


def test_cells_with_every_option(tmp_path: Path, project: str, brain: str, capsys: pytest.CaptureFixture[str]) -> None:
    prob, mask = tmp_path / "prob.h5", tmp_path / "mask.npy"
    assert main(["classify", project, brain, "-o", str(prob), "--labels", "cell", "--dtype", "uint16", "-q"]) == 0
    ignored = np.zeros((40, 96, 96), np.uint8)
    ignored[:, :, 48:] = 1
    np.save(mask, ignored)
    arguments = ["cells", str(prob), "--raw", brain, "-o", str(tmp_path / "cells.csv"), "--mask", str(mask)]
    arguments += ["--objects", str(tmp_path / "objects.ome.zarr"), "--max-volume", "60", "--connectivity", "26"]
    arguments += ["--cell-diameter-um", "12", "--intensity", "local", "--background-percentile", "10"]
    assert main(arguments) == 0
    cells = pd.read_csv(tmp_path / "cells.csv")
    assert len(cells) > 10 and cells["x1"].max() <= 48
    with open_volume(tmp_path / "objects.ome.zarr") as objects:
        numbers, counts = np.unique(objects.read(), return_counts=True)
    assert dict(zip(numbers[1:], counts[1:])) == dict(zip(cells["label"], cells["voxels"]))

    capsys.readouterr()
    bright = tmp_path / "bright.parquet"
    assert main(["filter", str(tmp_path / "cells.csv"), "-o", str(bright), "--min-sbr", "2.5"]) == 0
    kept = pd.read_parquet(bright)
    assert kept["label"].tolist() == cells.loc[cells["sbr"] >= 2.5, "label"].tolist() and 0 < len(kept) < len(cells)
    assert f"{len(kept)} of {len(cells)} cells" in capsys.readouterr().out


def test_exports(tmp_path: Path, project: str, brain: str) -> None:
    for export, channels, dtype in (("segmentation", 1, "u1"), ("uncertainty", 1, "f4"), ("features", 16, "f4")):
        out = tmp_path / f"{export}.h5"
        assert main(["classify", project, brain, "-o", str(out), "--export", export, "--roi", "z=0:8"]) == 0
        with h5py.File(out) as file:
            (name,) = file
            assert file[name].shape == (8, 96, 96, channels) and file[name].dtype == dtype


def test_info(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", project]) == 0
    printed = capsys.readouterr().out
    for part in ("false signal", "100 trees", "HessianOfGaussianEigenvalues", "found"):
        assert part in printed
    assert main(["info", project, "--json"]) == 0
    description = json.loads(capsys.readouterr().out)
    assert [len(description[key]) for key in ("lanes", "labels")] == [1, 3]


def test_missing_files(tmp_path: Path, project: str, brain: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert "nowhere.ilp" in fails(capsys, "run", str(tmp_path / "nowhere.ilp"), brain, "-o", out)
    assert "nowhere.h5" in fails(capsys, "run", project, str(tmp_path / "nowhere.h5"), "-o", out)
    assert "data" in fails(capsys, "run", project, brain + "/dat", "-o", out)
    assert leftovers(tmp_path) == []


def test_wrong_extension(tmp_path: Path, project: str, brain: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "image.docx").touch()
    message = fails(capsys, "run", project, str(tmp_path / "image.docx"), "-o", str(tmp_path / "out"))
    assert "docx" in message and "HDF5" in message
    assert "out.docx" in fails(capsys, "classify", project, brain, "-o", str(tmp_path / "out.docx"))
    assert leftovers(tmp_path) == ["image.docx"]


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.95])
def test_truncated_files(
    tmp_path: Path, project: str, brain: str, keep: float, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, file in enumerate((project, brain)):
        content = Path(file).read_bytes()
        cut = tmp_path / f"cut{Path(file).suffix}"
        cut.write_bytes(content[: int(keep if keep > 1 else keep * len(content))])
        arguments = [str(cut), brain] if number == 0 else [project, str(cut)]
        message = fails(capsys, "run", *arguments, "-o", str(tmp_path / "out"))
        assert str(cut) in message
        assert number == 0 or keep != 0.95 or "cut off after" in message
    assert not (tmp_path / "out").exists() or leftovers(tmp_path / "out") == []


def test_wrong_axes_and_channels(tmp_path: Path, project: str, brain: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert "zyxc" in fails(capsys, "run", project, brain, "-o", out, "--axes", "zyxc")
    assert "qyx" in fails(capsys, "run", project, brain, "-o", out, "--axes", "qyx")
    np.save(tmp_path / "two.npy", np.zeros((40, 50, 50, 2), np.uint16))
    message = fails(capsys, "run", project, str(tmp_path / "two.npy"), "-o", out)
    assert "2 channel" in message and "16" in message
    np.save(tmp_path / "flat.npy", np.zeros((50, 50), np.uint16))
    fails(capsys, "run", project, str(tmp_path / "flat.npy"), "-o", out)
    assert not Path(out).exists()


def test_image_smaller_than_a_filter(tmp_path: Path, project: str, capsys: pytest.CaptureFixture[str]) -> None:
    # ilastik's rule: ceil(3.5 sigma) + 1 = 14 voxels for the largest scale 3.5
    np.save(tmp_path / "small.npy", np.zeros((13, 50, 50), np.uint16))
    message = fails(capsys, "run", project, str(tmp_path / "small.npy"), "-o", str(tmp_path / "out"))
    assert "14" in message and "13" in message and "z" in message
    np.save(tmp_path / "enough.npy", np.zeros((14, 14, 14), np.uint16))
    assert main(["run", project, str(tmp_path / "enough.npy"), "-o", str(tmp_path / "out")]) == 0


def test_output_that_cannot_be_written(
    tmp_path: Path, project: str, brain: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    fails(capsys, "run", project, brain, "-o", str(tmp_path / "file" / "out"))
    fails(capsys, "run", project, brain, "-o", str(tmp_path / "file"))
    fails(capsys, "classify", project, brain, "-o", str(tmp_path / "file" / "out.h5"))
    fails(capsys, "run", project, brain, "-o", "/proc/out")
    assert leftovers(tmp_path) == ["file"]


def test_output_that_exists(tmp_path: Path, project: str, brain: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "cells.csv").write_text("precious")
    assert "--overwrite" in fails(capsys, "run", project, brain, "-o", str(out), "--no-report")
    assert leftovers(out) == ["cells.csv"] and (out / "cells.csv").read_text() == "precious"
    assert main(["run", project, brain, "-o", str(out), "--no-report", "--overwrite"]) == 0
    assert "precious" not in (out / "cells.csv").read_text()
    prob = out / "probability.ome.zarr"
    assert "--overwrite" in fails(capsys, "cells", str(prob), "-o", str(out / "cells.csv"))
    fails(capsys, "classify", project, brain, "-o", str(prob))


@pytest.mark.parametrize("threshold", ["-0.1", "1.1", "nan"])
def test_threshold_outside_its_range(
    tmp_path: Path, project: str, brain: str, threshold: str, capsys: pytest.CaptureFixture[str]
) -> None:
    message = fails(capsys, "run", project, brain, "-o", str(tmp_path / "out"), "--threshold", threshold)
    assert "threshold" in message and not (tmp_path / "out").exists()


def test_unknown_label_and_other_settings(
    tmp_path: Path, project: str, brain: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out.h5")
    for arguments, expected in (
        (["--labels", "neuron"], "false signal"),
        (["--labels", "4"], "background"),
        (["--export", "everything"], "segmentation"),
        (["--dtype", "int7"], "uint8"),
        (["--rounding", "up"], "truncate"),
        (["--memory", "much"], "8GB"),
        (["--memory", "1MB"], "--memory"),
        (["--workers", "0"], "workers"),
        (["--roi", "z=30:50"], "40"),
        (["--mask", brain + "x"], ".h5x"),
    ):
        assert expected in fails(capsys, "classify", project, brain, "-o", out, *arguments)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("option", [["--voxel-size", "1,2"], ["--block", "a"], ["--roi", "z=1-2"], ["--block", "0"]])
def test_options_that_cannot_be_read(
    tmp_path: Path, project: str, brain: str, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["classify", project, brain, "-o", str(tmp_path / "out.h5"), *option])
    assert exit.value.code == 2
    assert "such as" in capsys.readouterr().err


def test_micrometres_need_a_voxel_size(tmp_path: Path, project: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "image.npy", np.zeros((20, 20, 20), np.uint16))
    for command in (["run", project], ["cells"]):
        for option in (["--cell-diameter-um", "9"], ["--min-diameter-um", "5"]):
            message = fails(capsys, *command, str(tmp_path / "image.npy"), "-o", str(tmp_path / "out.csv"), *option)
            assert "--voxel-size" in message and option[1] in message
    assert leftovers(tmp_path) == ["image.npy"]


def test_voxels_that_are_not_finite(tmp_path: Path, project: str, capsys: pytest.CaptureFixture[str]) -> None:
    image = np.zeros((20, 20, 20), np.float32)
    image[3, 4, 5] = np.nan
    np.save(tmp_path / "image.npy", image)
    message = fails(capsys, "classify", project, str(tmp_path / "image.npy"), "-o", str(tmp_path / "out.h5"))
    assert "z=3, y=4, x=5" in message
    assert leftovers(tmp_path) == ["image.npy"]


def test_no_cell_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "prob.npy", np.zeros((10, 10, 10), np.uint8))
    table = tmp_path / "cells.csv"
    assert main(["cells", str(tmp_path / "prob.npy"), "-o", str(table)]) == 0
    assert table.read_text().startswith("X,Y,Z,deltaI,BG,vol,deltaI_total,")
    assert len(table.read_text().splitlines()) == 1
    assert "No cell was found" in capsys.readouterr().err


def test_interrupted(tmp_path: Path, project: str) -> None:
    np.save(tmp_path / "big.npy", np.random.default_rng(0).integers(0, 999, (200, 400, 400), np.uint16))
    out = tmp_path / "out.ome.zarr"
    arguments = ["classify", project, str(tmp_path / "big.npy"), "-o", str(out), "--block", "32"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ecc_rf", *arguments], stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "out.ome.zarr.unfinished").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    # Python ends by the signal itself if it came while a string was executed (as the compiler of kernels does); a shell
    # reports both as 130.
    assert process.returncode in (130, -signal.SIGINT), errors
    assert b"interrupted" in errors and b"Traceback" not in errors
    # What is done is kept; before the first block nothing is.
    kept = {path.name for path in tmp_path.iterdir()} - {"big.npy"}
    assert kept in (set(), {"out.ome.zarr.ledger", "out.ome.zarr.unfinished"})
    assert (b"run the same command again" in errors) == bool(kept)
