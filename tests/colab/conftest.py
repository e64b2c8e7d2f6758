"""The Colab edition of every chapter, with the wheel from a file, and what comes of running it once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import nbformat
import pytest

import attention
from attention.registry import entry
from tests.colab.running import Colab, Run, contents
from tools.chapters import ROOT, settings
from tools.environments.colab_environment import FOLDER, brought, listed, site_packages
from tools.publishing import colab
from tools.publishing.site import build_wheel


@pytest.fixture(scope="session")
def packages() -> Path:
    """Return the folder of Colab's packages."""
    if not (FOLDER / ".ready").exists():
        pytest.fail("there is no environment like Colab's: make colab-test")
    return site_packages(FOLDER)


@pytest.fixture(scope="session")
def untouched(packages: Path) -> dict[str, tuple[int, int]]:
    """Return what was there before any notebook ran."""
    return contents(packages)


@pytest.fixture(scope="session")
def machine(untouched: dict[str, tuple[int, int]], tmp_path_factory: pytest.TempPathFactory) -> Colab:
    """Return a machine like Colab's."""
    return Colab(tmp_path_factory.mktemp("colab"))


@pytest.fixture(scope="session")
def brings(packages: Path) -> set[str]:
    """Return what a set-up cell has to install: the book's package, and what Colab lacks."""
    there = listed((FOLDER / "packages.txt").read_text(encoding="utf-8"))
    return {"attention-block-by-block", *brought()} - there.keys()


@pytest.fixture(scope="session")
def from_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[nbformat.NotebookNode], nbformat.NotebookNode]:
    """Return a function that puts a file's address in the place of the published wheel's; nothing else changes."""
    wheel = build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))
    published = settings().wheel(attention.__version__)

    def change(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert [cell.source.count(published) for cell in code] == [1] + [0] * (len(code) - 1)
        code[0].source = code[0].source.replace(published, wheel.as_uri())
        return notebook

    return change


@pytest.fixture(scope="session")
def edition(
    from_file: Callable[[nbformat.NotebookNode], nbformat.NotebookNode],
) -> Callable[[str], nbformat.NotebookNode]:
    """Return a function that makes a chapter's notebook for Colab, with the wheel from a file."""
    book = colab.Book(ROOT)
    return lambda name: from_file(colab.edition(entry(name), book))


@pytest.fixture(scope="session")
def ran(machine: Colab, edition: Callable[[str], nbformat.NotebookNode]) -> Callable[..., Run]:
    """Return a function that runs a chapter in Colab, once for each budget."""

    @cache
    def run(name: str, budget: str = "smoke") -> Run:
        return machine.run(name, edition(name), budget)

    return run
