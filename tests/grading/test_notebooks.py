"""Reading a submission, and compiling its cells."""

from pathlib import Path

import pytest

from attention.grading import command
from attention.grading.child import compiled
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
