"""Running a chapter keeps what says the same, cleans what a run leaves behind, and writes nothing when a cell fails."""

import base64
import io
from pathlib import Path

import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from tools.chapters import METADATA, read, text
from tools.writing import execute


def _png(colour: str, level: int = 6) -> str:
    raw = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(raw, format="PNG", compress_level=level)
    return base64.b64encode(raw.getvalue()).decode()


def _figure(data: str, alt: str = "A square.") -> dict:
    return new_output("display_data", {"image/png": data, "text/plain": alt}, metadata={"image/png": {"alt": alt}})


def _said(words: str) -> dict:
    return new_output("stream", name="stdout", text=words)


PATTERNS = execute.sanitizers()


def test_same_pixels_keep_their_old_bytes() -> None:
    old, new = _figure(_png("red", 0)), _figure(_png("red", 9))
    assert old.data["image/png"] != new.data["image/png"]
    assert execute.keep([old], [new], PATTERNS) == [old]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (_figure(_png("red")), _figure(_png("blue"))),
        (_figure(_png("red", 0)), _figure(_png("red", 9), alt="Another alt text.")),
        (_said("shape (2, 3)"), _said("shape (2, 4)")),
        (_said("128 parameters"), _said("127 parameters")),
        (_said("0.5"), new_output("display_data", {"text/plain": "0.5"})),
    ],
)
def test_what_says_something_else_is_replaced(old: dict, new: dict) -> None:
    assert execute.keep([old], [new], PATTERNS) == [new]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("took 3.2 s", "took 4.1 s"),
        ("<object at 0x7f00aa00bb00>", "<object at 0x7f00cc00dd00>"),
        ("at 10:20:30", "at 11:21:31"),
    ],
)
def test_addresses_and_times_are_no_news(old: str, new: str) -> None:
    assert execute.keep([_said(old)], [_said(new)], PATTERNS) == [_said(old)]


def test_another_number_of_outputs_is_news() -> None:
    assert execute.keep([_said("a")], [_said("a"), _said("b")], PATTERNS) == [_said("a"), _said("b")]


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """Return a notebook that was saved carelessly."""
    cells = [
        new_markdown_cell("# Made up"),
        new_code_cell("import os\nprint(os.path.basename(os.getcwd()))", execution_count=7),
        new_code_cell("print(1, end='')\nprint(2)", metadata={"tags": ["x"], "collapsed": True, "execution": {}}),
    ]
    path = tmp_path / "chapters" / "made.ipynb"
    path.parent.mkdir()
    path.write_text(
        text(new_notebook(cells=cells, metadata={"widgets": {}, "kernelspec": {"name": "conda", "display_name": "C"}}))
    )
    return path


def test_run(notebook: Path) -> None:
    assert execute.run(notebook) > 0
    made = read(notebook)
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2]
    assert code[0].outputs[0].text == "chapters\n"  # run from its own folder
    assert [output.text for output in code[1].outputs] == ["12\n"]
    assert made.metadata == METADATA
    assert dict(code[1].metadata) == {"tags": ["x"]}
    before = notebook.read_bytes()
    execute.run(notebook)
    assert notebook.read_bytes() == before


def test_a_cell_that_fails_leaves_the_file_alone(notebook: Path) -> None:
    made = read(notebook)
    made.cells.append(new_code_cell("raise ValueError('no such thing')"))
    notebook.write_text(text(made))
    before = notebook.read_bytes()
    with pytest.raises(CellExecutionError, match="no such thing"):
        execute.run(notebook)
    assert notebook.read_bytes() == before


TOML = '[a]\ntitle = "A"\nseconds = 0\n[a.cost]\nmacs = "1"\n\n[b]\nseconds = 30\nx = 1\n'


@pytest.mark.parametrize(
    ("name", "seconds", "line"),
    [
        ("a", 11.2, "seconds = 15"),
        ("a", 0.3, "seconds = 5"),
        ("b", 34.0, "seconds = 30"),
        ("b", 23.0, "seconds = 30"),
        ("b", 41.0, "seconds = 45"),
        ("b", 12.0, "seconds = 15"),
    ],
)
def test_running_time_is_stated(name: str, seconds: float, line: str) -> None:
    changed = execute.state_seconds(TOML, name, seconds)
    part = changed[changed.index(f"[{name}]") :]
    assert next(each for each in part.splitlines() if each.startswith("seconds")) == line
    other = "b" if name == "a" else "a"
    assert changed.replace(line, "") != changed
    assert f"[{other}]" in changed


def test_running_time_without_a_line() -> None:
    with pytest.raises(ValueError, match=r"\[c\] has no line"):
        execute.state_seconds("[c]\n[c.cost]\nseconds = 3\n", "c", 1)


def test_lanes_run_chapters_as_execute_does() -> None:
    """Outputs are compared under the same conditions under which they were made."""
    from tools.testing.lanes import lanes

    assert lanes()["notebooks"].environment == execute.ENVIRONMENT
    assert set(execute.ENVIRONMENT) >= {"ATTENTION_BUDGET", "OMP_NUM_THREADS"}
