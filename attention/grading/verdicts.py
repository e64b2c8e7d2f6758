"""What can be wrong with an answer, and how that is said where a request brought no value at all."""

import builtins
from difflib import get_close_matches

from attention.grading.replies import Reply
from attention.grading.session import Session

__all__ = ["Lacking", "Unanswered", "Wrong", "sentence", "without_value"]


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
    near = get_close_matches(name, session.notebook.names, n=1)
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


_BUILTIN = frozenset(name for name in dir(builtins) if name.endswith(("Error", "Exception", "Exit", "Interrupt")))
