"""What all tests share: quiet threads, an off-screen plotting backend, the same random numbers in every test.

This file imports neither torch nor the package: the typed lane (``tests/typed``) must hook the package's import,
and the tests of the book's pages need no torch.
"""

import os
import random
import sys

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
