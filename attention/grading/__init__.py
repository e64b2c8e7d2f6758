"""Grading of assignments: what a grading file is written with, and what ``python -m attention.grading`` works with.

Nothing here imports torch, except in the process that runs a submission.
"""

from attention.grading.judges import (
    Check,
    Close,
    Equal,
    Number,
    Raises,
    Shape,
    Words,
)
from attention.grading.questions import Assignment, Manual, Part, Question, StandIn
from attention.grading.replies import Reply, Tensor
from attention.grading.requests import Build, Call, CellRan, Look, Run, Steps, Text, attempt
from attention.grading.runner import GraderError, Limits
from attention.grading.values import describe, numbers_of
from attention.grading.verdicts import Lacking, Unanswered, Wrong
from attention.grading.wire import Opaque

__all__ = [
    "Assignment",
    "Build",
    "Call",
    "CellRan",
    "Check",
    "Close",
    "Equal",
    "GraderError",
    "Lacking",
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
    "StandIn",
    "Steps",
    "Tensor",
    "Text",
    "Unanswered",
    "Words",
    "Wrong",
    "attempt",
    "describe",
    "numbers_of",
]
