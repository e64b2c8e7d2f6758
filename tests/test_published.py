"""Printed figures: every table is complete, and a count is rounded as its figure was."""

import tomllib
from importlib.resources import files

import pytest

from attention.published import Published, published
from attention.registry import entries

TABLES = tomllib.loads(files("attention").joinpath("published.toml").read_text(encoding="utf-8"))
MILLIONS = Published("a paper", "parameters", "M", "as printed", {"one": "28.1", "two": "4.270", "whole": "7"})


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_its_source(name: str) -> None:
    assert name in entries()
    for key, table in published(name).items():
        assert table.values, key
        assert all((table.source, table.quantity, table.convention)), key
        for label, value in table.values.items():
            assert table.value(label) == float(value)
            assert table.unit == "%" or table.agrees(label, round(float(value) * {"M": 10**6, "G": 10**9}[table.unit]))


@pytest.mark.parametrize(
    ("label", "count", "text"),
    [
        ("one", 28_071_976, "28.1"),
        ("one", 28_149_999, "28.1"),
        ("one", 28_150_000, "28.2"),
        ("one", 28_049_999, "28.0"),
        ("two", 4_269_800, "4.270"),
        ("whole", 6_500_000, "7"),
    ],
)
def test_counts_are_rounded_as_the_figure(label: str, count: int, text: str) -> None:
    assert MILLIONS.as_printed(label, count) == text
    assert MILLIONS.agrees(label, count) == (text == MILLIONS.values[label])


def test_a_mechanism_without_figures_has_none() -> None:
    without = next((name for name in entries() if name not in TABLES), None)
    assert without is None or published(without) == {}


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="label='three' is not one of one, two, whole"):
        MILLIONS.agrees("three", 1)
    with pytest.raises(ValueError, match="label='three' is not one of one, two, whole"):
        MILLIONS.value("three")
    with pytest.raises(ValueError, match="'sse' is not a mechanism"):
        published("sse")
    with pytest.raises(ValueError, match="unit='T'"):
        Published("a paper", "parameters", "T", "as printed", {"one": "1"})
