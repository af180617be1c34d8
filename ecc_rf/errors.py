"""Everything that can go wrong and that a user can mend.

The tree; each error also derives from the builtin that a caller would catch::

    EccError
    ├── MissingFileError        (FileNotFoundError)  a file, dataset or array that is not there
    ├── FormatError             (ValueError)         a file that is not what its name says, or is damaged
    ├── AxesError               (ValueError)         axis letters that do not fit the data
    ├── ShapeError              (ValueError)         extents or channels that do not fit together
    │   └── ImageTooSmallError                       an image smaller than a filter
    ├── ProjectError            (ValueError)         an ilastik project that cannot be used
    │   ├── WorkflowError                            a project of another workflow or of ilastik 0.5
    │   ├── NoForestError                            a project without a usable stored forest
    │   └── NoLaneError                              a project without an image
    ├── LabelError              (LookupError)        a label that the project does not have
    ├── SettingError            (ValueError)         an option outside its range
    ├── ImageValueError         (ValueError)         voxels that cannot be computed with (NaN, infinity)
    ├── OutputExistsError       (FileExistsError)    a result is there already
    ├── OutputError             (OSError)            a result cannot be written
    │   └── OutputBusyError                          another run is at work on it
    ├── ResumeError             (ValueError)         an unfinished result of another run
    ├── WorkerError             (OSError)            a process that computes ends again and again
    └── MemoryBudgetError       (MemoryError)        a plan that does not fit the memory budget

`Interrupted` is no error but what Ctrl-C becomes where something was kept: a KeyboardInterrupt with a message.

A message has up to three parts: what is wrong, where, and what to do about it.
"""

from __future__ import annotations


class EccError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    what : str
        What is wrong, one sentence, with the offending and the expected value.
    where : str, optional
        File, dataset, lane or option, as the user knows it.
    do : str, optional
        What the user can do about it, one sentence.
    """

    def __init__(self, what: str, where: str = "", do: str = "") -> None:
        super().__init__(what, where, do)
        self.what = what
        self.where = where
        self.do = do

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.do:
            lines.append(f"  what to do: {self.do}")
        return "\n".join(lines)


class MissingFileError(EccError, FileNotFoundError):
    """A file, dataset or array that is not there."""


class FormatError(EccError, ValueError):
    """A file that is not what its name says, or is damaged."""


class AxesError(EccError, ValueError):
    """Axis letters that do not fit the data."""


class ShapeError(EccError, ValueError):
    """Extents or numbers of channels that do not fit together."""


class ImageTooSmallError(ShapeError):
    """An image smaller than a filter."""


class ProjectError(EccError, ValueError):
    """An ilastik project that cannot be used."""


class WorkflowError(ProjectError):
    """A project of another workflow, or of ilastik 0.5."""


class NoForestError(ProjectError):
    """A project without a usable stored forest."""


class NoLaneError(ProjectError):
    """A project without an image."""


class LabelError(EccError, LookupError):
    """A label that the project does not have."""


class SettingError(EccError, ValueError):
    """An option outside its range."""


class ImageValueError(EccError, ValueError):
    """Voxels that cannot be computed with."""


class OutputExistsError(EccError, FileExistsError):
    """A result is there already."""


class OutputError(EccError, OSError):
    """A result cannot be written."""


class OutputBusyError(OutputError):
    """Another run is at work on a result."""


class ResumeError(EccError, ValueError):
    """An unfinished result that this run cannot go on with."""


class WorkerError(EccError, OSError):
    """A process that computes ends again and again."""


class MemoryBudgetError(EccError, MemoryError):
    """A plan that does not fit the memory budget."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what is kept and how to go on."""
