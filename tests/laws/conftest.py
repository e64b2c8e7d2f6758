"""Print, at the end of a run, which law caught which wrong variant, and how long the laws took on each mechanism."""

import logging

import pytest

# torch's compiler writes a trace of hundreds of lines, which pytest would print with every failure.
logging.getLogger("torch.__trace").propagate = False


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the wish for a whole table; it is known where this folder is named on the command line."""
    parser.addoption("--every-law", action="store_true", help="try each wrong variant against every law")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [r for key in ("passed", "failed") for r in terminalreporter.getreports(key) if r.when == "call"]
    noted = [dict(r.user_properties) for r in reports]
    rows = [properties["wrong_variant"] for properties in noted if "wrong_variant" in properties]
    if rows:
        terminalreporter.section("wrong variants, and the laws that caught them (● the expected one)")
        numbers = sorted({number for _, _, found in rows for number in found} | {expected for _, expected, _ in rows})
        terminalreporter.write_line(" ".join(f"{number:>2}" for number in numbers) + "  what is wrong")
        for about, expected, found in sorted(rows, key=lambda row: row[1]):
            marks = ("●" if n == expected and n in found else "○" if n in found else "·" for n in numbers)
            terminalreporter.write_line(" ".join(f"{mark:>2}" for mark in marks) + f"  {about}")
    spent: dict[str, dict[int, float]] = {}
    for name, number, seconds in (properties["law"] for properties in noted if "law" in properties):
        spent.setdefault(name, {})[number] = seconds
    if spent:
        terminalreporter.section("CPU seconds of each law")
    for name, laws in spent.items():
        told = ", ".join(f"{number}: {seconds:.1f}" for number, seconds in sorted(laws.items()))
        terminalreporter.write_line(f"{name}: {sum(laws.values()):.1f} ({told})")
