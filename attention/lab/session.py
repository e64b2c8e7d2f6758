"""The device and the budget that a chapter runs on."""

import os
import platform
from dataclasses import dataclass
from typing import TypeVar

import torch

import attention
from attention.registry import entry

__all__ = ["Budget", "budget", "setup"]

T = TypeVar("T")
_SIZES = {
    "smoke": "the smallest sizes, to see that everything runs; claims are not judged",
    "cpu": "sizes for two CPU cores",
    "gpu": "sizes for one GPU",
}


@dataclass(frozen=True)
class Budget:
    """How much a chapter may compute.

    :param name: ``smoke``, ``cpu`` or ``gpu``.
    :param device: where it computes.
    """

    name: str
    device: torch.device

    @property
    def judges(self) -> bool:
        """Whether results of this size can carry a verdict: all but ``smoke``."""
        return self.name != "smoke"

    def pick(self, *, smoke: T, cpu: T, gpu: T | None = None) -> T:
        """Choose a size: ``steps = budget.pick(smoke=2, cpu=300, gpu=2000)``; ``gpu`` defaults to ``cpu``."""
        return {"smoke": smoke, "cpu": cpu, "gpu": cpu if gpu is None else gpu}[self.name]


def budget(name: str | None = None) -> Budget:
    """Return the budget that applies.

    :param name: ``smoke``, ``cpu`` or ``gpu``; by default the environment variable ``ATTENTION_BUDGET``, and without
        that ``gpu`` where CUDA is at hand, else ``cpu``.
    :raises ValueError: for another name, or ``gpu`` where there is none.
    """
    cuda = torch.cuda.is_available()
    name = name or os.environ.get("ATTENTION_BUDGET") or ("gpu" if cuda else "cpu")
    if name not in _SIZES:
        raise ValueError(f"budget={name!r} is not one of {', '.join(_SIZES)}")
    if name == "gpu" and not cuda:
        raise ValueError("budget='gpu', but torch finds no CUDA device")
    return Budget(name, torch.device("cuda" if name == "gpu" else "cpu"))


def setup(chapter: str) -> Budget:
    """Prepare a chapter: the look and the count of its figures, and a few lines on versions, device and time.

    :param chapter: the mechanism's name.
    :returns: the budget that applies.
    """
    from attention.lab import style

    style.apply()
    style.restart()
    chosen = budget()
    where = torch.cuda.get_device_name() if chosen.name == "gpu" else f"CPU, threads: {torch.get_num_threads()}"
    print(f"attention {attention.__version__} · torch {torch.__version__} · Python {platform.python_version()}")
    print(f"device: {where} · budget: {chosen.name} ({_SIZES[chosen.name]})")
    print(f"time: about {entry(chapter).seconds} s on a CPU; networks this small gain little by a GPU")
    return chosen
