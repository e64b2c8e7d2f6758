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
    "describe": "attention.about",
    "load_official": "attention.official",
    "source": "attention.standalone",
    "names": "attention.registry",
}


def _classes() -> dict[str, Any]:
    """Return the entry of every written mechanism by its class's name."""
    from attention.registry import entries

    return {entry.class_name: entry for entry in entries().values() if entry.built}


def __getattr__(name: str) -> Any:
    """Find the contract's names and every written mechanism's class, on first use."""
    from importlib import import_module

    if name == "__all__":
        return [*_HOME, *_classes(), "__version__"]
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name[:1].isupper():
        if name in (classes := _classes()):
            return classes[name].load()
        from attention.registry import called

        if hint := called(name):
            raise AttributeError(f"module 'attention' has no attribute {name!r}; {hint}")
    raise AttributeError(f"module 'attention' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List what is there, and what is found on first use."""
    return sorted({*globals(), *_HOME, *_classes()} - {"Any"})
