"""MathJax from the site itself: the files that the pages need, from the package ``sphinx-mathjax-offline``.

That package's own extension copies all of MathJax (28 MB). The book needs the TeX reader with one output, the fonts
of that output, and those extensions of TeX that MathJax itself asks for when a formula first uses them: a fourteenth.
An extension that a formula would have to ask for (``\\require``) is not there: nothing in the book does, and in Colab
it would not work either.
"""

from importlib.util import find_spec
from pathlib import Path
from shutil import copytree
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

__all__ = ["EXTENSIONS", "FILES", "setup", "source"]

#: What MathJax loads by itself when a formula first uses a command of it: its option ``autoload``.
EXTENSIONS = (
    *("action", "amscd", "bbox", "boldsymbol", "braket", "bussproofs", "cancel", "color", "enclose", "extpfeil"),
    *("html", "mhchem", "newcommand", "unicode", "verb"),
)
#: What is copied, relative to MathJax's folder.
FILES = (
    "tex-chtml.js",
    "output/chtml/fonts/woff-v2",
    *[f"input/tex/extensions/{name}.js" for name in EXTENSIONS],
)


def source() -> Path:
    """Return the installed package's MathJax folder.

    :raises ExtensionError: where the package is not installed.
    """
    spec = find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ExtensionError("sphinx-mathjax-offline is not installed: formulas could not be rendered")
    return Path(spec.origin).parent / "static" / "mathjax"


def _configure(app: Sphinx, config: Config) -> None:
    config.mathjax_path = "mathjax/tex-chtml.js"
    # The menu would load speech engines that are not copied; hidden MathML, which screen readers read, stays on.
    config.mathjax3_config = (config.mathjax3_config or {}) | {"options": {"enableMenu": False}}


def _spare(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Leave it out where no formula is shown: Sphinx goes by the source, in which one may stand that no page shows."""
    if ' class="math ' not in context.get("body", ""):
        path = app.config.mathjax_path
        files = [file for file in context["script_files"] if not str(getattr(file, "filename", file)).endswith(path)]
        context["script_files"] = files


def _copy(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    target = Path(app.outdir) / "_static" / "mathjax"
    for name in FILES:
        here, there = source() / name, target / name
        if here.is_dir():
            copytree(here, there, dirs_exist_ok=True)
        else:
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(here.read_bytes())


def setup(app: Sphinx) -> None:
    """Point the pages with formulas at the site's own MathJax, and copy it when the build has succeeded."""
    app.connect("config-inited", _configure)
    app.connect("html-page-context", _spare, priority=900)
    app.connect("build-finished", _copy)
