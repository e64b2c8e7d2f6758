"""The task of the chapter on the spatial transformer: clothes somewhere on a canvas; and how far a window undoes it.

Where each object lies is known exactly, and so is the window that a transformer lays over it: what is left of the
distortion follows from the two by a product of matrices, and nothing has to be estimated from pixels.
"""

from dataclasses import replace

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from attention.contract import check_positive
from attention.lab.tasks.canvases import canvas
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.task import Task

__all__ = ["COMPONENTS", "classifier", "displaced", "localiser", "pose", "reader", "spread", "translation_blind"]

#: What :func:`pose` returns, in order.
COMPONENTS = ("across", "down", "size", "angle")
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


def translation_blind(widths: tuple[int, int, int] = (8, 16, 32)) -> nn.Sequential:
    """The other way to be rid of places: three convolutions, and a mean over all positions.

    :param widths: channels of the convolutions.
    :returns: the network, from (batch, 1, height, width) to (batch, 10).
    """
    a, b, c = widths
    return nn.Sequential(
        *(nn.Conv2d(1, a, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(b, c, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 10)),
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


def reader(transformer: nn.Module, side: int = 16, widths: tuple[int, int, int] = (8, 16, 32)) -> nn.Sequential:
    """A spatial transformer, and the classifier that sees what it shows.

    :param transformer: from (batch, 1, height, width) to (batch, 1, side, side).
    :param side: height and width of what it shows.
    :param widths: of the classifier.
    """
    return nn.Sequential(transformer, classifier(side, widths))


def pose(
    placed: Float[Tensor, "samples 4"], theta: Float[Tensor, "samples 2 3"], *, side: int = _SIDE, size: int = _CANVAS
) -> Float[Tensor, "samples 4"]:
    r"""Say how a window lies on the object, whatever the canvas: the distortion that the transformer has left.

    An object that was placed at :math:`c`, turned by :math:`\varphi` and scaled lies under canvas point :math:`q` at
    :math:`M (q - c)`, in units of half its own side. A window shows :math:`q = A (x, y, 1)^\top`. The product of the
    two leads from the window to the object, and is what a network behind the transformer has to cope with.

    :param placed: row, column, angle and scale of each object, as a task's ``placed`` has them.
    :param theta: the windows; the identity for the canvas as it is.
    :param side: of the objects, in pixels at scale 1.
    :param size: of the canvas, in pixels.
    :returns: for each sample, on the object: how far across and how far down from its centre the window's centre lies,
        in half sides of the object; how much of it the window covers, as a logarithm to base 2 (0: as large as the
        object, 1: twice as large); and at which angle the window stands on it, in degrees, which means nothing for a
        window that shows the object mirrored.
    """
    row, column, angle, scale = placed.double().unbind(1)
    cos, sin = torch.cos(torch.deg2rad(angle)), torch.sin(torch.deg2rad(angle))
    turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    onto = rearrange(size / (side * scale), "b -> b 1 1") * turn
    centre = torch.stack([2 * column + 1, 2 * row + 1], 1) / size - 1
    a = theta.double()
    product = einsum(onto, a[:, :, :2], "b i j, b j k -> b i k")
    offset = einsum(onto, a[:, :, 2] - centre, "b i j, b j -> b i")
    covers = torch.linalg.det(product).abs().clamp(min=1e-12).log2() / 2
    stands = torch.atan2(product[:, 1, 0] - product[:, 0, 1], product[:, 0, 0] + product[:, 1, 1])
    return torch.cat([offset, torch.stack([covers, torch.rad2deg(stands)], 1)], 1)


def spread(poses: Float[Tensor, "samples 4"], labels: Tensor) -> dict[str, float]:
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
