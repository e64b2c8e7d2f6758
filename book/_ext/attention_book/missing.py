"""The page that a visitor sees who followed a wrong address: hosts look for it under the name ``404.html``.

It may stand in for an address at any depth. So it holds its own style, and its links are full addresses.
"""

from pathlib import Path
from string import Template

from sphinx.application import Sphinx

__all__ = ["setup"]

_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta name="robots" content="noindex" />
<title>Page not found — $book</title>
<style>
:root { color-scheme: light dark; }
body { max-width: 34rem; margin: 20vh auto 0; padding: 0 1.5rem; font: 1.05rem/1.65 system-ui, sans-serif; }
h1 { font-family: Charter, Georgia, "Noto Serif", serif; line-height: 1.25; }
</style>
</head>
<body>
<main>
<h1>Page not found</h1>
<p>There is no page of $book at this address. Begin at <a href="$site/">its first page</a>, or
<a href="$site/search.html">search it</a>.</p>
</main>
</body>
</html>
""")


def _write(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        text = _PAGE.substitute(book=app.config.html_title or app.config.project, site=app.config.addresses["site"])
        Path(app.outdir, "404.html").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Write the page when the build has succeeded."""
    app.connect("build-finished", _write)
