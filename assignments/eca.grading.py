"""Grades assignment 1, *From an equation to a block*: Efficient Channel Attention from its two equations.

Only the grader reads this file; it holds the hidden inputs and, by numpy and scipy alone, what is expected.
"""

import math

import numpy as np
from scipy.special import stdtrit

from attention.grading import (
    Assignment,
    Build,
    Call,
    Check,
    Close,
    Equal,
    Limits,
    Look,
    Manual,
    Number,
    Part,
    Question,
    Run,
    Shape,
    StandIn,
    Steps,
    Tensor,
    Text,
    Unanswered,
    Wrong,
    attempt,
    describe,
    numbers_of,
)

GATE = "equation (1), ω_c = σ(Σ_j w_j y_{c+j−(k+1)/2})"
GATED = "equation (1), x̃_c = ω_c x_c"
SIZE = "equation (2), k = |log2(C)/γ + b/γ|_odd"
COST = "the cost: each weight is a parameter, each use of it a multiply–add"
INTERVAL = "the interval, mean ± t s / √n"
SETTINGS = ("in order", "permuted")
#: How many branches of ResNet-50 end with so many channels.
BRANCHES = {256: 3, 512: 4, 1024: 6, 2048: 3}
#: How many seeds can be graded at the most.
MOST_SEEDS = 20


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
    k = len(w)
    # Python takes an index of -1 for the last channel, and one beyond the end for an error.
    ring = windows(y, k, "wrap")
    first = np.arange(y.shape[1])[:, None] + np.arange(k) < k // 2
    return [
        (
            sigmoid(windows(np.pad(y, ((0, 0), (1, 0))), k)[:, :-1] @ w),
            "All means are taken one channel too low: in equation (1), j begins with 1.",
        ),
        (
            sigmoid(np.where(first, ring, windows(y, k)) @ w),
            "Below the first channel are zeros; a negative index counts from the end.",
        ),
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
        if isinstance(value, list | tuple) and len(value) == 4:
            here = [value[place] for place in places]
            numbers = complete(here, len(places), "these gates")
        else:
            numbers = complete(value, 4, "the four gates")[list(places)]
        off = np.abs(numbers - np.array(right))
        wrong = off > 1e-3
        if (
            wrong.any()
            and (off <= 6e-3).all()
            and np.array_equal(numbers[wrong], numbers[wrong].round(2))
        ):
            told = ", ".join(
                f"ω_{p + 1}"
                for p, few in zip(places, wrong, strict=True)
                if few
            )
            raise Wrong(
                f"Too few digits: {told}.",
                "At least three digits are asked for; a fraction such as 5 / 7 has them all.",
                share=0.5,
            )
        if wrong.any():
            told = ", ".join(
                f"ω_{p + 1}"
                for p, off in zip(places, wrong, strict=True)
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
    """Judge question 1 (b): a third of the points for each size."""
    right = {16: 3, 128: 5, 512: 5}
    if not isinstance(value, dict):
        raise Wrong(
            f"Expected a dictionary with the keys 16, 128 and 512, received {describe(value)}."
        )
    given = {
        c: None if value.get(c) is Ellipsis else value.get(c) for c in right
    }
    if all(k is None for k in given.values()):
        raise Unanswered
    wrong = [c for c, k in right.items() if not is_number(given[c], k)]
    if wrong:
        hint = (
            "For C = 128, two odd numbers are equally near: which one is meant?"
            if wrong == [128]
            else ""
        )
        raise Wrong(
            f"Not right, or not there: k for C = {', '.join(map(str, wrong))}.",
            hint,
            share=1 - len(wrong) / len(right),
        )


def is_number(value, right):
    """Whether a value is one number, and this one."""
    numbers = None if isinstance(value, bool) else numbers_of(value)
    return (
        numbers is not None and numbers.ndim == 0 and numbers.item() == right
    )


def sizes(right):
    """Judge kernel sizes for channels that are not shown: say what is wrong with them, and no number."""

    def judge(value):
        got = numbers_of(value)
        kinds = "iuf"
        if (
            got is None
            or got.shape != (len(right),)
            or got.dtype.kind not in kinds
        ):
            raise Wrong(
                f"Expected numbers for k, received {describe(value)}.",
                brief="Expected a number for k.",
            )
        if np.array_equal(got, right):
            return
        off = got - np.array(right)
        even = got % 2 != 1
        told = [
            f"{what} in {count} of {len(right)} cases"
            for what, count in (
                ("not odd", int(even.sum())),
                ("too small", int(((off < 0) & ~even).sum())),
                ("too large", int(((off > 0) & ~even).sum())),
            )
            if count
        ]
        raise Wrong(
            f"Expected {right} for k, received {describe(value)}.",
            brief=f"For inputs that are not shown, k is {', and '.join(told)}.",
        )

    return Check(judge)


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


def varied(own, x=1.0):
    """Return what a function of question 3 gave, if it can be followed through: gates that are not all alike.

    :param x: what the gates were multiplied with.
    """
    found = numbers_of(own) if isinstance(own, Tensor) else None
    if (
        found is None
        or found.dtype.kind != "f"
        or not np.isfinite(found).all()
    ):
        return None
    if np.shape(x) not in ((), found.shape) or np.ptp(found / x) < 1e-3:
        return None
    return found


def again(right, share):
    """Judge gates of another kernel; a mistake that part “The gates” has been charged for costs little here."""

    def judge(value):
        try:
            right.judge(value)
        except Wrong as problem:
            if not problem.known:
                raise
            told = "The mistake of “The gates” once more. Most of the points are given all the same."
            raise Wrong(
                told,
                problem.hint,
                brief=told,
                known=problem.known,
                share=share,
            ) from None

    return Check(judge)


def passes(judge, value):
    """Whether a judge lets a value pass."""
    return not isinstance(attempt(judge.judge, value), Exception)


def gated_like(x, w, what, untouched=True):
    """Ask for gated maps: those of equation (1), or those of one's own gates, which are judged elsewhere."""

    def look(ask):
        made = ask(Call("eca", x, w, untouched=untouched))
        own = attempt(lambda: ask(Call("eca_gates", x, w)).value)
        return [made.value, made.arguments == "changed", own]

    def judge(value):
        made, changed, own = value
        if made is None or made is Ellipsis:
            raise Unanswered
        alike, own = [gates(x, w)[:, :, None, None]], varied(own)
        if own is not None and own.size in (
            math.prod(x.shape[:2]),
            x.shape[1],
        ):
            alike.append(own.reshape(-1, x.shape[1], 1, 1))
        if not any(passes(Close(x * each, what), made) for each in alike):
            near = [
                hint
                for each in alike
                for hint in (
                    (x + x * each, "Equation (1) multiplies: no x is added."),
                    (x + each, "Equation (1) multiplies x with the gates."),
                )
            ]
            Close(gated(x, w), what, mistakes=near).judge(made)
        if changed:
            told = "The result is right, but the function changed its input."
            hint = "Methods whose names end in an underscore, and x *= …, work in place."
            raise Wrong(told, hint, brief=told, known=hint, share=0.5)

    return Steps("eca", look), Check(judge)


def own_size(ask, channels, **options):
    """Return what one's own function of question 2 gives, if a kernel can have that size."""
    made = attempt(ask, Call("kernel_size", channels, **options))
    k = None if isinstance(made, Exception) else made.value
    return k if type(k) is int and 1 <= k < 100 and k % 2 else None


def weights(channels, right):
    """Ask for a block's number of weights: that of equation (2), or that of one's own question 2."""

    def look(ask):
        made = ask(Build("ECA", channels)).value["count"]
        return [made, own_size(ask, channels)]

    def judge(value):
        made, own = value
        if made != own:
            near = [
                (k + 1, "Equation (1) has no bias.")
                for k in (right, own)
                if k is not None
            ]
            what = "the number of trainable parameters"
            Number(right, what, mistakes=near).judge(made)

    return Steps("ECA", look), Check(judge)


def fitting(ask, channels, w, **options):
    """Return a kernel for a block: the one that is given, or one of the size that one's own question 2 says."""
    own = own_size(ask, channels, **options)
    if own in (None, len(w)):
        return w
    found = ask(Build("ECA", channels, **options)).value["parameters"]
    has = own in [math.prod(shape) for shape in found.values()]
    return drawn(30 + own, own) if has else w


def filled(ask, channels, x, w, **options):
    """Have a block built and filled with a kernel; where it has a bias too, that is 0, and costs elsewhere."""
    made = attempt(
        ask, Build("ECA", channels, load=[w], inputs=[x], **options)
    )
    if isinstance(made, Wrong):
        biased = attempt(
            ask,
            Build(
                "ECA",
                channels,
                load=[w, np.zeros(1, "float32")],
                inputs=[x],
                **options,
            ),
        )
        made = made if isinstance(biased, Exception) else biased
    if isinstance(made, Exception):
        raise made
    return made.value


def same_as(function, x, w, what, **options):
    """Ask that a block gives what equation (1) says, or what one's own function of question 3 gives."""

    def look(ask):
        kernel = fitting(ask, 12, w)
        made = filled(ask, 12, x, kernel, **options)["output"]
        own = attempt(lambda: ask(Call(function, x, kernel)).value)
        return [made, own, kernel]

    def judge(value):
        made, own, kernel = value
        whole = function == "eca"
        own = varied(own, x if whole else 1.0)
        if own is None or not passes(Close(own), made):
            right = (gated if whole else gates)(x, kernel)
            known = () if whole else mistakes(x, kernel)
            Close(right, what, mistakes=known).judge(made)

    return Steps("ECA", look), Check(judge)


def other_sizes(ask):
    """Build a block with other γ and b: how many numbers its kernel has, and what it gives."""
    found = ask(Build("ECA", 16, gamma=1, b=1)).value["parameters"]
    counts = [math.prod(shape) for shape in found.values()]
    kernel = sum(n for n in counts if n > 1)
    own = own_size(ask, 16, gamma=1, b=1)
    if kernel != 5 and own not in counts:
        raise Wrong(
            f"Expected k = 5 weights for C = 16, γ = 1 and b = 1, received {kernel or sum(counts)}."
        )
    w = fitting(ask, 16, V5, gamma=1, b=1)
    made = filled(ask, 16, X4, w, gamma=1, b=1, training=False)["output"]
    return [made, attempt(lambda: ask(Call("eca", X4, w)).value), w]


def output_of_other_sizes(value):
    """Judge what the block with other γ and b gives."""
    made, own, w = value[0], varied(value[1], X4), value[2]
    if own is None or not passes(Close(own), made):
        problem = attempt(Close(gated(X4, w), "the output").judge, made)
        if isinstance(problem, Wrong):
            hint = "The kernel has the right size; what the block makes of it differs."
            raise Wrong(str(problem), hint, share=2 / 3)


def gradients(ask):
    """Have the gradients computed, of the block and of one's own function of question 3."""
    w = fitting(ask, 12, V3)
    made = filled(ask, 12, X5, w, gradients=True)
    output = attempt(lambda: ask(Call("eca", X5, w)).value)
    slopes = attempt(lambda: ask(Run("eca", SLOPE, x=X5, w=w)).value)
    return [made, output, slopes, w]


def gradient(value):
    """Ask for the gradient of the one parameter: any, where the output is another and is judged above."""
    made, output, own = value[0], varied(value[1], X5), varied(value[2])
    w = value[3]
    found = [each for each in made["gradients"].values() if each is not None]
    numbers = numbers_of(found[0]) if len(found) == 1 else None
    if numbers is None:
        raise Wrong(
            f"Expected a gradient for one parameter, received {len(found)}."
        )
    if not np.isfinite(numbers).all() or not numbers.any():
        raise Wrong("The kernel's gradient is 0, or no number.")
    outputs = [each for each in (gated(X5, w), output) if each is not None]
    if not any(passes(Close(each), made["output"]) for each in outputs):
        return
    for right in (slope(X5, w), own):
        if right is not None and right.size == numbers.size:
            off = np.abs(numbers.reshape(-1) - right.reshape(-1))
            if (off <= 1e-3 + 1e-3 * np.abs(right.reshape(-1))).all():
                return
    raise Wrong("The kernel's gradient is not that of equation (1).")


def added(ask):
    """Look at what ECA adds to ResNet-50, and at the sizes that one's own question 2 gives."""
    made = ask(Look("resnet50")).value
    if made is None or made is Ellipsis:
        raise Unanswered
    return [made, [own_size(ask, channels) for channels in BRANCHES]]


def total(value):
    """Ask for the sum over all blocks: with the sizes of equation (2), or with those of one's own question 2."""
    made, own = value
    given = made.get("ECA") if isinstance(made, dict) else made
    if None not in own:
        mine = sum(n * k for n, k in zip(BRANCHES.values(), own, strict=True))
        if is_number(given, mine):
            return
    if given is None or given is Ellipsis:
        raise Unanswered
    near = [
        (80, "Which k has each of the four widths? Compute all four again."),
        (
            74,
            "These are the kernels for the branches' inner widths; the blocks stand at their ends.",
        ),
        (48, "k is not 3 for all of these numbers of channels."),
        (22, "Each stage has several branches."),
    ]
    Number(86, "ECA in ResNet-50", mistakes=near, reveal=False).judge(given)


def both(value, what):
    """Return what is reported for both settings."""
    if not isinstance(value, dict) or set(value) != set(SETTINGS):
        raise Wrong(
            f"Expected {what} for 'in order' and 'permuted', received {describe(value)}."
        )
    if any(each is Ellipsis or each is None for each in value.values()):
        raise Unanswered
    return value


def report(value):
    """Ask for seeds and scores, both arms of both settings."""
    seeds, scores = value
    scores = both(scores, "scores")
    if len(seeds) < 3 or len({str(seed) for seed in seeds}) < len(seeds):
        raise Wrong(
            f"Expected at least three seeds, none twice, received {describe(seeds)}."
        )
    if len(seeds) > MOST_SEEDS:
        raise Wrong(f"At most {MOST_SEEDS} seeds can be graded.")
    for setting in SETTINGS:
        arms(scores[setting], len(seeds), f"scores[{setting!r}]")


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


def quantile(n):
    """Return the 97.5% quantile of Student's distribution for the mean of n differences."""
    return stdtrit(n - 1, 0.975)


def ends(found):
    """The interval of ECA − SE that the reported scores give."""
    d = found["ECA"] - found["SE"]
    half = quantile(len(d)) * d.std(ddof=1) / math.sqrt(len(d))
    return np.array([d.mean(), d.mean() - half, d.mean() + half])


def each_setting(reported, what, judge):
    """Judge what is reported for both settings; each brings half of the points."""
    reported, wrong = both(reported, what), []
    for setting in SETTINGS:
        try:
            judge(setting, reported[setting])
        except Wrong as problem:
            wrong.append(problem)
    if wrong:
        hint = next((problem.hint for problem in wrong if problem.hint), "")
        raise Wrong(
            " ".join(map(str, wrong)),
            hint,
            share=1
            - sum(1 - problem.share for problem in wrong) / len(SETTINGS),
        )


def first_seed(ask):
    """Have the first seed of the report measured again, in both settings."""
    seeds, scores = ask(Run("scores", REPORTED)).value
    both(scores, "scores")
    found = {
        setting: ask(
            Run("measure", AGAIN, permute=setting == "permuted")
        ).value
        for setting in SETTINGS
    }
    return [seeds, scores, found]


def measured(value):
    """Ask that the scores are those that measure returns; another machine may differ a little."""
    seeds, scores, again = value

    def judge(setting, reported):
        mine = arms(reported, len(seeds), f"scores[{setting!r}]")
        new = arms(again[setting], 1, "what measure returned")
        off = [
            name
            for name in ("SE", "ECA")
            if abs(mine[name][0] - new[name][0]) > 0.02
        ]
        if off:
            told = ", ".join(
                f"{name} {new[name][0]:.3f} instead of {mine[name][0]:.3f}"
                for name in off
            )
            raise Wrong(
                f"For {setting!r} and seed {describe(seeds[0])}, your measure returns {told}."
            )

    each_setting(scores, "scores", judge)


def follows(value):
    """Ask that the intervals are those of the scores."""
    seeds, scores, intervals = value
    if not 3 <= len(seeds) <= MOST_SEEDS:
        raise Wrong(
            f"Expected three seeds at least, and at most {MOST_SEEDS}, received {len(seeds)}."
        )
    both(scores, "scores")

    def judge(setting, reported):
        found = arms(scores[setting], len(seeds), f"scores[{setting!r}]")
        got, right = (
            complete(reported, 3, f"intervals[{setting!r}]"),
            ends(found),
        )
        half = right[2] - right[0]
        digits = max(len(repr(float(each)).partition(".")[2]) for each in got)
        rounding = 0.5 * 10.0**-digits
        allowed = 0.02 * half + min(rounding, 5e-5) + 1e-9
        if is_near(got, right, allowed):
            return
        d, n = found["ECA"] - found["SE"], len(seeds)
        near = [
            (
                -right[[0, 2, 1]],
                "These are differences SE − ECA; ECA − SE is asked for.",
            ),
            *(
                (d.mean() + np.array([0, -wide, wide]), hint)
                for wide, hint in (
                    (
                        half * 1.96 / quantile(n),
                        "With few seeds, t is larger than the normal 1.96.",
                    ),
                    (
                        half * d.std() / max(d.std(ddof=1), 1e-12),
                        "The standard deviation is taken with n − 1.",
                    ),
                    (
                        half * math.sqrt(n),
                        "That is how far single differences scatter. Which factor makes it that of their mean?",
                    ),
                    (
                        half / quantile(n),
                        "The factor t is lacking.",
                    ),
                )
            ),
        ]
        hint = next(
            (h for ends, h in near if is_near(got, ends, allowed)), ""
        )
        if not hint and is_near(got, right, allowed + rounding):
            raise Wrong(
                f"For {setting!r}, the interval has too few digits.",
                "Four decimals at least are asked for.",
                share=0.5,
            )
        raise Wrong(
            f"For {setting!r}, your scores give other numbers than your interval.",
            hint,
        )

    each_setting(intervals, "intervals", judge)


def is_near(got, right, allowed):
    """Whether no number lies further off than is allowed."""
    return bool((np.abs(got - right) <= allowed).all())


def told_by(low, high):
    """Return what an interval of ECA − SE says."""
    return "ECA" if low > 0 else "SE" if high < 0 else "undecided"


def verdict(value):
    """Ask that each verdict is that of its own interval; one that the scores themselves give is right as well."""
    seeds, scores, intervals, verdicts = value

    def judge(setting, reported):
        right = [told_by(low, high) for low, high in spans(setting)]
        if not right:
            raise Wrong(
                f"For {setting!r} there is no interval that a verdict could follow from."
            )
        if reported not in right:
            raise Wrong(
                f"For {setting!r}, the interval does not give the verdict {describe(reported)}."
            )

    def spans(setting):
        if isinstance(intervals, dict):
            own = attempt(complete, intervals.get(setting), 3, "an interval")
            if not isinstance(own, Exception):
                yield own[1:]
        found = attempt(
            lambda: ends(arms(scores[setting], len(seeds), "scores"))
        )
        if not isinstance(found, Exception):
            yield found[1:]

    each_setting(verdicts, "verdicts", judge)


def repeats(value):
    """Ask for the same scores and data with the same seed, and for others with another."""
    if any(
        value[key] is None or value[key] is Ellipsis
        for key in ("first", "again", "other")
    ):
        raise Unanswered
    first, again, other = (
        arms(value[key], 1, "what measure returned")
        for key in ("first", "again", "other")
    )
    if not all(
        np.allclose(first[name], again[name], atol=1e-3) for name in first
    ):
        raise Wrong(
            "Called twice with the same seed, measure returned different scores."
        )
    if value["shared"] > value["rows"] / 2:
        raise Wrong(
            "Two seeds met the same samples.",
            "A task that is made once, or always from one seed, never changes.",
        )
    if all(np.array_equal(first[name], other[name]) for name in first):
        raise Wrong(
            "Two seeds gave exactly the same scores: does the seed reach the task, the weights, the order?"
        )


def trained(value):
    """Ask for the training that the question describes, as far as it can be seen."""
    if value["first"] is None or value["first"] is Ellipsis:
        raise Unanswered
    found = arms(value["first"], 1, "what measure returned")
    steps, rows = value["steps"] / len(found), value["rows"]
    told = []
    if steps and not 290 <= steps <= 310:
        told.append(f"Expected 300 steps for each arm, counted {steps:g}.")
    if steps and not 0.019 <= value["rate"] <= 0.0205:
        told.append(
            f"Expected lr=0.02, the optimiser's largest was {value['rate']:.3g}."
        )
    other = [each for each in value["sizes"] if list(each) != [2000, 500]]
    if other:
        told.append(
            "Expected 2,000 samples to train with and 500 to test with; the task had "
            f"{other[0][0]:,} and {other[0][1]:,}."
        )
    elif rows and not 2400 <= rows <= 2500:
        told.append(
            f"Expected 2,000 samples to train with and 500 to test with; the models met {rows:,} together."
        )
    if not steps and found["SE"][0] < 0.53:
        told.append("SE stays below what 300 steps bring it to.")
    if told:
        raise Wrong(" ".join(told))


# Inputs: X1 and V3 are shown in the feedback, all others are not.

X1, X2, X3 = (
    drawn(11, 2, 6, 4, 4),
    drawn(12, 3, 7, 2, 9),
    drawn(13, 1, 3, 5, 1),
)
X4, X5 = drawn(14, 4, 16, 3, 5), drawn(15, 3, 12, 2, 6)
V3, V5, V7, V3B = drawn(21, 3), drawn(22, 5), drawn(23, 7), drawn(24, 3)
# Who leaves question 2 or 4 out could find out what these give, and has lost its points by then.
KERNEL_SIZE = """
from math import log2 as _log2

def _stand_in(channels, gamma=2, b=1):
    t = abs((_log2(channels) + b) / gamma)
    return int(t) + 1 - int(t) % 2

kernel_size = _stand_in
"""
# What is built on it cannot work with a size that is no whole odd number.
ODD = """
for channels in (8, 12, 16, 64, 256, 512, 1024, 2048):
    k = kernel_size(channels)
    if type(k) is not int or k < 1 or k % 2 == 0:
        raise ValueError("no whole odd number")
answer = True
"""
OWN_BLOCK = """
import torch as _torch

class _Block(_torch.nn.Conv1d):
    def __init__(self, count, gamma=2, b=1):
        t = abs((_torch.tensor(float(count)).log2().item() + b) / gamma)
        k = int(t) + 1 - int(t) % 2
        super().__init__(1, 1, k, padding=k // 2, bias=False)

    def gates(self, maps):
        return super().forward(maps.mean((2, 3))[:, None])[:, 0].sigmoid()

    def forward(self, maps):
        return maps * self.gates(maps)[:, :, None, None]

ECA = _Block
"""
# Question 6 can be answered with any block that this passes, right or not.
TRAINABLE = """
block = ECA(64)
x = torch.randn(5, 64, 2, 2)
found = block.gates(x)
loss = torch.nn.functional.binary_cross_entropy(found, (x.mean((2, 3)) > 0).float())
loss.backward()
torch.optim.Adam(block.parameters()).step()
answer = True
"""
EACH = "answer = [kernel_size(*each) for each in asked]"
BATCH = """
block = ECA(12)
with torch.no_grad():
    answer = [block(x), torch.cat([block(one) for one in x.split(1)])]
"""
SLOPE = """
w = w.clone().requires_grad_()
out = eca(x, w)
(out * torch.linspace(-1, 1, out.numel()).reshape(out.shape)).sum().backward()
answer = w.grad
"""
REPORTED = "answer = [list(SEEDS), scores]"
AGAIN = "answer = measure(permute, list(SEEDS)[:1])"
# The samples that any model meets, by what their numbers add up to, and the steps of any optimiser are counted.
WATCHED = """
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

import __main__

rates, sizes, met = [], [], set()
makes = getattr(__main__, "gate_patterns", None)

def meet(module, given):
    x = given[0] if given else None
    if isinstance(x, torch.Tensor) and x.ndim == 4 and x.shape[1:] == (64, 2, 2):
        met.update(x.detach().double().flatten(1).sum(1).tolist())

def made(*given, **options):
    task = makes(*given, **options)
    sizes.append([len(task.train[0]), len(task.test[0])])
    return task

def stepped(optimiser, *given):
    rates.append(float(optimiser.param_groups[0]["lr"]))

hooks = [
    register_module_forward_pre_hook(meet),
    register_optimizer_step_post_hook(stepped),
]
try:
    if makes is not None:
        __main__.gate_patterns = made
    first = measure(True, (31,))
    rows, count = set(met), len(rates)
    met.clear()
    other = measure(True, (32,))
finally:
    if makes is not None:
        __main__.gate_patterns = makes
    for hook in hooks:
        hook.remove()
answer = {
    "first": first,
    "again": measure(True, (31,)),
    "other": other,
    "rows": len(rows),
    "shared": len(rows & met),
    "steps": count,
    "rate": max(rates, default=0.0),
    "sizes": sizes,
}
"""
MEASURED = Run("measure", WATCHED)

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
            3,
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
                        "Not all rows of the matrix are alike.",
                    ),
                    (
                        188,
                        "Count the entries of the first row and of the last one again.",
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
            3,
            Look("rank"),
            Number(
                4,
                "the rank",
                reveal=False,
                mistakes=[
                    (64, "What do all gates have to be computed from?")
                ],
            ),
            "W_2 W_1, with W_1 of C/r rows",
            "A product has at most the rank of its factors.",
        ),
        Manual(
            "(e) Why ECA does not reduce the dimension",
            4,
            "the bottleneck, what follows from it, the direct link in ECA, and what ECA gives up: one point each",
            Text("<!-- answer 1e -->"),
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
            sizes([3, 7]),
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
            sizes([7, 3, 3]),
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
    StandIn("kernel_size", KERNEL_SIZE, Run("kernel_size", ODD)),
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
            again(
                Close(gates(X2, V5), "the gates", mistakes=mistakes(X2, V5)),
                0.8,
            ),
            GATE,
            "Nothing may be fixed to k = 3, nor to height = width.",
            hidden=True,
        ),
        Part(
            "A kernel longer than the row of channels",
            2,
            Call("eca_gates", X3, V7),
            again(
                Close(gates(X3, V7), "the gates", mistakes=mistakes(X3, V7)),
                0.5,
            ),
            GATE,
            "Beyond the ends are zeros, as many as the kernel meets.",
            hidden=True,
        ),
        Part(
            "The gated maps",
            4,
            *gated_like(X1, V3, "the gated maps"),
            GATED,
            "Each gate scales all positions of its channel.",
        ),
        Part(
            "The gated maps of another input",
            2,
            *gated_like(X4, V3B, "the gated maps", untouched=False),
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
            *weights(64, 3),
            GATE,
            "One kernel, shared by all channels.",
        ),
        Part(
            "As many weights as equation (2) says",
            2,
            *weights(1024, 5),
            SIZE,
            "The number of weights depends on the number of channels.",
            hidden=True,
        ),
        Part(
            "The output",
            4,
            *same_as("eca", X5, V3, "the output"),
            GATED,
            "With the same kernel, the block and eca give the same.",
        ),
        Part(
            "The gates",
            2,
            *same_as("eca_gates", X5, V3, "the gates", method="gates"),
            GATE,
            "Compare them with those of eca_gates, for the same kernel.",
        ),
        Part(
            "Other γ and b",
            3,
            Steps("ECA", other_sizes),
            Check(output_of_other_sizes),
            SIZE,
            "Do γ and b reach the kernel size?",
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
            Steps("ECA", gradients),
            Check(gradient),
            GATE,
            "Nothing on the way from the kernel to the output may leave the graph.",
        ),
    ),
    StandIn("ECA", OWN_BLOCK, Run("ECA", TRAINABLE)),
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
            Steps("resnet50", added),
            Check(total),
            COST,
            "How many blocks of each width are there, and what does one of them add?",
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
            "How many blocks of each width are there, and what does one of them add?",
        ),
    ),
)
TEST = Question(
    "6",
    "A test of the claim",
    (
        Part(
            "A score for each seed, arm and setting",
            1,
            Run("scores", REPORTED),
            Check(report),
            "three seeds at least, two arms, two settings",
            "scores[setting][arm] is a list, one score a seed.",
        ),
        Part(
            "The scores are those that measure returns",
            4,
            Steps("scores", first_seed),
            Check(measured),
            "the same seed, the same data, the same start",
            "Call measure with your first seed alone, and compare.",
        ),
        Part(
            "The intervals follow from the scores",
            3,
            Run("intervals", "answer = [list(SEEDS), scores, intervals]"),
            Check(follows),
            INTERVAL,
            "Differences are taken seed by seed, ECA − SE.",
        ),
        Part(
            "The verdicts follow from the intervals",
            2,
            Run(
                "verdicts",
                "answer = [list(SEEDS), scores, intervals, verdicts]",
            ),
            Check(verdict),
            INTERVAL,
            "Does the interval hold 0? If not, on which side of it does it lie?",
        ),
        Part(
            "The measurement can be repeated",
            2,
            MEASURED,
            Check(repeats),
            "the same seed, the same data, the same start",
            "The seed sets the data, the initial weights and the order of the samples.",
        ),
        Part(
            "The training is the one that is asked for",
            2,
            MEASURED,
            Check(trained),
            "2,000 and 500 samples, 300 steps, lr=0.02",
            "Compare the numbers in the question with those in your call.",
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
            Text("<!-- answer 7 -->"),
        ),
    ),
)
ASSIGNMENT = Assignment(
    "From an equation to a block",
    (NUMBERS, KERNEL, FUNCTION, BLOCK, COSTS, TEST, MEANING),
    limits=Limits(call=40),
)
