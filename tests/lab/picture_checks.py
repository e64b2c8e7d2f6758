"""Find what overlaps in a drawing: boxes, labels, and lines that run through either."""

from collections import Counter
from itertools import combinations, pairwise

import numpy as np
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def _patches(fig, prefix):
    return [p for p in fig.axes[0].patches if (p.get_gid() or "").startswith(prefix)]


def boxes(fig):
    """The outline of every tensor and operation, in pixels, by name; what is repeated in several rows is numbered."""
    found, rows = {}, Counter()
    for patch in _patches(fig, "tensor:") + _patches(fig, "again:") + _patches(fig, "operation:"):
        name = patch.get_gid().removesuffix(":face")
        rows[name] += name == patch.get_gid()
        name += f":{rows[name]}" if rows[name] > 1 else ""
        found.setdefault(name, []).append(patch.get_window_extent())
    return {name: Bbox.union(parts) for name, parts in found.items()}


def zones(fig):
    """The outline of every zone, in pixels, by name; of one in several rows, each row's."""
    found = {}
    for patch in _patches(fig, "zone:"):
        found.setdefault(patch.get_gid().removeprefix("zone:"), []).append(patch.get_window_extent())
    return found


def labels(fig):
    """The outline of every text, in pixels."""
    return [(t.get_text(), t.get_window_extent()) for t in fig.findobj(Text) if t.get_text().strip()]


def lines(fig):
    """The points of every line, in pixels, by name."""
    found = {}
    for patch in _patches(fig, "line:"):
        corners = np.concatenate(patch.get_path().to_polygons(patch.get_transform(), closed_only=False))
        steps = [np.linspace(a, b, 40) for a, b in pairwise(corners)]
        found[patch.get_gid()] = np.concatenate(steps)
    return found


def _overlap(a, b, slack=1.5):
    wide = min(a.x1, b.x1) - max(a.x0, b.x0)
    high = min(a.y1, b.y1) - max(a.y0, b.y0)
    return wide > slack and high > slack


def _inside(outer, inner):
    return outer.x0 <= inner.x0 and outer.y0 <= inner.y0 and outer.x1 >= inner.x1 and outer.y1 >= inner.y1


def faults(fig):
    """Say what overlaps; an empty list for a clean drawing."""
    solids, texts, ways = boxes(fig), labels(fig), lines(fig)
    bands = [(zone, band) for zone, rows in zones(fig).items() for band in rows]
    found = [f"zone {a} on zone {b}" for (a, p), (b, q) in combinations(bands, 2) if _overlap(p, q)]
    found += [f"{a} on {b}" for a, b in combinations(solids, 2) if _overlap(solids[a], solids[b])]
    found += [f"text {a} on text {b}" for (a, p), (b, q) in combinations(texts, 2) if _overlap(p, q)]
    for text, box in texts:
        for name, solid in solids.items():
            if _overlap(box, solid) and not (name.startswith("operation") and _inside(solid.padded(3), box)):
                found.append(f"text {text} on {name}")
        if not _inside(fig.bbox, box):
            found.append(f"text {text} leaves the figure")
    blocks = [*solids.items(), *((f"text {t}", b) for t, b in texts)]
    for way, points in ways.items():
        for name, box in blocks:
            if _hits(box.padded(-2), points):
                found.append(f"{way} runs through {name}")
    return found


def _hits(box, points):
    x, y = points.T
    return bool(((box.x0 < x) & (x < box.x1) & (box.y0 < y) & (y < box.y1)).any())
