"""An image in another format: the same voxels, described the same, read back, whatever the pieces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from ome_zarr_models.v05.image import Image
from zarr import open_group

from ecc_rf import IlastikProject, PixelClassifier
from ecc_rf.cli import main
from ecc_rf.conversion import convert
from ecc_rf.conversion.pieces import piece_shape, scaled
from ecc_rf.errors import EccError, FormatError, MemoryBudgetError, OutputError, OutputExistsError, SettingError
from ecc_rf.volumes import AxisView, Volume, create_volume, open_volume
from ecc_rf.volumes.ome_zarr_writing import ZarrTarget
from ecc_rf.volumes.tiff_planes import PlanesVolume
from tests.n5_writing import write_n5
from tests.test_volumes_writing import SIZE, data, named, stored_bytes

Array = np.ndarray[Any, Any]
OUTPUTS = ["out.ome.zarr", "out.h5", "out.h5/deep/er", "out.tif", "out.nii", "out.nii.gz", "out.npy"]
ATTRIBUTES = {"ecc_rf": {"export": "probabilities", "labels": [1]}, "trees": 100}


def write_planes(folder: Path, array: Array, **options: Any) -> Path:
    folder.mkdir()
    for number, plane in enumerate(array):
        tifffile.imwrite(folder / f"z{number}.tif", plane, metadata=None, **options)
    return folder


def create(path: Path, array: Array, axes: str, **options: Any) -> Path:
    with create_volume(path, array.shape, array.dtype, axes, **options) as volume:
        volume[()] = array
    return path


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("source", [*OUTPUTS, "planes"])
def test_from_every_format_to_every_format(tmp_path: Path, source: str, output: str) -> None:
    array = data((70, 90, 100))
    if source == "planes":
        path = write_planes(tmp_path / "planes", array, compression="zlib")
    else:
        path = create(tmp_path / "in" / source, array, "zyx", voxel_size=SIZE, drange=(0, 99), attributes=ATTRIBUTES)
    record = convert(path, tmp_path / output, voxel_size=SIZE)
    assert (record.target.shape, record.target.dtype, record.check_seconds is not None) == (
        (70, 90, 100),
        "uint16",
        True,
    )
    with open_volume(tmp_path / output) as volume:
        np.testing.assert_array_equal(volume.read(), array, strict=True)
        assert volume.axes == "zyx"
        if output != "out.npy":
            assert volume.voxel_size == SIZE
        plain = (".npy", ".tif", ".nii", "i.gz", "anes")  # keep no attributes
        if output[-4:] not in plain and source[-4:] not in plain:
            assert volume.drange == (0, 99)
            ours = volume.attributes["ecc_rf"]
            assert {key: ours[key] for key in ours if key != "axes"} == ATTRIBUTES["ecc_rf"]
            assert volume.attributes["trees"] == 100


@pytest.mark.parametrize("axes", ["yx", "xyz", "zyxc", "tzyxc"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_axes_stay(tmp_path: Path, axes: str, output: str) -> None:
    array = data(tuple({"t": 2, "z": 7, "y": 70, "x": 80, "c": 3}[axis] for axis in axes))
    convert(create(tmp_path / "in.h5", array, axes), tmp_path / output)
    with open_volume(tmp_path / output, axes=axes if output == "out.npy" else None) as volume:
        np.testing.assert_array_equal(AxisView(volume, axes).read(), array)


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_same_bytes_whatever_the_pieces(tmp_path: Path, output: str) -> None:
    path = create(tmp_path / "in.h5", data((70, 150, 200)), "zyx", chunks=(10, 50, 60))
    stored = []
    for number, (workers, memory) in enumerate([(1, "2GB"), (4, "2GB"), (3, "290MB")]):
        record = convert(path, tmp_path / str(number) / output, workers=workers, memory=memory)
        stored.append(stored_bytes(tmp_path / str(number) / output.split("/")[0]))
    assert record.blocks > 3
    assert stored[0] == stored[1] == stored[2]


def test_a_region(tmp_path: Path) -> None:
    array = data((40, 80, 90))
    path = create(tmp_path / "in.h5", array, "zyx")
    convert(path, tmp_path / "out.ome.zarr", roi={"z": (3, 30), "x": (None, 70)}, workers=2)
    np.testing.assert_array_equal(open_volume(tmp_path / "out.ome.zarr").read(), array[3:30, :, :70])
    for roi, message in (({"z": (3, 50)}, "not inside 0:40"), ({"z": (5, 5)}, "empty"), ({"t": (0, 1)}, "no axis t")):
        with pytest.raises(SettingError, match=message):
            convert(path, tmp_path / "b.ome.zarr", roi=roi)
    assert named(tmp_path / "x") == {"in.h5", "out.ome.zarr"}


def test_a_level_with_a_pyramid(tmp_path: Path) -> None:
    path = create(tmp_path / "in.ome.zarr", data((70, 140, 150)), "zyx", voxel_size=SIZE, pyramid="mean")
    record = convert(path, tmp_path / "out.ome.zarr", level=1, pyramid="max")
    assert record.source.name == f"{path}/1"
    np.testing.assert_array_equal(open_volume(tmp_path / "out.ome.zarr").read(), open_volume(path, level=1).read())
    image = Image.from_zarr(open_group(tmp_path / "out.ome.zarr", mode="r"))
    assert image.ome_attributes.multiscales[0].type == "max"
    with pytest.raises(SettingError, match="no pyramid"):
        convert(path, tmp_path / "out.h5", pyramid="mean")


@pytest.mark.parametrize("output", ["out.ome.zarr", "out.h5"])
def test_compression(tmp_path: Path, output: str) -> None:
    path = create(tmp_path / "in.npy", data((70, 70, 70)), "zyx")
    sizes = []
    for number, compression in enumerate((None, "gzip", "none")):
        convert(path, tmp_path / str(number) / output, compression=compression)
        np.testing.assert_array_equal(open_volume(tmp_path / str(number) / output).read(), data((70, 70, 70)))
        sizes.append(sum(map(len, stored_bytes(tmp_path / str(number) / output).values())))
    assert max(sizes[:2]) < 2 * 70**3 < sizes[2]
    with pytest.raises(SettingError, match="compression 'lzf'"):
        convert(path, tmp_path / "b.h5", compression="lzf")


@pytest.mark.parametrize(
    ("stored", "dtype", "bad"),
    [
        *[("u2", "u1", 256), ("u2", "f4", None), ("u2", "i2", 2**15), ("i2", "u2", -1), ("u4", "f4", 2**24 + 1)],
        *[("i8", "f8", 2**53 + 1), ("u8", "i8", 2**63), ("f4", "u1", 0.5), ("f4", "u1", np.nan), ("f8", "f4", 0.1)],
        *[("f4", "i4", 2.0**31), ("f4", "f8", None), ("u1", "?", 2), ("f8", "f2", 65520.0)],
    ],
)
def test_other_voxels_only_if_none_changes(tmp_path: Path, stored: str, dtype: str, bad: float | None) -> None:
    array = np.zeros((20, 30, 40), stored)
    array[3, 4, 5] = 1
    path = create(tmp_path / "in.npy", array, "zyx")
    convert(path, tmp_path / "out.npy", dtype=dtype)
    np.testing.assert_array_equal(open_volume(tmp_path / "out.npy").read(), array.astype(dtype), strict=True)
    if bad is not None:
        array[7, 8, 9] = bad
        path = create(tmp_path / "bad.npy", array, "zyx")
        with pytest.raises(SettingError, match=r"z=7, y=8, x=9 is .* does not hold(.|\n)*--scale"):
            convert(path, tmp_path / "b.npy", dtype=dtype)
        assert not (tmp_path / "b.npy").exists()


def test_nan_stays_nan_in_another_float(tmp_path: Path) -> None:
    convert(create(tmp_path / "in.npy", np.full((4, 5), np.nan), "yx"), tmp_path / "out.npy", dtype="f4")
    assert np.isnan(open_volume(tmp_path / "out.npy").read()).all()


def test_a_scale(tmp_path: Path) -> None:
    array = data((20, 30, 40)) * 10
    path = create(tmp_path / "in.h5", array, "zyx", drange=(0, 1000))
    convert(path, tmp_path / "out.h5", dtype="uint8", scale=(100, 600))
    with open_volume(tmp_path / "out.h5") as volume:
        expected = [round(min(max((value - 100) / 500, 0), 1) * 255) for value in array[:2].ravel().tolist()]
        np.testing.assert_array_equal(volume[:2].ravel(), expected)
        assert volume.drange == (0, 255)
    floats = scaled(np.array([0, 100, 350, 900, np.nan]), np.dtype("f4"), (100, 600))
    np.testing.assert_array_equal(floats, np.array([0, 0, 0.5, 1, np.nan], "f4"))
    for options in ({"scale": (0, 1)}, {"dtype": "banana"}, {"dtype": "c8"}, {"dtype": "?", "scale": (0, 1)}):
        with pytest.raises(SettingError):
            convert(path, tmp_path / "b.h5", **options)


def test_never_over_or_into_its_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planes = write_planes(tmp_path / "planes", data((4, 20, 30)))
    zarr = create(tmp_path / "a.ome.zarr", data((4, 20, 30)), "zyx")
    (tmp_path / "link.ome.zarr").symlink_to(zarr)
    monkeypatch.chdir(tmp_path)
    h5 = create(tmp_path / "a.h5" / "x", data((4, 20, 30)), "zyx")
    for source, target in (
        *((planes, planes / "out.tif"), (zarr, zarr), (zarr / "0", zarr), (zarr, tmp_path / "link.ome.zarr")),
        *(
            (zarr, "a.ome.zarr"),
            (zarr, tmp_path / "planes" / ".." / "a.ome.zarr"),
            (planes / "*.tif", planes / "a.tif"),
        ),
        *((h5, tmp_path / "a.h5" / "y"), (tmp_path / "a.h5", tmp_path / "a.h5")),  # HDF5 is replaced as a whole
    ):
        with pytest.raises(SettingError, match="output is the input, or inside it"):
            convert(source, target, overwrite=True)
    np.testing.assert_array_equal(open_volume(zarr).read(), data((4, 20, 30)))


def test_an_existing_output_stays(tmp_path: Path) -> None:
    path = create(tmp_path / "in.npy", data((4, 20, 30)), "zyx")
    create(tmp_path / "out.h5", data((3, 3)), "yx")
    with pytest.raises(OutputExistsError):
        convert(path, tmp_path / "out.h5")
    convert(path, tmp_path / "out.h5", overwrite=True)
    assert open_volume(tmp_path / "out.h5").shape == (4, 20, 30)


@pytest.mark.parametrize("check", [True, False])
def test_what_was_written_wrong_gets_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: bool) -> None:
    path = create(tmp_path / "in.npy", data((70, 80, 90)), "zyx")
    write = ZarrTarget._write

    def wrong(volume: ZarrTarget, slices: tuple[slice, ...], array: Array) -> None:
        write(volume, slices, array)
        if slices[0].start == 0:
            write(volume, (slice(3, 4), slice(4, 5), slice(5, 6)), np.full((1, 1, 1), 12345, "u2"))

    monkeypatch.setattr(ZarrTarget, "_write", wrong)
    if check:
        with pytest.raises(OutputError, match=r"z=0:.*is not what was written"):
            convert(path, tmp_path / "out.ome.zarr", memory="290MB", workers=1)
        assert named(tmp_path / "x") == {"in.npy"}
    else:
        convert(path, tmp_path / "out.ome.zarr", check=False)


def test_a_damaged_source_gets_no_name(tmp_path: Path) -> None:
    path = create(tmp_path / "in.ome.zarr", data((70, 80, 90)), "zyx", chunks=(32,) * 3)
    chunk = path / "0" / "c" / "1" / "1" / "1"
    chunk.write_bytes(chunk.read_bytes()[:100])
    with pytest.raises(FormatError, match=r"z=32:64, y=32:64, x=32:64 (.|\n)*c/1/1/1"):
        convert(path, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_a_budget_that_is_too_small_says_what_would_do(tmp_path: Path) -> None:
    path = create(tmp_path / "in.h5", data((70, 80, 90)), "zyx")
    with pytest.raises(MemoryBudgetError, match=r"Give --memory (\d+)MB") as caught:
        convert(path, tmp_path / "out.h5", memory="269MB", workers=8)
    convert(path, tmp_path / "out.h5", memory=caught.value.do.split()[2], workers=8)


def test_each_plane_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    decode = PlanesVolume._decode

    def count(volume: PlanesVolume, number: int, region: tuple[slice, ...]) -> Array:
        decoded.append(number)
        return decode(volume, number, region)

    monkeypatch.setattr(PlanesVolume, "_decode", count)
    # what an image is known by again holds a few of its planes, which are looked at before
    monkeypatch.setattr("ecc_rf.conversion.running.volume_identity", lambda volume: {})
    array = data((130, 100, 140))
    convert(write_planes(tmp_path / "planes", array, compression="zlib"), tmp_path / "out.ome.zarr", workers=3)
    assert sorted(decoded) == list(range(130))


@pytest.mark.parametrize("seed", range(20))
def test_pieces_are_whole_chunks_and_fit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 3000, 3).tolist())
    unit = tuple(min(64, n) for n in shape)
    chunks = None if seed % 3 == 0 else tuple(int(min(n, rng.choice([1, 50, 128, 3000]))) for n in shape)
    voxels = int(10 ** rng.uniform(5.5, 9))
    piece = piece_shape("zyx", shape, unit, chunks, voxels)
    assert all(extent == n or extent % edge == 0 for extent, n, edge in zip(piece, shape, unit))
    assert np.prod(piece) <= voxels or piece == unit


def classified(classifier: PixelClassifier, path: Path, out: Path, **options: Any) -> Array:
    classifier.predict_volume(path, out, dtype="uint8", voxel_size=SIZE, **options)
    with open_volume(out) as volume:
        return AxisView(volume, "zyxc").read()


def test_the_same_cells_from_every_format(fixtures: Path, tmp_path: Path) -> None:
    """HDF5, OME-Zarr 0.4 and 0.5, TIFF, planes, N5 and NPY of one image give one classification."""
    classifier = PixelClassifier.from_project(IlastikProject.open(fixtures / "cells.ilp"))
    brain = fixtures / "brain.h5"
    with open_volume(brain) as volume:
        assert volume.axes == "zyx"
        array = volume.read()
    expected = classified(classifier, brain, tmp_path / "h5.ome.zarr")
    assert expected.any()
    group = open_group(tmp_path / "old.zarr", mode="w", zarr_format=2)
    group.create_array("s0", data=array, chunks=(20, 30, 40))
    scale = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    axes = [{"name": axis, "type": "space"} for axis in "zyx"]
    levels = [{"path": "s0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": levels}]
    write_n5(tmp_path / "in.n5" / "raw", array, (30, 20, 50), "zstd")
    write_planes(tmp_path / "planes", array, compression="zlib", rowsperstrip=7)
    sources = [tmp_path / "old.zarr", tmp_path / "in.n5", tmp_path / "planes"]
    for name in ("in.ome.zarr", "in.h5", "in.tif", "in.npy"):
        convert(brain, tmp_path / name)
        sources.append(tmp_path / name)
    tifffile.imwrite(tmp_path / "packed.tif", array, compression="zlib", metadata={"axes": "ZYX"})
    for number, source in enumerate([*sources, tmp_path / "packed.tif"]):
        found = classified(classifier, source, tmp_path / f"{number}.ome.zarr")
        np.testing.assert_array_equal(found, expected, err_msg=str(source))


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    array = data((30, 140, 150))
    planes = write_planes(tmp_path / "planes", array)
    options = ["--voxel-size", "5,2,2", "--pyramid", "--roi", "z=2:20", "--dtype", "uint8", "--workers", "1"]
    assert main(["convert", f"{planes}/", f"{tmp_path}/a.ome.zarr", *options]) == 0
    shown = capsys.readouterr().out
    assert "zyx 30×140×150, uint16, 5 × 2 × 2 µm" in shown
    assert "zyx 18×140×150, uint8, 5 × 2 × 2 µm" in shown
    assert "read back and found equal" in shown
    assert main(["convert", f"{tmp_path}/a.ome.zarr", f"{tmp_path}/b.h5", "--level", "5,4,4µm", "--no-check"]) == 0
    shown = capsys.readouterr().out
    assert "a.ome.zarr/1: zyx 18×70×75" in shown
    assert "not read back" in shown
    assert main(["convert", f"{tmp_path}/a.ome.zarr", f"{tmp_path}/a.ome.zarr", "--overwrite"]) == 2
    assert "output is the input" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["convert", f"{planes}", f"{tmp_path}/c.h5", "--scale", "5,1"])


def test_a_level_on_other_commands(fixtures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(fixtures / "brain.h5", tmp_path / "brain.ome.zarr", voxel_size=SIZE, pyramid="mean")
    command = ["classify", str(fixtures / "cells.ilp"), str(tmp_path / "brain.ome.zarr")]
    assert main([*command, "-o", str(tmp_path / "p.h5"), "--level", "0", "--roi", "z=0:8"]) == 0
    assert "note: reading " in capsys.readouterr().err
    assert main([*command, "-o", str(tmp_path / "q.h5"), "--level", "9"]) == 2
    assert "There is no level 9" in capsys.readouterr().err


def test_a_verdict_before_the_name(tmp_path: Path) -> None:
    def fail(volume: Volume) -> None:
        raise SettingError("no")

    with pytest.raises(EccError), create_volume(tmp_path / "a.h5", (4, 5), "u1", "yx", verify=fail):
        pass
    assert named(tmp_path / "x") == set()


def test_what_is_one_stream_is_cut_into_whole_planes(tmp_path: Path) -> None:
    """It is read back from its start to its end then; pieces of planes would turn it back again and again."""
    path = create(tmp_path / "in.h5", data((40, 90, 100)), "zyx", chunks=(32, 32, 32))
    record = convert(path, tmp_path / "out.nii.gz", memory="270MB", workers=2)
    assert record.block_shape[1:] == (90, 100) and record.blocks > 1
