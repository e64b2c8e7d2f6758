"""Figures have one look, and no figure is shown that a reader cannot read."""

import itertools
import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from attention.lab import session, style


@pytest.fixture(autouse=True)
def _default_look():
    style.restart()
    with mpl.rc_context():
        yield
    plt.close("all")
    style.restart()


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict, dict]]:
    """What a notebook was given: the data and the metadata of each figure."""
    seen: list[tuple[dict, dict]] = []
    monkeypatch.setattr(style, "get_ipython", lambda: object())
    monkeypatch.setattr(style, "display", lambda data, raw, metadata: seen.append((data, metadata)))
    return seen


def drawn(width: float = 5.6, **options: object):
    fig, ax = style.figure(width=width, **options)
    ax.plot([0, 1, 2], [0, 1, 4])
    ax.set(xlabel="steps", ylabel="loss", title="A curve")
    return fig


def test_importing_changes_no_setting() -> None:
    code = """
import matplotlib as mpl
before = dict(mpl.rcParams)
import attention.lab.style
assert dict(mpl.rcParams) == before
"""
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], check=True)


def test_apply_sets_the_look() -> None:
    mpl.rcParams["figure.facecolor"] = "black"
    style.apply()
    assert mpl.rcParams["figure.facecolor"] == mpl.rcParams["axes.facecolor"] == "white"
    assert mpl.rcParams["image.cmap"] == style.HEAT
    assert mpl.rcParams["axes.prop_cycle"].by_key()["color"][0] == style.COLOURS["block"]


def test_figure_makes_axes_of_a_size() -> None:
    fig, axes = style.figure(2, 3, width=6.0, height=4.0)
    assert axes.shape == (2, 3)
    assert fig.get_size_inches().tolist() == [6.0, 4.0]
    assert fig.get_facecolor() == (1, 1, 1, 1)


def test_show_gives_a_small_picture_with_its_alt_text(displayed: list) -> None:
    fig = drawn()
    style.show(fig, "A curve that rises.")
    ((data, about),) = displayed
    assert data["text/plain"] == "[figure]"
    assert about == {"image/svg+xml": {"alt": "A curve that rises.", "width": 560}}
    assert data["image/svg+xml"].startswith("<svg ")
    assert len(data["image/svg+xml"]) < 30_000
    assert not plt.fignum_exists(fig.number)


def test_show_marks_figures_that_scroll(displayed: list) -> None:
    style.show(drawn(width=14), "wide", scroll=True)
    assert displayed[0][1]["image/svg+xml"] == {"alt": "wide", "width": 1400, "scroll": True}


def test_show_gives_a_form_for_phones_beside_it(displayed: list) -> None:
    style.show(drawn(width=5.6), "wide", narrow=drawn(width=3.5))
    narrow = displayed[0][1]["image/svg+xml"]["narrow"]
    assert narrow["width"] == 350
    assert 'width="350"' in narrow["svg"].partition(">")[0]


def test_show_in_a_script_draws_checks_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "get_ipython", lambda: None)
    monkeypatch.setattr(style, "display", lambda *a, **k: pytest.fail("nothing to display in"))
    fig = drawn()
    style.show(fig, "A curve.", caption="It rises.")
    assert not plt.fignum_exists(fig.number)


def said(displayed: list[tuple[dict, dict]]) -> list[str]:
    """Return the captions, each of which is marked as one."""
    found = [(data, about) for data, about in displayed if "text/markdown" in data]
    assert all(about == {"text/markdown": {"caption": True}} for _, about in found)
    assert all(data["text/plain"] == data["text/markdown"].replace("*", "") for data, _ in found)
    return [data["text/markdown"] for data, _ in found]


def test_a_caption_stands_below_its_figure_with_a_number(displayed: list) -> None:
    style.show(drawn(), "A curve.", caption="It rises.")
    style.show(drawn(), "A curve.")
    style.show(drawn(), "A curve.", caption="It rises\n  again.")
    kinds = [min(data) for data, _ in displayed]
    assert kinds == ["image/svg+xml", "text/markdown", "image/svg+xml", "image/svg+xml", "text/markdown"]
    assert said(displayed) == ["**Figure 1.** It rises.", "**Figure 2.** It rises again."]


def test_a_cell_that_is_run_again_keeps_its_number(displayed: list) -> None:
    for caption in ("One.", "Two.", "One.", "Three."):
        style.show(drawn(), "A curve.", caption=caption)
    assert [words[9:11] for words in said(displayed)] == ["1.", "2.", "1.", "3."]


def test_a_chapter_begins_with_figure_1(displayed: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTENTION_BUDGET", "smoke")
    style.show(drawn(), "A curve.", caption="Of another chapter.")
    session.setup("se")
    style.show(drawn(), "A curve.", caption="Of this one.")
    assert said(displayed)[-1] == "**Figure 1.** Of this one."


def test_a_function_without_a_parameter_for_it_gets_a_caption_around_it(displayed: list) -> None:
    with style.captioned("It rises."):
        style.show(drawn(), "A curve.")
    assert [min(data) for data, _ in displayed] == ["image/svg+xml", "text/markdown"]
    assert said(displayed) == ["**Figure 1.** It rises."]


def test_a_figure_that_fails_gets_no_caption_and_no_number(displayed: list) -> None:
    with pytest.raises(ValueError, match="alt is empty"), style.captioned("It rises."):
        style.show(drawn(), "")
    with pytest.raises(ValueError, match="alt is empty"):
        style.show(drawn(), "", caption="It rises.")
    style.show(drawn(), "A curve.", caption="It falls.")
    assert said(displayed) == ["**Figure 1.** It falls."]


@pytest.mark.parametrize("caption", ["", " \n"])
def test_a_caption_around_a_call_says_something(displayed: list, caption: str) -> None:
    with pytest.raises(ValueError, match="caption is empty"), style.captioned(caption):
        pytest.fail("it was let in")
    style.show(drawn(), "A curve.", caption=caption)
    assert said(displayed) == []


@pytest.mark.parametrize("alt", ["", "  \n"])
def test_show_refuses_a_figure_without_alt_text(alt: str) -> None:
    with pytest.raises(ValueError, match="alt is empty"):
        style.show(drawn(), alt)


def smallest_points(width: float) -> float:
    """The font size that reaches a phone's reader at exactly the smallest height."""
    return style.SMALLEST * 72 / 100 * max(1.0, width * 100 / style.PHONE)


@pytest.mark.parametrize("width", [3.0, 5.6, 6.9])
def test_show_refuses_text_too_small_for_a_phone(width: float) -> None:
    for factor, fine in ((1.01, True), (0.99, False)):
        fig, ax = style.figure(width=width)
        ax.axis("off")
        ax.text(0.5, 0.5, "small", fontsize=factor * smallest_points(width))
        if fine:
            style.show(fig, "text")
        else:
            with pytest.raises(ValueError, match=r"'small' is 7\.9 px high on a phone; at least 8"):
                style.show(fig, "text")


def test_a_wide_figure_scrolls_and_keeps_its_text_readable() -> None:
    fig = drawn(width=14)
    with pytest.raises(ValueError, match="px high on a phone"):
        style.show(fig, "wide")
    style.show(fig, "wide", scroll=True)
    fig, ax = style.figure(width=14)
    ax.text(0.5, 0.5, "tiny", fontsize=5)
    with pytest.raises(ValueError, match=r"'tiny' is 6\.9 px"):
        style.show(fig, "wide", scroll=True)


@pytest.mark.parametrize(("x", "y"), [(-0.5, 0.5), (0.99, 0.5), (0.5, 1.2), (0.5, -0.5)])
def test_show_refuses_text_that_is_cut_off(x: float, y: float) -> None:
    fig, ax = style.figure()
    ax.set_position([0.1, 0.1, 0.8, 0.8])
    fig.set_layout_engine("none")
    ax.text(x, y, "a long label that does not fit", transform=fig.transFigure)
    with pytest.raises(ValueError, match="'a long label that does not fit' is cut off"):
        style.show(fig, "text")


def test_small_tick_labels_are_refused_too() -> None:
    fig = drawn()
    fig.axes[0].tick_params(labelsize=6)
    with pytest.raises(ValueError, match="px high on a phone"):
        style.show(fig, "ticks")


def test_only_text_that_is_drawn_counts() -> None:
    """Ticks beyond the limits and axes that are off have labels that nobody sees."""
    fig = drawn()
    fig.axes[0].set_xlim(0.3, 1.9)
    fig.axes[0].set_ylim(0.1, 0.9)
    style.show(fig, "a part of the curve")
    fig, ax = style.figure()
    ax.set_yticks([0.0, 0.5, 1.0, 40.0], ["0", "half", "1", "far beyond the axis, and never drawn " * 3])
    ax.set_ylim(0, 1)
    style.show(fig, "ticks")
    fig, ax = style.figure()
    ax.tick_params(labelsize=2)
    ax.axis("off")
    style.show(fig, "nothing")


def test_a_tick_label_at_the_end_of_its_axis_counts() -> None:
    fig, ax = style.figure()
    ax.set_position([0.1, 0.1, 0.895, 0.8])
    fig.set_layout_engine("none")
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 1], ["0", "a label wider than the margin"])
    with pytest.raises(ValueError, match="is cut off"):
        style.show(fig, "ticks")


# Colours.

#: Full protanopia and deuteranopia in linear RGB: Machado, Oliveira and Fernandes, IEEE TVCG 15(6), 2009, severity 1.
_BLINDNESS = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> np.ndarray:
    rgb = np.array(mpl.colors.to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear RGB, white D65."""
    x, y, z = np.cbrt(_XYZ @ rgb.clip(0, 1) / _XYZ.sum(axis=1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("blindness", _BLINDNESS)
def test_colours_can_be_told_apart_by_colour_blind_readers(blindness: str) -> None:
    colours = {k: lab(_BLINDNESS[blindness] @ linear(c)) for k, c in style.COLOURS.items() if k != "muted"}
    near = {(a, b): float(np.linalg.norm(colours[a] - colours[b])) for a, b in itertools.combinations(colours, 2)}
    closest = min(near, key=near.get)
    assert near[closest] > 9, f"{closest} differ by {near[closest]:.1f}"


def contrast(colour: str) -> float:
    """Contrast with white, as WCAG 2 defines it."""
    return 1.05 / (float(_XYZ[1] @ linear(colour)) + 0.05)


@pytest.mark.parametrize(("role", "least"), [("ink", 7.0), ("muted", 4.5), ("plain", 4.5), ("block", 4.5)])
def test_colours_of_text_and_main_lines_stand_out_from_white(role: str, least: float) -> None:
    assert contrast(style.COLOURS[role]) >= least


@pytest.mark.parametrize("role", style.COLOURS)
def test_every_mark_stands_out_from_white(role: str) -> None:
    """WCAG 2, 1.4.11: 3:1 for what a graphic is understood by."""
    assert contrast(style.COLOURS[role]) >= 3


def test_the_heat_map_darkens_steadily() -> None:
    """More attention is darker at every step, so that it reads the same in grey."""
    lightness = [lab(linear(c))[0] for c in mpl.colormaps[style.HEAT](np.linspace(0, 1, 64))]
    assert np.all(np.diff(lightness) < 0)
    assert lightness[0] - lightness[-1] > 60
