"""From probabilities to what is stored: chosen labels, integer types, masks, segmentation, uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ecc_rf.cells.inputs import ProbabilityScale
from ecc_rf.errors import LabelError, SettingError
from ecc_rf.near import advice

KINDS = ("probabilities", "mask", "segmentation", "uncertainty", "features")
DTYPES = ("float32", "uint16", "uint8")
ROUNDINGS = ("nearest", "truncate")


@dataclass(frozen=True)
class Export:
    """What a prediction stores.

    Parameters
    ----------
    kind : {'probabilities', 'mask', 'segmentation', 'uncertainty', 'features'}
        Probabilities, one channel per label; where the probability of one label is above a threshold (uint8, 1 or 0);
        the number of the winning label (uint8, ties go to the lowest); one minus the lead of the best label over the
        second (float32); the features themselves (float32).
    labels : tuple of int
        Label numbers from 1 whose probabilities are stored, in this order; empty means all. A mask is of one label.
    dtype : {'float32', 'uint16', 'uint8'}
        Of stored probabilities. Integers hold the probability times their maximum. A mask holds the voxels in which
        `CellFinder` sees a probability volume of this type and rounding above the threshold. Where a probability
        meets the threshold exactly the types differ: 50 of 100 votes are not above 0.5, but in uint8 they
        are 128, above 127.5.
    rounding : {'nearest', 'truncate'}
        How integers are made: to the nearest, halves to even, as ilastik does since July 2025; or cut off, as
        ilastik did before.
    threshold : float, optional
        Of a mask, 0 to 1.

    Raises
    ------
    SettingError
        If a value is none of these, or a mask has no threshold or several labels.
    """

    kind: str = "probabilities"
    labels: tuple[int, ...] = field(default=())
    dtype: str = "float32"
    rounding: str = "nearest"
    threshold: float | None = None

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("export", self.kind, KINDS),
            ("dtype", self.dtype, DTYPES),
            ("rounding", self.rounding, ROUNDINGS),
        ):
            if value not in allowed:
                raise SettingError(
                    f"{value!r} is no {name} that can be chosen.",
                    where=name,
                    do=f"Choose {' or '.join(allowed)}.",
                )
        if self.kind in ("uncertainty", "features") and self.dtype != "float32":
            raise SettingError(
                f"The export of {self.kind} is float32, not {self.dtype}.",
                where="dtype",
                do="Leave the type out.",
            )
        if (self.kind == "mask") != (self.threshold is not None):
            raise SettingError(
                "A mask needs a threshold." if self.kind == "mask" else f"{self.kind} have no threshold.",
                where="threshold",
                do="Give one, such as 0.7." if self.kind == "mask" else "Leave it out, or export a mask.",
            )
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise SettingError(f"The threshold is {self.threshold}; it must be between 0 and 1.", where="threshold")
        if self.kind == "mask" and len(self.labels) != 1:
            raise SettingError("A mask is of one label.", where="labels", do="Choose one label.")

    def channels(self, n_labels: int, n_features: int) -> int:
        """Number of channels that are stored."""
        if self.kind == "features":
            return n_features
        return (len(self.labels) or n_labels) if self.kind == "probabilities" else 1

    @property
    def stored_dtype(self) -> np.dtype:
        """Type of the stored voxels."""
        return np.dtype("uint8" if self.kind in ("mask", "segmentation") else self.dtype)

    @property
    def dataset(self) -> str:
        """Name of the dataset in formats that hold several, where the user names none."""
        return {"probabilities": "probability"}.get(self.kind, self.kind)

    @property
    def drange(self) -> tuple[float, float] | None:
        """Range of the stored values, as ilastik writes it; None where there is none."""
        if self.kind == "uncertainty":
            return (0.0, 1.0)
        if self.kind == "mask":
            return (0, 1)
        if self.kind != "probabilities":
            return None
        return (0.0, 1.0) if self.dtype == "float32" else (0, int(np.iinfo(self.dtype).max))

    @cached_property
    def limit(self) -> np.float32:
        """The largest float32 probability whose voxels are not in the mask.

        >>> bool(Export("mask", (1,), "float32", threshold=0.7).limit == np.float32(0.7))
        True
        >>> uint8 = Export("mask", (1,), "uint8", threshold=0.5).limit  # the largest that is rounded to 127
        >>> quantise(np.float32([uint8, 0.5]), np.dtype("uint8"), "nearest").tolist()
        [127, 128]
        """
        assert self.threshold is not None
        dtype = np.dtype(self.dtype)
        top = 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)
        stored_limit = ProbabilityScale(0.0, top, dtype).limit(self.threshold)
        return stored_limit if dtype.kind == "f" else _largest_stored_as(stored_limit, dtype, self.rounding)

    def convert(self, probabilities: np.ndarray) -> np.ndarray:
        """What is stored for these probabilities.

        Parameters
        ----------
        probabilities : ndarray, shape (..., labels), float32

        Returns
        -------
        ndarray, shape (..., channels), dtype `stored_dtype`
        """
        if self.kind == "segmentation":
            return segment(probabilities)[..., np.newaxis]
        if self.kind == "mask":
            above = probabilities[..., [self.labels[0] - 1]] > self.limit
            return above.astype(np.uint8)
        if self.kind == "uncertainty":
            return uncertainty(probabilities)[..., np.newaxis]
        if self.labels:
            probabilities = probabilities[..., [label - 1 for label in self.labels]]
        return quantise(probabilities, self.stored_dtype, self.rounding)


def quantise(probabilities: np.ndarray, dtype: np.dtype, rounding: str) -> np.ndarray:
    """Probabilities as integers of the type's whole range, clipped; float32 is handed back as it is.

    The product is taken in float32, as ilastik takes it; 255 p therefore keeps every vote of up to 255 trees.

    >>> quantise(np.float32([0.1, 0.5, 0.998, 1.0]), np.dtype("uint8"), "nearest").tolist()
    [26, 128, 254, 255]
    >>> quantise(np.float32([0.1, 0.5, 0.7]), np.dtype("uint8"), "truncate").tolist()
    [25, 127, 178]
    """
    if dtype.kind == "f":
        return probabilities.astype(dtype, copy=False)
    top = np.iinfo(dtype).max
    scaled = probabilities * np.float32(top)
    if rounding == "nearest":
        np.rint(scaled, out=scaled)
    np.clip(scaled, 0, top, out=scaled)
    return np.asarray(scaled.astype(dtype))


def _largest_stored_as(value: Any, dtype: np.dtype, rounding: str) -> np.float32:
    """The largest float32 probability that is stored as an integer of at most `value`; infinity if all are.

    Positive floats have the order of their bits, so that the place is found by halving.
    """

    def stored(bits: int) -> Any:
        return quantise(np.array([bits], np.uint32).view(np.float32), dtype, rounding)[0]

    below, above = 0, int(np.float32(np.inf).view(np.uint32))  # infinity is stored as the largest integer
    if stored(above) <= value:
        return np.float32(np.inf)
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if stored(middle) <= value else (below, middle)
    return np.uint32(below).view(np.float32)


def segment(probabilities: np.ndarray) -> np.ndarray:
    """Number of the winning label from 1, uint8; equal probabilities go to the lowest label.

    >>> segment(np.float32([[0.2, 0.8], [0.5, 0.5], [0, 0]])).tolist()
    [2, 1, 1]
    """
    return np.asarray(np.argmax(probabilities, axis=-1) + 1, np.uint8)


def uncertainty(probabilities: np.ndarray) -> np.ndarray:
    """One minus the lead of the best label over the second, float32; 0 where there is one label only.

    >>> uncertainty(np.float32([[0.25, 0.75], [0.5, 0.5]])).tolist()
    [0.5, 1.0]
    """
    if probabilities.shape[-1] < 2:
        return np.zeros(probabilities.shape[:-1], np.float32)
    two = np.partition(probabilities, -2, axis=-1)[..., -2:]
    lead: np.ndarray = two[..., 1] - two[..., 0]
    return np.asarray(1 - lead, np.float32)


def resolve_labels(chosen: str | Sequence[int | str] | None, names: Sequence[str]) -> tuple[int, ...]:
    """Label numbers from 1 for numbers or names.

    Parameters
    ----------
    chosen : sequence of int or str, or 'all', or None
        Numbers from 1 or names; ``'all'`` and None mean every label.
    names : sequence of str
        The project's label names.

    Raises
    ------
    LabelError
        If a label does not exist or is chosen twice; the message lists the labels.

    Examples
    --------
    >>> resolve_labels([1, "background"], ["cell", "artefact", "background"])
    (1, 3)
    """
    if chosen is None or chosen == "all":
        return tuple(range(1, len(names) + 1))
    listing = ", ".join(f"{i} ({name})" for i, name in enumerate(names, start=1))
    numbers: list[int] = []
    for label in [chosen] if isinstance(chosen, str) else chosen:
        text = str(label).strip()
        if text in names:
            number = names.index(text) + 1
        else:
            number = int(text) if text.isdecimal() else 0
        if not 1 <= number <= len(names):
            raise LabelError(
                f"There is no label {text!r}.",
                where="labels",
                do=advice(text, names, f"Choose from {listing} or all."),
            )
        if number in numbers:
            raise LabelError(f"Label {text!r} is named twice.", where="labels", do="Name each label once.")
        numbers.append(number)
    if not numbers:
        raise LabelError("No label is chosen.", where="labels", do=f"Choose from {listing} or all.")
    return tuple(numbers)
