"""The ten laws that every attention block obeys, each a plain function of a :class:`tests.laws.spec.Spec`.

``law_4(spec)`` returns nothing where the law holds and raises ``AssertionError`` with a sentence where it does not.
The laws look at blocks with random parameters and buffers; law 9 alone looks at the initial state. They know no
mechanism. What they find in wrong blocks is tested in ``test_wrong_variants.py``.
"""

import copy
import inspect
import io
import pickle
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from attention.contract import KINDS, Attention, Gate
from tests.laws.running import EXACT, EXAMPLES, LAWS, cast, excepting, for_all, for_fixed, law, naming, same, same_maps
from tests.laws.spec import Case, Spec

__all__ = ["EXAMPLES", "LAWS", *(f"law_{number}" for number in range(1, 11))]

#: Draws of parameters and inputs in which every gradient must have been non-zero once.
DRAWS = 40


def wanting_gradients(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Copy the inputs; the floating-point ones are leaves that receive gradients."""
    return tuple(x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs)


def weighted_sum(output: Tensor, case: Case) -> Tensor:
    """Return a scalar in which every element of the output counts differently."""
    weights = torch.randn(output.shape, generator=case.generator(), dtype=torch.float64)
    return (output * weights.to(output.dtype)).sum()


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


@law(5, "input unchanged; gradients reach all parameters and inputs; gradcheck")
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


def _gradcheck(spec: Spec, case: Case) -> None:
    block, inputs = spec.block(case, training=False), wanting_gradients(spec.inputs(case))
    parameters = dict(block.named_parameters())

    def function(*tensors: Tensor) -> Tensor:
        values = dict(zip(parameters, tensors[len(inputs) :], strict=True))
        return torch.func.functional_call(block, values, tensors[: len(inputs)])

    torch.autograd.gradcheck(function, (*inputs, *parameters.values()), eps=1e-6, atol=1e-6, rtol=1e-4)


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


@law(7, "float32, float64, bfloat16; any memory layout; .to(), deepcopy, state_dict, pickle")
def law_7(spec: Spec, examples: int = EXAMPLES) -> None:
    """Check that nothing but the numbers' precision changes when a block is converted, copied or stored."""
    for_fixed(spec, lambda case: _precision(spec, case, torch.float64, EXACT))
    for_fixed(spec, lambda case: _precision(spec, case, torch.float32, 1e-4))
    with excepting(spec, "bfloat16"):
        for_fixed(spec, lambda case: _precision(spec, case, torch.bfloat16, spec.tolerance))
    with excepting(spec, "layout"):
        for_fixed(spec, lambda case: _layouts(spec, case))
    with excepting(spec, "meta"):
        for_fixed(spec, lambda case: _meta(spec, case))
    for_fixed(spec, lambda case: _copies(spec, case))
    with excepting(spec, "pickle"):
        for_fixed(spec, lambda case: _pickle(spec, case))


def _precision(spec: Spec, case: Case, dtype: torch.dtype, tolerance: float) -> None:
    inputs = spec.inputs(case)
    expected, expected_maps = spec.block(case, training=False).attend(*inputs)
    output, maps = spec.block(case, dtype).attend(*cast(inputs, dtype))
    for name, value in {"the output": output, **maps}.items():
        assert value.dtype in (dtype, torch.bool), f"a {dtype} block makes {name} {value.dtype}"
    same(f"the output in {dtype}", output, expected, tolerance)
    same_maps(maps, expected_maps, tolerance)


def _layouts(spec: Spec, case: Case) -> None:
    """Try the layouts that networks produce: channels last, a transposed view, every second pixel of a larger map."""
    block, inputs = spec.block(case, training=False), spec.inputs(case)
    expected = block(*inputs)
    layouts: dict[str, Callable[[Tensor], Tensor]] = {
        "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
        "a transposed view": lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2),
        "a strided view": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    }
    for name, change in layouts.items():
        changed = tuple(change(x) if x.ndim == 4 else x for x in inputs)
        same(f"the output for an input in {name}", block(*changed), expected)


def _meta(spec: Spec, case: Case) -> None:
    """Move the block to another device: the one without data shows what stayed behind."""
    block = spec.block(case, torch.float32).to("meta")
    output = block(*(x.to("meta") for x in cast(spec.inputs(case), torch.float32)))
    assert output.device.type == "meta", f"moved to another device, it still answers from {output.device}"


def _copies(spec: Spec, case: Case) -> None:
    block, inputs = spec.block(case, training=False), spec.inputs(case)
    expected = block(*inputs)

    def restored(state: dict[str, Tensor]) -> Attention:
        # Built from another seed: only what the state carries can make two blocks alike.
        fresh = spec.fresh(replace(case, seed=case.seed + 17)).to(torch.float64).eval()
        fresh.load_state_dict(state, strict=True)
        return fresh

    clone = copy.deepcopy(block)
    same("the output of a deep copy", clone(*inputs), expected)
    with torch.no_grad():
        for parameter in clone.parameters():
            parameter.mul_(0.5).add_(0.1)
    same("the output, after a deep copy was changed,", block(*inputs), expected)
    same("the output of a deep copy, after it was changed,", clone(*inputs), restored(clone.state_dict())(*inputs))

    stored = io.BytesIO()
    torch.save(block.state_dict(), stored)
    stored.seek(0)
    state = torch.load(stored, weights_only=True)
    same("the output after a state_dict round trip", restored(state)(*inputs), expected)

    there_and_back = copy.deepcopy(block).to(torch.float32).to(torch.float64)
    same("the output after .to(float32).to(float64)", there_and_back(*inputs), expected, 1e-4)


def _pickle(spec: Spec, case: Case) -> None:
    block, inputs = spec.block(case, training=False), spec.inputs(case)
    same("the output after pickling", pickle.loads(pickle.dumps(block))(*inputs), block(*inputs))


@law(8, "torch.compile(fullgraph=True) and torch.export accept it")
def law_8(spec: Spec, examples: int = EXAMPLES) -> None:
    """Compile forwards and backwards as one graph, export, and compare the values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with excepting(spec, "compile"):
            for_fixed(spec, lambda case: _compile(spec, case))
        with excepting(spec, "export"):
            for_fixed(spec, lambda case: _export(spec, case))


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


@law(9, "identity at initialisation where the paper has it, and nowhere else")
def law_9(spec: Spec, examples: int = EXAMPLES) -> None:
    """Look at the block as constructed: alone, and inserted in a network that has its weights already."""

    def differs(case: Case) -> bool:
        with naming(case):
            block, inputs = spec.fresh(case).to(torch.float64).eval(), spec.inputs(case)
            output = block(*inputs)
            if not spec.identity_at_start:
                return output.shape != inputs[0].shape or not torch.allclose(output, inputs[0], atol=1e-6)
            same("the output at initialisation, against the input,", output, inputs[0], 1e-6)
            if len(inputs) == 1:
                _inserted(block, inputs[0], case)
            return False

    differing = [differs(case) for case in spec.fixed]
    assert spec.identity_at_start or any(differing), (
        "the block is the identity at initialisation; say so with identity_at_start=True"
    )


def _inserted(block: nn.Module, x: Tensor, case: Case) -> None:
    """Insert the block behind the first stage of a network with given weights, and compare its logits."""
    channels = x.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        first = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())
        second = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    before = nn.Sequential(first, second).to(x.dtype).eval()
    after = nn.Sequential(first, block, second).to(x.dtype).eval()
    same("the logits of a network in which the block was inserted", after(x), before(x), 1e-6)


@law(10, "every documented bad input raises its documented error")
def law_10(spec: Spec, examples: int = EXAMPLES) -> None:
    """Give the block what it must refuse; what its docstring says it raises must be what was tried."""
    for bad in spec.bad_arguments:
        _refuses(f"arguments {dict(bad.options)}", lambda b=bad: _construct(spec, b.options), bad.error, bad.match)
    for case in spec.fixed:
        block, inputs = spec.block(case, training=False), spec.inputs(case)
        expected = block(*inputs)
        for bad in spec.bad_inputs:
            spoilt = bad.spoil(inputs)
            for call in (block, block.attend):
                _refuses(bad.about, lambda c=call, s=spoilt: c(*s), bad.error, bad.pattern(spoilt))
        same("the output after bad inputs were refused", block(*inputs), expected)
    documented = set(re.findall(r":raises (\w+):", inspect.getdoc(type(block)) or ""))
    tried = {bad.error.__name__ for bad in (*spec.bad_arguments, *spec.bad_inputs)}
    assert documented == tried, f"the docstring documents {sorted(documented)}, the Spec tries {sorted(tried)}"


def _construct(spec: Spec, options: Any) -> Attention:
    return spec.fresh(Case(options))


def _refuses(what: str, call: Callable[[], Any], error: type[Exception], match: str) -> None:
    raised = _raised(call)
    assert raised is not None, f"{what}: accepted, documented {error.__name__}"
    came = f"{what}: raised {type(raised).__name__} ({raised})"
    assert isinstance(raised, error), f"{came}, documented {error.__name__}"
    assert re.search(match, str(raised)), f"{came}, whose message does not match {match!r}"


def _raised(call: Callable[[], Any]) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None
