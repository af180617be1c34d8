"""How figures are drawn and become part of a page: one look, whatever the user's matplotlib is set to.

Colours are the Okabe-Ito palette, which colour-blind readers can tell apart; images are grey, densities viridis.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

BLUE, ORANGE, SKY, GREEN, VERMILION, PURPLE, YELLOW = (
    *("#0072B2", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#F0E442"),
)
GROUPS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW)
"""In the order in which groups get them."""

PANEL = 4.6  # inches: a figure fills half a page on a desktop, all of it on a phone
_DPI = 150  # twice the pixels of a page at PANEL inches, sharp on screens of high resolution
_TEXT = "#222222"

_LOOK: dict[str, Any] = {
    "axes.edgecolor": "#777777",
    "axes.labelcolor": _TEXT,
    "axes.labelsize": 11,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 10.5,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "path.simplify": True,
    "svg.fonttype": "path",  # looks the same wherever it is opened
    "svg.hashsalt": "ecc_rf",  # the same names inside, so that the same figure has the same bytes
    "text.color": _TEXT,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
}


class Figure:
    """A figure of a page: its image, what it shows for those who do not see it, and a caption (HTML)."""

    def __init__(self, alt: str, caption: str = "") -> None:
        self.alt = alt
        self.caption = caption
        self.data = ""

    def html(self) -> str:
        """``<figure>`` with the image inside."""
        caption = f"<figcaption>{self.caption}</figcaption>" if self.caption else ""
        return f'<figure><img alt="{html.escape(self.alt, quote=True)}" src="{self.data}">{caption}</figure>'


@contextmanager
def drawing(
    figure: Figure,
    width: float = PANEL,
    height: float = 2.9,
    *,
    vector: bool = True,
    margins: tuple[float, float, float, float] = (0.75, 0.55, 0.3, 0.3),
) -> Iterator[tuple[Drawing, Axes]]:
    """One pair of axes of this size in inches; at the end the figure has its image.

    Parameters
    ----------
    figure : Figure
        Gets the image.
    width, height : float
        Inches.
    vector : bool
        SVG, for charts; otherwise PNG, for images.
    margins : tuple of float
        Left, bottom, right, top, inches.
    """
    import matplotlib
    from matplotlib.figure import Figure as NewDrawing  # no pyplot: nothing global, no window

    left, bottom, right, top = margins
    look: dict[Any, Any] = {**matplotlib.rcParamsDefault, **_LOOK}
    del look["backend"]
    with matplotlib.rc_context(look):
        new = NewDrawing(figsize=(width, height))
        axes = new.add_axes((left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height))
        yield new, axes
        buffer = io.BytesIO()
        if vector:
            new.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        else:
            new.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    kind = "svg+xml" if vector else "png"
    figure.data = f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def grid(figures: list[Figure], columns: int = 2) -> str:
    """Figures beside each other on a wide page, below each other on a phone."""
    return f'<div class="grid g{columns}">{"".join(figure.html() for figure in figures)}</div>'


def scale_bar(axes: Axes, width: float, unit: str, factor: float = 1.0) -> None:
    """A bar of a round length, about a fifth of the image wide, in its lower right corner; none in a thin slab.

    Parameters
    ----------
    axes : Axes
        Its x axis counts in `unit` divided by `factor`.
    width : float
        Of the image, in the axis' own unit.
    unit : str
    factor : float
        The bar's label is its length times this.
    """
    import matplotlib.patheffects as effects

    length = round_length(width / 5)
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    if abs(y1 - y0) < 0.25 * abs(x1 - x0):  # it would cover a thin slab; the axes have their numbers
        return
    right, bottom = x1 - 0.04 * (x1 - x0), y0 + 0.06 * (y1 - y0)
    edge = [effects.withStroke(linewidth=5, foreground="black")]
    axes.plot(
        [right - length, right], [bottom, bottom], color="white", linewidth=3, solid_capstyle="butt", path_effects=edge
    )
    axes.text(
        right,
        bottom + 0.02 * (y1 - y0),
        f"{length * factor:g} {unit}",
        color="white",
        ha="right",
        va="bottom",
        fontsize=10,
        fontweight="bold",
        path_effects=[effects.withStroke(linewidth=2.5, foreground="black")],
    )


def round_length(length: float) -> float:
    """The largest of 1, 2, 5, 10, 20 … (and 0.5, 0.2 …) that is not longer.

    >>> round_length(73.0), round_length(0.31), round_length(200.0)
    (50.0, 0.2, 200.0)
    """
    import math

    power = math.floor(math.log10(length))
    return next(float(f"{step}e{power}") for step in (5, 2, 1) if float(f"{step}e{power}") <= length * (1 + 1e-9))
