"""What `ecc-rf view` and the reader for napari make of results; the window itself where napari is installed."""

from __future__ import annotations

import json
import os
import shutil
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecc_rf import create_volume, open_volume
from ecc_rf.cli import main
from ecc_rf.errors import EccError
from ecc_rf.viewing import layers_of, results_of, viewer, volume_layers
from ecc_rf.viewing.lazy import chunk_extents, lazy_array
from ecc_rf.viewing.reader import get_reader, read

needs_napari = pytest.mark.skipif(find_spec("napari") is None, reason="needs napari: pip install ecc_rf[napari]")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, fixtures: Path) -> Path:
    folder = tmp_path_factory.mktemp("study")
    shutil.copy(fixtures / "brain.h5", folder)
    out = folder / "results"
    arguments = ["run", str(fixtures / "cells.ilp"), str(folder / "brain.h5"), "-o", str(out), "--objects"]
    assert main([*arguments, "--no-report", "-q"]) == 0
    return out


def test_layers_of_a_result_folder_lie_on_each_other(results: Path) -> None:
    layers = layers_of(results_of(results))
    assert [kind for _, _, kind in layers] == ["image", "image", "labels", "points"]
    assert [options["name"] for _, options, _ in layers] == ["brain.h5", "probability: cell", "objects", "cells"]
    raw, probability, objects, (points, options, _) = layers
    for data, placed, _ in (raw, probability, objects):
        assert data.shape == (40, 96, 96) and placed["scale"] == [5, 2, 2] and placed["axis_labels"] == list("zyx")
    cells = options["features"]
    world = points * options["scale"]
    assert np.allclose(world, cells[["Z", "Y", "X"]])
    # A cell's centre, seen in the objects' voxels, is in its object wherever that is convex there.
    voxels = np.rint(world / objects[1]["scale"]).astype(int)
    there = np.asarray(objects[0])[tuple(voxels.T)]
    assert (there == cells["label"]).mean() > 0.9
    assert np.array_equal(options["size"], cells["diameter_um"])
    # In the reader's layers a point's own plane is the whole number nearest to it.
    assert np.array_equal(np.rint(points[:, 0]), voxels[:, 0])
    assert probability[1]["contrast_limits"] == (0, 255) and raw[1]["contrast_limits"][1] > 100


def test_pieces_are_read_only_when_they_are_shown(tmp_path: Path, fixtures: Path) -> None:
    with open_volume(fixtures / "brain.h5") as volume:
        asked: list[object] = []

        class Watched:
            name, shape, dtype, axes = volume.name, volume.shape, volume.dtype, volume.axes
            chunks, voxel_size, drange, attributes = (8, 32, 32), volume.voxel_size, None, {}

            def __getitem__(self, index: object) -> np.ndarray:
                asked.append(index)
                return volume[index]

        lazy = lazy_array(Watched(), "zyx")
        assert not asked
        plane = np.asarray(lazy[9])
        assert np.array_equal(plane, volume[9:10][0])
        assert asked and all(part[0] == slice(8, 16) for part in asked)
        assert np.array_equal(np.asarray(lazy[3:20:4, ::5]), volume.read()[3:20:4, ::5])


@pytest.mark.parametrize("itemsize", [1, 4])
@pytest.mark.parametrize("stored", [None, (64, 64, 64), (1, 512, 512), (1, 1, 9000)])
def test_a_whole_brain_has_few_enough_pieces(stored: tuple[int, ...] | None, itemsize: int) -> None:
    shape = (1500, 9000, 7000)
    chunks = chunk_extents(shape, stored, "zyx", itemsize)
    assert np.prod([-(-n // edge) for n, edge in zip(shape, chunks)]) <= 12_000
    assert all(edge == n or edge % least == 0 for edge, n, least in zip(chunks, shape, stored or (1, 1, 1)))


def test_resolutions_channels_time_and_flat_images(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 999, (2, 70, 150, 200), np.uint16)
    with create_volume(
        tmp_path / "p.ome.zarr", array.shape, array.dtype, "czyx", pyramid="mean", voxel_size=(4, 1, 1)
    ) as volume:
        volume[:] = array
    layers = volume_layers(tmp_path / "p.ome.zarr")
    assert [options["name"] for _, options, _ in layers] == ["p.ome.zarr, channel 0", "p.ome.zarr, channel 1"]
    data, options, _ = layers[1]
    assert options["multiscale"] and options["scale"] == [4, 1, 1] and len(data) == 4
    assert [level.shape for level in data] == [(70, 150, 200), (70, 75, 100), (70, 38, 50), (35, 19, 25)]
    assert np.array_equal(np.asarray(data[0]), array[1])

    np.save(tmp_path / "t.npy", array)
    ((data, options, _),) = volume_layers(tmp_path / "t.npy", axes="tzyx", voxel_size=(4, 1, 1))
    assert data.shape == array.shape and options["scale"] == [1, 4, 1, 1] and not options["multiscale"]

    np.save(tmp_path / "flat.npy", array[0, 0])
    pd.DataFrame({"X": [3.0], "Y": [5.0], "Z": [0.0], "vol": [8.0]}).to_csv(tmp_path / "cells.csv", index=False)
    (data, options, _), (points, placed, _) = read([str(tmp_path / "flat.npy"), str(tmp_path / "cells.csv")])
    assert data.shape == (150, 200) and points.tolist() == [[5, 3]] and placed["scale"] == [1, 1]
    assert placed["size"][0] == pytest.approx((6 / np.pi * 8) ** (1 / 3))

    with pytest.raises(EccError, match="integers"):
        np.save(tmp_path / "real.npy", array[0].astype(np.float32))
        volume_layers(tmp_path / "real.npy", "objects")


def test_the_image_is_found_again_or_missed_with_a_note(results: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "results"
    shutil.copytree(results, moved)
    record = json.loads((moved / "run.json").read_text())
    record["image"]["path"] = "elsewhere/brain.h5/data"  # as seen from where the run was started
    (moved / "run.json").write_text(json.dumps(record))
    lost = results_of(moved)
    assert lost.raw is None and "--raw" in lost.notes[0]
    assert [kind for _, _, kind in layers_of(lost)] == ["image", "labels", "points"]
    shutil.copy(results.parent / "brain.h5", moved.parent)
    found = results_of(moved)
    assert found.raw is not None and not found.notes and len(layers_of(found)) == 4


def test_folders_without_results(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "many" / "brain 1")
    with pytest.raises(EccError, match=r"several images[\s\S]*brain 1"):
        results_of(tmp_path / "many")
    with pytest.raises(EccError, match="no results"):
        (tmp_path / "empty").mkdir()
        results_of(tmp_path / "empty")
    with pytest.raises(EccError, match=r"no such folder[\s\S]*Did you mean .*empty\?"):
        results_of(tmp_path / "emtpy")


def test_the_reader_takes_what_is_ours(results: Path, tmp_path: Path) -> None:
    for path in (results, results / "cells.csv", results / "probability.ome.zarr", results / "objects.ome.zarr"):
        reader = get_reader(str(path))
        assert reader is not None and len(reader(str(path))) == (4 if path == results else 1)
    (tmp_path / "other.csv").write_text("index,axis-0\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.docx").touch()
    for name in ("other.csv", "folder", "nowhere.csv", "text.docx"):
        assert get_reader(str(tmp_path / name)) is None
    assert [kind for _, _, kind in read([str(results / "objects.ome.zarr"), str(results / "cells.csv")])] == [
        "labels",
        "points",
    ]


def test_napari_is_told_where_the_manifest_is() -> None:
    (entry,) = (entry for entry in entry_points(group="napari.manifest") if entry.name == "ecc_rf")
    package, _, name = entry.value.partition(":")
    manifest = Path(str(find_spec(package).origin)).parent / name
    assert "python_name: ecc_rf.viewing.reader:get_reader" in manifest.read_text()


def test_what_is_missing_is_told_before_anything_is_read(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(viewer, "find_spec", lambda name: None)
    assert main(["view", str(results)]) == 2
    message = capsys.readouterr().err
    assert "napari is not installed" in message and 'pip install "ecc_rf[napari]"' in message
    monkeypatch.setattr(viewer, "find_spec", lambda name: name)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert main(["view", str(results)]) == 2
    assert "no display" in capsys.readouterr().err


@needs_napari
@pytest.mark.filterwarnings("default")
def test_napari_takes_the_layers(results: Path) -> None:
    from napari.components import ViewerModel

    seen = ViewerModel()
    viewer.fill(seen, layers_of(results_of(results), spheres=True))
    assert [layer.name for layer in seen.layers] == ["brain.h5", "probability: cell", "objects", "cells"]
    raw, _, objects, cells = seen.layers
    assert np.allclose(raw.extent.world, objects.extent.world)
    assert np.allclose(cells.data, cells.features[["Z", "Y", "X"]])
    if str(cells.projection_mode) == "rescale_spherical":  # napari looks for cells as far as the largest reaches
        assert min(seen.dims.margin_left[0], seen.dims.margin_right[0]) >= cells.size.max() / 2
    else:
        assert cells.out_of_slice_display


@needs_napari
@pytest.mark.filterwarnings("default")
def test_napari_finds_the_reader(results: Path) -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("ecc_rf")
    (reader,) = manifest.contributions.readers
    assert reader.command == "ecc_rf.get_reader"


@needs_napari
@pytest.mark.filterwarnings("default")
@pytest.mark.skipif(not os.environ.get("DISPLAY"), reason="needs a display, such as xvfb-run gives")
def test_a_window_opens(results: Path, tmp_path: Path) -> None:
    import imageio.v3

    assert main(["view", str(results), "--screenshot", str(tmp_path / "seen.png")]) == 0
    seen = imageio.v3.imread(tmp_path / "seen.png")
    assert seen.shape[0] > 500 and len(np.unique(seen.reshape(-1, seen.shape[-1]), axis=0)) > 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seen.png"]
