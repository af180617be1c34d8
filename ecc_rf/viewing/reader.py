"""The reader that napari finds: result folders, probability and object volumes, tables of cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ecc_rf.viewing.layers import LayerData
from ecc_rf.viewing.results import is_ours, layers_of, shown_of


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """What reads a path, or None if it is not for this reader; napari asks before it opens a file.

    Parameters
    ----------
    path : str or sequence of str
        Several where the user opens several at once.
    """
    paths = [path] if isinstance(path, str) else list(path)
    return read if paths and all(is_ours(one) for one in paths) else None


def read(path: str | Sequence[str]) -> list[LayerData]:
    """The layers of a path that `get_reader` has accepted; raises as `layers_of`."""
    paths = [path] if isinstance(path, str) else list(path)
    return layers_of(shown_of(paths))
