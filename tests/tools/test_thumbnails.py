"""The small pictures of the cards: small, with no colour of their own, and computed."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from attention import pictures
from tools.chapters import ROOT
from tools.writing import sync, thumbnails
from tools.writing.pages import THUMBNAILS

DRAWN = sorted((ROOT / THUMBNAILS).glob("*.svg"))
CLASSES = {"paper", "line", "feature", "map", "negative", "dot-map", "thumbnail"}


def test_every_card_that_can_have_a_picture_has_one() -> None:
    assert sorted(path.stem for path in DRAWN) == sorted(sync.carded())


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.stem)
def test_a_thumbnail_is_small_and_takes_its_colours_from_the_page(path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) <= thumbnails.LARGEST
    root = ElementTree.fromstring(text)
    found = {part.get("class") for part in root.iter() if part.get("class")}
    assert found <= CLASSES
    assert "feature" in found
    assert {"map", "dot-map"} & found, "the weights are shown"
    assert not re.search("fill=|stroke=|style=|<text", text)
    assert root.get("aria-hidden") == "true", "the card says it in words"
    assert float(root.get("width")) <= 320, "as wide as a card on a phone"


def test_its_shades_are_the_numbers_of_the_run() -> None:
    picture = pictures.make("se")
    program = next(iter(picture.programs.values()))
    values = program.compute(*next(iter(picture.presets.values())))
    (gates,) = [values[value] for value in program.maps.values()]
    levels = {round(thumbnails._LEVELS * gate) / thumbnails._LEVELS for gate in gates.flatten().tolist()} - {0}
    shown = re.findall(r'class="map" stroke-opacity="([\d.]+)"', thumbnails.thumbnail(picture))
    assert {float(level) for level in shown} == levels


def test_one_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "LARGEST", 100)
    with pytest.raises(ValueError, match="characters; allowed: 100"):
        thumbnails.thumbnail(pictures.make("idea_gate"))
