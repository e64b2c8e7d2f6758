"""Results as tables: in text, in HTML, and what they refuse."""

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup

from attention.lab.tables import Table, table

SIZES = table(("network", "parameters", "accuracy"), [("plain", 1234567, 0.5), ("with SE", 89, None)], note="one seed")


def cells(found: Table, part: str) -> list[list[str]]:
    rows = BeautifulSoup(found._repr_html_(), "html.parser").select(f"table.result > {part} > tr")
    return [[cell.get_text() for cell in row.select("th, td")] for row in rows]


def on_the_right(found: Table) -> list[bool]:
    """Say of each column whether the HTML aligns all its cells, the head's too, on the right."""
    rows = BeautifulSoup(found._repr_html_(), "html.parser").select("tr")
    columns = list(zip(*[[cell["style"] for cell in row.select("th, td")] for row in rows], strict=True))
    assert all(len({*column}) == 1 for column in columns)
    return [column[0] == "text-align: right" for column in columns]


def test_text_is_aligned() -> None:
    assert (
        repr(SIZES)
        == str(SIZES)
        == "\n".join(
            [
                "network  parameters  accuracy",
                "───────  ──────────  ────────",
                "plain     1,234,567      0.50",
                "with SE          89         –",
                "one seed",
            ]
        )
    )


def test_html_holds_the_same_cells() -> None:
    assert cells(SIZES, "thead") == [list(SIZES.head)]
    assert cells(SIZES, "tbody") == [list(row) for row in SIZES.rows]
    page = BeautifulSoup(SIZES._repr_html_(), "html.parser")
    assert page.caption.get_text() == "one seed"
    assert [cell["scope"] for cell in page.select("th")] == ["col", "col", "col", "row", "row"]
    assert on_the_right(SIZES) == [False, True, True]


def test_text_is_escaped() -> None:
    found = table(("<b>", "&"), [("x < 1 & y", '"')], note="a < b")
    assert cells(found, "thead") == [["<b>", "&"]]
    assert cells(found, "tbody") == [["x < 1 & y", '"']]
    assert "<b>" not in found._repr_html_()
    assert "<caption>a &lt; b</caption>" in found._repr_html_()


def test_without_a_note_there_is_no_caption() -> None:
    found = table(("a",), [("b",)])
    assert "caption" not in found._repr_html_()
    assert str(found) == "a\n─\nb"


def test_a_table_may_be_empty() -> None:
    assert str(table(("a", "bc"), [])) == "a  bc\n─  ──"
    assert cells(table(("a", "bc"), []), "tbody") == []


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1234567, "1,234,567"),
        (-3, "-3"),
        (1234.5678, "1,234.568"),
        (-0.0001, "0.000"),
        (True, "yes"),
        (False, "no"),
        (None, "–"),
        ("1e-3", "1e-3"),
        (torch.tensor(7), "7"),
        (torch.tensor(0.5), "0.500"),
        (torch.tensor(True), "yes"),
        (np.float64(0.25), "0.250"),
        (np.int64(1000), "1,000"),
        ((3, 4), "(3, 4)"),
    ],
)
def test_values_are_written(value: object, written: str) -> None:
    assert table(("a", "b"), [("row", value)], digits=3).rows == (("row", written),)


@pytest.mark.parametrize(
    ("column", "right"),
    [
        (["1", "2,000", "3.5"], True),
        (["0.82 ± 0.01", "0.90 ± 0.02"], True),
        (["+1.2%", "−3%", "5 %"], True),
        (["×1.5", "≈ 2"], True),
        (["5/12", "11/12"], True),
        (["3e-05", "1"], True),
        (["–", "1", ""], True),
        (["–", ""], False),
        (["0, 6", "1, 2"], False),
        (["2×64×8×8", "64"], False),
        (["-0.007 (-0.029 to +0.015)"], False),
        (["1", "two"], False),
    ],
)
def test_a_column_of_numbers_is_on_the_right(column: list[str], right: bool) -> None:
    found = table(("name", "value"), [("row", cell) for cell in column])
    assert on_the_right(found) == [False, right]
    rows = str(found).splitlines()[2:]
    width = max(map(len, ["value", *column]))
    assert rows == [f"row   {cell.rjust(width) if right else cell}".rstrip() for cell in column]


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="a row of 1 cells under 2 columns"):
        table(("a", "b"), [("c", "d"), ("e",)])
