"""Write the page of a block whose chapter is not written yet: all that the registry and the block itself say.

``make sync`` writes ``book/blocks/<name>.md`` and its drawing ``book/_static/blocks/<name>.svg``; when the chapter is
written, both go.
"""

import inspect
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from attention import registry
from attention.about import Parts, parts
from attention.formulas import defaults, latex
from attention.registry import Entry, entries
from tools.chapters import CARD

__all__ = ["BLOCKS", "DRAWINGS", "built", "drawing", "example", "page"]

#: Where the pages and their drawings are, from the top of the repository.
BLOCKS, DRAWINGS = Path("book", "blocks"), Path("book", "_static", "blocks")
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
            return block.eval(), tuple(torch.randn(1, channels, height, width) for _ in range(_inputs(block)))
        block = entry.load()(**entry.example["options"])
        return block.eval(), tuple(torch.randn(*shape) for shape in entry.example["inputs"])


def _drawn(entry: Entry) -> tuple[int, int, int]:
    return entry.example.get("channels", DRAWN[0]), *DRAWN[1:]


def _inputs(block: Any) -> int:
    return len(inspect.signature(block.forward).parameters)


def drawing(entry: Entry) -> tuple[str, str]:
    """Draw the run of a block's equations, its steps labelled with their symbols.

    :returns: the picture, an SVG, the same text every time; and what it shows in words.
    """
    import matplotlib as mpl

    from attention.lab import shapes
    from attention.laws.gradients import Literal
    from tools.writing.figures import _SETTINGS

    block, inputs = example(entry)
    literal = block if type(block).forward in _plain() else Literal(block)
    run = shapes.trace(literal, *inputs)
    run = replace(run, module=type(block).__name__)
    buffer = io.StringIO()
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        figure = shapes.diagram(run, flow="down", symbols=True)
        figure.savefig(buffer, format="svg", metadata={"Creator": None, "Date": None})
    lines = buffer.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n", shapes.alt_text(run)


def _plain() -> set[Any]:
    from attention.contract import Attention

    return {Attention.forward}


def page(entry: Entry, card: str, alt: str) -> str:
    """Write a block's page.

    :param entry: the mechanism.
    :param card: its card.
    :param alt: what the drawing shows, in words.
    """
    block, _ = example(entry)
    said = parts(inspect.getdoc(type(block)) or "")
    sections = [
        f"<!-- Written by `make sync` from the registry and the docstring of attention.{entry.class_name}. -->",
        f"# {entry.title}",
        f"{entry.idea} Its chapter is not written yet; its block is, and this page says what it computes.",
        f"{CARD[0]}\n{card}\n{CARD[1]}",
        "## What it computes",
        _code(said.about),
        "## Options",
        *_options(block, said),
        "## Shapes",
        f":::{{figure}} ../_static/blocks/{entry.name}.svg\n:alt: {alt}\n:align: center\n:class: figure-face\n\n"
        f"{_caption(entry)}\n:::",
        _steps(block),
        "## Cost",
        *_cost(entry, block),
        "## Use",
        *_use(entry),
        "## Source, and the official code",
        _code(said.source),
        *([_code(said.differs)] if said.differs else []),
        *_official(entry),
    ]
    return "\n\n".join(sections) + "\n"


def _caption(entry: Entry) -> str:
    size = " × ".join(map(str, _drawn(entry))) if registry.KINDS[entry.kind] else "a small size"
    options = ", ".join(f"`{name}={value!r}`" for name, value in entry.example.get("options", {}).items())
    made = f", made with {options}" if options else ""
    return f"A run on an input of {size}{made}, with the symbols of the equations. Orange: attention maps."


def _code(text: str) -> str:
    return text.replace("``", "`")


def _options(block: Any, said: Parts) -> Iterator[str]:
    for parameter in list(inspect.signature(type(block).__init__).parameters.values())[1:]:
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        yield f"`{parameter.name}{default}`\n:   {_code(said.options[parameter.name])}"
    raised = "; ".join(f"`{name}` {_code(text).rstrip('.')}" for name, text in said.errors.items())
    yield f"Raises {raised}."


def _steps(block: Any) -> str:
    lines = ["| Step | Shape | Part | What it is |", "|:--|:--|:--|:--|"]
    for name, step in block.steps.items():
        shape = r" \times ".join("".join(axis).upper() for axis in step.axes)
        lines.append(f"| ${step.symbol or name}$ | ${shape}$ | {step.zone} | {step.about} |")
    return "\n".join(lines)


def _cost(entry: Entry, block: Any) -> Iterator[str]:
    import torch

    from attention.lab import cost

    options = {letter: name for letter, name in entry.cost["symbols"].items() if name not in _flags(entry)}
    symbols = ", ".join(f"${letter}$ is `{name}`" for letter, name in options.items())
    parameters, macs = (latex(entry.name, which, **_flags(entry)) for which in ("parameters", "macs"))
    yield f"Parameters ${parameters}$, multiply–adds of one image ${macs}$, where {symbols}."
    if not registry.KINDS[entry.kind]:
        return
    lines = ["| Input | parameters | multiply–adds |", "|:--|--:|--:|"]
    with torch.device("meta"):
        for channels, side in STAGES:
            made = registry.create(entry.name, channels)
            count = cost.count(made, *(torch.empty(1, channels, side, side) for _ in range(_inputs(made))))
            lines.append(f"| {channels} × {side} × {side} | {count.parameters:,} | {count.macs:,} |")
    yield "For what the four stages of ResNet-50 put out, with the default options:"
    yield "\n".join(lines)


def _flags(entry: Entry) -> dict[str, bool]:
    """Return the options that are true or false, with their defaults, for which the formulas are shown."""
    return {name: value for name, value in defaults(entry.name).items() if isinstance(value, bool)}


def _use(entry: Entry) -> Iterator[str]:
    if not registry.KINDS[entry.kind]:
        yield f"```python\nfrom {entry.module} import {entry.class_name}\n```"
        return
    inputs = "x, y" if entry.kind == "fusion" else "x"
    channels = _drawn(entry)[0]
    given = f"torch.randn(2, {channels}, 14, 14)"
    made = f"{inputs} = {given}, {given}" if entry.kind == "fusion" else f"x = {given}"
    yield (
        "```python\nimport torch\n\nimport attention\n\n"
        f'block = attention.create("{entry.name}", channels={channels})\n{made}\n'
        f"output = block({inputs})\noutput, maps = block.attend({inputs})\n```"
    )
    if entry.kind in ("gate", "block"):
        yield "In a network that exists already, at the end of every residual branch:"
        yield (
            "```python\nfrom attention.backbones.insertion import insert\n"
            "from attention.backbones.resnet import small_resnet\n\n"
            f'model = small_resnet(widths=({channels}, {2 * channels}))\nprint(insert(model, "{entry.name}"))\n```'
        )


def _literal(value: Any) -> str:
    return repr(value).replace("'", '"')


def _official(entry: Entry) -> Iterator[str]:
    official = entry.official
    if not official:
        return
    options = ", ".join(f"{name}={_literal(value)}" for name, value in official["options"].items())
    same = f"with `{options}`" if options else "as it is by default"
    about = f" {official['about']}" if official.get("about") else ""
    yield f"Official or best-known code: {official['source']}. The block {same} is the same function.{about}"
    if registry.KINDS[entry.kind]:
        more = f", {options}" if options else ""
        yield (
            f'```python\nblock = attention.create("{entry.name}", {_drawn(entry)[0]}{more})\n'
            "# attention.load_official(block, state_dict) takes its weights, under the names of that code\n```"
        )
