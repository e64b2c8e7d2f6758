"""Fashion-MNIST: the part that ships with the package, or the full set from a folder."""

import gzip
import io
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from attention.lab.tasks.task import Task

__all__ = ["fashion_mnist"]

_LABELS = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
_HEADERS = {"images": 16, "labels": 8}  # bytes before the data of an IDX file


def fashion_mnist(train: int = 6000, test: int = 2000, *, folder: str | Path | None = None) -> Task:
    """Grey pictures of clothes, 28 × 28 pixels in 0..1, in ten classes.

    The package holds 6,000 + 2,000 of the 70,000 images, as many of each class; class follows class in turn, so that
    the first images are balanced too.

    :param train: number of training images.
    :param test: number of test images.
    :param folder: where the four original ``*-ubyte.gz`` files lie, for the full 60,000 + 10,000; by default the
        package's own part is read.
    :returns: the task; inputs are (samples, 1, 28, 28).
    :raises ValueError: for numbers below 1 or above what there is.
    :raises FileNotFoundError: for a folder without the files.

    Source: Han Xiao, Kashif Rasul, Roland Vollgraf, *Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
    Learning Algorithms*, 2017, arXiv 1708.07747; MIT licence, Zalando SE.
    """
    arrays = _shipped() if folder is None else _original(Path(folder))
    pairs = {}
    for split, count in (("train", train), ("test", test)):
        images, labels = arrays[split]
        if not 1 <= count <= len(images):
            raise ValueError(f"{split}={count} is not between 1 and the {len(images)} images there are")
        pairs[split] = _tensors(images[:count], labels[:count])
    return Task(
        name="Fashion-MNIST",
        **pairs,
        classes=len(_LABELS),
        chance=1 / len(_LABELS),
        about="A grey picture of a piece of clothing, 28 × 28 pixels. Which of ten kinds is it?",
        labels=_LABELS,
    )


def _shipped() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    raw = files("attention").joinpath("data", "fashion_mnist.npz").read_bytes()
    with np.load(io.BytesIO(raw)) as kept:
        return {split: (kept[f"{split}_images"], kept[f"{split}_labels"]) for split in ("train", "test")}


def _original(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = {}
    for split, stem in (("train", "train"), ("test", "t10k")):
        data = {}
        for what, rank in (("images", 3), ("labels", 1)):
            path = folder / f"{stem}-{what}-idx{rank}-ubyte.gz"
            data[what] = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=_HEADERS[what])
        found[split] = (data["images"].reshape(-1, 28, 28), data["labels"])
    return found


def _tensors(images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    x = torch.from_numpy(images[:, None].astype(np.float32) / 255)
    return x, torch.from_numpy(labels.astype(np.int64))
