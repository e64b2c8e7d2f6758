"""The first table: each block's fast form against its literal form, ``forward`` against ``attend``."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial

import torch
from torch import nn

from attention import registry
from attention.contract import Attention
from attention.lab import cost
from attention.laws.gradients import Literal
from attention.self_attention.non_local import SIMILARITIES
from benchmarks.measuring import MOST, RUNS, SECONDS, SHAPES, Build, perturb, timed
from benchmarks.text import laid_out, measured_on, shaped

__all__ = ["Case", "Row", "cases", "compare", "measure", "report"]


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
    "sge": {"groups=8": partial(registry.create, "sge", groups=8)},  # the default asks for more channels
    "shuffle": {"groups=8": partial(registry.create, "shuffle", groups=8)},
}
#: Mechanisms that are not compared, and why.
LEFT_OUT: dict[str, str] = {"additive": "a reader: its query and its features have other shapes"}
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
    perturb(fast)
    literal = Literal(fast)
    inputs = tuple(torch.randn(shape, requires_grad=True) for _ in range(case.inputs))
    rows = []
    for run, training in RUNS.items():
        fast.train(training)
        peaks = [cost.peak(form, *inputs, training=training) for form in (literal, fast)]
        times = timed(literal, fast, inputs, training, seconds, f"{case.name}, {run}", MOST)
        rows.append(Row(case.name, shape, run, *asdict(times).values(), *peaks))
    return rows


def measure(names: Sequence[str] | None, shapes: Sequence[tuple[int, ...]], seconds: float) -> dict:
    """Measure the table, saying aloud what is done.

    :param names: only these mechanisms; by default all.
    :param shapes: of the inputs.
    :param seconds: for each comparison, about.
    :returns: what :func:`report` lays out, but for the environment.
    """
    chosen = cases(names)
    rows: list[Row] = []
    for case in (case for case in chosen if not case.literal):
        for shape in shapes:
            print(f"{case.name}, {shaped(shape)}", end="", flush=True)
            found = compare(case, shape, seconds=seconds)
            print("".join(f"; {row.run}: time {row.time:.2f}, memory {row.memory:.2f}" for row in found))
            rows += found
    return {
        "rows": [asdict(row) | {"time": row.time, "memory": row.memory} for row in rows],
        "literal": [case.name for case in chosen if case.literal],
        "left_out": LEFT_OUT,
        "reasons": [[name, shape, why] for (name, shape), why in REASONS.items()],
    }


def report(result: dict) -> str:
    """Lay out a result as text: a table, what was not measured, and every ratio above 1 with its reason.

    :param result: what :func:`measure` returns, with its environment.
    """
    kept = [{field.name: row[field.name] for field in fields(Row)} for row in result["rows"]]
    rows = [Row(**row | {"shape": tuple(row["shape"])}) for row in kept]
    pairs: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        pairs.setdefault((row.name, shaped(row.shape)), {})[row.run] = row
    lines = [
        ["", "", *(text for run in RUNS for text in (run, ""))],
        ["block", "input", *["time", "memory"] * len(RUNS)],
    ]
    lines += [[*key, *(text for run in RUNS for text in _ratios(runs[run]))] for key, runs in pairs.items()]
    reasons = {(name, tuple(shape)): why for name, shape, why in result["reasons"]}
    above = [_above(row, reasons) for row in rows if row.slower() or row.memory > 1]
    met = f"At most 1.0 in all {len(rows)} comparisons, in time and in memory." if not above else "Above 1.0:"
    return "\n".join(
        [
            "The fast form as a part of the literal form; below 1 it is the better one.",
            measured_on(result["environment"]),
            "Time: of medians, the forms run in turn; in brackets the quartiles of neighbouring runs.",
            "Memory: the most that all tensors take at once; what kernels use inside is not seen.",
            "",
            *laid_out(lines),
            "",
            f"Only a literal form: {', '.join(result['literal']) or 'none'}",
            *(f"Left out: {name}, {why}" for name, why in result["left_out"].items()),
            met,
            *above,
        ]
    )


def _ratios(row: Row) -> Iterator[str]:
    yield f"{row.time:.2f} ({row.low:.2f} to {row.high:.2f})"
    yield f"{row.memory:.2f}"


def _above(row: Row, reasons: dict[tuple[str, tuple[int, ...]], str]) -> str:
    what = [f"time {row.time:.2f}"] * row.slower() + [f"memory {row.memory:.2f}"] * (row.memory > 1)
    why = reasons.get((row.name, row.shape), "no reason known")
    return f"  {row.name}, {shaped(row.shape)}, {row.run}: {' and '.join(what)}; {why}"
