"""The workbench of the book: tools that work on any ``nn.Module``, and on more of it when it keeps the contract.

Nothing is imported before it is asked for, so that the grader, ``attention.grading``, needs no torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attention.lab.session import Budget, budget, setup

__all__ = ["Budget", "budget", "setup"]


def __getattr__(name: str) -> Any:
    """Find the names of the session, on first use."""
    if name in __all__:
        from attention.lab import session

        return getattr(session, name)
    raise AttributeError(f"module 'attention.lab' has no attribute {name!r}")
