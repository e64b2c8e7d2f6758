"""Runs a notebook's cells and calls in a process of its own, and outlives whatever that process does.

This side imports no torch: together with the process that does, it has to fit into 768 MB.
"""

import os
import re
import selectors
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import attention
from attention.grading import wire
from attention.grading.notebook import Notebook

__all__ = ["Died", "GraderError", "Limits", "Reply", "Session", "Tensor", "readable_folders"]

_NOBODY = 65534
_PACKAGE = Path(attention.__file__).resolve().parent
_START = (
    "import sys; sys.path[:] = {path!r}; sys.path.insert(0, {root!r}); import attention.grading.child as child; "
    "sys.path.remove({root!r}); child.main({read}, {write})"
)


class GraderError(Exception):
    """The grader itself cannot work: a bad grading file, no torch. Never a submission's fault."""


class Died(Exception):
    """The process that runs the submission came to an end, or was ended.

    :param reason: ``time``, ``memory``, ``channel``, ``exit`` or ``crash``.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason, self.text = reason, text


@dataclass(frozen=True)
class Limits:
    """What a submission may use; seconds of wall-clock time, megabytes.

    :param start: to import torch.
    :param cell: for one cell.
    :param cells: for all cells, each time that they are executed.
    :param call: for one call.
    :param total: for everything.
    :param memory: beyond what Python, torch and ``loaded`` take; without ``loaded`` that is about 260 MB.
    :param reply: for the arrays of one answer.
    :param file_size: for one file that it writes.
    :param output: characters kept of what it prints.
    :param restarts: how often the process may have to be started again.
    :param loaded: modules that are imported before memory is counted, because every right answer imports them.
    """

    start: float = 120
    cell: float = 60
    cells: float = 240
    call: float = 20
    total: float = 480
    memory: float = 400
    reply: float = 16
    file_size: float = 16
    output: int = 4000
    restarts: int = 8
    loaded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tensor:
    """A tensor or array that a submission returned: plain numbers, and what they were called there.

    :param numbers: the values; bfloat16 comes as float32.
    :param dtype: the name of its dtype in its library: ``float32``, ``bfloat16``.
    :param library: ``torch`` or ``numpy``.
    :param requires_grad: whether it was part of a graph.
    """

    numbers: np.ndarray = field(repr=False)
    dtype: str
    library: str
    requires_grad: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.numbers.shape


@dataclass(frozen=True)
class Place:
    """A line of a submission.

    :param cell: the number of the code cell.
    :param line: its number in that cell.
    :param text: the line itself.
    :param inside: the function that it belongs to, ``"ECA.forward"``; empty where it belongs to none.
    """

    cell: int
    line: int
    text: str
    inside: str = ""

    def __str__(self) -> str:
        return f"code cell {self.cell}, line {self.line}: {self.text}"


@dataclass(frozen=True)
class Reply:
    """What came of one request.

    :param kind: ``value``; ``raised``; ``missing``: there is no such name, or not of that kind; ``died``; ``nothing``:
        it was not tried.
    :param value: numbers, texts, lists, tuples, dictionaries, ``Tensor`` and ``Opaque``.
    :param error: type of what was raised, or the reason of :class:`Died`.
    :param kinds: the built-in types that this type is one of.
    :param message: what it said, or why there is no value.
    :param where: where it came from.
    :param arguments: arguments as they were after the call, where that was asked for.
    :param refused: what the fences refused meanwhile.
    :param seconds: how long it took.
    :param no_memory: whether the error came for want of memory.
    """

    kind: str
    value: Any = None
    error: str = ""
    kinds: tuple[str, ...] = ()
    message: str = ""
    where: Place | None = None
    arguments: Any = None
    refused: tuple[str, ...] = ()
    seconds: float = 0.0
    no_memory: bool = False

    @property
    def unanswered(self) -> bool:
        """Whether the error is a stub's ``raise NotImplementedError``; torch has errors of that name as well."""
        stub = self.where is not None and self.where.text.startswith("raise NotImplementedError")
        return "NotImplementedError" in self.kinds and (stub or not self.message)

    def lacking(self, name: str = "") -> str:
        """Name the function that is a stub still, where it is another one than was asked for.

        :param name: of what was asked for.
        """
        if not self.unanswered or self.where is None:
            return ""
        inside = self.where.inside.partition(".<locals>")[0]
        if inside.startswith("<") or inside.split(".")[0] in ("", name):
            return ""
        return f"`{inside.removesuffix('.__init__')}` (code cell {self.where.cell})"


def readable_folders() -> list[str]:
    """List the folders that a submission may read: the interpreter's, the system's libraries, the package's."""
    named = [sys.prefix, sys.base_prefix, sys.exec_prefix, str(_PACKAGE), *_import_path()]
    system = [
        "/usr",
        "/lib",
        "/lib64",
        "/etc",
        "/sys/devices/system",
        "/nix/store",
        "/opt/homebrew",
        "/System",
        "/Library",
    ]
    links = [os.path.dirname(os.path.realpath(sys.executable))]
    return [path for path in dict.fromkeys(map(os.path.realpath, (*named, *links, *system))) if os.path.isdir(path)]


def _import_path() -> list[str]:
    """List where the submission may import from: as the grader, but neither here nor the folder it was started in."""
    here = {os.getcwd(), str(_PACKAGE.parent), ""}
    installed = {os.path.realpath(path) for path in (*site.getsitepackages(), site.getusersitepackages())}
    kept = []
    for path in sys.path:
        if os.path.realpath(path) in installed or (path not in here and os.path.realpath(path) not in here):
            kept.append(path)
    return [os.path.abspath(path) for path in kept if path and os.path.exists(path)]


def _may_reach(path: str) -> bool:
    """Whether any user may read a folder: all of its ancestors let others pass."""
    real = Path(os.path.realpath(path))
    return all(each.stat().st_mode & 0o005 == 0o005 for each in (real, *real.parents) if each.is_dir())


def _user() -> int | None:
    """Return the user that the submission runs as where the grader may choose: one who owns nothing."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not sys.platform.startswith("linux"):
        return None
    needed = (sys.prefix, sys.base_prefix, str(_PACKAGE), str(_PACKAGE.parent), tempfile.gettempdir(), *_import_path())
    return _NOBODY if all(_may_reach(path) for path in needed if os.path.isdir(path)) else None


class _Child:
    """One process, from its start to its end."""

    def __init__(self, limits: Limits, plots: bool, budget: str, seconds: float) -> None:
        self.limits, self.count, self.peak, self.printed = limits, 0, 0, 0
        self.text, self.fences = bytearray(), []
        self.user = _user()
        self.folder = tempfile.mkdtemp(prefix="grade-")
        request, self.sink = os.pipe()
        self.source, answer = os.pipe()
        code = _START.format(path=_import_path(), root=str(_PACKAGE.parent), read=request, write=answer)
        other = {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}
        try:
            if self.user is not None:
                os.chown(self.folder, self.user, self.user)
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=_environment(self.folder, budget),
                pass_fds=(request, answer),
                start_new_session=True,
                **other,
            )
        except BaseException:
            os.close(self.sink)
            os.close(self.source)
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        finally:
            os.close(request)
            os.close(answer)
        self.output = self.process.stdout.fileno()
        for handle in (self.sink, self.source, self.output):
            os.set_blocking(handle, False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.source, selectors.EVENT_READ)
        self.selector.register(self.output, selectors.EVENT_READ)
        self.most = float("inf")  # bytes of memory, once it is known what torch alone takes
        hello = {
            "plots": plots,
            "loaded": list(limits.loaded),
            "readable": readable_folders(),
            "writable": [self.folder],
            "memory": int(limits.memory * 1e6),
            "seconds": int(limits.total + limits.start),
            "file_size": int(limits.file_size * 1e6),
            "reply": int(limits.reply * 1e6),
        }
        try:
            ready, _ = self.exchange(hello, [], seconds, 0)
        except BaseException:
            self.end()
            raise
        self.fences = [str(each) for each in ready.get("fences", [])]
        self.base = self.memory()
        self.most = self.base + 1.1 * limits.memory * 1e6  # the limit on address space is met first, as an exception

    def exchange(
        self, message: dict[str, Any], buffers: list[bytes], seconds: float, body_limit: float | None = None
    ) -> tuple[dict[str, Any], bytes]:
        """Send a request and wait for its answer.

        :raises Died: where none comes.
        """
        self.count += 1
        limit = int(self.limits.reply * 1e6 if body_limit is None else body_limit)
        sending = memoryview(wire.frame(message | {"id": self.count}, buffers))
        received, deadline = bytearray(), time.monotonic() + seconds
        self.selector.register(self.sink, selectors.EVENT_WRITE)
        try:
            while True:
                for key, _ in self.selector.select(0.05):
                    if key.fd == self.sink:
                        try:
                            sending = sending[os.write(self.sink, sending[:65536]) :]
                        except BlockingIOError:
                            pass
                        except OSError:
                            self._gone()
                        if not sending:
                            self.selector.unregister(self.sink)
                    elif key.fd == self.output:
                        self._hear()
                    elif self._listen(received, limit):
                        return self._understood(received, limit)
                self._watch(deadline, seconds)
        except wire.Nonsense as error:
            raise Died(
                "channel", "something was written into the pipe that only the grader's own answers go through"
            ) from error
        finally:
            if self.sink in self.selector.get_map():
                self.selector.unregister(self.sink)

    def quiet(self) -> bool:
        """Whether nothing has come that was not asked for."""
        self._hear()
        try:
            return not os.read(self.source, 1)
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _listen(self, received: bytearray, limit: int) -> bool:
        """Read from the channel; return whether a whole frame is there."""
        try:
            part = os.read(self.source, 1 << 20)
        except BlockingIOError:
            return False
        if not part:
            self._gone()
        received += part
        if len(received) < wire.HEAD.size:
            return False
        return len(received) >= wire.HEAD.size + sum(wire.lengths(received, limit))

    def _understood(self, received: bytearray, limit: int) -> tuple[dict[str, Any], bytes]:
        text, body = wire.lengths(received, limit)
        start = wire.HEAD.size
        message = wire.parse(bytes(received[start : start + text]))
        if message.get("id") != self.count or len(received) != start + text + body:
            raise wire.Nonsense("an answer to nothing that was asked")
        return message, bytes(received[start + text :])

    def _hear(self) -> None:
        """Read what was printed, keep its beginning, and drop the rest."""
        for _ in range(16):
            try:
                part = os.read(self.output, 1 << 16)
            except (BlockingIOError, OSError):
                return
            if not part:
                if self.output in self.selector.get_map():
                    self.selector.unregister(self.output)
                return
            self.printed += len(part)
            self.text += part[: max(0, self.limits.output - len(self.text))]

    def memory(self) -> int:
        """Return the bytes of memory that the process takes now; 0 where that cannot be known."""
        try:
            with open(f"/proc/{self.process.pid}/statm") as file:
                now = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return 0
        self.peak = max(self.peak, now)
        return now

    def _watch(self, deadline: float, seconds: float) -> None:
        if self.memory() > self.most:
            raise Died("memory", f"it took more than the {self.limits.memory:.0f} MB that there are beside torch")
        if time.monotonic() > deadline:
            raise Died("time", f"it did not come to an end within {seconds:.0f} seconds")

    def _gone(self) -> None:
        """Say how the process ended."""
        try:
            code = self.process.wait(2)
        except subprocess.TimeoutExpired:
            raise Died("channel", "it closed the pipe that only the grader's own answers go through") from None
        self._hear()
        if code >= 0:
            text = self.text.decode("utf-8", "replace")
            if "MemoryError" in text or "bad_alloc" in text:
                raise Died("memory", "it ran out of memory")
            raise Died("exit", f"it ended the whole process, with exit code {code}")
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        if name == "SIGXCPU":
            raise Died("time", "it used up the processor time that there is")
        if name == "SIGKILL":
            raise Died("memory", "the system ended it; most often that is for want of memory")
        raise Died("crash", f"it crashed the whole process ({name})")

    def end(self) -> None:
        """End the process, its group and its folder."""
        for ending in (lambda: os.killpg(self.process.pid, signal.SIGKILL), self.process.kill):
            try:
                ending()
            except (OSError, ProcessLookupError):
                continue
        self.process.wait()
        self.selector.close()
        self.process.stdout.close()
        for handle in (self.sink, self.source):
            os.close(handle)
        shutil.rmtree(self.folder, ignore_errors=True)


def _environment(folder: str, budget: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return (
        kept
        | dict.fromkeys(threads, "1")
        | {
            "ATTENTION_BUDGET": budget,
            "HOME": folder,
            "LANG": "C.UTF-8",
            "MALLOC_ARENA_MAX": "1",  # a second arena would take 64 MB of address space
            "MPLBACKEND": "agg",
            "MPLCONFIGDIR": folder,
            "PATH": "/usr/bin:/bin",
            "TMPDIR": folder,
            "TORCHDYNAMO_DISABLE": "1",
        }
    )


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
        self.child: _Child | None = None
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
                self.child = _Child(self.limits, self.plots, self.budget, seconds)
            except Died as died:
                if self.starts > 1:
                    return f"the grader's process could not be started again: {died.text}"
                raise GraderError(f"the process that runs submissions could not start: {died.text}") from died
            self._execute(self.child)
        return ""

    def _execute(self, child: _Child) -> None:
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
                reply = _reply(message, b"")
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
            self.cells[cell.number] = _ran(reply, cell.number, self.limits)

    def stand_in(self, name: str, source: str) -> bool:
        """Put lines of the grader's own in the place of a definition, and have all cells executed again when asked.

        :param name: what they define.
        :param source: the lines; a submission could find out what they do.
        :returns: whether the submission has such a definition.
        """
        cell = self.cell_of(name)
        if cell is not None:
            self.stand_ins[cell] = source
            self._end()
        return cell is not None

    def cell_of(self, name: str) -> int | None:
        """Return the number of the last code cell that defines a name."""
        defining = _defines(name)
        return next((cell.number for cell in reversed(self.notebook.code) if defining.search(cell.source)), None)

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
            reply = _reply(message, body)
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

    def names(self) -> list[str]:
        """List the functions and classes that the cells define."""
        sources = "\n".join(cell.source for cell in self.notebook.code)
        return re.findall(r"^(?:def|class)\s+(\w{1,60})\b", sources, re.M)[:500]

    def defined_in(self, name: str) -> tuple[int, Ran] | None:
        """Find the cell that defines a name, where that cell did not run to its end."""
        defining = _defines(name)
        for cell in reversed(self.notebook.code):
            ran = self.cells.get(cell.number)
            if ran is not None and ran.kind != "ran" and defining.search(cell.source):
                return cell.number, ran
        return None


def _defines(name: str) -> re.Pattern[str]:
    return re.compile(rf"^\s*(?:(?:def|class)\s+{re.escape(name)}\b|{re.escape(name)}\s*(?::[^=]+)?=[^=])", re.M)


def _ran(reply: Reply, cell: int, limits: Limits) -> Ran:
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


def _reply(message: Mapping[str, Any], body: bytes) -> Reply:
    """Read an answer; nothing in it is trusted.

    :raises wire.Nonsense: for what the process does not write of itself.
    """
    try:
        refused = tuple(str(line)[:300] for line in message.get("refused", ())[:10])
        seconds = float(message.get("seconds", 0))
        if message["kind"] == "value":
            value = wire.decode(message["value"], body, _tensor)
            return Reply("value", value, refused=refused, seconds=seconds)
        if message["kind"] == "missing":
            return Reply("missing", message=str(message["message"])[:600], refused=refused)
        if message["kind"] != "raised":
            raise wire.Nonsense("an unknown kind of answer")
        where = message["where"]
        return Reply(
            "raised",
            error=str(message["type"])[:60],
            kinds=tuple(str(kind) for kind in message["kinds"]),
            message=str(message["message"])[:600],
            where=None if where is None else _place(*where),
            refused=refused,
            seconds=seconds,
            no_memory=bool(message["no_memory"]),
        )
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise wire.Nonsense("an answer that cannot be read") from error


def _place(cell: str, line: int, text: str, inside: str) -> Place:
    named = re.fullmatch(r"cell (\d{1,4})", str(cell))
    function = str(inside) if re.fullmatch(r"[\w.<>]{1,100}", str(inside)) else ""
    return Place(int(named[1]) if named else 0, int(line), str(text)[:100], function)


def _tensor(numbers: np.ndarray, described: Mapping[str, Any]) -> Tensor:
    dtype, library = described["dtype"], described["library"]
    if library not in ("torch", "numpy") or not re.fullmatch(r"[a-z][a-z0-9_]{2,20}", dtype):
        raise ValueError
    return Tensor(numbers, dtype, library, bool(described["grad"]))
