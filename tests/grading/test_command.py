"""The grader with whole submissions: right, wrong, unfinished and hostile ones."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import torch

from attention.grading import Limits, command

# MB. What Gradescope gives; torch's build for CUDA alone takes more than that.
MOST = 768 if torch.version.cuda is None else 1600
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory is not limited")

GRADING = """
import numpy as np
from attention.grading import *

def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")

def gate(x, w1, w2):
    hidden = np.maximum(x.mean((2, 3)) @ w1.T, 0)
    return x / (1 + np.exp(-hidden @ w2.T))[:, :, None, None]

x, other = drawn(1, 2, 6, 4, 5), drawn(2, 3, 4, 7, 1)
w1, w2, v1, v2 = drawn(3, 2, 6), drawn(4, 6, 2), drawn(5, 1, 4), drawn(6, 4, 1)
right = gate(x, w1, w2)
ASSIGNMENT = Assignment(
    "One gate a channel",
    (
        Question("1", "Squeeze", (
            Part("The shape", 1, Call("squeeze", x), Shape((2, 6), "the squeezed map")),
            Part("The values", 2, Call("squeeze", x, untouched=True),
                 Close(x.mean((2, 3)), "the squeezed map", mistakes=[(x.sum((2, 3)), "These are sums.")]),
                 equation="z = mean of x", hint="The mean runs over two axes."),
            Part("Another input", 2, Call("squeeze", other), Close(other.mean((2, 3))), hidden=True),
            Part("Refuses what is no map", 1, Call("squeeze", x[0, 0]), Raises(("ValueError",), ("shape",))),
        )),
        Question("2", "Gate", (
            Part("Parameters", 1, Build("Gate", 6, reduction=3), Number(24, "the number of parameters", of="count")),
            Part("Output", 3, Build("Gate", 6, reduction=3, load=[w1, w2], inputs=[x]), Close(right, of="output")),
            Part("Another input", 2, Build("Gate", 4, reduction=4, load=[v1, v2], inputs=[other], gradients=True),
                 Close(gate(other, v1, v2), of="output"), hidden=True),
        )),
        Question("3", "Cost", (
            Part("A small block", 1, Call("cost", 64, 16), Number(512)),
            Part("Another block", 1, Call("cost", 256, 4), Number(32768), hidden=True),
        )),
        Question("4", "Why a product", (
            Part("Long enough", 1, Text("<!-- answer 4 -->"), Words(8)),
            Manual("What it says", 2, "names the exclusive or"),
        )),
    ),
    limits=Limits(cell=30, call=30, total=100),
)
"""

IMPORTS = "%pip install nothing\nimport torch\nfrom torch import nn"
SQUEEZE = """
def squeeze(x):
    if x.ndim != 4:
        raise ValueError(f"expected a map (batch, channels, height, width), received shape {tuple(x.shape)}")
    return x.mean((2, 3))
"""
GATE = """
class Gate(nn.Module):
    def __init__(self, channels, reduction=16):
        super().__init__()
        self.reduce = nn.Linear(channels, channels // reduction, bias=False)
        self.expand = nn.Linear(channels // reduction, channels, bias=False)

    def forward(self, x):
        s = self.expand(self.reduce(squeeze(x)).relu()).sigmoid()
        return x * s[:, :, None, None]
"""
COST = "def cost(channels, reduction):\n    return 2 * channels**2 // reduction"
ANSWER = "# <!-- answer 4 -->\nA sum of what two windows see can never be an exclusive or of the two."
SOLUTION = (IMPORTS, SQUEEZE, GATE, COST)


def notebook(*code: str, answer: str = ANSWER) -> str:
    cells = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in code]
    cells.append({"cell_type": "markdown", "source": answer.splitlines(keepends=True), "metadata": {}})
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture(scope="module")
def grading_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secret") / "gates.grading.py"
    path.write_text(GRADING)
    path.chmod(0o600)
    return path


@pytest.fixture
def graded(grading_file: Path, tmp_path: Path):
    """Grade a notebook of code cells; ``seconds`` is what a cell and a call may take."""

    def run(*code: str, answer: str = ANSWER, seconds: float = 30):
        path = tmp_path / "submission.ipynb"
        path.write_text(notebook(*code, answer=answer))
        assignment = command.load(grading_file)
        return command.grade(path, replace(assignment, limits=replace(assignment.limits, cell=seconds, call=seconds)))

    return run


def lost(result) -> dict[str, float]:
    """Return the points that are lacking, by part."""
    return {m.number: m.points - m.score for m in result.marks if m.score is not None and m.score < m.points}


class Memory(threading.Thread):
    """The most memory that a process and what it started take together, as /proc says, in MB."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self.done = pid, 0.0, False

    def run(self) -> None:
        while not self.done:
            self.peak = max(self.peak, sum(map(self._one, self._family(self.pid))))
            time.sleep(0.01)

    def _family(self, pid: int) -> list[int]:
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return []
        return [pid, *(each for child in children for each in self._family(int(child)))]

    @staticmethod
    def _one(pid: int) -> float:
        try:
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        except OSError:
            return 0.0


def run_command(*arguments: object, **options: object) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run the command in a process of its own; return it and the memory that it took."""
    line = [sys.executable, "-m", "attention.grading", *map(str, arguments)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        memory = Memory(process.pid)
        memory.start()
        out, err = process.communicate(timeout=120)
        memory.done = True
    return subprocess.CompletedProcess(line, process.returncode, out, err), memory.peak


HOG = "hog = []\nwhile True:\n    hog.append(bytearray(10_000_000))"


def test_the_solution_gets_full_marks_within_the_memory_of_gradescope(grading_file: Path, tmp_path: Path) -> None:
    # With a cell that takes all the memory that it can get.
    (tmp_path / "mine.ipynb").write_text(notebook(HOG, *SOLUTION))
    results, report = tmp_path / "out" / "results.json", tmp_path / "out" / "report.md"
    given = ("--assignment", grading_file, "--results", results, "--report", report)
    done, peak = run_command(tmp_path, *given)  # a folder of one notebook, as Gradescope gives it
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(results.read_text())
    assert found["score"] == 15 == sum(test.get("max_score", 0) for test in found["tests"])
    assert {test["name"] for test in found["tests"] if "score" not in test} == {"4.2 What it says"}
    assert all(test["status"] == "passed" for test in found["tests"] if "score" in test)
    assert set(found) == {"score", "output", "output_format", "visibility", "execution_time", "tests", "extra_data"}
    assert "Code cell 1 was left out: it needed more than 400 MB of memory." in found["output"]
    assert "**15 of 15 points**" in report.read_text() == done.stdout[:-1]
    if sys.platform == "linux":
        assert 300 < peak < MOST
        assert found["extra_data"]["memory_mb"]["grader"] < 64  # no torch on this side


STUB = """
def squeeze(x):
    raise NotImplementedError

class Gate(nn.Module):
    def __init__(self, channels, reduction=16):
        raise NotImplementedError

def cost(channels, reduction):
    ...
"""


def test_the_stub_gets_nothing(graded) -> None:
    result = graded(IMPORTS, STUB, answer="<!-- answer 4 -->\nYour answer here.")
    assert result.score == 0
    assert {mark.state for mark in result.marks if mark.number != "4.2"} == {"open"}
    assert result.text().count("Not answered yet.") == 10


FOLLOW = """
from attention.grading import *

ASSIGNMENT = Assignment("Two that build on each other", (
    Question("1", "First", (Part("a", 1, Call("first"), Equal(3)),),
             StandIn("first", "def stand_in():\\n    return 3\\nfirst = stand_in")),
    Question("2", "Second", (
        Part("a", 1, Call("second"), Equal(6)),
        Part("b", 1, Look("total"), Equal(9)),
        Manual("c", 2, "a rubric", Text("<!-- answer 4 -->")),
    )),
), limits=Limits(cell=30, call=30, total=100))
"""
BEGUN = "def first():\n    raise NotImplementedError"
BUILT = ("def second():\n    return 2 * first()", "total = second() + first()")


@pytest.mark.parametrize(
    ("first", "rest", "points", "note"),
    [
        (BEGUN, BUILT, {"1.1": 1}, "with the grader's own `first`"),
        (BEGUN, ("def second():\n    raise NotImplementedError", "total = ..."), {"1.1": 1, "2.1": 1, "2.2": 1}, ""),
        ("def first():\n    return 4", BUILT, {"1.1": 1, "2.1": 1, "2.2": 1}, None),  # a wrong answer is an answer
        ("", BUILT, {"1.1": 1, "2.1": 1, "2.2": 1}, None),
        ("def first():\n    return 3", BUILT, {}, None),
        # Whatever the cell of the stub does to the process that the stand-in is put into.
        (
            f"import builtins, os\n{BEGUN}\nbuiltins.compile = builtins.exec = lambda *given: os._exit(0)",
            BUILT,
            {"1.1": 1, "2.1": 1, "2.2": 1},
            "",
        ),
    ],
)
def test_what_builds_on_a_question_that_was_left_out(tmp_path: Path, first, rest, points, note) -> None:
    (tmp_path / "follow.grading.py").write_text(FOLLOW)
    (tmp_path / "mine.ipynb").write_text(notebook(first, *rest))
    result = command.grade(tmp_path / "mine.ipynb", command.load(tmp_path / "follow.grading.py"))
    assert lost(result) == points
    assert result.trouble == []
    told = [each for each in result.notes if each.startswith("Question 1 is not answered.")]
    assert len(told) == (note is not None)
    assert note is None or note in told[0]
    assert "**0 of 3 points**" in result.text() or "up to 2 by hand" in result.text()


@pytest.mark.parametrize(
    ("first", "points", "replaced"),
    [
        ("def first():\n    return 4", {"1.1": 1, "2.1": 1, "2.2": 1}, False),  # it can be built on, wrong as it is
        ("def first():\n    return 'three'", {"1.1": 1}, True),
        ("def first():\n    return 1 / 0", {"1.1": 1}, True),
        ("def first():\n    return 3", {}, False),
    ],
)
def test_what_nothing_can_be_built_on_is_replaced_too(tmp_path: Path, first, points, replaced) -> None:
    needs = """first = stand_in", Run("first", "answer = 0 + first()"))"""
    (tmp_path / "follow.grading.py").write_text(FOLLOW.replace('first = stand_in")', needs))
    (tmp_path / "mine.ipynb").write_text(notebook(first, *BUILT))
    result = command.grade(tmp_path / "mine.ipynb", command.load(tmp_path / "follow.grading.py"))
    assert lost(result) == points
    told = [each for each in result.notes if each.startswith("Question 1 has a mistake: see there.")]
    assert len(told) == replaced


def test_the_function_that_is_lacking_is_named(tmp_path: Path) -> None:
    (tmp_path / "follow.grading.py").write_text(FOLLOW.replace("first = stand_in", "other = stand_in"))
    (tmp_path / "mine.ipynb").write_text(notebook(BEGUN, "", *BUILT))
    result = command.grade(tmp_path / "mine.ipynb", command.load(tmp_path / "follow.grading.py"))
    said = {mark.number: mark.lines for mark in result.marks}
    assert said["2.1"] == ("This needs `first` (code cell 1), which is not answered yet.",)
    assert said["2.2"] == (
        "`total` is not defined, because code cell 4 did not run to its end: it calls `first` (code cell 1), which is "
        "not answered yet",
        "Hint: Restart the kernel and run all cells yourself.",
    )
    assert said["2.3"] == ("A person reads this (16 words), and gives the points.",)


def test_what_a_person_reads_is_named_and_its_rubric_is_not_told(graded) -> None:
    result = graded(IMPORTS, STUB)
    text = result.text()
    assert "## 4 · Why a product: 1 of 1; up to 2, by hand\n" in text
    assert "✎ **What it says** (up to 2, by hand)" in text
    assert "names the exclusive or" not in text + str(result.gradescope())


OTHERS = {
    "einops, convolutions and floats": (
        "import torch, numpy\nfrom torch import nn\nfrom einops import reduce",
        "squeeze = lambda x: reduce(x, 'b c h w -> b c', 'mean') if x.ndim == 4 else wrong()\n"
        "def wrong():\n    class MyError(ValueError): pass\n    raise MyError('SHAPE')",
        """
        class Gate(nn.Sequential):
            def __init__(self, c, reduction):
                d = c // reduction
                first, second = nn.Conv2d(c, d, 1, bias=False), nn.Conv2d(d, c, 1, bias=False)
                super().__init__(first, nn.ReLU(), second, nn.Sigmoid())

            def forward(self, x):
                return x * super().forward(squeeze(x)[..., None, None])
        """,
        "cost = lambda c, r: numpy.float64(2 * c * c / r)",
    ),
    "parameters by hand": (
        "import torch",
        """
        def squeeze(x):
            batch, channels, height, width = x.shape if x.ndim == 4 else refuse(x)
            return x.reshape(batch, channels, height * width).sum(-1) / (height * width)
        def refuse(x):
            raise ValueError("this is no shape for a map")
        """,
        """
        class Gate(torch.nn.Module):
            def __init__(self, channels, reduction):
                super().__init__()
                self.down = torch.nn.Parameter(torch.randn(channels // reduction, channels))
                self.up = torch.nn.Parameter(torch.randn(channels, channels // reduction))

            def forward(self, x):
                z = squeeze(x)
                s = torch.einsum("cd,bd->bc", self.up, torch.einsum("dc,bc->bd", self.down, z).clamp(min=0))
                return torch.einsum("bchw,bc->bchw", x, 1 / (1 + (-s).exp()))
        """,
        "def cost(c, r):\n    return torch.tensor(2 * c * c // r)",
    ),
    "the book's own block, and a cell that fails": (
        "import torch\nfrom attention import SqueezeExcitation\nfrom attention import lab\nundefined",
        "class Gate(SqueezeExcitation):\n    def __init__(self, c, reduction):\n"
        "        super().__init__(c, reduction, False)",
        SQUEEZE,
        "@torch.no_grad()\ndef cost(c, r):\n    return sum(p.numel() for p in Gate(c, r).parameters())",
    ),
}


@pytest.mark.parametrize("code", OTHERS.values(), ids=OTHERS)
def test_right_answers_may_be_written_otherwise(graded, code: tuple[str, ...]) -> None:
    result = graded(*map(dedent, code))
    assert lost(result) == {}


MEAN = "x.mean((2, 3))"
ALONE = {GATE: GATE.replace("squeeze(x)", MEAN)}  # so that what is wrong with squeeze stays there


def instead(cell: str, old: str, new: str) -> dict[str, str]:
    assert old in cell
    return {cell: cell.replace(old, new)}


# What is changed in the solution, what that loses, and what is said of it.
WRONG = {
    "sums, and the square forgotten": (
        instead(SQUEEZE, "mean", "sum") | instead(COST, "**2", ""),
        {"1.2": 2, "1.3": 2, "2.2": 3, "2.3": 2, "3.1": 1, "3.2": 1},
        ("Hint: These are sums.", "Belongs to: z = mean of x", "Expected 512 for the answer, received 8."),
    ),
    "axes kept, and a cost for one block only": (
        instead(SQUEEZE, "(2, 3))", "(2, 3), keepdim=True)") | ALONE | {COST: "def cost(c, r):\n    return 512"},
        {"1.1": 1, "1.2": 2, "1.3": 2, "3.2": 1},
        ("Expected shape (2, 6) for the squeezed map, received (2, 6, 1, 1).",),
    ),
    "in place": (
        instead(SQUEEZE, MEAN, "x.mul_(2).mean((2, 3)) / 2") | ALONE,
        {"1.2": 1},
        ("The result is right, but the function changed its input.",),
    ),
    "float64 is no mistake": (instead(SQUEEZE, MEAN, "x.double().mean((2, 3))") | ALONE, {}, ()),
    "a list, and a name lacking": (
        instead(SQUEEZE, MEAN, f"{MEAN}.tolist()") | ALONE | {COST: "raise TypeError('too early')\n" + COST},
        {"1.1": 1, "1.2": 2, "1.3": 2, "3.1": 1, "3.2": 1},
        ("Expected a torch tensor for the squeezed map", "`cost` is not defined, because code cell 4"),
    ),
    "no refusal, biases, and another name": (
        {SQUEEZE: "def squeeze(x):\n    return x.flatten(2).mean(-1)"}
        | instead(GATE, ", bias=False", "")
        | instead(COST, "cost", "costs"),
        {"1.4": 1, "2.1": 1, "2.2": 3, "2.3": 2, "3.1": 1, "3.2": 1},
        (
            "Expected a ValueError, received IndexError",
            "Expected parameters (2, 6), (6, 2); yours are reduce.weight (2, 6), reduce.bias (2,)",
            "The notebook defines no `cost`. It defines `costs`: is that the one?",
        ),
    ),
    "no product, and few words": (
        instead(GATE, "return x * ", "return 0 * x + ") | {ANSWER: "<!-- answer 4 -->\nbecause because"},
        {"2.2": 3, "2.3": 2, "4.1": 1},
        ("at least 8 different words, received 1", "The shape of the result is right, its values are not."),
    ),
}


@pytest.mark.parametrize(("changes", "points", "lines"), WRONG.values(), ids=WRONG)
def test_a_wrong_answer_loses_exactly_its_points(graded, changes, points, lines) -> None:
    assert set(changes) <= {*SOLUTION, ANSWER}
    result = graded(*(changes.get(cell, cell) for cell in SOLUTION), answer=changes.get(ANSWER, ANSWER))
    assert lost(result) == points
    for line in lines:
        assert line in result.text()
    assert result.trouble == []


def test_hidden_numbers_are_not_shown(graded) -> None:
    leak = (
        "def squeeze(x):\n    if x.shape[0] == 3:\n        print(x)\n        open('/' + str(x.tolist()))\n    return x",
        "class Gate(nn.Module):\n    pass",
        "def cost(c, r):\n    if c == 256:\n        raise type(f'E{c}', (ValueError,), {})(f'{c}')\n    return 1",
    )
    text = graded(IMPORTS, *leak).text()
    number = str(abs(np.random.default_rng(2).normal(size=84).astype("float32")[0]))[:5]
    assert number not in text
    assert "256" not in text
    assert "Your code raised ValueError for an input that is not shown." in text
    assert "it tried something that the grader does not allow" in text


# Cells that the process survives, and what the report says of them.
SURVIVED = {
    "exit()": "it called exit()",
    "import torch\nhuge = torch.zeros(100_000_000_000)": "it needed more memory than there is (400 MB beside torch)",
    "block = 'x' * 1_000_000\nfor _ in range(1000):\n    print(block)": "The notebook printed 1,",
    "print(open({grading!r}).read())": "does not allow this: open {grading!r}",
    "import torch\ntorch.UntypedStorage.from_file({grading!r}, False, 8)": "",
    "import os\nfor found in os.walk({folder!r}):\n    print(found)": "tried to list the folder {folder!r}: refused",
    "import os\nos.path.realpath = lambda path, **options: '/usr'\nprint(open({grading!r}).read())": "",
    "import os\nopen(f'/proc/{{os.getppid()}}/environ').read()": "does not allow this: open '/proc/",
    "import subprocess\nsubprocess.run(['id'])": "does not allow this: start another program",
    "import os\nos.system('id')": "does not allow this: start another program",
    "import os\nwhile True:\n    os.fork()": "does not allow this: start another process",
    "import multiprocessing as m\nm.get_context('spawn').Process(target=print).start()": "start another program",
    "import socket\nsocket.create_connection(('192.0.2.1', 80), 1)": "does not allow this: use the network",
    "import ctypes\nctypes.CDLL(None).getppid()": "does not allow this: call native code by ctypes",
    "import os\nos.kill(os.getppid(), 9)": "does not allow this: send a signal to another process",
    "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))": "does not allow this: change its own limits",
    "import threading\ndef noise():\n    while True:\n        print('noise' * 50)\n"
    "threading.Thread(target=noise, daemon=True).start()": "",
    "import json, os, random, struct, torch, numpy as np\njson.dumps = struct.pack = os.write = os.read = None\n"
    "torch.manual_seed = random.seed = np.random.seed = None\n"
    "json.JSONEncoder.encode = lambda *given: '{{}}'\n"
    "same = lambda *given, **options: True\n"
    "torch.allclose = torch.equal = torch.testing.assert_close = np.allclose = np.array_equal = same": "",
    "import gc, types\nfor each in gc.get_objects():\n"
    "    if type(each) is types.FunctionType and each.__name__ == 'hook':\n"
    "        each.__code__ = (lambda *given: None).__code__": "does not allow this: change the grader's own functions",
    "open('big', 'wb').write(bytes(50_000_000))": "File too large",
    "for i in range(10_000):\n    open(f'{{i}}', 'w')": "does not allow this: open more than 256 files for writing",
    "import shutil, os\nshutil.rmtree(os.getcwd(), ignore_errors=True)": "",
    "import torch\ntorch.set_default_dtype(torch.float64)\ntorch.set_grad_enabled(False)": "",
    "import sys\nprint('{{\"score\": 100}}')\nsys.stdout = sys.stderr = None": "",
    "input('Your name?')": "input() has nobody to ask",
    "class Long(Exception):\n    def __str__(self):\n        return 'x' * 10**7\nraise Long": "",
    "%%bash\nrm -rf /": "left out, because only a notebook knows it: %%bash (the whole cell)",
    "def broken(:\n    pass": "SyntaxError: ",
    "import threading, time\nwhile True:\n"
    "    threading.Thread(target=time.sleep, args=(9,), daemon=True).start()": "thread",
}


def test_cells_that_do_harm_cost_the_rest_nothing(graded, grading_file: Path) -> None:
    names = {"grading": str(grading_file), "folder": str(grading_file.parent)}
    result = graded(*(cell.format(**names) for cell in SURVIVED), *SOLUTION)
    assert lost(result) == {}
    notes = "\n".join(result.notes)
    for line in SURVIVED.values():
        assert line.format(**names) in notes
    assert "drawn" not in notes  # a word of the grading file
    assert result.seconds < 30


UNHOOK = """
import gc, os, types
for each in gc.get_objects():
    if type(each) is types.FunctionType and each.__name__ == "hook":
        for cell in each.__closure__:
            cell.cell_contents = lambda *given: None
"""


def test_without_its_hook_a_submission_still_meets_the_kernel(graded, grading_file: Path) -> None:
    tried = (f"open({str(grading_file)!r}).read()", "os.kill(os.getppid(), 9)", "os.system('kill -9 -1')", "os.fork()")
    result = graded(UNHOOK, *tried, *SOLUTION)
    if result.fences[:2] != ["files", "calls"]:
        pytest.skip("this kernel has no such fences")
    assert lost(result) == {}
    notes = "\n".join(result.notes)
    assert (
        f"Code cell 2 did not run to its end: PermissionError: [Errno 13] Permission denied: '{grading_file}'" in notes
    )
    for number in (3, 5):
        assert f"Code cell {number} did not run to its end: PermissionError: [Errno 1] Operation not permitted" in notes


# Cells that take the process with them.
ENDED = {
    "import os\nos._exit(0)": "it ended the whole process, with exit code 0",
    "import faulthandler\nfaulthandler._sigsegv()": "it crashed the whole process (SIGSEGV)",
    "while True:\n    try:\n        while True:\n            pass\n"
    "    except BaseException:\n        pass": "did not come to an end within 2 seconds",
    "import os\nfor handle in range(3, 64):\n    try:\n        os.write(handle, b'{\"score\": 100}' * 9)\n"
    "    except OSError:\n        pass": "written into the pipe",
    "import os\nos.closerange(3, 256)": "ended the whole process",
    "import signal\nfor number in range(1, 32):\n    try:\n        signal.signal(number, signal.SIG_IGN)\n"
    "    except OSError:\n        pass\nimport sys\nsys.settrace(lambda *given: exit())\nwhile True:\n    pass": "",
}


def test_cells_that_end_the_process_are_left_out(graded) -> None:
    result = graded(*ENDED, *SOLUTION, seconds=2)
    assert lost(result) == {}
    for number, line in enumerate(ENDED.values(), 1):
        assert any(f"Code cell {number} " in note and line in note for note in result.notes)
    assert result.seconds < 60


ANSWERS = """
import os, sys, time, torch

class Equal:
    def __eq__(self, other): return True
    def __getattr__(self, name): return self
    def __call__(self, *given, **options): return self
    def __float__(self): return 512.0
    def __reduce__(self): return (os.system, ("id",))

class Sly(torch.Tensor):
    @classmethod
    def __torch_function__(cls, *given, **options): return Equal()

def squeeze(x):
    if x.ndim == 2: return (n for n in iter(int, 1))
    if x.shape[0] == 3: return x.mean((2, 3)) / 0
    return torch.zeros(1).expand(10**10)

class Gate(torch.nn.Module):
    def __init__(self, channels, reduction):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(24))
        if channels == 4: os._exit(3)
    def forward(self, x): return x.as_subclass(Sly)

def cost(c, r):
    while c == 256: pass
    return Equal()
"""


def test_answers_that_do_harm_lose_their_own_points_only(graded) -> None:
    result = graded(ANSWERS, seconds=2)
    assert {m.number for m in result.marks if m.score} == {"2.1", "4.1"}
    text = result.text()
    assert "received Tensor of shape (10000000000,), 40,000 MB: too large to send." in text
    assert "Expected a ValueError, but generator was returned." in text
    assert "Expected a number for the answer, received Equal." in text
    assert "`Gate` brought no answer: it ended the whole process, with exit code 3." in text
    assert "`cost` brought no answer: it did not come to an end within 2 seconds." in text
    assert result.trouble == []
    assert result.seconds < 30


KINDS = """
import numpy as np
from attention.grading import *

x = np.arange(6, dtype="float32").reshape(2, 3)
w = np.ones((1, 3), dtype="float32")
g = np.linspace(-1, 1, 2, dtype="float32") @ x
named = dict(load={"line.weight": w, "scale": np.float32(2) * np.ones(1, "float32")}, inputs=[x], method="twice")
ASSIGNMENT = Assignment("Every kind", (
    Question("1", "Look", (
        Part("a number", 1, Look("number"), Number(1.5)),
        Part("a list", 1, Look("listed"), Equal([1, "two", {"three": None, "four": True}])),
        Part("none", 1, Look("nothing"), Equal(1)),
        Part("a cell", 1, CellRan("# here"), Equal(True)),
        Part("a cell that fails", 1, CellRan("# fails"), Equal(True)),
        Part("no cell", 1, CellRan("# nowhere"), Equal(True)),
    )),
    Question("2", "Build", (
        Part("output", 1, Build("Line", **named), Close(4 * x @ w.T, of="output")),
        Part("gradient", 1, Build("Line", **named, gradients=True),
             Close(4 * g[None], of=("gradients", "line.weight"))),
        Part("of x", 1, Build("Line", **named, gradients=True),
             Close(np.outer([-4, 4], w), of=("input_gradients", 0))),
        Part("names", 1, Build("Line"), Equal({"line.weight": [1, 3], "scale": [1]}, of="parameters")),
        Part("other names", 1, Build("Line", load={"line.weight": w}), Equal(4, of="count")),
        Part("no module", 1, Build("fresh", x), Equal(4, of="count")),
    )),
    Question("3", "Run", (
        Part("lines", 1, Run("Line", "answer = torch.cat([Line()(x), y])", x=x, y=x[:, :1]), Shape((4, 1))),
        Part("lacking", 1, Run("Lines", "answer = 1"), Equal(1)),
        Part("raises", 1, Run("Line", "Line()(1, 2)"), Raises(("TypeError",))),
        Part("a copy", 1, Run("Line", "number = 7; answer = number"), Equal(7)),
        Part("left alone", 1, Look("number"), Number(1.5)),
    )),
    Question("4", "Call", (
        Part("the same seed", 1, Call("fresh", x, seed=3), Check(seen := [].append)),
        Part("options", 1, Call("options", 1, key="value"), Equal([[1], {"key": "value"}])),
        Part("no function", 1, Call("number"), Equal(1)),
        Part("sparse", 1, Call("odd", "sparse"), Close(x)),
        Part("meta", 1, Call("odd", "meta"), Close(x)),
        Part("bfloat16", 1, Call("odd", "bfloat16"), Close(np.ones(2), dtype="bfloat16")),
        Part("conjugate", 1, Call("odd", "conjugate"), Equal(True)),
    )),
))
"""
MANY = (
    """
import torch
from torch import nn
number, nothing = 1.5, None
listed = [1, "two", {"three": None, "four": True}]

class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.line, self.scale = nn.Linear(3, 1, bias=False), nn.Parameter(torch.ones(1))
    def forward(self, x): return self.line(x) * self.scale
    def twice(self, x): return 2 * self(x)

def fresh(x): return torch.randn(1)
def options(*given, **named): return list(given), named
def odd(kind):
    if kind == "sparse": return torch.eye(3).to_sparse()
    if kind == "meta": return torch.empty(3, device="meta")
    if kind == "bfloat16": return torch.ones(2, dtype=torch.bfloat16)
    return torch.tensor([1 + 2j]).conj()
""",
    "# here\nx = 1",
    "# fails\n1 / 0",
)


def test_every_kind_of_request(tmp_path: Path) -> None:
    (tmp_path / "kinds.grading.py").write_text(KINDS)
    (tmp_path / "many.ipynb").write_text(notebook(*MANY))
    result = command.grade(tmp_path / "many.ipynb", command.load(tmp_path / "kinds.grading.py"))
    assert result.trouble == []
    said = {mark.number: " ".join(mark.lines) for mark in result.marks if mark.state != "right"}
    assert list(said) == ["1.3", "1.5", "1.6", "2.5", "2.6", "3.2", "4.3", "4.4", "4.5", "4.7"]
    for number, line in {
        "1.3": "Not answered yet.",
        "1.5": "Code cell 3 did not run to its end: ZeroDivisionError: division by zero, line 2: 1 / 0.",
        "1.6": "The notebook has no code cell marked '# nowhere' any more.",
        "2.5": "Expected parameters line.weight (1, 3); yours are scale (1,), line.weight (1, 3).",
        "2.6": "`fresh` is no nn.Module.",
        "3.2": "The notebook defines no `Lines`.",
        "4.3": "`number` is no function or class, but of type float.",
        "4.4": "received Tensor of shape (3, 3) that cannot be turned into numbers.",
        "4.5": "received Tensor of shape (3,) that cannot be turned into numbers.",
        "4.7": "received a torch tensor of shape (1,) and dtype complex64.",
    }.items():
        assert line in said[number]


NO_NOTEBOOK = {
    b"": "The submitted file is empty.",
    b"import torch": "is no notebook: it is not JSON.",
    b"[" * 100_000: "is no notebook: it is not JSON.",
    b'{"cells": ' + b"9" * 5000 + b"}": "is no notebook: it is not JSON.",
    b"\xff\xfe\x00": "is no notebook: it is not JSON.",
    b"[]": "no notebook of format 4: it has no list of cells.",
    b'{"worksheets": []}': "no notebook of format 4: it has no list of cells.",
    b'{"cells": [3]}': "one of its cells is no object.",
    b'{"cells": [{"cell_type": "code", "source": 5}]}': "one of its cells has no text.",
    b'{"cells": [' + b'{"cell_type": "code"},' * 2000 + b'{"cell_type": "code"}]}': "more than 1000 cells.",
    b'{"cells": [{"cell_type": "code", "source": "' + b"#" * 2_000_000 + b'"}]}': "more than 1,000,000 characters",
    b"1" * 11_000_000: "clear its outputs",
}


@pytest.mark.parametrize(("raw", "line"), NO_NOTEBOOK.items(), ids=range(len(NO_NOTEBOOK)))
def test_what_is_no_notebook_gets_a_line(grading_file: Path, tmp_path: Path, raw: bytes, line: str) -> None:
    (tmp_path / "submission.ipynb").write_bytes(raw)
    result = command.grade(tmp_path / "submission.ipynb", command.load(grading_file))
    assert (result.score, result.points, len(result.notes)) == (0, 15, 1)
    assert line in result.notes[0]


def test_json_that_unpacks_to_much_stays_within_the_memory(grading_file: Path, tmp_path: Path) -> None:
    (tmp_path / "submission.ipynb").write_bytes(b'{"cells": [' + b'{"":0},' * 1_400_000 + b"0]}")
    done, peak = run_command(tmp_path / "submission.ipynb", "--assignment", grading_file, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert peak < MOST


def test_a_folder_gives_a_table(grading_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    for name, text in {"=ada": notebook(*SOLUTION), "sub/bob": "no notebook", ".ipynb_checkpoints/x": "{}"}.items():
        (tmp_path / "in" / f"{name}.ipynb").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / f"{name}.ipynb").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert command.main([str(tmp_path / "in"), "--assignment", str(grading_file)]) == 0
    assert "2 submissions" in capsys.readouterr().out
    head, *rows = (tmp_path / "reports" / "scores.csv").read_text().splitlines()
    assert head.startswith("submission,score,of,1.1 The shape,")
    assert rows == ["'=ada,15,15,1,2,2,1,1,3,2,1,1,1,", "sub__bob,0,15,0,0,0,0,0,0,0,0,0,0,"]
    assert "15 of 15" in (tmp_path / "reports" / "=ada.md").read_text()


@pytest.mark.parametrize("names", [(), ("a", "b")])
def test_gradescope_wants_one_notebook(grading_file: Path, tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / f"{name}.ipynb").write_text(notebook())
    results = tmp_path / "results.json"
    line = [str(tmp_path), "--assignment", str(grading_file), "--results", str(results), "--quiet"]
    assert command.main(line) == 0
    found = json.loads(results.read_text())
    assert found["score"] == 0
    assert "notebook" in found["output"]


ALL = "from attention.grading import *\n"
BAD = {
    "raise KeyError('oh')": "KeyError: 'oh'",
    "x = (": "SyntaxError",
    "x = 1": "expected it to define ASSIGNMENT",
    f"{ALL}ASSIGNMENT = Assignment('a', ())": "expected one or more",
    f"{ALL}q = Question('1', 'q', (Manual('m', 1, 'r'),))\nASSIGNMENT = Assignment('a', (q, q))": "an id of its own",
    f"{ALL}q = Question('1', 'q', (Part('p', 1, 'f', Shape(())),))\nASSIGNMENT = Assignment('a', (q,))": "ask or judge",
    f"{ALL}q = Question('1', 'q', (Part('p', 1, Call('f', object()), Shape(())),))\n"
    "ASSIGNMENT = Assignment('a', (q,))": "can be sent, not object",
}


@pytest.mark.parametrize(("source", "line"), BAD.items(), ids=range(len(BAD)))
def test_a_bad_grading_file_is_the_graders_own_error(tmp_path: Path, capsys, source: str, line: str) -> None:
    (tmp_path / "bad.grading.py").write_text(source)
    (tmp_path / "submission.ipynb").write_text(notebook())
    given = [str(tmp_path / "submission.ipynb"), "--assignment", str(tmp_path / "bad.grading.py")]
    assert command.main(given) == 2
    assert line in capsys.readouterr().err


def test_a_grading_file_that_submissions_could_read_is_refused(tmp_path: Path, capsys) -> None:
    inside = Path(command.__file__).with_name("command.py")
    assert command.main([str(tmp_path), "--assignment", str(inside)]) == 2
    assert "move it elsewhere" in capsys.readouterr().err
    assert command.main([str(tmp_path), "--assignment", str(tmp_path / "none.py")]) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands submissions to another user")
def test_what_is_for_the_instructor_stands_in_no_report(tmp_path: Path, capsys) -> None:
    (tmp_path / "mine.ipynb").write_text("no notebook")
    results, report = tmp_path / "results.json", tmp_path / "report.md"
    with tempfile.TemporaryDirectory() as folder:
        open_to_all = Path(folder) / "g.grading.py"
        open_to_all.write_text(GRADING)
        Path(folder).chmod(0o755)
        given = ["--assignment", str(open_to_all), "--results", str(results), "--report", str(report)]
        assert command.main([str(tmp_path / "mine.ipynb"), *given]) == 0
    shown = capsys.readouterr()
    assert shown.err == "grade: other users may read g.grading.py; chmod 600 keeps it from submissions\n"
    assert "other users" not in shown.out + results.read_text() + report.read_text()


def test_a_judge_that_fails_is_no_submissions_fault(tmp_path: Path, capsys) -> None:
    (tmp_path / "g.grading.py").write_text(
        "from attention.grading import *\n"
        "ASSIGNMENT = Assignment('a', (Question('1', 'q', (\n"
        "    Part('p', 1, Text('here'), Check(lambda text: 1 / 0)), Part('q', 1, Text('here'), Words(1)))),))\n"
    )
    (tmp_path / "submission.ipynb").write_text(notebook(answer="here\nwords"))
    assert command.main([str(tmp_path / "submission.ipynb"), "--assignment", str(tmp_path / "g.grading.py")]) == 0
    shown = capsys.readouterr()
    assert "1 of 2 points" in shown.out
    assert "not your fault" in shown.out
    assert "ZeroDivisionError" in shown.err


def test_time_that_is_used_up_is_said_once_and_the_text_is_still_read(graded, grading_file, tmp_path) -> None:
    path = tmp_path / "slow.ipynb"
    path.write_text(notebook("while True:\n    pass", *SOLUTION))
    assert (
        command.main(
            [str(path), "--assignment", str(grading_file), "--seconds", "0.5", "--report", str(tmp_path / "r")]
        )
        == 0
    )
    text = (tmp_path / "r").read_text()
    assert "1 of 15 points" in text
    assert "The time for this notebook, 0 seconds, was used up." in text


def test_a_notebook_is_not_started_again_for_ever(grading_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "ends.ipynb"
    path.write_text(notebook(*["import os\nos._exit(7)"] * 3, *SOLUTION))
    assignment = command.load(grading_file)
    result = command.grade(path, replace(assignment, limits=replace(assignment.limits, restarts=1)))
    assert result.score == 1  # the text
    assert "The notebook ended the grader's process 2 times; it was not started again." in result.text()


def test_limits_leave_room_for_the_grader() -> None:
    limits = Limits()
    assert 45 + 265 + 1.1 * limits.memory < 768
    assert limits.total + limits.start <= 600
