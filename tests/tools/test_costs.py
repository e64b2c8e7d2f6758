"""The table of published costs: it is current, every verdict is what the figures say, a wrong figure is noticed."""

import shutil
from functools import partial
from pathlib import Path

import pytest
import torch

import attention
from attention.backbones import insert
from attention.lab import cost
from attention.published import published
from tools.chapters import ROOT
from tools.writing import costs
from tools.writing.costs import MARKERS, PAGE, Figure, Network, Wrong
from tools.writing.counting import counts

EXACT = Figure("25,557,032", "a paper", "parameters")
ROUNDED = Figure("25.56", "a paper", "parameters", "M")
OFF = Figure("4.24", "a paper", "macs", "G", note="others are counted too")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / PAGE).parent.mkdir()
    shutil.copy(ROOT / PAGE, tmp_path / PAGE)
    return tmp_path


def test_the_page_is_current() -> None:
    assert costs.main(["--check"]) == 0


def test_every_figure_has_its_row_and_no_other() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    first, _, rest = text.partition("## Not reproduced")
    rows = [line for line in first.splitlines() if line.startswith("| ")][1:]
    unknown = [line for line in rest.partition("## Nothing printed")[0].splitlines() if line.startswith("| ")][1:]
    figures = [(network, figure) for network in costs.networks() for figure in network.figures]
    assert len(rows) == sum(not figure.open for _, figure in figures)
    assert len(unknown) == sum(figure.open for _, figure in figures)
    for network, figure in figures:
        ours = costs._ours(network, figure)
        (row,) = (
            row
            for row in (unknown if figure.open else rows)
            if row.startswith(f"| {network.name} | {figure.printed} ".rstrip()) and figure.source in row
            if costs._convention(network, figure) + " |" in row
        )
        assert f"| {ours:,} | {costs.verdict(figure, ours)} |" in row
        assert ("off by" in row) is bool(figure.off(ours)) is bool(figure.note)


def test_networks_have_names_of_their_own() -> None:
    names = [network.name for network in costs.networks()]
    assert len(set(names)) == len(names)


def test_every_figure_of_published_toml_is_in_the_table_as_it_stands_there() -> None:
    shown = {(figure.printed, figure.source, figure.unit) for n in costs.networks() for figure in n.figures}
    for mechanism in ("se", "cbam", "sk"):
        counts = [t for t in published(mechanism).values() if t.quantity in ("parameters", "multiply–adds")]
        for table in counts:
            for printed in table.values.values():
                assert (printed, table.source, table.unit) in shown


def test_what_the_page_tells_readers_to_type_builds_the_network() -> None:
    names = costs.builders() | {"partial": partial, "create": attention.create, "insert": insert}
    for network in costs.networks():
        made, *inserted = costs.code(network).split("; ")
        space = dict(names)
        with torch.device("meta"):
            exec(made if inserted else f"network = {made}", space)
            for line in inserted:
                exec(line, space)
        assert sum(p.numel() for p in space["network"].parameters()) == costs._counts(network, run=False).parameters


# Verdicts


@pytest.mark.parametrize(
    ("figure", "ours", "said"),
    [
        (EXACT, 25_557_032, "equal"),
        (ROUNDED, 25_557_032, "rounds to it"),
        (ROUNDED, 25_564_999, "rounds to it"),
        (Figure("24.37", "a paper", "parameters", "Mi"), 25_557_032, "rounds to it"),
        (Figure("300", "a paper", "macs", "M", step="10"), 304_999_999, "rounds to it"),
        (OFF, 4_230_479_872, "off by −0.010: others are counted too"),
        (OFF, 4_251_000_000, "off by +0.011: others are counted too"),
        (OFF, 4_234_999_999, "off by −0.005: others are counted too"),
        (Figure("300", "a paper", "added", note="no sum is"), 708, "off by +408: no sum is"),
    ],
)
def test_verdicts(figure: Figure, ours: int, said: str) -> None:
    assert costs.verdict(figure, ours) == said


@pytest.mark.parametrize(
    ("figure", "ours", "message"),
    [
        (EXACT, 25_557_033, "25,557,032 .a paper., counted 25,557,033: off, and no note says why"),
        (ROUNDED, 25_565_000, "25.56 M .a paper., counted 25,565,000: off"),
        (ROUNDED, 25_554_999, "off, and no note"),
        (OFF, 4_240_000_000, "it agrees, but its note says: others are counted too"),
        (Figure("300", "a paper", "macs", "M", step="10"), 305_000_000, "off, and no note"),
    ],
)
def test_a_wrong_figure_is_noticed(figure: Figure, ours: int, message: str) -> None:
    with pytest.raises(Wrong, match=message):
        costs.verdict(figure, ours)


def test_a_wrong_figure_stops_the_page(house: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = Network("ResNet-50", "resnet50", figures=(Figure("25.57", "a paper", "parameters", "M"),))
    costs.table.cache_clear()
    monkeypatch.setattr(costs, "networks", lambda: (wrong,))
    before = (house / PAGE).read_bytes()
    assert costs.main([], house) == 1
    assert "costs.toml, ResNet-50: 25.57 M (a paper), counted 25,557,032: off" in capsys.readouterr().out
    assert (house / PAGE).read_bytes() == before
    costs.table.cache_clear()


def test_bad_data() -> None:
    with pytest.raises(ValueError, match="unit='T' is not one of"):
        Figure("1", "a paper", "parameters", "T")
    with pytest.raises(ValueError, match="count='flops' is not one of"):
        Figure("1", "a paper", "flops")
    with pytest.raises(ValueError, match="open, and no note"):
        Figure("1", "a paper", "macs", open=True)


# The page


def test_a_page_that_is_not_current_is_noticed_and_written(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (house / PAGE).read_text(encoding="utf-8")
    (house / PAGE).write_text(text.replace("25,557,032", "25,557,033"), encoding="utf-8")
    assert costs.main(["--check"], house) == 1
    assert "book/published.md is not current" in capsys.readouterr().out
    assert costs.main([], house) == 0
    assert (house / PAGE).read_text(encoding="utf-8") == text
    assert costs.main(["--check"], house) == 0


@pytest.mark.parametrize("marker", MARKERS)
def test_a_page_without_its_markers_is_refused(house: Path, marker: str, capsys: pytest.CaptureFixture[str]) -> None:
    (house / PAGE).write_text((house / PAGE).read_text(encoding="utf-8").replace(marker, ""), encoding="utf-8")
    assert costs.main([], house) == 1
    assert "needs one <!-- published: begin -->" in capsys.readouterr().out
    (house / PAGE).unlink()
    assert costs.main([], house) == 1
    assert "book/published.md is missing" in capsys.readouterr().out


# Counting


@pytest.mark.parametrize("name", ["GSoP-Net1", "FcaNet-50", "SCSA-ResNet-50, after the 3 × 3", "ResNeSt-50"])
def test_multiply_adds_are_those_of_the_workbench(name: str) -> None:
    (network,) = (each for each in costs.networks() if each.name == name)
    ours, other = costs._counts(network), cost.on_paper(partial(costs.build, network), network.image)
    assert (ours.parameters, ours.statistics, ours.macs) == (other.parameters, other.buffers, other.macs)


def test_cheap_layers_by_hand() -> None:
    """One convolution, its normalisation and ReLU, two poolings and a linear layer, on 3 × 8 × 6."""
    made = partial(
        torch.nn.Sequential,
        torch.nn.Conv2d(3, 5, 3, padding=1),
        torch.nn.BatchNorm2d(5),
        torch.nn.ReLU6(),
        torch.nn.MaxPool2d(2),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(5, 2),
    )
    ours = counts(lambda: made().to("meta"), (3, 8, 6))
    assert ours.layers == ours.macs == 3 * 5 * 9 * 48 + 5 * 2
    assert ours.normalised == 2 * 5 * 48
    assert ours.cheap == 5 * 48 + 5 * 48 + 5 * 12
    assert (ours.parameters, ours.statistics) == (3 * 5 * 9 + 5 + 2 * 5 + 5 * 2 + 2, 10)
