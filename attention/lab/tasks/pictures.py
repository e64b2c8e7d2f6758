"""Pictures of a task's samples."""

from math import ceil
from typing import Protocol, runtime_checkable

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from attention.lab import style

__all__ = ["Samples", "picture", "show"]

_ACROSS = 4  # images in a row: their names stay readable on a phone


@runtime_checkable
class Samples(Protocol):
    """What is drawn: samples with their answers, and what is told of them, as a task has them."""

    @property
    def name(self) -> str:
        """One or two words."""

    @property
    def train(self) -> tuple[Tensor, Tensor]:
        """Inputs (samples, channels, height, width), and what is asked of them."""

    @property
    def about(self) -> str:
        """What is to be seen, and what is asked."""

    @property
    def loss(self) -> str:
        """``cross-entropy`` where the answers are classes."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, where they have names."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the input's channels, where they mean different things."""


def show(task: Samples, n: int = 8) -> None:
    """Show the first ``n`` training samples, with alt text."""
    fig, alt = picture(task, n)
    style.show(fig, alt)


def picture(task: Samples, n: int = 8) -> tuple[Figure, str]:
    """Draw the first ``n`` training samples.

    Grey or coloured images stand side by side with their class. Channels that have names of their own stand one
    below the other, a sample a column, at most four, under its class where there are classes. More channels than can
    be drawn are shown by their means, beside the target.

    :param task: the task.
    :param n: number of samples, 1 to 16.
    :returns: the figure and its alt text.
    :raises ValueError: for another ``n``.
    """
    if not 1 <= n <= min(16, len(task.train[0])):
        raise ValueError(f"n={n} is not between 1 and {min(16, len(task.train[0]))}")
    n = min(n, _ACROSS) if task.channels else n
    x, y = (t[:n].cpu() for t in task.train)
    if task.channels:
        fig = _channels(task, x.numpy(), y.tolist())
    elif x.shape[1] in (1, 3) and task.loss == "cross-entropy":
        fig = _images(task, x.numpy(), y.tolist())
    else:
        fig = _means(x.mean((2, 3)).numpy(), y.numpy())
    return fig, f"{n} samples of the task {task.name}. {task.about} {_answers(task, y.tolist())}".strip()


def _answers(task: Samples, y: list) -> str:
    if task.loss != "cross-entropy":
        return ""
    return f"Shown are: {', '.join(_name(task, k) for k in y)}."


def _name(task: Samples, k: int) -> str:
    return task.labels[k] if task.labels else f"class {k}"


def _images(task: Samples, x: np.ndarray, y: list[int]) -> Figure:
    across = min(_ACROSS, len(x))
    down = ceil(len(x) / across)
    fig, axes = style.figure(down, across, width=1.4 * across, height=1.65 * down, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, image, k in zip(axes.flat, x, y, strict=False):
        ax.imshow(image.transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=1)
        ax.set_title(_name(task, k), fontsize=11)
    return fig


def _channels(task: Samples, x: np.ndarray, y: list[int]) -> Figure:
    aspect = x.shape[2] / x.shape[3]
    fig, axes = style.figure(
        x.shape[1], len(x), width=5.6, height=0.55 + x.shape[1] * (1.1 * aspect + 0.1), squeeze=False
    )
    largest = float(np.abs(x).max())
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for column, k in enumerate(y):
        title = _name(task, k) if task.loss == "cross-entropy" else f"sample {column + 1}"
        axes[0, column].set_title(title, fontsize=11)
        for row, name in enumerate(task.channels):
            axes[row, column].imshow(x[column, row], cmap="gray", vmin=-largest, vmax=largest)
            axes[row, 0].set_ylabel(name, rotation=0, ha="right", va="center")
    return fig


def _means(z: np.ndarray, y: np.ndarray) -> Figure:
    fig, (left, right) = style.figure(1, 2, width=5.6, height=2.6)
    largest = float(np.abs(z).max())
    shown = left.imshow(z, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto")
    fig.colorbar(shown, ax=left, location="bottom", label="mean of the channel")
    shown = right.imshow(y, cmap="gray_r", vmin=0, vmax=max(1.0, float(y.max())), aspect="auto")
    fig.colorbar(shown, ax=right, location="bottom", label="wanted")
    left.set(title="input", xlabel="channel", ylabel="sample", yticks=[])
    right.set(title="target", xlabel="channel", yticks=[])
    return fig
