"""The experiments of the chapter on Efficient Channel Attention."""

from attention.experiments.eca import tasks as tasks
