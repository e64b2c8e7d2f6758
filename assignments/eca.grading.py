"""Grades assignment 1, *From an equation to a block*: Efficient Channel Attention from its two equations.

Only the grader reads this file; it holds the hidden inputs and, by numpy alone, what is expected.
"""

import math

import numpy as np

from attention.lab.grading import (
    Assignment,
    Build,
    Call,
    Check,
    Close,
    Equal,
    Look,
    Manual,
    Number,
    Part,
    Question,
    Run,
    Shape,
    Unanswered,
    Wrong,
    describe,
    numbers_of,
)

GATE = "equation (1), ω_c = σ(Σ_j w_j y_{c+j−(k+1)/2})"
GATED = "equation (1), x̃_c = ω_c x_c"
SIZE = "equation (2), k = |log2(C)/γ + b/γ|_odd"
COST = "the cost: each weight is a parameter, each use of it a multiply–add"
INTERVAL = "the interval, mean ± t s / √n"
SETTINGS = ("in order", "permuted")
#: The 97.5% quantiles of Student's distribution with 2, 3, … degrees of freedom.
STUDENT = (
    *(
        4.302653,
        3.182446,
        2.776445,
        2.570582,
        2.446912,
        2.364624,
        2.306004,
        2.262157,
        2.228139,
        2.200985,
    ),
    *(
        2.178813,
        2.160369,
        2.144787,
        2.131450,
        2.119905,
        2.109816,
        2.100922,
        2.093024,
    ),
)


def drawn(seed, *shape):
    """Return numbers around a different mean in each channel, so that no two gates are alike."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=shape)
    return (
        x + generator.normal(size=(*shape[:2], 1, 1))
        if len(shape) == 4
        else x
    ).astype("float32")


def windows(y, k, edge="constant"):
    """Return the k means around each channel, (batch, channels, k); beyond the ends as ``numpy.pad`` fills them."""
    padded = np.pad(y, ((0, 0), (k // 2, k // 2)), mode=edge)
    return np.stack(
        [padded[:, j : j + y.shape[1]] for j in range(k)], axis=-1
    )


def sigmoid(t):
    """Return σ(t)."""
    return 1 / (1 + np.exp(-t))


def gates(x, w, statistic=np.mean, edge="constant"):
    """Equation (1)."""
    return sigmoid(
        windows(statistic(x.astype("float64"), (2, 3)), len(w), edge) @ w
    )


def gated(x, w):
    """Equation (1)'s last part."""
    return x * gates(x, w)[:, :, None, None]


def mistakes(x, w):
    """What known mistakes lead to, each with a hint."""
    y = x.astype("float64").mean((2, 3))
    return [
        (
            gates(x, w[::-1]),
            "The kernel is turned round: w_1 belongs to the neighbour below, w_k to the one above.",
        ),
        (
            gates(x, w, edge="wrap"),
            "The last channel is no neighbour of the first: beyond the ends are zeros.",
        ),
        (
            gates(x, w, edge="edge"),
            "Beyond the ends are zeros, not the first and the last mean again.",
        ),
        (gates(x, w, np.sum), "These are gates of sums: divide by HW."),
        (
            gates(x, w, np.max),
            "These are gates of the highest values; y is the mean.",
        ),
        (windows(y, len(w)) @ w, "The sigmoid is lacking."),
        (
            sigmoid(
                windows(
                    np.repeat(y.mean(0, keepdims=True), len(y), 0), len(w)
                )
                @ w
            ),
            "Each image has its own means.",
        ),
        (
            gates(x, w)[:, :, None, None],
            "Gates of shape (batch, channels) are asked for, without further axes.",
        ),
    ]


def slope(x, w):
    """The gradient by w of the output's elements, weighted from -1 to 1 in equal steps."""
    s = gates(x, w)
    weights = np.linspace(-1, 1, x.size).reshape(x.shape)
    upstream = (weights * x).sum((2, 3)) * s * (1 - s)
    return np.einsum(
        "bc,bcj->j",
        upstream,
        windows(x.astype("float64").mean((2, 3)), len(w)),
    )


# Judges of its own.


def complete(value, count, what):
    """Return so many numbers, or say that they are not there yet."""
    if isinstance(value, list | tuple) and any(
        each is Ellipsis or each is None for each in value
    ):
        raise Unanswered
    numbers = numbers_of(value)
    if (
        numbers is None
        or numbers.shape != (count,)
        or numbers.dtype.kind not in "iuf"
    ):
        raise Wrong(
            f"Expected {count} numbers for {what}, received {describe(value)}."
        )
    return numbers.astype("float64")


def by_hand(places, right, near):
    """Judge some of the four gates, without showing the right ones."""

    def judge(value):
        numbers = complete(value, 4, "the four gates")[list(places)]
        wrong = np.abs(numbers - np.array(right)) > 2e-3
        if wrong.any():
            told = ", ".join(
                f"ω_{place + 1}"
                for place, off in zip(places, wrong, strict=True)
                if off
            )
            hint = next(
                (
                    h
                    for values, h in near
                    if np.allclose(numbers, values, atol=2e-3)
                ),
                "",
            )
            raise Wrong(f"Not right: {told}.", hint)

    return Check(judge)


def sizes_by_hand(value):
    """Judge question 1 (b)."""
    right = {16: 3, 128: 5, 512: 5}
    if not isinstance(value, dict) or set(value) != set(right):
        raise Wrong(
            f"Expected a dictionary with the keys 16, 128 and 512, received {describe(value)}."
        )
    if any(each is Ellipsis or each is None for each in value.values()):
        raise Unanswered
    wrong = [
        str(c)
        for c, k in right.items()
        if numbers_of(value[c]) is None
        or not np.all(numbers_of(value[c]) == k)
    ]
    if wrong:
        hint = (
            "For C = 128, t is exactly 4: of 3 and 5 the larger one counts."
            if wrong == ["128"]
            else ""
        )
        raise Wrong(f"Not right: k for C = {', '.join(wrong)}.", hint)


def whole(value):
    """Ask for numbers of type int."""
    if not all(type(k) is int for k in value):
        raise Wrong(
            f"Expected numbers of type int, received {describe(value[0])}."
        )


def one_by_one(value):
    """Ask that a batch gives what its images give one by one."""
    together, single = (numbers_of(each) for each in value)
    if together is None or single is None or together.shape != single.shape:
        raise Wrong(
            "The output for a batch has not the shape of the outputs for its images."
        )
    if not np.allclose(together, single, atol=1e-5):
        raise Wrong(
            "An image's output changes with the other images of its batch."
        )


def gradient(value):
    """Ask for the gradient of the one parameter."""
    found = [each for each in value.values() if each is not None]
    numbers = numbers_of(found[0]) if len(found) == 1 else None
    if numbers is None:
        raise Wrong(
            f"Expected a gradient for one parameter, received {len(found)}."
        )
    right = slope(X5, V3)
    if numbers.size != right.size or not np.allclose(
        numbers.reshape(-1), right, rtol=1e-3, atol=1e-3
    ):
        raise Wrong("The kernel's gradient is not that of equation (1).")


def report(value):
    """Return seeds and scores, both arms of both settings."""
    seeds, scores = value
    if not isinstance(scores, dict) or set(scores) != set(SETTINGS):
        raise Wrong(
            f"Expected scores for 'in order' and 'permuted', received {describe(scores)}."
        )
    if any(each is Ellipsis or each is None for each in scores.values()):
        raise Unanswered
    if len(seeds) < 3 or len({str(seed) for seed in seeds}) < len(seeds):
        raise Wrong(
            f"Expected at least three seeds, none twice, received {describe(seeds)}."
        )
    if len(seeds) > len(STUDENT) + 2:
        raise Wrong(f"At most {len(STUDENT) + 2} seeds can be graded.")
    return {
        setting: arms(scores[setting], len(seeds), f"scores[{setting!r}]")
        for setting in SETTINGS
    }


def arms(found, count, what):
    """Return the scores of both arms."""
    if not isinstance(found, dict) or set(found) != {"SE", "ECA"}:
        raise Wrong(
            f"Expected lists of SE and of ECA in {what}, received {describe(found)}."
        )
    lists = {
        name: complete(found[name], count, f"{what}[{name!r}], one a seed")
        for name in found
    }
    if not all(((each >= 0) & (each <= 1)).all() for each in lists.values()):
        raise Wrong(f"Scores lie between 0 and 1; those of {what} do not.")
    return lists


def ends(found):
    """The interval of ECA − SE that the reported scores give."""
    d = found["ECA"] - found["SE"]
    half = STUDENT[len(d) - 3] * d.std(ddof=1) / math.sqrt(len(d))
    return np.array([d.mean(), d.mean() - half, d.mean() + half])


def each_setting(reported, what, judge):
    """Judge what is reported for both settings; each brings half of the points."""
    if not isinstance(reported, dict) or set(reported) != set(SETTINGS):
        raise Wrong(
            f"Expected {what} for 'in order' and 'permuted', received {describe(reported)}."
        )
    if any(each is Ellipsis or each is None for each in reported.values()):
        raise Unanswered
    wrong = []
    for setting in SETTINGS:
        try:
            judge(setting, reported[setting])
        except Wrong as problem:
            wrong.append(problem)
    if wrong:
        raise Wrong(
            " ".join(map(str, wrong)),
            wrong[0].hint,
            share=1 - len(wrong) / len(SETTINGS),
        )


def follows(value):
    """Ask that the intervals are those of the scores."""
    seeds, scores, intervals = value
    found = report([seeds, scores])

    def judge(setting, reported):
        got, right = (
            complete(reported, 3, f"intervals[{setting!r}]"),
            ends(found[setting]),
        )
        if np.allclose(got, right, atol=2e-3):
            return
        d = found[setting]["ECA"] - found[setting]["SE"]
        normal = 1.96 * d.std(ddof=1) / math.sqrt(len(d))
        biased = STUDENT[len(d) - 3] * d.std() / math.sqrt(len(d))
        near = [
            (
                -right[[0, 2, 1]],
                "These are differences SE − ECA; ECA − SE is asked for.",
            ),
            (
                d.mean() + np.array([0, -normal, normal]),
                "With few seeds, t is larger than the normal 1.96.",
            ),
            (
                d.mean() + np.array([0, -biased, biased]),
                "The standard deviation is taken with n − 1.",
            ),
        ]
        hint = next(
            (h for values, h in near if np.allclose(got, values, atol=1e-3)),
            "",
        )
        raise Wrong(
            f"For {setting!r}, your scores give other numbers than your interval.",
            hint,
        )

    each_setting(intervals, "intervals", judge)


def verdict(value):
    """Ask that the verdicts are those of the scores."""
    seeds, scores, verdicts = value
    found = report([seeds, scores])

    def judge(setting, reported):
        _, low, high = ends(found[setting])
        right = "ECA" if low > 0 else "SE" if high < 0 else "undecided"
        if reported != right:
            raise Wrong(
                f"For {setting!r}, your scores do not give the verdict {describe(reported)}."
            )

    each_setting(verdicts, "verdicts", judge)


def repeats(value):
    """Ask for the same scores twice, and for others with another seed."""
    if any(each is None or each is Ellipsis for each in value):
        raise Unanswered
    first, again = (arms(each, 2, "what measure returned") for each in value)
    if not all(
        np.allclose(first[name], again[name], atol=1e-3) for name in first
    ):
        raise Wrong(
            "Called twice with the same seeds, measure returned different scores."
        )
    if all(np.ptp(each) == 0 for each in first.values()):
        raise Wrong(
            "Two seeds gave exactly the same scores: does the seed reach both the task and the training?"
        )


# Inputs: X1 and V3 are shown in the feedback, all others are not.

X1, X2, X3 = (
    drawn(11, 2, 6, 4, 4),
    drawn(12, 3, 7, 2, 9),
    drawn(13, 1, 3, 5, 1),
)
X4, X5 = drawn(14, 4, 16, 3, 5), drawn(15, 3, 12, 2, 6)
V3, V5, V7, V1 = drawn(21, 3), drawn(22, 5), drawn(23, 7), drawn(24, 1)
EACH = "answer = [kernel_size(*each) for each in asked]"
BATCH = """
block = ECA(12)
with torch.no_grad():
    answer = [block(x), torch.cat([block(one) for one in x.split(1)])]
"""
REPEAT = "answer = [measure(True, (31, 32)), measure(True, (31, 32))]"

NUMBERS = Question(
    "1",
    "From the equations to numbers",
    (
        Part(
            "(a) The gates of the inner channels",
            3,
            Look("gates_by_hand"),
            by_hand(
                (1, 2),
                (18 / 19, 8 / 9),
                [
                    (
                        (9 / 11, 1 / 9),
                        "The kernel is turned round: w_1 meets y_{c−1}.",
                    )
                ],
            ),
            GATE,
            "Three products each: w_1 y_{c−1} + w_2 y_c + w_3 y_{c+1}.",
        ),
        Part(
            "(a) The gates of the first and the last channel",
            3,
            Look("gates_by_hand"),
            by_hand(
                (0, 3),
                (3 / 7, 1 / 4),
                [
                    (
                        (12 / 13, 1 / 4),
                        "The kernel is turned round: w_1 meets y_{c−1}.",
                    ),
                    (
                        (3 / 11, 1 / 7),
                        "The last channel is no neighbour of the first.",
                    ),
                ],
            ),
            GATE,
            "Beyond the ends, means count as 0.",
        ),
        Part(
            "(b) Kernel sizes",
            4,
            Look("k_by_hand"),
            Check(sizes_by_hand),
            SIZE,
            "Write down t = log2(C)/2 + 1/2.",
        ),
        Part(
            "(c) Entries of ECA's matrix",
            2,
            Look("entries"),
            Number(
                190,
                "the number of entries",
                reveal=False,
                mistakes=[
                    (
                        192,
                        "Each row has three entries, but for the first and the last.",
                    ),
                    (
                        188,
                        "The first and the last row lack one entry each, not two.",
                    ),
                    (
                        3,
                        "These are the different values; how often does each stand in the matrix?",
                    ),
                    (
                        4096,
                        "That is the size of the matrix. Most of its entries are 0.",
                    ),
                ],
            ),
            GATE,
            "Draw the matrix for C = 5 first.",
        ),
        Part(
            "(d) The rank in SE",
            2,
            Look("rank"),
            Number(
                4,
                "the rank",
                reveal=False,
                mistakes=[
                    (64, "Every gate is computed from W_1 y: how long is it?")
                ],
            ),
            "W_2 W_1, with W_1 of C/r rows",
            "A product has at most the rank of its factors.",
        ),
        Manual(
            "(e) Why ECA does not reduce the dimension",
            4,
            "the bottleneck, what follows from it, the direct link in ECA, and what ECA gives up: one point each",
        ),
    ),
)
KERNEL = Question(
    "2",
    "The kernel size",
    (
        Part(
            "C = 16, 64, 256, 1024",
            4,
            Run("kernel_size", EACH, asked=[[16], [64], [256], [1024]]),
            Equal([3, 3, 5, 5], "k"),
            SIZE,
            "For C = 16, t is 2.5, between 1 and 3.",
        ),
        Part(
            "Two odd numbers are equally near",
            3,
            Run("kernel_size", EACH, asked=[[8], [2048]]),
            Equal([3, 7], "k"),
            SIZE,
            "Where two odd numbers are equally near, the larger one counts.",
            hidden=True,
        ),
        Part(
            "Other γ and b",
            3,
            Run(
                "kernel_size",
                EACH,
                asked=[[64, 1, 1], [256, 4, 2], [4, 2, -9]],
            ),
            Equal([7, 3, 3], "k"),
            SIZE,
            "γ divides both terms, and the bars stand for the absolute value.",
            hidden=True,
        ),
        Part(
            "A whole number",
            2,
            Run("kernel_size", EACH, asked=[[64], [256]]),
            Check(whole),
            SIZE,
            "A layer's size is an int.",
        ),
    ),
)
FUNCTION = Question(
    "3",
    "A function",
    (
        Part(
            "The shape of the gates",
            2,
            Call("eca_gates", X1, V3),
            Shape((2, 6), "the gates"),
            GATE,
            "One gate for each channel of each image.",
        ),
        Part(
            "The gates",
            5,
            Call("eca_gates", X1, V3, untouched=True),
            Close(gates(X1, V3), "the gates", mistakes=mistakes(X1, V3)),
            GATE,
            "Compute one of them by hand, as in question 1.",
        ),
        Part(
            "A longer kernel, maps that are not square",
            5,
            Call("eca_gates", X2, V5),
            Close(gates(X2, V5), "the gates"),
            GATE,
            "Nothing may be fixed to k = 3, nor to height = width.",
            hidden=True,
        ),
        Part(
            "A kernel longer than the row of channels",
            2,
            Call("eca_gates", X3, V7),
            Close(gates(X3, V7), "the gates"),
            GATE,
            "Beyond the ends are zeros, as many as the kernel meets.",
            hidden=True,
        ),
        Part(
            "The gated maps",
            4,
            Call("eca", X1, V3, untouched=True),
            Close(
                gated(X1, V3),
                "the gated maps",
                mistakes=[
                    (gated(X1, V3[::-1]), "The kernel is turned round.")
                ],
            ),
            GATED,
            "Each gate scales all positions of its channel.",
        ),
        Part(
            "The gated maps of another input",
            2,
            Call("eca", X4, V1),
            Close(gated(X4, V1), "the gated maps"),
            GATED,
            "Any number of images, channels, rows and columns.",
            hidden=True,
        ),
    ),
)
BLOCK = Question(
    "4",
    "A block",
    (
        Part(
            "Three weights for 64 channels",
            2,
            Build("ECA", 64),
            Number(
                3,
                "the number of trainable parameters",
                of="count",
                mistakes=[(4, "Equation (1) has no bias.")],
            ),
            GATE,
            "One kernel, shared by all channels.",
        ),
        Part(
            "As many weights as equation (2) says",
            2,
            Build("ECA", 1024),
            Number(5, "the number of trainable parameters", of="count"),
            SIZE,
            "The number of weights depends on the number of channels.",
            hidden=True,
        ),
        Part(
            "The output",
            4,
            Build("ECA", 12, load=[V3], inputs=[X5]),
            Close(gated(X5, V3), "the output", of="output"),
            GATED,
            "With the same kernel, the block and eca give the same.",
        ),
        Part(
            "The gates",
            2,
            Build("ECA", 12, load=[V3], inputs=[X5], method="gates"),
            Close(gates(X5, V3), "the gates", of="output"),
            GATE,
            "(batch, channels), as in question 3.",
        ),
        Part(
            "Other γ and b",
            3,
            Build(
                "ECA",
                16,
                gamma=1,
                b=1,
                load=[V5],
                inputs=[X4],
                training=False,
            ),
            Close(gated(X4, V5), "the output", of="output"),
            SIZE,
            "γ and b are passed on to kernel_size, by their names.",
            hidden=True,
        ),
        Part(
            "Each image by itself",
            2,
            Run("ECA", BATCH, x=X5),
            Check(one_by_one),
            GATE,
            "No mean and no normalisation runs over the batch.",
        ),
        Part(
            "Gradients reach the kernel",
            3,
            Build("ECA", 12, load=[V3], inputs=[X5], gradients=True),
            Check(gradient, of="gradients"),
            GATE,
            "Nothing on the way from the kernel to the output may leave the graph.",
        ),
    ),
)
COSTS = Question(
    "5",
    "What it costs",
    (
        Part(
            "ECA",
            2,
            Call("eca_cost", 64, 3),
            Equal([3, 192], "ECA's cost"),
            COST,
            "The kernel is shared: it is used once for each channel.",
        ),
        Part(
            "ECA, another size",
            2,
            Run("eca_cost", "answer = [eca_cost(2048, 7), eca_cost(96, 9)]"),
            Equal([[7, 14336], [9, 864]], "ECA's cost"),
            COST,
            "The kernel is shared: it is used once for each channel.",
            hidden=True,
        ),
        Part(
            "SE",
            2,
            Call("se_cost", 64, 16),
            Equal([512, 512], "SE's cost"),
            COST,
            "Two matrices, each used once for an image.",
        ),
        Part(
            "SE, another size",
            2,
            Run("se_cost", "answer = [se_cost(2048, 8), se_cost(96, 4)]"),
            Equal([[1048576, 1048576], [4608, 4608]], "SE's cost"),
            COST,
            "The reduction divides the number of channels once in each matrix.",
            hidden=True,
        ),
        Part(
            "ECA in ResNet-50",
            2,
            Look("resnet50"),
            Number(
                86,
                "ECA in ResNet-50",
                of="ECA",
                reveal=False,
                mistakes=[
                    (
                        80,
                        "80 is the authors' network, with k = 3 in its first stage. Equation (2) gives another k.",
                    ),
                    (
                        74,
                        "These are the kernels for the branches' inner widths; the blocks stand at their ends.",
                    ),
                    (48, "k is not 3 for all of these numbers of channels."),
                    (22, "Each stage has several branches."),
                ],
            ),
            COST,
            "Sum k over all 16 blocks.",
        ),
        Part(
            "SE in ResNet-50",
            2,
            Look("resnet50"),
            Number(
                2514944,
                "SE in ResNet-50",
                of="SE",
                reveal=False,
                mistakes=[
                    (
                        2530992,
                        "That is with biases; here they are not counted.",
                    ),
                    (696320, "Each stage has several branches."),
                    (1257472, "There are two matrices in each block."),
                ],
            ),
            COST,
            "Sum 2C²/r over all 16 blocks.",
        ),
    ),
)
TEST = Question(
    "6",
    "A test of the claim",
    (
        Part(
            "A score for each seed, arm and setting",
            4,
            Run("scores", "answer = [list(SEEDS), scores]"),
            Check(report),
            "three seeds at least, two arms, two settings",
            "scores[setting][arm] is a list, one score a seed.",
        ),
        Part(
            "The intervals follow from the scores",
            4,
            Run("intervals", "answer = [list(SEEDS), scores, intervals]"),
            Check(follows),
            INTERVAL,
            "Differences are taken seed by seed, ECA − SE.",
        ),
        Part(
            "The verdicts follow from the intervals",
            3,
            Run("verdicts", "answer = [list(SEEDS), scores, verdicts]"),
            Check(verdict),
            INTERVAL,
            "An interval that holds 0 decides nothing.",
        ),
        Part(
            "The measurement can be repeated",
            3,
            Run("measure", REPEAT),
            Check(repeats),
            "the same seed, the same data, the same start",
            "The seed sets the data, the initial weights and the order of the samples.",
            hidden=True,
        ),
    ),
)
MEANING = Question(
    "7",
    "What follows",
    (
        Manual(
            "What the verdicts say of the claim",
            6,
            "both verdicts, told with numbers: 2; that the claim depends on the channels' order: 1; who can choose "
            "that order: 1; an experiment that could come out otherwise, with its control: 2",
        ),
    ),
)
ASSIGNMENT = Assignment(
    "From an equation to a block",
    (NUMBERS, KERNEL, FUNCTION, BLOCK, COSTS, TEST, MEANING),
)
