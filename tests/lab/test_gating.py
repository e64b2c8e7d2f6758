"""Gates replaced all at once: what each rule gives, and that a model is left as it was."""

import pytest
import torch
from torch import nn

from attention.backbones.resnet import small_resnet
from attention.channel.se import SqueezeExcitation
from attention.contract import Attention
from attention.lab import gating


@pytest.fixture
def gated() -> nn.Module:
    torch.manual_seed(0)
    model = small_resnet((8, 16), attention=lambda channels: SqueezeExcitation(channels, 2, bias=True)).eval()
    for block in model.modules():
        if isinstance(block, SqueezeExcitation):
            nn.init.normal_(block.expand.weight)
    return model


def test_the_rule_that_changes_nothing_changes_nothing_and_others_leave_no_trace(gated: nn.Module) -> None:
    x = torch.rand(6, 1, 12, 12)
    own = gated(x)
    with gating.gated_by(gated, gating.gates_of):
        torch.testing.assert_close(gated(x), own)
    for rule in (gating.another_image, gating.always_the_mean):
        with gating.gated_by(gated, rule):
            assert not torch.allclose(gated(x), own)
    with pytest.raises(RuntimeError, match="stop"), gating.gated_by(gated, gating.always_the_mean):
        raise RuntimeError("stop")
    assert torch.equal(gated(x), own)


def test_each_rule_does_what_it_says(gated: nn.Module) -> None:
    block = next(module for module in gated.modules() if isinstance(module, Attention))
    x = torch.randn(4, block.channels, 2, 2)
    own = gating.gates_of(block, x)
    torch.testing.assert_close(own, block.weights(x))
    assert torch.equal(gating.another_image(block, x)[1:], own[:-1])
    torch.testing.assert_close(gating.always_the_mean(block, x), own.mean(0, keepdim=True))
