"""Colours of labels."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

# ilastik's first three; from the fourth on after Sasha Trubetskoy's list of simple, distinct colours.
_DISTINCT = (
    (255, 225, 25),
    (0, 130, 200),
    (230, 25, 75),
    (70, 240, 240),
    (60, 180, 75),
    (245, 130, 48),
    (145, 30, 180),
    (240, 50, 230),
    (210, 245, 60),
    (250, 190, 212),
    (0, 128, 128),
    (170, 110, 40),
    (220, 190, 255),
    (128, 0, 0),
    (170, 255, 195),
    (0, 0, 128),
)


def label_colors(stored: NDArray[Any] | None, n_labels: int) -> list[tuple[int, int, int]]:
    """One (red, green, blue) per label, 0 to 255: as stored, otherwise from a list of distinct colours.

    >>> label_colors(None, 2)
    [(255, 225, 25), (0, 130, 200)]
    """
    colors = [_DISTINCT[number % len(_DISTINCT)] for number in range(n_labels)]
    if stored is None or stored.ndim != 2 or stored.shape[1] != 3 or stored.dtype.kind not in "iu":
        return colors
    for number, (red, green, blue) in enumerate(stored[:n_labels].clip(0, 255).tolist()):
        colors[number] = (red, green, blue)
    return colors
