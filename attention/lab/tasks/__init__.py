"""Data sets, and the small tasks that test one claim each: seeded, frozen, of documented shapes.

The tasks of a chapter live in a module of its name: ``attention.lab.tasks.se``.
"""

from importlib import import_module
from types import ModuleType

from attention.lab.tasks.canvases import canvas
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.task import LOSSES, Task

__all__ = ["LOSSES", "Task", "canvas", "fashion_mnist"]


def __getattr__(name: str) -> ModuleType:
    """Import the tasks of a chapter when they are first asked for."""
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as problem:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from problem
