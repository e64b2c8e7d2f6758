"""Icons: those that the pages use, as masks in the style sheet.

The theme brings every icon of Font Awesome, as a script of 1.5 MB and as fonts. A page uses twenty. Their outlines are
read from the theme's script while the book is built (Font Awesome Free, icons under CC BY 4.0), and each becomes a
custom property, ``--icon-NAME``, that an element or a style of ours shows in the colour of its text.
"""

import re
from urllib.parse import quote

__all__ = ["LICENCE", "style", "used"]

#: Named where the outlines are: their licence asks for it.
LICENCE = "Icons: Font Awesome Free by @fontawesome, https://fontawesome.com/license/free, CC BY 4.0"
#: Classes of an icon that are not its name: its family, its size, what is done to it.
_MANNERS = frozenset(("fa-solid", "fa-regular", "fa-brands", "fa-lg", "fa-sm", "fa-xs", "fa-fw", "fa-2x"))
_CLASS = re.compile(r"""(?<=[\s"'])fa-[a-z][a-z-]*(?=[\s"'])""")
_PROPERTY = re.compile(r"var\(--icon-([a-z-]+)\)")
_MASK = """\
:is(i, span):is(.fa, .fas, .fab, .far, .fa-solid, .fa-brands, .fa-regular) {
  display: inline-block; width: 1.25em; height: 1em; vertical-align: -0.125em; background: currentcolor;
  mask: var(--icon) center / contain no-repeat;
}
:is(i, span).fa-lg { font-size: 1.25em; vertical-align: -0.075em; }
@media (forced-colors: active) {
  :is(i, span):is(.fa, .fas, .fab, .far, .fa-solid, .fa-brands, .fa-regular) { background: CanvasText; }
}
"""


def used(text: str) -> set[str]:
    """Name the icons that a page, a script or a style sheet uses.

    :param text: its source.
    :returns: names, such as ``lightbulb``, of elements' classes and of properties.
    """
    return {name.removeprefix("fa-") for name in set(_CLASS.findall(text)) - _MANNERS} | set(_PROPERTY.findall(text))


def style(script: str, names: set[str]) -> str:
    """Write the style of icons.

    :param script: the source of Font Awesome's script.
    :param names: of the icons.
    :returns: a style sheet.
    :raises LookupError: if the script has no icon of a name.
    """
    properties, classes = [], []
    for name in sorted(names):
        width, height, path = _outline(script, name)
        drawing = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}'><path d='{path}'/></svg>"
        address = quote(drawing, safe=" '=:/.,-+")
        properties.append(f'--icon-{name}: url("data:image/svg+xml,{address}");')
        classes.append(f".fa-{name} {{ --icon: var(--icon-{name}); }}")
    return f"/*! {LICENCE} */\n:root {{ {' '.join(properties)} }}\n{_MASK}" + "\n".join(classes)


def _outline(script: str, name: str) -> tuple[str, str, str]:
    """Find an icon's width, height and path. Of two families the last is the solid one; older names are aliases."""
    plain = re.escape(name)
    body = r'[{},"](?P<name>[a-z0-9-]+)"?:\[(\d+),(\d+),\[([^\]]*)\],"[0-9a-f]+","([^"]+)"\]'
    found = re.findall(body.replace("[a-z0-9-]+", plain), script) or [
        icon for icon in re.findall(body, script) if f'"{name}"' in icon[3].split(",")
    ]
    if not found:
        raise LookupError(f"the theme has no icon {name!r}")
    _, width, height, _, path = found[-1]
    return width, height, path
