"""What a student gets opens in Colab as it is: it runs untouched, with what its set-up cell brings, and is plain."""

from collections.abc import Callable

import pytest
from packaging.utils import canonicalize_name

from tests.colab.running import Colab
from tools.publishing.lowering import leftovers
from tools.teaching import assignments


@pytest.mark.parametrize("name", assignments.names())
def test_an_untouched_assignment_runs(name: str, machine: Colab, from_file: Callable, brings: set[str]) -> None:
    notebook = from_file(assignments.student(assignments.load(name)))
    run = machine.run(f"assignment-{name}", notebook, "smoke")
    assert not run.problem, run.problem
    assert {canonicalize_name(one) for one in run.installed()} == brings


@pytest.mark.parametrize("name", assignments.names())
def test_its_text_is_plain(name: str) -> None:
    notebook = assignments.student(assignments.load(name))
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert texts
    found = [what for text in texts for what in leftovers(text)]
    assert [what for what in found if ": <!-- answer" not in what] == [], "but for the marks that the grader reads"
