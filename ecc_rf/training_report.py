"""What a training was, in numbers: for people, and as JSON beside the new project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ecc_rf.features import FeaturePlan, FeatureSelection
from ecc_rf.features.selection import EIGENVALUE_IDS
from ecc_rf.forest.out_of_bag import OutOfBag, error_of, out_of_bag, permuted
from ecc_rf.forest.training import GrownForest, features_tried
from ecc_rf.gathering import TrainingRows
from ecc_rf.notebook import Shown

OUT_OF_BAG = (
    "each voxel judged by the trees whose bootstrap left it out; voxels of a stroke resemble each other, so on another"
    " brain the error is larger"
)
SHUFFLED = (
    "rise of the out-of-bag error when the values are shuffled among the voxels; what other features would make up for"
    " in a new forest is not regarded, so this is an upper bound (ecc-rf features --suggest trains anew without them)"
)


@dataclass(frozen=True)
class LabelReport:
    """One label: its value, name, and the annotated voxels in all images."""

    value: int
    name: str
    voxels: int


@dataclass(frozen=True)
class ImageReport:
    """One image of the training.

    Attributes
    ----------
    index : int
        Lane, or number of the image, from 0.
    name, path : str
    voxels : dict of int to int
        Annotated voxels by label.
    error : float or None
        Out-of-bag error on this image's voxels; None if none was judged.
    confusion : list of list of int
        As in `TrainingReport`.
    """

    index: int
    name: str
    path: str
    voxels: dict[int, int]
    error: float | None
    confusion: list[list[int]]


@dataclass(frozen=True)
class FeatureReport:
    """One feature: mean decrease of impurity (shares of 1), and the rise of the out-of-bag error when shuffled."""

    name: str
    gini: float
    shuffled: float | None


@dataclass(frozen=True)
class CellReport:
    """One ticked cell of the selection, all its features together: the rise of the error when they are shuffled."""

    filter: str
    scale: float
    features: int
    shuffled: float | None


@dataclass(frozen=True, repr=False)
class TrainingReport(Shown):
    """What a training was.

    Attributes
    ----------
    source : str
        Project, or other origin of the labels.
    trees, forests, tried, seed : int
        Trees, vigra forests they are spread over, columns tried at each node, seed.
    voxels : int
        Annotated voxels.
    classes : list of int
        Labels that are annotated; rows and columns of the confusion.
    labels : list of LabelReport
    images : list of ImageReport
        Those with annotations.
    error : float or None
        Out-of-bag error.
    judged : int
        Voxels that some tree has not seen.
    confusion : list of list of int
        Judged voxels by annotated label (row) and winning label (column).
    features : list of FeatureReport
    cells : list of CellReport
    warnings : list of str
    seconds : dict of str to float
        Of reading and computing features, of growing trees, of judging them.
    method : dict of str to str
        What the numbers mean.
    """

    source: str
    trees: int
    forests: int
    tried: int
    seed: int
    voxels: int
    classes: list[int]
    labels: list[LabelReport]
    images: list[ImageReport]
    error: float | None
    judged: int
    confusion: list[list[int]]
    features: list[FeatureReport]
    cells: list[CellReport]
    warnings: list[str]
    seconds: dict[str, float]
    method: dict[str, str] = field(
        default_factory=lambda: {"error": OUT_OF_BAG, "shuffled": SHUFFLED, "gini": "mean decrease of impurity"}
    )

    def as_dict(self) -> dict[str, Any]:
        """In types of JSON."""
        return asdict(self)


@dataclass(frozen=True)
class TrainedImage:
    """An image as the report names it."""

    index: int
    name: str
    path: str


def make_report(
    source: str,
    grown: GrownForest,
    rows: TrainingRows,
    selection: FeatureSelection,
    plan: FeaturePlan,
    label_names: Sequence[str],
    images: Sequence[TrainedImage],
    *,
    seed: int,
    warnings: Sequence[str],
    seconds: dict[str, float],
    workers: int | None = None,
) -> TrainingReport:
    """Ask the trees about what they have not seen, and gather everything.

    Parameters
    ----------
    images : sequence of TrainedImage
        One per image that `rows.image` numbers.
    Others are what the training was made from; see `ecc_rf.training`.
    """
    judgement = out_of_bag(grown, workers=workers)
    cells = columns_of_cells(selection, plan)
    sets = [[column] for column in range(len(rows.names))] + [columns for _, _, columns in cells]
    rises = [rise for _, rise in permuted(grown, sets, seed=seed, workers=workers)]
    counts = dict(zip(*(part.tolist() for part in np.unique(rows.labels, return_counts=True))))
    confusion = judgement.confusion()
    return TrainingReport(
        source=source,
        trees=grown.forest.n_trees,
        forests=len(grown.forest.trees_per_forest),
        tried=features_tried(len(rows.names)),
        seed=seed,
        voxels=len(rows.labels),
        classes=list(grown.forest.classes),
        labels=[LabelReport(value, name, counts.get(value, 0)) for value, name in enumerate(label_names, start=1)],
        images=_images(images, rows, judgement),
        error=error_of(confusion),
        judged=int(confusion.sum()),
        confusion=confusion.tolist(),
        features=[FeatureReport(name, float(gini), rise) for name, gini, rise in zip(rows.names, grown.gini, rises)],
        cells=[
            CellReport(name, scale, len(columns), rise)
            for (name, scale, columns), rise in zip(cells, rises[len(rows.names) :])
        ],
        warnings=list(warnings),
        seconds=seconds,
    )


def columns_of_cells(selection: FeatureSelection, plan: FeaturePlan) -> list[tuple[str, float, list[int]]]:
    """The columns of every ticked cell: filter, scale, columns.

    >>> selection = FeatureSelection(("HessianOfGaussianEigenvalues",), (1.0, 1.6), ((True, True),))
    >>> columns_of_cells(selection, selection.plan((9, 9, 9)))
    [('HessianOfGaussianEigenvalues', 1.0, [0, 1, 2]), ('HessianOfGaussianEigenvalues', 1.6, [3, 4, 5])]
    """
    eigenvalues = {step.scale: step.n_eigenvalues for step in plan.steps}
    found, begin = [], 0
    for name, number in selection.cells:
        scale = selection.scales[number]
        end = begin + plan.n_channels * (eigenvalues[scale] if name in EIGENVALUE_IDS else 1)
        found.append((name, scale, list(range(begin, end))))
        begin = end
    return found


def _images(images: Sequence[TrainedImage], rows: TrainingRows, judgement: OutOfBag) -> list[ImageReport]:
    reports = []
    for number, image in enumerate(images):
        among = rows.image == number
        if not among.any():
            continue
        values, counts = np.unique(rows.labels[among], return_counts=True)
        confusion = judgement.confusion(among)
        voxels = dict(zip(values.tolist(), counts.tolist()))
        reports.append(
            ImageReport(image.index, image.name, image.path, voxels, error_of(confusion), confusion.tolist())
        )
    return reports
