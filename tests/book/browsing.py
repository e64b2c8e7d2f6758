"""Look at pages in Chromium, and say what is wrong with them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

__all__ = ["CHROMIUM", "Look", "serve"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

#: The functions of ``checks.js``, one a check, as an expression.
_CHECKS = Path(__file__).with_name("checks.js").read_text(encoding="utf-8").partition("\n")[2].rstrip(";\n")

#: Without its preload axe does not fetch the style sheets again, some from the wrong place.
#: The size of what is pressed is a rule of WCAG 2.2 that axe runs only where it is asked to.
_AXE = {"resultTypes": ["violations"], "preload": False, "rules": {"target-size": {"enabled": True}}}
#: Half of a page's elements are the tokens of its code, and all of one kind look alike: axe, which takes a millisecond
#: for each, judges one of every kind. (It takes as long to leave out thousands of elements by a selector of their own.)
_NO_CODE = {"exclude": [["pre"]]}
_CODE = {"include": [["[data-sample]"]]}
_CONTRAST = {"resultTypes": ["violations"], "preload": False, "runOnly": ["color-contrast"]}
_SAMPLE = """() => {
  const kinds = new Map();
  for (const token of document.querySelectorAll("pre *")) {
    delete token.dataset.sample;
    const around = [];
    for (let up = token; up && up.tagName !== "ARTICLE"; up = up.parentElement) around.push(up.className);
    const text = [...token.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (text && token.checkVisibility()) kinds.set(around.join(" < "), token);
  }
  for (const token of kinds.values()) token.dataset.sample = "";
  return kinds.size;
}"""


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback while the block runs; gives its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Look:
    """One window on the site: a width, a mode, and what went wrong on the pages that it visited.

    :param browser: the browser.
    :param address: where the site is served; a request to any other host is a problem.
    :param width: of the window, in pixels.
    :param mode: ``light`` or ``dark``; empty as for a reader who never was here.
    :param touch: whether it has a touch screen and no mouse.
    """

    def __init__(self, browser: Any, address: str, width: int, mode: str = "light", *, touch: bool = False) -> None:
        self.address, self.width, self.mode = address, width, mode
        self.context = browser.new_context(viewport={"width": width, "height": 900}, has_touch=touch, is_mobile=touch)
        self.context.set_default_timeout(300_000)  # machines may be slow, or busy
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
        # The first page opens in this mode; `turn` may change it.
        if mode:
            self.context.add_init_script(f"localStorage.mode ??= '{mode}'; localStorage.theme ??= '{mode}'")
        self.page = self.context.new_page()
        self.noise: list[str] = []
        #: What axe said of the page that it saw last: by rule, and the names of rules.
        self.findings: dict[str, dict[str, Any]] = {}
        self.passed: set[str] = set()
        self.unsure: set[str] = set()
        self.rules: set[str] = set()
        self.engine = ""
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.noise.append(f"an error of a script: {error}"))
        self.page.on("requestfailed", lambda request: self.noise.append(f"a request failed: {request.url}"))
        self.context.route(lambda url: urlsplit(url).netloc != urlsplit(address).netloc, self._refuse)

    def __enter__(self) -> "Look":
        return self

    def __exit__(self, *_: Any) -> None:
        self.context.close()

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.noise.append(f"an error on the console: {message.text} ({message.location.get('url', '')})")

    def _refuse(self, route: Any) -> None:
        self.noise.append(f"a request to a foreign host: {route.request.url}")
        route.abort()

    def visit(self, name: str) -> Any:
        """Open a page and wait until it is loaded and its formulas are typeset.

        :param name: its path on the site.
        :returns: the page.
        """
        self.noise.clear()
        self.page.goto(f"{self.address}/{name}")
        self.page.evaluate("async () => { await window.MathJax?.startup?.promise; await document.fonts.ready; }")
        self.page.wait_for_timeout(100)
        return self.page

    def _heard_of(self, response: dict[str, Any], *, afresh: bool = False) -> None:
        """Keep what axe says of a page: which rules it ran, which passed, where a person has to look, what is wrong."""
        if afresh:
            self.findings, self.passed, self.unsure, self.rules = {}, set(), set(), set()
        self.engine = response["testEngine"]["version"]
        self.passed |= {rule["id"] for rule in response["passes"]}
        self.unsure |= {rule["id"] for rule in response["incomplete"]}
        self.rules |= {
            rule["id"] for kind in ("passes", "incomplete", "violations", "inapplicable") for rule in response[kind]
        }
        for violation in response["violations"]:
            finding = self.findings.setdefault(
                violation["id"], {"impact": violation["impact"], "help": violation["help"], "elements": 0, "faults": []}
            )
            finding["elements"] += len(violation["nodes"])
            finding["faults"] += _serious([violation])

    def turn(self, mode: str) -> None:
        """Change the mode of the page that is open, as its button does; the next page opens in it too.

        :param mode: ``light`` or ``dark``.
        """
        self.mode = mode
        self.page.evaluate(
            "(mode) => { Object.assign(localStorage, { mode, theme: mode });"
            " Object.assign(document.documentElement.dataset, { mode, theme: mode }); }",
            mode,
        )

    def problems(self, name: str, *, axe: Any = None) -> list[str]:
        """Visit a page and name all that is wrong with it.

        :param name: its path on the site.
        :param axe: an ``Axe`` that judges accessibility too; its serious and critical findings count.
        """
        self.visit(name)
        return self.faults(name, axe=axe)

    def faults(self, name: str, *, axe: Any = None) -> list[str]:
        """Name all that is wrong with the page that is open.

        :param name: its path on the site.
        :param axe: as for :meth:`problems`.
        """
        page = self.page
        found = page.evaluate(
            f"async () => {{ const checks = {_CHECKS};"
            " return (await Promise.all(Object.values(checks).map((check) => check()))).flat(); }"
        )
        if axe is not None:
            self._heard_of(axe.run(page, context=_NO_CODE, options=_AXE).response, afresh=True)
            if page.evaluate(_SAMPLE):
                self._heard_of(axe.run(page, context=_CODE, options=_CONTRAST).response)
            found += [fault for finding in self.findings.values() for fault in finding["faults"]]
        where = f"{name} ({self.width} px, {self.mode})"
        return [f"{where}: {problem}" for problem in [*self.noise, *found]]


def _serious(violations: list[dict[str, Any]]) -> list[str]:
    return [
        f"axe: {violation['id']}, {violation['impact']}: {violation['help']}: {node['html'][:150]}"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"][:3]
    ]
