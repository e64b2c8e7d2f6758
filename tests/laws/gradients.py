"""How a block is differentiated: law 5."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from tests.laws.running import EXAMPLES, excepting, for_all, for_fixed, law, naming
from tests.laws.spec import Case, Spec

__all__ = ["law_5", "wanting_gradients", "weighted_sum"]

#: Draws of parameters and inputs in which every gradient must have been non-zero once.
DRAWS = 40


def wanting_gradients(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Copy the inputs; the floating-point ones are leaves that receive gradients."""
    return tuple(x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs)


def weighted_sum(output: Tensor, case: Case) -> Tensor:
    """Return a scalar in which every element of the output counts differently."""
    weights = torch.randn(output.shape, generator=case.generator(), dtype=torch.float64)
    return (output * weights.to(output.dtype)).sum()


@law(5, "input unchanged; gradients reach all parameters and inputs; gradcheck, second derivatives, forward mode")
def law_5(spec: Spec, examples: int = EXAMPLES) -> None:
    """Look for changes in place, for elements without gradient, and at the gradients' values."""

    def unchanged(case: Case) -> None:
        inputs = spec.inputs(case)
        for training in (False, True) if case.batch > 1 and "training" not in spec.exceptions else (False,):
            block = spec.block(case, training=training)
            before = [x.clone() for x in inputs]
            state = {name: value.clone() for name, value in block.state_dict().items()}
            block(*inputs)
            for i, (x, old) in enumerate(zip(inputs, before, strict=True)):
                assert x.equal(old), f"input {i} was changed in place"
                assert x._version == 0, f"input {i} was written to in place"
            changed = [name for name, value in block.state_dict().items() if not value.equal(state[name])]
            assert training or not changed, f"running it in eval mode changed {', '.join(changed)}"

    for_all(spec, examples, unchanged)
    for_fixed(spec, lambda case: _every_gradient(spec, case))
    with excepting(spec, "gradcheck"):
        for_fixed(spec, lambda case: _gradcheck(spec, case))
    _second_derivatives(spec)
    with excepting(spec, "forward mode"):
        for_fixed(spec, lambda case: _forward_mode(spec, case))


def _every_gradient(spec: Spec, case: Case) -> None:
    """Assert that each element of each parameter and input had a non-zero gradient in one of several draws."""
    missing: dict[str, Tensor] = {}
    for draw in range(DRAWS):
        drawn = replace(case, seed=case.seed + 1000 * draw)
        block, inputs = spec.block(drawn, training=False), wanting_gradients(spec.inputs(drawn))
        leaves = dict(block.named_parameters())
        leaves |= {f"input {i}": x for i, x in enumerate(inputs) if x.requires_grad}
        weighted_sum(block(*inputs), drawn).backward()
        largest = max((x.grad.abs().max().item() for x in leaves.values() if x.grad is not None), default=0.0)
        for name, leaf in leaves.items():
            # What is zero in the equations can be a rounding error here: zero is meant relative to the largest.
            zero = torch.ones_like(leaf, dtype=torch.bool) if leaf.grad is None else leaf.grad.abs() <= 1e-11 * largest
            missing[name] = missing.get(name, zero) & zero
        if not any(missing[name].any() for name in leaves if name not in spec.no_gradient):
            break
    for name, zero in missing.items():
        if name in spec.no_gradient:
            assert zero.all(), f"{name} receives a gradient, though the Spec says {spec.no_gradient[name]!r}"
        else:
            dead = f"{int(zero.sum())} of the {zero.numel()} elements of {name}"
            assert not zero.any(), f"{dead} never received a gradient in {DRAWS} draws"


class _Literal(nn.Module):
    """A block whose forward is its attend."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.block.attend(*inputs)[0]


def _function(spec: Spec, case: Case, literal: bool = False) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """Return the block as a function of its inputs and parameters, and these."""
    block, inputs = spec.block(case, training=False), wanting_gradients(spec.inputs(case))
    module = _Literal(block) if literal else block
    parameters = dict(module.named_parameters())

    def function(*tensors: Tensor) -> Tensor:
        values = dict(zip(parameters, tensors[len(inputs) :], strict=True))
        return torch.func.functional_call(module, values, tensors[: len(inputs)])

    return function, (*inputs, *parameters.values())


def _gradcheck(spec: Spec, case: Case) -> None:
    torch.autograd.gradcheck(*_function(spec, case), eps=1e-6, atol=1e-6, rtol=1e-4)


def _forward_mode(spec: Spec, case: Case) -> None:
    torch.autograd.gradcheck(
        *_function(spec, case), atol=1e-5, rtol=1e-3, check_forward_ad=True, check_backward_ad=False, fast_mode=True
    )


def _second_derivatives(spec: Spec) -> None:
    """Assert that second derivatives are right, or are refused with the name of the form that has them: ``attend``."""
    refused = [case for case in spec.fixed if _is_refused(spec, case)]
    declared = spec.exceptions.get("second derivatives")
    assert declared or not refused, f"second derivatives are refused, and the Spec says nothing of it: {refused[:1]}"
    assert refused or not declared, f"the exception 'second derivatives' is no longer needed ({declared}); delete it"


def _is_refused(spec: Spec, case: Case) -> bool:
    with naming(case):
        try:
            torch.autograd.gradgradcheck(*_function(spec, case), atol=1e-5, rtol=1e-3, fast_mode=True)
        except NotImplementedError as error:
            said = str(error)
        else:
            return False
        named = "block.attend(x)[0] is the same function and has both" in said
        assert named, f"second derivatives: {said}; it does not name the form that has them"
        literal = _function(spec, case, literal=True)
        torch.autograd.gradgradcheck(*literal, atol=1e-5, rtol=1e-3, fast_mode=True)
        return True
