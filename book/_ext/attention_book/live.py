"""The live pictures: their script and style come from the package, once for the site, to the pages that have one."""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

__all__ = ["NAMES", "script", "setup", "style"]

#: What the script and the style are called among the site's static files.
NAMES = ("attention-live.js", "attention-live.css")
_FOLDER = Path(__file__).resolve().parents[3] / "attention" / "lab" / "live"
_ELEMENT = 'class="attention-live"'


def script() -> str:
    """Return the script, as ``attention.lab.live.script`` does, which needs torch."""
    parts = sorted((_FOLDER / "script").glob("*.js"))
    return "(() => {\n" + "\n\n".join(part.read_text(encoding="utf-8").strip() for part in parts) + "\n})();"


def style() -> str:
    """Return the style, as ``attention.lab.live.style`` does."""
    return (_FOLDER / "live.css").read_text(encoding="utf-8").strip()


def _add(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if _ELEMENT in context.get("body", ""):
        app.add_js_file(NAMES[0], loading_method="defer")
        app.add_css_file(NAMES[1])


def _write(app: Sphinx) -> None:
    """Write both where Sphinx looks for static files: before it copies them, and asks what they hold."""
    folder = Path(app.doctreedir) / "live"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in zip(NAMES, (script(), style()), strict=True):
        (folder / name).write_text(text + "\n", encoding="utf-8")
    app.config.html_static_path.append(str(folder))


def setup(app: Sphinx) -> None:
    """Write the files when the build begins, and name them on the pages that have a picture."""
    app.connect("builder-inited", _write)
    app.connect("html-page-context", _add)
