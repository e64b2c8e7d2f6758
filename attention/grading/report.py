"""Grades a notebook, and writes what came of it: plain text, Gradescope's ``results.json``, a line of a table."""

import re
import sys
import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attention.grading.judges import Raises
from attention.grading.notebook import Notebook, Unreadable, read
from attention.grading.questions import Assignment, Manual, Part, Question
from attention.grading.replies import Reply
from attention.grading.session import Ran, Session
from attention.grading.verdicts import Lacking, Unanswered, Wrong, sentence, without_value

__all__ = ["FAILED", "Graded", "Mark", "grade", "without_notebook"]

#: What a submission's author is told where the grader fails.
FAILED = "The grader could not grade this submission. That is not your fault: tell your instructor."
_LINE, _OUTPUT = 400, 3000  # characters of one message, of one part's feedback
_NOTES = 50
_SHARED = ("Your code raised", "Your code needed", "`")  # what went wrong before any judge looked
_HARMLESS = ("%pip", "!pip", "%matplotlib", "%config", "%load_ext", "%autoreload", "%%time")  # no need to mention them


@dataclass(frozen=True)
class Mark:
    """What a part was given.

    :param number: of the question and the part: ``"2.1"``.
    :param score: points given; ``None`` where a person gives them.
    :param state: ``right``, ``partly``, ``wrong``, ``open``: not answered yet, or ``person``.
    :param lines: the feedback.
    """

    number: str
    title: str
    score: float | None
    points: float
    state: str
    lines: tuple[str, ...] = ()


@dataclass
class Graded:
    """What came of a submission.

    :param notes: on the notebook as a whole: cells that raised, what was refused.
    :param trouble: for the instructor only: judges that failed.
    :param fences: which of the kernel's fences stood; ``user`` where the process had a user of its own.
    :param memory: peak of this process and of the submission's, MB.
    """

    title: str
    questions: tuple[Question, ...]
    marks: list[Mark] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    fences: list[str] = field(default_factory=list)
    memory: tuple[float, float] = (0.0, 0.0)
    seconds: float = 0.0

    @property
    def score(self) -> float:
        """The points given, to a hundredth."""
        return round(sum(mark.score for mark in self.marks if mark.score is not None), 2)

    @property
    def points(self) -> float:
        """The points that can be given here."""
        return round(sum(mark.points for mark in self.marks if mark.score is not None), 2)

    def text(self) -> str:
        """Write a report for the submission's author, in Markdown that also reads as plain text."""
        by_hand = sum(mark.points for mark in self.marks if mark.score is None)
        more = f", and up to {by_hand:g} by hand" if by_hand else ""
        lines = [f"# {self.title}", "", f"**{self.score:g} of {self.points:g} points**{more}", ""]
        signs = {"right": "✓", "partly": "◐", "wrong": "✗", "open": "…", "person": "✎"}
        for question in self.questions:
            mine = [mark for mark in self.marks if mark.number.rpartition(".")[0] == question.id]
            lines += [f"## {question.id} · {question.title}: {_sum(mine)}", ""]
            for mark in mine:
                lines.append(f"* {signs[mark.state]} **{mark.title}** ({_sum([mark])})")
                lines += [f"  - {_safe(line)}" for line in mark.lines]
            lines.append("")
        if self.notes:
            lines += ["## On the notebook as a whole", "", *(f"* {_safe(note)}" for note in self.notes), ""]
        return "\n".join(lines)

    def gradescope(self) -> dict[str, Any]:
        """Return what Gradescope reads from ``results.json``."""
        tests = []
        for mark in self.marks:
            test = {
                "name": f"{mark.number} {mark.title}"[:200],
                "number": mark.number,
                "output": "\n".join(mark.lines)[:_OUTPUT],
                "output_format": "text",
                "visibility": "visible",
            }
            if mark.score is not None:
                status = "passed" if mark.state == "right" else "failed"
                test |= {"score": round(mark.score, 4), "max_score": mark.points, "status": status}
            tests.append(test)
        return {
            "score": self.score,
            "output": "\n".join(self.notes)[: 4 * _OUTPUT] or "The notebook ran without trouble.",
            "output_format": "text",
            "visibility": "visible",
            "execution_time": round(self.seconds),
            "tests": tests,
            "extra_data": {
                "memory_mb": {"grader": round(self.memory[0]), "submission": round(self.memory[1])},
                "fences": self.fences,
                "trouble": self.trouble,
            },
        }


def grade(path: str | Path, assignment: Assignment) -> Graded:
    """Grade a submission. Nothing that it does makes this fail.

    :param path: the notebook.
    :param assignment: what the grading file defines.
    :raises attention.grading.runner.GraderError: where the grader itself cannot work, without torch for one.
    """
    began = time.monotonic()
    graded = Graded(assignment.title, assignment.questions)
    try:
        notebook = read(path)
    except Unreadable as error:
        graded = without_notebook(assignment, str(error))
    else:
        with Session(notebook, assignment.limits, budget=assignment.budget) as session:
            asked, reply = None, None  # the last of them only: an answer may take much memory
            for question in assignment.questions:
                marks = {}
                for number, part in sorted(enumerate(question.parts, 1), key=_late):
                    place = f"{question.id}.{number}"
                    if isinstance(part, Manual):
                        words = part.answer.put(session, notebook) if part.answer else None
                        marks[number] = _read_by_a_person(place, part, words)
                        continue
                    if part.ask is not asked:
                        asked, reply = part.ask, part.ask.put(session, notebook)
                    marks[number] = _mark(graded, place, part, session, reply)
                graded.marks += _once([marks[number] for number in sorted(marks)])
                graded.notes += _followed_through(graded, question, session, notebook)
        graded.notes[:0] = _notes(session)
        graded.fences = [*session.fences, *(["user"] if session.user is not None else [])]
        graded.memory = (0.0, session.peak / 1e6)
    graded.memory = (_own_memory() / 1e6, graded.memory[1])
    graded.seconds = time.monotonic() - began
    return graded


def _late(numbered: tuple[int, Part | Manual]) -> bool:
    """Whether a part waits until those that are asked for early have been graded."""
    return not (isinstance(numbered[1], Part) and numbered[1].early)


def _own_memory() -> float:
    """Return the most memory that this process has taken, in bytes."""
    with suppress(OSError):  # Linux; what getrusage says there, a process inherits from the one that started it
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024.0 * int(line.split()[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)


def _sum(marks: list[Mark]) -> str:
    """Say what marks add up to: ``7 of 10``, ``up to 4, by hand``, or both."""
    graded, by_hand = ([m for m in marks if (m.score is None) == manual] for manual in (False, True))
    said = [f"{round(sum(m.score for m in graded), 2):g} of {sum(m.points for m in graded):g}"] if graded else []
    said += [f"up to {sum(m.points for m in by_hand):g}, by hand"] if by_hand else []
    return "; ".join(said)


def without_notebook(assignment: Assignment, why: str) -> Graded:
    """Return what a submission is given that holds nothing to grade.

    :param why: a line for its author.
    """
    graded = Graded(assignment.title, assignment.questions, notes=[_clean(sentence(why))])
    for question in assignment.questions:
        for number, part in enumerate(question.parts, 1):
            score, state = (None, "person") if isinstance(part, Manual) else (0.0, "open")
            graded.marks.append(Mark(f"{question.id}.{number}", part.title, score, part.points, state))
    return graded


def _mark(graded: Graded, number: str, part: Part, session: Session, reply: Reply) -> Mark:
    state, share, lines = "right", 1.0, []
    try:
        if reply.kind != "value" and not (isinstance(part.judge, Raises) and _raises(reply)):
            raise without_value(reply, getattr(part.ask, "name", ""), session)
        part.judge(reply)
        if reply.arguments == "changed":
            raise Wrong(
                "The result is right, but the function changed its input.",
                "Methods whose names end in an underscore, and x *= …, work in place.",
                brief="The result is right, but the function changed its input.",
                share=0.5,
            )
    except Unanswered as lacking:
        state, share, lines = "open", 0.0, [str(lacking) or _not_answered(part, session, reply)]
    except Lacking as lacking:  # the equation and the part's own hint have nothing to do with it
        state, share, lines = "wrong", 0.0, [lacking.brief if part.hidden else str(lacking)]
        lines += [f"Hint: {lacking.hint}"] if lacking.hint else []
    except Wrong as wrong:
        share = min(max(float(wrong.share), 0.0), 1.0)
        state = "partly" if share else "wrong"
        lines = [wrong.brief if part.hidden else str(wrong)]
        if part.equation:
            lines.append(f"Belongs to: {part.equation}")
        if hint := (wrong.known if part.hidden else wrong.hint) or part.hint:
            lines.append(f"Hint: {hint}")
    except Exception as error:
        state, share = "wrong", 0.0
        lines = [FAILED.replace("grade this submission", "judge this answer")]
        where = traceback.extract_tb(error.__traceback__)[-1]
        graded.trouble.append(
            _clean(f"{number}: the judge raised {type(error).__name__}: {error} (line {where.lineno})")
        )
    if reply.refused:
        hidden = "While it ran, it tried something that the grader does not allow; it was refused."
        lines += (
            [hidden] if part.hidden else [f"While it ran, your code tried to {line}." for line in reply.refused[:3]]
        )
    lines = tuple(_clean(line) for line in lines)
    return Mark(number, part.title, round(part.points * share, 4), part.points, state, lines)


def _not_answered(part: Part, session: Session, reply: Reply) -> str:
    """Say that there is no answer; and where an older one was replaced, by a stub that was copied below it."""
    name = getattr(part.ask, "name", "")
    cells = [n for n in session.notebook.copies(name) if n not in session.cells or session.cells[n].kind == "ran"]
    if reply.where is not None:
        cells = cells[: cells.index(reply.where.cell) + 1] if reply.where.cell in cells else []
    if len(cells) < 2:
        return "Not answered yet."
    return (
        f"Not answered yet: code cell {cells[-1]} defines `{name}` once more, without an answer, and the last "
        f"definition counts. The one before it is in code cell {cells[-2]}."
    )


def _once(marks: list[Mark]) -> list[Mark]:
    """Tell what several parts of a question have failed for at the first of them only."""
    first: dict[str, str] = {}
    told = []
    for mark in marks:
        said = mark.lines[0] if mark.state == "wrong" else ""
        if said in first and said.startswith(_SHARED):
            mark = replace(mark, lines=(f"For the same reason as “{first[said]}”.",))
        first.setdefault(said, mark.title)
        told.append(mark)
    return told


def _raises(reply: Reply) -> bool:
    return reply.kind == "raised" and not reply.unanswered


def _read_by_a_person(number: str, part: Manual, words: Reply | None) -> Mark:
    """Say whether there is something to read; without the rubric: a student who hands in again would write to it."""
    state, line = "person", "A person reads this, and gives the points."
    if words is not None and words.kind != "value":
        state, line = "open", sentence(words.message)
    elif words is not None and not isinstance(words.value, str):
        mark = part.answer.marker.strip("<!-> ") if part.answer else ""
        state, line = "open", f"Not answered yet: nothing but the placeholder stands under the mark “{mark}”."
    elif words is not None:
        count = len(re.findall(r"[^\W_]+(?:['’\-][^\W_]+)*", words.value))
        line = f"A person reads this ({count} word{'s' if count != 1 else ''}), and gives the points."
    return Mark(number, part.title, None, part.points, state, (_clean(line),))


def _followed_through(graded: Graded, question: Question, session: Session, notebook: Notebook) -> Iterable[str]:
    """Put a stand-in in the place of an answer that was left out, or that nothing can be built on, and say so."""
    mine = [mark for mark in graded.marks if mark.number.rpartition(".")[0] == question.id and mark.score is not None]
    lines = question.stand_in
    if lines is None or all(mark.state == "right" for mark in mine):
        return
    why = "is not answered. What builds on it"
    if any(mark.state != "open" for mark in mine):
        if lines.needs is None or lines.needs.put(session, notebook).kind == "value":
            return
        why = "has a mistake: see there. What builds on it cannot work with that, and"
    if session.stand_in(lines.name, lines.source):
        yield (
            f"Question {question.id} {why} was graded with the grader's own `{lines.name}`, "
            "so that its points are lost once only."
        )


def _notes(session: Session) -> list[str]:
    """Say what the notebook did as a whole."""
    notes = []
    for number, ran in sorted(session.cells.items()):
        notes += _cell_notes(number, ran)
    if session.printed > 100_000:
        notes.append(f"The notebook printed {session.printed / 1e6:,.1f} MB; only the beginning was kept.")
    if len(notes) > _NOTES:
        notes = [*notes[:_NOTES], f"… and {len(notes) - _NOTES} more."]
    return [_clean(note) for note in notes]


def _cell_notes(number: int, ran: Ran) -> Iterable[str]:
    if ran.kind == "raised":
        yield f"Code cell {number} did not run to its end: {ran.text}"
    if ran.kind == "ended":
        yield f"Code cell {number} was left out: {ran.text}. The other cells were run without it."
    if ran.kind == "not run":
        yield f"Code cell {number} was not run: {ran.text}."
    left_out = [line for line in ran.left_out if not line.startswith(_HARMLESS)]
    if left_out:
        yield f"Code cell {number}: left out, because only a notebook knows it: {'; '.join(left_out[:3])}"
    for line in ran.refused[:3]:
        if line.removesuffix(": refused") not in ran.text:
            yield f"Code cell {number} tried to {line}. It cost no points."


def _clean(text: str) -> str:
    """Drop what could steer a terminal or a page, control characters and direction marks, and what is too long."""
    printable = "".join(c if c.isprintable() else " " for c in text[: 4 * _LINE])
    line = " ".join(printable.split())
    return line if len(line) <= _LINE else f"{line[:_LINE]} …"


def _safe(text: str) -> str:
    """Keep a text from being read as Markdown's own signs or as HTML; ``a < b`` is neither."""
    text = re.sub(r"&(?=[#A-Za-z])", "&amp;", text)
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text).replace("![", "! [").replace("](", "] (")
