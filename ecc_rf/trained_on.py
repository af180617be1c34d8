"""What a classifier was trained on, kept in its project, and whether an image that it meets is like that.

A classifier applied to images of another voxel size, another range of intensities or another marker gives cells without
complaint, but not the right ones. What is compared is told in docs/studies.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from ecc_rf.errors import EccError
from ecc_rf.ilp import IlastikProject
from ecc_rf.image_statistics import ImageStatistics, image_statistics
from ecc_rf.small_files import parsed
from ecc_rf.volumes import Volume

OTHER_VOXEL = 1.1  # along an axis, from which on voxels are of another size
OTHER_RANGE = 2.0  # of the brightest voxels: brains of one study, imaged alike, stay below (docs/studies.md)
_MOST_LANES = 8  # of a project whose images are looked at; evenly chosen


@dataclass(frozen=True)
class TrainedOn:
    """What a project's forest was trained on.

    Attributes
    ----------
    images : tuple of ImageStatistics
        Of the images with annotations; empty if nothing is known.
    marker : str
        What was stained, as the user called it; empty if unknown.
    voxels : int, optional
        Annotated voxels.
    error : float, optional
        Out-of-bag error.
    """

    images: tuple[ImageStatistics, ...] = ()
    marker: str = ""
    voxels: int | None = None
    error: float | None = None

    def text(self) -> str:
        """What is stored in a project; `from_text` reads it."""
        record = {
            "version": 1,
            "marker": self.marker,
            "voxels": self.voxels,
            "error": self.error,
            "images": [image.as_dict() for image in self.images],
        }
        return json.dumps(record)  # in ASCII: names of files need not be text

    @classmethod
    def from_text(cls, text: str) -> TrainedOn:
        """What `text` gave; raises ValueError, KeyError or TypeError if it is something else."""
        stored = parsed(text)
        if stored["version"] != 1:
            raise ValueError("version")
        voxels, error = stored["voxels"], stored["error"]
        return cls(
            tuple(ImageStatistics.from_dict(image) for image in stored["images"]),
            str(stored["marker"]),
            None if voxels is None else int(voxels),
            None if error is None else float(error),
        )


def stored_training(project: IlastikProject) -> TrainedOn | None:
    """What is stored in a project; None if nothing is, or it cannot be understood: no work depends on it."""
    try:
        text = project.training_text()
        return None if text is None else TrainedOn.from_text(text)
    except (EccError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def trained_on(project: IlastikProject) -> TrainedOn:
    """What a project's forest was trained on: as it is stored, or by a look at those of its images that are there."""
    stored = stored_training(project)
    if stored is not None and stored.images:
        return stored
    lanes = project.lanes[:: -(-len(project.lanes) // _MOST_LANES) or 1]
    found = []
    with ExitStack() as stack:
        for lane in lanes:
            try:
                found.append(image_statistics(stack.enter_context(lane.open())))
            except EccError:  # an image that is not there tells nothing
                continue
    return TrainedOn(tuple(found), stored.marker if stored else "")


def misfits(trained: TrainedOn, image: ImageStatistics, *, marker: str = "", intensity: bool = True) -> list[str]:
    """In what an image differs from those of the training, for people, with both figures; empty if it is like them.

    Parameters
    ----------
    trained : TrainedOn
    image : ImageStatistics
    marker : str
        What is stained in the image, if it is known.
    intensity : bool
        Whether ranges are compared; not where images are brought to one scale.
    """
    notes = []
    if marker and trained.marker and _plain(marker) != _plain(trained.marker):
        notes.append(
            f"The image is of {marker}, the classifier was trained on {trained.marker}: train one for each marker."
        )
    if not trained.images:
        return notes
    notes += _voxel_note(trained.images, image)
    if intensity:
        notes += _range_notes(trained.images, image)
    return notes


def fit_notes(image: Volume, trained: TrainedOn, *, marker: str = "", intensity: bool = True) -> list[str]:
    """`misfits` of an opened image, which is sampled if there is something to compare it with."""
    if not trained.images and not (marker and trained.marker):
        return []
    return misfits(trained, image_statistics(image), marker=marker, intensity=intensity)


def _voxel_note(trained: Sequence[ImageStatistics], image: ImageStatistics) -> list[str]:
    sizes = sorted({one.voxel_size for one in trained if one.voxel_size is not None})
    if image.voxel_size is None or not sizes:
        return []
    first = 1 if image.flat or all(one.flat for one in trained) else 0
    if any(
        all(1 / OTHER_VOXEL <= a / b <= OTHER_VOXEL for a, b in zip(image.voxel_size[first:], size[first:]))
        for size in sizes
    ):
        return []
    shown = " or ".join(_times(size) for size in sizes[:3])
    return [
        f"The image's voxels are {_times(image.voxel_size)} µm (z × y × x), those that the classifier was trained on"
        f" {shown} µm: to it, cells have another size. Convert the image to that size, or train on images like it."
    ]


def _range_notes(trained: Sequence[ImageStatistics], image: ImageStatistics) -> list[str]:
    notes = []
    for channel, own in enumerate(image.quantiles):
        theirs = [one.quantiles[channel] for one in trained if channel < len(one.quantiles) and one.quantiles[channel]]
        if not own or not theirs:
            continue
        low, _, high = own
        brightest = [values[2] for values in theirs]
        middles = [values[1] for values in theirs]
        brighter = high > OTHER_RANGE * max(brightest) > 0
        darker = 0 < OTHER_RANGE * high < min(brightest)
        elsewhere = max(middles) < low or min(middles) > high
        if brighter or darker or elsewhere:
            where = f" (channel {channel + 1})" if len(image.quantiles) > 1 else ""
            kinds = "/".join(sorted({one.dtype for one in trained}))
            what = "brighter" if brighter else "darker" if darker else "of another range"
            notes.append(
                f"The image{where} is {what} than those that the classifier was trained on: nearly all of its voxels"
                f" lie between {low:,.4g} and {high:,.4g} ({image.dtype}), of theirs between"
                f" {min(values[0] for values in theirs):,.4g} and {max(brightest):,.4g} ({kinds}). Train on images like"
                " it, or train and run with --normalize."
            )
    return notes


def _plain(marker: str) -> str:
    """
    >>> _plain("c-Fos") == _plain("cFOS")
    True
    """
    return re.sub(r"[\W_]+", "", marker).casefold()


def _times(size: Sequence[float]) -> str:
    return " × ".join(f"{length:g}" for length in size)


def training_summary(project: IlastikProject) -> Mapping[str, Any]:
    """What a report tells of the training: labels with their voxels, features, and what `train` noted."""
    counts: dict[int, int] = {}
    lanes = 0
    for lane in project.lanes:
        try:
            found = project.labels(lane.index).counts
        except EccError:
            continue
        lanes += bool(found)
        for value, number in found.items():
            counts[value] = counts.get(value, 0) + number
    try:
        features = [[name, project.features.scales[column]] for name, column in project.features.cells]
    except EccError:
        features = []
    try:
        forest = project.forest_summary()
        rows, classes = forest.n_rows, [int(value) for value in forest.classes]
    except EccError:
        rows, classes = None, []
    stored = stored_training(project)
    # after another training, in ilastik, what is stored may be that of the forest before
    same = stored is not None and stored.voxels == rows
    return {
        "images": lanes,
        "labels": {name: counts.get(value, 0) for value, name in enumerate(project.label_names, start=1)},
        "voxels": rows,
        "classes": classes,
        "features": features,
        "marker": stored.marker if stored else "",
        "out_of_bag_error": stored.error if stored is not None and same else None,
    }
