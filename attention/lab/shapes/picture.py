"""A run as a picture: feature maps are cuboids, vectors bars, matrices squares, numbers dots."""

from textwrap import wrap

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path

from attention.lab import style
from attention.lab.shapes.alt import alt_text
from attention.lab.shapes.layout import LANE, Layout, arrange
from attention.lab.shapes.measure import BESIDE, POINTS, SIGNS, UNDER, Drawing, text_size
from attention.lab.shapes.runs import Trace
from attention.lab.shapes.solids import colour_of, draw_solid

__all__ = ["diagram", "draw"]

#: The widest figure, in inches, whose text can still be read on a phone.
_PHONE = POINTS / 72 * 100 * style.PHONE / style.SMALLEST / 100
_DEEPEST = 27  # layers of tensors and operations that still stand below each other: thirteen steps
_MARGIN = 0.12
_HEAD = 0.085  # length of an arrow's head
_LONGEST = 400.0  # inches of a figure that can still be stored


def draw(trace: Trace, *, title: str = "", alt: str | None = None, flow: str | None = None) -> None:
    """Show a run as a picture.

    :param trace: what :func:`trace` recorded.
    :param title: a line above the picture.
    :param alt: the text for a reader who does not see it; by default the steps, in words.
    :param flow: ``down``, ``right``, or by default whichever reads better: down for up to thirteen steps, right for
        longer ones, which the page lets the reader scroll.
    :raises ValueError: for another ``flow``.
    """
    fig = diagram(trace, title=title, flow=flow)
    style.show(fig, alt or alt_text(trace), scroll=bool(fig.get_figwidth() > _PHONE))


def diagram(trace: Trace, *, title: str = "", flow: str | None = None, symbols: bool = False) -> Figure:
    """Draw a run: tensors as solids whose sides follow their axes, operations on the lines between them.

    :param trace: what :func:`trace` recorded.
    :param title: a line above the picture.
    :param flow: ``down``, ``right``, or by default whichever reads better.
    :param symbols: whether the steps of a block's equations are labelled with their symbols.
    :returns: the figure; its width decides whether a page must scroll.
    :raises ValueError: for another ``flow``, a run without tensors, or one too long for a figure.
    """
    if flow not in (None, "down", "right"):
        raise ValueError(f"flow={flow!r} is not one of 'down', 'right', None")
    shown = trace.visible()
    if not shown.nodes:
        raise ValueError(f"trace: the run of {trace.module} has no tensors to draw")
    drawing, placed = _placed(shown, flow, symbols)
    return _Painter(drawing, placed, title).paint()


def _placed(shown: Trace, flow: str | None, symbols: bool) -> tuple[Drawing, Layout]:
    """Choose the arrangement: labels beside their tensors, under them where it is narrow, or all in one row."""
    if flow != "right":
        for under, narrow in ((False, 18), (True, 12)):
            drawing = Drawing(shown, True, under, narrow, symbols)
            placed = arrange(drawing.items(), drawing.edges, space=0.16)
            if placed.width + 2 * _MARGIN <= _PHONE and (len(placed.along) <= _DEEPEST or flow == "down"):
                return drawing, placed
        if flow == "down":
            return drawing, placed
    drawing = Drawing(shown, False, True, 14, symbols)
    return drawing, arrange(drawing.items(), drawing.edges, space=0.17)


class _Painter:
    def __init__(self, drawing: Drawing, layout: Layout, title: str) -> None:
        self.drawing, self.layout, self.title = drawing, layout, title
        self.down = drawing.down

    def paint(self) -> Figure:
        width, height = (self.layout.width, self.layout.length)[:: 1 if self.down else -1]
        top = 0.0
        if self.title:
            self.title = "\n".join(wrap(self.title, max(24, int(width / 0.095)), break_long_words=False))
            tw, th = text_size(self.title, True)
            width, top = max(width, tw * 1.1), th * 1.1 + 0.12
        width, height = width + 2 * _MARGIN, height + 2 * _MARGIN + top
        if max(width, height) > _LONGEST:
            raise ValueError(
                f"trace: the drawing would be {max(width, height):.0f} inches long; at most {_LONGEST:.0f}. "
                f"Trace with a smaller depth than what gives {len(self.drawing.nodes)} tensors"
            )
        fig = Figure(figsize=(width, height), facecolor="white", dpi=144, layout="none")
        FigureCanvasAgg(fig)
        self.ax = fig.add_axes((0, 0, 1, 1))
        self.ax.set(xlim=(-_MARGIN, width - _MARGIN), ylim=(height - _MARGIN - top, -_MARGIN - top))
        self.ax.axis("off")
        if self.title:
            self.ax.text(
                0, -top, self.title, fontsize=POINTS * 1.1, weight="bold", va="top", color=style.COLOURS["ink"]
            )
        for edge in self.drawing.edges:
            self._line(*edge)
        for operation in self.drawing.made:
            self._operation(operation)
        for i in self.drawing.nodes:
            self._tensor(i)
        return fig

    # Coordinates: x to the right, y down, in inches

    def _point(self, along: float, across: float) -> tuple[float, float]:
        return (across, along) if self.down else (along, across)

    def _layer(self, key: tuple[str, int]) -> int:
        kind, i = key
        return self.drawing.layer[i] if kind == "tensor" else self.drawing.layer[self.drawing.made[i]] - 1

    def _centre(self, key: tuple[str, int]) -> tuple[float, float]:
        return self._point(self._anchor(key), self.layout.across[key])

    def _anchor(self, key: tuple[str, int]) -> float:
        below = self.drawing.below(key[1]) if key[0] == "tensor" else 0.0
        return self.layout.along[self._layer(key)] - below / 2

    def _half(self, key: tuple[str, int]) -> tuple[float, float]:
        """Half the size of what the lines touch: along and across the flow."""
        kind, i = key
        w, h = self.drawing.icons[i].size if kind == "tensor" else self.drawing.pill(i)
        return (h / 2, w / 2) if self.down else (w / 2, h / 2)

    # Lines

    def _line(self, source: tuple[str, int], target: tuple[str, int]) -> None:
        lanes = self.layout.lanes[source, target]
        a, b = self._layer(source), self._layer(target)
        below = self.drawing.below(source[1]) if source[0] == "tensor" else 0.0
        start = (self._anchor(source) + self._half(source)[0] + below, self.layout.across[source])
        end = (self._anchor(target) - self._half(target)[0], self.layout.across[target])
        path = [("M", start)]
        k = a
        if lanes and self._side_is_free(source, lanes[0]):
            side = (
                self.layout.across[source]
                + (1 if lanes[0] > self.layout.across[source] else -1) * self._half(source)[1]
            )
            corner = (self._anchor(source), lanes[0])
            path = [("M", (self._anchor(source), side)), ("R", corner)]
            k = a + 1
            path.append(("L", (self._far(k), lanes[0])))
        stops = [start[1], *lanes, end[1]]
        for layer in range(k, b):
            here, there = stops[layer - a], stops[layer - a + 1]
            if layer + 1 == b and lanes and self._side_is_free(target, here):
                break
            bent = self._near(layer + 1) if layer + 1 < b else min(self._near(b), end[0] - _HEAD - 0.01)
            path += [("L", (self._far(layer), here)), ("S", (bent, there))]
        else:
            path.append(("L", end))
        if path[-1] != ("L", end):
            across = self.layout.across[target]
            side = across + (1 if stops[-2] > across else -1) * self._half(target)[1]
            path += [("R", (self._anchor(target), stops[-2])), ("L", (self._anchor(target), side))]
        self._stroke(path, f"line:{source[0]}:{source[1]}:{target[0]}:{target[1]}", arrow=self._has_arrow(target))

    def _has_arrow(self, target: tuple[str, int]) -> bool:
        return target[0] == "tensor" or len(self.drawing.nodes[self.drawing.made[target[1]]].sources) > 1

    def _far(self, layer: int) -> float:
        return self.layout.along[layer] + self.layout.depth[layer] / 2

    def _near(self, layer: int) -> float:
        return self.layout.along[layer] - self.layout.depth[layer] / 2

    def _side_is_free(self, key: tuple[str, int], lane: float) -> bool:
        """Whether a line can leave or reach a box at its side: nothing stands between, and no label."""
        here = self.layout.across[key]
        start, end = self.layout.spans[self._layer(key)][key]
        labelled = key[0] == "tensor" and not (self.down and self.drawing.under)
        if (labelled and lane > here) or start - 0.1 < lane < end + 0.1:
            return False
        low, high = sorted((here, lane))
        spans = (span for other, span in self.layout.spans[self._layer(key)].items() if other != key)
        clear = all(end < low - LANE or start > high + LANE for start, end in spans)
        return clear and not any(low < passing < high for passing in self._passing(self._layer(key)))

    def _passing(self, layer: int) -> list[float]:
        found = []
        for (source, _), lanes in self.layout.lanes.items():
            k = layer - self._layer(source) - 1
            if 0 <= k < len(lanes):
                found.append(lanes[k])
        return found

    def _stroke(self, path: list[tuple[str, tuple[float, float]]], gid: str, arrow: bool) -> None:
        vertices, codes = [], []
        for k, (kind, (along, across)) in enumerate(path):
            point = self._point(along, across)
            if kind == "S":
                before = path[k - 1][1]
                middle = (before[0] + along) / 2
                vertices += [self._point(middle, before[1]), self._point(middle, across), point]
                codes += [Path.CURVE4] * 3
            elif kind == "R":  # a rounded corner: towards it, and on to the next point
                before, after = path[k - 1][1], path[k + 1][1]
                into, out = _towards((along, across), before), _towards((along, across), after)
                vertices += [self._point(*into), point, self._point(*out)]
                codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
            else:
                vertices.append(point)
                codes.append(Path.MOVETO if kind == "M" else Path.LINETO)
        colour = style.COLOURS["muted"]
        line = PathPatch(Path(vertices, codes), fill=False, edgecolor=colour, linewidth=1.2, zorder=1, gid=gid)
        self.ax.add_artist(line)
        if arrow:
            self._head(vertices[-1], _direction(vertices), colour)

    def _head(self, tip: tuple[float, float], way: tuple[float, float], colour: str) -> None:
        (x, y), (dx, dy), long, wide = tip, way, _HEAD, 0.038
        corners = [
            (x, y),
            (x - long * dx - wide * dy, y - long * dy + wide * dx),
            (x - long * dx + wide * dy, y - long * dy - wide * dx),
        ]
        self.ax.add_artist(Polygon(corners, facecolor=colour, edgecolor="none", zorder=2))

    # Operations and tensors

    def _operation(self, operation: int) -> None:
        key = ("operation", operation)
        (x, y), (w, h) = self._centre(key), self.drawing.pill(operation)
        words, gid = self.drawing.words[operation], f"operation:{operation}"
        ink = style.COLOURS["ink"]
        if words in SIGNS:
            self.ax.add_artist(
                Circle(
                    (x, y), w / 2, facecolor="white", edgecolor=style.COLOURS["muted"], linewidth=1.2, zorder=3, gid=gid
                )
            )
            self.ax.text(x, y, words, fontsize=POINTS * 1.15, ha="center", va="center_baseline", color=ink, zorder=4)
            return
        box = FancyBboxPatch((x - w / 2, y - h / 2), w, h, boxstyle="round,pad=0,rounding_size=0.09",
                             facecolor="#f1f1f1", edgecolor="none", zorder=3, gid=gid)  # fmt: skip
        self.ax.add_artist(box)
        self.ax.text(x, y, words, fontsize=POINTS, ha="center", va="center", color=ink, zorder=4, linespacing=1.1)

    def _tensor(self, i: int) -> None:
        (x, y), icon = self._centre(("tensor", i)), self.drawing.icons[i]
        w, h = icon.size
        colour = colour_of(self.drawing.nodes[i], icon, self.drawing.gates)
        draw_solid(self.ax, x - w / 2, y - h / 2, icon, colour, f"tensor:{i}")
        name, shape = self.drawing.label(i)
        line = POINTS * 1.25 / 72
        rows = [(t, b) for t, b in ((name, True), (shape, False)) if t]
        for k, (text, bold) in enumerate(rows):
            colour = style.COLOURS["ink" if bold else "muted"]
            if not self.drawing.under:
                at, align = (x + w / 2 + BESIDE, y + (k - (len(rows) - 1) / 2) * line), "left"
            else:
                at, align = (x, y + h / 2 + UNDER + (k + 0.5) * line), "center"
            weight = "bold" if bold else "normal"
            self.ax.text(*at, text, fontsize=POINTS, weight=weight, ha=align, va="center", color=colour, zorder=4)


def _towards(corner: tuple[float, float], point: tuple[float, float], radius: float = 0.12) -> tuple[float, float]:
    length = abs(point[0] - corner[0]) + abs(point[1] - corner[1])
    part = min(1.0, radius / length) if length else 0.0
    return corner[0] + part * (point[0] - corner[0]), corner[1] + part * (point[1] - corner[1])


def _direction(vertices: list[tuple[float, float]]) -> tuple[float, float]:
    (x, y) = vertices[-1]
    for px, py in reversed(vertices[:-1]):
        length = ((x - px) ** 2 + (y - py) ** 2) ** 0.5
        if length > 1e-6:
            return (x - px) / length, (y - py) / length
    return 0.0, 1.0
