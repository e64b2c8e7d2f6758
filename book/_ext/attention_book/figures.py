"""Figures: what ``attention.lab.style.show`` says of a figure reaches the page.

The helper writes ``alt``, ``width``, ``scroll`` and a narrow form for phones into the *output's* metadata. myst-nb
reads the width there, but alt text from the *cell's* metadata only, where a cell with two figures could have but one.
A caption is an output of its own, below its figure, so that Jupyter and Colab show it; on the page the two become one
``<figure>``.
"""

import re
from base64 import b64decode
from collections.abc import Callable
from functools import wraps
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from docutils import nodes
from myst_nb.core.render import MimeData, NbElementRenderer
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.images import get_image_size
from sphinx.writers.html5 import HTML5Translator

__all__ = ["setup"]

_LOGGER = logging.getLogger(__name__)
_IMAGE = re.compile(r"<img (?P<attributes>[^>]*?)(?P<end>\s*/?>)")
_SOURCE = re.compile(r'\bsrc="[^"]*?_images/([^"]+)"')
#: The height of a figure that a screen of 900 pixels shows whole, with a line of its caption.
_SCREEN = 840
#: A plot takes half a screen, where its text stays readable: three quarters of the size that it was drawn at, or more.
_PLOT, _SMALLEST = 430, 0.75
_WIDTH = re.compile(r'style="width: ([\d.]+)(?:px)?;?"')

Render = Callable[[NbElementRenderer, MimeData], list[nodes.Element]]


class Captioned(nodes.General, nodes.Element):
    """A figure of a notebook with its caption.

    docutils has such nodes, but Sphinx numbers these itself, and otherwise than the notebook does.
    """


class Caption(nodes.General, nodes.Element):
    """The caption of such a figure."""


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
        if narrow := about.get("narrow"):
            found = [*found, _standing(self, narrow, found[0])]
        return [nodes.container("", *found, classes=["scroll"])] if about.get("scroll") else found

    render_image.original = render  # type: ignore[attr-defined]
    return render_image


def _standing(self: NbElementRenderer, narrow: dict[str, Any], wide: nodes.image) -> nodes.image:
    """Put the form of a figure for phones beside the one for wider screens; each is shown where the other is not."""
    vector = narrow.get("svg")
    content = vector.encode() if vector else b64decode(narrow["png"])
    name = f"{sha256(content).hexdigest()}.{'svg' if vector else 'png'}"
    uri = self.write_file([name], content, overwrite=False, exists_ok=True)
    wide["classes"] += ["only-wide"]
    return nodes.image(
        uri=uri, alt=wide.get("alt", ""), width=str(narrow["width"]), classes=["figure-face", "only-narrow"]
    )


def captions(render: Render) -> Render:
    """Wrap myst-nb's renderer of Markdown so that it knows a caption from other text.

    :param render: the renderer's method.
    :returns: a method that does the same, and more.
    """

    @wraps(render)
    def render_markdown(self: NbElementRenderer, data: MimeData) -> list[nodes.Element]:
        if not data.output_metadata.get(data.mime_type, {}).get("caption"):
            return render(self, data)
        # The book's own Markdown, for formulas; myst-nb would read CommonMark.
        return [Caption("", *self._render_markdown_base(data, fmt="myst", inline=True))]

    render_markdown.original = render  # type: ignore[attr-defined]
    return render_markdown


def _join(app: Sphinx, doctree: nodes.document) -> None:
    """Put each caption into one figure with the output before it in its cell: a picture, or an explorer."""
    for caption in list(doctree.findall(Caption)):
        bundle = caption.parent
        while bundle is not None and bundle.get("nb_element") != "mime_bundle":
            bundle = bundle.parent
        if bundle is None:
            continue
        outputs = bundle.parent
        before = [
            node
            for node in outputs.children[: outputs.index(bundle)]
            if isinstance(node, nodes.container) and node.get("nb_element") == "mime_bundle"
        ]
        outputs.remove(bundle)
        if not before:
            where = caption if caption.line else app.env.docname
            _LOGGER.warning("a caption has no figure above it: %s", caption.astext(), location=where, type="figures")
            continue
        figure = Captioned()
        outputs.replace(before[-1], figure)
        figure += [before[-1], caption]


def _refuse_figures_without_alt(app: Sphinx, doctree: nodes.document) -> None:
    for image in doctree.findall(nodes.image):
        if not str(image.get("alt", "")).strip():
            where = image if image.line else app.env.docname
            _LOGGER.warning("a figure has no alt text: %s", image.get("uri", ""), location=where, type="figures")


def _size(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """State the size of each image, so that nothing moves when it comes, and let those further down come late.

    None is higher than a screen, but on a phone, and a plot is lower where it can be. Of two faces the browser fetches
    the one that is shown, if both may come late.
    """
    body = context.get("body")
    if not body or app.builder.format != "html":
        return
    sources = {name: Path(app.srcdir) / source for source, name in app.builder.images.items()}
    first_screen = body.find("<h2")

    def sized(found: re.Match[str]) -> str:
        attributes = found["attributes"]
        source = _SOURCE.search(attributes)
        size = (
            get_image_size(str(sources[name])) if source and (name := unquote(unescape(source[1]))) in sources else None
        )
        if size and size[0] and "height=" not in attributes:
            stated = _WIDTH.search(attributes)
            width = float(stated[1]) if stated else size[0]
            height = width * size[1] / size[0]
            if (share := _share(height, attributes)) < 1:
                width, height = width * share, height * share
                attributes = _WIDTH.sub("", attributes) + f' style="width: {width:.0f}px"'
            attributes += f' width="{round(width)}" height="{round(height)}"'
        if ("face-" in attributes or 0 <= first_screen < found.start()) and "loading=" not in attributes:
            attributes += ' loading="lazy"'
        if "decoding=" not in attributes:
            attributes += ' decoding="async"'
        return f"<img {attributes}{found['end']}"

    context["body"] = _IMAGE.sub(sized, body)


def _share(height: float, attributes: str) -> float:
    """Say how much smaller than it was drawn an image stands on the page, by its height in pixels."""
    if "only-narrow" in attributes:
        return 1.0
    if "only-wide" in attributes or "figure-face" not in attributes:  # a drawing: its letters are small already
        return min(1.0, _SCREEN / height)
    return min(1.0, max(_SMALLEST, _PLOT / height), _SCREEN / height)


def _open_figure(self: HTML5Translator, node: Captioned) -> None:
    self.body.append('<figure class="captioned">\n')


def _close_figure(self: HTML5Translator, node: Captioned) -> None:
    self.body.append("</figure>\n")


def _open_caption(self: HTML5Translator, node: Caption) -> None:
    self.body.append("<figcaption>")


def _close_caption(self: HTML5Translator, node: Caption) -> None:
    self.body.append("</figcaption>\n")


def setup(app: Sphinx) -> None:
    """Wrap the renderers once, and warn (so that a strict build fails) of every figure without alt text."""
    app.add_node(Captioned, html=(_open_figure, _close_figure))
    app.add_node(Caption, html=(_open_caption, _close_caption))
    if not hasattr(NbElementRenderer.render_image, "original"):
        NbElementRenderer.render_image = described(NbElementRenderer.render_image)
        NbElementRenderer.render_markdown = captions(NbElementRenderer.render_markdown)
    app.connect("doctree-read", _join)
    app.connect("doctree-read", _refuse_figures_without_alt)
    app.connect("html-page-context", _size)
