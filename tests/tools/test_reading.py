"""The reading time is computed from words, shown lines and figures."""

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools.chapters import FOLDED, chapters, read
from tools.writing import reading

SECTIONS = [new_markdown_cell("## The question"), new_markdown_cell("## Exercises")]


def notebook(*before: NotebookNode, exercises: tuple[NotebookNode, ...] = ()) -> NotebookNode:
    return new_notebook(cells=[SECTIONS[0], *before, SECTIONS[1], *exercises])


def words(minutes: int) -> NotebookNode:
    return new_markdown_cell("word " * (reading.WORDS * minutes - 2))  # two are in the first heading


def code(minutes: int, *tags: str) -> NotebookNode:
    return new_code_cell("x = 1\n\n" * (60 * minutes // reading.LINE), metadata={"tags": list(tags)})


def figures(minutes: int) -> NotebookNode:
    drawn = new_output("display_data", data={"image/png": "", "text/plain": ""})
    return new_code_cell("draw()", outputs=[drawn] * (60 * minutes // reading.FIGURE))


def test_a_short_one_takes_one_step() -> None:
    assert reading.minutes(notebook()) == reading.STEP


def test_words_lines_and_figures_count() -> None:
    assert reading.minutes(notebook(words(20))) == 20
    assert reading.minutes(notebook(words(20), code(10))) == 30, "empty lines do not"
    assert reading.minutes(notebook(words(20), code(10), figures(15))) == 45
    about = {"tags": ["live", "remove-input"]}
    many = [new_code_cell("", metadata=about) for _ in range(60 * 10 // reading.FIGURE)]
    assert reading.minutes(notebook(words(20), *many)) == 30, "a picture that computes is a figure"


@pytest.mark.parametrize("tag", ["remove-cell", "remove-input", FOLDED])
def test_code_that_a_page_does_not_show_does_not_count(tag: str) -> None:
    assert reading.minutes(notebook(words(20), code(10, tag))) == 20


def test_exercises_and_card_do_not_count() -> None:
    card = new_markdown_cell(f"<!-- card: begin -->\n{'word ' * 5000}\n<!-- card: end -->")
    assert reading.minutes(notebook(words(20), card, exercises=(words(30), code(30), figures(30)))) == 20


def test_the_written_chapters_take_less_than_an_hour() -> None:
    for path in chapters().values():
        assert 15 <= reading.minutes(read(path)) <= 60
