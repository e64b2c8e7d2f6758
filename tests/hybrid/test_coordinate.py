"""Coordinate Attention: its Spec for the laws, and what holds for this block alone."""

from math import exp
from typing import Any

import pytest
import torch
from einops import rearrange
from hypothesis import strategies as st
from torch import Tensor, nn

from attention.hybrid.coordinate import CoordinateAttention
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

Plane = list[list[float]]


def sigmoid(a: float) -> float:
    return 1 / (1 + exp(-a))


def matrix(layer: nn.Conv1d, z: list[float]) -> list[float]:
    """A matrix times a vector, and a bias."""
    result = []
    for row, total in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True):
        for (weight,), value in zip(row, z, strict=True):
            total += weight * value
        result.append(total)
    return result


def bottleneck(block: CoordinateAttention, z: list[float]) -> list[float]:
    """Equation (6), of the means of one row or one column."""
    norm, result = block.norm, []
    for k, a in enumerate(matrix(block.reduce, z)):
        deviation = (norm.running_var[k].item() + norm.eps) ** 0.5
        a = norm.weight[k].item() * (a - norm.running_mean[k].item()) / deviation + norm.bias[k].item()
        result.append(a * min(max(a + 3.0, 0.0), 6.0) / 6.0)
    return result


def naive(block: CoordinateAttention, x: list[list[Plane]]) -> tuple[list[Any], dict[str, list[Any]]]:
    """Equations (4) to (9) of the paper, one row and one column at a time."""
    output, rows, columns = [], [], []
    for sample in x:
        height, width = len(sample[0]), len(sample[0][0])
        by_row, by_column = [], []
        for i in range(height):
            z = [sum(plane[i][j] for j in range(width)) / width for plane in sample]
            by_row.append([sigmoid(a) for a in matrix(block.rows, bottleneck(block, z))])
        for j in range(width):
            z = [sum(plane[i][j] for i in range(height)) / height for plane in sample]
            by_column.append([sigmoid(a) for a in matrix(block.columns, bottleneck(block, z))])
        output.append(
            [
                [[value * by_row[i][c] * by_column[j][c] for j, value in enumerate(row)] for i, row in enumerate(plane)]
                for c, plane in enumerate(sample)
            ]
        )
        rows.append([[[gates[c]] for gates in by_row] for c in range(len(sample))])
        columns.append([[[gates[c] for gates in by_column]] for c in range(len(sample))])
    return output, {"rows": rows, "columns": columns}


SPEC = Spec(
    name="coordinate",
    cases=cases(
        st.builds(dict, channels=st.integers(1, 8), reduction=st.integers(1, 4), floor=st.integers(1, 3)),
        height=(1, 6),
        width=(1, 6),
    ),
    fixed=(
        Case({"channels": 4, "reduction": 2, "floor": 1}, height=3, width=5),
        Case({"channels": 5}, batch=2, height=4, width=3, seed=1),  # eight hidden units, more than there are channels
        Case({"channels": 7, "reduction": 3, "floor": 1}, batch=3, height=2, width=3, seed=2),
    ),
    naive=naive,
    apply=lambda block, maps, x: x * maps["rows"] * maps["columns"],
    bad_arguments=(
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 16, "reduction": -2}, ValueError, "reduction=-2 is not positive"),
        BadArguments({"channels": 16, "reduction": 4.0}, TypeError, "reduction=4.0 is not a whole number"),
        BadArguments({"channels": 16, "floor": 0}, ValueError, "floor=0 is not positive"),
        BadArguments({"channels": 16, "floor": True}, TypeError, "floor=True is not a whole number"),
    ),
    bad_inputs=bad_images(),
)


def blocks(channels: int = 6, **options: int) -> CoordinateAttention:
    return SPEC.block(Case({"channels": channels, "reduction": 2, "floor": 1, **options}))


@pytest.mark.parametrize(
    ("channels", "options", "width"),
    [(256, {}, 8), (64, {}, 8), (288, {}, 9), (320, {}, 10), (96, {"floor": 1}, 3), (40, {"reduction": 3}, 13)],
)
def test_the_bottleneck_has_a_floor(channels: int, options: dict[str, int], width: int) -> None:
    """Of 320 channels ten are left, not the sixteen of a popular port; below 288 there are always eight."""
    assert CoordinateAttention(channels, **options).reduce.out_channels == width


def test_gates_computed_by_hand() -> None:
    """One channel and one hidden unit, whose number is the mean itself: h-swish of -4, 1 and 4 is 0, 2/3 and 4."""
    block = CoordinateAttention(1, floor=1).double().eval()
    with torch.no_grad():
        block.norm.running_var.fill_(1 - block.norm.eps)
        for layer in (block.reduce, block.rows, block.columns):
            layer.weight.fill_(1.0)
            layer.bias.zero_()
        block.columns.weight.fill_(-1.0)
    x = torch.tensor([[[[-5.0, -3.0], [5.0, 3.0], [3.0, -1.0]]]], dtype=torch.float64)
    _, maps = block.attend(x)
    assert maps["rows"].flatten().tolist() == pytest.approx([0.5, sigmoid(4.0), sigmoid(2 / 3)])
    means = [1.0, -1 / 3]  # of the columns
    expected = [sigmoid(-a * (a + 3) / 6) for a in means]
    assert maps["columns"].flatten().tolist() == pytest.approx(expected)


def test_the_gate_of_a_channel_has_rank_one() -> None:
    """As a matrix of rows by columns: what lies on a diagonal alone cannot be kept alone."""
    block, x = blocks(), torch.randn(1, 6, 7, 9, dtype=torch.float64)
    for gate in (block(x) / x)[0]:
        assert torch.linalg.matrix_rank(gate, rtol=1e-9) == 1


def test_the_gates_move_with_the_image() -> None:
    """Moved along its columns the image keeps its columns' gates, and its rows' gates move."""
    block, x = blocks(), torch.zeros(1, 6, 12, 10, dtype=torch.float64)
    x[..., 3:7, 2:6] = torch.randn(1, 6, 4, 4, dtype=torch.float64)
    before, after = (block.attend(each)[1] for each in (x, x.roll(4, dims=2)))
    torch.testing.assert_close(after["columns"], before["columns"])
    torch.testing.assert_close(after["rows"], before["rows"].roll(4, dims=2))
    assert not torch.allclose(after["rows"], before["rows"])


def test_turned_with_its_two_matrices_exchanged_it_is_the_same() -> None:
    block, other = blocks(), blocks()
    other.rows.load_state_dict(block.columns.state_dict())
    other.columns.load_state_dict(block.rows.state_dict())
    x = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(other(x.mT), block(x).mT)
    assert not torch.allclose(block(x.mT), block(x).mT)


def test_the_normalisation_counts_rows_and_columns_alike() -> None:
    """In training its mean is over the H + W means of all samples: a long side weighs more."""
    block, x = CoordinateAttention(2, floor=2).double(), torch.randn(2, 2, 3, 9, dtype=torch.float64)
    with torch.no_grad():
        block.reduce.weight.copy_(torch.eye(2)[..., None])
        block.reduce.bias.zero_()
    block.train()(x)
    means = torch.cat([x.mean(3), x.mean(2)], 2)
    torch.testing.assert_close(block.norm.running_mean, 0.1 * means.mean((0, 2)))


def test_one_pixel_trains() -> None:
    """Its row's mean and its column's are two numbers."""
    block = CoordinateAttention(4)
    assert block(torch.randn(1, 4, 1, 1)).isfinite().all()


# What circulates, in our words: each is caught by a law


class Plain(CoordinateAttention):
    """ReLU where the code has h-swish."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.act = nn.ReLU()


class NoSigmoid(CoordinateAttention):
    """Gates that are not bounded, and may be negative."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        _, maps = super().attend(x)
        maps = {name: gate.logit() for name, gate in maps.items()}
        return x * maps["rows"] * maps["columns"], maps


class NoFloor(CoordinateAttention):
    """The bottleneck is as narrow as the ratio says."""

    def __init__(self, channels: int, reduction: int = 32, floor: int = 8) -> None:
        super().__init__(channels, reduction, 1)


class NoBias(CoordinateAttention):
    """The three matrices without biases."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for layer in (self.reduce, self.rows, self.columns):
            layer.bias = None


class Swapped(CoordinateAttention):
    """The columns' gates are laid along the height: only a square hides it."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        _, maps = super().attend(x)
        return x * maps["rows"] * maps["columns"].mT, maps


class OneMatrix(CoordinateAttention):
    """Rows and columns share their last matrix."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.columns = self.rows


class DeadColumns(CoordinateAttention):
    """The gate of the rows is used twice."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        _, maps = super().attend(x)
        return x * maps["rows"] * maps["rows"], maps


class WrongCut(CoordinateAttention):
    """The numbers are cut in two halves, wherever the rows end."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        f = self.act(self.norm(self.reduce(torch.cat([x.mean(3), x.mean(2)], dim=2))))
        first, second = f.tensor_split(2, dim=2)
        rows = rearrange(self.rows(first).sigmoid(), "b c h -> b c h 1")
        columns = rearrange(self.columns(second).sigmoid(), "b c w -> b c 1 w")
        return x * rows * columns, {"rows": rows, "columns": columns}


@pytest.mark.parametrize(
    ("wrong", "law", "says"),
    [
        (WrongCut, 1, "RuntimeError|documented"),
        (Plain, 2, "the output differs"),
        (OneMatrix, 6, "parameters: counted"),
        (Swapped, 1, "RuntimeError|documented"),
        (NoSigmoid, 3, "but a sigmoid lies in"),
        (DeadColumns, 5, "elements of columns.weight never received a gradient"),
        (NoFloor, 6, "parameters: counted"),
        (NoBias, 6, "parameters: counted"),
    ],
)
def test_a_law_catches_what_circulates(wrong: type, law: int, says: str) -> None:
    with pytest.raises(AssertionError, match=rf"(?s)law {law} \(.*({says})"):
        LAWS[law](SPEC.with_build(wrong), 40)
