"""From a selection and an image's extents to what has to be computed.

ilastik computes a feature of scale S in two stages (`ScaleStep`)::

    image ──► Gaussian of sqrt(S² - 1), window 3.5 ──► filter of sigma 1, window 2     if S > 1
    image ──► Gaussian of S,            window 3.5 ──► filter of sigma S, window 2     if S <= 1

The first stage is shared by all filters of the scale, which is why the plan is a list of scales and not of
features. Positions in the feature vector follow the stored table: rows, then scales, then input channels,
then eigenvalues.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from ecc_rf.errors import ImageTooSmallError, SettingError
from ecc_rf.features.kernels import FILTER_WINDOW, PRESMOOTHING_WINDOW, Kernel, gaussian
from ecc_rf.features.selection import (
    DIFFERENCE,
    EIGENVALUE_IDS,
    GRADIENT,
    HESSIAN,
    LAPLACIAN,
    NICE_NAMES,
    STRUCTURE,
    FeatureSelection,
)

MOST_FEATURES = 65_536  # all filters at 100 scales of 36 channels; a file can claim a billion channels in a few bytes

_AXES = "zyx"


@dataclass(frozen=True)
class ScaleStep:
    """Everything of one scale.

    Attributes
    ----------
    scale : float
        Sigma of the feature, voxels.
    in_2d : bool
        Planes are filtered one by one.
    targets : tuple of (str, int)
        Filters of this scale and where the first feature of the first input channel goes.
    presmoothing : Kernel
        First stage.
    smooth, first, second : Kernel
        Gaussian, first and second derivative of the second stage.
    minor : Kernel
        The smaller Gaussian of the difference of Gaussians, 0.66 sigma.
    inner_smooth, inner_first : Kernel
        Kernels of the gradient inside the structure tensor. ilastik asks for derivatives at sigma and
        integration at sigma / 2, but fastfilters takes the two arguments the other way round; sigma / 2 for
        the derivatives is what ilastik computes.
    """

    scale: float
    in_2d: bool
    targets: tuple[tuple[str, int], ...]
    presmoothing: Kernel
    smooth: Kernel
    first: Kernel
    second: Kernel
    minor: Kernel
    inner_smooth: Kernel
    inner_first: Kernel

    @property
    def n_eigenvalues(self) -> int:
        """Features per channel of an eigenvalue filter."""
        return 2 if self.in_2d else 3

    @property
    def radius(self) -> int:
        """Voxels that the two stages together reach from their centre."""
        return self.presmoothing.radius + max(self._reach(name) for name, _ in self.targets)

    def _reach(self, name: str) -> int:
        kernels = {
            DIFFERENCE: (self.smooth, self.minor),
            GRADIENT: (self.smooth, self.first),
            LAPLACIAN: (self.smooth, self.second),
            HESSIAN: (self.smooth, self.first, self.second),
        }.get(name, (self.smooth,))
        inner = max(self.inner_smooth.radius, self.inner_first.radius) if name == STRUCTURE else 0
        return inner + max(kernel.radius for kernel in kernels)


@dataclass(frozen=True)
class FeaturePlan:
    """A selection fitted to an image: pass it to `compute_features`.

    Attributes
    ----------
    shape : tuple of int
        Extents (z, y, x) of the whole image.
    n_channels : int
        Input channels.
    names : tuple of str
        Names of the features as ilastik writes them.
    steps : tuple of ScaleStep
        The work, one step per scale.
    """

    shape: tuple[int, int, int]
    n_channels: int
    names: tuple[str, ...]
    steps: tuple[ScaleStep, ...]

    @property
    def n_features(self) -> int:
        """Length of the feature vector."""
        return len(self.names)

    @cached_property
    def halo(self) -> tuple[int, int, int]:
        """Voxels (z, y, x) that a block needs around its core, derived from the kernels."""
        plane = max(step.radius for step in self.steps)
        depth = max((step.radius for step in self.steps if not step.in_2d), default=0)
        return depth, plane, plane

    @cached_property
    def scratch_bytes(self) -> int:
        """Memory that `compute_features` needs beside block and result, for each thread."""
        from ecc_rf.features.extract import scratch_bytes  # numba, slow to import

        return scratch_bytes(self)


def make_plan(selection: FeatureSelection, shape_zyx: tuple[int, int, int], n_channels: int) -> FeaturePlan:
    """Fit `selection` to an image of extents `shape_zyx`; see `FeatureSelection.plan`."""
    if not selection.cells:
        raise SettingError("No feature is selected.", do="Select at least one filter at one scale.")
    if n_channels < 1 or min(shape_zyx) < 1:
        raise SettingError(
            f"An image of extents {tuple(shape_zyx)} (z, y, x) with {n_channels} channels is empty.",
            do="Give positive extents and at least one channel.",
        )
    shape = (int(shape_zyx[0]), int(shape_zyx[1]), int(shape_zyx[2]))
    flat = shape[0] == 1
    named_2d = selection.compute_in_2d or (flat,) * len(selection.scales)
    in_2d = tuple(flag or flat for flag in named_2d)

    names: list[str] = []
    targets: dict[int, list[tuple[str, int]]] = {}
    for feature, column in selection.cells:
        scale = selection.scales[column]
        _check_extents(scale, in_2d[column], shape)
        targets.setdefault(column, []).append((feature, len(names)))
        per_channel = (2 if in_2d[column] else 3) if feature in EIGENVALUE_IDS else 1
        if len(names) + n_channels * per_channel > MOST_FEATURES:
            raise SettingError(
                f"{len(selection.cells)} filters of {n_channels:,} channels give more than {MOST_FEATURES:,} features.",
                do="Select fewer features, or give an image with fewer channels; check its axes.",
            )
        names += _names(feature, scale, named_2d[column], n_channels * per_channel)
    steps = tuple(_step(selection.scales[column], in_2d[column], tuple(targets[column])) for column in sorted(targets))
    return FeaturePlan(shape, int(n_channels), tuple(names), steps)


def _names(feature: str, scale: float, in_2d: bool, count: int) -> list[str]:
    """Names of one ticked cell, numbered when it has more than one feature.

    >>> _names("GaussianSmoothing", 0.3, True, 1)
    ['Gaussian Smoothing (σ=0.3) in 2D']
    """
    name = f"{NICE_NAMES[feature]} (σ={scale})" + (" in 2D" if in_2d else "")
    return [name] if count == 1 else [f"{name} [{k}]" for k in range(count)]


def _check_extents(scale: float, in_2d: bool, shape: tuple[int, int, int]) -> None:
    """ilastik's rule, which also guarantees that a mirrored border never needs more voxels than there are."""
    needed = math.ceil(PRESMOOTHING_WINDOW * scale) + 1
    for axis, extent in zip(_AXES, shape):
        if extent < needed and not (in_2d and axis == "z"):
            raise ImageTooSmallError(
                f"Features of scale {scale} need at least {needed} voxels along {axis}; the image has {extent}.",
                do="Use a larger image, leave this scale out" + (", or compute it in 2D." if axis == "z" else "."),
            )


def stage_sigmas(scale: float) -> tuple[float, float]:
    """Sigmas of the two stages: of the Gaussian that comes first, and of the filter.

    >>> stage_sigmas(0.7), stage_sigmas(1.25)
    ((0.7, 0.7), (0.75, 1.0))
    """
    return (math.sqrt(scale * scale - 1.0), 1.0) if scale > 1.0 else (scale, scale)


def _step(scale: float, in_2d: bool, targets: tuple[tuple[str, int], ...]) -> ScaleStep:
    before, sigma = stage_sigmas(scale)
    return ScaleStep(
        scale=scale,
        in_2d=in_2d,
        targets=targets,
        presmoothing=gaussian(before, 0, PRESMOOTHING_WINDOW),
        smooth=gaussian(sigma, 0, FILTER_WINDOW),
        first=gaussian(sigma, 1, FILTER_WINDOW),
        second=gaussian(sigma, 2, FILTER_WINDOW),
        minor=gaussian(0.66 * sigma, 0, FILTER_WINDOW),
        inner_smooth=gaussian(0.5 * sigma, 0, FILTER_WINDOW),
        inner_first=gaussian(0.5 * sigma, 1, FILTER_WINDOW),
    )
