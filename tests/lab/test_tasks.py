"""Tasks: reproducible, frozen, as documented; and each can only be passed by what it tests."""

import hashlib
import itertools
import struct
from dataclasses import FrozenInstanceError, replace
from gzip import compress
from pathlib import Path

import pytest
import torch
from torch import nn

from attention.channel.se import SqueezeExcitation
from attention.contract import Attention, Map
from attention.experiments.se import tasks as se_tasks
from attention.lab import style
from attention.lab.tasks import GateOf, Task, bottleneck_limit, canvas, fashion_mnist, gate_patterns
from attention.lab.tasks.pictures import picture
from attention.lab.training import compare, fit

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "attention" / "data"
MAKERS = {
    "conditional_channel": lambda seed: se_tasks.conditional_channel(seed, train=200, test=100),
    "gate_patterns": lambda seed: gate_patterns(seed, channels=16, train=200, test=100),
    "permuted": lambda seed: gate_patterns(seed, channels=16, permute=True, train=200, test=100),
    "open_together": lambda seed: se_tasks.open_together(seed=seed, train=200, test=100),
    "canvas": lambda seed: canvas(fashion_mnist(200, 100), turn=90, scale=(0.5, 1.2), clutter=4, seed=seed),
}


def tensors(task: Task):
    return [*task.train, *task.test, *(task.placed or ())]


@pytest.fixture(scope="module")
def clothes():
    return fashion_mnist()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_same_seed_gives_the_same_task_and_another_another(make):
    before = torch.get_rng_state()
    one, two, other = make(3), make(3), make(4)
    assert all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(two), strict=True))
    assert not torch.equal(one.train[0], other.train[0])
    assert not torch.equal(one.train[0][:100], one.test[0])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_linear_model_on_shuffled_labels_scores_chance(make):
    task = make(0)
    order = torch.randperm(len(task.train[1]), generator=torch.Generator().manual_seed(0))
    task = replace(task, train=(task.train[0], task.train[1][order]))
    squash = nn.Sigmoid() if task.loss == "multi-label" else nn.Identity()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(task.train[0][0].numel(), task.classes), squash)
    score = fit(model, task, steps=30, lr=1e-4).score
    assert score <= task.chance + 0.12


def test_the_shipped_images_are_those_that_the_tool_made():
    kept, name = (DATA / "fashion_mnist.npz.sha256").read_text().split()
    raw = (DATA / name).read_bytes()
    assert hashlib.sha256(raw).hexdigest() == kept
    assert len(raw) <= 4_000_000
    notice = (DATA / "LICENSE-fashion-mnist.txt").read_text(encoding="utf-8")
    assert "Zalando" in notice
    assert "Permission is hereby granted" in notice


def test_fashion_mnist_is_balanced_whole_and_in_part(clothes):
    assert clothes.train[0].shape == (6000, 1, 28, 28)
    assert clothes.test[0].shape == (2000, 1, 28, 28)
    assert (clothes.train[0].dtype, clothes.train[1].dtype) == (torch.float32, torch.int64)
    assert (clothes.train[0].min(), clothes.train[0].max()) == (0, 1)
    assert clothes.train[1].bincount().tolist() == [600] * 10
    assert clothes.test[1].bincount().tolist() == [200] * 10
    assert clothes.subset(50).train[1].bincount().tolist() == [5] * 10
    both = torch.cat([clothes.train[0], clothes.test[0]]).flatten(1)
    assert len(both.unique(dim=0)) > 7990  # a handful of the original images are there twice


@pytest.mark.parametrize("sizes", [(0, 10), (6001, 10), (10, 2001)])
def test_fashion_mnist_refuses_sizes_that_there_are_not(sizes):
    with pytest.raises(ValueError, match="is not between 1 and"):
        fashion_mnist(*sizes)


def idx(array):
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return compress(struct.pack(">HBB", 0, 8, array.ndim) + sizes + array.numpy().tobytes())


def test_the_tool_takes_the_first_of_each_class_and_always_writes_the_same(tmp_path):
    from tools.data import make_fashion_mnist as tool

    generator = torch.Generator().manual_seed(0)
    for stem, n in (("train", 8000), ("t10k", 3000)):
        labels = torch.randint(0, 10, (n,), generator=generator, dtype=torch.uint8)
        number = torch.arange(n, dtype=torch.int32).view(torch.uint8).reshape(n, 4)  # each image holds its own number
        images = torch.cat([number, torch.zeros(n, 780, dtype=torch.uint8)], 1).reshape(n, 28, 28)
        (tmp_path / f"{stem}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (tmp_path / f"{stem}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    digests = {tool.make(tmp_path, tmp_path / f"{i}.npz") for i in range(2)}
    assert len(digests) == 1
    with tool.np.load(tmp_path / "0.npz") as made:
        assert made["train_labels"].tolist() == list(range(10)) * 600
        assert made["test_labels"].tolist() == list(range(10)) * 200
        first = made["test_images"].reshape(2000, 784)[:, :4].copy().view("<i4").ravel()
    for k in range(10):
        assert first[k::10].tolist() == (labels == k).nonzero().ravel()[:200].tolist()
    full = fashion_mnist(8000, 3000, folder=tmp_path)
    assert torch.equal(full.test[1], labels.long())
    assert torch.equal((full.test[0] * 255).round().byte(), images[:, None])
    (tmp_path / "bad.gz").write_bytes(compress(struct.pack(">HBB", 0, 11, 1) + bytes(8)))
    with pytest.raises(ValueError, match="not an IDX file"):
        tool.read(tmp_path / "bad.gz")


# Canvases


def shape(image: torch.Tensor) -> Task:
    x = image[None, None].float().repeat(60, 1, 1, 1)
    y = torch.arange(60) % 3
    return Task("shape", (x, y), (x[:10], y[:10]), 3, 1 / 3, "A shape.")


def moments(x: torch.Tensor):
    """Mass, row, column, and the angle of the long axis (degrees, counter-clockwise) of each image."""
    x = x[:, 0].double()
    at = torch.arange(x.shape[-1], dtype=torch.double)
    mass = x.sum((1, 2))
    row, column = (x.sum(2) @ at) / mass, (x.sum(1) @ at) / mass
    up, right = (row[:, None, None] - at[:, None]), (at - column[:, None, None])
    xx, yy, xy = ((x * w).sum((1, 2)) for w in (right**2, up**2, right * up))
    return mass, row, column, torch.rad2deg(torch.atan2(2 * xy, xx - yy) / 2)


@pytest.fixture(scope="module")
def bar():
    image = torch.zeros(29, 29)
    image[13:16, 3:26] = 1
    return shape(image)


def test_objects_are_moved_to_where_it_says(bar):
    moved = canvas(bar, 45, move=1.0)
    mass, row, column, _ = moments(moved.train[0])
    torch.testing.assert_close(row, moved.placed[0][:, 0].double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(column, moved.placed[0][:, 1].double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(mass, torch.full_like(mass, 69.0), atol=1e-2, rtol=0)
    for at in (row, column):
        assert 14 - 1e-3 <= at.min() < 17 < 27 < at.max() <= 30 + 1e-3  # all of the free space, no further
    centred = canvas(bar, 45, move=0.0)
    torch.testing.assert_close(centred.train[0][0, 0, 8:37, 8:37], bar.train[0][0, 0], atol=1e-5, rtol=0)
    assert moments(centred.train[0])[1].sub(22).abs().max() < 1e-3


def test_objects_are_turned_counter_clockwise_by_what_it_says(bar):
    turned = canvas(bar, 45, turn=80)
    torch.testing.assert_close(moments(turned.train[0])[3], turned.placed[0][:, 2].double(), atol=0.5, rtol=0)
    assert turned.placed[0][:, 2].min() < -60
    assert turned.placed[0][:, 2].max() > 60


def test_objects_are_scaled_by_what_it_says():
    image = torch.zeros(29, 29)
    image[7:22, 5:24] = 1
    scaled = canvas(shape(image), 60, scale=(0.5, 2.0))
    mass = moments(scaled.train[0])[0]
    wanted = image.sum() * scaled.placed[0][:, 3].double() ** 2
    torch.testing.assert_close(mass, wanted, rtol=0.1, atol=0)  # pixels at the edge cost a little
    assert scaled.placed[0][:, 3].min() < 0.7 < 1.5 < scaled.placed[0][:, 3].max()


def test_labels_stay_and_clutter_lies_behind(clothes):
    task = clothes.subset(300)
    plain, cluttered = (canvas(task, move=1.0, clutter=n, seed=5) for n in (0, 6))
    assert torch.equal(plain.placed[0], cluttered.placed[0])
    assert torch.equal(cluttered.train[1], task.train[1])
    inside = (
        canvas(replace(task, train=((task.train[0] > 0).float(), task.train[1])), move=1.0, seed=5).train[0] > 0.999
    )
    assert inside.float().mean() > 0.1
    torch.testing.assert_close(cluttered.train[0][inside], plain.train[0][inside], atol=2e-3, rtol=0)
    more = (cluttered.train[0] > 0.1).float().mean() - (plain.train[0] > 0.1).float().mean()
    assert more > 0.05
    assert cluttered.train[0].min() >= 0
    assert cluttered.train[0].max() <= 1


def test_a_canvas_lies_on_the_device_of_its_task():
    task = fashion_mnist(3, 2).to("meta")
    assert canvas(task, turn=10).train[0].device.type == "meta"


def test_clutter_may_be_larger_than_the_canvas():
    x = torch.ones(2, 1, 10, 10)
    task = canvas(Task("flat", (x, x[:, 0, 0, 0]), (x, x[:, 0, 0, 0]), 1, 1.0, "Flat."), 4, scale=(0.1, 0.1), clutter=1)
    assert (task.train[0] == 1).all()


def test_clutter_comes_from_other_images():
    x = torch.arange(1, 5).float()[:, None, None, None].expand(4, 1, 10, 10) / 4
    y = torch.arange(4)
    task = canvas(Task("flat", (x, y), (x, y), 4, 0.25, "Flat."), 60, scale=(0.1, 0.1), move=0, clutter=20)
    for image, own in zip(task.train[0], x[:, 0, 0, 0], strict=True):
        around = image.clone()
        around[:, 25:35, 25:35] = 0
        others = set(around.unique().tolist()) - {0.0}
        assert others
        assert own.item() not in others


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 27}, "size=27 is too small"),
        ({"scale": (1.0, 1.5)}, "size=40 is too small"),
        ({"scale": (0.0, 1.0)}, "scale="),
        ({"scale": (1.2, 1.0)}, "scale="),
        ({"move": 1.1}, "move=1.1"),
        ({"turn": -5}, "turn=-5"),
        ({"clutter": -1}, "clutter=-1"),
    ],
)
def test_canvas_refuses_what_it_cannot_do(options, words, clothes):
    with pytest.raises(ValueError, match=words):
        canvas(clothes.subset(3), **options)


# Tasks of the chapter on SE


def test_stripes_have_no_mean_and_the_mark_alone_or_the_stripes_alone_are_a_coin():
    task = se_tasks.conditional_channel(1)
    (x, y) = task.train
    means = x.mean((2, 3))
    assert means[:, [0, 2]].abs().max() < 1e-6
    assert (means[:, 1].abs() - 1 / 3).abs().max() < 1e-6
    bright = means[:, 1] > 0

    def vertical(channel):  # stripes that stand vary along a row
        part = x[:, channel, :, :12]
        return part.diff(dim=2).square().mean((1, 2)) > part.diff(dim=1).square().mean((1, 2))

    assert torch.equal(vertical(0), ~vertical(2))
    assert torch.equal(torch.where(bright, vertical(0), vertical(2)).long(), y)
    for known in (bright, ~bright, vertical(0), vertical(2)):
        assert y[known].double().mean().item() == pytest.approx(0.5, abs=0.002)


def test_no_window_of_the_reader_sees_stripes_and_mark():
    model = se_tasks.reader()
    height, width = se_tasks.conditional_channel(train=1, test=1).train[0].shape[2:]
    for column in range(width):
        x = torch.zeros(1, 3, height, width, requires_grad=True)
        model[0](x)[:, :, height // 2, column].sum().backward()
        seen = x.grad.abs().sum((0, 1, 2)).nonzero().ravel()
        assert not (seen.min() < 12 and seen.max() >= width - 8)


def test_a_sum_is_right_in_at_most_three_of_the_four_cases():
    # Whatever f and g are, only the order of −f and g matters: these values give every order there is.
    values = [-3, -1, 1, 3]
    best = max(
        sum(((f[a] + g[b] > 0) == (a != b)) for a in (0, 1) for b in (0, 1))
        for f in itertools.product([-2, 0, 2], repeat=2)
        for g in itertools.product(values, repeat=2)
    )
    assert best == 3


def test_conditional_channel_needs_a_gate_that_depends_on_the_input():
    models = {
        "no block": se_tasks.reader,
        "scale": lambda: se_tasks.reader(se_tasks.PerChannelScale(16)),
        "hidden layer": lambda: se_tasks.reader(hidden=16),
        "SE": lambda: se_tasks.reader(SqueezeExcitation(16, reduction=4)),
    }
    result = compare(models, se_tasks.conditional_channel, seeds=(0, 1), steps=200, lr=1e-2)
    for name in ("SE", "hidden layer"):
        assert min(result.scores(name)) > 0.95
    for name in ("no block", "scale"):
        assert max(result.scores(name)) < 0.75 + 0.04  # three of four cases, and three standard errors


def test_gate_patterns_wants_the_signs_of_the_means_or_of_the_permuted_means():
    for permute in (False, True):
        task = gate_patterns(2, channels=32, permute=permute, train=500, test=50)
        z = task.train[0].mean((2, 3))
        agree = ((z[:, :, None] > 0) == (task.train[1][:, None, :] > 0.5)).float().mean(0)  # channel, gate
        assert agree.amax(0).min() > 0.999
        order = agree.argmax(0)
        assert sorted(order.tolist()) == list(range(32))
        assert torch.equal(order, torch.arange(32)) != permute


def test_a_narrow_bottleneck_comes_close_to_its_limit_and_not_past_it():
    reductions = (16, 4, 1)
    models = {f"r={r}": lambda r=r: GateOf(SqueezeExcitation(64, reduction=r, bias=True)) for r in reductions}
    result = compare(models, gate_patterns, seeds=(0,), steps=600, lr=3e-2)
    for r in reductions:
        limit = bottleneck_limit(64, 64 // r)
        assert limit - 0.07 < result.mean(f"r={r}") < limit + 0.005


def test_equal_shares_reach_the_limit_of_a_narrow_bottleneck():
    # Eight channels in four pairs: the sum of each pair tells half of the variance of both, more than the point from
    # which unequal shares are better. One number for all eight tells an eighth of each.
    z = torch.randn(400_000, 8, generator=torch.Generator().manual_seed(0))
    reached = ((z.sum(1, keepdim=True) > 0) == (z > 0)).double().mean().item()
    assert reached == pytest.approx(bottleneck_limit(8, 1), abs=0.002)
    pairs = z.view(-1, 4, 2).sum(2).repeat_interleave(2, 1)
    assert ((pairs > 0) == (z > 0)).double().mean().item() < bottleneck_limit(8, 4) - 0.005


@pytest.mark.parametrize("width", [1, 2, 3, 5, 7])
def test_no_choice_of_directions_passes_the_limit_of_a_bottleneck(width):
    generator = torch.Generator().manual_seed(width)
    for _ in range(200):
        rows = torch.linalg.qr(torch.randn(8, width, generator=generator, dtype=torch.double).exp()).Q
        told = rows.square().sum(1).clamp(0, 1)
        best = (0.5 + told.sqrt().asin() / torch.pi).mean().item()
        assert best <= bottleneck_limit(8, width) + 1e-9


def test_a_wide_bottleneck_has_no_limit():
    assert bottleneck_limit(64, 64) == 1
    limits = [bottleneck_limit(64, 64 // r) for r in (64, 32, 16, 8, 4, 2)]
    assert limits == sorted(limits)
    assert limits[0] > 0.5
    assert bottleneck_limit(64, 63) < 1


def test_open_together_needs_gates_that_do_not_compete():
    models = {
        "softmax": lambda: GateOf(se_tasks.SoftmaxExcitation(16)),
        "scaled": lambda: GateOf(se_tasks.SoftmaxExcitation(16, learned=True)),
        "sigmoid": lambda: GateOf(SqueezeExcitation(16, reduction=1, bias=True)),
    }
    task = se_tasks.open_together(0)
    result = compare(models, task, seeds=(0,), steps=600, lr=3e-2)
    assert result.mean("sigmoid") > 0.95
    assert result.mean("softmax") <= se_tasks.softmax_limit(task, scaled=False) + 1e-6 < 0.1
    assert result.mean("softmax") < result.mean("scaled") <= se_tasks.softmax_limit(task) + 1e-6 < 0.75


@pytest.mark.parametrize("open", [(2,), (1, 3), (1, 2, 4)])
def test_the_limit_of_softmax_is_reached_by_descent_and_never_passed(open):
    task = se_tasks.open_together(channels=6, open=open, train=10, test=120)
    y = task.test[1].double()
    logits = torch.zeros_like(y).requires_grad_()
    factor = torch.ones((), dtype=torch.double, requires_grad=True)
    descent = torch.optim.Adam([logits, factor], lr=0.1)
    for _ in range(1500):
        descent.zero_grad()
        error = (factor * logits.softmax(1) - y).square().sum()
        error.backward()
        descent.step()
    reached = 1 - (error / (y - y.mean(0)).square().sum()).item()
    assert reached == pytest.approx(se_tasks.softmax_limit(task), abs=0.01)
    assert reached <= se_tasks.softmax_limit(task) + 1e-9
    if len(open) == 1:
        assert se_tasks.softmax_limit(task) == pytest.approx(1, abs=1e-6)


# The task itself


def test_tasks_are_frozen_and_move():
    task = MAKERS["gate_patterns"](0)
    with pytest.raises(FrozenInstanceError):
        task.chance = 0.0
    moved = task.to("meta")
    assert moved.train[0].device.type == moved.test[1].device.type == "meta"
    assert task.train[0].device.type == "cpu"


def test_subset_keeps_the_test_data_and_the_places():
    task = MAKERS["canvas"](0)
    part = task.subset(20)
    assert [len(t) for t in tensors(part)] == [20, 20, 100, 100, 20, 100]
    for n in (0, 201):
        with pytest.raises(ValueError, match=f"n={n} is not between 1 and the 200"):
            task.subset(n)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": "hinge"}, "loss='hinge'"),
        ({"loss": "mse"}, "train: inputs of shape"),
        ({"labels": ("a",)}, "labels names 1"),
        ({"channels": ("a", "b")}, "channels names 2"),
        ({"classes": 3, "labels": ("a", "b")}, "labels names 2"),
    ],
)
def test_a_task_that_does_not_fit_together_is_refused(change, words):
    task = se_tasks.conditional_channel(train=8, test=4)
    with pytest.raises(ValueError, match=words):
        replace(task, **change)


@pytest.mark.parametrize("make", [*MAKERS.values(), lambda seed: fashion_mnist(20, 20)], ids=[*MAKERS, "fashion"])
def test_the_picture_shows_samples_and_says_so(make, monkeypatch):
    task = make(0)
    shown = []
    monkeypatch.setattr(style, "show", lambda fig, alt, **_: shown.append((fig, alt)))
    task.show(6)
    ((fig, alt),) = shown
    assert task.name in alt
    assert task.about in alt
    if task.labels:
        titles = [ax.get_title() for ax in fig.axes if ax.get_title()]
        assert titles == [task.labels[k] for k in task.train[1][: len(titles)]]
        assert f"{len(titles)} samples" in alt
    monkeypatch.undo()
    style.show(*picture(task, 6))  # refuses text that is cut off or too small


@pytest.mark.parametrize("n", [0, 17])
def test_the_picture_refuses_no_samples_and_too_many(n):
    with pytest.raises(ValueError, match=f"n={n} is not between"):
        fashion_mnist(50, 10).show(n)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: se_tasks.open_together(open=()),
        lambda: se_tasks.open_together(channels=4, open=(5,)),
        lambda: gate_patterns(channels=0),
        lambda: se_tasks.conditional_channel(train=0),
        lambda: bottleneck_limit(8, 0),
    ],
)
def test_bad_arguments_are_refused(bad):
    with pytest.raises(ValueError, match="="):
        bad()


def test_a_gate_of_a_block_with_two_maps_is_asked_for_by_name():
    class TwoMaps(Attention):
        def __init__(self):
            super().__init__()
            self.maps = {"channel": Map("b c 1 1"), "space": Map("b 1 h w")}

        def attend(self, x):
            maps = {"channel": x.mean((2, 3), keepdim=True), "space": x.mean(1, keepdim=True)}
            return x, maps

    x = torch.rand(2, 3, 4, 5)
    assert GateOf(TwoMaps(), "space")(x).shape == (2, 20)
    assert GateOf(TwoMaps(), "channel")(x).shape == (2, 3)
    with pytest.raises(ValueError, match="the block has the maps channel, space; say which"):
        GateOf(TwoMaps())
