"""The explorer and the player as Colab shows them: a cell's output alone, in a frame that may run scripts, no more."""

import html
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.colab.running import Run

#: Colab shows the output of a cell in a frame of its own, from another site.
PAGE = '<!doctype html><html lang="en"><title>A notebook</title><iframe sandbox="allow-scripts" srcdoc="{}"></iframe>'
FRAME = '<!doctype html><html lang="en"><title>Output</title><body style="margin: 8px">{}</body></html>'


def outputs(run: Run, kind: str) -> list[str]:
    """Return the HTML of all explorers, or players, that cells show."""
    found = [output.data for cell in run.code for output in cell.outputs if "data" in output]
    return [data["text/html"] for data in found if data.get("text/plain") == f"[{kind}]"]


def colours(canvas: Any) -> list[tuple[int, ...]]:
    """Return red, green, blue and opacity of every pixel."""
    values = canvas.evaluate("node => [...node.getContext('2d').getImageData(0, 0, node.width, node.height).data]")
    return list(zip(*[iter(values)] * 4, strict=True))


@pytest.fixture
def noise() -> list[str]:
    """Return what went wrong in a frame, as it comes."""
    return []


@pytest.fixture
def show(browser: Any, noise: list[str]) -> Iterator[Callable[[str], Any]]:
    """Return a function that shows an output in a frame; nothing may be fetched, and no script may fail."""
    page = browser.new_page(viewport={"width": 900, "height": 900})
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("console", lambda message: noise.append(message.text) if message.type == "error" else None)
    page.route("**/*", lambda route: (noise.append(route.request.url), route.abort()))

    def frame(output: str) -> Any:
        page.set_content(PAGE.format(html.escape(FRAME.format(output))))
        page.add_style_tag(content="iframe { width: 880px; height: 880px }")
        return page.frame_locator("iframe")

    yield frame
    page.close()
    assert noise == []


def test_every_explorer_reacts(ran: Callable[..., Run], show: Callable[[str], Any]) -> None:
    found = outputs(ran("non_local"), "explorer")
    assert found
    for output in found:
        frame = show(output)
        stage, status = frame.locator(".attention-stage"), frame.get_by_role("status")
        begun = status.inner_text()
        assert begun.startswith("Row ")
        assert not frame.locator(".attention-instead").is_visible()
        box = stage.bounding_box()
        seen = {begun}
        for across, down in ((0.1, 0.1), (0.9, 0.4), (0.4, 0.9)):
            stage.hover(position={"x": across * box["width"], "y": down * box["height"]})
            seen.add(status.inner_text())
        assert len(seen) >= 3, "the mouse moves it"
        stage.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
        assert ", pinned" in status.inner_text()
        stage.press("Escape")
        stage.press("Control+Home")
        assert status.inner_text().startswith("Row 0, column 0")
        stage.press("ArrowRight")
        assert status.inner_text().startswith("Row 0, column 1")
        assert len(set(colours(stage.locator("canvas").first))) > 1, "a picture lies below"
        overlay = stage.locator("canvas").nth(1)
        before = colours(overlay)
        stage.press("Control+End")
        assert colours(overlay) != before, "other weights are shown"


def test_every_player_plays(ran: Callable[..., Run], show: Callable[[str], Any]) -> None:
    found = outputs(ran("stn"), "player")
    assert found
    for output in found:
        frame = show(output)
        status, slider = frame.get_by_role("status"), frame.get_by_role("slider", name="Frame")
        first = status.inner_text()
        assert "(frame 1 of " in first, "it opens on its first frame"
        slider.press("End")
        last = status.inner_text()
        slider.press("Home")
        assert status.inner_text() == first
        slider.press("ArrowRight")
        assert "(frame 2 of " in status.inner_text()
        frame.get_by_role("button", name="Play").click()
        frame.get_by_role("button", name="Play").wait_for()  # it says Pause until the end
        assert status.inner_text() == last
        assert first != last


@pytest.mark.parametrize("fault", ['<img src="https://a.example/b.png">', "<script>undefined.x</script>"])
def test_a_fault_is_noticed(fault: str, show: Callable[[str], Any], noise: list[str]) -> None:
    frame = show(f"<p>text</p>{fault}")
    frame.get_by_text("text").hover()
    assert noise != []
    noise.clear()
