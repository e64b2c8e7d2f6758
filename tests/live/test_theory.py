"""What lights up is what the papers' equations say; and a block that is wrong lights up otherwise."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attention import pictures
from attention.contract import Attention
from attention.lab.live import Picture, picture
from attention.laws import randomise
from attention.pictures.making import noise
from tests.laws import variants as wrong
from tests.laws.variants import _SE, Context
from tests.live.scenes import made
from tests.live.shown import Shown


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Open the picture of a mechanism, if it has been made."""
    opened = []

    def open_(given: str | Picture) -> Shown:
        if isinstance(given, str) and given not in pictures.names():
            pytest.skip(f"{given} has no picture yet")
        opened.append(Shown(browser, tmp_path, made(given) if isinstance(given, str) else given))
        return opened[-1]

    yield open_
    for page in opened:
        page.context.close()
        assert page.noise == []


def shape(page: Shown, name: str, variant: int = 0) -> list[int]:
    (drawn,) = (each for each in list(page.picture.drawn.values())[variant] if each.name == name)
    return list(page.picture.programs.values())[variant].values[drawn.value].shape


def lit(page: Shown, name: str, at: int, other: str, variant: int = 0) -> Tensor:
    """Point at a number; return where another tensor lights up, in its shape."""
    size = shape(page, other, variant)
    found = torch.zeros(torch.Size(size).numel(), dtype=torch.bool)
    found[page.touched(name, at)[other]] = True
    return found.reshape(size)[0]


def open_relus(page: Shown) -> None:
    """Give SE an input with which both of its hidden numbers are above 0."""
    means = torch.tensor([0.5, 0.1, 0.9, 0.1], dtype=torch.float64)
    page.put((0.5 * means)[:, None, None] + 0.5 * means[:, None, None] * noise(4, 8)[0].mul(2))
    assert (page.values("h") > 0).all()


def test_a_pixel_of_se_moves_its_channels_mean_all_gates_and_all_of_the_output(show: Any) -> None:
    page = show("se")
    open_relus(page)
    (first, *_) = (each for each in page.picture.programs["SE"].values if each.name == "reduce.weight")
    weights = first.constant.reshape(4, 2)  # as the run multiplies by it: channels, then hidden numbers
    for channel in range(4):
        found = page.touched("x", 64 * channel + 20)
        assert found["z"] == [channel]
        assert found["h"] == weights[channel].nonzero().flatten().tolist()
        assert found["s"] == [0, 1, 2, 3]
        assert found["y"] == list(range(256))
        assert "1 of 4 numbers of z" in page.says
        assert "256 of 256 of y" in page.says


def test_a_mean_of_se_has_forgotten_where_things_were(show: Any) -> None:
    page = show("se")
    assert page.touched("z", 2)["x"] == list(range(128, 192))
    assert "64 of 256 numbers of x move it, all alike" in page.says
    moved = page.values("s")
    x = page.inputs().reshape(4, 8, 8)
    page.put(x.flip(1).transpose(1, 2))
    torch.testing.assert_close(page.values("s"), moved)


def test_a_maximum_comes_from_one_pixel(show: Any) -> None:
    page = show("se")
    page.put(noise(4, 8)[0] + torch.arange(256).reshape(4, 8, 8) * 1e-4)
    page.choose("max, not mean")
    found = page.touched("z", 1)["x"]
    assert len(found) == 1
    assert found[0] == 64 + int(page.inputs().reshape(4, 64)[1].argmax())


def test_a_pixel_of_eca_moves_its_channel_and_those_beside_it(show: Any) -> None:
    """As many gates as the kernel is long, in the middle; fewer at the ends."""
    page = show("eca")
    (called,) = list(page.picture.programs)[:1]
    program = page.picture.programs[called]
    kernel = next(each for each in program.values if each.name.endswith("weight")).constant.shape[-1]
    channels, pixels = shape(page, "x")[1], torch.Size(shape(page, "x")[2:]).numel()
    assert 1 < kernel < channels
    for channel in range(channels):
        found = page.touched("x", channel * pixels)
        reach = range(max(0, channel - kernel // 2), min(channels, channel + kernel // 2 + 1))
        assert found["z"] == [channel]
        assert found["s"] == list(reach)
        assert found["y"] == [k for c in reach for k in range(c * pixels, (c + 1) * pixels)]


def test_behind_its_channel_gate_cbam_moves_a_neighbourhood(show: Any) -> None:
    """With x′ held, that is with the first gate as it is: the kernel's square of the map, cut off at the edges."""
    page = show("cbam")
    program = next(iter(page.picture.programs.values()))
    kernel = next(each for each in program.values if each.name == "conv.weight").constant.shape[-1]
    _, channels, height, width = shape(page, "x1")
    page.put(noise(channels, height, 3))
    for i, j in ((5, 6), (0, 0), (11, 4)):
        found = lit(page, "x1", (1 * height + i) * width + j, "spos")
        expected = torch.zeros(1, height, width, dtype=torch.bool)
        reach = kernel // 2
        expected[:, max(0, i - reach) : i + reach + 1, max(0, j - reach) : j + reach + 1] = True
        assert torch.equal(found, expected)


def test_one_pass_of_ccnet_reads_a_cross_and_two_read_all(show: Any) -> None:
    page = show("ccnet")
    _, channels, height, width = shape(page, "x")
    counted = []
    for variant, (called, program) in enumerate(page.picture.programs.items()):
        if variant:
            page.choose(called)
        page.put(noise(channels, height, 5)[..., :width] - 0.5)
        drawn = [each.name for each in page.picture.drawn[called]]
        last = next(each.name for each in page.picture.drawn[called] if each.value == program.output)
        for i, j in ((1, 2), (height - 1, 0)):
            found = lit(page, last, i * width + j, drawn[0], variant).any(0)
            cross = torch.zeros(height, width, dtype=torch.bool)
            cross[i], cross[:, j] = True, True
            passes = len(program.maps)
            assert torch.equal(found, cross if passes == 1 else torch.ones_like(cross)), called
            counted.append(passes)
    assert {1, 2} <= set(counted)


def test_a_pixel_behind_a_spatial_transformer_comes_from_at_most_four(show: Any) -> None:
    """Of the picture; and from the window's numbers, which are an input of their own here."""
    page = show("stn")
    width = shape(page, "x")[-1]
    seen = []
    for name in page.picture.presets:
        page.page.get_by_role("group", name="Input").get_by_role("button", name=name, exact=True).click()
        for at in range(0, torch.Size(shape(page, "y")).numel(), 7):
            found = page.touched("y", at)["x"]
            seen.append(len(found))
            assert len(found) <= 4
            for places in ({k // width for k in found}, {k % width for k in found}):
                assert not places or max(places) - min(places) <= 1, "side by side"
    assert max(seen) == 4


def test_every_position_of_non_local_reads_all(show: Any) -> None:
    page = show("non_local")
    _, channels, height, width = shape(page, "x")
    page.put(noise(channels, height, 5)[..., :width] + 0.1)
    for at in (0, height * width + 5):
        assert lit(page, page.names[-1], at, "x").any(0).all()
        pixel = page.touched("x", at)[page.names[-1]]
        reached = torch.zeros(torch.Size(shape(page, page.names[-1])).numel(), dtype=torch.bool)
        reached[pixel] = True
        assert reached.reshape(shape(page, page.names[-1]))[0].any(0).all()


# --- what is wrong looks wrong


def both(right: type[Attention], spoilt: type[Attention], x: Tensor) -> Picture:
    """A picture in which one can switch from a right block to one with the same weights that is wrong."""
    blocks = [kind(4, 2) if issubclass(kind, _SE) else kind(4) for kind in (right, spoilt)]
    blocks[0].double().eval()
    randomise(blocks[0], torch.Generator().manual_seed(3))
    with torch.no_grad():
        for name, parameter in blocks[0].named_parameters():
            # The hidden numbers of SE are above 0 then, so that its ReLU hides nothing; its gates differ by the signs.
            signs = 1 - 2 * (torch.arange(parameter.numel()) % 2).reshape(parameter.shape)
            parameter.copy_(parameter.abs() * (signs if "expand" in name else 1))
    blocks[1].double().eval().load_state_dict(blocks[0].state_dict())
    return picture(blocks[0], {"noise": x}, variants={"wrong": blocks[1]}, name="right")


WRONG = [
    (_SE, wrong.MeanOverChannels, "x", 5, "z", [0], [0, 1, 2, 3]),
    (_SE, wrong.GateAlongWidth, "s", 2, "y", list(range(32, 48)), list(range(2, 64, 4))),
    (_SE, wrong.SoftmaxGate, "h", 0, "s", None, None),
    (Context, wrong.SoftmaxOverBatch, "x", 5, "a", list(range(16)), []),
]


@pytest.mark.parametrize(
    ("right", "spoilt", "touched", "at", "looked", "lights", "wrongly"), WRONG, ids=[each[1].__name__ for each in WRONG]
)
def test_a_wrong_block_looks_wrong(
    show: Any,
    right: type[Attention],
    spoilt: type[Attention],
    touched: str,
    at: int,
    looked: str,
    lights: list[int] | None,
    wrongly: list[int] | None,
) -> None:
    """Numbers light up where the mechanism has none to move; and what is computed is drawn otherwise."""
    page = show(both(right, spoilt, noise(4, 4, 2) + 0.05))
    found, says, values = page.touched(touched, at)[looked], page.says, page.values(looked)
    page.touched(touched, -1)
    seen = page.image(looked)
    page.choose("wrong")
    other = page.touched(touched, at)[looked]
    if lights is not None:
        assert found == lights
        assert other == wrongly
        assert page.says != says
    page.touched(touched, -1)
    assert page.image(looked) != seen
    assert not torch.allclose(page.values(looked), values, atol=0.01)
