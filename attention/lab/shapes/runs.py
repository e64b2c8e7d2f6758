"""A recorded run: its tensors, and the way from each to the next."""

from dataclasses import dataclass

from attention.lab.shapes.nodes import Edge, Node
from attention.lab.shapes.simple import simplified
from attention.lab.shapes.tables import tabulate
from attention.lab.tables import Table

__all__ = ["Trace", "table"]


@dataclass(frozen=True)
class Trace:
    """A recorded run.

    :param module: the traced module's class.
    :param nodes: all tensors, in the order in which they were made, inputs first; the last stands for an operation that
        failed, if one did.
    :param failed: why the run ended early: which sizes disagree, in one sentence; empty for a run that did not.
    """

    module: str
    nodes: tuple[Node, ...]
    failed: str = ""

    @property
    def edges(self) -> tuple[Edge, ...]:
        """Every step from a tensor to one that was made from it."""
        return tuple(Edge(source, node.index, node.words) for node in self.nodes for source in node.sources)

    def visible(self, plumbing: bool = False) -> "Trace":
        """Give the run as it is drawn.

        Plumbing is left out: what only arranges numbers anew, or takes some of them; what was made of it is made of
        its source. What changes each number by itself is told with what it follows: ``linear 64 → 4, ReLU``.

        :param plumbing: whether every tensor stays.
        """
        return Trace(self.module, simplified(self.nodes, plumbing), self.failed)

    def __str__(self) -> str:
        return str(table(self))


def table(trace: Trace) -> Table:
    """Tabulate a run: one row a tensor, plumbing too, and what failed at the end.

    :param trace: what :func:`trace` recorded.
    """
    return tabulate(trace.nodes, trace.failed)
