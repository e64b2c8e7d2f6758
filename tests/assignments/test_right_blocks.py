"""The hidden right blocks of `broken` are what its text promises: right for large numbers, with gradients that flow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
GRADING: dict[str, Any] = {"__name__": "grading_file"}
exec(compile((ROOT / "assignments" / "broken.grading.py").read_text(), "broken.grading.py", "exec"), GRADING)

EQUATIONS = {1: "double", 2: "dilated_gate", 3: "fused", 4: "similar", 5: "coordinate"}
#: The constructor's arguments, the parameters, the number of inputs, their channels.
CASES = {
    1: ((6, 4, 3), GRADING["of_double"](91, 6, 4, 3), 1, 6),
    2: ((6, 4, 3), GRADING["of_dilated"](92, 6, 4), 1, 6),
    3: ((6, 4), GRADING["of_fused"](9, 6, 4), 2, 6),
    4: ((), {"scale": np.float32([0.8])}, 1, 6),
    5: ((6, 4), GRADING["of_coordinate"](95, 6, 4), 1, 6),
}
RIGHT = [(n, i) for n in CASES for i in range(len(GRADING[f"BLOCKS{n}"]["right"]))]
each = pytest.mark.parametrize(("number", "place"), RIGHT, ids=[f"{n}-{i}" for n, i in RIGHT])


def built(code: str, number: int, dtype: torch.dtype) -> torch.nn.Module:
    names: dict[str, Any] = {"__name__": "block"}
    exec(code, names)
    arguments, values, *_ = CASES[number]
    block = names["Block"](*arguments).to(dtype)
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            parameter.copy_(torch.tensor(values[name]).reshape(parameter.shape))
    return block


def inputs(number: int, *sizes: int) -> list[np.ndarray]:
    batch, height, width = sizes or (3, 5, 4)
    return [GRADING["drawn"](900 + i, batch, CASES[number][3], height, width) for i in range(CASES[number][2])]


def equations(number: int, xs: list[np.ndarray]) -> np.ndarray:
    """Compute the equations in float64."""
    exact = {name: value.astype("float64") for name, value in CASES[number][1].items()}
    right: Callable[..., np.ndarray] = GRADING[EQUATIONS[number]]
    return right(exact, *(x.astype("float64") for x in xs), **({"step": 3} if number == 2 else {}))


def run(block: torch.nn.Module, xs: list[np.ndarray], dtype: torch.dtype) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the output and the gradients of all parameters and inputs, in float64."""
    given = [torch.tensor(x, dtype=dtype, requires_grad=True) for x in xs]
    output = block(*given)
    (output * torch.linspace(-1, 1, output.numel(), dtype=dtype).reshape(output.shape)).sum().backward()
    return output.detach().double(), [each.grad.double() for each in (*block.parameters(), *given)]


@each
@pytest.mark.parametrize("sizes", [(3, 5, 4), (1, 1, 1), (2, 1, 7)], ids=str)
def test_it_obeys_its_equations(number: int, place: int, sizes: tuple[int, ...]) -> None:
    block = built(GRADING[f"BLOCKS{number}"]["right"][place], number, torch.float64)
    xs = inputs(number, *sizes)
    output, _ = run(block, xs, torch.float64)
    np.testing.assert_allclose(output, equations(number, xs), rtol=1e-9, atol=1e-9)
    turned = [torch.tensor(x, dtype=torch.float64).transpose(2, 3).contiguous().transpose(2, 3) for x in xs]
    torch.testing.assert_close(block(*turned).detach(), output)


@each
@pytest.mark.parametrize("size", [1.0, 30.0, 1e3, 1e5])
def test_it_is_right_for_large_numbers_and_its_gradients_are_finite(number: int, place: int, size: float) -> None:
    """Up to rounding: as near to the equations as the first right block is, or to a thousandth."""
    blocks = GRADING[f"BLOCKS{number}"]["right"]
    xs = [np.float32(size) * x for x in inputs(number)]
    output, gradients = run(built(blocks[place], number, torch.float32), xs, torch.float32)
    first, slopes = run(built(blocks[0], number, torch.float32), xs, torch.float32)
    right = equations(number, xs)
    assert output.isfinite().all()
    assert all(each.isfinite().all() for each in gradients)
    scale = np.maximum(abs(right), 1)
    assert (abs(output.numpy() - right) / scale).max() <= max(1e-3, 2 * (abs(first.numpy() - right) / scale).max())
    if size == 1:
        assert all(each.any() for each in gradients)
        for mine, other in zip(gradients, slopes, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


@each
def test_a_large_channel_does_not_blur_the_small_ones(number: int, place: int) -> None:
    xs = inputs(number)
    for x in xs:
        x[:, 1] = x[:, 0]
        x[:, 5] *= 3000
    output, gradients = run(built(GRADING[f"BLOCKS{number}"]["right"][place], number, torch.float32), xs, torch.float32)
    right = equations(number, xs)
    assert all(each.isfinite().all() for each in gradients)
    assert (abs(output.numpy() - right) / np.maximum(abs(right), 1)).max() < 1e-3


@pytest.mark.parametrize("name", [*GRADING["LAWFUL"], *GRADING["SINGLE"], *GRADING["SEVERAL"]])
def test_what_breaks_no_law_of_gradients_has_finite_ones(name: str) -> None:
    names: dict[str, Any] = {"__name__": "block"}
    exec((GRADING["LAWFUL"] | GRADING["SINGLE"] | GRADING["SEVERAL"])[name][0], names)
    block = names["Block"]()
    for size in (1.0, 1e4):
        xs = [size * torch.randn(3, 4, 2, 5) for _ in range(block.forward.__code__.co_argcount - 1)]
        block.zero_grad()
        block(*xs).sum().backward()
        found = [each.grad for each in block.parameters() if each.grad is not None]
        assert found
        assert all(each.isfinite().all() for each in found)
