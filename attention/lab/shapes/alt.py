"""A run in words, for a reader who does not see the picture."""

from attention.lab.shapes.nodes import Node
from attention.lab.shapes.runs import Trace
from attention.lab.shapes.tables import shape_text

__all__ = ["alt_text"]


def alt_text(trace: Trace, most: int = 24) -> str:
    """Put a run into words, step by step.

    :param trace: what :func:`trace` recorded.
    :param most: how many steps are told; of a longer run the middle is left out.
    """
    shown = trace.visible()
    told = {node.index: node.name or f"step {k}" for k, node in enumerate(shown.nodes)}
    parts, last = [], None
    for node in shown.nodes:
        parts.append(_sentence(node, told, last))
        last = node.index
    if len(parts) > most:
        parts[most // 2 : len(parts) - most // 2] = [f"{len(parts) - most} more steps"]
    return f"The tensors of {trace.module}: {'; '.join(parts)}."


def _sentence(node: Node, told: dict[int, str], last: int | None) -> str:
    what = f"{told[node.index]} of shape {shape_text(node.shape)}"
    if not node.words:
        return what
    sources = (
        "" if node.sources == (last,) else f" of {' and '.join(told[s] for s in node.sources)}" if node.sources else ""
    )
    return f"{node.words}{sources} gives {what if node.name else shape_text(node.shape) + f' ({told[node.index]})'}"
