"""Print, at the end of a run, which law caught which wrong variant, and how long the laws took on each mechanism."""

import logging

import pytest

# torch's compiler writes a trace of hundreds of lines, which pytest would print with every failure.
logging.getLogger("torch.__trace").propagate = False


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [r for key in ("passed", "failed") for r in terminalreporter.getreports(key) if r.when == "call"]
    noted = [(r.nodeid, dict(r.user_properties)) for r in reports]
    rows = [properties["wrong_variant"] for _, properties in noted if "wrong_variant" in properties]
    if rows:
        terminalreporter.section("wrong variants, and the laws that caught them (● the expected one)")
        terminalreporter.write_line(" ".join(f"{number:>2}" for number in range(1, 11)) + "  what is wrong")
        for about, expected, found in sorted(rows, key=lambda row: row[1]):
            marks = ("●" if n == expected and n in found else "○" if n in found else "·" for n in range(1, 11))
            terminalreporter.write_line(" ".join(f"{mark:>2}" for mark in marks) + f"  {about}")
    for nodeid, properties in noted:
        if "cpu_seconds" in properties:
            name = nodeid.split("[")[-1].rstrip("]")
            terminalreporter.write_line(f"the laws took {properties['cpu_seconds']} CPU seconds on {name}")
