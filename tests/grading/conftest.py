"""What the tests of the grader share: the small assignment as a file, and the grading of cells by it."""

from dataclasses import replace
from pathlib import Path

import pytest

from attention.grading import command, runner
from tests.grading.submissions import ANSWER, GRADING, notebook


@pytest.fixture(scope="session")
def grading_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secret") / "gates.grading.py"
    path.write_text(GRADING)
    path.chmod(0o600)
    return path


@pytest.fixture
def graded(grading_file: Path, tmp_path: Path):
    """Grade a notebook of code cells; ``seconds`` is what a cell and a call may take."""

    def run(*code: str, answer: str = ANSWER, seconds: float = 300):
        path = tmp_path / "submission.ipynb"
        path.write_text(notebook(*code, answer=answer))
        assignment = command.load(grading_file)
        return command.grade(path, replace(assignment, limits=replace(assignment.limits, cell=seconds, call=seconds)))

    return run


TORCHLESS = """
import sys, types
torch = types.ModuleType("torch")
torch.Tensor, torch.float32, torch.version = type("Tensor", (), dict()), 0, types.SimpleNamespace(cuda=None)
for name in ("set_num_threads", "manual_seed", "set_grad_enabled", "set_default_dtype"):
    setattr(torch, name, lambda value: None)
sys.modules["torch"] = torch
"""


@pytest.fixture
def torchless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the process of submissions without torch, which takes seconds: for submissions that do not use it."""
    monkeypatch.setattr(runner, "_START", TORCHLESS + runner._START)
