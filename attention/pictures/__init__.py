"""The live picture of each mechanism: a small block with weights that show what it does, and inputs to try.

>>> from attention import pictures
>>> from attention.lab import live
>>> live.show(pictures.make("se"))

One file a mechanism, of its name, with a function ``picture``; and ``idea_gate`` and ``idea_query``, the pictures of
the page on the idea.
"""

from importlib import import_module
from importlib.resources import files

from attention.lab.live import Picture

__all__ = ["make", "names"]

_SHARED = ("__init__", "making")


def names() -> list[str]:
    """Return the names of all pictures."""
    found = (each.name for each in files("attention.pictures").iterdir() if each.name.endswith(".py"))
    return sorted(name.removesuffix(".py") for name in found if name.removesuffix(".py") not in _SHARED)


def make(name: str) -> Picture:
    """Make a picture.

    :param name: of the mechanism, as the registry has it: ``"se"``.
    :raises ValueError: for a name that has no picture.
    """
    if name not in names():
        raise ValueError(f"name={name!r} has no picture; there are {', '.join(names())}")
    made: Picture = import_module(f"attention.pictures.{name}").picture()
    return made
