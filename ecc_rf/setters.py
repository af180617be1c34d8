"""What the setters of `ecc_rf.ecc` take and refuse; every message names the setter."""

from __future__ import annotations

import contextlib
import math
import numbers
import os
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

from ecc_rf.errors import EccError, OutputError, OutputExistsError, SettingError

StrPath = str | os.PathLike[str]

SMALLEST = sys.float_info.min
LARGEST = sys.float_info.max


def number(setter: str, value: object, low: float, high: float, expected: str) -> float:
    """A number from `low` to `high`, both included.

    >>> number("set_prob_threshold", 1.5, 0, 1, "a probability from 0 to 1")
    Traceback (most recent call last):
    ecc_rf.errors.SettingError: The value is 1.5; it must be a probability from 0 to 1.
      where: set_prob_threshold
    """
    given = _real(value)
    if not low <= given <= high:
        raise refusal(setter, value, expected)
    return given


def _real(value: object) -> float:
    """A number as a float; NaN, which is in no range, for everything else: True and False are no numbers here."""
    if isinstance(value, (int, float, numbers.Real)) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return float(value)
    return math.nan


def whole(setter: str, value: object, least: int, unit: str) -> int:
    """A whole number of `least` or more.

    >>> whole("set_num_workers", 4.0, 1, "threads")
    4
    """
    expected = f"a whole number of {unit}, {least} or more"
    result = number(setter, value, least, LARGEST, expected)
    if not result.is_integer():
        raise refusal(setter, value, expected)
    return int(result)


def cut(setter: str, value: object, least: int, expected: str) -> int:
    """A number or its text, cut to a whole number as the original cuts it.

    >>> cut("set_num_threads", "2", 1, ""), cut("set_num_threads", 2.9, 1, "")
    (2, 2)
    """
    given = _real(value)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            given = float(value)
    if not least <= given <= LARGEST:
        raise refusal(setter, value, expected)
    return int(given)


def voxels(setter: str, value: object) -> int:
    """A number of voxels, cut to a whole one.

    It is a limit, compared as "more than" or "at most", for which 64.5 voxels and 64 voxels are the same. Beyond
    what any volume can have all limits are the same, too.

    >>> voxels("set_max_particle_volume", 64.5), voxels("set_max_particle_volume", float("inf")) == 2**62
    (64, True)
    """
    return int(min(number(setter, value, 0, math.inf, "0 or more voxels"), 2**62))


def length(setter: str, axis: str, value: object) -> float:
    """An extent of a voxel in µm."""
    return number(f"{setter}, {axis}", value, SMALLEST, LARGEST, "a length in µm of more than 0")


def truth(setter: str, value: object) -> bool:
    """True or False, also 1 or 0, and those of numpy; text is refused, for any would count as true."""
    if isinstance(value, str) or str(value) not in ("True", "False", "1", "0"):
        raise refusal(setter, value, "True or False")
    return bool(value)


def entry(setter: str, values: object, key: str, example: str) -> object:
    """One value of a dictionary.

    >>> entry("set_block_size", {}, "blocksize", '{"blocksize": 120}')
    Traceback (most recent call last):
    ecc_rf.errors.SettingError: 'blocksize' is missing in {}.
      where: set_block_size
      what to do: Give for example {"blocksize": 120}.
    """
    do = f"Give for example {example}."
    if not isinstance(values, Mapping):
        raise SettingError(f"The value is {values!r}; it must be a dictionary.", where=setter, do=do)
    if key not in values:
        raise SettingError(f"{key!r} is missing in {dict(values)!r}.", where=setter, do=do)
    result: object = values[key]
    return result


def file_name(setter: str, value: object) -> str:
    """A part of a file's name, without folders.

    A slash at its start is left out: it makes up for the one that the original wants at the end of its folders.
    """
    name = value.lstrip("/") if isinstance(value, str) else ""
    if not name or set(name) & {"/", "\0", os.sep}:
        raise refusal(setter, value, "a name without folders")
    return name


def h5_name(setter: str, value: object) -> str:
    """The name of ilastik's HDF5 export: what follows a last point is an extension and gives way to ``.h5``.

    A UserWarning says so where that changes more than the name of the format.

    >>> h5_name("set_basename", "brain_7"), h5_name("set_basename", "brain_7.hdf5")
    ('brain_7.h5', 'brain_7.h5')
    """
    name = file_name(setter, value)
    if set(name) & {"{", "}"}:
        raise refusal(setter, value, "a name without ilastik's placeholders in braces, which are not replaced")
    stem, extension = os.path.splitext(name)  # noqa: PTH122 - a name, not a path, and ilastik's own way
    if extension.lower() not in ("", ".h5", ".hdf5"):
        warnings.warn(f"{setter}: the result of {name} is named {stem}.h5, as by ilastik.", stacklevel=3)
    return f"{stem}.h5"


def text_path(setter: str, value: object) -> str:
    """A path as text; empty text and whatever is no path are refused."""
    if not isinstance(value, (str, os.PathLike)) or not str(value) or "\0" in str(value):
        raise refusal(setter, value, "a path")
    return str(value)


def image(setter: str, value: object) -> str:
    """The path of an image that can be opened.

    Raises
    ------
    MissingFileError, FormatError, AxesError
        As `open_volume`.
    """
    from ecc_rf.volumes import open_volume  # late: the formats' libraries are heavy

    path = text_path(setter, value)
    open_volume(path).close()
    return path


def folder(setter: str, value: object) -> str:
    """A folder that can be written to; it is made, as the original makes it.

    Raises
    ------
    OutputError
    """
    path = Path(text_path(setter, value)).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OutputError(
            f"The output folder cannot be written to: {error.strerror}.",
            where=f"{setter}, {path}",
            do="Give a folder in which you may write.",
        ) from error
    return str(path)


def result(setter: str, directory: str, name: str) -> Path:
    """Where a result belongs, once it is certain that it can be written there; of the file itself nothing is touched.

    Raises
    ------
    OutputError
        If it cannot be written.
    OutputExistsError
        If there is a folder of the result's name: only files are replaced.
    """
    from ecc_rf.volumes.unfinished import UnfinishedOutput

    path = Path(folder(setter, directory)) / name
    try:
        if path.is_dir():
            raise OutputExistsError(
                f"There is a folder named {name}, where the result belongs.",
                where=str(path),
                do="Move it, or name another.",
            )
        UnfinishedOutput(path, str(path), overwrite=True)  # whose name is longer than that of the result
    except EccError:
        raise
    except OSError as error:
        raise OutputError(
            f"The result cannot be written: {error.strerror}.", where=str(path), do="Give it another name."
        ) from error
    return path


def refuse_own_input(output: Path, image: str) -> None:
    """A result must not replace the image that it is computed from.

    Raises
    ------
    SettingError
    """
    from ecc_rf.volumes.paths import split_path

    source = split_path(image).file
    if output.exists() and source.exists() and output.samefile(source):
        raise SettingError(
            "The result would replace the image itself.",
            where=str(output),
            do="Give another set_output_dir or set_basename.",
        )


def refuse_forgotten(owner: str, method: str, given: Mapping[str, object]) -> None:
    """Name the setters that have not been called, those without a value in `given`.

    Raises
    ------
    SettingError
    """
    missing = ", ".join(setter for setter, value in given.items() if not value)
    if missing:
        raise SettingError(f"Settings are missing: {missing}.", where=owner, do=f"Call {missing} before {method}.")


def refusal(setter: str, value: object, expected: str) -> SettingError:
    """The error for a value that a setter does not take."""
    return SettingError(f"The value is {value!r}; it must be {expected}.", where=setter)
