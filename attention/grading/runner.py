"""The process that runs a submission: its start, its limits, its pipes and its end.

This side imports no torch: together with the process that does, it has to fit into 768 MB.
"""

import os
import selectors
import signal
import site
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attention
from attention.grading import wire
from attention.grading.endings import Died, Ending, remove

__all__ = ["Child", "GraderError", "Limits", "readable_folders"]

_NOBODY = 65534
_PACKAGE = Path(attention.__file__).resolve().parent
_START = (
    "import sys; sys.path[:] = {path!r}; sys.path.insert(0, {root!r}); import attention.grading.child as child; "
    "sys.path.remove({root!r}); child.main({read}, {write})"
)


class GraderError(Exception):
    """The grader itself cannot work: a bad grading file, no torch. Never a submission's fault."""


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


class Child:
    """One process, from its start to its end."""

    def __init__(self, limits: Limits, plots: bool, budget: str, seconds: float) -> None:
        self.limits, self.count, self.peak, self.printed = limits, 0, 0, 0
        self.text, self.fences = bytearray(), []
        self.user = _user()
        self.ending = Ending()
        request, self.sink, self.source, answer = _pipes()
        self.folder = tempfile.mkdtemp(prefix="grade-")
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
            remove(self.folder)
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
            code = self.ending.wait(self.process, 2)
        except subprocess.TimeoutExpired:
            raise Died("channel", "it closed the pipe that only the grader's own answers go through") from None
        self._hear()
        printed, most = self.text.decode("utf-8", "replace"), self.limits.total + self.limits.start
        raise self.ending.said(code, printed, full=self.peak > 0.8 * self.most, seconds=most)

    def end(self) -> None:
        """End the process, its group and its folder, whatever it has left there."""
        for ending in (lambda: os.killpg(self.process.pid, signal.SIGKILL), self.process.kill):
            with suppress(OSError):
                ending()
        self.process.wait()
        self.selector.close()
        self.process.stdout.close()
        for handle in (self.sink, self.source):
            os.close(handle)
        remove(self.folder)


def _pipes() -> tuple[int, int, int, int]:
    """Make two pipes: both, or none."""
    first = os.pipe()
    try:
        return *first, *os.pipe()
    except BaseException:
        for handle in first:
            os.close(handle)
        raise


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
