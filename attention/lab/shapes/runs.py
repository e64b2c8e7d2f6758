"""A recorded run: its tensors, and the way from each to the next."""

from dataclasses import dataclass, replace

__all__ = ["Edge", "Node", "Trace"]


@dataclass(frozen=True)
class Node:
    """One tensor of a run.

    :param index: its number, in the order of the run.
    :param name: what the module calls it: an argument's name, an attention map's, ``output``; often empty.
    :param shape: its shape.
    :param dtype: its dtype, as torch prints it, without ``torch.``.
    :param axes: a letter for each axis, as far as known: ``("B", "C", "HW")``.
    :param words: the operation that made it; empty for an input.
    :param sources: the tensors that went into the operation.
    :param operation: the operation's number; tensors that one call made share it. -1 for an input.
    :param module: the submodule that made it, by its qualified name; empty for the traced module itself.
    :param parameters: the parameters that went in: (qualified name, shape).
    :param role: ``input``, ``output`` or ``""``.
    :param quiet: whether only its layout changed: an axis of size 1 came or went, a tensor was expanded or copied.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    axes: tuple[str, ...] = ()
    words: str = ""
    sources: tuple[int, ...] = ()
    operation: int = -1
    module: str = ""
    parameters: tuple[tuple[str, tuple[int, ...]], ...] = ()
    role: str = ""
    quiet: bool = False


@dataclass(frozen=True)
class Edge:
    """One way that numbers take: from tensor ``source`` through the operation ``words`` to tensor ``target``."""

    source: int
    target: int
    words: str


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
            else:
                stands_for[node.index] = node.index
                kept[node.index] = replace(node, sources=sources)
        return Trace(self.module, tuple(kept.values()))

    def __str__(self) -> str:
        from attention.lab.shapes.tables import table  # which imports this module

        return str(table(self))
