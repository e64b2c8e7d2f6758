"""Run every lane of tests, whatever the others did, and say what failed and where the time went.

``python -m tools.testing.test`` runs all lanes; ``python -m tools.testing.test units book`` runs the ones named.
"""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tools.writing.execute import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "_build" / "tests"
PYTHON = sys.executable
WORKERS = 2
NBVAL = ("--nbval", "--nbval-current-env", "--nbval-cell-timeout=120")


@dataclass(frozen=True)
class Lane:
    """One process of tests.

    :param about: what it tests, in a few words.
    :param command: what is run. Lanes of pytest get ``--junitxml`` added, by which their tests are counted.
    :param environment: variables set for it.
    :param pytest: whether it is pytest; another command's last line may say ``5 passed, 1 failed``, else it counts
        as one test.
    """

    about: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    pytest: bool = True


@dataclass(frozen=True)
class Result:
    """What came of a lane."""

    passed: int
    failed: int
    skipped: int
    seconds: float
    status: int

    @property
    def ok(self) -> bool:
        """Whether the lane's process ended well and no test of it failed."""
        return self.status == 0 and self.failed == 0


def lanes() -> dict[str, Lane]:
    """Return all lanes by name, in the order in which they run: the quick ones first."""
    pytest = (PYTHON, "-m", "pytest", "-q")
    workers = ("-n", str(WORKERS))
    single = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    own = ("tests/typed", "tests/notebooks", "tests/colab", "tests/book")
    several = len([*(ROOT / "notebooks").glob("*/*.ipynb")]) > 1
    spread = (*workers, "--dist", "loadfile") if several else ()
    book = str(ROOT / ".venv-book" / "bin" / "python")
    return {
        "lint": Lane("style, cards, workflows", (PYTHON, "-m", "tools.testing.lint"), pytest=False),
        "chapters": Lane("structure of chapters", (*pytest, "tests/notebooks")),
        "units": Lane("units and laws", (*pytest, *workers, "tests", *[f"--ignore={path}" for path in own]), single),
        "typed": Lane("shapes in types", (*pytest, "tests/typed"), single),
        "notebooks": Lane(
            "committed outputs are current",
            (*pytest, *spread, *NBVAL, "--nbval-sanitize-with", "tests/notebooks/sanitize.cfg", "notebooks"),
            ENVIRONMENT,
        ),
        "colab": Lane("chapters as Colab runs them", (*pytest, "tests/colab"), single),
        "book": Lane("strict build of the book", (book, "-m", "tools.book"), pytest=False),
        "browser": Lane("the pages in a browser", (*pytest, "tests/book")),
    }


def counts(report: Path) -> tuple[int, int, int]:
    """Read (passed, failed, skipped) from a JUnit report; a missing or broken one counts as a failure."""
    try:
        suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        return 0, 1, 0
    total, bad, skipped = (sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "failures", "skipped"))
    bad += sum(int(suite.get("errors", 0)) for suite in suites)
    return total - bad - skipped, bad, skipped


def run(name: str, lane: Lane) -> Result:
    """Run one lane; its output is shown as it comes."""
    report = REPORTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    command = [*lane.command, f"--junitxml={report}"] if lane.pytest else list(lane.command)
    began = time.monotonic()
    tail = b""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | lane.environment
    try:
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            while chunk := os.read(process.stdout.fileno(), 4096):  # as it comes: a line of dots takes a while
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
                tail = (tail + chunk)[-2000:]
        status = process.returncode
    except OSError as problem:
        print(f"{command[0]}: {problem.strerror}")
        status = 1
    seconds = time.monotonic() - began
    if lane.pytest:
        passed, failed, skipped = counts(report)
    else:
        passed, failed, skipped = _stated(tail.decode(errors="replace"), status)
    if status and not failed:  # pytest itself ended badly: nothing collected, an internal error, an interrupt
        failed = 1
    return Result(passed, failed, skipped, seconds, status)


def _stated(output: str, status: int) -> tuple[int, int, int]:
    if found := re.search(r"^(\d+) passed, (\d+) failed\Z", output.strip(), re.MULTILINE):
        return int(found[1]), int(found[2]), 0
    return (0, 1, 0) if status else (1, 0, 0)


def summary(results: dict[str, Result], about: dict[str, str]) -> str:
    """Set results as a table, and the sum of all lanes as its last line."""
    rows = ["", f"{'lane':<10} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8}"]
    for name, r in results.items():
        mark = "" if r.ok else "   ← failed"
        rows.append(f"{name:<10} {r.passed:>7} {r.failed:>7} {r.skipped:>8} {r.seconds:>8.1f}  {about[name]}{mark}")
    rows.append(f"{'all':<10} {'':>7} {'':>7} {'':>8} {sum(r.seconds for r in results.values()):>8.1f}")
    passed, failed, skipped = (
        sum(getattr(r, key) for r in results.values()) for key in ("passed", "failed", "skipped")
    )
    return "\n".join([*rows, "", f"{passed} passed, {failed} failed, {skipped} skipped"])


def main(chosen: list[str]) -> int:
    """Run lanes and print the summary.

    :param chosen: names of lanes; none means all.
    """
    known = lanes()
    unknown = [name for name in chosen if name not in known]
    if unknown:
        print(f"no lane is called {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    REPORTS.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in chosen or known:
        print(f"\n── {name}: {known[name].about}", flush=True)
        results[name] = run(name, known[name])
    print(summary(results, {name: lane.about for name, lane in known.items()}), flush=True)
    return 0 if all(result.ok for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
