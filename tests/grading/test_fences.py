"""The fences, each by itself, in an interpreter without torch; and the user that a submission runs as."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attention.grading import runner, wire

ROOT = Path(wire.__file__).resolve().parents[2]


def test_the_grader_imports_no_torch() -> None:
    code = "import sys, attention.grading; print({'torch', 'attention.lab.session'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_workbench_still_has_its_names() -> None:
    from attention import lab

    assert lab.budget("smoke") == lab.Budget("smoke", lab.budget("smoke").device)
    assert callable(lab.setup)
    with pytest.raises(AttributeError, match=r"'attention\.lab' has no attribute 'nothing'"):
        lab.nothing  # noqa: B018


PRELUDE = """
import errno, os, signal, socket, sys, threading
from attention.grading import fences

def refused(function, *given):
    try:
        function(*given)
    except OSError as error:
        return error.errno in (errno.EPERM, errno.EACCES, errno.EXDEV)
    return False

folder, secret, parent = sys.argv[1:]
"""


def bare(tmp_path: Path, code: str) -> str:
    """Run code behind a fence that is set up in it."""
    (tmp_path / "own").mkdir()
    (tmp_path / "secret").write_text("42")
    given = [str(tmp_path / "own"), str(tmp_path / "secret"), str(os.getpid())]
    line = [sys.executable, "-c", PRELUDE + code, *given]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    if done.stdout == "none\n":
        pytest.skip("this kernel has no such fence")
    return done.stdout


def test_the_kernel_refuses_files(tmp_path: Path) -> None:
    code = """
if not fences.kernel_files([sys.prefix, sys.base_prefix, "/usr"], [folder]):
    print("none"); sys.exit()
own = os.path.join(folder, "file")
open(own, "w").write("x"); os.rename(own, own + "2"); os.remove(own + "2")
open(os.devnull, "w").write("x"); open(os.__file__).read(); open("/proc/self/status").read(); os.urandom(3)
print(refused(open, secret), refused(os.listdir, os.path.dirname(secret)), refused(open, secret, "a"),
      refused(os.remove, secret), refused(os.link, secret, own), refused(open, f"/proc/{parent}/environ"),
      refused(open, f"/proc/{parent}/mem"), refused(os.listdir, "/"), refused(open, os.__file__, "a"),
      refused(os.mkdir, secret + "2"), refused(os.rename, folder, folder + "2"),
      refused(os.mkfifo, own), refused(os.mknod, own, 0o60600, os.makedev(1, 1)),
      refused(os.execv, sys.executable, ["x"]))
"""
    assert bare(tmp_path, code).split() == ["True"] * 14


def test_the_kernel_refuses_sockets_programs_processes_and_signals(tmp_path: Path) -> None:
    code = """
if not fences.kernel_calls():
    print("none"); sys.exit()
import resource
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
os.kill(os.getpid(), 0); resource.getrlimit(resource.RLIMIT_AS); socket.socketpair()
limit = resource.getrlimit(resource.RLIMIT_NOFILE)

def set_limit():
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    except ValueError as error:  # what Python makes of EPERM here
        raise PermissionError(1, "") from error

print(refused(socket.socket), refused(os.fork), refused(os.execv, sys.executable, ["python"]),
      refused(os.posix_spawn, sys.executable, ["python"], {}),
      refused(os.kill, int(parent), 0), refused(os.kill, -1, 0), refused(os.kill, 0, 0),
      refused(os.setsid), refused(os.pidfd_open, os.getpid()), refused(set_limit),
      refused(os.unshare, 0) if hasattr(os, "unshare") else True, refused(os.chroot, folder))
"""
    assert bare(tmp_path, code).split() == ["thread", *["True"] * 12]


def test_the_hook_refuses_and_notes_it(tmp_path: Path) -> None:
    code = """
noted = fences.Refusals()
fences.watch([sys.prefix, sys.base_prefix, "/usr"], [folder], noted)
own = os.path.join(folder, "file")
os.chdir(folder)
open("file", "w").write("x"); os.symlink(secret, "link"); os.rename("file", "file2"); os.remove("file2")
open(os.devnull, "w"); open("/proc/self/status").read(); open("/proc/cpuinfo").read(); os.listdir(); os.scandir()
import ctypes, sqlite3
tried = [(open, secret), (open, "link"), (open, b"../secret"), (open, "../secret", "a"), (os.listdir, ".."),
         (open, f"/proc/{parent}/environ"), (open, f"/proc/self/root{secret}"), (os.fork,), (os.system, "true"),
         (os.posix_spawn, sys.executable, ["x"], {}), (os.execv, sys.executable, ["x"]),
         (os.kill, 1, 0), (os.killpg, 0, 0),
         (ctypes.CDLL, "libc.so.6"), (sqlite3.connect, secret), (socket.create_connection, ("192.0.2.1", 1)),
         (os.rename, secret, own), (os.link, secret, own), (os.mkdir, secret + "2"), (os.chmod, secret, 0o777)]
results = []
for function, *given in tried:
    try:
        function(*given)
    except PermissionError as error:
        results.append(str(error).startswith("the grader does not allow this"))
    else:
        results.append(f"{function.__name__}{given}")
print(all(results) or results, len(noted.take()), noted.take())
"""
    assert bare(tmp_path, code) == "True 10 []\n"


def test_root_hands_submissions_to_nobody_where_nobody_can_run_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.sys, "platform", "linux")
    for root, reachable, user in [(True, True, 65534), (True, False, None), (False, True, None)]:
        monkeypatch.setattr(os, "geteuid", lambda root=root: 0 if root else 1000)
        monkeypatch.setattr(runner, "_may_reach", lambda path, reachable=reachable: reachable)
        assert runner._user() == user


def test_a_folder_that_others_may_not_enter_is_out_of_reach(tmp_path: Path) -> None:
    assert runner._may_reach("/usr")
    (tmp_path / "closed").mkdir(mode=0o700)
    assert not runner._may_reach(str(tmp_path / "closed"))
