"""Make a readable run of what was recorded: modules closed, reshapes joined, unused results left out."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import nn

from attention.lab.shapes.axes import label, squeezed
from attention.lab.shapes.nodes import Node
from attention.lab.shapes.recorder import Operation, Recorder
from attention.lab.shapes.runs import Trace

__all__ = ["folded"]


def folded(run: Recorder, depth: int | None) -> Trace:
    """Give what a recorder saw as a trace.

    :param run: the recorder, after its run.
    :param depth: how deep submodules are opened.
    """
    results = set(run.returned)
    operations = _without_repeats(_collapsed(run, run.operations, depth), results)
    return Trace(type(run.module).__name__, tuple(_nodes(run, operations, results)))


def _collapsed(run: Recorder, operations: list[Operation], depth: int | None) -> list[Operation]:
    """Make one step of all that happened inside one call of a module that is not to be opened."""
    if depth is None:
        return operations
    groups: dict[Any, list[Operation]] = {}
    for i, op in enumerate(operations):
        groups.setdefault(op.calls[depth] if len(op.calls) > depth else (i,), []).append(op)
    return [ops[0] if isinstance(key, tuple) else _joined(run, key, ops, depth) for key, ops in groups.items()]


def _joined(run: Recorder, call: int, ops: list[Operation], depth: int) -> Operation:
    inside = [v for op in ops for v in op.outputs]
    inputs = list(dict.fromkeys(v for op in ops for v in op.inputs if v not in inside))
    parameters = {k: v for op in ops for k, v in op.parameters.items()}
    loud = [op for op in ops if not op.layout]
    layout = frozenset().union(*(op.layout for op in ops)) if not loud else frozenset()
    return Operation(_words(run, call, loud or ops), layout, inputs, inside, parameters, ops[0].calls[: depth + 1])


def _words(run: Recorder, call: int, ops: list[Operation]) -> str:
    module = run.calls[call]
    if len(ops) == 1:
        return ops[0].words
    name = run.paths.get(id(module), "").rpartition(".")[2]
    if type(module) is nn.Sequential and name and not name.isdigit():
        return name  # that it is a sequence says nothing
    return f"{name}: {type(module).__name__}" if name else type(module).__name__


def _without_repeats(operations: list[Operation], results: set[int]) -> list[Operation]:
    """Join reshapes that follow on each other: together they are one rearrangement."""
    users: dict[int, int] = {}
    for op in operations:
        for v in op.inputs:
            users[v] = users.get(v, 0) + 1
    kept: dict[int, Operation] = {}  # by the value that it made
    done: list[Operation] = []
    for op in operations:
        before = kept.get(op.inputs[0]) if op.layout and len(op.inputs) == 1 else None
        if before and before.layout and users[op.inputs[0]] == 1 and op.inputs[0] not in results:
            before.outputs, before.layout = op.outputs, before.layout | op.layout
            before.words = _layout_words(before, op)
            op = before
        else:
            done.append(op)
        kept |= dict.fromkeys(op.outputs, op)
    return done


def _nodes(run: Recorder, operations: list[Operation], results: set[int]) -> Iterator[Node]:
    used = {v for op in operations for v in op.inputs} | results
    made = {v for op in operations for v in op.outputs}
    number: dict[int, int] = {}
    sources = [i for i, v in enumerate(run.values) if i not in made and (i in used or v.role == "input")]
    steps = [(-1, None, [v]) for v in sources]
    for i, op in enumerate(operations):
        needed = [v for v in op.outputs if v in used]
        steps.append((i, op, needed or op.outputs[-1:]))
    for i, op, outputs in steps:
        for v in outputs:
            number[v] = len(number)
            yield _node(run, number, v, i, op)


def _node(run: Recorder, number: dict[int, int], v: int, i: int, op: Operation | None) -> Node:
    value = run.values[v]
    letters = tuple(label(value.axes, [d]) for d in range(len(value.axes)))
    dtype = str(value.tensor.dtype).removeprefix("torch.")
    step = dict(zip(("step", "symbol", "zone"), value.step, strict=True))
    node = Node(number[v], value.name, tuple(value.tensor.shape), dtype, letters, role=value.role, **step)
    if op is None:
        return node
    sources = tuple(number[s] for s in op.inputs if s in number)
    path = run.paths.get(id(run.calls[op.calls[-1]]), "") if op.calls else ""
    return replace(
        node, words=op.words, sources=sources, operation=i, module=path,
        parameters=tuple(op.parameters.items()), quiet=_is_quiet(run, op),
    )  # fmt: skip


def _is_quiet(run: Recorder, op: Operation) -> bool:
    if not op.layout or len(op.inputs) != 1:
        return False
    before, after = run.values[op.inputs[0]].axes, run.values[op.outputs[-1]].axes
    if op.words == "expand":
        return True
    known = "permute" not in op.layout or all(f.letter for axis in before for f in axis)
    return known and squeezed(before) == squeezed(after)


def _layout_words(first: Operation, second: Operation) -> str:
    kinds = (first.layout | second.layout) - {"copy"}
    if "expand" in (first.words, second.words):
        return "expand"
    if len(kinds) > 1:
        return "rearrange"
    return first.words if first.words == second.words else next(iter(kinds), second.words)
