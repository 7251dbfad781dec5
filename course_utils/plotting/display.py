"""From a matplotlib figure to a small picture with alt text in a cell's output.

The picture is an ``image/png`` output, which JupyterLab, Colab, GitHub and nbconvert all show (a
``text/html`` output with an embedded picture is dropped by some of them, and would hide the PNG
from others). Its alt text lies in ``output.metadata["image/png"]["alt"]``, from where nbconvert's
"classic" template, nbsphinx and the course's own pages take it, and once more as the output's
``text/plain``, for terminals and text-only readers. JupyterLab and nbconvert's "lab" template know
no alt text of outputs yet (jupyter/enhancement-proposals issue 120): the title and the sentence
before each figure have to do there.
"""

from __future__ import annotations

import io
import os
from base64 import b64encode
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ..errors import ParameterError

DPI = 84
"""Dots per inch: a figure 9.5 inches wide fills a notebook's column."""

WIDTH = 9.5
"""Inches; the width of a figure with several panels."""

OKABE_ITO = {
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "black": "#000000",
}
"""M. Okabe, K. Ito, "Color universal design", 2008: eight colours for every colour vision."""

SERIES = [
    *(OKABE_ITO[name] for name in ("blue", "vermillion", "green", "purple", "orange", "sky")),
    "#7F7F7F",
    "#000000",
]
"""Colours of lines and markers on white, in the order in which they are given out."""

MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
_LONG = ((5, 1, 1, 1), (1, 2), (8, 2), (3, 1, 1, 1, 1, 1))
DASHES = ["-", "--", "-.", ":", *((0, dash) for dash in _LONG)]


class Picture:
    """A PNG with its alt text, as Jupyter front-ends and the plain terminal want it."""

    def __init__(self, data: bytes, alt: str) -> None:
        self.data, self.alt = data, alt

    def __repr__(self) -> str:
        """Return the alt text, for a reader without pictures."""
        return f"Figure: {self.alt}"

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict[str, Any], dict]:
        encoded = b64encode(self.data).decode("ascii")
        return {"image/png": encoded, "text/plain": repr(self)}, {"image/png": {"alt": self.alt}}


class Remark:
    """One line of text below a figure."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        """Return the line as it is."""
        return self.text

    def _repr_markdown_(self) -> str:
        return f"*{self.text}*"


def is_static() -> bool:
    """Tell whether only pictures are wanted: no live notebook, or ``COURSE_STATIC`` is set.

    ``course run`` and ``course save`` set ``COURSE_STATIC=1`` for the kernel, so that no widget
    is stored in a notebook; by hand it is set to anything but an empty text or 0.
    """
    if os.environ.get("COURSE_STATIC", "") not in ("", "0"):
        return True
    from IPython import get_ipython

    return not hasattr(get_ipython(), "kernel")


def png(fig: Figure, dpi: int = DPI) -> bytes:
    """Return a figure as a PNG that shows every pixel as it was drawn.

    A picture of at most 256 colours is stored with a palette of just these, which takes less room
    and loses nothing; photographs are stored in true colour.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
    dpi : int
        Dots per inch.

    Returns
    -------
    bytes
        The file's content.

    Raises
    ------
    ParameterError
        When a panel whose axes are switched off has a label: nobody would ever see it.

    Examples
    --------
    >>> png(Figure(figsize=(1, 1)))[1:4]
    b'PNG'
    """
    for ax in fig.axes:
        if not ax.axison and (unseen := ax.get_xlabel() or ax.get_ylabel()):
            raise ParameterError(
                f"a panel without axes shows no label, found {unseen!r}: make it the title, or "
                "remove the ticks alone, with ax.set(xticks=[], yticks=[])"
            )
    picture = _drawn(fig, dpi)
    if picture.getcolors(256):
        picture = _with_palette(picture)
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return file.getvalue()


def _with_palette(picture: Image.Image) -> Image.Image:
    """Return the same picture with a palette of its own colours (Pillow takes near ones)."""
    pixels = np.asarray(picture)
    colours, index = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    small = Image.fromarray(index.reshape(pixels.shape[:2]).astype(np.uint8))
    small.putpalette(colours.tobytes())
    return small


def _drawn(fig: Figure, dpi: int) -> Image.Image:
    """Return the pixels of a figure: through a PNG of matplotlib's they would take longer."""
    before = fig.dpi
    fig.set_dpi(dpi)
    try:
        canvas = FigureCanvasAgg(fig)
        canvas.draw()
        drawn = Image.fromarray(np.array(canvas.buffer_rgba()))
    finally:
        fig.set_dpi(before)
    white = Image.new("RGBA", drawn.size, "white")
    return Image.alpha_composite(white, drawn).convert("RGB")


def show(fig: Figure, alt: str, name: str | None = None, lesson: Any = None) -> None:
    """Display a figure once, with its alt text, and close it.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
        Closed afterwards, so that the notebook does not show it a second time.
    alt : str
        What a reader who cannot see the figure should know: one or two sentences that say what
        it shows and what comes out.
    name : str, optional
        With `lesson`, the file name (without ending) under which the picture is kept as well.
    lesson : optional
        Has a ``folder``; the picture goes to ``<folder>/figures/<name>.png``.

    Raises
    ------
    ParameterError
        When the alt text is empty.
    """
    if not isinstance(alt, str) or not alt.strip():
        raise ParameterError(
            "a figure needs alt text, found none: say in a sentence what it shows, as in "
            'show(fig, alt="Loss falls for 12 epochs, then rises on the validation images")'
        )
    from IPython.display import display

    data = png(fig)
    plt.close(fig)
    if name and lesson is not None:
        from ..paths import atomic_write

        atomic_write(lesson.folder / "figures" / f"{name}.png", data)
    display(Picture(data, " ".join(alt.split())))
