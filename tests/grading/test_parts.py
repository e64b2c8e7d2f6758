"""The grader's parts, without a submission: frames, fences, judges, reading a notebook, compiling a cell."""

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from attention.grading import (
    Assignment,
    Call,
    Check,
    Close,
    Equal,
    GraderError,
    Limits,
    Number,
    Opaque,
    Part,
    Question,
    Raises,
    Reply,
    Shape,
    Steps,
    Tensor,
    Text,
    Unanswered,
    Words,
    Wrong,
    attempt,
    notebook,
    runner,
    wire,
)
from attention.grading.child import compiled
from attention.grading.report import Graded, Mark, _mark, _once, grade

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


# Frames.


def there_and_back(value: object, limit: int = 10_000) -> object:
    tree, buffers = wire.encode(value, limit)
    raw = wire.frame({"value": tree}, buffers)
    text, body = wire.lengths(raw, limit)
    start = wire.HEAD.size
    assert len(raw) == start + text + body
    read = wire.parse(raw[start : start + text])
    return wire.decode(read["value"], raw[start + text :], lambda numbers, described: numbers)


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 0, -5, 2**52, 2**53, -(2**70), 2**4000, 1.5, math.inf, -math.inf, "", "ä😀", "x" * 20_000, ...),
        *([], [1, [2, (3, "4")]], (), (1.0,), {}, {"a": [1], 2: None, (1, 2): "b"}),
    ],
    ids=repr,
)
def test_values_arrive_as_they_were(value: object) -> None:
    assert there_and_back(value) == value
    assert type(there_and_back(value)) is type(value)


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int32", "int64", "float16", "float32", "float64", "complex64"]
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_arrays_arrive_as_they_were(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.asarray(np.random.default_rng(0).normal(size=shape) * 3).astype(dtype)
    for given in (array, np.array(array, order="F"), array.astype(array.dtype.newbyteorder(">"))):
        received = there_and_back([given])[0]
        np.testing.assert_array_equal(received, array)
        assert (received.dtype, received.shape) == (array.dtype, shape)


class Odd:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None

    def __reduce__(self) -> tuple:
        return os.system, ("false",)


def endless() -> list:
    loop = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Odd(), "Odd"),
        (iter(int, 1), "callable_iterator"),
        (2**5000, "int of 5001 bits"),
        (np.zeros(10**6), r"ndarray of shape \(1000000,\), 8 MB: too large to send"),
        (np.broadcast_to(np.zeros(()), (10**6, 10**6)), "too large"),
        (np.array([Odd()]), "ndarray of dtype object"),
        (np.array(["text"]), "ndarray of dtype <U4"),
        ("x" * 20_001, "str of 20001 characters"),
        (1j, "complex"),
        (type, "type"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_data_is_only_named(value: object, said: str) -> None:
    received = there_and_back(value)
    assert isinstance(received, Opaque)
    assert re.search(said, repr(received))


def test_lists_within_themselves_and_long_ones_come_to_an_end() -> None:
    assert "with too many parts" in repr(there_and_back(endless()))
    assert there_and_back(range(3), 1 << 20) == [0, 1, 2]
    assert isinstance(there_and_back(range(10**18), 1 << 20), Opaque)
    assert isinstance(there_and_back(list(range(30_000)), 1 << 20)[-1], Opaque)


def test_no_method_of_the_value_is_run() -> None:
    class Sly(float):
        def __float__(self):
            raise AssertionError

        __repr__ = __str__ = __eq__ = __add__ = __float__

        def __hash__(self):
            raise AssertionError

    class Slyer(dict):
        def items(self):
            raise AssertionError

        __iter__ = __len__ = __getitem__ = items

    assert there_and_back([Sly(2.0), Slyer(a=1)]) == [2.0, {"a": 1}]


DESCRIBED = {"numbers": "float32", "dtype": "float32", "library": "torch", "grad": False, "at": 0}


@pytest.mark.parametrize(
    "tree",
    [
        *(
            {},
            {"what": 1},
            {"list": 3},
            {"dict": [[1]]},
            {"dict": [[{"list": []}, 1]]},
            {"text": 3},
            {"float": "1e999"},
        ),
        *({"int": "zz"}, {"int": "0x" + "f" * 2000}, {"list": [], "tuple": []}, [], [1], {"opaque": []}, "text"),
        {"array": DESCRIBED | {"shape": [3], "bytes": 8}},
        {"array": DESCRIBED | {"shape": [-1, -2], "bytes": 8}},
        {"array": DESCRIBED | {"shape": [4], "bytes": 16}},
        {"array": DESCRIBED | {"shape": [10**12], "bytes": 4 * 10**12}},
        {"array": DESCRIBED | {"shape": [2], "bytes": 8, "numbers": "object"}},
        {"array": DESCRIBED | {"shape": [2], "bytes": 8, "numbers": ["float32"]}},
        {"array": DESCRIBED | {"shape": [True, 2], "bytes": 8}},
        {"array": DESCRIBED | {"shape": [2] + [1] * 60, "bytes": 8}},
        {"array": DESCRIBED | {"shape": [1], "bytes": 4, "at": 9}},
        {"array": DESCRIBED | {"shape": [1], "bytes": 4, "at": -4}},
        {"array": {}},
    ],
    ids=lambda tree: json.dumps(tree)[:60],
)
def test_a_value_that_is_none_is_nonsense(tree: object) -> None:
    with pytest.raises(wire.Nonsense):
        wire.decode(tree, b"\0" * 8, lambda numbers, described: numbers)


def test_a_bool_is_0_or_1_whatever_its_byte() -> None:
    tree = {"array": DESCRIBED | {"numbers": "bool", "shape": [3], "bytes": 3}}
    received = wire.decode(tree, b"\0\1\2", lambda numbers, described: numbers)
    assert received.view(np.uint8).tolist() == [0, 1, 1]


def test_deep_and_false_frames_are_nonsense() -> None:
    deep = 0
    for _ in range(100):
        deep = {"list": [deep]}
    with pytest.raises(wire.Nonsense):
        wire.decode(deep, b"", lambda numbers, described: numbers)
    for text in (b"[" * 100_000, b"[]", b"{", b"\xff", b'{"id": ' + b"9" * 9000 + b"}"):
        with pytest.raises(wire.Nonsense):
            wire.parse(text)
    for head in (b"ABbX", b"ABbB"):
        with pytest.raises(wire.Nonsense):
            wire.lengths(wire.HEAD.pack(head, 10, 11), 10)
    with pytest.raises(wire.Nonsense):
        wire.lengths(wire.HEAD.pack(b"ABbB", 2**31, 0), 10)
    with pytest.raises(wire.Nonsense):
        wire.frame({"text": "x" * 2**21}, [])


# Fences, each by itself, in an interpreter without torch.

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
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
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


# Judges.


def judged(judge, value: object) -> str:
    """Return what a judge says of a value."""
    try:
        judge(Reply("value", value))
    except Unanswered:
        return "unanswered"
    except Wrong as wrong:
        return f"{wrong} | {wrong.hint} | {wrong.brief} | {wrong.share:g}"
    return ""


def tensor(values: object, dtype: str = "float32", library: str = "torch", as_: str = "") -> Tensor:
    return Tensor(np.asarray(values, dtype=as_ or dtype), dtype, library)


RIGHT = np.array([[1.0, 2.0], [3.0, -4.0]])


def test_close() -> None:
    judge = Close(RIGHT, "the map", mistakes=[(2 * RIGHT, "Twice."), (RIGHT[0], "One row.")], shape_share=0.25)
    for value in (
        tensor(RIGHT),
        tensor(RIGHT + 5e-5),
        tensor(RIGHT, "bfloat16", as_="float32"),
        tensor(RIGHT, "float64"),
    ):
        assert judged(judge, value) == ""
    for value in (None, ...):
        assert judged(judge, value) == "unanswered"
    for value in (RIGHT.tolist(), tensor(RIGHT, library="numpy"), 3, "text", Opaque("generator"), {"a": 1}, True):
        assert judged(judge, value).startswith("Expected a torch tensor for the map, received ")
    assert "Expected shape (2, 2) for the map, received (2,). | One row. |" in judged(judge, tensor(RIGHT[0]))
    assert "Expected shape (2, 2) for the map, received (). |" in judged(judge, tensor(1.0))
    assert "Expected a floating-point dtype for the map, received int64." in judged(judge, tensor(RIGHT, "int64"))
    assert judged(judge, tensor(2 * RIGHT)) == (
        "4 of 4 numbers in the map are wrong; the largest difference is 4 at [1, 1]: expected -4, received -8. | "
        "Twice. | The shape of the map is right, its values are not. | 0.25"
    )
    for lost in (np.nan, np.inf):
        assert judged(judge, tensor(np.where(RIGHT > 2, lost, RIGHT))).startswith(
            "1 of 4 numbers in the map are inf or nan."
        )
    assert judged(Close(RIGHT, dtype="float32"), tensor(RIGHT, "float64")).startswith("Expected float32 for the result")
    assert judged(Close(RIGHT, library=""), RIGHT.tolist()) == ""
    assert judged(Close([np.nan, np.inf]), tensor([np.nan, np.inf])) == ""
    assert judged(Close([np.nan, np.inf]), tensor([np.nan, -np.inf])) != ""
    assert judged(Close([0, 1]), tensor([0, 1], "int64")) == ""
    assert judged(Close(np.zeros((0, 3))), tensor(np.zeros((0, 3)))) == ""
    assert judged(Close(RIGHT, of=("a", 1)), {"a": [0, tensor(RIGHT)]}) == ""
    for value in ({"a": []}, {"a": 3}, {}, [], Opaque("x"), tensor(RIGHT)):
        assert judged(Close(RIGHT, of=("a", 1)), value).startswith("The answer has no part")


def told(part: Part, value: object) -> Mark:
    """Return the mark that a part is given for a value."""
    graded = Graded("a", (Question("1", "q", (part,)),))
    return _mark(graded, "1.1", part, Answering(), Reply("value", value))


def test_a_hidden_part_names_a_mistake_that_is_known_and_may_cost_less_there() -> None:
    judge = Close(RIGHT, mistakes=[(2 * RIGHT, "Twice."), (RIGHT[:, :, None], "An axis more.")], known_share=0.75)
    hidden = Part("p", 4, Call("f"), judge, hint="Look again.", hidden=True)
    for values, hint, score in (
        (2 * RIGHT, "Hint: Twice.", 3),
        (RIGHT[:, :, None], "Hint: An axis more.", 3),
        (RIGHT[:, :, None] + 1, "Hint: An axis more.", 0),
        (3 * RIGHT, "Hint: Look again.", 0),
    ):
        mark = told(hidden, tensor(values))
        assert (mark.lines[-1], mark.score) == (hint, score)
        assert "4" not in " ".join(mark.lines)  # RIGHT's last number
    assert told(hidden, tensor(RIGHT)).state == "right"

    def judge_with_a_number(value: object) -> None:
        raise Wrong("Expected 4711.", "It is 4711.", brief="Not right.")

    spoken = Part("p", 4, Call("f"), Check(judge_with_a_number), hint="Look again.")
    assert told(spoken, 1).lines == ("Expected 4711.", "Hint: It is 4711.")
    assert told(replace(spoken, hidden=True), 1).lines == ("Not right.", "Hint: Look again.")


def test_a_symbol_keeps_its_case() -> None:
    assert "| k is not right. |" in judged(Number(3, "k"), 5)
    assert "| The cost is not right. |" in judged(Equal(3, "the cost"), 5)


def test_number() -> None:
    judge = Number(512, "the cost", mistakes=[(1024, "Twice.")])
    for value in (512, 512.0, tensor(512, "int64"), tensor(512.0)):
        assert judged(judge, value) == ""
    for value in (True, "512", [512], tensor([512.0]), tensor(True, "bool"), Opaque("Odd"), tensor(512, "complex64")):
        assert judged(judge, value).startswith("Expected a number for the cost, received ")
    assert judged(judge, 1024).startswith(
        "Expected 512 for the cost, received 1,024. | Twice. | The cost is not right."
    )
    for value in (512.0001, math.nan, math.inf, 10**400, -(10**400), tensor(np.nan)):
        assert judged(judge, value).startswith("Expected 512 for the cost, received ")
    assert judged(Number(512, "the cost", reveal=False), 3).startswith("3 is not right for the cost. |")
    assert judged(Number(0.5, tolerance=0.01), 0.504) == ""


def test_equal_shape_words_check() -> None:
    assert judged(Equal([1, "a", {"b": True}]), (1, "a", {"b": True})) == ""
    for value in ([1, "a"], 3, [1, "a", {"b": 1}], [True, "a", {"b": True}], [1, "a", {"c": True}], "1a", Opaque("x")):
        assert judged(Equal([1, "a", {"b": True}]), value) != ""
    assert judged(Equal(True), tensor(True, "bool")) == ""
    assert judged(Equal(True), 1) != ""
    assert judged(Equal(3), tensor(3, "int64")) == ""
    assert judged(Shape((2, 2)), tensor(RIGHT)) == ""
    assert "received (2,)" in judged(Shape((2, 2)), tensor(RIGHT[0]))
    assert "Expected a tensor" in judged(Shape((2, 2)), RIGHT.tolist())
    words = Words(3, {"sum|add": "the sum", "product": "the product"})
    assert judged(words, "the sum and the product") == ""
    assert judged(words, "one two").startswith("Expected at least 3 different words, received 2.")
    assert judged(words, "a sum a sum only").endswith("0.5")
    assert judged(words, 3).startswith("Expected a text")
    assert judged(words, None) == "unanswered"
    assert judged(Check(lambda value: None), 1) == ""


def test_raises() -> None:
    judge = Raises(("ValueError", "TypeError"), ("shape",))
    judge(Reply("raised", error="MyError", kinds=("ValueError", "Exception"), message="The SHAPE is wrong"))
    with pytest.raises(Wrong, match="does not name shape") as half:
        judge(Reply("raised", error="TypeError", kinds=("TypeError",), message="no"))
    assert half.value.share == 0.5
    with pytest.raises(Wrong, match="received KeyError"):
        judge(Reply("raised", error="KeyError", kinds=("KeyError",), message="shape"))
    with pytest.raises(Wrong, match="but None was returned"):
        judge(Reply("value", None))


def test_points_must_be_points() -> None:
    for points in (-1, math.nan, True):
        with pytest.raises(ValueError, match="points"):
            Assignment("a", (Question("1", "q", (Part("p", points, Call("f"), Shape(())),)),))


def test_parts_that_share_a_request_are_judged_by_one_answer(tmp_path: Path) -> None:
    class Counting:
        count = 0

        def put(self, session: object, notebook: object) -> Reply:
            self.count += 1
            return Reply("value", self.count)

    shared, other = Counting(), Counting()
    asked = ((shared, 1), (shared, 1), (other, 1), (shared, 2))  # once for each row of parts that follow each other
    parts = tuple(Part("p", 1, ask, Equal(count)) for ask, count in asked)
    (tmp_path / "mine.ipynb").write_text(json.dumps({"cells": [], "nbformat": 4}))
    graded = grade(tmp_path / "mine.ipynb", Assignment("a", (Question("1", "q", parts),)))
    assert (graded.score, shared.count, other.count) == (4, 2, 1)


class Answering(runner.Session):
    """A session that answers calls from a table."""

    def __init__(self, **replies: Reply) -> None:
        super().__init__(cells(), runner.Limits())
        self.replies = replies

    def ask(self, request: dict, buffers: list, about: str) -> Reply:
        return self.replies.get(about, Reply("missing", message=about))


def test_a_later_step_depends_on_an_earlier_one() -> None:
    def steps(ask) -> dict:
        first = ask(Call("first")).value
        return {"first": first, "next": attempt(lambda: ask(Call(first)).value)}

    ask = Steps("first", steps)
    answer = ask.put(Answering(first=Reply("value", "second"), second=Reply("value", 3, refused=("spy",))), cells())
    assert answer.value == {"first": "second", "next": 3}
    assert answer.refused == ("spy",)
    assert judged(Equal(3, of="next"), answer.value) == ""
    # What a later step comes to, only the parts that look there feel.
    raised = Reply("raised", error="KeyError", kinds=("KeyError",), message="'x'", where=runner.Place(3, 2, "x[0]"))
    for reply, line in (
        (raised, "Your code raised KeyError: 'x' (code cell 3, line 2: x[0])"),
        (Reply("missing", message="second"), "The notebook defines no `second`."),
        (Reply("missing", message="`second` is no function"), "`second` is no function."),
        (Reply("died", message="it took too long"), "`second` brought no answer: it took too long."),
    ):
        answer = ask.put(Answering(first=Reply("value", "second"), second=reply), cells())
        assert judged(Equal("second", of="first"), answer.value) == ""
        assert judged(Equal(3, of="next"), answer.value).startswith(f"{line} |")


def test_a_first_step_that_fails_is_every_parts() -> None:
    ask = Steps("f", lambda ask: [ask(Call("f")).value])
    stub = Reply("raised", error="NotImplementedError", kinds=("NotImplementedError",))
    for reply, kind in ((stub, Unanswered), (Reply("died", message="it left"), Wrong)):
        value = ask.put(Answering(f=reply), cells()).value
        with pytest.raises(kind):
            Equal([1])(Reply("value", value))
    # A mistake in the grading file itself stays one; and where the grader cannot work it says so.
    with pytest.raises(ZeroDivisionError):
        Equal(1)(Reply("value", Steps("f", lambda ask: 1 / 0).put(Answering(), cells()).value))

    def broken(ask) -> None:
        raise GraderError("no torch")

    with pytest.raises(GraderError):
        Steps("f", broken).put(Answering(), cells())


def test_what_is_lacking_is_named() -> None:
    """Where the answer calls something that is a stub still, and where it is lacking itself, without a foreign hint."""
    stub = {"error": "NotImplementedError", "kinds": ("NotImplementedError",)}
    other = runner.Place(4, 3, "raise NotImplementedError", "kernel_size")
    own = runner.Place(5, 9, "raise NotImplementedError", "ECA.forward")
    inner = runner.Place(5, 9, "raise NotImplementedError('later')", "Other.__init__.<locals>.<lambda>")
    part = Part("p", 1, Call("ECA"), Equal(1), "an equation", "A hint of the part.")
    hidden = Part("p", 1, Call("ECA"), Equal(1), "an equation", "A hint of the part.", hidden=True)
    graded = Graded("a", (Question("1", "q", (part, hidden)),))
    for reply, state, line in (
        (
            Reply("raised", **stub, where=other),
            "open",
            "This needs `kernel_size` (code cell 4), which is not answered yet.",
        ),
        (Reply("raised", **stub, where=own), "open", "Not answered yet."),
        (Reply("raised", **stub), "open", "Not answered yet."),
        (
            Reply("raised", **stub, message="later", where=inner),
            "open",
            "This needs `Other` (code cell 5), which is not answered yet.",
        ),
        (Reply("missing", message="ECA"), "wrong", "The notebook defines no `ECA`."),
        (Reply("nothing", message="no time is left"), "wrong", "No time is left."),
        (Reply("died", message="it left"), "wrong", "`ECA` brought no answer: it left."),
    ):
        for each in (part, hidden):
            mark = _mark(graded, "1.1", each, Answering(), reply)
            assert (mark.state, mark.lines[0]) == (state, line)
            assert not any("equation" in said or "A hint of the part" in said for said in mark.lines)
    # torch has errors of that name too: a module without a forward, for one.
    of_torch = Reply("raised", **stub, message="Module is missing", where=runner.Place(5, 2, "block(x)", "f"))
    mark = _mark(graded, "1.1", part, Answering(), of_torch)
    assert mark.lines[0] == "Your code raised NotImplementedError: Module is missing (code cell 5, line 2: block(x))"


def test_an_error_is_placed_in_the_cell_that_it_came_from() -> None:
    here = runner.Place(7, 2, "1 / 0", "f")
    raised = Reply("raised", error="ZeroDivisionError", kinds=("ZeroDivisionError",), message="by zero", where=here)
    assert runner._ran(raised, 7, Limits()).text == "ZeroDivisionError: by zero, line 2: 1 / 0"
    assert runner._ran(raised, 9, Limits()).text == "ZeroDivisionError: by zero, code cell 7, line 2: 1 / 0"
    # For a hidden input, only where there is such a line: the process could make up another, and tell a number by it.
    part = Part("p", 1, Call("f"), Equal(1), hidden=True)
    graded = Graded("a", (Question("1", "q", (part,)),))
    session = Answering()
    session.notebook = notebook.Notebook((notebook.Cell(7, "code", "def f(x):\n    1 / 0"),))
    for line, place in ((2, " It came from code cell 7, line 2."), (2048, "")):
        where = runner.Place(7, line, "2048", "f")
        mark = _mark(graded, "1.1", part, session, replace(raised, where=where))
        assert mark.lines == (f"Your code raised ZeroDivisionError for an input that is not shown.{place}",)


def test_want_of_memory_is_told_in_plain_words() -> None:
    said = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
    here = runner.Place(7, 2, "x @ y", "f")
    raised = Reply("raised", error="RuntimeError", message=said, where=here, no_memory=True)
    assert runner._ran(raised, 7, Limits(memory=300)).text == (
        "it needed more memory than there is (300 MB beside torch), line 2: x @ y"
    )
    part = Part("p", 1, Call("f"), Equal(1), "an equation", "A hint of the part.")
    graded = Graded("a", (Question("1", "q", (part,)),))
    session = Answering()
    session.limits = Limits(memory=300)
    mark = _mark(graded, "1.1", part, session, raised)
    less = "Hint: Smaller images, fewer channels, or fewer images at a time need less."
    plain = "Your code needed more memory than there is, 300 MB beside torch"
    assert mark.lines == (f"{plain} (code cell 7, line 2: x @ y)", less)
    died = Reply("died", error="memory", message="it took more than the 300 MB that there are beside torch")
    assert _mark(graded, "1.1", part, session, died).lines[1] == less
    assert len(_mark(graded, "1.1", part, session, replace(died, error="time")).lines) == 1


def test_one_cause_is_told_once() -> None:
    raised = ("Your code raised KeyError: 'x'", "Belongs to: an equation", "Hint: Look.")
    marks = [
        Mark("1.1", "first", 0.0, 1, "wrong", raised),
        Mark("1.2", "second", 1.0, 1, "right"),
        Mark("1.3", "third", 0.0, 1, "wrong", (raised[0], "Hint: Another.")),
        Mark("1.4", "fourth", 0.0, 1, "wrong", ("Its values are not right.", "Hint: a")),
        Mark("1.5", "fifth", 0.0, 1, "wrong", ("Its values are not right.", "Hint: b")),
    ]
    told = _once(marks)
    assert told[2].lines == ("For the same reason as “first”.",)
    assert [told[i] for i in (0, 1, 3, 4)] == [marks[i] for i in (0, 1, 3, 4)]


# The user that a submission runs as.


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


# Notebooks and cells.


def cells(*sources: tuple[str, str]) -> notebook.Notebook:
    return notebook.Notebook(tuple(notebook.Cell(i, kind, text) for i, (kind, text) in enumerate(sources, 1)))


@pytest.mark.parametrize(
    ("following", "text"),
    [
        ([], None),
        ([("markdown", "My own words.")], "My own words."),
        ([("markdown", "Your answer here."), ("markdown", "Below it.")], "Below it."),
        ([("markdown", "In two"), ("markdown", "cells.")], "In two\n\ncells."),
        ([("markdown", "## Next question")], None),
        ([("code", "1"), ("markdown", "Too late.")], None),
        ([("markdown", "<!-- answer 5 --> Another answer.")], None),
    ],
)
def test_an_answer_may_stand_in_the_cell_or_after_it(following: list, text: str | None) -> None:
    found = cells(("markdown", "**Why?** <!-- answer 4 -->\n<!-- a note -->\n\nYour answer here."), *following)
    assert Text("<!-- answer 4 -->").put(None, found).value == text
    begun = cells(("markdown", "<!-- answer 4 -->\nBegun here."), *following)
    joined = "Begun here." if text is None else f"Begun here.\n\n{text}"
    assert Text("<!-- answer 4 -->").put(None, begun).value.split() == joined.split()
    assert Text("<!-- answer 9 -->").put(None, found).kind == "nothing"


@pytest.mark.parametrize(
    ("source", "value", "left_out"),
    [
        ("x = 1\n%matplotlib inline\n!ls\nx?\ny = !ls\nif x:\n    %pip install a\nx = 2", 2, 5),
        ("x = (7\n% 4)", 3, 0),
        ("x = '''\n%no magic\n'''", "\n%no magic\n", 0),
        ("%%time\nx = 3", 3, 1),
        ("x = 0\n%load_ext a", 0, 1),
    ],
)
def test_magic_lines_are_left_out(source: str, value: object, left_out: int) -> None:
    names = {}
    code, lines = compiled(source, "<cell 1>")
    exec(code, names)
    assert (names["x"], len(lines)) == (value, left_out)
