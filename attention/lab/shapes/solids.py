"""How a tensor looks: a cuboid, a bar, a square or a dot, with sides that follow the logarithm of its sizes."""

from dataclasses import dataclass
from math import log2, prod

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Circle, Polygon

from attention.lab.shapes.nodes import Node

__all__ = ["FAILED", "Icon", "draw_solid", "icon_of"]

#: The mark of an operation that failed, and how much of a role's colour its tensors' fronts have.
FAILED = "#b3001b"
_FRONT = 0.24


@dataclass(frozen=True)
class Icon:
    """How a tensor is drawn.

    :param kind: ``map``, ``vector``, ``matrix``, ``dot``, or ``cross`` where an operation failed.
    :param sides: inches: its length (C), its height (H) and its depth (W).
    :param cells: into how many columns and rows it is ruled; as many as it has where they are few.
    """

    kind: str
    sides: tuple[float, float, float]
    cells: tuple[int, int] = (1, 1)

    @property
    def shift(self) -> tuple[float, float]:
        """How far the back of a cuboid stands from its front."""
        return 0.42 * self.sides[2], 0.34 * self.sides[2]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the whole."""
        return self.sides[0] + self.shift[0], self.sides[1] + self.shift[1]


def _side(n: int) -> float:
    return 0.1 + 0.072 * log2(n)


def _length(n: int) -> float:
    return 0.09 + 0.088 * log2(n)


def icon_of(node: Node, upright: bool) -> Icon:
    """Choose how a tensor is drawn; its batch axis is not."""
    if node.role == "failed":
        return Icon("cross", (0.2, 0.2, 0.0))
    axes = node.shape[1:] if len(node.shape) > 1 else node.shape
    large = [n for n in axes if n != 1]
    if (len(axes) == 3 and prod(axes[1:]) > 1) or len(large) > 2:
        c, h, w = prod(axes[:-2]), *axes[-2:]
        return Icon("map", (_length(max(c, 1)), _side(max(h, 1)), _side(max(w, 1))))
    if not large:
        return Icon("dot", (0.13, 0.13, 0.0))
    if len(large) == 1:
        n = max(large[0], 1)
        long = _length(n) * 1.15
        cells = _cells(n, long)
        return Icon("vector", *(((0.13, long, 0.0), (1, cells)) if upright else ((long, 0.13, 0.0), (cells, 1))))
    rows, columns = (max(n, 1) for n in large)
    wide, high = _side(columns) * 1.1, _side(rows) * 1.1
    return Icon("matrix", (wide, high, 0.0), (_cells(columns, wide), _cells(rows, high)))


def _cells(n: int, side: float) -> int:
    return n if n <= 8 else max(8, round(side / 0.09))


def draw_solid(ax: Axes, x: float, y: float, icon: Icon, colour: str, gid: str, *, again: bool = False) -> None:
    """Draw a tensor.

    :param x: the left edge of the whole.
    :param y: its upper edge; y points down.
    :param colour: of its edges; its faces are lighter.
    :param gid: what the patches are called.
    :param again: whether it was drawn before, and is repeated where a new row begins.
    """
    (c, h, _), (dx, dy) = icon.sides, icon.shift
    dashes = {"linestyle": (0, (3, 2))} if again else {}
    if icon.kind == "cross":
        for k, ends in enumerate(([(x, y), (x + c, y + h)], [(x + c, y), (x, y + h)])):
            ax.add_artist(Polygon(ends, closed=False, fill=False, edgecolor=FAILED, linewidth=2.4, zorder=3,
                                  gid=gid if k == 0 else f"{gid}:face"))  # fmt: skip
        return
    if icon.kind == "dot":
        ax.add_artist(
            Circle(
                (x + c / 2, y + h / 2),
                c / 2,
                facecolor=_shaded(colour, _FRONT),
                edgecolor=colour,
                linewidth=1,
                zorder=3,
                gid=gid,
                **dashes,
            )
        )
        return
    front = [(x, y + dy), (x + c, y + dy), (x + c, y + dy + h), (x, y + dy + h)]
    faces = [(front, 1.0)]
    if icon.kind == "map":
        faces.append(([(x, y + dy), (x + dx, y), (x + c + dx, y), (x + c, y + dy)], 0.5))
        faces.append(([(x + c, y + dy), (x + c + dx, y), (x + c + dx, y + h), (x + c, y + dy + h)], 1.5))
    for k, (corners, shade) in enumerate(faces):
        fill = "white" if again else _shaded(colour, _FRONT * shade)
        face = Polygon(corners, facecolor=fill, edgecolor=colour, linewidth=0.9, joinstyle="round",
                       zorder=3, gid=gid if k == 0 else f"{gid}:face", **dashes)  # fmt: skip
        ax.add_artist(face)
    if not again:
        _ruling(ax, x, y, icon, colour)


def _ruling(ax: Axes, x: float, y: float, icon: Icon, edge: str) -> None:
    """Hint at the cells of a vector or a matrix."""
    (c, h, _), (columns, rows) = icon.sides, icon.cells
    rules = [[(x + k * c / columns, y), (x + k * c / columns, y + h)] for k in range(1, columns)]
    rules += [[(x, y + k * h / rows), (x + c, y + k * h / rows)] for k in range(1, rows)]
    if rules:
        ax.add_artist(LineCollection(rules, colors=edge, linewidths=0.5, alpha=0.5, zorder=3.5))


def _shaded(colour: str, factor: float) -> tuple[float, ...]:
    """Mix a colour with white: so much of the colour."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return tuple(min(1.0, max(0.0, 1 - (1 - p) * factor)) for p in parts)
