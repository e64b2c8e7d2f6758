"""The workbench's shapes: what a run did, in words, tables and pictures."""

import random
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import nn

import attention
from attention.contract import Attention, Map
from attention.lab.shapes import summary, table, trace
from tests.lab.shape_modules import Bottleneck, Calls, Loop, cases, run, words

CASES = cases()


def _note_shape(seen, path, module, inputs, output):
    seen.append((path, tuple(output.shape)))


# What is recorded


def test_se_reads_as_in_the_paper():
    found = trace(*CASES["SE"])
    visible = found.visible()
    assert words(visible) == ["mean over H, W", "linear 64 → 4, ReLU", "linear 4 → 64, sigmoid", "×"]
    assert [n.shape for n in visible.nodes] == [(2, 64, 8, 8), (2, 64), (2, 4), (2, 64), (2, 64, 8, 8)]
    assert [n.name for n in visible.nodes] == ["x", "", "", "channel", "output"]
    assert [n.colour for n in visible.nodes] == ["feature", "statistic", "hidden", "map", "feature"]
    assert [n.zone for n in visible.nodes] == ["", "squeeze", "excite", "excite", "scale"]
    assert visible.nodes[-1].sources == (0, 5)
    assert visible.nodes[-1].stretched == ((5, "H × W"),)
    assert [(e.source, e.target) for e in visible.edges] == [(0, 1), (1, 3), (3, 5), (0, 7), (5, 7)]
    assert words(found.visible(plumbing=True)) == words(found)
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
        traced = [(n.module, n.shape) for n in trace(module, *inputs, depth=9).nodes if n.module in dict(seen)]
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
    assert words(loud.visible(plumbing=True)) == ["transpose", "× 2"]
    assert words(loud.visible()) == ["× 2"]


@pytest.mark.parametrize(
    ("expected", "shapes", "function"),
    [
        (["mean over H, W"], [(2, 64), (2, 3, 4, 5)], lambda z, x: (z * 1, x.sum((2, 3)) / 20)),
        (["sum over H, W, ÷ 7"], [(2, 3, 4, 5)], lambda x: x.sum((2, 3)) / 7),
        (["linear 4 → 4, softmax over C, × 0.5"], [(2, 4)], lambda x: F.linear(x, torch.eye(4)).softmax(1) * 0.5),
        (["matrix product with itself"], [(2, 4, 3)], lambda x: x @ x.mT),
        (["unbind", "×"], [(2, 4, 3)], lambda x: torch.mul(*x.unbind(0))),  # two parts meet: both are drawn
        (["softmax over N"], [(2, 4, 3)], lambda x: x.double()[:, 1:].softmax(1)),
        (["sum over stack"], [(2, 4), (2, 4)], lambda x, y: torch.stack([x, y]).sum(0)),
        (["+, ReLU"], [(2, 4), (2, 4)], lambda x, y: (x + y).relu()),
        (["ReLU", "sigmoid", "×"], [(2, 4)], lambda x: (y := x.relu()) * y.sigmoid()),  # ReLU has two readers
    ],
)  # fmt: skip
def test_what_is_drawn(expected, shapes, function):
    assert words(run(function, *shapes).visible())[-len(expected) :] == expected


def test_a_result_is_drawn_in_the_shape_that_it_is_used_in():
    found = run(lambda x: F.conv2d(x, torch.ones(2, 4, 1, 1)).flatten(2).transpose(1, 2).softmax(1), (1, 4, 3, 5))
    (made,) = (node for node in found.visible().nodes if node.words)
    assert (made.words, made.shape, made.axes) == ("conv 1×1, 4 → 2, softmax over HW", (1, 15, 2), ("B", "HW", "C"))


@pytest.mark.parametrize(
    ("expected", "function", "shapes"),
    [
        (((1, "H × W"),), lambda x, s: x * s[:, :, None, None], [(2, 3, 4, 5), (2, 3)]),
        (((1, "C"),), lambda x, s: x * s, [(2, 3, 4, 5), (2, 1, 4, 5)]),
        (((1, "B × C × H"),), lambda x, s: x + s, [(2, 3, 4, 5), (5,)]),
        (((1, "C"),), lambda x, s: x * s.expand(-1, 3, -1, -1), [(2, 3, 4, 5), (2, 1, 4, 5)]),
        (((0, "W"), (1, "H")), torch.mul, [(2, 3, 4, 1), (2, 3, 1, 5)]),
        ((), torch.mul, [(2, 3, 4, 5), (2, 3, 4, 5)]),
    ],
)
def test_what_is_stretched(expected, function, shapes):
    assert run(function, *shapes).visible().nodes[-1].stretched == expected


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
    assert words(one)[-4:] == ["bn3", "attention: SqueezeExcitation", "+", "ReLU"]
    assert trace(module, x) == one  # a module that holds an attention block is told part by part
    assert [n.block for n in one.nodes].count(True) == 1
    assert words(one.visible()) == [
        "conv1 1×1, 64 → 16, bn1, ReLU", "conv2 3×3, 16 → 16, bn2, ReLU", "conv3 1×1, 16 → 64, bn3",
        "attention: SqueezeExcitation", "+, ReLU",
    ]  # fmt: skip
    assert "sigmoid" in words(trace(module, x, depth=9))
    stage = trace(nn.Sequential(module, module), x, depth=1)
    assert words(stage) == ["0: Bottleneck, with SqueezeExcitation"] * 2
    assert words(trace(nn.Sequential(module, module), x))[:11] == words(one)
    assert dict(one.nodes[9].parameters) == {"attention.reduce.weight": (4, 64), "attention.expand.weight": (64, 4)}
    assert words(trace(module, x, depth=0)) == ["Bottleneck, with SqueezeExcitation"]
    nested = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, 2))
    assert words(trace(nested, torch.ones(1, 4), depth=1)) == ["0: Sequential", "linear 4 → 2"]
    assert words(trace(nested, torch.ones(1, 4), depth=2)) == ["linear 4 → 4", "ReLU", "linear 4 → 2"]
    assert "shortcut: conv 1×1, 32 → 64, stride 2, batch norm" in words(trace(*CASES["projection"], depth=1))
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
    found = trace(module, torch.randn(1, 4, 3, 3), depth=9)
    assert [n.name for n in found.nodes] == ["input", "", "first", "", "", "second", "", "", "output"]
    assert [n.name for n in found.nodes if n.map] == ["first", "second"]
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
    assert trace(module, torch.randn(3, 4, 2, 2)).failed
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
            "   0  input (x)          2×64×8×8",
            "   1  mean over H, W     2×64      0",
            "   2  linear 64 → 4      2×4       1     reduce.weight 4×64",
            "   3  ReLU               2×4       2",
            "   4  linear 4 → 64      2×64      3     expand.weight 64×4",
            "   5  sigmoid            2×64      4",
            "   6  reshape (channel)  2×64×1×1  5",
            "   7  × (output)         2×64×8×8  0, 6",
            "parameters: 512",
        ]
    )


@pytest.mark.parametrize("name", CASES)
def test_table_is_the_same_each_time_and_counts_parameters(name):
    module, *inputs = CASES[name]
    found = table(trace(module, *inputs))
    assert str(found) == repr(found) == str(table(trace(module, *inputs)))
    assert found.note == f"parameters: {sum(p.numel() for p in module.parameters()):,}"


def test_table_as_html():
    found = table(trace(Calls(lambda m, x: x * (x > 0)), torch.ones(2)))
    assert "&gt; 0" in found._repr_html_()
    assert "<caption>parameters: 0</caption>" in found._repr_html_()


def test_summary_is_torchinfo():
    found = summary(*CASES["SE"])
    assert "SqueezeExcitation" in found
    assert "Total params: 512" in found


# The steps of a block


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("se", {"reduction": 2}, {"z": ("z", "squeeze"), "s": ("s", "excite"), "y": ("y", "scale")}),
        ("dot_product", {}, {"A": ("A", "compare"), "O": ("O", "read")}),
        ("cbam", {"reduction": 2}, {"sch": ("s^{ch}", "channels"), "y": ("y", "positions")}),
    ],
)
def test_the_steps_of_a_block_are_in_the_run(name, options, expected):
    module = nn.Sequential(nn.ReLU(), attention.create(name, 8, **options))
    x = torch.randn(2, 8, 3, 4)
    runs = [trace(module, x, depth=9), trace(module, x, depth=9).visible()]
    if name == "dot_product":  # its forward goes another way, on which not all steps are computed
        runs = [trace(Calls(lambda self, x: self.block.attend(x)[0], block=module[1]), x)]
    for traced in runs:
        found = {node.step: (node.symbol, node.zone) for node in traced.nodes if node.step}
        assert expected.items() <= found.items()
        assert set(module[1].steps) == set(found)


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
