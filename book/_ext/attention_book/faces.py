"""Two faces of each SVG: one for light pages and one for dark ones, made when the book is built.

A picture in a page sees neither the page's colours nor the switch of its theme. So each SVG becomes two files, both
without their white ground, and the style sheet shows one of them; the other one is not even fetched. Lightness is
turned round and hue kept, by one rule for all colours, so that what stands out on one page does so on the other.
Elements of the class ``kept`` (``attention.lab.vector`` marks them) are data, which have the same colours on both.
"""

import re
from hashlib import sha256
from math import hypot
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

__all__ = ["DARK_GROUND", "dark", "faces", "setup"]

#: What colours of dark pages are chosen for, as attention/lab/roles.py has it; the theme's ground is a shade darker.
DARK_GROUND = "#14181e"
#: How light white and the ink of the figures become: OKLab's lightness, from 0 to 1.
_LOWEST, _HIGHEST, _INK = 0.2075, 0.94, 0.225
#: Below 1, what is neither light nor dark comes out lighter.
_BEND = 0.8
#: A strong colour comes nearer to this lightness by this part, so that orange becomes no brown; and between which
#: chromas a colour grows strong.
_STRONG, _PART, _WEAK, _FULL = 0.70, 0.4, 0.06, 0.12
_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_COLOUR = re.compile(r"#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b(?!\))")
_PAINTED = ("style", "fill", "stroke", "stop-color")
_FOLDER = "_build/faces"


def dark(colour: str) -> str:
    """Give a colour of a light page the one that has its part on a dark page.

    :param colour: ``#rrggbb``, or ``#rgb``.
    :returns: ``#rrggbb``: of the same hue, the lighter the darker it was; white becomes :data:`DARK_GROUND`.
    """
    light, green_red, blue_yellow = _oklab(_channels(colour))
    share = ((1 - light) / (1 - _INK)) ** _BEND if light < 1 else 0.0
    lighter = _LOWEST + (_HIGHEST - _LOWEST) * share
    strength = (hypot(green_red, blue_yellow) - _WEAK) / (_FULL - _WEAK)
    lighter += _PART * min(1.0, max(0.0, strength)) * max(0.0, _STRONG - lighter)
    _, *tint = _oklab(_channels(DARK_GROUND))
    hue = [part + (1 - min(1.0, share)) * own for part, own in zip((green_red, blue_yellow), tint, strict=True)]
    for step in range(21):  # less colour where a screen has not so much of it
        rgb = _linear(min(lighter, 1.0), *(part * (1 - step / 20) for part in hue))
        if all(-1e-4 <= value <= 1 + 1e-4 for value in rgb):
            break
    return "#" + "".join(f"{round(255 * _gamma(min(1.0, max(0.0, value)))):02x}" for value in rgb)


def _channels(colour: str) -> list[float]:
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    values = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    return [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]


def _gamma(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def _oklab(rgb: list[float]) -> tuple[float, float, float]:
    """Turn linear red, green and blue into OKLab: B. Ottosson, A perceptual color space for image processing, 2020."""
    r, g, b = rgb
    long = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
    middle = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    short = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


def _linear(light: float, green_red: float, blue_yellow: float) -> tuple[float, float, float]:
    """Turn OKLab into linear red, green and blue, which may lie outside 0 to 1."""
    long = (light + 0.3963377774 * green_red + 0.2158037573 * blue_yellow) ** 3
    middle = (light - 0.1055613458 * green_red - 0.0638541728 * blue_yellow) ** 3
    short = (light - 0.0894841775 * green_red - 1.2914855480 * blue_yellow) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )


def faces(svg: str) -> tuple[str, str]:
    """Make the two faces of a picture.

    :param svg: the file's text.
    :returns: the text for a light page and for a dark one.
    """
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    root = ElementTree.fromstring(svg)
    _leave_out_ground(root)
    light = ElementTree.tostring(root, encoding="unicode")
    if root.get("fill") is None:
        root.set("fill", dark("#000000"))  # of what names no colour
    _darken(root)
    return light, ElementTree.tostring(root, encoding="unicode")


def _leave_out_ground(element: ElementTree.Element) -> None:
    for child in list(element):
        if child.get("class") == "ground":
            element.remove(child)
        else:
            _leave_out_ground(child)


def _darken(element: ElementTree.Element) -> None:
    if element.get("class") == "kept":
        if element.get("fill") is None:
            element.set("fill", "#000000")
        return
    for key in _PAINTED:
        if key in element.attrib and not (key == "fill" and element.tag == f"{{{_SVG}}}svg"):
            element.set(key, _COLOUR.sub(lambda found: dark(found[0]), element.attrib[key]))
    for child in element:
        _darken(child)


class TwoFaces(SphinxTransform):
    """Put two faces of each SVG in its place."""

    default_priority = 400

    def apply(self, **_: Any) -> None:
        """Replace the images of one page."""
        for image in list(self.document.findall(nodes.image)):
            if not image.get("uri", "").endswith(".svg") or "figure-face" not in image["classes"]:
                continue
            path, full = self.env.relfn2path(image["uri"], self.env.docname)
            self.env.note_dependency(path)
            other = image.deepcopy()
            made = faces(Path(full).read_text(encoding="utf-8"))
            for node, text, page in zip((image, other), made, ("light", "dark"), strict=True):
                node["uri"] = _file(Path(self.env.srcdir), text)
                node["classes"] = [*node["classes"], f"face-{page}"]
            other["ids"], other["names"] = [], []
            image.parent.insert(image.parent.index(image) + 1, other)


def _file(top: Path, text: str) -> str:
    """Write one face, and return its address as documents name it."""
    content = text.encode()
    path = top / _FOLDER / f"{sha256(content).hexdigest()[:20]}.svg"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return f"/{path.relative_to(top).as_posix()}"


def setup(app: Sphinx) -> None:
    """Give each SVG of a figure two faces."""
    app.add_transform(TwoFaces)
