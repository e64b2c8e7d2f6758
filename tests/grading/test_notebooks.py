"""Reading a submission, and compiling its cells."""

import json
from pathlib import Path

import pytest

from attention.grading import Text, command
from attention.grading.child import compiled
from attention.grading.notebook import Cell, Notebook, Unreadable, read
from tests.grading.submissions import MOST, run_command

NO_NOTEBOOK = {
    b"": "The submitted file is empty.",
    b"import torch": "is no notebook: it is not JSON.",
    b"[" * 100_000: "is no notebook: it is not JSON.",
    b'{"cells": ' + b"9" * 5000 + b"}": "is no notebook: it is not JSON.",
    b"\xff\xfe\x00": "is no notebook: it is not JSON.",
    b"[]": "no notebook of format 4: it has no list of cells.",
    b'{"worksheets": []}': "no notebook of format 4: it has no list of cells.",
    b'{"cells": [3]}': "one of its cells is no object.",
    b'{"cells": [{"cell_type": "code", "source": 5}]}': "one of its cells has no text.",
    b'{"cells": [' + b'{"cell_type": "code"},' * 2000 + b'{"cell_type": "code"}]}': "more than 1000 cells.",
    b'{"cells": [{"cell_type": "code", "source": "' + b"#" * 2_000_000 + b'"}]}': "more than 1,000,000 characters",
    b"1" * 11_000_000: "clear its outputs",
}


@pytest.mark.parametrize(("raw", "line"), NO_NOTEBOOK.items(), ids=range(len(NO_NOTEBOOK)))
def test_what_is_no_notebook_gets_a_line(grading_file: Path, tmp_path: Path, raw: bytes, line: str) -> None:
    (tmp_path / "submission.ipynb").write_bytes(raw)
    result = command.grade(tmp_path / "submission.ipynb", command.load(grading_file))
    assert (result.score, result.points, len(result.notes)) == (0, 15, 1)
    assert line in result.notes[0]


def test_json_that_unpacks_to_much_stays_within_the_memory(grading_file: Path, tmp_path: Path) -> None:
    (tmp_path / "submission.ipynb").write_bytes(b'{"cells": [' + b'{"":0},' * 1_400_000 + b"0]}")
    done, peak = run_command(tmp_path / "submission.ipynb", "--assignment", grading_file, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert peak < MOST


@pytest.mark.parametrize(
    ("source", "value", "left_out"),
    [
        ("x = 1\n%matplotlib inline\n!ls\nx?\ny = !ls\nif x:\n    %pip install a\nx = 2", 2, 5),
        ("x = (7\n% 4)", 3, 0),
        ("x = '''\n%no magic\n'''", "\n%no magic\n", 0),
        ("%%time\nx = 3", 3, 1),
        ("x = 0\n%load_ext a", 0, 1),
    ],
)
def test_magic_lines_are_left_out(source: str, value: object, left_out: int) -> None:
    names = {}
    code, lines = compiled(source, "<cell 1>")
    exec(code, names)
    assert (names["x"], len(lines)) == (value, left_out)


# What a submission makes as large as it may: the grader's own reading of it grows with its size, and not faster.


def code(*sources: str) -> Notebook:
    return Notebook(tuple(Cell(i, "code", source) for i, source in enumerate(sources, 1)))


def test_what_cells_define_is_found_line_by_line() -> None:
    found = code(
        "def first(x):\n    y = 3\n    return y\nclass Second:\n    async def third(self): ...",
        "fourth: int = 3\nfifth=4\nfirst == 3\nsixth += 1\nseventh[0] = 1\nx.eighth = 2\ndefine = class_ = 3",
        "  first = None\n# def ninth(): ...\nfirst(tenth=3)",
    )
    in_cells = {name: tuple(numbers) for name, numbers in found.defined.items()}
    names = {"first": (1, 3), **dict.fromkeys(("y", "Second", "third"), (1,))}
    assert in_cells == names | dict.fromkeys(("fourth", "fifth", "define"), (2,))
    assert found.names == ["first", "Second"]


@pytest.mark.parametrize(
    "part",
    ["\n", " ", "a", "a:\n", "a :", "def\n", "def ", "class", "a: b\n\n", "async ", "\t\n", "é", "=\n"],
    ids=repr,
)
def test_a_million_characters_are_searched_for_definitions(part: str) -> None:
    found = code((part * 1_000_000)[:999_000] + "\ndef last():\n    pass")
    assert found.defined["last"] == [1]
    assert found.names[-1] == "last"


@pytest.mark.parametrize("part", ["<!--", "<!-- ", "<!-- -->", "<!", "--", "-->", "<!--\n"], ids=repr)
def test_a_million_characters_are_searched_for_comments(part: str) -> None:
    given = Notebook((Cell(1, "markdown", f"<!-- answer 4 -->\n{part * (1_000_000 // len(part))}"),))
    value = Text("<!-- answer 4 -->").put(None, given).value
    assert (value is None) == (part == "<!-- -->")


def as_file(tmp_path: Path, *cells: dict) -> Path:
    path = tmp_path / "submission.ipynb"
    path.write_text(
        json.dumps(
            {"cells": cells, "metadata": {"outputs": [1], "widgets": {"cells": "x" * 9_000_000}}, "nbformat": 4},
            indent=1,
        )
    )
    return path


def test_outputs_do_not_count_however_large_they_are(tmp_path: Path) -> None:
    picture = {
        "output_type": "display_data",
        "data": {"image/png": "iVBOR" * 5_000_000, "text": ["]}", '\\"outputs": [']},
    }
    source = ['x = {"outputs": [1]}\n', "y = '\\\\\"'"]
    path = as_file(
        tmp_path,
        {"cell_type": "code", "source": source, "outputs": [picture, {"outputs": [{}]}], "metadata": {"tags": ["a"]}},
        {"cell_type": "markdown", "source": "b", "attachments": {"a.png": {"image/png": "x" * 9_000_000}}},
        {"outputs": [], "cell_type": "code", "source": "outputs"},
    )
    assert path.stat().st_size > 25_000_000
    cells = (Cell(1, "code", "".join(source), ("a",)), Cell(1, "markdown", "b"), Cell(2, "code", "outputs"))
    assert read(path).cells == cells


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ({"source": "#" * 11_000_000}, "has 11 MB without its outputs, more than the 10 MB that are read"),
        ({"source": "a", "outputs": ["x" * 10_000] * 1_100}, "outputs are too many to be read: clear them"),
        ({"source": "a", "outputs": "x" * 11_000_000}, "more than the 10 MB"),
    ],
    ids=["source", "brackets", "text"],
)
def test_what_is_still_too_large_is_told_how_to_become_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: dict, line: str
) -> None:
    monkeypatch.setattr("attention.grading.notebook._TOKENS", 1000)
    with pytest.raises(Unreadable, match=line):
        read(as_file(tmp_path, {"cell_type": "code"} | cell))


@pytest.mark.parametrize("raw", [b'\\"', b'"', b"\\", b'"\\', b"]", b'"outputs":', b'{"'], ids=repr)
def test_what_is_no_json_is_searched_for_outputs_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: bytes
) -> None:
    monkeypatch.setattr("attention.grading.notebook._SIZE", 1000)
    (tmp_path / "submission.ipynb").write_bytes(b'{"cells": [{"outputs": [' + raw * (500_000 // len(raw)))
    with pytest.raises(Unreadable):
        read(tmp_path / "submission.ipynb")
