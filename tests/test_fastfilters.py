"""Features by way of fastfilters: a stand-in of the package's interface, made of the slow reference filters."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ecc_rf import PixelClassifier
from ecc_rf.cli import main
from ecc_rf.errors import SettingError
from ecc_rf.features import FEATURE_IDS, FeatureSelection
from ecc_rf.features.fastfilters import compute_features
from tests.reference_features import _eigenvalues, _separable, _unit, feature, scipy_pass

SCALES = (0.7, 1.0, 1.6, 3.5)


def separable(image: np.ndarray, sigma: float, orders: tuple[int, ...], window: float) -> np.ndarray:
    """Orders along x, y and, in 3D, z, in float64."""
    planes = image.reshape((1,) * (3 - image.ndim) + image.shape).astype(float)
    return _separable(scipy_pass, planes, sigma, orders, window).reshape(image.shape)


def checked(image: np.ndarray) -> np.ndarray:
    """What the package takes, and nothing else."""
    assert image.dtype == np.float32 and image.flags.c_contiguous and image.ndim in (2, 3)
    return image


def smooth(array: np.ndarray, sigma: float, window_size: float) -> np.ndarray:
    return separable(checked(array), sigma, (0,) * array.ndim, window_size).astype(np.float32)


def gradient(array: np.ndarray, sigma: float, window_size: float) -> np.ndarray:
    parts = [separable(checked(array), sigma, _unit(i, array.ndim), window_size) for i in range(array.ndim)]
    return np.sqrt(sum(part**2 for part in parts)).astype(np.float32)


def laplacian(array: np.ndarray, scale: float, window_size: float) -> np.ndarray:
    parts = [separable(checked(array), scale, _unit(i, array.ndim, 2), window_size) for i in range(array.ndim)]
    return np.sum(parts, axis=0).astype(np.float32)


def eigenvalues_last(elements: dict[tuple[int, int], np.ndarray], axes: int) -> np.ndarray:
    return np.moveaxis(_eigenvalues(elements, axes), 0, -1).astype(np.float32)


def hessian(array: np.ndarray, scale: float, window_size: float) -> np.ndarray:
    n = checked(array).ndim
    orders = {(i, j): tuple(np.add(_unit(i, n), _unit(j, n))) for i in range(n) for j in range(i, n)}
    return eigenvalues_last({ij: separable(array, scale, o, window_size) for ij, o in orders.items()}, n)


def structure(array: np.ndarray, innerScale: float, outerScale: float, window_size: float) -> np.ndarray:
    """The two scales as the package takes them: derivatives at the outer, integration at the inner."""
    n = checked(array).ndim
    g = [separable(array, outerScale, _unit(i, n), window_size) for i in range(n)]
    products = {(i, j): g[i] * g[j] for i in range(n) for j in range(i, n)}
    smoothed = {ij: separable(p, innerScale, (0,) * n, window_size) for ij, p in products.items()}
    return eigenvalues_last(smoothed, n)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(
        gaussianSmoothing=smooth,
        gaussianGradientMagnitude=gradient,
        laplacianOfGaussian=laplacian,
        hessianOfGaussianEigenvalues=hessian,
        structureTensorEigenvalues=structure,
    )
    monkeypatch.setitem(sys.modules, "fastfilters", module)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("in_2d", [(False,) * 4, (True,) * 4, (True, False, False, True)])
def test_all_filters_at_all_scales(in_2d: tuple[bool, ...]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 1000, (2, 18, 30, 33)).astype(np.uint16)
    plan = FeatureSelection(FEATURE_IDS, SCALES, ((True,) * 4,) * 6, in_2d).plan(image.shape[1:], 2)
    whole = compute_features(image, plan, tuple(slice(0, n) for n in image.shape[1:]))
    at = 0
    for name in FEATURE_IDS:
        for scale, flat in zip(SCALES, in_2d):
            for channel in image:
                expected = feature(channel.astype(float), name, scale, flat)
                # the first stage is rounded to float32, by up to 2^-25 of the image, and then differentiated
                tolerance = 1e-5 * np.abs(expected).max() + 4 * 2.0**-25 * channel.max()
                np.testing.assert_allclose(whole[at : at + len(expected)], expected, rtol=0, atol=tolerance)
                at += len(expected)
    assert at == plan.n_features == len(whole)
    core = slice(2, 9), slice(0, 11), slice(20, 33)
    read = tuple(slice(max(s.start - h, 0), s.stop + h) for s, h in zip(core, plan.halo))
    inner = tuple(slice(s.start - r.start, s.stop - r.start) for s, r in zip(core, read))
    part = compute_features(image[(slice(None), *read)], plan, inner)
    np.testing.assert_allclose(part, whole[(slice(None), *core)], rtol=0, atol=1e-5 * np.abs(whole).max())


@pytest.mark.usefixtures("package")
def test_features_and_probabilities_are_those_of_our_own(fixtures: Path) -> None:
    image = np.random.default_rng(1).integers(0, 300, (20, 40, 44)).astype(np.uint16)
    ours, theirs = (PixelClassifier.from_project(fixtures / "cells.ilp", backend=b) for b in ("native", "fastfilters"))
    a, b = ours.features(image), theirs.features(image)
    np.testing.assert_allclose(b, a, rtol=0, atol=1e-4 * np.abs(a).max())  # closed-form eigenvalues in float32
    # no value of this image lies within the rounding of a threshold in more than one voxel of a thousand
    assert (np.abs(theirs.predict(image) - ours.predict(image)).max(axis=-1) > 1e-6).mean() < 1e-3


@pytest.mark.usefixtures("package")
def test_on_the_command_line(tmp_path: Path, fixtures: Path) -> None:
    inputs = [str(fixtures / "cells.ilp"), str(fixtures / "brain.h5")]
    for backend in ("native", "fastfilters"):
        out = ["-o", str(tmp_path / f"{backend}.npy"), "--labels", "1", "--dtype", "uint8", "--roi", "z=:12,y=:40"]
        assert main(["classify", *inputs, *out, "--backend", backend, "-q"]) == 0
    found, expected = (np.load(tmp_path / f"{b}.npy").astype(int) for b in ("fastfilters", "native"))
    assert found.shape == expected.shape and (found != expected).mean() < 1e-3 and found.any()


def test_it_is_asked_for_by_name_and_missed_at_once(
    tmp_path: Path, fixtures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "fastfilters", None)  # importing it fails
    PixelClassifier.from_project(fixtures / "cells.ilp").predict(np.zeros((20, 40, 40), np.uint8))
    for command in (["classify"], ["run"]):
        inputs = [str(fixtures / "cells.ilp"), str(fixtures / "brain.h5"), "-o", str(tmp_path / "out.h5")]
        assert main([*command, *inputs, "--backend", "fastfilters"]) == 2
        assert "conda install" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
    with pytest.raises(SettingError, match="native or fastfilters"):
        PixelClassifier.from_project(fixtures / "cells.ilp", backend="vigra")
