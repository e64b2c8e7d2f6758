"""Figures as files: small, the same bytes every time, and marked where they keep their colours."""

import base64
import io
import re
import zlib
from collections.abc import Callable
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from attention.lab import style, vector


@pytest.fixture(autouse=True)
def _closed():
    with mpl.rc_context():
        yield
    plt.close("all")


def curve() -> Figure:
    fig, ax = style.figure()
    ax.plot([0, 1 / 3, 2], [0, 1, 4], "o-", label="a curve")
    ax.legend()
    return fig


def picture() -> Figure:
    """A photograph's worth of colours, cells of a map, and marks on both."""
    fig, (left, right) = style.figure(1, 2)
    left.imshow(np.random.default_rng(0).random((200, 200, 3)), interpolation="antialiased")
    right.imshow(np.arange(16.0).reshape(4, 4))
    right.plot([1, 2], [1, 2], color="white")
    right.text(1.5, 1.5, "on", color=style.COLOURS["ink"])
    right.set_title("above")
    return fig


def drawn(make: Callable[[], Figure], **options: object) -> str:
    fig = make()
    vector.freeze(fig)
    return vector.svg(fig, **options)


def marked(text: str, name: str) -> list[str]:
    """Return the elements of a class, as text."""
    return [
        ElementTree.tostring(each, "unicode")
        for each in ElementTree.fromstring(text).iter()
        if each.get("class") == name
    ]


@pytest.mark.parametrize("make", [curve, picture])
def test_a_figure_has_the_same_bytes_twice(make: Callable[[], Figure]) -> None:
    assert drawn(make) == drawn(make)
    files = []
    for _ in range(2):
        fig = make()
        vector.freeze(fig)
        files.append(vector.png(fig, 64))
    assert files[0] == files[1]


@pytest.mark.parametrize("make", [curve, picture])
def test_a_file_names_no_date_and_no_program(make: Callable[[], Figure]) -> None:
    fig = make()
    vector.freeze(fig)
    assert not Image.open(io.BytesIO(vector.png(fig, 64))).info.keys() & {"Software", "Creation Time", "Title"}
    text = drawn(make)
    assert "metadata" not in text
    assert not re.search(r"20\d\d-\d\d|[Mm]atplotlib", text)


def test_what_a_file_says_of_itself_stays() -> None:
    assert "a name of the source" in drawn(curve, about={"Source": "a name of the source"})


def test_its_size_is_stated_in_pixels_of_the_page() -> None:
    root = ElementTree.fromstring(drawn(curve))
    assert (root.get("width"), root.get("height")) == ("560", "320")


def test_every_name_is_referred_to_and_every_reference_has_one() -> None:
    for make in (curve, picture):
        text = drawn(make)
        names = re.findall(r'\bid="([^"]+)"', text)
        assert len(names) == len(set(names))
        assert set(names) == set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))


def test_digits_that_nobody_sees_are_left_out() -> None:
    text = re.sub(r"(?:scale|matrix)\([^)]*\)|data:[^\"]*", "", drawn(curve))
    assert re.findall(r"\d\.\d{3,}", text) == []
    assert "-0 " not in text


def test_a_drawing_stays_one_where_pixels_spare_little() -> None:
    def lines(count: int) -> Figure:
        fig, ax = style.figure()
        rng = np.random.default_rng(0)
        for _ in range(count):
            ax.plot(rng.random(400).cumsum(), rng.random(400), lw=0.5)
        return fig

    heavier = []
    for count, kind in ((40, "image/svg+xml"), (60, "image/png")):
        fig, other = lines(count), lines(count)
        vector.freeze(fig)
        assert list(vector.smallest(fig, 64)) == [kind]
        vector.freeze(other)
        drawn_size = len(zlib.compress(vector.svg(other).encode(), 9))
        heavier.append(drawn_size - len(vector.png(other, 64)))
    assert 0 < heavier[0] < 20_000 < heavier[1], "both drawings weigh more than their pixels, one of them much more"


def test_cells_are_stored_as_they_are_and_photographs_as_jpeg() -> None:
    kinds = dict(re.findall(r"data:image/(\w+);base64,([^\"]*)", drawn(picture)))
    assert set(kinds) == {"png", "jpeg"}
    cells = Image.open(io.BytesIO(base64.b64decode(kinds["png"])))
    assert cells.size == (4, 4)
    assert "pixelated" in drawn(picture)


def test_marks_on_a_picture_keep_their_colours() -> None:
    kept = marked(drawn(picture), vector.KEPT)
    assert len(kept) == 2, "the line and the word, and not the title"
    assert "#ffffff" in kept[0]


def test_cells_in_the_colours_of_data_keep_them_with_what_is_on_them() -> None:
    fig, ax = style.figure()
    ax.add_patch(plt.Rectangle((0, 0), 0.5, 1, facecolor=mpl.colormaps[style.HEAT](0.9)))
    ax.add_patch(plt.Rectangle((0.5, 0), 0.5, 1, facecolor=style.COLOURS["block"]))
    ax.text(0.25, 0.5, "on", ha="center")
    ax.text(0.75, 0.5, "off", ha="center")
    vector.freeze(fig)
    kept = marked(vector.svg(fig), vector.KEPT)
    assert len(kept) == 2
    assert "use" in kept[1]
    assert style.COLOURS["block"] not in "".join(kept)


def test_the_white_face_is_marked() -> None:
    assert len(marked(drawn(curve), vector.GROUND)) == 2, "that of the figure, and that of the axes"
    fig, ax = style.figure()
    ax.set_facecolor("#eeeeee")
    vector.freeze(fig)
    assert len(marked(vector.svg(fig), vector.GROUND)) == 1
