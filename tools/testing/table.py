"""Where the time of a run went: by lane, and by chapter; and what it would be with all chapters written."""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from attention import registry

__all__ = ["AIM", "Result", "by_chapter", "read", "stated", "summary"]

#: CPU seconds that a chapter should take at most, in all lanes together, on a machine like those of the workflows.
AIM = 90


@dataclass(frozen=True)
class Result:
    """What came of a lane.

    :param passed: number of tests that passed.
    :param failed: number of tests that failed.
    :param skipped: number of tests that were skipped.
    :param seconds: wall-clock time.
    :param status: the exit status of its process.
    :param cpu: CPU seconds of all its processes.
    :param chapters: of these, by chapter.
    """

    passed: int
    failed: int
    skipped: int
    seconds: float
    status: int
    cpu: float = 0.0
    chapters: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the lane's process ended well and no test of it failed."""
        return self.status == 0 and self.failed == 0


def read(report: Path) -> tuple[int, int, int, dict[str, float]]:
    """Read a JUnit report; a missing or broken one counts as a failure.

    :returns: passed, failed, skipped, and the CPU seconds by chapter.
    """
    try:
        suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        return 0, 1, 0, {}
    total, bad, skipped = (sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "failures", "skipped"))
    bad += sum(int(suite.get("errors", 0)) for suite in suites)
    spent: dict[str, float] = {}
    for case in (case for suite in suites for case in suite.iter("testcase")):
        noted = {each.get("name"): each.get("value") for each in case.iter("property")}
        if "chapter" in noted:
            spent[noted["chapter"]] = spent.get(noted["chapter"], 0.0) + float(noted.get("cpu", 0.0))
    return total - bad - skipped, bad, skipped, spent


def stated(output: str, status: int) -> tuple[int, int, int]:
    """Read what a command that is not pytest says in its last line; where it says nothing, it is one test."""
    if found := re.search(r"^(\d+) passed, (\d+) failed\Z", output.strip(), re.MULTILINE):
        return int(found[1]), int(found[2]), 0
    return (0, 1, 0) if status else (1, 0, 0)


def summary(results: Mapping[str, Result], about: Mapping[str, str], seconds: float) -> str:
    """Set results as a table, and the sum of all lanes as its last line.

    :param results: by lane.
    :param about: what each lane tests.
    :param seconds: wall-clock time of the whole; lanes run side by side.
    """
    rows = ["", f"{'lane':<12} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8} {'CPU':>6}"]
    for name, r in results.items():
        mark = "" if r.ok else "   ← failed"
        told = f"{name:<12} {r.passed:>7} {r.failed:>7} {r.skipped:>8} {r.seconds:>8.1f} {r.cpu:>6.0f}"
        rows.append(f"{told}  {about[name]}{mark}")
    cpu = sum(r.cpu for r in results.values())
    rows.append(f"{'all':<12} {'':>7} {'':>7} {'':>8} {seconds:>8.1f} {cpu:>6.0f}")
    passed, failed, skipped = (
        sum(getattr(r, key) for r in results.values()) for key in ("passed", "failed", "skipped")
    )
    return "\n".join([*rows, "", f"{passed} passed, {failed} failed, {skipped} skipped"])


def by_chapter(results: Mapping[str, Result], growing: Container[str], *, whole: bool = True) -> str:
    """Set the CPU seconds of each chapter in each lane as a table, and project them to a book that is complete.

    What belongs to no chapter, imports and the start of kernels and browsers included, stands under ``the rest``.

    :param results: by lane.
    :param growing: the lanes that grow with the number of chapters.
    :param whole: whether this was a run of everything, so that a projection makes sense.
    """
    written = [entry.name for entry in registry.chapters() if entry.ready]
    grown = {name: r for name, r in results.items() if name in growing and r.chapters}
    order = [name for name in written if any(name in r.chapters for r in grown.values())]
    width = [max(len(name), 6) for name in grown]
    head = " ".join(name.rjust(w) for name, w in zip(grown, width, strict=True))
    rows = ["", f"{'CPU seconds':<20} {head} {'all':>7}"]

    def row(label: str, values: list[float], mark: str = "") -> str:
        cells = " ".join(f"{value:.1f}".rjust(w) for value, w in zip(values, width, strict=True))
        return f"{label:<20} {cells} {sum(values):>7.1f}{mark}"

    for chapter in order:
        values = [r.chapters.get(chapter, 0.0) for r in grown.values()]
        rows.append(row(chapter, values, f"   ← above {AIM}" if sum(values) > AIM else ""))
    if not whole or not order:
        return "\n".join(rows)
    spent = [sum(r.chapters.get(name, 0.0) for name in order) for r in grown.values()]
    means = [each / len(order) for each in spent]
    rest = [max(0.0, r.cpu - each) for r, each in zip(grown.values(), spent, strict=True)]
    rows += [row("a chapter on average", means), row("the rest", rest)]
    others = sum(r.cpu for name, r in results.items() if name not in grown)
    total = len(registry.chapters())
    projected = total * sum(means) + sum(rest) + others
    rows += [
        f"other lanes, which do not grow: {others:.0f}",
        f"with {total} chapters: {total} × {sum(means):.0f} + {sum(rest) + others:.0f} = {projected:.0f} CPU seconds, "
        f"about {projected / 2 / 60:.0f} minutes on two cores",
    ]
    return "\n".join(rows)
