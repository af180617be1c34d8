"""Images opened as a project wants them: normalised as they are read, or as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecc_rf.errors import SettingError
from ecc_rf.normalization.scale import estimate_scales
from ecc_rf.normalization.settings import Normalization, check_fit, read_from_project, read_from_volume
from ecc_rf.normalization.volume import NormalizedVolume
from ecc_rf.volumes import Volume, open_volume


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


class ImageReader:
    """Opens images for a project.

    Parameters
    ----------
    project : path
        Its file says how its own images were normalised.
    images : sequence of paths
        All that will be opened.
    choice : NormalizationChoice, optional
    axes, voxel_size : optional
        As for `open_volume`.

    Raises
    ------
    SettingError
        If an image and the project do not fit together.
    """

    def __init__(
        self,
        project: str | Path,
        images: Sequence[str | Path],
        choice: NormalizationChoice | None = None,
        *,
        axes: str | None = None,
        voxel_size: tuple[float, float, float] | None = None,
    ) -> None:
        self._choice = choice or NormalizationChoice()
        self._axes, self._voxel_size = axes, voxel_size
        self._images = list(images)
        trained = read_from_project(project)
        self._fitted = {
            str(image): check_fit(
                trained,
                read_from_volume(image),
                self._choice.normalize,
                anyway=self._choice.anyway,
                where=f"{image}, with {project}",
            )
            for image in images
        }
        self._shared: tuple[float, ...] | None = None

    def changes(self, path: str | Path) -> bool:
        """Whether an image is normalised as it is read."""
        return self._fitted[str(path)] is not None

    def normalized(self, image: Volume, path: str | Path) -> tuple[Volume, dict[str, Any] | None]:
        """An opened image as the project wants it, and what is to be recorded of that; None if it stays as it is.

        Raises
        ------
        EccError
            If no scale can be estimated or no voxel size is known.
        """
        how = self._fitted[str(path)]
        if how is None:
            return image, None
        scales = self._choice.scales or (self._scales_of_all() if self._choice.together else estimate_scales([image]))
        return NormalizedVolume(image, how, scales), {**how.as_dict(), "scales": list(scales)}

    def _scales_of_all(self) -> tuple[float, ...]:
        if self._shared is None:
            volumes = [open_volume(path, axes=self._axes, voxel_size=self._voxel_size) for path in self._images]
            try:
                self._shared = estimate_scales(volumes)
            finally:
                for volume in volumes:
                    volume.close()
        return self._shared


__all__ = ["ImageReader", "Normalization", "NormalizationChoice"]
