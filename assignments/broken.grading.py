"""Grades assignment 2, *Five broken blocks*: tests that find a mistake, and blocks without it.

Only the grader reads this file. A student's test is run on hidden blocks: right ones that are written in several ways,
and wrong ones. They exist in the submission's process only while its tests run, under one name and in an order that is
drawn anew each time; which of them is right is known here alone. The mended blocks are asked for before that, so that
no test can have kept a right one for them. What they return is compared with the equations, in numpy.

Among the right blocks is, wherever its rounding differs from that of the others, the given one with its mistake mended
and nothing else changed.

Of what a test says about a hidden block, nothing gets into the report: only the number of the line that failed comes
back, and the line itself is read from the notebook here. A test has found the mistake where it fails for the given
block in other words and passes at least one right block; one that is so strict that rounding makes it fail for some
right blocks loses the points for those, and not all nine.
"""

import re

import numpy as np

from attention.grading import (
    Assignment,
    Build,
    Check,
    Close,
    Lacking,
    Limits,
    Look,
    Manual,
    Part,
    Question,
    Reply,
    Run,
    Steps,
    Text,
    Unanswered,
    Wrong,
    describe,
)

DOUBLE = (
    "equations (1) to (3): every softmax, its axis, and the sums behind it"
)
DILATED = "equations (4) and (5): two dilated convolutions among zeros, one gate a position"
FUSED = "equations (6) to (8): two gates, each with parameters of its own"
SIMILAR = "equations (9) and (10): channels mixed by their similarity"
COORDINATE = "equations (11) to (13): a gate for rows, a gate for columns, and their product"
LITERAL = "Compute a small case with loops, straight from the equations, and compare."
SEEDED = "Begin the test with torch.manual_seed(0): new blocks and torch.randn draw other numbers each time."
ROUNDED = "Allow for rounding: a right block that is written another way comes to numbers that differ a little."
NAN = "There is nan among the numbers that the test worked with. Nothing equals nan, whatever the tolerance: look for 0 / 0, inf - inf, or the root of a number below 0 in the test."
NAMED = "Use only what is named: the constructor, the names of the parameters, and calling the block."
FINITE = "exp of more than 88 is inf: subtract the largest score before exp, or use softmax and sigmoid."


# The equations, in numpy.


def sigmoid(t):
    """Return σ(t)."""
    return np.exp(-np.logaddexp(0, -t))


def softmax(t, axis):
    """Return e^t, divided by its sums along an axis."""
    e = np.exp(t - t.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def pointwise(p, name, x):
    """Apply a linear layer, or a convolution of size 1, at each position; its bias where it has one."""
    w = p[f"{name}.weight"]
    y = np.einsum("oc,bc...->bo...", w.reshape(w.shape[:2]), x)
    bias = p.get(f"{name}.bias")
    return (
        y if bias is None else y + bias.reshape(-1, *(1 for _ in x.shape[2:]))
    )


def dilated(p, name, x, step):
    """Apply a 3 × 3 convolution whose taps stand so many positions apart, among zeros."""
    w, (height, width) = p[f"{name}.weight"], x.shape[2:]
    y = np.zeros((len(x), len(w), height, width))
    padded = np.pad(x, ((0, 0), (0, 0), (step, step), (step, step)))
    for i in range(3):
        for j in range(3):
            seen = padded[
                :,
                :,
                i * step : i * step + height,
                j * step : j * step + width,
            ]
            y += np.einsum("oc,bchw->bohw", w[:, :, i, j], seen)
    return y + p[f"{name}.bias"][:, None, None]


def double(p, x, axis=1):
    """Equations (1) to (3); with ``axis=0`` the given block."""
    flat = x.reshape(*x.shape[:2], -1)
    gather = softmax(pointwise(p, "gather", flat), 2)
    spread = softmax(pointwise(p, "distribute", flat), axis)
    found = np.einsum("bmi,bki->bmk", pointwise(p, "features", flat), gather)
    mixed = np.einsum("bmk,bki->bmi", found, spread)
    return x + pointwise(p, "out", mixed).reshape(x.shape)


def dilated_gate(p, x, step=2):
    """Equations (4) and (5)."""
    s = np.maximum(pointwise(p, "reduce", x), 0)
    for name in ("first", "second"):
        s = np.maximum(dilated(p, name, s, step), 0)
    return x * (1 + sigmoid(pointwise(p, "score", s)))


def fused(p, x, y, second="second"):
    """Equations (6) to (8); with ``second="first"`` the given block."""

    def gate(name, u):
        paths = (
            (f"{name}.local", u),
            (f"{name}.pooled", u.mean((2, 3), keepdims=True)),
        )
        return sigmoid(
            sum(
                pointwise(
                    p,
                    f"{path}.2",
                    np.maximum(pointwise(p, f"{path}.0", v), 0),
                )
                for path, v in paths
            )
        )

    g = gate("first", x + y)
    u = g * x + (1 - g) * y
    g = gate(second, u)
    return g * x + (1 - g) * y


def similar(p, x, sign=1):
    """Equations (9) and (10); with ``sign=-1`` the given block."""
    a = x.reshape(*x.shape[:2], -1)
    weights = softmax(sign * a @ a.transpose(0, 2, 1), 2)
    return p["scale"] * (weights @ a).reshape(x.shape) + x


def coordinate(p, x, residual=0):
    """Equations (11) to (13); with ``residual=1`` the given block."""
    gates = []
    for name, axis in (("rows", 3), ("columns", 2)):
        code = pointwise(p, "squeeze", x.mean(axis))
        code = code * np.clip(code + 3, 0, 6) / 6
        gates.append(sigmoid(pointwise(p, name, code)))
    return x * (residual + gates[0][:, :, :, None] * gates[1][:, :, None, :])


# Inputs and parameters.


def drawn(seed, *shape):
    """Return random numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def parameters(seed, **shapes):
    """Return random parameters by name; names have _ in place of a point, and weights are scaled by their inputs."""
    found = {}
    for place, (name, shape) in enumerate(shapes.items()):
        scale = 1.5 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.5
        values = scale * drawn(100 * seed + place, *shape)
        found[name.replace("_", ".")] = values.astype("float32")
    return found


def of_double(seed, c, m, k):
    """Parameters of block 1."""
    return parameters(
        seed,
        features_weight=(m, c),
        features_bias=(m,),
        gather_weight=(k, c),
        distribute_weight=(k, c),
        out_weight=(c, m),
        out_bias=(c,),
    )


def of_dilated(seed, c, m):
    """Parameters of block 2."""
    return parameters(
        seed,
        reduce_weight=(m, c, 1, 1),
        reduce_bias=(m,),
        first_weight=(m, m, 3, 3),
        first_bias=(m,),
        second_weight=(m, m, 3, 3),
        second_bias=(m,),
        score_weight=(1, m, 1, 1),
        score_bias=(1,),
    )


def of_fused(seed, c, m):
    """Parameters of block 3."""
    shapes = {}
    for gate in ("first", "second"):
        for path in ("local", "pooled"):
            name = f"{gate}_{path}"
            shapes |= {
                f"{name}_0_weight": (m, c, 1, 1),
                f"{name}_0_bias": (m,),
            }
            shapes |= {
                f"{name}_2_weight": (c, m, 1, 1),
                f"{name}_2_bias": (c,),
            }
    return parameters(seed, **shapes)


def of_coordinate(seed, c, m):
    """Parameters of block 5."""
    return parameters(
        seed,
        squeeze_weight=(m, c, 1),
        squeeze_bias=(m,),
        rows_weight=(c, m, 1),
        rows_bias=(c,),
        columns_weight=(c, m, 1),
        columns_bias=(c,),
    )


# The mended blocks.


def directions(values, seed):
    """Return a random direction for each array."""
    return [
        drawn(seed + place, *each.shape).astype("float64")
        for place, each in enumerate(values)
    ]


def slope(equations, p, inputs, seed, step=1e-6):
    """How fast the weighted output grows along random directions of all parameters and inputs: by differences."""
    names, values = list(p), [*p.values(), *inputs]
    ways = directions(values, seed)

    def at(t):
        moved = [
            v.astype("float64") + t * w
            for v, w in zip(values, ways, strict=True)
        ]
        out = equations(
            dict(zip(names, moved, strict=False)), *moved[len(names) :]
        )
        return (out * np.linspace(-1, 1, out.size).reshape(out.shape)).sum()

    return (at(step) - at(-step)) / (2 * step)


def flows(name, equations, case, seed):
    """Ask that every parameter and input has a gradient, and that the gradients are those of the equations."""
    _, p, inputs, *_ = case
    right = outputs(equations, case, name)

    def judge(found):
        try:
            lists = [found["gradients"][name] for name in p] + list(
                found["input_gradients"]
            )
            without = [
                name
                for name, g in zip(
                    [*p, *("an input" for _ in inputs)], lists, strict=True
                )
                if g is None or not g.numbers.any()
            ]
        except (KeyError, TypeError, AttributeError, ValueError):
            raise Wrong(
                "Expected a gradient for each parameter and input."
            ) from None
        if without:
            more = f", and {len(without) - 1} more" if without[1:] else ""
            raise Wrong(f"No gradient reaches {without[0]}{more}.")
        try:
            right(Reply("value", found))
        except Wrong:
            raise Lacking(
                f"This counts once the output of {name} is right."
            ) from None
        ways = directions([*p.values(), *inputs], seed)
        got = sum(
            (g.numbers.astype("float64") * way).sum()
            for g, way in zip(lists, ways, strict=True)
        )
        slopes = slope(equations, p, inputs, seed)
        if not abs(got - slopes) <= 2e-3 * max(abs(slopes), 1):
            raise Wrong("The gradients are not those of the equations.")

    return Check(judge)


def outputs(equations, case, name, given=()):
    """Return what compares an output with the equations.

    :param given: what turns the equations into those of the given block, where they are to be recognised.
    """
    _, p, inputs, *known = case
    exact = [
        {key: value.astype("float64") for key, value in p.items()},
        *(x.astype("float64") for x in inputs),
    ]
    still = (
        f"These are still the values of {name.replace('Mended', 'Block')}."
    )
    near = [(equations(*exact, **given), still)] if given else []
    return Close(
        equations(*exact, **(known[0] if known else {})),
        "the output",
        tolerance=3e-4,
        of="output",
        mistakes=near,
    )


class Others:
    """A mended block with other arguments of its constructor, other sizes, and numbers that are large.

    :param signature: of the given block's constructor, as a student would write it.
    :param cases: as for :func:`mended`; the last one has the large numbers.
    """

    def __init__(self, name, equations, signature, cases):
        self.name, self.signature, self.cases = name, signature, cases
        self.judges = [outputs(equations, case, name) for case in cases]
        self.ask = Steps(name, self.all)

    def all(self, ask):
        """Build and call it for each case; an error ends it."""
        found = []
        for arguments, p, inputs, *_ in self.cases:
            try:
                ask(Build(self.name, *arguments))
            except Lacking:
                raise
            except Wrong as problem:
                told = f"{self.name} cannot be built with all arguments that the given block takes"
                message = (
                    f"{told}: its constructor is to be {self.signature}."
                )
                raise Wrong(message, brief=message) from problem
            asked = Build(
                self.name, *arguments, load=p, inputs=inputs, training=False
            )
            found.append(ask(asked).value)
        return found

    def judge(self, found):
        """Compare each output."""
        for judge, case in zip(self.judges, found, strict=True):
            output = case.get("output") if isinstance(case, dict) else None
            numbers = getattr(output, "numbers", np.zeros(0))
            if judge is self.judges[-1] and not np.isfinite(numbers).all():
                message = "For large numbers there are inf or nan among those of the output."
                raise Wrong(message, brief=message, known=FINITE)
            judge(Reply("value", case))


def mended(
    number, equations, signature, shown, others, third, equation, given
):
    """Return the parts that judge a mended block; its methods are asked for before any test has seen a right one.

    A case: arguments of the constructor, parameters, inputs, and what the equations must know beside.

    :param signature: of the constructor.
    :param given: what turns the equations into those of the given block.
    """
    name = f"Mended{number}"
    other = Others(name, equations, signature, others)
    arguments, p, inputs, *_ = shown
    graded = third[1], third[2]
    return (
        Part(
            f"{name}: its output",
            2,
            Build(name, *arguments, load=p, inputs=inputs),
            outputs(equations, shown, name, given),
            equation,
            f"Run test_{number} on {name}, and then compare with loops.",
            early=True,
        ),
        Part(
            f"{name}: other sizes, other batches, large numbers",
            2,
            other.ask,
            Check(other.judge),
            equation,
            "Any number of images and channels, maps that are not square, other arguments of the constructor.",
            hidden=True,
            early=True,
        ),
        Part(
            f"{name}: its gradients",
            1,
            Build(
                name,
                *third[0],
                load=graded[0],
                inputs=graded[1],
                gradients=True,
            ),
            flows(name, equations, third, 900 + number),
            equation,
            "Every parameter of the equations is used, nothing on the way leaves the graph, and no input is changed in place.",
            early=True,
        ),
    )


# What tests are run on: right blocks and wrong ones. The first lines of each code are shared by all of a question's.


def but(code, *pairs):
    """Return code with some of its text exchanged."""
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert code.count(old) == 1, (code.count(old), old)
        code = code.replace(old, new)
    return code


HEAD = """
import torch; from torch import nn; import torch.nn.functional as f
"""
BEGIN1 = (
    HEAD
    + """
class Block(nn.Module):
    def __init__(self, channels, width=4, descriptors=3):
        nn.Module.__init__(self)
        self.features, self.out = nn.Linear(channels, width), nn.Linear(width, channels)
        self.gather, self.distribute = (nn.Linear(channels, descriptors, False) for _ in range(2))
"""
)
SPREAD = (
    BEGIN1
    + """
    def forward(self, x):
        rows = x.flatten(2).mT
        a, g, d = self.features(rows), self.gather(rows).softmax(1), self.distribute(rows).softmax(2)
        return x + self.out(d @ (g.mT @ a)).mT.reshape(x.shape)
"""
)
BLOCKS1 = {
    "right": [
        SPREAD,
        BEGIN1
        + """
    def forward(self, x):
        height, width = x.shape[2:]
        positions = x.flatten(2).permute(2, 0, 1)
        features = self.features(positions)
        gather = self.gather(positions).softmax(0)
        distribute = self.distribute(positions).softmax(-1)
        found = torch.einsum("nbm,nbk->bkm", features, gather)
        mixed = torch.einsum("bkm,nbk->nbm", found, distribute)
        return x + self.out(mixed).permute(1, 2, 0).unflatten(2, (height, width))
""",
        BEGIN1
        + """
    def one(self, image):
        columns = image.flatten(1)
        a = self.features.weight @ columns + self.features.bias[:, None]
        gather = torch.exp(torch.log_softmax(self.gather.weight @ columns, dim=1))
        e = self.distribute.weight @ columns
        e = (e - e.amax(0)).exp()
        z = (a @ gather.T) @ (e / e.sum(0))
        return image + (self.out.weight @ z + self.out.bias[:, None]).reshape(image.shape)

    def forward(self, x):
        return torch.stack([self.one(image) for image in x])
""",
        BEGIN1
        + """
    def forward(self, x):
        last = x.permute(0, 2, 3, 1)
        gather, spread = self.gather(last).flatten(1, 2).softmax(1), self.distribute(last).flatten(1, 2).softmax(-1)
        links = torch.einsum("bik,bjk->bij", spread, gather)
        z = links @ self.features(last).flatten(1, 2)
        return (last + self.out(z).unflatten(1, last.shape[1:3])).permute(0, 3, 1, 2)
""",
    ],
    "given": but(SPREAD, "softmax(2)", "softmax(0)"),
    "elsewhere": but(SPREAD, "softmax(1)", "softmax(0)"),
    "other": [
        but(
            SPREAD,
            "self.distribute(rows).softmax(2)",
            "self.distribute(rows).softmax(1)",
        ),
        but(
            SPREAD,
            "self.gather(rows).softmax(1)",
            "self.gather(rows).softmax(2)",
        ),
        but(SPREAD, "(g.mT @ a)", "(g.mT @ a).mean(0, keepdim=True)"),
    ],
}
BEGIN2 = (
    HEAD
    + """
class Block(nn.Module):
    def __init__(self, channels, hidden=4, dilation=2):
        nn.Module.__init__(self)
        self.reduce, self.score = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, 1, 1)
        self.first = nn.Conv2d(hidden, hidden, 3, 1, dilation, dilation)
        self.second = nn.Conv2d(hidden, hidden, 3, 1, dilation, dilation)
"""
)
REACH = (
    BEGIN2
    + """
    def forward(self, x):
        s = self.score(f.relu(self.second(f.relu(self.first(f.relu(self.reduce(x)))))))
        return x + x * s.sigmoid()
"""
)
RESIZED = but(
    REACH,
    "x * s.sigmoid()",
    "x * f.interpolate(s, size=tuple(x.shape[2:]), mode='bilinear', align_corners=False).sigmoid()",
)
FIRST, SECOND = (
    f"self.{name} = nn.Conv2d(hidden, hidden, 3, 1, dilation, dilation)"
    for name in ("first", "second")
)
BLOCKS2 = {
    "right": [
        REACH,
        RESIZED,
        but(
            BEGIN2,
            FIRST,
            FIRST.replace("1, dilation,", "1, 0,"),
            SECOND,
            SECOND.replace("1, dilation,", "1, 0,"),
        )
        + """
    def far(self, layer, s):
        d = layer.dilation[0]
        s, w = f.pad(s, (d, d, d, d)), layer.weight
        taps = [(i, j) for i in range(3) for j in range(3)]
        size = s.shape[2] - 2 * d, s.shape[3] - 2 * d
        seen = [s[:, :, i * d : i * d + size[0], j * d : j * d + size[1]] for i, j in taps]
        out = sum(torch.einsum("oc,bchw->bohw", w[:, :, i, j], each) for (i, j), each in zip(taps, seen))
        return (out + layer.bias[:, None, None]).clamp(min=0)

    def forward(self, x):
        s = self.far(self.second, self.far(self.first, self.reduce(x).clamp(min=0)))
        return x * (1 + torch.sigmoid(self.score(s)))
""",
    ],
    "given": but(
        RESIZED,
        FIRST,
        FIRST.replace("1, dilation,", "1, 1,"),
        SECOND,
        SECOND.replace("1, dilation,", "1, 1,"),
    ),
    "elsewhere": but(
        RESIZED, SECOND, SECOND.replace("1, dilation,", "1, 1,")
    ),
    "other": [
        # No gate at the border: its logits are 0 there.
        but(
            REACH,
            "        return x",
            "        inside = torch.zeros_like(s)\n        inside[:, :, 1:-1, 1:-1] = 1\n        s = s * inside\n        return x",
        ),
        # Not dilated at all.
        but(
            REACH,
            FIRST,
            FIRST.replace("1, dilation, dilation", "1, 1"),
            SECOND,
            SECOND.replace("1, dilation, dilation", "1, 1"),
        ),
        # The border repeated instead of zeros.
        but(
            REACH,
            FIRST,
            FIRST[:-1] + ", padding_mode='replicate')",
            SECOND,
            SECOND[:-1] + ", padding_mode='replicate')",
        ),
    ],
}
BEGIN3 = (
    HEAD
    + """
def path(channels, hidden):
    return nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))

class Choice(nn.Module):
    def __init__(self, channels, hidden):
        nn.Module.__init__(self)
        self.local, self.pooled = path(channels, hidden), path(channels, hidden)

    def forward(self, u):
        return torch.sigmoid(self.local(u) + self.pooled(u.mean(dim=(2, 3), keepdim=True)))

class Block(nn.Module):
    def __init__(self, channels, hidden=4):
        nn.Module.__init__(self)
        self.first, self.second = Choice(channels, hidden), Choice(channels, hidden)
"""
)
TWICE = (
    BEGIN3
    + """
    def forward(self, x, y):
        once = torch.lerp(y, x, self.first(x + y))
        return torch.lerp(y, x, self.second(once))
"""
)
BLOCKS3 = {
    "right": [
        TWICE,
        BEGIN3
        + """
    def forward(self, x, y):
        once = self.first(x + y)
        mixture = once * x + (1 - once) * y
        again = self.second(mixture)
        return again * x + (1 - again) * y
""",
        BEGIN3
        + """
    def mix(self, gate, u, x, y):
        low, high = gate.local, gate.pooled
        t = f.adaptive_avg_pool2d(u, 1)
        logits = low[2](low[0](u).clamp(min=0)) + high[2](f.relu(high[0](t)))
        return y + (x - y) * torch.sigmoid(logits)

    def forward(self, x, y):
        return self.mix(self.second, self.mix(self.first, x + y, x, y), x, y)
""",
        BEGIN3
        + """
    def forward(self, x, y):
        u = x + y
        for gate in (self.first, self.second):
            pair = torch.stack([gate(u), 1 - gate(u)])
            u = (pair * torch.stack([x, y])).sum(0)
        return u
""",
    ],
    "given": but(TWICE, "self.second(once)", "self.first(once)"),
    "elsewhere": but(TWICE, "self.first(x + y)", "self.second(x + y)"),
    "other": [
        but(TWICE, "self.second(once)", "self.second(once.detach())"),
        but(TWICE, "self.pooled(u.mean(", "self.local(u.mean("),
        but(
            TWICE,
            "torch.lerp(y, x, self.second",
            "torch.lerp(x, y, self.second",
        ),
    ],
}
BEGIN4 = (
    HEAD
    + """
class Block(nn.Module):
    def __init__(self):
        nn.Module.__init__(self)
        self.scale = nn.Parameter(torch.zeros((1,)))
"""
)
ALIKE = (
    BEGIN4
    + """
    def forward(self, x):
        a = x.flatten(2)
        w = torch.softmax(torch.bmm(a, a.mT), dim=2)
        return x + self.scale * torch.bmm(w, a).view_as(x)
"""
)
BLOCKS4 = {
    "right": [
        ALIKE,
        BEGIN4
        + """
    def forward(self, x):
        out = []
        for image in x:
            e = torch.einsum("ihw,jhw->ij", image, image)
            e = torch.exp(e - e.max(1, keepdim=True).values)
            out.append(image + torch.einsum("ij,jhw->ihw", self.scale * e / e.sum(1, keepdim=True), image))
        return torch.stack(out)
""",
        BEGIN4
        + """
    def forward(self, x):
        a = x.flatten(2)
        w = torch.log_softmax(a @ a.mT, 2).exp()
        return x + (self.scale * w @ a).unflatten(2, x.shape[2:])
""",
    ],
    "given": but(ALIKE, "torch.bmm(a, a.mT)", "-torch.bmm(a, a.mT)"),
    "elsewhere": but(
        ALIKE,
        "        return x",
        "        w = (1 - w) / (w.shape[1] - 1) if w.shape[1] > 1 else w\n        return x",
    ),
    "other": [
        but(ALIKE, "dim=2", "dim=1"),
        but(
            ALIKE,
            "torch.bmm(a, a.mT)",
            "torch.bmm(a, a.mT) / a.shape[2] ** 0.5",
        ),
        but(
            ALIKE,
            "x + self.scale * torch.bmm(w, a).view_as(x)",
            "self.scale * (x + torch.bmm(w, a).view_as(x))",
        ),
    ],
}
BEGIN5 = (
    HEAD
    + """
class Block(nn.Module):
    def __init__(self, channels, hidden=4):
        nn.Module.__init__(self)
        self.squeeze = nn.Conv1d(channels, hidden, 1)
        self.rows, self.columns = nn.Conv1d(hidden, channels, 1), nn.Conv1d(hidden, channels, 1)
"""
)
CROSSED = (
    BEGIN5
    + """
    def code(self, means):
        return f.hardswish(self.squeeze(means))

    def forward(self, x):
        r = torch.sigmoid(self.rows(self.code(x.mean(-1)))).unsqueeze(-1)
        c = torch.sigmoid(self.columns(self.code(x.mean(-2)))).unsqueeze(-2)
        return x * r * c
"""
)
BLOCKS5 = {
    "right": [
        CROSSED,
        BEGIN5
        + """
    def forward(self, x):
        height, width = x.shape[2:]
        means = torch.cat([x.mean(3), x.mean(2)], dim=2)
        r, c = f.hardswish(self.squeeze(means)).split([height, width], dim=2)
        return x * self.rows(r).sigmoid()[:, :, :, None] * self.columns(c).sigmoid()[:, :, None, :]
""",
        BEGIN5
        + """
    def gate(self, layer, means):
        w = self.squeeze.weight[:, :, 0]
        t = torch.einsum("mc,bcn->bmn", w, means) + self.squeeze.bias[:, None]
        t = t * torch.clamp(t + 3, 0, 6) / 6
        return torch.sigmoid(torch.einsum("cm,bmn->bcn", layer.weight[:, :, 0], t) + layer.bias[:, None])

    def forward(self, x):
        b, c, h, w = x.shape
        high, wide = self.gate(self.rows, x.sum(3) / w), self.gate(self.columns, x.sum(2) / h)
        return torch.einsum("bchw,bch,bcw->bchw", x, high, wide)
""",
        BEGIN5
        + """
    def forward(self, x):
        h = x.shape[2]
        both = f.hardswish(self.squeeze(torch.cat((x.mean(3), x.mean(2)), -1)))
        gates = self.rows(both)[..., :h].sigmoid()[..., None] * self.columns(both)[..., h:].sigmoid()[:, :, None]
        return gates * x
""",
    ],
    "given": but(CROSSED, "x * r * c", "x + x * r * c"),
    "elsewhere": but(CROSSED, "x * r * c", "(x + x * r) * c"),
    "other": [
        but(CROSSED, "x * r * c", "x * (r + c) / 2"),
        but(CROSSED, "x.mean(-1)", "x.amax(-1)"),
        but(CROSSED, "self.columns(", "self.rows("),
    ],
}

SEEDS = (1, 2, 3)
TRY = """
from builtins import *
def own_frames(trace):
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith("<cell "):
            yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next

def line_of(trace):
    # The line of the test itself, where it has one on the way, and not of a function that helps it.
    place = own = None
    for frame, line in own_frames(trace):
        place = [int(frame.f_code.co_filename[6:-1]), line]
        own = place if frame.f_code.co_name == "TEST" else own
    return own or place

def nan_in(value, depth=0):
    if isinstance(value, float):
        return value != value
    if isinstance(value, torch.Tensor):
        return value.is_floating_point() and bool(value.isnan().any())
    if isinstance(value, torch.nn.Module):
        return any(nan_in(each) or nan_in(each.grad) for each in value.parameters())
    if isinstance(value, (list, tuple, dict)) and depth < 2:
        return any(nan_in(each, depth + 1) for each in (value.values() if isinstance(value, dict) else value))
    return False

def compared_nan(trace):
    try:
        return any(nan_in(list(frame.f_locals.values())) for frame, _ in own_frames(trace))
    except Exception:
        return False

answer = []
for seed in seeds:
    for code in codes:
        names = {"__name__": "block"}
        exec(code, names)
        torch.manual_seed(seed)
        try:
            returned = TEST(names["Block"])
            answer.append([["returned"] if returned is None else ["a value"], False, None, False])
        except BaseException as problem:
            kinds = [each.__name__ for each in type(problem).__mro__ if each.__module__ == "builtins"]
            told = len(problem.args) > 0 and str(problem.args[0]).strip() != ""
            trace = problem.__traceback__
            answer.append([kinds, told, line_of(trace), compared_nan(trace)])
"""


class Trial:
    """A student's test, run on the given block first and then on hidden ones.

    :param number: of the question.
    :param codes: of the hidden blocks.
    """

    def __init__(self, number, codes):
        self.name, self.calls = f"test_{number}", 1 + len(codes) * len(SEEDS)
        block = f"Block{number}"
        # By itself, so that what it says about this one can be told: nothing hidden is there yet.
        self.given = Run(
            self.name,
            f"answer = [{self.name}({block})] if '{block}' in globals() else 'none'",
        )
        self.hidden = Run(
            self.name,
            TRY.replace("TEST", self.name),
            codes=codes,
            seeds=list(SEEDS),
        )

    def put(self, session, notebook):
        """Return the reply for the given block, what hidden ones led to, and the notebook's lines."""
        given = self.given.put(session, notebook)
        if given.kind not in ("value", "raised") or given.unanswered:
            return self.slow(given, session)
        hidden = self.hidden.put(session, notebook)
        if hidden.kind != "value":
            return self.slow(hidden, session)
        lines = {
            each.number: each.source.splitlines() for each in notebook.code
        }
        return Reply(
            "value",
            {"given": given, "rows": hidden.value, "lines": lines},
            refused=tuple(dict.fromkeys((*given.refused, *hidden.refused))),
        )

    def slow(self, reply, session):
        """Say how often a test is called, where the time was too short."""
        if reply.kind != "died" or reply.error != "time":
            return reply
        most = session.limits.call / self.calls
        all_of = f"{reply.message}, all {self.calls} calls together"
        told = f"{all_of}; so one call may take {most:.1f} seconds, and should take less than one"
        return Reply("died", error=reply.error, message=told)


def without_message(line):
    """Return a line that raises or asserts without an f-string at its end: what would fill it in is not known here."""
    start = r"\(" if line.startswith("raise") else r","
    if line.startswith(("raise", "assert")):
        for found in re.finditer(start + r"\s*[rR]?[fF]['\"]", line):
            head = line[: found.start()]
            if all(head.count(a) == head.count(b) for a, b in ("()", "[]")):
                return head
    return line


class Outcomes:
    """What a student's test did with each block: read from the answer, and judged.

    :param number: of the question.
    :param blocks: the codes: ``right``, ``given``, ``elsewhere``, ``other``.
    """

    def __init__(self, number, blocks):
        self.name, self.block = f"test_{number}", f"Block{number}"
        self.keys = [
            ("given", 0),
            ("elsewhere", 0),
            *(("right", i) for i in range(len(blocks["right"]))),
            *(("other", i) for i in range(len(blocks["other"]))),
        ]
        codes = [
            blocks[key][i] if isinstance(blocks[key], list) else blocks[key]
            for key, i in self.keys
        ]
        # Another order each time that this file is read: none can be told by its place.
        self.order = np.random.default_rng().permutation(len(codes))
        self.ask = Trial(number, [codes[i] for i in self.order])

    def read(self, value):
        """Return the outcomes of each block, one a seed: kinds of error, whether it had a message, its line."""
        count = len(self.order)
        rows = value["rows"] if isinstance(value["rows"], list) else []
        if len(rows) != count * len(SEEDS) or not all(
            isinstance(row, list)
            and len(row) == 4
            and isinstance(row[0], list)
            and all(isinstance(kind, str) for kind in row[0])
            for row in rows
        ):
            raise wrong(
                f"What {self.name} did cannot be read: it changed what ran around it."
            )
        if all("NotImplementedError" in row[0] for row in rows):
            raise Unanswered
        found = {}
        for place, which in enumerate(self.order):
            found[self.keys[which]] = [
                rows[turn * count + place] for turn in range(len(SEEDS))
            ]
        return found

    def failed(self, outcomes):
        """Whether the test failed the block, each time."""
        return all("AssertionError" in kinds for kinds, *_ in outcomes)

    def passed(self, outcomes):
        """Whether the test passed the block, each time."""
        return all(kinds == ["returned"] for kinds, *_ in outcomes)

    def rights(self, found):
        """Return the outcomes of the right blocks."""
        return [each for key, each in found.items() if key[0] == "right"]

    def said(self, outcomes, value):
        """Say what the test did instead, and where; without its own words, which could tell a hidden block."""
        kinds = [each[0] if each else "an error" for each, *_ in outcomes]
        if len(set(kinds)) > 1:
            return (
                "did not come to the same result each time that it was called"
            )
        first = kinds[0]
        if first == "returned":
            return "did not fail"
        if first == "a value":
            return "returned a value; a test returns nothing, or raises an AssertionError"
        if first == "SystemExit":
            return "called exit()"
        place = self.place(outcomes[0][2], value["lines"])
        if first == "AssertionError":
            return f"failed{place}"
        known = first if first in KNOWN else "another error"
        return f"raised {known}, which is no AssertionError{place}"

    def place(self, place, lines):
        """Name a line of the notebook, in the notebook's own words."""
        whole = isinstance(place, list) and len(place) == 2
        if not whole or not all(isinstance(each, int) for each in place):
            return ""
        cell, line = place
        if not 1 <= line <= len(lines.get(cell, ())):
            return ""
        text = without_message(lines[cell][line - 1].strip()[:400])
        text = text if len(text) <= 80 else f"{text[:80]} …"
        return f" (code cell {cell}, line {line}: {text})"

    def missed(self, found, value):
        """Return what is wrong with a test that does not fail for the given mistake."""
        hidden, given = found["given", 0], value["given"]
        said, wanted = (
            self.said(hidden, value),
            f"{self.name} was to fail for {self.block}, but it",
        )
        if "same result" in said:
            return wrong(f"{wanted} {said}.", hint=SEEDED)
        if given.kind == "value" and given.value != "none":
            none = given.value == [None]
            return wrong(
                f"{wanted} {'did not fail' if none else self.said([[['a value'], False, None, False]], value)}."
            )
        if "SystemExit" in given.kinds:
            return wrong(f"{wanted} called exit().", hint=NAMED)
        if given.kind == "raised" and "AssertionError" not in given.kinds:
            place = f" ({given.where})" if given.where else ""
            error = f"{given.error}: {given.message}{place}"
            return wrong(
                f"{wanted} raised {error}; that is no AssertionError.",
                hint=f"Run {self.name}({self.block}) yourself, and read the whole message.",
            )
        if given.kind == "value":  # the notebook has no such block any more
            return wrong(f"{wanted} {said}.")
        return wrong(
            f"{self.name} fails for {self.block}, but not for the same mistake in other words: there it {said}.",
            hint=NAMED,
        )

    def strict(self, found, value):
        """Return what is wrong with a test that passes no right block."""
        first = self.rights(found)[0]
        said = self.said(first, value)
        mine = f"Does it pass {self.block.replace('Block', 'Mended')}?"
        why = self.nan(first) or (
            ROUNDED if said.startswith("failed") else NAMED
        )
        hint = f"{why} {mine}"
        return wrong(
            f"{self.name} was to pass a right block, but it {said}.",
            hint=SEEDED if "same result" in said else hint,
        )

    def finds(self, value):
        """Ask that the given mistake is found, and that one right block is passed at least."""
        found = self.read(value)
        given, elsewhere = found["given", 0], found["elsewhere", 0]
        if not self.failed(given):
            raise self.missed(found, value)
        if not any(map(self.passed, self.rights(found))):
            raise self.strict(found, value)
        if not self.failed(elsewhere):
            raise wrong(
                f"{self.name} finds the mistake where {self.block} has it. With one of the same kind in another place it {self.said(elsewhere, value)}.",
                0.5,
            )
        if not all(message for _, message, *_ in given):
            raise wrong(
                f"{self.name} finds the mistake, but its AssertionError has no message.",
                0.75,
                "What would somebody want to read who wrote that block?",
            )

    def works(self, found):
        """Ask that it does what a test is for, without which it has no merits."""
        if not (
            self.failed(found["given", 0])
            and any(map(self.passed, self.rights(found)))
        ):
            message = f"This counts once {self.name} fails for {self.block} and passes a right block."
            raise Lacking(message, brief=message)

    def spares(self, value):
        """Ask that right blocks pass, however they are written."""
        found = self.read(value)
        self.works(found)
        rights = self.rights(found)
        bad = [each for each in rights if not self.passed(each)]
        if bad:
            said = self.said(bad[0], value)
            raise wrong(
                f"{self.name} was to pass {len(rights)} right blocks that are written in different ways. With {len(bad)} of them it {said}.",
                hint=SEEDED if "same result" in said else self.nan(bad[0]),
            )

    def nan(self, outcomes):
        """Return the hint at a test that failed because of nan: no tolerance helps there."""
        return NAN if any(row[3] is True for row in outcomes) else ""

    def reaches(self, value):
        """Ask for other blocks that break the equations."""
        found = self.read(value)
        self.works(found)
        others = [each for key, each in found.items() if key[0] == "other"]
        count = sum(map(self.failed, others))
        if count < len(others):
            raise wrong(
                f"{self.name} fails for {count} of {len(others)} other blocks that break the same equations.",
                count / len(others),
            )


def wrong(message, share=0, hint=""):
    """Return what is wrong with a test: the same words where parts are hidden.

    All parts on tests are: an error's own message could carry a hidden block's code into the report.
    """
    return Wrong(message, brief=message, known=hint, share=share)


KNOWN = (
    *("RuntimeError", "ValueError", "TypeError", "IndexError", "KeyError"),
    *("AttributeError", "NameError", "ZeroDivisionError", "OSError"),
    *("NotImplementedError", "KeyboardInterrupt", "PermissionError"),
)


def tested(number, blocks, equation, hint):
    """Return the parts that judge a test."""
    outcomes = Outcomes(number, blocks)
    return (
        Part(
            f"test_{number}: it finds the mistake",
            4,
            outcomes.ask,
            Check(outcomes.finds),
            equation,
            hint,
            hidden=True,
        ),
        Part(
            f"test_{number}: right blocks pass, however they are written",
            2,
            outcomes.ask,
            Check(outcomes.spares),
            equation,
            "Allow for rounding, and use only what is named: the constructor, the parameters, the call.",
            hidden=True,
        ),
        Part(
            f"test_{number}: it finds other mistakes",
            3,
            outcomes.ask,
            Check(outcomes.reaches),
            equation,
            LITERAL,
            hidden=True,
        ),
    )


def question(number, title, mending, testing, rubric):
    """Return a question on one block."""
    words = Text(f"<!-- answer {number} -->")
    explained = Manual(f"What is wrong with Block{number}", 4, rubric, words)
    return Question(str(number), title, (*testing, explained, *mending))


ONE = question(
    1,
    "Double attention",
    mended(
        1,
        double,
        "(channels, width=4, descriptors=3)",
        ((6,), of_double(1, 6, 4, 3), [drawn(11, 3, 6, 2, 5)]),
        [
            ((4, 3, 5), of_double(2, 4, 3, 5), [drawn(12, 1, 4, 3, 1)]),
            ((8, 5, 4), of_double(14, 8, 5, 4), [90 * drawn(14, 2, 8, 9, 7)]),
        ],
        ((5, 2), of_double(3, 5, 2, 3), [drawn(13, 2, 5, 1, 4)]),
        DOUBLE,
        {"axis": 0},
    ),
    tested(
        1,
        BLOCKS1,
        DOUBLE,
        "Of every weight in the equations: with which others does it add up to 1?",
    ),
    "one point each: the axis that the softmax runs over, and the one that it should; what this does to an image's "
    "output; why shapes and the falling loss hide it; what happens with a batch of one",
)
TWO = question(
    2,
    "A gate that sees far",
    mended(
        2,
        dilated_gate,
        "(channels, hidden=4, dilation=2)",
        ((6,), of_dilated(4, 6, 4), [drawn(21, 2, 6, 7, 9)]),
        [
            (
                (5, 3, 3),
                of_dilated(5, 5, 3),
                [drawn(22, 1, 5, 6, 8)],
                {"step": 3},
            ),
            ((8, 5), of_dilated(24, 8, 5), [90 * drawn(24, 2, 8, 12, 10)]),
        ],
        ((3, 2), of_dilated(6, 3, 2), [drawn(23, 3, 3, 6, 5)]),
        DILATED,
        {},
    ),
    tested(
        2,
        BLOCKS2,
        DILATED,
        "Which positions of x can change which positions of the gate, and by how much?",
    ),
    "one point each: the padding that a dilated kernel needs; the size that the map has without it; what "
    "interpolating does to the gate; why shapes and the falling loss hide it",
)
THREE = question(
    3,
    "Two gates, one after the other",
    mended(
        3,
        fused,
        "(channels, hidden=4)",
        (
            (6,),
            of_fused(7, 6, 4),
            [drawn(31, 3, 6, 2, 5), drawn(32, 3, 6, 2, 5)],
        ),
        [
            (
                (4, 3),
                of_fused(8, 4, 3),
                [drawn(33, 1, 4, 5, 1), drawn(34, 1, 4, 5, 1)],
            ),
            (
                (8, 5),
                of_fused(37, 8, 5),
                [90 * drawn(37, 2, 8, 9, 7), 90 * drawn(38, 2, 8, 9, 7)],
            ),
        ],
        (
            (5, 6),
            of_fused(9, 5, 6),
            [drawn(35, 2, 5, 3, 4), drawn(36, 2, 5, 3, 4)],
        ),
        FUSED,
        {"second": "first"},
    ),
    tested(
        3,
        BLOCKS3,
        FUSED,
        "What must happen to every parameter if the block is to learn? And what comes out if a gate is 0, or 1?",
    ),
    "one point each: which parameters are dead; that they have no gradient, and stay as they were drawn; what the "
    "block computes instead; why counts of parameters, shapes and the falling loss hide it",
)
FOUR = question(
    4,
    "Channels that look alike",
    mended(
        4,
        similar,
        "()",
        (
            (),
            {"scale": np.float32([0.7])},
            [0.6 * drawn(41, 3, 4, 2, 3)],
        ),
        [
            (
                (),
                {"scale": np.float32([-1.3])},
                [0.5 * drawn(42, 1, 6, 1, 5)],
            ),
            (
                (),
                {"scale": np.float32([0.4])},
                [1.5 * drawn(44, 2, 16, 8, 8)],
            ),
        ],
        (
            (),
            {"scale": np.float32([0.9])},
            [0.5 * drawn(43, 2, 5, 3, 2)],
        ),
        SIMILAR,
        {"sign": -1},
    ),
    tested(
        4,
        BLOCKS4,
        SIMILAR,
        "Take three channels of which two are the same: what are the nine weights, by hand? And where does β begin?",
    ),
    "one point each: the sign, and that the softmax then prefers the channel that is least alike; that subtracting "
    "the maximum after a change of sign is no matter of rounding; that β = 0 hides it at first; why training hides it "
    "later",
)
FIVE = question(
    5,
    "A gate for rows, a gate for columns",
    mended(
        5,
        coordinate,
        "(channels, hidden=4)",
        ((6,), of_coordinate(10, 6, 4), [drawn(51, 3, 6, 4, 5)]),
        [
            ((4, 3), of_coordinate(11, 4, 3), [drawn(52, 1, 4, 1, 7)]),
            ((8, 5), of_coordinate(54, 8, 5), [300 * drawn(54, 2, 8, 9, 7)]),
        ],
        ((5, 2), of_coordinate(12, 5, 2), [drawn(53, 2, 5, 3, 2)]),
        COORDINATE,
        {"residual": 1},
    ),
    tested(
        5,
        BLOCKS5,
        COORDINATE,
        "What comes out where a gate is nearly 0, and where both are nearly 1?",
    ),
    "one point each: the x that is added, and where; the range of output / x that follows; what the block cannot do "
    "any more; why training hides it, or even runs more smoothly",
)


# Laws.

BEGIN6 = (
    HEAD
    + """
class Block(nn.Module):
    def __init__(self):
        nn.Module.__init__(self)
        self.inner = nn.Conv2d(4, 4, (1, 1))
"""
)
PLAIN = (
    BEGIN6
    + """
    def forward(self, x):
        return x * self.inner(x).sigmoid()
"""
)
SPARE = "        self.spare = nn.Parameter(torch.ones(4, 1, 1))\n\n    def forward"
LAWFUL = {
    "plain": (PLAIN, []),
    # At first it is the identity, and no gradient reaches the inner layer.
    "begins at zero": (
        but(
            PLAIN,
            "    def forward",
            SPARE.replace("ones", "zeros"),
            "x * self.inner(x).sigmoid()",
            "x + self.spare * self.inner(x).tanh()",
        ),
        [],
    ),
    "two inputs": (
        but(
            PLAIN,
            "self, x)",
            "self, x, y)",
            "x * self.inner(x).sigmoid()",
            "torch.lerp(x, y, self.inner(x + y).sigmoid())",
        ),
        [],
    ),
}
SINGLE = {
    "batch": (but(PLAIN, ".sigmoid()", ".sigmoid().mean(0)"), ["batch"]),
    "dead": (but(PLAIN, "    def forward", SPARE), ["gradients"]),
    "in place": (
        but(
            PLAIN,
            "return x * self.inner(x).sigmoid()",
            "out = x * self.inner(x).sigmoid()\n        x.data.mul_(0.5)\n        return out",
        ),
        ["inputs"],
    ),
    "smaller": (
        but(
            PLAIN,
            ".sigmoid()",
            ".sigmoid().mean((2, 3), keepdim=True)",
            "return x *",
            "return x.mean((2, 3), keepdim=True) *",
        ),
        ["shape"],
    ),
}
SEVERAL = {
    "batch and dead": (
        but(
            PLAIN,
            "    def forward",
            SPARE,
            "x * self",
            "(x - x.mean(0)) * self",
        ),
        ["batch", "gradients"],
    ),
    # A bias before a softmax over positions adds the same to all of them.
    "up to rounding": (
        but(PLAIN, ".sigmoid()", ".flatten(2).softmax(2).view_as(x)"),
        ["gradients"],
    ),
}
LAWS = """
from builtins import *
answer = []
for code in codes:
    names = {"__name__": "block"}
    exec(code, names)
    torch.manual_seed(7)
    block = names["Block"]()
    draw = lambda: torch.randn((3, 4, 2, 5), generator=torch.Generator().manual_seed(int(torch.randint(99, ()))))
    inputs = [draw() for _ in range(block.forward.__code__.co_argcount - 1)]
    found = broken_laws(block, *inputs)
    answer.append(sorted(set(map(str, found))) if isinstance(found, (set, frozenset, list, tuple)) else type(found).__name__)
"""


class Laws:
    """What ``broken_laws`` says of hidden blocks, in an order that is drawn anew each time."""

    def __init__(self):
        self.right = {
            name: laws
            for name, (_, laws) in (LAWFUL | SINGLE | SEVERAL).items()
        }
        self.names = [
            str(name)
            for name in np.random.default_rng().permutation(list(self.right))
        ]
        self.ask = Run(
            "broken_laws",
            LAWS,
            codes=[
                (LAWFUL | SINGLE | SEVERAL)[name][0] for name in self.names
            ],
        )

    def read(self, value):
        """Return the answers by block."""
        if not isinstance(value, list) or len(value) != len(self.names):
            raise Wrong("What broken_laws returned cannot be read.")
        others = [each for each in value if not isinstance(each, list)]
        if others:
            raise Wrong(
                f"Expected a set or a list of names of laws from broken_laws, received a value of type {str(others[0])[:60]}.",
                "An empty set is set(): {} is an empty dictionary.",
            )
        return dict(zip(self.names, value, strict=True))

    def of(self, group, points):
        """Judge the blocks of a group, for half points and whole ones."""

        def judge(value):
            found = self.read(value)
            plain = [n for n in ("plain", "two inputs") if found[n]]
            told = any(found[name] == self.right[name] for name in SINGLE)
            if not told or (plain and group is not LAWFUL):
                more = (
                    f" For one that breaks no law, broken_laws returned {describe(found[plain[0]])}."
                    if plain
                    else ""
                )
                raise Wrong(
                    f"This counts once right blocks are told from some that break a law.{more}",
                    self.hint(plain[0], found) if plain else "",
                )
            bad = [name for name in group if found[name] != self.right[name]]
            if bad:
                laws = self.right[bad[0]]
                expected = describe(laws) if laws else "no law"
                right = len(group) - len(bad)
                raise Wrong(
                    f"Right for {right} of {len(group)} blocks. For one that breaks {expected}, broken_laws returned {describe(found[bad[0]])}.",
                    self.hint(bad[0], found),
                    share=int(2 * points * right / len(group)) / (2 * points),
                )

        return Check(judge)

    def hint(self, name, found):
        """Return the hint at a block that was misjudged, if there is one."""
        more = set(found[name]) - set(self.right[name])
        return ALONE if more == {"batch"} else HINTS.get(name, "")


ALONE = "An image alone and in its batch may differ by rounding: torch.allclose instead of torch.equal, or ==."
HINTS = {
    "begins at zero": "Parameters may begin at zero, and then hide others: draw them anew.",
    "two inputs": "A block may take several inputs.",
    "in place": "Keep copies of the inputs.",
    "up to rounding": "A gradient that is 0 by the equations may be 1e-9 by rounding.",
}


def table(value):
    """Judge which law finds which block."""
    right = {1: ["batch"], 2: [], 3: ["gradients"], 4: [], 5: []}
    if not isinstance(value, dict) or set(value) != set(right):
        raise Wrong(
            f"Expected a dictionary with the keys 1 to 5, received {describe(value)}."
        )
    if any(each is Ellipsis or each is None for each in value.values()):
        raise Unanswered
    wrong = [
        str(key)
        for key in right
        if not isinstance(value[key], list | tuple)
        or sorted(map(str, value[key])) != right[key]
    ]
    if wrong:
        raise Wrong(
            f"Right for {len(right) - len(wrong)} of the {len(right)} blocks.",
            share=0.5 if len(wrong) == 1 else 0,
        )


KNOWING_NOTHING = "the four laws: shape, batch, gradients, inputs"
laws = Laws()
SIX = Question(
    "6",
    "Laws that know no equation",
    (
        Part(
            "Blocks that break one law",
            4,
            laws.ask,
            laws.of(SINGLE, 4),
            KNOWING_NOTHING,
            "Write a block for each law that breaks it and nothing else.",
        ),
        Part(
            "Blocks that break none",
            2,
            laws.ask,
            laws.of(LAWFUL, 2),
            KNOWING_NOTHING,
            "A right block may take two inputs, and may begin as the identity.",
        ),
        Part(
            "Two harder blocks",
            2,
            laws.ask,
            laws.of(SEVERAL, 2),
            KNOWING_NOTHING,
            "Look at all laws before you return, and at how small a gradient may be and still be one.",
        ),
        Part(
            "What the laws would have found",
            2,
            Look("laws_that_find"),
            Check(table),
            KNOWING_NOTHING,
            "Run broken_laws on the five blocks as they were given; each value is a list of names.",
        ),
    ),
)

ASSIGNMENT = Assignment(
    "Five broken blocks",
    (ONE, TWO, THREE, FOUR, FIVE, SIX),
    limits=Limits(cell=30, call=60),
)
