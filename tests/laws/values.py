"""What a block computes: laws 1 to 4, on shapes, values, maps and the batch; law 6, on what it costs."""

from dataclasses import replace

import torch

from attention import laws
from attention.laws.gradients import Literal
from attention.laws.material import cast
from tests.laws.running import EXAMPLES, excepting, for_all, for_fixed, law
from tests.laws.spec import Case, Spec

__all__ = ["law_1", "law_2", "law_3", "law_4", "law_6"]


@law(1, "shape in = shape out, or the documented shape")
def law_1(spec: Spec, examples: int = EXAMPLES) -> None:
    """Check the output's shape for any batch, odd and non-square maps; in training too, where the batch allows."""

    def check(case: Case, training: bool = False) -> None:
        block, inputs = spec.block(case, training=training), spec.inputs(case)
        expected = spec.output_shape(block, *(tuple(x.shape) for x in inputs))
        laws.shape.check(block, *inputs, expected=expected)

    def empty(case: Case) -> None:
        check(replace(case, batch=0))

    for_all(spec, examples, check)
    with excepting(spec, "training"):
        # A batch of one leaves a batch norm behind a global mean without a variance.
        for_all(spec, examples // 4, lambda case: check(replace(case, batch=max(2, case.batch)), training=True))
    with excepting(spec, "empty batch"):
        for_fixed(spec, empty)


@law(2, "equals a naive float64 implementation of the paper's equations")
def law_2(spec: Spec, examples: int = EXAMPLES) -> None:
    """Compare output and maps with loops over the equations."""

    def check(case: Case) -> None:
        block, inputs = spec.block(case, training=False), spec.inputs(case)
        output, maps = block.attend(*inputs)
        expected, expected_maps = spec.naive(block, *(x.tolist() for x in inputs))
        laws.same("the output", output, torch.as_tensor(expected, dtype=torch.float64))
        laws.same_maps(maps, expected_maps)

    for_all(spec, examples, check)


@law(3, "maps have their declared dims, range and sums, and made the output")
def law_3(spec: Spec, examples: int = EXAMPLES) -> None:
    """Hold the maps to their declaration, ``forward`` to ``attend``, and each softmax to the sum that follows."""

    def check(case: Case) -> None:
        block, inputs = spec.block(case, training=False), spec.inputs(case)
        laws.maps.check(block, *inputs, sizes=spec.known(block, inputs), apply=spec.apply)

    def axis(case: Case) -> None:
        laws.normalised_axis.check(Literal(spec.block(case)), *spec.inputs(case))

    for_all(spec, examples, check)
    for_fixed(spec, axis)


@law(4, "a sample's output does not depend on its batch-mates")
def law_4(spec: Spec, examples: int = EXAMPLES) -> None:
    """Compare a sample in its batch with the sample alone, and among other batch-mates."""

    def check(case: Case) -> None:
        case = replace(case, batch=max(2, case.batch))
        block, inputs = spec.block(case, training=False), spec.inputs(case)
        laws.batch_mates.check(block, *inputs)

    for_all(spec, examples, check)


@law(6, "parameters and multiply–adds equal the formulas")
def law_6(spec: Spec, examples: int = EXAMPLES) -> None:
    """Count one image's cost and compare it with ``mechanisms.toml``."""
    from attention.lab import cost

    def check(case: Case) -> None:
        case = replace(case, batch=1)
        block = spec.block(case, torch.float32)
        counted = cost.count(block, *cast(spec.inputs(case), torch.float32))
        expected = spec.cost(case) if spec.cost else _formulas(spec, case)
        for which, value in expected.items():
            found = getattr(counted, which)
            assert found == value, f"{which}: counted {found}, by formula {value}"

    for_all(spec, min(examples, 50), check)  # counting takes longer than running
    for_fixed(spec, check)


def _formulas(spec: Spec, case: Case) -> dict[str, int]:
    from attention.lab import cost

    sizes = {"height": case.height, "width": case.width, **case.options}
    return {which: cost.evaluate(spec.name, which, **sizes) for which in ("parameters", "macs")}
