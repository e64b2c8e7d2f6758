"""A run in words, for a reader who does not see the picture."""

from attention.lab.shapes.nodes import Node
from attention.lab.shapes.runs import Trace
from attention.lab.shapes.tables import shape_text

__all__ = ["alt_text"]


def alt_text(trace: Trace, most: int = 24, plumbing: bool = False) -> str:
    """Put a run into words, step by step.

    :param trace: what :func:`trace` recorded.
    :param most: how many steps are told; of a longer run the middle is left out.
    :param plumbing: whether every tensor is told, as a drawing with ``plumbing=True`` shows it.
    """
    shown = trace.visible(plumbing)
    told = {node.index: node.name or node.step or f"step {k}" for k, node in enumerate(shown.nodes)}
    parts, last = [], None
    for node in shown.nodes:
        parts.append(_sentence(node, told, last))
        last = node.index
    if len(parts) > most:
        parts[most // 2 : len(parts) - most // 2] = [f"{len(parts) - most} more steps"]
    end = f" The run ends here. {trace.failed}" if trace.failed else ""
    return f"The tensors of {trace.module}: {'; '.join(parts)}.{end}"


def _sentence(node: Node, told: dict[int, str], last: int | None) -> str:
    what = f"{told[node.index]} of shape {shape_text(node.shape)}"
    if not node.words:
        return what
    stretched = ", ".join(f"{told[s]} stretched over {axes}" for s, axes in node.stretched)
    apart = node.sources and node.sources != (last,)
    sources = f" of {' and '.join(told[s] for s in node.sources)}" if apart else ""
    done = f"{node.words}{sources}{f' ({stretched})' if stretched else ''}"
    if node.role == "failed":
        return f"{done} fails"
    named = node.name or node.step
    return f"{done} gives {what if named else shape_text(node.shape) + f' ({told[node.index]})'}"
