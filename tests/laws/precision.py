"""In which precision, layout and place a block lives: law 7, and law 13 on half precision."""

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from attention.contract import Attention
from tests.laws.running import EXACT, EXAMPLES, cast, excepting, for_fixed, law, same, same_maps
from tests.laws.spec import Case, Spec

__all__ = ["HALF", "law_7", "law_13"]

#: How far a result in half precision may be from float64's at unit scale, for blocks of the usual tolerance: the output
#: and maps of real numbers relative to their largest value, gates and weights as they are. Choices are not compared.
HALF: dict[torch.dtype, dict[str, float]] = {
    torch.float16: {"output": 0.01, "real": 0.01, "sigmoid": 0.005, "softmax": 0.01},
    torch.bfloat16: {"output": 0.05, "real": 0.05, "sigmoid": 0.03, "softmax": 0.05},
}
#: Inputs are at most so large.
SCALES = (1.0, 10.0, 100.0, 1000.0)
#: float16 ends at 65504. What is below this in float64 must be finite.
FINITE = 3e4


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


@law(13, "half precision: finite where float64 is below 3e4, close at unit scale, in forward and attend")
def law_13(spec: Spec, examples: int = EXAMPLES) -> None:
    """Run a larger map under autocast and in float16, with inputs up to 1000, and compare with float64."""
    height, width = spec.large
    with excepting(spec, "half"):
        for_fixed(spec, lambda case: _half(spec, replace(case, batch=2, height=height, width=width)))


def _half(spec: Spec, case: Case) -> None:
    inputs = spec.inputs(case)
    largest = max(x.abs().max().item() for x in inputs if x.is_floating_point())
    for scale in (None, *SCALES):
        scaled = tuple(x * (scale / largest) if scale and x.is_floating_point() else x for x in inputs)
        output, maps = spec.block(case).attend(*scaled)
        expected = {"output": output} | maps
        for how, dtype, run in _ways(spec, case, scaled):
            for call in ("forward", "attend"):
                found = run(call)
                if found is None:  # this CPU has not the operations
                    break
                what = f"of {call} {how}"
                _check_half(spec, what, dtype, found, expected, "inputs at unit scale" if scale is None else scale)


def _ways(spec: Spec, case: Case, inputs: tuple[Tensor, ...]) -> Iterator[tuple[str, torch.dtype, Callable]]:
    """Yield each way to compute in half precision: its name, its type, and what runs ``forward`` or ``attend``."""

    def results(block: Attention, call: str, inputs: tuple[Tensor, ...]) -> dict[str, tuple[Tensor, str]]:
        with torch.no_grad():
            if call == "forward":
                return {"output": (block(*inputs), "output")}
            output, maps = block.attend(*inputs)
        return {"output": (output, "output")} | {name: (v, block.maps[name].kind) for name, v in maps.items()}

    def autocast(dtype: torch.dtype) -> Callable:
        def run(call: str) -> dict[str, tuple[Tensor, str]]:
            with torch.autocast("cpu", dtype):
                return results(spec.block(case, torch.float32), call, cast(inputs, torch.float32))

        return run

    def module(call: str) -> dict[str, tuple[Tensor, str]] | None:
        try:
            return results(spec.block(case, torch.float16), call, cast(inputs, torch.float16))
        except (RuntimeError, NotImplementedError) as error:
            if "not implemented for 'Half'" in str(error):
                return None
            raise

    for dtype in (torch.float16, torch.bfloat16):
        yield f"under autocast in {dtype}", dtype, autocast(dtype)
    yield "of a float16 module", torch.float16, module


def _check_half(spec: Spec, what: str, dtype: torch.dtype, found: dict, expected: dict, scale: float | str) -> None:
    chosen = any(kind == "mask" for _, kind in found.values())
    for name, (value, kind) in found.items():
        wanted = expected[name].to(torch.float64)
        of = f"{name!r} {what}, {scale if isinstance(scale, str) else f'inputs up to {scale:g}'},"
        if wanted.abs().max() < FINITE:
            assert value.isfinite().all(), f"{of} is not finite; in float64 it reaches {wanted.abs().max():.3g}"
        if isinstance(scale, str) and kind != "mask" and not (chosen and kind == "output"):
            allowed = HALF[dtype][kind] * spec.tolerance / 0.05
            unit = max(1.0, wanted.abs().max().item()) if kind in ("output", "real") else 1.0
            error = (value.to(torch.float64) - wanted).abs().max().item() / unit
            assert error <= allowed, f"{of} differs by {error:.3g}, allowed {allowed:.3g}"
