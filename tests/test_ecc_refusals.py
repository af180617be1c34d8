"""What the drop-in classes for the original ecc's scripts refuse: early, by name, and without harm."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ecc_rf
from ecc_rf.ecc import CellFinder, PixelClassifier
from ecc_rf.errors import (
    AxesError,
    EccError,
    FormatError,
    MissingFileError,
    NoForestError,
    OutputError,
    OutputExistsError,
    ProjectError,
    SettingError,
    ShapeError,
)
from tests.ecc_scripts import VOXEL, classifier, finder, names, own_probability


@pytest.fixture
def brain(fixtures: Path) -> Path:
    return fixtures / "brain.h5"


@pytest.fixture
def project(fixtures: Path) -> Path:
    return fixtures / "cells.ilp"


@pytest.fixture(scope="module")
def probability(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_probability(fixtures, tmp_path_factory.mktemp("own"))


@pytest.mark.parametrize("forgotten", [f for n in (1, 2, 3) for f in itertools.combinations(range(3), n)])
def test_forgotten_setters_of_the_classifier_are_named(
    brain: Path, project: Path, tmp_path: Path, forgotten: tuple[int, ...]
) -> None:
    setters = ["set_project_file", "set_input_image", "set_output_dir"]
    values = [project, brain, tmp_path]
    pc = PixelClassifier()
    for i in set(range(3)) - set(forgotten):
        getattr(pc, setters[i])(values[i])
    with pytest.raises(SettingError) as error:
        pc.run()
    for i, setter in enumerate(setters):
        assert (setter in str(error.value)) == (i in forgotten)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "forgotten", ["set_image_voxel_size", "set_raw_image_path", "set_prob_image_path", "set_outdir"]
)
def test_forgotten_setters_of_the_cell_finder_are_named(
    brain: Path, probability: Path, tmp_path: Path, forgotten: str
) -> None:
    calls = {
        "set_image_voxel_size": VOXEL,
        "set_raw_image_path": brain,
        "set_prob_image_path": probability,
        "set_outdir": tmp_path,
    }
    cf = CellFinder()
    for setter, value in calls.items():
        if setter != forgotten:
            getattr(cf, setter)(value)
    with pytest.raises(SettingError) as error:
        cf.run_main()
    assert [setter for setter in calls if setter in str(error.value)] == [forgotten]
    assert isinstance(error.value, EccError)
    getattr(cf, forgotten)(calls[forgotten])
    assert len(cf.run_main())


@pytest.mark.parametrize(
    ("owner", "setter", "value"),
    [
        (PixelClassifier, "set_num_threads", 0),
        (PixelClassifier, "set_num_threads", 0.9),
        (PixelClassifier, "set_num_threads", "many"),
        (PixelClassifier, "set_num_threads", None),
        (PixelClassifier, "set_num_threads", True),
        (PixelClassifier, "set_max_memory_size", 8),  # gigabytes
        (PixelClassifier, "set_max_memory_size", float("nan")),
        (PixelClassifier, "set_max_memory_size", float("inf")),
        (PixelClassifier, "set_max_memory_size", "8GB"),
        (PixelClassifier, "set_basename", ""),
        (PixelClassifier, "set_basename", "a/b"),
        (PixelClassifier, "set_basename", "{nickname}_prob"),
        (PixelClassifier, "set_basename", 7),
        (PixelClassifier, "set_verbose", "False"),
        (PixelClassifier, "set_verbose", 2),
        (PixelClassifier, "set_project_file", None),
        (PixelClassifier, "set_input_image", ""),
        (PixelClassifier, "set_output_dir", None),
        (CellFinder, "set_num_workers", 0),
        (CellFinder, "set_num_workers", 1.5),
        (CellFinder, "set_num_workers", 10**400),
        (CellFinder, "set_verbose", None),
        (CellFinder, "set_image_voxel_size", {"X": 1, "Y": 1}),
        (CellFinder, "set_image_voxel_size", {"X": 1, "Y": 1, "Z": 0}),
        (CellFinder, "set_image_voxel_size", {"X": 1, "Y": float("nan"), "Z": 1}),
        (CellFinder, "set_image_voxel_size", {"X": float("inf"), "Y": 1, "Z": 1}),
        (CellFinder, "set_image_voxel_size", {"X": "1", "Y": 1, "Z": 1}),
        (CellFinder, "set_image_voxel_size", (6, 1, 1)),
        (CellFinder, "set_block_size", {"blocksize": 49, "overlap": 20}),
        (CellFinder, "set_block_size", {"blocksize": 120, "overlap": -1}),
        (CellFinder, "set_block_size", {"blocksize": 120.5, "overlap": 20}),
        (CellFinder, "set_block_size", {"overlap": 20}),
        (CellFinder, "set_block_size", 120),
        (CellFinder, "set_buffersize", -1),
        (CellFinder, "set_prob_threshold", 1.01),
        (CellFinder, "set_prob_threshold", -0.01),
        (CellFinder, "set_prob_threshold", "0.7"),
        (CellFinder, "set_prob_threshold", float("nan")),
        (CellFinder, "set_min_particle_volume", -1),
        (CellFinder, "set_max_particle_volume", -1),
        (CellFinder, "set_max_particle_volume", None),
        (CellFinder, "set_intensity_computation_mode", "mean"),
        (CellFinder, "set_intensity_computation_mode", ["max"]),
        (CellFinder, "set_local_max_rad", -1),
        (CellFinder, "set_local_min_rad", 0.5),
        (CellFinder, "set_local_min_percentile", 101),
        (CellFinder, "set_nickname", "a/b"),
        (CellFinder, "set_nickname", None),
        (CellFinder, "set_outdir", ""),
        (CellFinder, "set_outdir", "a\0b"),
        (CellFinder, "set_raw_image_path", None),
    ],
)
def test_a_wrong_value_is_refused_at_its_setter(owner: Callable[[], Any], setter: str, value: object) -> None:
    one = owner()
    before = dict(vars(one))
    with pytest.raises(SettingError, match=setter):
        getattr(one, setter)(value)
    assert vars(one) == before


@pytest.mark.parametrize(
    ("owner", "setter"),
    [
        (PixelClassifier, "set_project_file"),
        (PixelClassifier, "set_input_image"),
        (CellFinder, "set_raw_image_path"),
        (CellFinder, "set_prob_image_path"),
        (CellFinder, "set_mask_image_path"),
    ],
)
def test_a_wrong_file_is_refused_at_its_setter(owner: Callable[[], Any], setter: str, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(b"no HDF5")
    (tmp_path / "empty.h5").touch()
    one = owner()
    before = dict(vars(one))
    with pytest.raises(MissingFileError):
        getattr(one, setter)(str(tmp_path / "missing.h5"))
    for path in (damaged, tmp_path / "empty.h5"):
        with pytest.raises((FormatError, ProjectError), match=path.name):
            getattr(one, setter)(str(path))
    assert vars(one) == before


def test_folders_are_made_or_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for owner, setter in ((PixelClassifier(), "set_output_dir"), (CellFinder(), "set_outdir")):
        getattr(owner, setter)(str(tmp_path / setter / "deep") + "/")
        assert names(tmp_path / setter / "deep") == []
        with pytest.raises(OutputError, match=setter):
            getattr(owner, setter)(str(tmp_path / "file" / "in"))
        with pytest.raises(OutputError, match=setter):
            getattr(owner, setter)(str(tmp_path / "file"))


def test_the_path_of_ilastik_is_ignored_with_a_notice() -> None:
    pc = PixelClassifier()
    with pytest.warns(UserWarning, match="ilastik is not needed") as caught:
        pc.set_ilastik_executable_path("/nowhere")
    assert [warning.filename for warning in caught] == [__file__]


def test_a_mere_check_finds_what_does_not_fit_and_writes_nothing(brain: Path, project: Path, tmp_path: Path) -> None:
    pc = classifier(project, brain, tmp_path / "out")
    assert pc.run(just_checking_command=True) is None
    with ecc_rf.create_volume(tmp_path / "rgb.h5", (30, 30, 30, 3), "uint8", "zyxc"):
        pass
    pc.set_input_image(tmp_path / "rgb.h5")
    with pytest.raises(ShapeError, match="channel"):
        pc.run(just_checking_command=True)
    assert names(tmp_path / "out") == []


def test_several_time_points_are_refused(project: Path, tmp_path: Path) -> None:
    with ecc_rf.create_volume(tmp_path / "film.h5", (2, 30, 30, 30), "uint8", "tzyx"):
        pass
    with pytest.raises(AxesError, match="t has 2 elements"):
        classifier(project, tmp_path / "film.h5", tmp_path / "out").run()


def test_a_project_without_a_forest_is_refused(brain: Path, project: Path, tmp_path: Path) -> None:
    shutil.copy(project, tmp_path / "untrained.ilp")
    with h5py.File(tmp_path / "untrained.ilp", "r+") as file:
        del file["PixelClassification/ClassifierForests"]
    with pytest.raises(NoForestError):
        classifier(tmp_path / "untrained.ilp", brain, tmp_path / "out").run()
    assert names(tmp_path / "out") == []


def test_the_image_is_never_replaced_by_its_result(brain: Path, project: Path, tmp_path: Path) -> None:
    shutil.copy(brain, tmp_path / "brain.h5")
    before = (tmp_path / "brain.h5").read_bytes()
    for image in (tmp_path / "brain.h5", tmp_path / "brain.h5" / "data"):
        pc = classifier(project, image, tmp_path)
        pc.set_basename("brain")
        with pytest.raises(SettingError, match="set_basename"):
            pc.run()
    assert (tmp_path / "brain.h5").read_bytes() == before


def test_a_folder_of_the_results_name_is_left_alone(
    brain: Path, project: Path, probability: Path, tmp_path: Path
) -> None:
    for name in ("prob_image.h5", "untitled_cells.csv"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kept").touch()
    with pytest.raises(OutputExistsError, match="folder"):
        classifier(project, brain, tmp_path).run()
    with pytest.raises(OutputExistsError, match="folder"):
        finder(brain, probability, tmp_path).run_main()
    assert names(tmp_path / "prob_image.h5") == names(tmp_path / "untitled_cells.csv") == ["kept"]


def test_a_name_that_is_too_long_is_found_before_the_work(
    brain: Path, project: Path, probability: Path, tmp_path: Path
) -> None:
    for length in (245, 300):
        pc = classifier(project, brain, tmp_path)
        pc.set_basename("n" * length + ".h5")
        with pytest.raises(OutputError, match="too long"):
            pc.run(just_checking_command=True)
        cf = finder(brain, probability, tmp_path)
        cf.set_nickname("n" * length)
        with pytest.raises(OutputError, match="too long"):
            cf.run_main()
    assert names(tmp_path) == []


def test_an_older_result_stays_when_a_run_fails(brain: Path, project: Path, tmp_path: Path) -> None:
    pc = classifier(project, brain, tmp_path / "out")
    pc.run()
    before = (tmp_path / "out" / "prob_image.h5").read_bytes()
    with h5py.File(brain) as file:
        array = file["data"][()].astype(np.float32)
    array[-1, -1, -1] = np.nan
    with ecc_rf.create_volume(tmp_path / "bad.h5", array.shape, array.dtype, "zyx") as volume:
        volume[()] = array
    pc.set_input_image(tmp_path / "bad.h5")
    with pytest.raises(EccError, match="NaN"):
        pc.run()
    assert names(tmp_path / "out") == ["prob_image.h5"]
    assert (tmp_path / "out" / "prob_image.h5").read_bytes() == before


def test_volumes_that_contradict_each_other_are_refused(brain: Path, probability: Path, tmp_path: Path) -> None:
    cf = finder(brain, probability, tmp_path)
    cf.set_min_particle_volume(64.9)
    cf.set_max_particle_volume(64)
    with pytest.raises(SettingError, match="set_max_particle_volume and set_min_particle_volume"):
        cf.run_main()
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder that its user may not write to")
def test_a_folder_that_may_not_be_written_is_refused_at_the_setter(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="set_outdir"):
        CellFinder().set_outdir(tmp_path / "locked")
