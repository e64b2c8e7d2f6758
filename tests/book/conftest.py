"""The built book, and a server for it on loopback."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.book.browsing import serve

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
