"""The workbench of the book: tools that work on any ``nn.Module``, and on more of it when it keeps the contract."""

from attention.lab.session import Budget, budget, setup

__all__ = ["Budget", "budget", "setup"]
