"""What real ilastik computed from real projects, against what we compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecc_rf import IlastikProject, PixelClassifier, open_volume
from ecc_rf.volumes import transpose_to
from tests.cases import Case, golden_cases
from tests.conftest import SHARED

CASES = list(golden_cases(SHARED / "golden"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_probabilities_equal_those_of_ilastik(case: Case) -> None:
    classifier = PixelClassifier.from_project(case.project)
    with open_volume(case.image) as image:
        axes = image.axes
        ours = classifier.predict(image.read(), axes)
    ours = transpose_to(ours, axes.replace("c", "") + "c", case.probabilities_axes)
    theirs = case.expected()
    assert ours.shape == theirs.shape
    # The features repeat ilastik's own rounding, so that no vote of any tree differs; the rest is the order in which
    # ilastik merges its forests, as their threads finish (about 1e-7).
    assert np.abs(ours - theirs).max() <= 1e-6


def test_there_are_cases(golden: Path) -> None:
    assert len(CASES) >= 9


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("u8", {"dtype": "uint8"}),
        ("u16", {"dtype": "uint16"}),
        ("seg", {"export": "segmentation"}),
        ("uncert", {"export": "uncertainty"}),
    ],
)
def test_exports_equal_those_of_ilastik(golden: Path, tmp_path: Path, file: str, settings: dict[str, str]) -> None:
    folder = golden / "volume_seed_features"
    image = folder / "vol3d_hard_u8.h5"
    classifier = PixelClassifier.from_project(folder / "project.ilp")
    classifier.predict_volume(image, tmp_path / "out.h5/exported_data", **settings)  # type: ignore[arg-type]
    with open_volume(tmp_path / "out.h5") as ours, open_volume(golden / f"exports/{file}.h5") as theirs:
        assert (ours.shape, ours.axes, ours.dtype) == (theirs.shape, theirs.axes, theirs.dtype)
        if file != "seg":  # a segmentation has no range; ilastik writes that of the probabilities
            assert ours.drange == theirs.drange
        mine, stored = ours.read(), theirs.read()
    # Float differences of about 1e-7 in uncertainties: see above.
    np.testing.assert_allclose(mine.astype(float), stored.astype(float), rtol=0, atol=1e-6 if file == "uncert" else 0)


@pytest.fixture(scope="module")
def cfos_classifier(cfos: Path) -> PixelClassifier:
    return PixelClassifier.from_project(IlastikProject.open(cfos / "cfos.ilp"))


@pytest.mark.parametrize("name", ["1008_4", "1147_3", "1147_6", "753_6"])
def test_votes_on_unseen_patches(cfos: Path, cfos_classifier: PixelClassifier, name: str) -> None:
    with open_volume(cfos / f"patches/{name}.h5") as image:
        ours = cfos_classifier.predict(image.read(), "zyx")
    with np.load(cfos / f"golden/{name}.npz") as npz:
        votes = npz[npz.files[0]]
    assert np.array_equal(np.rint(ours * 100), votes)


def test_export_as_the_original_ecc_asks_for_it(cfos: Path, cfos_classifier: PixelClassifier, tmp_path: Path) -> None:
    out = tmp_path / "prob_image.h5/probability"
    cfos_classifier.predict_volume(cfos / "patches/1147_3.h5", out, labels=[1], dtype="uint8")
    with open_volume(out) as ours, open_volume(cfos / "golden/ecc_export_1147_3.h5") as theirs:
        assert (ours.shape, ours.axes, ours.dtype) == (theirs.shape, theirs.axes, theirs.dtype)
        assert ours.drange == theirs.drange
        assert np.array_equal(ours.read(), theirs.read())
