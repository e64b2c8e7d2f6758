"""Answers to assignment 3: a study of a second, its faults with the points that each loses, and sound studies."""

from tests.assignments.answers.exchange import but

# A study that takes a second: eight gates, to be opened by the means of eight channels.
DATA = """
def data(seed):
    return tasks.gate_patterns(seed, channels=8, train=64, test=60)
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


# Each is (cell, what stands there, the points that it loses, a line of the feedback). Those of one batch do not touch
# each other, and are graded together.
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
