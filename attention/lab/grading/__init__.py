"""Grading of assignments: what a grading file is written with, and what ``python -m attention.lab.grade`` works with.

Nothing here imports torch, except in the process that runs a submission.
"""

from attention.lab.grading.questions import (
    Assignment,
    Build,
    Call,
    CellRan,
    Check,
    Close,
    Equal,
    Look,
    Manual,
    Number,
    Part,
    Question,
    Raises,
    Run,
    Shape,
    Text,
    Unanswered,
    Words,
    Wrong,
    describe,
    numbers_of,
)
from attention.lab.grading.runner import GraderError, Limits, Reply, Tensor
from attention.lab.grading.wire import Opaque

__all__ = [
    "Assignment",
    "Build",
    "Call",
    "CellRan",
    "Check",
    "Close",
    "Equal",
    "GraderError",
    "Limits",
    "Look",
    "Manual",
    "Number",
    "Opaque",
    "Part",
    "Question",
    "Raises",
    "Reply",
    "Run",
    "Shape",
    "Tensor",
    "Text",
    "Unanswered",
    "Words",
    "Wrong",
    "describe",
    "numbers_of",
]
