"""The colours of roles: they can be read, the page maps those of equations, and every block's steps have one."""

import re
import subprocess
import sys

import pytest
import torch
from torch import nn

import attention
from attention.contract import Attention, Map, Step
from attention.lab import roles
from attention.lab.shapes.painter import PILL, ZONE
from tests.lab.contrast import channels, contrast
from tools.chapters import ROOT

CSS = (ROOT / "book" / "_static" / "book.css").read_text(encoding="utf-8")


def test_the_measure_of_contrast_is_that_of_the_guidelines() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)  # the lightest grey that passes


@pytest.mark.parametrize("role", ["feature", "map"])
def test_small_pictures_of_the_pages_have_the_same_colours(role: str) -> None:
    assert re.findall(rf"--role-{role}: (#\w+);", CSS) == list(roles.COLOURS[role])


@pytest.mark.parametrize("role", roles.COLOURS)
def test_every_colour_can_be_read_on_both_faces(role: str) -> None:
    light, dark = roles.COLOURS[role]
    for face in (roles.LIGHT_FACE, ZONE, PILL):  # a drawing's zones are a little darker than the page
        assert contrast(light, face) >= 4.5, face
    assert contrast(dark, roles.DARK_FACE) >= 4.5


def test_there_are_at_most_four_colours_all_different() -> None:
    found = [colour for pair in roles.COLOURS.values() for colour in pair]
    assert len(roles.COLOURS) <= 4
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("role", roles.COLOURS)
def test_the_page_maps_each_colour_of_an_equation_to_that_of_a_dark_page(role: str) -> None:
    """MathJax writes a colour of TeX as ``style="color: rgb(…)"``."""
    light, dark = roles.COLOURS[role]
    written = f"color: rgb({', '.join(map(str, channels(light)))})"
    rule = (
        f'html[data-theme="dark"] mjx-container [style*="{written}"] {{\n  color: {dark} !important; /* {role} */\n}}'
    )
    assert CSS.count(rule) == 1


def test_the_page_has_the_dark_face_that_colours_are_held_to() -> None:
    theme = pytest.importorskip("pydata_sphinx_theme")
    sheets = ROOT.joinpath(theme.__path__[0]).glob("theme/pydata_sphinx_theme/static/styles/*.css")
    assert f"--pst-color-background:{roles.DARK_FACE}" in "".join(sheet.read_text("utf-8") for sheet in sheets)


def test_a_symbol_in_an_equation_has_its_colour() -> None:
    assert roles.tex("map", r"\tilde s_c") == rf"\textcolor{{{roles.COLOURS['map'][0]}}}{{\tilde s_c}}"
    with pytest.raises(ValueError, match="role='gate' is not one of feature, statistic, hidden, map"):
        roles.tex("gate", "s")


def test_the_palette_needs_no_torch() -> None:
    code = "import sys, attention.lab.roles as r; assert 'torch' not in sys.modules; print(r.tex('map', 's'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == roles.tex("map", "s")


class Two(Attention):
    """A step of each role, a map in another order than its step, and a step that only looks like features."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = {"space": Map("b 1 h w")}
        self.steps = {
            name: Step(dims, "zone", "about")
            for name, dims in {"z": "b c", "A": "b (w h)", "U": "b m c h w", "y": "b c h w"}.items()
        }

    def attend(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        self.step("z", x.mean((2, 3)))
        gate = x.mean(1, keepdim=True).sigmoid()
        self.step("A", gate.mT.flatten(1))
        self.step("U", torch.stack([x, x * gate], 1))
        return self.step("y", x * gate), {"space": gate}


def test_roles_follow_from_a_run() -> None:
    found = roles.of(Two(), torch.randn(2, 3, 4, 5))
    assert found == {"z": "statistic", "A": "map", "U": "feature", "y": "feature"}
    assert roles.of(attention.create("se", 8, reduction=2), torch.randn(1, 8, 3, 4)) == {
        "z": "statistic",
        "s": "map",
        "y": "feature",
    }


def test_roles_leave_a_block_as_it_was() -> None:
    block = Two()
    block.norm = nn.BatchNorm2d(3)
    before = torch.get_rng_state()
    roles.of(block.train(), torch.ones(2, 3, 4, 5))
    assert block.norm.num_batches_tracked == 0
    assert torch.equal(torch.get_rng_state(), before)
