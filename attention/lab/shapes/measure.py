"""What a drawing holds, and how large each part of it is."""

import itertools
import re
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache
from textwrap import wrap

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties

from attention.lab.shapes.layout import Item, layers
from attention.lab.shapes.nodes import Node
from attention.lab.shapes.runs import Trace
from attention.lab.shapes.solids import icon_of
from attention.lab.shapes.tables import shape_text

__all__ = ["BESIDE", "POINTS", "SIGNS", "UNDER", "Drawing", "text_size"]

#: The size of all text, in points.
POINTS = 10.0
#: Inches between a tensor and its label.
BESIDE, UNDER = 0.09, 0.05
#: Operations that are drawn as a sign in a circle.
SIGNS = ("×", "+", "−", "÷")


@cache
def _renderer() -> RendererAgg:
    return RendererAgg(100, 100, 72)


@cache
def text_size(text: str, bold: bool = False) -> tuple[float, float]:
    """Measure a text, in inches."""
    font = FontProperties(size=POINTS, weight="bold" if bold else "normal")
    lines = text.split("\n")
    widths = [_renderer().get_text_width_height_descent(line, font, "$" in line)[0] for line in lines]
    return max(widths) / 72, len(lines) * POINTS * 1.25 / 72


@cache
def symbol_text(symbol: str) -> str:
    """Return a step's symbol as matplotlib sets it; nothing for what its TeX does not know."""
    if not symbol:
        return ""
    try:
        _renderer().get_text_width_height_descent(f"${symbol}$", FontProperties(size=POINTS), True)
    except ValueError:
        return ""
    return f"${symbol}$"


def _is_gate(node: Node) -> bool:
    named = node.name and not node.role
    return bool(named) or node.words.startswith(("sigmoid", "softmax", "hard sigmoid"))


@dataclass
class Drawing:
    """A trace with everything measured: what is to be placed, and how large it is.

    :param trace: the run, quiet tensors left out.
    :param down: whether it flows down, not to the right.
    :param under: whether labels stand under their tensors, not beside them.
    :param narrow: how many letters a line of an operation's words has.
    :param symbols: whether the steps of a block's equations are labelled with their symbols.
    """

    trace: Trace
    down: bool
    under: bool
    narrow: int
    symbols: bool = False

    def __post_init__(self) -> None:
        self.nodes = {node.index: node for node in self.trace.nodes}
        self.icons = {i: icon_of(node, not self.down) for i, node in self.nodes.items()}
        self.gates = {i for i, node in self.nodes.items() if _is_gate(node)}
        self.words = {node.operation: self._wrapped(node.words) for node in self.nodes.values() if node.words}
        numbers = {i: k for k, i in enumerate(self.nodes)}
        outputs: dict[int, list[int]] = {}
        for node in self.nodes.values():
            if node.words:
                outputs.setdefault(node.operation, []).append(node.index)
        pairs = [(numbers[e.source], numbers[e.target]) for e in self.trace.edges]
        together = [(numbers[a], numbers[b]) for same in outputs.values() for a, b in itertools.pairwise(same)]
        level = layers(len(numbers), pairs, together)
        free = any(not self.nodes[i].sources and self.nodes[i].words and not level[numbers[i]] for i in self.nodes)
        self.layer = {i: 2 * level[k] + free for i, k in numbers.items()}
        self.edges: list[tuple[Hashable, Hashable]] = []
        for operation, made in outputs.items():
            self.edges += [(("tensor", s), ("operation", operation)) for s in self.nodes[made[0]].sources]
            self.edges += [(("operation", operation), ("tensor", i)) for i in made]
        self.made = {operation: made[0] for operation, made in outputs.items()}

    def _wrapped(self, words: str) -> str:
        """Break an operation's words into lines of even length, but not "64 → 4" or "H, W"."""
        if len(words) <= self.narrow:
            return words
        glued = re.sub(r" → |(?<!,) (?=[\d.]+\b)|(?<=\b\w,) (?=\w\b)", lambda m: m[0].replace(" ", "\u00a0"), words)
        lines = len(wrap(glued, self.narrow, break_long_words=False))
        options = (wrap(glued, width, break_long_words=False) for width in range(self.narrow // 2, self.narrow + 1))
        return "\n".join(next(o for o in options if len(o) == lines)).replace("\u00a0", " ")

    def label(self, i: int) -> tuple[str, str]:
        """The two lines beside a tensor: its symbol and name, and its shape."""
        node = self.nodes[i]
        symbol = symbol_text(node.symbol) if self.symbols else ""
        return "  ".join(part for part in (symbol, node.name) if part), shape_text(node.shape)

    def label_size(self, i: int) -> tuple[float, float]:
        """Width and height of both lines."""
        name, shape = self.label(i)
        widths, heights = zip(*[text_size(t, b) for t, b in ((name, True), (shape, False)) if t], strict=True)
        return max(widths), sum(heights)

    def below(self, i: int) -> float:
        """How far a label reaches below its tensor, in the direction of the flow."""
        return UNDER + self.label_size(i)[1] if self.down and self.under else 0.0

    def pill(self, operation: int) -> tuple[float, float]:
        """The size of an operation's label."""
        if self.words[operation] in SIGNS:
            return 0.25, 0.25
        width, height = text_size(self.words[operation])
        return width + 0.16, height + 0.09

    def items(self) -> list[Item]:
        """List the boxes that are to be placed."""
        found = []
        for i in self.nodes:
            (w, h), (tw, th) = self.icons[i].size, self.label_size(i)
            if self.down and self.under:
                depth, low, high = h + self.below(i), max(w, tw) / 2, max(w, tw) / 2
            elif self.down:
                depth, low, high = max(h, th), w / 2, w / 2 + BESIDE + tw
            else:
                depth, low, high = max(w, tw), h / 2, h / 2 + UNDER + th
            found.append(Item(("tensor", i), self.layer[i], depth, low, high))
        for operation, i in self.made.items():
            w, h = self.pill(operation)
            along, across = (h, w) if self.down else (w, h)
            found.append(Item(("operation", operation), self.layer[i] - 1, along, across / 2, across / 2))
        return found
