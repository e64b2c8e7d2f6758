"""A plugin of pytest: which chapter a test belongs to, and the CPU time that it took, in the report of its lane.

``python -m pytest -p tools.testing.measuring`` adds to every test's properties, and so to a JUnit report, ``chapter``
(where it belongs to one) and ``cpu``: seconds of this process and of all that it started, kernels and browsers
included. ``--chapter cbam`` runs the tests of one chapter only.

A test belongs to a chapter where it says so, by the mark ``chapter(name)``, where its file is named after the
mechanism, or where one of its parameters is the mechanism's name, the number of one of its exercises (``se.3``) or the
path of its page.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

__all__ = ["chapter_of", "spent"]

_PER_CHAPTER = re.compile(r"(?:test_)?(\w+)\.(?:py|ipynb)")


def spent(process: psutil.Process | None = None) -> float:
    """Return the CPU seconds that a process and all below it have taken so far.

    :param process: by default this one.
    """
    process = process or psutil.Process()
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.Error:  # it has just ended; its parent counts it from now on
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _named(value: Any) -> str | None:
    """Return the chapter of the mechanism that a parameter names."""
    if not isinstance(value, str):
        return None
    from attention.registry import entries  # now: the typed lane hooks the package before it is imported

    name = value.rpartition("/")[2].partition(".")[0]
    return (entries()[name].chapter or name) if name in entries() else None


def chapter_of(path: Path, parameters: dict[str, Any], identifier: str = "", marked: str | None = None) -> str | None:
    """Return the chapter that a test belongs to: the mechanism's name, or ``None``.

    :param path: the test's file.
    :param parameters: the values that it is called with, by name.
    :param identifier: what stands in brackets behind its name.
    :param marked: what its mark says.
    """
    own = _PER_CHAPTER.fullmatch(path.name)
    places = [marked, own and own[1], *parameters.values(), *identifier.split("-"), identifier.partition(":")[0]]
    return next((name for place in places if (name := _named(place))), None)


def _chapter(item: pytest.Item) -> str | None:
    call = getattr(item, "callspec", None)
    mark = item.get_closest_marker("chapter")
    given = (call.params, call.id) if call else ({}, "")
    return chapter_of(item.path, *given, mark and mark.args[0])


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the name of a chapter."""
    parser.addoption("--chapter", default="", help="run the tests of this chapter only")


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "chapter(name): the test belongs to this mechanism's chapter")
    config.addinivalue_line("markers", "xdist_group(name): as pytest-xdist has it, which may not be at work")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note each test's chapter, and keep its tests in one process.

    With ``--chapter``, the tests of all others are left out, and those of none.
    """
    wanted = config.getoption("--chapter")
    kept, dropped = [], []
    for item in items:
        chapter = _chapter(item)
        if chapter:
            item.user_properties.append(("chapter", chapter))
            item.add_marker(pytest.mark.xdist_group(chapter))  # what a chapter's tests share is made once
        (kept if wanted in ("", chapter) else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Note what a test took, once its own fixtures are taken down."""
    result = yield
    now = spent()
    item.user_properties.append(("cpu", round(now - item.session.stash.get(_BEFORE, now), 3)))
    item.session.stash[_BEFORE] = now
    return result


_BEFORE: pytest.StashKey[float] = pytest.StashKey()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Start the clock when all tests are collected."""
    session.stash[_BEFORE] = spent()
