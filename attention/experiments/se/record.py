"""Fashion-MNIST, the same small ResNet with and without SE, and with two controls: `make record NAME=se`.

Four networks, trained alike:

* ``plain``: no block. Its normalisations already hold a learned scale for each channel, the same for every image.
* ``SE``: Squeeze-and-Excitation before each addition.
* ``no squeeze``: the same two layers, the same sigmoid, exactly as many parameters, but the gate is computed at
  each pixel from that pixel, without the mean: gating without a global statistic.
* ``wider``: plain, with its stages widened in proportion until it has as many parameters as SE, to within 1%.

SE minus plain says whether the block helps; SE minus the controls, whether that is due to its squeeze.

With ``ATTENTION_FASHION_MNIST`` set to a folder of the original files, the full set is used (GPU only).
"""

import os
from functools import cache
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from attention.backbones.resnet import small_resnet
from attention.channel.se import SqueezeExcitation
from attention.contract import Attention
from attention.lab.classes import class_means
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.task import Task
from attention.lab.training import compare

CODE = [
    "attention/contract.py",
    "attention/channel/se.py",
    "attention/backbones/resnet.py",
    "attention/lab/training.py",
    "attention/lab/classes.py",
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
        "seeds": 8,
        "steps": 1500,
        "batch": 64,
        "images": (6000, 2000),
    },
    "gpu": {
        "widths": (32, 64, 128),
        "units": 2,
        "reduction": 8,
        "seeds": 16,
        "steps": 3000,
        "batch": 128,
        "images": (6000, 2000),
    },
}
LR = 3e-3
SHOWN = 200  # test images whose gates a run returns, in thousandths


class NoSqueeze(nn.Module):
    """The control: SE's two layers at each pixel, without the mean over pixels."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        inner = SqueezeExcitation(channels, reduction)
        self.reduce, self.expand = inner.reduce, inner.expand

    def forward(self, x: Tensor) -> Tensor:
        """Scale each pixel by its own gate."""
        gate = self.expand(self.reduce(rearrange(x, "b c h w -> b h w c")).relu()).sigmoid()
        return x * rearrange(gate, "b h w c -> b c h w")


def network(budget: str, block: Any = None, widths: tuple[int, ...] | None = None) -> nn.Module:
    """Build the small ResNet, with a block in each unit or without."""
    size = SIZES[budget]
    widths = widths or size["widths"]
    return small_resnet(widths, attention=block, layers=[size["units"]] * len(widths))


def blocks(budget: str) -> dict[str, Any]:
    """Name the blocks that are compared, each a function of the number of channels."""
    reduction = SIZES[budget]["reduction"]
    return {
        "plain": None,
        "SE": lambda channels: SqueezeExcitation(channels, reduction),
        "no squeeze": lambda channels: NoSqueeze(channels, reduction),
    }


def size_of(model: nn.Module) -> int:
    """Count a model's parameters."""
    return sum(p.numel() for p in model.parameters())


@cache
def wider(budget: str) -> tuple[int, ...]:
    """Find the widths, in proportion, whose plain network has the number of parameters of SE's, to within 1%."""
    with torch.device("meta"):
        wanted = size_of(network(budget, blocks(budget)["SE"]))
        base = SIZES[budget]["widths"]
        tried = {tuple(round(w * (1 + k / 1000)) for w in base): None for k in range(300)}
        best = min(
            tried,
            key=lambda widths: abs(size_of(network(budget, widths=widths)) - wanted),
        )
        found = size_of(network(budget, widths=best))
    if budget != "smoke" and abs(found - wanted) > wanted / 100:
        raise ValueError(f"no widths match: {best} has {found} parameters, wanted {wanted}")
    return best


@cache
def data(budget: str) -> Task:
    """Load the images: the shipped part, or on a GPU the full set where it is at hand."""
    folder = os.environ.get("ATTENTION_FASHION_MNIST")
    if budget == "gpu" and folder:
        return fashion_mnist(60000, 10000, folder=folder)
    return fashion_mnist(*SIZES[budget]["images"])


@torch.no_grad()
def gates(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Compute the gates (samples, channels) of every block of a trained model, in the order in which they act."""
    found: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Any:
        return lambda block, inputs, _: found.setdefault(name, []).append(
            block.attend(*inputs)[1]["channel"].flatten(1)
        )

    hooks = [m.register_forward_hook(keep(n)) for n, m in model.named_modules() if isinstance(m, Attention)]
    for part in x.split(500):
        model(part)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts).float() for name, parts in found.items()}


def share(gate: Tensor, labels: Tensor) -> float:
    """Compute the share of the gates' variance that lies between classes; all classes are equally frequent."""
    means = torch.stack([gate[labels == k].mean(0) for k in labels.unique()])
    return (means.var(0, correction=0).sum() / gate.var(0, correction=0).sum()).item()


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train all networks with one seed, and look into the one with SE."""
    name, size = budget.name, SIZES[budget.name]
    task = data(name)
    looked: dict[str, Any] = {}

    def look(model_name: str, _: int, model: nn.Module) -> None:
        if model_name == "SE":
            x, y = (t.to(budget.device) for t in task.test)
            found = gates(model, x)
            looked["shares"] = {block: share(gate, y) for block, gate in found.items()}
            looked["labels"] = y[:SHOWN].tolist()
            looked["thousandths"] = {b: (1000 * g[:SHOWN]).round().int().tolist() for b, g in found.items()}

    models = {label: lambda block=block: network(name, block) for label, block in blocks(name).items()}
    models["wider"] = lambda: network(name, widths=wider(name))
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
    return {"comparison": compared.to_dict(), "looked": looked}


def gates_by_class(looked: dict[str, Any]) -> dict[str, Any]:
    """Compute the class means of the first and the last block from what a run returned of its gates."""
    labels = torch.tensor(looked["labels"])
    gates = [torch.tensor(rows) / 1000 for rows in looked["thousandths"].values()]
    blocks = {"first block": gates[0], "last block": gates[-1]}
    return {name: class_means(gate, labels).to_dict() for name, gate in blocks.items()}


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps."""
    name, size = budget.name, SIZES[budget.name]
    task = data(name)
    return {
        "settings": {
            "widths": size["widths"],
            "units": size["units"],
            "reduction": size["reduction"],
            "wider": wider(name),
            "lr": LR,
            "train": len(task.train[0]),
            "test": len(task.test[0]),
            "classes": task.labels,
        },
        "comparison": Comparison.joined(each["comparison"] for each in results).to_dict(),
        "gates": {
            "shares": [each["looked"]["shares"] for each in results],
            "by class": gates_by_class(results[0]["looked"]),  # of the first seed
        },
    }
