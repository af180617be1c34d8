"""The settings of a search for cells, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ecc_rf.errors import SettingError

SPLITS = ("watershed", "maxima", "none")
INTENSITIES = ("mean", "max", "local")
CONNECTIVITIES = (6, 18, 26)


@dataclass(frozen=True)
class SearchSettings:
    """What `CellFinder` is told; it says what they mean."""

    threshold: float = 0.7
    min_volume: int = 2
    max_volume: int | None = None
    split: str = "watershed"
    cell_diameter_um: float | None = None
    connectivity: int = 6
    intensity: str = "mean"
    signal_radius: int = 1
    background_radius: int = 4
    background_percentile: float = 5.0
    label: int = 1
    raw_channel: int | None = None
    smoothing_um: float = 0.0
    low_threshold: float | None = None
    contrast: bool = False
    min_contrast: float | None = None
    background_window_um: float = 75.0
    object_cut: float | None = None

    def __post_init__(self) -> None:
        for name, value, good, expected in (
            ("threshold", self.threshold, 0 <= self.threshold <= 1, "between 0 and 1"),
            ("min_volume", self.min_volume, self.min_volume >= 0, "0 or more voxels"),
            (
                "max_volume",
                self.max_volume,
                self.max_volume is None or self.max_volume > self.min_volume,
                f"more than min_volume, {self.min_volume}",
            ),
            ("split", self.split, self.split in SPLITS, "watershed, maxima or none"),
            (
                "cell_diameter_um",
                self.cell_diameter_um,
                self.cell_diameter_um is None or 0 < self.cell_diameter_um < math.inf,
                "more than 0 µm",
            ),
            ("connectivity", self.connectivity, self.connectivity in CONNECTIVITIES, "6, 18 or 26"),
            ("intensity", self.intensity, self.intensity in INTENSITIES, "mean, max or local"),
            ("signal_radius", self.signal_radius, self.signal_radius >= 0, "0 or more voxels"),
            ("background_radius", self.background_radius, self.background_radius >= 0, "0 or more voxels"),
            (
                "background_percentile",
                self.background_percentile,
                0 <= self.background_percentile <= 100,
                "between 0 and 100",
            ),
            ("label", self.label, self.label >= 1, "1 or more"),
            ("raw_channel", self.raw_channel, self.raw_channel is None or self.raw_channel >= 1, "1 or more"),
            ("smoothing_um", self.smoothing_um, 0 <= self.smoothing_um < math.inf, "0 µm or more"),
            (
                "low_threshold",
                self.low_threshold,
                self.low_threshold is None or 0 <= self.low_threshold <= self.threshold,
                f"between 0 and the threshold, {self.threshold:g}",
            ),
            (
                "min_contrast",
                self.min_contrast,
                self.min_contrast is None or math.isfinite(self.min_contrast),
                "a number",
            ),
            (
                "background_window_um",
                self.background_window_um,
                0 < self.background_window_um < math.inf,
                "more than 0 µm",
            ),
            ("object_cut", self.object_cut, self.object_cut is None or 0 <= self.object_cut <= 1, "between 0 and 1"),
        ):
            if not good:
                raise SettingError(f"{name} is {value!r}; it must be {expected}.", where=name)

    def check_mask(self, threshold: float, name: str) -> None:
        """Refuse a mask of the voxels above a threshold, if these settings need the probability itself.

        Parameters
        ----------
        threshold : float
            At which the mask was made.
        name : str
            The mask, for messages.

        Raises
        ------
        SettingError
            If cells are looked for at another threshold or in smoothed probabilities, or objects are to be split.
        """
        if threshold != self.threshold:
            raise SettingError(
                f"The mask holds the voxels above {threshold}, but cells are looked for above {self.threshold}.",
                where=name,
                do=f"Give the threshold {threshold}, or export a mask or the probability for {self.threshold}.",
            )
        if self.smoothing_um > 0 or self.low_threshold is not None:
            raise SettingError(
                "Smoothing and a low threshold need the probability itself, which a mask lacks.",
                where=name,
                do="Store the probability instead of the mask, or leave smoothing_um and low_threshold out.",
            )
        if self.max_volume is not None and self.split != "none":
            raise SettingError(
                f"Objects of more than {self.max_volume} voxels are split by their probability, which a mask lacks.",
                where=name,
                do="Store the probability instead of the mask, or leave max_volume out.",
            )

    @property
    def contrasts(self) -> bool:
        """Whether it is measured how cells stand out."""
        return self.contrast or self.min_contrast is not None
