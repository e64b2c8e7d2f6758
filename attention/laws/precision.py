"""In which precision, layout and place a block lives."""

import copy
import io
import pickle
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from attention.contract import Attention
from attention.laws.comparing import same, same_maps
from attention.laws.law import law
from attention.laws.material import cast, randomise

__all__ = ["HALF", "copies", "devices", "dtypes", "half_precision", "layouts", "pickles", "precise"]

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
#: The tolerance that most blocks have in bfloat16, relative to the largest output.
USUAL = 0.05


def _results(block: nn.Module, call: str, inputs: tuple[Tensor, ...]) -> dict[str, tuple[Tensor, str]]:
    """Run one call of a block; return the output and the maps, each with its kind."""
    if call == "forward":
        return {"output": (block(*inputs), "output")}
    assert isinstance(block, Attention)
    output, maps = block.attend(*inputs)
    return {"output": (output, "output")} | {name: (v, block.maps[name].kind) for name, v in maps.items()}


def _calls(block: nn.Module) -> tuple[str, ...]:
    return ("forward", "attend") if isinstance(block, Attention) else ("forward",)


def precise(block: nn.Module, *inputs: Tensor, dtype: torch.dtype, tolerance: float) -> None:
    """Run a block in one type: everything that it makes is of this type, and close to float64's result.

    :param block: the block, in float64.
    :param inputs: its inputs, in float64.
    :param dtype: the type.
    :param tolerance: the largest error allowed, relative to the largest value.
    """
    call = _calls(block)[-1]
    expected = _results(block, call, inputs)
    found = _results(copy.deepcopy(block).to(dtype), call, cast(inputs, dtype))
    for name, (value, _) in found.items():
        told = "the output" if name == "output" else name
        assert value.dtype in (dtype, torch.bool), f"a {dtype} block makes {told} {value.dtype}"
    output, wanted = (each.pop("output")[0] for each in (found, expected))
    same(f"the output in {dtype}", output, wanted, tolerance)
    same_maps({name: v for name, (v, _) in found.items()}, {name: v for name, (v, _) in expected.items()}, tolerance)


@law("float32 and bfloat16 change the precision of the numbers alone")
def dtypes(block: nn.Module, *inputs: Tensor, tolerance: float = USUAL) -> None:
    """Convert the block, and compare types and values.

    :param block: the block, in float64.
    :param inputs: its inputs, in float64.
    :param tolerance: the largest error allowed in bfloat16, relative to the largest value.
    """
    precise(block, *inputs, dtype=torch.float32, tolerance=1e-4)
    precise(block, *inputs, dtype=torch.bfloat16, tolerance=tolerance)


@law("any memory layout gives the same numbers", cheap=True)
def layouts(block: nn.Module, *inputs: Tensor) -> None:
    """Try the layouts that networks produce: channels last, a transposed view, every second pixel of a larger map.

    :param block: the block.
    :param inputs: its inputs.
    """
    expected = block(*inputs)
    changes: dict[str, Callable[[Tensor], Tensor]] = {
        "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x,
        "a transposed view": lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2),
        "a strided view": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    }
    for name, change in changes.items():
        changed = tuple(change(x) if x.ndim >= 3 else x for x in inputs)
        same(f"the output for an input in {name}", block(*changed), expected)


@law("all of it moves to another device")
def devices(block: nn.Module, *inputs: Tensor) -> None:
    """Move the block to another device: the one without data shows what stayed behind.

    :param block: the block.
    :param inputs: its inputs.
    """
    moved = copy.deepcopy(block).to(torch.float32).to("meta")
    output = moved(*(x.to("meta") for x in cast(inputs, torch.float32)))
    assert output.device.type == "meta", f"moved to another device, it still answers from {output.device}"


@law("deepcopy, state_dict and conversion keep the function")
def copies(block: nn.Module, *inputs: Tensor, fresh: Callable[[], nn.Module] | None = None) -> None:
    """Copy, store and convert the block; a copy is independent of it.

    :param block: the block, in float64.
    :param inputs: its inputs, in float64.
    :param fresh: makes another block of the same options, into which the state is loaded; by default a copy with other
        parameters, which cannot show what the state does not carry.
    """
    expected = block(*inputs)

    def other() -> nn.Module:
        if fresh is not None:
            return fresh().to(torch.float64).eval()
        made = copy.deepcopy(block)
        randomise(made, torch.Generator().manual_seed(17))
        return made

    def restored(state: dict[str, Tensor]) -> nn.Module:
        made = other()
        made.load_state_dict(state, strict=True)
        return made

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


@law("pickle keeps the function")
def pickles(block: nn.Module, *inputs: Tensor) -> None:
    """Store the whole block, as loaders with worker processes do.

    :param block: the block.
    :param inputs: its inputs.
    """
    same("the output after pickling", pickle.loads(pickle.dumps(block))(*inputs), block(*inputs))


@law("half precision: finite where float64 is below 3e4, close at unit scale")
def half_precision(block: nn.Module, *inputs: Tensor, tolerance: float = USUAL) -> None:
    """Run the block under autocast and in float16, with inputs up to 1000, and compare with float64.

    Of a block of this package's contract, ``forward`` and ``attend`` are looked at, and the maps too. Maps of a few
    hundred pixels show sums that overflow. Where this CPU lacks an operation in float16, that way is left out.

    :param block: the block, in float64.
    :param inputs: its inputs, in float64.
    :param tolerance: how exact the block is in bfloat16; what is allowed grows and shrinks with it.
    """
    largest = max((x.abs().max().item() for x in inputs if x.is_floating_point()), default=1.0)
    for scale in (None, *SCALES):
        scaled = tuple(x * (scale / largest) if scale and x.is_floating_point() else x for x in inputs)
        expected = {name: value for name, (value, _) in _results(block, _calls(block)[-1], scaled).items()}
        for how, dtype, run in _ways(block, scaled):
            for call in _calls(block):
                found = run(call)
                if found is None:  # this CPU has not the operations
                    break
                at = "inputs at unit scale" if scale is None else f"inputs up to {scale:g}"
                of = f"of {call} {how}, {at},"
                _finite(of, found, expected)
                if scale is None:
                    _close(of, dtype, found, expected, tolerance / USUAL)


Way = tuple[str, torch.dtype, Callable[[str], dict[str, tuple[Tensor, str]] | None]]


def _ways(block: nn.Module, inputs: tuple[Tensor, ...]) -> Iterator[Way]:
    """Yield each way to compute in half precision: its name, its type, and what runs ``forward`` or ``attend``."""

    single, half = copy.deepcopy(block).float(), copy.deepcopy(block).half()

    def autocast(dtype: torch.dtype) -> Callable[[str], dict[str, tuple[Tensor, str]]]:
        def run(call: str) -> dict[str, tuple[Tensor, str]]:
            with torch.no_grad(), torch.autocast("cpu", dtype):
                return _results(single, call, cast(inputs, torch.float32))

        return run

    def module(call: str) -> dict[str, tuple[Tensor, str]] | None:
        try:
            with torch.no_grad():
                return _results(half, call, cast(inputs, torch.float16))
        except (RuntimeError, NotImplementedError) as error:
            if "not implemented for 'Half'" in str(error):
                return None
            raise

    for dtype in (torch.float16, torch.bfloat16):
        yield f"under autocast in {dtype}", dtype, autocast(dtype)
    yield "of a float16 module", torch.float16, module


def _finite(of: str, found: dict[str, tuple[Tensor, str]], expected: dict[str, Tensor]) -> None:
    for name, (value, _) in found.items():
        reach = expected[name].to(torch.float64).abs().max()
        if reach < FINITE:
            assert value.isfinite().all(), f"{name!r} {of} is not finite; in float64 it reaches {reach:.3g}"


def _close(
    of: str, dtype: torch.dtype, found: dict[str, tuple[Tensor, str]], expected: dict[str, Tensor], slack: float
) -> None:
    chosen = any(kind == "mask" for _, kind in found.values())
    for name, (value, kind) in found.items():
        if kind == "mask" or (chosen and kind == "output"):
            continue
        wanted = expected[name].to(torch.float64)
        allowed = HALF[dtype][kind] * slack
        unit = max(1.0, wanted.abs().max().item()) if kind in ("output", "real") else 1.0
        error = (value.to(torch.float64) - wanted).abs().max().item() / unit
        assert error <= allowed, f"{name!r} {of} differs by {error:.3g}, allowed {allowed:.3g}"
