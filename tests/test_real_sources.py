"""Real images, in the formats in which they come, are converted, cut off and gone on with, and planned for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from ecc_rf.blocks import Block, checkpoint
from ecc_rf.cli import main
from ecc_rf.conversion.running import OpenConversion
from ecc_rf.volumes import open_volume

SOURCES = ("signal.tif", "planes", "patch", "volume_256")


@pytest.fixture(scope="module")
def sources(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    signal = shared / "data" / "mouse_brain_crop" / "signal.tif"
    planes = tmp_path_factory.mktemp("planes")
    for number, plane in enumerate(tifffile.imread(signal)):
        tifffile.imwrite(planes / f"z{number:03}.tif", plane, compression="zlib", rowsperstrip=16)
    return {
        "signal.tif": signal,
        "planes": planes,
        "patch": sorted((shared / "data" / "cfos" / "patches").glob("*.h5"))[0],
        "volume_256": shared / "data" / "cfos" / "volume_256" / "image.h5",
    }


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Interrupt a conversion at a piece."""
    monkeypatch.setattr(checkpoint, "COMMIT_SECONDS", 0.0)
    convert = OpenConversion.convert

    def at(index: int) -> None:
        def stop(self: OpenConversion, block: Block) -> np.ndarray:
            if block.index == index:
                raise KeyboardInterrupt
            return convert(self, block)

        monkeypatch.setattr(OpenConversion, "convert", stop)

    yield at


@pytest.mark.parametrize("name", SOURCES)
def test_converted_with_an_interruption(
    sources: dict[str, Path], name: str, tmp_path: Path, cut: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["convert", str(sources[name]), f"{tmp_path}/c.ome.zarr", "--pyramid", "--workers", "1", "-q"]
    argv += ["--voxel-size", "5,2,2"]
    with monkeypatch.context():
        cut(2)
        assert main(argv) == 130
    monkeypatch.undo()
    assert main(argv) == 0
    with open_volume(sources[name]) as source, open_volume(tmp_path / "c.ome.zarr") as found:
        assert found.voxel_size == (5.0, 2.0, 2.0)
        np.testing.assert_array_equal(found.read().squeeze(), source.read().squeeze())
    with open_volume(tmp_path / "c.ome.zarr", level=1) as coarse:
        assert coarse.shape[-1] == -(-found.shape[-1] // 2)


@pytest.mark.parametrize("name", SOURCES)
def test_planned(
    sources: dict[str, Path], cfos: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["classify", str(cfos / "cfos.ilp"), str(sources[name]), "-o", f"{tmp_path}/p.ome.zarr", "--labels", "1"]
    assert main([*argv, "--dtype", "uint8", "--roi", "z=0:24,y=0:96,x=0:96", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"rate: [\d.]+ Mvoxel/s in tissue", shown) and re.search(r"time: about \d", shown)
    assert list(tmp_path.iterdir()) == []
