"""`PixelClassifier` and `CellFinder` with the setters of the original ecc, for scripts that were written for it.

Such a script runs by changing its imports ``from ecc.ilastik_wrapper import PixelClassifier`` and
``from ecc.cellfinder import CellFinder`` [1]_::

    from ecc_rf.ecc import CellFinder, PixelClassifier

    pc = PixelClassifier()
    pc.set_project_file("PV.ilp")
    pc.set_input_image("brain.h5")
    pc.set_output_dir("results/")
    pc.run()                                    # results/prob_image.h5

    cf = CellFinder()
    cf.set_raw_image_path("brain.h5")
    cf.set_prob_image_path("results/prob_image.h5")
    cf.set_image_voxel_size({"X": 1.62, "Y": 1.62, "Z": 6.0})
    cf.set_prob_threshold(0.7)
    cf.set_outdir("results/")
    cf.run_main()                               # results/untitled_cells.csv

The classes set the parameters of `ecc_rf.PixelClassifier` and `ecc_rf.CellFinder`, which do the work; new scripts
use those. Setters may be called in any order; a wrong value is refused at once, and a setter that was forgotten is
named before anything is computed. **Results of an earlier run are replaced**, as the original did, but only when the
new ones are complete.

What is other than in the original:

* ilastik is not needed, and where it lies does not matter.
* Each cell is in the table once, wherever blocks end; the pieces of a split object bear their own volume and their
  intensity by the chosen mode; nothing is random. Numbers have all their digits, and more columns follow the seven.
* Probabilities are rounded to the nearest integer, as ilastik has done since July 2025, not cut off.
* An output folder needs no slash at its end. Without one the original's `PixelClassifier` wrote beside the folder.
* Images may have any format that `open_volume` reads. Of several datasets in an HDF5 file one must be named,
  ``brain.h5/raw``; the original's `CellFinder` took the first by name.
* Instead of printed lines there is a progress bar where a terminal watches, and the log ``ecc_rf.ecc``.

.. [1] https://github.com/DSPsleeporg/ecc
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ecc_rf import setters
from ecc_rf.errors import SettingError
from ecc_rf.setters import StrPath

# What does the work is imported by the methods: `from ecc_rf.ecc import CellFinder` answers at once.
if TYPE_CHECKING:
    import pandas as pd

    from ecc_rf.blocks import Progress
    from ecc_rf.prediction import PredictionRecord

__all__ = ["CellFinder", "PixelClassifier"]

MEGABYTE = 2**20  # as ilastik counts its limit
LEAST_MEGABYTES = 500  # ilastik takes no less: it would be gigabytes that were meant
LEAST_BLOCK = 50  # the original takes no smaller block
MODES = {"max": "max", "obj_mean": "mean", "local_mean": "local"}

_log = logging.getLogger(__name__)


class PixelClassifier:
    """The original's ilastik wrapper: probabilities of label 1 into ``prob_image.h5``.

    `set_project_file`, `set_input_image` and `set_output_dir` must be called before `run`.

    Examples
    --------
    >>> PixelClassifier().run()
    Traceback (most recent call last):
    ecc_rf.errors.SettingError: Settings are missing: set_project_file, set_input_image, set_output_dir.
      where: PixelClassifier
      what to do: Call set_project_file, set_input_image, set_output_dir before run.
    """

    def __init__(self) -> None:
        self._project = ""
        self._image = ""
        self._folder = ""
        self._name = "prob_image.h5"
        self._workers: int | None = None
        self._memory = 5000 * MEGABYTE
        self._verbose = True

    def set_project_file(self, project_path: StrPath) -> None:
        """The ilastik project with the trained classifier; its label 1 is the cell.

        Raises
        ------
        MissingFileError, FormatError, ProjectError
            If it is not there or no project of pixel classification.
        """
        from ecc_rf.ilp import IlastikProject

        path = setters.text_path("set_project_file", project_path)
        IlastikProject.open(path)
        self._project = path

    def set_input_image(self, image_path: StrPath) -> None:
        """The brain, for example ``brain.h5`` or ``brain.h5/data``.

        Raises
        ------
        MissingFileError, FormatError, AxesError
            If it is not there or no image.
        """
        self._image = setters.image("set_input_image", image_path)

    def set_output_dir(self, outdir: StrPath) -> None:
        """The folder of the result; it is made if it is not there.

        Raises
        ------
        OutputError
            If it cannot be written to.
        """
        self._folder = setters.folder("set_output_dir", outdir)

    def set_basename(self, basename: str) -> None:
        """Name of the result; default ``prob_image``, which gives ``prob_image.h5``.

        As with ilastik, what follows a last point is an extension and gives way to ``.h5``.
        """
        self._name = setters.h5_name("set_basename", basename)

    def set_num_threads(self, num_threads: float | str) -> None:
        """Number of threads, cut to a whole number; default one per core. The result does not depend on it."""
        self._workers = setters.cut("set_num_threads", num_threads, 1, "1 or more threads")

    def set_max_memory_size(self, max_ram: float | str) -> None:
        """Memory budget in megabytes of 2**20 bytes, cut to a whole number; default 5000.

        Less than 500 are refused, as ilastik refuses them. The result does not depend on it.
        """
        expected = f"{LEAST_MEGABYTES} or more megabytes (not gigabytes)"
        self._memory = setters.cut("set_max_memory_size", max_ram, LEAST_MEGABYTES, expected) * MEGABYTE

    def set_verbose(self, verbose: bool) -> None:
        """Whether progress is shown where a terminal watches; default True."""
        self._verbose = setters.truth("set_verbose", verbose)

    def set_ilastik_executable_path(self, path: object) -> None:
        """Taken and ignored, with a warning that says so."""
        warnings.warn("set_ilastik_executable_path: ilastik is not needed, its path is ignored.", stacklevel=2)

    def run(self, just_checking_command: bool = False) -> PredictionRecord | None:
        """Predict the image into ``OUTPUT_DIR/BASENAME.h5``, replacing such a file.

        The dataset ``probability`` is uint8, 255 times the probability of label 1, with the axes ``zyxc`` and one
        channel. What was odd about the project is given as a UserWarning.

        Parameters
        ----------
        just_checking_command : bool
            Stop when project and image are found to fit each other. (The original printed its command.)

        Returns
        -------
        PredictionRecord or None
            What was done; None after a mere check.

        Raises
        ------
        SettingError
            If a setter was forgotten, or the result would replace the image.
        EccError
            As `ecc_rf.PixelClassifier.predict_volume`.
        """
        from ecc_rf.classifier import PixelClassifier as Classifier
        from ecc_rf.ilp import IlastikProject
        from ecc_rf.prediction import CANONICAL
        from ecc_rf.volumes import AxisView, open_volume

        setters.refuse_forgotten(
            type(self).__name__,
            "run",
            {
                "set_project_file": self._project,
                "set_input_image": self._image,
                "set_output_dir": self._folder,
            },
        )
        output = setters.result("set_output_dir", self._folder, self._name)
        setters.refuse_own_input(output, self._image)
        project = IlastikProject.open(self._project)
        classifier = Classifier.from_project(project)
        for note in (*project.notes, *(f"The stored forest is stale: {reason}." for reason in project.stale())):
            warnings.warn(note, stacklevel=2)
        with open_volume(self._image) as volume:
            image = AxisView(volume, "zyxc")  # the axes of the original's result
            classifier.plan(AxisView(image, CANONICAL).shape, image.name)
            if just_checking_command:
                _log.info("%s can be predicted by %s", self._image, self._project)
                return None
            record = classifier.predict_volume(
                image,
                output,
                labels=[1],
                dtype="uint8",
                workers=self._workers,
                memory=self._memory,
                overwrite=True,
                progress=_progress(self._verbose),
            )
        _log.info("probabilities of %d voxels are in %s", record.voxels, output)
        return record


class CellFinder:
    """The original's cell finder: a probability image and a raw image into ``NICKNAME_cells.csv``.

    `set_image_voxel_size`, `set_raw_image_path`, `set_prob_image_path` and `set_outdir` must be called before
    `run_main`. Everything else has the original's defaults: threshold 0.7, no least and no largest volume,
    intensity ``max``, nickname ``untitled``, one worker per core.

    Attributes
    ----------
    table_path : str
        The table of the last run; empty before.
    """

    def __init__(self) -> None:
        self.table_path = ""
        self._raw = ""
        self._probability = ""
        self._mask: str | None = None
        self._folder = ""
        self._nickname = "untitled"
        self._voxel_size: tuple[float, float, float] | None = None
        self._threshold = 0.7
        self._min_volume = 0
        self._max_volume: int | None = None
        self._mode = "max"
        self._signal_radius = 1
        self._background_radius = 4
        self._background_percentile = 5.0
        self._block: tuple[int, int, int] | None = None
        self._workers: int | None = None
        self._verbose = True

    def set_image_voxel_size(self, vx_size: Mapping[str, float]) -> None:
        """Extents of a voxel in µm: ``{"X": 6.45, "Y": 6.45, "Z": 7.0}``."""
        setter, example = "set_image_voxel_size", '{"X": 6.45, "Y": 6.45, "Z": 7.0}'
        x, y, z = (setters.length(setter, axis, setters.entry(setter, vx_size, axis, example)) for axis in "XYZ")
        self._voxel_size = (z, y, x)

    def set_block_size(self, blksize: Mapping[str, int]) -> None:
        """Extent of a block in voxels, 50 or more: ``{"blocksize": 120, "overlap": 20}``; default by the memory.

        Cells do not depend on it. An overlap is not needed: it is checked and ignored.
        """
        setter, example = "set_block_size", '{"blocksize": 120, "overlap": 20}'
        extent = setters.entry(setter, blksize, "blocksize", example)
        size = setters.whole(f"{setter}, blocksize", extent, LEAST_BLOCK, "voxels")
        setters.whole(f"{setter}, overlap", blksize.get("overlap", 0), 0, "voxels")
        self._block = (size, size, size)

    def set_buffersize(self, buffersize: int) -> None:
        """Number of blocks that are kept waiting: checked and ignored, none are."""
        setters.whole("set_buffersize", buffersize, 0, "blocks")

    def set_prob_threshold(self, prob_threshold: float) -> None:
        """Voxels of a cell have a larger probability than this, 0 to 1; default 0.7."""
        self._threshold = setters.number("set_prob_threshold", prob_threshold, 0, 1, "a probability from 0 to 1")

    def set_min_particle_volume(self, min_volume: float) -> None:
        """Objects of at most so many voxels are dropped; default 0."""
        self._min_volume = setters.voxels("set_min_particle_volume", min_volume)

    def set_max_particle_volume(self, max_volume: float) -> None:
        """Objects of more voxels are split, as `ecc_rf.CellFinder` does by default; without it no object is."""
        self._max_volume = setters.voxels("set_max_particle_volume", max_volume)

    def set_intensity_computation_mode(self, mode: str) -> None:
        """Signal of a cell: ``max`` (default) or ``local_mean`` around its centre, or ``obj_mean`` of its voxels."""
        if not isinstance(mode, str) or mode not in MODES:
            raise setters.refusal("set_intensity_computation_mode", mode, " or ".join(map(repr, MODES)))
        self._mode = mode

    def set_local_max_rad(self, local_max_rad: int) -> None:
        """Radius in voxels of the cube around the centre in which the signal is measured; default 1."""
        self._signal_radius = setters.whole("set_local_max_rad", local_max_rad, 0, "voxels")

    def set_local_min_rad(self, local_min_rad: int) -> None:
        """Radius in voxels of the cube around the centre in which the background is measured; default 4."""
        self._background_radius = setters.whole("set_local_min_rad", local_min_rad, 0, "voxels")

    def set_local_min_percentile(self, local_min_percentile: float) -> None:
        """Percentile of the voxels of that cube which is the background, 0 to 100; default 5."""
        expected = "a percentile from 0 to 100"
        self._background_percentile = setters.number("set_local_min_percentile", local_min_percentile, 0, 100, expected)

    def set_nickname(self, nickname: str) -> None:
        """First part of the table's name, ``NICKNAME_cells.csv``; default ``untitled``."""
        self._nickname = setters.file_name("set_nickname", nickname)

    def set_outdir(self, outdir: StrPath) -> None:
        """The folder of the table; it is made if it is not there. Errors as in `PixelClassifier.set_output_dir`."""
        self._folder = setters.folder("set_outdir", outdir)

    def set_raw_image_path(self, filepath: StrPath) -> None:
        """The image in which intensities are measured. Errors as in `PixelClassifier.set_input_image`."""
        self._raw = setters.image("set_raw_image_path", filepath)

    def set_prob_image_path(self, filepath: StrPath) -> None:
        """The probabilities, of the same extents. Errors as in `PixelClassifier.set_input_image`."""
        self._probability = setters.image("set_prob_image_path", filepath)

    def set_mask_image_path(self, filepath: StrPath) -> None:
        """A mask of the same extents: where it is not 0 no cell is looked for. Optional."""
        self._mask = setters.image("set_mask_image_path", filepath)

    def set_num_workers(self, num_workers: int) -> None:
        """Number of threads; default one per core. The table does not depend on it."""
        self._workers = setters.whole("set_num_workers", num_workers, 1, "threads")

    def set_verbose(self, verbose: bool) -> None:
        """Whether progress is shown where a terminal watches; default True."""
        self._verbose = setters.truth("set_verbose", verbose)

    def run_main(self) -> pd.DataFrame:
        """Find the cells and write them to ``OUTDIR/NICKNAME_cells.csv``, replacing such a file.

        Returns
        -------
        DataFrame
            The table: X, Y, Z in µm, deltaI, BG, vol in µm³, deltaI_total, then the columns of `ecc_rf.cells.table`.
            If there is no cell it is empty and a UserWarning is given.

        Raises
        ------
        SettingError
            If a setter was forgotten, or the largest volume is not more than the least.
        EccError
            As `ecc_rf.CellFinder.find`.
        """
        from ecc_rf.cells import CellFinder as Finder
        from ecc_rf.cells import write_cells

        setters.refuse_forgotten(
            type(self).__name__,
            "run_main",
            {
                "set_image_voxel_size": self._voxel_size,
                "set_raw_image_path": self._raw,
                "set_prob_image_path": self._probability,
                "set_outdir": self._folder,
            },
        )
        if self._max_volume is not None and self._max_volume <= self._min_volume:
            raise SettingError(
                f"The largest volume, {self._max_volume} voxels, is not more than the least, {self._min_volume}.",
                where="set_max_particle_volume and set_min_particle_volume",
                do="Give a larger volume above which objects are split.",
            )
        output = setters.result("set_outdir", self._folder, f"{self._nickname}_cells.csv")
        finder = Finder(
            threshold=self._threshold,
            min_volume=self._min_volume,
            max_volume=self._max_volume,
            intensity=MODES[self._mode],
            signal_radius=self._signal_radius,
            background_radius=self._background_radius,
            background_percentile=self._background_percentile,
        )
        cells = finder.find(
            self._probability,
            self._raw,
            mask=self._mask,
            voxel_size=self._voxel_size,
            workers=self._workers,
            block_shape=self._block,
            progress=_progress(self._verbose),
        )
        write_cells(cells, output, overwrite=True)
        self.table_path = str(output)
        _log.info("%d cells are in %s", len(cells), output)
        return cells


def _progress(verbose: bool) -> Progress:
    from ecc_rf.blocks import SilentProgress, TerminalProgress

    return TerminalProgress() if verbose else SilentProgress()
