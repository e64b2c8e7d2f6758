"""Write the page of a block whose chapter is not written yet: all that the registry and the block itself say.

``make sync`` writes ``book/blocks/<name>.md`` and its drawing, ``book/_static/blocks/<name>.svg`` for a page and
``<name>-narrow.svg`` for a phone; when the chapter is written, all go.
"""

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from math import gcd
from pathlib import Path
from typing import Any

from attention import registry
from attention.about import Parts, input_count, parts
from attention.formulas import defaults, latex
from attention.registry import Entry, entries
from tools.chapters import CARD

__all__ = ["BLOCKS", "DRAWINGS", "NARROW", "Drawn", "built", "drawing", "example", "formulas", "page", "shape"]

#: Where the pages and their drawings are, from the top of the repository.
BLOCKS, DRAWINGS = Path("book", "blocks"), Path("book", "_static", "blocks")
#: What the name of a phone's drawing ends with.
NARROW = "-narrow"
#: Where the live pictures of pages are, and the small ones of cards.
LIVE, THUMBNAILS = Path("book", "live"), Path("book", "thumbnails")
#: Channels, height and width of the input that is drawn; some blocks ask for more channels by default.
DRAWN = (64, 14, 12)
#: What ResNet-50's stages put out: the inputs for which the cost is stated.
STAGES = ((256, 56), (512, 28), (1024, 14), (2048, 7))


def built() -> list[Entry]:
    """Return the mechanisms whose block is written, and whose chapter is not."""
    return [entry for entry in entries().values() if entry.status == "block"]


def example(entry: Entry) -> tuple[Any, tuple[Any, ...]]:
    """Build the block that a page draws, and inputs for it."""
    import torch

    channels, height, width = _drawn(entry)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if registry.KINDS[entry.kind]:
            block = registry.create(entry.name, channels, **entry.example.get("options", {}))
            return block.eval(), tuple(torch.randn(1, channels, height, width) for _ in range(input_count(block)))
        block = entry.load()(**entry.example["options"])
        return block.eval(), tuple(torch.randn(*shape) for shape in entry.example["inputs"])


def _drawn(entry: Entry) -> tuple[int, int, int]:
    return entry.example.get("channels", DRAWN[0]), *DRAWN[1:]


@dataclass(frozen=True)
class Drawn:
    """The drawing of a block's run.

    :param wide: for a page, an SVG.
    :param narrow: for a phone, an SVG.
    :param alt: what it shows, in words.
    :param cut: whether the one for a page is cut into rows.
    """

    wide: str
    narrow: str
    alt: str
    cut: bool


def drawing(entry: Entry) -> Drawn:
    """Draw the run of a block's equations, its steps labelled with their symbols: the same text every time."""
    from matplotlib.figure import Figure

    from attention.contract import Attention
    from attention.lab import shapes
    from attention.laws.gradients import Literal
    from tools.writing.figures import svg

    block, inputs = example(entry)
    run = shapes.trace(block if type(block).forward is Attention.forward else Literal(block), *inputs)
    given = {f"input {i}": name for i, name in enumerate(inspect.signature(block.attend).parameters, 1)}
    nodes = tuple(replace(n, name=given.get(n.name, n.name) if n.role == "input" else n.name) for n in run.nodes)
    run = replace(run, module=type(block).__name__, nodes=nodes)
    made: list[Figure] = []

    def draw(flow: str) -> Figure:
        made.append(shapes.diagram(run, flow=flow))
        return made[-1]

    wide, narrow = (svg(partial(draw, flow)).decode() for flow in ("right", "down"))
    cut = bool(made[0].findobj(lambda artist: str(artist.get_gid()).startswith("again:")))
    return Drawn(wide, narrow, shapes.alt_text(run), cut)


@cache
def picture(name: str) -> Any:
    """Make a live picture, which takes a second, once."""
    from attention import pictures

    return pictures.make(name)


@cache
def live(name: str) -> str:
    """Write the live picture that a page includes."""
    from attention.lab.live import markup

    return markup(picture(name))


@cache
def thumbnail(name: str) -> str:
    """Draw the picture of a mechanism's card."""
    from tools.writing.thumbnails import thumbnail

    return thumbnail(picture(name))


def page(entry: Entry, card: str, drawn: Drawn) -> str:
    """Write a block's page.

    :param entry: the mechanism.
    :param card: its card.
    :param drawn: its drawing.
    """
    block, _ = example(entry)
    said = parts(inspect.getdoc(type(block)) or "")
    sections = [
        f"<!-- Written by `make sync` from the registry and the docstring of attention.{entry.class_name}. -->",
        f"# {entry.title}",
        entry.idea,
        f":::{{raw}} html\n:file: ../live/{entry.name}.html\n:::",
        "Paint on the input, or point at any number: what it moves is marked, and what moves it. The same in a "
        f'notebook: `live.show(pictures.make("{entry.name}"))`.',
        f"{CARD[0]}\n{card}\n{CARD[1]}",
        "## What it computes",
        _code(said.about),
        "## Use",
        *_use(entry, block),
        "## Options",
        *_options(block, said),
        "## Shapes",
        f":::{{image}} ../_static/blocks/{entry.name}{NARROW}.svg\n:alt: {drawn.alt}\n:align: center\n"
        ":class: figure-face only-narrow\n:::",
        f":::{{figure}} ../_static/blocks/{entry.name}.svg\n:alt: {drawn.alt}\n:align: center\n"
        f":class: figure-face only-wide\n\n{_caption(entry, drawn)}\n:::",
        *_tables(entry, block),
        "## Cost",
        *_cost(entry, block),
        "## Source, and the official code",
        _code(said.source),
        *_official(entry, said.differs),
        f"The chapter on {entry.title} is planned; when it is written, this page goes.",
    ]
    return "\n\n".join(sections) + "\n"


def _caption(entry: Entry, drawn: Drawn) -> str:
    size = " × ".join(map(str, _drawn(entry))) if registry.KINDS[entry.kind] else "a small size"
    options = ", ".join(f"`{name}={value!r}`" for name, value in entry.example.get("options", {}).items())
    made = f", made with {options}" if options else ""
    again = " What has dashed edges was drawn in a row above." * drawn.cut
    return (
        f"A run on an input of {size}{made}, with the symbols of the equations. Blue: features; green: what is "
        f"collected or projected from them; violet: numbers between; orange: attention maps.{again}"
    )


def _code(text: str) -> str:
    return text.replace("``", "`")


def _options(block: Any, said: Parts) -> Iterator[str]:
    for parameter in list(inspect.signature(type(block).__init__).parameters.values())[1:]:
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        yield f"`{parameter.name}{default}`\n:   {_code(said.options[parameter.name])}"
    yield "What it refuses:"
    yield "\n".join(f"* `{name}` {_code(text).rstrip('.')}." for name, text in said.errors.items())


def shape(dims: str, letters: Iterable[str]) -> str:
    """Set the axes of a map or a step as a formula: ``b c 1 1`` becomes B × C × 1 × 1.

    :param dims: the axes, in the notation of einops.
    :param letters: those that only this block has; they stay as they are.
    """
    axes = re.findall(r"\([^)]*\)|\w+", dims)
    return r" \times ".join(
        "\u2009".join(each if each in letters else each.upper() for each in axis.strip("()").split()) for axis in axes
    )


def _tables(entry: Entry, block: Any) -> Iterator[str]:
    """Yield the steps, the maps, and what their letters are."""
    lines = ["| Step | Shape | Part | What it is |", "|:--|:--|:--|:--|"]
    for name, step in block.steps.items():
        lines.append(f"| ${step.symbol or name}$ | ${shape(step.dims, entry.letters)}$ | {step.zone} | {step.about} |")
    yield "\n".join(lines)
    yield "What `block.attend` returns beside the output, by its key:"
    lines = ["| Map | Shape | Kind | What a large value means |", "|:--|:--|:--|:--|"]
    for name, each in block.maps.items():
        lines.append(f'| `"{name}"` | ${shape(each.dims, entry.letters)}$ | {each.kind} | {each.about} |')
    yield "\n".join(lines)
    if entry.letters:
        yield f"Here {', '.join(f'${letter} = {what}$' for letter, what in entry.letters.items())}."


def _inputs_for(entry: Entry) -> tuple[tuple[int, int], ...]:
    """Return the channels and sides for which the cost is stated: where the block stands in ResNet-50."""
    inside = entry.kind == "branch" or "3 × 3" in entry.where
    return tuple((channels // 4 if inside else channels, side) for channels, side in STAGES)


def _cost(entry: Entry, block: Any) -> Iterator[str]:
    import torch

    from attention.lab import cost

    yield "\n".join(formulas(entry))
    if not registry.KINDS[entry.kind]:
        return
    lines = ["| Input | parameters | multiply–adds |", "|:--|--:|--:|"]
    with torch.device("meta"):
        for channels, side in _inputs_for(entry):
            made = registry.create(entry.name, channels)
            count = cost.count(made, *(torch.empty(1, channels, side, side) for _ in range(input_count(made))))
            lines.append(f"| {channels} × {side} × {side} | {count.parameters:,} | {count.macs:,} |")
    inside = _inputs_for(entry) != STAGES
    yield (
        "For the 3 × 3 convolutions of ResNet-50's four stages, with the default options:"
        if inside
        else "For the outputs of ResNet-50's four stages, with the default options:"
    )
    yield "\n".join(lines)
    yield "What whole networks with it cost, beside what papers print: [Published costs](../published.md)."


def formulas(entry: Entry) -> list[str]:
    """Write the formulas of a block's cost for its default flags, and what their letters are; as lines."""
    options = {letter: name for letter, name in entry.cost["symbols"].items() if name not in _flags(entry)}
    symbols = ", ".join(f"${letter}$ is `{name}`" for letter, name in options.items())
    parameters, macs = (latex(entry.name, which, **_flags(entry)) for which in ("parameters", "macs"))
    lines = ["Parameters:", "", f"$$\n{parameters}\n$$", "", "Multiply–adds of one image:", "", f"$$\n{macs}\n$$"]
    if "reads" in entry.cost:
        reads = f"$$\n{latex(entry.name, 'reads', **_flags(entry))}\n$$"
        lines += ["", "and, not in that count as it is no matrix product, to read between pixels:", "", reads]
    lines += ["", f"where {symbols}."]
    return lines + (["", "All its products are of single elements, which are not counted."] if macs == "0" else [])


def _flags(entry: Entry) -> dict[str, bool]:
    """Return the options that are true or false, with their defaults, for which the formulas are shown."""
    return {name: value for name, value in defaults(entry.name).items() if isinstance(value, bool)}


def _use(entry: Entry, block: Any) -> Iterator[str]:
    if registry.KINDS[entry.kind]:
        channels = _drawn(entry)[0]
        inputs = "x, y" if input_count(block) == 2 else "x"
        given = f"torch.randn(2, {channels}, 14, 14)"
        made = f"{inputs} = {given}, {given}" if input_count(block) == 2 else f"x = {given}"
        yield (
            "```python\nimport torch\n\nimport attention\n\n"
            f'block = attention.create("{entry.name}", channels={channels})\n{made}\n'
            f"output = block({inputs})\noutput, maps = block.attend({inputs})\n```"
        )
    told = [f"At the start: {entry.start[:1].lower()}{entry.start[1:]}" if entry.start else "", _multiple(entry)]
    if any(told):
        yield " ".join(each for each in told if each)
    if entry.use:
        yield "Where its paper has it:" if registry.KINDS[entry.kind] else "In a decoder:"
        yield f"```python\n{entry.use.strip()}\n```"
    yield (
        f'`attention.describe("{entry.name}")` says all this in Python, and `attention.source("{entry.name}")` is the '
        "block as one file in plain torch."
    )


def _multiple(entry: Entry) -> str:
    """Say which numbers of channels the default options take, where that is a multiple of something."""
    if not registry.KINDS[entry.kind]:
        return ""
    fitting = []
    for channels in range(1, 257):
        try:
            registry.create(entry.name, channels)
        except ValueError:
            continue
        fitting.append(channels)
    step = gcd(*fitting)
    if step == 1 or fitting != list(range(step, 257, step)):
        return ""
    return f"With the default options `channels` is a multiple of {step}."


def _literal(value: Any) -> str:
    return repr(value).replace("'", '"')


def _official(entry: Entry, differs: str) -> Iterator[str]:
    official = entry.official
    if not official:
        yield _code(differs)
        return
    repository, _, rest = official["source"].partition(": ")
    where = f"[{repository}](https://github.com/{repository}), {rest.replace(': ', ', ')}"
    yield f"{'A well-known copy' if official.get('copy') else 'Official code'}: {where}."
    options = ", ".join(f"{name}={_literal(value)}" for name, value in official["options"].items())
    if registry.KINDS[entry.kind]:
        more = f", {options}" if options else ""
        yield (
            f'The same function, with its weights:\n\n```python\nblock = attention.create("{entry.name}", '
            f"{_drawn(entry)[0]}{more})\n"
            '# attention.load_official(block, network.state_dict(), prefix="layer1.0.…")\n```'
        )
    else:
        yield f"The same function {f'is made with `{options}`' if options else 'is that of the default options'}."
    yield _code(differs)
    if official.get("about"):
        yield " ".join(official["about"].split())
