"""Draw the pictures of the book's prose pages, such as the timeline of its story, and the social card.

They are committed, so that building the book needs no matplotlib. ``python -m tools.writing.figures`` draws them anew,
with ``--check`` it says which are out of date. One point of a picture is one pixel on a phone: a font of 9 points
reaches its reader 9 pixels high there, and larger elsewhere. The card is what a link to the book shows in a chat or a
feed: a PNG, since no such place shows SVG, whose points become three pixels each.
"""

import argparse
import hashlib
import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path as File
from statistics import fmean

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray
from PIL import Image, ImageChops

from attention.lab import vector
from attention.lab.style import COLOURS, HEAT, PHONE, SMALLEST
from attention.registry import chapters, entries
from tools.writing import comparing, explaining

ROOT = File(__file__).resolve().parents[2]
FOLDER = ROOT / "book" / "_static"

_SMALL, _TEXT, _TITLE = SMALLEST, 9.0, 9.5
_BAND, _LINE, _BUILT = "#f3f3f1", "#c9c9c9", "#cfe3f1"
_SETTINGS = {"font.family": "DejaVu Sans", "path.simplify": False}


def canvas(height: float) -> tuple[Figure, Axes]:
    """Return a white figure as wide as a phone, and axes in points, the origin at the top left."""
    fig = Figure(figsize=(PHONE / 72, height / 72), facecolor="white")
    axes = fig.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, PHONE), ylim=(height, 0))
    axes.set_axis_off()
    return fig, axes


# --- the idea -----------------------------------------------------------------------------------------------------


def example() -> dict[str, NDArray[np.float64]]:
    """Compute a small Squeeze-and-Excitation gate: five feature maps, their means, the weights, the product."""
    v, h = np.meshgrid(np.linspace(-1, 1, 12), np.linspace(-1, 1, 12), indexing="ij")
    x = np.stack(
        [
            np.exp(-4 * ((v + 0.3) ** 2 + (h - 0.2) ** 2)),
            np.clip(np.sin(9 * h), 0, 1),
            np.clip(0.5 - h / 2, 0, 1) ** 2,
            np.exp(-30 * (np.hypot(v, h) - 0.65) ** 2),
            np.clip(np.sin(5 * v) * np.sin(5 * h), 0, 1),
        ]
    )
    z = x.mean(axis=(1, 2))
    w1 = np.array([[4.0, -3.0, 2.0, 1.0, 0.0], [-2.0, 1.0, 1.0, 4.0, 3.0]])
    w2 = np.array([[1.0, -1.0], [-1.0, 1.0], [2.0, -1.0], [1.0, 1.0], [-1.0, 0.2]])
    s = 1 / (1 + np.exp(-w2 @ np.maximum(w1 @ z, 0)))
    return {"x": x, "z": z, "s": s, "out": x * s[:, None, None]}


def idea() -> Figure:
    """Draw statistic → weights → reweighting, from a gate that is computed."""
    top, step, tile = 42.0, 36.0, 29.0
    values = example()
    fig, axes = canvas(top + step * len(values["z"]) + 2)
    left = _columns_of_idea(tile)
    heads = (
        (left["input"], "left", "features", "one map\nper channel"),
        (left["statistic"], "left", "statistic", "mean per map;\nlargest = full"),
        (169.0, "center", "", "a small\nnetwork"),
        (left["weights"], "left", "weights", "between\n0 and 1"),
        (PHONE - 8.0, "right", "reweighted", "each map\n× its weight"),
    )
    for x, side, title, about in heads:
        axes.text(x, 12, title, size=_TITLE, weight="bold", color=COLOURS["ink"], ha=side)
        _lines(axes, x, 24, about, ha=side)
    _gate(axes, values, top, step, tile)
    return fig


def _columns_of_idea(tile: float) -> dict[str, float]:
    """Return the left edge of each column, for maps of so many points."""
    return {"input": 8.0, "statistic": 70.0, "weights": 214.0, "output": PHONE - 8.0 - tile}


def _gate(axes: Axes, values: dict[str, NDArray[np.float64]], top: float, step: float, tile: float) -> None:
    """Draw the gate, one row a channel, from ``top`` down."""
    features = LinearSegmentedColormap.from_list("features", ["white", COLOURS["block"]])
    heat = mpl.colormaps[HEAT]
    left = _columns_of_idea(tile)
    rows = top + step * (np.arange(len(values["z"])) + 0.5)
    _network(axes, rows, x=(130.0, 169.0, 208.0))
    for row, x, z, s, out in zip(rows, *(values[key] for key in ("x", "z", "s", "out")), strict=True):
        _image(axes, x, left["input"], row - tile / 2, tile, features)
        _arrow(axes, left["input"] + tile + 5, left["statistic"] - 5, row)
        _bar(axes, left["statistic"], row, z / values["z"].max(), f"{z:.2f}", "#8a8a8a")
        _bar(axes, left["weights"], row, s, f"{s:.2f}", heat(0.25 + 0.6 * s))
        _arrow(axes, left["weights"] + 66, left["output"] - 5, row, "×")
        _image(axes, out, left["output"], row - tile / 2, tile, features)


def _lines(axes: Axes, x: float, y: float, text: str, ha: str = "center") -> None:
    """Write small lines of text from a first baseline down, so that neighbours stand level."""
    for i, line in enumerate(text.split("\n")):
        axes.text(x, y + 9.5 * i, line, size=_SMALL, color=COLOURS["muted"], ha=ha)


def _image(axes: Axes, x: NDArray[np.float64], left: float, top: float, side: float, cmap: Colormap) -> None:
    """Draw an array of values from 0 to 1 as cells, in twenty shades, each shade one path."""
    cell, shades = side / len(x), np.round(x * 20) / 20
    for shade in np.unique(shades[shades > 0]):
        corners = [(left + j * cell, top + i * cell) for i, j in np.argwhere(shades == shade)]
        squares = [Path.unit_rectangle().transformed(Affine2D().scale(cell).translate(*at)) for at in corners]
        axes.add_patch(PathPatch(Path.make_compound_path(*squares), facecolor=cmap(shade), ec=cmap(shade), lw=0.15))
    axes.add_patch(Rectangle((left, top), side, side, fill=False, lw=0.6, ec=COLOURS["muted"]))


def _bar(axes: Axes, left: float, row: float, length: float, label: str, colour: object) -> None:
    axes.add_patch(Rectangle((left, row - 6), 30, 12, facecolor=_BAND, lw=0))
    axes.add_patch(Rectangle((left, row - 6), 30 * length, 12, facecolor=colour, lw=0))
    axes.text(left + 33, row, label, size=_TEXT, color=COLOURS["ink"], va="center_baseline")


def _arrow(axes: Axes, start: float, end: float, row: float, label: str = "") -> None:
    axes.annotate(
        "",
        (end, row),
        (start, row),
        arrowprops={"arrowstyle": "->", "color": COLOURS["muted"], "lw": 0.9, "shrinkB": 0},
    )
    if label:
        axes.text((start + end) / 2, row - 2, label, size=_TITLE, color=COLOURS["ink"], ha="center", va="bottom")


def _network(axes: Axes, rows: NDArray, x: tuple[float, float, float]) -> None:
    """Draw two layers with a bottleneck of two between the statistics and the weights."""
    middle = rows.mean() + np.array([-18.0, 18.0])
    for row in rows:
        for node in middle:
            axes.plot([x[0], x[1]], [row, node], color=_LINE, lw=0.8, zorder=1)
            axes.plot([x[1], x[2]], [node, row], color=_LINE, lw=0.8, zorder=1)
    for left, centres in zip(x, (rows, middle, rows), strict=True):
        axes.plot([left] * len(centres), centres, "o", ms=4.5, mfc="white", mec=COLOURS["muted"], mew=0.9, zorder=2)


# --- the timeline -------------------------------------------------------------------------------------------------

#: The columns of the timeline, and what is told of each.
LINES: dict[str, str] = {
    "look": "which part is seen\nat all",
    "gate": "louder or softer",
    "read": "from here, where?",
}
#: The steps of the story: a mechanism, or a name and the key of its paper; the column; what was new.
STEPS: tuple[tuple[str, str, str, str], ...] = (
    ("RAM", "mnih2014recurrent", "look", "patch after patch"),
    ("Encoder–decoder", "cho2014learning", "read", "one vector for all"),
    ("stn", "", "look", "one window"),
    ("additive", "", "read", "search the words"),
    ("captioner", "", "read", "search the places"),
    ("dynamic_capacity", "", "look", "a few places in full"),
    ("dot_product", "", "read", "all from all"),
    ("se", "", "gate", "channels"),
    ("scse", "", "gate", "both, side by side"),
    ("bam", "", "gate", "both, summed"),
    ("cbam", "", "gate", "both, in turn"),
    ("non_local", "", "read", "pairs of places"),
    ("sk", "", "read", "from two kernels"),
    ("DynamicViT", "rao2021dynamicvit", "look", "fewer patches"),
    ("ViT", "dosovitskiy2021image", "read", "a picture as a sentence"),
    ("Latent diffusion", "rombach2022high", "read", "a picture from words"),
)


@dataclass(frozen=True)
class Told:
    """A step of the story.

    :param year: of the first reviewed publication.
    :param name: what the picture calls it.
    :param status: that of its mechanism, or empty for what is not in this book.
    :param line: its column, one of :data:`LINES`.
    :param new: what was new.
    """

    year: int
    name: str
    status: str
    line: str
    new: str


def told() -> list[Told]:
    """Return the steps of the story: years and names of mechanisms from the registry, other years from papers' keys."""
    found = []
    for name, key, line, new in STEPS:
        if key:
            found.append(Told(int(re.sub(r"\D", "", key)), name, "", line, new))
        else:
            entry = entries()[name]
            found.append(Told(entry.year, entry.short, entry.status, line, new))
    return found


def timeline() -> Figure:
    """Draw the story: the years from top to bottom, what came of each of three lines beside them."""
    rows: dict[int, dict[str, list[Told]]] = {}
    for step in sorted(told(), key=lambda step: step.year):
        rows.setdefault(step.year, {line: [] for line in LINES})[step.line].append(step)
    head, step_height, foot = 40.0, 33.0, 26.0
    heights = {year: 6 + step_height * max(map(len, cells.values())) for year, cells in rows.items()}
    bottom = head + sum(heights.values())
    fig, axes = canvas(bottom + foot)
    left, width = 30.0, (PHONE - 33.0) / len(LINES)
    middle = {line: left + width * (i + 0.5) for i, line in enumerate(LINES)}
    for line, about in LINES.items():
        axes.text(middle[line], 11, line, size=_TITLE, weight="bold", color=COLOURS["ink"], ha="center")
        _lines(axes, middle[line], 22, about)
        steps = [step.year for step in told() if step.line == line]
        ends = [head + sum(h for year, h in heights.items() if year < end) + 14 for end in (min(steps), max(steps))]
        axes.plot([middle[line]] * 2, ends, color=_LINE, lw=1.2, zorder=0.8)
    top = head
    for i, (year, cells) in enumerate(rows.items()):
        if i % 2 == 0:
            axes.add_patch(Rectangle((0, top), PHONE, heights[year], facecolor=_BAND, lw=0, zorder=0))
        axes.text(4, top + 14, str(year), size=_SMALL, color=COLOURS["muted"], va="center_baseline")
        for line, steps in cells.items():
            for j, step in enumerate(steps):
                _step(axes, step, middle[line], top + 6 + j * step_height, _BAND if i % 2 == 0 else "white")
        top += heights[year]
    labels = (("chapter", "ready", 30), ("block", "block", 110), ("planned", "planned", 180), ("elsewhere", "", 265))
    for label, status, at in labels:
        _frame(axes, status, at, bottom + 9, 16, 10)
        axes.text(at + 21, bottom + 14, label, size=_SMALL, color=COLOURS["ink"], va="center_baseline")
    return fig


def _width(word: str, size: float = _TEXT, weight: str = "normal") -> float:
    """Return the width of a word in points."""
    return float(TextPath((0, 0), word, size=size, prop=FontProperties(weight=weight)).get_extents().width)


def _step(axes: Axes, step: Told, centre: float, top: float, face: str) -> None:
    """Draw one step: its name in a frame, and below it what was new, on a patch that hides the line behind."""
    ready = step.status == "ready"
    width = _width(step.name, weight="bold" if ready else "normal") + 10
    _frame(axes, step.status, centre - width / 2, top, width, 16)
    colour = "white" if ready else COLOURS["ink"]
    weight = "bold" if ready else "normal"
    axes.text(centre, top + 8.4, step.name, size=_TEXT, color=colour, weight=weight, ha="center", va="center_baseline")
    hidden = _width(step.new, _SMALL) + 4
    axes.add_patch(Rectangle((centre - hidden / 2, top + 17), hidden, 11, facecolor=face, lw=0, zorder=0.9))
    axes.text(centre, top + 25, step.new, size=_SMALL, color=COLOURS["muted"], ha="center")


def _frame(axes: Axes, status: str, left: float, top: float, width: float, height: float) -> None:
    """Draw the frame of a step in the colours of the map; dashed for what is not in this book."""
    axes.add_patch(
        FancyBboxPatch(
            (left + 3, top + 3),
            width - 6,
            height - 6,
            boxstyle="round,pad=3",
            facecolor={"ready": COLOURS["block"], "block": _BUILT}.get(status, "white"),
            edgecolor=COLOURS["block"] if status in ("ready", "block") else COLOURS["muted"],
            linestyle="-" if status else (0, (2, 1.5)),
            lw=0.9,
        )
    )


# --- the order of reading -----------------------------------------------------------------------------------------


def levels() -> tuple[list[list[str]], list[tuple[str, str]]]:
    """Sort the mechanisms by how many others have to be read before them, each level so that few lines cross.

    :returns: the names by level, and the lines between one level and the next. Where a line passes a level, a name with
        ``>`` in it stands there and keeps a place free.
    :raises graphlib.CycleError: where two mechanisms need one another.
    """
    found = {entry.name: entry for entry in chapters()}
    depth: dict[str, int] = {}
    for name in TopologicalSorter({name: entry.prerequisites for name, entry in found.items()}).static_order():
        depth[name] = max((depth[before] + 1 for before in found[name].prerequisites), default=0)
    named = [[name for name in found if depth[name] == level] for level in range(max(depth.values()) + 1)]
    lines = []
    for name in found:
        for before in needed(name):
            passed = [f"{before}>{name}>{level}" for level in range(depth[before] + 1, depth[name])]
            for place in passed:
                named[int(place.rpartition(">")[2])].append(place)
            lines += list(pairwise([before, *passed, name]))
    for _ in range(6):
        for level in named[1:]:
            _untangle(level, named, [(end, start) for start, end in lines])
        for level in reversed(named[:-1]):
            _untangle(level, named, lines)
    return named, lines


def _untangle(level: list[str], levels: list[list[str]], lines: list[tuple[str, str]]) -> None:
    """Sort a level by the mean height of the lines' other ends; what no line begins at stays where it is."""
    heights = {name: (i + 0.5) / len(names) for names in levels for i, name in enumerate(names)}
    ends = {name: [heights[end] for start, end in lines if start == name] or [heights[name]] for name in level}
    level.sort(key=lambda name: fmean(ends[name]))


def needed(name: str) -> list[str]:
    """Return what has to be read directly before a mechanism: what one of the others needs anyway is left out."""
    before = entries()[name].prerequisites
    return [each for each in before if not any(each in _all_before(other) for other in before)]


def _all_before(name: str) -> set[str]:
    before = entries()[name].prerequisites
    return {*before, *(each for other in before for each in _all_before(other))}


def reading_order() -> Figure:
    """Draw which mechanism builds on which, from left to right."""
    (columns, lines), height, foot = levels(), 24.0, 24.0
    bottom = height * max(map(len, columns))
    fig, axes = canvas(bottom + foot)
    shown = {entry.name: entry for entry in chapters()}
    weights = {name: "bold" if entry.ready else "normal" for name, entry in shown.items()}
    widths = {name: _width(entry.short, weight=weights[name]) + 10 for name, entry in shown.items()}
    widest = {name: max(widths.get(other, 0) for other in column) for column in columns for name in column}
    step = (PHONE - 8 - widest[columns[-1][0]]) / (len(columns) - 1)
    places = {
        name: (4 + i * step, bottom * (j + 0.5) / len(column))
        for i, column in enumerate(columns)
        for j, name in enumerate(column)
    }
    for before, name in lines:
        (left, row), (start, level) = places[name], places[before]
        start += widths.get(before, 0)
        middle = (start + left) / 2
        points = [(start, level), (middle, level), (middle, row), (left, row)]
        if name not in shown:  # the line goes on, past the names of this level
            points.append((left + widest[name], row))
            places[name] = points[-1]
        codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, *[Path.LINETO] * (len(points) - 4)]
        axes.add_patch(PathPatch(Path(points, codes), facecolor="none", edgecolor="#9a9a9a", lw=0.9, zorder=0.5))
    for name, entry in shown.items():
        left, row = places[name]
        _frame(axes, entry.status, left, row - 8, widths[name], 16)
        about = {"size": _TEXT, "weight": weights[name], "ha": "center", "va": "center_baseline"}
        about["color"] = "white" if entry.ready else COLOURS["ink"]
        axes.text(left + widths[name] / 2, row + 0.4, entry.short, **about)
    for label, status, at in (("chapter", "ready", 30), ("block", "block", 110), ("planned", "planned", 180)):
        _frame(axes, status, at, bottom + 9, 16, 10)
        axes.text(at + 21, bottom + 14, label, size=_SMALL, color=COLOURS["ink"], va="center_baseline")
    return fig


# --- the social card ----------------------------------------------------------------------------------------------

CARD_TITLE = "Attention, Block by Block"
CARD_LINES = ("Attention in convolutional networks,", "one mechanism at a time, in code that runs")


def card() -> Figure:
    """Draw the title of the book above its idea: 400 by 210 points, in the proportion that previews show."""
    fig = Figure(figsize=(400 / 72, 210 / 72), facecolor="white")
    axes = fig.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 400), ylim=(210, 0))
    axes.set_axis_off()
    axes.add_patch(Rectangle((0, 0), 400, 84, facecolor=COLOURS["block"], lw=0))
    axes.text(25, 34, CARD_TITLE, size=24.5, weight="bold", color="white", ha="left")
    for i, line in enumerate(CARD_LINES):
        axes.text(25, 55.5 + 16 * i, line, size=12.5, color="white", ha="left")
    wider = 350 / (PHONE - 16)  # the picture's outer edges stand level with the title's
    picture = fig.add_axes(((25 - 8 * wider) / 400, 0, PHONE * wider / 400, 1))
    picture.set(xlim=(0, PHONE), ylim=(210, 0))
    picture.set_axis_off()
    _gate(picture, example(), top=92.0, step=22.5, tile=19.0)
    return fig


# --- files --------------------------------------------------------------------------------------------------------

FIGURES: dict[str, Callable[[], Figure]] = {
    "idea.svg": idea,
    "timeline.svg": timeline,
    "card.png": card,
    "differences.svg": comparing.differences,
    "looks.svg": explaining.looks,
    "order.svg": reading_order,
}


def fingerprint(name: str) -> str:
    """Hash what a picture is drawn from: what the registry says, a record's numbers, an example's, the card's words."""
    if name == "timeline.svg":
        source = repr((told(), LINES))
    elif name == "order.svg":
        source = repr((levels(), [(entry.short, entry.status) for entry in chapters()]))
    elif name == "differences.svg":
        source = repr(comparing.compared(comparing.PICTURED).runs)
    elif name == "looks.svg":
        source = repr([explaining.kept()[part] for part in ("pictures", "hundredths")])
    else:
        source = repr({key: np.round(value, 6).tolist() for key, value in example().items()})
        source += repr((CARD_TITLE, CARD_LINES)) if name == "card.png" else ""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def drawn(name: str) -> bytes:
    """Draw a picture and return its file, the same bytes every time."""
    about = {"Identifier": fingerprint(name), "Source": f"matplotlib {mpl.__version__}"}
    if name.endswith(".png"):
        return _saved(FIGURES[name], format="png", dpi=216, metadata=about | {"Software": None})
    return svg(FIGURES[name], about)


def svg(draw: Callable[[], Figure], about: dict[str, str] | None = None) -> bytes:
    """Draw a picture as SVG, the same bytes every time.

    :param draw: makes the picture.
    :param about: what the file says of itself.
    """
    with _look():
        fig = draw()
        FigureCanvasAgg(fig)
        return vector.svg(fig, about=about).encode()


@contextmanager
def _look() -> Iterator[None]:
    """Draw with the same settings whatever was set before, by a user or by another test."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def _saved(draw: Callable[[], Figure], **options: object) -> bytes:
    buffer = io.BytesIO()
    with _look():
        draw().savefig(buffer, **options)
    return buffer.getvalue()


def current(name: str, content: bytes) -> bool:
    """Say whether a committed picture is what would be drawn now.

    Another version of matplotlib writes another file for the same picture; then what it was drawn from is compared.
    Of a PNG the pixels count, since its bytes depend on how they were compressed.
    """
    if name.endswith(".svg"):
        if f"matplotlib {mpl.__version__}<".encode() in content:
            return content == drawn(name)
        return fingerprint(name).encode() in content
    was = Image.open(io.BytesIO(content))
    if was.text.get("Source") != f"matplotlib {mpl.__version__}":
        return was.text.get("Identifier") == fingerprint(name)
    now = Image.open(io.BytesIO(drawn(name)))
    if was.text != now.text or was.size != now.size:
        return False
    return ImageChops.difference(was.convert("RGB"), now.convert("RGB")).getbbox() is None


def main(arguments: list[str] | None = None) -> int:
    """Draw the pictures, or check them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a picture is out of date")
    check, stale = parser.parse_args(arguments).check, 0
    for name in FIGURES:
        path = FOLDER / name
        if path.exists() and current(name, path.read_bytes()):
            continue
        stale += 1
        if check:
            print(f"{path.relative_to(ROOT)} is out of date; run: make figures")
        else:
            path.write_bytes(drawn(name))
            print(f"drew {path.relative_to(ROOT)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
