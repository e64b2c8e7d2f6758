"""A live picture as it is written: the static one, a cell's output, a file of its own; the pictures of the package."""

import json
import re
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from attention import pictures
from attention.lab import live
from attention.lab.live import Picture, page, picture
from tests.lab.live_modules import Classifier, drawn, image, made, se


@pytest.fixture(scope="module", name="se")
def picture_of_se() -> Picture:
    return se()


# --- the static picture


def test_the_static_picture_is_drawn_from_the_first_input(se: Picture) -> None:
    svg = ElementTree.fromstring(live.markup(se).partition("\n")[2].partition("<script")[0])
    assert svg.get("role") == "img"
    label = svg.get("aria-label")
    assert label.startswith("A <block> & its gates, computed for the input “bright”.")
    for each in se.steps:
        assert each.about in label
    texts = ["".join(each.itertext()) for each in svg.iter() if each.tag.endswith("text")]
    for zone in ("input", "squeeze", "excite", "scale"):
        assert zone in texts
    values = se.programs["SE"].compute(*se.presets["bright"])
    for name in ("z", "s"):
        for number in values[drawn(se)[name].value].flatten().tolist():
            assert f"{number:.2f}" in texts, name
    # Each channel of the input is one colour: half of the scale.
    squares = [
        each for each in svg.iter() if each.get("class") == "al-fill-feature" and each.get("fill-opacity") == "0.5"
    ]
    assert squares


def test_the_static_picture_lies_within_its_frame(se: Picture) -> None:
    svg = ElementTree.fromstring(live.markup(se).partition("\n")[2].partition("<script")[0])
    width, height = float(svg.get("width")), float(svg.get("height"))
    assert width <= 690

    def inside(node: Any, x: float, y: float) -> None:
        moved = re.fullmatch(r"translate\((-?[\d.]+) (-?[\d.]+)\)", node.get("transform", "translate(0 0)"))
        x, y = x + float(moved[1]), y + float(moved[2])
        for path in re.findall(r"M(-?[\d.]+) (-?[\d.]+)", node.get("d", "")):
            assert 0 <= x + float(path[0]) <= width
            assert 0 <= y + float(path[1]) <= height
        for each in node:
            inside(each, x, y)

    inside(svg, 0, 0)


# --- the page


def test_markup_cannot_be_ended_by_what_it_holds() -> None:
    shown = picture(made(), {"</script><b>": image()}, title='"</script>', about="</script><!--", name="<i>")
    text = live.markup(shown)
    assert text.count("</script>") == 1
    assert "<!--" not in text
    data = json.loads(text.partition('<script type="application/json">')[2].partition("</script>")[0])
    assert data["presets"][0]["name"] == "</script><b>"
    assert data["title"] == '"</script>'


def test_a_file_needs_nothing_else(se: Picture, tmp_path: Path) -> None:
    path = tmp_path / "se.html"
    path.write_text("before")
    assert live.save(path, se) == path
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\"'\s]+", text) == ["http://www.w3.org/2000/svg"], "no address, but SVG's own name"
    assert not re.search(r"\b(src|href)=|@import|url\(", text)
    assert text.startswith("<!doctype html>")
    assert "<title>A &lt;block&gt; &amp; its gates</title>" in text
    assert live.script() in text
    assert live.style() in text
    assert list(tmp_path.iterdir()) == [path]
    assert len(text) < page.LIMIT


def test_a_module_can_be_saved_at_once(tmp_path: Path) -> None:
    path = live.save(str(tmp_path / "own.html"), Classifier().double(), image(2, 4), title="Mine")
    assert "<title>Mine</title>" in path.read_text(encoding="utf-8")
    assert isinstance(path, Path)


def test_what_cannot_be_saved_is_said(se: Picture, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inputs is missing"):
        live.save(tmp_path / "a.html", made())
    with pytest.raises(ValueError, match="the picture is made already"):
        live.save(tmp_path / "a.html", se, image())
    with pytest.raises(ValueError, match="the picture is made already"):
        live.save(tmp_path / "a.html", se, title="Other")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_is_too_large_for_a_page_is_refused(se: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(live.markup(se)) + len(live.script()) + len(live.style())
    monkeypatch.setattr(page, "LIMIT", size)
    live.markup(se)
    monkeypatch.setattr(page, "LIMIT", size - 1)
    with pytest.raises(ValueError, match=rf"would have {size:,} characters; allowed: {size - 1:,}"):
        live.markup(se)


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What a notebook shows."""
    seen: list[dict[str, str]] = []
    monkeypatch.setattr(page, "get_ipython", lambda: object())
    monkeypatch.setattr(page, "display", lambda data, raw: seen.append(data))
    monkeypatch.delenv(page.WITHOUT_SCRIPT, raising=False)
    return seen


def test_a_cell_shows_it(se: Picture, cell: list[dict[str, str]]) -> None:
    live.show(se)
    (shown,) = cell
    assert shown["text/plain"] == "[live picture]"
    assert live.markup(se) in shown["text/html"]
    assert live.script() in shown["text/html"]
    assert live.style() in shown["text/html"]


def test_a_committed_output_holds_no_script(
    se: Picture, cell: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(page.WITHOUT_SCRIPT, "1")
    live.show(se)
    assert cell[0]["text/html"] == live.markup(se)


def test_outside_a_notebook_it_only_checks(se: Picture, capsys: pytest.CaptureFixture[str]) -> None:
    live.show(se)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ValueError, match="one sample"):
        live.show(made(), torch.rand(2, 4, 6, 6))


def test_the_parts_of_the_script_stand_in_their_order() -> None:
    script = live.script()
    parts = sorted(files("attention.lab.live").joinpath("script").iterdir(), key=lambda part: part.name)
    places = [script.index(part.read_text(encoding="utf-8").strip()) for part in parts]
    assert len(places) > 1
    assert all(one < other for one, other in pairwise(places))
    assert "http" not in script


# --- the pictures of the package


def test_a_picture_that_does_not_exist_is_named() -> None:
    assert "se" in pictures.names()
    assert not {"making", "__init__"} & set(pictures.names())
    with pytest.raises(ValueError, match=r"name='nobody' has no picture; there are .*\bse\b"):
        pictures.make("nobody")
    with pytest.raises(ValueError, match="name='making' has no picture"):
        pictures.make("making")


def test_a_picture_of_the_package_is_made_anew_each_time() -> None:
    one, other = pictures.make("se"), pictures.make("se")
    assert one is not other
    assert one.data() == other.data()
