"""A copy of the warm process is like a fresh one: where it stands, how it ends, the points that are given."""

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from attention.grading import Run
from attention.grading.notebook import read
from attention.grading.runner import Limits
from attention.grading.session import Session
from tests.assignments.answers.broken import BATCHES
from tests.assignments.conftest import submitting
from tests.assignments.warm import Warm, started_warm
from tools.teaching import assignments

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the grader has no fences")

# What a process can say of itself. Its folder's name is drawn, and memory is counted from what is there at the start.
ABOUT = """
import os, resource, sys
def about():
    limits = {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")}
    del limits["RLIMIT_AS"]
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    caught = int(status["SigCgt"], 16) & ~(0b11 << 31)  # but for two signals of glibc's own, for threads
    env = {name: value.replace(os.getcwd(), "folder") for name, value in os.environ.items()}
    env.pop("TORCHINDUCTOR_CACHE_DIR", "")  # written by an import
    return {
        "path": sys.path, "arguments": sys.argv, "flags": list(sys.flags), "environment": env, "limits": limits,
        "ids": [os.getresuid(), os.getresgid(), os.getgroups()], "leads": os.getsid(0) == os.getpgid(0) == os.getpid(),
        "status": {name: status[name] for name in ("NoNewPrivs", "Seccomp", "SigBlk", "SigIgn", "Threads")},
        "caught": caught, "handles": len(os.listdir("/proc/self/fd")),
        "modes": [os.get_blocking(handle) for handle in (0, 1, 2)], "mask": os.umask(0o22), "nice": os.nice(0),
        "tty": sys.stdout.isatty(), "encoding": [sys.stdout.encoding, sys.stdout.errors, sys.stdout.line_buffering],
    }
def leave(how):
    if how == "exit":
        os._exit(3)
    if how == "abort":
        os.abort()
    while how == "never":
        pass
    hog = []
    while True:
        hog.append(bytearray(4_000_000))
def read(path):
    return open(path).read()
"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("about") / "about.ipynb"
    cells = [{"cell_type": "code", "source": ABOUT, "metadata": {}}]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return read(path)


def test_a_copy_stands_where_a_fresh_process_does(notebook, warm: Warm) -> None:
    found, before = [], warm.copies
    for process in (nullcontext(), started_warm(warm)):
        with process, Session(notebook, Limits()) as session:
            about = Run("about", "answer = about()").put(session, notebook).value
            refused = Run("read", f"answer = read({__file__!r})").put(session, notebook)
            told = (refused.kind, refused.error, refused.message, refused.refused)
            found.append((about, told, session.fences, session.user))
    assert warm.copies == before + 1
    fresh, copy = found
    assert copy == fresh
    assert copy[1][:2] == ("raised", "PermissionError")


@pytest.mark.parametrize(
    ("how", "reason", "line"),
    [
        ("exit", "exit", "it ended the whole process, with exit code 3"),
        ("abort", "crash", "it crashed the whole process (SIGABRT)"),
        ("never", "time", "it did not come to an end within 1 seconds"),
        ("memory", "MemoryError", ""),
    ],
)
def test_a_copy_ends_as_any_process_does(notebook, warm: Warm, how: str, reason: str, line: str) -> None:
    with started_warm(warm), Session(notebook, Limits(call=1, memory=100)) as session:
        assert session.run() == ""
        number = session.child.process.pid
        reply = Run("leave", f"leave({how!r})").put(session, notebook)
    assert (reply.error, reply.message) == (reason, line)
    assert not os.path.exists(f"/proc/{number}")


def test_a_copy_gives_the_same_points(warm: Warm, tmp_path: Path) -> None:
    """For a submission that errs in all questions, with all that is said of it."""
    source = assignments.load("broken")
    changes = {cell: text for cell, text, _, _ in BATCHES["1"].values()}
    fresh, copy = (submitting(source, tmp_path, process)(changes) for process in (None, warm))
    assert copy.text() == fresh.text()
    assert (copy.marks, copy.fences, copy.trouble) == (fresh.marks, fresh.fences, fresh.trouble)
