"""The solutions that a chapter prints are run as they stand, and pass their own checks."""

import ast
import re

import pytest

from tests.notebooks.looks import parsed
from tools.chapters import chapters, read, tags

FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SOLUTION = re.compile(r"^:{3,}\{solution\} ([\w-]+)\n(.*?)^:{3,}$", re.DOTALL | re.MULTILINE)


def solutions() -> list:
    """List chapter, exercise and code of each solution that has code."""
    found = []
    for name, path in chapters().items():
        if not path.exists():
            continue
        text = "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
        for label, body in SOLUTION.findall(text):
            if code := "\n".join(FENCE.findall(body)):
                found.append(pytest.param(path, code, label.replace("-", "."), id=f"{name}-{label}"))
    return found


def test_there_are_solutions_with_code() -> None:
    assert len(solutions()) >= 3 * len(chapters())


def _imports(source: str) -> str:
    """Return the import statements of a cell."""
    return "\n".join(ast.unparse(node) for node in parsed(source).body if isinstance(node, ast.Import | ast.ImportFrom))


@pytest.mark.parametrize(("path", "code", "exercise"), solutions())
def test_a_printed_solution_passes_its_check(path, code, exercise, capsys) -> None:
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    at = next(i for i, cell in enumerate(cells) if "setup" in tags(cell))
    namespace: dict = {}
    for cell in cells[at + 1 :]:  # the chapter's imports: a reader has nothing else at hand
        if "live" not in tags(cell):
            exec(_imports(cell.source), namespace)
    exec(code, namespace)
    (asked,) = {m for cell in cells for m in re.findall(rf"^check\(\"{re.escape(exercise)}\".*\)$", cell.source, re.M)}
    result = eval(asked, namespace)
    assert result.passed, capsys.readouterr().out
