"""Write the page on numbers that circulate: what posts repeat, what papers print, what we count, and a verdict.

``tools/writing/circulating.toml`` says what is claimed. What can be computed is not typed there: it stands in braces,
and is counted or run when the page is written.
"""

import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any

from attention.registry import FAMILIES, entry
from tools.chapters import ROOT
from tools.writing.costs import counted

__all__ = ["PAGE", "RUNS", "VERDICTS", "Claim", "claims", "filled", "page", "table"]

DATA, PAGE = Path("tools", "writing", "circulating.toml"), Path("book", "circulating.md")
MARKERS = ("<!-- circulating: begin -->", "<!-- circulating: end -->")
#: The verdicts, and what each means.
VERDICTS: dict[str, str] = {
    "right": "it is so",
    "other unit": "right in another unit than the one that is understood",
    "other network": "right of another network, or of another version of it",
    "outdated": "it was so",
    "wrong": "neither source nor count bears it out",
    "cannot be checked": "nothing public says enough",
}
#: Headings of what concerns no single mechanism.
GENERAL = "Counting, and words"


@dataclass(frozen=True)
class Claim:
    """Something that is repeated.

    :param name: the name of its anchor.
    :param about: the mechanism; empty for what concerns all.
    :param claim: in a few words, the heading.
    :param said: who says it, with a link where there is a public one.
    :param source: what the source prints, and where.
    :param verdict: one of :data:`VERDICTS`.
    :param count: what we count or measure.
    :param why: a sentence on the verdict.
    """

    name: str
    about: str
    claim: str
    said: str
    source: str
    verdict: str
    count: str = ""
    why: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"[{self.name}] verdict={self.verdict!r} is not one of {', '.join(VERDICTS)}")
        if self.about:
            entry(self.about)

    @property
    def anchor(self) -> str:
        """What links lead to."""
        return f"circulating-{self.name}"


@cache
def claims() -> tuple[Claim, ...]:
    """Read the data."""
    data = tomllib.loads((ROOT / DATA).read_text(encoding="utf-8"))
    return tuple(Claim(name=name, **raw) for name, raw in data.items())


# --- what is computed


class _Of:
    """What ``{name[key]}`` stands for: a function of the key."""

    def __init__(self, value: Callable[[str], Any]) -> None:
        self.value = value

    def __getitem__(self, key: str) -> Any:
        return self.value(key)


def _counts(key: str) -> Any:
    """Count a network of ``costs.toml``; ``N @ 1x1`` has the stride in the 1 × 1 convolutions."""
    name, _, stride = key.strip().partition(" @ ")
    return counted(name, **({"stride_in": stride} if stride else {}))


def _two(key: str, which: str) -> tuple[int, int]:
    first, second = (getattr(_counts(part), which) for part in key.split("|"))
    return first, second


def _added(key: str, which: str = "parameters") -> int:
    first, second = _two(key, which)
    return first - second


def _more(key: str, which: str = "parameters") -> float:
    first, second = _two(key, which)
    return 100 * (first - second) / second


def _fewer(key: str) -> float:
    """By how many per cent the first network's block has fewer parameters than the second's; the third has neither."""
    first, second, plain = (_counts(part).parameters for part in key.split("|"))
    return 100 * (1 - (first - plain) / (second - plain))


def _figures(key: str) -> list[Decimal]:
    return [Decimal(figure.strip()) for figure in key.split(",")]


def _points(key: str) -> Decimal:
    first, second = _figures(key)
    return abs(second - first)


def _percent(key: str) -> Decimal:
    first, second = _figures(key)
    return 100 * abs(second - first) / first


def _mean(key: str) -> Decimal:
    figures = _figures(key)
    return (sum(figures) / len(figures)).quantize(figures[0])


def _points_of_means(key: str) -> Decimal:
    first, second = (_figures(part) for part in key.split("|"))
    return abs(sum(second) / len(second) - sum(first) / len(first)).quantize(first[0])


def _gate(kind: str) -> float:
    """Return the mean of the gates that 256 random scores give."""
    import torch

    scores = torch.randn(256, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return float((scores.softmax(0) if kind == "softmax" else scores.sigmoid()).mean())


def _weighted_mean(*, first: bool) -> str:
    """Return which share of soft attention's multiply–adds is the weighted mean, in per cent.

    :param first: for the first word, before which every place is projected; else for each further word.
    """
    from attention.formulas import evaluate

    channels, hidden, places = 512, 512, 14 * 14
    every = evaluate("additive", "macs", channels=channels, height=14, width=14, query=512, hidden=hidden, bias=0)
    if not first:
        every -= channels * hidden * places
    return f"{100 * channels * places / every:.1f}"


def _eca() -> list[tuple[int, int]]:
    """Return ECA's own kernel size in each stage of ResNet-50, and the number of units there."""
    from attention import create

    return [(create("eca", channels).kernel_size, units) for channels, units in _STAGES]


_STAGES = ((256, 3), (512, 4), (1024, 6), (2048, 3))


def _upsampled() -> str:
    import torch

    made = torch.nn.Upsample(scale_factor=1.5, mode="bilinear")(torch.zeros(1, 1, 10, 10))
    return " × ".join(map(str, made.shape[2:]))


def _last_stage() -> str:
    """Count ResNet-50 as GSoP changes it, without GSoP."""
    from attention.backbones.resnet import resnet50
    from tools.writing.counting import counts

    plain = counts(lambda: resnet50(stride_in="1x1", strides=[1, 2, 2, 1]), (3, 224, 224))
    return f"{plain.macs:,}"


#: Small runs by name.
RUNS: dict[str, Callable[[], str]] = {
    "operations": lambda: f"{2 * _counts('ResNet-50').macs:,}",
    "softmax_gate": lambda: f"{_gate('softmax'):.4f}",
    "sigmoid_gate": lambda: f"{_gate('sigmoid'):.2f}",
    "weighted_mean": partial(_weighted_mean, first=True),
    "weighted_mean_later": partial(_weighted_mean, first=False),
    "eca_sizes": lambda: ", ".join(str(size) for size, _ in _eca()),
    "eca_parameters": lambda: str(sum(size * units for size, units in _eca())),
    "upsampled": _upsampled,
    "last_stage": _last_stage,
}

_SCOPE = {
    "parameters": _Of(lambda key: _counts(key).parameters),
    "macs": _Of(lambda key: _counts(key).macs),
    "mebi": _Of(lambda key: _counts(key).parameters / 2**20),
    "added": _Of(_added),
    "added_macs": _Of(lambda key: _added(key, "macs")),
    "more": _Of(_more),
    "more_macs": _Of(lambda key: _more(key, "macs")),
    "fewer": _Of(_fewer),
    "points": _Of(_points),
    "percent": _Of(_percent),
    "mean": _Of(_mean),
    "points_of_means": _Of(_points_of_means),
    "run": _Of(lambda key: RUNS[key]()),
}


def filled(text: str) -> str:
    """Return a text with what its braces stand for.

    :raises ValueError: where a network, a run or a kind of number is unknown.
    """
    try:
        return text.format_map(_SCOPE)
    except KeyError as problem:
        raise ValueError(f"{text!r}: there is no {problem}") from None


# --- the page


@cache
def table() -> str:
    """Write what stands between the page's markers: what verdicts mean, all of them in one table, then each claim."""
    meaning = "; ".join(f"*{verdict}*: {what}" for verdict, what in VERDICTS.items())
    lines = ["::::{container} many-columns", "| What circulates | Verdict |", "|:--|:--|"]
    ordered = [claim for _, members in _groups(claims()) for claim in members]
    lines += [f"| [{claim.claim}](#{claim.anchor}) | {claim.verdict} |" for claim in ordered]
    parts = [f"What a verdict means: {meaning}.", "\n".join([*lines, "::::"])]
    for heading, members in _groups(claims()):
        parts += [f"## {heading}", *(part for claim in members for part in _claim(claim))]
    return "\n\n".join(parts)


def _groups(found: Iterable[Claim]) -> Iterator[tuple[str, list[Claim]]]:
    """Yield the claims by family, those that concern all first."""
    groups: dict[str, list[Claim]] = {heading: [] for heading in (GENERAL, *FAMILIES.values())}
    for claim in found:
        groups[FAMILIES[entry(claim.about).family] if claim.about else GENERAL].append(claim)
    yield from ((heading, members) for heading, members in groups.items() if members)


def _claim(claim: Claim) -> Iterator[str]:
    yield f"({claim.anchor})=\n### {claim.claim}"
    verdict = f":Verdict: **{claim.verdict}**{f'. {filled(claim.why)}' if claim.why else ''}"
    fields = {"Said": claim.said, "Source": claim.source, "Count": claim.count}
    yield "\n".join([verdict, *(f":{name}: {filled(text)}" for name, text in fields.items() if text)])


def page(root: Path) -> str:
    """Return the page with current verdicts.

    :param root: the top of the repository.
    :raises ValueError: where the page or a marker is missing, or something cannot be computed.
    """
    path = root / PAGE
    if not path.exists():
        raise ValueError(f"{PAGE.as_posix()} is missing")
    text, (begin, end) = path.read_text(encoding="utf-8"), MARKERS
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{PAGE.as_posix()}: needs one {begin} and, after it, one {end}")
    return f"{text.partition(begin)[0]}{begin}\n{table()}\n{end}{text.partition(end)[2]}"
