"""Maps of modules that declare none are found by what they do, and are what their modules computed."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import attention
from attention.lab import maps
from tests.lab.test_maps import Where, state

C = 8


class Excitation(nn.Module):
    """SE as in many packages: 1×1 convolutions and a hard sigmoid; it may multiply in place, or in the other order."""

    def __init__(self, how: str = "x * gate") -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(C, 4, 1), nn.Conv2d(4, C, 1)
        self.act, self.gate = nn.ReLU(inplace=True), nn.Hardsigmoid()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(self.up(self.act(self.down(x.mean((2, 3), keepdim=True)))))
        if self.how == "in place":
            return x.clone().mul_(gate)
        if self.how == "added":
            return x + F.relu(gate * x)
        return x * gate if self.how == "x * gate" else x * gate.expand_as(x)


class Local(nn.Module):
    """ECA: a convolution over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate = nn.Conv1d(1, 1, 3, padding=1, bias=False), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        y = self.gate(self.conv(x.mean((2, 3)).unsqueeze(1))).transpose(1, 2).unsqueeze(-1)
        return x * y.expand_as(x)


class Spatial(nn.Module):
    """A gate over space."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate = nn.Conv2d(C, 1, 3, padding=1), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(self.conv(x)) * x


class Kernel(nn.Module):
    """A map of the feature map's own shape, computed from it and not bounded: large kernel attention."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(C, C, 5, padding=2, groups=C)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class ChannelsLast(nn.Module):
    """SE on (batch, height, width, channels)."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.gate = nn.Linear(C, C), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        return (x * self.gate(self.fc(x.mean((1, 2), keepdim=True)))).permute(0, 3, 1, 2)


class Branches(nn.Module):
    """A softmax between two branches, as in SK."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.gate = nn.Conv2d(C, 2 * C, 1), nn.Softmax(1)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.stack([x, x.flip(3)], 1)
        scores = self.fc(both.sum(1).mean((2, 3), keepdim=True))
        return (both * self.gate(scores.view(-1, 2, C, 1, 1))).sum(1)


def placed(block: nn.Module, extra: nn.Module | None = None) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, C, 3, padding=1), nn.Sequential(block, extra or nn.Identity()))


@pytest.mark.parametrize(
    ("make", "dims", "kind"),
    [
        (Excitation, "b c 1 1", "sigmoid"),
        (lambda: Excitation("in place"), "b c 1 1", "sigmoid"),
        (lambda: Excitation("expanded"), "b c 1 1", "sigmoid"),
        (lambda: Excitation("added"), "b c 1 1", "sigmoid"),
        (Local, "b c 1 1", "sigmoid"),
        (Spatial, "b 1 h w", "sigmoid"),
        (Kernel, "b c h w", "real"),
        (ChannelsLast, "b 1 1 c", "sigmoid"),
        (Branches, "b m c 1 1", "softmax"),
    ],
)
def test_a_gate_is_found_where_it_multiplies_and_is_what_its_module_computed(make: Callable, dims: str, kind: str):
    model = placed(make()).eval()
    x = torch.randn(3, 3, 6, 7)
    seen = []
    handle = model[1][0].gate.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    found = maps.capture(model, x)
    handle.remove()
    assert {layer: list(names) for layer, names in found.items()} == {"1.0": ["gate"]}
    gate = found["1.0"]["gate"]
    torch.testing.assert_close(gate.flatten(), seen[0].flatten())
    known = found.found["1.0", "gate"]
    assert (known.map.dims, known.map.kind) == (dims, kind)
    assert not found.declared
    sizes = {"b": 3, "c": C, "h": 6, "w": 7}
    assert sizes.items() <= known.sizes.items()
    assert tuple(gate.shape) == tuple({**known.sizes, "1": 1}[letter] for letter in dims.split())
    assert (known.map.sums == (1,)) == (kind == "softmax")


class Heads(nn.Module):
    """Self-attention over positions, in several spellings."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.qkv, self.how, self.heads = nn.Linear(C, 3 * C), how, 2

    def rows(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The rows as the textbook has them, and queries, keys, values: (batch, heads, positions, width)."""
        t = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(t).view(len(t), -1, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        if self.how == "causal":
            scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), float("-inf"))
        if self.how == "masked":
            scores = scores + self.mask(scores.shape[-1])
        return scores.softmax(-1), q, k, v

    def mask(self, size: int) -> Tensor:
        return -torch.arange(size).float().expand(size, size) / size

    def forward(self, x: Tensor) -> Tensor:
        rows, q, k, v = self.rows(x)
        if self.how == "softmax":
            out = rows @ v
        elif self.how == "einsum":
            out = torch.einsum("bhij,bhjd->bhid", rows, v)
        elif self.how == "values first":
            out = (v.transpose(2, 3) @ rows.transpose(2, 3)).transpose(2, 3)
        elif self.how == "by division":
            scores = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).exp()
            out = (scores / scores.sum(-1, keepdim=True)) @ v
        else:
            mask = self.mask(v.shape[2]) if self.how == "masked" else None
            out = F.scaled_dot_product_attention(q, k, v, mask, is_causal=self.how == "causal")
        return out.transpose(1, 2).flatten(2).transpose(1, 2).view_as(x)


@pytest.mark.parametrize("how", ["softmax", "einsum", "values first", "by division", "fused", "causal", "masked"])
def test_rows_of_a_softmax_are_found_also_where_they_are_never_a_tensor(how: str) -> None:
    model = placed(Heads(how)).eval()
    x = torch.randn(3, 3, 4, 6)
    found = maps.capture(model, x)
    assert {layer: list(names) for layer, names in found.items()} == {"1.0": ["rows"]}
    expected = model[1][0].rows(model[0](x))[0]
    torch.testing.assert_close(found["1.0"]["rows"], expected.detach())
    known = found.found["1.0", "rows"]
    assert (known.map.dims, known.map.kind, known.map.sums) == ("b m (h w) (h w)", "softmax", (3,))
    assert ("never makes a tensor" in known.how) == (how in ("fused", "causal", "masked"))


@pytest.mark.parametrize("needs", [False, True])
def test_rows_of_multihead_attention_are_found_whether_it_makes_them_or_not(needs: bool) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attn = nn.MultiheadAttention(C, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.attn(x, x, x, need_weights=needs)[0]

    model, x = Block().eval(), torch.randn(3, 5, C)
    found = maps.capture(model, x)
    expected = model.attn(x, x, x, average_attn_weights=False)[1]
    torch.testing.assert_close(found["attn"]["rows"], expected.detach())
    assert found.found["attn", "rows"].map.dims == "b m q k"


def test_the_fast_path_of_an_encoder_is_turned_off_for_the_run_and_on_again() -> None:
    layer = nn.TransformerEncoderLayer(C, 2, 16, batch_first=True).eval()
    x = torch.randn(2, 5, C)
    assert torch.backends.mha.get_fastpath_enabled()
    found = maps.capture(layer, x)
    assert torch.backends.mha.get_fastpath_enabled()
    expected = layer.self_attn(x, x, x, average_attn_weights=False)[1]
    torch.testing.assert_close(found["self_attn"]["rows"], expected.detach())


def test_rows_in_half_precision_are_found() -> None:
    model = placed(Heads("fused")).eval().bfloat16()
    found = maps.capture(model, torch.randn(2, 3, 4, 4).bfloat16())
    assert found["1.0"]["rows"].sum(-1).sub(1).abs().max() < 1e-3


class Makes(nn.Module):
    """Computes a given function of a feature map."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class AcrossChannels(nn.Module):
    """Attention between channels: its values are as many as there are positions."""

    def forward(self, x: Tensor) -> Tensor:
        t = x.flatten(2)
        return ((t @ t.transpose(1, 2)).softmax(-1) @ t).view_as(x)


def test_rows_over_channels_are_not_taken_for_positions() -> None:
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), AcrossChannels())
    found = maps.capture(model, torch.rand(2, 3, 8, 8))
    assert found.found["1", "rows"].map.dims == "b q k"  # 16 channels would be a grid of 4 × 4
    assert found["1"]["rows"].shape == (2, 16, 16)


def test_a_gate_for_the_whole_batch_has_no_axis_for_it() -> None:
    model = nn.Sequential(nn.Conv2d(3, C, 1), Makes(lambda x: x * x.mean((0, 2, 3))[:, None, None].sigmoid()))
    found = maps.capture(model, torch.rand(3, 3, 4, 4))
    assert found.found["1", "gate"].map.dims == "1 c 1 1"
    assert found["1"]["gate"].shape == (1, C, 1, 1)


def test_of_an_output_that_holds_no_tensor_that_is_seen_all_products_count() -> None:
    class Output:
        def __init__(self, value: Tensor) -> None:
            self.value = value

    model = nn.Sequential(placed(Excitation()), Makes(Output))
    (layer,) = maps.capture(model, torch.rand(2, 3, 4, 4))
    assert model.get_submodule(layer) is model[0][1][0]


def test_layers_that_run_twice_and_gates_in_a_row_have_names_of_their_own() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = Excitation()

        def forward(self, x: Tensor) -> Tensor:
            x = self.gate(self.gate(x))
            y = x * x.mean(1, keepdim=True).sigmoid()
            return y * y.amax((2, 3), keepdim=True).sigmoid()

    model = nn.Sequential(nn.Conv2d(3, C, 1), Twice()).eval()
    found = maps.capture(model, torch.rand(2, 3, 4, 4))
    assert {layer: list(names) for layer, names in found.items()} == {
        "1.gate": ["gate"],
        "1.gate#2": ["gate"],
        "1": ["gate", "gate 2"],
    }
    assert [found.found["1", name].map.dims for name in found["1"]] == ["b 1 h w", "b c 1 1"]


def test_blocks_that_declare_maps_are_not_searched_and_others_only_where_asked() -> None:
    model = nn.Sequential(nn.Conv2d(3, C, 1), attention.create("se", C, reduction=2), Excitation(), Where())
    x = torch.rand(2, 3, 4, 4)
    assert set(maps.capture(model, x)) == {"1", "3"}
    found = maps.capture(model, x, find=True)
    assert set(found) == {"1", "2", "3"}
    assert set(found.found) == {("2", "gate")}
    assert set(found.declared) == {("1", "channel"), ("3", "space")}
    with pytest.raises(ValueError, match="no attention block"):
        maps.capture(model[0], x, find=False)


def test_finding_leaves_the_model_as_it_was() -> None:
    model = placed(Excitation(), nn.Sequential(nn.BatchNorm2d(C), nn.Dropout(), Heads("fused")))
    model.train()
    x = torch.randn(4, 3, 5, 5)
    before = state(model)
    maps.capture(model, x, training=True)
    assert state(model) == before
    model.append(Makes(lambda x: x[:, 100]))
    before = state(model)
    with pytest.raises(IndexError):
        maps.capture(model, x)
    assert state(model) == before


def test_the_table_says_what_was_found_and_what_was_passed_over() -> None:
    model = placed(Excitation(), Makes(lambda x: x * x.sigmoid()))
    assert repr(maps.capture(model, torch.rand(2, 3, 4, 5))).splitlines() == [
        "layer  map   declared            shape",
        "1.0    gate  – (found: b c 1 1)  2 × 8 × 1 × 1",
        "1 found in this run, not declared: the layer computes feature map · map; the product was computed again and "
        "is the same",
        "1 passed over: a product with a function of each number itself, such as SiLU or GELU",
    ]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("half", [False, True])
def test_gates_and_fused_rows_are_found_on_a_gpu(half: bool) -> None:
    model = placed(Excitation(), Heads("fused")).cuda().eval()
    model = model.half() if half else model
    x = torch.randn(2, 3, 4, 4, device="cuda", dtype=torch.half if half else torch.float)
    found = maps.capture(model, x)
    assert {layer: list(names) for layer, names in found.items()} == {"1.0": ["gate"], "1.1": ["rows"]}
    expected = model[1][1].rows(model[1][0](model[0](x)))[0]
    torch.testing.assert_close(found["1.1"]["rows"], expected.detach().float().cpu(), atol=5e-3, rtol=1e-2)
