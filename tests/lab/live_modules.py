"""What live pictures are made of in tests: small modules such as readers write, a block, an input, a picture."""

from typing import Any

import torch
from torch import Tensor, nn

import attention
from attention.contract import Attention
from attention.lab.live import Picture, picture
from attention.lab.live.picture import Drawn
from attention.laws import randomise

__all__ = ["Classifier", "Mixer", "Residual", "Two", "drawn", "image", "made", "se"]


class Classifier(nn.Module):
    """A small network: convolution, normalisation, pool, and two numbers; (batch, 2, 4, 4) to (batch, 2)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.act, self.pool, self.drop = nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout()
        self.linear = nn.Linear(12, 2)
        self.norm.running_mean.uniform_(-0.5, 0.5)
        self.norm.running_var.uniform_(0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.drop(self.pool(self.act(self.norm(self.conv(x)))).flatten(1)))


class Residual(nn.Module):
    """A branch with a gate on it, added in place to what came in."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.branch = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.GroupNorm(1, 2), nn.SiLU())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        y *= self.gate(y)[..., None, None]
        y += x
        return y.relu()


class Mixer(nn.Module):
    """Attention over positions with two heads, by einsum, and a mask."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.qkv, self.out = nn.Linear(2, 12, bias=False), nn.Linear(4, 2)
        self.register_buffer("mask", torch.ones(16, 16).tril() == 0)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = self.qkv(x.flatten(2).transpose(1, 2)).reshape(b, h * w, 3, 2, 2).unbind(2)
        scores = torch.einsum("bihd,bjhd->bhij", q, k) / 2**0.5
        weights = scores.masked_fill(self.mask, float("-inf")).softmax(-1)
        read = torch.einsum("bhij,bjhd->bihd", weights, v).reshape(b, h * w, 4)
        return x + self.out(read).transpose(1, 2).reshape(b, c, h, w)


class Two(nn.Module):
    """Two branches that are weighed against each other."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.small, self.large = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 3, padding=1, groups=2)
        self.choose = nn.Linear(2, 4)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.stack([self.small(x), self.large(x)], 1)
        share = self.choose(both.sum(1).mean((2, 3))).reshape(-1, 2, 2).softmax(1)
        return (both * share[..., None, None]).sum(1)


def image(channels: int = 4, size: int = 6, seed: int = 0) -> Tensor:
    """Return (1, channels, size, size): numbers from 0 to 1."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, channels, size, size, generator=generator, dtype=torch.float64)


def made(**options: Any) -> Attention:
    """Squeeze-and-Excitation with weights at random."""
    block = attention.create("se", 4, **{"reduction": 2, **options}).double().eval()
    randomise(block, torch.Generator().manual_seed(1))
    return block


def se() -> Picture:
    """A picture of it with two inputs and two variants."""
    return picture(
        made(),
        {"bright": image() * 0 + 0.5, "noise": image()},
        variants={"with bias": made(bias=True)},
        name="SE",
        symbols={"x": "u", "reduce": "W_1", "expand": "W_2"},
        ranges={"x": (0, 1)},
        title="A <block> & its gates",
        about="Weights at random.",
    )


def drawn(shown: Picture, variant: int = 0) -> dict[str, Drawn]:
    """What a picture draws of a variant, by name."""
    return {each.name: each for each in list(shown.drawn.values())[variant]}
