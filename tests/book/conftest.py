"""The built book, a server for it on loopback, and one browser for all tests of its pages."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.book.browsing import CHROMIUM, serve

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))


def builder() -> str:
    """Return the interpreter that ``make book`` builds with, where it has been made; otherwise this one."""
    own = ROOT / ".venv-book" / "bin" / "python"
    return str(own) if (own.parent / "jupyter-book").exists() else sys.executable


@pytest.fixture(scope="session")
def site() -> Path:
    """Build the book as ``make book`` does, strictly; what is current is not built again."""
    done = subprocess.run([builder(), "-m", "tools.book"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"the strict build failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return ROOT / "_build" / "html"


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Serve the book on loopback."""
    with serve(site) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start Chromium once."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: the pages were not looked at in a browser (Debian: chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()
