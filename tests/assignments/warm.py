"""Processes for submissions that are copies of one which has imported torch already.

The grader starts a fresh interpreter for each submission, which takes two seconds to import torch, and more for
Matplotlib; a test of what loses how many points needs nothing of that but the modules. With ``started_warm`` a first
process of the same interpreter, with the same options, path and environment, imports them once. For each submission it
makes a copy of itself with ``fork``, before anything of a submission has run in it, and the copy executes the very
lines that the grader gives to a fresh interpreter: folder, user, fences, limits, cells and answers are the grader's
own; ``test_warm.py`` compares the two. What differs is that modules are there which a submission would have to import,
that memory counts from there, and that processor time is known at the very end only. What a test says of one of these,
or of the start itself, has to be graded by a fresh process.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

_CALL = "child.main("  # what the lines that the grader starts a process with end in
_DEATH_SIGNAL = 1
_NUMBER = struct.Struct("<i")
#: What right answers of the assignments import, and what torch imports at the first optimiser.
MODULES = (
    "torch._dynamo",
    "matplotlib.pyplot",
    "scipy.stats",
    "scipy.special",
    "einops",
    "attention.lab.checks",
    "attention.lab.style",
    "attention.lab.tasks",
    "attention.lab.training",
)


# Here: what takes the place of subprocess.Popen.


class Copy:
    """A copy of the warm process, as far as the grader uses ``subprocess.Popen``."""

    def __init__(self, control: socket.socket, output: int) -> None:
        self.control, self.returncode = control, None
        self.stdout = os.fdopen(output, "rb", buffering=0)
        self.pid = self._told()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; until then its number belongs to nobody else."""
        if self.returncode is None:
            if not select.select([self.control], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a warm process", timeout)
            self.returncode = self._told()
            with self.control:
                self.control.shutdown(socket.SHUT_WR)
                self.control.recv(1)  # until nothing of it is left
        return self.returncode

    def _told(self) -> int:
        number = self.control.recv(_NUMBER.size, socket.MSG_WAITALL)
        if len(number) < _NUMBER.size:
            raise RuntimeError("the warm process has ended")
        return int(_NUMBER.unpack(number)[0])

    def kill(self) -> None:
        """End it."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)


class Warm:
    """The process that copies are made of; it starts with the first of them, and ends with this one."""

    def __init__(self) -> None:
        self.copies = 0
        self.socket: socket.socket | None = None
        self.first: subprocess.Popen | None = None
        self.preamble = ""

    def start(self, command: Any, **options: Any) -> Any:
        """Start what the grader asks for: a copy, where it asks for the process that runs a submission."""
        if not isinstance(command, list) or command[:-1] != [sys.executable, "-I", "-B", "-c"]:
            return _popen(command, **options)
        code = command[-1]
        preamble, call, _ = code.rpartition(_CALL)
        if not call:
            return _popen(command, **options)
        if self.socket is None:
            self._begin(preamble, options["env"])
        if preamble != self.preamble:  # another path or package than the one that is warm
            return _popen(command, **options)
        mine, theirs = socket.socketpair()
        output, printed = os.pipe()
        request = {
            "code": code,
            "keep": list(options["pass_fds"]),
            "folder": options["cwd"],
            "env": options["env"],
            "user": options.get("user"),
        }
        with theirs:
            handles = [theirs.fileno(), printed, *options["pass_fds"]]
            socket.send_fds(self.socket, [json.dumps(request).encode()], handles)
        os.close(printed)
        self.copies += 1
        return Copy(mine, output)

    def _begin(self, preamble: str, environment: dict[str, str]) -> None:
        self.preamble = preamble
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            self.first = _popen(
                [sys.executable, "-I", "-B", "-c", Path(__file__).read_text(encoding="utf-8"), str(number), preamble],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
                pass_fds=(number,),
                start_new_session=True,
            )

    def end(self) -> None:
        """End it."""
        if self.socket is not None:
            self.socket.close()
            self.first.wait()
            self.socket = None


_popen = subprocess.Popen


@contextlib.contextmanager
def started_warm(warm: Warm) -> Iterator[None]:
    """Let the grader start its processes as copies of a warm one."""
    subprocess.Popen = warm.start
    try:
        yield
    finally:
        subprocess.Popen = _popen


# There: the warm process, which runs the text of this file, as the grader's runs lines of text.


def serve(requests: socket.socket, preamble: str) -> None:
    """Import everything, and make copies until nobody asks for more."""
    _die_with_parent()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MPLCONFIGDIR"] = folder
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(preamble, space)
        torch = space["child"]._libraries({"plots": True, "loaded": MODULES})
        torch.optim.AdamW([torch.zeros(1)], lr=1.0)
    tempfile.tempdir = None
    keepers = 0
    while True:
        text, handles, _, _ = socket.recv_fds(requests, 1 << 20, 16)
        while keepers and os.waitpid(-1, os.WNOHANG if text else 0)[0]:  # so that their time is counted as well
            keepers -= 1
        if not text:
            return
        if os.fork() == 0:
            _keep(json.loads(text), handles)
        keepers += 1
        for handle in handles:
            os.close(handle)


def _keep(request: dict[str, Any], handles: list[int]) -> NoReturn:
    """Make a copy, tell its number and how it ended, and hold the number until that has been heard."""
    import fcntl  # which Windows lacks

    with contextlib.suppress(BaseException):
        _die_with_parent()
        above = max(100, *request["keep"]) + 1  # numbers that nothing else has
        control, *high = [fcntl.fcntl(handle, fcntl.F_DUPFD, above) for handle in handles]
        pid = os.fork()
        if pid == 0:
            _become(request, high)
        os.closerange(3, control)
        os.closerange(control + 1, control + 16)
        os.write(control, _NUMBER.pack(pid))
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        os.write(control, _NUMBER.pack(status))
        os.read(control, 1)
        os.waitpid(pid, 0)
    os._exit(0)


def _become(request: dict[str, Any], handles: list[int]) -> NoReturn:
    """Be what ``subprocess.Popen`` would have started, from its session to its first line."""
    code = 1
    try:
        os.setsid()
        os.dup2(handles[0], 1)
        os.dup2(handles[0], 2)
        for handle, number in zip(handles[1:], request["keep"], strict=True):
            os.dup2(handle, number)
        low = 3
        for number in sorted(request["keep"]):
            os.closerange(low, number)
            low = number + 1
        os.closerange(low, max(handles) + 16)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["env"])
        if request["user"] is not None:
            os.setgroups([])
            os.setgid(request["user"])
            os.setuid(request["user"])
        sys.argv[:] = ["-c"]
        exec(request["code"], {"__name__": "__main__"})
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def _die_with_parent() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
