"""Figures as small files, the same bytes every time; an SVG is marked so that the book can recolour it."""

import base64
import io
import re
import zlib
from collections.abc import Iterator
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

__all__ = ["GROUND", "KEPT", "PER_INCH", "freeze", "png", "smallest", "svg"]

#: The class of elements that are as they are on every page: marks on pictures, and cells in the colours of data.
KEPT = "kept"
#: The class of the figure's white face, which a page leaves out.
GROUND = "ground"
#: Pixels of a page for one inch of a figure.
PER_INCH = 100
#: The colour maps of data. Their colours say how much, so that no page may change them.
_DATA_COLOURS = ("YlOrBr", "PuOr_r")
#: Pixels per inch of what is drawn as pixels: one and a half times those of a page.
_DPI = 144
_QUALITY = 82  # of a photograph, as JPEG counts it
_SPARED = 20_000  # bytes: for less, a figure stays a drawing, to which the book's pages give their own face
_CELLS = 96  # pixels; what is smaller may show single cells, which JPEG would blur

_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_SETTINGS = {
    "svg.fonttype": "path",  # a picture in a page can load no font
    "svg.hashsalt": "attention-block-by-block",
    "path.simplify": False,
    "figure.constrained_layout.use": False,  # saving would lay out anew what has been laid out
}
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_PLACES = ("x", "y", "width", "height", "points")
_PNG, _JPEG = "data:image/png;base64,", "data:image/jpeg;base64,"


def freeze(fig: Figure) -> None:
    """Lay out a figure once, so that every file of it has the same layout."""
    fig.canvas.draw()
    fig.set_layout_engine("none")


def smallest(fig: Figure, colours: int) -> dict[str, str | bytes]:
    """Draw a figure as SVG, or as PNG where that spares many bytes when it is sent: plots and diagrams are SVG.

    :param fig: the figure, frozen.
    :param colours: size of a PNG's palette, at most 256.
    :returns: the file by its type, as IPython's ``display`` takes it.
    """
    raster, vector = png(fig, colours), svg(fig, colours=colours)
    if len(zlib.compress(vector.encode(), 9)) <= len(raster) + _SPARED:
        return {"image/svg+xml": vector}
    return {"image/png": raster}


def png(fig: Figure, colours: int) -> bytes:
    """Draw a figure as a PNG with a palette of so many colours, at most 256."""
    raw = io.BytesIO()
    with mpl.rc_context(_SETTINGS):
        fig.savefig(raw, format="png", dpi=_DPI, metadata={"Software": None})
    return _limited(Image.open(raw).convert("RGB"), colours)


def svg(fig: Figure, *, colours: int = 64, about: dict[str, str | None] | None = None) -> str:
    """Draw a figure as SVG.

    Numbers have two decimals (1/70 of a pixel), so that rounding seldom shows. Text is drawn as paths; pictures are
    stored as PNG with a palette, photographs and smooth maps as JPEG. Elements of the class :data:`KEPT` keep their
    colours on every page, those of the class :data:`GROUND` are the face of the figure.

    :param fig: the figure, frozen; its artists are marked, so draw it once.
    :param colours: size of a picture's palette, at most 256.
    :param about: what the file says of itself, as ``savefig`` takes it.
    :returns: the file's text. It states its size in pixels, :data:`PER_INCH` for an inch.
    """
    _mark(fig)
    raw = io.BytesIO()
    with mpl.rc_context(_SETTINGS):
        metadata = {"Creator": None, "Date": None, "Format": None, "Type": None} | (about or {})
        fig.savefig(raw, format="svg", dpi=_DPI, metadata=metadata)
    width, height = (round(PER_INCH * inches) for inches in fig.get_size_inches())
    return _smaller(raw.getvalue().decode(), width, height, colours)


def _limited(image: Image.Image, colours: int) -> bytes:
    """Store a picture as PNG with a palette of so many colours."""
    method = Image.Quantize.MEDIANCUT if image.mode == "RGB" else Image.Quantize.FASTOCTREE  # for transparency
    small = io.BytesIO()
    image.quantize(colours, method=method, dither=Image.Dither.NONE).save(small, format="PNG", optimize=True)
    return small.getvalue()


def _stored(picture: str, colours: int) -> str:
    """Store a picture within an SVG: what has more colours than the palette as JPEG, if smaller."""
    image = Image.open(io.BytesIO(base64.b64decode(picture.removeprefix(_PNG)))).convert("RGBA")
    opaque = image.getchannel("A").getextrema() == (255, 255)
    image = image.convert("RGB") if opaque else image
    kind, small = _PNG, _limited(image, colours)
    if opaque and min(image.size) > _CELLS and image.getcolors(colours) is None:
        photograph = io.BytesIO()
        image.save(photograph, format="JPEG", quality=_QUALITY, optimize=True)
        if len(photograph.getvalue()) < len(small):
            kind, small = _JPEG, photograph.getvalue()
    return kind + base64.b64encode(small).decode("ascii")


# --- what keeps its colours ---------------------------------------------------------------------------------------


def _mark(fig: Figure) -> None:
    """Name the face of the figure, and all that keeps its colours."""
    for face in (fig.patch, *(ax.patch for ax in fig.axes)):
        if to_hex(face.get_facecolor()) == "#ffffff":
            face.set_gid(GROUND)
    boxes = []
    for ax in fig.axes:
        pictures = [each.get_window_extent() for each in (*ax.images, *_meshes(ax))]
        boxes += pictures
        for artist in (*ax.lines, *ax.patches, *ax.collections, *ax.artists):
            if any(_meet(artist, box) for box in pictures):
                artist.set_gid(KEPT)
    data = _data_colours()
    for patch in fig.findobj(Patch):
        if patch.get_fill() and to_hex(patch.get_facecolor()) in data and patch.get_gid() != GROUND:
            patch.set_gid(KEPT)
            boxes.append(patch.get_window_extent())
    for text in fig.findobj(Text):
        box = text.get_window_extent() if text.get_text().strip() else None
        if box is not None and any(each.contains((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2) for each in boxes):
            text.set_gid(KEPT)


def _meshes(ax: Axes) -> Iterator[Artist]:
    """Find what is coloured by numbers, such as the cells of a mesh."""
    for collection in ax.collections:
        if collection.get_array() is not None:
            yield collection


def _meet(artist: Artist, box: Bbox) -> bool:
    own = artist.get_window_extent()
    return bool(np.isfinite(own.extents).all()) and Bbox.intersection(own, box.padded(-1)) is not None


def _data_colours() -> set[str]:
    return {to_hex(colour) for name in _DATA_COLOURS for colour in mpl.colormaps[name](np.arange(256))}


# --- a smaller file -----------------------------------------------------------------------------------------------


def _smaller(text: str, width: int, height: int, colours: int) -> str:
    """Leave out names that nothing refers to and digits that nobody sees; give pictures a palette."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    root = ElementTree.fromstring(re.sub(r"<!DOCTYPE[^>]*>|<!--.*?-->", "", text, flags=re.DOTALL))
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    root.attrib |= {"width": str(width), "height": str(height)}
    for element in root.iter():
        name = element.get("id", "")
        if name in (KEPT, GROUND):
            element.set("class", name)
        if name and name not in used:
            del element.attrib["id"]
        _shorten(element)
        picture = element.get(f"{{{_LINK}}}href", "")
        if picture.startswith(_PNG):
            element.set(f"{{{_LINK}}}href", _stored(picture, colours))
    _flatten(root)
    words = ElementTree.tostring(root, encoding="unicode")
    return re.sub(r">\s*<(g|defs)\b", r">\n<\1", re.sub(r">\s+<", "><", words)) + "\n"


def _shorten(element: ElementTree.Element) -> None:
    if "style" in element.attrib:
        element.set("style", re.sub(r"\s*([:;])\s*", r"\1", element.get("style", "").strip(" ;")))
    for key in (*_PLACES, "d", "style"):
        if key in element.attrib:
            element.set(key, " ".join(_NUMBER.sub(_rounded, element.get(key, "")).split()))
    if "transform" in element.attrib:
        element.set("transform", re.sub(r"translate\([^)]*\)", _rounded_all, element.get("transform", "")))


def _rounded(found: re.Match[str]) -> str:
    return f"{float(found[0]) + 0.0:.2f}".rstrip("0").rstrip(".").replace("-0", "0", int(abs(float(found[0])) < 0.005))


def _rounded_all(found: re.Match[str]) -> str:
    return _NUMBER.sub(_rounded, found[0])


def _flatten(element: ElementTree.Element) -> None:
    """Put the children of a group that says nothing in its place."""
    for child in list(element):
        _flatten(child)
    kept: list[ElementTree.Element] = []
    for child in list(element):
        kept += list(child) if child.tag == f"{{{_SVG}}}g" and not child.attrib else [child]
        element.remove(child)
    element.extend(kept)
