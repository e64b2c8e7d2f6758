"""The experiments of the chapter on Selective Kernel."""

from attention.experiments.sk import tasks as tasks
