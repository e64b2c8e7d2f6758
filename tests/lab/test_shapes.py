"""The workbench's shapes: what a run did, in words, tables and pictures."""

import cProfile
import pstats
import random
from functools import partial
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import nn

import attention
from attention.contract import Attention, Map
from attention.lab import style
from attention.lab.shapes import alt_text, diagram, draw, summary, table, trace
from tests.lab.picture_checks import boxes, faults, labels, lines
from tests.lab.shape_modules import Bottleneck, Loop, Tall, cases, random_module

CASES = cases()


class Calls(nn.Module):
    """A module that does what a function says."""

    def __init__(self, function, **tensors):
        super().__init__()
        self.function = function
        for name, value in tensors.items():
            setattr(self, name, nn.Parameter(value) if isinstance(value, torch.Tensor) else value)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def run(function, *shapes, **tensors):
    """Trace a function on random tensors."""
    return trace(Calls(lambda m, *x: function(*x), **tensors), *(torch.randn(s) for s in shapes))


def _note_shape(seen, path, module, inputs, output):
    seen.append((path, tuple(output.shape)))


def words(found):
    return [node.words for node in found.nodes if node.words]


# What is recorded


def test_se_reads_as_in_the_paper():
    found = trace(*CASES["SE"])
    visible = found.visible()
    assert words(visible) == ["mean over H, W", "linear 64 → 4", "ReLU", "linear 4 → 64", "sigmoid", "×"]
    assert [n.shape for n in visible.nodes] == [
        (2, 64, 8, 8), (2, 64), (2, 4), (2, 4), (2, 64), (2, 64), (2, 64, 8, 8)
    ]  # fmt: skip
    assert [n.name for n in visible.nodes] == ["x", "", "", "", "", "channel", "output"]
    assert visible.nodes[-1].sources == (0, 5)
    assert [(e.source, e.target) for e in visible.edges] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 7), (5, 7)]
    assert [n.parameters for n in visible.nodes if n.parameters] == [
        (("reduce.weight", (4, 64)),),
        (("expand.weight", (64, 4)),),
    ]
    assert [n.module for n in found.nodes[2:5]] == ["reduce", "", "expand"]


def test_every_tensor_has_the_shape_of_the_real_run():
    """The same module by hooks alone: each leaf module's output shape is in the trace, under its name."""
    for name in ("bottleneck", "projection", "tall", "sampler"):
        module, *inputs = CASES[name]
        seen, hooks = [], []
        for path, child in module.named_modules():
            if not list(child.children()) and not isinstance(child, nn.Identity):
                hooks.append(child.register_forward_hook(partial(_note_shape, seen, path)))
        module(*inputs)
        for hook in hooks:
            hook.remove()
        traced = [(n.module, n.shape) for n in trace(module, *inputs).nodes if n.module in dict(seen)]
        assert traced == seen, name


@pytest.mark.parametrize(
    ("expected", "function", "shapes"),
    [
        ("mean over H, W", lambda x: x.mean((2, 3)), [(2, 3, 4, 5)]),
        ("mean over H, W", lambda x: F.adaptive_avg_pool2d(x, 1), [(2, 3, 4, 5)]),
        ("mean over H, W", lambda x: F.avg_pool2d(x, (4, 5)), [(2, 3, 4, 5)]),
        ("mean over W", lambda x: F.adaptive_avg_pool2d(x, (None, 1)), [(2, 3, 4, 5)]),
        ("max over H, W", lambda x: F.adaptive_max_pool2d(x, 1), [(2, 3, 4, 5)]),
        ("max over C", lambda x: x.max(1, keepdim=True)[0], [(2, 3, 4, 5)]),
        ("max over C", lambda x: reduce(x, "b c h w -> b h w", "max"), [(2, 3, 4, 5)]),
        ("sum over B, C, H, W", lambda x: x.sum(), [(2, 3, 4, 5)]),
        ("variance over N", lambda x: x.var(dim=1), [(2, 3, 4)]),
        ("maximum", torch.max, [(2, 3), (2, 3)]),
        ("average pool to 2×3", lambda x: F.adaptive_avg_pool2d(x, (2, 3)), [(2, 3, 4, 6)]),
        ("max pool 3×3, stride 2", lambda x: F.max_pool2d(x, 3, 2, 1), [(2, 3, 8, 8)]),
        ("conv 3×3, 4 → 6, stride 2", lambda x: F.conv2d(x, torch.ones(6, 4, 3, 3), stride=2), [(1, 4, 9, 9)]),
        ("conv 1×7, 4 → 6", lambda x: F.conv2d(x, torch.ones(6, 4, 1, 7)), [(1, 4, 9, 9)]),
        ("conv 3×3, 4 → 8, 2 groups", lambda x: F.conv2d(x, torch.ones(8, 2, 3, 3), groups=2), [(1, 4, 9, 9)]),
        ("depthwise conv 3×3, 4", lambda x: F.conv2d(x, torch.ones(4, 1, 3, 3), groups=4), [(1, 4, 9, 9)]),
        ("conv 3×3, 4 → 4, dilation 2", lambda x: F.conv2d(x, torch.ones(4, 4, 3, 3), dilation=2), [(1, 4, 9, 9)]),
        ("conv 3, 4 → 5", lambda x: F.conv1d(x, torch.ones(5, 4, 3)), [(1, 4, 9)]),
        ("transposed conv 2×2, 4 → 3, stride 2",
         lambda x: F.conv_transpose2d(x, torch.ones(4, 3, 2, 2), stride=2), [(1, 4, 5, 5)]),
        ("softmax over C", lambda x: x.softmax(1), [(2, 3)]),
        ("softmax over H", lambda x: F.softmax(x, dim=2), [(2, 3, 4, 4)]),
        ("log-softmax over C", lambda x: F.log_softmax(x, -1), [(2, 3)]),
        ("normalise over C", lambda x: F.normalize(x), [(2, 3)]),
        ("concatenate along C", lambda x, y: torch.cat([x, y], dim=1), [(2, 3, 4, 4), (2, 5, 4, 4)]),
        ("concatenate along C", lambda x, y: torch.cat(tensors=[x, y], dim=1), [(2, 3), (2, 5)]),
        ("split in 2 along C", lambda x: x.chunk(2, 1), [(2, 4)]),
        ("matrix product", lambda x, y: x @ y, [(2, 3, 4), (2, 4, 5)]),
        ("matrix product", torch.bmm, [(2, 3, 4), (2, 4, 5)]),
        ("einsum bnc, bmc → bnm", lambda x, y: torch.einsum("bnc,bmc->bnm", x, y), [(2, 3, 4), (2, 5, 4)]),
        ("×", lambda x, y: x * y, [(2, 3), (2, 3)]),
        ("+", torch.add, [(2, 3), (2, 3)]),
        ("−", lambda x, y: x - y, [(2, 3), (2, 3)]),
        ("÷", lambda x, y: x / y, [(2, 3), (2, 3)]),
        ("× 0.5", lambda x: 0.5 * x, [(2, 3)]),
        ("1 − ·", lambda x: 1 - x, [(2, 3)]),
        ("− 1", lambda x: x - 1, [(2, 3)]),
        ("÷ 8", lambda x: x / 8, [(2, 3)]),
        ("1 ÷ ·", lambda x: 1 / x, [(2, 3)]),
        ("square", lambda x: x**2, [(2, 3)]),
        ("+ −1", lambda x: x + -1, [(2, 3)]),
        ("ReLU", F.relu, [(2, 3)]),
        ("ReLU", lambda x: x.clamp_(min=0).relu_(), [(2, 3)]),
        ("sigmoid", torch.sigmoid, [(2, 3)]),
        ("resize ×2, nearest", lambda x: F.interpolate(x, scale_factor=2), [(1, 3, 4, 4)]),
        ("resize to 5×7, bilinear", lambda x: F.interpolate(x, size=(5, 7), mode="bilinear"), [(1, 3, 4, 4)]),
        ("sample bilinearly", lambda x, g: F.grid_sample(x, g, align_corners=False), [(1, 3, 4, 4), (1, 2, 2, 2)]),
        ("transpose", lambda x: x.mT, [(2, 3, 4)]),
        ("permute", lambda x: x.permute(0, 2, 3, 1), [(2, 3, 4, 5)]),
        ("slice", lambda x: x[:, 1:], [(2, 3)]),
        ("2 largest over C", lambda x: x.topk(2, 1)[0], [(2, 3)]),
        ("to float64", lambda x: x.double(), [(2, 3)]),
        ("dropout 0.5", lambda x: F.dropout(x, training=True), [(2, 3)]),
        ("running sum over C", lambda x: x.cumsum(1), [(2, 3)]),
    ],
)  # fmt: skip
def test_words(expected, function, shapes):
    assert words(run(function, *shapes))[-1] == expected


@pytest.mark.parametrize(
    ("expected", "function", "shape"),
    [
        ("softmax over HW", lambda x: x.flatten(2).softmax(-1), (2, 3, 4, 5)),
        ("mean over H, W", lambda x: x.flatten(2).unflatten(2, (4, 5)).mean((2, 3)), (2, 3, 4, 5)),
        ("softmax over C", lambda x: x.permute(0, 2, 3, 1).softmax(-1), (2, 3, 4, 5)),
        ("sum over C₁", lambda x: x.view(2, 3, 2, 4, 5).sum(1), (2, 6, 4, 5)),
        ("sum over C₂", lambda x: x.view(2, 3, 2, 4, 5).sum(2), (2, 6, 4, 5)),
        ("sum over C", lambda x: rearrange(rearrange(x, "b (g c) h w -> b g c (h w)", g=3) * 2,
                                           "b g c n -> b (g c) n").sum(1), (2, 6, 4, 5)),
        ("sum over BC₁", lambda x: rearrange(x, "b (g c) h w -> (b g) c h w", g=3).sum(0), (2, 6, 4, 5)),
        ("softmax over HW", lambda x: (x.flatten(2).mT @ x.flatten(2)).softmax(-1), (2, 3, 4, 5)),
        ("softmax over C", lambda x: (x.flatten(2) @ x.flatten(2).mT).softmax(-1), (2, 3, 4, 5)),
        ("sum over W", lambda x: x.transpose(2, 3).sum(2), (2, 3, 4, 4)),
        ("mean over H", lambda x: x[:, :, :, 0].mean(2), (2, 3, 4, 5)),
        ("mean over C", lambda x: x.unbind(2)[0].mean(1), (2, 3, 4, 5)),
        ("max over W", lambda x: torch.einsum("bchw->bwh", x).amax(1), (2, 3, 4, 5)),
        ("sum over W", lambda x: x.squeeze(1).sum(2), (2, 1, 4, 5)),
    ],
)  # fmt: skip
def test_axes_keep_their_letters_on_their_way(expected, function, shape):
    assert words(run(function, shape))[-1] == expected


def test_the_caller_names_axes():
    found = trace(Calls(lambda m, x: x.mean(2)), torch.ones(2, 3, 4), names={3: "B C T"})
    assert words(found) == ["mean over T"]
    assert found.nodes[0].axes == ("B", "C", "T")
    with pytest.raises(ValueError, match="rank 3 has 2 letters"):
        trace(Calls(lambda m, x: x), torch.ones(2, 3, 4), names={3: "B C"})
    with pytest.raises(TypeError, match="names="):
        trace(Calls(lambda m, x: x), torch.ones(2, 3, 4), names="BCT")


def test_parameters_and_constants_are_operands_not_tensors_of_the_run():
    found = trace(Calls(lambda m, x: (x * m.gamma.view(1, -1)) + torch.ones(3), gamma=torch.ones(3)), torch.ones(2, 3))
    assert words(found) == ["× gamma", "+ ones"]
    assert len(found.nodes) == 3
    assert found.nodes[1].parameters == (("gamma", (3,)),)


def test_control_flow_is_followed_as_it_ran():
    two, three = (trace(Loop(passes=n), torch.randn(1, 16, 8, 8)) for n in (2, 3))
    assert words(two) == ["conv 3×3, 16 → 16", "ReLU", "+", "conv 3×3, 16 → 16", "tanh", "+"]
    assert words(three) == [*words(two), *words(two)[:3]]
    assert str(table(three)).endswith(f"parameters: {16 * 16 * 9 + 16:,}")  # shared weights count once


def test_in_place_operations_make_new_tensors():
    def forward(m, x):
        y = x * 2
        y += 1
        y[:, 0] = 0
        return y.relu_() + y

    found = trace(Calls(forward), torch.randn(2, 3))
    assert words(found) == ["× 2", "+ 1", "write into a slice", "ReLU", "+"]
    assert [n.sources for n in found.nodes] == [(), (0,), (1,), (2,), (3,), (4,)]


def test_writing_through_a_view_reaches_the_tensor_behind_it():
    def forward(m, x):
        y = x + 1
        y[:, :2].mul_(3)
        return y * 2

    def collect(m, x):
        out = torch.zeros(2, 3)
        for i in range(3):
            out[:, i].copy_(x[:, i])
        return out

    found = trace(Calls(forward), torch.randn(2, 3))
    assert words(found) == ["+ 1", "slice", "× 3", "written in place", "× 2"]
    assert found.nodes[4].sources == (1, 3)
    found = trace(Calls(collect), torch.randn(2, 3))
    reached, size = {found.nodes[-1].index}, 0
    while size < len(reached):
        size = len(reached)
        reached |= {e.source for e in found.edges if e.target in reached}
    columns = {e.target for e in found.edges if e.source == 0}
    assert len(columns) == 3
    assert columns <= reached


def test_inference_mode_and_no_grad_give_the_same_run():
    module, x = Bottleneck().eval(), torch.randn(1, 64, 4, 4)
    usual = trace(module, x)
    with torch.no_grad():
        assert trace(module, x) == usual
    with torch.inference_mode():
        assert trace(module, x) == usual


def test_consecutive_reshapes_are_one_step():
    found = run(lambda x: x.view(2, 3, 20).permute(0, 2, 1).reshape(2, 4, 15) * 2, (2, 3, 4, 5))
    assert words(found) == ["rearrange", "× 2"]
    quiet = run(lambda x: x[:, :, None].expand(2, 3, 4) * 2, (2, 3))
    assert words(quiet.visible()) == ["× 2"]
    loud = run(lambda x: x.transpose(1, 2) * 2, (2, 4, 4))
    assert words(loud.visible()) == ["transpose", "× 2"]


def test_a_used_tensor_between_two_reshapes_stays():
    found = run(lambda x: (y := x.view(2, 12), y.view(24)), (2, 3, 4))
    assert [n.shape for n in found.nodes] == [(2, 3, 4), (2, 12), (24,)]
    assert [n.name for n in found.nodes] == ["input 1", "output 1", "output 2"] or found.nodes[0].role == "input"


def test_unused_results_are_left_out():
    found = run(lambda x: x.max(1)[0], (2, 3))
    assert [n.dtype for n in found.nodes] == ["float32", "float32"]
    both = run(lambda x: tuple(x.max(1)), (2, 3))
    assert [n.dtype for n in both.nodes] == ["float32", "float32", "int64"]
    assert both.nodes[1].operation == both.nodes[2].operation


def test_submodules_collapse():
    module, x = CASES["bottleneck"]
    one = trace(module, x, depth=1)
    assert words(one)[-4:] == ["batch norm", "attention: SqueezeExcitation", "+", "ReLU"]
    assert dict(one.nodes[9].parameters) == {"attention.reduce.weight": (4, 64), "attention.expand.weight": (64, 4)}
    assert words(trace(module, x, depth=0)) == ["Bottleneck"]
    nested = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, 2))
    assert words(trace(nested, torch.ones(1, 4), depth=1)) == ["0: Sequential", "linear 4 → 2"]
    assert words(trace(nested, torch.ones(1, 4), depth=2)) == ["linear 4 → 4", "ReLU", "linear 4 → 2"]
    assert "shortcut" in words(trace(*CASES["projection"], depth=1))
    shared = trace(Loop(), torch.ones(1, 16, 4, 4), depth=1)
    assert words(shared).count("conv 3×3, 16 → 16") == 2


def test_a_collapsed_module_keeps_what_it_reads_behind_its_arguments():
    inner = Calls(lambda m, x: (x + m.memory[0]).relu())

    def forward(m, x):
        inner.memory = [x * 2]
        return inner(x)

    outer = Calls(forward)
    outer.inner = inner
    found = trace(outer, torch.ones(2, 3), depth=1)
    assert words(found) == ["× 2", "inner: Calls"]
    assert found.nodes[2].sources == (0, 1)
    assert "memory" not in vars(inner)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_happens_out_of_sight_is_one_step():
    hidden = Calls(lambda m, x: torch.from_numpy(2 * x.numpy()))
    scripted = torch.jit.trace(nn.Linear(3, 2), torch.ones(1, 3))
    found = trace(nn.Sequential(hidden, nn.ReLU(), scripted), torch.randn(2, 3))
    assert words(found) == ["Calls", "ReLU", "TopLevelTracedModule"]
    assert [n.sources for n in found.nodes] == [(), (0,), (1,), (2,)]
    many = trace(nn.MultiheadAttention(8, 2, batch_first=True), *[torch.randn(2, 5, 8)] * 3)
    assert words(many).count("multi-head attention") == 2  # the result and the weights
    assert {n.role for n in many.nodes if n.words == "multi-head attention"} == {"", "output"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_module_is_refused_and_a_traced_one_is_not():
    x = torch.ones(1, 3)
    assert words(trace(torch.jit.trace(nn.Linear(3, 2), x), x)) == ["TopLevelTracedModule"]
    scripted = nn.Sequential(torch.jit.script(nn.Linear(3, 2)))
    with pytest.raises(TypeError, match=r"the module '0' is scripted.*pass the original module"):
        trace(scripted, x)


def test_modules_without_data_can_be_traced():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).to("meta")
    assert words(trace(module, torch.empty(2, 3, 5, 5, device="meta"))) == ["conv 1×1, 3 → 4", "batch norm"]


def test_buffers_that_are_not_yet_initialised_are_refused():
    with pytest.raises(ValueError, match="running_mean, running_var not initialised yet"):
        trace(nn.LazyBatchNorm2d(affine=False), torch.ones(1, 3, 2, 2))


def test_inputs_and_outputs_may_be_nested():
    module = Calls(lambda m, pair: {"sum": pair[0] + pair[1], "same": pair[0], "fixed": torch.zeros(2)})
    found = trace(module, (torch.ones(2), torch.ones(2)))
    assert [(n.name, n.role) for n in found.nodes] == [
        ("input 1 1", "input"), ("input 1 2", "input"), ("sum", "output"), ("fixed", "output")
    ] or [n.name for n in found.nodes][2:] == ["sum", "fixed"]  # fmt: skip
    diagram(found)


def test_maps_of_attention_blocks_keep_their_names_once():
    class Two(Attention):
        def __init__(self):
            super().__init__()
            self.maps = {"first": Map("b c 1 1"), "second": Map("b 1 h w")}
            self.runs = 0

        def attend(self, x):
            self.runs += 1
            first = x.mean((2, 3), keepdim=True).sigmoid()
            second = (x * first).mean(1, keepdim=True).sigmoid()
            return x * first * second, {"first": first, "second": second}

    module = nn.Sequential(Two(), nn.ReLU())
    found = trace(module, torch.randn(1, 4, 3, 3))
    assert [n.name for n in found.nodes] == ["input", "", "first", "", "", "second", "", "", "output"]
    assert module[0].runs == 0
    assert "attend" not in vars(module[0])


# Nothing is left behind


class Stateful(nn.Module):
    """Everything that a run could change."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm2d(4), nn.Dropout(0.5)
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("seen", torch.zeros(1))
        self.calls, self.last = 0, None

    def forward(self, x):
        x.mul_(2)
        self.calls += 1
        self.seen = self.seen + 1
        with torch.no_grad():
            self.scale.add_(1)
        self.last = self.drop(self.norm(x)) * self.scale * random.random() * np.random.rand()  # noqa: NPY002
        return self.last + torch.rand(1)


def test_everything_is_left_as_it_was():
    module, x = Stateful(), torch.randn(3, 4, 2, 2)
    module.norm.eval()
    module(x.clone()).sum().backward()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    gradients = [p.grad.clone() for p in module.parameters()]
    objects = {k: id(v) for k, v in module.named_buffers()}
    attributes, inner, kept = dict(vars(module)), dict(vars(module.norm)), x.clone()
    state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002

    for function in (trace, summary):
        function(module, x)
        assert torch.equal(x, kept) or function is summary
        x = kept.clone()
        assert dict(vars(module)) == attributes
        assert dict(vars(module.norm)) == inner
        assert not module._forward_hooks
        assert not module.norm._forward_pre_hooks
        assert {k: id(v) for k, v in module.named_buffers()} == objects
        for name, value in module.state_dict().items():
            assert torch.equal(value, before[name]), name
        for p, gradient in zip(module.parameters(), gradients, strict=True):
            assert torch.equal(p.grad, gradient)
        assert torch.equal(torch.get_rng_state(), state[0])
        assert random.getstate() == state[1]
        assert np.random.get_state()[1].tolist() == state[2]  # noqa: NPY002


def test_everything_is_left_as_it_was_after_an_error_too():
    module = nn.Sequential(Stateful(), nn.Linear(7, 1))
    before = module.state_dict()["0.seen"].clone()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        trace(module, torch.randn(3, 4, 2, 2))
    assert torch.equal(module.state_dict()["0.seen"], before)
    assert module[0].calls == 0
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "module: expected an nn.Module, received function", lambda: trace(lambda x: x, 1)),
        (TypeError, "depth='1'", lambda: trace(nn.ReLU(), torch.ones(1), depth="1")),
        (ValueError, "depth=-1 is negative", lambda: trace(nn.ReLU(), torch.ones(1), depth=-1)),
        (ValueError, "weight, bias not initialised", lambda: trace(nn.LazyLinear(2), torch.ones(1, 2))),
        (ValueError, "flow='up'", lambda: diagram(trace(nn.ReLU(), torch.ones(1)), flow="up")),
        (ValueError, "no tensors", lambda: diagram(trace(Calls(lambda m: None)))),
    ],
)
def test_bad_arguments(error, message, call):
    with pytest.raises(error, match=message):
        call()


# Tables


def test_table_as_text():
    assert str(table(trace(*CASES["SE"]))) == "\n".join(
        [
            "step  operation          shape     from  parameters",
            "────  ─────────────────  ────────  ────  ──────────────────",
            "0     input (x)          2×64×8×8",
            "1     mean over H, W     2×64      0",
            "2     linear 64 → 4      2×4       1     reduce.weight 4×64",
            "3     ReLU               2×4       2",
            "4     linear 4 → 64      2×64      3     expand.weight 64×4",
            "5     sigmoid            2×64      4",
            "6     reshape (channel)  2×64×1×1  5",
            "7     × (output)         2×64×8×8  0, 6",
            "parameters: 512",
        ]
    )


@pytest.mark.parametrize("name", CASES)
def test_table_is_the_same_each_time_and_counts_parameters(name):
    module, *inputs = CASES[name]
    found = table(trace(module, *inputs))
    assert str(found) == repr(found) == str(table(trace(module, *inputs)))
    assert found.total == sum(p.numel() for p in module.parameters())


def test_table_as_html():
    class Cells(HTMLParser):
        def __init__(self):
            super().__init__()
            self.rows, self.tags, self.attributes = [], [], set()

        def handle_starttag(self, tag, attrs):
            self.tags.append(tag)
            self.attributes |= set(attrs)
            if tag == "tr":
                self.rows.append([])
            elif tag in ("td", "th"):
                self.rows[-1].append("")

        def handle_data(self, data):
            if self.tags[-1] in ("td", "th") and data.strip():
                self.rows[-1][-1] += data

    found = table(trace(Calls(lambda m, x: x * (x > 0)), torch.ones(2)))
    page = Cells()
    page.feed(found._repr_html_())
    assert [tuple(row) for row in page.rows[1:]] == list(found.rows)
    assert page.attributes == {("scope", "col")}  # no colour, no style
    assert "&gt; 0" in found._repr_html_()


def test_summary_is_torchinfo():
    found = summary(*CASES["SE"])
    assert "SqueezeExcitation" in found
    assert "Total params: 512" in found


# Pictures


@pytest.mark.parametrize("flow", ["down", "right"])
@pytest.mark.parametrize("name", [*CASES, *range(6)])
def test_nothing_overlaps(name, flow):
    module, *inputs = CASES[name] if name in CASES else (random_module(name), torch.randn(1, 4, 6, 6))
    found = trace(module, *inputs)
    fig = diagram(found, title="A title that is longer than what it stands above is wide", flow=flow)
    assert faults(fig) == []
    visible = found.visible()
    assert sum(name.startswith("tensor") for name in boxes(fig)) == len(visible.nodes)
    assert sum(name.startswith("operation") for name in boxes(fig)) == len({n.operation for n in visible.nodes} - {-1})
    written = " ".join(text.replace("\n", " ") for text, _ in labels(fig))
    for node in visible.nodes:
        assert node.words in written
        assert "×".join(map(str, node.shape)) in written
        assert node.name in written


def test_the_check_for_overlap_finds_overlap():
    fig = diagram(trace(*CASES["SE"]))
    text = next(t for t in fig.axes[0].texts if t.get_text() == "ReLU")
    text.set_y(text.get_position()[1] + 0.45)
    assert any("text ReLU" in fault for fault in faults(fig))
    fig = diagram(trace(*CASES["SE"]))
    skip = next(p for p in fig.axes[0].patches if (p.get_gid() or "") == "line:tensor:0:operation:6")
    skip.get_path().vertices[:, 0] += 0.8
    assert any("runs through" in fault for fault in faults(fig))


def test_every_edge_is_a_line():
    found = trace(*CASES["two gates"]).visible()
    ways = set(lines(diagram(found)))
    for node in found.nodes:
        for source in node.sources:
            assert f"line:tensor:{source}:operation:{node.operation}" in ways
        if node.words:
            assert f"line:operation:{node.operation}:tensor:{node.index}" in ways


def test_a_skip_goes_around():
    fig = diagram(trace(*CASES["SE"]))
    skip = lines(fig)["line:tensor:0:operation:6"]
    others = [box for name, box in boxes(fig).items() if name not in ("tensor:0", "tensor:7", "operation:6")]
    assert skip[:, 0].min() < min(box.x0 for box in others)


def test_sides_follow_the_sizes():
    fig = diagram(trace(*CASES["tall"]))
    found = boxes(fig)
    image, deep = found["tensor:0"], found["tensor:3"]  # 3×224×224 and 2048×7×7
    assert image.height > 1.8 * deep.height
    assert deep.width > 1.8 * image.width
    assert found["tensor:4"].height < deep.height  # a vector is a bar


def test_small_runs_fit_a_phone_and_long_ones_scroll(monkeypatch):
    shown = {}
    monkeypatch.setattr(style, "show", lambda fig, alt, scroll=False: shown.update(fig=fig, alt=alt, scroll=scroll))
    for name, (module, *inputs) in CASES.items():
        found = trace(module, *inputs)
        draw(found)
        count = len(found.visible().nodes)
        assert count > 10 or not shown["scroll"], name
        assert count > 10 or shown["fig"].get_figwidth() <= 6.9, name
        assert shown["scroll"] == (shown["fig"].get_figwidth() > 6.1), name


@pytest.mark.parametrize("name", CASES)
def test_the_style_accepts_every_drawing(name):
    module, *inputs = CASES[name]
    draw(trace(module, *inputs), title=name)  # refuses text that is cut off, or too small for a phone


def test_alt_text_tells_the_run():
    assert alt_text(trace(*CASES["SE"])) == (
        "The tensors of SqueezeExcitation: x of shape 2×64×8×8; mean over H, W gives 2×64 (step 1); "
        "linear 64 → 4 gives 2×4 (step 2); ReLU gives 2×4 (step 3); linear 4 → 64 gives 2×64 (step 4); "
        "sigmoid gives channel of shape 2×64; × of x and channel gives output of shape 2×64×8×8."
    )
    long = alt_text(trace(nn.Sequential(*[nn.ReLU()] * 60), torch.ones(2)))
    assert "37 more steps" in long
    assert len(long) < 1500


def test_a_drawing_too_long_to_store_says_so():
    with pytest.raises(ValueError, match="inches long"):
        diagram(trace(nn.Sequential(*[nn.ReLU()] * 700), torch.ones(2)))


def calls(function, *arguments, **named):
    """Return what a function returns, and how many calls of Python functions it takes: on every machine the same."""
    profile = cProfile.Profile()
    result = profile.runcall(function, *arguments, **named)
    return result, pstats.Stats(profile).total_calls


def test_a_resnet_takes_work_in_step_with_its_size():
    stages = [Bottleneck(c, out, s) for c, out, s in ((64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2))]
    module, x = nn.Sequential(Tall().stem, *stages, *[Bottleneck(256, 256)] * 4), torch.randn(1, 3, 64, 64)
    trace(module[0], x)  # what is made once, and kept
    small, few = calls(trace, module[:5], x)
    found, many = calls(trace, module, x)
    assert many / len(found.nodes) < 1.5 * few / len(small.nodes) < 1500
    _, few = calls(diagram, small)
    _, many = calls(diagram, found)
    assert many / len(found.nodes) < 1.5 * few / len(small.nodes) < 15_000
    assert faults(diagram(trace(module, x, depth=1))) == []


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("se", {"reduction": 2}, {"z": ("z", "squeeze"), "s": ("s", "excite"), "y": (r"\tilde x", "scale")}),
        ("dot_product", {}, {"A": ("A", "compare"), "Y": ("Y", "read")}),
        ("cbam", {"reduction": 2}, {"Mc": ("M_c", "channels"), "F2": ("F''", "positions")}),
    ],
)
def test_the_steps_of_a_block_are_in_the_run(name, options, expected):
    module = nn.Sequential(nn.ReLU(), attention.create(name, 8, **options))
    x = torch.randn(2, 8, 3, 4)
    runs = [trace(module, x), trace(module, x).visible()]
    if name == "dot_product":  # its forward goes another way, on which not all steps are computed
        runs = [trace(Calls(lambda self, x: self.block.attend(x)[0], block=module[1]), x)]
    for run in runs:
        found = {node.step: (node.symbol, node.zone) for node in run.nodes if node.step}
        assert expected.items() <= found.items()
        # The keys are transposed at once: two rearrangements in a row are drawn as one, which is no step.
        assert set(module[1].steps) - set(found) == ({"K"} if name == "dot_product" else set())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU at hand")
def test_cuda_gives_the_same_run_and_leaves_its_random_numbers():
    for name, (module, *inputs) in cases().items():
        here = trace(module, *inputs)
        there = trace(module.cuda(), *(x.cuda() for x in inputs))
        assert there == here, name
    module = Calls(lambda m, x: F.dropout(x) + torch.rand(3, device="cuda"))
    before = torch.cuda.get_rng_state()
    trace(module, torch.ones(2, 3, device="cuda"))
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_modules_without_anything_to_say_are_drawn_too():
    for function, shape in ((lambda x: x, (2, 3)), (lambda x: x.sum(), (2, 3)), (lambda x: x * 0, ())):
        assert faults(diagram(run(function, shape))) == []
