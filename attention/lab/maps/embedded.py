"""Outputs of a notebook that need no kernel: data, style and script lie inside them."""

import base64
import hashlib
import html
import io
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from IPython import get_ipython
from IPython.display import display
from PIL import Image
from torch import Tensor

__all__ = ["LIMIT", "encode", "present", "unit_bytes"]

#: How many characters of data one output may carry.
LIMIT = 150_000


def encode(values: np.ndarray) -> str:
    """Write unsigned bytes as text (base64).

    :param values: an array of type ``uint8``, of any shape.
    """
    return base64.b64encode(np.ascontiguousarray(values, dtype=np.uint8).tobytes()).decode("ascii")


def unit_bytes(values: Any, what: str) -> np.ndarray:
    """Turn a tensor of values from 0 to 1 into unsigned bytes.

    :param values: the tensor, of any shape.
    :param what: its name, for the message.
    :raises TypeError: for anything but a tensor.
    :raises ValueError: for an empty tensor and for values outside 0 to 1, beyond rounding.
    """
    if not isinstance(values, Tensor):
        raise TypeError(f"{what}: expected a tensor, received {type(values).__name__}")
    values = values.detach().cpu().double()
    if values.numel() == 0:
        raise ValueError(f"{what} is empty: its shape is {tuple(values.shape)}")
    low, high = float(values.min()), float(values.max())
    if not (torch.isfinite(values).all() and low >= -1e-6 and high <= 1 + 1e-6):
        raise ValueError(f"{what} has values from {low:.3g} to {high:.3g}; expected 0 to 1")
    return (values.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def present(
    kind: str, data: Mapping[str, Any], *, about: str, still: np.ndarray, shows: str, instead: str, reduce: str
) -> None:
    """Show an output that comes to life in the page; the plain text beside it is always the same.

    The element, and the script inside it, carry a key: the hash of all that the element holds. By it the script finds
    its element wherever a front end has put it, and two outputs on one page never meet.

    :param kind: ``explorer`` or ``player``: the script of that name is put inside.
    :param data: what the script reads; of types that JSON has.
    :param about: what is shown, for all readers; may be empty.
    :param still: a picture for where no script runs, (height, width, 3) of type ``uint8``.
    :param shows: what this picture shows.
    :param instead: what a reader is told below it.
    :param reduce: what the data are made of and how to have less of them, for the message.
    :raises ValueError: for more data than ``LIMIT``.
    """
    # No character of a name may end the element that the data lie in.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    if len(text) > LIMIT:
        raise ValueError(f"the {kind} would carry {len(text):,} characters of data; allowed: {LIMIT:,}. {reduce}")
    if get_ipython() is None:  # a script: nothing to show it in
        return
    display(
        {"text/html": _markup(kind, text, about, (_image(still, shows), instead)), "text/plain": f"[{kind}]"}, raw=True
    )


def _image(pixels: np.ndarray, shows: str) -> str:
    """Write a picture as an element that asks for no file."""
    raw = io.BytesIO()
    few = Image.fromarray(pixels).quantize(48, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(raw, format="PNG", optimize=True)
    text = base64.b64encode(raw.getvalue()).decode("ascii")
    size = f'width="{pixels.shape[1]}" height="{pixels.shape[0]}"'
    return f'<img {size} alt="{html.escape(shows)}" src="data:image/png;base64,{text}">'


def _markup(kind: str, data: str, about: str, instead: tuple[str, str]) -> str:
    folder = files("attention.lab.maps")
    style, shared, script = (
        folder.joinpath(name).read_text(encoding="utf-8").strip()
        for name in ("embedded.css", "embedded.js", f"{kind}.js")
    )
    image, words = instead
    key = hashlib.sha256("\0".join((style, shared, script, data, about)).encode()).hexdigest()[:12]
    told = f'<p class="attention-about">{html.escape(about)}</p>\n' if about else ""
    # JupyterLab takes arrow keys for its own unless told not to.
    return (
        f'<div class="attention-figure" data-key="{key}" data-lm-suppress-shortcuts="true">\n'
        f"<style>\n{style}\n</style>\n{told}"
        f'<div class="attention-instead">\n{image}\n<p>{html.escape(words)}</p>\n</div>\n'
        f'<script type="application/json">{data}</script>\n'
        f'<script>\n((key) => {{\n{shared}\n\n{script}\n}})("{key}");\n</script>\n</div>\n'
    )
