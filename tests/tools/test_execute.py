"""Running a chapter keeps what says the same, cleans what a run leaves behind, and writes nothing when a cell fails."""

import base64
import io
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from attention.lab import style, vector
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


def _drawing(shift: float = 0.0, width: float = 5.6, grey: float = 0.0) -> str:
    """A figure as chapters show it: a curve, cells, a picture of many colours, a clip path."""
    fig, (left, right, third) = style.figure(1, 3, width=width)
    left.plot([0, 1 + shift, 2], [0, 1, 4])
    right.imshow(np.arange(16.0).reshape(4, 4) + grey)
    third.imshow(np.linspace(0, 1, 200 * 200 * 3).reshape(200, 200, 3) * 0.9 + grey, interpolation="antialiased")
    vector.freeze(fig)
    text = vector.svg(fig)
    plt.close(fig)
    return text


def _shown(drawing: str, narrow: str = "") -> dict:
    about = {"alt": "A curve.", "width": 560} | ({"narrow": {"svg": narrow, "width": 350}} if narrow else {})
    return new_output(
        "display_data", {"image/svg+xml": drawing, "text/plain": "[figure]"}, metadata={"image/svg+xml": about}
    )


@pytest.mark.parametrize("narrow", [False, True])
def test_a_drawing_that_rounding_changed_is_kept(narrow: bool) -> None:
    old, new = _drawing(), _drawing(shift=5e-4, grey=1e-3)
    assert old != new, "nothing was rounded"
    if narrow:
        old, new = _shown(_drawing(), old), _shown(_drawing(), new)
    else:
        old, new = _shown(old), _shown(new)
    assert execute.keep([old], [new], PATTERNS) == [old]


def test_names_made_of_numbers_are_no_news() -> None:
    old = _drawing()
    names = set(re.findall(r'id="(p[0-9a-f]{10})"', old))
    assert names
    new = old
    for name in names:
        new = new.replace(name, f"p{int(name[1:], 16) ^ 1:010x}")
    assert execute.keep([_shown(old)], [_shown(new)], PATTERNS) == [_shown(old)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (_shown(_drawing()), _shown(_drawing(shift=0.05))),
        (_shown(_drawing()), _shown(_drawing(grey=0.1))),
        (_shown(_drawing(), _drawing(width=4)), _shown(_drawing(), _drawing(width=4, shift=0.05))),
        (_shown(_drawing(), _drawing(width=4)), _shown(_drawing())),
        (_shown(_drawing()), _figure(_png("red"))),
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


DRAWS = """from attention import create
from attention.lab import shapes, style
import matplotlib.pyplot as plt, torch
style.restart()
fig, (left, right) = style.figure(1, 2)
left.plot([0, 1 / 3, 2], [0, 1, 4], "o-")
right.imshow(torch.linspace(0, 1, 64).reshape(8, 8))
style.show(fig, "A curve and a map.", caption="It rises.")
shapes.draw(shapes.trace(create("cbam", channels=16), torch.rand(1, 16, 8, 8)))"""


def test_figures_of_a_chapter_have_the_same_bytes_twice(notebook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where nothing old is kept: two runs write the same files."""
    made = read(notebook)
    made.cells = [new_code_cell(DRAWS)]
    notebook.write_text(text(made))
    monkeypatch.setattr(execute, "keep", lambda old, new, patterns: new)
    files = []
    for _ in range(2):
        execute.run(notebook)
        files.append(notebook.read_bytes())
    assert files[0] == files[1]
    kinds = [kind for output in read(notebook).cells[0].outputs for kind in output.get("data", {})]
    assert kinds.count("image/svg+xml") == 2


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
