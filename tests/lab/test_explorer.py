"""What the explorer and the player carry into the page is what they were given; what does not fit is refused."""

import base64
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from attention.lab import maps
from attention.lab.maps import embedded

Shown = Callable[[], dict[str, str]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Return what the notebook was given last."""
    seen: list[dict[str, str]] = []
    monkeypatch.setattr(embedded, "get_ipython", lambda: object())
    monkeypatch.setattr(embedded, "display", lambda data, raw: seen.append(data))
    return lambda: seen[-1]


def data(output: dict[str, str]) -> dict[str, Any]:
    """Return what the script reads."""
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', output["text/html"], re.S)[1])


def numbers(text: str, *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(shape)


def softmax(queries: int, keys: int) -> torch.Tensor:
    return (3 * torch.randn(queries, keys)).softmax(dim=1)


# --- the explorer


def test_each_row_is_scaled_by_its_largest_weight(shown: Shown) -> None:
    weights = softmax(12, 12)
    maps.explore(torch.rand(8, 6), weights, grid=(4, 3))
    (carried,) = data(shown())["maps"]
    expected = (255 * weights.double() / weights.double().amax(1, keepdim=True)).round()
    np.testing.assert_array_equal(numbers(carried["weights"], 12, 12), expected.numpy())


def test_what_is_said_of_a_row_is_so(shown: Shown) -> None:
    weights = torch.tensor([[0.5, 0.3, 0.1, 0.1], [0.25] * 4, [0.0, 0.0, 0.0, 1.0], [0.0] * 4])
    maps.explore(torch.rand(4, 4), weights)
    (carried,) = data(shown())["maps"]
    assert carried["peaks"] == [0.5, 0.25, 1.0, 0.0]
    assert carried["times"] == [2.0, 1.0, 4.0, 0.0]
    assert carried["half"] == [1, 2, 1, 1]
    assert [carried["at"][row] for row in (0, 2)] == [0, 3]
    assert carried["shares"], "rows that sum to 1, or to nothing"


def test_weights_that_do_not_sum_to_one_are_no_shares(shown: Shown) -> None:
    maps.explore(torch.rand(4, 4), 2 * softmax(4, 4))
    assert not data(shown())["maps"][0]["shares"]


def test_grids_are_found_or_given(shown: Shown) -> None:
    def grids(weights: torch.Tensor, **sizes: tuple[int, int]) -> tuple[list[int], list[int], int]:
        maps.explore(torch.rand(8, 8), weights, **sizes)
        carried = data(shown())
        return carried["grid"], carried["keys"], carried["start"]

    assert grids(softmax(16, 16)) == ([4, 4], [4, 4], 10)
    assert grids(softmax(16, 4)) == ([4, 4], [2, 2], 10)
    assert grids(softmax(12, 12), grid=(4, 3)) == ([4, 3], [4, 3], 7)
    assert grids(softmax(12, 6), grid=[4, 3], keys=[3, 2]) == ([4, 3], [3, 2], 7)
    assert grids(softmax(16, 4).reshape(2, 8, 1, 4)) == ([2, 8], [1, 4], 12)
    assert grids(softmax(16, 16), position=(0, 0)) == ([4, 4], [4, 4], 0)


def test_four_axes_and_two_say_the_same(shown: Shown) -> None:
    picture, weights = torch.rand(6, 6), softmax(12, 12)
    maps.explore(picture, weights, grid=(4, 3))
    flat = shown()
    maps.explore(picture, weights.reshape(4, 3, 4, 3))
    assert shown() == flat


def test_several_maps_keep_their_names_and_order(shown: Shown) -> None:
    maps.explore(torch.rand(4, 4), {"z </script>": softmax(4, 4), "a & b": softmax(4, 4)})
    assert [each["name"] for each in data(shown())["maps"]] == ["z </script>", "a & b"]


def test_the_picture_is_grey_and_light(shown: Shown) -> None:
    white, black = torch.ones(3, 2, 3), torch.zeros(2, 3)
    for picture, level in ((white, 255), (black, 0.3 * 255), (white[:1], 255)):
        maps.explore(picture, softmax(4, 4))
        carried = data(shown())
        assert carried["size"] == [2, 3]
        np.testing.assert_allclose(numbers(carried["picture"], 2, 3), level, atol=0.5)


def test_gradients_devices_and_types_do_not_matter(shown: Shown) -> None:
    maps.explore(torch.rand(4, 4, requires_grad=True).half(), softmax(4, 4).requires_grad_().bfloat16())
    assert data(shown())["maps"][0]["shares"]


P, A = torch.full((4, 4), 0.5), torch.full((4, 4), 0.25)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((P, {}), {}, "names no map"),
        ((P[None, None], A), {}, r"picture has shape \(1, 1, 4, 4\)"),
        ((P.expand(2, 4, 4), A), {}, r"picture has shape \(2, 4, 4\)"),
        ((P[:0], A), {}, "picture is empty"),
        ((P + 1, A), {}, "picture has values from 1.5 to 1.5; expected 0 to 1"),
        ((P * torch.nan, A), {}, "picture has values from nan"),
        ((P, A[None]), {}, r"attention\['attention'\] has shape \(1, 4, 4\).*of one picture and one head"),
        ((P, {"x": -A}), {}, r"attention\['x'\] has negative values, down to -0.25"),
        ((P, A / 0), {}, "infinite or no numbers"),
        ((P, {"x": A, "y": A[:, :1]}), {}, "differ in shape"),
        ((P, A[:3, :3]), {}, r"3 positions form no square: give grid=\(rows, columns\)"),
        ((P, A[:, :3]), {}, r"3 positions form no square: give keys="),
        ((P, A), {"grid": (2, 3)}, r"grid=\(2, 3\) has 6 positions; the maps are 4 × 4"),
        ((P, A), {"keys": (1, 3)}, r"keys=\(1, 3\) has 3 positions"),
        ((P, A.reshape(2, 2, 2, 2)), {"grid": (1, 4)}, "does not fit"),
        ((P, {"x": A.reshape(2, 2, 2, 2), "y": A.reshape(4, 1, 4, 1)}), {}, "does not fit"),
        ((P, A), {"position": (2, 0)}, r"position=\(2, 0\) is not on the grid; allowed: \(0, 0\) to \(1, 1\)"),
        ((P, {"x": torch.ones(256, 256), "y": torch.ones(256, 256)}), {}, "2 × 256 × 256 weights.*show fewer maps"),
    ],
)
def test_the_explorer_refuses(arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        maps.explore(*arguments, **options)


@pytest.mark.parametrize("arguments", [(P.numpy(), A), (P, A.tolist()), (P, {"x": 3})])
def test_the_explorer_refuses_what_is_no_tensor(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="expected a tensor, received"):
        maps.explore(*arguments)


def still(output: dict[str, str]) -> np.ndarray:
    """Return the picture that is shown where no script runs, in red, green and blue."""
    text = re.search(r'src="data:image/png;base64,([^"]+)"', output["text/html"])[1]
    return np.array(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")).astype(int)


def test_without_a_script_the_first_map_is_shown(shown: Shown) -> None:
    weights = torch.full((16, 16), 0.01)
    weights[:, 3] = 0.85  # the upper right cell
    maps.explore(torch.ones(8, 8), weights, position=(2, 1))
    pixels = still(shown())
    assert pixels.shape == (320, 320, 3)
    strength = 255 - pixels[..., 2]
    assert strength[40, 280] > 100 + strength[40, 120], "most colour where it looks most"
    framed = pixels[160:240, 80:160]
    assert abs(framed[0, 40] - np.array([0, 0x72, 0xB2])).max() < 16, "a blue frame around the position that looks"
    assert "Where the position at row 2, column 1 looks in attention: most at row 0, column 3" in shown()["text/html"]


CELLS = [["3", "", "5"], ["", "?", "7"]]


def test_what_the_cells_hold_is_carried(shown: Shown) -> None:
    maps.explore(torch.rand(4, 6), softmax(6, 6), grid=(2, 3), position=(1, 1))
    assert data(shown())["cells"] is None
    maps.explore(torch.rand(4, 6), softmax(6, 6), grid=(2, 3), position=(1, 1), cells=CELLS)
    assert data(shown())["cells"] == ["3", "", "5", "", "?", "7"]


@pytest.mark.parametrize(
    ("cells", "position", "message"),
    [
        (CELLS[:1], (0, 0), r"cells has 1 rows of \[3\] texts; the grid is 2 × 3"),
        ([["1", "2"], ["3"]], (0, 0), r"cells has 2 rows of \[1, 2\] texts"),
        (CELLS, (0, 1), r"cells is empty at \(0, 1\), where the explorer begins"),
    ],
)
def test_cells_that_do_not_fit_are_refused(cells: list, position: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        maps.explore(torch.rand(4, 6), softmax(6, 6), grid=(2, 3), position=position, cells=cells)


# --- the player


def test_pairs_stand_next_to_each_other(shown: Shown) -> None:
    frames = torch.arange(4.0)[None, :, None, None].expand(2, 4, 2, 2) / 255
    maps.animate(frames, captions=["a", "b"], labels=["x", "y", "x, seen", "y, seen"], pairs=True)
    carried = data(shown())
    assert carried["labels"] == ["x", "x, seen", "y", "y, seen"]
    assert carried["together"] == 2
    assert numbers(carried["frames"], 2, 4, 2, 2)[:, :, 0, 0].tolist() == [[0, 2, 1, 3]] * 2
    with pytest.raises(ValueError, match="3 pictures, an odd number"):
        maps.animate(frames[:, :3], captions=["a", "b"], pairs=True)


def test_without_a_script_the_first_frame_is_shown(shown: Shown) -> None:
    frames = torch.tensor([[0.0, 1.0], [1.0, 0.0]])[..., None, None].expand(2, 2, 4, 4)
    maps.animate(frames, captions=["step 0", "step 9"], labels=["x", "y"])
    pixels = still(shown())
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[0, -1].tolist() == [255, 255, 255]
    assert "The first frame, step 0: pictures of x, y." in shown()["text/html"]


@pytest.mark.parametrize("shape", [(3, 2, 4, 5), (3, 2, 3, 4, 5)])
def test_frames_are_carried_as_bytes(shown: Shown, shape: tuple[int, ...]) -> None:
    frames = torch.rand(shape)
    maps.animate(frames, captions=["a", "b", "c"], labels=["x", "y"])
    carried = data(shown())
    assert carried["shape"] == [3, 2, 3 if len(shape) == 5 else 1, 4, 5]
    assert (carried["captions"], carried["labels"]) == (["a", "b", "c"], ["x", "y"])
    np.testing.assert_allclose(numbers(carried["frames"], *shape) / 255, frames.numpy(), atol=0.5 / 255 + 1e-6)


F = torch.full((3, 2, 4, 4), 0.5)


@pytest.mark.parametrize(
    ("frames", "options", "message"),
    [
        (F[0], {}, r"frames has shape \(2, 4, 4\)"),
        (F[:, :, None], {}, r"frames has shape \(3, 2, 1, 4, 4\); expected \(t, n, h, w\) or \(t, n, 3, h, w\)"),
        (F[:1], {"captions": "a"}, "one frame only"),
        (F, {"captions": "ab"}, "captions has 2 for 3 frames"),
        (F, {"labels": "xyz"}, "labels has 3 names for 2 pictures"),
        (F - 1, {}, "frames has values from -0.5 to -0.5"),
        (F[:, :0], {}, "frames is empty"),
        (torch.zeros(3, 4, 100, 100), {}, "would carry 160,.*allowed: 150,000.*3 frames of 4 pictures.*fewer frames"),
    ],
)
def test_the_player_refuses(frames: torch.Tensor, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        maps.animate(frames, **{"captions": "abc"} | options)


def test_the_player_refuses_what_is_no_tensor() -> None:
    with pytest.raises(TypeError, match="frames: expected a tensor, received list"):
        maps.animate([[0.5]], captions=["a"])


# --- both


def play(about: str = "") -> None:
    maps.animate(F, captions=["a", "b <i>", "c"], about=about)


def explore(about: str = "") -> None:
    maps.explore(P, A, about=about)


@pytest.mark.parametrize(("make", "plain"), [(explore, "[explorer]"), (play, "[player]")])
def test_the_output_is_the_same_every_time(shown: Shown, make: Callable[..., None], plain: str) -> None:
    make()
    first = shown()
    make()
    assert shown() == first
    assert first["text/plain"] == plain
    make("Another.")
    assert shown()["text/html"] != first["text/html"]
    assert shown()["text/plain"] == plain


@pytest.mark.parametrize("make", [explore, play])
def test_the_output_asks_for_nothing_and_names_are_escaped(shown: Shown, make: Callable[..., None]) -> None:
    make("Less < more & <b>bold</b>")
    text = shown()["text/html"]
    assert "Less &lt; more &amp; &lt;b&gt;bold&lt;/b&gt;" in text
    assert not re.search(r"https?://|url\(|@import|src=(?!.data:image/png;base64,)|href=", text)
    assert len(re.findall("<script", text)) == len(re.findall("</script>", text)) == 2
    (still,) = re.findall(r'<div class="attention-instead">\n(<img [^>]*>)\n<p>', text)
    assert re.search(r'width="\d+" height="\d+" alt="[^"]+"', still)


@pytest.mark.parametrize("make", [explore, play])
def test_a_script_shows_nothing(make: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    make()
    assert capsys.readouterr().out == ""


def test_scripts_cannot_end_their_element() -> None:
    folder = files("attention.lab.maps")
    for name in ("embedded.js", "explorer.js", "player.js"):
        assert not re.search(r"</?script|<!--", folder.joinpath(name).read_text(encoding="utf-8"))


def test_styles_reach_nothing_else() -> None:
    text = files("attention.lab.maps").joinpath("embedded.css").read_text(encoding="utf-8")
    plain = re.sub(r"/\*.*?\*/|@media[^{]*\{", "", text, flags=re.S)
    selectors = [each for group in re.findall(r"([^{}]+)\{", plain) for each in re.split(r",\s*\n", group.strip())]
    assert len(selectors) > 20
    assert [each for each in selectors if ".attention-figure" not in each] == []


def test_a_notebook_shows_it() -> None:
    code = """
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
shell = InteractiveShell.instance()
with capture_output() as captured:
    shell.run_cell("import torch; from attention.lab import maps; maps.explore(torch.rand(4, 4), torch.ones(4, 4) / 4)")
(output,) = captured.outputs
assert sorted(output.data) == ["text/html", "text/plain"], captured.stdout
assert output.data["text/plain"] == "[explorer]"
"""
    subprocess.run([sys.executable, "-c", code], check=True)
