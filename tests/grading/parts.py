"""What the tests of the grader's parts share: values without a submission, and a session without a process."""

import numpy as np

from attention.grading import Limits, Part, Question, Reply, Tensor, Unanswered, Wrong, notebook
from attention.grading.report import Graded, Mark, _mark
from attention.grading.session import Session


def judged(judge, value: object) -> str:
    """Return what a judge says of a value."""
    try:
        judge(Reply("value", value))
    except Unanswered:
        return "unanswered"
    except Wrong as wrong:
        return f"{wrong} | {wrong.hint} | {wrong.brief} | {wrong.share:g}"
    return ""


def tensor(values: object, dtype: str = "float32", library: str = "torch", as_: str = "") -> Tensor:
    return Tensor(np.asarray(values, dtype=as_ or dtype), dtype, library)


RIGHT = np.array([[1.0, 2.0], [3.0, -4.0]])


class Answering(Session):
    """A session that answers calls from a table."""

    def __init__(self, **replies: Reply) -> None:
        super().__init__(cells(), Limits())
        self.replies = replies

    def ask(self, request: dict, buffers: list, about: str) -> Reply:
        return self.replies.get(about, Reply("missing", message=about))


def cells(*sources: tuple[str, str]) -> notebook.Notebook:
    return notebook.Notebook(tuple(notebook.Cell(i, kind, text) for i, (kind, text) in enumerate(sources, 1)))


def told(part: Part, value: object) -> Mark:
    """Return the mark that a part is given for a value."""
    graded = Graded("a", (Question("1", "q", (part,)),))
    return _mark(graded, "1.1", part, Answering(), Reply("value", value))
