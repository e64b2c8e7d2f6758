"""Follow a module's run as a list of basic operations: shapes, constants, and the paper's named steps.

``torch.export`` gives the graph of ``attend`` in a few dozen basic operations; the steps that the block marks are
outputs of that graph, so that each has its place in it. What depends on no input is computed once and is a constant.
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import export
from torch.fx import Node
from torch.nn.attention import SDPBackend, sdpa_kernel

from attention.contract import Attention, Step, watching
from attention.lab.live.known import KNOWN, PLUMBING

__all__ = ["Program", "Value", "follow"]

#: What computes nothing: a guard that a graph is used with the types that it was made with.
_GUARDS = ("_assert_tensor_metadata.default",)
#: Operations with several results, of which the interpreter knows the first.
_FIRST = (
    "_native_batch_norm_legit_no_training.default",
    "max.dim",
    "max_pool2d_with_indices.default",
    "min.dim",
    "native_group_norm.default",
    "native_layer_norm.default",
)
#: What gives back its first argument, where the shape stays.
_SAME = ("_to_copy.default", "alias.default", "clone.default", "expand.default", "permute.default", "view.default")


@dataclass
class Value:
    """One tensor of the run.

    :param shape: its sizes; of an operation with several results, those of each.
    :param operation: what makes it, as ``torch.export`` names it, or ``""`` for an input or a constant.
    :param arguments: what goes in; ``{"value": 3}`` stands for another value.
    :param options: arguments by name.
    :param input: the number of the input that it is.
    :param constant: its numbers, where they depend on no input.
    :param name: the parameter or buffer that a constant is made of, where that is one.
    """

    shape: list[Any]
    operation: str = ""
    arguments: list[Any] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    input: int | None = None
    constant: Tensor | None = None
    name: str = ""

    @property
    def sources(self) -> list[int]:
        """The values that it is made of."""
        return list(_values([self.arguments, self.options]))


@dataclass
class Program:
    """A run that was followed.

    :param module: the name of the module's class.
    :param values: all its values, in the order of the run.
    :param output: the number of the value that comes out.
    :param maps: the attention maps by name.
    :param steps: the named steps: the number of its value, and what the block declares of it.
    """

    module: str
    values: list[Value]
    output: int
    maps: dict[str, int]
    steps: dict[str, tuple[int, Step]]
    _graph: Any = field(repr=False, default=None)
    _places: dict[Node, int] = field(repr=False, default_factory=dict)
    _held: dict[str, Tensor] = field(repr=False, default_factory=dict)

    def compute(self, *inputs: Tensor) -> list[Tensor | tuple[Tensor, ...]]:
        """Compute every value with torch.

        :param inputs: of the shapes of the inputs that the run was followed with.
        :returns: the values, in the order of ``values``.
        """
        known = _evaluated(self._graph, self._held, inputs)
        found: list[Any] = [None] * len(self.values)
        for node, place in reversed(list(self._places.items())):  # of several nodes for a value the first counts
            found[place] = known[node][0] if _name(node) in _FIRST else known[node]
        return found


class _Watched(nn.Module):
    """A module whose outputs are its output, its maps and its steps."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        inputs = tuple(each.clone() for each in inputs)  # else inputs that are changed in place are outputs too
        if not isinstance(self.module, Attention):
            return _first(self.module(*inputs)), {}, {}
        steps: dict[str, Tensor] = {}
        with watching(lambda who, name, value: steps.update({name: value}) if who is self.module else None):
            output, maps = self.module.attend(*inputs)
        return output, maps, steps


def follow(module: nn.Module, *inputs: Tensor) -> Program:
    """Follow what a block's ``attend``, or another module's ``forward``, computes, in eval mode.

    :param module: a block, or any module from tensors to a tensor; it is left as it was.
    :param inputs: what it is called with; of these sizes the run is.
    :raises ValueError: for operations that the interpreter does not know, naming them and those that it knows; for a
        module that cannot be followed, above all one whose run depends on the numbers that go through it.
    """
    modes, watched = {each: each.training for each in module.modules()}, _Watched(module)
    inputs = tuple(each.detach().clone() for each in inputs)  # a module may change them in place
    name = type(module).__name__
    try:
        module.eval()
        with torch.no_grad():
            _, maps, steps = watched(*inputs)  # for their names; and an input that is refused is refused here
        try:
            with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):  # whose rows are tensors
                warnings.simplefilter("ignore", FutureWarning)  # torch's own, of its older parts
                program = export(watched, inputs).run_decompositions()
        except Exception as error:  # torch has many kinds, and each of them means the same here
            raise ValueError(_unfollowed(name, error)) from error
    finally:
        for each, training in modes.items():
            each.training = training
    declared: dict[str, Step] = getattr(module, "steps", {})
    graph = program.graph_module.graph
    held, called = _held(program)
    fixed = _fixed(graph, called)
    known = _evaluated(graph, held, inputs)
    if any(not _tensors(each) for each in known.values()):
        raise ValueError(_unfollowed(name, ValueError("data-dependent: a number or a size is read off a tensor")))
    values, place = _listed(graph, fixed, known)
    _refuse_unknown(name, values)
    output, *named = (place[node] for node in graph.output_node().args[0])
    of_maps, of_steps = named[: len(maps)], named[len(maps) :]
    return Program(
        name,
        values,
        output,
        dict(zip(maps, of_maps, strict=True)),
        {key: (value, declared[key]) for key, value in zip(steps, of_steps, strict=True)},
        graph,
        place,
        held,
    )


def _unfollowed(name: str, error: Exception) -> str:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0].strip()
    if any(word in f"{type(error).__name__} {error}" for word in ("DataDependent", "data-dependent", "_local_scalar")):
        return f"{name}: its run depends on the numbers that go through it (an `if`, a loop or .item()): {said}"
    return f"{name}: torch.export cannot follow its run: {said}"


def _first(found: Any) -> Tensor:
    """Return the first tensor of what a module returns."""
    if isinstance(found, Tensor):
        return found
    each = found.values() if isinstance(found, dict) else found if isinstance(found, list | tuple) else ()
    for one in each:
        if isinstance(one, Tensor | dict | list | tuple):
            return _first(one)
    raise ValueError(f"the module returns {type(found).__name__}, and no tensor in it")


def _held(program: torch.export.ExportedProgram) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return parameters, buffers and other constants by the names that the graph gives them, and their own names."""
    signature, held = program.graph_signature, {**program.state_dict, **program.constants}
    named = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    called = {name: key.removeprefix("module.") for name, key in named.items()}
    return {name: held[key].detach() for name, key in named.items()}, called


def _fixed(graph: torch.fx.Graph, called: dict[str, str]) -> dict[Node, str]:
    """Find what depends on no input, each with the parameter that it is made of, if that is one and is only moved."""
    found: dict[Node, str] = {}
    for node in graph.nodes:
        if node.op == "placeholder" and node.name in called:
            found[node] = called[node.name]
        elif node.op == "call_function" and all(each in found for each in node.all_input_nodes):
            moved = _name(node) in PLUMBING or _name(node) in _SAME
            found[node] = found[node.all_input_nodes[0]] if moved and len(node.all_input_nodes) == 1 else ""
    return found


def _evaluated(graph: torch.fx.Graph, held: dict[str, Tensor], inputs: tuple[Tensor, ...]) -> dict[Node, Any]:
    """Compute every node of a graph."""
    known: dict[Node, Any] = {}
    given = iter(inputs)
    with torch.no_grad():
        for node in graph.nodes:
            if node.op == "placeholder":
                known[node] = held[node.name] if node.name in held else next(given)
            elif node.op == "call_function" and _name(node) not in _GUARDS:
                args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), known.__getitem__)
                known[node] = node.target(*args, **kwargs)
    return known


def _listed(
    graph: torch.fx.Graph, fixed: dict[Node, str], known: dict[Node, Any]
) -> tuple[list[Value], dict[Node, int]]:
    """List the values of a run, and say which of them each node is."""
    values: list[Value] = []
    place: dict[Node, int] = {}
    wanted = {each for node in graph.nodes if node not in fixed for each in node.all_input_nodes}
    count = 0
    for node in graph.nodes:
        name = _name(node)
        if node.op == "output" or name in _GUARDS or (node in fixed and node not in wanted):
            continue
        if node not in fixed and node.op == "call_function":
            source = node.args[0] if node.args and isinstance(node.args[0], Node) else node
            same = name in _SAME and source is not node and known[node].shape == known[source].shape
            if (
                same
                and not _rounds(node, known)
                and (name != "permute.default" or _stays(known[source].shape, node.args[1]))
            ):
                place[node] = place[source]
                continue
            if name == "getitem" and _name(source) in _FIRST and node.args[1] == 0:
                place[node] = place[source]
                continue
        place[node] = len(values)
        values.append(_value(node, name, known[node], node in fixed, fixed.get(node, ""), place))
        if node.op == "placeholder" and node not in fixed:
            values[-1].input, count = count, count + 1
    return values, place


def _tensors(found: Any) -> bool:
    """Whether a result is a tensor, or several; a number or a size that was read off one is not."""
    return isinstance(found, Tensor) or (
        isinstance(found, list | tuple) and all(isinstance(one, Tensor) for one in found)
    )


def _rounds(node: Node, known: dict[Node, Any]) -> bool:
    """Whether a change of type cuts numbers off: to whole numbers, or to true and false."""
    return (
        _name(node) == "_to_copy.default"
        and known[node.args[0]].is_floating_point()
        and not known[node].is_floating_point()
    )


def _stays(shape: torch.Size, order: list[int]) -> bool:
    """Whether a permutation moves axes of size 1 only."""
    long = [axis % len(shape) for axis in order if shape[axis] > 1]
    return long == sorted(long)


def _value(node: Node, name: str, result: Any, fixed: bool, named: str, place: dict[Node, int]) -> Value:
    several = isinstance(result, list | tuple) and name not in _FIRST
    first = result[0] if isinstance(result, list | tuple) and not several else result
    shape = [list(each.shape) for each in result] if several else list(first.shape)
    if fixed:
        return Value(shape, constant=first, name=named)
    if node.op == "placeholder":
        return Value(shape, input=0)
    return Value(shape, name, _plain(node.args, place), _plain(dict(node.kwargs), place))


def _refuse_unknown(module: str, values: list[Value]) -> None:
    strangers = {each.operation for each in values if each.operation} - KNOWN
    for each in values:  # the second result of a normalisation, say
        if each.operation == "getitem" and values[each.arguments[0]["value"]].operation in _FIRST:
            strangers.add(f"{values[each.arguments[0]['value']].operation}, result {each.arguments[1]}")
        form = _another_form(each)
        if form:
            strangers.add(f"{each.operation}, {form}")
    if strangers:
        raise ValueError(
            f"{module}: {', '.join(sorted(strangers))} cannot be computed in a page; known: {', '.join(sorted(KNOWN))}"
        )


def _another_form(value: Value) -> str:
    """Say in which form an operation is used that pages do not compute, though they know its name."""
    if value.operation == "convolution.default":
        return "transposed" if value.arguments[6] else "over volumes" if len(value.shape) > 4 else ""
    if value.operation == "avg_pool2d.default" and len(value.arguments) > 6 and value.arguments[6] is not None:
        return "with a divisor of its own"
    return ""


def _name(node: Node) -> str:
    if str(node.target) == "<built-in function getitem>":
        return "getitem"
    return str(node.target).removeprefix("aten.")


def _plain(value: Any, place: dict[Node, int]) -> Any:
    """Write arguments down: other values by their number, types of numbers by their name."""
    if isinstance(value, Node):
        return {"value": place[value]}
    if isinstance(value, list | tuple):
        return [_plain(each, place) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each, place) for key, each in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(value)}
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _values(given: Any) -> Iterator[int]:
    if isinstance(given, dict):
        if "value" in given:
            yield given["value"]
        else:
            for each in given.values():
                yield from _values(each)
    elif isinstance(given, list):
        for each in given:
            yield from _values(each)
