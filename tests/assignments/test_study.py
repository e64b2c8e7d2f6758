"""Assignment 3: a sound study gets all points whatever comes out, and each fault loses exactly its own."""

import inspect
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from attention import registry
from attention.grading import Limits, Opaque, Wrong
from attention.lab import tasks
from attention.lab.comparison import Interval
from attention.lab.tasks import LOSSES
from tests.assignments.conftest import Submit, lost, submitting
from tests.assignments.warm import Warm
from tools.chapters import ROOT
from tools.teaching import assignments

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the grader has no fences")

# A study that takes a second: eight gates, to be opened by the means of eight channels.
DATA = """
def data(seed):
    return se.tasks.gate_patterns(seed, channels=8, train=64, test=60)
"""
PLAN = """
plan = {
    "claim": "On gate patterns SE opens five points more of the gates rightly than blind gates.",
    "task": "gate patterns",
    "measure": "accuracy per label",
    "block": "SqueezeExcitation",
    "control": "gates of the same two layers, from a constant",
    "seeds": [0, 1, 2, 3, 4],
    "steps": 30,
    "direction": "higher",
    "margin": 0.05,
    "refuted_by": "an interval that lies below five points",
    "exploratory": [],
}
"""
NETWORKS = """
class Blind(SqueezeExcitation):
    def weights(self, x):
        return super().weights(torch.ones_like(x))

def with_attention():
    return tasks.GateOf(SqueezeExcitation(8, reduction=2, bias=True))

def control():
    return tasks.GateOf(Blind(8, reduction=2, bias=True))
"""
RUN = """
ARMS = {"attention": with_attention, "control": control}
def run(arm, seed):
    done = training.compare({arm: ARMS[arm]}, data, seeds=(seed,), steps=plan["steps"], lr=0.05)
    return done.scores(arm)[0]
"""
RESULTS = """
results = [dict(arm=arm, seed=seed, score=run(arm, seed)) for arm in ARMS for seed in plan["seeds"]]
"""
ANALYSIS = """
ours, theirs = ({row["seed"]: row["score"] for row in results if row["arm"] == arm} for arm in ARMS)
common = [seed for seed in ours if seed in theirs]
a, b = (torch.tensor([float(each[seed]) for seed in common]).double() for each in (ours, theirs))
d = a - b
found = Interval.paired(a.tolist(), b.tolist())
interval = (found.mean, found.low, found.high)
effect = (d.mean() / d.std()).item()
m = plan["margin"]
verdict = "supported" if found.low > m else "refuted" if found.high < m else "undecided"
"""
PROBE = """
probe_plan = {
    "asks": "Do the gates follow the image, or would those of any other image do as well?",
    "if_wrong": "If the score stays as it was with the gates of another image, they do not.",
}
def probe(seed):
    kept = {}
    done = training.compare(
        {"attention": with_attention}, data, seeds=(seed,), steps=30, lr=0.05,
        keep=lambda name, seed, model: kept.update(model=model),
    )
    task = data(seed)
    moved = replace(task, test=(task.test[0].roll(1, 0), task.test[1]))
    return done.scores("attention")[0], training.evaluate(kept["model"], moved)
probe_scores = {seed: probe(seed) for seed in plan["seeds"][:3]}
"""
FIGURE = """
fig, ax = style.figure()
ax.plot([0, 1], [b.tolist(), a.tolist()], "o-")
ax.set(xlabel="arm", ylabel="accuracy per label")
"""
REPORT = """
report = "I claimed what the plan says, and did what it says. " * 20
report += f"The mean is {100 * interval[0]:.1f} points, from {100 * interval[1]:.2f} to {100 * interval[2]:.2f}."
"""
BASE = {
    "q1-data": DATA,
    "q1-plan": PLAN,
    "q2-answer": NETWORKS,
    "q3-run": RUN,
    "q3-results": RESULTS,
    "q5-answer": ANALYSIS,
    "q6-answer": PROBE,
    "q7-figure": FIGURE,
    "q7-report": REPORT,
}


@pytest.fixture(scope="module")
def study() -> assignments.Source:
    return assignments.load("study")


@pytest.fixture(scope="module")
def hand_in(study: assignments.Source, warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Submit:
    return submitting(study, tmp_path_factory.mktemp("studies"), warm)


@pytest.fixture(scope="module")
def hand_in_afresh(study: assignments.Source, tmp_path_factory: pytest.TempPathFactory) -> Submit:
    """Grade by a fresh process, as a student's study is: for what is said of memory."""
    return submitting(study, tmp_path_factory.mktemp("fresh"))


def but(cell: str, *pairs: str) -> str:
    """Return a cell with some of its text exchanged."""
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert cell.count(old) == 1, old
        cell = cell.replace(old, new)
    return cell


# Each is (cell, what stands there, the points that it loses, a line of the feedback). Those of one batch do not touch
# each other, and are graded together.
TRAINED = 'training.compare({arm: ARMS[arm]}, data, seeds=(seed,), steps=plan["steps"], lr=0.05)'
BATCHES = {
    "1": {
        "a margin of nothing": (
            "q1-plan",
            but(PLAN, '"margin": 0.05', '"margin": 0'),
            {"1.2": 3},
            "Hint: With no smallest difference that matters, any trace of a difference would do.",
        ),
        "a control of another size": (
            "q2-answer",
            but(NETWORKS, "Blind(8, reduction=2, bias", "Blind(8, reduction=4, bias"),
            {"2.2": 4},
            "with_attention() has 76 trainable parameters, control() 42: more than 1% apart.",
        ),
        "a run left out": (
            "q3-results",
            RESULTS + "results.pop()",
            {"3.2": 4},
            "Of the plan's seeds 4 is missing for the arm 'control'.",
        ),
        "an unpaired interval": (
            "q5-answer",
            but(
                ANALYSIS,
                "interval = (found.mean, found.low, found.high)",
                "half = 2.447 * ((a.var() + b.var()) / len(a)).sqrt().item()\n"  # t with 6 degrees of freedom
                "interval = (found.mean, found.mean - half, found.mean + half)",
            ),
            {"5.1": 5},
            "Hint: Both arms saw the same data with one seed: take the differences seed by seed.",
        ),
        "two seeds for the probe": (
            "q6-answer",
            but(PROBE, "[:3]", "[:2]"),
            {"6.2": 2},
            "Expected at least three seeds, received 2.",
        ),
        "a report of other numbers": (
            "q7-report",
            but(REPORT, "{100 * interval[1]:.2f}", "{100 * interval[1] - 1:.2f}"),
            {"7.1": 2},
            "The report does not give the lower end,",
        ),
    },
    "2": {
        "a plan without a control": (
            "q1-plan",
            but(PLAN, '"gates of the same two layers, from a constant"', '"none"'),
            {"1.1": 3},
            "Expected at least 4 different words for plan['control'], received 'none'.",
        ),
        "attention hidden in the control": (
            "q2-answer",
            NETWORKS
            + """
class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 4), nn.Linear(4, 8)
        for each in self.parameters():
            nn.init.normal_(each, 0, 0.3)

    def forward(self, x):
        return self.second(self.first(x.mean((2, 3))).relu()).sigmoid()

control = Plain
""",
            {"2.4": 4},
            "Filled with the same numbers, control() gives the same outputs as with_attention()",
        ),
        "a seed more": (
            "q3-results",
            RESULTS + "results += [dict(arm=arm, seed=17, score=run(arm, 17)) for arm in ARMS]",
            {"3.3": 3},
            "Seed 17 is not in the plan.",
        ),
        "a verdict against the interval": (
            "q5-answer",
            ANALYSIS + "verdict = 'refuted' if verdict != 'refuted' else 'supported'",
            {"5.3": 4},
            "Hint: On which side of the margin does the whole interval lie?",
        ),
        "a change that changes nothing": (
            "q6-answer",
            but(PROBE, ".roll(1, 0)", ""),
            {"6.2": 2},
            "Before and after the change, the scores are exactly the same with every seed.",
        ),
        "axes without names": (
            "q7-figure",
            but(FIGURE, 'xlabel="arm", ', ""),
            {"7.2": 2},
            "No axes of `fig` have both names",
        ),
    },
    "3": {
        "three seeds": (
            "q1-plan",
            but(PLAN, "[0, 1, 2, 3, 4]", "[0, 1, 2]"),
            {"1.3": 2},
            "Expected at least 5 seeds, received 3.",
        ),
        "a block that is never used": (
            "q2-answer",
            NETWORKS
            + """
class Idle(nn.Module):
    def __init__(self, *blocks):
        super().__init__()
        self.block, self.linear = blocks[0], nn.Linear(8, 8)
        self.used = len(blocks) > 1

    def forward(self, x):
        offset = self.block(torch.ones_like(x)).mean((2, 3)) if self.used else 0
        return (self.linear(x.mean((2, 3))) + offset).sigmoid()

def with_attention():
    return Idle(SqueezeExcitation(8, reduction=2, bias=True))

def control():
    return Idle(Blind(8, reduction=2, bias=True), "used")
""",
            {"2.3": 4},
            "with_attention() holds a SqueezeExcitation, and never calls it.",
        ),
        "a score that depends on the calls before": (
            "q3-run",
            but(RUN, "    done", "    CALLS.append(seed)\n    done", "(arm)[0]", "(arm)[0] - 0.003 * (len(CALLS) % 5)")
            + "CALLS = []",
            {"4.2": 2},
            "Hint: Everything that is random takes its seed from the argument: the data, the weights, the order.",
        ),
        "the effect of the scores": (
            "q5-answer",
            but(ANALYSIS, "d.mean() / d.std()", "d.mean() / ((a.var() + b.var()) / 2).sqrt()"),
            {"5.2": 2},
            "Hint: Divide by the standard deviation of the differences, not by that of the scores.",
        ),
        "an experiment that asks nothing": (
            "q6-answer",
            but(PROBE, "Do the gates follow the image, or would those of any other image do as well?", "Does it?"),
            {"6.1": 2},
            "Expected at least 8 different words for probe_plan['asks']",
        ),
    },
    "4": {
        "no direction": (
            "q1-plan",
            but(PLAN, '"higher"', '"different"'),
            {"1.2": 3, "5.3": 4},  # no verdict follows from such a plan
            "Hint: Without a direction, either outcome could be told as a success.",
        ),
        "attention in the control": (
            "q2-answer",
            but(NETWORKS, "GateOf(Blind(", "GateOf(SqueezeExcitation("),
            {"2.4": 4},
            "control() holds a SqueezeExcitation whose maps follow the image.",
        ),
        "a run that ignores its seed": (
            "q3-run",
            but(RUN, "seeds=(seed,)", "seeds=(0,)"),
            {"3.4": 2, "4.3": 3},
            "For two seeds that are not in your plan, run returned the same score, with both arms.",
        ),
        "a probe that depends on the calls before": (
            "q6-answer",
            "CALLS = []" + but(PROBE, "kept = {}", "kept = {}; CALLS.append(0)", "moved)", "moved) - len(CALLS) / 20"),
            {"6.3": 2},
            "Everything that is random in it takes its seed from the argument.",
        ),
    },
    "5": {
        "another task": (
            "q1-plan",
            but(PLAN, '"gate patterns"', '"Fashion-MNIST"'),
            {"1.4": 2},
            "plan['task'] is 'Fashion-MNIST'; the task that data returns has 'gate patterns'.",
        ),
        "gates that do not follow the image": (
            "q2-answer",
            but(NETWORKS, "GateOf(SqueezeExcitation(", "GateOf(Blind("),
            {"2.3": 4, "2.4": 4, "6.2": 2},  # the probe exchanges gates that are all alike
            "The maps of the Blind are the same for six images and for six others.",
        ),
        "invented numbers": (
            "q3-results",
            """
results = [dict(arm="attention", seed=seed, score=0.97 + 0.002 * seed) for seed in plan["seeds"]]
results += [dict(arm="control", seed=seed, score=0.61 + 0.003 * seed) for seed in plan["seeds"]]
""",
            {"4.1": 5, "4.4": 2},
            "Are these results those of the code that stands in the notebook?",
        ),
    },
    "6": {
        "one start for all": (
            "q2-answer",
            NETWORKS.replace("    return tasks", "    torch.manual_seed(0)\n    return tasks"),
            {"2.5": 2},
            "with_attention() starts with the same weights whatever the seed.",
        ),
        "a table instead of a training": (
            "q3-run",
            RUN
            + """
TABLE = {(arm, seed): run(arm, seed) for arm in ARMS for seed in plan["seeds"]}
trained = run
def run(arm, seed):
    return TABLE[arm, seed] if (arm, seed) in TABLE else trained(arm, seed)
""",
            {"4.1": 5},
            "Hint: run trains each time that it is called, and looks nothing up.",
        ),
        "a standard deviation with n": (
            "q5-answer",
            but(
                ANALYSIS,
                "interval = (found.mean, found.low, found.high)",
                "half = (found.high - found.mean) * 0.8 ** 0.5\n"
                "interval = (found.mean, found.mean - half, found.mean + half)",
            ),
            {"5.1": 5},
            "Hint: The standard deviation is taken with n − 1.",
        ),
        "a report of a line": (
            "q7-report",
            'report = "It works."',
            {"7.1": 2},
            "Expected about 250 words, received 2.",
        ),
    },
    "7": {
        "a margin that nothing can reach": (
            "q1-plan",
            but(PLAN, '"margin": 0.05', '"margin": 0.9'),
            {"1.2": 3},
            "A claim whose outcome is certain before the first run cannot fail.",
        ),
        "parameters without a part": (
            "q2-answer",
            but(NETWORKS, "    return tasks.GateOf(Blind(8, reduction=2, bias=True))", """
    made = tasks.GateOf(Blind(8, reduction=4, bias=True))
    made.idle = nn.Parameter(torch.zeros(34))
    return made
"""),
            {"2.2": 4},
            "Of the 76 parameters of control(), 34 have no part in its output.",
        ),
        "the best seeds": (
            "q3-results",
            """
tried = [(run("attention", seed) - run("control", seed), seed) for seed in range(5, 15)]
best = [seed for _, seed in sorted(tried)[-5:]]
results = [dict(arm=arm, seed=seed, score=run(arm, seed)) for arm in ARMS for seed in best]
""",
            {"3.2": 4, "3.3": 3},
            "Hint: A run that is left out leaves a choice to the one who reports: report all that were planned.",
        ),
        "a verdict in other words": (
            "q5-answer",
            ANALYSIS + "verdict = 'significant'",
            {"5.3": 4},
            "Expected `verdict` to be one of supported, refuted, undecided, received 'significant'.",
        ),
    },
    "8": {
        "a table that knows the plan only": (
            "q3-run",
            RUN
            + """
TABLE = {(arm, seed): run(arm, seed) for arm in ARMS for seed in plan["seeds"]}
def run(arm, seed):
    return TABLE[arm, seed]
""",
            {"4.1": 5, "4.2": 2, "4.3": 3, "4.4": 2},
            "Your code raised KeyError",
        ),
        "a block out of the graph": (
            "q2-answer",
            NETWORKS
            + """
class Beside(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block, self.linear = block, nn.Linear(8, 8)

    def beside(self, x):
        return self.block(x).mean((2, 3)).detach()

    def forward(self, x):
        return (self.linear(x.mean((2, 3))) + self.beside(x)).sigmoid()

class Inside(Beside):
    def beside(self, x):
        return self.block(torch.ones_like(x)).mean((2, 3))

def with_attention():
    return Beside(SqueezeExcitation(8, reduction=2, bias=True))

def control():
    return Inside(Blind(8, reduction=2, bias=True))
""",
            {"2.3": 4},
            "No gradient reaches the SqueezeExcitation",
        ),
        "differences the other way round": (
            "q5-answer",
            ANALYSIS + "interval = (-found.mean, -found.high, -found.low)\neffect = -effect",
            {"5.1": 5, "5.2": 2},
            "Hint: These are differences control − attention; attention − control is asked for.",
        ),
    },
    "9": {
        "weights without a seed": (
            "q3-run",
            """
ARMS = {"attention": with_attention, "control": control}
def run(arm, seed):
    return training.fit(ARMS[arm](), data(seed), steps=3, lr=0.05, seed=seed).score
""",
            {"4.1": 5, "4.2": 2, "4.4": 2},
            "Hint: Everything that is random takes its seed from the argument: the data, the weights, the order.",
        ),
        "more memory than there is": (
            "q6-answer",
            PROBE + "first = probe\ndef probe(seed):\n    torch.zeros(100_000_000)\n    return first(seed)",
            {"6.3": 2},
            "Your code needed more memory than there is, 300 MB beside torch (code cell 14, line",
        ),
        "a margin for the same that holds everything": (
            "q1-plan",
            but(PLAN, '"higher"', '"same"', "0.05", "0.45"),
            {"1.2": 3, "5.3": 4},
            "plan['margin'] = 0.45 is more than a quarter of what lies between guessing and perfection, 0.125.",
        ),
    },
    "10": {
        "a few false scores": (
            "q3-results",
            RESULTS + "for row in results:\n    row['score'] -= 0.1 * (row['arm'] == 'control' and row['seed'] < 4)",
            {"4.1": 5, "4.4": 2},
            "Reported scores do not come again, so that new ones have nothing to agree with.",
        ),
        "a block by another name": (
            "q1-plan",
            but(PLAN, '"SqueezeExcitation"', '"SE"'),
            {"2.3": 4},
            "The plan names 'SE'; the blocks of with_attention() are SqueezeExcitation.",
        ),
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def closed_figures():
    """Close what a cell has drawn: pyplot keeps it."""
    yield
    plt.close("all")


@pytest.mark.parametrize("batch", BATCHES.values(), ids=[" · ".join(batch) for batch in BATCHES.values()])
def test_a_fault_loses_exactly_its_points(hand_in: Submit, batch: Mapping) -> None:
    assert len({cell for cell, _, _, _ in batch.values()}) == len(batch)
    expected = {number: points for _, _, parts, _ in batch.values() for number, points in parts.items()}
    graded = hand_in(BASE | {cell: source for cell, source, _, _ in batch.values()})
    assert lost(graded) == expected
    for _, _, _, line in batch.values():
        assert line in graded.text()
    assert graded.trouble == []
    assert graded.notes == []


def test_there_are_enough_faults() -> None:
    assert sum(map(len, BATCHES.values())) >= 10


# Sound studies of other kinds: each has its own outcome, block, task and way of writing.
OPEN = {
    "q1-data": """
        def data(seed):
            return se.tasks.open_together(seed, channels=6, open=(1, 4), train=80, test=80)
    """,
    "q1-plan": """
        plan = dict(
            claim="A gate from the mean of its own channel makes no difference to R² beyond a fifth, either way.",
            task=data(0).name, measure=data(0).measure, block="OwnMean", control="a learned number for each channel",
            seeds=tuple(range(10, 16)), steps=20, direction="same", margin=0.2,
            refuted_by="an interval of differences that lies wholly beyond a fifth", exploratory=["wider"],
        )
    """,
    "q2-answer": """
        from attention import Gate, Map
        class OwnMean(Gate):
            def __init__(self, channels):
                super().__init__()
                self.maps = {"channel": Map("b c 1 1", "sigmoid")}
                self.slope = nn.Parameter(torch.randn(channels))
            def weights(self, x):
                return (self.slope[:, None, None] * x.mean((2, 3), keepdim=True)).sigmoid()
        class Constant(nn.Module):
            def __init__(self, channels):
                super().__init__()
                self.slope = nn.Parameter(torch.randn(channels))
            def forward(self, x):
                return self.slope.sigmoid().expand(len(x), -1)
        class Own(nn.Module):
            def __init__(self):
                super().__init__()
                self.gate = OwnMean(6)
            def forward(self, x):
                return self.gate.weights(x)[:, :, 0, 0] + 0 * self.gate(x).mean()
        with_attention = Own
        def control():
            return Constant(6)
    """,
    "q3-run": """
        ARMS = {"attention": with_attention, "control": control}
        def run(arm, seed):
            generator = torch.Generator().manual_seed(seed)
            task = data(seed)
            torch.manual_seed(seed)
            model = ARMS[arm]()
            sgd = torch.optim.SGD(model.parameters(), lr=2.0)
            for _ in range(plan["steps"]):
                rows = torch.randint(80, (16,), generator=generator)
                loss = (model(task.train[0][rows]) - task.train[1][rows]).square().mean()
                sgd.zero_grad()
                loss.backward()
                sgd.step()
            return torch.tensor(training.evaluate(model, task))
    """,
    "q3-results": RESULTS + 'results += [{"arm": "wider", "seed": 3, "score": torch.tensor(-0.5)}]',
    "q5-answer": """
        import numpy as np
        from scipy.stats import t
        table = {(row["arm"], row["seed"]): float(row["score"]) for row in results}
        a, b = (np.array([table[arm, seed] for seed in plan["seeds"]]) for arm in ARMS)
        d = a - b
        half = t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d))
        interval = np.array([d.mean(), d.mean() - half, d.mean() + half])
        effect = d.mean() / np.std(d, ddof=1)
        inside, outside = np.abs(interval[1:]).max() < 0.2, interval[1] > 0.2 or interval[2] < -0.2
        verdict = "supported" if inside else "refuted" if outside else "undecided"
    """,
    "q6-answer": PROBE.replace("steps=30, lr=0.05", "steps=20, lr=0.1"),
}
READER = {
    "q1-data": """
        def data(seed):
            return se.tasks.conditional_channel(seed, train=40, test=100)
    """,
    "q1-plan": but(
        PLAN,
        *('"gate patterns"', "data(1).name", '"accuracy per label"', "'accuracy'", '"higher"', '"lower"'),
        *("[0, 1, 2, 3, 4]", "[3, 1, 4, 15, 9, 2]", "0.05", "0.03", '"steps": 30', '"steps": 3'),
        *('"SqueezeExcitation"', '"ConvolutionalBlockAttention"'),
    ),
    "q2-answer": """
        class Still(nn.Module):
            def __init__(self, block):
                super().__init__()
                self.block = block
            def forward(self, x):
                return x * (self.block(torch.ones_like(x)) / 2 + 0.5)
        def with_attention():
            return se.tasks.reader(create("cbam", channels=8, reduction=2, kernel_size=3), channels=8)
        def control():
            return se.tasks.reader(Still(create("cbam", channels=8, reduction=2, kernel_size=3)), channels=8)
    """,
    "q3-results": """
        done = training.compare(ARMS, data, seeds=plan["seeds"], steps=plan["steps"], lr=0.05)
        results = [{"arm": run.name, "seed": run.seed, "score": run.score, "seconds": run.seconds} for run in done.runs]
    """,
    "q5-answer": """
        found = done.difference("attention", "control")
        interval = [found.mean, found.low, found.high]
        d = [x - y for x, y in zip(done.scores("attention"), done.scores("control"))]
        effect = found.mean / (sum((each - found.mean) ** 2 for each in d) / (len(d) - 1)) ** 0.5
        a, b = torch.tensor(done.scores("attention")), torch.tensor(done.scores("control"))
        verdict = "supported" if found.high < -0.03 else "refuted" if found.low > -0.03 else "undecided"
    """,
}  # fmt: skip
LEFT = {
    "q1-data": """
        from attention.experiments import non_local
        def data(seed):
            return non_local.tasks.which_is_left(seed, size=5, train=60, test=60)
    """,
    "q1-plan": but(
        PLAN,
        *('"gate patterns"', '"which is left"', '"accuracy per label"', '"accuracy"', '"steps": 30', '"steps": 40'),
        *('"SqueezeExcitation"', '"NonLocal"', '"margin": 0.05', '"margin": 0.12'),
    ),
    "q2-answer": """
        class Pointwise(nn.Module):
            def __init__(self, channels, inner):
                super().__init__()
                self.first = nn.Conv2d(channels, inner, 1, bias=False)
                self.second = nn.Conv2d(inner, channels, 1, bias=False)
                self.norm = nn.BatchNorm2d(channels)
                nn.init.zeros_(self.norm.weight)
            def forward(self, x):
                return x + self.norm(self.second(self.first(x).relu()))
        def with_attention():
            return non_local.tasks.Judge(create("non_local", channels=8), coordinates=True, channels=8)
        def control():
            return non_local.tasks.Judge(Pointwise(8, 8), coordinates=True, channels=8)
    """,
}
# The gates of the control come from one fixed row; the seeds are a range.
FIXED = {
    "q1-plan": but(PLAN, "[0, 1, 2, 3, 4]", "range(6)"),
    "q2-answer": """
        class Fixed(nn.Module):
            def __init__(self):
                super().__init__()
                self.block = SqueezeExcitation(8, reduction=2, bias=True)
                self.register_buffer("row", torch.rand(1, 8, 3, 3))
            def forward(self, x):
                return self.block.attend(self.row)[1]["channel"][:, :, 0, 0].expand(len(x), -1)
        def with_attention():
            return tasks.GateOf(SqueezeExcitation(8, reduction=2, bias=True))
        def control():
            return Fixed()
    """,
}
#: Sound studies, by what makes each of them different; and the verdict that comes out.
OTHERS = {
    "a claim that is borne out, with one hidden unit": (
        {
            "q1-plan": but(PLAN, '"steps": 30', '"steps": 60', "0.05", "0.02"),
            "q2-answer": NETWORKS.replace("=2", "=8"),
        },
        "supported",
    ),
    "no difference, with R², a block and a loop of one's own": (OPEN, "refuted"),
    "a claim of harm, CBAM, everything by compare": (READER, "undecided"),
    "a non-local block that begins as the identity": (LEFT, "refuted"),
    "a control that runs its block on one fixed row": (FIXED, "supported"),
}  # fmt: skip


@pytest.mark.parametrize(("answers", "verdict"), OTHERS.values(), ids=OTHERS)
def test_a_sound_study_gets_all_points(hand_in: Submit, answers: Mapping, verdict: str) -> None:
    asked = dedent(f"\nassert verdict == {verdict!r}, (verdict, interval)")
    own = BASE | {cell: dedent(source) for cell, source in answers.items()}
    graded = hand_in(own | {"q7-report": own["q7-report"] + asked})
    assert lost(graded) == {}
    assert graded.score == 71
    assert graded.notes == []


def executed(source: assignments.Source, cells: Mapping[str, str]) -> dict:
    """Execute a source's cells up to the results, with others in some places."""
    names: dict = {"__name__": "notebook"}
    for cell in source.notebook.cells[: 1 + [each.id for each in source.notebook.cells].index("q3-results")]:
        if cell.cell_type == "code" and "no-grading" not in cell.metadata.get("tags", []):
            exec(compile(cells.get(cell.id, cell.source), cell.id, "exec"), names)
    return names


@pytest.fixture(scope="module")
def trained(study: assignments.Source) -> dict:
    """The names of a notebook with the short study, executed up to the results."""
    return executed(study, BASE)


@pytest.fixture
def space(trained: dict) -> Iterator[dict]:
    """The same names; what a test does to them, and to the lists and dictionaries in them, is undone."""
    kept = dict(trained)
    data = {name: value for name, value in kept.items() if isinstance(value, dict | list) and name[:2] != "__"}
    trained.update(deepcopy(data))
    yield trained
    trained.clear()
    trained.update(kept)


def test_a_long_study_may_be_pasted(hand_in: Submit, trained: dict) -> None:
    results = trained["results"]
    pasted = f"results = json.loads('''{json.dumps(results)}''')"
    graded = hand_in(BASE | {"q3-long": "while True:\n    pass", "q3-results": pasted})
    assert lost(graded) == {}
    assert graded.notes == []


#: What makes the solution's trainings short.
SHORT = (
    ('"steps": 150', '"steps": 12'),
    ("[0, 1, 2, 3, 4, 5, 6, 7]", "[0, 1, 2, 3, 4]"),
    ("steps=100", "steps=2"),
    ("whole.test", "(whole.test[0][:300], whole.test[1][:300])"),
)


def test_the_public_checks_look_at_the_form(study: assignments.Source, capsys: pytest.CaptureFixture) -> None:
    for made, sign in ((assignments.student(study), "…"), (assignments.instructor(study), "✓")):
        names: dict = {"__name__": "notebook"}
        checks = 0
        for cell in made.cells:
            if cell.cell_type != "code":
                continue
            source = cell.source.replace("%pip", "pass  #")
            for old, new in SHORT:
                source = source.replace(old, new)
            capsys.readouterr()
            exec(compile(source, cell.id, "exec"), names)
            heads = [line for line in capsys.readouterr().out.splitlines() if "public check" in line]
            assert cell.id.endswith("-check") == bool(heads)
            assert all(line.startswith(sign) for line in heads), heads
            checks += len(heads)
        assert checks == 8


@pytest.mark.parametrize(
    ("check", "cell", "line"),
    [
        ("q1-check", but(PLAN, "[0, 1, 2, 3, 4]", "[0, 1, 2]"), "Expected five different seeds, not 3."),
        ("q1-check", but(PLAN, '"margin": 0.05', '"margin": 0'), "Expected a margin above 0, received 0."),
        ("q1-check", but(PLAN, '"margin": 0.05', '"margin": 2'), "It is in units of the score: 0.02 is two points."),
        ("q1-check", but(PLAN, '"margin": 0.05', '"margin": 0.2'), "Expected a margin of at most 0.125 on this task."),
        (
            "q1-check",
            but(PLAN, '"margin": 0.05', '"margin": "5%"'),
            "Expected a number for 'margin', received str '5%'.",
        ),
        ("q1-check", but(PLAN, '"steps": 30,', ""), "The plan does not say steps."),
        ("q1-check", but(PLAN, '"steps": 30', '"steps": "30"'), "Expected a whole number of steps, received str '30'."),
        ("q1-check", but(PLAN, "[0, 1, 2, 3, 4]", "6"), "Expected a list of seeds, received int 6."),
        ("q1-check", but(PLAN, "an interval that lies below five points", "if not"), "for 'refuted_by', not 2."),
        ("q1-check", but(PLAN, "[0, 1, 2, 3, 4]", "range(6)"), "✓ 1 · public check of the plan"),
        ("q1-check", DATA.replace("return", "x ="), "it returned None."),
        ("q1-check", but(PLAN, '"gate patterns"', '"patterns"'), "The task has 'gate patterns', the plan 'patterns'"),
        ("q2-check", but(NETWORKS, "Blind(8, reduction=2", "Blind(8, reduction=4"), "They have 76 and 42 parameters."),
        ("q2-check", 'plan["block"] = "SE"', "The plan names 'SE'; with_attention() has SqueezeExcitation."),
        ("q2-check", NETWORKS.replace("(8,", "(7,"), "raised ValueError: channels=7 is not divisible"),
        ("q2-check", "def control():\n    return nn.Linear(3, 8)", "mat1 and mat2 shapes cannot be multiplied"),
        ("q3-check", "results = []", "Expected a row for each run; there is none."),
        (
            "q3-check",
            "results = [dict(arm='a', seed=0, score=torch.ones(()))]",
            "Hint: float(score) makes a plain number",
        ),
        ("q4-check", "def run(arm, seed):\n    pass", "with 'attention' and 0, it returned None."),
        ("q4-check", "def run(arm, seed):\n    return training", "a number for what run returns, received module."),
        ("q4-check", "results = []", "Expected a row for each run; there is none."),
        ("q5-check", "interval = found", "Of an Interval i, write (i.mean, i.low, i.high)."),
        ("q5-check", "effect = None", "Expected a number for the effect, received None."),
        ("q6-check", "probe_scores = [(0.5, 0.6)] * 3", "Expected a dictionary of pairs, received list [(0.5,"),
        ("q6-check", "probe_scores = {0: 0.5, 1: 0.6, 2: 0.7}", "Expected two scores for 0, received float 0.5."),
        ("q6-check", "probe_plan['asks'] = 'Does it?'", "Expected eight different words for 'asks', not 2."),
        ("q7-check", "report, fig = 'word ' * 200, (fig, ax)", "Expected fig as a figure, received tuple"),
        ("q3-check", "results = [(0.5, 0)]", "Expected arm, seed and score, received tuple (0.5, 0)."),
        ("q4-check", "results = [dict(arm='control', seed=0, score=0.9)]", "Reported 0.9000, and now 0."),
        ("q5-check", "interval, effect, verdict = (0, 1, 2), 1.0, 'supported'", "Expected low ≤ mean ≤ high"),
        ("q6-check", "probe_scores = {}", "Expected three seeds, not 0."),
        ("q7-check", "report, fig = 'short', ...", "… 7 · public check"),
        ("q7-check", "report, fig = 'short', style.figure()[0]", "Expected about 250 words, received 1."),
    ],
)
def test_a_public_check_says_what_is_missing(study, space, capsys, check: str, cell: str, line: str) -> None:
    cells = {each.id: each.source for each in study.notebook.cells}
    before = {"q4-check": cells["q3-check"], "q5-check": ANALYSIS, "q6-check": PROBE.replace("steps=30", "steps=1")}
    exec(before.get(check, FIGURE.replace("[b.tolist(), a.tolist()]", "[0, 1]")), space)
    exec(cell, space)
    capsys.readouterr()
    exec(cells[check], space)
    assert line in " ".join(capsys.readouterr().out.split())


def test_the_table_of_tasks_is_that_of_the_package(study: assignments.Source) -> None:
    (text,) = (cell.source for cell in study.notebook.cells if cell.id == "q1")
    rows = re.findall(r"^\| `([\w.]+)` \| .+ \| (\S.*) \|$", text, re.M)
    told = {name: score for name, score in rows if score in LOSSES.values()}
    there = {}
    for chapter in [entry.name for entry in registry.chapters() if entry.ready]:
        module = import_module(f"attention.experiments.{chapter}.tasks")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and inspect.signature(function).return_annotation is tasks.Task:
                there[f"{chapter}.tasks.{name}"] = function(train=16, test=16).measure
    assert told == {"tasks.fashion_mnist": tasks.fashion_mnist(20, 20).measure, **there}


def test_the_notebook_announces_the_limits(study: assignments.Source, names: dict) -> None:
    text = " ".join(" ".join(cell.source.split()) for cell in assignments.student(study).cells)
    limits = study.assignment.limits
    assert f"there are {limits.memory:g} MB for your study" in text
    assert "three minutes for all cells" in text
    assert (limits.cells, limits.call) == (180, 60)
    assert f"more than {2 * names['TOLERANCE']:g} costs all points" in text
    for key, least in names["TEXTS"].items():
        counted = {8: "eight", 6: "six", 4: "four"}.get(least)
        assert counted is None or re.search(rf"`{key}` \|[^|]*\b{counted} different words", text)
    assert names["MOST_MARGIN"] == 0.25
    assert "At most a quarter of what lies between guessing" in text


def test_the_stub_gets_nothing(hand_in: Submit, study: assignments.Source) -> None:
    made = assignments.student(study)
    graded = hand_in({cell.id: cell.source for cell in made.cells})
    assert graded.score == 0
    assert {mark.state for mark in graded.marks} == {"open", "person"}
    assert [mark.number for mark in graded.marks if mark.state == "person"] == ["7.3"]
    assert " calls " not in graded.text()
    assert graded.notes == []


def scores_of_the_solution() -> list[float]:
    run = executed(assignments.load("study"), {"q3-results": "results = []"})["run"]
    return [run("attention", 0), run("control", 1)]


def test_processors_agree_to_within_what_is_allowed(names: dict) -> None:
    """The same trainings, with and without the processor's wide vector instructions."""
    code = f"from {__name__} import scores_of_the_solution; print(scores_of_the_solution())"
    narrow = {**os.environ, "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=narrow, capture_output=True, text=True, check=True
    )
    off = np.subtract(json.loads(done.stdout), scores_of_the_solution())
    assert 4 * np.abs(off).max() <= names["TOLERANCE"]


def test_the_solution_gets_all_points(hand_in_afresh: Submit) -> None:
    graded = hand_in_afresh({})
    assert (graded.score, graded.points, graded.notes, graded.trouble) == (71, 71, [], [])
    # Gradescope's smallest container has 768 MB, and gets torch for the CPU; the grader itself takes 60.
    assert graded.memory[1] < 550 or torch.version.cuda


def test_all_the_memory_that_a_study_may_take_fits_beside_the_grader(hand_in_afresh: Submit) -> None:
    hog = "hog = []\nwhile True:\n    hog.append(bytearray(4_000_000))\n"
    graded = hand_in_afresh(BASE | {"q3-long": hog, "q7-figure": FIGURE + hog})
    assert graded.memory[1] > 600
    assert graded.memory[1] < 1.048576 * 768 - 64 or torch.version.cuda  # beside the grader, in the smallest container
    assert "it needed more than 300 MB of memory" in graded.text()
    assert lost(graded).keys() <= {"7.1", "7.2"}


# Submissions that mean no good.

ENDLESS = """
honest = run
def run(arm, seed):
    import time
    while seed > 99:
        time.sleep(1)
    return honest(arm, seed)
"""
TOLD = """
trained = run
def run(arm, seed):
    if seed > 99:
        return trained(arm, seed)
    torch.randn(1000, 1000) @ torch.randn(1000, 1000)  # takes its time, as a training would
    return 0.98 + seed / 1000 if arm == "attention" else 0.51 + seed / 500
"""
LEAVES = """
import sys
built = control
def control():
    return exit() if sys._getframe(1).f_code.co_filename == "<grader>" else built()
"""
HOSTILE = {
    "training without end": (
        {"q3-run": RUN + ENDLESS},
        {"4.2": 2, "4.3": 3, "4.4": 2},
        ["`run` brought no answer: it did not come to an end within 2 seconds."],
    ),
    # The runs that are repeated are read from a table. New seeds are trained, and tell another story.
    "a table that is slow, exits, a score of its own": (
        {
            "q2-answer": NETWORKS + LEAVES,
            "q3-run": RUN + TOLD,
            "q6-answer": PROBE + "def probe(seed):\n    import os\n    os._exit(0)",
            "q7-report": REPORT + "print('{\"score\": 100}')\nopen('/autograder/results/results.json', 'w')",
        },
        {"2.1": 2, "2.2": 4, "2.4": 4, "2.5": 2, "4.4": 2, "6.3": 2},
        [
            "let expect something else.",
            "`probe` brought no answer: it ended the whole process, with exit code 0.",
            "the grader does not allow this: write to",
        ],
    ),
}


@pytest.mark.parametrize(("answers", "expected", "lines"), HOSTILE.values(), ids=HOSTILE)
def test_what_means_no_good_is_contained(
    study: assignments.Source, warm: Warm, tmp_path: Path, answers: Mapping, expected: Mapping, lines: list[str]
) -> None:
    limits = Limits(cell=20, cells=40, call=2, total=90)
    strict = replace(study, assignment=replace(study.assignment, limits=limits))
    graded = submitting(strict, tmp_path, warm)(BASE | answers)
    assert lost(graded) == expected
    assert [line for line in lines if line not in graded.text()] == []
    assert graded.trouble == []


# The grading file's own arithmetic.


@pytest.fixture(scope="module")
def names(study: assignments.Source) -> dict:
    found: dict = {"__name__": "grading_file"}
    exec(compile(study.grading.read_text(encoding="utf-8"), "grading", "exec"), found)
    return found


def test_the_interval_is_that_of_the_package(names: dict) -> None:
    generator = np.random.default_rng(0)
    for n in (2, 5, 8, 30):
        a, b = generator.normal(size=(2, n))
        right = Interval.paired(a.tolist(), b.tolist())
        np.testing.assert_allclose(names["ends"](a - b), (right.mean, right.low, right.high), rtol=1e-9)


GIVEN: dict = {}
exec(PLAN, GIVEN)
GIVEN = GIVEN["plan"]
FULL = {"plan": GIVEN, "about": {"task": "gate patterns", "measure": "accuracy per label", "chance": 0.5}}
ROWS = [{"arm": arm, "seed": seed, "score": 0.5 + seed / 50} for arm in ("attention", "control") for seed in range(5)]
BLOCK = {"kinds": ["SqueezeExcitation", "Gate", "Attention"], "called": True, "slope": 1.0, "moves": 0.3}
FOUND = {"input": [6, 1, 14, 14], "output": [6, 10], "finite": True, "count": 99, "reached": 99, "blocks": [BLOCK]}
BOTH = {
    "plan": GIVEN,
    "attention": FOUND,
    "control": FOUND | {"blocks": []},
    "alike": False,
    "starts": [[True, False]] * 2,
}


def changed(value: Mapping, *keys: str, to: object) -> Mapping:
    """Return a dictionary with another value at the end of a path."""
    first, *rest = keys
    return {**value, first: changed(value[first], *rest, to=to) if rest else to}


def with_row(place: int, **other: object) -> list:
    rows = [GIVEN, [dict(row) for row in ROWS]]
    rows[1][place] |= other
    return rows


@pytest.mark.parametrize(
    ("judge", "right", "wrong", "line"),
    [
        ("complete", GIVEN, "a plan", "Expected `plan` to be a dictionary, received 'a plan'."),
        ("complete", GIVEN, changed(GIVEN, "steps", to=...), "The plan does not say: steps."),
        ("complete", GIVEN, changed(GIVEN, "steps", to=0), "Expected a number of steps, received 0."),
        ("complete", GIVEN, changed(GIVEN, "claim", to="It helps."), "at least 8 different words for plan['claim']"),
        ("can_fail", FULL, changed(FULL, "plan", "margin", to=True), "number for plan['margin'], received True."),
        ("can_fail", FULL, changed(FULL, "plan", "margin", to=-0.1), "Expected plan['margin'] to be positive"),
        ("can_fail", FULL, changed(FULL, "plan", "margin", to=0.13), "between guessing and perfection, 0.125."),
        ("can_fail", FULL, changed(FULL, "plan", "margin", to=2), "than a quarter of what lies between guessing"),
        ("can_fail", FULL, changed(FULL, "plan", "margin", to=1e-4), "less than one test image in a thousand"),
        ("enough_seeds", GIVEN, changed(GIVEN, "seeds", to=[1, 2, 3, 4, 4]), "names a seed twice"),
        ("enough_seeds", GIVEN, changed(GIVEN, "seeds", to=[1, 2, 3, 4, 0.5]), "to be a list of whole numbers"),
        ("enough_seeds", GIVEN, changed(GIVEN, "seeds", to=5), "to be a list of whole numbers, received 5."),
        ("shapes", BOTH, changed(BOTH, "control", "output", to=[6, 9]), "and control() shape [6, 9]"),
        ("shapes", BOTH, changed(BOTH, "attention", "finite", to=False), "are inf or nan"),
        ("takes_part", BOTH, changed(BOTH, "attention", "blocks", to=[]), "with_attention() has no attention block"),
        ("takes_part", BOTH, changed(BOTH, "plan", "block", to="NonLocal"), "The plan names 'NonLocal'; the blocks of"),
        ("seeded", BOTH, changed(BOTH, "starts", to=[[True, False], [False, False]]), "control() starts with other"),
        ("well_formed", [GIVEN, ROWS], [GIVEN, {}], "Expected `results` to be a list of rows, received {}."),
        ("well_formed", [GIVEN, ROWS], [GIVEN, []], "`results` is empty."),
        ("well_formed", [GIVEN, ROWS], [GIVEN, [(0, 0.5)]], "Expected each row to be a dictionary"),
        ("well_formed", [GIVEN, ROWS], [GIVEN, Opaque("Comparison")], "received Comparison."),
        ("well_formed", [GIVEN, ROWS], with_row(0, score=math.nan), "A row is not complete"),
        ("well_formed", [GIVEN, ROWS], with_row(0, score=76.3), "between 0 and 1; one of yours is 76.3."),
        ("well_formed", with_row(0, score=0.0), with_row(0, score=-0.1), "between 0 and 1; one of yours is -0.1."),
        ("all_there", [GIVEN, ROWS], [GIVEN, [*ROWS, ROWS[0]]], "more than one score for seed 0."),
        ("nothing_else", [GIVEN, ROWS], with_row(0, arm="SE"), "The plan knows no arm 'SE'."),
        ("differ", with_row(0, score=0.9), [GIVEN, ROWS], "All 5 differences attention − control are the same, 0."),
        ("differ", with_row(0, score=0.9), [GIVEN, ROWS[:5]], "There are not two seeds for which both arms"),
        ("probe_numbers", {0: (0.5, 0.6), 1: (0.4, 0.6), 2: (0.5, 0.7)}, {0: 0.5, 1: 0.4, 2: 0.5}, "two scores"),
        ("drawn", [["arm", "score", 3]], [], "`fig` has no axes."),
        ("drawn", [["arm", "score", 3]], [["arm", "score", 0]], "Nothing is drawn in `fig`."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(names: dict, judge: str, right: object, wrong: object, line: str) -> None:
    names[judge](right)
    with pytest.raises(Wrong, match=re.escape(line)):
        names[judge](wrong)


def test_r2_may_be_negative(names: dict) -> None:
    rows = with_row(0, score=-0.4)[1]
    names["well_formed"]([GIVEN | {"measure": "R²"}, rows])
    with pytest.raises(Wrong, match="between −∞ and 1"):
        names["well_formed"]([GIVEN | {"measure": "R²"}, with_row(0, score=1.2)[1]])


@pytest.mark.parametrize(
    ("direction", "low", "high", "verdict"),
    [
        ("higher", 0.03, 0.05, "supported"),
        ("higher", 0.01, 0.05, "undecided"),
        ("higher", -0.09, 0.01, "refuted"),
        ("lower", -0.05, -0.03, "supported"),
        ("lower", -0.05, 0.05, "undecided"),
        ("lower", 0.03, 0.05, "refuted"),
        ("lower", -0.01, 0.01, "refuted"),
        ("same", -0.01, 0.01, "supported"),
        ("same", 0.01, 0.03, "undecided"),
        ("same", -0.03, 0.03, "undecided"),
        ("same", 0.03, 0.05, "refuted"),
        ("same", -0.05, -0.03, "refuted"),
    ],
)
def test_one_verdict_follows(names: dict, direction: str, low: float, high: float, verdict: str) -> None:
    assert names["verdicts"](direction, 0.02, low, high) == {verdict}


def test_an_end_on_the_margin_decides_either_way(names: dict) -> None:
    assert names["verdicts"]("higher", 0.02, 0.02, 0.05) == {"supported", "undecided"}


def test_which_runs_come_again_depends_on_the_results(names: dict) -> None:
    rows = [(arm, seed, 0.5 + seed / 100) for arm in ("attention", "control") for seed in range(6)]
    known, fresh = names["choice"](rows)
    assert names["choice"](rows[::-1]) == (known, fresh)
    assert len({*known} & {*range(6)}) == len({*fresh} - {*range(6)}) == 2
    others = {tuple(names["choice"]([*rows, ("wider", 0, i / 9)])[0]) for i in range(9)}
    assert len(others) > 2


def test_all_of_the_analysis_may_be_in_points_or_in_shares(names: dict) -> None:
    interval, words = (0.0123, -0.004, 0.0286), "word " * 120
    tell = names["tells_the_interval"]
    for told in ("+1.23 points (−0.40 to 2.86)", "0.0123, from -0.0040 to 0.0286", "1,2 (-0,4 bis 2,9)"):
        tell([words + told, interval, []])
    with pytest.raises(Wrong, match=r"does not give the lower end, -0\.004\."):
        tell([f"{words} 1.23 (0.5 to 2.86)", interval, []])
