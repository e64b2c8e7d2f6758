"""Write a block's literal form down as JSON takes it: operations, shapes, constants, and the paper's named steps.

``torch.export`` gives the graph of ``attend`` in a few dozen basic operations; the steps that the block marks are
outputs of that graph, so that each has its place in it.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import export
from torch.fx import Node

from attention.contract import Attention, watching

__all__ = ["KNOWN", "written_down"]

#: The basic operations that can be written down; an interpreter knows these.
KNOWN = frozenset(
    {
        "_native_batch_norm_legit_no_training.default",
        "_softmax.default",
        "add.Tensor",
        "addmm.default",
        "amax.default",
        "bmm.default",
        "cat.default",
        "clone.default",
        "convolution.default",
        "div.Scalar",
        "div.Tensor",
        "expand.default",
        "max_pool2d_with_indices.default",
        "mean.dim",
        "mm.default",
        "mul.Scalar",
        "mul.Tensor",
        "permute.default",
        "relu.default",
        "sigmoid.default",
        "squeeze.dims",
        "sum.dim_IntList",
        "unsqueeze.default",
        "view.default",
    }
)
#: What computes nothing: a guard that a graph is used with the types that it was made with.
_GUARD = "aten._assert_tensor_metadata.default"
#: Of an operation with several results, as the graph writes it, the first is taken.
_FIRST = "<built-in function getitem>"


class _Steps(nn.Module):
    """A block whose outputs are its output, its maps and its steps."""

    def __init__(self, block: Attention) -> None:
        super().__init__()
        self.block = block

    def forward(self, *inputs: Tensor) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        steps: dict[str, Tensor] = {}
        with watching(lambda who, name, value: steps.update({name: value}) if who is self.block else None):
            output, maps = self.block.attend(*inputs)
        return output, maps, steps


def written_down(block: Attention, *inputs: Tensor) -> dict[str, Any]:
    """Write down what ``attend`` computes, in eval mode.

    :param block: a block that declares its steps; it is left as it was.
    :param inputs: what it is called with; of these sizes the graph is.
    :returns: ``values``, a list in the order of the run: each with ``shape`` and either ``input`` (its number),
        ``constant`` (numbers, nested) or ``operation`` with ``arguments`` and ``options``, in which ``{"value": 3}``
        stands for another value; and ``output``, ``maps`` and ``steps``, which name values by their number. A step has
        ``symbol``, ``zone`` and ``about`` besides.
    :raises ValueError: for operations that no interpreter knows, naming them and those that it knows.
    """
    training, watched = block.training, _Steps(block)
    try:
        block.eval()
        program = export(watched, inputs).run_decompositions()
        with torch.no_grad():
            _, maps, steps = watched(*inputs)  # for their names
    finally:
        block.train(training)
    graph = program.graph_module.graph
    used = {str(node.target) for node in graph.nodes if node.op == "call_function"} - {_GUARD, _FIRST}
    used = {name.removeprefix("aten.") for name in used}
    if strangers := sorted(used - KNOWN):
        what = f"{type(block).__name__}: {', '.join(strangers)} cannot be written down"
        raise ValueError(f"{what}; known: {', '.join(sorted(KNOWN))}")
    constants, number, values = _constants(program), {}, []
    given = iter(range(len(inputs)))
    for node in graph.nodes:
        if node.op == "output":
            break
        if str(node.target) == _GUARD:
            continue
        if str(node.target) == _FIRST:
            number[node] = number[node.args[0]]
            continue
        value = node.meta["val"]
        entry: dict[str, Any] = {"shape": list((value if isinstance(value, Tensor) else value[0]).shape)}
        if node.name in constants:
            entry["constant"] = constants[node.name]
        elif node.op == "placeholder":
            entry["input"] = next(given)
        else:
            plain = {"arguments": _plain(node.args, number), "options": _plain(dict(node.kwargs), number)}
            entry |= {"operation": _name(node), **plain}
        number[node] = len(values)
        values.append(entry)
    output, *named = (number[node] for node in graph.output_node().args[0])
    of_maps, of_steps = named[: len(maps)], named[len(maps) :]
    return {
        "block": type(block).__name__,
        "values": values,
        "output": output,
        "maps": dict(zip(maps, of_maps, strict=True)),
        "steps": {
            name: {"value": value, "symbol": step.symbol or name, "zone": step.zone, "about": step.about}
            for name, value, step in zip(steps, of_steps, map(block.steps.get, steps), strict=True)
        },
    }


def _name(node: Node) -> str:
    return str(node.target).removeprefix("aten.")


def _constants(program: torch.export.ExportedProgram) -> dict[str, Any]:
    """Return the numbers of parameters, buffers and other constants by the names that the graph gives them."""
    signature, held = program.graph_signature, {**program.state_dict, **program.constants}
    named = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    return {name: held[key].tolist() for name, key in named.items()}


def _plain(value: Any, number: dict[Node, int]) -> Any:
    """Write arguments down: other values by their number, types of numbers by their name."""
    if isinstance(value, Node):
        return {"value": number[value]}
    if isinstance(value, list | tuple):
        return [_plain(each, number) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each, number) for key, each in value.items()}
    return value if isinstance(value, bool | int | float | str | None) else str(value)
