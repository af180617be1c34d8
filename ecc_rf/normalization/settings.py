"""How images are normalised, where that is kept, and when a project and an image fit together."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ecc_rf.errors import FormatError, SettingError
from ecc_rf.small_files import parsed
from ecc_rf.volumes.limits import LONGEST_METADATA
from ecc_rf.volumes.paths import split_path

ATTRIBUTE = "ecc_rf_normalization"  # of a volume that is normalised


@dataclass(frozen=True)
class Normalization:
    """y = (x - m) / s: m the local median, s one number per brain (the median of its voxels).

    Parameters
    ----------
    window_um : float
        Width of the window of the local median, µm. It should be some cells wide: much smaller ones take bright
        regions for background, much larger ones keep the background's own texture.

    Raises
    ------
    SettingError
        If it is not a positive length.
    """

    window_um: float = 75.0

    def __post_init__(self) -> None:
        if not 0 < self.window_um < math.inf:
            raise SettingError(f"window_um is {self.window_um}; it must be more than 0 µm.", where="window_um")

    def as_dict(self) -> dict[str, Any]:
        """What is stored; `from_dict` reads it."""
        return {"method": "local median, scale of the brain", "version": 1, **asdict(self)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], where: str) -> Normalization:
        """What `as_dict` gave.

        Raises
        ------
        FormatError
            If it is something else, or of a later version.
        """
        if stored.get("version") != 1 or not isinstance(stored.get("window_um"), int | float):
            raise FormatError(
                "The stored normalisation is not understood.",
                where=where,
                do="Use the version that wrote it, or newer.",
            )
        return cls(float(stored["window_um"]))


@dataclass(frozen=True)
class ScaledNormalization:
    """How one image is normalised.

    Parameters
    ----------
    normalization : Normalization
    scales : tuple of float
        One per channel.
    origin : str
        Where they come from, for the record.
    voxel_size : (z, y, x) in µm, optional
        By which the window is measured; default the image's own.
    """

    normalization: Normalization
    scales: tuple[float, ...]
    origin: str = "estimated"
    voxel_size: tuple[float, float, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For a record."""
        return {**self.normalization.as_dict(), "scales": list(self.scales), "origin": self.origin}


def read_from_volume(path: str | Path) -> dict[str, Any] | None:
    """How the voxels of a stored volume were normalised, with their scales; None if it does not say that they were.

    Raises
    ------
    FormatError
        If it is not understood.
    """
    parts = split_path(path)
    text: Any = None
    if parts.format.module == "hdf5":
        import h5py

        from ecc_rf.volumes.hdf5_heap import checked_attribute

        # a file that is missing or damaged is reported where it is opened as a volume
        with (
            contextlib.suppress(OSError, RuntimeError, KeyError, ValueError),
            h5py.File(parts.file, "r") as file,
        ):
            names = [parts.inner] if parts.inner else list(file)
            found = [file[name] for name in names if isinstance(file.get(name, getlink=True), h5py.HardLink)]
            texts = (checked_attribute(node, ATTRIBUTE, str(path)) for node in found)
            text = next((text for text in texts if text is not None), None)
    elif parts.format.module == "ome_zarr":
        metadata = parts.file / "zarr.json"
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if not metadata.is_file() or metadata.stat().st_size > LONGEST_METADATA:
                return None  # a pipe, or what is refused where it is opened as a volume
            text = parsed(metadata.read_text()).get("attributes", {}).get(ATTRIBUTE)
    if text is None:
        return None
    stored = _parsed(text, str(path))
    Normalization.from_dict(stored, str(path))
    return stored


def _parsed(text: Any, where: str) -> dict[str, Any]:
    try:
        stored = parsed(text)
        return dict(stored)
    except (TypeError, ValueError) as error:
        raise FormatError("The stored normalisation is damaged.", where=where) from error


def check_fit(
    trained: Normalization | None,
    stored: Mapping[str, Any] | None,
    wanted: bool,
    *,
    anyway: bool = False,
    where: str = "",
) -> Normalization | None:
    """How an image is to be normalised as it is read; refuses what does not fit.

    Parameters
    ----------
    trained : Normalization, optional
        Of the images that the project was trained on.
    stored : mapping, optional
        Of the image, if its voxels are normalised already.
    wanted : bool
        Whether the image is to be normalised as it is read.
    anyway : bool
        Whether the user knows that project and image do not fit.
    where : str
        For messages.

    Raises
    ------
    SettingError
        If a project trained on normalised images meets others, or the other way round, and `anyway` is False.
    """
    if wanted and stored is not None:
        raise SettingError("The image is normalised already.", where=where, do="Leave --normalize out.")
    width = trained.window_um if trained else Normalization().window_um
    image = wanted or stored is not None
    if not anyway and image and trained is None:
        raise SettingError(
            "The project was trained on images that are not normalised, this one is.",
            where=where,
            do="Train on normalised images, or say --any-normalization if you know better.",
        )
    if not anyway and not image and trained is not None:
        raise SettingError(
            "The project was trained on normalised images, this one is not.",
            where=where,
            do="Say --normalize, or --any-normalization if you know better.",
        )
    if not anyway and trained and stored and stored["window_um"] != trained.window_um:
        raise SettingError(
            f"The image was normalised in windows of {stored['window_um']:g} µm, the project's in {width:g} µm.",
            where=where,
            do="Normalise the raw image with --normalize, or say --any-normalization if you know better.",
        )
    return Normalization(width) if wanted else None
