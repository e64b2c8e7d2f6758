"""Write the table of published costs: what others print of whole networks, and what ours count to.

``tools/writing/costs.toml`` says what is printed where, under which convention, and how the network is built, by names
and options. Every count is made here, of networks that are never filled with numbers. ``python -m tools.writing.costs``
writes the table into ``book/published.md``; with ``--check`` it writes nothing and says whether it is current.
"""

import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any

from attention import registry
from attention.published import published
from tools.chapters import ROOT
from tools.writing.counting import Counts, counts

__all__ = [
    "COUNTS",
    "Figure",
    "Network",
    "Wrong",
    "build",
    "code",
    "counted",
    "main",
    "networks",
    "page",
    "table",
    "verdict",
]

DATA, PAGE = Path("tools", "writing", "costs.toml"), Path("book", "published.md")
MARKERS = ("<!-- published: begin -->", "<!-- published: end -->")

#: What a figure counts: in words, and how it is read from our counts and from those of the plain network.
COUNTS: dict[str, tuple[str, Callable[[Counts, Counts | None], int]]] = {
    "parameters": ("parameters", lambda ours, plain: ours.parameters),
    "stored": ("parameters and running statistics", lambda ours, plain: ours.parameters + ours.statistics),
    "added": ("parameters of the blocks", lambda ours, plain: ours.parameters - plain.parameters),
    "layers": ("multiply–adds without matrix products", lambda ours, plain: ours.layers),
    "macs": ("multiply–adds", lambda ours, plain: ours.macs),
    "added_macs": ("multiply–adds of the blocks", lambda ours, plain: ours.macs - plain.macs),
    "counter": ("multiply–adds and cheap layers", lambda ours, plain: ours.layers + ours.normalised + ours.cheap),
}
#: Units: how they are printed, what they are, how they are explained.
UNITS = {
    "": ("", 1, ""),
    "K": ("K", 10**3, "K = 10³"),
    "M": ("M", 10**6, "M = 10⁶"),
    "G": ("G", 10**9, "G = 10⁹"),
    "Mi": ("M", 2**20, "M = 2²⁰"),
    "Gi": ("G", 2**30, "G = 2³⁰"),
}
_STRIDES = {"1x1": "stride in the 1 × 1", "3x3": "stride in the 3 × 3"}


class Wrong(ValueError):
    """A printed figure that does not compare with ours as the data say."""


@dataclass(frozen=True)
class Figure:
    """A figure that somebody prints.

    :param printed: the figure as printed, with its digits.
    :param source: paper and table, or file.
    :param count: which of :data:`COUNTS` it is.
    :param unit: one of :data:`UNITS`.
    :param step: to what it was rounded, where the digits do not say it: ``"10"`` for a figure printed in tens.
    :param note: why ours is another one; empty where it agrees.
    :param open: whether nobody knows why: the figure is not reproduced.
    :param options: options of the network that this figure needs besides the network's own.
    """

    printed: str
    source: str
    count: str
    unit: str = ""
    step: str = ""
    note: str = ""
    open: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value, allowed in (("count", self.count, COUNTS), ("unit", self.unit, UNITS)):
            if value not in allowed:
                raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, allowed))}")
        if self.open and not self.note:
            raise ValueError(f"{self.printed}, {self.source}: open, and no note says what is known")

    def off(self, ours: int) -> Decimal:
        """Return by how much a count is larger, in the figure's unit; 0 where it is the figure when rounded so."""
        figure, count = Decimal(self.printed.replace(",", "")), Decimal(ours) / UNITS[self.unit][1]
        step = Decimal(self.step) if self.step else Decimal(1).scaleb(figure.as_tuple().exponent)
        if (count / step).quantize(Decimal(1), ROUND_HALF_UP) * step == figure:
            return Decimal(0)
        return count - figure


@dataclass(frozen=True)
class Network:
    """A network of which figures are printed.

    :param name: what the table calls it.
    :param build: the function or class that builds it, one of :func:`builders`.
    :param options: its arguments. Where a block goes, a name, or a table of its ``name`` and its options.
    :param insert: what is put in afterwards, by :func:`attention.backbones.insert`.
    :param image: channels, height and width of the image.
    :param figures: what is printed of it; where nothing is, the table shows our counts.
    """

    name: str
    build: str
    options: dict[str, Any] = field(default_factory=dict)
    insert: tuple[dict[str, Any], ...] = ()
    image: tuple[int, int, int] = (3, 224, 224)
    figures: tuple[Figure, ...] = ()


@cache
def networks() -> tuple[Network, ...]:
    """Read the data."""
    return tuple(_read(tomllib.loads((ROOT / DATA).read_text(encoding="utf-8"))))


def _read(data: dict[str, Any]) -> Iterator[Network]:
    sources = data["sources"]
    for raw in data["networks"]:
        figures = tuple(_figure(figure, sources) for figure in raw.pop("figures", ()))
        raw |= {key: tuple(raw[key]) for key in ("insert", "image") if key in raw}
        yield Network(**raw, figures=figures)


def _figure(raw: dict[str, Any], sources: dict[str, str]) -> Figure:
    """Read a figure, or take it from ``attention/published.toml``: ``from`` is mechanism and table, ``label`` which."""
    if "from" not in raw:
        return Figure(**raw | {"source": sources.get(raw["source"], raw["source"])})
    mechanism, key = raw.pop("from").split(".")
    found = published(mechanism)[key]
    return Figure(printed=found.values[raw.pop("label")], source=found.source, unit=found.unit, **raw)


def builders() -> dict[str, Callable[..., Any]]:
    """Return what builds networks, and what blocks there are besides those of the registry, by name."""
    from attention.backbones import fusion, mobilenet, resnest, resnet, unet
    from tools.writing import literal

    found = {name: getattr(resnet, name) for name in ("resnet50", "resnet101")}
    found |= {"resnest50": resnest.resnest50, "fused_resnet50": fusion.fused_resnet50}
    found |= {"MobileNetV2": mobilenet.MobileNetV2, "UNet": unet.UNet}
    return found | {name: getattr(literal, name) for name in literal.__all__}


def build(network: Network) -> Any:
    """Build a network as the data say."""
    from attention.backbones import insert

    made = builders()[network.build](**{key: _block(value) for key, value in network.options.items()})
    for each in network.insert:
        insert(made, **{key: _block(value) for key, value in each.items()})
    return made


def _block(value: Any) -> Any:
    """Return what makes a block, for its name or a table of its name and its options; other values as they are."""
    if isinstance(value, dict):
        options = dict(value)
        return partial(registry.create, options.pop("name"), **options)
    known = builders()
    return known[value] if isinstance(value, str) and value in known else value


def code(network: Network) -> str:
    """Write what a reader types to build a network."""
    made = f"{network.build}({_arguments(network.options)})"
    inserted = [f"insert(network, {_arguments(each, first='attention')})" for each in network.insert]
    return "; ".join([f"network = {made}" if inserted else made, *inserted])


def _arguments(options: dict[str, Any], first: str = "") -> str:
    return ", ".join(("" if key == first else f"{key}=") + _value(value) for key, value in options.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f'partial(create, "{value["name"]}", {_arguments({k: v for k, v in value.items() if k != "name"})})'
    if isinstance(value, str):
        return value if value in builders() else f'"{value}"'
    return f"[{', '.join(map(_value, value))}]" if isinstance(value, list) else repr(value)


def counted(name: str, **options: Any) -> Counts:
    """Count one of the networks.

    :param name: its name.
    :param options: options of the network besides its own.
    :raises KeyError: for a name that the data do not have.
    """
    network = {each.name: each for each in networks()}[name]
    return _counts(replace(network, options=network.options | options))


def _counts(network: Network, *, run: bool = True) -> Counts:
    return _counted(network.build, repr(network.options), repr(network.insert), network.image, run)


@cache
def _counted(name: str, options: str, inserted: str, image: tuple[int, int, int], run: bool) -> Counts:
    """Count a network that is told in texts, so that each is built once; without a run, its parameters alone."""
    from ast import literal_eval

    network = Network(name, name, literal_eval(options), literal_eval(inserted))
    return counts(partial(build, network), image if run else None)


def _runs(figure: Figure) -> bool:
    return figure.count not in ("parameters", "stored", "added")


def _ours(network: Network, figure: Figure) -> int:
    network = replace(network, options=network.options | figure.options)
    plain = {k: v for k, v in network.options.items() if k not in ("attention", "where", "fusion")}
    run = any(_runs(each) and each.options == figure.options for each in network.figures)  # once for all of them
    base = _counts(replace(network, options=plain, insert=()), run=run) if figure.count.startswith("added") else None
    return COUNTS[figure.count][1](_counts(network, run=run), base)


def verdict(figure: Figure, ours: int) -> str:
    """Say how our count compares with a printed figure.

    :returns: "equal", "rounds to it", or "off by …" with the note.
    :raises Wrong: where the figure agrees and has a note why it does not, or has no note and does not agree.
    """
    off = figure.off(ours)
    told = f"{figure.printed} {UNITS[figure.unit][0]}".strip() + f" ({figure.source}), counted {ours:,}"
    if bool(off) != bool(figure.note):
        said = "off, and no note says why" if off else f"it agrees, but its note says: {figure.note}"
        raise Wrong(f"{told}: {said}")
    if off:
        digits = Decimal(figure.printed.replace(",", "")).as_tuple().exponent - (1 if figure.unit else 0)
        shown = off.quantize(Decimal(1).scaleb(min(digits, off.adjusted())), ROUND_HALF_UP)
        return f"off by {shown:+f}: {figure.note}".replace("-", "−", 1)
    return "rounds to it" if figure.unit or figure.step else "equal"


def _convention(network: Network, figure: Figure) -> str:
    said = [COUNTS[figure.count][0], UNITS[figure.unit][2]]
    if "parameters" not in said[0] and network.build in ("resnet50", "resnet101"):
        said.append(_STRIDES[(network.options | figure.options).get("stride_in", "3x3")])
    if figure.step:
        said.append(f"printed in steps of {figure.step}")
    return ", ".join(filter(None, said))


@cache
def table() -> str:
    """Write what stands between the page's markers.

    :raises Wrong: where a figure does not compare with ours as the data say.
    """
    known, unknown, unprinted = [], [], []
    for network in networks():
        for figure in network.figures:
            ours = _ours(network, figure)
            try:
                said = verdict(figure, ours)
            except Wrong as problem:
                raise Wrong(f"costs.toml, {network.name}: {problem}") from None
            printed = f"{figure.printed} {UNITS[figure.unit][0]}".strip()
            row = (network.name, printed, figure.source, _convention(network, figure), f"{ours:,}", said)
            (unknown if figure.open else known).append(row)
        if not network.figures:
            ours = _counts(network)
            unprinted.append((network.name, f"{ours.parameters:,}", f"{ours.macs:,}"))
    head = ("Network", "Printed", "Source", "Counted", "Our count", "Verdict")
    parts = [
        _same_network(),
        "## Equal, or different for a reason that is known",
        _markdown(head, known, "lrllrl"),
        "## Not reproduced",
        _markdown(head, unknown, "lrllrl"),
        "## Nothing printed that we found",
        _markdown(("Network", "Parameters", "Multiply–adds"), unprinted, "lrr"),
        "## How each network is built",
        "`create` is `attention.create`, `insert` is `attention.backbones.insert`, `partial` is `functools.partial`.",
        _markdown(("Network", "In code"), [(each.name, f"`{code(each)}`") for each in networks()], "ll"),
    ]
    return "\n\n".join(parts)


def _same_network() -> str:
    """Say in our own counts how much the rules change for one network."""
    plain = Network("ResNet-50", "resnet50")
    one = _counts(replace(plain, options={"stride_in": "1x1"}))
    three = _counts(plain)
    normalised = three.layers + three.normalised
    return (
        f"In our counts, ResNet-50 makes {one.layers:,} multiply–adds with the stride in the first 1 × 1 convolution "
        f"and {three.layers:,} with the stride in the 3 × 3. With 2 more for each number that batch normalisation puts "
        f"out, the second is {normalised:,}; with 1 more for each number that a ReLU puts out or pooling reads, it is "
        f"{normalised + three.cheap:,}. Its parameters are {three.parameters:,}: that is "
        f"{three.parameters / 10**6:.2f} times 10⁶, or {three.parameters / 2**20:.2f} times 2²⁰. With the running "
        f"statistics they are {three.parameters + three.statistics:,}."
    )


def _markdown(head: Iterable[str], rows: Iterable[Iterable[str]], sides: str) -> str:
    rules = "|".join({"l": ":--", "r": "--:"}[side] for side in sides)
    lines = ["::::{container} many-columns", f"| {' | '.join(head)} |", f"|{rules}|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "::::"])


def page(root: Path) -> str:
    """Return the page with a current table.

    :param root: the top of the repository.
    :raises ValueError: where the page or a marker is missing, or a figure does not compare as the data say.
    """
    path = root / PAGE
    if not path.exists():
        raise ValueError(f"{PAGE.as_posix()} is missing")
    text, (begin, end) = path.read_text(encoding="utf-8"), MARKERS
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{PAGE.as_posix()}: needs one {begin} and, after it, one {end}")
    return f"{text.partition(begin)[0]}{begin}\n{table()}\n{end}{text.partition(end)[2]}"


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write the page, or check it."""
    path = root / PAGE
    try:
        new = page(root)
    except ValueError as problem:
        print(problem)
        return 1
    current = path.read_text(encoding="utf-8") == new
    if arguments == ["--check"]:
        print(f"{PAGE.as_posix()} is current" if current else f"{PAGE.as_posix()} is not current; run: make sync")
        return 0 if current else 1
    if not current:
        path.write_text(new, encoding="utf-8")
        print(f"wrote {PAGE.as_posix()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
