"""The experiments of the chapter on Frequency Channel Attention."""

from attention.experiments.fca import tasks as tasks
