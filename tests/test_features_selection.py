"""Selections and plans: order, names, halo, sizes."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import pytest

from ecc_rf.errors import ImageTooSmallError, SettingError
from ecc_rf.features import DEFAULT_SCALES, FEATURE_IDS, FeatureSelection
from ecc_rf.features.selection import NICE_NAMES

ONE = ((True,),)


def from_names(names: list[str]) -> FeatureSelection:
    """The selection that has these features, read from their names."""
    nice = {v: k for k, v in NICE_NAMES.items()}
    cells = [re.match(r"(.*) \(σ=([\d.]+)\)( in 2D)?", name) for name in names]
    parsed = [(nice[m[1]], float(m[2]), bool(m[3])) for m in cells if m]
    ids = tuple(dict.fromkeys(name for name, _, _ in parsed))
    scales = tuple(sorted({scale for _, scale, _ in parsed}))
    ticked = {(name, scale) for name, scale, _ in parsed}
    flags = {scale: flag for _, scale, flag in parsed}
    matrix = tuple(tuple((name, scale) in ticked for scale in scales) for name in ids)
    return FeatureSelection(ids, scales, matrix, tuple(flags[s] for s in scales))


def test_recommended_has_sixteen_features_in_3d() -> None:
    plan = FeatureSelection.recommended().plan((64, 64, 64))
    assert plan.n_features == 16
    assert plan.names[0] == "Gaussian Smoothing (σ=0.3)"
    assert plan.names[-1] == "Hessian of Gaussian Eigenvalues (σ=3.5) [2]"
    assert plan.halo == (14, 14, 14)  # radius 12 of the presmoothing at 3.5, and 2


def test_without_flags_a_single_plane_is_2d() -> None:
    plan = FeatureSelection.recommended().plan((1, 64, 64))
    assert plan.n_features == 13
    assert all("in 2D" in name for name in plan.names)
    assert plan.halo == (0, 14, 14)


def test_names_are_ilastiks(golden: Path) -> None:
    for name, case in json.loads((golden / "features" / "features.json").read_text()).items():
        selection = from_names(case["channels"])
        plan = selection.plan((1, 200, 260) if "2d_u8" in name and "flat" in name else (96, 128, 112))
        assert list(plan.names) == case["channels"]


def test_order_is_rows_scales_channels_eigenvalues() -> None:
    ids = ("HessianOfGaussianEigenvalues", "GaussianSmoothing")
    selection = FeatureSelection(ids, (1.6, 0.7), ((True, False), (True, True)), (True, False))
    plan = selection.plan((9, 20, 20), n_channels=2)
    assert plan.names == (
        *(f"Hessian of Gaussian Eigenvalues (σ=1.6) in 2D [{k}]" for k in range(4)),
        "Gaussian Smoothing (σ=1.6) in 2D [0]",
        "Gaussian Smoothing (σ=1.6) in 2D [1]",
        "Gaussian Smoothing (σ=0.7) [0]",
        "Gaussian Smoothing (σ=0.7) [1]",
    )
    assert [step.targets for step in plan.steps] == [((ids[0], 0), (ids[1], 4)), ((ids[1], 6),)]


@pytest.mark.parametrize(
    ("name", "scale", "halo"),
    [
        ("GaussianSmoothing", 0.3, 2),
        ("GaussianSmoothing", 0.7, 3),
        ("HessianOfGaussianEigenvalues", 1.0, 6),
        ("StructureTensorEigenvalues", 0.7, 4),
        ("StructureTensorEigenvalues", 1.6, 7),
        ("StructureTensorEigenvalues", 10.0, 38),
    ],
)
def test_halo_comes_from_the_kernels(name: str, scale: float, halo: int) -> None:
    assert FeatureSelection((name,), (scale,), ONE).plan((50, 50, 50)).halo == (halo,) * 3
    assert FeatureSelection((name,), (scale,), ONE, (True,)).plan((50, 50, 50)).halo == (0, halo, halo)


def test_smallest_image() -> None:
    selection = FeatureSelection(("GaussianSmoothing",), (1.6,), ONE)
    assert selection.plan((7, 7, 7)).n_features == 1
    with pytest.raises(ImageTooSmallError, match=r"scale 1\.6 need at least 7 voxels along y; the image has 6"):
        selection.plan((7, 6, 7))
    with pytest.raises(ImageTooSmallError, match="along z"):
        selection.plan((6, 7, 7))
    in_2d = FeatureSelection(("GaussianSmoothing",), (1.6,), ONE, (True,))
    assert in_2d.plan((6, 7, 7)).n_features == 1


def test_a_scale_that_is_not_ticked_needs_no_room() -> None:
    assert FeatureSelection(("GaussianSmoothing",), (1.0, 10.0), ((True, False),)).plan((9, 9, 9)).n_features == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((("Median",), (1.0,), ONE), "'Median' is not known"),
        ((("GaussianSmoothing",) * 2, (1.0,), ONE * 2), "listed twice"),
        ((("GaussianSmoothing",), (0.0,), ONE), "0.0 is not a positive number"),
        ((("GaussianSmoothing",), (float("nan"),), ONE), "nan is not a positive number"),
        ((("GaussianSmoothing",), (1.0, 2.0), ONE), "1 rows (filters) and 2 columns"),
        ((("GaussianSmoothing",), (1.0,), ONE, (True, False)), "2 values for 1 scales"),
    ],
)
def test_bad_selections(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(SettingError, match=re.escape(message)):
        FeatureSelection(*arguments)  # type: ignore[arg-type]


def test_nothing_selected() -> None:
    empty = FeatureSelection(FEATURE_IDS, DEFAULT_SCALES, ((False,) * 7,) * 6)
    with pytest.raises(SettingError, match="No feature"):
        empty.plan((9, 9, 9))
    with pytest.raises(SettingError, match="0 channels"):
        FeatureSelection.recommended().plan((64, 64, 64), 0)


def test_selections_from_arrays_compare_equal_and_plans_travel() -> None:
    import numpy as np

    made = FeatureSelection(["GaussianSmoothing"], np.array([0.3]), np.array([[True]]), [])  # type: ignore[arg-type]
    assert made == FeatureSelection(("GaussianSmoothing",), (0.3,), ONE) and hash(made)
    plan = FeatureSelection.recommended().plan((64, 64, 64))
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_describing_features_does_not_import_numba() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from ecc_rf.features import FeatureSelection; "
        "FeatureSelection.recommended().plan((64, 64, 64)).halo; sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
