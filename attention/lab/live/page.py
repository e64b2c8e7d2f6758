"""Put a live picture into a notebook, a page or a file of its own."""

import html
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from IPython import get_ipython
from IPython.display import display
from torch import Tensor, nn

from attention.lab.live.picture import Picture, picture
from attention.lab.live.static import drawing

__all__ = ["LIMIT", "WITHOUT_SCRIPT", "markup", "save", "script", "show", "style"]

#: How many characters a picture and the script may have together.
LIMIT = 150_000
#: The variable of the environment under which a notebook's output holds data and the static picture alone: the book
#: brings the script once for all its pages, and a mended script need not run a notebook again.
WITHOUT_SCRIPT = "ATTENTION_LIVE_WITHOUT_SCRIPT"


def script() -> str:
    """Return the script of all live pictures; it sets up those that it finds on its page, and each of them once."""
    parts = sorted(files("attention.lab.live").joinpath("script").iterdir(), key=lambda part: part.name)
    texts = [part.read_text(encoding="utf-8").strip() for part in parts if part.name.endswith(".js")]
    return "(() => {\n" + "\n\n".join(texts) + "\n})();"


def style() -> str:
    """Return the style of all live pictures."""
    return files("attention.lab.live").joinpath("live.css").read_text(encoding="utf-8").strip()


def markup(shown: Picture) -> str:
    """Write a picture as HTML, without style and script.

    :param shown: the picture.
    :returns: an element with the static picture, and the data that the script reads.
    :raises ValueError: for more than ``LIMIT`` characters with the script.
    """
    data = shown.data().replace("<", "\\u003c")  # no character of a name may end the element that the data lie in
    title = html.escape(f"{shown.title}: a picture that computes", quote=True)
    whole = (
        f'<div class="attention-live" role="group" aria-label="{title}" data-lm-suppress-shortcuts="true">\n'
        f'{drawing(shown)}\n<script type="application/json">{data}</script>\n</div>\n'
    )
    if (size := len(whole) + len(script()) + len(style())) > LIMIT:
        raise ValueError(
            f"the live picture and its script would have {size:,} characters; allowed: {LIMIT:,}. Take a smaller "
            "input, or fewer inputs and variants"
        )
    return whole


def show(
    module: nn.Module | Picture,
    inputs: Tensor | Mapping[str, Tensor | tuple[Tensor, ...]] | None = None,
    **options: Any,
) -> None:
    """Show a picture that computes: paint on the input, move a number, and see what follows from it.

    >>> lab.live.show(block, {"noise": x, "one bright channel": x1}, variants={"softmax": other})

    :param module: an attention block, any module from tensors to a tensor, or a picture made before.
    :param inputs: one sample, or several by name; see :func:`attention.lab.live.picture`.
    :param options: further arguments of :func:`attention.lab.live.picture`: ``symbols``, ``variants``, ``title`` …
    :raises ValueError: for a module that a page cannot compute, and for too many numbers.
    """
    whole = markup(_made(module, inputs, options))
    if get_ipython() is None:  # a script: nothing to show it in
        return
    if not os.environ.get(WITHOUT_SCRIPT):
        whole = f"<style>\n{style()}\n</style>\n{whole}<script>\n{script()}\n</script>\n"
    display({"text/html": whole, "text/plain": "[live picture]"}, raw=True)


def save(
    path: str | Path,
    module: nn.Module | Picture,
    inputs: Tensor | Mapping[str, Tensor | tuple[Tensor, ...]] | None = None,
    **options: Any,
) -> Path:
    """Write a live picture as one HTML file that needs nothing else: for a lecture, or to send to somebody.

    :param path: where to; an existing file is replaced.
    :param module: as for :func:`show`.
    :param inputs: as for :func:`show`.
    :param options: as for :func:`show`.
    :returns: the path.
    :raises ValueError: as :func:`show`.
    """
    made = _made(module, inputs, options)
    title = html.escape(made.title)
    whole = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style()}\n"
        "body { margin: 0; padding: 12px; }\n.attention-live { max-width: 1080px; margin: 0 auto; }\n"
        "h1 { font: 600 22px system-ui, sans-serif; max-width: 1080px; margin: 0 auto 8px; }\n"
        "@media (prefers-color-scheme: dark) { body { background: #14181e; color: #e8edf4; } }\n"
        f"</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{markup(made)}</main>\n"
        f"<script>\n{script()}\n</script>\n</body>\n</html>\n"
    )
    target = Path(path)
    target.write_text(whole, encoding="utf-8")
    return target


def _made(module: nn.Module | Picture, inputs: Any, options: dict[str, Any]) -> Picture:
    if isinstance(module, Picture):
        if inputs is not None or options:
            raise ValueError("the picture is made already: inputs and options have no effect on it")
        return module
    if inputs is None:
        raise ValueError("inputs is missing: give one sample, or several by name")
    return picture(module, inputs, **options)
