"""How a process ended, and what it leaves behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from attention.grading import endings
from attention.grading.endings import Ending, remove


@pytest.mark.parametrize(
    ("code", "printed", "full", "used", "reason", "line"),
    [
        (0, "", False, 0, "exit", "with exit code 0"),
        (1, "Traceback\nMemoryError\n", False, 0, "memory", "it ran out of memory"),
        (3, "MemoryError", True, 0, "exit", "with exit code 3"),
        (-signal.SIGABRT, "what(): std::bad_alloc", False, 0, "memory", "it ran out of memory"),
        (-signal.SIGABRT, "", False, 0, "crash", "crashed the whole process (SIGABRT)"),
        (-signal.SIGSEGV, "", True, 0, "crash", "crashed the whole process (SIGSEGV)"),
        (-signal.SIGKILL, "", True, 0, "memory", "for want of memory"),
        (
            -signal.SIGKILL,
            "",
            False,
            0,
            "crash",
            "the signal SIGKILL ended the whole process; the code may have sent it",
        ),
        (-signal.SIGTERM, "", True, 0, "crash", "the signal SIGTERM ended"),
        (-signal.SIGXCPU, "", False, 100, "time", "used up the processor time"),
        (-signal.SIGXCPU, "", False, 3, "crash", "the signal SIGXCPU ended"),
        (-40, "", False, 0, "crash", "the signal 40 ended"),
    ],
)
def test_no_more_is_said_of_an_end_than_is_known(code, printed, full, used, reason, line) -> None:
    ending = Ending()
    ending.seconds = used
    died = ending.said(code, printed, full=full, seconds=100)
    assert died.reason == reason
    assert line in died.text


def test_what_the_kernel_ended_for_want_of_memory_is_told_from_a_signal_of_ones_own(monkeypatch) -> None:
    ending = Ending()
    line = [sys.executable, "-c", "import os\nos.kill(os.getpid(), 9)"]
    with subprocess.Popen(line) as process:
        code = ending.wait(process, 30)
    assert "for want of memory" not in ending.said(code, "", full=False, seconds=100).text
    monkeypatch.setattr(endings, "_ended_for_memory", lambda: ending.ended + 1)
    assert ending.said(code, "", full=False, seconds=100).reason == "memory"


def test_a_folder_is_removed_however_deep_it_is(tmp_path: Path) -> None:
    top = tmp_path / "grade"
    place = top / "/".join("d" * 1100)
    here = os.getcwd()
    try:
        for each in (top, *place.relative_to(top).parts):
            os.mkdir(each)
            os.chdir(each)
        Path("file").touch()
    finally:
        os.chdir(here)
    (top / "closed").mkdir()
    (top / "closed" / "file").touch()
    (top / "closed").chmod(0)
    (top / "link").symlink_to(tmp_path)
    remove(str(top))
    assert not os.path.lexists(top)
    assert tmp_path.exists()
    remove(str(top))  # a folder that is gone is no trouble
