"""The generated pages of blocks without a chapter."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import attention
from attention import registry
from attention.contract import Attention
from attention.lab import cost, shapes
from tools.writing import pages, sync

BUILT = [entry.name for entry in pages.built()]
HEADINGS = ["What it computes", "Use", "Options", "Shapes", "Cost", "Source, and the official code"]


def page(name: str) -> str:
    return (pages.BLOCKS / f"{name}.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _at_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sync.ROOT)


def rows(text: str, heading: str, first: str) -> Iterator[list[str]]:
    """Yield the cells of the rows of a table under a heading, by what stands above its first column."""
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = section.partition(f"\n| {first} |")[2].partition("\n\n")[0].splitlines()[2:]
    yield from ([cell.strip() for cell in line.strip("|").split(" | ")] for line in lines)


@pytest.mark.parametrize("name", BUILT)
def test_a_page_says_what_the_block_is(name: str) -> None:
    entry, text = registry.entry(name), page(name)
    assert f"# {entry.title}\n" in text
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
    assert "$$" in text.partition("## Options")[0], "the equations"
    repository = entry.official["source"].partition(":")[0]
    assert f"[{repository}](https://github.com/{repository})" in text
    for told in (f"At the start: {entry.start[0].lower()}{entry.start[1:]}", entry.use.strip()):
        assert told in text
    assert entry.start.endswith(".")
    assert "``" not in re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    block, _ = pages.example(entry)
    assert [cells[0] for cells in rows(text, "Shapes", "Map")] == [f'`"{key}"`' for key in block.maps]
    used = {letter for each in (*block.maps.values(), *block.steps.values()) for axis in each.axes for letter in axis}
    assert set(entry.letters) == {letter for letter in used if not letter.isdigit()} - set("bchw")
    steps = [cells[0] for cells in rows(text, "Shapes", "Step")]
    assert steps == [f"${step.symbol or key}$" for key, step in block.steps.items()]
    options = re.findall(r"^`(\w+)(?: = .*)?`\n:   \S", text, re.MULTILINE)
    assert options == list(attention.describe(name, 128).options and _options(entry))


def _options(entry: registry.Entry) -> list[str]:
    import inspect

    return list(inspect.signature(entry.load().__init__).parameters)[1:]


@pytest.mark.parametrize("name", [name for name in BUILT if registry.KINDS[registry.entry(name).kind]])
def test_the_costs_are_those_of_the_block(name: str) -> None:
    found = list(rows(page(name), "Cost", "Input"))
    stages = pages._inputs_for(registry.entry(name))
    assert [cells[0] for cells in found] == [f"{channels} × {side} × {side}" for channels, side in stages]
    for (channels, _), cells in zip(stages, found, strict=True):
        block = attention.create(name, channels)
        assert cells[1] == f"{sum(p.numel() for p in block.parameters()):,}"


@pytest.mark.parametrize("name", BUILT)
def test_the_drawing_shows_every_step_that_has_a_symbol(name: str) -> None:
    entry = registry.entry(name)
    block, inputs = pages.example(entry)
    if type(block).forward is Attention.forward:
        run = shapes.trace(block, *inputs)
        names = {artist.get_gid() for artist in shapes.diagram(run, flow="right").findobj()}
        assert {f"tensor:{node.index}" for node in run.visible().nodes} <= names
    assert ElementTree.fromstring((pages.DRAWINGS / f"{name}.svg").read_text(encoding="utf-8")).get("width")
    alt = re.search(r"^:alt: (.*)$", page(name), re.MULTILINE)[1]
    assert alt.startswith(f"The tensors of {entry.class_name}: ")


@pytest.mark.parametrize("name", BUILT)
def test_what_a_fresh_block_does_is_so(name: str) -> None:
    """The sentence on the start, where it says that a block is the identity, or multiplies the input by a number."""
    entry = registry.entry(name)
    block, inputs = pages.example(entry)
    if not registry.KINDS[entry.kind] or entry.kind in ("branch", "fusion"):
        return
    block = attention.create(name, pages._drawn(entry)[0]).eval()
    output, x = block(inputs[0]), inputs[0]
    assert output.allclose(x, atol=1e-5) == entry.start.startswith("It is the identity")
    assert output.allclose(2 * x, atol=1e-5) == entry.start.startswith("It returns twice its input")
    about = {"about its input": 1, "about one and a half times its input": 1.5}
    for words, factor in about.items():
        if words in entry.start:
            assert (output / x).median().item() == pytest.approx(factor, abs=0.15)


def test_axes_are_set_as_the_book_sets_them() -> None:
    assert pages.shape("b c 1 1", ()) == r"B \times C \times 1 \times 1"
    assert pages.shape("b (h w) n", {"n": "H + W"}) == "B \\times H\u2009W \\times n"


def test_channels_that_the_defaults_take() -> None:
    assert pages._multiple(registry.entry("shuffle")) == "With the default options `channels` is a multiple of 128."
    assert pages._multiple(registry.entry("eca")) == ""


def test_pages_follow_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a chapter is written, its block's page and drawing go."""
    for folder in (pages.BLOCKS, pages.DRAWINGS):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / pages.BLOCKS / "sge.md").write_text("old")
    (tmp_path / pages.DRAWINGS / "sge.svg").write_text("old")
    assert sync.left(tmp_path) == []
    table = {name: replace(e, status="ready") if name == "sge" else e for name, e in registry.entries().items()}
    monkeypatch.setattr(pages, "entries", lambda: table)
    assert [path.name for path in sync.left(tmp_path)] == ["sge.svg", "sge.md"]


def test_the_contents_list_every_page() -> None:
    listed = re.findall(r"^          - file: (book/blocks/\w+)$", Path("_toc.yml").read_text(encoding="utf-8"), re.M)
    assert listed == [registry.entry(name).page for name in BUILT]


def test_one_cost_by_hand() -> None:
    """SGE on 256 channels of 56 × 56: two parameters per group; each number meets the mean of its group once."""
    ((_, parameters, macs), *_) = rows(page("sge"), "Cost", "Input")
    groups, numbers = 64, 256 * 56 * 56
    assert (parameters, macs) == (f"{2 * groups:,}", f"{numbers:,}")
    assert cost.evaluate("sge", "macs", channels=256, height=56, width=56, groups=groups) == numbers
