"""The experiments of the chapter on the Spatial Transformer Network."""

from attention.experiments.stn import tasks as tasks
