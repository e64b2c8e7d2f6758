"""What a drawing holds, and how large each part of it is."""

import itertools
import re
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache, cached_property
from textwrap import wrap

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties

from attention.lab import style
from attention.lab.roles import COLOURS
from attention.lab.shapes.layout import Item, layers
from attention.lab.shapes.nodes import Node
from attention.lab.shapes.solids import FAILED, icon_of
from attention.lab.shapes.tables import shape_text
from attention.lab.shapes.words import SIGNS

__all__ = ["BESIDE", "BETWEEN", "POINTS", "UNDER", "Drawing", "Text", "colour_of", "runs_of_zones", "text_size"]

#: The size of all text, in points; of symbols, which have small parts; and of symbols with a name beside them.
POINTS, SYMBOL, NAMED = 10.0, 12.5, 11.0
#: Inches between a tensor and its label, and between operations that are told as one.
BESIDE, UNDER, BETWEEN = 0.09, 0.05, 0.07


@dataclass(frozen=True)
class Text:
    """One line of text.

    :param text: what it says.
    :param bold: whether it is bold.
    :param size: in points.
    :param colour: its colour.
    """

    text: str
    bold: bool = False
    size: float = POINTS
    colour: str = style.COLOURS["ink"]

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height, in inches."""
        return text_size(self.text, self.bold, self.size)


@cache
def _renderer() -> RendererAgg:
    return RendererAgg(100, 100, 72)


@cache
def text_size(text: str, bold: bool = False, size: float = POINTS) -> tuple[float, float]:
    """Measure a text, in inches."""
    font = FontProperties(size=size, weight="bold" if bold else "normal")
    lines = text.split("\n")
    widths = [_renderer().get_text_width_height_descent(line, font, "$" in line)[0] for line in lines]
    return max(widths) / 72, len(lines) * size * 1.25 / 72


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


def colour_of(node: Node) -> str:
    """Return the colour of a tensor on a white face."""
    return FAILED if node.role == "failed" else COLOURS[node.colour or "hidden"][0]


def runs_of_zones(nodes: list[Node]) -> list[tuple[str, list[int]]]:
    """List the zones of a run in their order, each with its tensors."""
    made = [node for node in nodes if node.words]
    runs = itertools.groupby(made, lambda node: node.zone)
    return [(zone, [node.index for node in members]) for zone, members in runs]


@dataclass
class Drawing:
    """Some tensors of a run with everything measured: what is to be placed, and how large it is.

    :param tensors: the tensors, in the order of the run; those without ``words`` are there from the start.
    :param down: whether it flows down, not to the right.
    :param under: whether labels stand under their tensors, not beside them.
    :param narrow: how many letters a line of an operation's words has.
    :param symbols: whether the steps of a block's equations are labelled with their symbols, and their zones shown.
    :param again: which tensors were drawn before, in another row.
    """

    tensors: tuple[Node, ...]
    down: bool
    under: bool
    narrow: int
    symbols: bool = True
    again: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.nodes = {node.index: node for node in self.tensors}
        self.icons = {i: icon_of(node, not self.down) for i, node in self.nodes.items()}
        self.outputs: dict[int, list[int]] = {}
        for node in self.nodes.values():
            if node.words:
                self.outputs.setdefault(node.operation, []).append(node.index)
        self.made = {operation: made[0] for operation, made in self.outputs.items()}
        self.zones = runs_of_zones(list(self.tensors)) if self.symbols else []
        self.zones = self.zones if any(zone for zone, _ in self.zones) else []
        self.words = {operation: self._written(self.nodes[i]) for operation, i in self.made.items()}
        self.notes = {operation: self._note(self.nodes[i]) for operation, i in self.made.items()}

    @cached_property
    def layer(self) -> dict[int, int]:
        """The layer that each tensor stands in; its operation stands one before."""
        numbers = {i: k for k, i in enumerate(self.nodes)}
        pairs = [(numbers[s], numbers[node.index]) for node in self.nodes.values() for s in node.sources]
        same = [itertools.pairwise(found) for found in self.outputs.values()]
        together = [(numbers[a], numbers[b]) for pair in same for a, b in pair]
        after = [
            (numbers[a], numbers[b])
            for (_, first), (_, second) in itertools.pairwise(self.zones)
            for a in first
            for b in second
        ]
        level = layers(len(numbers), pairs, together, after)
        free = any(not self.nodes[i].sources and self.nodes[i].words and not level[numbers[i]] for i in self.nodes)
        return {i: 2 * level[k] + free for i, k in numbers.items()}

    @cached_property
    def edges(self) -> list[tuple[Hashable, Hashable]]:
        """All lines: from tensors to operations, and from operations to tensors."""
        found: list[tuple[Hashable, Hashable]] = []
        for operation, made in self.outputs.items():
            found += [(("tensor", s), ("operation", operation)) for s in self.nodes[made[0]].sources]
            found += [(("operation", operation), ("tensor", i)) for i in made]
        return found

    def is_sign(self, operation: int) -> bool:
        """Whether an operation is drawn as a sign in a circle."""
        return self.words[operation][0] in SIGNS and len(self.words[operation]) == 1

    def _written(self, node: Node) -> tuple[str, ...]:
        """Write an operation's words, for each operation that is told with it a text of one line or more."""
        return tuple(self._wrapped(words) for words in node.chain or (node.words,))

    def _stretched(self, node: Node) -> list[str]:
        return [f"{self._called(source)} stretched over {axes}".strip() for source, axes in node.stretched]

    def _called(self, i: int) -> str:
        node = self.nodes[i]
        return (symbol_text(node.symbol) if self.symbols else "") or node.name

    def _note(self, node: Node) -> str:
        """Say beside a sign what it stretches."""
        if node.words not in SIGNS:
            return ""
        return "\n".join(self._wrapped(text, 14) for text in self._stretched(node))

    def _wrapped(self, words: str, most: int | None = None) -> str:
        """Break an operation's words into lines of even length, but not "64 → 4" or "H, W"."""
        most = most or self.narrow
        if len(words) <= most:
            return words
        pattern = r" → | × |(?<=^[×+−÷]) |(?<!,) (?=[\d.]+\b)|(?<=\b\w,) (?=\w\b)|(?<=×) "
        glued = re.sub(pattern, lambda m: m[0].replace(" ", "\u00a0"), words)
        lines = len(wrap(glued, most, break_long_words=False))
        options = (wrap(glued, width, break_long_words=False) for width in range(most // 2, most + 1))
        return "\n".join(next(o for o in options if len(o) == lines)).replace("\u00a0", " ")

    def label(self, i: int) -> list[Text]:
        """The lines beside a tensor: its symbol and name, and its shape."""
        node, colour = self.nodes[i], colour_of(self.nodes[i])
        if node.role == "failed":
            return [Text("fails", True, colour=colour)]
        symbol = symbol_text(node.symbol) if self.symbols else ""
        name = node.name or (node.step if self.symbols else "")  # a symbol may be more than matplotlib can set
        name = "" if symbol and name == node.step else name
        found = [Text("  ".join(filter(None, (symbol, name))), True, NAMED if name else SYMBOL, colour)]
        return [*found * bool(symbol or name), Text(shape_text(node.shape), colour=style.COLOURS["muted"])]

    def label_size(self, i: int) -> tuple[float, float]:
        """Width and height of all lines."""
        widths, heights = zip(*[line.extent for line in self.label(i)], strict=True)
        return max(widths), sum(heights)

    def below(self, i: int) -> float:
        """How far a label reaches below its tensor, in the direction of the flow."""
        return UNDER + self.label_size(i)[1] if self.down and self.under else 0.0

    def pill(self, operation: int) -> tuple[float, float]:
        """The size of an operation's label, without its note."""
        if self.is_sign(operation):
            return 0.25, 0.25
        bold = self.nodes[self.made[operation]].block
        widths, heights = zip(*(text_size(text, bold) for text in self.words[operation]), strict=True)
        return max(widths) + 0.16, sum(heights) + BETWEEN * (len(heights) - 1) + 0.09

    def tensor(self, i: int) -> tuple[float, float, float]:
        """How much room a tensor takes: along the flow, and across it on both sides of its anchor."""
        (w, h), (tw, th) = self.icons[i].size, self.label_size(i)
        if self.down and self.under:
            return h + self.below(i), max(w, tw) / 2, max(w, tw) / 2
        if self.down:
            return max(h, th), w / 2, w / 2 + BESIDE + tw
        return max(w, tw), h / 2, h / 2 + UNDER + th

    def operation(self, operation: int) -> tuple[float, float, float]:
        """How much room an operation takes: along the flow, and across it on both sides."""
        w, h = self.pill(operation)
        along, across = (h, w) if self.down else (w, h)
        if not self.notes[operation]:
            return along, across / 2, across / 2
        tw, th = text_size(self.notes[operation])
        if self.down:
            return max(along, th), across / 2, across / 2 + BESIDE + tw
        return max(along, tw), across / 2, across / 2 + UNDER + th

    def items(self) -> list[Item]:
        """List the boxes that are to be placed."""
        found = [Item(("tensor", i), self.layer[i], *self.tensor(i)) for i in self.nodes]
        for operation, i in self.made.items():
            found.append(Item(("operation", operation), self.layer[i] - 1, *self.operation(operation)))
        return found
