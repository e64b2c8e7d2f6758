"""Pages that weigh little: one style sheet, one script of what every page shares, and no more than a page uses.

The theme and the extensions load thirteen style sheets and fifteen scripts on each page, most of which it does not
use. When all pages are built, they are joined: the style sheets into ``site.css``, without the rules that no page
uses (:mod:`attention_book.sheets`) and with the icons that pages use (:mod:`attention_book.icons`) in the place of an
icon font and its script; the scripts that every page runs into ``site.js``. The search page keeps its scripts apart:
Sphinx's own depend on each other's order.
"""

import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from shutil import rmtree

from sphinx.application import Sphinx

from attention_book import icons, mathjax
from attention_book.sheets import Words, lean, prune

__all__ = ["setup"]

#: What no page loads: maps of minified files and translations serve those who develop the theme; of the icon font and
#: its script the pages have a few outlines.
_UNUSED = ("**/*.map", "vendor/fontawesome", "scripts/fontawesome.js*", "locales")
_ICONS = "scripts/fontawesome.js"
#: The scripts that every page runs, in their order.
_SHARED = (
    *("doctools.js", "sphinx_highlight.js", "clipboard.min.js", "copybutton.js", "scripts/sphinx-book-theme.js"),
    *("book.js", "scripts/bootstrap.js", "scripts/pydata-sphinx-theme.js"),
)
#: What only the search page and pages with tabs use. Search while one types is off.
_ELSEWHERE = ("searchtools.js", "language_data.js", "searchindex.js", "design-tabs.js")
_OPTIONS = "documentation_options.js"
#: Bootstrap's script names the classes of all its parts. Of them the pages use menus, tips and what unfolds.
_BOOTSTRAP = "bootstrap.js"
_UNFOLDS = (
    *(
        "active",
        "bs-tooltip-auto",
        "bs-tooltip-bottom",
        "bs-tooltip-end",
        "bs-tooltip-start",
        "bs-tooltip-top",
        "collapse",
    ),
    *("collapsing", "disabled", "dropdown-menu", "dropdown-toggle", "fade", "show", "tooltip", "tooltip-arrow"),
    "tooltip-inner",
)
#: MathJax without its menu, which the book turns off: the parts of ``tex-chtml.js``, each as MathJax names it.
_MATHJAX = {
    "startup": "startup.js",
    "core": "core.js",
    "input/tex": "input/tex.js",
    "output/chtml": "output/chtml.js",
    "output/chtml/fonts/tex": "output/chtml/fonts/tex.js",
    "a11y/assistive-mml": "a11y/assistive-mml.js",
}

_SHEET = re.compile(
    r'[ \t]*<link (?=[^>]*rel="stylesheet")[^>]*href="(?P<base>[^":]*?)_static/(?P<name>[^"?]+)[^"]*"[^>]*>\n?'
)
_SCRIPT = re.compile(
    r'[ \t]*<script [^>]*src="(?P<base>(?:[^":]*?_static/|(?:\.\./)+)?)(?P<name>[^"?:]+)[^"]*"[^>]*></script>\n?'
)
_PRELOAD = re.compile(r'[ \t]*<link rel="preload" as="script"[^>]*>\n?')
_JOINED = re.compile(r"(site\.(?:css|js)\?v=)\w+")
_CLASSES = re.compile(r'\b(?:class|id)="([^"]*)"')
_IMPORT = re.compile(r'@import\s*"(?:\.\./)?([^"]+)";?')
_VARIABLE = re.compile(r"--[a-z][\w-]*")
_LICENCE = re.compile(r"/\*!.*?\*/", re.DOTALL)


def _slim(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    static = out / "_static"
    _join_mathjax(static / "mathjax" / "tex-chtml.js")
    if not (static / _ICONS).exists():
        return  # no page was written, so that Sphinx copied nothing: all is joined already
    pages = {
        path: path.read_text(encoding="utf-8") for path in sorted(out.rglob("*.html")) if static not in path.parents
    }
    memory = Path(app.doctreedir) / "sheets.txt"
    sheets = _order(memory.read_text("utf-8").split() if memory.exists() else [], pages.values())
    memory.write_text("\n".join(sheets), encoding="utf-8")
    scripts = [path.read_text(encoding="utf-8") for path in _scripts(static)]
    style = _style(static, sheets, pages.values(), scripts)
    script = ";\n".join(_read(static, name) for name in _SHARED if (static / name).exists())
    versions = {}
    for name, text in (("site.css", style), ("site.js", script)):
        (static / name).write_text(text, encoding="utf-8")
        versions[name] = sha256(text.encode()).hexdigest()[:8]
    options = _read(static, _OPTIONS)
    for path, text in pages.items():
        slim = _rewrite(text, versions, options, search=path.name == "search.html")
        if slim != text:
            path.write_text(slim, encoding="utf-8")
    _remove(static)


def _order(known: list[str], pages: Iterable[str]) -> list[str]:
    """Name all style sheets in the order in which they apply; those of an earlier build are known already."""
    order = list(known)
    for page in pages:
        names = [found["name"] for found in _SHEET.finditer(page) if found["name"] != "site.css"]
        for before, name in zip([None, *names], names, strict=False):
            if name not in order:
                order.insert(order.index(before) + 1 if before else 0, name)
    return order


def _scripts(static: Path) -> list[Path]:
    """List the scripts whose words may be names of classes. MathJax brings its own style."""
    apart = {"fontawesome.js", _BOOTSTRAP, "site.js"}
    every = sorted(static.rglob("*.js"))
    return [path for path in every if path.name not in apart and static / "mathjax" not in path.parents]


def _style(static: Path, sheets: list[str], pages: Iterable[str], scripts: list[str]) -> str:
    texts = [*pages, *scripts]
    inline = [script for page in pages for script in re.findall(r"<script[^>]*>(.+?)</script>", page, re.DOTALL)]
    spoken = set(_UNFOLDS) | {word for script in (*scripts, *inline) for word in re.findall(r"[A-Za-z_][\w-]*", script)}
    classes = {name for text in texts for group in _CLASSES.findall(text) for name in group.split()}
    words = Words(
        frozenset(spoken | classes), tuple(word for word in sorted(spoken) if word.endswith("-") and len(word) > 3)
    )
    whole = "\n".join(_sheet(static, name) for name in sheets)
    names = set().union(*map(icons.used, [*texts, _read(static, "book.css")]))
    drawn = icons.style(_read(static, _ICONS), names)
    kept = prune(whole, words, wanted=lambda head, body: not (head == "@font-face" and "Awesome" in body))
    known = {name for text in texts for name in _VARIABLE.findall(text)}
    style = lean(f"{prune(_without_font(drawn), words)}{_without_font(kept)}", known)
    licences = "\n".join(dict.fromkeys(_LICENCE.findall(f"{whole}{drawn}")))
    return f"{licences}\n{style}\n"


def _without_font(style: str) -> str:
    """Leave out the characters of the icon font, by which the theme would write its icons."""
    return re.sub(r"\.fa-[\w-]+:before(?:,[^{}]*)?\{content:[^}]*\}", "", style)


def _read(static: Path, name: str) -> str:
    path = static / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _sheet(static: Path, name: str) -> str:
    """Read a style sheet and what it imports; their addresses then count from the folder of static files."""
    text = _IMPORT.sub(lambda found: _read(static, found[1]), _read(static, name))
    return text.replace("url(../", "url(") if "/" in name else text


def _rewrite(text: str, versions: dict[str, str], options: str, *, search: bool) -> str:
    """Let a page load what is joined instead of its parts; a page that does so already keeps but the versions."""
    sheets = list(_SHEET.finditer(text))
    if any(found["name"] == "site.css" for found in sheets) or not sheets:
        return _JOINED.sub(lambda found: found[1] + versions[found[1].partition("?")[0]], text)
    last = sheets[-1]
    new = f'<link rel="stylesheet" href="{last["base"]}_static/site.css?v={versions["site.css"]}" />\n'
    text = text[: last.start()] + new + text[last.end() :]
    text = _SHEET.sub(lambda found: found[0] if found["name"] == "site.css" else "", text)
    text = _PRELOAD.sub("", text)
    first = True

    def script(found: re.Match[str]) -> str:
        nonlocal first
        name = found["name"]
        if name == _ICONS or (name == "design-tabs.js" and "sd-tab-set" not in text):
            return ""
        if search:
            return found[0]
        if name == _OPTIONS:
            return f"<script>{options.strip()}</script>\n"
        if name in _ELSEWHERE and name != "design-tabs.js":
            return ""
        if name not in _SHARED:
            return found[0]
        before, first = first, False
        address = f"{found['base']}site.js?v={versions['site.js']}"
        return f'<script defer="defer" src="{address}"></script>\n' if before else ""

    return _SCRIPT.sub(script, text)


def _join_mathjax(target: Path) -> None:
    if not target.exists():
        return
    folder = mathjax.source()
    parts = [(folder / name).read_text(encoding="utf-8") for name in _MATHJAX.values()]
    names = ", ".join(f'"{name}"' for name in ("loader", *_MATHJAX))
    target.write_text(";\n".join([*parts, f"MathJax.loader.preLoad({names});\n"]), encoding="utf-8")


def _remove(static: Path) -> None:
    for pattern in _UNUSED:
        for path in static.glob(pattern):
            if path.is_dir():
                rmtree(path)
            else:
                path.unlink()


def setup(app: Sphinx) -> None:
    """Join and remove when everything else has been written."""
    app.connect("build-finished", _slim, priority=900)
