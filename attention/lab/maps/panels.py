"""What the figures of this package share."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attention.lab import style

__all__ = ["WIDTH", "called", "colour_bar", "draw_picture", "heat_colours", "indices"]

#: Inches; text of 10 points can then be read on a phone.
WIDTH = 5.6


def draw_picture(ax: Axes, pixels: np.ndarray, title: str) -> None:
    """Draw a picture under its name."""
    ax.imshow(pixels, interpolation="antialiased")
    ax.set_title(title, fontsize=10)


def colour_bar(fig: Figure, drawn: mpl.cm.ScalarMappable, label: str, *, ends: bool = False, **options: str) -> None:
    """Draw one colour scale for all panels, below them, with few numbers; ``ends``: those of its ends and middle."""
    bar = fig.colorbar(drawn, ax=fig.axes, location="bottom", shrink=0.7, aspect=40, pad=0.02, **options)
    if ends:
        low, high = drawn.get_clim()
        ticks = [low, (low + high) / 2, high]
        bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks])
    else:
        bar.locator = mpl.ticker.MaxNLocator(5)
        bar.update_ticks()
    bar.set_label(label)
    bar.outline.set_visible(False)


def heat_colours() -> mpl.colors.ListedColormap:
    """The colour map of attention, from transparent to nearly opaque, for a layer over a grey picture."""
    colours = mpl.colormaps[style.HEAT](np.linspace(0.25, 1.0, 256))
    colours[:, 3] = np.linspace(0.0, 0.85, 256)
    return mpl.colors.ListedColormap(colours, name="attention")


def called(layer: str) -> str:
    """Name a layer in a sentence; the model itself has the empty name."""
    return f"layer {layer!r}" if layer else "the model"


def indices(wanted: int | Sequence[int], size: int, what: str = "samples") -> list[int]:
    """Read "the first so many" or a list of indices.

    :raises ValueError: for none, and for an index that is not there; the message calls them ``what``.
    """
    if isinstance(wanted, bool) or (isinstance(wanted, int) and wanted < 1):
        raise ValueError(f"{what}={wanted} is not positive; allowed: 1, 2, 3, …")
    chosen = list(range(min(wanted, size))) if isinstance(wanted, int) else [int(i) for i in wanted]
    if not chosen or not all(0 <= i < size for i in chosen):
        raise ValueError(f"{what}={wanted!r} names what is not there; allowed: 0 to {size - 1}")
    return chosen
