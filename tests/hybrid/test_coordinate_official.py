"""Coordinate Attention against its official code: the same function in our words, its names, the published sizes."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d

from attention import formulas, registry
from attention.backbones.resnet import resnet50
from attention.hybrid.coordinate import CoordinateAttention
from attention.lab import cost
from attention.official import load_official

OPTIONS = registry.entry("coordinate").official["options"]


def official(channels: int, width: int) -> dict[str, Tensor]:
    """Make up weights under the official names, with the official shapes."""
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return {
        "conv1.weight": normal(width, channels, 1, 1),
        "conv1.bias": normal(width),
        "bn1.weight": normal(width),
        "bn1.bias": normal(width),
        "bn1.running_mean": normal(width),
        "bn1.running_var": 0.5 + normal(width).abs(),
        "bn1.num_batches_tracked": torch.tensor(7),
        "conv_h.weight": normal(channels, width, 1, 1),
        "conv_h.bias": normal(channels),
        "conv_w.weight": normal(channels, width, 1, 1),
        "conv_w.bias": normal(channels),
    }


def as_official(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The function of the official code, on maps of one column: the columns' means are turned, and turned back."""

    def layer(name: str) -> tuple[Tensor, Tensor]:
        return state[f"{name}.weight"], state[f"{name}.bias"]

    height = x.shape[2]
    strip = torch.cat([x.mean(3, keepdim=True), x.mean(2, keepdim=True).mT], dim=2)
    a = batch_norm(
        conv2d(strip, *layer("conv1")), state["bn1.running_mean"], state["bn1.running_var"], *layer("bn1"), eps=1e-5
    )
    a = a * (a + 3).clamp(0, 6) / 6
    rows = conv2d(a[:, :, :height], *layer("conv_h")).sigmoid()
    columns = conv2d(a[:, :, height:].mT, *layer("conv_w")).sigmoid()
    return x * columns * rows


@pytest.mark.parametrize(("channels", "width"), [(16, 8), (320, 10)])
def test_the_official_options_are_the_official_function(channels: int, width: int) -> None:
    """In float64, with all weights, on a map that is no square; below and above the floor of eight."""
    state, block = official(channels, width), CoordinateAttention(channels, **OPTIONS).double().eval()
    load_official(block, state)
    x = torch.randn(2, channels, 5, 8, dtype=torch.float64)
    expected = as_official(state, x)
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(block.attend(x)[0], expected, rtol=0, atol=1e-9)


def test_every_official_name_has_a_place() -> None:
    names = registry.entry("coordinate").official["names"]
    assert {name for name in official(16, 8) if not name.endswith("num_batches_tracked")} <= set(names)
    with pytest.raises(ValueError, match=r"reduce\.weight \(16, 320, 1, 1\), .* do not fit"):
        load_official(CoordinateAttention(320), official(320, 16))


def test_the_number_of_parameters_of_one_block() -> None:
    """6,680 at C = 256, as counted on the official module, 3Cm + 2C + 3m with m = 8."""
    block = CoordinateAttention(256)
    assert sum(p.numel() for p in block.parameters()) == 6_680 == 3 * 256 * 8 + 2 * 256 + 3 * 8
    assert formulas.evaluate("coordinate", channels=256) == 6_680
    cost.check("coordinate", block.eval(), torch.randn(1, 256, 14, 10))


def test_the_size_of_resnet_50() -> None:
    """27,474,864 parameters with a block at the end of each of sixteen units."""
    counted = cost.on_paper(lambda: resnet50(attention=CoordinateAttention), (3, 224, 224))
    assert counted.parameters == 27_474_864


class Inverted(nn.Sequential):
    """An inverted residual unit of MobileNetV2, with a block behind the depthwise convolution where it widens."""

    def __init__(self, channels: int, out: int, stride: int, ratio: int, attention: bool) -> None:
        hidden = channels * ratio
        layers = [] if ratio == 1 else [*_convolution(channels, hidden, 1)]
        layers += _convolution(hidden, hidden, 3, stride, hidden)
        if attention and ratio > 1:
            layers.append(CoordinateAttention(hidden))
        super().__init__(*layers, *_convolution(hidden, out, 1)[:2])


def _convolution(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(out), nn.ReLU6()]


def mobilenet_v2(attention: bool) -> nn.Module:
    """The layers of MobileNetV2 one behind the other; the sums at its shortcuts cost nothing that is counted."""
    layers, channels = _convolution(3, 32, 3, 2), 32
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for ratio, out, count, first in rows:
        for stride in [first] + [1] * (count - 1):
            layers.append(Inverted(channels, out, stride, ratio, attention))
            channels = out
    layers += [*_convolution(320, 1280, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)]
    return nn.Sequential(*layers).eval()


def test_the_size_of_the_published_network() -> None:
    """MobileNetV2: 3.5 million parameters and 300 million multiply–adds, with blocks 3.95 and (in print) 310."""
    plain, attending = (cost.on_paper(lambda a=a: mobilenet_v2(a), (3, 224, 224)) for a in (False, True))
    assert plain.parameters == 3_504_872
    assert plain.macs == 300_774_272
    assert attending.parameters == 3_950_648
    assert f"{attending.macs / 1e6:.1f}" == "306.7"
