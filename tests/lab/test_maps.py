"""Recording maps leaves a model as it was; pictures of maps say what the maps say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

import attention
from attention import registry
from attention.contract import Attention, Gate, Map
from attention.lab import maps, style
from attention.lab.maps.pictures import picture
from attention.lab.shapes import trace


class Where(Gate):
    """A gate over space that looks at the brightest pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = {"space": Map("b 1 h w")}

    def weights(self, x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True).sigmoid()


class Pairs(Attention):
    """Every position looks at one position only: its own number, shifted by one."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = {"pairs": Map("b (h w) (h w)", "softmax", sums=(2,))}

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        count = x.shape[2] * x.shape[3]
        return x, {"pairs": torch.eye(count).roll(1, dims=1).expand(len(x), -1, -1)}


class Fast(Gate):
    """Its forward never computes its map; it counts how often it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = {"all": Map("b c 1 1")}
        self.fast_runs = 0

    def weights(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        self.fast_runs += 1
        return x * self.weights(x)


class Noisy(Gate):
    """Draws random numbers: its map can be compared with its output only if both are of one run."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = {"noise": Map("b c 1 1")}

    def weights(self, x: Tensor) -> Tensor:
        return torch.rand(*x.shape[:2], 1, 1)


class Outer(Attention):
    """Two blocks in a row within one: one called, the other asked for its maps."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = {"both": Map("b c h w")}
        self.first, self.second = Fast(), Where()

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        y, found = self.second.attend(self.first(x))
        return y, {"both": found["space"].expand_as(x)}


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("on purpose")


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Sequential(attention.create("se", 8, reduction=2), nn.Dropout(0.5)),
        Where(),
    )


def state(model: nn.Module) -> dict[str, object]:
    """All that a recording must leave alone; tensors by value and by identity."""
    kept: dict[str, object] = {}
    for path, module in model.named_modules():
        own = {k: v for k, v in module.__dict__.items() if not isinstance(v, dict)}
        hooks = {k: list(v) for k, v in module.__dict__.items() if k.endswith("_hooks")}
        kept[path] = (own, hooks, list(module.__dict__))
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            values = None if tensor is None else (id(tensor), tensor.tolist(), tensor.requires_grad, tensor.grad)
            kept[f"{path}:{name}"] = values
    return kept | {"rng": torch.get_rng_state().tolist()}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("mode", [False, True])
def test_capture_leaves_the_model_as_it_was(mode: bool, training: bool) -> None:
    model = network().train(mode)
    model[3].training = not mode  # modes may differ between modules
    model[0].weight.requires_grad_(False)
    model(torch.randn(2, 3, 5, 6)).sum().backward()
    x = torch.randn(4, 3, 5, 6)
    before = state(model)
    maps.capture(model, x, ["0", "1"], training=training)
    assert state(model) == before


def test_capture_leaves_the_model_as_it_was_when_the_model_raises() -> None:
    model = nn.Sequential(*network(), Failing())
    model.train()
    x = torch.randn(4, 3, 5, 6)
    before = state(model)
    with pytest.raises(RuntimeError, match="on purpose"):
        maps.capture(model, x, ["0"], training=True)
    assert state(model) == before


def test_capture_restores_buffers_that_a_run_replaces_or_adds() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("runs", torch.zeros(()))
            self.register_buffer("last", None)

        def forward(self, x: Tensor) -> Tensor:
            self.runs = self.runs + 1
            self.last = x
            self.register_buffer("new", x.mean())
            return x

    model = nn.Sequential(Counts(), Where())
    x = torch.randn(1, 1, 2, 2)
    before = state(model)
    maps.capture(model, x)
    assert state(model) == before


def test_maps_belong_to_the_very_run_that_made_the_output() -> None:
    model = nn.Sequential(Noisy())
    x = torch.randn(2, 3, 4, 4)
    found = maps.capture(model, x, ["0", ""])
    torch.testing.assert_close(found["0"]["noise"] * x, found["0"]["output"])
    torch.testing.assert_close(found[""]["output"], found["0"]["output"])


def test_capture_asks_attend_and_not_a_fast_forward() -> None:
    model = nn.Sequential(Fast())
    found = maps.capture(model, torch.randn(1, 2, 3, 3))
    assert found["0"]["all"].shape == (1, 2, 1, 1)
    assert model[0].fast_runs == 0
    model(torch.randn(1, 2, 3, 3))
    assert model[0].fast_runs == 1


def test_capture_finds_blocks_within_blocks_called_or_asked() -> None:
    found = maps.capture(Outer(), torch.randn(2, 3, 4, 5))
    assert {path: list(names) for path, names in found.items()} == {"first": ["all"], "second": ["space"], "": ["both"]}


def test_maps_and_outputs_equal_those_of_a_plain_run() -> None:
    model, x = network().eval(), torch.randn(2, 3, 5, 6)
    found = maps.capture(model.train(), x, ["1", "3.0"])
    model.eval()
    normalised = model[1](model[0](x))
    torch.testing.assert_close(found["1"]["output"], normalised)  # although the next layer, a ReLU, works in place
    after = normalised.relu()
    torch.testing.assert_close(found["3.0"]["channel"], model[3][0].weights(after))
    torch.testing.assert_close(found["3.0"]["output"], model[3](after))
    assert not any(t.requires_grad for names in found.values() for t in names.values())


def test_capture_records_in_training_mode_where_asked() -> None:
    model, x = nn.Sequential(nn.BatchNorm2d(3), Where()), 5 + 3 * torch.randn(8, 3, 4, 4)
    normalised = maps.capture(model, x, ["0"], training=True)["0"]["output"]
    torch.testing.assert_close(normalised.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(maps.capture(model, x, ["0"])["0"]["output"], x, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_capture_on_a_gpu_takes_inputs_there_and_brings_maps_back() -> None:
    model, x = network().cuda(), torch.randn(2, 3, 5, 6)
    state = torch.cuda.get_rng_state()
    found = maps.capture(model, x, ["0"], training=True)
    assert {t.device.type for names in found.values() for t in names.values()} == {"cpu"}
    assert torch.equal(torch.cuda.get_rng_state(), state)
    torch.testing.assert_close(found["0"]["output"], model[0](x.cuda()).detach().cpu())


def test_a_block_that_runs_twice_is_recorded_twice() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = Where()

        def forward(self, x: Tensor) -> Tensor:
            return self.gate(self.gate(x))

    model, x = Recurrent(), torch.randn(2, 3, 4, 4)
    found = maps.capture(model, x, ["gate"])
    assert list(found) == ["gate", "gate#2"]
    torch.testing.assert_close(found["gate#2"]["space"], model.gate.weights(model.gate(x)))
    torch.testing.assert_close(found["gate#2"]["output"], model(x))


def test_capture_keeps_its_input_and_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = Where()

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.gate(x.relu_() + y)

    x, y = torch.randn(1, 2, 3, 3), torch.randn(1, 2, 3, 3)
    kept = x.clone()
    found = maps.capture(Two(), (x, y))
    assert torch.equal(x, kept)
    assert torch.equal(found.inputs, kept)


def test_capture_records_the_parts_of_a_tuple() -> None:
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(2, 5, 8)
    found = maps.capture(model, (x, x, x), [""])
    assert {name: tuple(t.shape) for name, t in found[""].items()} == {"output 0": (2, 5, 8), "output 1": (2, 5, 5)}


def test_capture_leaves_a_forward_of_the_users_own_in_place() -> None:
    gate = Where()
    gate.forward = lambda x: 2 * gate.attend(x)[0]
    mine = gate.forward
    x = torch.rand(1, 1, 2, 2)
    found = maps.capture(nn.Sequential(gate), x, ["0"])
    torch.testing.assert_close(found["0"]["output"], 2 * x * found["0"]["space"])
    assert gate.forward is mine


def test_capture_prints_as_a_table_of_names_and_shapes() -> None:
    found = maps.capture(
        nn.Sequential(nn.Conv2d(3, 8, 1), attention.create("se", 8, reduction=2)), torch.rand(2, 3, 4, 5), ["0"]
    )
    assert repr(found).splitlines() == [
        "layer  map      declared  shape",
        "0      output   –         2 × 8 × 4 × 5",
        "1      channel  b c 1 1   2 × 8 × 1 × 1",
    ]


@pytest.mark.parametrize(
    ("make", "layers", "error", "message"),
    [
        (lambda: "model", (), TypeError, "torch.nn.Module, received str"),
        (lambda: nn.Conv2d(3, 3, 1), (), ValueError, "no attention block"),
        (network, ("3.1.2",), ValueError, "no module '3.1.2'"),
        (network, "0", TypeError, r"\['0'\]"),
        (lambda: nn.DataParallel(network()), (), TypeError, "model.module"),
        (lambda: torch.compile(network(), backend="eager"), (), TypeError, "the model is compiled"),
        (lambda: nn.Sequential(torch.jit.script(nn.ReLU()), Where()), (), TypeError, "'0' is scripted"),
        (lambda: nn.Sequential(nn.LazyConv2d(3, 1), Where()), (), ValueError, "not yet initialised"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:Lazy modules")
def test_capture_refuses_what_it_cannot_record(make, layers, error, message) -> None:
    with pytest.raises(error, match=message):
        maps.capture(make(), torch.rand(1, 3, 4, 4), layers)


def test_capture_says_that_a_layer_did_not_run() -> None:
    class Skips(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = Where(), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    with pytest.raises(ValueError, match="'unused' did not run"):
        maps.capture(Skips(), torch.rand(1, 1, 2, 2), ["unused"])


def test_capture_refuses_inputs_that_are_no_tensors() -> None:
    with pytest.raises(TypeError, match="received list"):
        maps.capture(Where(), [torch.rand(1, 1, 2, 2)])


class Called(nn.Module):
    """Calls a block by the names of its inputs."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x=x)


@pytest.mark.parametrize(
    "name",
    [n for n in registry.names() if registry.KINDS[registry.entry(n).kind] and registry.entry(n).kind != "fusion"],
)
def test_a_block_called_by_keyword_is_recorded(name: str) -> None:
    block = attention.create(name, 128)
    x = torch.rand(2, 128, 4, 5)
    found = maps.capture(Called(block), x)
    expected = maps.capture(nn.Sequential(block), x)
    assert found["block"].keys() == expected["0"].keys()
    for key, tensor in found["block"].items():
        torch.testing.assert_close(tensor, expected["0"][key])
    sizes = [declared.sizes for declared in found.declared.values()]
    assert sizes == [declared.sizes for declared in expected.declared.values()]
    assert {"b": 2, "c": 128, "h": 4, "w": 5}.items() <= sizes[0].items()


def test_several_inputs_by_keyword_in_another_order() -> None:
    class Both(Attention):
        def __init__(self) -> None:
            super().__init__()
            self.maps = {"gate": Map("b c h w")}

        def attend(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            return x * y.mean().sigmoid(), {"gate": x.sigmoid()}

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.attend(x, y)[0]

    class Calls(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.both = Both()

        def forward(self, x: Tensor) -> Tensor:
            return self.both(y=x[:, :1, :1], x=x)

    found = maps.capture(Calls(), torch.rand(2, 3, 4, 5))
    assert found.declared["both", "gate"].sizes == {"b": 2, "c": 3, "h": 4, "w": 5}


class Dictionaries(nn.Module):
    """Takes a dictionary and returns one, as segmentation networks and detectors do."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Where()

    def forward(self, batch: dict[str, Any], flag: bool = True) -> dict[str, Any]:
        y = self.gate(batch["images"][0].mul_(1.0))
        return {"out": y, "more": [y + 1, {"deep": y + 2}], "loss": None}


def test_capture_takes_and_records_dictionaries_as_trace_does() -> None:
    x = torch.rand(2, 3, 4, 5)
    batch = {"sizes": torch.ones(2), "images": [x], "names": ["a", "b"]}
    model = Dictionaries()
    trace(model, batch)
    for given in (batch, (batch,), (batch, False)):
        found = maps.capture(model, given, [""])
        assert list(found[""]) == ["output out", "output more 0", "output more 1 deep"]
        torch.testing.assert_close(found[""]["output out"], x * found["gate"]["space"])
        assert torch.equal(found.inputs, x)
    assert batch["images"][0] is x


def test_capture_refuses_dictionaries_without_tensors() -> None:
    with pytest.raises(TypeError, match="x: expected a tensor, or a dictionary or tuple with tensors, received dict"):
        maps.capture(Dictionaries(), {"images": "a.png"})
    with pytest.raises(TypeError, match=r"received list; write a tuple of inputs"):
        maps.capture(Dictionaries(), [torch.rand(1, 1, 2, 2)])


class Foreign(nn.Module):
    """Somebody else's squeeze and excitation: it declares nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.gate = nn.Conv2d(8, 8, 1), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.fc(x.mean((2, 3), keepdim=True)))


def test_somebody_elses_block_is_shown_by_the_shape_of_what_it_puts_out(shown: list) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), Foreign(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = maps.capture(model, torch.rand(2, 3, 6, 6), ["1.gate", "1", "3"])
    maps.show(found, "1.gate")
    maps.show(found, "1")
    maps.show(found, "1", "output", select={"c": 2}, samples=[1])
    assert len(shown) == 3
    assert "What was recorded as 'output' of layer '1.gate', 8 channels. A bar for each channel" in shown[0][1]
    assert "of layer '1', mean over channels" in shown[1][1]
    assert "map of 6 × 6 cells" in shown[2][1]
    with pytest.raises(ValueError, match=r"'output' of layer '3' has shape \(2, 8\), and no .*Map declares its axes"):
        maps.show(found, "3")
    with pytest.raises(ValueError, match=r"layer=None is not one of the recorded: '1.gate', '1', '3'"):
        maps.show(found)


# Pictures.


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Figure, str]]:
    """The figures that were shown, with their alt texts; each has passed the checks of style.show."""
    seen: list[tuple[Figure, str]] = []
    real = style.show

    def show(fig: Figure, alt: str, **options: object) -> None:
        real(fig, alt, **options)
        seen.append((fig, alt))

    monkeypatch.setattr(style, "show", show)
    return seen


def batch(size: int = 3) -> Tensor:
    return torch.rand(size, 3, 12, 16)


def test_channel_maps_become_bars(shown: list) -> None:
    block = attention.create("se", 6, reduction=2)
    found = maps.capture(block, torch.randn(3, 6, 12, 16))
    maps.show(found, labels=["a", "b", "c"], samples=[2, 0])
    fig, alt = shown[0]
    bars = [[patch.get_height() for patch in ax.patches] for ax in fig.axes if ax.patches]
    gates = found[""]["channel"].flatten(1)
    np.testing.assert_allclose(bars, gates[[2, 0]], rtol=1e-6)
    assert all(ax.get_ylim() == (0, 1) for ax in fig.axes if ax.patches)
    order = gates[2].argsort(descending=True).tolist()
    first = ", ".join(f"{i} ({gates[2, i]:.2f})" for i in order[:3])
    assert f"c: highest in channels {first}; lowest in channel {order[-1]} ({gates[2, order[-1]]:.2f})." in alt
    assert alt.startswith("Attention map 'channel' of the model, 6 channels.")
    assert "b: highest" not in alt


def test_channel_marks_stand_at_the_mean_over_the_batch(shown: list) -> None:
    found = maps.capture(attention.create("se", 6, reduction=2), torch.randn(3, 6, 4, 4))
    maps.show(found, samples=1)
    axes = next(ax for ax in shown[0][0].axes if ax.patches)
    marks = [segment[0, 1] for segment in axes.collections[0].get_segments()]
    np.testing.assert_allclose(marks, found[""]["channel"].flatten(1).mean(0), rtol=1e-6)


def overlays(fig: Figure) -> list[np.ndarray]:
    """The maps that a figure shows: what is drawn last in each panel that is no picture."""
    return [np.asarray(ax.images[-1].get_array()) for ax in faces(fig)]


def faces(fig: Figure) -> list[Axes]:
    """The panels that show a map: its values have no colour of their own."""
    return [ax for ax in fig.axes if ax.images and ax.images[-1].get_array().ndim == 2]


@pytest.mark.parametrize("overlay", [False, True])
@pytest.mark.parametrize("smooth", [False, True])
def test_spatial_maps_stand_beside_or_lie_over_their_input(shown: list, smooth: bool, overlay: bool) -> None:
    model = nn.Sequential(nn.AvgPool2d(4), Where())
    x = torch.zeros(2, 3, 12, 16)
    x[0, :, 0:4, 12:16] = 1  # bright in the upper right cell
    x[1, :, 8:12, 4:8] = 0.5
    found = maps.capture(model, x)
    maps.show(found, labels=["corner", "bottom"], smooth=smooth, overlay=overlay)
    fig, alt = shown[0]
    np.testing.assert_allclose(overlays(fig), found["1"]["space"][:, 0], rtol=1e-6)
    panels = faces(fig)
    assert {ax.images[-1].get_interpolation() for ax in panels} == {"bilinear" if smooth else "none"}
    assert {len(ax.images) for ax in panels} == {2 if overlay else 1}
    for ax in panels:  # the map has its picture's size
        assert all(list(image.get_extent()) == [-0.5, 15.5, 11.5, -0.5] for image in ax.images)
    titles = [[ax.get_title() for ax in pair] for pair in zip(fig.axes[::2], fig.axes[1::2], strict=False)]
    assert titles[:2] == [["corner", "0.5 to 0.73"], ["bottom", "0.5 to 0.62"]]
    assert "corner: from 0.5 to 0.73, strongest in the upper right (row 0, column 3)." in alt
    assert "bottom: from 0.5 to 0.62, strongest at the bottom (row 2, column 1)." in alt
    assert ("interpolated linearly" if smooth else "flat rectangle") in alt
    assert "3 × 4 cells" in alt


class Declares(Attention):
    """A block whose map is given: to draw maps of any dims."""

    def __init__(self, dims: str, values: Tensor, **options: object) -> None:
        super().__init__()
        self.maps, self.values = {"map": Map(dims, **options)}, values

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return x, {"map": self.values}


@pytest.mark.parametrize(
    ("dims", "shape", "select", "expected"),
    [
        ("b c h w", (2, 3, 4, 5), {}, lambda m: m.mean(1)),
        ("b c h w", (2, 3, 4, 5), {"c": 2}, lambda m: m[:, 2]),
        ("b c h 1", (2, 3, 4, 1), {}, lambda m: m.mean(1)),
        ("b c 1 w", (2, 3, 1, 5), {"c": 0}, lambda m: m[:, 0]),
        ("b (h w)", (2, 20), {}, lambda m: m.reshape(2, 4, 5)),
        ("b m h w", (2, 6, 4, 5), {"m": 4}, lambda m: m[:, 4]),
        ("b h w 2", (2, 4, 5, 2), {"2": 1}, lambda m: m[..., 1]),
    ],
)
def test_every_way_to_declare_space_is_drawn(shown: list, dims, shape, select, expected) -> None:
    values = torch.rand(shape)
    maps.show(maps.capture(Declares(dims, values), torch.rand(2, 3, 4, 5)), select=select)
    np.testing.assert_allclose(overlays(shown[0][0]), expected(values), rtol=1e-6)


def test_a_branch_of_a_channel_map_is_chosen(shown: list) -> None:
    values = torch.rand(2, 4, 3, 1, 1).softmax(1)
    found = maps.capture(Declares("b m c 1 1", values, kind="softmax", sums=(1,)), torch.rand(2, 3, 4, 5))
    with pytest.raises(ValueError, match=r"choose one of the 4 with select={'m': …}"):
        maps.show(found)
    maps.show(found, select={"m": 3}, samples=1)
    heights = [patch.get_height() for ax in shown[0][0].axes for patch in ax.patches]
    np.testing.assert_allclose(heights, values[0, 3, :, 0, 0], rtol=1e-6)


def test_pairs_show_where_a_position_looks(shown: list) -> None:
    found = maps.capture(Pairs(), torch.rand(2, 3, 3, 4))
    maps.show(found, position=(1, 3))
    fig, alt = shown[0]
    expected = np.zeros((3, 4))
    expected[2, 0] = 1  # number 1 · 4 + 3 = 7 looks at number 8, row 2, column 0
    np.testing.assert_array_equal(overlays(fig), [expected, expected])
    assert "where row 1, column 3 looks" in alt
    assert "strongest in the lower left (row 2, column 0)" in alt
    point = faces(fig)[0].lines[0]
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (3.0, 1.0)
    for wrong in (None, (3, 0), (0, 4), (-1, 0)):
        with pytest.raises(ValueError, match=r"allowed: \(0, 0\) to \(2, 3\)"):
            maps.show(found, position=wrong)


def test_a_constant_map_is_said_to_be_constant(shown: list) -> None:
    maps.show(maps.capture(Where(), torch.zeros(1, 3, 4, 4)))
    assert "input 0: 0.50 everywhere." in shown[0][1]


def test_many_samples_become_small_multiples(shown: list) -> None:
    maps.show(maps.capture(Where(), batch(9)), samples=9)
    fig, alt = shown[0]
    assert len(overlays(fig)) == 9
    assert "input 5:" in alt
    assert "And 3 more." in alt


def test_show_says_what_has_to_be_chosen() -> None:
    found = maps.capture(network(), batch())
    with pytest.raises(ValueError, match=r"layer=None is not one of the recorded: '3.0', '4'"):
        maps.show(found)
    with pytest.raises(ValueError, match=r"name='gate' is not one of the recorded: 'channel'"):
        maps.show(found, "3.0", "gate")
    with pytest.raises(ValueError, match="samples=\\[3\\] names what is not there; allowed: 0 to 2"):
        maps.show(found, "4", samples=[3])
    with pytest.raises(ValueError, match="labels has 2 names for a batch of 3"):
        maps.show(found, "4", labels=["a", "b"])
    with pytest.raises(ValueError, match="select names"):
        maps.show(found, "4", select={"k": 1})
    with pytest.raises(TypeError, match=r"maps.capture returns, received dict"):
        maps.show(dict(found), "4")
    with pytest.raises(ValueError, match="no channels and no space"):
        maps.show(maps.capture(Declares("b 2 3", torch.rand(1, 2, 3)), batch(1)), select={"2": 0, "3": 1})


def test_feature_maps_show_what_a_layer_computes(shown: list) -> None:
    model = nn.Sequential(nn.Conv2d(3, 20, 3), nn.ReLU())
    with torch.no_grad():
        model[0].weight[7] = 0
        model[0].bias[7] = -1  # silent after the ReLU
    x = batch(2)
    maps.feature_maps(model, x, "1", 9, sample=1)
    fig, alt = shown[0]
    drawn = {ax.get_title(): np.asarray(ax.images[0].get_array()) for ax in fig.axes if ax.images}
    assert list(drawn) == ["input", *map(str, range(9))] or set(drawn) == {"input", *map(str, range(9))}
    output = model(x)[1].detach()
    for channel in range(9):
        np.testing.assert_allclose(drawn[str(channel)], output[channel], rtol=1e-5)
    strongest = int(output[:9].square().mean((1, 2)).argmax())
    assert alt.startswith("9 of the 20 channels that layer '1' computes")
    assert f"Strongest by root mean square: {strongest} (" in alt
    assert alt.endswith("Silent: 7.")


def test_feature_maps_with_signs_have_a_scale_about_zero(shown: list) -> None:
    maps.feature_maps(nn.Conv2d(3, 6, 3), batch(1), "", [5, 2])
    panels = [ax for ax in shown[0][0].axes if ax.get_title() in ("5", "2")]
    scales = {(ax.images[0].norm.vmin, ax.images[0].norm.vmax) for ax in panels}
    assert len(panels) == 2
    assert len(scales) == 1
    ((low, high),) = scales
    assert low == -high < 0


def test_feature_maps_refuse_what_is_no_map() -> None:
    with pytest.raises(ValueError, match=r"received shape \(1, 2\)"):
        maps.feature_maps(nn.Sequential(nn.Flatten(), nn.Linear(576, 2)), batch(1), "1")
    with pytest.raises(ValueError, match=r"channels=\[9\] names what is not there; allowed: 0 to 5"):
        maps.feature_maps(nn.Conv2d(3, 6, 3), batch(1), "", [9])


# Classes.


def test_class_share_is_one_two_ways_and_zero_where_nothing_varies() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2])
    by_label = torch.tensor([[0.1, 0.9], [0.5, 0.2], [0.3, 0.3]])[labels]
    assert maps.class_share(by_label, labels) == pytest.approx(1.0)
    assert maps.class_share(torch.full((5, 3), 0.5), labels) == 0.0
    within = torch.tensor([[0.1], [0.3], [0.1], [0.3], [0.2]])
    assert maps.class_share(within, labels) == pytest.approx(0.0, abs=1e-6)


def test_class_share_equals_its_formula_in_loops() -> None:
    gates, labels = torch.rand(30, 4, dtype=torch.float64), torch.randint(0, 3, (30,))
    between = whole = 0.0
    for c in range(4):
        mean = float(gates[:, c].mean())
        for k in range(3):
            own = gates[labels == k, c]
            between += len(own) * (float(own.mean()) - mean) ** 2
        whole += sum((float(v) - mean) ** 2 for v in gates[:, c])
    assert maps.class_share(gates, labels) == pytest.approx(between / whole)
    assert maps.class_share(gates[:, :, None, None], labels) == pytest.approx(between / whole)


def test_class_share_of_meaningless_labels_is_what_its_docstring_says() -> None:
    gates = torch.rand(200, 50)
    shares = [maps.class_share(gates, torch.randint(0, 10, (200,))) for _ in range(20)]
    assert np.mean(shares) == pytest.approx(9 / 199, rel=0.05)


def test_class_means_are_means_counts_and_the_share() -> None:
    labels = torch.tensor([0, 1, 1, 3, 3, 3])
    gates = torch.rand(6, 5, 1, 1)
    found = maps.class_means(gates, labels)
    for k in (0, 1, 3):
        torch.testing.assert_close(found.means[k], gates[labels == k].flatten(1).double().mean(0))
    assert found.counts.tolist() == [1, 2, 0, 3]
    assert found.means[2].tolist() == [0] * 5
    assert found.share == maps.class_share(gates, labels)


def test_class_means_survive_json() -> None:
    found = maps.class_means(torch.rand(9, 4), torch.arange(9) % 3)
    read = maps.ClassMeans.from_dict(json.loads(json.dumps(found.to_dict())))
    assert torch.equal(read.means, found.means)
    assert torch.equal(read.counts, found.counts)
    assert read.share == found.share


def test_by_class_draws_mean_gates_sorted(shown: list) -> None:
    labels = torch.tensor([0, 1, 1, 3, 3, 3])
    early, late = torch.rand(6, 5), torch.rand(6, 8, 1, 1)
    blocks = {"early": maps.class_means(early, labels), "late": maps.class_means(late, labels)}
    maps.by_class(blocks, ["a", "b", "c", "d"])
    fig, alt = shown[0]
    panels = [ax for ax in fig.axes if ax.images]
    for ax, gates in zip(panels, (early, late.flatten(1)), strict=True):
        order = gates.double().mean(0).argsort()
        expected = torch.stack([gates[labels == k].mean(0) for k in (0, 1, 3)])[:, order]
        np.testing.assert_allclose(ax.images[0].get_array(), expected, rtol=1e-5)
        assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b", "d"]
    assert panels[0].images[0].norm.vmax == panels[1].images[0].norm.vmax
    share = f"{100 * maps.class_share(late, labels):.0f}%"
    assert panels[1].get_title(loc="left") == f"late: {share} of variance between classes"
    assert f"late: {share} of the gates' variance lies between classes" in alt


def test_by_class_leaves_channels_in_the_lists_order_and_numbers_them(shown: list) -> None:
    gates = torch.tensor([[0.9, 0.1, 0.5, 0.2, 0.7], [0.8, 0.3, 0.5, 0.0, 0.6]])
    maps.by_class(maps.class_means(gates, torch.tensor([0, 1])), ordered=False)
    (ax, *_) = shown[-1][0].axes
    assert torch.allclose(torch.tensor(ax.images[0].get_array().data).float(), gates)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "2", "4"]
    assert ax.get_xlabel() == "channel, in the order of the list"


def test_by_class_keeps_limits_and_draws_one_block(shown: list) -> None:
    maps.by_class(maps.class_means(torch.rand(4, 3), torch.tensor([0, 1, 0, 1])), limits=(0, 1))
    (panel,) = [ax for ax in shown[0][0].axes if ax.images]
    assert (panel.images[0].norm.vmin, panel.images[0].norm.vmax) == (0, 1)
    assert panel.get_title(loc="left").endswith("% of variance between classes")


def test_by_class_names_the_channel_in_which_classes_differ_most(shown: list) -> None:
    labels = torch.arange(20) % 2
    gates = torch.full((20, 4), 0.5)
    gates[:, 2] = torch.where(labels == 0, 0.25, 0.75)
    maps.by_class(maps.class_means(gates, labels), ["bag", "boot"])
    assert "they differ most in channel 2, from 0.25 (bag) to 0.75 (boot)" in shown[0][1]


@pytest.mark.parametrize(
    ("gates", "labels", "error", "message"),
    [
        ([[0.5]], torch.tensor([0]), TypeError, "gates: expected a tensor, received list"),
        (
            torch.rand(3, 2),
            torch.tensor([0, 1]),
            ValueError,
            r"expected \(2, channels\), received shape \(3, 2\)",
        ),
        (torch.rand(2, 2, 2, 2), torch.tensor([0, 1]), ValueError, r"received shape \(2, 2, 2, 2\)"),
        (torch.rand(2, 2), torch.tensor([0.0, 1.0]), ValueError, "labels: expected"),
        (torch.rand(2, 2), torch.tensor([-1, 1]), ValueError, "labels: expected"),
    ],
)
def test_gates_and_labels_that_do_not_fit_are_refused(gates, labels, error, message) -> None:
    for compute in (maps.class_share, maps.class_means):
        with pytest.raises(error, match=message):
            compute(gates, labels)


def test_by_class_refuses_too_few_names_nothing_and_what_does_not_belong_together() -> None:
    two = maps.class_means(torch.rand(2, 2), torch.tensor([0, 1]))
    other = maps.class_means(torch.rand(3, 2), torch.tensor([0, 1, 1]))
    with pytest.raises(ValueError, match="names has 1 names; labels go up to 1"):
        maps.by_class(two, ["a"])
    with pytest.raises(ValueError, match="blocks is empty"):
        maps.by_class({})
    with pytest.raises(ValueError, match="all blocks must have seen the same samples"):
        maps.by_class({"first": two, "last": other})
    with pytest.raises(TypeError, match="expected what class_means returns, received Tensor"):
        maps.by_class({"first": torch.rand(2, 2)})


# Photographs.


def test_photographs_are_small_square_pictures_with_a_licence() -> None:
    photos = maps.photographs()
    assert list(photos) == ["cat", "coffee", "rocket"]
    folder = Path(attention.__file__).parent / "data" / "photographs"
    licence = (folder / "LICENSE.md").read_text(encoding="utf-8")
    for name, x in photos.items():
        assert x.shape == (3, 224, 224)
        assert x.dtype == torch.float32
        assert 0 <= x.min() < 0.1
        assert 0.8 < x.max() <= 1
        assert (folder / f"{name}.jpg").stat().st_size <= 60_000
        row = next(line for line in licence.splitlines() if line.startswith(f"| `{name}.jpg`"))
        assert "CC0" in row or "public domain" in row
    assert {path.name for path in folder.iterdir()} == {"LICENSE.md", *(f"{name}.jpg" for name in photos)}


def test_photographs_are_upright_and_in_colour() -> None:
    coffee, rocket = maps.photographs()["coffee"], maps.photographs()["rocket"]
    red, _, blue = coffee.mean((1, 2))
    assert red > 2 * blue  # a red saucer on brown wood; swapped channels would be blue
    assert rocket[:, 200:].max() > 0.9  # lamps at the foot …
    assert rocket[:, :60].max() < 0.6  # … and a dark sky above


def test_pictures_are_stretched_only_where_they_must_be() -> None:
    x = torch.rand(3, 4, 5)
    np.testing.assert_allclose(picture(x), x.permute(1, 2, 0), rtol=1e-6)
    normalised = picture(x * 4 - 2)
    assert normalised.min() == 0
    assert normalised.max() == 1
    np.testing.assert_allclose(picture(x[:2])[..., 1], x[:2].mean(0), rtol=1e-6)
    assert np.isfinite(picture(torch.full((1, 2, 2), -3.0))).all()
