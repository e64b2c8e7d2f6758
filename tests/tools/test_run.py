"""One command runs all tests; whatever fails, the others still run, the sum is right and the status says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attention import registry
from tools.chapters import ROOT
from tools.testing import run as runner
from tools.testing.lanes import FOLDERS, Lane, lanes
from tools.testing.table import AIM, Result, by_chapter, read

PASS, FAIL, SKIP = (
    "def test_a(): pass\n",
    "def test_b(): assert 0\n",
    "import pytest\ndef test_c(): pytest.skip('no')\n",
)


def _pytest(folder: Path, source: str) -> Lane:
    folder.mkdir(exist_ok=True)
    (folder / "test_it.py").write_text(source)
    return Lane("made up", (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)))


def _plain(source: str, **more) -> Lane:
    return Lane("made up", (sys.executable, "-c", source), pytest=False, **more)


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
    result, _ = runner.run("made", _pytest(tmp_path / "made", source))
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
    result, _ = runner.run("made", _plain(source))
    assert (result.passed, result.failed, result.ok) == expected


def test_a_command_that_is_not_there_fails() -> None:
    result, printed = runner.run("made", Lane("made up", ("/nowhere/python",), pytest=False))
    assert (result.failed, result.ok) == (1, False)
    assert "/nowhere/python: No such file" in printed


def test_the_cpu_time_of_a_lane_is_that_of_all_its_processes() -> None:
    work = "import time\nwhile time.process_time() < 1: pass"
    result, _ = runner.run("made", _plain(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {work!r}])"))
    assert result.cpu > 0.5  # the outer process alone uses a small part of that


def test_all_lanes_run_and_are_summed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    made = {"bad": _plain("raise SystemExit('oh')"), "good": _pytest(tmp_path / "good", PASS + SKIP)}
    monkeypatch.setattr(runner, "lanes", lambda *_, **__: made)
    assert runner.main([]) == 1
    out = capfd.readouterr().out
    lines = out.splitlines()
    assert lines[-1] == "1 passed, 1 failed, 1 skipped"
    assert any(line.startswith("bad") and line.endswith("← failed") for line in lines)
    assert any(line.startswith("good") and not line.endswith("failed") for line in lines)
    assert "\noh\n" in out, "what a lane printed is shown"
    assert runner.main(["good"]) == 0
    assert runner.main(["godo"]) == 2
    assert runner.main(["--chapter", "godo"]) == 2


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_a_lane_waits_for_those_before_it(tmp_path: Path, at_once: int) -> None:
    mark = tmp_path / "there"
    first = _plain(f"import time; time.sleep(0.3); open({str(mark)!r}, 'w').close()")
    made = {
        "second": _plain(f"import os; raise SystemExit(not os.path.exists({str(mark)!r}))", after=("first", "absent")),
        "first": first,
        "other": _plain(""),
    }
    results = runner.side_by_side(made, at_once)
    assert list(results) == list(made)
    assert all(result.ok for result in results.values())


def test_as_many_lanes_as_asked_run_side_by_side(tmp_path: Path) -> None:
    """Each of two waits for the other."""
    pair = [
        f"import os, time\nopen({str(tmp_path / mine)!r}, 'w').close()\n"
        f"while not os.path.exists({str(tmp_path / other)!r}): time.sleep(0.01)"
        for mine, other in (("a", "b"), ("b", "a"))
    ]
    assert all(result.ok for result in runner.side_by_side(dict(zip("ab", map(_plain, pair), strict=True)), 2).values())


def test_every_test_is_in_exactly_one_lane() -> None:
    """What one lane leaves out, another runs."""
    made = lanes()
    left_out = {part.removeprefix("--ignore=") for part in made["units"].command if part.startswith("--ignore=")}
    assert left_out == {path for paths in FOLDERS.values() for path in paths}
    named = [
        part for name, lane in made.items() for part in lane.command if part.startswith("tests/") and "." not in part
    ]
    assert sorted(named) == sorted(path for path in left_out if (ROOT / path).is_dir())


def test_one_chapter_runs_in_every_lane_that_grows() -> None:
    made, whole = lanes("cbam"), lanes()
    assert set(whole) - set(made) == {"units", "assignments"}
    assert "notebooks/hybrid/cbam.ipynb" in made["notebooks"].command
    for name in ("blocks", "colab", "exercises", "chapters", "typed", "browser", "live"):
        at = made[name].command.index("--chapter")
        assert made[name].command[at + 1] == "cbam"


MARKED = """
import pytest

@pytest.mark.parametrize("name", ["se", "cbam"])
def test_by_name(name): pass

@pytest.mark.parametrize("exercise", ["se.1", "sk.2", "other.3"])
def test_by_exercise(exercise): pass

@pytest.mark.parametrize("page", ["notebooks/channel/se.html", "book/idea.html"])
def test_by_page(page): pass

@pytest.mark.chapter("se")
def test_by_mark(): pass

@pytest.mark.parametrize("value", [object()], ids=["se: a thing"])
def test_by_id(value): pass

def test_of_none(): pass
"""


def collected(tmp_path: Path, *words: str) -> tuple[int, dict[str, float]]:
    """Run made-up tests with the plugin; return how many there were, and the CPU time by chapter."""
    (tmp_path / "test_made.py").write_text(MARKED)
    (tmp_path / "test_dot_product.py").write_text(
        "import time\ndef test_it():\n    end = time.process_time() + 0.2\n    while time.process_time() < end: pass\n"
    )
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tools.testing.measuring", "-p", "no:cacheprovider"]
    command += [f"--junitxml={report}", *words, str(tmp_path)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed, failed, skipped, spent = read(report)
    assert (failed, skipped) == (0, 0)
    return passed, spent


@pytest.mark.parametrize("workers", [(), ("-n", "2"), ("-n", "2", "--dist", "loadgroup")])
def test_each_test_belongs_to_its_chapter_and_notes_its_time(tmp_path: Path, workers: tuple[str, ...]) -> None:
    passed, spent = collected(tmp_path, *workers)
    assert passed == 11
    assert set(spent) == {"se", "cbam", "sk", "non_local"}  # dot_product is introduced in the chapter on non-local
    assert spent["non_local"] > 0  # how much is the clock's affair: a report rounds, and clocks tick


def test_one_chapter_alone_can_be_run(tmp_path: Path) -> None:
    passed, spent = collected(tmp_path, "--chapter", "se")
    assert passed == 5
    assert set(spent) == {"se"}


def test_time_is_told_by_chapter_and_projected() -> None:
    chapters = {"se": 30.0, "cbam": 50.0, "captioner": 5.0}  # which is planned, and so counts among the rest
    results = {
        "blocks": Result(2, 0, 0, 60.0, 0, 100.0, chapters),
        "colab": Result(2, 0, 0, 60.0, 0, 90.0, {"se": 20.0, "cbam": 50.0}),
        "units": Result(2, 0, 0, 60.0, 0, 45.0, {"se": 9.0}),  # does not grow
    }
    lines = by_chapter(results, {"blocks", "colab"}).splitlines()
    assert lines[1].split() == ["CPU", "seconds", "blocks", "colab", "all"]
    assert lines[2].split() == ["se", "30.0", "20.0", "50.0"]
    assert lines[3].split() == ["cbam", "50.0", "50.0", "100.0", "←", "above", str(AIM)]
    assert lines[4].split()[-3:] == ["40.0", "35.0", "75.0"]
    assert lines[5].split()[-3:] == ["20.0", "20.0", "40.0"]
    total = len(registry.chapters())
    assert lines[-1].startswith(f"with {total} chapters: {total} × 75 + 85 = {total * 75 + 85} CPU seconds, about ")
    assert "with" not in by_chapter(results, {"blocks", "colab"}, whole=False)


def test_notebooks_are_compared_strictly() -> None:
    command = lanes()["notebooks"].command
    assert {"--nbval", "--nbval-current-env", "--nbval-cell-timeout=600"} <= set(command)
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
    command = [part for part in lanes()["notebooks"].command if part != "notebooks"]
    command[command.index("tests/notebooks/sanitize.cfg")] = str(ROOT / "tests/notebooks/sanitize.cfg")
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "made.ipynb"], cwd=tmp_path, check=False, capture_output=True
    )
    assert done.returncode == status, done.stdout.decode()
