"""One command runs all tests; whatever fails, the others still run, the sum is right and the status says so."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.chapters import ROOT
from tools.testing import lint
from tools.testing import test as runner

PASS, FAIL, SKIP = (
    "def test_a(): pass\n",
    "def test_b(): assert 0\n",
    "import pytest\ndef test_c(): pytest.skip('no')\n",
)


def _pytest(folder: Path, source: str) -> runner.Lane:
    folder.mkdir(exist_ok=True)
    (folder / "test_it.py").write_text(source)
    return runner.Lane("made up", (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)))


def _plain(source: str) -> runner.Lane:
    return runner.Lane("made up", (sys.executable, "-c", source), pytest=False)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the reports of these runs away from those of the run that they are part of."""
    monkeypatch.setattr(runner, "REPORTS", tmp_path)
    monkeypatch.setattr(runner, "ROOT", tmp_path)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (PASS, (1, 0, 0, True)),
        (PASS + FAIL, (1, 1, 0, False)),
        (PASS + SKIP, (1, 0, 1, True)),
        ("raise RuntimeError\n", (0, 1, 0, False)),  # cannot be collected
        ("", (0, 1, 0, False)),  # a lane without tests has lost them
        (PASS + "import os\ndef test_d(): os._exit(0)\n", (0, 1, 0, False)),  # leaves without a report
    ],
)
def test_counts_of_a_lane(tmp_path: Path, source: str, expected: tuple[int, int, int, bool]) -> None:
    result = runner.run("made", _pytest(tmp_path / "made", source))
    assert (result.passed, result.failed, result.skipped, result.ok) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("print('well')", (1, 0, True)),
        ("raise SystemExit(3)", (0, 1, False)),
        ("print('4 passed, 0 failed')", (4, 0, True)),
        ("print('3 passed, 2 failed'); raise SystemExit(1)", (3, 2, False)),
        ("print('3 passed, 0 failed'); raise SystemExit(1)", (3, 1, False)),
        ("print('3 passed, 1 failed')", (3, 1, False)),
    ],
)
def test_counts_of_another_command(source: str, expected: tuple[int, int, bool]) -> None:
    result = runner.run("made", _plain(source))
    assert (result.passed, result.failed, result.ok) == expected


def test_a_command_that_is_not_there_fails(capfd: pytest.CaptureFixture[str]) -> None:
    result = runner.run("made", runner.Lane("made up", ("/nowhere/python",), pytest=False))
    assert (result.failed, result.ok) == (1, False)


def test_all_lanes_run_and_are_summed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    made = {"bad": _plain("raise SystemExit(1)"), "good": _pytest(tmp_path / "good", PASS + SKIP)}
    monkeypatch.setattr(runner, "lanes", lambda: made)
    assert runner.main([]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[-1] == "1 passed, 1 failed, 1 skipped"
    assert any(line.startswith("bad") and line.endswith("← failed") for line in lines)
    assert any(line.startswith("good") and not line.endswith("failed") for line in lines)
    assert runner.main(["good"]) == 0
    assert runner.main(["godo"]) == 2


def test_every_test_is_in_exactly_one_lane() -> None:
    """What one lane leaves out, another runs."""
    lanes = runner.lanes()
    left_out = {part.removeprefix("--ignore=") for part in lanes["units"].command if part.startswith("--ignore=")}
    elsewhere = {part for lane in lanes.values() for part in lane.command if part.startswith("tests/")}
    assert left_out == elsewhere - {"tests/notebooks/sanitize.cfg"}
    assert all((ROOT / path).exists() for path in left_out)


def test_notebooks_are_compared_strictly() -> None:
    command = runner.lanes()["notebooks"].command
    assert {"--nbval", "--nbval-current-env", "--nbval-cell-timeout=120"} <= set(command)
    assert "--nbval-lax" not in command


@pytest.mark.parametrize(("shown", "status"), [("1", 0), ("2", 1)])
def test_strict_comparison_notices_another_output(tmp_path: Path, shown: str, status: int) -> None:
    """The lane's own options, on a notebook whose committed output is right, or wrong."""
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    from tools.chapters import METADATA, text

    cell = new_code_cell(
        "print(1)", execution_count=1, outputs=[new_output("stream", name="stdout", text=f"{shown}\n")]
    )
    (tmp_path / "made.ipynb").write_text(text(new_notebook(cells=[cell], metadata=METADATA)))
    command = [part for part in runner.lanes()["notebooks"].command if part != "notebooks"]
    command[command.index("tests/notebooks/sanitize.cfg")] = str(ROOT / "tests/notebooks/sanitize.cfg")
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "made.ipynb"], cwd=tmp_path, check=False, capture_output=True
    )
    assert done.returncode == status, done.stdout.decode()


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
