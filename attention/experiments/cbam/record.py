"""Clothes among clutter: CBAM in three orders, without the maximum, with 3 × 3, and without space.

``make record NAME=cbam`` runs it.

Seven networks, trained alike on Fashion-MNIST objects that are made smaller and laid anywhere on a cluttered canvas, so
that *where* is a question:

* ``plain``: no block.
* ``SE``: the channels' gate alone, from means alone, with biases.
* ``CBAM``: the paper's order, channels and then positions, as the authors' code has it (biases, normalisation that
  starts at 0).
* ``space first`` and ``parallel``: the same parts in the other two arrangements, with exactly as many parameters.
* ``means only``: the mean in the place of each maximum, with exactly as many parameters.
* ``k = 3``: a kernel of 3 × 3, with 80 parameters fewer in each block.

With ``ATTENTION_FASHION_MNIST`` set to a folder of the original files, the full set is used (GPU only).
"""

import os
import sys
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from attention.backbones.resnet import small_resnet
from attention.channel.se import SqueezeExcitation
from attention.contract import Attention
from attention.hybrid.cbam import ConvolutionalBlockAttention
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.tasks.canvases import canvas
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.task import Task
from attention.lab.training import compare

CODE = [
    "attention/contract.py",
    "attention/numerics.py",
    "attention/channel/se.py",
    "attention/hybrid/cbam.py",
    "attention/backbones/resnet.py",
    "attention/lab/training.py",
    "attention/lab/tasks/canvases.py",
    "attention/lab/tasks/fashion.py",
    "attention/data/fashion_mnist.npz.sha256",
]

#: By budget: the network, the seeds, and the training, the same for all networks.
SIZES: dict[str, dict[str, Any]] = {
    "smoke": {
        "widths": (8, 16),
        "units": 1,
        "reduction": 4,
        "seeds": 2,
        "steps": 3,
        "batch": 16,
        "images": (100, 100),
    },
    "cpu": {
        "widths": (16, 32, 64),
        "units": 1,
        "reduction": 4,
        "seeds": 12,
        "steps": 600,
        "batch": 64,
        "images": (6000, 2000),
    },
    "gpu": {
        "widths": (32, 64, 128),
        "units": 2,
        "reduction": 8,
        "seeds": 24,
        "steps": 3000,
        "batch": 128,
        "images": (6000, 2000),
    },
}
LR = 3e-3
CANVAS = {"size": 32, "scale": (0.7, 0.7)}
CLUTTER = 6


def blocks(budget: str) -> dict[str, Any]:
    """Name the blocks that are compared, each a function of the number of channels."""
    reduction = SIZES[budget]["reduction"]

    def cbam(**options: Any) -> Any:
        official = {"bias": True, "norm": True, "zero_init": True}
        return lambda channels: ConvolutionalBlockAttention(channels, reduction, **official | options)

    return {
        "plain": None,
        "SE": lambda channels: SqueezeExcitation(channels, reduction, True),
        "CBAM": cbam(),
        "space first": cbam(order="space-channel"),
        "parallel": cbam(order="parallel"),
        "means only": cbam(statistics=("mean", "mean")),
        "k = 3": cbam(kernel_size=3),
    }


@cache
def clothes(budget: str) -> Task:
    """Load the images: the shipped part, or on a GPU the full set where it is at hand."""
    folder = os.environ.get("ATTENTION_FASHION_MNIST")
    if budget == "gpu" and folder:
        return fashion_mnist(60000, 10000, folder=folder)
    return fashion_mnist(*SIZES[budget]["images"])


def data(budget: str, seed: int, clutter: int = CLUTTER) -> Task:
    """Lay the objects on canvases, other ones with each seed; without clutter they lie in the same places."""
    return canvas(clothes(budget), **CANVAS, clutter=clutter, seed=seed)


def regions(cluttered: Tensor, clean: Tensor) -> Tensor:
    """Say of each pixel whether it is object, clutter or empty: 0 or 1, (samples, 3, height, width)."""
    thing = (clean > 0).float()
    strewn = (cluttered > 0).float() * (1 - thing)
    return torch.cat([thing, strewn, 1 - thing - strewn], dim=1)


@torch.no_grad()
def attended(model: nn.Module, x: Tensor, where: Tensor) -> dict[str, list[float]]:
    """Average each block's gate of positions over object, clutter and empty canvas."""
    sums: dict[str, Tensor] = {}
    shares: list[Tensor] = []  # those of the images that are going through

    def look(name: str) -> Any:
        def keep(block: Attention, inputs: Any, _: Any) -> None:
            gate = block.attend(*inputs)[1]["space"]
            share = adaptive_avg_pool2d(shares[-1], gate.shape[2:])
            both = [(gate * share).sum((0, 2, 3)), share.sum((0, 2, 3))]
            sums[name] = sums.get(name, 0) + torch.stack(both).double()

        return keep

    hooks = [
        m.register_forward_hook(look(n)) for n, m in model.named_modules() if isinstance(m, ConvolutionalBlockAttention)
    ]
    for i, part in enumerate(x.split(500)):
        shares.append(where.split(500)[i])
        model(part)
    for hook in hooks:
        hook.remove()
    return {name: (a / b).tolist() for name, (a, b) in sums.items()}


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train all networks with one seed, and ask where their gates of positions are open."""
    name, size = budget.name, SIZES[budget.name]
    task = data(name, seed).to(budget.device)
    x = task.test[0]
    where = regions(x, data(name, seed, clutter=0).test[0].to(budget.device))
    looked: dict[str, Any] = {}

    def look(model_name: str, _: int, model: nn.Module) -> None:
        if model_name in ("CBAM", "space first", "parallel"):
            looked[model_name] = attended(model, x, where)

    widths, units = size["widths"], [size["units"]] * len(size["widths"])
    models = {
        label: lambda block=block: small_resnet(widths, attention=block, layers=units)
        for label, block in blocks(name).items()
    }
    compared = compare(
        models,
        task,
        seeds=(seed,),
        steps=size["steps"],
        batch=size["batch"],
        lr=LR,
        device=budget.device,
        keep=look,
    )
    scores = ", ".join(f"{r.name} {r.score:.3f}" for r in compared.runs)
    print(f"seed {seed}: {scores}", file=sys.stderr, flush=True)
    return {"comparison": compared.to_dict(), "looked": looked}


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps."""
    name, size = budget.name, SIZES[budget.name]
    images = clothes(name)
    return {
        "settings": {
            "widths": size["widths"],
            "units": size["units"],
            "reduction": size["reduction"],
            "lr": LR,
            "train": len(images.train[0]),
            "test": len(images.test[0]),
            "canvas": CANVAS["size"],
            "scale": CANVAS["scale"][0],
            "clutter": CLUTTER,
        },
        "comparison": Comparison.merge(Comparison.from_dict(each["comparison"]) for each in results).to_dict(),
        "where": [each["looked"] for each in results],
    }
