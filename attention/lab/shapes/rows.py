"""Cut a run into rows that fit a page: as an equation is broken, with its last term repeated."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from attention.lab.shapes.layout import GAP, LANE
from attention.lab.shapes.measure import Drawing
from attention.lab.shapes.nodes import Node

__all__ = ["TAGS", "Row", "cut", "tagged"]

#: What tensors without a name are called where they are repeated.
TAGS = (*(chr(0x2460 + k) for k in range(10)), *(f"({k})" for k in range(11, 100)))

#: What it costs, in inches of height, to begin a row, to repeat a tensor beyond the first, to repeat one without name,
#: to cut through a zone, and to leave most of a row empty.
_ROW, _AGAIN, _NAMELESS, _ZONE, _SHORT = 0.5, 0.4, 0.7, 0.5, 3.0


@dataclass(frozen=True)
class Row:
    """Some tensors that are drawn in one row.

    :param nodes: its tensors, those that were drawn before first.
    :param again: which of them were.
    :param broad: inches that it takes across its flow, estimated.
    """

    nodes: tuple[Node, ...]
    again: frozenset[int]
    broad: float = 0.0


def cut(nodes: Sequence[Node], sizes: Drawing, limit: float, space: float) -> list[Row]:
    """Cut a run into rows that fit, so that all together are low.

    :param nodes: the tensors of the whole run, in its order.
    :param sizes: the whole run, measured.
    :param limit: inches: how long a row that flows right may be; how broad one that flows down.
    :param space: inches between layers.
    """
    units = _units(nodes)
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(units) + 1):
        options = []
        for start in range(end - 1, -1, -1):
            members = [node for unit in units[start:end] for node in unit]
            again = _repeated(nodes, members)
            size, height = _extent(sizes, [*again, *members], space)[:: -1 if sizes.down else 1]
            if size > limit and start < end - 1:
                if size > 2 * limit:
                    break
                continue
            nameless = sum(not (node.symbol or node.name) for node in again)
            through = start > 0 and members[0].zone and members[0].zone == units[start - 1][-1].zone
            price = _ROW + height + _AGAIN * max(0, len(again) - 1) + _NAMELESS * nameless + _ZONE * bool(through)
            price += 9 * max(0.0, size / limit - 1) + _SHORT * max(0.0, 0.6 - size / limit) * (not sizes.down)
            options.append((best[start][0] + price, start))
        best.append(min(options))
    rows, end = [], len(units)
    while end:
        start = best[end][1]
        members = [node for unit in units[start:end] for node in unit]
        again = _repeated(nodes, members)
        broad = _extent(sizes, [*again, *members], space)[1]
        rows.append(Row((*again, *members), frozenset(node.index for node in again), broad))
        end = start
    return rows[::-1]


def tagged(nodes: Sequence[Node], rows: Sequence[Row]) -> list[Row]:
    """Give tensors that are repeated, and have no name, a number in a circle."""
    again = {i for row in rows for i in row.again}
    free = [node.index for node in nodes if node.index in again and not (node.symbol or node.name)]
    tags = dict(zip(free, TAGS, strict=False))
    return [
        replace(row, nodes=tuple(replace(node, name=tags.get(node.index, node.name)) for node in row.nodes))
        for row in rows
    ]


def _units(nodes: Sequence[Node]) -> list[list[Node]]:
    """Group what cannot be cut: an operation's results, and the inputs with what is first made of them."""
    found: list[list[Node]] = []
    for node in nodes:
        if found and (node.operation == found[-1][-1].operation or not found[-1][-1].words):
            found[-1].append(node)
        else:
            found.append([node])
    return found


def _repeated(nodes: Sequence[Node], members: Sequence[Node]) -> list[Node]:
    """List the tensors that some others are made of, and that stand in an earlier row."""
    here = {node.index for node in members}
    needed = {s for node in members for s in node.sources} - here
    return [replace(node, words="", sources=(), stretched=(), zone="") for node in nodes if node.index in needed]


def _extent(sizes: Drawing, nodes: Sequence[Node], space: float) -> tuple[float, float]:
    """Estimate how long a row is in its flow, and how broad."""
    level: dict[int, int] = {}
    boxes: dict[int, list[tuple[float, float]]] = {}  # of each layer: along and across
    floor, zone, seen = 0, None, set()
    lanes: dict[int, int] = {}
    for node in nodes:
        if not node.words:
            level[node.index] = 0
        else:
            if zone is not None and node.zone != zone and sizes.zones:
                floor = max(level.values())
            zone = node.zone
            level[node.index] = 1 + max([floor, *(level[s] for s in node.sources)])
            if node.operation not in seen:
                seen.add(node.operation)
                along, low, high = sizes.operation(node.operation)
                boxes.setdefault(2 * level[node.index] - 1, []).append((along, low + high))
            for s in node.sources:
                for k in range(2 * level[s] + 1, 2 * level[node.index] - 1):
                    lanes[k] = lanes.get(k, 0) + 1
        along, low, high = sizes.tensor(node.index)
        boxes.setdefault(2 * level[node.index], []).append((along, low + high))
    broad = max(sum(w + GAP for _, w in row) - GAP + lanes.get(k, 0) * (2 * LANE + GAP / 2) for k, row in boxes.items())
    return sum(max(a for a, _ in row) for row in boxes.values()) + space * (len(boxes) - 1), broad
