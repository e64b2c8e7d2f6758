"""Where the tensors and operations of a drawing stand: in layers, so that nothing overlaps.

The method is Sugiyama's: layers by the shortest total length, order within a layer by barycentres, positions by the
straightest lines. Both optimisations are linear programs, which scipy solves.
"""

import itertools
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

__all__ = ["LANE", "Item", "Layout", "arrange", "layers"]

#: Inches between neighbours in a layer, and on both sides of a line that passes.
GAP, LANE = 0.16, 0.07
#: The most inches that are added between two layers where lines bend far.
_ROOM = 0.2
#: What it costs when a line is not straight: between neighbours, into a lane, along a lane.
_BEND = {0: 2.0, 1: 0.5, 2: 6.0}
#: The same where lines part or meet, which bend in any case.
_FAN = 0.3


@dataclass(frozen=True)
class Item:
    """A box that is to be placed.

    :param key: what it stands for.
    :param layer: the layer that it stands in.
    :param depth: its size in the direction of the flow.
    :param low: how far it reaches across the flow before its anchor.
    :param high: how far it reaches after it.
    """

    key: Hashable
    layer: int
    depth: float
    low: float
    high: float


@dataclass
class Layout:
    """The positions of all boxes, and the ways of all lines.

    :param across: each box's anchor across the flow.
    :param along: each layer's middle in the direction of the flow.
    :param depth: each layer's size in the direction of the flow.
    :param lanes: for each line the positions across the flow at which it passes the layers in between.
    :param width: the total size across the flow.
    :param length: the total size in its direction.
    :param spans: for each layer its boxes, and from where to where each reaches across the flow.
    """

    across: dict[Hashable, float]
    along: list[float]
    depth: list[float]
    lanes: dict[tuple[Hashable, Hashable], list[float]]
    width: float
    length: float
    spans: list[dict[Hashable, tuple[float, float]]]


def layers(
    count: int,
    edges: Sequence[tuple[int, int]],
    together: Sequence[tuple[int, int]] = (),
    after: Sequence[tuple[int, int]] = (),
) -> list[int]:
    """Give each of ``count`` tensors a layer: after all that it was made from, with the lines as short as can be.

    :param edges: pairs of a tensor and one that was made from it.
    :param together: pairs that share a layer.
    :param after: pairs of which the second comes after the first, however far.
    """
    if not edges:
        return [0] * count
    cost, rows = np.zeros(count), []
    for source, target in edges:
        cost[target] += 1
        cost[source] -= 1
        rows.append((source, target))
    rows += after
    data = [v for _ in rows for v in (1.0, -1.0)]
    at = ([i for i in range(len(rows)) for _ in range(2)], [v for row in rows for v in row])
    order = coo_array((data, at), shape=(len(rows), count)).tocsr()
    same = np.zeros((len(together), count))
    for i, (a, b) in enumerate(together):
        same[i, a], same[i, b] = 1, -1
    equal = {"A_eq": same, "b_eq": np.zeros(len(together))} if together else {}
    solved = linprog(cost, order, -np.ones(len(rows)), **equal, bounds=(0, None), method="highs-ds")
    found = np.rint(solved.x).astype(int)
    return [int(v) for v in found - found.min()]


def arrange(items: Sequence[Item], edges: Sequence[tuple[Hashable, Hashable]], *, space: float) -> Layout:
    """Place boxes and lines.

    :param items: the boxes.
    :param edges: the lines, from a box to one in a later layer.
    :param space: inches between layers.
    """
    boxes = {item.key: item for item in items}
    rows: list[list[Hashable]] = [[] for _ in range(1 + max(item.layer for item in items))]
    for item in items:
        rows[item.layer].append(item.key)
    chains, links = {}, []
    for source, target in edges:
        lane = [("lane", source, target, k) for k in range(boxes[source].layer + 1, boxes[target].layer)]
        for key, k in zip(lane, range(boxes[source].layer + 1, boxes[target].layer), strict=True):
            boxes[key] = Item(key, k, 0.0, LANE, LANE)
            rows[k].insert(0, key)
        chains[source, target] = lane
        links += list(zip([source, *lane], [*lane, target], strict=True))
    rows = _ordered(rows, links)
    across = _positions(rows, boxes, links)
    depth = [max(boxes[key].depth for key in row) for row in rows]
    bends = np.zeros(len(rows))
    for a, b in links:
        if not (_is_lane(a) or _is_lane(b)):
            bends[boxes[a].layer] = max(bends[boxes[a].layer], abs(across[a] - across[b]))
    spaces = space + np.minimum(_ROOM, 0.12 * bends)
    ends = np.cumsum(np.array(depth) + spaces)
    along = [float(end - s - d / 2) for end, s, d in zip(ends, spaces, depth, strict=True)]
    start = min(across[k] - boxes[k].low for k in boxes)
    across = {k: v - start for k, v in across.items()}
    width = max(across[k] + boxes[k].high for k in boxes)
    lanes = {edge: [across[key] for key in lane] for edge, lane in chains.items()}
    ends_of = {k: (across[k] - box.low, across[k] + box.high) for k, box in boxes.items()}
    spans = [{key: ends_of[key] for key in row if not _is_lane(key)} for row in rows]
    return Layout(across, along, depth, lanes, width, float(ends[-1] - spaces[-1]), spans)


def _is_lane(key: Hashable) -> bool:
    return isinstance(key, tuple) and key[0] == "lane"


def _crossings(rows: list[list[Hashable]], links: list[tuple[Hashable, Hashable]]) -> int:
    place = {key: (k, i) for k, row in enumerate(rows) for i, key in enumerate(row)}
    total = 0
    for k in range(len(rows) - 1):
        ends = sorted((place[a][1], place[b][1]) for a, b in links if place[a][0] == k)
        total += sum(b > d for i, (a, b) in enumerate(ends) for c, d in ends[i + 1 :] if a < c)
    return total


def _ordered(rows: list[list[Hashable]], links: list[tuple[Hashable, Hashable]]) -> list[list[Hashable]]:
    """Order each layer by the mean position of its neighbours, back and forth; keep the order that crosses least."""
    before: dict[Hashable, list[Hashable]] = {}
    after: dict[Hashable, list[Hashable]] = {}
    for a, b in links:
        after.setdefault(a, []).append(b)
        before.setdefault(b, []).append(a)
    best, fewest = rows, _crossings(rows, links)
    for sweep in range(8):
        if not fewest:
            break
        rows = [list(row) for row in rows]
        near = after if sweep % 2 else before
        place = {key: i for row in rows for i, key in enumerate(row)}
        for k in range(len(rows) - 1, -1, -1) if sweep % 2 else range(len(rows)):
            centre = {key: np.mean([place[n] for n in near[key]]) if key in near else place[key] for key in rows[k]}
            rows[k].sort(key=centre.__getitem__)
            place |= {key: i for i, key in enumerate(rows[k])}
        if (count := _crossings(rows, links)) < fewest:
            best, fewest = rows, count
    return best


def _positions(
    rows: list[list[Hashable]], boxes: dict, links: list[tuple[Hashable, Hashable]]
) -> dict[Hashable, float]:
    """Place all boxes across the flow: as near to straight lines as their sizes allow."""
    at = {key: i for i, key in enumerate(k for row in rows for k in row)}
    terms: list[tuple[float, dict[int, float]]] = []  # a weight, and a sum that should be 0
    out, into = Counter(a for a, b in links if not _is_lane(b)), Counter(b for a, b in links if not _is_lane(a))
    for a, b in links:
        fanned = out[a] > 1 or into[b] > 1
        weight = _FAN if fanned and not (_is_lane(a) or _is_lane(b)) else _BEND[_is_lane(a) + _is_lane(b)]
        terms.append((weight, _sum((at[a], 1.0), (at[b], -1.0))))
    for here, there in ((0, 1), (1, 0)):  # a box stands in the middle of its branches
        fans: dict[Hashable, list[Hashable]] = {}
        for link in links:
            if not any(map(_is_lane, link)):
                fans.setdefault(link[here], []).append(link[there])
        for key, fan in fans.items():
            if len(fan) > 1:
                terms.append((8.0, _sum((at[key], 1.0), *((at[f], -1.0 / len(fan)) for f in fan))))
    n, m = len(at), len(terms)
    entries, limits = [], []
    for i, (_, total) in enumerate(terms):  # |sum| <= t_i
        for sign in (1.0, -1.0):
            entries += [(len(limits), v, sign * c) for v, c in total.items()] + [(len(limits), n + i, -1.0)]
            limits.append(0.0)
    for row in rows:
        for a, b in itertools.pairwise(row):
            gap = GAP / 2 if _is_lane(a) or _is_lane(b) else GAP
            entries += [(len(limits), at[a], 1.0), (len(limits), at[b], -1.0)]
            limits.append(-(boxes[a].high + boxes[b].low + gap))
    i, j, v = zip(*entries, strict=True) if entries else ((), (), ())
    matrix = coo_array((v, (i, j)), shape=(len(limits), n + m)).tocsr() if entries else None
    cost = np.array([0.0] * n + [weight for weight, _ in terms])
    bounds = [(None, None)] * n + [(0, None)] * m
    bounds[0] = (0, 0)
    solved = linprog(cost, matrix, limits or None, bounds=bounds, method="highs-ds")
    return {key: float(solved.x[k]) for key, k in at.items()}


def _sum(*parts: tuple[int, float]) -> dict[int, float]:
    total: dict[int, float] = {}
    for variable, factor in parts:
        total[variable] = total.get(variable, 0.0) + factor
    return total
