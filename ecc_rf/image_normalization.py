"""Images that meet a project: normalised as they are read, or as they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from ecc_rf.errors import EccError, NoForestError, ProjectError, SettingError
from ecc_rf.ilp import IlastikProject
from ecc_rf.ilp.normalization_note import LaneNote, forest_digest
from ecc_rf.normalization import Normalization, NormalizedVolume, ScaledNormalization, estimate_scales
from ecc_rf.normalization.settings import check_fit, read_from_volume
from ecc_rf.volumes import Volume, open_volume
from ecc_rf.volumes.base import VoxelSize
from ecc_rf.volumes.paths import split_path


@dataclass(frozen=True)
class NormalizationChoice:
    """What the user wants of images that meet a project.

    Parameters
    ----------
    normalize : bool
        Normalise images as they are read.
    anyway : bool
        Accept images that are not normalised as the project's were.
    together : bool
        The images are pieces of one brain and share its scale.
    scales : tuple of float, optional
        One per channel, instead of what is estimated from the image.
    """

    normalize: bool = False
    anyway: bool = False
    together: bool = False
    scales: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.scales is not None and not all(0 < scale < float("inf") for scale in self.scales):
            raise SettingError(f"The scale is {self.scales}; it must be more than 0.", where="scale")

    @property
    def wanted(self) -> bool | None:
        """For `PixelClassifier.predict_volume`."""
        return True if self.normalize else False if self.anyway else None


class ImageReader:
    """Says how images are normalised for a project.

    The image of a lane keeps the scale by which it was trained on, such as that of a brain of which it is a piece.

    Parameters
    ----------
    project : IlastikProject
        It says how its own images were normalised.
    images : sequence of paths
        All that will be opened.
    choice : NormalizationChoice, optional
    trained : Normalization, optional
        How the images were normalised that the classifier was trained on, None if they were not; default: as those of
        the project's stored forest.
    axes, voxel_size : optional
        As for `open_volume`.

    Raises
    ------
    SettingError
        If an image and the project do not fit together.
    ProjectError
        If the stored forest was trained elsewhere, on other voxels than the project notes.
    """

    def __init__(
        self,
        project: IlastikProject,
        images: Sequence[str | Path],
        choice: NormalizationChoice | None = None,
        *,
        trained: Normalization | Literal["as stored"] | None = "as stored",
        axes: str | None = None,
        voxel_size: VoxelSize | None = None,
    ) -> None:
        self._choice = choice or NormalizationChoice()
        self._project = project
        self._axes, self._voxel_size = axes, voxel_size
        self._images = list(images)
        if trained == "as stored":
            trained = trained_normalization(project, anyway=self._choice.anyway)
        self._fitted = {
            str(image): check_fit(
                trained,
                read_from_volume(image),
                self._choice.normalize,
                anyway=self._choice.anyway,
                where=f"{image}, with {project.path}",
            )
            for image in images
        }

    def normalization(self, image: Volume, path: str | Path) -> ScaledNormalization | None:
        """How an opened image is to be normalised; None if it stays as it is.

        Raises
        ------
        EccError
            If no scale can be estimated.
        """
        how = self._fitted[str(path)]
        if how is None:
            return None
        if self._choice.scales is not None:
            return ScaledNormalization(how, self._choice.scales, "given")
        if self._choice.together:
            return ScaledNormalization(how, self._scales_of_all, "estimated from all images together")
        known = self._of_lane(path)
        if known is not None:
            index, note = known
            origin = f"as lane {index} of the project" + (f", group {note.group}" if note.group else "")
            size = self._voxel_size or image.voxel_size or note.voxel_size
            return ScaledNormalization(how, note.scales, origin, size)
        return ScaledNormalization(how, estimate_scales([image]))

    def of_path(self, path: str | Path) -> ScaledNormalization | Literal[False]:
        """As `normalization`, for `PixelClassifier.predict_volume`: False if the image stays as it is."""
        if self._fitted[str(path)] is None:
            return False
        with open_volume(path, axes=self._axes, voxel_size=self._voxel_size) as image:
            return self.normalization(image, path) or False

    @cached_property
    def _scales_of_all(self) -> tuple[float, ...]:
        with ExitStack() as stack:
            volumes = [
                stack.enter_context(open_volume(path, axes=self._axes, voxel_size=self._voxel_size))
                for path in self._images
            ]
            return estimate_scales(volumes)

    def _of_lane(self, path: str | Path) -> tuple[int, LaneNote] | None:
        """The lane whose image this is, if the project notes its scales."""
        note = self._project.normalization
        here = _place(path)
        for index, lane in () if note is None else note.lanes.items():
            if lane.stored or index >= len(self._project.lanes):
                continue
            try:
                there = self._project.lanes[index].location.path
            except EccError:  # a place that the user gave
                continue
            if there is not None and _same_place(here, _place(there)):
                return index, lane
        return None


def _place(path: str | Path) -> tuple[str, str]:
    parts = split_path(path)
    return os.path.realpath(parts.file), parts.inner.strip("/")


def _same_place(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """A file of one dataset may be named without it."""
    return one[0] == other[0] and (one[1] == other[1] or not one[1] or not other[1])


def trained_normalization(project: IlastikProject, *, anyway: bool = False) -> Normalization | None:
    """How the images were normalised that the stored forest, or one to be stored, was trained on; None if not at all.

    A project notes it if it was trained here. One that was trained in ilastik is asked for the files of its lanes.

    Parameters
    ----------
    project : IlastikProject
    anyway : bool
        Whether the user takes what is not certain upon himself.

    Raises
    ------
    ProjectError
        If the project notes that its images are normalised as they are read, but its forest was not trained so.
    """
    note = project.normalization
    if note is None:
        return _of_files(project)
    if note.all_stored:
        return note.normalization
    try:
        digest = forest_digest(project.forest())
    except NoForestError:
        return note.normalization
    if digest != note.forest and not anyway:
        raise ProjectError(
            "The project's images are to be normalised as they are read, but its forest was trained by a program that"
            " does not do that, such as ilastik.",
            str(project.path),
            "Train it here, `ecc-rf train PROJECT -o NEW.ilp`, or say --any-normalization if you know better.",
        )
    return note.normalization if digest == note.forest else None


def _of_files(project: IlastikProject) -> Normalization | None:
    """Of the first lane whose file is there."""
    for lane in project.lanes:
        if lane.kind not in ("relative", "absolute"):
            continue
        try:
            path = lane.location.path
        except EccError:
            continue
        if path is not None:
            stored = read_from_volume(path)
            return None if stored is None else Normalization.from_dict(stored, path)
    return None


def normalization_of(
    wanted: ScaledNormalization | bool | None,
    image: str | Path | Volume,
    trained: Normalization | None,
    axes: str | None,
    voxel_size: VoxelSize | None,
    project: str,
) -> ScaledNormalization | None:
    """What `PixelClassifier.predict_volume` is told, as what is to be done; see there.

    Raises
    ------
    SettingError
        If the image and the classifier do not fit together.
    """
    if isinstance(wanted, ScaledNormalization):
        return wanted
    if wanted is False:
        return None
    path = image if isinstance(image, str | Path) else image.name
    stored = image.as_stored if isinstance(image, NormalizedVolume) else read_from_volume(path)
    how = check_fit(trained, stored, wanted is True, where=f"{path}, with {project}")
    if how is None:
        return None
    if not isinstance(image, str | Path):
        return ScaledNormalization(how, estimate_scales([image]))
    with open_volume(image, axes=axes, voxel_size=voxel_size) as volume:
        return ScaledNormalization(how, estimate_scales([volume]))
