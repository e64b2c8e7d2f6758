"""Figures: what ``attention.lab.style.show`` says of a figure reaches the page.

The helper writes ``alt``, ``width`` and ``scroll`` into the *output's* metadata. myst-nb reads the width there, but alt
text from the *cell's* metadata only, where a cell with two figures could have but one.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from docutils import nodes
from myst_nb.core.render import MimeData, NbElementRenderer
from sphinx.application import Sphinx
from sphinx.util import logging

__all__ = ["setup"]

_LOGGER = logging.getLogger(__name__)

Render = Callable[[NbElementRenderer, MimeData], list[nodes.Element]]


def described(render: Render) -> Render:
    """Wrap myst-nb's renderer of images so that alt text and sideways scrolling come from the output's metadata.

    :param render: the renderer's method.
    :returns: a method that does the same, and more.
    """

    @wraps(render)
    def render_image(self: NbElementRenderer, data: MimeData) -> list[nodes.Element]:
        found = render(self, data)
        about: dict[str, Any] = data.output_metadata.get(data.mime_type, {})
        for image in found:
            if about.get("alt"):
                image["alt"] = about["alt"]
            image["classes"] += ["figure-face"]
        return [nodes.container("", *found, classes=["scroll"])] if about.get("scroll") else found

    render_image.original = render  # type: ignore[attr-defined]
    return render_image


def _refuse_figures_without_alt(app: Sphinx, doctree: nodes.document) -> None:
    for image in doctree.findall(nodes.image):
        if not str(image.get("alt", "")).strip():
            where = image if image.line else app.env.docname
            _LOGGER.warning("a figure has no alt text: %s", image.get("uri", ""), location=where, type="figures")


def setup(app: Sphinx) -> None:
    """Wrap the renderer once, and warn (so that a strict build fails) of every figure without alt text."""
    if not hasattr(NbElementRenderer.render_image, "original"):
        NbElementRenderer.render_image = described(NbElementRenderer.render_image)
    app.connect("doctree-read", _refuse_figures_without_alt)
