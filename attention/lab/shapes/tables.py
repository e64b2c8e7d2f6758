"""A run as a table, and torchinfo's summary of a module."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torchinfo
from torch import nn

from attention.lab.restore import untouched
from attention.lab.shapes.nodes import Node
from attention.lab.tables import Table

__all__ = ["shape_text", "summary", "tabulate"]

_HEAD = ("step", "operation", "shape", "from", "parameters")


def shape_text(shape: tuple[int, ...]) -> str:
    """Write a shape: ``2×64×8×8``; a tensor without axes is a number."""
    return "×".join(map(str, shape)) if shape else "a number"


def tabulate(nodes: Sequence[Node], failed: str = "") -> Table:
    """Tabulate the tensors of a run, one row each.

    :param nodes: the tensors, in the order in which they were made.
    :param failed: why the run ended early.
    """
    parameters = {name: prod(shape) for node in nodes for name, shape in node.parameters}
    foot = f"the run ends here: {failed}" if failed else f"parameters: {sum(parameters.values()):,}"
    return Table(_HEAD, tuple(_row(node) for node in nodes), foot)


def _row(node: Node) -> tuple[str, str, str, str, str]:
    what = " ".join(part for part in (node.words or node.role, f"({node.name})" if node.name else "") if part)
    parameters = ", ".join(f"{name} {shape_text(shape)}" for name, shape in node.parameters)
    shape = "fails" if node.role == "failed" else shape_text(node.shape)
    return str(node.index), what, shape, ", ".join(map(str, node.sources)), parameters


def summary(module: nn.Module, *inputs: Any, depth: int = 3) -> str:
    """Summarise a module as torchinfo does: its submodules, their output shapes and parameters.

    :param module: any module; it is left as it was.
    :param inputs: what it is called with.
    :param depth: how deep submodules are listed.
    """
    columns = ("output_size", "num_params")
    with untouched(module):
        mode = "train" if module.training else "eval"
        found = torchinfo.summary(module, input_data=list(inputs), depth=depth, col_names=columns, mode=mode, verbose=0)
    return str(found)
