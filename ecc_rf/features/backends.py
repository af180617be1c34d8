"""Who computes the features: our own code, or the package that ilastik uses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ecc_rf.errors import SettingError

BACKENDS = ("native", "fastfilters")


def check_backend(name: str) -> str:
    """The name, if there is such a backend and it can be used.

    Raises
    ------
    SettingError
        If there is none of that name, or its package is not installed.
    """
    if name not in BACKENDS:
        raise SettingError(f"{name!r} computes no features.", where="backend", do=f"Choose {' or '.join(BACKENDS)}.")
    if name == "fastfilters":
        from ecc_rf.features import fastfilters

        fastfilters.load()
    return name


def features_function(name: str) -> Callable[..., np.ndarray]:
    """What computes the features of a block: ``function(block, plan, core, origin=...)``."""
    if name == "fastfilters":
        from ecc_rf.features.fastfilters import compute_features as theirs

        return theirs
    from ecc_rf.features.extract import compute_features as ours

    return ours
