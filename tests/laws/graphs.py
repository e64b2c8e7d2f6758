"""What makes a graph of a block, and what wraps it: law 8; law 12 on the files that leave torch."""

import inspect
from dataclasses import replace

import torch
from torch import Tensor

from attention import laws
from tests.laws.running import EXAMPLES, excepting, for_fixed, law, naming
from tests.laws.spec import Spec

__all__ = ["input_names", "law_8", "law_12"]


@law(8, "inputs have names; compile, export, FX, trace, int8 and DDP accept it; script is refused in our words")
def law_8(spec: Spec, examples: int = EXAMPLES) -> None:
    """Compile forwards and backwards as one graph, export, trace, and compare the values."""
    _names(spec)
    each = {
        "compile": laws.compiles,
        "export": laws.exports,
        "fx": laws.fx,
        "trace": laws.traces,
        "quantisation": laws.quantises,
    }
    for what, made in each.items():
        with excepting(spec, what):
            for_fixed(spec, lambda case, made=made: made.check(spec.block(case), *spec.inputs(case)))
    _script(spec)
    with excepting(spec, "ddp"), naming(spec.fixed[0]):
        laws.distributes.check(spec.block(spec.fixed[0]), *spec.inputs(spec.fixed[0]))


def input_names(spec: Spec) -> list[str]:
    """Return the names of the block's inputs, as ``forward`` has them."""
    return list(inspect.signature(spec.fresh(spec.fixed[0]).forward).parameters)


def _names(spec: Spec) -> None:
    """Assert that ``forward`` and ``attend`` have the same inputs, by name, and take them by name."""
    block, inputs = spec.block(spec.fixed[0], training=False), spec.inputs(spec.fixed[0])
    forward, attend = (inspect.signature(f).parameters.values() for f in (block.forward, block.attend))
    named = [p.name for p in forward if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert len(named) == len(forward), f"forward({', '.join(map(str, forward))}) does not name its inputs"
    assert named == [p.name for p in attend], f"forward names {named}, attend {[p.name for p in attend]}"
    by_name = dict(zip(named, inputs, strict=False))
    laws.same("the output for inputs by name", block(**by_name), block(*inputs))


def _script(spec: Spec) -> None:
    """Assert that ``torch.jit.script`` is refused with the names of what works instead."""
    try:
        torch.jit.script(spec.fresh(spec.fixed[0]))
    except TypeError as error:
        said = str(error)
    else:
        raise AssertionError("torch.jit.script accepts the block; the table of what works says that it does not")
    words = ("torch.jit.script", "torch.jit.trace(block, x)", "torch.export.export")
    assert all(word in said for word in words), f"torch.jit.script: {said}; it does not say what works"


@law(12, "torch.export and ONNX for any batch and size give the same numbers, by named inputs")
def law_12(spec: Spec, examples: int = EXAMPLES) -> None:
    """Export the first fixed case, write it as ONNX, and compare both with the block on two other shapes."""
    case = spec.fixed[0]

    def given(batch: int, height: int | None, width: int | None) -> tuple[Tensor, ...]:
        size = {"height": height, "width": width} if height and width else {}
        return spec.inputs(replace(case, batch=batch, **size))

    with excepting(spec, "onnx"), naming(case):
        with excepting(spec, "dynamic size"):
            laws.onnx.check(spec.block(case), given=given)
        if "dynamic size" in spec.exceptions:
            laws.onnx.check(spec.block(case), given=given, sizes=False)
