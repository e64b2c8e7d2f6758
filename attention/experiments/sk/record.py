"""Do a network's weights on the wider window follow the size of the object? `make record NAME=sk`.

A small residual network with six selective kernels learns Fashion-MNIST on a canvas, with objects of all sizes and
brightnesses. Then the same test objects are shown, in the middle, at 1.0 to 2.0 times a size, in three ways:

* ``size``: enlarged, as bright as they are. Their sum of brightness grows fourfold.
* ``size, equal sum``: enlarged, and dimmed so that the sum of brightness stays that of the smallest.
* ``brightness``: at the largest size, dimmed so that the sum of brightness is that of ``size``.

What is kept is the mean weight of the wider window, for each layer, size and seed. The weights are computed from means
over the whole map, so brightness alone could move them: the three ways tell size and brightness apart.

A second network is trained alike, ``no choice``: the same branches, the same layers and exactly as many parameters, but
their numbers make one gate a channel for the *sum* of the branches. It weighs channels and cannot choose a window.
"""

from dataclasses import replace
from functools import cache, partial
from math import log
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from attention.branch.sk import SelectiveKernel
from attention.experiments.sk.tasks import NoChoice
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.tasks.canvases import canvas
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.task import Task
from attention.lab.training import compare

CODE = [
    "attention/contract.py",
    "attention/numerics.py",
    "attention/branch/sk.py",
    "attention/experiments/sk/tasks.py",
    "attention/lab/training.py",
    "attention/lab/tasks/canvases.py",
    "attention/lab/tasks/fashion.py",
    "attention/data/fashion_mnist.npz.sha256",
]

#: By budget: the network, the seeds, and the training, the same for both networks.
SIZES: dict[str, dict[str, Any]] = {
    "smoke": {
        "widths": (8, 8, 8),
        "groups": 2,
        "reduction": 4,
        "floor": 4,
        "seeds": 2,
        "steps": 3,
        "batch": 16,
        "images": (100, 50),
    },
    "cpu": {
        "widths": (16, 32, 64),
        "groups": 8,
        "reduction": 4,
        "floor": 16,
        "seeds": 12,
        "steps": 600,
        "batch": 64,
        "images": (6000, 1000),
    },
    "gpu": {
        "widths": (32, 64, 128),
        "groups": 16,
        "reduction": 4,
        "floor": 16,
        "seeds": 16,
        "steps": 4000,
        "batch": 128,
        "images": (6000, 2000),
    },
}
LR = 3e-3
CANVAS = 32  # pixels; the images are 28 × 28
SMALLEST = 0.5  # of the objects' own size: 1.0× is 14 pixels, 2.0× is 28
TRAINED = (0.45, 1.1)  # the range of sizes that is trained on
DIMMEST = 0.25  # brightness in training reaches from here to 1
SCALES = (1.0, 1.25, 1.5, 1.75, 2.0)
WAYS = ("size", "size, equal sum", "brightness")


class Unit(nn.Module):
    """A residual unit: 1 × 1, the selective kernel, 1 × 1, and the addition."""

    def __init__(self, channels: int, width: int, stride: int, kernel: Any) -> None:
        super().__init__()
        self.narrow = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.kernel = kernel(width, stride=stride)
        self.widen = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1, bias=False),
            nn.BatchNorm2d(2 * width),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != 2 * width:
            self.shortcut.append(nn.Conv2d(channels, 2 * width, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(2 * width))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the unit's output."""
        branch = self.widen(self.kernel(self.narrow(x)))
        return (self.shortcut(x) + branch).relu()


def network(budget: str, block: type[SelectiveKernel] = SelectiveKernel) -> nn.Module:
    """Build the network: a convolution of stride 2, then two units at 16 × 16, two at 8 × 8 and two at 4 × 4."""
    size = SIZES[budget]
    kernel = partial(
        block,
        groups=size["groups"],
        reduction=size["reduction"],
        floor=size["floor"],
    )
    channels = size["widths"][0]
    layers = [
        nn.Conv2d(1, channels, 3, 2, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    ]
    for stage, width in enumerate(size["widths"]):
        for stride in (2 if stage else 1, 1):
            layers.append(Unit(channels, width, stride, kernel))
            channels = 2 * width
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    return nn.Sequential(*layers, *head)


@cache
def data(budget: str) -> Task:
    """Load the images and put them on canvases, moved, of all sizes, and of all brightnesses in training."""
    task = canvas(fashion_mnist(*SIZES[budget]["images"]), CANVAS, scale=TRAINED)
    x, y = task.train
    drawn = torch.rand(len(x), generator=torch.Generator().manual_seed(0))
    dim = torch.exp(drawn * log(DIMMEST))
    return replace(task, train=(x * rearrange(dim, "n -> n 1 1 1"), y))


@cache
def shown(budget: str) -> dict[str, Tensor]:
    """Show the test objects in the middle, in each way and at each scale: (scales, samples, 1, height, width)."""
    task = fashion_mnist(*SIZES[budget]["images"])
    sizes = [(SMALLEST * k, SMALLEST * k) for k in SCALES]
    as_they_are = torch.stack([canvas(task, CANVAS, move=0.0, scale=s).test[0] for s in sizes])
    area = rearrange(torch.tensor(SCALES) ** 2, "k -> k 1 1 1 1")
    largest = as_they_are[-1:].expand_as(as_they_are)
    return {
        "size": as_they_are,
        "size, equal sum": as_they_are / area,
        "brightness": largest * area / area.max(),
    }


@torch.no_grad()
def wider_window(model: nn.Module, x: Tensor) -> list[Tensor]:
    """Compute the weights of the last branch, (samples, channels), in each layer."""
    found: list[Tensor] = []
    blocks = [m for m in model.modules() if isinstance(m, SelectiveKernel)]
    hooks = [
        block.register_forward_hook(
            lambda block, inputs, _: found.append(block.attend(*inputs)[1]["branch"][:, -1].flatten(1))
        )
        for block in blocks
    ]
    model(x)
    for hook in hooks:
        hook.remove()
    return [each.float().cpu() for each in found]


@torch.no_grad()
def right(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the share of samples that a model classifies rightly."""
    return (model(x).argmax(1) == y).double().mean().item()


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train both networks with one seed, and look at their weights and scores at each size."""
    name, size = budget.name, SIZES[budget.name]
    task = data(name)
    y = task.test[1].to(budget.device)
    looked: dict[str, Any] = {"weights": {}, "scores": {}}

    def look(model_name: str, _: int, model: nn.Module) -> None:
        model.eval()
        looked["scores"][model_name] = {
            way: [right(model, x.to(budget.device), y) for x in pictures] for way, pictures in shown(name).items()
        }
        if model_name != "SK":
            return
        for way, pictures in shown(name).items():
            by_scale = [wider_window(model, x.to(budget.device)) for x in pictures]
            looked["weights"][way] = [[layer.mean().item() for layer in layers] for layers in by_scale]
            if way == "size":
                looked["channels"] = [
                    [(1000 * layer.mean(0)).round().int().tolist() for layer in layers]
                    for layers in (by_scale[0], by_scale[-1])
                ]

    compared = compare(
        {
            "SK": partial(network, name),
            "no choice": partial(network, name, NoChoice),
        },
        task,
        seeds=(seed,),
        steps=size["steps"],
        batch=size["batch"],
        lr=LR,
        device=budget.device,
        keep=look,
    )
    return {"comparison": compared.to_dict(), **looked}


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps."""
    name, size = budget.name, SIZES[budget.name]
    task = data(name)
    return {
        "settings": {
            "widths": size["widths"],
            "groups": size["groups"],
            "reduction": size["reduction"],
            "floor": size["floor"],
            "lr": LR,
            "train": len(task.train[0]),
            "test": len(task.test[0]),
            "canvas": CANVAS,
            "smallest": SMALLEST,
            "trained": TRAINED,
            "dimmest": DIMMEST,
            "scales": SCALES,
        },
        "comparison": Comparison.merge(Comparison.from_dict(each["comparison"]) for each in results).to_dict(),
        # way: seeds × scales × layers
        "weights": {way: [each["weights"][way] for each in results] for way in WAYS},
        # network: way: seeds × scales
        "scores": {
            model: {way: [each["scores"][model][way] for each in results] for way in WAYS}
            for model in ("SK", "no choice")
        },
        # seeds × (smallest, largest) × layers × channels, thousandths
        "channels": [each["channels"] for each in results],
    }
