"""A live picture on a page of its own, in a browser: its numbers, and what a reader does with it."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attention.lab import live
from attention.lab.live import Picture

__all__ = ["Shown", "changed", "output"]

_LIVE = "const live = document.querySelector('.attention-live').attentionLive;"
_VALUES = """([variant, text]) => {
  const told = (each) => Array.isArray(each) ? each.map(told)
    : { shape: each.shape, data: Array.from(each.data, (v) => Number.isFinite(v) ? v : String(v)) };
  return JSON.stringify(JSON.parse(text).map((inputs) => live.runs[variant].all(inputs).map(told)));
}"""
_FORWARD = """([variant, text, jobs]) => {
  const run = live.runs[variant];
  const values = run.all(JSON.parse(text));
  return JSON.stringify(jobs.map(([place, at, wanted]) => run.influence(values, place, at, wanted).map((v) => [...v])));
}"""
_BACKWARD = """([variant, text, jobs]) => {
  const run = live.runs[variant];
  const values = run.all(JSON.parse(text));
  return JSON.stringify(jobs.map(([target, at, place, ks]) => ks.map((k) => run.slope(values, target, at, place, k))));
}"""
_WHERE = """([index, at]) => {
  const { view, canvas } = live.tensors[index];
  canvas.scrollIntoView({ block: "center" });
  const frame = canvas.getBoundingClientRect();
  const scale = frame.width / (view.place.width + 2);
  const [x, y, w, h] = view.box(at);
  return [frame.x + (1 + x + w / 2) * scale, frame.y + (1 + y + h / 2) * scale];
}"""


class Shown:
    """A page with one picture.

    :param browser: the browser.
    :param folder: where the page is written.
    :param picture: the picture.
    :param width: of the window, in pixels.
    :param mode: ``light`` or ``dark``: what the reader's system says.
    :param options: of the browser's context.
    """

    def __init__(
        self, browser: Any, folder: Path, picture: Picture, width: int = 1280, mode: str = "light", **options: Any
    ) -> None:
        self.picture = picture
        path = live.save(folder / "picture.html", picture)
        self.noise: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=mode, **{"device_scale_factor": 1, **options}
        )
        self.context.set_default_timeout(60_000)  # machines may be slow, or busy
        self.page = self.context.new_page()
        self.page.on("console", lambda message: message.type == "error" and self.noise.append(message.text))
        self.page.on("pageerror", lambda error: self.noise.append(str(error)))
        self.page.on("request", lambda request: request.url == path.as_uri() or self.noise.append(request.url))
        self.page.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            self.page.wait_for_selector(".al-alive")

    def __enter__(self) -> "Shown":
        return self

    def __exit__(self, *error: Any) -> None:
        self.context.close()
        if error[0] is None:
            assert self.noise == []

    # --- what it holds

    def live(self, expression: str, given: Any = None) -> Any:
        """Evaluate an expression, or call a function, in which ``live`` is the page's picture."""
        return self.page.evaluate(f"(given) => {{ {_LIVE} const found = {expression};"
                                  " return typeof found === 'function' ? found(given) : found; }", given)  # fmt: skip

    @property
    def names(self) -> list[str]:
        """The names of what is drawn, the inputs first."""
        return self.live("live.tensors.map((each) => each.drawn.name)")

    def index(self, name: str) -> int:
        """Return the place of a tensor among those drawn."""
        return self.names.index(name)

    def values(self, name: str) -> Tensor:
        """Return the numbers that are drawn of a tensor."""
        found = self.live("(index) => [...live.values[live.tensors[index].drawn.value].data]", self.index(name))
        return torch.tensor(found, dtype=torch.float64)

    def inputs(self, which: int = 0) -> Tensor:
        """Return the numbers of an input."""
        return torch.tensor(self.live("(which) => [...live.inputs[which]]", which), dtype=torch.float64)

    def computed(self, variant: int, many: Sequence[Sequence[Tensor]]) -> list[list[Any]]:
        """Let the page compute a run on several inputs: every value of each."""
        found = json.loads(self.live(_VALUES, [variant, json.dumps([_flat(each) for each in many])]))
        return [[_tensor(each) for each in values] for values in found]

    def forward(
        self, variant: int, inputs: Sequence[Tensor], jobs: Sequence[tuple[int, int, list[int]]]
    ) -> list[list[Tensor]]:
        """Let the page say how fast numbers change: of each (value, number, values that are asked about)."""
        found = json.loads(self.live(_FORWARD, [variant, json.dumps(_flat(inputs)), [list(job) for job in jobs]]))
        return [[torch.tensor(slopes, dtype=torch.float64) for slopes in each] for each in found]

    def backward(
        self, variant: int, inputs: Sequence[Tensor], jobs: Sequence[tuple[int, int, int, list[int]]]
    ) -> list[Tensor]:
        """Let the page say how fast a number changes: of each (value, number, another value, numbers of it)."""
        found = json.loads(self.live(_BACKWARD, [variant, json.dumps(_flat(inputs)), [list(job) for job in jobs]]))
        return [torch.tensor(each, dtype=torch.float64) for each in found]

    # --- what a reader does

    def put(self, *inputs: Tensor) -> None:
        """Give it other inputs, as if they had been painted."""
        self.live(
            "(given) => { live.base = given.map((each) => Float64Array.from(each));"
            " live.inputs = given.map((each) => Float64Array.from(each)); live.update(); }",
            _flat(inputs),
        )

    def choose(self, variant: str) -> None:
        """Switch to a variant."""
        self.page.get_by_role("group", name="Block").get_by_role("button", name=variant, exact=True).click()

    def where(self, name: str, at: int) -> tuple[float, float]:
        """Bring a number into the window and return its middle, in pixels."""
        x, y = self.live(_WHERE, [self.index(name), at])
        return x, y

    def hover(self, name: str, at: int) -> str:
        """Point at a number with the mouse, and return what is said then."""
        self.page.mouse.move(*self.where(name, at))
        self.wait()
        return self.says

    def touched(self, name: str, at: int) -> dict[str, list[int]]:
        """Point at a number; return the numbers that light up, by tensor: what it moves and what moves it.

        With ``at`` of −1 at nothing.
        """
        self.live(
            "([index, at]) => { live.point(at < 0 ? null : live.tensors[index], at, false); }", [self.index(name), at]
        )
        self.wait()
        found = self.live(
            "live.tensors.map((each, i) => [each.drawn.name,"
            " Array.from(live.hot?.[i]?.shares ?? []).flatMap((v, k) => v > 0 ? [k] : [])])"
        )
        return dict(found)

    def scroll(self, name: str, at: int, by: int) -> None:
        """Drag a finger from a number up or down, as one scrolls a page."""
        x, y = self.where(name, at)
        session = self.context.new_cdp_session(self.page)
        for step in range(11):
            kind = "touchMove" if step else "touchStart"
            touch = {"type": kind, "touchPoints": [{"x": x, "y": y + by * step / 10}]}
            session.send("Input.dispatchTouchEvent", touch)
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        session.detach()
        self.page.wait_for_timeout(400)  # until it comes to rest

    def faults(self, axe: Any) -> list[str]:
        """Name what an ``Axe`` finds serious or critical."""
        found = axe.run(self.page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
        return [
            f"{each['id']}, {each['impact']}: {each['help']}: {node['html'][:150]}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"][:3]
        ]

    def overflow(self) -> list[str]:
        """Name what is wider than the window."""
        return self.page.evaluate(
            """() => [...document.querySelectorAll("html, canvas, button, label, p, svg, .al-zone, .al-bar")]
              .filter((node) => node.checkVisibility() && !node.matches("[role=status]"))
              .filter((node) => node.scrollWidth > innerWidth || node.getBoundingClientRect().right > innerWidth + 0.5)
              .map((node) => `${node.tagName} ${node.className} ${node.textContent.slice(0, 40)}`)"""
        )

    def wait(self) -> None:
        """Wait until all that moves the pointed number is found."""
        self.page.wait_for_function(f"() => {{ {_LIVE} return live.settled; }}")

    @property
    def says(self) -> str:
        """The sentence that readers see."""
        return self.page.locator(".al-told > p").first.inner_text()

    @property
    def formula(self) -> str:
        """The formula that readers see."""
        return self.page.locator(".al-formula").inner_text()

    def image(self, name: str) -> str:
        """Return what is drawn of a tensor, as the address of a picture."""
        return self.live("(index) => live.tensors[index].canvas.toDataURL()", self.index(name))

    def colours(self, name: str) -> list[list[int]]:
        """Return red, green and blue in the middle of each number of a tensor."""
        return self.live(
            """(index) => {
              const { view, canvas } = live.tensors[index];
              const ratio = canvas.width / (view.place.width + 2);
              const count = live.values[live.tensors[index].drawn.value].data.length;
              return Array.from({ length: count }, (_, k) => {
                const [x, y, w, h] = view.box(k);
                const at = [1 + x + w / 2, 1 + y + h / 2].map((v) => Math.floor(v * ratio));
                return [...view.context.getImageData(...at, 1, 1).data].slice(0, 3);
              });
            }""",
            self.index(name),
        )


def changed(before: Tensor, after: Tensor) -> list[int]:
    """Return the numbers that are no longer what they were."""
    return (before != after).nonzero().flatten().tolist()


def output(page: Shown, variant: int = 0) -> Tensor:
    """What torch computes for the numbers that stand on the page."""
    program = list(page.picture.programs.values())[variant]
    shapes = [each.shape for each in program.values if each.input is not None]
    given = [page.inputs(i).reshape(shape) for i, shape in enumerate(shapes)]
    return program.compute(*given)[program.output].flatten()


def _flat(inputs: Sequence[Tensor]) -> list[list[float]]:
    return [each.double().flatten().tolist() for each in inputs]


def _tensor(told: Any) -> Any:
    if isinstance(told, list):
        return tuple(_tensor(each) for each in told)
    numbers = [float(re.sub("Infinity", "inf", each)) if isinstance(each, str) else each for each in told["data"]]
    return torch.tensor(numbers, dtype=torch.float64).reshape(told["shape"])
