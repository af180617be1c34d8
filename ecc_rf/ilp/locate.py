"""Looking for the image of a lane.

In this order: where the user says; where the project says; beside the project; below the project's folder, by the
longest part of the stored path that exists there; likewise below the folders to search. Every place that was looked at
is remembered with the reason why it is not the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecc_rf.errors import EccError
from ecc_rf.ilp.stored_paths import (
    is_pattern,
    likely_places,
    matching_files,
    normalized,
    several_files,
    stored_places,
)
from ecc_rf.volumes import open_volume

if TYPE_CHECKING:
    from ecc_rf.ilp.lanes import Lane

_LONGEST_PATH = 4096  # characters, as Linux has it


@dataclass(frozen=True)
class Location:
    """Where a lane's image was looked for.

    Attributes
    ----------
    path : str or None
        What `open_volume` takes; None if the image was not found.
    shape, axes : tuple of int, str
        As the file itself has them; empty if the image was not found.
    tried : tuple of str
        Every place, with the reason why it is not the image.
    note : str
        What is odd about the image that was found, or why one like this cannot be looked for.
    """

    path: str | None
    shape: tuple[int, ...] = ()
    axes: str = ""
    tried: tuple[str, ...] = ()
    note: str = ""


def locate(lane: Lane) -> Location:
    """Look for the image of a lane.

    Raises
    ------
    EccError
        If the user's own place for it cannot be opened. An image that is not found is no error.
    """
    if lane.override is not None:
        with open_volume(lane.override) as volume:
            return _found(lane, lane.override, volume.shape, volume.axes, ())
    if lane.kind == "embedded":
        if not lane.inner_path:
            return Location(None, note="the copy inside the project is gone")
        return _first(lane, [f"{lane.project}/{lane.inner_path}"], [])
    path = normalized(lane.stored_path)
    if lane.kind == "url":
        return Location(None, note="images in the net are not fetched")
    if lane.kind == "array":
        return Location(None, note="the image was an array of a script and was never stored")
    if lane.kind == "none" or not path:
        return Location(None, note="the lane has no image")

    files = several_files(path)
    if len(files) == 1 and len(path) > _LONGEST_PATH:
        return Location(None, note=f"the stored path has {len(path):,} characters; no system has paths of that length")
    folder = lane.project.parent
    places = [str(place) for place in stored_places(path, folder)]
    if len(files) == 1 and is_pattern(path):
        fitting = [match for place in places for match in matching_files(place)]
        files = fitting or files
        places += fitting
    if len(files) > 1 and not any(_exists(place) for place in places[:1]):
        return Location(
            None,
            tried=tuple(f"{file[:_LONGEST_PATH]}: one of {len(files)} files" for file in files[:10]),
            note=f"it was stacked from {len(files)} files, along an axis that projects do not store; "
            "save the stack as one image",
        )
    guesses = [str(place) for place in likely_places(path, folder, lane.search)]
    foreign = () if places else (f"{path}: a path of another system",)
    return _first(lane, places, guesses, foreign)


def _first(lane: Lane, places: Sequence[str], guesses: Sequence[str], tried: Sequence[str] = ()) -> Location:
    """The first place that holds an image; one that is only guessed must also have the right shape."""
    reasons = list(tried)
    for path in dict.fromkeys([*places, *guesses]):
        try:
            with open_volume(path) as volume:
                shape, axes = volume.shape, volume.axes
        except EccError as error:
            reasons.append(f"{path}: {error.what}")
            continue
        except OSError as error:  # a folder that may not be looked into, a name that is too long
            reasons.append(f"{path}: {error.strerror or error}")
            continue
        if path not in places and fitting_axes(lane.stored_axes or axes, lane.stored_shape, shape) is None:
            reasons.append(f"{path}: another image, {_misfit(lane, shape)}")
            continue
        return _found(lane, path, shape, axes, reasons)
    return Location(None, tried=tuple(reasons))


def _found(lane: Lane, path: str, shape: tuple[int, ...], axes: str, tried: Sequence[str]) -> Location:
    fits = fitting_axes(lane.stored_axes or axes, lane.stored_shape, shape) is not None
    return Location(path, shape, axes, tuple(tried), "" if fits else f"the image has {_misfit(lane, shape)}")


def _misfit(lane: Lane, shape: tuple[int, ...]) -> str:
    expected = f"shape {lane.stored_shape}" if lane.stored_shape else f"axes {lane.stored_axes!r}"
    return f"shape {shape}, the project expects {expected}"


def fitting_axes(axes: str, stored_shape: tuple[int, ...], shape: tuple[int, ...]) -> str | None:
    """Axes for an image of this shape: the lane's, if need be without some of extent 1. None if it does not fit.

    >>> fitting_axes("zyxc", (9, 8, 7, 1), (9, 8, 7)), fitting_axes("yxc", (8, 7, 1), (8, 7, 1))
    ('zyx', 'yxc')
    >>> fitting_axes("zyx", (9, 8, 7), (9, 8, 6)), fitting_axes("tyxc", (), (5, 8, 7))
    (None, 'tyx')
    """
    if stored_shape and len(stored_shape) != len(axes):
        return None
    fitting = list(axes)
    extents = dict(zip(axes, stored_shape)) if stored_shape else dict.fromkeys("ctz", 1)
    for axis in "ctz":
        if len(fitting) > len(shape) and axis in fitting and extents[axis] == 1:
            fitting.remove(axis)
    if len(fitting) != len(shape):
        return None
    if stored_shape and tuple(extents[axis] for axis in fitting) != shape:
        return None
    return "".join(fitting)


def _exists(place: str) -> bool:
    try:
        return Path(place).exists()
    except (OSError, ValueError):
        return False
