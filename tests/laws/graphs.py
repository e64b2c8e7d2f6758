"""What makes a graph of a block, and what wraps it: law 8; law 12 on the files that leave torch."""

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tests.laws.gradients import wanting_gradients, weighted_sum
from tests.laws.running import EXAMPLES, cast, excepting, for_fixed, law, naming, same
from tests.laws.spec import Case, Spec

__all__ = ["input_names", "law_8", "law_12"]


@law(8, "inputs have names; compile, export, FX, trace, int8 and DDP accept it; script is refused in our words")
def law_8(spec: Spec, examples: int = EXAMPLES) -> None:
    """Compile forwards and backwards as one graph, export, trace, and compare the values."""
    _names(spec)
    with _quietly():
        with excepting(spec, "compile"):
            for_fixed(spec, lambda case: _compile(spec, case))
        with excepting(spec, "export"):
            for_fixed(spec, lambda case: _export(spec, case))
        for what, check in (("fx", _fx), ("trace", _trace), ("quantisation", _quantised)):
            with excepting(spec, what):
                for_fixed(spec, lambda case, check=check: check(spec, case))
        _script(spec)
        with excepting(spec, "ddp"), naming(spec.fixed[0]):
            _ddp(spec, spec.fixed[0])


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


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
    same("the output for inputs by name", block(**by_name), block(*inputs))


def _fx(spec: Spec, case: Case) -> None:
    for training in (False, True):
        traced = torch.fx.symbolic_trace(spec.block(case, training=training))
        assert isinstance(traced, nn.Module)
    block, inputs = spec.block(case, training=False), spec.inputs(case)
    same("the output of the graph of torch.fx", torch.fx.symbolic_trace(block)(*inputs), block(*inputs))
    other = spec.inputs(replace(case, batch=case.batch + 1))
    same("the same for a larger batch", torch.fx.symbolic_trace(block)(*other), block(*other))


def _trace(spec: Spec, case: Case) -> None:
    block, inputs = spec.block(case, training=False), spec.inputs(case)
    same("the output of torch.jit.trace", torch.jit.trace(block, inputs, check_trace=False)(*inputs), block(*inputs))


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


def _quantised(spec: Spec, case: Case) -> None:
    """Assert that the linear layers may be int8, which leaves the values where they were, but for its few digits."""
    block, inputs = spec.block(case, torch.float32), cast(spec.inputs(case), torch.float32)
    small = torch.ao.quantization.quantize_dynamic(block, {nn.Linear})
    same("the output with int8 weights", small(*inputs), block(*inputs), 0.15)


def _ddp(spec: Spec, case: Case) -> None:
    """Assert that the gradients are the same in ``DistributedDataParallel``, of which one process runs.

    Its group is PyTorch's own stand-in for tests: a real one looks up the machine's name, and may wait for an answer.
    """
    from torch.testing._internal.distributed.fake_pg import FakeStore

    def alone(state: Any, bucket: torch.distributed.GradBucket) -> torch.futures.Future[Tensor]:
        """Take the mean over the one process that there is."""
        future: torch.futures.Future[Tensor] = torch.futures.Future()
        future.set_result(bucket.buffer())
        return future

    block, inputs = spec.block(case, torch.float32), cast(spec.inputs(case), torch.float32)
    weighted_sum(block(*inputs), case).backward()
    expected = {name: p.grad for name, p in block.named_parameters()}
    distributed = torch.distributed
    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(spec.block(case, torch.float32))
        wrapped.register_comm_hook(None, alone)
        weighted_sum(wrapped(*inputs), case).backward()
        for name, parameter in wrapped.module.named_parameters():
            if expected[name] is not None:
                same(f"the gradient of {name} in DistributedDataParallel", parameter.grad, expected[name], 1e-4)
    finally:
        distributed.destroy_process_group()


def _compile(spec: Spec, case: Case) -> None:
    block, inputs = spec.block(case, training=False), wanting_gradients(spec.inputs(case))
    leaves = [*block.parameters(), *(x for x in inputs if x.requires_grad)]
    expected = block(*inputs)
    gradients = torch.autograd.grad(weighted_sum(expected, case), leaves, allow_unused=True)
    torch._dynamo.reset()
    try:
        output = torch.compile(block, fullgraph=True, backend="aot_eager")(*inputs)
        same("the compiled output", output, expected)
        compiled = torch.autograd.grad(weighted_sum(output, case), leaves, allow_unused=True)
    finally:
        torch._dynamo.reset()
    for found, wanted in zip(compiled, gradients, strict=True):
        assert (found is None) == (wanted is None), "the compiled block has other gradients"
        if found is not None:
            same("a gradient of the compiled block", found, wanted)


def _export(spec: Spec, case: Case) -> None:
    block, inputs = spec.block(case, training=False), spec.inputs(case)
    torch._dynamo.reset()
    exported = torch.export.export(block, inputs).module()
    same("the exported output", exported(*inputs), block(*inputs))


@law(12, "torch.export and ONNX for any batch and size give the same numbers, by named inputs")
def law_12(spec: Spec, examples: int = EXAMPLES) -> None:
    """Export the first fixed case, write it as ONNX, and compare both with the block on two other shapes."""
    with _quietly(), excepting(spec, "onnx"), naming(spec.fixed[0]):
        with excepting(spec, "dynamic size"):
            _leave(spec, spec.fixed[0], sizes=True)
        if "dynamic size" in spec.exceptions:
            _leave(spec, spec.fixed[0], sizes=False)


#: Batch, height and width with which a block is exported, and those with which the file is then run.
EXPORTED, RUN = (3, 5, 6), ((2, 7, 4), (4, 6, 9))


def _leave(spec: Spec, case: Case, sizes: bool) -> None:
    import onnxruntime

    block, names = spec.block(case, torch.float32), input_names(spec)

    def given(batch: int, height: int, width: int) -> dict[str, Tensor]:
        size = {"height": height, "width": width} if sizes else {}
        return dict(zip(names, cast(spec.inputs(replace(case, batch=batch, **size)), torch.float32), strict=True))

    dims = {name: torch.export.Dim(name) for name in ("batch", "height", "width")}
    open_axes = {0: "batch", 2: "height", 3: "width"} if sizes else {0: "batch"}
    inputs = given(*EXPORTED)
    shapes = {name: {i: dims[d] for i, d in open_axes.items() if i < x.ndim} for name, x in inputs.items()}
    program = torch.export.export(block, (), inputs, dynamic_shapes=shapes)
    file = torch.onnx.export(program, dynamo=True, verbose=False).model_proto
    _check_axes(file, {name: set(axes) for name, axes in shapes.items()})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for shape in RUN:
        inputs = given(*shape)
        expected = block(**inputs)
        same(f"the exported output for {shape}", program.module()(**inputs), expected, 1e-4)
        (found,) = session.run(None, {name: x.numpy() for name, x in inputs.items()})
        same(f"the output of the ONNX file for {shape}", torch.from_numpy(found), expected, 1e-4)


def _check_axes(file: Any, wanted: dict[str, set[int]]) -> None:
    """Assert that the file has these inputs, and that just these of their axes are open."""
    found = {
        each.name: {i for i, axis in enumerate(each.type.tensor_type.shape.dim) if axis.dim_param}
        for each in file.graph.input
    }
    assert found == wanted, f"the ONNX file leaves open {found}, asked for {wanted}"
