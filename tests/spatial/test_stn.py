"""Spatial transformer: its Spec for the laws, and what holds for this block alone."""

import re
from math import ceil, floor
from typing import Any

import pytest
import torch
from einops import rearrange
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from attention.experiments.stn import tasks
from attention.lab import cost, record
from attention.lab.comparison import Comparison
from attention.lab.tasks import Task, fashion_mnist
from attention.lab.training import compare
from attention.spatial.stn import SpatialTransformer
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

Image = list[list[list[list[float]]]]


class MeanLocaliser(nn.Module):
    """The smallest localiser that depends on the image: a layer on the channels' means."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(channels, max(1, int(features)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.mean((2, 3))).tanh()


def build(channels: int, features: int = 3, block: type = SpatialTransformer, **options: Any) -> SpatialTransformer:
    return block(MeanLocaliser(channels, features), features, **options)


def linear(layer: nn.Linear, numbers: list[float]) -> list[float]:
    rows = zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
    return [offset + sum(w * v for w, v in zip(row, numbers, strict=True)) for row, offset in rows]


def coordinate(pixel: int, size: int, align_corners: bool) -> float:
    """Where the centre of a pixel lies between −1 and 1."""
    if align_corners:
        return -1 + 2 * pixel / (size - 1) if size > 1 else 0.0
    return -1 + (2 * pixel + 1) / size


def pixel(place: float, size: int, align_corners: bool) -> float:
    """Which pixel, counted from 0, has its centre at a coordinate."""
    return (place + 1) / 2 * (size - 1) if align_corners else (place + 1) / 2 * size - 1 / 2


def naive(block: SpatialTransformer, images: Image) -> tuple[Image, dict[str, Any]]:
    """Equations (1), (2) and (5) of the paper, one number at a time."""
    output, thetas, grids = [], [], []
    for u in images:
        height, width = len(u[0]), len(u[0][0])
        rows, columns = block.size or (height, width)
        means = [sum(map(sum, channel)) / (height * width) for channel in u]
        hidden = [torch.tensor(v, dtype=torch.float64).tanh().item() for v in linear(block.localiser.layer, means)]
        numbers = linear(block.head, hidden)
        if block.transform == "attention":  # equation (2)
            s, tx, ty = numbers
            a = [[s, 0.0, tx], [0.0, s, ty]]
        else:
            a = [numbers[:3], numbers[3:]]
        grid = [[[0.0, 0.0] for _ in range(columns)] for _ in range(rows)]
        v = [[[0.0] * columns for _ in range(rows)] for _ in u]
        for i in range(rows):
            for j in range(columns):
                target = (coordinate(j, columns, block.align_corners), coordinate(i, rows, block.align_corners), 1.0)
                xs, ys = (sum(a[k][p] * target[p] for p in range(3)) for k in range(2))  # equation (1)
                grid[i][j] = [xs, ys]
                x, y = pixel(xs, width, block.align_corners), pixel(ys, height, block.align_corners)
                for c, channel in enumerate(u):  # equation (5)
                    for n in range(height):
                        for m in range(width):
                            weight = max(0.0, 1 - abs(x - m)) * max(0.0, 1 - abs(y - n))
                            v[c][i][j] += channel[n][m] * weight
        output.append(v)
        thetas.append(a)
        grids.append(grid)
    return output, {"theta": thetas, "grid": grids}


def near_identity(block: SpatialTransformer, generator: torch.Generator) -> None:
    """Keep θ where most of the output shows the input, and, almost surely, off the centres of pixels (the kinks)."""
    start = torch.tensor((1.0, 0, 0, 0, 1, 0) if block.transform == "affine" else (1.0, 0, 0), dtype=torch.float64)
    noise = torch.rand(len(start), generator=generator, dtype=torch.float64) - 0.5
    block.head.bias.copy_(0.9 * start + 0.4 * noise)
    block.head.weight.mul_(0.2)


def output_shape(block: SpatialTransformer, shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:2], *(block.size or shape[2:]))


def spent(case: Case) -> dict[str, int]:
    """The entry's formula; the localiser here is one layer. It holds for affine transforms and the input's size."""
    channels, features = case.options["channels"], case.options.get("features", 3)
    localiser = {"localiser_parameters": features * (channels + 1), "localiser_macs": features * channels}
    sizes = {"height": case.height, "width": case.width, "features": features, **localiser}
    found = {which: cost.evaluate("stn", which, **sizes) for which in ("parameters", "macs")}
    if case.options.get("transform") == "attention":
        found["parameters"] -= 3 * (features + 1)
        found["macs"] -= 3 * features
    if case.options.get("size"):
        rows, columns = case.options["size"]
        found["macs"] += 6 * (rows * columns - case.height * case.width)
    return found


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    size = st.tuples(st.integers(1, 6), st.integers(1, 6))
    return {
        "channels": draw(st.integers(1, 4)),
        "features": draw(st.integers(1, 4)),
        "transform": draw(st.sampled_from(["affine", "attention"])),
        "size": draw(st.none() | size),
        "align_corners": draw(st.booleans()),
    }


SPEC = Spec(
    name="stn",
    build=build,
    cases=cases(options(), height=(1, 6), width=(1, 6)),
    fixed=(
        Case({"channels": 3, "features": 4}, batch=3, height=4, width=5),
        Case({"channels": 2, "transform": "attention"}, batch=2, height=5, width=3, seed=1),
        Case({"channels": 1, "align_corners": True}, batch=2, height=3, width=4, seed=2),
        Case({"channels": 2, "size": (4, 4), "identity": True}, batch=2, height=4, width=4, seed=3),
    ),
    naive=naive,
    prepare=near_identity,
    output_shape=output_shape,
    identity_at_start=True,
    cost=spent,
    bad_arguments=(
        BadArguments({"channels": 3, "transform": "warp"}, ValueError, "transform='warp' is not one of affine, atten"),
        BadArguments({"channels": 3, "features": 2.0}, TypeError, "features=2.0 is not a whole number"),
        BadArguments({"channels": 3, "features": 0}, ValueError, "features=0 is not positive"),
        BadArguments({"channels": 3, "size": (0, 4)}, ValueError, r"size\[0\]=0 is not positive"),
        BadArguments({"channels": 3, "size": (4, 2.0)}, TypeError, r"size\[1\]=2.0 is not a whole number"),
        BadArguments({"channels": 3, "size": 4}, TypeError, r"size=4 is not \(height, width\)"),
        BadArguments({"channels": 3, "size": (4, 4, 4)}, ValueError, r"size=\(4, 4, 4\) is not \(height, width\)"),
    ),
    bad_inputs=bad_images(channels=False),
)


# What the laws would let through, if they were blind: each wrong variant is caught by the law named beside it.


class OffByOne(SpatialTransformer):
    """A popular copy's scaling: ``(max − 1)``, where ``max`` is already the last pixel's index."""

    def _pixels(self, places: Tensor, size: int) -> Tensor:
        return (places + 1) * (size - 2) / 2


class Backwards(SpatialTransformer):
    """Maps source to target: the window's inverse."""

    def theta(self, x: Tensor) -> Tensor:
        theta = super().theta(x)
        turn = torch.linalg.inv(theta[:, :, :2])
        return torch.cat([turn, -turn @ theta[:, :, 2:]], dim=2)


class RowsFirst(SpatialTransformer):
    """Hands the sampler y before x."""

    def grid(self, theta: Tensor, height: int, width: int) -> Tensor:
        return super().grid(theta, height, width).flip(-1)


class ReshapedMesh(SpatialTransformer):
    """Makes the mesh the other way round and reshapes it: right for square outputs of symmetric transforms only."""

    def grid(self, theta: Tensor, height: int, width: int) -> Tensor:
        return rearrange(super().grid(theta, width, height), "b w h i -> b h w i")


class MixedCorners(SpatialTransformer):
    """Grid by one convention, sampler by the other."""

    def forward(self, x: Tensor) -> Tensor:
        grid = self.grid(self.theta(x), *(self.size or x.shape[-2:]))
        return functional.grid_sample(x, grid, align_corners=not self.align_corners)


class StretchedBorder(SpatialTransformer):
    """Beyond the edge, repeats the edge."""

    def forward(self, x: Tensor) -> Tensor:
        grid = self.grid(self.theta(x), *(self.size or x.shape[-2:]))
        return functional.grid_sample(x, grid, align_corners=self.align_corners, padding_mode="border")


class OneWindowForAll(SpatialTransformer):
    """The mean window of the batch."""

    def theta(self, x: Tensor) -> Tensor:
        return super().theta(x).mean(0, keepdim=True).expand(len(x), -1, -1)


class NearestNeighbour(SpatialTransformer):
    """Without gradients for θ, which is what bilinear sampling is for."""

    def forward(self, x: Tensor) -> Tensor:
        return self.attend(x)[0]

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        maps = super().attend(x)[1]
        mode, corners = "nearest", self.align_corners
        return functional.grid_sample(x, maps["grid"], mode=mode, align_corners=corners), maps


class NoIdentity(SpatialTransformer):
    """A last layer as any other."""

    def __init__(self, *arguments: Any, identity: bool = False, **options: Any) -> None:
        super().__init__(*arguments, identity=False, **options)


WRONG = {
    OffByOne: (2, "the output differs by"),
    Backwards: (2, "differs by"),
    RowsFirst: (2, "the map 'grid' differs by"),
    ReshapedMesh: (2, "differs by"),
    MixedCorners: (3, "the output of forward, against attend's, differs by"),
    StretchedBorder: (3, "the output of forward, against attend's, differs by"),
    OneWindowForAll: (4, "alone, against the same in its batch"),
    NearestNeighbour: (5, "never received a gradient"),
    NoIdentity: (9, "the output at initialisation, against the input"),
}


@pytest.mark.parametrize("block", WRONG, ids=lambda block: block.__name__)
def test_wrong_variant_is_caught(block: type) -> None:
    number, says = WRONG[block]
    spec = SPEC.with_build(lambda **options: build(block=block, **options))
    with pytest.raises(AssertionError, match=rf"(?s)^law {number} \(.*{re.escape(says)}"):
        LAWS[number](spec, 25)


# The grid and the sampler against torch's own.


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (2, 9)])
def test_the_grid_is_that_of_affine_grid(shape: tuple[int, int], align_corners: bool) -> None:
    theta = torch.randn(3, 2, 3, dtype=torch.float64)
    expected = functional.affine_grid(theta, [3, 1, *shape], align_corners=align_corners)
    torch.testing.assert_close(build(1, align_corners=align_corners).grid(theta, *shape), expected)


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_literal_sampler_is_grid_sample_far_outside_too(align_corners: bool) -> None:
    block = build(2, align_corners=align_corners).double()
    nn.init.constant_(block.head.bias, 3.0)
    nn.init.normal_(block.head.weight)
    x = torch.randn(20, 2, 5, 4, dtype=torch.float64)
    output, maps = block.attend(x)
    assert maps["grid"].abs().max() > 3
    torch.testing.assert_close(output, functional.grid_sample(x, maps["grid"], align_corners=align_corners))
    torch.testing.assert_close(block(x), output)


def with_theta(theta: list[float], **options: Any) -> SpatialTransformer:
    """Build a block that uses one window for every image."""
    block = build(1, **options)
    with torch.no_grad():
        block.head.bias.copy_(torch.tensor(theta))
    return block


def test_theta_leads_from_the_output_to_the_input() -> None:
    """A scale of one half shows the middle, twice as large; a shift to the right moves the picture to the left."""
    x = torch.zeros(1, 1, 8, 8)
    x[..., 2:6, 2:6] = 1
    assert with_theta([0.5, 0, 0, 0, 0.5, 0])(x)[..., 1:-1, 1:-1].min() == 1
    moved = with_theta([1, 0, 0.5, 0, 1, 0])(x)  # half of half the width: two pixels
    torch.testing.assert_close(moved, functional.pad(x, (0, 2))[..., 2:])


def test_a_quarter_turn_of_theta_turns_the_picture_counter_clockwise() -> None:
    """With y pointing down, (0, 1; −1, 0) looks from the output's right edge at the input's upper edge, negated: y."""
    x = torch.arange(9.0).view(1, 1, 3, 3)
    turned = with_theta([0, -1, 0, 1, 0, 0])(x)
    torch.testing.assert_close(turned[0, 0], torch.rot90(x[0, 0], 1))
    torch.testing.assert_close(with_theta([0, 1, 0, -1, 0, 0])(x)[0, 0], torch.rot90(x[0, 0], -1))


def test_a_crop_computed_by_hand() -> None:
    """The attention transform on four pixels: scale ½ and no shift reads at the quarter points, ¼ and ¾."""
    x = torch.tensor([[[[0.0, 4.0, 8.0, 12.0]]]])
    found = with_theta([0.5, 0, 0], transform="attention")(x)
    torch.testing.assert_close(found.flatten(), torch.tensor([3.0, 5.0, 7.0, 9.0]))  # pixels ¾, 1¼, 1¾, 2¼


def test_what_lies_outside_is_black() -> None:
    assert with_theta([1, 0, 2.5, 0, 1, 0])(torch.ones(1, 1, 6, 6)).abs().max() == 0


@pytest.mark.parametrize(("transform", "numbers"), [("affine", 6), ("attention", 3)])
def test_the_head_has_the_transforms_numbers(transform: str, numbers: int) -> None:
    block = build(4, features=5, transform=transform)
    assert sum(p.numel() for p in block.head.parameters()) == numbers * (5 + 1)
    theta = block.theta(torch.randn(2, 4, 3, 3))
    torch.testing.assert_close(theta, torch.eye(2, 3).expand(2, 2, 3))


def test_the_attention_transform_never_turns_nor_shears() -> None:
    block = build(3, transform="attention")
    nn.init.normal_(block.head.weight)
    theta = block.theta(5 * torch.randn(9, 3, 4, 4))
    assert (theta[:, 0, 1] == 0).all()
    assert (theta[:, 1, 0] == 0).all()
    assert (theta[:, 0, 0] == theta[:, 1, 1]).all()
    assert theta[:, 0, 0].std() > 0.01


def test_without_the_identity_start_the_first_output_is_no_copy() -> None:
    """The default of a linear layer puts θ near 0: all pixels look at nearly one place."""
    torch.manual_seed(0)
    x = torch.rand(8, 3, 12, 12)
    assert build(3, features=32, identity=False)(x).sub(x).abs().mean() > 0.1
    torch.testing.assert_close(build(3, features=32)(x), x, atol=1e-5, rtol=0)


def test_other_sizes_show_the_same_window() -> None:
    """Half the size, same window: every output pixel is the mean of four."""
    x = torch.rand(2, 3, 8, 6)
    torch.testing.assert_close(build(3, size=(4, 3))(x), functional.avg_pool2d(x, 2), atol=1e-6, rtol=1e-5)


def test_coordinates_keep_their_digits_under_autocast() -> None:
    """In bfloat16 a coordinate has 8 bits: on a map of 512 pixels it would be off by half a pixel."""
    block, x = build(1), torch.rand(1, 1, 512, 512)
    with torch.autocast("cpu", torch.bfloat16):
        found, literal = block(x), block.attend(x[..., :64, :64])[0]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, x, atol=1e-3, rtol=0)
    torch.testing.assert_close(literal, x[..., :64, :64], atol=1e-3, rtol=0)


def test_a_localiser_of_another_width_is_named() -> None:
    block = SpatialTransformer(MeanLocaliser(3, 4), 5)
    with pytest.raises(ValueError, match=r"return shape \(batch, features\)=\(2, 5\), received shape \(2, 4\)"):
        block(torch.rand(2, 3, 4, 4))


@pytest.mark.parametrize(("found", "came"), [(lambda y: (y, y), "tuple"), (lambda y: None, "NoneType")])
def test_a_localiser_that_returns_no_tensor_is_named(found: Any, came: str) -> None:
    class Localiser(MeanLocaliser):
        def forward(self, x: Tensor) -> Any:
            return found(super().forward(x))

    block = SpatialTransformer(Localiser(3, 4), 4)
    for call in (block, block.attend):
        with pytest.raises(TypeError, match=rf"return shape \(batch, features\)=\(2, 4\), received {came}$"):
            call(torch.rand(2, 3, 4, 4))


def test_a_localiser_must_be_a_module() -> None:
    with pytest.raises(TypeError, match=r"localiser: expected an nn\.Module, received function"):
        SpatialTransformer(lambda x: x, 3)


def test_gradients_are_those_of_the_papers_equations() -> None:
    """Equations (6) and (7): by the pixel, a weight; by the place, the neighbours' difference."""
    x = torch.randn(1, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    place = torch.tensor([0.13, -0.42], dtype=torch.float64, requires_grad=True)
    v = functional.grid_sample(x, place.view(1, 1, 1, 2), align_corners=True)
    by_x, by_place = torch.autograd.grad(v.sum(), [x, place])
    xs, ys = ((place[0] + 1) * 5 / 2).item(), ((place[1] + 1) * 4 / 2).item()
    down = [max(0, 1 - abs(ys - n)) for n in range(5)]
    across = [max(0, 1 - abs(xs - m)) for m in range(6)]
    torch.testing.assert_close(by_x[0, 0], torch.outer(torch.tensor(down), torch.tensor(across)).double())
    left, right = floor(xs), ceil(xs)
    slope = sum(weight * (x[0, 0, n, right] - x[0, 0, n, left]) for n, weight in enumerate(down))
    torch.testing.assert_close(by_place[0], slope * 5 / 2)


# The chapter's task: what is left of a distortion is computed, not estimated.


def perfect(placed: Tensor, side: int = 14, size: int = 28) -> Tensor:
    """The windows that undo the placement: M⁻¹ and the object's centre."""
    row, column, degrees, scale = placed.double().unbind(1)
    c, s = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    linear = rearrange([c, s, -s, c], "(i j) b -> b i j", i=2) * (scale * side / size)[:, None, None]
    centre = torch.stack([2 * column + 1, 2 * row + 1], 1) / size - 1
    return torch.cat([linear, centre[:, :, None]], 2)


@pytest.fixture(scope="module")
def displaced() -> Task:
    return tasks.displaced(3, train=100, test=200)


def test_objects_lie_where_the_task_says(displaced: Task) -> None:
    """Seen through the window that undoes its placement, each canvas shows the object as it was."""
    grid = functional.affine_grid(perfect(displaced.placed[1]).float(), [200, 1, 14, 14], align_corners=False)
    seen = functional.grid_sample(displaced.test[0], grid, align_corners=False)
    as_it_was = functional.avg_pool2d(fashion_mnist(100, 200).test[0], 2)
    assert (seen - as_it_was).abs().mean() < 0.06
    assert (seen.flip(3) - as_it_was).abs().mean() > 0.09
    assert displaced.test[0].shape == (200, 1, 28, 28)


def test_a_perfect_window_leaves_nothing(displaced: Task) -> None:
    left = tasks.pose(displaced.placed[1], perfect(displaced.placed[1]))
    torch.testing.assert_close(left, torch.zeros(200, 6, dtype=torch.float64), atol=1e-5, rtol=0)


def test_each_component_of_the_pose_is_what_it_says() -> None:
    """An object of 14 pixels in the middle of 28: the canvas covers twice its side."""
    placed = torch.tensor([[13.5, 13.5, 0.0, 1.0]])
    eye = torch.eye(2, 3)
    for theta, expected in (
        (eye, [0, 0, 1, 0, 0, 0]),
        (0.5 * eye, [0, 0, 0, 0, 0, 0]),
        (eye + torch.tensor([[0, 0, 0.25], [0, 0, 0]]), [0.5, 0, 1, 0, 0, 0]),  # 3.5 pixels of half a side, 7
        (eye + torch.tensor([[0, 0, 0], [0, 0, -0.5]]), [0, -1, 1, 0, 0, 0]),
        (torch.tensor([[0.0, -1, 0], [1, 0, 0]]), [0, 0, 1, 90, 0, 0]),
        (torch.tensor([[1.0, 0, 0], [0, 0.25, 0]]), [0, 0, 0, 0, 2, 0]),  # four times as wide as high
        (torch.tensor([[1.25, 0.75, 0], [0.75, 1.25, 0]]), [0, 0, 1, 0, 0, 0.75]),  # of area 1, symmetric: no turn
    ):
        found = tasks.pose(placed, theta[None])
        torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64))
    turned = tasks.pose(torch.tensor([[13.5, 13.5, 30.0, 1.0]]), eye[None])
    torch.testing.assert_close(turned[0, 3].item(), 30.0)


def test_the_pose_of_any_window_is_a_rotation_times_a_symmetric_matrix() -> None:
    """The six numbers give the window back: none is lost, and none is said twice."""
    placed = torch.tensor([[13.5, 13.5, 0.0, 1.0]]).expand(20, 4)
    theta = torch.eye(2, 3).double() + 0.25 * torch.randn(20, 2, 3, dtype=torch.float64)
    across, down, size, angle, aspect, shear = tasks.pose(placed, theta).unbind(1)
    size, turn = 2**size, torch.deg2rad(angle)
    wide = (1 + shear**2).sqrt() * 2 ** (aspect / 2)  # S₁₁ S₂₂ − S₁₂² is 1 where the size is
    symmetric = size[:, None, None] * rearrange([wide, shear, shear, (1 + shear**2) / wide], "(i j) b -> b i j", i=2)
    rotation = rearrange([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], "(i j) b -> b i j", i=2)
    made = torch.cat([rotation @ symmetric, torch.stack([across, down], 1)[:, :, None]], 2)
    torch.testing.assert_close(made, 2 * theta)  # the object's half side is half of the canvas's


def test_the_spread_is_taken_within_classes_and_around_the_circle() -> None:
    poses = torch.tensor([[0.0, 1, 0, 179], [0, 1, 0, -179], [5, 1, 0, 10], [5, 3, 0, 12]], dtype=torch.float64)
    poses = functional.pad(poses, (0, 2))
    found = tasks.spread(poses, torch.tensor([0, 0, 1, 1]))
    assert found == pytest.approx({"across": 0, "down": 0.5**0.5, "size": 0, "angle": 1, "aspect": 0, "shear": 0})


def test_the_networks_of_the_comparison_are_of_equal_size() -> None:
    """To within 1%, as the chapter says; the frozen one lacks the localiser and its last layer, and nothing else."""
    x = torch.zeros(2, 1, 28, 28)
    built = {name: build() for name, build in tasks.networks().items()}
    assert all(network(x).shape == (2, 10) for network in built.values())
    sizes = {name: sum(p.numel() for p in network.parameters()) for name, network in built.items()}
    window = sum(p.numel() for p in built["affine"][0].parameters())
    assert sizes.pop("frozen") == sizes["affine"] - window
    assert all(abs(size - sizes["affine"]) <= sizes["affine"] / 100 for size in sizes.values())


def test_a_frozen_window_shows_what_a_fresh_transformer_shows() -> None:
    x = torch.rand(3, 1, 28, 28)
    torch.testing.assert_close(tasks.frozen()[0](x), tasks.transformed()[0](x), atol=1e-5, rtol=0)


def test_the_start_over_a_corner_leaves_most_objects_outside(displaced: Task) -> None:
    """With its own window, the same for all images; the identity leaves none outside."""
    with torch.no_grad():
        theta = tasks.networks()["corner start"]()[0].theta(displaced.test[0])
    torch.testing.assert_close(theta, torch.tensor(tasks.CORNER).view(1, 2, 3).expand(200, 2, 3))
    missed = [
        (tasks.pose(displaced.placed[1], windows)[:, :2].abs().amax(1) > 1).double().mean()
        for windows in (theta, torch.eye(2, 3).expand(200, 2, 3))
    ]
    assert missed[0] > 0.6 > 0.4 > missed[1]


def test_a_film_keeps_the_network_as_it_was(displaced: Task) -> None:
    """The copy after k steps is what a training of k steps gives, at a constant rate."""
    film = tasks.Film(lambda: tasks.classifier(widths=(2, 2, 4)), (0, 2))
    options = {"lr": 1e-3, "schedule": "constant", "seeds": [0]}
    compare({"film": film}, displaced, steps=4, **options)
    nets: list[nn.Module] = []
    compare({"two": film.build}, displaced, steps=2, keep=lambda name, seed, net: nets.append(net), **options)
    x = displaced.test[0]
    assert not film[2].training
    torch.testing.assert_close(film[2](x), nets[0](x))
    assert not torch.allclose(film[0](x), nets[0](x))
    with pytest.raises(KeyError):
        film[1]


def test_a_sliding_window_has_the_slope_of_its_loss(displaced: Task) -> None:
    """By differences, but where a kink lies between; and a window that has left the object says nothing."""
    network, step = tasks.frozen().eval(), 0.01
    offsets = torch.tensor([3.3 - step, 3.3, 3.3 + step, 40.0])
    losses, slopes = tasks.slide(network, displaced, offsets, samples=100)
    assert losses.shape == slopes.shape == (100, 4)
    differences = (losses[:, 2] - losses[:, 0]) / (2 * step)
    assert torch.corrcoef(torch.stack([differences, slopes[:, 1]]))[0, 1] > 0.95
    assert slopes[:, 1].std() > 0
    assert slopes[:, 3].abs().max() == 0


def test_what_trains_in_the_chapter_is_what_was_recorded() -> None:
    kept = Comparison.from_dict(record.load("stn")["experiment"]["first"]["comparison"])
    names = ("frozen, wider", "affine")
    film = tasks.Film(tasks.networks()["affine"], ())
    live = tasks.compared(names, [0], steps=kept.steps, film=film)
    for name in names:
        assert live.scores(name)[0] == pytest.approx(kept.scores(name)[0], abs=0.02)


def test_the_reads_of_the_card_are_those_that_are_counted() -> None:
    """Two operations each, besides 14 for a place, which all channels share."""

    class Sampler(nn.Module):
        def forward(self, x: Tensor, grid: Tensor) -> Tensor:
            return functional.grid_sample(x, grid, align_corners=False)

    for channels, side in ((1, 28), (64, 28), (256, 7)):
        x, grid = torch.zeros(1, channels, side, side), torch.zeros(1, side, side, 2)
        stated = cost.evaluate("stn", "reads", channels=channels, height=side, width=side)
        assert cost.count(Sampler(), x, grid).operations == 2 * stated + 14 * side**2


def test_a_classifier_wants_a_multiple_of_four() -> None:
    with pytest.raises(ValueError, match="side=18 is not divisible by 4"):
        tasks.classifier(18)


def test_the_literal_sum_has_no_gradient_on_the_centres_of_pixels() -> None:
    """Why ``forward`` is ``grid_sample``: at the identity start the literal form answers 0 where the slope is 1."""
    block = build(1).double()
    x = torch.arange(32.0).double().expand(1, 1, 32, 32)
    for output, expected in ((block(x), 16), (block.attend(x)[0], 0)):
        block.zero_grad()
        output[..., 4:-4].mean().backward()
        assert block.head.bias.grad[2].item() == pytest.approx(expected)
