"""Write the numbers of the page on what maps explain, and draw its picture: all from the record ``cbam.map``."""

from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from attention.lab import record
from attention.lab.comparison import Interval
from attention.lab.style import COLOURS, HEAT, PHONE
from tools.writing.comparing import between_ends, signed, table

__all__ = ["PAGE", "PARTS", "RECORD", "kept", "looks"]

PAGE = Path("book", "explanation.md")
RECORD = "cbam.map"
#: The four maps, in the order in which they act: block, kind, and how the page calls them.
MAPS = (
    ("first block", "channel", "channels, first block"),
    ("first block", "space", "positions, first block"),
    ("second block", "channel", "channels, second block"),
    ("second block", "space", "positions, second block"),
)
SHOWN = "second block"
ROWS = {"picture": "what it\nsees", "trained": "its map,\ntrained", "untrained": "random\nweights"}


@cache
def kept() -> dict[str, Any]:
    """Read the record."""
    return record.load(RECORD)["experiment"]


def exchanged(block: str, kind: str, whose: str) -> Interval:
    """Return the interval of the accuracy with other maps, minus that with each image's own."""
    found = [each[block][kind] for each in kept()["exchanged"]]
    return Interval.paired([each[whose] for each in found], [each["own"] for each in found], measure="accuracy")


def setting() -> str:
    """Say what was trained."""
    told = kept()["settings"]
    scores = kept()["scores"]
    return (
        f"A small residual network with two blocks of CBAM learns {told['train']:,} pictures of clothes, each laid "
        f"anywhere on a canvas of {told['canvas']} × {told['canvas']} pixels, in front of {told['clutter']} pieces of "
        f"other clothes ({told['steps']} steps of AdamW, learning rate {told['lr']:g}, {len(scores)} seeds). It "
        f"classifies {fmean(scores):.0%} of {told['test']:,} new pictures correctly."
    )


def sensible() -> str:
    """Say how often the maps of positions are larger on the object, before and after training."""
    rows = []
    for block in ("first block", "second block"):
        shares = {kind: [each[block] for each in kept()["on object"][kind]] for kind in ("untrained", "trained")}
        cells = [f"{fmean(each):.2f} ({min(each):.2f} to {max(each):.2f})" for each in shares.values()]
        rows.append([f"positions, {block}", *cells])
    return table(["Map", "random weights", "trained"], rows)


def matters() -> str:
    """Say what each map is worth: own, another image's, the mean."""
    rows = []
    for block, kind, called in MAPS:
        own = fmean([each[block][kind]["own"] for each in kept()["exchanged"]])
        cells = [f"{100 * own:.1f}"]
        for whose in ("another", "mean"):
            found = exchanged(block, kind, whose)
            cells.append(f"{signed(100 * found.mean, 1)} ({between_ends(found, 1)})")
        rows.append([called, *cells])
    return table(["Map", "own", "another image's", "the mean map"], rows)


#: The parts of the page, by their markers' name.
PARTS = {each.__name__: each for each in (setting, sensible, matters)}


def looks() -> Figure:
    """Draw what the network sees, its map of positions, and that of a network with random weights."""
    fig = Figure(figsize=(PHONE / 72, 238 / 72), facecolor="white")
    FigureCanvasAgg(fig)  # which knows where texts come to stand
    pictures = np.array(kept()["pictures"]) / 100
    maps = {kind: np.array(kept()["hundredths"][kind][SHOWN]) / 100 for kind in ("trained", "untrained")}
    side, gap, left = 66.0, 5.0, 66.0
    for row, (what, words) in enumerate(ROWS.items()):
        top = 238 - 14 - row * (side + gap + 1)
        fig.text(4 / PHONE, (top - side / 2) / 238, words, size=9, color=COLOURS["ink"], va="center")
        for column in range(len(pictures)):
            at = (left + column * (side + gap)) / PHONE, (top - side) / 238
            axes = fig.add_axes((*at, side / PHONE, side / 238))
            axes.set(xticks=[], yticks=[])
            if what == "picture":
                axes.imshow(pictures[column], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            else:
                axes.imshow(maps[what][column], cmap=mpl.colormaps[HEAT], vmin=0, vmax=1, interpolation="nearest")
    return fig
