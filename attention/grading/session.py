"""The conversation with a submission: its cells are executed, it is asked, and it is started again where it ends."""

import time
from dataclasses import dataclass
from typing import Any

from attention.grading import wire
from attention.grading.endings import Died
from attention.grading.notebook import Notebook
from attention.grading.replies import Reply, read_reply
from attention.grading.runner import Child, GraderError, Limits

__all__ = ["Ran", "Session", "ran"]


@dataclass
class Ran:
    """What became of a cell: ``ran``, ``raised``, ``ended`` (it took the process with it) or ``not run``."""

    kind: str
    text: str = ""
    left_out: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


class Session:
    """A submission that answers calls, and starts again where one of them ends it.

    Use it as a context manager: leaving it ends the process.

    :param notebook: the submission.
    :param limits: what it may use.
    :param budget: ``ATTENTION_BUDGET`` for its cells.
    """

    def __init__(self, notebook: Notebook, limits: Limits, *, budget: str = "smoke") -> None:
        self.notebook, self.limits, self.budget = notebook, limits, budget
        self.cells: dict[int, Ran] = {}
        self.child: Child | None = None
        self.starts, self.peak, self.printed, self.text = 0, 0, 0, ""
        self.fences: list[str] = []
        self.user: int | None = None
        self.failures: dict[str, int] = {}
        self.stand_ins: dict[int, str] = {}
        self.deadline = time.monotonic() + limits.total
        sources = "".join(cell.source for cell in notebook.code)
        self.plots = "matplotlib" in sources or "attention.lab" in sources or "import lab" in sources

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def _end(self) -> None:
        if self.child is not None:
            self.child.end()
            self.peak, self.child = max(self.peak, self.child.peak), None

    def _left(self, limit: float) -> float:
        return min(limit, self.deadline - time.monotonic())

    def run(self) -> str:
        """Have a process that has executed all cells; return why there is none, or nothing."""
        while self.child is None:
            if self.starts > self.limits.restarts:
                return f"the notebook ended the grader's process {self.starts} times; it was not started again"
            if self._left(1) < 1:
                return f"the time for this notebook, {self.limits.total:.0f} seconds, was used up"
            self.starts += 1
            try:
                seconds = self.limits.start if self.starts == 1 else max(5.0, self._left(self.limits.start))
                self.child = Child(self.limits, self.plots, self.budget, seconds)
            except Died as died:
                if self.starts > 1:
                    return f"the grader's process could not be started again: {died.text}"
                raise GraderError(f"the process that runs submissions could not start: {died.text}") from died
            self._execute(self.child)
        return ""

    def _execute(self, child: Child) -> None:
        """Execute all cells but those that ended a process before."""
        self.fences, self.user = child.fences, child.user
        until = time.monotonic() + self._left(self.limits.cells)
        for cell in self.notebook.code:
            known = self.cells.get(cell.number)
            if known is not None and known.kind == "ended":
                continue
            seconds = min(self.limits.cell, until - time.monotonic())
            if seconds <= 0:
                self.cells[cell.number] = Ran("not run", "the time for the notebook's cells was used up")
                continue
            try:
                request = {"do": "cell", "index": cell.number, "source": cell.source}
                message, _ = child.exchange(request, [], seconds, 0)
                reply = read_reply(message, b"")
                if cell.number in self.stand_ins:
                    lines = self.stand_ins[cell.number]
                    child.exchange({"do": "define", "source": lines}, [], self.limits.call, 0)
                if not child.quiet():
                    raise Died(
                        "channel", "something was written into the pipe that only the grader's answers go through"
                    )
            except (Died, wire.Nonsense) as died:
                text = died.text if isinstance(died, Died) else "its answer could not be read"
                self.cells[cell.number] = Ran("ended", text)
                self._end()
                return
            finally:
                self.text, self.printed = child.text.decode("utf-8", "replace"), max(self.printed, child.printed)
            if reply.no_memory and child.memory() > child.base + 0.5e6 * self.limits.memory:
                # What it holds would be lacking for the rest: start again without it.
                self.cells[cell.number] = Ran("ended", f"it needed more than {self.limits.memory:.0f} MB of memory")
                self._end()
                return
            self.cells[cell.number] = ran(reply, cell.number, self.limits)

    def stand_in(self, name: str, source: str) -> bool:
        """Put lines of the grader's own in the place of a definition, and have all cells executed again when asked.

        :param name: what they define.
        :param source: the lines; a submission could find out what they do.
        :returns: whether the submission has such a definition.
        """
        cells = self.notebook.defined.get(name)
        if cells:
            self.stand_ins[cells[-1]] = source
            self._end()
        return bool(cells)

    def ask(self, request: dict[str, Any], buffers: list[bytes], about: str) -> Reply:
        """Put one question to the submission.

        :param about: the name that it is about: after it has ended the process twice, it is not asked again.
        """
        if self.failures.get(about, 0) >= 2:
            return Reply("nothing", message=f"`{about}` had not come back twice already, and was not called again")
        why_not = self.run()
        if why_not:
            return Reply("nothing", message=why_not)
        try:
            message, body = self.child.exchange(request, buffers, max(0.1, self._left(self.limits.call)))
            reply = read_reply(message, body)
            if not self.child.quiet():
                self._end()
            return reply
        except wire.Nonsense:
            died = Died("channel", "its answer could not be read")
        except Died as error:
            died = error
        self.failures[about] = self.failures.get(about, 0) + 1
        self._end()
        return Reply("died", error=died.reason, message=died.text)

    def defined_in(self, name: str) -> tuple[int, Ran] | None:
        """Find the cell that defines a name, where that cell did not run to its end."""
        for number in reversed(self.notebook.defined.get(name, [])):
            ran = self.cells.get(number)
            if ran is not None and ran.kind != "ran":
                return number, ran
        return None


def ran(reply: Reply, cell: int, limits: Limits) -> Ran:
    """Say what became of a cell, from what its execution brought.

    :param cell: its number.
    """
    if reply.kind == "value":
        left_out = tuple(str(line) for line in reply.value) if isinstance(reply.value, list) else ()
        return Ran("ran", left_out=left_out, refused=reply.refused)
    place = ""
    if reply.where:
        place = f", {reply.where if reply.where.cell != cell else str(reply.where).partition(', ')[2]}"
    if "SystemExit" in reply.kinds:
        return Ran("raised", f"it called exit(){place}; the rest of it was not run", refused=reply.refused)
    if lacking := reply.lacking():
        return Ran("raised", f"it calls {lacking}, which is not answered yet", refused=reply.refused)
    if reply.no_memory:
        said = f"it needed more memory than there is ({limits.memory:.0f} MB beside torch)"
        return Ran("raised", f"{said}{place}", refused=reply.refused)
    said = f": {reply.message}" if reply.message else ""
    return Ran("raised", f"{reply.error}{said}{place}", refused=reply.refused)
