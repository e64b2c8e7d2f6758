"""ResNeSt: its totals, its deep stem, and where it averages; and the two changes that it shares with other networks."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from attention.backbones.resnest import POOLS, resnest, resnest50
from attention.backbones.resnet import ResNet, resnet50, small_resnet
from attention.backbones.variants import average_shortcuts, deepen_stem
from attention.lab import cost
from attention.registry import create

IMAGE = (3, 224, 224)


class Triple(nn.Module):
    """A stand-in for a block that replaces a convolution."""

    def __init__(self, channels: int, *, stride: int) -> None:
        super().__init__()
        assert stride == 1
        self.channels = channels
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == self.channels
        return x * x * self.scale


def small(convolution: object = Triple, **options: object) -> ResNet:
    return resnest((1, 2), convolution, **{"widths": (4, 8), "classes": 3, "stem_width": 4} | options)


def block(splits: int, groups: int) -> partial:
    return partial(create, "resnest", radix=splits, cardinality=groups)


# Printed in ablation.md of the authors' code, in millions: 26.3, 27.5, 31.9, 25.9, 26.9, 30.4, 25.7.
@pytest.mark.parametrize(
    ("splits", "groups", "width", "parameters"),
    [
        (1, 1, 64, 26_217_896),
        (2, 1, 64, 27_483_240),
        (4, 1, 64, 31_912_712),
        (1, 2, 40, 25_946_680),
        (2, 2, 40, 26_943_792),
        (4, 2, 40, 30_417_592),
        (1, 4, 24, 25_677_000),
    ],
)
def test_parameters_of_the_fast_forms(splits: int, groups: int, width: int, parameters: int) -> None:
    with torch.device("meta"):
        network = resnest50(block(splits, groups), pool="before", groups=groups, width_per_group=width)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_where_it_averages_costs_a_billion() -> None:
    after, before = (cost.on_paper(partial(resnest50, pool=pool), IMAGE) for pool in POOLS)
    assert after.parameters == before.parameters == 27_483_240  # printed so in the table of the pytorchcv model zoo
    # In three units the block meets four times the pixels: all of its convolution's multiply–adds but those after it.
    strided = ((128, 56), (256, 28), (512, 14))
    more = sum(width * 9 * width * (size**2 - (size // 2) ** 2) for width, size in strided)  # 2 groups, 2c channels out
    assert after.macs - before.macs == more


@pytest.mark.parametrize("pool", POOLS)
def test_the_unit_by_hand(pool: str) -> None:
    torch.manual_seed(0)
    network = small(pool=pool).eval()
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5 if "running_var" in name else -1.0, 1.0)
    unit, x = network.stages[1][0], torch.randn(2, 16, 5, 7)
    y = unit.norm1(unit.conv1(x)).relu()
    y = avg_pool2d(y, 3, 2, 1) if pool == "before" else y
    y = y * y * unit.conv2.block.scale
    y = avg_pool2d(y, 3, 2, 1) if pool == "after" else y
    mean = avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)
    torch.testing.assert_close(unit(x), (unit.norm3(unit.conv3(y)) + unit.shortcut[1:](mean)).relu())
    assert unit.shortcut[1].stride == (1, 1)
    assert not any(isinstance(part, nn.AvgPool2d) for part in network.stages[1][1].modules())
    assert isinstance(network.stages[0][0].conv2, Triple)


def test_both_places_have_the_same_names() -> None:
    assert set(small(pool="after").state_dict()) == set(small(pool="before").state_dict())


@pytest.mark.parametrize("image", [(3, 29, 17), (3, 64, 48), (3, 1, 1)])
@pytest.mark.parametrize("pool", POOLS)
def test_any_size_of_image(image: tuple[int, ...], pool: str) -> None:
    network = small(block(2, 1), pool=pool).eval()
    assert network(torch.zeros(2, *image)).shape == (2, 3)
    x = network.stem(torch.zeros(1, *image))
    assert x.shape[1:] == (4, *(-(-side // 4) for side in image[1:]))


def test_every_parameter_receives_a_gradient() -> None:
    torch.manual_seed(0)
    network = small("resnest", attention=partial(create, "se", reduction=4))
    network(torch.randn(8, 3, 48, 48)).log_softmax(1)[:, 0].sum().backward()
    for name, parameter in network.named_parameters():
        if not name.endswith("fuse.0.bias"):  # a bias before a normalisation changes nothing: its gradient is rounding
            assert parameter.grad.abs().max() > 1e-7, name


def test_the_deep_stem() -> None:
    plain = resnet50
    with torch.device("meta"):
        network, old = plain(), plain()
        deepen_stem(network, 32)
    shapes = [tuple(layer.weight.shape) for layer in network.stem if isinstance(layer, nn.Conv2d)]
    assert shapes == [(32, 3, 3, 3), (32, 32, 3, 3), (64, 32, 3, 3)]
    assert [layer.stride for layer in network.stem if isinstance(layer, nn.Conv2d)] == [(2, 2), (1, 1), (1, 1)]
    assert isinstance(network.stem[-1], nn.MaxPool2d)
    count = sum(p.numel() for p in network.parameters()) - sum(p.numel() for p in old.parameters())
    assert count == 9 * (3 * 32 + 32 * 32 + 32 * 64) - 49 * 3 * 64 + 2 * (32 + 32)
    assert network.stages.state_dict().keys() == old.stages.state_dict().keys()


def test_averaged_shortcuts_have_the_same_weights() -> None:
    network = small_resnet(layers=(1, 2, 1))
    keys = [key.replace("shortcut.1", "shortcut.2").replace("shortcut.0", "shortcut.1") for key in network.state_dict()]
    average_shortcuts(network)
    assert list(network.state_dict()) == keys
    average_shortcuts(network)  # nothing is strided any more
    assert list(network.state_dict()) == keys
    assert network.eval()(torch.zeros(2, 1, 27, 13)).shape == (2, 10)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"pool": "around"}, ValueError, "pool='around' is not one of 'after', 'before'"),
        ({"convolution": "se"}, ValueError, "convolution='se' is a gate and replaces no convolution"),
        ({"convolution": "resnst"}, ValueError, "did you mean 'resnest'"),
        ({"convolution": 3}, TypeError, "convolution=3 is neither"),
        ({"stem_width": 0}, ValueError, "width=0"),
        ({"stem": "small"}, ValueError, "stem has no 7 × 7 convolution"),
        ({"block": "basic"}, ValueError, "block='basic' has no"),
        ({"classes": 0}, ValueError, "classes=0"),
    ],
)
def test_bad_arguments(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small(**options)


@pytest.mark.parametrize("change", [deepen_stem, average_shortcuts])
def test_bad_networks(change: object) -> None:
    with pytest.raises(TypeError, match="network: expected a ResNet of this package, received Linear"):
        change(nn.Linear(2, 2))
