"""The grader with submissions that do harm."""

import sys
from pathlib import Path

import pytest

from tests.grading.submissions import SOLUTION, lost

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory is not limited")


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
