"""The window: napari with the layers in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecc_rf.errors import SettingError
from ecc_rf.viewing.lazy import INSTALL
from ecc_rf.volumes.base import write_errors
from ecc_rf.volumes.unfinished import UnfinishedOutput

if TYPE_CHECKING:
    from ecc_rf.viewing.layers import LayerData
    from ecc_rf.viewing.results import Shown


def check_napari(environment: Mapping[str, str] | None = None) -> None:
    """Refuse to go on where no window can be opened, before anything is read.

    Raises
    ------
    SettingError
        If napari is not installed, or there is no display.
    """
    if find_spec("napari") is None or find_spec("qtpy") is None:
        raise SettingError("napari is not installed.", "ecc-rf view", f"Install it: {INSTALL}")
    if not has_display(sys.platform, os.environ if environment is None else environment):
        raise SettingError(
            "There is no display to open a window on.",
            "the environment variables DISPLAY and WAYLAND_DISPLAY",
            "Run this on your own computer, or log in with ssh -X or a remote desktop; ecc-rf preview draws without"
            " a display.",
        )


def has_display(platform: str, environment: Mapping[str, str]) -> bool:
    """Whether windows can be opened: on Linux that has to be said.

    >>> has_display("linux", {}), has_display("linux", {"DISPLAY": ":0"}), has_display("darwin", {})
    (False, True, True)
    """
    if not platform.startswith("linux"):
        return True
    return any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def view(shown: Shown, *, screenshot: str | Path | None = None, overwrite: bool = False) -> None:
    """Open a window and wait until it is closed.

    Parameters
    ----------
    shown : Shown
        What `results_of` finds, or what was named.
    screenshot : path, optional
        Do not wait: save what is seen as .png and close the window.
    overwrite : bool
        Replace a screenshot that is there already.

    Raises
    ------
    SettingError
        If napari is not installed, there is no display, or there is nothing to show.
    OutputExistsError, OutputError
        If the screenshot cannot be written.
    EccError
        If a file cannot be read.
    """
    from ecc_rf.viewing.results import layers_of

    check_napari()
    output = None
    if screenshot is not None:
        output = UnfinishedOutput(Path(screenshot).expanduser(), str(screenshot), overwrite)
    layers = layers_of(shown, spheres=True)
    import napari

    viewer = napari.Viewer(title="ecc_rf")
    try:
        fill(viewer, layers)
        if output is None:
            napari.run()
            return
        with write_errors(str(screenshot)):
            _save(viewer, output.path)
        output.commit()
    except BaseException:
        if output is not None:
            output.discard()
        raise
    finally:
        if output is not None:
            viewer.close()


def fill(viewer: Any, layers: list[LayerData]) -> None:
    """Put layers into a viewer of napari, with a scale bar, and cells as spheres that reach through planes."""
    from napari.layers import Layer, Points

    radius = 0.0
    for data, options, kind in layers:
        layer = Layer.create(data, options, kind)
        viewer.add_layer(layer)
        if isinstance(layer, Points) and len(layer.data):
            radius = max(radius, float(np.max(layer.size)) / 2)
            try:
                layer.projection_mode = "rescale_spherical"
            except ValueError:  # before napari 0.9 a point knew by itself how far it reaches
                layer.out_of_slice_display, radius = True, 0.0
    if radius:  # how far around the plane points are looked for; images are still seen in the plane alone
        viewer.dims.margin_left = viewer.dims.margin_right = [radius] * viewer.dims.ndim
    canvas = getattr(viewer, "canvas", None)  # since napari 0.9
    (viewer if canvas is None else canvas.overlays).scale_bar.visible = True
    viewer.reset_view()


def _save(viewer: Any, path: Path) -> None:
    """What is seen, once the window has its size and everything is drawn."""
    from imageio.v3 import imwrite
    from qtpy.QtWidgets import QApplication

    viewer.window.resize(1280, 900)
    QApplication.processEvents()
    viewer.reset_view()
    QApplication.processEvents()
    imwrite(path, viewer.screenshot(canvas_only=False, flash=False), extension=".png")
