"""Make a readable run of what was recorded: modules closed, reshapes joined, unused results left out."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import nn

from attention.contract import Attention
from attention.lab.shapes.axes import label, squeezed, stretch
from attention.lab.shapes.nodes import Node
from attention.lab.shapes.recorder import Operation, Recorder
from attention.lab.shapes.runs import Trace
from attention.lab.shapes.words import SIGNS

__all__ = ["folded"]

#: The most operations of a closed sequence that are told by name.
_SHORT = 5


def folded(run: Recorder, depth: int | None) -> Trace:
    """Give what a recorder saw as a trace.

    :param run: the recorder, after its run.
    :param depth: how deep submodules are opened.
    """
    failed = run.failure
    results = {*run.returned, *(failed.sources if failed else ())}
    operations = _without_repeats(run, _collapsed(run, run.operations, depth), results)
    return Trace(type(run.module).__name__, tuple(_nodes(run, operations, results)), failed.sentence if failed else "")


def _collapsed(run: Recorder, operations: list[Operation], depth: int | None) -> list[Operation]:
    """Make one step of all that happened inside one call of a module that is not to be opened."""
    around = _around_attention(run) if depth is None else frozenset()
    if depth is None and not around:
        return operations
    groups: dict[Any, list[Operation]] = {}
    for i, op in enumerate(operations):
        call = _closed(run, op.calls, depth, around)
        groups.setdefault((i,) if call is None else call, []).append(op)
    return [ops[0] if isinstance(key, tuple) else _joined(run, key, ops) for key, ops in groups.items()]


def _around_attention(run: Recorder) -> frozenset[int]:
    """Find the modules that lie around the attention blocks that were called, the traced one included.

    None where the traced module is itself such a block, or runs one without calling it.
    """
    if isinstance(run.module, Attention):
        return frozenset()
    called = {id(m) for m in run.calls}
    paths = [name for name, m in run.module.named_modules() if isinstance(m, Attention)]
    outer = [name for name in paths if not any(name.startswith(f"{other}.") for other in paths)]
    blocks = [name for name in outer if id(run.module.get_submodule(name)) in called]
    ends = {".".join(name.split(".")[:k]) for name in blocks for k in range(name.count(".") + 1)}
    return frozenset(id(run.module.get_submodule(name)) for name in ends)


def _closed(run: Recorder, calls: tuple[int, ...], depth: int | None, around: frozenset[int]) -> int | None:
    """Find the call that is told as one step with all that happened in it; none for an operation told by itself."""
    failing = run.failure.calls if run.failure else ()  # what failed is opened
    if depth is not None:
        found = calls[depth] if len(calls) > depth else None
    else:
        found = next((call for call in calls if id(run.calls[call]) not in around), None)
    return None if found in failing else found


def _joined(run: Recorder, call: int, ops: list[Operation]) -> Operation:
    inside = [v for op in ops for v in op.outputs]
    inputs = list(dict.fromkeys(v for op in ops for v in op.inputs if v not in inside))
    parameters = {k: v for op in ops for k, v in op.parameters.items()}
    loud = [op for op in ops if not op.layout]
    layout = frozenset().union(*(op.layout for op in ops)) if not loud else frozenset()
    block = isinstance(run.calls[call], Attention)
    if block:  # its steps are told where it is opened
        for v in inside:
            run.values[v].step, run.values[v].map = ("", "", ""), False
            run.values[v].name *= bool(run.values[v].role)
    chain = _words(run, call, loud or ops)
    kind = (loud or ops)[0].kind if len(loud or ops) == 1 else ""
    calls = ops[0].calls[: ops[0].calls.index(call) + 1]
    return Operation(", ".join(chain), layout, inputs, inside, parameters, calls, kind, chain, block)


def _words(run: Recorder, call: int, ops: list[Operation]) -> tuple[str, ...]:
    module = run.calls[call]
    place = run.paths.get(id(module), "").rpartition(".")[2]
    name = "" if place.isdigit() else place
    if len(ops) == 1 and not isinstance(module, Attention):
        return (_named(name, ops[0].words),)
    if type(module) is nn.Sequential and name:  # that it is a sequence says nothing
        return (f"{name}: {ops[0].words}", *(op.words for op in ops[1:])) if len(ops) <= _SHORT else (name,)
    inside = dict.fromkeys(type(m).__name__ for m in module.modules() if m is not module and isinstance(m, Attention))
    told = (f"with {', '.join(inside)}",) if inside and not isinstance(module, Attention) else ()
    return (f"{place}: {type(module).__name__}" if place else type(module).__name__, *told)


def _named(name: str, words: str) -> str:
    """Give an operation the name of the layer that does it: ``conv1 3×3, 64 → 64``, ``bn1``, ``fc: linear 64 → 10``."""
    stem, first = name.rstrip("0123456789_").lower(), words.split(" ")[0].lower()
    if not name or stem == words.lower():
        return words
    if stem == first:
        return name + words[len(first) :]
    return name if stem == "".join(word[0] for word in words.lower().split()) else f"{name}: {words}"


def _without_repeats(run: Recorder, operations: list[Operation], results: set[int]) -> list[Operation]:
    """Join reshapes that follow on each other: together they are one rearrangement."""
    users: dict[int, int] = {}
    for op in operations:
        for v in op.inputs:
            users[v] = users.get(v, 0) + 1
    kept: dict[int, Operation] = {}  # by the value that it made
    done: list[Operation] = []
    for op in operations:
        before = kept.get(op.inputs[0]) if op.layout and len(op.inputs) == 1 else None
        alone = before and before.layout and users[op.inputs[0]] == 1 and op.inputs[0] not in results
        if alone and not run.values[op.inputs[0]].step[0]:
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
    if run.failure:
        sources = tuple(number[v] for v in run.failure.sources)
        yield Node(len(number), "", (), "", words=run.failure.words, sources=sources, operation=len(operations),
                   parameters=tuple(run.failure.parameters.items()), role="failed")  # fmt: skip


def _node(run: Recorder, number: dict[int, int], v: int, i: int, op: Operation | None) -> Node:
    value = run.values[v]
    letters = tuple(label(value.axes, [d]) for d in range(len(value.axes)))
    dtype = str(value.tensor.dtype).removeprefix("torch.")
    step = dict(zip(("step", "symbol", "zone"), value.step, strict=True))
    shape = tuple(value.tensor.shape)
    node = Node(number[v], value.name, shape, dtype, letters, role=value.role, map=value.map, **step)
    if op is None:
        return node
    sources = tuple(number[s] for s in op.inputs if s in number)
    path = run.paths.get(id(run.calls[op.calls[-1]]), "") if op.calls else ""
    return replace(
        node, words=op.words, sources=sources, operation=i, module=path,
        parameters=tuple(op.parameters.items()), quiet=_is_quiet(run, op), kind=op.kind, chain=op.chain or (op.words,),
        stretched=_stretched(run, number, op, node) if op.words in SIGNS else (), block=op.block,
    )  # fmt: skip


def _stretched(run: Recorder, number: dict[int, int], op: Operation, made: Node) -> tuple[tuple[int, str], ...]:
    found = ((number[v], stretch(run.values[v].tensor.shape, made.shape, made.axes)) for v in op.inputs if v in number)
    return tuple((source, axes) for source, axes in found if axes)


def _is_quiet(run: Recorder, op: Operation) -> bool:
    if not op.layout or len(op.inputs) != 1:
        return False
    before, after = run.values[op.inputs[0]].axes, run.values[op.outputs[-1]].followed
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
