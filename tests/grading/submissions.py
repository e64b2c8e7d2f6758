"""A small assignment, its submissions, and how the tests have them graded."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch

# MB. What Gradescope gives; torch's build for CUDA alone takes more than that.
MOST = 768 if torch.version.cuda is None else 1600


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
    limits=Limits(start=600, cell=300, call=300, total=1000),
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
STUB = """
def squeeze(x):
    raise NotImplementedError

class Gate(nn.Module):
    def __init__(self, channels, reduction=16):
        raise NotImplementedError

def cost(channels, reduction):
    ...
"""


def notebook(*code: str, answer: str = ANSWER) -> str:
    cells = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in code]
    cells.append({"cell_type": "markdown", "source": answer.splitlines(keepends=True), "metadata": {}})
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


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
        out, err = process.communicate(timeout=600)
        memory.done = True
    return subprocess.CompletedProcess(line, process.returncode, out, err), memory.peak
