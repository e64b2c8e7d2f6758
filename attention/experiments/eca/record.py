"""Fashion-MNIST, the same small ResNet with ECA, and what its neighbours are worth: `make record NAME=eca`.

Five networks, trained alike. Outside the blocks all of them start from the same weights.

* ``plain``: no block.
* ``SE``: Squeeze-and-Excitation.
* ``ECA``: Efficient Channel Attention, with the kernel size of its formula.
* ``k = 1``: ECA without neighbours: each gate sees the mean of its own channel only.
* ``shuffled order``: ECA whose convolution runs along the channels in a fixed random order, drawn before the training.
  The initial weights of all channels are drawn alike, so to rename the channels changes nothing about how they are
  distributed: this arm and ``ECA`` have the same distribution of results. It is the measure of what chance does.

ECA minus ``k = 1`` says what the neighbours are worth. Then it is asked whether training gives the order of the
channels a meaning. For the means that reach each block: are those of neighbours more alike than those of any two
channels, over the test images? And with the trained ECA: what happens to its accuracy where the gates are computed from
channels in another order, where all gates are those of another image, or are always their mean over the images?

With ``ATTENTION_FASHION_MNIST`` set to a folder of the original files, the full set is used (GPU only).
"""

import os
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from attention.backbones.resnet import Residual, small_resnet
from attention.channel.eca import EfficientChannelAttention
from attention.channel.se import SqueezeExcitation
from attention.contract import Attention
from attention.lab.classes import class_means, class_share
from attention.lab.comparison import Comparison
from attention.lab.gating import Rule, always_the_mean, another_image, gated_by, gates_of
from attention.lab.session import Budget
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.task import Task
from attention.lab.training import compare, evaluate

CODE = [
    "attention/contract.py",
    "attention/channel/eca.py",
    "attention/channel/se.py",
    "attention/backbones/resnet.py",
    "attention/lab/training.py",
    "attention/lab/classes.py",
    "attention/lab/gating.py",
    "attention/lab/tasks/fashion.py",
    "attention/data/fashion_mnist.npz.sha256",
]

#: By budget: the network, the seeds, and the training, the same for all networks.
SIZES: dict[str, dict[str, Any]] = {
    "smoke": {
        "widths": (8, 16),
        "units": 1,
        "seeds": 2,
        "steps": 3,
        "batch": 16,
        "images": (100, 100),
    },
    "cpu": {
        "widths": (16, 32, 64),
        "units": 1,
        "seeds": 8,
        "steps": 500,
        "batch": 64,
        "images": (6000, 2000),
    },
    "gpu": {
        "widths": (32, 64, 128),
        "units": 2,
        "seeds": 16,
        "steps": 3000,
        "batch": 128,
        "images": (6000, 2000),
    },
}
LR = 3e-3
REDUCTION = 4  # of SE
ORDERS = 5  # random orders of the channels that a trained network is tried with
DRAWS = 999  # random orders with which the neighbours of a block are compared


class Reordered(EfficientChannelAttention):
    """The control: the convolution runs along the channels in a fixed random order; the gates return to their places.

    :param channels: number of channels.
    :param seed: of the order.
    """

    def __init__(self, channels: int, seed: int = 0) -> None:
        super().__init__(channels)
        order = torch.randperm(channels, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("order", order)
        self.register_buffer("back", order.argsort())

    def weights(self, x: Tensor) -> Tensor:
        """Compute the gates from the channels in the other order, and bring them back into their own."""
        return super().weights(x[:, self.order])[:, self.back]


def arms(seed: int) -> dict[str, Any]:
    """Name the blocks that are compared, each a function of the number of channels.

    :param seed: of the fixed random order.
    """
    return {
        "plain": None,
        "SE": lambda channels: SqueezeExcitation(channels, REDUCTION),
        "ECA": EfficientChannelAttention,
        "k = 1": lambda channels: EfficientChannelAttention(channels, 1),
        "shuffled order": lambda channels: Reordered(channels, seed),
    }


def network(budget: str, block: Any = None) -> nn.Module:
    """Build the small ResNet, with a block in each unit or without.

    A block draws its weights from random numbers of its own, so that it changes none of the network's.
    """
    size = SIZES[budget]

    def make(channels: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            return block(channels)

    return small_resnet(
        size["widths"], attention=None if block is None else make, layers=[size["units"]] * len(size["widths"])
    )


@cache
def data(budget: str) -> Task:
    """Load the images: the shipped part, or on a GPU the full set where it is at hand."""
    folder = os.environ.get("ATTENTION_FASHION_MNIST")
    if budget == "gpu" and folder:
        return fashion_mnist(60000, 10000, folder=folder)
    return fashion_mnist(*SIZES[budget]["images"])


@torch.no_grad()
def means(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Compute the channel means (samples, channels) at the end of each residual branch: a block's *z*, or its place."""
    found: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Any:
        return lambda _, __, output: found.setdefault(name, []).append(output.mean((2, 3)))

    units = {name: unit for name, unit in model.named_modules() if isinstance(unit, Residual)}
    hooks = [unit.norm2.register_forward_hook(keep(name)) for name, unit in units.items()]
    for part in x.split(500):
        model(part)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts).double().cpu() for name, parts in found.items()}


def alike(z: Tensor, order: Tensor | None = None) -> dict[str, float]:
    """Compare the correlation of neighbours with that of any two channels.

    :param z: channel means, (samples, channels).
    :param order: the order in which the channels are neighbours; by default their own.
    :returns: the mean of the absolute correlation over the pairs of neighbours, ``neighbours``, and over all pairs,
        ``any two``, which is what a random order of the channels gives on average; the same two of the signed
        correlation; and ``above``, the share of random orders whose neighbours are less alike.
    """
    r = torch.corrcoef(z.T if order is None else z.T[order])
    pairs = r[torch.triu(torch.ones_like(r), 1).bool()]
    side = r.diagonal(1)
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randperm(len(r), generator=generator) for _ in range(DRAWS)]
    random = torch.stack([r[p[:-1], p[1:]].abs().mean() for p in draws])
    found = {
        "neighbours": side.abs().mean(),
        "any two": pairs.abs().mean(),
        "neighbours, signed": side.mean(),
        "any two, signed": pairs.mean(),
        "above": (random < side.abs().mean()).double().mean(),
    }
    return {name: round(value.item(), 4) for name, value in found.items()}


def likeness(model: nn.Module, x: Tensor) -> dict[str, dict[str, float]]:
    """Compare neighbours with any two channels at each block, in the order in which the block sees them."""
    blocks = {name: block for name, block in model.named_modules() if isinstance(block, Reordered)}
    orders = {name.removesuffix(".attention"): block.order.cpu() for name, block in blocks.items()}
    return {name: alike(z, orders.get(name)) for name, z in means(model, x).items()}


def in_another_order(seed: int) -> Rule:
    """The rule that computes the gates from the channels in a random order and brings them back into their own."""

    def rule(block: Attention, x: Tensor) -> Tensor:
        order = torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(seed)).to(x.device)
        return gates_of(block, x[:, order])[:, order.argsort()]

    return rule


def tried(model: nn.Module, task: Task) -> dict[str, Any]:
    """Score a trained network with other gates than its own, by how they come about."""
    rules: dict[str, Rule] = {"another image": another_image, "always the mean": always_the_mean}
    scores: dict[str, Any] = {}
    for name, rule in rules.items():
        with gated_by(model, rule):
            scores[name] = evaluate(model, task)
    if any(isinstance(block, EfficientChannelAttention) for block in model.modules()):
        scores["another order"] = []
        for seed in range(ORDERS):
            with gated_by(model, in_another_order(seed)):
                scores["another order"].append(evaluate(model, task))
    return scores


@torch.no_grad()
def gates(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Compute the gates (samples, channels) of every block of a trained model, in the order in which they act."""
    found: dict[str, list[Tensor]] = {}
    names = {block: name for name, block in model.named_modules() if isinstance(block, Attention)}

    def rule(block: Attention, inputs: Tensor) -> Tensor:
        gate = gates_of(block, inputs)
        found.setdefault(names[block], []).append(gate.flatten(1))
        return gate

    with gated_by(model, rule):
        for part in x.split(500):
            model(part)
    return {name: torch.cat(parts).double().cpu() for name, parts in found.items()}


def looked_at(model: nn.Module, task: Task, seed: int) -> dict[str, Any]:
    """Look into a trained network with blocks: kernels, how far the gates move, and what they know of the classes."""
    x, labels = task.test[0], task.test[1].cpu()
    found = gates(model, x)
    kernels = {
        name: block.conv.weight.flatten().tolist()
        for name, block in model.named_modules()
        if isinstance(block, EfficientChannelAttention)
    }
    looked: dict[str, Any] = {
        "kernels": kernels,
        "mean": {name: round(gate.mean().item(), 4) for name, gate in found.items()},
        "over images": {name: round(gate.std(0).mean().item(), 4) for name, gate in found.items()},
        "over channels": {name: round(gate.mean(0).std().item(), 4) for name, gate in found.items()},
        "share of classes": {name: round(class_share(gate, labels), 4) for name, gate in found.items()},
    }
    if seed == 0:
        by_class = {name: class_means(gate, labels).to_dict() for name, gate in found.items()}
        looked["by class"] = {
            name: kept | {"means": [[round(mean, 3) for mean in row] for row in kept["means"]]}
            for name, kept in by_class.items()
        }
    return looked


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train all networks with one seed; compare neighbours before and after, and try the trained ones."""
    name, size = budget.name, SIZES[budget.name]
    task = data(name).to(budget.device)
    x = task.test[0]
    found: dict[str, dict[str, Any]] = {"start": {}, "trained": {}, "tried": {}, "looked": {}}

    def build(label: str, block: Any) -> nn.Module:
        model = network(name, block).to(budget.device).eval()
        if label in ("plain", "ECA", "shuffled order"):
            found["start"][label] = likeness(model, x)
        return model

    def look(label: str, _: int, model: nn.Module) -> None:
        found["trained"][label] = likeness(model, x)
        if label in ("SE", "ECA"):
            found["tried"][label] = tried(model, task)
        if label in ("SE", "ECA", "k = 1"):
            found["looked"][label] = looked_at(model, task, seed)

    compared = compare(
        {label: lambda label=label, block=block: build(label, block) for label, block in arms(seed).items()},
        task,
        seeds=(seed,),
        steps=size["steps"],
        batch=size["batch"],
        lr=LR,
        device=budget.device,
        keep=look,
    )
    return {"comparison": compared.to_dict(), **found}


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: of each part, a list with one entry a seed."""
    size, task = SIZES[budget.name], data(budget.name)
    parts = ("start", "trained", "tried", "looked")
    return {
        "settings": {
            "widths": size["widths"],
            "units": size["units"],
            "reduction": REDUCTION,
            "lr": LR,
            "train": len(task.train[0]),
            "test": len(task.test[0]),
            "classes": task.labels,
        },
        "comparison": Comparison.joined(each["comparison"] for each in results).to_dict(),
        **{part: [each[part] for each in results] for part in parts},
    }
