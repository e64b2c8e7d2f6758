"""The exercises of the chapter on Global Second-order Pooling.

Their statements and solutions stand in the chapter; here is what ``check`` asks of an answer.
"""

from attention.lab.checks import Exercise

__all__ = ["EXERCISES"]

#: The exercises that can be checked, ``gsop.1`` and so on, in the order of the chapter.
EXERCISES: tuple[Exercise, ...] = ()
