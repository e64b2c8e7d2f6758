"""What a grading file is made of: an assignment, its questions, and their parts.

A grading file is Python that defines ``ASSIGNMENT``. It needs numpy and no torch, and only the grader reads it::

    from attention.grading import Assignment, Call, Close, Part, Question

    x = np.random.default_rng(7).normal(size=(2, 8, 5, 5)).astype("float32")
    ASSIGNMENT = Assignment("Squeeze", (
        Question("1", "One mean a channel", (
            Part("its values", 2, Call("squeeze", x), Close(x.mean((2, 3)))),
        )),
    ))
"""

from dataclasses import dataclass, field

from attention.grading.judges import Judge
from attention.grading.requests import CellRan, Request, Text
from attention.grading.runner import Limits

__all__ = ["Assignment", "Manual", "Part", "Question", "StandIn"]


@dataclass(frozen=True)
class Part:
    """One thing that is asked and judged by itself, and its points.

    :param title: a few words; shown also where the part is hidden.
    :param points: for a right answer.
    :param ask: what is asked; once, where parts that follow each other share the same request.
    :param judge: how the answer is judged.
    :param equation: what it belongs to, for the feedback.
    :param hint: one hint, which does not give the answer away.
    :param hidden: feedback names the kind of mistake, and no numbers.
    :param early: asked for before the question's other parts; the report keeps their order.
    """

    title: str
    points: float
    ask: Request | Text | CellRan
    judge: Judge
    equation: str = ""
    hint: str = ""
    hidden: bool = False
    early: bool = False


@dataclass(frozen=True)
class Manual:
    """A part that a person reads: its points are not given here.

    :param rubric: what the points are given for.
    :param answer: where the answer stands, so that the report can say whether there is one.
    """

    title: str
    points: float
    rubric: str
    answer: Text | None = None


@dataclass(frozen=True)
class StandIn:
    """What takes the place of an answer that is lacking, once its own question has been graded.

    A question that builds on one which was left out is then graded as if that were right. The submission could find
    out what the lines do: they are for what is no secret, or worth little.

    :param name: what of the submission they define, which is a stub still.
    :param source: the lines; ``torch`` and all else they have to import.
    :param needs: what an answer that is wrong must be able to do for others to build on it; where asking it brings no
        value, the lines take its place too.
    """

    name: str
    source: str
    needs: Request | None = None

    def __post_init__(self) -> None:
        """Check that the lines can be read."""
        compile(self.source, "<grading file>", "exec")


@dataclass(frozen=True)
class Question:
    """A question.

    :param id: a short one, unique: ``"2"``.
    :param title: a few words.
    :param parts: what is asked.
    :param stand_in: for questions that build on this one, where nothing of it is answered.
    """

    id: str
    title: str
    parts: tuple[Part | Manual, ...]
    stand_in: StandIn | None = None


@dataclass(frozen=True)
class Assignment:
    """All of a grading file.

    :param title: of the assignment.
    :param questions: in order.
    :param limits: what a submission may use.
    :param budget: the chapters' budget that the notebook's cells run with.
    :raises ValueError: for two questions of one id, no question, points that are no points.
    """

    title: str
    questions: tuple[Question, ...]
    limits: Limits = field(default_factory=Limits)
    budget: str = "smoke"

    def __post_init__(self) -> None:
        """Check what can be checked without a submission."""
        for question in self.questions:
            if not isinstance(question, Question) or not isinstance(question.parts, tuple | list) or not question.parts:
                raise ValueError(f"questions: expected a Question with at least one part, received {question!r:.120}")
            for part in question.parts:
                if not isinstance(part, Part | Manual) or isinstance(part.points, bool) or not part.points >= 0:
                    raise ValueError(f"question {question.id}: expected a Part with points, received {part!r:.120}")
                if isinstance(part, Part) and not (hasattr(part.ask, "put") and isinstance(part.judge, Judge)):
                    raise ValueError(f"question {question.id}, {part.title!r}: its ask or judge is none")
                if isinstance(part, Part) and isinstance(part.ask, Request):
                    part.ask._request()  # whether it can be sent
        ids = [question.id for question in self.questions]
        if not ids or len(set(ids)) < len(ids):
            raise ValueError(f"questions: expected one or more, each with an id of its own, received {ids}")

    @property
    def points(self) -> float:
        """The most that can be reached here, without what a person reads."""
        return sum(part.points for question in self.questions for part in question.parts if isinstance(part, Part))
