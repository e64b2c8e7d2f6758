"""Attention, Block by Block: attention mechanisms for convolutional networks, one tested block each.

``attention.create("se", channels=64)`` builds a block by name, ``attention.names()`` lists them, and every
block's class is an attribute of this package (``attention.SqueezeExcitation``). Nothing is imported before it
is asked for, so that tools which only read the list of mechanisms need no torch.
"""

from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Attention": "attention.contract",
    "Gate": "attention.contract",
    "Map": "attention.contract",
    "create": "attention.registry",
    "names": "attention.registry",
}

__all__ = ["Attention", "Gate", "Map", "__version__", "create", "names"]


def __getattr__(name: str) -> Any:
    """Find the contract's names and every written mechanism's class, on first use."""
    from importlib import import_module

    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name[:1].isupper():
        from attention.registry import entries

        for entry in entries().values():
            if entry.class_name == name and entry.ready:
                return entry.load()
    raise AttributeError(f"module 'attention' has no attribute {name!r}")
