"""Which filter at which scale: the feature selection of a project.

A selection is ilastik's table, rows are filters, columns are scales::

                                    0.3   0.7   1.0   1.6   3.5   5.0   10.0
    GaussianSmoothing                x     x
    GaussianGradientMagnitude              x
    DifferenceOfGaussians                  x     x     x     x
    HessianOfGaussianEigenvalues                 x     x     x

read row by row; every ticked cell gives one feature per input channel, eigenvalue filters one per channel
and axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecc_rf.errors import SettingError
from ecc_rf.near import advice

if TYPE_CHECKING:
    from ecc_rf.features.plan import FeaturePlan

GAUSSIAN = "GaussianSmoothing"
LAPLACIAN = "LaplacianOfGaussian"
GRADIENT = "GaussianGradientMagnitude"
DIFFERENCE = "DifferenceOfGaussians"
STRUCTURE = "StructureTensorEigenvalues"
HESSIAN = "HessianOfGaussianEigenvalues"

FEATURE_IDS = (GAUSSIAN, LAPLACIAN, GRADIENT, DIFFERENCE, STRUCTURE, HESSIAN)
"""The six filters in ilastik's order."""

DEFAULT_SCALES = (0.3, 0.7, 1.0, 1.6, 3.5, 5.0, 10.0)
"""The scales that ilastik offers, sigma in voxels."""

EIGENVALUE_IDS = frozenset({STRUCTURE, HESSIAN})
"""Filters with one feature per axis."""

NICE_NAMES = {
    GAUSSIAN: "Gaussian Smoothing",
    LAPLACIAN: "Laplacian of Gaussian",
    GRADIENT: "Gaussian Gradient Magnitude",
    DIFFERENCE: "Difference of Gaussians",
    STRUCTURE: "Structure Tensor Eigenvalues",
    HESSIAN: "Hessian of Gaussian Eigenvalues",
}
"""The filters as feature names spell them."""


LARGEST_SCALE = 1000.0
"""Voxels: a kernel of thousands of taps, and a halo beyond any block; nothing in a brain needs it."""


@dataclass(frozen=True)
class FeatureSelection:
    """The table of filters and scales, as a project stores it.

    Parameters
    ----------
    feature_ids : tuple of str
        Rows, any order, each one of `FEATURE_IDS`.
    scales : tuple of float
        Columns: sigma in voxels.
    matrix : tuple of tuple of bool
        Rows as `feature_ids`, columns as `scales`.
    compute_in_2d : tuple of bool, optional
        For each scale, whether planes are filtered one by one. None (projects older than ilastik 1.3.2):
        in 2D if the image is a single plane, otherwise in 3D.

    Raises
    ------
    SettingError
        If a filter is unknown or listed twice, a scale is not a positive number, or the extents disagree.

    Notes
    -----
    ilastik's smallest scales (0.3 for the Gaussian, 0.7 for the others) bind its user interface only and are
    not enforced here.
    """

    feature_ids: tuple[str, ...]
    scales: tuple[float, ...]
    matrix: tuple[tuple[bool, ...], ...]
    compute_in_2d: tuple[bool, ...] | None = None

    def __post_init__(self) -> None:
        # plain Python values whatever came (lists, numpy arrays): equal selections compare and hash equal
        put = object.__setattr__
        put(self, "feature_ids", tuple(str(name) for name in self.feature_ids))
        put(self, "scales", tuple(float(scale) for scale in self.scales))
        put(self, "matrix", tuple(tuple(bool(cell) for cell in row) for row in self.matrix))
        flags = self.compute_in_2d
        put(self, "compute_in_2d", tuple(bool(f) for f in flags) if flags is not None and len(flags) else None)
        self._check()

    def _check(self) -> None:
        for name in self.feature_ids:
            if name not in FEATURE_IDS:
                raise SettingError(
                    f"The filter {name!r} is not known.",
                    do=advice(name, FEATURE_IDS, f"Known are {', '.join(FEATURE_IDS)}."),
                )
        if len(set(self.feature_ids)) != len(self.feature_ids):
            raise SettingError("A filter is listed twice in the feature selection.", do="List it once.")
        for scale in self.scales:
            if not (math.isfinite(scale) and scale > 0):
                raise SettingError(
                    f"The scale {scale} is not a positive number.", do="Give sigmas in voxels, e.g. 1.6."
                )
            if scale > LARGEST_SCALE:
                raise SettingError(
                    f"The scale {scale} is larger than {LARGEST_SCALE:g} voxels.", do="Give sigmas in voxels, e.g. 1.6."
                )
        rows, columns = len(self.feature_ids), len(self.scales)
        if len(self.matrix) != rows or any(len(row) != columns for row in self.matrix):
            raise SettingError(
                f"The selection matrix does not have {rows} rows (filters) and {columns} columns (scales).",
                do="Give one truth value for each filter and scale.",
            )
        if self.compute_in_2d is not None and len(self.compute_in_2d) != columns:
            raise SettingError(
                f"compute_in_2d has {len(self.compute_in_2d)} values for {columns} scales.",
                do="Give one truth value for each scale.",
            )

    @classmethod
    def recommended(cls) -> FeatureSelection:
        """The selection that works well for cells: 10 ticked cells, 16 features of a 3D image."""
        ticked = {
            GAUSSIAN: (0.3, 0.7),
            GRADIENT: (0.7,),
            DIFFERENCE: (0.7, 1.0, 1.6, 3.5),
            HESSIAN: (1.0, 1.6, 3.5),
        }
        matrix = tuple(tuple(s in ticked.get(name, ()) for s in DEFAULT_SCALES) for name in FEATURE_IDS)
        return cls(FEATURE_IDS, DEFAULT_SCALES, matrix)

    @property
    def cells(self) -> tuple[tuple[str, int], ...]:
        """The ticked cells (filter, index of the scale) in the order of the feature channels."""
        return tuple(
            (name, column)
            for name, row in zip(self.feature_ids, self.matrix)
            for column, ticked in enumerate(row)
            if ticked
        )

    def plan(self, shape_zyx: tuple[int, int, int], n_channels: int = 1) -> FeaturePlan:
        """Fit the selection to an image.

        Parameters
        ----------
        shape_zyx : tuple of int
            Extents of the whole image (not of a block); a 2D image has z extent 1.
        n_channels : int
            Number of input channels.

        Returns
        -------
        FeaturePlan
            What `compute_features` needs: features in order, 2D or 3D for each scale, halo.

        Raises
        ------
        SettingError
            If nothing is selected or there is no channel.
        ImageTooSmallError
            If an axis is shorter than a filter needs.
        """
        from ecc_rf.features.plan import make_plan  # the plan knows the selection, not the other way round

        return make_plan(self, shape_zyx, n_channels)
