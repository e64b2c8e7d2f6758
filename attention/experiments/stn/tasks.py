"""The task of the chapter on the spatial transformer: clothes somewhere on a canvas; and how far a window undoes it.

Where each object lies is known exactly, and so is the window that a transformer lays over it: what is left of the
distortion follows from the two by a product of matrices, and nothing has to be estimated from pixels.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from attention.contract import check_positive
from attention.lab.comparison import Comparison
from attention.lab.tasks.canvases import canvas
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.task import Task
from attention.lab.training import compare
from attention.spatial.stn import SpatialTransformer

__all__ = [
    "COMPONENTS",
    "CORNER",
    "FEATURES",
    "SEEN",
    "Film",
    "classifier",
    "compared",
    "displaced",
    "frozen",
    "localiser",
    "networks",
    "pose",
    "reader",
    "slide",
    "spread",
    "transformed",
]

#: What :func:`pose` returns, in order.
COMPONENTS = ("across", "down", "size", "angle", "aspect", "shear")
SEEN, FEATURES = 16, 32  # side of what the transformer shows; numbers of its localiser
#: A window over the upper left of the canvas, a quarter as wide: most objects lie outside it, wholly or in part.
CORNER = (0.25, 0.0, -0.6, 0.0, 0.25, -0.6)
LR = 3e-3
_SIDE = 14  # of the objects, in pixels at scale 1
_CANVAS = 28


def displaced(
    seed: int = 0,
    *,
    move: float = 1.0,
    turn: float = 45.0,
    scale: tuple[float, float] = (0.7, 1.4),
    train: int = 6000,
    test: int = 2000,
) -> Task:
    """Clothes of 14 × 14 pixels, moved, turned and scaled on a canvas of 28 × 28 pixels.

    :param seed: of the places; the images are the same for all seeds.
    :param move: how far the object may move, as a share of the free space around it.
    :param turn: largest angle in degrees, either way.
    :param scale: smallest and largest scale.
    :param train: number of training images.
    :param test: number of test images.
    :returns: the task; inputs are (samples, 1, 28, 28), ten classes, ``placed`` says where each object lies.
    """
    whole = fashion_mnist(train, test)
    halved = {
        split: (functional.avg_pool2d(x, 2), y) for split, (x, y) in (("train", whole.train), ("test", whole.test))
    }
    about = "A grey picture of a piece of clothing, 14 × 14 pixels. Which of ten kinds is it?"
    small = replace(whole, name="small clothes", about=about, **halved)
    return canvas(small, _CANVAS, move=move, turn=turn, scale=scale, seed=seed)


def classifier(side: int = _CANVAS, widths: tuple[int, int, int] = (8, 16, 32)) -> nn.Sequential:
    """A small convolutional network that knows where things are: its last layers see a map, not a mean.

    :param side: height and width of the input, a multiple of 4.
    :param widths: channels of the two convolutions, and numbers of the hidden layer.
    :returns: the network, from (batch, 1, side, side) to (batch, 10).
    """
    check_positive(side=side)
    if side % 4:
        raise ValueError(f"side={side} is not divisible by 4")
    a, b, hidden = widths
    return nn.Sequential(
        *(nn.Conv2d(1, a, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(b * (side // 4) ** 2, hidden), nn.ReLU(), nn.Linear(hidden, 10)),
    )


def localiser(side: int = _CANVAS, features: int = 32) -> nn.Sequential:
    """A localisation network but for its last layer: coarse, and with a layer that sees the whole map.

    :param side: height and width of the input, a multiple of 4.
    :param features: how many numbers it returns.
    :returns: the network, from (batch, 1, side, side) to (batch, features).
    """
    return nn.Sequential(
        nn.MaxPool2d(2),
        *(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(8 * (side // 8) ** 2, features), nn.ReLU()),
    )


def reader(transformer: nn.Module, side: int = SEEN, widths: tuple[int, int, int] = (8, 16, 32)) -> nn.Sequential:
    """A spatial transformer, and the classifier that sees what it shows.

    :param transformer: from (batch, 1, height, width) to (batch, 1, side, side).
    :param side: height and width of what it shows.
    :param widths: of the classifier.
    """
    return nn.Sequential(transformer, classifier(side, widths))


def frozen(widths: tuple[int, int, int] = (8, 16, 32)) -> nn.Sequential:
    """The control: the same classifier behind a window that never moves, the whole canvas.

    ``nn.Upsample`` reads what a transformer reads that is just built: four pixels around each place.

    :param widths: of the classifier.
    """
    return reader(nn.Upsample(size=(SEEN, SEEN), mode="bilinear"), widths=widths)


def transformed(
    transform: str = "affine", *, identity: bool = True, start: tuple[float, ...] | None = None
) -> nn.Sequential:
    """A transformer with a classifier behind it.

    :param transform: ``affine`` or ``attention``.
    :param identity: whether the transformer starts as the identity.
    :param start: another window to start from, the same for all images: as many numbers as the transform has.
    """
    transformer = SpatialTransformer(
        localiser(features=FEATURES), FEATURES, transform, size=(SEEN, SEEN), identity=identity
    )
    if start is not None:
        with torch.no_grad():
            transformer.head.bias.copy_(torch.tensor(start))
    return reader(transformer)


def networks() -> dict[str, Callable[[], nn.Module]]:
    """Name what is compared.

    All but ``frozen`` have as many parameters as ``affine``, to within 1%. ``frozen`` is ``affine`` without its
    localiser; ``frozen, wider`` has a wider classifier in its place.
    """
    return {
        "CNN": partial(classifier, widths=(9, 16, 16)),
        "frozen": frozen,
        "frozen, wider": partial(frozen, (10, 20, 37)),
        "affine": transformed,
        "attention": partial(transformed, "attention"),
        "random start": partial(transformed, identity=False),
        "corner start": partial(transformed, start=CORNER),
    }


class Film:
    """Builds a network, and keeps copies of it while it trains.

    :param build: makes the network; called once by :func:`attention.lab.training.compare`, for one seed.
    :param at: after how many training steps a copy is kept.
    """

    def __init__(self, build: Callable[[], nn.Module], at: Iterable[int]) -> None:
        self.build, self.at = build, frozenset(at)
        self.copies: dict[int, dict[str, Tensor]] = {}

    def __call__(self) -> nn.Module:
        """Build the network, with a hook that counts its passes in training."""
        network, self.copies = self.build(), {}
        done = 0

        def look(module: nn.Module, _: object) -> None:
            nonlocal done
            if module.training and done in self.at:
                self.copies[done] = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
            done += module.training

        network.register_forward_pre_hook(look)
        return network

    def __getitem__(self, step: int) -> nn.Module:
        """Return the network as it was after so many steps.

        :raises KeyError: where no copy was kept.
        """
        network = self.build()
        network.load_state_dict(self.copies[step])
        return network.eval()


def compared(
    names: Iterable[str],
    seeds: Sequence[int],
    *,
    steps: int,
    task: Callable[[int], Task] = displaced,
    film: Film | None = None,
    **options: Any,
) -> Comparison:
    """Train networks on displaced clothes; the chapter does so too, with one seed.

    :param names: which of :func:`networks`.
    :param seeds: the seeds.
    :param steps: optimiser steps.
    :param task: makes the task from a seed.
    :param film: stands in for ``affine``, and builds the same.
    :param options: of :func:`attention.lab.training.compare`.
    """
    known = networks() | ({"affine": film} if film else {})
    return compare({name: known[name] for name in names}, task, seeds=seeds, steps=steps, lr=LR, **options)


def pose(
    placed: Float[Tensor, "samples 4"], theta: Float[Tensor, "samples 2 3"], *, side: int = _SIDE, size: int = _CANVAS
) -> Float[Tensor, "samples 6"]:
    r"""Say how a window lies on the object, whatever the canvas: the distortion that the transformer has left.

    An object that was placed at :math:`c`, turned by :math:`\varphi` and scaled lies under canvas point :math:`q` at
    :math:`M (q - c)`, in units of half its own side. A window shows :math:`q = A (p_1, p_2, 1)^\top`. The product of
    the two leads from the window to the object, and is what a network behind the transformer has to cope with. Its two
    by two part is taken apart as a rotation times a symmetric matrix, :math:`R S` (the polar decomposition): the angle
    is that of :math:`R`, the rotation nearest to the product, and :math:`S` holds size, aspect and shear.

    :param placed: row, column, angle and scale of each object, as a task's ``placed`` has them.
    :param theta: the windows; the identity for the canvas as it is.
    :param side: of the objects, in pixels at scale 1.
    :param size: of the canvas, in pixels.
    :returns: for each sample, on the object: how far across and how far down from its centre the window's centre lies,
        in half sides of the object; how much of it the window covers, as a logarithm to base 2 (0: as large as the
        object, 1: twice as large); the angle in degrees; the aspect, the logarithm to base 2 of :math:`S_{11}/S_{22}`
        (1: twice as wide as high); the shear, :math:`S_{12}` as a share of the size. The last three mean nothing for a
        window that shows the object mirrored.
    """
    row, column, angle, scale = placed.double().unbind(1)
    cos, sin = torch.cos(torch.deg2rad(angle)), torch.sin(torch.deg2rad(angle))
    turn = rearrange([cos, -sin, sin, cos], "(i j) b -> b i j", i=2)
    onto = rearrange(size / (side * scale), "b -> b 1 1") * turn
    centre = torch.stack([2 * column + 1, 2 * row + 1], 1) / size - 1
    a = theta.double()
    product = einsum(onto, a[:, :, :2], "b i j, b j k -> b i k")
    offset = einsum(onto, a[:, :, 2] - centre, "b i j, b j -> b i")
    covers = torch.linalg.det(product).abs().clamp(min=1e-12).sqrt()
    stands = torch.atan2(product[:, 1, 0] - product[:, 0, 1], product[:, 0, 0] + product[:, 1, 1])
    cos, sin = stands.cos(), stands.sin()
    symmetric = rearrange([cos, sin, -sin, cos], "(i j) b -> b i j", i=2) @ product
    wide, high = (symmetric[:, i, i].abs().clamp(min=1e-12) for i in range(2))
    shear = symmetric[:, 0, 1] / covers
    parts = [covers.log2(), torch.rad2deg(stands), (wide / high).log2(), shear]
    return torch.cat([offset, torch.stack(parts, 1)], 1)


def spread(poses: Float[Tensor, "samples 6"], labels: Tensor) -> dict[str, float]:
    """Standard deviation of each component of the pose within classes: each class may have a pose of its own.

    :param poses: what :func:`pose` returned.
    :param labels: the classes, (samples,).
    :returns: by component; angles are taken around their circular mean.
    """
    total = torch.zeros(len(COMPONENTS), dtype=torch.float64)
    for label in labels.unique():
        mine = poses[labels == label]
        radians = torch.deg2rad(mine[:, 3])
        mean = mine.mean(0)
        mean[3] = torch.rad2deg(torch.atan2(radians.sin().mean(), radians.cos().mean()))
        off = mine - mean
        off[:, 3] = (off[:, 3] + 180) % 360 - 180
        total += off.square().sum(0)
    return dict(zip(COMPONENTS, (total / len(poses)).sqrt().tolist(), strict=True))


def slide(
    network: nn.Sequential,
    task: Task,
    offsets: Float[Tensor, " offsets"],
    *,
    zoom: float = 1.0,
    samples: int = 500,
    size: int = _CANVAS,
) -> tuple[Float[Tensor, "samples offsets"], Float[Tensor, "samples offsets"]]:
    """Slide an upright window over each object from left to right, and note the loss and its slope.

    :param network: a transformer or another window, and a classifier; only the classifier is used.
    :param task: its first test images are looked at.
    :param offsets: how far the window's middle lies to the right of the object's, in pixels of the canvas.
    :param zoom: the window's width as a share of the canvas.
    :param samples: number of images.
    :param size: of the canvas, in pixels.
    :returns: the cross-entropy of each image at each offset, and its derivative by the offset (per pixel).
    """
    (x, y), placed = task.test, task.placed[1][:samples]
    x, y = x[:samples], y[:samples]
    losses, slopes = [], []
    for offset in offsets.tolist():
        theta = torch.eye(2, 3).mul(zoom).repeat(len(x), 1, 1)
        shift = torch.full((len(x),), offset, requires_grad=True)
        theta[:, 0, 2] = (2 * (placed[:, 1] + shift) + 1) / size - 1
        theta[:, 1, 2] = (2 * placed[:, 0] + 1) / size - 1
        grid = functional.affine_grid(theta, [len(x), 1, SEEN, SEEN], align_corners=False)
        seen = functional.grid_sample(x, grid, align_corners=False)
        each = functional.cross_entropy(network[1](seen), y, reduction="none")
        (slope,) = torch.autograd.grad(each.sum(), shift)
        losses.append(each.detach())
        slopes.append(slope)
    return torch.stack(losses, 1), torch.stack(slopes, 1)
