"""Two modules that compute the same, timed in turn in one process, and what a run of each keeps in memory."""

import datetime
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from attention.contract import Attention

__all__ = ["Build", "Timing", "environment", "perturb", "saved", "threads", "timed"]

#: Inputs (batch, channels, height, width): an early and a late stage of a network for images.
SHAPES = ((8, 64, 56, 56), (8, 256, 14, 14))
SMOKE = ((2, 32, 6, 6),)
#: As many threads as hosted machines for tests have cores.
THREADS = 2
#: What is measured, and whether that is with gradients.
RUNS = {"forward": False, "forward + backward": True}
#: Seconds that the two sides of one comparison may take together, and how often each runs at least and at most.
SECONDS, LEAST, MOST = 4.0, 3, 60
#: The two sides agree to this part of the largest value.
TOLERANCE = 1e-3

Build = Callable[[int], Attention]


@dataclass(frozen=True)
class Timing:
    """Two sides timed in turn.

    :param one: seconds of the first side: the median of all repetitions.
    :param two: seconds of the second.
    :param low: lower quartile of the ratios, the second side to the first, of neighbouring runs.
    :param high: upper quartile.
    :param repeats: how often each side ran.
    """

    one: float
    two: float
    low: float
    high: float
    repeats: int


def perturb(module: nn.Module) -> None:
    """Move every parameter a little: what starts at zero would hide a difference."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.05 * torch.randn_like(parameter)


def timed(
    one: nn.Module, two: nn.Module, inputs: tuple[Tensor, ...], training: bool, seconds: float, what: str, most: int
) -> Timing:
    """Time two modules in turn, after one run of each that shows that they compute the same.

    :param one: a module, in the mode in which it is to run.
    :param two: the other one.
    :param inputs: what both take.
    :param training: whether to run forward and backward, or forward alone.
    :param seconds: about how long all of it may take.
    :param what: what a message calls the comparison.
    :param most: how often each side runs at most.
    :raises AssertionError: where the two do not compute the same, or not the same gradients of the inputs.
    """
    first, second = (partial(run, side, inputs, training) for side in (one, two))
    began = time.perf_counter()
    _agree(first(), second(), what)  # also the run that does not count
    times = _in_turn(first, second, int(seconds / (time.perf_counter() - began)), most)
    ratios = [second / first for first, second in zip(*times, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Timing(*(statistics.median(side) for side in times), low, high, len(ratios))


def run(module: nn.Module, inputs: tuple[Tensor, ...], training: bool) -> list[Tensor]:
    """Run a module, and return its output, with gradients those of the inputs as well; the parameters' are computed."""
    with torch.set_grad_enabled(training):
        out = module(*inputs)
    if not training:
        return [out]
    wanted = [*inputs, *module.parameters()]
    gradients = torch.autograd.grad(out, wanted, torch.ones_like(out), allow_unused=True)
    return [out.detach(), *(g for g in gradients[: len(inputs)] if g is not None)]


def _agree(one: list[Tensor], two: list[Tensor], what: str) -> None:
    for first, second in zip(one, two, strict=True):
        error = ((first - second).abs().max() / first.abs().max()).item()
        if not error <= TOLERANCE:
            raise AssertionError(f"{what}: the forms differ by {error:.2g} of the largest value")


def _in_turn(
    one: Callable[[], object], two: Callable[[], object], repeats: int, most: int = MOST
) -> tuple[list[float], list[float]]:
    """Time two functions one after the other, each first as often as the other; at least ``LEAST`` times."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(max(LEAST, min(most, repeats))):
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            began = time.perf_counter()
            (one, two)[which]()
            times[which].append(time.perf_counter() - began)
    return times


def saved(module: nn.Module, *inputs: Tensor) -> int:
    """Count the bytes that a forward pass in training keeps for the backward pass.

    :param module: it is in training mode.
    :param inputs: they count where they are kept; parameters and buffers do not. Views of one tensor count once.
    """
    ours = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in ours:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = module(*inputs)
    del out  # until here no storage that was counted can have been given to another tensor
    return sum(kept.values())


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch use so many threads for the body of a ``with``."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def environment(threads: int = THREADS) -> dict[str, str | int]:
    """Say what the numbers were measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": named[0] if named else platform.processor() or platform.machine(),
        "threads": threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "dtype": "float32",
    }
