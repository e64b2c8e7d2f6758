"""Each block's fast form against its literal form: ``forward`` against ``attend``, in time and in memory.

Both forms run in one process, in turn, on the same input, and what is reported are ratios: below 1 the fast form is
the better one. Forward is measured in eval mode without gradients, forward and backward in training mode. A block
whose ``forward`` is the literal form is named and not measured.
"""

import argparse
import datetime
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from attention import registry
from attention.contract import Attention
from attention.lab import cost
from attention.self_attention.non_local import SIMILARITIES

__all__ = ["Case", "Row", "cases", "compare", "environment", "main", "report"]

ROOT = Path(__file__).resolve().parent.parent
#: Inputs (batch, channels, height, width): an early and a late stage of a network for images.
SHAPES = ((8, 64, 56, 56), (8, 256, 14, 14))
SMOKE = ((2, 32, 6, 6),)
#: As many threads as hosted machines for tests have cores.
THREADS = 2
#: What is measured, and whether that is with gradients.
RUNS = {"forward": False, "forward + backward": True}
#: Seconds that the two forms of one case may take together, and how often each runs at least and at most.
SECONDS, LEAST, MOST = 4.0, 3, 60
#: The forms agree to this part of the largest value.
TOLERANCE = 1e-3

Build = Callable[[int], Attention]


def _localised(channels: int) -> Attention:
    """A spatial transformer whose localiser reads a 4 × 4 summary: small beside the sampling, which is compared."""
    localiser = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * channels, 32), nn.ReLU())
    return registry.entry("stn").load()(localiser, 32)


#: Options that change how a block computes, and blocks that are not built from channels alone. All other mechanisms
#: are compared as :func:`attention.create` builds them.
VARIANTS: dict[str, dict[str, Build]] = {
    "stn": {"": _localised},
    "non_local": {kind: partial(registry.create, "non_local", similarity=kind) for kind in SIMILARITIES}
    | {"embedded gaussian, subsample=2": partial(registry.create, "non_local", subsample=2)},
}
#: Mechanisms that are not compared, and why.
LEFT_OUT: dict[str, str] = {}
PIECES = (
    "196 × 196 pairs are few enough for the whole matrix to be quick; the fast kernel takes it in pieces and computes "
    "it again in the backward pass, a little more time for less memory"
)
#: Why ratios are above 1, by the case and its input.
REASONS: dict[tuple[str, tuple[int, ...]], str] = {
    (
        "dot_product",
        SHAPES[1],
    ): "196 × 196 pairs are fewer numbers than 196 rows of 256: nothing is saved by not holding "
    "them, and the backward pass of the fast kernel makes three gradients of that size at once",
    ("non_local, embedded gaussian", SHAPES[1]): PIECES,
    ("non_local, embedded gaussian, subsample=2", SHAPES[1]): PIECES,
}


@dataclass(frozen=True)
class Case:
    """A block to be compared.

    :param name: the mechanism, and the options that tell it from the others.
    :param build: makes it for a number of channels.
    :param inputs: how many inputs of one shape it takes.
    """

    name: str
    build: Build
    inputs: int = 1

    @property
    def literal(self) -> bool:
        """Whether the block has no form but the literal one."""
        return type(self.build(32)).forward is Attention.forward


@dataclass(frozen=True)
class Row:
    """One comparison.

    :param name: the case.
    :param shape: of the input.
    :param run: ``forward`` or ``forward + backward``.
    :param literal: seconds of the literal form: the median of all repetitions.
    :param fast: seconds of the fast form.
    :param low: lower quartile of the ratios of neighbouring runs.
    :param high: upper quartile.
    :param repeats: how often each form ran.
    :param literal_bytes: the most memory that the tensors of a run of the literal form take at once.
    :param fast_bytes: that of the fast form.
    """

    name: str
    shape: tuple[int, ...]
    run: str
    literal: float
    fast: float
    low: float
    high: float
    repeats: int
    literal_bytes: int
    fast_bytes: int

    @property
    def time(self) -> float:
        """Time of the fast form, as a part of the literal form's."""
        return self.fast / self.literal

    @property
    def memory(self) -> float:
        """Memory of the fast form, as a part of the literal form's."""
        return self.fast_bytes / self.literal_bytes

    def slower(self) -> bool:
        """Say whether the fast form takes longer: in the median, and in three of four neighbouring runs."""
        return self.time > 1 and self.low > 1


class _Literal(nn.Module):
    """A block that computes its equations as they stand."""

    def __init__(self, block: Attention) -> None:
        super().__init__()
        self.block = block

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.block.attend(*inputs)[0]


def cases(names: Sequence[str] | None = None) -> list[Case]:
    """List what is compared.

    :param names: only these mechanisms; by default all that are written.
    """
    found = []
    for name in registry.names() if names is None else names:
        entry = registry.entry(name)
        if name in LEFT_OUT:
            continue
        for label, build in VARIANTS.get(name, {"": partial(registry.create, name)}).items():
            inputs = 2 if entry.kind == "fusion" else 1
            found.append(Case(f"{name}, {label}" if label else name, build, inputs))
    return found


def compare(case: Case, shape: tuple[int, ...], *, seconds: float = SECONDS) -> list[Row]:
    """Compare the two forms of a block for one input, forward and forward with backward.

    :param case: the block.
    :param shape: of the input.
    :param seconds: about how long each of the two comparisons may take.
    :raises AssertionError: where the forms do not compute the same.
    """
    torch.manual_seed(0)
    fast = case.build(shape[1])
    with torch.no_grad():
        for parameter in fast.parameters():  # what starts at zero would hide a difference
            parameter += 0.05 * torch.randn_like(parameter)
    literal = _Literal(fast)
    inputs = tuple(torch.randn(shape, requires_grad=True) for _ in range(case.inputs))
    rows = []
    for run, training in RUNS.items():
        fast.train(training)
        peaks = [cost.peak(form, *inputs, training=training) for form in (literal, fast)]
        one, two = (partial(_run, form, inputs, training) for form in (literal, fast))
        began = time.perf_counter()
        _agree(one(), two(), f"{case.name}, {run}")  # also the run that does not count
        slow, quick = _in_turn(one, two, int(seconds / (time.perf_counter() - began)))
        ratios = [q / s for s, q in zip(slow, quick, strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        times = statistics.median(slow), statistics.median(quick)
        rows.append(Row(case.name, shape, run, *times, low, high, len(ratios), *peaks))
    return rows


def _run(module: nn.Module, inputs: tuple[Tensor, ...], training: bool) -> list[Tensor]:
    """Run a module, and return its output, with gradients those of the inputs and parameters as well."""
    with torch.set_grad_enabled(training):
        out = module(*inputs)
    if not training:
        return [out]
    wanted = [*inputs, *module.parameters()]
    gradients = torch.autograd.grad(out, wanted, torch.ones_like(out), allow_unused=True)
    return [out.detach(), *(g for g in gradients[: len(inputs)] if g is not None)]


def _agree(one: list[Tensor], two: list[Tensor], what: str) -> None:
    for literal, fast in zip(one, two, strict=True):
        error = ((literal - fast).abs().max() / literal.abs().max()).item()
        if not error <= TOLERANCE:
            raise AssertionError(f"{what}: the forms differ by {error:.2g} of the largest value")


def _in_turn(one: Callable[[], object], two: Callable[[], object], repeats: int) -> tuple[list[float], list[float]]:
    """Time two functions one after the other, each first as often as the other; see ``LEAST`` and ``MOST``."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(max(LEAST, min(MOST, repeats))):
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            began = time.perf_counter()
            (one, two)[which]()
            times[which].append(time.perf_counter() - began)
    return times


@contextmanager
def _threads(count: int) -> Iterator[None]:
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


def report(result: dict) -> str:
    """Lay out a result as text: a table, what was not measured, and every ratio above 1 with its reason.

    :param result: what :func:`main` writes.
    """
    where = result["environment"]
    kept = [{field.name: row[field.name] for field in fields(Row)} for row in result["rows"]]
    rows = [Row(**row | {"shape": tuple(row["shape"])}) for row in kept]
    pairs: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        pairs.setdefault((row.name, " × ".join(map(str, row.shape))), {})[row.run] = row
    lines = [
        ["", "", *(text for run in RUNS for text in (run, ""))],
        ["block", "input", *["time", "memory"] * len(RUNS)],
    ]
    lines += [[*key, *(text for run in RUNS for text in _ratios(runs[run]))] for key, runs in pairs.items()]
    widths = [max(len(line[i]) for line in lines[i > 1 :]) for i in range(len(lines[0]))]
    table = ["  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)) for line in lines]
    reasons = {(name, tuple(shape)): why for name, shape, why in result["reasons"]}
    above = [_above(row, reasons) for row in rows if row.slower() or row.memory > 1]
    met = f"At most 1.0 in all {len(rows)} comparisons, in time and in memory." if not above else "Above 1.0:"
    return "\n".join(
        [
            "The fast form as a part of the literal form; below 1 it is the better one.",
            f"{where['processor']}, {where['threads']} threads, torch {where['torch']}, Python {where['python']}, "
            f"{where['dtype']}, {where['date']}",
            "Time: of medians, the forms run in turn; in brackets the quartiles of neighbouring runs.",
            "Memory: the most that all tensors take at once; what kernels use inside is not seen.",
            "",
            *(line.rstrip() for line in table),
            "",
            f"Only a literal form: {', '.join(result['literal']) or 'none'}",
            *(f"Left out: {name}, {why}" for name, why in result["left_out"].items()),
            met,
            *above,
        ]
    )


def _ratios(row: Row) -> tuple[str, str]:
    return f"{row.time:.2f} ({row.low:.2f} to {row.high:.2f})", f"{row.memory:.2f}"


def _above(row: Row, reasons: dict[tuple[str, tuple[int, ...]], str]) -> str:
    shape = " × ".join(map(str, row.shape))
    what = [f"time {row.time:.2f}"] * row.slower() + [f"memory {row.memory:.2f}"] * (row.memory > 1)
    why = reasons.get((row.name, row.shape), "no reason known")
    return f"  {row.name}, {shape}, {row.run}: {' and '.join(what)}; {why}"


def main(words: list[str] | None = None) -> dict:
    """Measure, print the table and write the JSON.

    :param words: the arguments; by default those of the command line.
    :returns: what was written.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="mechanisms; by default all")
    parser.add_argument("--target", type=Path, default=ROOT / "_build" / "bench.json", help="where the JSON goes")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each comparison, about")
    parser.add_argument("--smoke", action="store_true", help="the smallest sizes, to see that everything runs")
    parser.add_argument("--show", type=Path, help="print the table of an earlier run, and measure nothing")
    asked = parser.parse_args(words)
    if asked.show:
        result = json.loads(asked.show.read_text(encoding="utf-8"))
        print(report(result))
        return result
    chosen = cases(asked.names or None)
    rows = []
    with _threads(asked.threads):
        for case in (case for case in chosen if not case.literal):
            for shape in SMOKE if asked.smoke else SHAPES:
                print(f"{case.name}, {' × '.join(map(str, shape))}", end="", flush=True)
                found = compare(case, shape, seconds=0 if asked.smoke else asked.seconds)
                print("".join(f"; {row.run}: time {row.time:.2f}, memory {row.memory:.2f}" for row in found))
                rows += found
    result = {
        "environment": environment(asked.threads),
        "rows": [asdict(row) | {"time": row.time, "memory": row.memory} for row in rows],
        "literal": [case.name for case in chosen if case.literal],
        "left_out": LEFT_OUT,
        "reasons": [[name, shape, why] for (name, shape), why in REASONS.items()],
    }
    asked.target.parent.mkdir(parents=True, exist_ok=True)
    asked.target.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\n{report(json.loads(json.dumps(result)))}")
    return result


if __name__ == "__main__":
    main()
