"""What the tests of assignments share: a source notebook of which single cells are exchanged, and its grading."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from attention.grading.report import Graded, grade
from tools.teaching import assignments

Submit = Callable[[Mapping[str, str]], Graded]


def lost(graded: Graded) -> dict[str, float]:
    """Return the points that are lacking, by part."""
    return {m.number: m.points - m.score for m in graded.marks if m.score is not None and m.score < m.points}


@pytest.fixture(scope="session")
def eca() -> assignments.Source:
    return assignments.load("eca")


@pytest.fixture(scope="session")
def submit(eca: assignments.Source, tmp_path_factory: pytest.TempPathFactory) -> Submit:
    return submitting(eca, tmp_path_factory.mktemp("submissions"))


def submitting(source: assignments.Source, folder: Path) -> Submit:
    """Grade a source notebook with other cells in the places that are named, by the cells' ids."""

    def run(changes: Mapping[str, str]) -> Graded:
        cells = [
            {"cell_type": cell.cell_type, "source": changes.get(cell.id, cell.source), "metadata": cell.metadata}
            for cell in source.notebook.cells
            if "instructor" not in cell.metadata.get("tags", [])
        ]
        assert set(changes) <= {cell.id for cell in source.notebook.cells}
        path = folder / "mine.ipynb"
        path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        return grade(path, source.assignment)

    return run
