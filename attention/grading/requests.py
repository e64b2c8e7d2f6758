"""What a part asks of a submission: a call, a look at a variable, a module, lines of its own, a text, a cell."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attention.grading.notebook import Notebook
from attention.grading.replies import Reply, Tensor
from attention.grading.runner import GraderError
from attention.grading.session import Ran, Session
from attention.grading.verdicts import without_value
from attention.grading.wire import encode

__all__ = ["Build", "Call", "CellRan", "Look", "Request", "Run", "Steps", "Text", "attempt"]


class Request:
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


class Call(Request):
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


class Look(Request):
    """Look at a variable of the submission.

    :param name: of the variable.
    """

    def _request(self) -> tuple[dict[str, Any], list[bytes]]:
        return {"do": "look", "name": self.name}, []


class Build(Request):
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


class Run(Request):
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


class Steps(Request):
    """Put several requests, of which a later one may depend on the answers to those before it.

    Parts that share the answer may share its failures too: where the function raises, or a value that it returns *is*
    an exception (see :func:`attempt`), the judge of each part that looks there raises it.

    :param name: what of the submission it is about, for messages.
    :param function: takes ``ask``, and returns what is judged. ``ask(request)`` puts a request and returns the reply;
        where there is no value it raises :class:`Wrong`, or :class:`Unanswered`, as if the request stood alone.
    """

    def __init__(self, name: str, function: Callable[[Callable[[Request], Reply]], Any]) -> None:
        super().__init__(name)
        self.function = function

    def put(self, session: Session, notebook: Notebook) -> Reply:
        """Ask all."""
        refused: list[str] = []

        def ask(request: Request) -> Reply:
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


@dataclass(frozen=True)
class Text:
    """Read a text cell's own words, without executing anything.

    The text stands in the cell that has the marker, as a tag or in its source, without the marker's line; and in the
    text cells after it, up to a heading, a marker or a code cell. Where the cell was copied, the first copy counts that
    has words.

    :param marker: a tag, or a text such as ``<!-- answer 3 -->``.
    :param placeholder: what stands there before it is answered.
    """

    marker: str
    placeholder: str = "Your answer here."

    def put(self, session: Session, notebook: Notebook) -> Reply:
        """Read the cell."""
        places = notebook.places(self.marker)
        if not places:
            mark = self.marker.strip("<!-> ")
            return Reply("nothing", message=f"the mark of {mark} is gone: that comment is to stay where it was")
        return Reply("value", next(filter(None, (self._words(notebook, place) for place in places)), None))

    def _words(self, notebook: Notebook, place: int) -> str:
        texts = [notebook.cells[place].source]
        for cell in notebook.cells[place + 1 :]:
            if cell.kind != "markdown" or cell.source.lstrip().startswith("#") or "<!--" in cell.source:
                break
            texts.append(cell.source)
        lines = "\n\n".join(texts).splitlines()
        own = "\n".join(line for line in lines if self.marker not in line)
        return _uncommented(own).replace(self.placeholder, "").strip()


def _uncommented(text: str) -> str:
    """Leave out comments of HTML; one that is not closed is text."""
    kept, start = [], 0
    while (opened := text.find("<!--", start)) >= 0 and (closed := text.find("-->", opened + 4)) >= 0:
        kept.append(text[start:opened])
        start = closed + 3
    return "".join((*kept, text[start:]))


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
