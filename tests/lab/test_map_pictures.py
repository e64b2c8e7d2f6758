"""Maps beside their pictures: outlines, numbers below, maps that were found."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import attention
from attention.lab import maps, style
from tests.lab.test_found_maps import Excitation, Heads, placed
from tests.lab.test_maps import Declares, Where, faces, overlays, shown  # noqa: F401


def discs(count: int = 3) -> tuple[Tensor, Tensor]:
    """Pictures with a bright disc, and where it is."""
    y, x = torch.meshgrid(torch.arange(24), torch.arange(32), indexing="ij")
    masks = torch.stack([(y - 8 - 2 * k) ** 2 + (x - 10 - 5 * k) ** 2 < 36 for k in range(count)])
    return 0.2 + 0.7 * masks[:, None].float().expand(-1, 3, -1, -1), masks


@pytest.mark.parametrize("overlay", [False, True])
def test_outlines_run_around_the_object_on_the_map(shown: list, overlay: bool) -> None:  # noqa: F811
    x, masks = discs()
    found = maps.capture(nn.Sequential(nn.AvgPool2d(2), Where()), x)
    maps.show(found, samples=[2, 0], outlines=masks, overlay=overlay)
    fig, alt = shown[0]
    panels = faces(fig)
    for ax, k in zip(panels, (2, 0), strict=True):
        halo, line = ax.collections
        assert halo.get_linewidth()[0] > line.get_linewidth()[0]
        points = np.concatenate([path.vertices for path in line.get_paths()])
        centre = (10 + 5 * k, 8 + 2 * k)
        assert np.hypot(*(points - centre).T) == pytest.approx(6, abs=0.8)
        assert ax.get_xlim() == (-0.5, 31.5)
    assert "On the map the outline of the object." in alt
    maps_ = found["1"]["space"][:, 0].repeat_interleave(2, 1).repeat_interleave(2, 2)
    inside, outside = maps_[2][masks[2]].mean(), maps_[2][~masks[2]].mean()
    assert f"Mean within the outline {inside:.2g}, outside it {outside:.2g}." in alt


def test_an_object_at_the_border_has_a_closed_outline_and_an_empty_mask_none(shown: list) -> None:  # noqa: F811
    x, masks = discs(2)
    masks[0] = False
    masks[0, :5, :5] = True
    masks[1] = False
    maps.show(maps.capture(Where(), x), outlines=masks)
    first, second = faces(shown[0][0])
    (path,) = first.collections[0].get_paths()
    assert np.allclose(path.vertices[0], path.vertices[-1])
    assert not second.collections


def test_outlines_that_do_not_belong_to_the_pictures_are_refused() -> None:
    x, masks = discs()
    found = maps.capture(Where(), x)
    for wrong in (masks.float(), masks[:2], masks[:, ::2], "mask"):
        with pytest.raises(ValueError, match=r"outlines: expected a tensor of torch.bool \(3, 24, 32\), received"):
            maps.show(found, outlines=wrong)
    with pytest.raises(ValueError, match="has no space to draw them on"):
        maps.show(maps.capture(attention.create("se", 3, reduction=1), x), outlines=masks)


def test_the_numbers_below_are_those_of_the_whole_map(shown: list) -> None:  # noqa: F811
    x, _ = discs()
    for model in (Where(), attention.create("se", 3, reduction=1)):
        found = maps.capture(model, x)
        maps.show(found, samples=1)
        fig, alt = shown.pop()
        (numbers,) = maps.statistics(found).values()
        assert fig.get_supxlabel().replace("\n", " ") == f"All 3 images: {numbers.sentence()}"
        assert f"The whole map, 3 images: {numbers.sentence()}." in alt
        assert "saturated" in alt
    maps.show(maps.capture(Where(), x[:1]))
    assert shown[0][0].get_supxlabel().startswith("One image: from")
    assert "change" not in shown[0][1]


def test_the_colour_bar_tells_the_ends_of_its_scale(shown: list) -> None:  # noqa: F811
    found = maps.capture(Where(), discs()[0])
    maps.show(found)
    maps.show(found, limits=(0, 1))
    low, high = found[""]["space"].min(), found[""]["space"].max()
    told = [[label.get_text() for label in fig.axes[-1].get_xticklabels()] for fig, _ in shown]
    assert told == [[f"{low:.2g}", f"{(low + high) / 2:.2g}", f"{high:.2g}"], ["0", "0.5", "1"]]


def test_long_names_are_wrapped_above_their_pictures(shown: list) -> None:  # noqa: F811
    names = ["sixty pixels to the right of where it was", "b", "c", "d"]
    for samples in (1, 2, 4):
        maps.show(maps.capture(Where(), discs(4)[0]), labels=names, samples=samples)
    assert ["\n" in fig.axes[0].get_title() for fig, _ in shown] == [True] * 3


def test_gates_that_were_found_are_bars_and_say_so(shown: list) -> None:  # noqa: F811
    found = maps.capture(placed(Excitation()), discs()[0])
    maps.show(found)
    fig, alt = shown[0]
    assert alt.startswith("Attention map 'gate' of layer '1.0', found, 8 channels.")
    bars = [[patch.get_height() for patch in ax.patches] for ax in fig.axes if ax.patches]
    np.testing.assert_allclose(bars, found["1.0"]["gate"].flatten(1), rtol=1e-6)


class WithClass(nn.Module):
    """A transformer of patches with a class token before them."""

    def __init__(self) -> None:
        super().__init__()
        self.cut, self.attn = nn.Conv2d(3, 8, 4, stride=4), nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        t = self.cut(x).flatten(2).transpose(1, 2)
        t = torch.cat([t.mean(1, keepdim=True), t], 1)
        return self.attn(t, t, t)[0]


def test_where_a_class_token_looks_is_shown_on_the_grid_of_patches(shown: list) -> None:  # noqa: F811
    found = maps.capture(WithClass(), discs()[0])
    assert found.found["attn", "rows"].map.dims == "b m q k"
    maps.show(found, select={"m": 1, "q": 0})
    fig, alt = shown[0]
    np.testing.assert_allclose(overlays(fig), found["attn"]["rows"][:, 1, 0, 1:].reshape(3, 6, 8), rtol=1e-6)
    assert "found, q 0, m 1, without 1 token before the grid." in alt
    with pytest.raises(ValueError, match=r"choose one of the 49 with select=\{'q': …\}"):
        maps.show(found, select={"m": 1})


def test_rows_over_a_grid_are_shown_from_a_position(shown: list) -> None:  # noqa: F811
    found = maps.capture(placed(Heads("fused")), torch.rand(2, 3, 4, 6))
    maps.show(found, position=(1, 2), select={"m": 0})
    np.testing.assert_allclose(overlays(shown[0][0]), found["1.0"]["rows"][:, 0, 8].reshape(2, 4, 6), rtol=1e-6)
    assert "where row 1, column 2 looks" in shown[0][1]


def test_captions_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(style, "show", lambda fig, alt, *, caption, **_: said.append(caption))
    x = discs()[0]
    maps.show(maps.capture(Where(), x), caption="one")
    maps.feature_maps(nn.Conv2d(3, 6, 3), x, "", caption="two")
    maps.by_class(maps.class_means(torch.rand(4, 3), torch.tensor([0, 1, 0, 1])), caption="three")
    maps.by_size({"a": torch.rand(2, 2)}, (1, 2), caption="four")
    assert said == ["one", "two", "three", "four"]


def test_a_map_without_a_batch_is_not_shown() -> None:
    found = maps.capture(Declares("1 h w", torch.rand(1, 2, 2)), torch.rand(1, 3, 2, 2))
    with pytest.raises(ValueError, match="its first is not the batch"):
        maps.show(found)
