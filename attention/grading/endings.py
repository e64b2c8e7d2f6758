"""How the process that runs a submission ended, as far as that is known, and the removal of what it leaves behind."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["Died", "Ending", "remove"]

_CRASHES = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL")


class Died(Exception):
    """The process that runs the submission came to an end, or was ended.

    :param reason: ``time``, ``memory``, ``channel``, ``exit`` or ``crash``.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason, self.text = reason, text


class Ending:
    """What tells an end that the kernel made from one that the code made itself: count from the start of a process."""

    def __init__(self) -> None:
        self.ended, self.seconds = _ended_for_memory(), 0.0

    def wait(self, process: subprocess.Popen[bytes], seconds: float) -> int:
        """Wait for the end of a process, and note the processor time that it has taken.

        :returns: the code that it ended with, below 0 for a signal.
        :raises subprocess.TimeoutExpired: where it does not end.
        """
        import resource  # which Windows lacks

        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        code = process.wait(seconds)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return code

    def said(self, code: int, printed: str, *, full: bool, seconds: float) -> Died:
        """Say how it ended, and no more than is known: any signal may be one that the code has sent itself.

        :param printed: what it had printed.
        :param full: whether its memory was nearly full.
        :param seconds: the processor time that it may take.
        """
        aborted = code == -signal.SIGABRT and "bad_alloc" in printed
        if aborted or (code == 1 and printed.rstrip().endswith("MemoryError")):
            return Died("memory", "it ran out of memory")
        if code >= 0:
            return Died("exit", f"it ended the whole process, with exit code {code}")
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        if name == "SIGXCPU" and self.seconds > 0.9 * seconds:
            return Died("time", "it used up the processor time that there is")
        if name == "SIGKILL" and (full or _ended_for_memory() > self.ended):
            return Died("memory", "the system ended it, for want of memory")
        if name in _CRASHES:
            return Died("crash", f"it crashed the whole process ({name})")
        return Died("crash", f"the signal {name} ended the whole process; the code may have sent it itself")


def _ended_for_memory() -> int:
    """Count the processes that the kernel has ended for want of memory, as far as it says so."""
    count = 0
    for path in ("/proc/vmstat", "/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        with suppress(OSError, ValueError), open(path) as file:
            count += sum(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
    return count


def remove(folder: str) -> None:
    """Remove a folder and all that is in it, however deep and with whatever rights; it never raises.

    ``shutil.rmtree`` calls itself for each level and keeps each open: a submission can make more than there may be.
    """
    for line in (["rm", "-rf"], ["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
        if os.path.lexists(folder):
            _quietly([*line, "--", folder])


def _quietly(line: Sequence[str]) -> None:
    with suppress(OSError, subprocess.SubprocessError):
        subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
