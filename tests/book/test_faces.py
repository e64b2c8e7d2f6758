"""Each SVG has a face for light pages and one for dark ones, on which marks stand out and colours stay apart."""

import itertools
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from attention_book.faces import DARK_GROUND, dark, faces

from attention.lab import roles, style
from tests.lab.contrast import contrast
from tests.lab.test_style import _BLINDNESS, lab, linear

_SVG = "http://www.w3.org/2000/svg"
PICTURE = f"""<svg xmlns="{_SVG}" width="4" height="4" viewBox="0 0 4 4">
<g class="ground"><path d="M0 0h4v4z" style="fill:#ffffff"/></g>
<path d="M0 0h1" style="fill:none;stroke:#0072b2"/><path d="M0 0h2"/><rect fill="#fff" width="1" height="1"/>
<g clip-path="url(#abcdef)"><path d="M0 0h3" style="stroke:#1b1b1b"/></g>
<g class="kept"><path d="M0 0h4" style="fill:#fee391"/><path d="M0 0h5"/></g></svg>"""


def test_white_becomes_the_ground_of_dark_pages() -> None:
    assert dark("#ffffff") == DARK_GROUND == roles.DARK_FACE
    assert dark("#fff") == DARK_GROUND


@pytest.mark.parametrize("role", style.COLOURS)
def test_marks_stand_out_on_a_dark_page(role: str) -> None:
    least = 4.5 if role in ("ink", "muted", "plain", "block") else 3
    assert contrast(dark(style.COLOURS[role]), DARK_GROUND) >= least


@pytest.mark.parametrize("role", roles.COLOURS)
def test_drawings_have_the_colours_of_equations_nearly(role: str) -> None:
    """Colours of roles are given for both pages; what the rule makes of the light ones is close to the dark ones."""
    light, wanted = roles.COLOURS[role]
    assert np.linalg.norm(lab(linear(dark(light))) - lab(linear(wanted))) < 20
    assert contrast(dark(light), DARK_GROUND) >= 4.5


@pytest.mark.parametrize("blindness", _BLINDNESS)
def test_colours_stay_apart_on_a_dark_page(blindness: str) -> None:
    seen = {k: lab(_BLINDNESS[blindness] @ linear(dark(c))) for k, c in style.COLOURS.items() if k != "muted"}
    near = {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in itertools.combinations(seen, 2)}
    closest = min(near, key=near.get)
    assert near[closest] > 9, f"{closest} differ by {near[closest]:.1f}"


def test_greys_are_turned_round_and_hues_stay() -> None:
    greys = [lab(linear(dark(f"#{level:02x}{level:02x}{level:02x}")))[0] for level in range(27, 256, 4)]
    assert np.all(np.diff(greys) < 0), "from the ink on"
    for colour in style.COLOURS.values():
        before, after = (mpl.colors.rgb_to_hsv(mpl.colors.to_rgb(each)) for each in (colour, dark(colour)))
        if before[1] > 0.3:
            assert min(abs(before[0] - after[0]), 1 - abs(before[0] - after[0])) < 0.06, colour


def painted(svg: str) -> dict[str, str | None]:
    """Return what colours each path is drawn with, by its last number."""
    root = ElementTree.fromstring(svg)
    found = {path.get("d", "")[-1]: path.get("style") for path in root.iter(f"{{{_SVG}}}path")}
    return found | {"rect": root.find(f"{{{_SVG}}}rect").get("fill"), "root": root.get("fill")}


def test_a_picture_gets_two_faces() -> None:
    light, other = map(painted, faces(PICTURE))
    assert light == {
        "1": "fill:none;stroke:#0072b2",
        "2": None,
        "3": "stroke:#1b1b1b",
        "4": "fill:#fee391",
        "5": None,
        "rect": "#fff",
        "root": None,
    }, "the light one is as it was, without its ground"
    assert other["1"] == f"fill:none;stroke:{dark('#0072b2')}"
    assert other["3"] == f"stroke:{dark('#1b1b1b')}"
    assert (other["rect"], other["root"]) == (DARK_GROUND, dark("#000000"))
    assert other["4"] == "fill:#fee391", "data keep their colours"
    assert 'class="kept" fill="#000000"' in faces(PICTURE)[1], "also those that are not named"
    assert "url(#abcdef)" in faces(PICTURE)[1], "a name is no colour"


def test_faces_are_the_same_bytes_twice() -> None:
    assert faces(PICTURE) == faces(PICTURE)
    light, _ = faces(PICTURE)
    assert faces(light)[0] == light
