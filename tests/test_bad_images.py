"""Images of bad days through `run`, `preview` and `cells`: a result, or an error that names the place; never a half."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from ecc_rf.cells.writing import read_cells
from ecc_rf.cli import main

SHAPE = (14, 16, 16)
NOISE = np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.uint8)
BLOBS = np.zeros(SHAPE, np.float32)
BLOBS[4:7, 4:7, 4:7] = 1
BLOBS[9:12, 11:14, 11:14] = 0.9

FIRST = "z=3, y=4, x=5"  # inside of nothing but the first blob's surroundings


def with_one(array: NDArray[np.generic], value: float, dtype: str) -> NDArray[np.generic]:
    changed = array.astype(dtype)
    changed[5, 4, 5] = value
    return changed


NAN = "z=5, y=4, x=5"
RANGE = "Probabilities must lie in 0 to 1"
COMPLEX = "integers, floats or booleans, not complex64"

# the image; the same as a probability volume; what run and preview say, what cells says of the probabilities, and what
# it says of the image behind cells: an empty text if there is a result
CASES = {
    "nan": (with_one(NOISE, np.nan, "f4"), with_one(BLOBS, np.nan, "f4"), NAN, RANGE, "NaN or infinite"),
    "inf": (with_one(NOISE, np.inf, "f4"), with_one(BLOBS, np.inf, "f4"), NAN, RANGE, "NaN or infinite"),
    "huge": (with_one(NOISE, 1e39, "f8"), with_one(BLOBS, 1e39, "f8"), NAN, RANGE, "NaN or infinite"),
    "all zero": (np.zeros(SHAPE, "u1"), np.zeros(SHAPE, "f4"), "", "", ""),
    "all equal": (np.full(SHAPE, 7, "u2"), np.ones(SHAPE, "f4"), "", "", ""),
    "one plane": (NOISE[:1], BLOBS[5:6], "the forest expects 16", "", "extents"),
    "one voxel": (NOISE[:1, :1, :1], BLOBS[5:6, 5:6, 5:6], "need at least 3 voxels", "", "extents"),
    "empty": (NOISE[:0], BLOBS[:0], "no voxels", "no voxels", "no voxels"),
    "bool": (NOISE > 100, BLOBS > 0.5, "", "", ""),
    "big-endian": (NOISE.astype(">u2"), BLOBS.astype(">f4"), "", "", ""),
    "signed": (NOISE.astype("i2") - 50, BLOBS.astype("i2"), "", "int16 without a data range", ""),
    "64 bits": (NOISE.astype("u8"), BLOBS.astype("i8"), "", "int64 without a data range", ""),
    "complex": (NOISE.astype("c8"), BLOBS.astype("c8"), COMPLEX, COMPLEX, COMPLEX),
}


def ended(
    arguments: list[str], expected: str, out: Path, capsys: pytest.CaptureFixture[str], after: str = "ecc-rf: error: "
) -> str:
    """Run a command, and see that it ended as it must; returns what was said."""
    capsys.readouterr()
    status = main([*arguments, "--workers", "1"])
    said = capsys.readouterr().err
    if not expected:
        assert status == 0, said
        return said
    assert status == 2 and after in said and expected in said and "  where: " in said, said
    assert not out.exists()
    return said


@pytest.mark.parametrize("case", CASES)
def test_an_image_of_a_bad_day(tmp_path: Path, fixtures: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    image, probability, seen, found, measured = CASES[case]
    for name, array in (("image", image), ("probability", probability), ("blobs", BLOBS)):
        np.save(tmp_path / f"{name}.npy", array)
    project, place, blobs = str(fixtures / "cells.ilp"), str(tmp_path / "image.npy"), str(tmp_path / "blobs.npy")
    out = tmp_path / "results"
    ended(["run", project, place, "-o", str(out), "--no-report", "-q"], seen, out, capsys)
    if not seen:
        read_cells(out / "cells.csv")
    out = tmp_path / "preview.png"
    ended(["preview", project, place, "-o", str(out), "--planes", "xy"], seen, out, capsys)
    out = tmp_path / "cells.csv"
    ended(["cells", str(tmp_path / "probability.npy"), "-o", str(out), "-q"], found, out, capsys)
    out = tmp_path / "measured.csv"
    ended(["cells", blobs, "--raw", place, "-o", str(out), "-q"], measured, out, capsys)
    if not measured:
        assert not read_cells(out)["deltaI"].isna().any()


def test_not_a_number_is_taken_for_zero_everywhere(
    tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, figures = [], []
    for name, value in (("nan", np.nan), ("zero", 0)):
        place = tmp_path / name / "image.npy"
        place.parent.mkdir()
        np.save(place, with_one(NOISE, value, "f4"))
        common = [str(fixtures / "cells.ilp"), str(place), "--workers", "1", "--nan", "zero"]
        assert main(["run", *common, "-o", str(place.parent / "results"), "--no-report", "--format", "h5", "-q"]) == 0
        with h5py.File(place.parent / "results" / "probability.h5") as file:
            results.append(file["probability"][()])
        assert main(["preview", *common, "-o", str(place.parent / "p.png"), "--planes", "xy", "--at", "5,4,5"]) == 0
        figures.append((place.parent / "p.png").stat().st_size)
    assert np.array_equal(*results)
    assert min(figures) > 10_000
    capsys.readouterr()


def test_rounded_integers_are_noted_by_a_preview(
    tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "image.npy", NOISE.astype("i8") + 2**24)
    out = tmp_path / "preview.png"
    said = ended(
        ["preview", str(fixtures / "cells.ilp"), str(tmp_path / "image.npy"), "-o", str(out), "--planes", "xy"],
        "",
        out,
        capsys,
    )
    assert said.count("integers beyond 16,777,216") == 1 and out.exists()


def test_chunks_that_were_never_written(tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are 0, for each command alike."""
    for name, array in (("image", NOISE), ("probability", BLOBS)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.create_dataset("data", SHAPE, array.dtype, chunks=(8, 8, 8))[:8, :8, :8] = array[:8, :8, :8]
    project, image = str(fixtures / "cells.ilp"), str(tmp_path / "image.h5")
    assert main(["run", project, image, "-o", str(tmp_path / "results"), "--no-report", "-q"]) == 0
    assert main(["preview", project, image, "-o", str(tmp_path / "p.png"), "--planes", "xy"]) == 0
    arguments = ["cells", str(tmp_path / "probability.h5"), "--raw", image, "-o", str(tmp_path / "cells.csv"), "-q"]
    assert main(arguments) == 0
    assert len(read_cells(tmp_path / "cells.csv")) == 1  # the other blob was never written
    capsys.readouterr()
