"""The colours of live pictures are those of drawings and equations, and can be read on the page's faces."""

import re

import pytest

from attention.lab.live import style
from attention.lab.roles import COLOURS
from tests.lab.contrast import contrast

LIGHT, DARK = ("#ffffff",), ("#121212", "#14181e")


def blocks() -> list[dict[str, str]]:
    """Return the colours that each block of the style sheet sets, in its order: light, then dark."""
    found = [dict(re.findall(r"--al-([a-z]+): (#[0-9a-f]{6})", block)) for block in re.findall(r"\{[^{}]*\}", style())]
    return [each for each in found if len(each) > 1]


def test_the_roles_have_their_colours() -> None:
    light, *dark = blocks()
    assert len(dark) == 2, "where the page says dark, and where the system does"
    for role, (on_light, on_dark) in COLOURS.items():
        assert light[role] == on_light
        assert {each[role] for each in dark} == {on_dark}


@pytest.mark.parametrize("name", [*COLOURS, "ink", "soft", "hot"])
def test_text_can_be_read_on_both_faces(name: str) -> None:
    light, *dark = blocks()
    for face in LIGHT:
        assert contrast(light[name], face) >= 4.5
    for each in dark:
        for face in DARK:
            assert contrast(each[name], face) >= 4.5


def test_numbers_below_zero_can_be_seen() -> None:
    light, *dark = blocks()
    assert contrast(light["negative"], LIGHT[0]) >= 3
    assert all(contrast(each["negative"], face) >= 3 for each in dark for face in DARK)
