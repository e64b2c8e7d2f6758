"""Clothes moved, turned and scaled on a canvas, seen whole and through a window: `make record NAME=stn`.

Two tasks. ``displaced``: 14 × 14 pixels, moved anywhere on 28 × 28, turned by up to 45° and scaled by 0.7 to 1.4.
``turned``: in the middle, as large as 1.4, turned by up to 90°. Seven networks, trained alike; all but ``frozen`` of
equal size, to within 1%:

* ``CNN``: two convolutions with pooling and a hidden layer that sees the whole map, from the canvas itself. Its map has
  three times as many places as that behind a window, so its hidden layer is half as wide.
* ``frozen``: the classifier of ``affine`` behind a window that never moves, the whole canvas on 16 × 16 pixels.
* ``frozen, wider``: the same with a wider classifier, in place of the localiser.
* ``affine``: a transformer with six numbers that starts as the identity, and the classifier.
* ``attention``: the same with three numbers, scale and shift.
* ``random start``: ``affine``, but its last layer starts as any linear layer of PyTorch starts.
* ``corner start``: ``affine``, but all windows start over one corner, a quarter as wide as the canvas.

``first`` is a shorter training, which the chapter repeats with one seed. Its ``affine`` is stopped on the way, and an
upright window is slid over the objects: how do the loss and its slope depend on where the window lies?

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
    "smoke": {"seeds": 2, "steps": 3, "first": 3, "stops": (0, 2), "batch": 16, "images": (100, 100)},
    "cpu": {"seeds": 8, "steps": 1500, "first": 600, "stops": (100, 400), "batch": 64, "images": (6000, 2000)},
    "gpu": {"seeds": 16, "steps": 6000, "first": 600, "stops": (100, 400), "batch": 64, "images": (6000, 2000)},
}
TASKS: dict[str, dict[str, Any]] = {
    "displaced": {},
    "turned": {"move": 0.0, "turn": 90.0, "scale": (1.4, 1.4)},
}
FIRST = ("CNN", "frozen", "frozen, wider", "affine")
ARMS = {"displaced": tuple(tasks.networks()), "turned": ("frozen, wider", "affine")}
#: How far to the right of the object's middle the sliding window's middle lies, in pixels.
OFFSETS = torch.arange(-24.0, 25.0)


def poses(task: Task, theta: Tensor) -> dict[str, Any]:
    """Say what windows leave of the distortion, over the test images and class by class.

    :param task: the task.
    :param theta: the window of each test image, (samples, 2, 3).
    """
    y = task.test[1]
    left = tasks.pose(task.placed[1], theta)
    areas = torch.linalg.det(theta[:, :, :2].double())
    return {
        "spread": tasks.spread(left, y),
        "angle by class": [tasks.spread(left[y == k], y[y == k])["angle"] for k in range(task.classes)],
        "mirrored": (areas < 0).double().mean().item(),
        "lost": (left[:, :2].abs().amax(1) > 1).double().mean().item(),
        "widths": areas.abs().sqrt().quantile(torch.tensor([0.0, 0.5, 1.0]).double()).tolist(),
    }


@torch.no_grad()
def windows(model: nn.Module, x: Tensor) -> Tensor:
    """Return the window of each image, (samples, 2, 3)."""
    return model[0].theta(x.to(next(model.parameters()).device)).cpu()


def slid(network: nn.Module, task: Task) -> dict[str, list[float]]:
    """Say how loss and slope depend on where a window of the canvas's size lies, over images.

    :returns: at each of ``OFFSETS`` the mean loss, the mean slope, the share of images that the slope would move
        towards the object, and the share that it would not move at all (which the record leaves out).
    """
    losses, slopes = tasks.slide(network, task, OFFSETS)
    return {
        "loss": losses.mean(0).tolist(),
        "slope": slopes.mean(0).tolist(),
        "towards": (slopes * OFFSETS > 0).double().mean(0).tolist(),
        "none": (slopes == 0).double().mean(0).tolist(),
    }


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train all networks with one seed: briefly, and longer on both tasks."""
    size = SIZES[budget.name]
    train, test = size["images"]
    options = {"batch": size["batch"], "device": budget.device}
    made = partial(tasks.displaced, train=train, test=test)
    film = tasks.Film(tasks.networks()["affine"], size["stops"])
    found: dict[str, Any] = {
        "first": {
            "comparison": tasks.compared(FIRST, [seed], steps=size["first"], task=made, film=film, **options).to_dict(),
            "slid": {str(step): slid(film[step], made(seed)) for step in size["stops"]},
        }
    }
    for label, places in TASKS.items():
        task = made(seed, **places)
        after = {"canvas": poses(task, torch.eye(2, 3).expand(test, 2, 3))}

        def look(name: str, _: int, model: nn.Module, after: dict = after, task: Task = task) -> None:
            if isinstance(model[0], SpatialTransformer):
                after[name] = poses(task, windows(model, task.test[0]))

        compared = tasks.compared(
            ARMS[label], [seed], steps=size["steps"], task=partial(made, **places), keep=look, **options
        )
        found[label] = {"comparison": compared.to_dict(), "poses": after}
    return found


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps."""
    size = SIZES[budget.name]
    train, test = size["images"]
    labels = tasks.displaced(train=train, test=test).labels
    settings = {"lr": tasks.LR, "side": tasks.SEEN, "train": train, "test": test, "classes": labels, "tasks": TASKS}
    experiment: dict[str, Any] = {"settings": settings | {"offsets": OFFSETS.tolist()}}
    for label in ("first", *TASKS):
        parts = [each[label] for each in results]
        comparison = Comparison.merge(Comparison.from_dict(part["comparison"]) for part in parts).to_dict()
        comparison["runs"] = [run | {"losses": []} for run in comparison["runs"]]
        (what,) = set(parts[0]) - {"comparison"}
        kept = {name: [_short(part[what][name]) for part in parts] for name in parts[0][what]}
        experiment[label] = {"comparison": comparison, what: kept}
    return experiment


def _short(value: Any) -> Any:
    """Keep what the chapter shows, with four digits: every reader's installation carries the record."""
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items() if name != "none"}
    return [_short(each) for each in value] if isinstance(value, list) else float(f"{value:.4g}")
