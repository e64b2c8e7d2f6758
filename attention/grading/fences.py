"""What the process that runs a submission may not do, set up in it before the submission's first line.

Three fences, one behind the other. Linux's Landlock refuses files outside a few folders, and its seccomp refuses
sockets, other programs, new processes and signals to others; neither can be taken down again from within, whatever
the language of the code. Where the kernel has them not (macOS, some containers), there is a Python audit hook alone.
It is there in any case, because it knows the names of what it refuses and so gives the report a clear line; but it
stops accidents and plain attempts, not someone who knows CPython: code in the same process can reach it.
"""

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Refusals", "kernel_calls", "kernel_files", "limits", "watch"]

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_FILES = 256  # how often files may be opened for writing


class Refusals:
    """What was refused since it was last asked."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        """Note one refusal, unless it is noted already or there are many."""
        if len(self.lines) < 10 and line not in self.lines:
            self.lines.append(line)

    def take(self) -> list[str]:
        """Return what was refused, and forget it."""
        taken = self.lines
        self.lines = []
        return taken


def limits(memory: int, seconds: int, file_size: int) -> None:
    """Limit address space beyond what is taken already, CPU time, size of files; leave no core dump.

    :param memory: bytes.
    :param seconds: of CPU.
    :param file_size: bytes.
    """
    wanted = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: file_size,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 256,
    }
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            wanted[resource.RLIMIT_AS] = int(file.read().split()[0]) * resource.getpagesize() + memory
    for which, limit in wanted.items():
        hard = resource.getrlimit(which)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(which, (limit, limit))


def watch(readable: Sequence[str], writable: Sequence[str], refusals: Refusals) -> None:
    """Add the audit hook: it refuses with ``PermissionError``, and notes what it refused.

    :param readable: folders whose files may be read.
    :param writable: folders whose files may be written as well.
    """
    real, fsdecode, joined = os.path.realpath, os.fsdecode, os.sep
    own = os.getpid()
    reads = tuple(real(path).rstrip(joined) + joined for path in (*readable, *writable))
    writes = tuple(real(path).rstrip(joined) + joined for path in writable)
    opened = 0

    def refuse(what: str) -> None:
        refusals.add(f"{what}: refused")
        raise PermissionError(f"the grader does not allow this: {what}")

    def inside(path: str, folders: tuple[str, ...]) -> bool:
        return (path + joined).startswith(folders)

    def reach(path: Any, write: bool, what: str) -> None:
        if isinstance(path, int):
            return
        if path is None:
            path = "."
        shown = fsdecode(path)
        try:
            where = real(shown)
        except OSError:  # a path from a working folder that is gone
            raise FileNotFoundError(shown[:120]) from None
        if where in _DEVICES or inside(where, writes if write else reads):
            return
        if not write and where.startswith("/proc/"):
            process = where.split("/")[2]
            if not process.isdigit() or process == str(own):
                return
        refuse(f"{what} {shown[:120]!r}")

    def on_open(path: Any, mode: Any, flags: Any) -> None:
        nonlocal opened
        write = isinstance(flags, int) and bool(flags & _WRITES)
        reach(path, write, "write to" if write else "open")
        if write and not isinstance(path, int):
            opened += 1
            if opened > _FILES:
                refuse(f"open more than {_FILES} files for writing")

    def on_list(path: Any = None) -> None:
        reach(path, False, "list the folder")

    def on_change(path: Any, *rest: Any) -> None:
        reach(path, True, "change")

    def on_move(source: Any, target: Any, *rest: Any) -> None:
        reach(source, True, "move or link")
        reach(target, True, "move or link to")

    def on_kill(target: Any, *rest: Any) -> None:
        if target != own:
            refuse("send a signal to another process")

    def on_attribute(target: Any, *rest: Any) -> None:
        if target in guarded:
            refuse("change the grader's own functions")

    def no(what: str) -> Callable[..., None]:
        return lambda *details: refuse(what)

    program, network, native = no("start another program"), no("use the network"), no("call native code by ctypes")
    handlers: dict[str, Callable[..., None]] = {
        "open": on_open,
        "os.listdir": on_list,
        "os.scandir": on_list,
        "os.kill": on_kill,
        "os.killpg": no("send a signal to a group of processes"),
        "object.__setattr__": on_attribute,
        "object.__delattr__": on_attribute,
        "os.fork": no("start another process"),
        "os.forkpty": no("start another process"),
        "resource.setrlimit": no("change its own limits"),
        "resource.prlimit": no("change its own limits"),
        "sqlite3.connect": lambda database, *rest: database == ":memory:" or reach(database, True, "open the database"),
        **{f"os.{name}": on_change for name in ("remove", "rmdir", "mkdir", "truncate", "chmod", "chown", "utime")},
        **{f"os.{name}": on_change for name in ("setxattr", "removexattr", "chflags")},
        **{f"os.{name}": on_move for name in ("rename", "link")},
        "os.symlink": lambda source, target, *rest: reach(target, True, "link to"),
        **dict.fromkeys(
            ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn"), program
        ),
        **{f"socket.{name}": network for name in ("connect", "bind", "sendto", "sendmsg", "getaddrinfo")},
        **{f"socket.{name}": network for name in ("gethostbyname", "gethostbyaddr", "getnameinfo")},
        **{f"ctypes.{name}": native for name in ("dlopen", "dlsym", "dlsym/handle", "call_function", "string_at")},
        **{f"ctypes.{name}": native for name in ("wstring_at", "cdata", "cdata/buffer")},
    }
    known = handlers.get

    def hook(event: str, details: tuple[Any, ...]) -> None:
        handler = known(event)
        if handler is not None:
            handler(*details)

    guarded = [hook, refuse, inside, reach, *handlers.values()]
    sys.addaudithook(hook)
    try:  # multiprocessing calls it without an audit event
        import _posixsubprocess

        _posixsubprocess.fork_exec = program
    except ImportError:
        pass


# Linux's numbers, from its headers: the first 13 rights on files came with Landlock 1; 2, 3 and 5 added one each.
_ALL_V1 = (1 << 13) - 1
_READ = 1 << 2 | 1 << 3  # read a file, list a folder
_NEVER = 1 << 0 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11  # execute; make a device, a socket, a pipe
_ON_FILES = 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _DEATH_SIGNAL = 38, 22, 1


def die_with_parent() -> None:
    """Ask the kernel to end this process when the grader ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, 9, 0, 0, 0)


def kernel_files(readable: Sequence[str], writable: Sequence[str]) -> bool:
    """Let the kernel refuse files outside the folders, by Landlock; return whether it does.

    Holds for the calling thread and what it starts: call it while there is one thread only.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    rights = _ALL_V1 | (1 << 13 if version >= 2 else 0) | (1 << 14 if version >= 3 else 0)
    rights |= 1 << 15 if version >= 5 else 0
    wanted = struct.pack("<QQQ", rights, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    wanted = wanted[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = libc.syscall(_CREATE_RULESET, wanted, ctypes.c_size_t(len(wanted)), 0)
    if ruleset < 0:
        return False
    proc = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat")
    allowed = [
        *((path, _READ) for path in (*readable, *proc)),
        *((path, rights & ~_NEVER) for path in (*_DEVICES, *writable)),
    ]
    try:
        for path, right in allowed:
            try:
                handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            mine = right & rights if os.path.isdir(path) else right & rights & _ON_FILES
            libc.syscall(_ADD_RULE, ruleset, 1, struct.pack("<Qi", mine, handle), 0)
            os.close(handle)
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        return libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


# System calls by number, for x86-64 and arm64: refused; and refused unless an argument is as it should be.
# socket connect bind listen · execve execveat fork vfork · ptrace process_vm_readv process_vm_writev · tkill
# rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_send_signal pidfd_getfd · setrlimit · mount umount2 pivot_root
# chroot setns unshare · init_module delete_module finit_module kexec_load reboot · bpf perf_event_open userfaultfd
# io_uring_setup open_by_handle_at · keyctl add_key request_key · setsid setpgid
_X86 = (41, 42, 49, 50, 59, 322, 57, 58, 101, 310, 311, 200, 129, 297, 434, 424, 438, 160, 165, 166, 155, 161, 308, 272)
_X86 += (175, 176, 313, 246, 169, 321, 298, 323, 425, 304, 250, 248, 249, 112, 109)
_ARM = (198, 203, 200, 201, 221, 281, 117, 270, 271, 130, 138, 240, 434, 424, 438, 164, 40, 39, 41, 51, 268, 97)
_ARM += (105, 106, 273, 104, 142, 280, 241, 282, 425, 265, 219, 217, 218, 157, 154)
_NUMBERS = {
    "x86_64": (0xC000003E, _X86, {"clone": 56, "clone3": 435, "kill": 62, "tgkill": 234, "prlimit64": 302}),
    "aarch64": (0xC00000B7, _ARM, {"clone": 220, "clone3": 435, "kill": 129, "tgkill": 131, "prlimit64": 261}),
}


def kernel_calls() -> bool:
    """Let the kernel refuse sockets, programs, processes and signals to others, by seccomp; return whether it does.

    Threads may be started. Holds for the calling thread and what it starts: call it while there is one thread only.
    """
    if sys.platform != "linux" or platform.machine() not in _NUMBERS or sys.maxsize < 2**32:
        return False
    architecture, refused, special = _NUMBERS[platform.machine()]
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, missing = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38  # EPERM; ENOSYS, for what has an older form
    number, arch, argument = 0, 4, 16

    def when(call: int, then: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
        return [(equal, 0, len(then), call), *then]

    program = [(load, 0, 0, arch), (equal, 1, 0, architecture), (give, 0, 0, refuse), (load, 0, 0, number)]
    program += [(at_least, 0, 1, 0x40000000), (give, 0, 0, refuse)]  # another way of numbering them, on x86-64
    for call in refused:
        program += when(call, [(give, 0, 0, refuse)])
    program += when(special["clone3"], [(give, 0, 0, missing)])
    thread = [(load, 0, 0, argument), (any_bit, 1, 0, 0x10000), (give, 0, 0, refuse), (give, 0, 0, allow)]
    program += when(special["clone"], thread)
    for name in ("kill", "tgkill"):
        mine = [(load, 0, 0, argument), (equal, 1, 0, os.getpid()), (give, 0, 0, refuse), (give, 0, 0, allow)]
        program += when(special[name], mine)
    reading = [(load, 0, 0, argument + 16), (equal, 0, 2, 0), (load, 0, 0, argument + 20), (equal, 1, 0, 0)]
    program += when(special["prlimit64"], [*reading, (give, 0, 0, refuse), (give, 0, 0, allow)])
    program += [(give, 0, 0, allow)]
    raw = b"".join(struct.pack("<HBBI", *line) for line in program)
    held = ctypes.create_string_buffer(raw, len(raw))
    header = struct.pack("@HP", len(program), ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return libc.prctl(_SET_SECCOMP, 2, ctypes.c_char_p(header), 0, 0) == 0
