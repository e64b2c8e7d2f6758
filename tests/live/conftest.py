"""One browser for all tests of live pictures, and every picture of the package, made once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attention import pictures
from tests.live.scenes import made, scene
from tests.live.shown import Shown


@pytest.fixture(scope="session", params=pictures.names())
def shown(request: pytest.FixtureRequest, browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Every picture of the package, one after the other, each on one page for all tests."""
    with Shown(browser, tmp_path_factory.mktemp(request.param), made(request.param)) as page:
        yield page


# --- three pages, for what readers do


@pytest.fixture(scope="module")
def pages(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Shown]]:
    """Pages by name, opened once."""
    found: dict[str, Shown] = {}
    yield found
    for page in found.values():
        page.context.close()


@pytest.fixture
def show(browser: Any, pages: dict[str, Shown], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Open a page, or load it afresh; nothing may go wrong on it."""
    used = []

    def open_(name: str) -> Shown:
        if name not in pages:
            pages[name] = Shown(browser, tmp_path_factory.mktemp("page"), scene(name))
        else:
            pages[name].page.mouse.move(1, 1)
            pages[name].page.reload()
            pages[name].page.wait_for_selector(".al-alive")
        used.append(pages[name])
        return pages[name]

    yield open_
    for page in used:
        assert page.noise == []


@pytest.fixture
def se(show: Any) -> Shown:
    return show("se")


@pytest.fixture
def cbam(show: Any) -> Shown:
    return show("cbam")


@pytest.fixture
def vector(show: Any) -> Shown:
    return show("a vector")


@pytest.fixture
def finger(browser: Any, tmp_path: Path) -> Iterator[Shown]:
    """SE on a telephone."""
    with Shown(browser, tmp_path, made("se"), 390, has_touch=True, is_mobile=True) as page:
        yield page


@pytest.fixture(scope="module")
def axe() -> Any:
    return pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
