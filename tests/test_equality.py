"""The main job gives the same whatever format the image has, and whoever computes: threads, processes, dask, parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from ecc_rf import create_volume, open_volume
from ecc_rf.blocks.remote import Backend
from ecc_rf.pipeline import RunSettings, run

SIZE = (5.0, 2.0, 2.0)
SHAPE = (24, 64, 64)
SETTINGS = RunSettings(voxel_size=SIZE, block_shape=(16, 32, 32), report=False, workers=2)


@pytest.fixture(scope="module")
def images(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same voxels in each format."""
    folder = tmp_path_factory.mktemp("formats")
    with open_volume(fixtures / "brain.h5") as whole:
        voxels = whole[4:28, 16:80, 16:80]
    paths = {name: folder / name for name in ("image.h5", "image.ome.zarr", "image.tif", "planes")}
    for name in ("image.h5", "image.ome.zarr"):
        with create_volume(paths[name], SHAPE, voxels.dtype, "zyx", chunks=(9, 20, 33), voxel_size=SIZE) as volume:
            volume[()] = voxels
    tifffile.imwrite(paths["image.tif"], voxels, metadata={"axes": "ZYX"})
    paths["planes"].mkdir()
    for number, plane in enumerate(voxels):
        tifffile.imwrite(paths["planes"] / f"plane_{number:03}.tif", plane)
    return paths


Values = tuple[np.ndarray, bytes]


@pytest.fixture(scope="module")
def expected(fixtures: Path, images: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Values:
    """One block, one thread, HDF5."""
    settings = replace(SETTINGS, workers=1, block_shape=(24, 64, 64))
    found = values(fixtures, images["image.h5"], tmp_path_factory.mktemp("expected"), settings)
    assert found[1].count(b"\n") > 10
    return found


def values(fixtures: Path, image: Path, output: Path, settings: RunSettings) -> Values:
    """What a run finds: probabilities and table."""
    run(fixtures / "cells.ilp", image, output, settings=settings)
    with open_volume(output / "probability.ome.zarr") as probability:
        return probability.read(), (output / "cells.csv").read_bytes()


def check(found: Values, expected: Values) -> None:
    assert np.array_equal(found[0], expected[0])
    assert found[1] == expected[1]


@pytest.mark.parametrize("name", ["image.h5", "image.ome.zarr", "image.tif", "planes"])
def test_formats(fixtures: Path, images: dict[str, Path], expected: Values, name: str, tmp_path: Path) -> None:
    check(values(fixtures, images[name], tmp_path / "out", SETTINGS), expected)


@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_processes(fixtures: Path, images: dict[str, Path], expected: Values, kind: str, tmp_path: Path) -> None:
    if kind == "dask":
        pytest.importorskip("distributed")
    settings = replace(SETTINGS, processes=Backend(kind))
    check(values(fixtures, images["planes"], tmp_path / "out", settings), expected)


def test_parts(fixtures: Path, images: dict[str, Path], expected: Values, tmp_path: Path) -> None:
    for part in ((2, 3), (3, 3)):
        run(fixtures / "cells.ilp", images["image.tif"], tmp_path / "out", settings=replace(SETTINGS, part=part))
    check(values(fixtures, images["image.tif"], tmp_path / "out", replace(SETTINGS, part=(1, 3))), expected)
