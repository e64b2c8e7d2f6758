"""Check every page of the book for accessibility, and keep what was found: ``make accessibility``.

axe-core is run on each page in Chromium, in a wide window in the light mode and in a narrow one in the dark mode. What
it says, and how well colours can be told from their ground, goes into ``book/accessibility.json``, from which the book
makes a page. The results hold for the book that lies in ``_build/html``.
"""

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attention.lab.roles import COLOURS, DARK_FACE, LIGHT_FACE
from tests.book.browsing import CHROMIUM, Look, serve
from tests.book.reading import listed
from tests.lab.contrast import contrast

__all__ = ["RESULTS", "contrasts", "main"]

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "book" / "accessibility.json"
#: The windows that a page is looked at in: their width in pixels, and the mode.
WINDOWS = ((1280, "light"), (390, "dark"))
#: What WCAG 2.2 AA asks of a text (1.4.3), and of what else carries meaning (1.4.11).
TEXT, MARK = 4.5, 3.0
_COLOUR = re.compile(r'html\[data-theme="(\w+)"\] \.highlight( \.\w+)? \{([^}]*)\}')


def contrasts(site: Path) -> list[dict[str, Any]]:
    """Measure the colours that carry meaning: those of roles, and those of code.

    :param site: the folder of the built book.
    :returns: a row each: what it is, its contrast in the light and in the dark mode, and what is asked of it.
    """
    faces = (LIGHT_FACE, DARK_FACE)
    rows = [
        {"what": f"the role {role}", **_ratios(zip(pair, faces, strict=True)), "least": TEXT}
        for role, pair in COLOURS.items()
    ]
    tokens: dict[str, list[float]] = {"light": [], "dark": []}
    grounds: dict[str, str] = {}
    found = _COLOUR.findall((site / "_static" / "pygments.css").read_text(encoding="utf-8"))
    for mode, token, rule in found:
        if not token and (ground := re.search(r"background: (#\w{6})", rule)):
            grounds[mode] = ground[1]
    for mode, _, rule in found:
        if "background-color" not in rule and (colour := re.search(r"(?<!-)color: (#\w{6})", rule)):
            tokens[mode].append(contrast(colour[1], grounds[mode]))
    lowest = {mode: round(min(ratios), 1) for mode, ratios in tokens.items()}
    return [*rows, {"what": "the palest colour of code", **lowest, "least": TEXT}]


def _ratios(pairs: Any) -> dict[str, float]:
    return {mode: round(contrast(*pair), 1) for mode, pair in zip(("light", "dark"), pairs, strict=True)}


def _judge(looks: list[Look], axe: Any, name: str) -> dict[str, Any]:
    passed: set[str] = set()
    unsure: set[str] = set()
    findings: dict[str, dict[str, Any]] = {}
    for look in looks:
        look.problems(f"{name}.html", axe=axe)
        passed |= look.passed
        unsure |= look.unsure
        for rule, found in look.findings.items():
            about = {key: found[key] for key in ("impact", "help", "elements")}
            known = findings.setdefault(rule, about)
            known["elements"] = max(known["elements"], about["elements"])
    return {
        "passed": len(passed - set(findings)),
        "unsure": sorted(unsure - set(findings)),
        "findings": dict(sorted(findings.items())),
    }


def _lines(results: dict[str, Any]) -> Iterator[str]:
    """Write the results so that a page, or a colour, is a line."""
    for key, value in results.items():
        if key == "pages":
            pages = ",\n".join(f"  {json.dumps(name)}: {json.dumps(about)}" for name, about in value.items())
            yield f' "pages": {{\n{pages}\n }}'
        elif key == "contrast":
            yield ' "contrast": [\n' + ",\n".join(f"  {json.dumps(row)}" for row in value) + "\n ]"
        else:
            yield f" {json.dumps(key)}: {json.dumps(value)}"


def main() -> int:
    """Look at all pages, and write the results."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        print("Chromium is not installed: it looks at the pages.", file=sys.stderr)
        return 1
    site, axe = ROOT / "_build" / "html", Axe()
    with serve(site) as address, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        looks = [Look(browser, address, width, mode) for width, mode in WINDOWS]
        pages = {}
        for name in [*listed(), "search", "404"]:
            pages[name] = _judge(looks, axe, name)
            print(f"{name}: {', '.join(pages[name]['findings']) or 'nothing'}", flush=True)
        results = {
            "date": datetime.now(UTC).date().isoformat(),
            "versions": {
                "axe-core": looks[0].engine,
                "Chromium": browser.version,
                "axe-playwright-python": version("axe-playwright-python"),
            },
            "windows": [list(window) for window in WINDOWS],
            "rules": sorted(looks[0].rules),
            "contrast": contrasts(site),
            "pages": pages,
        }
        browser.close()
    RESULTS.write_text("{\n" + ",\n".join(_lines(results)) + "\n}\n", encoding="utf-8")
    print(f"Written: {RESULTS.relative_to(ROOT)}. The next `make book` shows it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
