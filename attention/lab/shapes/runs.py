"""A recorded run: its tensors, and the way from each to the next."""

from dataclasses import dataclass, replace

from attention.lab.shapes.nodes import Edge, Node
from attention.lab.shapes.tables import Table, tabulate

__all__ = ["Trace", "table"]


@dataclass(frozen=True)
class Trace:
    """A recorded run.

    :param module: the traced module's class.
    :param nodes: all tensors, in the order in which they were made, inputs first.
    """

    module: str
    nodes: tuple[Node, ...]

    @property
    def edges(self) -> tuple[Edge, ...]:
        """Every step from a tensor to one that was made from it."""
        return tuple(Edge(source, node.index, node.words) for node in self.nodes for source in node.sources)

    def visible(self) -> "Trace":
        """Leave out the quiet tensors, as a drawing does; what was made of one is made of its source."""
        stands_for: dict[int, int] = {}
        kept: dict[int, Node] = {}
        for node in self.nodes:
            sources = tuple(dict.fromkeys(stands_for[s] for s in node.sources))
            if node.quiet and not node.role and len(sources) == 1:
                source = stands_for[node.index] = sources[0]
                if node.name and not kept[source].name:
                    kept[source] = replace(kept[source], name=node.name)
                if node.step and not kept[source].step:
                    kept[source] = replace(kept[source], step=node.step, symbol=node.symbol, zone=node.zone)
            else:
                stands_for[node.index] = node.index
                kept[node.index] = replace(node, sources=sources)
        return Trace(self.module, tuple(kept.values()))

    def __str__(self) -> str:
        return str(table(self))


def table(trace: Trace) -> Table:
    """Tabulate a run: one row a tensor, the quiet ones too.

    :param trace: what :func:`trace` recorded.
    """
    return tabulate(trace.nodes)
