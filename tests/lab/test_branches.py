"""Weights of branches are averaged as they were used, and the picture of them against size says what they say."""

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

import attention
from attention.lab import maps, style


def network() -> nn.Sequential:
    torch.manual_seed(0)
    options = {"groups": 2, "floor": 4}
    return nn.Sequential(
        attention.create("sk", 4, **options),
        attention.create("se", 4, reduction=2),
        attention.create("sk", 4, branches=3, **options),
    ).eval()


def test_branch_weights_are_the_means_of_the_maps() -> None:
    model, inputs = network(), [torch.randn(3, 4, 6, 6), 2 + torch.randn(5, 4, 7, 5)]
    found = maps.branch_weights(model, inputs)
    assert list(found) == ["0", "2"]  # the gate between them has no branches
    for k, x in enumerate(inputs):
        first = model[0].attend(x)[1]["branch"]
        second = model[2].attend(model[1](model[0](x)))[1]["branch"]
        torch.testing.assert_close(found["0"][k], first[:, 1].mean((0, 2, 3)))
        torch.testing.assert_close(found["2"][k], second[:, 2].mean((0, 2, 3)))
    total = sum(maps.branch_weights(model[2], inputs, branch)[""] for branch in range(3))
    torch.testing.assert_close(total, torch.ones(2, 4))


def test_branch_weights_refuses_what_it_cannot_average() -> None:
    x = torch.randn(2, 4, 5, 5)
    with pytest.raises(ValueError, match="inputs is empty"):
        maps.branch_weights(network(), [])
    with pytest.raises(ValueError, match="branch=2 is not there: 0 has 2"):
        maps.branch_weights(network(), [x], 2)
    with pytest.raises(ValueError, match="none of its maps has an axis m"):
        maps.branch_weights(attention.create("se", 4, reduction=2), [x])


def test_the_picture_says_what_the_weights_say(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[Figure, str]] = []
    monkeypatch.setattr(style, "show", lambda fig, alt, **_: shown.append((fig, alt)))
    weights = {
        "layer 1": torch.tensor([[0.4, 0.5, 0.6], [0.5, 0.4, 0.3], [0.3, 0.3, 0.4]]),
        "layer 2": torch.tensor([[0.5, 0.5, 0.5]]).repeat(3, 1),
    }
    maps.by_size(weights, (1, 1.5, 2), title="A title")
    ((fig, alt),) = shown
    assert "from 1 to 2, 3 networks, a line each" in alt
    assert "layer 1: 0.40 to 0.43, up in 2 of 3; layer 2: 0.50 to 0.50, up in 0 of 3." in alt
    lines = fig.axes[0].get_lines()
    assert [list(line.get_xdata()) for line in lines[1:]] == [[1.0, 1.5, 2.0]] * 4
    torch.testing.assert_close(torch.tensor(lines[-1].get_ydata()), weights["layer 1"].double().mean(0))


@pytest.mark.parametrize("layers", [1, 4, 6])
def test_the_picture_can_be_read_on_a_phone(layers: int) -> None:
    weights = {f"layer {k}": 0.45 + 0.01 * torch.rand(2, 5) for k in range(layers)}
    maps.by_size(weights, (1, 1.25, 1.5, 1.75, 2))  # style.show refuses text that overlaps or is too small


@pytest.mark.parametrize(
    ("weights", "sizes", "message"),
    [
        ({}, (1, 2), "weights is empty"),
        ({"a": torch.rand(2, 2)}, (2, 1), r"sizes=\[2.0, 1.0\] are not two or more, ascending"),
        ({"a": torch.rand(2, 2)}, (1,), "not two or more"),
        ({"a": torch.rand(2, 3)}, (1, 2), r"a: expected \(networks, 2 sizes\), received shape \(2, 3\)"),
        ({"a": torch.rand(2)}, (1, 2), r"received shape \(2,\)"),
    ],
)
def test_the_picture_refuses_what_does_not_fit(weights: dict, sizes: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        maps.by_size(weights, sizes)
