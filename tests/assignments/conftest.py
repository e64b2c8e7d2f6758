"""What the tests of assignments share: a source notebook of which single cells are exchanged, and its grading."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from attention.grading.report import Graded, grade
from tests.assignments.warm import Warm, started_warm
from tools.teaching import assignments

Submit = Callable[[Mapping[str, str]], Graded]


def lost(graded: Graded) -> dict[str, float]:
    """Return the points that are lacking, by part."""
    return {m.number: m.points - m.score for m in graded.marks if m.score is not None and m.score < m.points}


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """The process that most gradings run in copies of."""
    process = Warm()
    yield process
    process.end()


@pytest.fixture(scope="session")
def eca() -> assignments.Source:
    return assignments.load("eca")


@pytest.fixture(scope="session")
def submit(eca: assignments.Source, warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Submit:
    return submitting(patient(eca), tmp_path_factory.mktemp("submissions"), warm)


def patient(source: assignments.Source, times: float = 10) -> assignments.Source:
    """Return an assignment with so many times the time: machines may be slow, or busy. All else is as it was."""
    limits = source.assignment.limits
    longer = {name: times * getattr(limits, name) for name in ("start", "cell", "cells", "call", "total")}
    return replace(source, assignment=replace(source.assignment, limits=replace(limits, **longer)))


def submitting(source: assignments.Source, folder: Path, warm: Warm | None = None) -> Submit:
    """Grade a source notebook with other cells in the places that are named, by the cells' ids.

    :param warm: what the processes are copies of, see :mod:`tests.assignments.warm`; by default they are fresh ones.
    """
    graded: dict[frozenset, Graded] = {}

    def run(changes: Mapping[str, str]) -> Graded:
        same = frozenset(changes.items())
        if same not in graded:
            cells = [
                {"cell_type": cell.cell_type, "source": changes.get(cell.id, cell.source), "metadata": cell.metadata}
                for cell in source.notebook.cells
                if "instructor" not in cell.metadata.get("tags", [])
            ]
            assert set(changes) <= {cell.id for cell in source.notebook.cells}
            path = folder / "mine.ipynb"
            path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
            with nullcontext() if warm is None else started_warm(warm):
                graded[same] = grade(path, source.assignment)
        return graded[same]

    return run
