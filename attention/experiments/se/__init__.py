"""The experiments of the chapter on Squeeze-and-Excitation."""

from attention.experiments.se import tasks as tasks
