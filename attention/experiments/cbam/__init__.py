"""The experiments of the chapter on the Convolutional Block Attention Module."""

from attention.experiments.cbam import tasks as tasks
