"""The small U-Net: its sizes, its levels by hand, and where its blocks are."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, max_pool2d

from attention.backbones import insert, remove
from attention.backbones.unet import LEVELS, UNet
from tests.backbones.test_mobilenet import Halve

PAPER = (64, 128, 256, 512, 1024)


def small(*block: object, **options: object) -> UNet:
    return UNet(*block, **{"widths": (4, 6, 8), "classes": 3} | options)


def test_parameters() -> None:
    """With normalisations, three channels and one class: the U-Net of many repositories, 31,037,633."""
    with torch.device("meta"):
        assert sum(p.numel() for p in UNet(widths=PAPER, in_channels=3, classes=1).parameters()) == 31_037_633
        plain = UNet(widths=PAPER, norm=False)
    # The paper's: 9ab + b for each 3 × 3, 4ab + b for each transposed one, 64 · 2 + 2 for the last.
    pairs = list(zip((1, *PAPER), PAPER, strict=False))
    total = sum(9 * a * b + b + 9 * b * b + b for a, b in pairs)
    total += sum(4 * 2 * b * b + b + 9 * 2 * b * b + b + 9 * b * b + b for b in PAPER[:-1])
    assert sum(p.numel() for p in plain.parameters()) == total + 64 * 2 + 2


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (12, 12), (29, 18)])
@pytest.mark.parametrize("widths", [(4,), (4, 6), (4, 6, 8, 8)])
def test_scores_have_the_size_of_the_image(size: tuple[int, int], widths: tuple[int, ...]) -> None:
    network = small("scse", widths=widths).eval()
    assert network(torch.zeros(2, 1, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("where", LEVELS)
def test_the_network_by_hand(where: str) -> None:
    torch.manual_seed(0)
    network = small(Halve, where, widths=(4, 6), norm=False).eval()
    x = torch.rand(2, 1, 5, 7)

    def level(y: Tensor, layers: nn.Sequential, half: str) -> Tensor:
        for layer in (layers[0], layers[2]):
            y = conv2d(y, layer.weight, layer.bias, padding=1).clamp(min=0)
        return y * y / 2 if where in ("both", half) else y

    top = level(x, network.encoder[0], "encoder")
    below = level(max_pool2d(top, 2, ceil_mode=True), network.encoder[1], "encoder")
    assert below.shape == (2, 6, 3, 4)
    up = conv_transpose2d(below, network.up[0].weight, network.up[0].bias, 2)[:, :, :5, :7]
    out = level(torch.cat([top, up], dim=1), network.decoder[0], "decoder")
    torch.testing.assert_close(network(x), conv2d(out, network.head.weight, network.head.bias))


@pytest.mark.parametrize("where", LEVELS)
def test_blocks_are_where_they_should_be(where: str) -> None:
    network = small(Halve, where)
    found = {
        name.removesuffix(".attention"): part.channels for name, part in network.named_modules() if type(part) is Halve
    }
    encoder = {"encoder.0": 4, "encoder.1": 6, "encoder.2": 8}
    decoder = {"decoder.0": 6, "decoder.1": 4}
    assert found == {"both": encoder | decoder, "encoder": encoder, "decoder": decoder}[where]


def test_a_plain_state_dict_lacks_exactly_the_blocks() -> None:
    torch.manual_seed(3)
    plain = small().state_dict()
    torch.manual_seed(3)
    other = small(Halve).state_dict()
    assert {key for key in other if key not in plain} == {
        f"{level}.attention.scale" for level in ("encoder.0", "encoder.1", "encoder.2", "decoder.0", "decoder.1")
    }
    assert all(torch.equal(other[key], value) for key, value in plain.items())


def test_blocks_are_put_in_and_taken_out() -> None:
    torch.manual_seed(0)
    network, x = small(Halve).eval(), torch.rand(2, 1, 9, 6)
    y = network(x)
    assert torch.equal(copy.deepcopy(network)(x), y)
    assert torch.equal(pickle.loads(pickle.dumps(network))(x), y)
    assert len(remove(network)) == 5
    assert not torch.equal(network(x), y)
    insert(network, Halve, ["encoder.*", "decoder.*"], example=x)
    assert torch.equal(network(x), y)


@pytest.mark.parametrize("norm", [True, False])
def test_every_parameter_receives_a_gradient(norm: bool) -> None:
    torch.manual_seed(0)
    network = small("scse", norm=norm, widths=(16, 24, 32))
    network(torch.rand(4, 1, 13, 10)).log_softmax(1)[:, 0].sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"where": "middle"}, ValueError, "where='middle' is not one of 'both', 'encoder', 'decoder'"),
        ({"widths": 16}, TypeError, r"widths=16 is not a sequence; for one level, write \(16,\)"),
        ({"widths": ()}, ValueError, "widths is empty"),
        ({"widths": (8, 0)}, ValueError, r"widths\[1\]=0"),
        ({"widths": (8, 1.5)}, TypeError, r"widths\[1\]=1.5"),
        ({"norm": 1}, TypeError, "norm=1"),
        ({"classes": 0}, ValueError, "classes=0"),
        ({"in_channels": "3"}, TypeError, "in_channels='3'"),
        ({"attention": "scs"}, ValueError, "did you mean"),
        ({"attention": 3}, TypeError, "attention=3 is neither"),
    ],
)
def test_bad_arguments(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        UNet(**options)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="channels=1"):
        small()(torch.zeros(2, 3, 8, 8))
    with pytest.raises(TypeError, match="int64"):
        small()(torch.zeros(2, 1, 8, 8, dtype=torch.int64))
