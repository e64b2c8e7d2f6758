"""A run as a table, in text and in HTML, and torchinfo's summary of a module."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import prod
from typing import Any

import torchinfo
from torch import nn

from attention.lab.restore import untouched
from attention.lab.shapes.nodes import Node

__all__ = ["Table", "shape_text", "summary", "tabulate"]

_HEAD = ("step", "operation", "shape", "from", "parameters")


def shape_text(shape: tuple[int, ...]) -> str:
    """Write a shape: ``2×64×8×8``; a tensor without axes is a number."""
    return "×".join(map(str, shape)) if shape else "a number"


@dataclass(frozen=True)
class Table:
    """The steps of a run: plain text where it is printed, a table in a notebook.

    :param rows: step, operation, shape, the steps that it takes its numbers from, the parameters.
    :param total: the number of parameters, each counted once.
    :param failed: why the run ended early; empty where it did not.
    """

    rows: tuple[tuple[str, str, str, str, str], ...]
    total: int
    failed: str = ""

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(_HEAD, *self.rows, strict=True)]
        rule = tuple("─" * w for w in widths)
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in (_HEAD, rule, *self.rows)]
        return "\n".join(line.rstrip() for line in [*lines, self._foot()])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{name}</th>' for name in _HEAD)
        body = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self.rows)
        caption = f"<caption>{escape(self._foot())}</caption>"
        return f"<table>\n{caption}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"

    def _foot(self) -> str:
        return f"the run ends here: {self.failed}" if self.failed else f"parameters: {self.total:,}"


def tabulate(nodes: Sequence[Node], failed: str = "") -> Table:
    """Tabulate the tensors of a run, one row each.

    :param nodes: the tensors, in the order in which they were made.
    :param failed: why the run ended early.
    """
    parameters = {name: prod(shape) for node in nodes for name, shape in node.parameters}
    return Table(tuple(_row(node) for node in nodes), sum(parameters.values()), failed)


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
