"""Images of bad days, and places that do not let one work: through Python and through the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from ecc_rf import PixelClassifier
from ecc_rf.cli import main
from ecc_rf.errors import EccError, FormatError, ImageTooSmallError, ImageValueError, SettingError

SHAPE = (24, 32, 32)
REGION = "z=0:4,y=0:16,x=0:16"


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.uint8)


@pytest.fixture(scope="module")
def classifier() -> PixelClassifier:
    return PixelClassifier.from_project(Path(__file__).parents[1] / "data/fixtures/cells.ilp")


@pytest.fixture
def project(fixtures: Path) -> str:
    return str(fixtures / "cells.ilp")


def classified(project: str, image: Path, out: Path, *more: str) -> np.ndarray:
    """What the command line gives for a file."""
    assert main(["classify", project, str(image), "-o", str(out), "-q", *more]) == 0
    result: np.ndarray = np.load(out)
    return result


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", ">u2", ">i2", "<i4", ">i4", "i8", "u8", "f2", ">f4", "f8", ">f8"])
def test_every_type_gives_what_its_float32_gives(
    tmp_path: Path, project: str, classifier: PixelClassifier, noise: np.ndarray, dtype: str
) -> None:
    image = (noise > 100) if dtype == "?" else (noise // 2).astype(dtype)  # half: fits a signed byte
    expected = classifier.predict(image.astype(np.float32), "zyx")
    assert np.array_equal(classifier.predict(image, "zyx"), expected)
    np.save(tmp_path / "image.npy", image)
    assert np.array_equal(classified(project, tmp_path / "image.npy", tmp_path / "out.npy"), expected)


@pytest.mark.parametrize("value", [0, 7])
def test_images_of_one_value(classifier: PixelClassifier, value: int) -> None:
    result = classifier.predict(np.full(SHAPE, value, np.uint8), "zyx")
    assert np.isfinite(result).all() and (result == result[0, 0, 0]).all()


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 1, 1), (24, 1, 32), (32, 32)])
def test_one_plane_one_line_one_voxel(tmp_path: Path, project: str, shape: tuple[int, ...]) -> None:
    """A project for volumes: planes and voxels are refused, or give finite values."""
    np.save(tmp_path / "image.npy", np.ones(shape, np.uint8))
    axes = "zyx"[-len(shape) :]
    status = main(
        ["classify", project, str(tmp_path / "image.npy"), "-o", str(tmp_path / "out.npy"), "--axes", axes, "-q"]
    )
    assert status in (0, 2) and (tmp_path / "out.npy").exists() == (status == 0)


def test_a_voxel_is_too_small(classifier: PixelClassifier) -> None:
    with pytest.raises(ImageTooSmallError, match="voxels along"):
        classifier.predict(np.ones((24, 1, 1), np.uint8), "zyx")


def test_no_voxels(tmp_path: Path, project: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "image.npy", np.empty((0, 32, 32), np.uint8))
    assert main(["classify", project, str(tmp_path / "image.npy"), "-o", str(tmp_path / "out.npy")]) == 2
    assert "no voxels" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", ["c8", "c16", "O", "M8[s]", "S3", [("a", "u1")]])
def test_what_is_no_number_is_refused(tmp_path: Path, project: str, dtype: str) -> None:
    np.save(tmp_path / "image.npy", np.zeros(SHAPE, dtype))
    with pytest.raises(FormatError):
        PixelClassifier.from_project(project).predict_volume(tmp_path / "image.npy", tmp_path / "out.npy")
    assert not (tmp_path / "out.npy").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_voxels_that_are_not_finite(
    tmp_path: Path,
    project: str,
    classifier: PixelClassifier,
    noise: np.ndarray,
    value: float,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image, zeroed = noise.astype(np.float64), noise.astype(np.float64)
    image[3, 4, 5] = image[20, 30, 31] = value
    zeroed[3, 4, 5] = zeroed[20, 30, 31] = 0
    np.save(tmp_path / "image.npy", image)
    with pytest.raises(ImageValueError, match=r"2 voxels .* z=3, y=4, x=5") as caught:
        classifier.predict_volume(tmp_path / "image.npy", tmp_path / "out.npy")
    assert "image.npy" in caught.value.where and "--nan zero" in caught.value.do
    assert main(["classify", project, str(tmp_path / "image.npy"), "-o", str(tmp_path / "out.npy"), "-q"]) == 2
    assert "z=3, y=4, x=5" in capsys.readouterr().err and not (tmp_path / "out.npy").exists()
    ours = classified(project, tmp_path / "image.npy", tmp_path / "out.npy", "--nan", "zero")
    assert np.array_equal(ours, classifier.predict(zeroed, "zyx"))


def test_another_choice_for_nan(tmp_path: Path, project: str, noise: np.ndarray) -> None:
    np.save(tmp_path / "image.npy", noise)
    with pytest.raises(SettingError, match="'mean' says nothing about NaN") as caught:
        PixelClassifier.from_project(project).predict_volume(tmp_path / "image.npy", tmp_path / "out.npy", nan="mean")
    assert "refuse or zero" in caught.value.do


def test_integers_that_float32_rounds_are_noted_once(
    tmp_path: Path, project: str, noise: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "image.npy", noise.astype(np.int64) + 2**24)
    classified(project, tmp_path / "image.npy", tmp_path / "out.npy", "--block", "16,16,16")
    assert capsys.readouterr().err.count("integers beyond 16,777,216, which are rounded") == 1


def test_chunks_that_were_never_written_are_0(
    tmp_path: Path, project: str, classifier: PixelClassifier, noise: np.ndarray
) -> None:
    with h5py.File(tmp_path / "image.h5", "w") as file:
        file.create_dataset("data", SHAPE, "u1", chunks=(8, 8, 8))[:8, :8, :8] = noise[:8, :8, :8]
    whole = np.zeros_like(noise)
    whole[:8, :8, :8] = noise[:8, :8, :8]
    ours = classified(project, tmp_path / "image.h5", tmp_path / "out.npy")
    assert np.array_equal(ours, classifier.predict(whole, "zyx"))


# places

NAMES = ["a b", "it's", 'a"b', "$(touch x)", "; touch x #", "-q", "ü∆", "[z]*", "a%sb", "x.ilp"]


@pytest.mark.parametrize("name", NAMES)
def test_names_with_spaces_and_quotes(
    tmp_path: Path, project: str, noise: np.ndarray, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    np.save(folder / f"{name}.npy", noise)
    out = folder / f"out {name}.npy"
    classified(project, folder / f"{name}.npy", out, "--roi", REGION)
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted([name, f"{name}.npy", out.name])


def commands(project: Path, image: Path, out: Path) -> dict[str, list[str]]:
    """Every command that writes, by its name; what it writes is in a folder of its own, or a file."""
    snap = out / "labels.nii.gz"
    return {
        "convert": ["convert", str(image), str(out / "copy.ome.zarr"), "-q"],
        "train": ["train", str(project), "-o", str(out / "new.ilp"), "--trees", "3", "-q"],
        "labels export": ["labels", "export", str(project), "0", "-o", str(snap)],
        "labels import": ["labels", "import", str(project), "0", str(snap), "-o", str(out / "back.ilp")],
        "relink": ["relink", str(project), f"0={image}", "-o", str(out / "linked.ilp")],
        "normalize": ["normalize", str(image), "-o", str(out / "normalized"), "-q"],
    }


def run_all(project: Path, image: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[int, str]]:
    results = {}
    for name, arguments in commands(project, image, out).items():
        status = main(arguments)
        results[name] = status, capsys.readouterr().err
    return results


@pytest.mark.filterwarnings("ignore")  # of annotations that are few
def test_every_command_in_odd_places(
    tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'it\'s "a" $(touch x); ü∆ [z]* %s' / os.fsdecode(b"caf\xe9")
    folder.mkdir(parents=True)
    for name in ("cells.ilp", "brain.h5"):
        (folder / name).write_bytes((fixtures / name).read_bytes())
        (folder / name).chmod(0o444)
    before = [(folder / name).read_bytes() for name in ("cells.ilp", "brain.h5")]
    for name, (status, printed) in run_all(folder / "cells.ilp", folder / "brain.h5", folder, capsys).items():
        assert status == 0, f"{name}: {printed}"
    assert [(folder / name).read_bytes() for name in ("cells.ilp", "brain.h5")] == before
    assert [path.name for path in tmp_path.iterdir()] == [folder.parent.name]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("place", ["a file", "a long name"])
def test_every_command_where_nothing_can_be_written(
    tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / ("file" if place == "a file" else "x" * 300)
    for name, (status, printed) in run_all(fixtures / "cells.ilp", fixtures / "brain.h5", out, capsys).items():
        assert status == 2 and "ecc-rf: error: " in printed and "where: " in printed, f"{name}: {printed}"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_results_of_several_images_have_folders_of_their_own() -> None:
    from ecc_rf.pipeline import result_folders

    images = [
        "a/brain.h5",
        "b/brain.h5/data",
        "c/Brain.tif",
        "../../..h5",
        "d/x.zarr/../../../etc",
        ".zarr",
        "e/brain_2.h5",
        "f/brain.1.h5",
        "f/brain.2.h5",
        "g/...npy",
    ]
    folders = result_folders(images, Path("out"))
    assert all(folder.parent == Path("out") and folder.name not in (".", "..") for folder in folders)
    assert len({folder.name.casefold() for folder in folders}) == len(images)
    assert [folder.name for folder in folders[-3:]] == ["brain.1", "brain.2", "image_3"]


def test_names_that_are_no_text(tmp_path: Path, fixtures: Path, noise: np.ndarray) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "p.ilp").write_bytes((fixtures / "cells.ilp").read_bytes())
    np.save(folder / "image.npy", noise)
    for out in ("out.npy", "out.h5", "out.ome.zarr"):
        command = ["classify", str(folder / "p.ilp"), str(folder / "image.npy"), "-o", str(folder / out)]
        done = subprocess.run([sys.executable, "-m", "ecc_rf", *command, "--roi", REGION], capture_output=True)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
    for more in ([], ["--json"]):
        command = [sys.executable, "-m", "ecc_rf", "info", str(folder / "p.ilp"), *more]
        assert subprocess.run(command, capture_output=True).returncode == 0


def test_a_name_that_is_too_long(tmp_path: Path, project: str, noise: np.ndarray) -> None:
    np.save(tmp_path / "image.npy", noise)
    for out in (tmp_path / ("x" * 300 + ".npy"), tmp_path.joinpath(*["y" * 200] * 30, "out.npy")):
        with pytest.raises(EccError):
            PixelClassifier.from_project(project).predict_volume(tmp_path / "image.npy", out)
    with pytest.raises(EccError):
        PixelClassifier.from_project(tmp_path / ("x" * 300 + ".ilp"))


def test_without_a_home(tmp_path: Path, project: str, noise: np.ndarray) -> None:
    np.save(tmp_path / "image.npy", noise)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HOME", "XDG"))}
    out = tmp_path / "out.npy"
    command = [sys.executable, "-m", "ecc_rf", "classify", project, str(tmp_path / "image.npy"), "-o", str(out)]
    done = subprocess.run([*command, "--roi", REGION], env={**environment, "HOME": "/nowhere"}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    lost = subprocess.run([*command[:4], "~nobody-of-this-name/p.ilp", *command[5:]], capture_output=True, text=True)
    assert lost.returncode == 2 and "no such file" in lost.stderr


def test_a_pipe_is_not_waited_for(tmp_path: Path, project: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("pipe.ilp", "pipe.npy"):
        os.mkfifo(tmp_path / name)
    assert main(["info", str(tmp_path / "pipe.ilp")]) == 2
    assert main(["classify", project, str(tmp_path / "pipe.npy"), "-o", str(tmp_path / "out.npy")]) == 2
    assert capsys.readouterr().err.count("pipe") >= 2


def test_inputs_are_not_written_to(tmp_path: Path, fixtures: Path, noise: np.ndarray) -> None:
    project, image = tmp_path / "p.ilp", tmp_path / "image.npy"
    project.write_bytes((fixtures / "cells.ilp").read_bytes())
    np.save(image, noise)
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in (project, image)]
    for path in (project, image):
        path.chmod(0o444)
    classified(str(project), image, tmp_path / "out.npy", "--roi", REGION)
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in (project, image)] == before


def test_an_output_that_is_a_link(tmp_path: Path, project: str, noise: np.ndarray) -> None:
    """What the link leads to is never written over."""
    np.save(tmp_path / "image.npy", noise)
    (tmp_path / "precious.npy").write_text("precious")
    (tmp_path / "out.npy").symlink_to(tmp_path / "precious.npy")
    assert main(["classify", project, str(tmp_path / "image.npy"), "-o", str(tmp_path / "out.npy")]) == 2
    classified(project, tmp_path / "image.npy", tmp_path / "out.npy", "--roi", REGION, "--overwrite")
    assert (tmp_path / "precious.npy").read_text() == "precious"


def test_texts_of_a_project_do_not_command_the_terminal(
    tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.ilp"
    path.write_bytes((fixtures / "cells.ilp").read_bytes())
    with h5py.File(path, "r+") as file:
        for name in ("nickname", "filePath"):
            node = f"Input Data/infos/lane0000/Raw Data/{name}"
            del file[node]
            file[node] = b"../../../\x1b]0;owned\x07[bold]\x1b[2J\xe2\x80\xae"
    assert main(["info", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "owned" in printed and "[bold]" in printed
    assert not set("\x1b\x07\u202e") & set(printed)


def test_folders_that_a_project_names_for_images(
    tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not walked, and need not be readable."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:02d}.h5").touch()
    path = tmp_path / "p.ilp"
    path.write_bytes((fixtures / "cells.ilp").read_bytes())
    with h5py.File(path, "r+") as file:
        del file["Input Data/infos/lane0000/Raw Data/filePath"]
        file["Input Data/infos/lane0000/Raw Data/filePath"] = str(folder)
    monkeypatch.setattr("ecc_rf.volumes.paths._MOST_READ", 20)
    assert main(["info", str(path)]) == 0

    def forbidden(place: object) -> None:
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr("os.scandir", forbidden)
    monkeypatch.setattr("os.listdir", forbidden)
    assert main(["info", str(path)]) == 0
    assert capsys.readouterr().out.count(str(folder)) >= 2


def test_a_scale_that_fits_no_image(tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever trains is told which image."""
    for name in ("cells.ilp", "brain.h5"):
        (tmp_path / name).write_bytes((fixtures / name).read_bytes())
    with h5py.File(tmp_path / "cells.ilp", "r+") as file:
        file["FeatureSelections/Scales"][...] = 42
    assert main(["train", str(tmp_path / "cells.ilp"), "-o", str(tmp_path / "new.ilp"), "--trees", "1", "-q"]) == 2
    said = capsys.readouterr().err
    assert "scale 42" in said and "cells.ilp, lane 0" in said.split("where: ")[1]
