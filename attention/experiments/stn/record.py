"""Clothes moved, turned and scaled on a canvas, with and without a spatial transformer: `make record NAME=stn`.

Two tasks. ``displaced``: 14 × 14 pixels, moved anywhere on 28 × 28, turned by up to 45° and scaled by 0.7 to 1.4.
``turned``: in the middle, as large as 1.4, turned by up to 90°. Five networks, trained alike and of equal size, to
within 1%:

* ``CNN``: two convolutions and a hidden layer that sees the whole map; no transformer.
* ``mean``: three convolutions and a mean over all positions, which is blind to places by construction.
* ``affine``: a transformer with six numbers, and a smaller CNN behind it.
* ``attention``: a transformer with three numbers, scale and shift.
* ``no identity``: ``affine``, but its last layer starts as any linear layer of PyTorch starts.

For each trained transformer the pose that it leaves is computed on the test images, from the known places and θ.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from attention.experiments.stn import tasks
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.tasks.task import Task
from attention.lab.training import compare
from attention.spatial.stn import SpatialTransformer

CODE = [
    "attention/contract.py",
    "attention/numerics.py",
    "attention/spatial/stn.py",
    "attention/lab/training.py",
    "attention/experiments/stn/tasks.py",
    "attention/lab/tasks/canvases.py",
    "attention/lab/tasks/fashion.py",
    "attention/data/fashion_mnist.npz.sha256",
]

SIZES: dict[str, dict[str, Any]] = {
    "smoke": {"seeds": 2, "steps": 3, "batch": 16, "images": (100, 100)},
    "cpu": {"seeds": 8, "steps": 2000, "batch": 64, "images": (6000, 2000)},
    "gpu": {"seeds": 16, "steps": 6000, "batch": 64, "images": (6000, 2000)},
}
LR = 3e-3
SIDE, FEATURES = 16, 32  # of what the transformer shows; of its localiser
TASKS: dict[str, dict[str, Any]] = {
    "displaced": {},
    "turned": {"move": 0.0, "turn": 90.0, "scale": (1.4, 1.4)},
}


def transformed(transform: str = "affine", identity: bool = True) -> nn.Sequential:
    """Build a transformer with a classifier behind it."""
    return tasks.reader(
        SpatialTransformer(
            tasks.localiser(features=FEATURES),
            FEATURES,
            transform,
            size=(SIDE, SIDE),
            identity=identity,
        ),
        SIDE,
    )


def networks() -> dict[str, Any]:
    """Name what is compared; all have as many parameters as ``affine``, to within 1%."""
    found = {
        "CNN": partial(tasks.classifier, widths=(9, 16, 16)),
        "mean": partial(tasks.translation_blind, (8, 24, 54)),
        "affine": transformed,
        "attention": partial(transformed, "attention"),
        "no identity": partial(transformed, identity=False),
    }
    with torch.device("meta"):
        sizes = {name: sum(p.numel() for p in build().parameters()) for name, build in found.items()}
    wanted = sizes["affine"]
    if any(abs(size - wanted) > wanted / 100 for size in sizes.values()):
        raise ValueError(f"the networks differ in size: {sizes}")
    return found


@torch.no_grad()
def windows(model: nn.Module, x: Tensor) -> Tensor:
    """Return θ of each image; of a network without a transformer, the identity."""
    if isinstance(model[0], SpatialTransformer):
        return model[0].theta(x).cpu()
    return torch.eye(2, 3).expand(len(x), 2, 3)


def left(model: nn.Module, task: Task) -> dict[str, Any]:
    """Say what the windows leave of the distortion, over the test images and class by class."""
    x, y = task.test
    device = next(model.parameters()).device
    poses = tasks.pose(task.placed[1], windows(model, x.to(device)))
    return {
        "spread": tasks.spread(poses, y),
        "angle by class": [tasks.spread(poses[y == k], y[y == k])["angle"] for k in range(task.classes)],
    }


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train all networks with one seed, on both tasks."""
    size, all_networks = SIZES[budget.name], networks()
    train, test = size["images"]
    found = {}
    for label, options in TASKS.items():
        task = tasks.displaced(seed, train=train, test=test, **options)
        chosen = all_networks if label == "displaced" else {name: all_networks[name] for name in ("CNN", "affine")}
        poses = {}

        def look(
            name: str,
            _: int,
            model: nn.Module,
            poses: dict = poses,
            task: Task = task,
        ) -> None:
            poses[name] = left(model, task)

        compared = compare(
            chosen,
            task,
            seeds=(seed,),
            steps=size["steps"],
            batch=size["batch"],
            lr=LR,
            device=budget.device,
            keep=look,
        )
        found[label] = {"comparison": compared.to_dict(), "poses": poses}
    return found


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps."""
    size = SIZES[budget.name]
    train, test = size["images"]
    labels = tasks.displaced(train=train, test=test).labels
    experiment: dict[str, Any] = {
        "settings": {
            "lr": LR,
            "side": SIDE,
            "train": train,
            "test": test,
            "classes": labels,
            "tasks": TASKS,
        }
    }
    for label in TASKS:
        parts = [Comparison.from_dict(each[label]["comparison"]) for each in results]
        names = parts[0].names
        experiment[label] = {
            "comparison": Comparison.merge(parts).to_dict(),
            "poses": {name: [each[label]["poses"][name] for each in results] for name in names},
        }
    return experiment
