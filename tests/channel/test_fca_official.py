"""Frequency Channel Attention: the authors' code, its weights and its function."""

from math import cos, pi, sqrt

import pytest
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

import attention
from attention import registry
from attention.channel.fca import FrequencyChannelAttention


def filters(channels: int, size: tuple[int, int], pairs: tuple[tuple[int, int], ...]) -> Tensor:
    """The authors' basis, number by number: an orthonormal cosine transform of the size, at whole frequencies."""
    found = torch.empty(channels, *size, dtype=torch.float64)
    for c in range(channels):
        pair = pairs[c * len(pairs) // channels]
        down, across = (part * (length // 7) for part, length in zip(pair, size, strict=True))
        for i in range(size[0]):
            for j in range(size[1]):
                value = cos(pi * down * (i + 0.5) / size[0]) * cos(pi * across * (j + 0.5) / size[1])
                found[c, i, j] = value * sqrt((2 if down else 1) * (2 if across else 1) / (size[0] * size[1]))
    return found


def official(x: Tensor, w: dict[str, Tensor]) -> Tensor:
    """The function of the authors' layer, in plain torch: pooled to the size of its basis."""
    basis = w["dct_layer.weight"]
    freq = torch.einsum("bchw,chw->bc", adaptive_avg_pool2d(x, basis.shape[1:]), basis)
    gate = ((freq @ w["fc.0.weight"].T).clamp(min=0) @ w["fc.2.weight"].T).sigmoid()
    return x * gate[:, :, None, None]


def made_up(channels: int, size: tuple[int, int], pairs: tuple[tuple[int, int], ...]) -> dict[str, Tensor]:
    """Weights of the official names and shapes; the basis is no choice."""
    return {
        "fc.0.weight": torch.randn(channels // 16, channels, dtype=torch.float64) / channels**0.5,
        "fc.2.weight": torch.randn(channels, channels // 16, dtype=torch.float64),
        "dct_layer.weight": filters(channels, size, pairs),
    }


@pytest.mark.parametrize(("channels", "size"), [(16, (7, 7)), (256, (14, 14)), (64, (5, 9)), (32, (20, 16))])
def test_official_weights_load_and_give_the_official_function(channels: int, size: tuple[int, int]) -> None:
    found = registry.entry("fca").official
    block = attention.create("fca", channels, **found["options"]).double()
    weights = made_up(channels, size, block.frequencies)
    attention.load_official(block, weights)
    x = torch.randn(3, channels, *size, dtype=torch.float64)
    torch.testing.assert_close(block(x), official(x, weights), rtol=0, atol=1e-11)
    assert set(found["names"].values()) == set(block.state_dict())
    assert set(found["names"]) | set(found["unused"]) == set(weights)


@pytest.mark.parametrize("dct", [(7, 7), (8, 12), (5, 9)])
@pytest.mark.parametrize("size", [(7, 7), (16, 9)])
def test_a_basis_of_another_size_than_the_map(dct: tuple[int, int], size: tuple[int, int]) -> None:
    block = FrequencyChannelAttention(32, size=dct, whole=True).double()
    weights = made_up(32, dct, block.frequencies)
    attention.load_official(block, weights)
    x = torch.randn(2, 32, *size, dtype=torch.float64)
    torch.testing.assert_close(block(x), official(x, weights), rtol=0, atol=1e-11)


@pytest.mark.parametrize("frequencies", ["top16", "low8", "bot4", "top2", "low1"])
@pytest.mark.parametrize("size", [(14, 14), (28, 7)])
def test_other_sizes_and_selections(frequencies: str, size: tuple[int, int]) -> None:
    """On a map of its own size the authors' layer is our block without a size, too."""
    for given in (size, None):
        block = FrequencyChannelAttention(32, frequencies=frequencies, size=given).double()
        weights = made_up(32, size, block.frequencies)
        attention.load_official(block, weights)
        x = torch.randn(2, 32, *size, dtype=torch.float64)
        torch.testing.assert_close(block(x), official(x, weights), rtol=0, atol=1e-11)


def test_the_order_of_the_authors_selections() -> None:
    """The first eight of each list, as (down, across); and of all 32 the sums of the places times the frequencies."""
    first = {
        "top8": ((0, 0), (0, 1), (6, 0), (0, 5), (0, 2), (1, 0), (1, 2), (4, 0)),
        "low8": ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (2, 1), (1, 2)),
        "bot8": ((6, 6), (1, 4), (3, 4), (3, 6), (2, 6), (4, 3), (1, 1), (2, 4)),
    }
    assert {name: FrequencyChannelAttention(16, frequencies=name).frequencies for name in first} == first
    sums = {"top32": (1700, 1397), "low32": (1357, 1497), "bot32": (2073, 1498)}
    for name, expected in sums.items():
        axes = zip(*FrequencyChannelAttention(32, frequencies=name).frequencies, strict=True)
        assert tuple(sum(place * part for place, part in enumerate(axis, 1)) for axis in axes) == expected
