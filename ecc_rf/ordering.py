"""Orders from what users say: by `PixelClassifier.predict_volume`, or to be told what they would take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecc_rf.export import Export, resolve_labels
from ecc_rf.image_normalization import normalization_of
from ecc_rf.normalization import ScaledNormalization
from ecc_rf.order import Order
from ecc_rf.volumes import Volume
from ecc_rf.volumes.base import VoxelSize
from ecc_rf.voxel_values import check_nan_choice

if TYPE_CHECKING:
    from ecc_rf.classifier import PixelClassifier


def make_order(
    classifier: PixelClassifier,
    image: str | Path | Volume,
    output: str | Path,
    *,
    labels: str | Sequence[int | str] | None = None,
    export: str = "probabilities",
    dtype: str = "float32",
    rounding: str = "nearest",
    threshold: float | None = None,
    axes: str | None = None,
    voxel_size: VoxelSize | None = None,
    nan: str = "refuse",
    normalization: ScaledNormalization | bool | None = None,
    **more: Any,
) -> Order:
    """An order; parameters are those of `PixelClassifier.predict_volume`.

    Raises
    ------
    EccError
        If they do not fit the classifier or each other.
    """
    if export == "mask" and labels in (None, "all"):
        labels = [1]
    return Order(
        classifier=classifier,
        image=image,
        output=output,
        export=Export(export, resolve_labels(labels, classifier.label_names), dtype, rounding, threshold),
        axes=axes,
        voxel_size=voxel_size,
        nan=check_nan_choice(nan),
        normalization=normalization_of(
            normalization, image, classifier.normalization, axes, voxel_size, classifier.name
        ),
        **more,
    )
