"""The experiments of the chapter on the Non-local Block."""

from attention.experiments.non_local import tasks as tasks
