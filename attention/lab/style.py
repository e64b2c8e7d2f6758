"""One look for all figures: white face, colours for colour-blind readers too, text for a phone, alt text."""

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.text import Text

from attention.lab import vector

__all__ = ["COLOURS", "HEAT", "PHONE", "SMALLEST", "apply", "captioned", "figure", "restart", "show"]

#: The qualitative palette of Okabe and Ito by role; three are darker, so that all stand out from white (3:1) and, as
#: the book recolours them, from a dark page. The same thing has the same colour in all chapters.
COLOURS: dict[str, str] = {
    "ink": "#1b1b1b",
    "muted": "#6b6b6b",
    "plain": "#6b6b6b",  # the network without a block
    "block": "#0072b2",  # the block of the chapter
    "control": "#c8850d",  # a control with as many parameters
    "other": "#009e73",
    "wrong": "#c33c13",
    "fifth": "#cc79a7",
    "sixth": "#469bd1",
}
_CYCLE = ["block", "control", "other", "wrong", "fifth", "sixth", "plain"]

#: The colour map of attention maps; light is little, dark is much.
HEAT = "YlOrBr"
#: How wide a figure is on a phone, in pixels.
PHONE = 350
#: The smallest text that may reach a reader there, in pixels.
SMALLEST = 8.0
_DPI = 144
_SUFFIX = {"image/svg+xml": "svg", "image/png": "png"}
#: The captions that a chapter has shown so far; a caption's place is its figure's number.
_shown: list[str] = []


def apply() -> None:
    """Set matplotlib's defaults to the book's look. Called by the set-up cell of a chapter, never at import."""
    lines = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    mpl.rcParams.update(
        {
            **dict.fromkeys(lines, COLOURS["ink"]),
            "figure.facecolor": "white",
            "axes.facecolor": "white",
            "figure.dpi": _DPI,
            "figure.constrained_layout.use": True,
            "figure.constrained_layout.h_pad": 0.08,
            "figure.constrained_layout.w_pad": 0.08,
            "font.size": 11,
            "axes.titlesize": 12,
            "axes.labelsize": 11,
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
            "legend.fontsize": 10,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": False,
            "axes.prop_cycle": mpl.cycler(color=[COLOURS[c] for c in _CYCLE]),
            "image.cmap": HEAT,
            "image.interpolation": "none",
            "lines.linewidth": 2,
        }
    )


def figure(
    rows: int = 1, cols: int = 1, *, width: float = 5.6, height: float = 3.2, **options: Any
) -> tuple[Figure, Any]:
    """Make a figure in the book's look.

    :param rows: rows of axes.
    :param cols: columns of axes.
    :param width: inches; 6.9 fills the page's column. Text keeps its size, so a narrow figure reads better on a phone.
    :param height: inches.
    :param options: passed on to ``matplotlib.pyplot.subplots``.
    :returns: the figure and its axes, as ``subplots`` returns them.
    """
    apply()
    return plt.subplots(rows, cols, figsize=(width, height), **options)


def restart() -> None:
    """Let the next caption be that of figure 1. Called by the set-up cell of a chapter."""
    _shown.clear()


@contextmanager
def captioned(caption: str) -> Iterator[None]:
    """Put a numbered caption under what is shown within, for a function that takes no ``caption`` of its own.

    :param caption: one or two sentences in Markdown that say what to see, with no number from a trained network.
    :raises ValueError: for an empty caption.
    """
    if not caption.strip():
        raise ValueError("caption is empty: say in one or two sentences what to see")
    yield
    _say(caption)


def _say(caption: str) -> None:
    """Show a caption as an output of its own, under the figure.

    A caption keeps its number when its cell is run again. It is Markdown, which Jupyter, Colab and GitHub all render;
    the book's extension finds it by its metadata and puts it into the figure.
    """
    caption = " ".join(caption.split())
    if caption not in _shown:
        _shown.append(caption)
    number = _shown.index(caption) + 1
    if get_ipython() is None:  # a script: nothing to show it in
        return
    said = {"text/markdown": f"**Figure {number}.** {caption}", "text/plain": f"Figure {number}. {caption}"}
    display(said, raw=True, metadata={"text/markdown": {"caption": True}})


def show(
    fig: Figure,
    alt: str,
    *,
    caption: str = "",
    scroll: bool = False,
    narrow: Figure | None = None,
    colours: int = 64,
) -> None:
    """Show a figure in a notebook, with its alt text, its caption under it, and close it.

    It is an SVG, or a PNG where that weighs much less: see :func:`attention.lab.vector.smallest`. Its face is white,
    for a notebook may be read on dark and on light; the book's pages give it theirs.

    The plain text beside the picture is always the same. Alt texts name numbers, and those of trained models differ in
    their last digits from machine to machine, which must not fail a notebook that is run again.

    :param fig: the figure.
    :param alt: what the figure shows and what is to be seen in it, for a reader who does not see it.
    :param caption: one or two sentences in Markdown that say what to see; none where it is empty. A caption is the
        same on every machine, so it names no number from a trained network.
    :param scroll: let the page scroll sideways over a wide figure; its text need then not be readable when shrunk.
    :param narrow: the same figure for a phone, which the book's pages show there in its place.
    :param colours: size of the palette of pictures, at most 256.
    :raises ValueError: for an empty alt text, for text that is cut off at the figure's edge or overlaps another, and
        for text that would be smaller than ``SMALLEST`` pixels on a phone.
    """
    if not alt.strip():
        raise ValueError("alt is empty: say what the figure shows, and what is to be seen in it")
    file = _drawn(fig, colours, scroll)
    about: dict[str, Any] = {"alt": alt, "width": _pixels(fig)}
    about |= {"scroll": True} if scroll else {}
    if narrow is not None:
        ((kind, standing),) = _drawn(narrow, colours, False).items()
        text = base64.b64encode(standing).decode("ascii") if isinstance(standing, bytes) else standing
        about["narrow"] = {_SUFFIX[kind]: text, "width": _pixels(narrow)}
    if get_ipython() is None:
        return
    display({**file, "text/plain": "[figure]"}, raw=True, metadata=dict.fromkeys(file, about))
    if caption.strip():
        _say(caption)


def _drawn(fig: Figure, colours: int, scroll: bool) -> dict[str, str | bytes]:
    """Draw a figure as SVG, or as PNG where that weighs much less, and close it."""
    vector.freeze(fig)
    _refuse_bad_text(_texts(fig), fig, 1.0 if scroll else min(1.0, PHONE / _pixels(fig)))
    file = vector.smallest(fig, colours)
    plt.close(fig)
    return file


def _pixels(fig: Figure) -> int:
    """How wide a figure is on a page."""
    return round(fig.get_figwidth() * vector.PER_INCH)


def _texts(fig: Figure) -> Sequence[Text]:
    """List the texts that are drawn: not those of axes that are off, nor of ticks that lie beyond their axis."""
    hidden = set()
    for ax in fig.axes:
        for axis in (ax.xaxis, ax.yaxis):
            place = axis.get_transform().transform  # ticks of a logarithmic axis are even in its exponents
            low, high = sorted(place(axis.get_view_interval()))
            spare = 1e-9 * (high - low)  # a tick at the very end of its axis is drawn
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not ax.axison or not low - spare <= place(tick.get_loc()) <= high + spare:
                    hidden.update(tick.findobj(Text))
            if not ax.axison:
                hidden.update(axis.findobj(Text))
    return [t for t in fig.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in hidden]


def _refuse_bad_text(texts: Sequence[Text], fig: Figure, scale: float) -> None:
    frame, boxes = fig.bbox, [(text, text.get_window_extent()) for text in texts]
    for (one, first), (other, second) in combinations(boxes, 2):
        if first.width and second.width and first.padded(-1).overlaps(second.padded(-1)):
            raise ValueError(f"the texts {one.get_text()!r} and {other.get_text()!r} overlap")
    for text, box in boxes:
        if box.width and (box.x0 < frame.x0 or box.y0 < frame.y0 or box.x1 > frame.x1 or box.y1 > frame.y1):
            raise ValueError(f"the text {text.get_text()!r} is cut off at the edge of the figure")
        pixels = text.get_fontsize() / 72 * vector.PER_INCH * scale
        if pixels < SMALLEST:
            raise ValueError(
                f"the text {text.get_text()!r} is {pixels:.1f} px high on a phone; at least {SMALLEST:.0f}"
            )
