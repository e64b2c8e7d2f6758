"""What the report says of an answer."""

from dataclasses import replace

import pytest

from attention.grading import Call, Check, Close, Equal, Limits, Part, Question, Reply, Wrong, notebook
from attention.grading.replies import Place
from attention.grading.report import Graded, Mark, _mark, _once
from attention.grading.session import ran
from tests.grading.parts import RIGHT, Answering, cells, tensor, told


def test_a_hidden_part_names_a_mistake_that_is_known_and_may_cost_less_there() -> None:
    judge = Close(RIGHT, mistakes=[(2 * RIGHT, "Twice."), (RIGHT[:, :, None], "An axis more.")], known_share=0.75)
    hidden = Part("p", 4, Call("f"), judge, hint="Look again.", hidden=True)
    for values, hint, score in (
        (2 * RIGHT, "Hint: Twice.", 3),
        (RIGHT[:, :, None], "Hint: An axis more.", 3),
        (RIGHT[:, :, None] + 1, "Hint: An axis more.", 0),
        (3 * RIGHT, "Hint: Look again.", 0),
    ):
        mark = told(hidden, tensor(values))
        assert (mark.lines[-1], mark.score) == (hint, score)
        assert "4" not in " ".join(mark.lines)  # RIGHT's last number
    assert told(hidden, tensor(RIGHT)).state == "right"

    def judge_with_a_number(value: object) -> None:
        raise Wrong("Expected 4711.", "It is 4711.", brief="Not right.")

    spoken = Part("p", 4, Call("f"), Check(judge_with_a_number), hint="Look again.")
    assert told(spoken, 1).lines == ("Expected 4711.", "Hint: It is 4711.")
    assert told(replace(spoken, hidden=True), 1).lines == ("Not right.", "Hint: Look again.")


def test_what_is_lacking_is_named() -> None:
    """Where the answer calls something that is a stub still, and where it is lacking itself, without a foreign hint."""
    stub = {"error": "NotImplementedError", "kinds": ("NotImplementedError",)}
    other = Place(4, 3, "raise NotImplementedError", "kernel_size")
    own = Place(5, 9, "raise NotImplementedError", "ECA.forward")
    inner = Place(5, 9, "raise NotImplementedError('later')", "Other.__init__.<locals>.<lambda>")
    part = Part("p", 1, Call("ECA"), Equal(1), "an equation", "A hint of the part.")
    hidden = Part("p", 1, Call("ECA"), Equal(1), "an equation", "A hint of the part.", hidden=True)
    graded = Graded("a", (Question("1", "q", (part, hidden)),))
    for reply, state, line in (
        (
            Reply("raised", **stub, where=other),
            "open",
            "This needs `kernel_size` (code cell 4), which is not answered yet.",
        ),
        (Reply("raised", **stub, where=own), "open", "Not answered yet."),
        (Reply("raised", **stub), "open", "Not answered yet."),
        (
            Reply("raised", **stub, message="later", where=inner),
            "open",
            "This needs `Other` (code cell 5), which is not answered yet.",
        ),
        (Reply("missing", message="ECA"), "wrong", "The notebook defines no `ECA`."),
        (Reply("nothing", message="no time is left"), "wrong", "No time is left."),
        (Reply("died", message="it left"), "wrong", "`ECA` brought no answer: it left."),
    ):
        for each in (part, hidden):
            mark = _mark(graded, "1.1", each, Answering(), reply)
            assert (mark.state, mark.lines[0]) == (state, line)
            assert not any("equation" in said or "A hint of the part" in said for said in mark.lines)
    # torch has errors of that name too: a module without a forward, for one.
    of_torch = Reply("raised", **stub, message="Module is missing", where=Place(5, 2, "block(x)", "f"))
    mark = _mark(graded, "1.1", part, Answering(), of_torch)
    assert mark.lines[0] == "Your code raised NotImplementedError: Module is missing (code cell 5, line 2: block(x))"


def test_an_error_is_placed_in_the_cell_that_it_came_from() -> None:
    here = Place(7, 2, "1 / 0", "f")
    raised = Reply("raised", error="ZeroDivisionError", kinds=("ZeroDivisionError",), message="by zero", where=here)
    assert ran(raised, 7, Limits()).text == "ZeroDivisionError: by zero, line 2: 1 / 0"
    assert ran(raised, 9, Limits()).text == "ZeroDivisionError: by zero, code cell 7, line 2: 1 / 0"
    # For a hidden input, only where there is such a line: the process could make up another, and tell a number by it.
    part = Part("p", 1, Call("f"), Equal(1), hidden=True)
    graded = Graded("a", (Question("1", "q", (part,)),))
    session = Answering()
    session.notebook = notebook.Notebook((notebook.Cell(7, "code", "def f(x):\n    1 / 0"),))
    for line, place in ((2, " It came from code cell 7, line 2."), (2048, "")):
        where = Place(7, line, "2048", "f")
        mark = _mark(graded, "1.1", part, session, replace(raised, where=where))
        assert mark.lines == (f"Your code raised ZeroDivisionError for an input that is not shown.{place}",)


def test_want_of_memory_is_told_in_plain_words() -> None:
    said = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
    here = Place(7, 2, "x @ y", "f")
    raised = Reply("raised", error="RuntimeError", message=said, where=here, no_memory=True)
    assert ran(raised, 7, Limits(memory=300)).text == (
        "it needed more memory than there is (300 MB beside torch), line 2: x @ y"
    )
    part = Part("p", 1, Call("f"), Equal(1), "an equation", "A hint of the part.")
    graded = Graded("a", (Question("1", "q", (part,)),))
    session = Answering()
    session.limits = Limits(memory=300)
    mark = _mark(graded, "1.1", part, session, raised)
    less = "Hint: Smaller images, fewer channels, or fewer images at a time need less."
    plain = "Your code needed more memory than there is, 300 MB beside torch"
    assert mark.lines == (f"{plain} (code cell 7, line 2: x @ y)", less)
    died = Reply("died", error="memory", message="it took more than the 300 MB that there are beside torch")
    assert _mark(graded, "1.1", part, session, died).lines[1] == less
    assert len(_mark(graded, "1.1", part, session, replace(died, error="time")).lines) == 1


def test_one_cause_is_told_once() -> None:
    raised = ("Your code raised KeyError: 'x'", "Belongs to: an equation", "Hint: Look.")
    marks = [
        Mark("1.1", "first", 0.0, 1, "wrong", raised),
        Mark("1.2", "second", 1.0, 1, "right"),
        Mark("1.3", "third", 0.0, 1, "wrong", (raised[0], "Hint: Another.")),
        Mark("1.4", "fourth", 0.0, 1, "wrong", ("Its values are not right.", "Hint: a")),
        Mark("1.5", "fifth", 0.0, 1, "wrong", ("Its values are not right.", "Hint: b")),
    ]
    told = _once(marks)
    assert told[2].lines == ("For the same reason as “first”.",)
    assert [told[i] for i in (0, 1, 3, 4)] == [marks[i] for i in (0, 1, 3, 4)]


STUB = Reply("raised", error="NotImplementedError", kinds=("NotImplementedError",))
OLD = "def f(x):\n    raise NotImplementedError"


@pytest.mark.parametrize(
    ("sources", "reply", "line"),
    [
        ((OLD,), replace(STUB, where=Place(1, 2, "raise NotImplementedError", "f")), "Not answered yet."),
        (
            ("def f(x):\n    return x", "", OLD),
            replace(STUB, where=Place(3, 2, "raise NotImplementedError", "f")),
            "Not answered yet: code cell 3 defines `f` once more, without an answer, and the last definition counts. "
            "The one before it is in code cell 1.",
        ),
        # The copy did not run: what counts is the first.
        ((OLD, "1 / 0\ndef f(x): ..."), replace(STUB, where=Place(1, 2, "raise NotImplementedError", "f")), "yet."),
        (("f = 3", "f = ..."), Reply("value", ...), "code cell 2 defines `f` once more"),
        (("f = 3", "def g():\n    f = 4"), Reply("value", None), "Not answered yet."),  # another f
    ],
)
def test_a_stub_that_was_copied_below_an_answer_is_named(sources: tuple[str, ...], reply: Reply, line: str) -> None:
    session = Answering()
    session.notebook = cells(*(("code", source) for source in sources))
    for hidden in (False, True):
        part = Part("p", 1, Call("f"), Equal(1), hidden=hidden)
        mark = _mark(Graded("a", (Question("1", "q", (part,)),)), "1.1", part, session, reply)
        assert mark.state == "open"
        assert mark.lines[0].endswith(line) or line in mark.lines[0].removeprefix("Not answered yet.")
