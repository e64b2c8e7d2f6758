"""A module that fails: what is drawn up to there, and what is said of the sizes that disagree."""

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

import attention
from attention.lab import style
from attention.lab.shapes import alt_text, diagram, draw, table, trace
from attention.lab.shapes.solids import FAILED
from tests.lab.picture_checks import boxes, faults, labels
from tests.lab.shape_modules import Calls, words

X = (2, 64, 8, 6)


class Layers(nn.Module):
    """Does what a function says with some layers."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *inputs):
        return self.function(self, *inputs)


#: What fails: the sentence, the operation, how many tensors were made before, and the module.
FAILURES = {
    "linear": (
        "linear 8 → 64: axis 1 (channels) of the result of ReLU (2×4) has 4, and expand.weight (64×8) takes 8 "
        "features.",
        4,
        Layers(
            lambda m, x: m.expand(m.reduce(x.mean((2, 3))).relu()), reduce=nn.Linear(64, 4), expand=nn.Linear(8, 64)
        ),
    ),
    "conv": (
        "conv 3×3, 32 → 16: axis 1 (channels) of x (2×64×8×6) has 64, and conv.weight (16×32×3×3) takes 32 channels.",
        1,
        Layers(lambda m, x: m.conv(x), conv=nn.Conv2d(32, 16, 3)),
    ),
    "grouped conv": (
        "conv 1×1, 32 → 16, 4 groups: axis 1 (channels) of x (2×64×8×6) has 64, and conv.weight (16×8×1×1) takes 32 "
        "channels.",
        1,
        Layers(lambda m, x: m.conv(x), conv=nn.Conv2d(32, 16, 1, groups=4)),
    ),
    "transposed conv": (
        "transposed conv 2×2, 32 → 16: axis 1 (channels) of x (2×64×8×6) has 64, and conv.weight (32×16×2×2) takes 32 "
        "channels.",
        1,
        Layers(lambda m, x: m.conv(x), conv=nn.ConvTranspose2d(32, 16, 2)),
    ),
    "conv of a vector": (
        "conv 1×1, 64 → 3: the result of mean over H, W (2×64) has 2 axes, and the convolution takes 4, batch first.",
        2,
        Layers(lambda m, x: m.conv(x.mean((2, 3))), conv=nn.Conv2d(64, 3, 1)),
    ),
    "gate without its axes": (
        "×: axis 3 (width) of x (2×64×8×6) has 6, and axis 1 (channels) of the result of sigmoid (2×64) has 64; axes "
        "are matched from the last, and each pair must be the same or 1.",
        3,
        Calls(lambda m, x: x * x.mean((2, 3)).sigmoid()),
    ),
    "residual of another size": (
        "+: axis 3 (width) of the result of conv 3×3, 64 → 64 (2×64×6×4) has 4, and axis 3 (width) of x (2×64×8×6) "
        "has 6; axes are matched from the last, and each pair must be the same or 1.",
        2,
        Layers(lambda m, x: m.conv(x) + x, conv=nn.Conv2d(64, 64, 3)),
    ),
    "matmul": (
        "matrix product: axis 2 (height) of the result of mean over W (2×64×8) has 8, and axis 1 (channels) of the "
        "result of mean over H (2×64×6) has 64; both must be the same.",
        3,
        Calls(lambda m, x: x.mean(3) @ x.mean(2)),
    ),
    "batches of matrices": (
        "matrix product: axis 0 (batch) of x (2×64×8×6) has 2, and axis 0 (batch) of w (3×1×6×2) has 3; axes are "
        "matched from the last, and each pair must be the same or 1.",
        1,
        Calls(lambda m, x: x @ m.w, w=torch.ones(3, 1, 6, 2)),
    ),
    "cat": (
        "concatenate along C: axis 2 (height) of x (2×64×8×6) has 8, and axis 2 (height) of the result of mean over H "
        "(2×64×1×6) has 1.",
        2,
        Calls(lambda m, x: torch.cat([x, x.mean(2, keepdim=True)], 1)),
    ),
    "cat of other ranks": (
        "concatenate along C: x (2×64×8×6) has 4 axes, and the result of mean over H (2×64×6) has 3.",
        2,
        Calls(lambda m, x: torch.cat([x, x.mean(2)], 1)),
    ),
    "view": (
        "reshape: x (2×64×8×6) has 6,144 numbers, and 2×64×40 has 5,120.",
        1,
        Calls(lambda m, x: x.view(2, 64, 40)),
    ),
    "reshape": (
        "reshape: x (2×64×8×6) has 6,144 numbers, which 50, the sizes known of ?×50, does not divide.",
        1,
        Calls(lambda m, x: x.reshape(-1, 50)),
    ),
    "einops": (
        '"b (g c) h w -> b g c (h w)" of a tensor of shape 2×64×8×6: shape mismatch, can\'t divide axis of length 64 '
        "in chunks of 7.",
        2,
        Calls(lambda m, x: rearrange(x.relu(), "b (g c) h w -> b g c (h w)", g=7)),
    ),
    "einsum": (
        'einsum bchw, cd → bdhw: "c": axis 1 (channels) of x (2×64×8×6) has 64, and axis 0 (batch) of w (32×5) has 32.',
        1,
        Calls(lambda m, x: torch.einsum("bchw,cd->bdhw", x, m.w), w=torch.ones(32, 5)),
    ),
    "batch norm": (
        "batch norm: axis 1 (channels) of x (2×64×8×6) has 64, and the layer normalises 32 channels.",
        1,
        Layers(lambda m, x: m.norm(x), norm=nn.BatchNorm2d(32)),
    ),
    "layer norm": (
        "layer norm: the last axes of x (2×64×8×6) are 6, and the layer normalises 64.",
        1,
        Layers(lambda m, x: m.norm(x), norm=nn.LayerNorm(64)),
    ),
    "group norm": (
        "group norm, 5 groups: axis 1 (channels) of x (2×64×8×6) has 64, which 5 groups do not divide.",
        1,
        Calls(lambda m, x: F.group_norm(x, 5)),
    ),
    "our own refusal": (
        "ValueError: x: expected shape (batch, channels=64, height, width), received shape (2, 30, 8, 6)",
        2,
        nn.Sequential(nn.Conv2d(64, 30, 1), attention.create("se", 64)),
    ),
    "an error of Python": ("IndexError: list index out of range", 2, Calls(lambda m, x: [x.relu()][1])),
}


@pytest.mark.parametrize("name", FAILURES)
def test_the_sentence_says_which_sizes_disagree(name):
    sentence, before, module = FAILURES[name]
    found = trace(module, torch.randn(X))
    assert found.failed == sentence
    made = [node for node in found.nodes if node.role != "failed"]
    assert len(made) == before
    assert found.nodes[-1].role == "failed"
    assert not any(node.role == "output" for node in found.nodes)


@pytest.mark.parametrize("flow", ["right", "down"])
@pytest.mark.parametrize("name", FAILURES)
def test_the_run_is_drawn_up_to_what_fails(name, flow):
    _, _, module = FAILURES[name]
    found = trace(module, torch.randn(X))
    fig = diagram(found, flow=flow)
    assert faults(fig) == []
    assert [text for text, _ in labels(fig)].count("fails") == 1
    last = found.nodes[-1]
    frame = next(p for p in fig.axes[0].patches if p.get_gid() == f"operation:{last.operation}")
    colour = tuple(int(FAILED[i : i + 2], 16) / 255 for i in (1, 3, 5))
    assert frame.get_edgecolor()[:3] == pytest.approx(colour)
    assert f"tensor:{last.index}" in boxes(fig)


def test_the_inputs_of_what_fails_are_drawn_in_the_shape_that_it_saw():
    found = trace(Calls(lambda m, x: F.linear(x.flatten(1), m.w), w=torch.ones(4, 64)), torch.randn(X))
    assert [node.shape for node in found.visible().nodes] == [X, (2, 3072), ()]
    assert words(found.visible()) == ["reshape", "linear 64 → 4"]


def test_the_module_that_fails_is_opened():
    inner = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(4, 64))
    module = nn.Sequential(nn.Sequential(nn.Linear(64, 64), nn.ReLU()), inner)
    found = trace(module, torch.ones(2, 64), depth=1)
    assert words(found) == ["0: Sequential", "linear 64 → 8", "ReLU", "linear 4 → 64"]


def test_table_alt_text_and_caption_end_with_the_failure(monkeypatch):
    sentence, _, module = FAILURES["linear"]
    found = trace(module, torch.randn(X))
    assert str(table(found)).splitlines()[-2].split()[-7:-3] == ["64", "fails", "3", "expand.weight"]
    assert str(table(found)).endswith(f"the run ends here: {sentence}")
    assert sentence in table(found)._repr_html_()
    assert alt_text(found).endswith(f"linear 8 → 64 fails. The run ends here. {sentence}")
    given = {}
    monkeypatch.setattr(style, "show", lambda fig, alt, **options: given.update(options))
    draw(found)
    assert given["caption"] == f"The run ends here. {sentence}"


def test_an_error_that_a_module_catches_is_none():
    def forward(m, x):
        try:
            return x @ x
        except RuntimeError:
            return x.relu()

    found = trace(Calls(forward), torch.randn(2, 3))
    assert found.failed == ""
    assert words(found) == ["ReLU"]


def test_what_wraps_an_error_of_torch_still_names_the_sizes():
    def forward(m, x):
        try:
            return x @ x
        except RuntimeError as error:
            raise ValueError("no") from error

    found = trace(Calls(forward), torch.randn(2, 3))
    assert "axis 1 (channels) of x (2×3) has 3" in found.failed


def test_a_stop_by_the_user_is_not_caught():
    def stop(m, x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trace(Calls(stop), torch.ones(1))
