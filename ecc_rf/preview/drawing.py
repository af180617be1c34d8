"""A preview drawn: image, classifier and strokes in, a figure and its file out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import FormatError, SettingError
from ecc_rf.export import resolve_labels
from ecc_rf.ilp import LaneLabels
from ecc_rf.image_normalization import NormalizationChoice, normalization_of
from ecc_rf.itksnap import ImportSettings
from ecc_rf.itksnap.frame import Frame, image_frame
from ecc_rf.normalization import NormalizedVolume
from ecc_rf.prediction import CANONICAL
from ecc_rf.preview.figure import SAFE, Legend, draw
from ecc_rf.preview.sections import View, compute_sections
from ecc_rf.volumes import AxisView, Volume, open_volume
from ecc_rf.volumes.base import VoxelSize, write_errors
from ecc_rf.volumes.unfinished import UnfinishedOutput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ecc_rf.classifier import PixelClassifier

_FORMATS = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
"""Extensions, and what matplotlib would write that is not the same the next time."""


@dataclass(frozen=True)
class PreviewSettings:
    """What a preview shows.

    Attributes
    ----------
    at : (z, y, x), optional
        The point; default the middle of the image.
    size, planes, time, channel
        As in `View`.
    threshold : float
        Of the outline.
    outline : int or str
        The label that is outlined, by number or name.
    palette : "project" or "safe"
        Colours of the labels: the project's, or some that colour-blind readers can tell apart.
    lane : int or str, optional
        The lane whose strokes are shown; default the one whose image this is.
    label_file : path, optional
        Strokes from a label file that is not imported yet, in place of the lane's where it lies.
    label_settings : ImportSettings
        How that file is to be understood.
    train : bool
        Train on the strokes, even if the project has a forest.
    axes, voxel_size
        Of the image, if the file is wrong.
    level : int or (z, y, x) in µm, optional
        Of a multi-resolution image, as in `open_volume`; the point is then a voxel of this level.
    nan : {'refuse', 'zero'}
        What becomes of voxels that are NaN or infinite.
    workers : int, optional
        Threads; default one per core.
    normalization : NormalizationChoice
        Whether the image is normalised; if a forest is trained, so are the project's images.

    Raises
    ------
    SettingError
        If threshold or palette are none.
    """

    at: tuple[int, int, int] | None = None
    size: int = 512
    planes: Sequence[str] = ("xy", "xz", "yz")
    time: int = 0
    channel: int = 0
    threshold: float = 0.7
    outline: int | str = 1
    palette: str = "project"
    lane: int | str | None = None
    label_file: str | Path | None = None
    label_settings: ImportSettings = field(default_factory=ImportSettings)
    train: bool = False
    axes: str | None = None
    voxel_size: VoxelSize | None = None
    level: int | VoxelSize | None = None
    nan: str = "refuse"
    workers: int | None = None
    normalization: NormalizationChoice = NormalizationChoice()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise SettingError(f"threshold {self.threshold}", "--threshold", "give a probability from 0 to 1")
        if self.palette not in ("project", "safe"):
            raise SettingError(f"palette {self.palette!r}", "--palette", "choose project or safe")


def preview_classifier(
    classifier: PixelClassifier,
    image: str | Path | Volume,
    settings: PreviewSettings | None = None,
    *,
    labels: LaneLabels | None = None,
    colors: Sequence[tuple[int, int, int]] | None = None,
) -> Figure:
    """Sections through a point of an image, with probabilities, outlines and strokes.

    Parameters
    ----------
    classifier : PixelClassifier
    image : path or Volume
    settings : PreviewSettings, optional
    labels : LaneLabels, optional
        Strokes that are shown.
    colors : sequence of (r, g, b), optional
        Of the labels, 0 to 255; default ilastik's.

    Returns
    -------
    Figure
        Of matplotlib: a notebook shows it, `save_figure` writes it.

    Raises
    ------
    EccError
        If the image cannot be read, or does not fit the classifier.
    """
    from ecc_rf.ilp.colors import label_colors

    settings = settings or PreviewSettings()
    with ExitStack() as stack:
        volume = stack.enter_context(open_image(image, settings)) if isinstance(image, str | Path) else image
        frame = image_frame(volume, volume.name)
        how = normalization_of(
            settings.normalization.wanted, volume, classifier.normalization, settings.axes, settings.voxel_size, "it"
        )
        volume = volume if how is None else NormalizedVolume.of(volume, how)
        known = list(colors or label_colors(None, len(classifier.label_names)))
        return draw_preview(volume, frame, classifier, settings, labels, known, title=volume.name)


def save_figure(figure: Figure, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a figure as .png, .pdf or .svg; it gets its name when it is complete.

    Raises
    ------
    FormatError
        If the extension is another one.
    OutputExistsError, OutputError
        If there is such a file, or it cannot be written.
    """
    suffix = checked_suffix(path)
    output = UnfinishedOutput(Path(path).expanduser(), str(path), overwrite)
    options: dict[str, Any] = {"metadata": _FORMATS[suffix]}
    if suffix == ".png":
        options["pil_kwargs"] = {"compress_level": 1}  # half the time, for a file a tenth larger
    try:
        with write_errors(str(path)):
            figure.savefig(output.path, format=suffix[1:], **options)
    except BaseException:
        output.discard()
        raise
    output.commit()


def check_output(path: str | Path, overwrite: bool) -> None:
    """Refuse what `save_figure` would refuse, before anything is computed."""
    checked_suffix(path)
    UnfinishedOutput(Path(path).expanduser(), str(path), overwrite)


def checked_suffix(path: str | Path) -> str:
    """The extension of a figure's file.

    Raises
    ------
    FormatError
        If it is none that is written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise FormatError(f"{suffix or 'no extension'} is no format of a figure", str(path), "call it NAME.png")
    return suffix


def open_image(image: str | Path, settings: PreviewSettings) -> Volume:
    """The image as the settings want it read."""
    return open_volume(image, axes=settings.axes, voxel_size=settings.voxel_size, level=settings.level)


def draw_preview(
    volume: Volume,
    frame: Frame,
    classifier: PixelClassifier,
    settings: PreviewSettings,
    strokes: LaneLabels | None,
    colors: Sequence[tuple[int, int, int]],
    *,
    title: str,
) -> Figure:
    """The figure, when image, classifier and strokes are at hand; parameters as `preview_classifier` finds them."""
    depth, height, width = frame.shape
    at = settings.at or (depth // 2, height // 2, width // 2)
    view = View(at, settings.size, settings.planes, settings.time, settings.channel)
    (outlined,) = resolve_labels([settings.outline], classifier.label_names)
    sections = compute_sections(
        AxisView(volume, CANONICAL),
        view,
        classifier,
        _voxels(strokes, frame),
        voxel_size=volume.voxel_size,
        workers=settings.workers,
        name=volume.name,
        nan=settings.nan,
    )
    names = classifier.label_names
    if settings.palette == "safe":
        colors = [SAFE[index % len(SAFE)] for index in range(len(names))]
    point = f"z, y, x = {', '.join(map(str, at))}"
    return draw(sections, Legend(f"{title}; {point}", names, colors, settings.threshold, outlined), volume.voxel_size)


def _voxels(strokes: LaneLabels | None, frame: Frame) -> tuple[NDArray[np.int64], NDArray[np.uint8]] | None:
    if strokes is None:
        return None
    return frame.from_internal(strokes.coords, strokes.axes), strokes.values
