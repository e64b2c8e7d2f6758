"""What a task is: data, what is asked about them, and what guessing would score."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["LOSSES", "Task"]

#: The losses a task may name, and what its score is called.
LOSSES: dict[str, str] = {"cross-entropy": "accuracy", "multi-label": "accuracy per label", "mse": "R²"}


@dataclass(frozen=True, eq=False)
class Task:
    """A data set with its question. The object is frozen; its tensors are not copied, so do not write into them.

    :param name: one or two words.
    :param train: inputs and targets to learn from. Inputs are float32, (samples, channels, height, width).
    :param test: inputs and targets to be scored on, of the same shapes.
    :param classes: number of classes, of labels, or of numbers to predict.
    :param chance: the score of the best guess that does not look at the input.
    :param about: what is to be seen in the input, and what is asked. One or two sentences.
    :param loss: ``cross-entropy``: targets are class indices, (samples,), and a model returns logits,
        (samples, classes). ``multi-label``: targets are 0 or 1, (samples, classes), and a model returns
        probabilities. ``mse``: targets are real, (samples, classes), and a model returns such numbers.
    :param labels: names of the classes, where they have names.
    :param channels: names of the input's channels, where they mean different things.
    :param placed: for objects on a canvas, where they lie in the training and in the test inputs: (samples, 4), that
        is the row and the column of the centre in pixels, the angle in degrees (counter-clockwise) and the scale.
    :raises ValueError: for an unknown loss, inputs and targets of different lengths, targets that do not fit the loss,
        a number of names that differs from what they name.
    """

    name: str
    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    classes: int
    chance: float
    about: str
    loss: str = "cross-entropy"
    labels: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    placed: tuple[Tensor, Tensor] | None = None

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss={self.loss!r} is not one of {', '.join(LOSSES)}")
        for split in ("train", "test"):
            x, y = getattr(self, split)
            wanted = (len(x),) if self.loss == "cross-entropy" else (len(x), self.classes)
            if x.ndim != 4 or tuple(y.shape) != wanted:
                raise ValueError(
                    f"{split}: inputs of shape {tuple(x.shape)} with targets of shape {tuple(y.shape)}; expected "
                    f"(samples, channels, height, width) with {wanted} for loss={self.loss!r}"
                )
        if self.labels and len(self.labels) != self.classes:
            raise ValueError(f"labels names {len(self.labels)} of classes={self.classes}")
        if self.channels and len(self.channels) != self.train[0].shape[1]:
            raise ValueError(f"channels names {len(self.channels)} of {self.train[0].shape[1]} channels")

    @property
    def measure(self) -> str:
        """What the score is called: ``accuracy``, ``accuracy per label`` or ``R²``."""
        return LOSSES[self.loss]

    def to(self, device: torch.device | str) -> "Task":
        """Return the task with its data on a device."""
        move = {split: tuple(t.to(device) for t in getattr(self, split)) for split in ("train", "test")}
        return replace(self, **move)

    def subset(self, n: int) -> "Task":
        """Return the task with the first ``n`` training samples only; the test samples stay.

        :raises ValueError: for fewer than one, or more than there are.
        """
        if not 1 <= n <= len(self.train[0]):
            raise ValueError(f"n={n} is not between 1 and the {len(self.train[0])} training samples")
        placed = self.placed and (self.placed[0][:n], self.placed[1])
        return replace(self, train=(self.train[0][:n], self.train[1][:n]), placed=placed)

    def show(self, n: int = 8) -> None:
        """Show a picture of the first ``n`` training samples, with alt text.

        :raises ValueError: for fewer than one or more than 16.
        """
        from attention.lab.tasks.pictures import show

        show(self, n)
