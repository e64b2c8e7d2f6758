"""Answers to assignment 2: wrong ones with the points that each loses, right ones in other words, hostile ones."""

from textwrap import dedent

# What is shared by tests that are written another way.
DRAWN = """
def drawn(block_class, *arguments):
    torch.manual_seed(11)
    block = block_class(*arguments)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_()
    return block
"""
SHAPES = {1: ("(6,)", 1), 2: ("(6,)", 1), 3: ("(6,)", 2), 4: ("()", 1), 5: ("(6,)", 1)}


def against_mended(number: int, close: str = "torch.allclose(one, two, atol=1e-3)") -> str:
    """A test that compares with the submission's own mended block, values and gradients."""
    arguments, inputs = SHAPES[number]
    return f"""{DRAWN}
def test_{number}(block_class):
    block, mine = drawn(block_class, *{arguments}), drawn(Mended{number}, *{arguments})
    mine.load_state_dict(block.state_dict())
    results = []
    for each in (block, mine):
        torch.manual_seed(12)
        inputs = [0.5 * torch.randn(3, 6, 6, 7) for _ in range({inputs})]
        out = each(*inputs)
        (out * torch.randn(out.shape)).sum().backward()
        results.append([out, *(p.grad for _, p in sorted(each.named_parameters()))])
    for one, two in zip(*results):
        assert one is not None and {close}, "not as my own block"
"""


def finding(number: int, body: str) -> str:
    return f"def test_{number}(block_class):\n" + "\n".join(f"    {line}" for line in dedent(body).strip().splitlines())


def mended(number: int, body: str) -> str:
    lines = "\n".join(f"    {line}" for line in dedent(body).strip().splitlines())
    return f"class Mended{number}(Block{number}):\n{lines}"


TEST, WRITTEN, OTHER = (
    {n: {f"{n}.{place}": points} for n in range(1, 6)} for place, points in ((1, 4), (2, 2), (3, 3))
)
ALL = {n: TEST[n] | WRITTEN[n] | OTHER[n] for n in range(1, 6)}
MENDED = {n: {f"{n}.5": 2, f"{n}.6": 2, f"{n}.7": 1} for n in range(1, 6)}

# Each is (cell, what stands there, the points that it loses, a line of the feedback); as for the first assignment.
BATCHES = {
    "1": {
        "always fails": (
            "q1-test",
            finding(1, "raise AssertionError('wrong')"),
            ALL[1],
            "test_1 was to pass a right block, but it failed (code cell 4, line 2: raise AssertionError('wrong')).",
        ),
        "the given block": (
            "q1-mended",
            "class Mended1(Block1):\n    pass",
            MENDED[1],
            "Hint: These are still the values of Block1.",
        ),
        "never fails": (
            "q2-test",
            finding(2, "block_class(6)(torch.randn(2, 6, 7, 7))"),
            ALL[2],
            "test_2 was to fail for Block2, but it did not fail.",
        ),
        "the size mended by leaving out the dilation": (
            "q2-mended",
            mended(2, """
                def __init__(self, channels, hidden=4, dilation=2):
                    super().__init__(channels, hidden, 1)
            """),
            MENDED[2],
            "numbers in the output are wrong",
        ),
        "knows it by its name": (
            "q3-test",
            finding(3, "assert block_class.__name__ != 'Block3', 'I know you'"),
            ALL[3],
            "test_3 fails for Block3, but not for the same mistake in other words: there it did not fail.",
        ),
        "the other gate twice": (
            "q3-mended",
            mended(3, """
                def forward(self, x, y):
                    gate = self.second(x + y)
                    gate = self.second(gate * x + (1 - gate) * y)
                    return gate * x + (1 - gate) * y
            """),
            MENDED[3],
            "No gradient reaches first.local.0.weight, and 7 more.",
        ),
        "a result that changes": (
            "q4-test",
            "from itertools import count\ncalls = count()\n"
            + finding(4, "if next(calls) % 3:\n    check_4(block_class)")
            + "\ndef check_4(block_class):\n    block = block_class()\n"
            "    x = torch.tensor([[1., 0], [1, 0], [0, 1]])[None, :, None]\n"
            "    block.scale.data.fill_(1)\n    assert block(x)[0, 0, 0, 1] < 0.4, 'too much of the third'",
            ALL[4],
            "did not come to the same result each time that it was called",
        ),
        "the softmax over the other channel": (
            "q4-mended",
            mended(4, """
                def forward(self, x):
                    a = x.flatten(2)
                    return self.scale * ((a @ a.mT).softmax(1) @ a).reshape(x.shape) + x
            """),
            MENDED[4],
            "This counts once the output of Mended4 is right.",
        ),
        "another error": (
            "q5-test",
            finding(5, "if block_class(6)(torch.ones(1, 6, 2, 2)).max() > 1:\n    raise ValueError('more than x')"),
            ALL[5],
            "test_5 was to fail for Block5, but it raised ValueError: more than x (code cell",
        ),
        "the mean of the gates": (
            "q5-mended",
            mended(5, """
                def forward(self, x):
                    gates = []
                    for layer, axis in ((self.rows, 3), (self.columns, 2)):
                        code = F.hardswish(self.squeeze(x.mean(axis)))
                        gates.append(layer(code).sigmoid().unsqueeze(axis))
                    return x * (gates[0] + gates[1]) / 2
            """),
            MENDED[5],
            "The shape of the output is right, its values are not.",
        ),
        "no law is ever broken": (
            "q6-answer",
            "def broken_laws(block, *inputs):\n    return set()",
            {"6.1": 4, "6.2": 2, "6.3": 2},
            "This counts once right blocks are told from some that break a law.",
        ),
        "one block misjudged": (
            "q6-report",
            "laws_that_find = {1: ['batch'], 2: ['shape'], 3: ('gradients',), 4: [], 5: []}",
            {"6.4": 1},
            "Right for 4 of the 5 blocks.",
        ),
    },
    "2": {
        "the batch alone": (
            "q1-test",
            finding(1, """
                torch.manual_seed(0)
                block, x = block_class(5), torch.randn(3, 5, 2, 3)
                assert (block(x)[:1] - block(x[:1])).abs().max() < 1e-5, "the batch matters"
            """),
            {"1.3": 2},
            "test_1 fails for 1 of 3 other blocks that break the same equations.",
        ),
        "out of the graph": (
            "q1-mended",
            mended(1, """
                def forward(self, x):
                    t = x.flatten(2).mT
                    weights = self.distribute(t).softmax(-1).detach()
                    found = self.gather(t).softmax(1).mT @ self.features(t)
                    return x + self.out(weights @ found).mT.reshape(x.shape)
            """),
            {"1.7": 1},
            "No gradient reaches distribute.weight.",
        ),
        "how far a position reaches": (
            "q2-test",
            finding(2, """
                torch.manual_seed(0)
                block = block_class(3).double()
                with torch.no_grad():
                    for parameter in block.parameters():
                        parameter.abs_()
                    x = torch.rand(1, 3, 13, 13).double()
                    y = x.clone()
                    y[0, :, 6, 6] += 1
                    gates = [(block(each) / each)[0, 0] for each in (x, y)]
                changed = ((gates[0] - gates[1]).abs() > 1e-12)[6].nonzero().flatten().tolist()
                assert changed == [2, 4, 6, 8, 10], changed
            """),
            {"2.3": 2},
            "test_2 fails for 1 of 3 other blocks that break the same equations.",
        ),
        "a dilation of 2 only": (
            "q2-mended",
            mended(2, """
                def __init__(self, channels, hidden=4, dilation=2):
                    super().__init__(channels, hidden, 2)
                    self.first.padding = self.second.padding = (2, 2)
            """),
            {"2.6": 2},
            "other arguments of the constructor",
        ),
        "gradients alone": (
            "q3-test",
            finding(3, """
                torch.manual_seed(0)
                block = block_class(8)
                block(torch.randn(4, 8, 5, 5), torch.randn(4, 8, 5, 5)).square().sum().backward()
                dead = [name for name, p in block.named_parameters() if p.grad is None or not p.grad.any()]
                assert not dead, f"dead: {dead}"
            """),
            {"3.3": 1},
            "test_3 fails for 2 of 3 other blocks that break the same equations.",
        ),
        "another name": (
            "q3-mended",
            """
class Mended3(nn.Module):
    def __init__(self, channels, hidden=4):
        super().__init__()
        self.first, self.again = ScaleGate(channels, hidden), ScaleGate(channels, hidden)

    def forward(self, x, y):
        u = torch.lerp(y, x, self.first(x + y))
        return torch.lerp(y, x, self.again(u))
""",
            MENDED[3],
            "Expected parameters first.local.0.weight (4, 6, 1, 1)",
        ),
        "β = 1 alone": (
            "q4-test",
            finding(4, """
                block, x = block_class(), torch.tensor([[1.0, 0], [1, 0], [0, 1]])[None, :, None] * 2**0.5
                block.scale.data.fill_(1.0)
                e = 2.718281828**2
                right = 2**0.5 * (1 + torch.tensor([2 * e / (2 * e + 1), 2 / (2 + e)]))
                got = block(x)[0, :, 0]
                assert torch.allclose(got[[0, 2], 0] + torch.tensor([0, 2**0.5]), right, atol=1e-5), "not by hand"
            """),
            {"4.3": 1},
            "test_4 fails for 2 of 3 other blocks that break the same equations.",
        ),
        "one image only": (
            "q4-mended",
            mended(4, """
                def forward(self, x):
                    a = x.flatten(2).squeeze()
                    return self.scale * ((a @ a.mT).softmax(2) @ a).reshape(x.shape) + x
            """),
            {"4.6": 2},
            "raised IndexError for an input that is not shown",
        ),
        "the range alone": (
            "q5-test",
            finding(5, """
                block, x = block_class(4), torch.rand(2, 4, 3, 3) + 1
                with torch.no_grad():
                    for parameter in block.parameters():
                        parameter.fill_(3.0)
                assert (block(x) <= x).all(), "amplified"
            """),
            OTHER[5],
            "test_5 fails for 0 of 3 other blocks that break the same equations.",
        ),
        "gates without gradients": (
            "q5-mended",
            mended(5, """
                def forward(self, x):
                    with torch.no_grad():
                        gates = (super().forward(x) - x) / x
                    return x * gates
            """),
            {"5.7": 1},
            "No gradient reaches squeeze.weight, and 5 more.",
        ),
        "zeros left as they are, and no allowance for rounding": (
            "q6-answer",
            """
def broken_laws(block, *inputs):
    laws, given = [], [x.clone() for x in inputs]
    out = block(*given)
    if out.shape != inputs[0].shape: laws += ["shape"]
    if any((x != y).any() for x, y in zip(inputs, given)): laws += ["inputs"]
    if not torch.allclose(block(*(x[1:2].clone() for x in inputs)), out[1:2], atol=1e-5): laws += ["batch"]
    (out**3).sum().backward()
    return laws + ["gradients"] * any(p.grad is None or not p.grad.any() for p in block.parameters())
""",
            {"6.2": 1, "6.3": 1},
            "Hint: Parameters may begin at zero, and then hide others: draw them anew.",
        ),
        "no list": (
            "q6-report",
            "laws_that_find = {1: 'batch', 2: [], 3: 'gradients', 4: [], 5: []}",
            {"6.4": 2},
            "Right for 3 of the 5 blocks.",
        ),
    },
    "3": {
        "compares with the given block": (
            "q1-test",
            DRAWN
            + finding(1, """
                block, other = drawn(block_class, 6), drawn(Block1, 6)
                other.load_state_dict(block.state_dict())
                x = torch.randn(3, 6, 2, 4)
                assert not torch.allclose(block(x), other(x), atol=1e-5), "the same as Block1"
            """),
            {"1.1": 2, **OTHER[1]},
            "With one of the same kind in another place it did not fail.",
        ),
        "another softmax": (
            "q1-mended",
            mended(1, """
                def forward(self, x):
                    t = x.flatten(2).mT
                    found = self.gather(t).softmax(2).mT @ self.features(t)
                    return x + self.out(self.distribute(t).softmax(2) @ found).mT.reshape(x.shape)
            """),
            MENDED[1],
            "Belongs to: equations (1) to (3)",
        ),
        "reads the source": (
            "q2-test",
            "import inspect\n"
            + finding(2, "assert 'interpolate' not in inspect.getsource(block_class), 'a resized gate'"),
            ALL[2],
            "; that is no AssertionError.",
        ),
        "resizing left out, and nothing else": (
            "q2-mended",
            mended(2, """
                def forward(self, x):
                    s = self.second(self.first(self.reduce(x).relu()).relu()).relu()
                    return x + x * self.score(s).sigmoid()
            """),
            MENDED[2],
            "raised RuntimeError: The size of tensor a (9) must match",
        ),
        "without a message": ("q3-test", "no message", {"3.1": 1}, "its AssertionError has no message."),
        "the two maps changed over": (
            "q3-mended",
            mended(3, """
                def forward(self, x, y):
                    u = torch.lerp(y, x, self.first(x + y))
                    return torch.lerp(x, y, self.second(u))
            """),
            MENDED[3],
            "Belongs to: equations (6) to (8)",
        ),
        "returns a verdict": (
            "q4-test",
            finding(4, "block = block_class()\nreturn bool((block(torch.ones(1, 2, 2, 2)) == 1).all())"),
            ALL[4],
            "returned a value; a test returns nothing, or raises an AssertionError",
        ),
        "scaled": (
            "q4-mended",
            mended(4, """
                def forward(self, x):
                    a = x.flatten(2)
                    return self.scale * ((a @ a.mT / a.shape[2] ** 0.5).softmax(2) @ a).reshape(x.shape) + x
            """),
            MENDED[4],
            "Belongs to: equations (9) and (10)",
        ),
        "asks how it is written": ("q5-test", "hooks", WRITTEN[5], "With 1 of them it failed (code cell"),
        "all laws, always": (
            "q6-answer",
            "def broken_laws(block, *inputs):\n    return ['shape', 'batch', 'gradients', 'inputs']",
            {"6.1": 4, "6.2": 2, "6.3": 2},
            "This counts once right blocks are told from some that break a law.",
        ),
    },
    "4": {
        "looks at a layer's padding": (
            "q2-test",
            finding(2, """
                block = block_class(5)
                for layer in (block.first, block.second):
                    assert layer.padding == layer.dilation, f"padding {layer.padding}"
            """),
            WRITTEN[2] | OTHER[2],
            "test_2 was to pass 3 right blocks that are written in different ways. With 1 of them it failed (code cell",
        ),
        "looks at which layers are called": (
            "q3-test",
            finding(3, """
                called = set()
                block, x = block_class(5), torch.ones(1, 5, 2, 2)
                for gate in (block.first, block.second):
                    gate.register_forward_hook(lambda module, *rest: called.add(module))
                block(x, x)
                assert called == {block.first, block.second}, "a gate is not called"
            """),
            WRITTEN[3] | OTHER[3],
            "test_3 fails for 0 of 3 other blocks that break the same equations.",
        ),
        "sometimes fails a right block": (
            "q4-test",
            "from itertools import count\ncalls = count()\n"
            + finding(4, """
                block, turn = block_class(), next(calls)
                block.scale.data.fill_(1)
                x = torch.tensor([[1.0, 0], [1, 0], [0, 1]])[None, :, None]
                assert block(x)[0, 0, 0, 1] < 0.2 and turn % 3, "not as it should be"
            """),
            ALL[4],
            "test_4 was to pass a right block, but it did not come to the same result each time",
        ),
    },
    "5": {
        "too strict, and written as no hidden block is": (
            "q1-test",
            DRAWN
            + finding(1, """
                block, x = drawn(block_class, 6), torch.randn(3, 6, 2, 4)
                p, t = dict(block.named_parameters()), x.flatten(2)
                soft = lambda e, axis: e.exp() / e.exp().sum(axis, keepdim=True)
                q, g = soft(p["distribute.weight"] @ t, 1), soft(p["gather.weight"] @ t, 2)
                a = torch.stack([(p["features.weight"] @ t[:, :, i].T).T + p["features.bias"] for i in range(8)], 2)
                z = sum((q[:, k, None] * (a * g[:, k, None]).sum(2, keepdim=True)) for k in range(3))
                z = torch.stack([z[:, :, i] @ p["out.weight"].T + p["out.bias"] for i in range(8)], 2)
                assert (block(x) - x - z.view_as(x)).abs().max() < 1e-12, "not the same"
            """),
            ALL[1],
            ': assert (block(x) - x - z.view_as(x)).abs().max() < 1e-12, "not the same"). Belongs to: equations '
            "(1) to (3): every softmax, its axis, and the sums behind it Hint: Allow for rounding",
        ),
        "other arguments only by name": (
            "q1-mended",
            mended(1, """
                def __init__(self, channels, *, width=4, descriptors=3):
                    super().__init__(channels, width, descriptors)

                def forward(self, x):
                    return torch.cat([self.one(each) for each in x.split(1)])

                def one(self, x):
                    t = x.flatten(2).mT
                    found = self.gather(t).softmax(1).mT @ self.features(t)
                    return x + self.out(self.distribute(t).softmax(2) @ found).mT.reshape(x.shape)
            """),
            {"1.6": 2, "1.7": 1},
            "its constructor is to be (channels, width=4, descriptors=3).",
        ),
        "in place, outside of no_grad": (
            "q2-test",
            finding(2, """
                block = block_class(5)
                for parameter in block.parameters():
                    parameter.normal_()
            """),
            ALL[2],
            "test_2 was to fail for Block2, but it raised RuntimeError: a leaf Variable that requires grad is being "
            "used in an in-place operation. (code cell 8, line 4: parameter.normal_()); that is no AssertionError.",
        ),
        "changes its input": (
            "q2-mended",
            mended(2, """
                def __init__(self, channels, hidden=4, dilation=2):
                    super().__init__(channels, hidden, dilation)
                    self.first.padding = self.second.padding = (dilation, dilation)

                def forward(self, x):
                    s = self.second(self.first(self.reduce(x).relu()).relu()).relu()
                    x *= 1 + self.score(s).sigmoid()
                    return x
            """),
            {"2.7": 1},
            "and no input is changed in place.",
        ),
        "too strict, and near one of the right blocks": (
            "q3-test",
            DRAWN
            + finding(3, """
                block, x, y = drawn(block_class, 6), *torch.randn(2, 2, 6, 3, 4)
                p, u = dict(block.named_parameters()), x + y
                for name in ("first", "second"):
                    w = [p[f"{name}.{path}.{i}.{kind}"] for path in ("local", "pooled") for i in (0, 2)
                         for kind in ("weight", "bias")]
                    mean = F.conv2d(F.conv2d(u.mean((2, 3), keepdim=True), *w[4:6]).relu(), *w[6:])
                    u = torch.lerp(y, x, torch.sigmoid(F.conv2d(F.conv2d(u, *w[:2]).relu(), *w[2:4]) + mean))
                assert torch.equal(block(x, y), u), "not the same"
            """),
            WRITTEN[3] | {"3.3": 1},
            "of them it failed (code cell 12, line 17: assert torch.equal(block(x, y), u)",
        ),
        "without a seed": (
            "q4-test",
            finding(4, """
                block = block_class()
                block.scale.data.fill_(1)
                x = torch.tensor([[1.0, 0], [1, 0], [0, 1]])[None, :, None]
                assert block(x)[0, 0, 0, 1] < 0.2 and torch.initial_seed() % 2, "not as it should be"
            """),
            ALL[4],
            "Hint: Begin the test with torch.manual_seed(0)",
        ),
        "exp without its maximum": (
            "q4-mended",
            mended(4, """
                def forward(self, x):
                    a = x.flatten(2)
                    e = (a @ a.mT).exp()
                    return self.scale * (e / e.sum(-1, keepdim=True) @ a).reshape(x.shape) + x
            """),
            {"4.6": 2},
            "Hint: exp of more than 88 is inf: subtract the largest score before exp, or use softmax",
        ),
        "exact comparisons": (
            "q6-answer",
            """
def broken_laws(block, *inputs):
    for p in block.parameters():
        p.data.normal_()
    given = [x.clone() for x in inputs]
    out = block(*given)
    laws = {"shape"} if out.shape != inputs[0].shape else set()
    laws |= set() if all(map(torch.equal, given, inputs)) else {"inputs"}
    alone = torch.cat([block(*(x[i : i + 1].clone() for x in inputs)) * (1 + 1e-7) for i in range(3)])
    laws |= set() if torch.equal(alone, out) else {"batch"}
    (out**3).sum().backward()
    dead = [p for p in block.parameters() if p.grad is None or p.grad.abs().max() < 1e-5]
    return laws | ({"gradients"} if dead else set())
""",
            {"6.1": 4, "6.2": 2, "6.3": 2},
            "Hint: An image alone and in its batch may differ by rounding",
        ),
    },
    "6": {
        **{
            f"too strict, against one's own {n}": (
                f"q{n}-test",
                against_mended(n, "torch.equal(one, two)"),
                WRITTEN[n],
                f"test_{n} was to pass {3 + n % 2} right blocks that are written in different ways. With ",
            )
            for n in SHAPES
        },
        "no dictionary of laws, but of nothing": (
            "q6-answer",
            "def broken_laws(block, *inputs):\n    return {}",
            {"6.1": 4, "6.2": 2, "6.3": 2},
            "received a value of type dict. Belongs to: the four laws: shape, batch, gradients, inputs "
            "Hint: An empty set is set()",
        ),
    },
}  # fmt: skip


OTHERS = {
    "against one's own": {f"q{n}-test": against_mended(n) for n in SHAPES},
    "by numpy, and by torch's own comparison": {
        "q1-test": """
            import numpy as np
            def soft(t, axis):
                e = np.exp(t)
                return e / e.sum(axis, keepdims=True)
            def test_1(block_class):
                torch.manual_seed(8)
                for channels, width, count in ((3, 4, 3), (5, 2, 4)):
                    block = block_class(channels, width, descriptors=count).double()
                    x = torch.randn(2, channels, 3, 2).double()
                    p = {name: value.detach().numpy() for name, value in block.named_parameters()}
                    out = block(x).detach().numpy()
                    for image, got in zip(x.numpy(), out):
                        t = image.reshape(channels, -1)
                        a = p["features.weight"] @ t + p["features.bias"][:, None]
                        g = a @ soft(p["gather.weight"] @ t, 1).T
                        z = g @ soft(p["distribute.weight"] @ t, 0)
                        y = t + p["out.weight"] @ z + p["out.bias"][:, None]
                        np.testing.assert_allclose(got.reshape(channels, -1), y, atol=1e-9)
        """,
        "q3-test": """
            def test_3(block_class):
                torch.manual_seed(8)
                block, (x, y) = block_class(4, 3), torch.randn(2, 3, 4, 2, 2)
                p = dict(block.named_parameters())
                def path(name, u):
                    low = torch.einsum("oc,bchw->bohw", p[name + ".0.weight"][:, :, 0, 0], u)
                    low = torch.relu(low + p[name + ".0.bias"][:, None, None])
                    high = torch.einsum("oc,bchw->bohw", p[name + ".2.weight"][:, :, 0, 0], low)
                    return high + p[name + ".2.bias"][:, None, None]
                def gate(name, u):
                    mean = torch.stack([torch.stack([c.mean() for c in image]) for image in u])[..., None, None]
                    return torch.sigmoid(path(name + ".local", u) + path(name + ".pooled", mean))
                g = gate("first", x + y)
                u = g * x + (1 - g) * y
                g = gate("second", u)
                z = g * x + (1 - g) * y
                torch.testing.assert_close(block(x, y), z)
                mine = torch.autograd.grad(z.square().sum(), list(p.values()))
                theirs = torch.autograd.grad(block(x, y).square().sum(), list(p.values()), allow_unused=True)
                for name, a, b in zip(p, mine, theirs):
                    assert b is not None, f"{name} is dead"
                    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
        """,
        "q4-test": """
            from math import exp
            def test_4(block_class):
                block, x = block_class(), torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(4))
                block.load_state_dict({"scale": torch.tensor([0.25])})
                out = block(x)
                for b in range(2):
                    a = x[b].reshape(3, 4).tolist()
                    for j in range(3):
                        e = [exp(sum(s * t for s, t in zip(a[j], a[i]))) for i in range(3)]
                        for n in range(4):
                            y = a[j][n] + 0.25 * sum(e[i] * a[i][n] for i in range(3)) / sum(e)
                            if abs(out[b, j].flatten()[n].item() - y) > 1e-4:
                                raise AssertionError(f"channel {j}, position {n}")
        """,
        "q6-answer": """
            import copy
            def broken_laws(block, *inputs):
                laws, counts = [], {}
                for seed in (1, 2, 3):
                    torch.manual_seed(seed)
                    fresh = copy.deepcopy(block)
                    for p in fresh.parameters():
                        nn.init.uniform_(p, -2, 2)
                    before = [x.clone() for x in inputs]
                    out = fresh(*before)
                    if any(not torch.equal(a, b) for a, b in zip(before, inputs)):
                        laws.append("inputs")
                    if list(out.shape) != list(inputs[0].shape):
                        laws.append("shape")
                    swapped = fresh(*[torch.cat([x[:1], 1 - x[1:]]) for x in inputs])
                    if (swapped[0] - out[0]).abs().max() > 1e-4 * out.abs().max():
                        laws.append("batch")
                    out.backward(torch.randn_like(out))
                    for name, p in fresh.named_parameters():
                        seen = p.grad is not None and p.grad.norm() > 1e-4
                        counts[name] = counts.get(name, 0) + seen
                if min(counts.values()) == 0:
                    laws.append("gradients")
                return frozenset(laws)
        """,
        "q6-report": "laws_that_find = {n: {1: ['batch'], 3: ('gradients',)}.get(n, []) for n in range(1, 6)}",
    },
    "classes of their own": {
        "q1-mended": """
            class Mended1(nn.Module):
                def __init__(self, channels, width=4, descriptors=3):
                    super().__init__()
                    for name, sizes in {
                        "features": (channels, width, True), "gather": (channels, descriptors, False),
                        "distribute": (channels, descriptors, False), "out": (width, channels, True),
                    }.items():
                        self.add_module(name, nn.Linear(*sizes))
                def forward(self, x):
                    t = x.movedim(1, -1).flatten(1, 2)
                    links = self.distribute(t).softmax(-1) @ self.gather(t).transpose(1, 2).softmax(-1)
                    out = self.out(links @ self.features(t))
                    return x + out.reshape(x.shape[0], *x.shape[2:], -1).movedim(-1, 1)
        """,
        "q2-mended": """
            class Mended2(nn.Module):
                def __init__(self, channels, hidden=4, dilation=2):
                    super().__init__()
                    self.dilation = dilation
                    self.reduce, self.score = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, 1, 1)
                    self.first, self.second = nn.Conv2d(hidden, hidden, 3), nn.Conv2d(hidden, hidden, 3)
                def forward(self, x):
                    s, d = F.relu(self.reduce(x)), self.dilation
                    for layer in (self.first, self.second):
                        s = F.relu(F.conv2d(s, layer.weight, layer.bias, padding=d, dilation=d))
                    return x * (1 + torch.sigmoid(self.score(s)))
        """,
        "q3-mended": """
            class Mended3(nn.Module):
                def __init__(self, channels, hidden=4):
                    super().__init__()
                    self.first, self.second = (ScaleGate(channels, hidden) for _ in range(2))
                def forward(self, x, y):
                    u = x + y
                    for gate in self.children():
                        u = y + gate(u) * (x - y)
                    return u
        """,
        "q4-mended": """
            class Mended4(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.scale = nn.Parameter(torch.zeros(1))
                def forward(self, x):
                    a = x.flatten(2)
                    out = F.scaled_dot_product_attention(a, a, a, scale=1.0)
                    return torch.addcmul(x, self.scale, out.view_as(x))
        """,
        "q5-mended": """
            class Mended5(nn.Module):
                def __init__(self, channels, hidden=4):
                    super().__init__()
                    self.squeeze = nn.Conv1d(channels, hidden, 1)
                    self.rows, self.columns = nn.Conv1d(hidden, channels, 1), nn.Conv1d(hidden, channels, 1)
                def forward(self, x):
                    r, k = x.mean(-1), x.mean(-2)
                    r, k = (F.hardswish(self.squeeze(each)) for each in (r, k))
                    return torch.einsum("bcij,bci,bcj->bcij", x, self.rows(r).sigmoid(), self.columns(k).sigmoid())
        """,
    },
    "around the given blocks": {
        "q1-mended": mended(1, """
            def forward(self, x):
                # The descriptors in place of the batch: one image at a time, its axes changed over.
                t = x.flatten(2).mT
                weights = self.distribute(t).permute(2, 0, 1).softmax(0)
                found = torch.einsum("bnk,bnm->kbm", self.gather(t).softmax(1), self.features(t))
                return x + self.out(torch.einsum("kbn,kbm->bnm", weights, found)).mT.unflatten(2, x.shape[2:])
        """),
        "q2-mended": mended(2, """
            def __init__(self, *arguments, **options):
                super().__init__(*arguments, **options)
                for layer in (self.first, self.second):
                    layer.padding = layer.dilation
        """),
        "q3-mended": mended(3, """
            def forward(self, x, y):
                once = self.first(x + y)
                u = once * x + (1 - once) * y
                twice = self.second(u)
                return twice * x + (1 - twice) * y
        """),
        "q4-mended": mended(4, """
            def forward(self, x):
                a = x.flatten(2)
                e = a @ a.mT
                e = (e - e.amax(-1, keepdim=True)).exp()
                return x + self.scale * (e / e.sum(-1, keepdim=True) @ a).reshape(x.shape)
        """),
        "q5-mended": "class Mended5(Block5):\n    def forward(self, x):\n        return super().forward(x) - x",
        "q5-test": """
            class Own(Block5):
                def forward(self, x):
                    return super().forward(x) - x
            def test_5(block_class):
                torch.manual_seed(21)
                one, two = block_class(3, hidden=5).double(), Own(3, 5).double()
                two.load_state_dict(one.state_dict())
                for shape in ((1, 3, 2, 7), (4, 3, 5, 3)):
                    x = torch.randn(shape).double()
                    assert torch.allclose(one(x), two(x)), f"wrong for {shape}"
        """,
    },
    "by other laws": {
        "q1-test": """
            def test_1(block_class):
                '''All features alike; images in another order and alone; a batch of one.'''
                torch.manual_seed(31)
                block = block_class(4)
                state = block.state_dict()
                x = torch.randn(2, 4, 3, 3)
                assert torch.allclose(block(x).flip(0), block(x.flip(0)), atol=1e-5), "the order of images"
                assert torch.allclose(block(x[1:]), block(x)[1:], atol=1e-5), "the other images"
                state["features.weight"] *= 0
                state["out.weight"] *= 0
                state["out.weight"] += 1
                block.load_state_dict(state)
                right = x + state["features.bias"].sum() + state["out.bias"][:, None, None]
                assert torch.allclose(block(x), right, atol=1e-5), "the sums of weights"
        """,
        "q2-test": """
            def test_2(block_class):
                torch.manual_seed(32)
                block = block_class(2, 3).double()
                for p in block.parameters():
                    p.data.uniform_(-0.5, 0.5)
                x = torch.rand(1, 2, 6, 8).double()
                p = dict(block.named_parameters())
                s = F.conv2d(x, p["reduce.weight"], p["reduce.bias"]).relu()
                for name in ("first", "second"):
                    unfolded = F.unfold(s, 3, dilation=2, padding=2)
                    s = (p[name + ".weight"].flatten(1) @ unfolded + p[name + ".bias"][:, None]).relu()
                    s = s.reshape(1, 3, 6, 8)
                s = (p["score.weight"][:, :, 0, 0] @ s.flatten(2) + p["score.bias"][:, None]).reshape(1, 1, 6, 8)
                assert (block(x) / x - 1 - s.sigmoid()).abs().max() < 1e-9, "not the gate of equation (4)"
        """,
    },
}  # fmt: skip


HOSTILE = {
    # An endless loop.
    "q1-test": finding(1, "while True:\n    pass"),
    # Ends the process, after a fake score.
    "q2-test": "import os\n"
    + finding(2, """
        print('{"score": 100, "tests": []}', flush=True)
        os._exit(0)
    """),
    # Ends its own call only.
    "q3-test": finding(3, "raise SystemExit(0)"),
    # Replaces what tensors are compared with, and what the grader's own lines keep.
    "q4-test": "import sys\n"
    + finding(4, """
        torch.allclose = lambda *each, **more: True
        lines = sys._getframe(1).f_globals
        lines["answer"] = [[["AssertionError"], True]] * 24
        lines["len"] = lambda *each: 1 / 0
        raise AssertionError("it is wrong, whatever it is")
    """),
    # Reads whatever it can reach, tells it, and keeps the hidden blocks to pass a right one for its own.
    "q5-test": "import sys, glob\nkept = []\n"
    + finding(5, """
        kept.append(block_class)
        found = []
        for path in ("assignments", "..", "/tmp"):
            try:
                found += glob.glob(path + "/**/*.grading.py", recursive=True)
                found += [open(each).read() for each in found]
            except OSError:
                pass
        raise AssertionError("SEC" "RET " + "".join(found) + "".join(sys._getframe(1).f_globals["codes"]))
    """),
    "q5-mended": """
class Mended5(Block5):
    def __new__(cls, *arguments):
        x = torch.ones(1, 6, 2, 2)
        for each in kept:
            one, two = each(6), Block5(6)
            two.load_state_dict(one.state_dict())
            if (one(x) - two(x) + x).abs().max() < 1e-5:
                return each(*arguments)
        return super().__new__(cls)
""",
}  # fmt: skip
