"""How a block is differentiated: law 5."""

from dataclasses import replace

from torch import Tensor, nn

from attention import laws
from attention.laws.gradients import second_are_refused
from tests.laws.running import EXAMPLES, excepting, for_all, for_fixed, law, naming
from tests.laws.spec import Case, Spec

__all__ = ["law_5"]


@law(5, "input unchanged; gradients reach all parameters and inputs; gradcheck, second derivatives, forward mode")
def law_5(spec: Spec, examples: int = EXAMPLES) -> None:
    """Look for changes in place, for elements without gradient, and at the gradients' values."""

    def unchanged(case: Case) -> None:
        for training in (False, True) if case.batch > 1 and "training" not in spec.exceptions else (False,):
            laws.unchanged.check(spec.block(case, training=training), *spec.inputs(case))

    for_all(spec, examples, unchanged)
    for_fixed(spec, lambda case: _every_gradient(spec, case))
    with excepting(spec, "gradcheck"):
        for_fixed(spec, lambda case: laws.gradients_are_right.check(spec.block(case), *spec.inputs(case)))
    _second_derivatives(spec)
    with excepting(spec, "forward mode"):
        for_fixed(spec, lambda case: laws.forward_mode.check(spec.block(case), *spec.inputs(case)))


def _every_gradient(spec: Spec, case: Case) -> None:
    def draw(number: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
        drawn = replace(case, seed=case.seed + 1000 * number)
        return spec.block(drawn), spec.inputs(drawn)

    block, inputs = draw(0)
    laws.gradients_arrive.check(block, *inputs, draw=draw, none_by_design=spec.no_gradient)


def _second_derivatives(spec: Spec) -> None:
    """Assert that second derivatives are right, or are refused with the name of the form that has them: ``attend``."""

    def is_refused(case: Case) -> bool:
        with naming(case):
            return second_are_refused(spec.block(case), *spec.inputs(case))

    refused = [case for case in spec.fixed if is_refused(case)]
    declared = spec.exceptions.get("second derivatives")
    assert declared or not refused, f"second derivatives are refused, and the Spec says nothing of it: {refused[:1]}"
    assert refused or not declared, f"the exception 'second derivatives' is no longer needed ({declared}); delete it"
