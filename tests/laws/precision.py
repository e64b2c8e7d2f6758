"""In which precision, layout and place a block lives: law 7, and law 13 on half precision."""

from dataclasses import replace

import torch
from torch import nn

from attention import laws
from attention.laws.precision import precise
from tests.laws.running import EXAMPLES, excepting, for_fixed, law
from tests.laws.spec import Case, Spec

__all__ = ["law_7", "law_13"]


@law(7, "float32, float64, bfloat16; any memory layout; .to(), deepcopy, state_dict, pickle")
def law_7(spec: Spec, examples: int = EXAMPLES) -> None:
    """Check that nothing but the numbers' precision changes when a block is converted, copied or stored."""
    for_fixed(spec, lambda case: _copies(spec, case))  # the other laws look at copies
    for_fixed(spec, lambda case: _precise(spec, case, torch.float64, laws.EXACT))
    for_fixed(spec, lambda case: _precise(spec, case, torch.float32, 1e-4))
    with excepting(spec, "bfloat16"):
        for_fixed(spec, lambda case: _precise(spec, case, torch.bfloat16, spec.tolerance))
    with excepting(spec, "layout"):
        for_fixed(spec, lambda case: laws.layouts.check(spec.block(case), *spec.inputs(case)))
    with excepting(spec, "meta"):
        for_fixed(spec, lambda case: laws.devices.check(spec.block(case), *spec.inputs(case)))
    with excepting(spec, "pickle"):
        for_fixed(spec, lambda case: laws.pickles.check(spec.block(case), *spec.inputs(case)))


def _precise(spec: Spec, case: Case, dtype: torch.dtype, tolerance: float) -> None:
    precise(spec.block(case), *spec.inputs(case), dtype=dtype, tolerance=tolerance)


def _copies(spec: Spec, case: Case) -> None:
    def fresh() -> nn.Module:
        # Built from another seed: only what the state carries can make two blocks alike.
        return spec.fresh(replace(case, seed=case.seed + 17))

    laws.copies.check(spec.block(case), *spec.inputs(case), fresh=fresh)


@law(13, "half precision: finite where float64 is below 3e4, close at unit scale, in forward and attend")
def law_13(spec: Spec, examples: int = EXAMPLES) -> None:
    """Run a larger map under autocast and in float16, with inputs up to 1000, and compare with float64."""
    height, width = spec.large

    def check(case: Case) -> None:
        large = replace(case, batch=2, height=height, width=width)
        laws.half_precision.check(spec.block(large), *spec.inputs(large), tolerance=spec.tolerance)

    with excepting(spec, "half"):
        for_fixed(spec, check)
