"""What a block computes: laws 1 to 4, on shapes, values, maps and the batch; law 6, on what it costs."""

from dataclasses import replace

import torch
from torch import Tensor

from attention.contract import KINDS, Gate
from tests.laws.running import EXAMPLES, cast, excepting, for_all, for_fixed, law, same, same_maps
from tests.laws.spec import Case, Spec

__all__ = ["law_1", "law_2", "law_3", "law_4", "law_6"]


@law(1, "shape in = shape out, or the documented shape")
def law_1(spec: Spec, examples: int = EXAMPLES) -> None:
    """Check the output's shape for any batch, odd and non-square maps; in training too, where the batch allows."""

    def check(case: Case, training: bool = False) -> None:
        block, inputs = spec.block(case, training=training), spec.inputs(case)
        output = block(*inputs)
        expected = spec.output_shape(block, *(tuple(x.shape) for x in inputs))
        assert isinstance(output, Tensor), f"the output is a {type(output).__name__}, not a tensor"
        assert tuple(output.shape) == tuple(expected), f"output {tuple(output.shape)}, documented {tuple(expected)}"
        assert output.isfinite().all(), "the output is not finite"

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
        same("the output", output, torch.as_tensor(expected, dtype=torch.float64))
        same_maps(maps, expected_maps)

    for_all(spec, examples, check)


@law(3, "maps have their declared dims, range and sums, and made the output")
def law_3(spec: Spec, examples: int = EXAMPLES) -> None:
    """Hold the maps to their declaration, and ``forward`` to ``attend``."""

    def check(case: Case) -> None:
        block, inputs = spec.block(case, training=False), spec.inputs(case)
        output, maps = block.attend(*inputs)
        assert set(maps) == set(block.maps), f"attend returned maps {sorted(maps)}, declared {sorted(block.maps)}"
        sizes = spec.known(block, inputs)
        for name, value in maps.items():
            declared = block.maps[name]
            sizes = declared.sizes(tuple(value.shape), sizes)
            _check_values(name, value, declared.kind, declared.sums)
        same("the output of forward, against attend's,", block(*inputs), output)
        if spec.apply is not None:
            same("the output, against the maps applied to the inputs,", output, spec.apply(block, maps, *inputs))
        elif isinstance(block, Gate):
            (gate,) = maps.values()
            same("the output, against x · map,", output, inputs[0] * gate)

    for_all(spec, examples, check)


def _check_values(name: str, value: Tensor, kind: str, sums: tuple[int, ...]) -> None:
    low, high = KINDS[kind]
    assert value.isfinite().all(), f"the map {name!r} is not finite"
    # A sigmoid may round to exactly 0 or 1; a softmax may exceed 1 by rounding.
    smallest, largest = value.min().item(), value.max().item()
    inside = low <= smallest and largest <= high + 1e-12
    reach = f"the map {name!r} reaches from {smallest:.3g} to {largest:.3g}"
    assert inside, f"{reach}, but a {kind} lies in [{low:g}, {high:g}]"
    if kind == "mask":
        assert ((value == 0) | (value == 1)).all(), f"the mask {name!r} has values other than 0 and 1"
    if sums:
        total = value.sum(sums)
        same(f"the map {name!r}, summed over its axes {sums},", total, torch.ones_like(total))


@law(4, "a sample's output does not depend on its batch-mates")
def law_4(spec: Spec, examples: int = EXAMPLES) -> None:
    """Compare a sample in its batch with the sample alone, and among other batch-mates."""

    def check(case: Case) -> None:
        case = replace(case, batch=max(2, case.batch))
        block, inputs = spec.block(case, training=False), spec.inputs(case)
        # Mates on another scale: a sample must not notice them.
        strangers = tuple(3 * x + 5 if x.is_floating_point() else x.roll(1, 0) for x in inputs)
        together = block(*inputs)
        for i in range(case.batch):
            alone = block(*(x[i : i + 1] for x in inputs))
            same(f"sample {i} alone, against the same in its batch,", alone, together[i : i + 1])
        mixed = block(*(torch.cat([x[:1], y[1:]]) for x, y in zip(inputs, strangers, strict=True)))
        same("sample 0 among other batch-mates", mixed[:1], together[:1])

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
