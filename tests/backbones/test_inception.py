"""The Inception block against its equations and against the first block of GoogLeNet."""

import pytest
import torch
import torch.nn.functional as F

from attention.backbones.inception import InceptionBlock
from attention.channel.se import SqueezeExcitation
from attention.lab import cost

# Block (3a) of GoogLeNet: Szegedy et al. 2015, Table 1.
SIZES_3A = (192, 64, (96, 128), (16, 32), 32)


def weights_3a() -> int:
    """Weights without biases: the sum over the six convolutions of in × out × size²."""
    into, c1, (r3, c3), (r5, c5), pool = SIZES_3A
    return into * (c1 + r3 + r5 + pool) + 9 * r3 * c3 + 25 * r5 * c5


def test_parameters_and_multiply_adds_of_3a() -> None:
    counted = cost.on_paper(lambda: InceptionBlock(*SIZES_3A), (192, 28, 28))
    biases = 64 + 96 + 128 + 16 + 32 + 32
    assert counted.parameters == weights_3a() + biases == 163_696
    assert counted.macs == weights_3a() * 28 * 28
    # The same table prints 159K parameters and 128M operations: K is 1024 there, and biases are left out.
    assert weights_3a() // 1024 == 159
    assert round(counted.macs / 1e6) == 128


def test_excitation_acts_on_the_concatenation() -> None:
    torch.manual_seed(0)
    plain = InceptionBlock(6, 4, (3, 5), (2, 3), 4)
    torch.manual_seed(0)
    block = InceptionBlock(6, 4, (3, 5), (2, 3), 4, attention=lambda channels: SqueezeExcitation(channels, 4))
    assert block.attention.channels == block.out_channels == 16
    x = torch.randn(2, 6, 7, 5)
    torch.testing.assert_close(block(x), block.attention(plain(x)))
    added = sum(p.numel() for p in block.parameters()) - sum(p.numel() for p in plain.parameters())
    assert added == cost.evaluate("se", channels=16, reduction=4)


def test_branches_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    block = InceptionBlock(6, 4, (3, 5), (2, 3), 4)
    x = torch.randn(2, 6, 7, 5)
    w = block.state_dict()

    def convolve(y: torch.Tensor, name: str, padding: int) -> torch.Tensor:
        return F.conv2d(y, w[f"{name}.0.weight"], w[f"{name}.0.bias"], padding=padding).clamp(min=0)

    expected = [
        convolve(x, "branch1", 0),
        convolve(convolve(x, "branch3.0", 0), "branch3.1", 1),
        convolve(convolve(x, "branch5.0", 0), "branch5.1", 2),
        convolve(F.max_pool2d(x, 3, stride=1, padding=1), "branch_pool.1", 0),
    ]
    torch.testing.assert_close(block(x), torch.cat(expected, 1))


def test_a_name_builds_the_block() -> None:
    block = InceptionBlock(8, 8, (4, 8), (4, 8), 8, attention="se")
    assert isinstance(block.attention, SqueezeExcitation)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((6, 0, (3, 5), (2, 3), 4), ValueError, "c1=0"),
        ((6, 4, (3.0, 5), (2, 3), 4), TypeError, "r3=3.0"),
        ((6, 4, 5, (2, 3), 4), ValueError, "c3=5 is not a pair"),
        ((6, 4, (3, 5), (2, 3, 1), 4), ValueError, r"c5=\(2, 3, 1\) is not a pair"),
        ((6, 4, (3, 5), (2, 3), 4, "sse"), ValueError, "'sse' is not a mechanism"),
        ((6, 4, (3, 5), (2, 3), 4, 7), TypeError, "attention=7"),
    ],
)
def test_bad_arguments(arguments: tuple, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        InceptionBlock(*arguments)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="channels=6"):
        InceptionBlock(6, 4, (3, 5), (2, 3), 4)(torch.zeros(1, 5, 7, 7))
