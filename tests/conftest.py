"""What all tests share: quiet threads, an off-screen plotting backend, the same random numbers in every test.

This file imports neither torch nor the package: the typed lane (``tests/typed``) must hook the package's import,
and the tests of the book's pages need no torch.
"""

import os
import random
import sys
from collections.abc import Iterator
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by torch when it is imported; set it to use more
os.environ.setdefault("MPLBACKEND", "agg")

#: The typed lane runs in a process of its own, when it is named: ``pytest tests/typed``.
collect_ignore = ["typed"]


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Seed the global generators before each test, of the libraries that are imported."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start Chromium once, for all tests that need one: two drivers cannot run in one process."""
    from tests.book.browsing import CHROMIUM

    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: nothing was looked at in a browser (Debian: chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()
