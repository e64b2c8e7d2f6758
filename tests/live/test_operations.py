"""Every basic operation that a page knows gives there what it gives in torch."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attention.lab.live import KNOWN, Picture, Program, picture
from attention.lab.live.export import Value
from tests.live.derivatives import evaluate
from tests.live.operations import OPERATIONS, Several
from tests.live.shown import Shown
from tests.live.test_numbers import wrong_values

#: What this version of torch writes in other words, and what `follow` leaves out, by arguments: pages know them for
#: other versions.
BY_HAND = {
    "clone.default": [{"value": 0}],
    "hardsigmoid.default": [{"value": 0}],
    "hardswish.default": [{"value": 0}],
}


class ByHand(Program):
    """A run that nobody followed."""

    def compute(self, *inputs: Tensor) -> list[Any]:
        return evaluate(self, inputs)


@pytest.fixture(scope="module")
def operations() -> Picture:
    """A picture of a module that uses nearly all of them."""
    generator = torch.Generator().manual_seed(4)
    inputs = {f"input {i}": torch.randn(1, 4, 4, 4, generator=generator, dtype=torch.float64) for i in range(3)}
    return picture(Several(OPERATIONS).eval(), {name: x.round(decimals=2) for name, x in inputs.items()})


@pytest.fixture(scope="module")
def page(browser: Any, operations: Picture, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    with Shown(browser, tmp_path_factory.mktemp("operations"), operations) as page:
        yield page


def test_each_operation_is_tried(operations: Picture) -> None:
    """An operation that a page learns gets a line in ``operations.py``, named after it."""
    (program,) = operations.programs.values()
    tried = {each.operation for each in program.values if each.operation}
    assert KNOWN - tried - set(BY_HAND) == set()
    assert set(OPERATIONS) - KNOWN == set()


def test_each_operation_is_torchs(page: Shown) -> None:
    assert "\n".join(wrong_values(page)) == ""


@pytest.mark.parametrize("operation", sorted(BY_HAND))
def test_operations_of_other_versions_are_torchs(
    operations: Picture, browser: Any, tmp_path: Path, operation: str
) -> None:
    if operation not in KNOWN:
        pytest.fail(f"pages no longer know {operation}: delete it from BY_HAND")
    (drawn,) = operations.drawn.values()
    shape = [1, 4, 4, 4]
    program = ByHand("By hand", [Value(shape, input=0), Value(shape, operation, BY_HAND[operation])], 1, {}, {})
    presets = {name: (4 * x,) for name, (x,) in operations.presets.items()}
    made = Picture("By hand", "", presets, {"it": program}, {"it": [replace(drawn[0], value=0)]})
    with Shown(browser, tmp_path, made) as page:
        for given, found in zip(presets.values(), page.computed(0, list(presets.values())), strict=True):
            torch.testing.assert_close(found[1], evaluate(program, given)[1], rtol=1e-12, atol=1e-12)
