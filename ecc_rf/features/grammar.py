"""Feature selections in words, for the command line.

Items are separated by spaces; the selection is all of them together::

    recommended                 the selection that works well for cells
    all                         every filter at every scale that ilastik offers
    gaussian:0.3,0.7            a filter at these scales
    2d:0.3,0.7                  these scales are computed plane by plane
    2d                          all scales are
"""

from __future__ import annotations

from ecc_rf.errors import SettingError
from ecc_rf.features.selection import (
    DEFAULT_SCALES,
    DIFFERENCE,
    FEATURE_IDS,
    GAUSSIAN,
    GRADIENT,
    HESSIAN,
    LAPLACIAN,
    STRUCTURE,
    FeatureSelection,
)
from ecc_rf.near import advice

SHORT_NAMES = {
    "gaussian": GAUSSIAN,
    "laplacian": LAPLACIAN,
    "gradient": GRADIENT,
    "difference": DIFFERENCE,
    "structure": STRUCTURE,
    "hessian": HESSIAN,
}
"""Names of the filters in words."""

_SMALLEST = {GAUSSIAN: 0.3}  # ilastik offers the smallest scale for the Gaussian alone
_FROM = 0.7
_EXAMPLE = "write for example: recommended, or gaussian:0.3,0.7 hessian:1.0,1.6"


def parse_selection(text: str) -> FeatureSelection:
    """The selection that a text names.

    Raises
    ------
    SettingError
        If it cannot be understood, or names no feature.

    >>> parse_selection("recommended") == FeatureSelection.recommended()
    True
    >>> parse_selection("gaussian:0.3 hessian:2.5,1.0 2d:1.0").cells
    (('GaussianSmoothing', 0), ('HessianOfGaussianEigenvalues', 2), ('HessianOfGaussianEigenvalues', 4))
    """
    ticked: set[tuple[str, float]] = set()
    flat: set[float] = set()
    all_flat = False
    for item in text.split():
        name, _, scales = item.partition(":")
        if item == "recommended":
            chosen = FeatureSelection.recommended()
            ticked |= {(feature, chosen.scales[column]) for feature, column in chosen.cells}
        elif item == "all":
            ticked |= {(name, s) for name in FEATURE_IDS for s in DEFAULT_SCALES if s >= _SMALLEST.get(name, _FROM)}
        elif item.lower() == "2d":
            all_flat = True
        elif name.lower() == "2d":
            flat |= set(_scales(scales, item))
        else:
            ticked |= {(_filter(name, item), scale) for scale in _scales(scales, item)}
    if not ticked:
        raise SettingError("no feature is named", "features", _EXAMPLE)
    columns = sorted({*DEFAULT_SCALES, *(scale for _, scale in ticked)})
    if flat - set(columns):
        raise SettingError(f"2d names the scales {sorted(flat - set(columns))}, which no filter has", "features")
    return FeatureSelection(
        FEATURE_IDS,
        tuple(columns),
        tuple(tuple((feature, scale) in ticked for scale in columns) for feature in FEATURE_IDS),
        tuple(all_flat or scale in flat for scale in columns) if all_flat or flat else None,
    )


def selection_text(selection: FeatureSelection) -> str:
    """A selection in words; that of `parse_selection`.

    >>> selection_text(parse_selection("hessian:1.6 gaussian:0.3,0.7"))
    'gaussian:0.3,0.7 hessian:1.6'
    """
    short = {full: name for name, full in SHORT_NAMES.items()}
    words: dict[str, list[str]] = {}
    for feature, column in selection.cells:
        words.setdefault(short[feature], []).append(f"{selection.scales[column]:g}")
    used = {column for _, column in selection.cells}
    flags = selection.compute_in_2d or ()
    flat = [f"{selection.scales[k]:g}" for k, flag in enumerate(flags) if flag and k in used]
    if flat:
        words["2d"] = flat
    return " ".join(f"{name}:{','.join(scales)}" for name, scales in words.items())


def _filter(name: str, item: str) -> str:
    known = {**SHORT_NAMES, **{full.lower(): full for full in FEATURE_IDS}}
    if name.lower() not in known:
        raise SettingError(
            f"{item!r}: there is no filter {name!r}",
            "features",
            advice(name, (*SHORT_NAMES, *FEATURE_IDS), f"There are {', '.join(SHORT_NAMES)}; {_EXAMPLE}"),
        )
    return known[name.lower()]


def _scales(text: str, item: str) -> list[float]:
    try:
        scales = [float(part) for part in text.split(",")]
    except ValueError:
        scales = []
    if not scales or not all(0 < scale < float("inf") for scale in scales):
        raise SettingError(f"{item!r}: scales are sigmas in voxels, with commas", "features", _EXAMPLE)
    return scales
