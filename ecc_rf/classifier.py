"""PixelClassifier: a feature selection and a forest, applied to arrays and volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecc_rf.blocks import Progress, parse_memory, resolve_workers
from ecc_rf.blocks.owner import WHOLE
from ecc_rf.blocks.remote import Backend
from ecc_rf.classification import classify_volume
from ecc_rf.errors import ImageTooSmallError, NoLaneError, SettingError, ShapeError
from ecc_rf.export import Export
from ecc_rf.features import FeaturePlan, FeatureSelection
from ecc_rf.features.backends import check_backend
from ecc_rf.forest import RandomForest
from ecc_rf.ilp import IlastikProject, LaneLabels
from ecc_rf.image_normalization import trained_normalization
from ecc_rf.machine import Machine
from ecc_rf.normalization import Normalization, ScaledNormalization
from ecc_rf.notebook import Shown
from ecc_rf.ordering import make_order
from ecc_rf.prediction import CANONICAL, Prediction, PredictionRecord, Readable, reorder
from ecc_rf.volumes import Volume, default_axes, transpose_to
from ecc_rf.volumes.axes import check_axes
from ecc_rf.volumes.base import VoxelSize

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ecc_rf.lane_normalization import LaneChoice
    from ecc_rf.preview import PreviewSettings
    from ecc_rf.training import Training, TrainingSettings
    from ecc_rf.training_report import TrainingReport


class PixelClassifier(Shown):
    """A feature selection and a random forest.

    Parameters
    ----------
    features : FeatureSelection
        Which filters at which scales.
    forest : RandomForest
        Its columns are the features' channels.
    label_names : sequence of str
        One per probability channel; label 1 first.
    name : str, optional
        Where it comes from, for messages.
    backend : {'native', 'fastfilters'}
        Who computes the features: this package, or fastfilters where that is installed (from conda; a second opinion).

    Raises
    ------
    ShapeError
        If the number of label names is not the forest's number of labels.
    SettingError
        If the backend is not there.
    """

    def __init__(
        self,
        features: FeatureSelection,
        forest: RandomForest,
        label_names: Sequence[str],
        *,
        name: str = "classifier",
        backend: str = "native",
    ) -> None:
        if len(label_names) != forest.n_labels:
            raise ShapeError(
                f"There are {len(label_names)} label names for {forest.n_labels} labels of the forest.",
                where=name,
            )
        self.selection = features
        self.forest = forest
        self.label_names = tuple(label_names)
        self.name = name
        self.backend = check_backend(backend)
        self.training: TrainingReport | None = None
        self._project: IlastikProject | None = None
        self._normalization: Normalization | None = None

    @property
    def normalization(self) -> Normalization | None:
        """How the images were normalised that the forest was trained on; None if they were not."""
        if self._project is not None:  # not before it is asked for: it may look for the project's images
            self._normalization, self._project = trained_normalization(self._project, anyway=True), None
        return self._normalization

    @classmethod
    def from_project(cls, project: IlastikProject | str | Path, *, backend: str = "native") -> PixelClassifier:
        """The classifier that a project stores.

        Parameters
        ----------
        project : IlastikProject or path
            An opened project, or the path of one.
        backend : {'native', 'fastfilters'}
            Who computes the features.

        Raises
        ------
        NoForestError
            If no usable forest is stored.
        NoLaneError
            If the project has no image at all: it was never trained, whatever else it holds.
        """
        if not isinstance(project, IlastikProject):
            project = IlastikProject.open(project)
        forest = project.forest()
        if not project.lanes:
            raise NoLaneError(
                "The project has no image.",
                where=str(project.path),
                do="Add an image and labels in ilastik, train and save, then try again.",
            )
        classifier = cls(project.features, forest, project.label_names, name=str(project.path), backend=backend)
        classifier._project = project
        return classifier

    @classmethod
    def train(
        cls,
        project: IlastikProject | str | Path,
        *,
        seed: int = 0,
        trees: int = 100,
        images: Mapping[int | str, str | Path] | None = None,
        labels: Mapping[int, LaneLabels] | None = None,
        normalization: LaneChoice | Normalization | bool | None = None,
        workers: int | None = None,
        memory: str | int | None = None,
        progress: Progress | None = None,
    ) -> PixelClassifier:
        """Train a new forest on the labels of a project; the result's `training` is the report.

        `images` (for a project given by its path) are those of `IlastikProject.open`. `normalization` says whether the
        project's images are normalised first (True, or how); None: as the project notes. All else is as in
        `ecc_rf.training.train_project`.
        """
        from ecc_rf.lane_normalization import LaneChoice
        from ecc_rf.training import TrainingSettings, train_project

        if not isinstance(project, IlastikProject):
            project = IlastikProject.open(project, images=images)
        settings = TrainingSettings(trees, seed, workers, memory)
        how = LaneChoice.of(normalization)
        training = train_project(project, settings, labels=labels, normalization=how, progress=progress)
        classifier = cls._trained(training, str(project.path))
        classifier._normalization = training.normalization.normalization if training.normalization else None
        return classifier

    @classmethod
    def train_on(
        cls,
        images: Sequence[str | Path | Volume | np.ndarray],
        labels: Sequence[str | Path | Volume | np.ndarray | LaneLabels],
        features: FeatureSelection,
        label_names: Sequence[str],
        settings: TrainingSettings | None = None,
        *,
        axes: str | None = None,
        progress: Progress | None = None,
    ) -> PixelClassifier:
        """Train on images and label volumes, without a project; parameters as `ecc_rf.training.train_images`."""
        from ecc_rf.training import train_images

        training = train_images(images, labels, features, label_names, settings, axes=axes, progress=progress)
        return cls._trained(training, "classifier")

    @classmethod
    def _trained(cls, training: Training, name: str) -> PixelClassifier:
        classifier = cls(training.selection, training.forest, training.label_names, name=name)
        classifier.training = training.report
        return classifier

    def plan(self, shape_tczyx: tuple[int, ...], image: str = "the image") -> FeaturePlan:
        """The features for an image of these extents, checked against the forest.

        Raises
        ------
        ImageTooSmallError
            If a filter does not fit the image.
        ShapeError
            If the image's channels do not give the number of features that the forest was trained on.
        """
        _, channels, *zyx = shape_tczyx
        try:
            plan = self.selection.plan((zyx[0], zyx[1], zyx[2]), channels)
        except (ImageTooSmallError, SettingError) as error:  # knows neither image nor project
            raise type(error)(error.what, f"{image}, with {self.name}", error.do) from None
        wanted = self.forest.n_features
        if plan.n_features != wanted:
            per_channel, rest = divmod(plan.n_features, channels)
            trained = wanted / per_channel if rest == 0 and wanted % per_channel == 0 else None
            hint = f" It was trained on images of {int(trained)} channel(s)." if trained else ""
            raise ShapeError(
                f"{channels} channel(s) of extents z, y, x = {tuple(zyx)} give {plan.n_features} features;"
                f" the forest expects {wanted}.{hint}",
                where=f"{image}, with {self.name}",
                do="Give an image with the channels and dimensions of the training image; check its axes (--axes).",
            )
        return plan

    def feature_names(self, n_channels: int = 1, *, flat: bool = False) -> tuple[str, ...]:
        """Names of the feature channels as ilastik writes them.

        Parameters
        ----------
        n_channels : int
            Channels of the image.
        flat : bool
            Whether the image has a z extent of 1.
        """
        extent = 10**6  # large enough for every filter: names do not depend on it
        return self.selection.plan((1 if flat else extent, extent, extent), n_channels).names

    def predict(
        self,
        array: np.ndarray,
        axes: str | None = None,
        *,
        workers: int | None = None,
        memory: str | int | None = None,
    ) -> np.ndarray:
        """Probabilities of an array.

        Parameters
        ----------
        array : ndarray
            Any real type; it is not scaled.
        axes : str, optional
            Letters of ``tzyxc``, one per axis; default: by the number of dimensions as ilastik does (``yx``,
            ``zyx``, or ``yxc`` if the last of three extents is at most 4, ``zyxc``, ``tzyxc``).
        workers, memory
            As in `predict_volume`.

        Returns
        -------
        ndarray, float32
            Axes of the input without ``c``, then one channel per label.

        Raises
        ------
        AxesError, ShapeError, ImageTooSmallError, ImageValueError
            If the array cannot be classified.
        """
        return self._in_memory(array, axes, Export(), workers, memory)

    def features(
        self,
        array: np.ndarray,
        axes: str | None = None,
        *,
        workers: int | None = None,
        memory: str | int | None = None,
    ) -> np.ndarray:
        """Features of an array: float32, axes of the input without ``c``, then the feature channel.

        Parameters and errors are those of `predict`.
        """
        return self._in_memory(array, axes, Export(kind="features"), workers, memory)

    def preview(self, image: str | Path | Volume, settings: PreviewSettings | None = None) -> Figure:
        """Sections of an image with their probabilities, a figure of matplotlib, as `ecc_rf.preview` draws it."""
        from ecc_rf.preview import preview_classifier

        return preview_classifier(self, image, settings)

    def predict_volume(
        self,
        image: str | Path | Volume,
        output: str | Path,
        *,
        labels: str | Sequence[int | str] | None = None,
        export: str = "probabilities",
        dtype: str = "float32",
        rounding: str = "nearest",
        threshold: float | None = None,
        roi: Mapping[str, tuple[int | None, int | None]] | None = None,
        mask: str | Path | Volume | None = None,
        axes: str | None = None,
        voxel_size: VoxelSize | None = None,
        workers: int | None = None,
        memory: str | int | None = None,
        block_shape: tuple[int, int, int] | None = None,
        nan: str = "refuse",
        overwrite: bool = False,
        progress: Progress | None = None,
        restart: bool = False,
        part: tuple[int, int] = WHOLE,
        processes: Backend | None = None,
        skip_unreadable: bool = False,
        normalization: ScaledNormalization | bool | None = None,
    ) -> PredictionRecord:
        """Predict a volume of any size into a file, block by block.

        Parameters
        ----------
        image : path or Volume
            What `open_volume` reads.
        output : path
            ``.h5`` (dataset ``probability``, or as named: ``out.h5/name``), ``.ome.zarr``, ``.npy``, ``.tif``. Axes are
            the image's, ``c`` appended if it has none. It appears under its name when it is complete.
        labels : sequence of int or str, optional
            Labels whose probabilities are stored, by number from 1 or by name; default all, for a mask label 1.
        export, dtype, rounding, threshold
            See `Export`.
        roi : mapping, optional
            Half-open bounds per axis of ``tzyx``, for example ``{"z": (10, 50)}``; None as a bound means the end.
            Inside, the result is the same as without it.
        mask : path or Volume, optional
            Voxels that are 0 in it are not predicted: probability 0 of every label (ilastik's prediction mask).
        axes, voxel_size : optional
            Override what the image's file says; voxel size ``(z, y, x)`` in µm.
        workers : int, optional
            Threads; default one per core.
        memory : str or int, optional
            Budget such as ``"8GB"``; default 2 GiB.
        block_shape : tuple of int, optional
            Extents ``z y x`` of a block; default: from the budget. The values do not depend on it.
        nan : {'refuse', 'zero'}
            What becomes of voxels that are NaN or infinite: an error that names the first, or 0.
        overwrite : bool
            Replace an output that is there already, once the new one is complete.
        progress : Progress, optional
            Told of every finished block.
        restart : bool
            Begin anew; default: go on with an unfinished run of the same settings.
        part : (int, int)
            Compute only part I of N, for job arrays. The last one gives the output its name.
        processes : Backend, optional
            Processes that do the work, here or on other machines; default: threads.
        skip_unreadable : bool
            Take pieces of the image that cannot be read for 0; the record names them.
        normalization : ScaledNormalization or bool, optional
            How the image is normalised as it is read; True: as those of the training, with a scale that is estimated
            from it; False: not, whatever the forest was trained on; None: not, which is refused if it does not fit.

        Returns
        -------
        PredictionRecord

        Raises
        ------
        EccError
            The message says what is wrong, where, and what to do.
        Interrupted
            After Ctrl-C, if blocks are kept; the same call goes on with them.
        """
        order = make_order(
            self,
            image,
            output,
            labels=labels,
            export=export,
            dtype=dtype,
            rounding=rounding,
            threshold=threshold,
            roi=roi,
            mask=mask,
            axes=axes,
            voxel_size=voxel_size,
            block_shape=block_shape,
            overwrite=overwrite,
            skip_unreadable=skip_unreadable,
            nan=nan,
            normalization=normalization,
        )
        machine = Machine(workers, memory, processes, part, restart)
        return classify_volume(order, machine, progress)

    def _prediction(self, source: Readable, settings: Export, name: str) -> Prediction:
        forest = None if settings.kind == "features" else self.forest
        return Prediction(source, self.plan(source.shape, name), forest, settings, name=name, backend=self.backend)

    def _in_memory(
        self,
        array: np.ndarray,
        axes: str | None,
        settings: Export,
        workers: int | None,
        memory: str | int | None,
    ) -> np.ndarray:
        array = np.asarray(array)
        axes = check_axes(axes, array.ndim) if axes else default_axes(array.shape)
        source = transpose_to(array, axes, CANONICAL)
        job = self._prediction(source, settings, "the array")
        workers = resolve_workers(workers)
        budget = parse_memory(memory)
        t, _, *zyx = source.shape
        grid = job.grid(job.choose_block(tuple(zyx), array.dtype.itemsize, budget, workers))
        result_axes = axes.replace("c", "") + "c"
        result = np.empty(reorder((t, job.channels, *zyx), result_axes), settings.stored_dtype)
        job.run(transpose_to(result, result_axes, CANONICAL), grid, workers=workers)
        return result
