"""Paint what is measured and placed."""

from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path

from attention.lab import style
from attention.lab.roles import COLOURS
from attention.lab.shapes.layout import LANE, Layout
from attention.lab.shapes.measure import BESIDE, BETWEEN, POINTS, UNDER, Drawing, colour_of, text_size
from attention.lab.shapes.rows import TAGS
from attention.lab.shapes.solids import FAILED, draw_solid

__all__ = ["MARGIN", "STRIP", "Painter", "Panel"]

#: Inches around the figure; of the strip with a zone's name; between rows; that a zone reaches beyond what it holds.
MARGIN, STRIP, _ROWS, _PAD = 0.12, 0.27, 0.2, 0.065
_HEAD = 0.085  # length of an arrow's head
_LONGEST = 400.0  # inches of a figure that can still be stored
#: The face of a zone, and of an operation.
ZONE, PILL = "#f6f8fb", "#ffffff"
#: The edge of an operation, and the lines between several that are told as one.
PARTED = "#c4cad1"
#: The edge of a zone.
BORDER = "#e3e8ee"


class Painter:
    """Puts panels below each other.

    :param panels: the rows of the drawing.
    """

    def __init__(self, panels: list["Panel"]) -> None:
        self.panels = panels
        self.tagged = any(panel.drawing.nodes[i].name in TAGS for panel in panels for i in panel.drawing.again)
        sizes = [panel.size for panel in panels]
        self.width = max(w for w, _ in sizes) + 2 * MARGIN
        self.height = sum(h for _, h in sizes) + _ROWS * (len(sizes) - 1) + 2 * MARGIN

    def paint(self, title: str) -> Figure:
        """Make the figure."""
        width, top = self.width, 0.0
        if title:
            title = "\n".join(wrap(title, max(24, int(width / 0.095)), break_long_words=False))
            tw, th = text_size(title, True)
            width, top = max(width, tw * 1.1 + 2 * MARGIN), th * 1.1 + 0.12
        height = self.height + top
        if max(width, height) > _LONGEST:
            count = sum(len(panel.drawing.nodes) for panel in self.panels)
            raise ValueError(
                f"trace: the drawing would be {max(width, height):.0f} inches long; at most {_LONGEST:.0f}. "
                f"Trace with a smaller depth than what gives {count} tensors"
            )
        fig = Figure(figsize=(width, height), facecolor="white", dpi=144, layout="none")
        FigureCanvasAgg(fig)
        ax = fig.add_axes((0, 0, 1, 1))
        ax.set(xlim=(-MARGIN, width - MARGIN), ylim=(height - MARGIN - top, -MARGIN - top))
        ax.axis("off")
        if title:
            ax.text(0, -top, title, fontsize=POINTS * 1.1, weight="bold", va="top", color=style.COLOURS["ink"])
        y = 0.0
        for panel in self.panels:
            panel.paint(ax, y)
            y += panel.size[1] + _ROWS
        return fig


class Panel:
    """One row of a drawing.

    :param drawing: what it holds.
    :param layout: where that stands.
    """

    def __init__(self, drawing: Drawing, layout: Layout) -> None:
        self.drawing, self.layout = drawing, layout
        self.down = drawing.down
        self.strip = STRIP if drawing.zones else 0.0
        self.start = self._band(0)[0] if drawing.zones and drawing.zones[0][0] else 0.0
        self.start = min(0.0, self.start)
        end = self._band(-1)[1] if drawing.zones and drawing.zones[-1][0] else layout.length
        long, broad = max(layout.length, end) - self.start, layout.width + self.strip + _PAD * bool(self.strip)
        self.size = (broad, long) if self.down else (long, broad)

    def paint(self, ax: Axes, top: float) -> None:
        """Paint the row, from ``top`` down."""
        self.ax, self.top = ax, top
        for k, (zone, _) in enumerate(self.drawing.zones):
            if zone:
                self._zone(k, zone)
        for edge in self.drawing.edges:
            self._line(*edge)
        for operation in self.drawing.made:
            self._operation(operation)
        for i in self.drawing.nodes:
            self._tensor(i)

    def _band(self, k: int) -> tuple[float, float]:
        """From where to where a zone reaches in the direction of the flow."""
        members = self.drawing.zones[k][1]
        first = min(self.drawing.layer[i] for i in members) - 1
        last = max(self.drawing.layer[i] for i in members)
        return self._near(first) - _PAD, self._far(last) + _PAD

    def _zone(self, k: int, zone: str) -> None:
        start, end = self._band(k)
        x, y = self._point(start, -self.strip)
        long, broad = end - start, self.layout.width + self.strip + _PAD
        w, h = (broad, long) if self.down else (long, broad)
        band = FancyBboxPatch((x, y), w, h, boxstyle="round,pad=0,rounding_size=0.06", facecolor=ZONE,
                              edgecolor=BORDER, linewidth=0.8, zorder=0, gid=f"zone:{zone}")  # fmt: skip
        self.ax.add_artist(band)
        at = (x + STRIP / 2, y + h / 2) if self.down else (x + 0.08, y + STRIP / 2)
        self.ax.text(*at, zone, fontsize=POINTS, weight="bold", color=style.COLOURS["muted"], zorder=4,
                     rotation=90 if self.down else 0, ha="center" if self.down else "left", va="center")  # fmt: skip

    def _point(self, along: float, across: float) -> tuple[float, float]:
        """Turn a place in the flow into x to the right and y down, in inches."""
        along, across = along - self.start, across + self.strip
        return (across, self.top + along) if self.down else (along, self.top + across)

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
        tensor = key[0] == "tensor" and not (self.down and self.drawing.under)
        labelled = tensor or (key[0] == "operation" and bool(self.drawing.notes[key[1]]))
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
        node = self.drawing.nodes[self.drawing.made[operation]]
        ink, edge = style.COLOURS["ink"], style.COLOURS["muted"]
        if self.drawing.is_sign(operation):
            ring = FAILED if node.role == "failed" else edge
            self.ax.add_artist(Circle((x, y), w / 2, facecolor=PILL, edgecolor=ring, linewidth=1.2, zorder=3, gid=gid))
            self.ax.text(x, y, words[0], fontsize=POINTS * 1.15, ha="center", va="center_baseline", color=ink, zorder=4)
            self._note(operation, x, y, w)
            return
        edge = FAILED if node.role == "failed" else COLOURS["map"][0] if node.block else PARTED
        strong = node.block or node.role == "failed"
        box = FancyBboxPatch((x - w / 2, y - h / 2), w, h, boxstyle="round,pad=0,rounding_size=0.09", facecolor=PILL,
                             edgecolor=edge, linewidth=2 if strong else 0.9, zorder=3, gid=gid)  # fmt: skip
        self.ax.add_artist(box)
        weight = "bold" if node.block else "normal"
        at = y - h / 2 + 0.045
        for k, text in enumerate(words):
            high = text_size(text, node.block)[1]
            if k:
                self.ax.add_artist(Line2D([x - w / 2, x + w / 2], [at, at], color=PARTED, linewidth=0.8, zorder=3.5))
                at += BETWEEN / 2
            self.ax.text(x, at + high / 2, text, fontsize=POINTS, ha="center", va="center", color=ink, zorder=4,
                         linespacing=1.1, weight=weight)  # fmt: skip
            at += high + BETWEEN / 2

    def _note(self, operation: int, x: float, y: float, size: float) -> None:
        """Write beside a sign what it stretches."""
        note = self.drawing.notes[operation]
        if note:
            at = (x + size / 2 + BESIDE, y) if self.down else (x, y + size / 2 + UNDER)
            sides = ("left", "center") if self.down else ("center", "top")
            self.ax.text(*at, note, fontsize=POINTS, ha=sides[0], va=sides[1], color=style.COLOURS["muted"], zorder=4,
                         linespacing=1.1)  # fmt: skip

    def _tensor(self, i: int) -> None:
        (x, y), icon = self._centre(("tensor", i)), self.drawing.icons[i]
        w, h = icon.size
        again = i in self.drawing.again
        gid = f"{'again' if again else 'tensor'}:{i}"
        draw_solid(self.ax, x - w / 2, y - h / 2, icon, colour_of(self.drawing.nodes[i]), gid, again=again)
        rows = self.drawing.label(i)
        high = self.drawing.label_size(i)[1]
        at = y + h / 2 + UNDER if self.drawing.under else y - high / 2
        for line in rows:
            half = line.extent[1] / 2
            place, align = (x, "center") if self.drawing.under else (x + w / 2 + BESIDE, "left")
            self.ax.text(place, at + half, line.text, fontsize=line.size, weight="bold" if line.bold else "normal",
                         ha=align, va="center", color=line.colour, zorder=4)  # fmt: skip
            at += 2 * half


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
