"""What makes a graph of a block, and what wraps it."""

import copy
import functools
import inspect
import unittest
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from attention.laws.comparing import same
from attention.laws.gradients import wanting_gradients, weighted_sum
from attention.laws.law import law
from attention.laws.material import cast, resized

__all__ = ["compiles", "distributes", "exports", "fx", "onnx", "quantises", "traces"]

#: Batch, height and width with which a block is exported, and those with which the file is then run.
EXPORTED, RUN = (3, 5, 6), ((2, 7, 4), (4, 6, 9))


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _quietly(check: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(check)
    def run(*arguments: Any, **options: Any) -> None:
        with _quiet():
            check(*arguments, **options)

    return run


@law("torch.compile makes one graph of it, with the same values and gradients")
@_quietly
def compiles(block: nn.Module, *inputs: Tensor) -> None:
    """Compile forwards and backwards without a break, with the backend ``aot_eager``, which needs no C++ compiler.

    :param block: the block.
    :param inputs: its inputs.
    """
    inputs = wanting_gradients(inputs)
    leaves = [*block.parameters(), *(x for x in inputs if x.requires_grad)]
    expected = block(*inputs)
    gradients = torch.autograd.grad(weighted_sum(expected), leaves, allow_unused=True)
    torch._dynamo.reset()
    try:
        output = torch.compile(block, fullgraph=True, backend="aot_eager")(*inputs)
        same("the compiled output", output, expected)
        compiled = torch.autograd.grad(weighted_sum(output), leaves, allow_unused=True)
    finally:
        torch._dynamo.reset()
    for found, wanted in zip(compiled, gradients, strict=True):
        assert (found is None) == (wanted is None), "the compiled block has other gradients"
        if found is not None:
            same("a gradient of the compiled block", found, wanted)


@law("torch.export gives the same numbers")
@_quietly
def exports(block: nn.Module, *inputs: Tensor) -> None:
    """Export the block for these sizes.

    :param block: the block.
    :param inputs: its inputs.
    """
    torch._dynamo.reset()
    exported = torch.export.export(block, inputs).module()
    same("the exported output", exported(*inputs), block(*inputs))


@law("torch.fx follows it, for any batch")
@_quietly
def fx(block: nn.Module, *inputs: Tensor) -> None:
    """Make a graph of the block, in training and in eval mode, and run it on another batch too.

    :param block: the block, in eval mode.
    :param inputs: its inputs.
    """
    assert isinstance(torch.fx.symbolic_trace(copy.deepcopy(block).train()), nn.Module)
    graph = torch.fx.symbolic_trace(block)
    same("the output of the graph of torch.fx", graph(*inputs), block(*inputs))
    other = resized(inputs, len(inputs[0]) + 1)
    same("the same for a larger batch", torch.fx.symbolic_trace(block)(*other), block(*other))


@law("torch.jit.trace gives the same numbers")
@_quietly
def traces(block: nn.Module, *inputs: Tensor) -> None:
    """Record one run of the block, and run the record.

    :param block: the block.
    :param inputs: its inputs.
    """
    same("the output of torch.jit.trace", torch.jit.trace(block, inputs, check_trace=False)(*inputs), block(*inputs))


@law("linear layers may be int8")
@_quietly
def quantises(block: nn.Module, *inputs: Tensor) -> None:
    """Make the linear layers int8, which leaves the values where they were, but for its few digits.

    :param block: the block.
    :param inputs: its inputs.
    """
    block, inputs = copy.deepcopy(block).float(), cast(inputs, torch.float32)
    small = torch.ao.quantization.quantize_dynamic(block, {nn.Linear})
    same("the output with int8 weights", small(*inputs), block(*inputs), 0.15)


@law("the gradients are the same in DistributedDataParallel")
@_quietly
def distributes(block: nn.Module, *inputs: Tensor) -> None:
    """Wrap the block in ``DistributedDataParallel``, of which one process runs.

    Its group is PyTorch's own stand-in for tests: a real one looks up the machine's name, and may wait for an answer.

    :param block: the block.
    :param inputs: its inputs.
    """
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed = torch.distributed
    if distributed.is_initialized():
        raise unittest.SkipTest("a process group exists already")

    def alone(state: Any, bucket: torch.distributed.GradBucket) -> torch.futures.Future[Tensor]:
        """Take the mean over the one process that there is."""
        future: torch.futures.Future[Tensor] = torch.futures.Future()
        future.set_result(bucket.buffer())
        return future

    if not any(p.requires_grad for p in block.parameters()):
        raise unittest.SkipTest("it has no parameters")
    block, other, inputs = copy.deepcopy(block).float(), copy.deepcopy(block).float(), cast(inputs, torch.float32)
    weighted_sum(block(*inputs)).backward()
    expected = {name: p.grad for name, p in block.named_parameters()}
    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(other)
        wrapped.register_comm_hook(None, alone)
        weighted_sum(wrapped(*inputs)).backward()
        for name, parameter in wrapped.module.named_parameters():
            if expected[name] is not None:
                same(f"the gradient of {name} in DistributedDataParallel", parameter.grad, expected[name], 1e-4)
    finally:
        distributed.destroy_process_group()


@law("torch.export and ONNX for any batch and size give the same numbers, by named inputs")
@_quietly
def onnx(
    block: nn.Module,
    *inputs: Tensor,
    sizes: bool = True,
    given: Callable[[int, int | None, int | None], tuple[Tensor, ...]] | None = None,
) -> None:
    """Export the block with open axes, write it as ONNX, and compare both with the block on two other shapes.

    It needs ``onnx``, ``onnxscript`` and ``onnxruntime``, which the extra ``laws`` of this package brings.

    :param block: the block.
    :param inputs: its inputs.
    :param sizes: whether height and width are open; else the batch alone is.
    :param given: makes inputs of a batch, a height and a width (None for the size as it is); by default random ones
        like these.
    """
    try:
        import onnx as _  # noqa: F401
        import onnxruntime
        import onnxscript as __  # noqa: F401
    except ModuleNotFoundError as error:
        raise unittest.SkipTest(f"{error.name} is not installed") from None

    block = copy.deepcopy(block).float()
    names = list(inspect.signature(block.forward).parameters)
    make = given or (lambda b, h, w: resized(inputs, b, h, w, seed=b))

    def named(batch: int, height: int, width: int) -> dict[str, Tensor]:
        size = (height, width) if sizes else (None, None)
        return dict(zip(names, cast(make(batch, *size), torch.float32), strict=False))

    dims = {name: torch.export.Dim(name) for name in ("batch", "height", "width")}
    open_axes = {0: "batch", 2: "height", 3: "width"} if sizes else {0: "batch"}
    first = named(*EXPORTED)
    shapes = {name: {i: dims[d] for i, d in open_axes.items() if i == 0 or x.ndim == 4} for name, x in first.items()}
    program = torch.export.export(block, (), first, dynamic_shapes=shapes)
    file = torch.onnx.export(program, dynamo=True, verbose=False).model_proto
    _check_axes(file, {name: set(axes) for name, axes in shapes.items()})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for shape in RUN:
        each = named(*shape)
        expected = block(**each)
        same(f"the exported output for {shape}", program.module()(**each), expected, 1e-4)
        (found,) = session.run(None, {name: x.numpy() for name, x in each.items()})
        same(f"the output of the ONNX file for {shape}", torch.from_numpy(found), expected, 1e-4)


def _check_axes(file: Any, wanted: dict[str, set[int]]) -> None:
    """Assert that the file has these inputs, and that just these of their axes are open."""
    found = {
        each.name: {i for i, axis in enumerate(each.type.tensor_type.shape.dim) if axis.dim_param}
        for each in file.graph.input
    }
    assert found == wanted, f"the ONNX file leaves open {found}, asked for {wanted}"
