"""Modules of every kind that a drawing must cope with."""

import random

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from attention.channel.se import SqueezeExcitation
from attention.lab.shapes import trace


class Calls(nn.Module):
    """A module that does what a function says."""

    def __init__(self, function, **tensors):
        super().__init__()
        self.function = function
        for name, value in tensors.items():
            setattr(self, name, nn.Parameter(value) if isinstance(value, torch.Tensor) else value)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def run(function, *shapes, **tensors):
    """Trace a function on random tensors."""
    return trace(Calls(lambda m, *x: function(*x), **tensors), *(torch.randn(s) for s in shapes))


def words(found):
    """What a run did, operation by operation."""
    return [node.words for node in found.nodes if node.words]


class Bottleneck(nn.Module):
    """A residual bottleneck with SE on the branch, and a projection on the shortcut where the shape changes."""

    def __init__(self, channels=64, out=64, stride=1):
        super().__init__()
        inner = out // 4
        self.conv1, self.bn1 = nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.attention = SqueezeExcitation(out)
        self.shortcut = nn.Identity()
        if stride != 1 or out != channels:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.attention(self.bn3(self.conv3(y)))
        y += self.shortcut(x)
        return self.relu(y)


class TwoGates(nn.Module):
    """A channel gate from mean and max through one shared network, then a spatial gate: as in CBAM."""

    def __init__(self, channels=64, reduction=16):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(channels, channels // reduction), nn.ReLU(), nn.Linear(channels // reduction, channels)
        )
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x):
        mean, largest = F.adaptive_avg_pool2d(x, 1).flatten(1), F.adaptive_max_pool2d(x, 1).flatten(1)
        x = x * torch.sigmoid(self.mlp(mean) + self.mlp(largest))[:, :, None, None]
        both = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], dim=1)
        return x * torch.sigmoid(self.conv(both))


class Branches(nn.Module):
    """Two convolutions of different size, weighed against each other channel by channel: as in SK."""

    def __init__(self, channels=32):
        super().__init__()
        self.small = nn.Conv2d(channels, channels, 3, padding=1)
        self.large = nn.Conv2d(channels, channels, 3, padding=2, dilation=2)
        self.reduce, self.expand = nn.Linear(channels, channels // 4), nn.Linear(channels // 4, 2 * channels)

    def forward(self, x):
        a, b = self.small(x), self.large(x)
        z = F.relu(self.reduce((a + b).mean((2, 3))))
        weights = rearrange(self.expand(z), "b (m c) -> b m c", m=2).softmax(1)
        first, second = weights.unbind(1)
        return a * first[..., None, None] + b * second[..., None, None]


class Fusion(nn.Module):
    """Two inputs, one gate that divides between them: as in AFF."""

    def __init__(self, channels=32):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x, y):
        gate = torch.sigmoid(self.conv(x + y))
        return x * gate + y * (1 - gate)


class Sampler(nn.Module):
    """A sampling grid computed from the input: as in STN."""

    def __init__(self, channels=8):
        super().__init__()
        self.locate = nn.Sequential(
            nn.Conv2d(channels, 4, 7, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6)
        )

    def forward(self, x):
        theta = self.locate(x).view(-1, 2, 3)
        grid = F.affine_grid(theta, x.shape, align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)


class Loop(nn.Module):
    """The same convolution again and again, until a pass count that only Python knows."""

    def __init__(self, channels=16, passes=2):
        super().__init__()
        self.conv, self.passes = nn.Conv2d(channels, channels, 3, padding=1), passes

    def forward(self, x):
        for i in range(self.passes):
            y = self.conv(x)
            x = x + (y.relu() if i % 2 == 0 else y.tanh())
        return x


class Heads(nn.Module):
    """Self-attention with several heads, by matrix products."""

    def __init__(self, channels=32, heads=4):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(channels, 3 * channels, bias=False), nn.Linear(channels, channels)

    def forward(self, x):
        q, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
        return self.out(rearrange(weights @ v, "b h n d -> b n (h d)"))


class Tall(nn.Module):
    """From an image to 2048 maps of 7 × 7."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.pool = nn.AdaptiveAvgPool2d(7)
        self.wide = nn.Conv2d(64, 2048, 1)
        self.head = nn.Linear(2048, 1000)

    def forward(self, x):
        x = self.wide(self.pool(self.stem(x)))
        return self.head(x.mean((2, 3)))


def cases():
    """Name, module and inputs of each."""
    torch.manual_seed(0)
    return {
        "SE": (SqueezeExcitation(64), torch.randn(2, 64, 8, 8)),
        "bottleneck": (Bottleneck(), torch.randn(2, 64, 8, 8)),
        "projection": (Bottleneck(32, 64, 2), torch.randn(2, 32, 8, 8)),
        "two gates": (TwoGates(), torch.randn(2, 64, 8, 8)),
        "branches": (Branches(), torch.randn(2, 32, 8, 8)),
        "fusion": (Fusion(), torch.randn(2, 32, 8, 8), torch.randn(2, 32, 8, 8)),
        "sampler": (Sampler(), torch.randn(2, 8, 16, 12)),
        "loop": (Loop(), torch.randn(2, 16, 8, 8)),
        "heads": (Heads(), torch.randn(2, 10, 32)),
        "wide": (Wide(), torch.randn(1, 64, 28, 28)),
        "tall": (Tall(), torch.randn(1, 3, 224, 224)),
    }


class RandomRun(nn.Module):
    """A run that parts and meets at random; which tensors it takes is drawn from a seed."""

    def __init__(self, seed, steps=9):
        super().__init__()
        self.seed, self.steps = seed, steps

    def forward(self, x):
        draw = random.Random(self.seed)
        made = [x]
        for _ in range(self.steps):
            kind, a, b = draw.choice("sscmvg"), draw.choice(made[-4:]), draw.choice(made)
            if kind == "s":
                made.append(a + b if a is not b else a.relu())
            elif kind == "c":
                made.append(torch.cat([a, b], 1)[:, :4])
            elif kind == "m":
                made.append(a * b.mean((2, 3), keepdim=True).sigmoid())
            elif kind == "v":
                made += [t.repeat(1, 2, 1, 1) for t in a.chunk(2, 1)]
            else:
                made.append(F.conv2d(a, torch.ones(4, 4, 3, 3), padding=1))
        return made[-1] + made[0]


def random_module(seed):
    """A module with a wiring of its own for each seed."""
    return RandomRun(seed)


class Wide(nn.Module):
    """Four branches side by side and a skip, as in Inception."""

    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(64, 16, 1) for _ in range(4))

    def forward(self, x):
        return x + torch.cat([branch(x) for branch in self.branches], 1)
