"""The second table: our blocks against those of other packages, and against our own literal form.

Each pair has the same widths and options and, before it is timed, the same weights: as many parameters, and outputs and
gradients that agree. timm and torchvision are optional: what cannot be imported is named, and the rest is measured.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from attention import registry
from attention.contract import Attention
from attention.laws.gradients import Literal
from benchmarks.forms import PIECES, Case
from benchmarks.importing import imported, versions
from benchmarks.measuring import RUNS, SECONDS, SHAPES, Timing, perturb, saved, timed
from benchmarks.text import laid_out, measured_on, shaped

__all__ = ["BLOCKS", "Block", "Other", "Row", "compare", "measure", "report"]

#: Ratios from 1 / 1.1 to 1.1 count as equal: such machines do not repeat themselves more closely.
EQUAL = 1.1
#: How often each side runs at most. On small maps a run takes a millisecond or less, and a call's overhead is in
#: question.
MOST = 400
#: What the other side is called where it is no other package's.
OURS = "our literal form"


@dataclass(frozen=True)
class Other:
    """A block of another package that computes what one of ours does.

    :param module: the module that has it; the package is what stands before the first dot.
    :param name: the class.
    :param build: makes it from the module and a number of channels.
    :param names: which of our layers or parameters each of its layers or parameters is; several are laid one behind
        the other.
    """

    module: str
    name: str
    build: Callable[[Any, int], nn.Module]
    names: dict[str, str | tuple[str, ...]]

    @property
    def package(self) -> str:
        """The package that has to be installed."""
        return self.module.partition(".")[0]

    @property
    def title(self) -> str:
        """What the table calls it."""
        return f"{self.package} {self.name}"


@dataclass(frozen=True)
class Block:
    """A block of ours with the options under which it is the same function as the others.

    :param name: the mechanism.
    :param options: for :func:`attention.create`, where they are not the defaults.
    :param others: what it is compared with.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    others: tuple[Other, ...] = ()

    @property
    def title(self) -> str:
        """What the table calls it: the mechanism and its options."""
        return ", ".join([self.name, *(f"{option}={value}" for option, value in self.options.items())])

    def build(self, channels: int) -> Attention:
        """Make the block."""
        return registry.create(self.name, channels, **self.options)


class Tokens(nn.Module):
    """A module that works on rows, (batch, positions, channels), put where a feature map comes in and goes out."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Take the positions as rows, and put them back."""
        rows = x.flatten(2).transpose(1, 2)
        if isinstance(self.module, nn.MultiheadAttention):
            y = self.module(rows, rows, rows, need_weights=False)[0]
        else:
            y = self.module(rows)
        return y.transpose(1, 2).reshape(x.shape)


_SE = {"fc1": "reduce", "fc2": "expand"}
_QKV = ("queries", "keys", "values")
#: What is compared. Widths are given, not ratios: packages round them differently.
BLOCKS = (
    Block(
        "se",
        {"bias": True},
        (
            Other("timm.layers", "SqueezeExcite", lambda timm, c: timm.SqueezeExcite(c, rd_channels=c // 16), _SE),
            Other("torchvision.ops", "SqueezeExcitation", lambda ops, c: ops.SqueezeExcitation(c, c // 16), _SE),
        ),
    ),
    Block(
        "cbam",
        {"norm": True},
        (
            Other(
                "timm.layers.cbam",
                "CbamModule",
                lambda cbam, c: cbam.CbamModule(c, rd_channels=c // 16),
                {
                    "channel.fc1": "reduce",
                    "channel.fc2": "expand",
                    "spatial.conv.conv": "conv",
                    "spatial.conv.bn": "norm",
                },
            ),
        ),
    ),
    Block(
        "sk",
        {},
        (
            Other(
                "timm.layers",
                "SelectiveKernel",
                lambda timm, c: timm.SelectiveKernel(c, groups=32, rd_channels=max(c // 16, 32), split_input=False),
                {
                    **{f"paths.{i}.conv": f"kernels.{i}.0" for i in (0, 1)},
                    **{f"paths.{i}.bn": f"kernels.{i}.1" for i in (0, 1)},
                    "attn.fc_reduce": "fuse.0",
                    "attn.bn": "fuse.1",
                    "attn.fc_select": ("select.0", "select.1"),
                },
            ),
        ),
    ),
    Block(
        "eca",
        {"kernel_size": 3},
        (Other("timm.layers", "EcaModule", lambda timm, c: timm.EcaModule(kernel_size=3), {"conv": "conv"}),),
    ),
    Block(
        "resnest",
        {},
        (
            Other(
                "timm.layers",
                "SplitAttn",
                lambda timm, c: timm.SplitAttn(c, norm_layer=nn.BatchNorm2d),
                {
                    "conv": "conv",
                    "bn0": "norm",
                    "fc1": "fuse.0",
                    "bn1": "fuse.1",
                    "fc2": "select",
                },
            ),
        ),
    ),
    Block(
        "non_local",
        {"bias": True},
        (
            Other(
                "timm.layers",
                "NonLocalAttn",
                lambda timm, c: timm.NonLocalAttn(c, use_scale=False, rd_channels=c // 2),
                {"t": "theta", "p": "phi", "g": "g", "z": "out", "norm": "norm"},
            ),
        ),
    ),
    Block(
        "dot_product",
        {"heads": 4, "bias": True},
        (
            Other(
                "timm.layers",
                "Attention2d",
                lambda timm, c: timm.Attention2d(c, num_heads=4),
                {"qkv": _QKV, "proj": "out"},
            ),
            Other(
                "timm.layers",
                "Attention",
                lambda timm, c: Tokens(timm.Attention(c, num_heads=4, qkv_bias=True)),
                {"module.qkv": _QKV, "module.proj": "out"},
            ),
            Other(
                "torch.nn",
                "MultiheadAttention",
                lambda nn, c: Tokens(nn.MultiheadAttention(c, 4, batch_first=True)),
                {
                    **{f"module.in_proj_{each}": tuple(f"{q}.{each}" for q in _QKV) for each in ("weight", "bias")},
                    "module.out_proj": "out",
                },
            ),
        ),
    ),
)
THREE = (
    "queries, keys and values are three layers, three products of matrices; theirs is one layer for all three, one "
    "product of a larger matrix"
)
ROWS = "; and it wants rows in one piece, three copies that theirs does without"
#: Why ours is behind, by the block's title, what it is compared with and the input.
REASONS: dict[tuple[str, str, tuple[int, ...]], str] = {
    ("non_local, bias=True", "timm NonLocalAttn", SHAPES[1]): PIECES + ROWS,
    ("non_local, bias=True", OURS, SHAPES[1]): PIECES,
} | {
    ("dot_product, heads=4, bias=True", against, shape): why
    for shape in SHAPES
    for against, why in {
        "timm Attention2d": THREE,
        "timm Attention": THREE,
        "torch MultiheadAttention": f"{THREE}, and without gradients one operation for the whole block",
    }.items()
}


@dataclass(frozen=True)
class Row:
    """One comparison.

    :param name: our block, with its options.
    :param against: what it is compared with.
    :param shape: of the input.
    :param times: of each run; the first side is theirs, the second ours.
    :param theirs: bytes that they keep for the backward pass.
    :param ours: bytes that ours keeps.
    """

    name: str
    against: str
    shape: tuple[int, ...]
    times: dict[str, Timing]
    theirs: int
    ours: int

    @classmethod
    def read(cls, row: dict) -> "Row":
        """Make a row of what was kept of it."""
        times = {run: Timing(**times) for run, times in row["times"].items()}
        return cls(**row | {"shape": tuple(row["shape"]), "times": times})

    def ratios(self) -> dict[str, float]:
        """Return all that is compared, ours as a part of theirs."""
        times = {run: times.two / times.one for run, times in self.times.items()}
        return times | {"saved memory": self.ours / self.theirs}


def pairs(block: Block) -> Iterator[tuple[str, Callable[[Attention, int], nn.Module]]]:
    """List what a block is compared with: a title each, and how it is made, with the weights of ours.

    What cannot be imported is left out.
    """
    for other in block.others:
        if isinstance(imported(other.package), str):
            continue
        yield other.title, partial(_made, other)
    if not Case(block.name, block.build).literal:
        yield OURS, lambda ours, channels: Literal(ours)


def _made(other: Other, ours: Attention, channels: int) -> nn.Module:
    theirs = other.build(import_module(other.module), channels)
    adopt(theirs, ours, other)
    return theirs


def adopt(theirs: nn.Module, ours: nn.Module, other: Other) -> None:
    """Give a block of another package the weights of ours.

    :param theirs: the block that is changed.
    :param ours: the block that is read.
    :param other: says which is which.
    :raises AssertionError: unless both have the same parameters: each of theirs is one of ours and none is left over.
    """
    source, left = ours.state_dict(), set(ours.state_dict())
    for key, value in theirs.state_dict().items():
        parts = [source[name] for name in _called(key, other.names)]
        left -= set(_called(key, other.names))
        if sum(part.numel() for part in parts) != value.numel():
            shapes = " and ".join(shaped(part.shape) for part in parts)
            raise AssertionError(f"{other.title}: {key} is {shaped(value.shape)}, ours is {shapes}")
        value.copy_((torch.cat(parts) if len(parts) > 1 else parts[0]).reshape(value.shape))
    if left:
        raise AssertionError(f"{other.title}: nothing corresponds to our {', '.join(sorted(left))}")
    counts = [sum(p.numel() for p in module.parameters()) for module in (theirs, ours)]
    assert counts[0] == counts[1], f"{other.title}: {counts[0]} parameters, ours has {counts[1]}"


def _called(key: str, names: dict[str, str | tuple[str, ...]]) -> list[str]:
    """Return what we call a parameter or buffer of theirs."""
    for theirs, ours in names.items():
        if key == theirs or key.startswith(f"{theirs}."):
            return [each + key[len(theirs) :] for each in ((ours,) if isinstance(ours, str) else ours)]
    raise AssertionError(f"nothing of ours corresponds to {key}")


def compare(
    block: Block, make: Callable[[Attention, int], nn.Module], shape: tuple[int, ...], title: str, seconds: float
) -> Row:
    """Compare a block of ours with another for one input, forward, and forward with backward.

    :param block: ours.
    :param make: makes the other one, with the weights of ours.
    :param shape: of the input.
    :param title: what the other is called.
    :param seconds: about how long each of the two comparisons may take.
    :raises AssertionError: where the two do not compute the same.
    """
    torch.manual_seed(0)
    ours = block.build(shape[1])
    perturb(ours)
    theirs = make(ours, shape[1])
    x = torch.randn(shape, requires_grad=True)
    times = {}
    for run, training in RUNS.items():
        ours.train(training)
        theirs.train(training)
        what = f"{block.title} against {title}, {run}"
        times[run] = timed(theirs, ours, (x,), training, seconds, what, MOST)
    return Row(block.title, title, shape, times, saved(theirs, x), saved(ours, x))


def measure(names: Sequence[str] | None, shapes: Sequence[tuple[int, ...]], seconds: float = SECONDS) -> dict:
    """Measure the table, saying aloud what is done.

    :param names: only these mechanisms; by default all that have a counterpart.
    :param shapes: of the inputs.
    :param seconds: for each comparison, about.
    :returns: what :func:`report` lays out, but for the environment.
    """
    chosen = [block for block in BLOCKS if names is None or block.name in names]
    rows = []
    for block in chosen:
        for title, make in pairs(block):
            for shape in shapes:
                print(f"{block.title} against {title}, {shaped(shape)}", end="", flush=True)
                row = compare(block, make, shape, title, seconds)
                print("".join(f"; {what} {ratio:.2f}" for what, ratio in row.ratios().items()))
                rows.append(row)
    packages = sorted({other.package for block in chosen for other in block.others})
    missing = {package: why for package in packages if isinstance(why := imported(package), str)}
    asked = registry.names() if names is None else names
    return {
        "versions": versions(set(packages) - set(missing) - {"torch"}),
        "rows": [asdict(row) for row in rows],
        "missing": missing,
        "alone": [name for name in asked if name not in {block.name for block in BLOCKS}],
        "reasons": [[*key, why] for key, why in REASONS.items()],
    }


def report(result: dict) -> str:
    """Lay out a result as text: a table, what could not be compared, and in words who is ahead.

    :param result: what :func:`measure` returns, with its environment.
    """
    rows = [Row.read(row) for row in result["rows"]]
    ratios = [ratio for row in rows for ratio in row.ratios().values()]
    ahead, behind = (sum(test(ratio) for ratio in ratios) for test in (lambda r: r < 1 / EQUAL, lambda r: r > EQUAL))
    reasons = {(name, against, tuple(shape)): why for name, against, shape, why in result["reasons"]}
    lines = [["block", "against", "input", *RUNS, "saved memory"]]
    lines += [[row.name, row.against, shaped(row.shape), *_cells(row)] for row in rows]
    versions = "".join(f", {package} {version}" for package, version in result["versions"].items())
    words = f"Of {len(ratios)} ratios ours is ahead in {ahead} and equal in {len(ratios) - ahead - behind}"
    verdict = f"{words}; behind, above 1.1, in {behind}:" if behind else f"{words}; behind in none."
    return "\n".join(
        [
            "Our block as a part of the other one; below 1 ours is the better one, and within 1.1 counts as equal.",
            f"{measured_on(result['environment'])}{versions}",
            "Both have the same weights and the same results. Time: of medians, the two run in turn; in brackets the "
            "quartiles of neighbouring runs.",
            "Saved memory: what is kept for the backward pass, without parameters.",
            "",
            *(laid_out(lines) if rows else ["Nothing was compared."]),
            "",
            *(f"Not compared with {package}, which is optional: {why}" for package, why in result["missing"].items()),
            *([f"Without a counterpart here: {', '.join(result['alone'])}"] if result["alone"] else []),
            *([verdict] if rows else []),
            *(line for row in rows for line in _behind(row, reasons)),
        ]
    )


def _cells(row: Row) -> Iterator[str]:
    for what, ratio in row.ratios().items():
        if what in row.times:
            yield f"{ratio:.2f} ({row.times[what].low:.2f} to {row.times[what].high:.2f})"
        else:
            yield f"{ratio:.2f}"


def _behind(row: Row, reasons: dict[tuple[str, str, tuple[int, ...]], str]) -> Iterator[str]:
    above = [f"{what} {ratio:.2f}" for what, ratio in row.ratios().items() if ratio > EQUAL]
    if above:
        why = reasons.get((row.name, row.against, row.shape), "no reason known")
        yield f"  {row.name} against {row.against}, {shaped(row.shape)}: {', '.join(above)}; {why}"
