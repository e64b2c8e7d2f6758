"""Draw the pictures of the book's prose pages: the idea of attention, the map of all mechanisms; and the social card.

They are committed, so that building the book needs no matplotlib. ``python -m tools.writing.figures`` draws them anew,
with ``--check`` it says which are out of date. One point of a picture is one pixel on a phone: a font of 9 points
reaches its reader 9 pixels high there, and larger elsewhere. The card is what a link to the book shows in a chat or a
feed: a PNG, since no such place shows SVG, whose points become three pixels each.
"""

import argparse
import hashlib
import io
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path as File

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
from attention.registry import Entry, entries

ROOT = File(__file__).resolve().parents[2]
FOLDER = ROOT / "book" / "_static"

#: What a mechanism may weigh, and the question that its maps answer, in the order of the map's columns.
AXES: dict[str, str] = {
    "channel": "which\nfeature?",
    "space": "which\nplace?",
    "channel and space": "both",
    "pair": "which\npair?",
    "branch": "which\nbranch?",
    "sequence": "where, at\neach step?",
}

_SMALL, _TEXT, _TITLE = SMALLEST, 9.0, 9.5
_BAND, _LINE, _BUILT = "#f3f3f1", "#c9c9c9", "#cfe3f1"
_PILL, _GAP, _PAD = 17.0, 3.0, 5.0
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
        (left["input"], "left", "features", "one map\na channel"),
        (left["statistic"], "left", "statistic", "the mean\nof each map"),
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


# --- the map ------------------------------------------------------------------------------------------------------


def shown() -> list[Entry]:
    """Return what the map shows, in the order of the book.

    :raises ValueError: for an axis that has no column.
    """
    found = list(entries().values())
    for entry in found:
        if entry.axis not in AXES:
            raise ValueError(f"mechanisms.toml: [{entry.name}] axis={entry.axis!r} is not one of {', '.join(AXES)}")
    return found


def mechanisms() -> Figure:
    """Draw all mechanisms: what they weigh from left to right, the years from top to bottom."""
    cells: dict[tuple[int, str], list[Entry]] = defaultdict(list)
    for entry in shown():
        cells[entry.year, entry.axis].append(entry)
    years = sorted({year for year, _ in cells})
    depth = {year: max(len(cells[year, axis]) for axis in AXES) for year in years}
    height = {year: depth[year] * _PILL + (depth[year] - 1) * _GAP + 2 * _PAD for year in years}
    head, foot = 75.0, 29.0
    fig, axes = canvas(head + sum(height.values()) + foot)
    columns = _columns(cells)
    _heads(axes, columns, head, head + sum(height.values()))
    top = head
    for year in years:
        axes.text(3, top + _PAD + _PILL / 2, str(year), size=_SMALL, color=COLOURS["muted"], va="center_baseline")
        if year != years[0]:
            axes.plot([3, PHONE - 3], [top, top], color=_LINE, lw=0.5, zorder=0.5)
        for axis, (left, width) in columns.items():
            for i, entry in enumerate(cells[year, axis]):
                _pill(axes, entry, left + 2, top + _PAD + i * (_PILL + _GAP), width - 4)
        top += height[year]
    _legend(axes, top + 8)
    return fig


def _columns(cells: dict[tuple[int, str], list[Entry]]) -> dict[str, tuple[float, float]]:
    """Return each column's left edge and width; what its longest word needs, and an equal share of the rest."""
    needs = {}
    for axis, question in AXES.items():
        shorts = [e.short for (_, at), found in cells.items() if at == axis for e in found]
        widths = [_width(word) + 8 for word in shorts]
        widths += [_width(word, weight="bold") + 4 for word in _title(axis).split("\n")]
        widths += [_width(word, _SMALL) + 4 for word in question.split("\n")]
        needs[axis] = max(widths)
    left = 29.0
    spare = (PHONE - 3 - left - sum(needs.values())) / len(needs)
    columns = {}
    for axis, need in needs.items():
        columns[axis] = (left, need + spare)
        left += need + spare
    return columns


def _width(word: str, size: float = _TEXT, weight: str = "normal") -> float:
    """Return the width of a word in points."""
    return float(TextPath((0, 0), word, size=size, prop=FontProperties(weight=weight)).get_extents().width)


def _title(axis: str) -> str:
    return axis.replace("channel and space", "channel\nand space")


def _heads(axes: Axes, columns: dict[str, tuple[float, float]], head: float, bottom: float) -> None:
    for i, (axis, (left, width)) in enumerate(columns.items()):
        if i % 2 == 0:
            axes.add_patch(Rectangle((left, 0), width, bottom, facecolor=_BAND, lw=0, zorder=0))
        centre, titles = left + width / 2, _title(axis).split("\n")
        _ICONS[axis](axes, centre, 19.0)
        for j, title in enumerate(titles):
            axes.text(centre, 46 + 10 * j, title, size=_TEXT, weight="bold", color=COLOURS["ink"], ha="center")
        _lines(axes, centre, 58 + 10 * (len(titles) - 1), AXES[axis])
    axes.plot([3, PHONE - 3], [head, head], color=COLOURS["muted"], lw=0.8, zorder=0.6)


def _pill(axes: Axes, entry: Entry, left: float, top: float, width: float) -> None:
    _box(axes, left, top, width, entry.status, elsewhere=bool(entry.chapter))
    colour = "white" if entry.ready else COLOURS["ink"]
    weight = "bold" if entry.ready else "normal"
    centre = (left + width / 2, top + _PILL / 2 + 0.4)
    axes.text(*centre, entry.short, size=_TEXT, color=colour, weight=weight, ha="center", va="center_baseline")


def _box(axes: Axes, left: float, top: float, width: float, status: str, elsewhere: bool) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (left + 3, top + 3),
            width - 6,
            _PILL - 6,
            boxstyle="round,pad=3",
            facecolor={"ready": COLOURS["block"], "block": _BUILT, "planned": "white"}[status],
            edgecolor=COLOURS["muted"] if status == "planned" else COLOURS["block"],
            linestyle=(0, (2, 1.5)) if elsewhere else "-",
            lw=0.9,
        )
    )


def _legend(axes: Axes, top: float) -> None:
    items = (
        ("chapter", "ready", False, 14),
        ("block", "block", False, 86),
        ("planned", "planned", False, 146),
        ("in another chapter", "planned", True, 218),
    )
    for label, status, elsewhere, left in items:
        _box(axes, left, top, 18, status, elsewhere)
        axes.text(left + 22, top + _PILL / 2, label, size=_SMALL, color=COLOURS["ink"], va="center_baseline")


def _stack(
    axes: Axes, x: float, y: float, shades: list[float], side: float = 17.0, shift: float = 3.6
) -> tuple[float, float]:
    """Draw maps one behind the other, and return the corner of the foremost."""
    heat = mpl.colormaps[HEAT]
    size = side + shift * (len(shades) - 1)
    left, top = x - size / 2, y - size / 2
    for i, shade in enumerate(shades):
        corner = (left + shift * (len(shades) - 1 - i), top + shift * i)
        axes.add_patch(Rectangle(corner, side, side, facecolor=heat(shade), ec=COLOURS["ink"], lw=0.5, zorder=2 + i))
    return left, top + shift * (len(shades) - 1)


def _blob(size: int, at: tuple[float, float]) -> NDArray[np.float64]:
    i, j = np.indices((size, size))
    return np.exp(-((i - at[0]) ** 2 + (j - at[1]) ** 2) / (0.35 * size))


def _grid(axes: Axes, x: NDArray, left: float, top: float, side: float) -> None:
    heat, cell = mpl.colormaps[HEAT], side / len(x)
    for (i, j), value in np.ndenumerate(x):
        corner = (left + j * cell, top + i * cell)
        axes.add_patch(Rectangle(corner, cell, cell, facecolor=heat(0.05 + 0.75 * value), ec="white", lw=0.3, zorder=9))
    axes.add_patch(Rectangle((left, top), side, side, fill=False, ec=COLOURS["ink"], lw=0.5, zorder=9))


def _channel(axes: Axes, x: float, y: float) -> None:
    _stack(axes, x, y, [0.05, 0.75, 0.2, 0.5])


def _space(axes: Axes, x: float, y: float) -> None:
    _grid(axes, _blob(5, (1.3, 2.6)), x - 12, y - 12, 24)


def _both(axes: Axes, x: float, y: float) -> None:
    left, top = _stack(axes, x, y, [0.05, 0.75, 0.2, 0.5])
    _grid(axes, _blob(4, (1.0, 2.0)), left, top, 17)


def _pair(axes: Axes, x: float, y: float) -> None:
    i, j = np.indices((6, 6))
    _grid(axes, np.exp(-(np.minimum(abs(i - j), abs(i - j + 3)) ** 2) / 1.2), x - 12, y - 12, 24)


def _branch(axes: Axes, x: float, y: float) -> None:
    heat, t = mpl.colormaps[HEAT], np.linspace(0, np.pi, 40)
    for side, weight in ((-1, 0.8), (1, 0.2)):
        curve = y + side * 10 * np.sin(t) ** 0.8
        axes.plot(x - 12 + 24 * t / np.pi, curve, color=COLOURS["ink"], lw=1 + 4 * weight, zorder=2)
        axes.plot(x - 12 + 24 * t / np.pi, curve, color=heat(0.1 + 0.6 * weight), lw=4 * weight, zorder=3)
    axes.plot([x - 12, x + 12], [y, y], "o", ms=4, color=COLOURS["ink"], zorder=4)


def _sequence(axes: Axes, x: float, y: float) -> None:
    for i, at in enumerate([(0.2, 0.2), (1.2, 1.8), (2, 0)]):
        _grid(axes, _blob(3, at), x - 19 + 13.5 * i, y - 6, 11)


_ICONS: dict[str, Callable[[Axes, float, float], None]] = {
    "channel": _channel,
    "space": _space,
    "channel and space": _both,
    "pair": _pair,
    "branch": _branch,
    "sequence": _sequence,
}


# --- the social card ----------------------------------------------------------------------------------------------

CARD_TITLE = "Attention, Block by Block"
CARD_LINES = ("Attention in convolutional networks,", "derived, built, drawn, tested and put to work")


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

FIGURES: dict[str, Callable[[], Figure]] = {"idea.svg": idea, "map.svg": mechanisms, "card.png": card}


def fingerprint(name: str) -> str:
    """Hash what a picture is drawn from: the map, what it shows of the registry; the others, their numbers."""
    if name == "map.svg":
        source = repr([(e.name, e.short, e.axis, e.year, e.status, e.chapter) for e in shown()])
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
