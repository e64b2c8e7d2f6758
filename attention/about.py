"""What the package says of a mechanism: what it weighs, what it costs, its options, its source."""

import inspect
import re
import textwrap
from dataclasses import dataclass
from typing import Any

from attention import registry
from attention.registry import FAMILIES, KINDS, Entry

__all__ = ["Description", "Parts", "describe", "input_count", "listed", "parts"]

#: A printed line has so many characters.
WIDE = 100


@dataclass(frozen=True)
class Parts:
    """What a block's docstring says, part by part, in Markdown.

    :param about: the summary, the equations and what explains them.
    :param options: what each option is, by name.
    :param errors: when each error is raised, by its name.
    :param source: where the equations come from.
    :param differs: how the official code differs.
    """

    about: str
    options: dict[str, str]
    errors: dict[str, str]
    source: str
    differs: str


def parts(docstring: str) -> Parts:
    """Divide a block's docstring.

    :param docstring: as the class has it, cleaned.
    """
    text = re.sub(r":(?:class|func|mod|data|meth):`~?(?:[\w.]*\.)?(\w+)`", r"``\1``", docstring)
    about, _, rest = text.partition("\n:param")
    fields: dict[str, dict[str, str]] = {"param": {}, "raises": {}}
    for kind, name, value in re.findall(r"^:(param|raises) (\w+): (.*?)(?=^:|^\S|\Z)", f":param{rest}", re.M | re.S):
        fields[kind][name] = " ".join(value.split())
    source = re.search(r"^Source: (.*?)(?:\n\n|\Z)", text, re.M | re.S)
    differs = re.search(r"^Differs from the official code.*\Z", text, re.M | re.S)
    return Parts(
        about.strip(),
        fields["param"],
        fields["raises"],
        source[1].strip() if source else "",
        differs[0].strip() if differs else "",
    )


@dataclass(frozen=True)
class Description:
    """What there is to say of one mechanism; print it, or let a notebook show it.

    :param entry: its entry in ``mechanisms.toml``.
    :param size: (channels, height, width) of the input for which the cost is stated.
    :param maps: each map of the block by its name: shape, kind, and what a large value means.
    :param options: each option by its name with its default: ``{"reduction=16": "the ratio …"}``.
    :param parameters: how many the block has with these channels; ``None`` where it is not built from channels alone.
    :param macs: multiply–adds of convolutions, linear layers and matrix products for one image of this size.
    """

    entry: Entry
    size: tuple[int, int, int]
    maps: dict[str, str]
    options: dict[str, str]
    parameters: int | None
    macs: int | None

    @property
    def rows(self) -> dict[str, list[str]]:
        """All that is said, by heading."""
        found, official = self.entry, self.entry.official
        rows = {"weighs": [f"{found.axis}, from: {found.statistic}"]}
        rows["maps"] = [f"{name}: {about}" for name, about in self.maps.items()]
        if self.parameters is not None and self.macs is not None:
            size = " × ".join(map(str, self.size))
            rows["cost"] = [f"{self.parameters:,} parameters, {self.macs:,} multiply–adds for one image of {size}"]
        rows["formulas"] = [f"{which}: {found.cost[which]}" for which in ("parameters", "macs") if which in found.cost]
        rows["options"] = [f"{name}: {about}" for name, about in self.options.items()]
        rows["inserted"] = [found.where]
        if official:
            options = ", ".join(f"{name}={value!r}" for name, value in official["options"].items()) or "the defaults"
            rows["official"] = [f"{official['source']}, with {options}", official.get("about", "")]
        rows["source"] = [f"{found.authors}, {found.paper}, {found.venue}, arXiv {found.arxiv}"]
        create = f'attention.create("{found.name}", channels={self.size[0]})'
        rows["in code"] = [create if KINDS[found.kind] else f"{found.module}.{found.class_name}"]
        return {name: [line for line in lines if line] for name, lines in rows.items() if any(lines)}

    def __str__(self) -> str:
        wide = max(map(len, self.rows))
        lines = [
            f"{self.entry.title} ({self.entry.short}), {self.entry.year}",
            *textwrap.wrap(self.entry.idea, WIDE),
            "",
        ]
        for name, told in self.rows.items():
            for i, each in enumerate(told):
                first = f"{name if i == 0 else '':<{wide}}  "
                lines += textwrap.wrap(
                    re.sub(r"``|\$", "", each), WIDE, initial_indent=first, subsequent_indent=" " * (wide + 4)
                )
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        def cell(text: str) -> str:
            return text.replace("``", "`").replace("|", "\\|")

        lines = [f"**{self.entry.title}** ({self.entry.year}). {self.entry.idea}", "", "| | |", "|:--|:--|"]
        lines += [f"| {name} | {'<br>'.join(map(cell, told))} |" for name, told in self.rows.items()]
        return "\n".join(lines)


def describe(name: str, channels: int = 64, size: int | tuple[int, int] = 56, **options: Any) -> Description:
    """Say what a mechanism weighs, what it costs at a size, which options it has, and where it comes from.

    >>> attention.describe("cbam", channels=256, size=14)

    :param name: a mechanism whose block is written.
    :param channels: number of channels of the input for which the cost is stated.
    :param size: its height and width, or one number for both.
    :param options: the block's own options.
    :returns: a description that prints well, in a terminal and in a notebook.
    :raises ValueError: for a mechanism that is unknown or not written yet, and as the block does.
    :raises TypeError: for an option that the block does not have.
    """
    import torch

    found = registry.entry(name)
    height, width = (size, size) if isinstance(size, int) else size
    if not KINDS[found.kind]:
        if not found.built:
            raise ValueError(f"name={name!r} ({found.title}) is planned, not written yet")
        maps = dict.fromkeys(found.maps, "")
        return Description(found, (channels, height, width), maps, _options(found.load()), None, None)
    from attention.lab import cost

    with torch.device("meta"):
        block = registry.create(name, channels, **options)
        count = cost.count(block, *(torch.empty(1, channels, height, width) for _ in range(input_count(block))))
    maps = {
        key: f"({', '.join(''.join(axis).upper() for axis in m.axes)}), {m.kind}: {m.about}"
        for key, m in block.maps.items()
    }
    size = (channels, height, width)
    return Description(found, size, maps, _options(type(block)), count.parameters, count.macs)


def _shape(declared: Any) -> str:
    return f"({', '.join(''.join(axis).upper() for axis in declared.axes)})"


def input_count(block: Any) -> int:
    """Return how many inputs a block's ``forward`` takes."""
    return len(inspect.signature(block.forward).parameters)


def _options(kind: type) -> dict[str, str]:
    """Return a class's options with their defaults, and what its docstring says of each."""
    said = parts(inspect.getdoc(kind) or "").options
    found = {}
    for parameter in list(inspect.signature(kind.__init__).parameters.values())[1:]:
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        found[f"{parameter.name}{default}"] = said.get(parameter.name, "")
    return found


def listed() -> str:
    """List all mechanisms as text: by family, the name, the year, and the idea in one sentence."""
    lines = []
    for family, title in FAMILIES.items():
        lines += ["", title] if lines else [title]
        for entry in registry.entries().values():
            if entry.family == family:
                mark = "" if entry.built else " (planned)"
                head = f"  {entry.name:<17} {entry.year}  "
                lines += textwrap.wrap(entry.idea + mark, WIDE, initial_indent=head, subsequent_indent=" " * len(head))
    return "\n".join(lines)
