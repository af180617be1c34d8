"""The settings that are tried.

A *search* is what voxels and cells are found by: smoothing, threshold, splitting. Each is made once per volume; what
only leaves cells out, the least volume and the least contrast or the object model's cut, is tried on its table::

    searches     smoothing x threshold x splitting          one pass over the volume each
    filters      least volume x least contrast, or cuts     a look at the table each
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.cells import CellFinder
from ecc_rf.cells.splitting import SMALLEST
from ecc_rf.errors import SettingError

THRESHOLDS = (0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
SMOOTHINGS_UM = (0.0, 1.6, 2.4)
MIN_VOLUMES = (2, 3, 5, 8, 11)
MIN_CONTRASTS = (None, 1.5, 2.0, 2.5, 3.0, 4.0)
MAX_VOLUMES = (None, 64)
CUTS = tuple(round(0.05 + 0.025 * step, 3) for step in range(25))

MOST = 20_000  # combinations: beyond, seconds become minutes, and what is best of so many is luck


SEARCHED = ("threshold", "smoothing_um", "max_volume")
FILTERED = ("min_volume", "min_contrast", "object_cut")


@dataclass(frozen=True)
class Search:
    """A pass over a volume, and what is left out of its table in turn: values of `FILTERED`."""

    finder: CellFinder
    filters: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class SettingsGrid:
    """The values that are tried of each setting; those that are left empty are taken from the base.

    Parameters
    ----------
    base : CellFinder
        All other settings, and what ties are broken towards.
    threshold, smoothing_um, min_volume, min_contrast, max_volume, object_cut : sequences
        Of `CellFinder`'s settings of these names. `object_cut` is only for an object model.

    Raises
    ------
    SettingError
        If a value is outside its range, or there are too many combinations.
    """

    base: CellFinder = CellFinder()  # noqa: RUF009 (frozen)
    threshold: Sequence[float] = ()
    smoothing_um: Sequence[float] = ()
    min_volume: Sequence[int] = ()
    min_contrast: Sequence[float | None] = ()
    max_volume: Sequence[int | None] = ()
    object_cut: Sequence[float | None] = ()

    def __post_init__(self) -> None:
        if len(self) > MOST:
            raise SettingError(f"{len(self):,} combinations of settings are to be tried.", do="Give fewer values.")
        for name in SEARCHED + FILTERED:
            for value in getattr(self, name):
                replace(self._widest(), **{name: value})  # whether it is in its range

    @classmethod
    def usual(cls, base: CellFinder | None = None, *, raw: bool, model: bool, kept: Sequence[str] = ()) -> SettingsGrid:
        """The usual values.

        Parameters
        ----------
        base : CellFinder, optional
        raw : bool
            Whether contrasts can be measured.
        model : bool
            Whether an object model decides: then only its cut is tried.
        kept : sequence of str
            Settings that are not tried: the user has chosen.
        """
        tried: dict[str, Sequence[Any]] = {"object_cut": CUTS}
        if not model:
            tried = {
                "threshold": THRESHOLDS,
                "smoothing_um": SMOOTHINGS_UM,
                "min_volume": MIN_VOLUMES,
                "max_volume": MAX_VOLUMES,
                "min_contrast": MIN_CONTRASTS if raw else (),
            }
        return cls(base or CellFinder(), **{name: values for name, values in tried.items() if name not in kept})

    def __len__(self) -> int:
        return int(np.prod([len(self.values(name)) for name in SEARCHED + FILTERED]))

    def values(self, name: str) -> tuple[Any, ...]:
        """What is tried of a setting; at least the base's own value."""
        tried = tuple(getattr(self, name))
        return tried or (getattr(self.base, name),)

    @property
    def varied(self) -> tuple[str, ...]:
        """Settings of which more than one value is tried."""
        return tuple(name for name in SEARCHED + FILTERED if len(self.values(name)) > 1)

    def searches(self) -> list[Search]:
        """Finders whose tables hold the cells of all combinations, and what is left out of each table."""
        found = []
        for values in itertools.product(*map(self.values, SEARCHED)):
            searched = dict(zip(SEARCHED, values))
            if self.base.low_threshold is not None and searched["threshold"] < self.base.low_threshold:
                continue  # a hysteresis of the base only goes with thresholds above it
            for volumes in self._alike(searched["max_volume"]):
                finder = replace(
                    self.base,
                    **searched,
                    min_volume=min(volumes),
                    contrast=self.base.contrast or self.values("min_contrast") != (None,),
                    min_contrast=None,
                    object_cut=0.0,
                )
                filters = itertools.product(volumes, self.values("min_contrast"), self.values("object_cut"))
                found.append(Search(finder, tuple(dict(zip(FILTERED, filtered)) for filtered in filters)))
        return found

    def _alike(self, max_volume: int | None) -> list[tuple[int, ...]]:
        """Least volumes that may share a search: when objects are split, pieces that are too small are none."""
        volumes = [volume for volume in self.values("min_volume") if max_volume is None or volume < max_volume]
        if max_volume is None or self.base.split == "none":
            return [tuple(volumes)]
        free = SMALLEST * max_volume - 1e-6 if self.base.cell_diameter_um is None else 0.0
        shared = tuple(volume for volume in volumes if volume + 1 <= free)
        return [*([shared] if shared else []), *((volume,) for volume in volumes if volume + 1 > free)]

    def _widest(self) -> CellFinder:
        """A finder in which every value that is tried can be put."""
        return replace(self.base, low_threshold=None, max_volume=None, min_volume=0)

    def finder(self, search: CellFinder, filtered: Mapping[str, Any]) -> CellFinder:
        """The finder that gives the cells of a search that a filter keeps."""
        chosen = {name: getattr(search, name) for name in SEARCHED}
        return replace(self.base, **chosen, **filtered)

    def distance(self, finder: CellFinder) -> tuple[int, int]:
        """How far settings are from the base: how many differ, and by how many steps of the grid."""
        given, base = asdict(finder), asdict(self.base)
        differ = [name for name in self.varied if given[name] != base[name]]
        steps = 0
        for name in differ:
            values = self.values(name)
            nearest = min(range(len(values)), key=lambda k: (_gap(values[k], base[name]), k))
            steps += abs(values.index(given[name]) - nearest)
        return len(differ), steps


def _gap(one: float | None, other: float | None) -> float:
    """
    >>> _gap(0.5, 0.7) < _gap(None, 0.7), _gap(None, None)
    (True, 0.0)
    """
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    return abs(one - other)


def kept_rows(columns: Mapping[str, NDArray[Any]], filtered: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which cells of a table stay, as `CellFinder` would decide."""
    kept = np.asarray(columns["voxels"] > filtered["min_volume"])
    if filtered["min_contrast"] is not None:
        kept &= columns["contrast"] >= filtered["min_contrast"]
    if filtered["object_cut"] is not None and "cell_probability" in columns:
        kept &= columns["cell_probability"] >= filtered["object_cut"]
    return kept
