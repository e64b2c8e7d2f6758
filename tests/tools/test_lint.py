"""The quick checks run one after the other, and notice what they are there for."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.chapters import ROOT
from tools.testing import lint


def test_lint_runs_all_checks_and_counts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made = {"good": [sys.executable, "-c", ""], "bad": [sys.executable, "-c", "raise SystemExit('why')"]}
    monkeypatch.setattr(lint, "checks", lambda root: made)
    assert lint.main() == 1
    out = capsys.readouterr().out
    assert "failed  bad\nwhy" in out
    assert out.endswith("1 passed, 1 failed\n")
    monkeypatch.setattr(lint, "checks", lambda root: {"good": made["good"]})
    assert lint.main() == 0


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("workflows", "runs-on:", "run-on:"),
        ("workflows have time limits", "timeout-minutes:", "# timeout-minutes:"),
        ("citation file", "authors:", "writers:"),
    ],
)
def test_lint_notices(tmp_path: Path, name: str, old: str, new: str) -> None:
    for path in [*(ROOT / ".github" / "workflows").glob("*.yml"), ROOT / "CITATION.cff"]:
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text())
    command = lint.checks(tmp_path)[name]
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 0
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.write_text(path.read_text().replace(old, new))
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 1
