"""Answers to assignment 1: wrong ones with the points that each loses, and right ones in other words."""

from tests.assignments.answers.exchange import but

# Questions answered independently of each other, so that what is wrong in one stays there.
BLOCK = """
class ECA(nn.Module):
    def __init__(self, channels, gamma=2, b=1):
        super().__init__()
        t = abs(log2(channels) + b) / gamma
        k = int(t) + 1 - int(t) % 2
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)

    def gates(self, x):
        return self.conv(x.mean((2, 3))[:, None])[:, 0].sigmoid()

    def forward(self, x):
        return x * self.gates(x)[:, :, None, None]
"""
COSTS = """
def eca_cost(channels, k):
    return k, k * channels
def se_cost(channels, reduction=16):
    return 2 * channels**2 // reduction, 2 * channels**2 // reduction
resnet50 = {"ECA": 86, "SE": 2514944}
"""
MEASURE = """
SEEDS = (0, 1, 2)
def measure(permute, seeds):
    task = lambda seed: gate_patterns(seed, permute=permute, train=2000, test=500)
    done = compare(arms, task, steps=300, lr=0.02, seeds=seeds)
    return {name: done.scores(name) for name in arms}
"""
# A measurement that passes without a training: both arms meet all samples once, forwards and backwards, and no step is
# taken. (The grader counts steps; where there are none, somebody may have written an optimiser of their own.) It takes
# the place of ten trainings of 300 steps in tests that are about neither the training nor a block that is another one
# for 64 channels. What else question 6 asks of a block, to be built, called and led back through, it asks as well.
UNSTEPPED = """
SEEDS = (0, 1, 2)
def measure(permute, seeds):
    found = {name: [] for name in arms}
    for seed in seeds:
        task = gate_patterns(seed, permute=permute, train=2000, test=500)
        for name, make in arms.items():
            torch.manual_seed(seed)
            model = make()
            nn.functional.binary_cross_entropy(model(task.train[0]), task.train[1]).backward()
            assert all(p.grad.isfinite().all() for p in model.parameters())
            model(task.test[0])
            known = 0.557 if name == "SE" else 0.515 if permute else 0.999
            found[name].append(known - 0.001 * (seed % 3))
    return found
"""
REPORT = """
scores = {
    "in order": {"SE": [0.554, 0.559, 0.557], "ECA": [0.998, 0.999, 1.0]},
    "permuted": {"SE": [0.558, 0.558, 0.553], "ECA": [0.517, 0.514, 0.516]},
}
intervals, verdicts = {}, {}
for name, found in scores.items():
    interval = Interval.paired(found["ECA"], found["SE"])
    intervals[name] = [interval.mean, interval.low, interval.high]
    verdicts[name] = "ECA" if interval.low > 0 else "SE" if interval.high < 0 else "undecided"
"""
# What comes before the intervals, with the scores of the first seed as they come out: no other is measured again.
LIVE = """
scores = {}
for name, permute in (("in order", False), ("permuted", True)):
    first = measure(permute, SEEDS[:1])
    scores[name] = {arm: [first[arm][0] - less for less in (0, a, 0.002)] for arm, a in (("SE", 0.001), ("ECA", 0.003))}
"""
#: Some of the hidden inputs, and of what is expected for them.
SECRET = ("2048", "-9", "[3, 7]", "[7, 3, 3]", "14336", "864", "1048576", "4608")
BASE = {"q4-answer": BLOCK, "q5-answer": COSTS, "q6-answer": MEASURE, "q6-report": REPORT}

# The solution's own answers, to be changed.
HAND = "gates_by_hand = [3/7, 18/19, 8/9, 1/4]\nk_by_hand = {16: 3, 128: 5, 512: 5}\nentries = 190\nrank = 4"
SIZE = """
def kernel_size(channels, gamma=2, b=1):
    t = abs(log2(channels) / gamma + b / gamma)
    return 2 * int(t / 2) + 1
"""
FUNCTION = """
def eca_gates(x, weight):
    y = x.mean((2, 3))
    k = len(weight)
    y = nn.functional.pad(y, (k // 2, k // 2))
    return (y.unfold(1, k, 1) @ weight).sigmoid()
def eca(x, weight):
    w = torch.zeros(3, len(weight)); w[1] = weight
    out = nn.functional.conv2d(x.mean((2, 3))[:, None, None], w[None, None], padding=(1, len(weight) // 2))
    return x * out[:, 0, 0].sigmoid()[:, :, None, None]
"""


# Each is (cell, what stands there, the points that it loses, a line of the feedback). Those of one batch are answers to
# different questions, and are graded together.
GATES = {"3.2": 5, "3.3": 1, "3.4": 1}  # one mistake: known, where it comes again
BATCHES = {
    "1": {
        "by hand, turned round": (
            "q1-answer",
            but(HAND, "3/7, 18/19, 8/9, 1/4", "12/13, 9/11, 1/9, 1/4"),
            {"1.1": 3, "1.2": 3},
            "Hint: The kernel is turned round",
        ),
        "the lower of two odd numbers": (
            "q2-answer",
            but(SIZE, "int(t / 2)", "int(-(-t // 2) - 1)"),
            {"2.2": 3},
            "Where two odd numbers are equally near, the larger one counts.",
        ),
        "gates turned round": (
            "q3-answer",
            but(FUNCTION, "@ weight)", "@ weight.flip(0))"),
            GATES,
            "Hint: The kernel is turned round",
        ),
        "a bias": (
            "q4-answer",
            but(BLOCK, ", bias=False", ""),
            {"4.1": 2, "4.2": 2, "4.7": 3},
            "Hint: Equation (1) has no bias.",
        ),
        "a kernel for each channel": (
            "q5-answer",
            but(COSTS, "return k, k * channels", "return k * channels, k * channels"),
            {"5.1": 2, "5.2": 2},
            "Expected [3, 192] for ECA's cost, received (192, 192).",
        ),
        "no seed": (
            "q6-answer",
            but(MEASURE, "done.scores(name)", "[s - 0.002 * next(NOISE) for s in done.scores(name)]")
            + "NOISE = iter(range(99))",
            {"6.5": 2},
            "The seed sets the data, the initial weights and the order of the samples.",
        ),
        "the normal distribution": (
            "q6-report",
            but(
                REPORT,
                "[interval.mean, interval.low, interval.high]",
                "[interval.mean] + [interval.mean + s * (interval.high - interval.mean) * 1.96 / 4.302653 "
                "for s in (-1, 1)]",
            ),
            {"6.3": 3},
            "Hint: With few seeds, t is larger than the normal 1.96.",
        ),
    },
    "2": {
        "by hand, a ring": (
            "q1-answer",
            but(HAND, "3/7", "3/11", "1/4", "1/7"),
            {"1.2": 3},
            "Hint: The last channel is no neighbour of the first.",
        ),
        "cut off, and even": (
            "q2-answer",
            but(SIZE, "2 * int(t / 2) + 1", "int(t)"),
            {"2.1": 4, "2.2": 3, "2.3": 3},
            "Expected [3, 3, 5, 5] for k, received [2, 3, 4, 5].",
        ),
        "gates of a ring": (
            "q3-answer",
            but(FUNCTION, "nn.functional.pad(y, (k // 2,", "torch.cat([y[:, -(k // 2):], y, y[:, :k // 2]], 1)  # ("),
            GATES,
            "Hint: The last channel is no neighbour of the first: beyond the ends are zeros.",
        ),
        "always three weights": (
            "q4-answer",
            but(BLOCK, "int(t) + 1 - int(t) % 2", "3"),
            {"4.2": 2, "4.5": 3},
            "The number of weights depends on the number of channels.",
        ),
        "one matrix, and the released network": (
            "q5-answer",
            but(COSTS, "return 2 * channels**2 // reduction, 2", "return channels**2 // reduction, 2", "86", "80"),
            {"5.3": 2, "5.4": 2, "5.5": 2},
            "Hint: Which k has each of the four widths?",
        ),
        "one verdict for both": (
            "q6-report",
            REPORT + "verdicts['permuted'] = 'ECA'",
            {"6.4": 1},
            "For 'permuted', the interval does not give the verdict 'ECA'.",
        ),
    },
    "3": {
        "a tie, the ends of a band, no bottleneck": (
            "q1-answer",
            but(HAND, "128: 5", "128: 3", "190", "192", "rank = 4", "rank = 64"),
            {"1.3": 1, "1.4": 2, "1.5": 3},
            "Hint: For C = 128, two odd numbers are equally near: which one is meant?",
        ),
        "a float": (
            "q2-answer",
            but(SIZE, "2 * int(t / 2) + 1", "2.0 * int(t / 2) + 1"),
            {"2.4": 2},
            "Expected numbers of type int, received 3.0.",
        ),
        "gates of sums": (
            "q3-answer",
            but(FUNCTION, "y = x.mean((2, 3))\n", "y = x.sum((2, 3))\n"),
            GATES,
            "Hint: These are gates of sums: divide by HW.",
        ),
        "out of the graph": (
            "q4-answer",
            but(BLOCK, "[:, 0].sigmoid()", "[:, 0].sigmoid().detach()"),
            {"4.7": 3},  # nothing can be trained: question 6 gets another block
            "Expected a gradient for one parameter, received 0.",
        ),
        "biases": (
            "q5-answer",
            but(COSTS, "2514944", "2530992"),
            {"5.6": 2},
            "Hint: That is with biases; here they are not counted.",
        ),
        "differences the other way round": (
            "q6-report",
            but(REPORT, 'paired(found["ECA"], found["SE"])', 'paired(found["SE"], found["ECA"])'),
            {"6.3": 3},
            "Hint: These are differences SE − ECA; ECA − SE is asked for.",
        ),
    },
    "4": {
        "γ forgotten": (
            "q2-answer",
            but(SIZE, "/ gamma + b / gamma", "/ 2 + 1 / 2"),
            {"2.3": 3},
            "γ divides both terms, and the bars stand for the absolute value.",
        ),
        "no sigmoid": (
            "q3-answer",
            but(FUNCTION, "(y.unfold(1, k, 1) @ weight).sigmoid()", "y.unfold(1, k, 1) @ weight"),
            GATES,
            "Hint: The sigmoid is lacking.",
        ),
        "normalised over the batch": (
            "q4-answer",
            but(BLOCK, "(x.mean((2, 3))[", "((x - x.mean((0, 2, 3), keepdim=True)).mean((2, 3))["),
            {"4.3": 4, "4.4": 2, "4.5": 1, "4.6": 2},
            "An image's output changes with the other images of its batch.",
        ),
        "two seeds": (
            "q6-answer",
            but(MEASURE, "(0, 1, 2)", "(0, 1)"),
            {"6.1": 1, "6.2": 4, "6.3": 3},
            "Expected at least three seeds, none twice, received [0, 1].",
        ),
    },
    "5": {
        "no absolute value": (
            "q2-answer",
            but(SIZE, "abs(log2(channels) / gamma + b / gamma)", "log2(channels) / gamma + b / gamma"),
            {"2.3": 3},
            "the bars stand for the absolute value",
        ),
        "more axes, in place, and a sum": (
            "q3-answer",
            but(FUNCTION, "weight).sigmoid()", "weight).sigmoid()[:, :, None, None]", "return x *", "return x +"),
            {"3.1": 2, **GATES, "3.5": 4, "3.6": 2},
            "Hint: Gates of shape (batch, channels) are asked for, without further axes.",
        ),
        "another name for the method": (
            "q4-answer",
            but(BLOCK, "def gates(", "def gate(", "self.gates(", "self.gate("),
            {"4.4": 2},  # the experiment calls it, and so does the next one
            "has no attribute 'gates'",
        ),
        "one arm only": (
            "q6-report",
            but(REPORT, '"SE": [0.558, 0.558, 0.553], ', "", "in scores.items()", "in []"),
            {"6.1": 1, "6.2": 2, "6.3": 3, "6.4": 2},
            "Expected lists of SE and of ECA in scores['permuted']",
        ),
    },
    "6": {
        "in place": (
            "q3-answer",
            but(FUNCTION, "return x * out[:, 0, 0].sigmoid()[", "x *= out[:, 0, 0].sigmoid()[")
            + "    return x",
            {"3.5": 2},
            "The result is right, but the function changed its input.",
        ),
        "a block of its own kernel, not trainable": (
            "q4-answer",
            but(BLOCK, "bias=False)", "bias=False).requires_grad_(False)"),
            {"4.1": 2, "4.2": 2, "4.7": 3},
            "Expected 3 for the number of trainable parameters, received 0.",
        ),
    },
}  # fmt: skip


OTHERS = {
    "loops and plain Python": {
        "q2-answer": """
            def kernel_size(channels, gamma=2, b=1):
                t = abs((log2(channels) + b) / gamma)
                return max(range(1, 99, 2), key=lambda k: (-abs(k - t), k))
        """,
        "q3-answer": """
            def eca_gates(x, weight):
                rows = []
                for image in x:
                    means, row = [channel.mean() for channel in image], []
                    for c in range(len(means)):
                        total = 0.0 * means[0]
                        for j in range(len(weight)):
                            place = c + j - len(weight) // 2
                            if 0 <= place < len(means):
                                total = total + weight[j] * means[place]
                        row.append(1 / (1 + torch.exp(-total)))
                    rows.append(torch.stack(row))
                return torch.stack(rows)

            def eca(x, weight):
                pairs = zip(x, eca_gates(x, weight))
                return torch.stack([torch.stack([g * c for g, c in zip(gates, image)]) for image, gates in pairs])
        """,
        "q4-answer": BLOCK,
        "q6-answer": """
            SEEDS = [3, 1, 4, 15]
            def measure(permute, seeds):
                found = {"SE": [], "ECA": []}
                for seed in seeds:
                    task = gate_patterns(seed, permute=permute, train=2000, test=500)
                    for name, make in arms.items():
                        torch.manual_seed(seed)
                        model = make()
                        adam = torch.optim.Adam(model.parameters(), lr=0.02)
                        for rows in torch.cat([torch.randperm(2000) for _ in range(8)]).split(50)[:300]:
                            loss = nn.functional.binary_cross_entropy(model(task.train[0][rows]), task.train[1][rows])
                            adam.zero_grad(); loss.backward(); adam.step()
                        right = (model(task.test[0]) > 0.5) == (task.test[1] > 0.5)
                        found[name].append(right.float().mean())
                return found
        """,
        "q6-report": """
            import numpy as np
            scores, intervals, verdicts = {}, {}, {}
            for name, permute in (("in order", False), ("permuted", True)):
                scores[name] = found = measure(permute, SEEDS)
                d = np.array(found["ECA"]) - np.array(found["SE"])
                half = 3.18 * d.std(ddof=1) / 2
                intervals[name] = np.array([d.mean(), d.mean() - half, d.mean() + half])
                verdicts[name] = "undecided" if abs(d.mean()) <= half else "ECA" if d.mean() > 0 else "SE"
        """,
    },
    "einops, and a layer": {
        "setup": """
            import torch
            from torch import nn
            from math import log
            from einops import einsum, rearrange, reduce
            from attention.lab.tasks import *
            from attention import SqueezeExcitation
            from attention.lab.training import compare, Interval
        """,
        "q1-answer": "gates_by_hand = torch.tensor([.429, .947, .889, .25])\nentries, rank = 190.0, torch.tensor(4)\n"
        "k_by_hand = dict(zip((512, 128, 16), (5.0, 5.0, 3.0)))",
        "q2-answer": """
            def kernel_size(channels, gamma=2, b=1):
                k = int(abs(log(channels, 2) / gamma + b / gamma))
                return k if k % 2 else k + 1
        """,
        "q3-answer": """
            def eca_gates(x, weight):
                y = nn.functional.pad(reduce(x, "b c h w -> b c", "mean"), (len(weight) // 2,) * 2)
                return einsum(y.unfold(-1, len(weight), 1), weight, "b c k, k -> b c").sigmoid()
            def eca(x, weight):
                return einsum(x, eca_gates(x, weight), "b c h w, b c -> b c h w")
        """,
        "q5-answer": """
            import numpy as np
            def eca_cost(channels, k): return [np.int64(k), float(k * channels)]
            def se_cost(channels, reduction=16):
                matrices = nn.Linear(channels, channels // reduction), nn.Linear(channels // reduction, channels)
                return (sum(m.weight.numel() for m in matrices),) * 2
            resnet50 = {"SE": 2514944.0, "ECA": torch.tensor(86)}
        """,
    },
    "a matrix": {
        "q2-answer": "kernel_size = lambda channels, gamma=2, b=1: int(2 * (abs(log2(channels) + b) / gamma // 2)) + 1",
        "q3-answer": """
            def band(weight, channels):
                offset = torch.arange(channels)[None] - torch.arange(channels)[:, None] + len(weight) // 2
                inside = (offset >= 0) & (offset < len(weight))
                return weight[offset.clamp(0, len(weight) - 1)] * inside

            @torch.no_grad()
            def eca_gates(x, weight):
                return torch.special.expit(x.flatten(2).mean(-1) @ band(weight, x.shape[1]).T)

            def eca(x, weight):
                return (x.permute(2, 3, 0, 1) * eca_gates(x, weight)).permute(2, 3, 0, 1).double()
        """,
        "q4-answer": """
            class ECA(nn.Module):
                def __init__(self, channels, gamma=2, b=1):
                    super().__init__()
                    self.w = nn.ParameterList([nn.Parameter(torch.ones(kernel_size(channels, gamma, b), 1))])
                    self.register_buffer("eye", torch.eye(channels))
                def gates(self, x):
                    return torch.sigmoid(x.mean(dim=[-2, -1]) @ band(self.w[0][:, 0], x.size(1)).mT)
                def forward(self, x):
                    return x * self.gates(x).unsqueeze(-1).unsqueeze(-1)
        """,
    },
    "one channel wide, two axes high": {
        "q3-answer": """
            def eca_gates(x, weight):
                y = nn.functional.adaptive_avg_pool2d(x, 1).transpose(1, 2)
                y = nn.functional.conv2d(y, weight.view(1, 1, -1, 1), padding=(weight.numel() // 2, 0))
                return y.sigmoid().squeeze(1).squeeze(-1)
            def eca(x, weight):
                return x.clone().mul_(eca_gates(x, weight)[..., None, None])
        """,
        "q4-answer": """
            class ECA(nn.Conv1d):
                def __init__(self, channels, gamma=2, b=1):
                    k = kernel_size(channels, b=b, gamma=gamma)
                    super().__init__(1, 1, k, padding="same", bias=False)
                def gates(self, x):
                    return super().forward(x.mean((2, 3)).unsqueeze(1)).squeeze(1).sigmoid()
                def forward(self, x):
                    return torch.einsum("bchw,bc->bchw", x, self.gates(x))
        """,
        "q6-report": REPORT.replace('"undecided"', "'undecided'").replace("[interval.mean,", "(interval.mean,").replace(
            "interval.high]", "interval.high)"
        ),
    },
    "shifts, and cells that fail": {
        "q1-text": "1/0",
        "q2-answer": """
            from math import floor
            def kernel_size(channels, gamma=2, b=1):
                t = abs((channels.bit_length() - 1 + b) / gamma)
                k = 1
                while k + 1 <= t:
                    k += 2
                return k
            kernel_size(64) + unknown
        """,
        "q3-answer": """
            def eca_gates(x, weight):
                y = x.sum(3).sum(2) / x[0, 0].numel()
                total, half = torch.zeros_like(y), len(weight) // 2
                for j, w in enumerate(weight):
                    for c in range(y.shape[1]):
                        if 0 <= c + j - half < y.shape[1]:
                            total[:, c] += w * y[:, c + j - half]
                return 0.5 * (1 + torch.tanh(total / 2))
            def eca(x, weight):
                return x * eca_gates(x, weight).reshape(*x.shape[:2], 1, 1).expand_as(x)
        """,
    },
}  # fmt: skip


INTERVALS = REPORT[REPORT.index("intervals, verdicts") :]
INVENTED = {
    "in order": {"SE": [0.61, 0.63, 0.6], "ECA": [0.92, 0.95, 0.94]},
    "permuted": {"SE": [0.6, 0.62, 0.61], "ECA": [0.57, 0.56, 0.6]},
}
TASK = "task = lambda seed: gate_patterns(seed, "
REPORTS = {
    "scores that were made up": (
        but(MEASURE, "steps=300", "steps=5", TASK, "task = lambda seed: gate_patterns(0, "),
        f"scores = {INVENTED}\n{INTERVALS}",
        {"6.2": 4, "6.5": 2, "6.6": 2},
        "Two seeds met the same samples.",
    ),
    "data that was made once": (
        but(MEASURE, TASK + "permute=permute, train=2000, test=500)", "task = ALL[permute]")
        + "ALL = [gate_patterns(0, permute=p, train=2000, test=500) for p in (False, True)]",
        REPORT,
        {"6.5": 2},
        "Hint: A task that is made once",
    ),
    "five steps, few samples, and its own scores": (
        but(MEASURE, "steps=300", "steps=5", "train=2000, test=500", "train=200, test=100"),
        "q6-report",
        {"6.6": 2},
        "Expected 300 steps for each arm, counted 5.",
    ),
    "few samples": (
        but(MEASURE, "train=2000, test=500", "train=200, test=100"),
        LIVE + INTERVALS,
        {"6.6": 2},
        "the task had 200 and 100.",
    ),
    "the task's own sizes": (
        but(MEASURE, ", train=2000, test=500", ""),
        REPORT,
        {"6.6": 2},
        "the task had 8,000 and 1,000.",
    ),
    "the training's own rate": (
        but(MEASURE, ", lr=0.02", ""),
        LIVE + INTERVALS,
        {"6.6": 2},
        "Expected lr=0.02, the optimiser's largest was 0.001.",
    ),
    "twice the steps": (
        but(MEASURE, "steps=300", "steps=600"),
        REPORT,
        {"6.6": 2},
        "Expected 300 steps for each arm, counted 600.",
    ),
    "other batches": (but(MEASURE, "steps=300", "steps=300, batch=32"), REPORT, {}, ""),
    "undecided, though the interval says more": (
        UNSTEPPED,
        REPORT + "verdicts = dict.fromkeys(verdicts, 'undecided')",
        {"6.4": 2},
        "Hint: Does the interval hold 0? If not, on which side of it does it lie?",
    ),
    "differences turned round, verdicts of the truth": (
        UNSTEPPED,
        REPORT + "intervals = {name: (-m, -h, -l) for name, (m, l, h) in intervals.items()}",
        {"6.3": 3},
        "These are differences SE − ECA; ECA − SE is asked for.",
    ),
    "one score of another": (
        UNSTEPPED,
        but(REPORT, "[0.558, 0.558, 0.553]", "[0.51, 0.558, 0.553]"),
        {"6.2": 2},
        "For 'permuted' and seed 0, your measure returns SE 0.55",
    ),
    "measure raises": (
        but(MEASURE, "permute=permute,", "permuted=permute,"),
        REPORT,
        {"6.2": 4, "6.5": 2, "6.6": 2},
        "got an unexpected keyword argument 'permuted'",
    ),
}  # fmt: skip
