"""What a grading file is written with: questions, what they ask of a submission, and how its answers are judged.

A grading file is Python that defines ``ASSIGNMENT``. It needs numpy and no torch, and only the grader reads it::

    from attention.grading import Assignment, Call, Close, Part, Question

    x = np.random.default_rng(7).normal(size=(2, 8, 5, 5)).astype("float32")
    ASSIGNMENT = Assignment("Squeeze", (
        Question("1", "One mean a channel", (
            Part("its values", 2, Call("squeeze", x), Close(x.mean((2, 3)))),
        )),
    ))
"""

import builtins
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np

from attention.grading.notebook import Notebook
from attention.grading.runner import GraderError, Limits, Ran, Reply, Session, Tensor
from attention.grading.wire import Opaque, encode

__all__ = [
    "Assignment",
    "Build",
    "Call",
    "CellRan",
    "Check",
    "Close",
    "Equal",
    "Lacking",
    "Look",
    "Manual",
    "Number",
    "Part",
    "Question",
    "Raises",
    "Run",
    "Shape",
    "StandIn",
    "Steps",
    "Text",
    "Unanswered",
    "Words",
    "Wrong",
    "attempt",
]


class Wrong(Exception):
    """An answer does not pass.

    :param message: what was expected and what came.
    :param hint: a hint at this very mistake; without it the part's own is given.
    :param brief: the message for a hidden part: without its numbers.
    :param known: the hint for a hidden part, at a mistake that was recognised: without numbers of its own.
    :param share: of the part's points that are given all the same.
    """

    def __init__(self, message: str, hint: str = "", *, brief: str = "", known: str = "", share: float = 0.0) -> None:
        super().__init__(message)
        self.hint, self.known, self.share = hint, known, share
        self.brief = brief or "The answer is not right for an input that is not shown."


class Lacking(Wrong):
    """There is nothing to judge: what was asked for is not there, did not come back, or hangs on another part."""


class Unanswered(Exception):
    """There is no answer yet.

    :param message: why, where it is not that the answer itself is a stub still.
    """


# What a part asks for.


class _Request:
    """Something that is asked of the process that runs the submission, about one of its names."""

    def __init__(self, name: str) -> None:
        self.name = name

    def put(self, session: Session, notebook: Notebook) -> Reply:
        """Ask."""
        request, buffers = self._request()
        return session.ask(request, buffers, self.name)

    def _request(self) -> tuple[dict[str, Any], list[bytes]]:
        raise NotImplementedError


def _packed(*values: Any) -> tuple[Any, list[bytes]]:
    tree, buffers = encode(values, 1 << 26)
    if found := _unsent(tree):
        raise ValueError(f"only numbers, texts, lists and arrays of up to 64 MB can be sent, not {' '.join(found)}")
    return tree, buffers


def _unsent(tree: Any) -> list[str]:
    """Find the first value that was named instead of being sent."""
    if isinstance(tree, dict):
        return tree["opaque"] if "opaque" in tree else _unsent(list(tree.values()))
    return next(filter(None, map(_unsent, tree)), []) if isinstance(tree, list) else []


class Call(_Request):
    """Call a function of the submission; numpy arrays arrive there as torch tensors.

    :param name: of the function, or class.
    :param arguments: what it is called with.
    :param seed: of torch's, numpy's and Python's random numbers, set before.
    :param untouched: ask that it leaves its arguments as they are.
    :param options: keyword arguments.
    """

    def __init__(self, name: str, *arguments: Any, seed: int = 0, untouched: bool = False, **options: Any) -> None:
        super().__init__(name)
        self.arguments, self.options, self.seed, self.untouched = arguments, options, seed, untouched

    def _request(self) -> tuple[dict[str, Any], list[bytes]]:
        tree, buffers = _packed(self.arguments, self.options)
        asked = {"do": "call", "name": self.name, "arguments": tree, "seed": self.seed, "after": self.untouched}
        return asked, buffers

    def put(self, session: Session, notebook: Notebook) -> Reply:
        """Ask, and compare the arguments with what was sent."""
        reply = super().put(session, notebook)
        if not self.untouched or reply.kind != "value":
            return reply
        found = reply.value if isinstance(reply.value, dict) else {}
        after = found.get("arguments")
        sent = (self.arguments, self.options)
        return Reply(
            "value", found.get("value"), arguments=None if _same(sent, after) else "changed", refused=reply.refused
        )


def _same(sent: Any, after: Any) -> bool:
    if isinstance(sent, np.ndarray):
        return isinstance(after, Tensor) and np.array_equal(sent, after.numbers, equal_nan=sent.dtype.kind in "fc")
    if isinstance(sent, list | tuple):
        return type(after) is type(sent) and len(after) == len(sent) and all(map(_same, sent, after))
    if isinstance(sent, dict):
        return isinstance(after, dict) and list(after) == list(sent) and all(map(_same, sent.values(), after.values()))
    return type(sent) is type(after) and sent == after


class Look(_Request):
    """Look at a variable of the submission.

    :param name: of the variable.
    """

    def _request(self) -> tuple[dict[str, Any], list[bytes]]:
        return {"do": "look", "name": self.name}, []


class Build(_Request):
    """Build an ``nn.Module`` of a class of the submission, fill its parameters, call it.

    The answer is a dictionary: ``parameters``, each one's shape by name; ``count``, the number of trainable ones; and
    with inputs ``output``, and with ``gradients`` also ``gradients`` by name and ``input_gradients``, of the output's
    elements weighted from -1 to 1 in equal steps.

    :param name: of the class.
    :param arguments: what it is built with.
    :param load: values of all parameters: by name, or in their order; in order a matrix may also fill a 1 × 1 kernel.
    :param inputs: what the module is called with.
    :param method: of the module that is called, instead of the module itself.
    :param gradients: whether gradients are asked for.
    :param training: whether it is called in training mode.
    :param seed: of the random numbers, set before.
    :param options: keyword arguments.
    """

    def __init__(
        self,
        name: str,
        *arguments: Any,
        load: Mapping[str, np.ndarray] | Sequence[np.ndarray] | None = None,
        inputs: Sequence[np.ndarray] | None = None,
        method: str | None = None,
        gradients: bool = False,
        training: bool = True,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(name)
        self.arguments, self.options, self.seed, self.method = arguments, options, seed, method
        self.load = dict(load) if isinstance(load, Mapping) else None if load is None else list(load)
        self.inputs = None if inputs is None else list(inputs)
        self.gradients, self.training = gradients, training

    def _request(self) -> tuple[dict[str, Any], list[bytes]]:
        tree, buffers = _packed(self.arguments, self.options, self.load, self.inputs)
        asked = {"do": "build", "name": self.name, "arguments": tree, "seed": self.seed, "method": self.method}
        return asked | {"gradients": self.gradients, "training": self.training}, buffers


class Run(_Request):
    """Run lines of the grading file's own in a copy of the submission's namespace, and look at one variable.

    The submission could read these lines: they must not hold what is expected.

    :param name: what of the submission they need.
    :param source: the lines; ``torch`` and ``np`` are there.
    :param result: the variable.
    :param seed: of the random numbers, set before.
    :param values: more variables; numpy arrays arrive as tensors.
    """

    def __init__(self, name: str, source: str, *, result: str = "answer", seed: int = 0, **values: Any) -> None:
        super().__init__(name)
        compile(source, "<grading file>", "exec")
        self.source, self.result, self.seed, self.values = source, result, seed, values

    def _request(self) -> tuple[dict[str, Any], list[bytes]]:
        tree, buffers = _packed((), self.values)
        asked = {"do": "run", "needs": [self.name], "source": self.source, "result": self.result, "arguments": tree}
        return asked | {"seed": self.seed}, buffers


class Steps(_Request):
    """Put several requests, of which a later one may depend on the answers to those before it.

    Parts that share the answer may share its failures too: where the function raises, or a value that it returns *is*
    an exception (see :func:`attempt`), the judge of each part that looks there raises it.

    :param name: what of the submission it is about, for messages.
    :param function: takes ``ask``, and returns what is judged. ``ask(request)`` puts a request and returns the reply;
        where there is no value it raises :class:`Wrong`, or :class:`Unanswered`, as if the request stood alone.
    """

    def __init__(self, name: str, function: Callable[[Callable[[_Request], Reply]], Any]) -> None:
        super().__init__(name)
        self.function = function

    def put(self, session: Session, notebook: Notebook) -> Reply:
        """Ask all."""
        refused: list[str] = []

        def ask(request: _Request) -> Reply:
            reply = request.put(session, notebook)
            refused.extend(reply.refused)
            if reply.kind != "value":
                raise without_value(reply, request.name, session)
            return reply

        value = attempt(self.function, ask)
        return Reply("value", value, refused=tuple(dict.fromkeys(refused)))

    def _request(self) -> tuple[dict[str, Any], list[bytes]]:
        return {}, []  # each request is packed when it is put


def attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function, and return what it raises instead of raising it.

    :raises attention.grading.runner.GraderError: where the grader itself cannot work.
    """
    try:
        return function(*arguments)
    except GraderError:
        raise
    except Exception as error:
        return error


def without_value(reply: Reply, name: str, session: Session) -> Exception:
    """Return what to raise of a request that brought no value: :class:`Unanswered` or :class:`Wrong`.

    :param name: of what was asked for.
    """
    if reply.kind == "missing":
        return _missing(reply, name, session)
    if reply.kind == "nothing":
        message = sentence(reply.message)
        return Lacking(message, brief=message)
    if reply.kind != "raised":
        message = f"`{name}` brought no answer: {reply.message}."
        return Lacking(message, _LESS if reply.error == "memory" else "", brief=message)
    if reply.unanswered:
        lacking = reply.lacking(name)
        return Unanswered(f"This needs {lacking}, which is not answered yet." if lacking else "")
    return _raised(reply, session)


def _missing(reply: Reply, name: str, session: Session) -> Lacking:
    if reply.message != name:
        return Lacking(sentence(reply.message), brief="It is not of the kind, or has not the parameters, asked for.")
    near = get_close_matches(name, session.names(), n=1)
    message = f"The notebook defines no `{name}`."
    message += f" It defines `{near[0]}`: is that the one?" if near else ""
    broken = session.defined_in(name)
    if broken is not None:
        message = f"`{name}` is not defined, because code cell {broken[0]} did not run to its end: {broken[1].text}"
    return Lacking(message, "Restart the kernel and run all cells yourself.", brief=message)


def _raised(reply: Reply, session: Session) -> Wrong:
    """Say what was raised; without its message for a hidden part, because that could hold the hidden input."""
    place = f" ({reply.where})" if reply.where else ""
    known = next((name for name in reply.kinds if name in _BUILTIN), "an error")
    brief = f"Your code raised {known} for an input that is not shown.{_known_place(reply, session)}"
    if "SystemExit" in reply.kinds:
        return Wrong(f"Your code called exit(){place}.", brief="Your code called exit().")
    if reply.no_memory:  # what torch says of it is for those who know its allocators
        message = f"Your code needed more memory than there is, {session.limits.memory:.0f} MB beside torch"
        return Lacking(f"{message}{place}", _LESS, brief=f"{message}.{_known_place(reply, session)}")
    said = f": {reply.message}" if reply.message else ""
    return Wrong(f"Your code raised {reply.error}{said}{place}", brief=brief)


_LESS = "Smaller images, fewer channels, or fewer images at a time need less."


def _known_place(reply: Reply, session: Session) -> str:
    """Name the line that an error came from, if it is one of the notebook: a submission could make up another."""
    lengths = {cell.number: len(cell.source.splitlines()) for cell in session.notebook.code}
    if reply.where is None or not 1 <= reply.where.line <= lengths.get(reply.where.cell, 0):
        return ""
    return f" It came from code cell {reply.where.cell}, line {reply.where.line}."


def sentence(text: str) -> str:
    """Let a text begin with a capital and end with a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


@dataclass(frozen=True)
class Text:
    """Read a text cell's own words, without executing anything.

    The text stands in the first cell that has the marker, as a tag or in its source, without the marker's line; and in
    the text cells after it, up to a heading, a marker or a code cell.

    :param marker: a tag, or a text such as ``<!-- answer 3 -->``.
    :param placeholder: what stands there before it is answered.
    """

    marker: str
    placeholder: str = "Your answer here."

    def put(self, session: Session, notebook: Notebook) -> Reply:
        """Read the cell."""
        place = notebook.marked(self.marker)
        if place is None:
            mark = self.marker.strip("<!-> ")
            return Reply("nothing", message=f"the mark of {mark} is gone: that comment is to stay where it was")
        texts = [notebook.cells[place].source]
        for cell in notebook.cells[place + 1 :]:
            if cell.kind != "markdown" or cell.source.lstrip().startswith("#") or "<!--" in cell.source:
                break
            texts.append(cell.source)
        lines = "\n\n".join(texts).splitlines()
        own = "\n".join(line for line in lines if self.marker not in line)
        own = re.sub(r"<!--.*?-->", "", own, flags=re.S).replace(self.placeholder, "").strip()
        return Reply("value", own or None)


@dataclass(frozen=True)
class CellRan:
    """Ask whether a code cell ran to its end; the answer is ``True``, or it raised what the cell raised.

    :param marker: a tag of the cell, or a text in its source.
    """

    marker: str

    def put(self, session: Session, notebook: Notebook) -> Reply:
        """Have the notebook executed, and look what became of the cell."""
        place = notebook.marked(self.marker)
        if place is None or notebook.cells[place].kind != "code":
            return Reply("nothing", message=f"the notebook has no code cell marked {self.marker!r} any more")
        why_not = session.run()
        if why_not:
            return Reply("nothing", message=why_not)
        ran = session.cells.get(notebook.cells[place].number, Ran("not run", "it is empty"))
        if ran.kind == "ran":
            return Reply("value", True)
        return Reply("nothing", message=f"code cell {notebook.cells[place].number} did not run to its end: {ran.text}")


# How an answer is judged.


@dataclass(frozen=True, kw_only=True)
class _Judge:
    """Something that raises ``Wrong`` unless an answer is right.

    :param of: which entry of a dictionary is judged, a key or several, one within the other.
    """

    of: str | int | tuple[str | int, ...] = ()

    def __call__(self, reply: Reply) -> None:
        """Judge what came of a request."""
        value = _there(reply.value)
        for key in self.of if isinstance(self.of, tuple) else (self.of,):
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                raise Wrong(f"The answer has no part {key!r}: it is {describe(reply.value)}.") from None
            if isinstance(value, Exception):
                raise value
        self.judge(value)

    def judge(self, value: Any) -> None:
        """Judge a value."""
        raise NotImplementedError


def _there(value: Any) -> Any:
    """Return an answer; raise where it is none yet, or what :class:`Steps` came to instead of one."""
    if value is None or value is Ellipsis:
        raise Unanswered
    if isinstance(value, Exception):
        raise value
    return value


@dataclass(frozen=True)
class Close(_Judge):
    """Ask for a tensor: its type, shape, dtype, that it is finite, and its values.

    :param expected: the right values.
    :param what: what they are, for the message.
    :param tolerance: how far a value may lie off, as a share of its size and of 1.
    :param dtype: name of the dtype; empty for any floating-point one.
    :param library: ``torch``, or empty for arrays and lists as well.
    :param mistakes: values that a known mistake leads to, each with the hint that fits it.
    :param shape_share: share of the points for the right shape with wrong values.
    :param known_share: share of the points for a known mistake, where another part has taken its points already.
    """

    expected: Any
    what: str = "the result"
    tolerance: float = 1e-4
    dtype: str = ""
    library: str = "torch"
    mistakes: Sequence[tuple[Any, str]] = ()
    shape_share: float = 0.0
    known_share: float = 0.0

    def judge(self, value: Any) -> None:
        """Compare values, as plain numbers."""
        expected = np.asarray(self.expected)
        if self.library and not (isinstance(value, Tensor) and value.library == self.library):
            raise Wrong(
                f"Expected a {self.library} tensor for {self.what}, received {describe(value)}.",
                brief=f"Expected a {self.library} tensor for {self.what}, received {kind(value)}.",
            )
        numbers = numbers_of(value)
        if numbers is None:
            raise Wrong(f"Expected numbers for {self.what}, received {describe(value)}.", brief="Expected numbers.")
        if numbers.shape != expected.shape:
            known = self._known(numbers)
            near = known or next((hint for shape, hint in self._shapes() if shape == numbers.shape), "")
            raise Wrong(
                f"Expected shape {expected.shape} for {self.what}, received {numbers.shape}.",
                near,
                brief=f"The shape of {self.what} is not right for an input of another shape.",
                known=near,
                share=self.known_share if known else 0.0,
            )
        name = value.dtype if isinstance(value, Tensor) else str(numbers.dtype)
        if (self.dtype and name != self.dtype) or (not self.dtype and numbers.dtype.kind not in "f"):
            wanted = self.dtype or "a floating-point dtype"
            if expected.dtype.kind == "f" or self.dtype:
                raise Wrong(
                    f"Expected {wanted} for {self.what}, received {name}.",
                    "Let the result have the dtype of the input.",
                    brief=f"Expected {wanted} for {self.what}, received {name}.",
                    share=self.shape_share,
                )
        wrong, off = _off(numbers, expected, self.tolerance)
        if not wrong.any():
            return
        hint = self._known(numbers)
        share = max(self.shape_share, self.known_share if hint else 0.0)
        lost = int(np.size(numbers) - np.isfinite(numbers).sum())
        if lost and np.isfinite(expected).all():
            text = f"{lost} of {numbers.size} numbers in {self.what} are inf or nan."
            raise Wrong(text, hint, brief=f"Numbers in {self.what} are inf or nan.", known=hint, share=share)
        at = np.unravel_index(int(np.argmax(off)), off.shape)
        place = f" at {[int(i) for i in at]}" if off.ndim else ""
        raise Wrong(
            f"{int(wrong.sum())} of {wrong.size} numbers in {self.what} are wrong; the largest difference is "
            f"{float(off[at]):.3g}{place}: expected {_short(expected[at])}, received {_short(numbers[at])}.",
            hint,
            brief=f"The shape of {self.what} is right, its values are not.",
            known=hint,
            share=share,
        )

    def _known(self, numbers: np.ndarray) -> str:
        return next((hint for values, hint in self.mistakes if _alike(numbers, values, self.tolerance)), "")

    def _shapes(self) -> list[tuple[tuple[int, ...], str]]:
        return [(np.asarray(values).shape, hint) for values, hint in self.mistakes]


@dataclass(frozen=True)
class Number(_Judge):
    """Ask for one number: of Python's, numpy's or torch's, without axes.

    :param expected: the right one.
    :param what: what it is, for the message.
    :param tolerance: as a share of it; 0 for a count.
    :param mistakes: numbers that a known mistake leads to, each with the hint that fits it.
    :param reveal: whether the message shows the right one.
    """

    expected: float
    what: str = "the answer"
    tolerance: float = 0.0
    mistakes: Sequence[tuple[float, str]] = ()
    reveal: bool = True

    def judge(self, value: Any) -> None:
        """Compare two numbers."""
        numbers = numbers_of(value)
        single = numbers is not None and numbers.ndim == 0 and not isinstance(value, list | tuple)
        if not single or isinstance(value, bool) or numbers.dtype.kind not in "iuf":
            message = f"Expected a number for {self.what}, received {describe(value)}."
            raise Wrong(message, brief=f"Expected a number for {self.what}, received {kind(value)}.")
        got = numbers.item()
        if self._is(got, self.expected):
            return
        hint = next((hint for number, hint in self.mistakes if self._is(got, number)), "")
        message = f"Expected {_short(self.expected)} for {self.what}, received {_short(got)}."
        if not self.reveal:
            message = f"{_short(got)} is not right for {self.what}."
        raise Wrong(message, hint, brief=f"{_begin(self.what)} is not right.", known=hint)

    def _is(self, got: float, right: float) -> bool:
        return got == right or (math.isfinite(got) and abs(got - right) <= self.tolerance * abs(right))


@dataclass(frozen=True)
class Equal(_Judge):
    """Ask for a value that is the same: text, truth, whole numbers, lists and dictionaries of them.

    :param expected: the right one.
    :param what: what it is, for the message.
    """

    expected: Any
    what: str = "the answer"

    def judge(self, value: Any) -> None:
        """Compare."""
        if _equal(value, self.expected):
            return
        raise Wrong(
            f"Expected {self.expected!r:.200} for {self.what}, received {describe(value)}.",
            brief=f"{_begin(self.what)} is not right.",
        )


def _equal(value: Any, expected: Any) -> bool:
    if isinstance(expected, list | tuple):
        alike = isinstance(value, list | tuple) and len(value) == len(expected)
        return alike and all(map(_equal, value, expected))
    if isinstance(expected, dict):
        alike = isinstance(value, dict) and set(value) == set(expected)
        return alike and all(_equal(value[key], expected[key]) for key in expected)
    if isinstance(expected, int | float) and not isinstance(expected, bool):
        numbers = None if isinstance(value, bool | list | tuple) else numbers_of(value)
        return numbers is not None and numbers.ndim == 0 and numbers.dtype.kind in "iuf" and numbers.item() == expected
    if isinstance(value, Tensor) and value.numbers.ndim == 0:
        value = value.numbers.item()
    return type(value) is type(expected) and value == expected


@dataclass(frozen=True)
class Shape(_Judge):
    """Ask for a tensor of a shape, whatever its values.

    :param expected: the shape.
    :param what: what has it, for the message.
    """

    expected: tuple[int, ...]
    what: str = "the result"

    def judge(self, value: Any) -> None:
        """Compare shapes."""
        if not isinstance(value, Tensor):
            raise Wrong(f"Expected a tensor for {self.what}, received {describe(value)}.", brief="Expected a tensor.")
        if value.shape != tuple(self.expected):
            raise Wrong(
                f"Expected shape {tuple(self.expected)} for {self.what}, received {value.shape}.",
                brief=f"The shape of {self.what} is not right for an input of another shape.",
            )


@dataclass(frozen=True)
class Raises(_Judge):
    """Ask that an error is raised.

    :param kinds: names of built-in errors that will do: ``("ValueError",)``.
    :param mentions: words that its message must hold, whatever their case.
    """

    kinds: tuple[str, ...] = ("ValueError",)
    mentions: tuple[str, ...] = ()

    def __call__(self, reply: Reply) -> None:
        """Judge the error."""
        wanted = " or ".join(self.kinds)
        if reply.kind == "value":
            raise Wrong(
                f"Expected a {wanted}, but {describe(reply.value)} was returned.", brief=f"Expected a {wanted}."
            )
        if not set(self.kinds) & set(reply.kinds):
            raise Wrong(f"Expected a {wanted}, received {reply.error}: {reply.message}", brief=f"Expected a {wanted}.")
        lacking = [word for word in self.mentions if word.lower() not in reply.message.lower()]
        if lacking:
            message = f"The {reply.error} is right, but its message does not name {', '.join(lacking)}."
            raise Wrong(message, "Say what was received and what would have been right.", brief=message, share=0.5)


@dataclass(frozen=True)
class Words(_Judge):
    """Ask for a text of some length; what it says, only a person can judge.

    :param least: number of words.
    :param mentions: patterns, each of which must be found, and what to call it in the message.
    """

    least: int
    mentions: Mapping[str, str] = field(default_factory=dict)

    def judge(self, value: Any) -> None:
        """Count words."""
        if not isinstance(value, str):
            raise Wrong(f"Expected a text, received {describe(value)}.")
        count = len({word.lower() for word in re.findall(r"[^\W_]+", value)})
        if count < self.least:
            message = f"Expected at least {self.least} different words, received {count}."
            raise Wrong(message, brief=message)
        lacking = [name for pattern, name in self.mentions.items() if not re.search(pattern, value, re.I)]
        if lacking:
            message = f"Nothing is said of {', '.join(lacking)}."
            raise Wrong(message, brief=message, share=1 - len(lacking) / len(self.mentions))


@dataclass(frozen=True)
class Check(_Judge):
    """Judge by a function of the grading file's own.

    :param function: takes the value (numbers, texts, lists, dictionaries, ``Tensor``, ``Opaque``) and raises
        :class:`Wrong` unless it is right.
    """

    function: Callable[[Any], object]

    def judge(self, value: Any) -> None:
        """Call the function."""
        self.function(value)


# What they make together.


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
    ask: _Request | Text | CellRan
    judge: _Judge
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
    needs: _Request | None = None

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
                if isinstance(part, Part) and not (hasattr(part.ask, "put") and isinstance(part.judge, _Judge)):
                    raise ValueError(f"question {question.id}, {part.title!r}: its ask or judge is none")
                if isinstance(part, Part) and isinstance(part.ask, _Request):
                    part.ask._request()  # whether it can be sent
        ids = [question.id for question in self.questions]
        if not ids or len(set(ids)) < len(ids):
            raise ValueError(f"questions: expected one or more, each with an id of its own, received {ids}")

    @property
    def points(self) -> float:
        """The most that can be reached here, without what a person reads."""
        return sum(part.points for question in self.questions for part in question.parts if isinstance(part, Part))


# Helpers of judges.


def numbers_of(value: Any) -> np.ndarray | None:
    """Return an answer as numbers; ``None`` for anything else."""
    if isinstance(value, Tensor):
        return value.numbers
    if isinstance(value, bool | str | Opaque) or value is None:
        return np.asarray(value) if isinstance(value, bool) else None
    if isinstance(value, int | float):
        small = isinstance(value, float) or abs(value) < 2**63
        return np.asarray(value if small else math.inf if value > 0 else -math.inf)
    if isinstance(value, list | tuple):
        parts = [numbers_of(each) for each in value]
        if any(part is None or part.shape != parts[0].shape for part in parts):
            return None
        return np.stack(parts) if parts else np.zeros(0)
    return None


def describe(value: Any) -> str:
    """Name a value for a message."""
    if isinstance(value, Tensor):
        return f"a {value.library} tensor of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, Opaque):
        return repr(value)
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a whole number of more than 30 digits"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"a value of type {type(value).__name__}"


def kind(value: Any) -> str:
    """Name a value's type, and nothing of what it holds."""
    if isinstance(value, Tensor):
        return f"a {value.library} tensor"
    known = isinstance(value, bool | int | float | str | list | tuple | dict)
    return f"a value of type {type(value).__name__}" if known else "something else"


def _off(numbers: np.ndarray, expected: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which numbers are wrong, and by how much; nan is wrong where none is expected."""
    both_nan = np.isnan(numbers.astype(complex)) & np.isnan(expected.astype(complex))
    wide = np.complex128 if "c" in (numbers.dtype.kind, expected.dtype.kind) else np.float64
    a, b = numbers.astype(wide), expected.astype(wide)
    with np.errstate(all="ignore"):
        off = np.abs(a - b)
        near = (off <= tolerance * np.maximum(np.abs(b), 1)) & np.isfinite(b)
        wrong = (a != b) & ~near & ~both_nan
    return wrong, np.where(wrong, np.nan_to_num(off, nan=np.inf), 0)


def _alike(numbers: np.ndarray, values: Any, tolerance: float) -> bool:
    values = np.asarray(values)
    return numbers.shape == values.shape and not _off(numbers, values, tolerance)[0].any()


def _begin(what: str) -> str:
    """Let a sentence begin with a name; a symbol such as k stays as it is."""
    return what if len(what.split(" ")[0]) == 1 else what[:1].upper() + what[1:]


def _short(number: Any) -> str:
    if isinstance(number, int | np.integer):
        return f"{int(number):,}" if abs(int(number)) < 10**30 else "a number of more than 30 digits"
    return f"{number:.5g}"


_BUILTIN = frozenset(name for name in dir(builtins) if name.endswith(("Error", "Exception", "Exit", "Interrupt")))
