"""Import the packages that the benchmark compares with, where they are installed."""

import sys
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from types import ModuleType

import torch

__all__ = ["imported", "versions"]

#: Operators that torchvision names while it is imported, and that exist only where its compiled part was loaded.
OPERATORS = {"nms": "(Tensor a, Tensor b, float c) -> Tensor", "qnms": "(Tensor a, Tensor b, float c) -> Tensor"}
_DEFINED: list[torch.library.Library] = []  # they last as long as these objects


@cache
def imported(package: str) -> ModuleType | str:
    """Import a package, or say in a line why that is not possible."""
    try:
        if package == "timm":  # it imports torchvision
            imported("torchvision")
        if package == "torchvision":
            return _torchvision()
        return import_module(package)
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        return str(error).partition("\n")[0]


def _torchvision() -> ModuleType:
    """Import torchvision, also beside a torch without CUDA.

    Its wheel is built with CUDA. Beside a torch for the CPU its compiled part is not loaded, and the import stops at
    an operator that does not exist. Nothing here calls one: a name without a body will do.
    """
    try:
        return import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error) or _DEFINED:
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    _DEFINED.append(torch.library.Library("torchvision", "FRAGMENT"))
    for name, signature in OPERATORS.items():
        _DEFINED[0].define(name + signature)
    return import_module("torchvision")


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of each package, which can be imported."""
    return {package: getattr(imported(package), "__version__", "") for package in sorted(packages)}
