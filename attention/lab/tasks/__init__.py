"""Data sets, and the small tasks that test one claim each: seeded, frozen, of documented shapes.

The tasks of a chapter live in a module of its name: ``attention.lab.tasks.se``.
"""

from attention.lab.tasks import se
from attention.lab.tasks.canvases import canvas
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.task import LOSSES, Task

__all__ = ["LOSSES", "Task", "canvas", "fashion_mnist", "se"]
