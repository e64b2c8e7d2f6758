"""What a network or a block costs: counted from a run, and by the formulas of ``mechanisms.toml``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from attention.formulas import SIZES, evaluate, formula, latex
from attention.lab.memory import Memory
from attention.lab.operations import CONVENTION, Operations
from attention.lab.restore import untouched
from attention.lab.tables import Table, table

__all__ = ["CONVENTION", "Cost", "check", "count", "evaluate", "formula", "kept", "latex", "on_paper", "peak"]


@dataclass(frozen=True)
class Cost:
    """What one image costs a module.

    :param parameters: numbers that are trained.
    :param buffers: numbers that are stored but not trained: the running means and variances of batch normalisation,
        fixed bases. Some papers (SE among them) add them to the parameters. Whole numbers, such as the counter of
        batches, are left out.
    :param macs: multiply–adds of convolutions, linear layers and matrix products, and of nothing else. What papers
        print as FLOPs is mostly this.
    :param operations: all arithmetic operations, by :data:`CONVENTION`.
    :param peak_bytes: the most memory that the tensors of a forward pass take at once, input and output included,
        parameters and buffers not.
    :param unknown: operations that ran and that the convention does not cover; where there are some, the two counts
        of operations are lower bounds.
    """

    parameters: int
    buffers: int
    macs: int
    operations: int
    peak_bytes: int
    unknown: tuple[str, ...] = ()

    def table(self) -> Table:
        """Tabulate the counts; a cell of a notebook that ends with a ``Cost`` shows this table."""
        rows = {
            "parameters": self.parameters,
            "buffers": self.buffers,
            "multiply–adds": self.macs,
            "all operations": self.operations,
            "peak memory, bytes": self.peak_bytes,
        }
        note = f"not counted: {', '.join(self.unknown)}" if self.unknown else ""
        return table(("cost of one image", "count"), rows.items(), note=note)

    def __str__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def count(module: nn.Module, *inputs: Any) -> Cost:
    """Run a module on one image and count what that costs.

    The first image of the batch is run alone, in eval mode and without gradients; so all figures but the
    parameters are those of one image. The module is left as it was.

    :param module: any module, on any device, also ``meta``.
    :param inputs: what its ``forward`` takes; the first axis of every tensor is the batch.
    :raises ValueError: for an empty batch, and for a module whose parameters or buffers have no shape yet.
    """
    one = tree_map(_first, inputs)
    tensors = [leaf for leaf in tree_leaves(one) if isinstance(leaf, Tensor)]
    operations = Operations()
    with _running(module, training=False), torch.no_grad():
        parameters, buffers = _sizes(module)
        memory = Memory(tensors, [*module.parameters(), *module.buffers()])
        with memory, operations:
            module(*one)
    return Cost(parameters, buffers, operations.macs, operations.total, memory.peak, tuple(sorted(operations.unknown)))


def peak(module: nn.Module, *inputs: Any, training: bool = False) -> int:
    """Measure the most memory that the tensors of a run take at once, for the inputs as they are.

    :param module: any module; it is left as it was.
    :param inputs: what its ``forward`` takes, the whole batch; a copy is run, as layers may work in place.
    :param training: whether to run it in training mode, forward and backward: what the backward pass needs is then
        kept, and the gradients of the parameters count as well.
    :returns: bytes; parameters and buffers do not count, nor what a kernel uses inside.
    :raises ValueError: for a module whose parameters or buffers have no shape yet.
    """
    inputs = tree_map(_copied, inputs)
    tensors = [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]
    with _running(module, training=training), torch.set_grad_enabled(training):
        memory = Memory(tensors, [*module.parameters(), *module.buffers()])
        with memory:
            out = module(*inputs)
            if training:
                outputs = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor) and leaf.requires_grad]
                wanted = [t for t in [*tensors, *module.parameters()] if t.requires_grad]
                ones = [torch.ones_like(leaf) for leaf in outputs]
                if outputs:  # where nothing is learned there is nothing to go back to
                    torch.autograd.grad(outputs, wanted, ones, allow_unused=True)
    return memory.peak


def kept(module: nn.Module, *inputs: Any) -> int:
    """Measure what a forward pass in training mode keeps for the backward pass.

    :param module: any module; it is left as it was.
    :param inputs: what its ``forward`` takes, the whole batch.
    :returns: bytes of the tensors that are kept, each storage's largest once; parameters do not count.
    """
    own, found = {p.data_ptr() for p in module.parameters()}, {}

    def keep(tensor: Tensor) -> Tensor:
        found[tensor.data_ptr()] = max(tensor.nbytes, found.get(tensor.data_ptr(), 0))
        return tensor

    with _running(module, training=True), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = module(*inputs)  # alive while it is counted: no place in memory is given away twice
    del out
    return sum(size for place, size in found.items() if place not in own)


def on_paper(build: Callable[[], nn.Module], *shapes: tuple[int, ...]) -> Cost:
    """Count a network that is never built: on the ``meta`` device tensors have shapes and no numbers.

    :param build: makes the module.
    :param shapes: the shape of each input, without the batch: ``(3, 224, 224)``.
    """
    with torch.device("meta"):
        return count(build(), *(torch.empty(1, *shape) for shape in shapes))


def check(name: str, block: nn.Module, *inputs: Tensor, **options: Any) -> Cost:
    """Assert that a block costs what its formulas say, in parameters and in multiply–adds.

    :param name: the mechanism.
    :param block: its block.
    :param inputs: inputs for a run; where the first has four axes, they give channels, height and width.
    :param options: the options with which the block was built, where they are not the defaults.
    :returns: the counted cost.
    :raises AssertionError: with both numbers and the formula.
    """
    sizes = dict(zip(SIZES, inputs[0].shape[1:], strict=True)) if inputs[0].ndim == 4 else {}
    counted = count(block, *inputs)
    for which in ("parameters", "macs"):
        expected = evaluate(name, which, **sizes | options)
        received = getattr(counted, which)
        if received != expected:
            raise AssertionError(
                f"{which} of {name!r} for an input of shape {tuple(inputs[0].shape)}: "
                f"the formula {formula(name, which)} gives {expected:,}, counted are {received:,}"
            )
    return counted


def _first(value: Any) -> Any:
    """Return the first sample of a batch, as a batch of its own."""
    if not isinstance(value, Tensor) or value.ndim == 0:
        return value
    if not len(value):
        raise ValueError(f"inputs: expected a batch of at least one image, received shape {tuple(value.shape)}")
    return value[:1].detach().clone()  # a view would keep the memory of the whole batch


def _copied(value: Any) -> Any:
    """Copy a tensor, which asks for a gradient if the original does."""
    return value.detach().clone().requires_grad_(value.requires_grad) if isinstance(value, Tensor) else value


def _sizes(module: nn.Module) -> tuple[int, int]:
    """Return the numbers of parameters that are trained and of buffers; shared ones count once."""
    parameters = sum(p.numel() for p in module.parameters() if p.requires_grad)
    buffers = sum(b.numel() for b in module.buffers() if b.is_floating_point())
    return parameters, buffers


@contextmanager
def _running(module: nn.Module, *, training: bool) -> Iterator[None]:
    """Set a module's mode for a run, and leave the module as it was."""
    if any(nn.parameter.is_lazy(t) for t in chain(module.parameters(), module.buffers())):
        raise ValueError("module has parameters or buffers without a shape: run it once before counting")
    with untouched(module):
        module.train(training)
        yield
