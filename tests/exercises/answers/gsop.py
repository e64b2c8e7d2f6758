"""Answers to the exercises on Global Second-order Pooling."""

from typing import Any

#: Labels of the equations that an exercise belongs to, in the order in which it names them.
EQUATIONS: dict[str, tuple[str, ...]] = {}
#: Of a solution that is printed as numbers or names, the parts that hold them, as they stand in the chapter.
PRINTED: dict[str, tuple[str, ...]] = {}
#: Right answers to each exercise, the first as the chapter gives it.
RIGHT: dict[str, list[Any]] = {}
#: Exercise, wrong answer, and what has to be said to it: four or more for each exercise.
WRONG: list[tuple[str, Any, str | tuple[str, ...]]] = []
