"""How a block is differentiated."""

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from attention.contract import Attention
from attention.laws.law import law
from attention.laws.material import randomise, resized

__all__ = [
    "DRAWS",
    "forward_mode",
    "gradients_are_right",
    "gradients_arrive",
    "second_derivatives",
    "unchanged",
    "wanting_gradients",
    "weighted_sum",
]

#: Draws of parameters and inputs in which every gradient must have been non-zero once.
DRAWS = 40
#: Up to so many numbers, each first or second derivative is compared with a difference; above, those along one random
#: direction, in which a small one that is wrong may be missed.
FEW, FEW_SECOND = 3000, 600


def wanting_gradients(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Copy the inputs; the floating-point ones are leaves that receive gradients."""
    return tuple(x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs)


def weighted_sum(output: Tensor, seed: int = 0) -> Tensor:
    """Return a scalar in which every element of the output counts differently."""
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (output * weights.to(output.dtype)).sum()


@law("nothing is written into the inputs, and eval mode changes no state", cheap=True)
def unchanged(block: nn.Module, *inputs: Tensor) -> None:
    """Run the block, and compare inputs, parameters and buffers with what they were.

    :param block: the block; in training mode its buffers may change.
    :param inputs: its inputs.
    """
    inputs = tuple(x.clone() for x in inputs)
    before = [x.clone() for x in inputs]
    state = {name: value.clone() for name, value in block.state_dict().items()}
    block(*inputs)
    for i, (x, old) in enumerate(zip(inputs, before, strict=True)):
        assert x.equal(old), f"input {i} was changed in place"
        assert x._version == 0, f"input {i} was written to in place"
    changed = [name for name, value in block.state_dict().items() if not value.equal(state[name])]
    assert block.training or not changed, f"running it in eval mode changed {', '.join(changed)}"


@law("gradients reach every parameter and every input")
def gradients_arrive(
    block: nn.Module,
    *inputs: Tensor,
    draw: Callable[[int], tuple[nn.Module, tuple[Tensor, ...]]] | None = None,
    none_by_design: Mapping[str, str] | None = None,
) -> None:
    """Assert that each element of each parameter and input had a non-zero gradient in one of several draws.

    :param block: the block.
    :param inputs: its inputs.
    :param draw: makes the block and inputs of one draw, by its number; by default random ones like these.
    :param none_by_design: parameters (or ``"input 1"``) that by the equations receive no gradient: name -> reason.
    """
    none_by_design = none_by_design or {}
    missing: dict[str, Tensor] = {}
    for number in range(DRAWS):
        drawn, given = _drawn(block, inputs, number) if draw is None else draw(number)
        given = wanting_gradients(given)
        leaves = dict(drawn.named_parameters())
        for parameter in leaves.values():
            parameter.grad = None
        leaves |= {f"input {i}": x for i, x in enumerate(given) if x.requires_grad}
        weighted_sum(drawn(*given), number).backward()
        largest = max((x.grad.abs().max().item() for x in leaves.values() if x.grad is not None), default=0.0)
        for name, leaf in leaves.items():
            # What is zero in the equations can be a rounding error here: zero is meant relative to the largest.
            zero = torch.ones_like(leaf, dtype=torch.bool) if leaf.grad is None else leaf.grad.abs() <= 1e-11 * largest
            missing[name] = missing.get(name, zero) & zero
        if not any(missing[name].any() for name in leaves if name not in none_by_design):
            break
    for name, zero in missing.items():
        if name in none_by_design:
            assert zero.all(), f"{name} receives a gradient, though it is said that {none_by_design[name]!r}"
        else:
            dead = f"{int(zero.sum())} of the {zero.numel()} elements of {name}"
            assert not zero.any(), f"{dead} never received a gradient in {DRAWS} draws"


def _drawn(block: nn.Module, inputs: tuple[Tensor, ...], number: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
    if number == 0:
        return block, inputs
    block = copy.deepcopy(block)
    constants = [name for name, _ in block.named_buffers()]
    randomise(block, torch.Generator().manual_seed(number), constants)
    return block, resized(inputs, len(inputs[0]), seed=number)


class Literal(nn.Module):
    """A block whose forward is its ``attend``."""

    def __init__(self, block: Attention) -> None:
        super().__init__()
        self.block = block

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute the literal form."""
        return self.block.attend(*inputs)[0]


def _function(module: nn.Module, inputs: Sequence[Tensor]) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """Return a module as a function of its inputs and parameters, and these."""
    inputs = wanting_gradients(inputs)
    parameters = dict(module.named_parameters())

    def function(*tensors: Tensor) -> Tensor:
        values = dict(zip(parameters, tensors[len(inputs) :], strict=True))
        return torch.func.functional_call(module, values, tensors[: len(inputs)])

    return function, (*inputs, *parameters.values())


def _numbers(block: nn.Module, inputs: Sequence[Tensor]) -> int:
    return sum(x.numel() for x in (*inputs, *block.parameters()))


@law("first derivatives are right")
def gradients_are_right(block: nn.Module, *inputs: Tensor) -> None:
    """Compare the derivatives with differences: of every number by every number, where these are few.

    :param block: the block, in float64.
    :param inputs: its inputs, in float64, away from kinks.
    """
    fast = _numbers(block, inputs) > FEW
    torch.autograd.gradcheck(*_function(block, inputs), eps=1e-6, atol=1e-6, rtol=1e-4, fast_mode=fast)


@law("derivatives that are carried forwards are right")
def forward_mode(block: nn.Module, *inputs: Tensor) -> None:
    """Compare Jacobian-vector products, as ``torch.func.jvp`` takes them, with differences.

    :param block: the block, in float64.
    :param inputs: its inputs, in float64, away from kinks.
    """
    checked = {"check_forward_ad": True, "check_backward_ad": False}
    torch.autograd.gradcheck(*_function(block, inputs), atol=1e-5, rtol=1e-3, fast_mode=True, **checked)


@law("second derivatives are right, or are refused with the name of the form that has them")
def second_derivatives(block: nn.Module, *inputs: Tensor) -> None:
    """Compare second derivatives with differences of first ones.

    :param block: the block, in float64.
    :param inputs: its inputs, in float64, away from kinks.
    """
    second_are_refused(block, *inputs)


def second_are_refused(block: nn.Module, *inputs: Tensor) -> bool:
    """Say whether a block refuses second derivatives, in the words of this package, and has them in ``attend``."""
    how = {"atol": 1e-5, "rtol": 1e-3, "fast_mode": _numbers(block, inputs) > FEW_SECOND}
    try:
        torch.autograd.gradgradcheck(*_function(block, inputs), **how)
    except NotImplementedError as error:
        said = str(error)
    else:
        return False
    named = isinstance(block, Attention) and "block.attend(x)[0] is the same function and has both" in said
    assert named, f"second derivatives: {said}; it does not name the form that has them"
    torch.autograd.gradgradcheck(*_function(Literal(block), inputs), **how)
    return True
