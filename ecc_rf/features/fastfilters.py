"""The same features from the package fastfilters, where it is installed: a second opinion, never needed.

ilastik computes its features with fastfilters (https://github.com/ilastik/fastfilters, conda only). This module is all
that knows its interface; `load` is the only place that imports it, and only when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ecc_rf.errors import SettingError
from ecc_rf.features.kernels import FILTER_WINDOW, PRESMOOTHING_WINDOW
from ecc_rf.features.plan import FeaturePlan, ScaleStep, stage_sigmas
from ecc_rf.features.selection import DIFFERENCE, GAUSSIAN, GRADIENT, HESSIAN, LAPLACIAN

BYTES_PER_VOXEL = 48
"""Held for each voxel of a block: its float32 copy, the presmoothed one, and a filter's result with its own scratch."""


def load() -> Any:
    """The package.

    Raises
    ------
    SettingError
        If it is not installed.
    """
    try:
        return importlib.import_module("fastfilters")
    except ImportError as error:
        raise SettingError(
            f"The package fastfilters cannot be imported: {error}.",
            where="backend",
            do="Install it (conda install -c conda-forge fastfilters), or leave the backend out: ours gives the same.",
        ) from error


def compute_features(
    block: np.ndarray, plan: FeaturePlan, core: tuple[slice, ...], *, origin: Sequence[int] | None = None
) -> np.ndarray:
    """All features of a part of an image, as `ecc_rf.features.compute_features` gives them.

    Parameters
    ----------
    block : np.ndarray
        (channel, z, y, x), any real type; around the core it holds ``plan.halo``, clipped at the image.
    plan : FeaturePlan
        `FeatureSelection.plan` of the whole image.
    core : tuple of slice
        What is wanted, (z, y, x) in voxels of the block.
    origin : tuple of int, optional
        Not needed here: the package mirrors at the ends of the block, which only the halo sees.

    Returns
    -------
    np.ndarray
        (feature, z, y, x), float32, of the core's extents; features as in ``plan.names``.

    Raises
    ------
    SettingError
        If the package is not installed.
    """
    package = load()
    read = tuple(slice(max(s.start - h, 0), min(s.stop + h, n)) for s, h, n in zip(core, plan.halo, block.shape[1:]))
    inner = tuple(slice(s.start - r.start, s.stop - r.start) for s, r in zip(core, read))
    result = np.empty((plan.n_features, *(s.stop - s.start for s in core)), np.float32)
    for channel, voxels in enumerate(block):
        image = np.ascontiguousarray(voxels[read], np.float32)
        for step in plan.steps:
            if step.in_2d:  # plane by plane
                for out_z, z in enumerate(range(inner[0].start, inner[0].stop)):
                    _put(package, image[z], step, channel, inner[1:], result[:, out_z])
            else:
                _put(package, image, step, channel, inner, result)
    return result


def _put(
    package: Any, image: np.ndarray, step: ScaleStep, channel: int, inner: tuple[slice, ...], result: np.ndarray
) -> None:
    """Compute all filters of one scale of an image, (y, x) or (z, y, x), and put its inner part where it belongs."""
    before, sigma = stage_sigmas(step.scale)
    smoothed = _c_float32(package.gaussianSmoothing(image, before, window_size=PRESMOOTHING_WINDOW))
    for name, first in step.targets:
        found = _filtered(package, name, smoothed, sigma)[inner]
        if found.ndim == len(inner):
            result[first + channel] = found
        else:
            start = first + channel * found.shape[-1]
            result[start : start + found.shape[-1]] = np.moveaxis(found, -1, 0)


def _filtered(package: Any, name: str, image: np.ndarray, sigma: float) -> np.ndarray:
    """One filter; eigenvalues come as a last axis, largest first."""
    window = {"window_size": FILTER_WINDOW}
    if name == GAUSSIAN:
        return np.asarray(package.gaussianSmoothing(image, sigma, **window))
    if name == DIFFERENCE:
        minor = package.gaussianSmoothing(image, 0.66 * sigma, **window)
        return np.asarray(package.gaussianSmoothing(image, sigma, **window) - minor)
    if name == GRADIENT:
        return np.asarray(package.gaussianGradientMagnitude(image, sigma, **window))
    if name == LAPLACIAN:
        return np.asarray(package.laplacianOfGaussian(image, sigma, **window))
    if name == HESSIAN:
        return np.asarray(package.hessianOfGaussianEigenvalues(image, sigma, **window))
    # As ilastik asks. The package takes the two scales the other way round: it integrates over the one it calls inner.
    return np.asarray(package.structureTensorEigenvalues(image, sigma, 0.5 * sigma, **window))


def _c_float32(array: Any) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)
