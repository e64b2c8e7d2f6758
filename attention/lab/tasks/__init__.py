"""Data sets, and what tasks are made of: seeded, frozen, of documented shapes.

The tasks of one chapter live with its experiments: ``attention.experiments.se.tasks``.
"""

from attention.lab.tasks.canvases import canvas
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.gates import GateOf, bottleneck_limit, gate_patterns
from attention.lab.tasks.task import LOSSES, Task

__all__ = ["LOSSES", "GateOf", "Task", "bottleneck_limit", "canvas", "fashion_mnist", "gate_patterns"]
