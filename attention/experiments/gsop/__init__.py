"""The experiments of the chapter on Global Second-order Pooling."""

from attention.experiments.gsop import tasks as tasks
