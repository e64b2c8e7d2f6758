"""Equations that are written beside each other stand below each other where they are too long for a line.

In a source ``a = b, \\qquad c = d`` is the easiest to read. On a page it may be wider than the column.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

__all__ = ["broken", "setup", "width"]

#: So many signs fill a line of a phone.
LIMIT = 32

_PAUSE = re.compile(r"\\q?quad\b\s*")
_STRUCTURE = re.compile(r"\\(begin|end)\{(\w+\*?)\}|\\(left|right)\b|\\[{}]|[{}]")
_RELATION = re.compile(r"(?<![&\\])=|\\(?:approx|equiv|geq?|in|leq?|sim|to)\b")
#: What takes room: a named sign or function, or any other sign that is no mark of structure.
_NAMED = re.compile(
    r"\\(?:mathrm|operatorname|text|textrm|mathit)\*?\{([^{}]*)\}|\\(?:begin|end)\{\w+\*?\}"
    r"|\\(?:mathbb|mathbf|mathcal|left|right|big|Big|tilde|hat|bar|color|displaystyle|textcolor|in)\b|\\(?:q?quad)\b"
)
_RAISED = re.compile(r"[_^](?:\{([^{}]*)\}|\\[a-zA-Z]+|.)")


def width(tex: str) -> int:
    """Estimate how many signs of ordinary width a formula takes; what is raised or lowered is half as wide."""
    plain = _NAMED.sub(lambda found: found[1] or "", tex)
    raised = sum(len(_signs(found[0][1:])) for found in _RAISED.finditer(plain))
    return len(_signs(_RAISED.sub("", plain))) + (raised + 1) // 2


def _signs(tex: str) -> str:
    return re.sub(r"[\s{}&$]", "", re.sub(r"\\[a-zA-Z]+|\\.", "x", tex))


def broken(tex: str, limit: int = LIMIT) -> str:
    r"""Put equations that ``\\qquad`` or ``\\quad`` separates on a line each, aligned at their first relation.

    :param tex: a display formula.
    :param limit: one that takes at most so many signs is left as it is, and so is one without a pause outside of
        braces and environments.
    """
    pauses = [found.span() for found in _PAUSE.finditer(tex) if _depth(tex[: found.start()]) == 0]
    if not pauses or width(tex) <= limit or r"\tag" in tex:
        return tex
    starts, ends = [0, *(end for _, end in pauses)], [*(start for start, _ in pauses), len(tex)]
    parts = [part for part in (tex[start:end].strip() for start, end in zip(starts, ends, strict=True)) if part]
    marked = [_aligned(part) for part in parts]
    if any(part is None for part in marked):
        return "\\begin{gathered}\n" + " \\\\[0.4em]\n".join(parts) + "\n\\end{gathered}"
    return "\\begin{aligned}\n" + " \\\\[0.4em]\n".join(filter(None, marked)) + "\n\\end{aligned}"


def _aligned(part: str) -> str | None:
    """Mark the first relation outside of braces, or return ``None`` where there is none."""
    for found in _RELATION.finditer(part):
        if _depth(part[: found.start()]) == 0:
            return f"{part[: found.start()]}&{part[found.start() :]}"
    return None


def _depth(tex: str) -> int:
    """Count the braces, environments and large brackets that are open at the end of a piece of TeX."""
    depth = 0
    for found in _STRUCTURE.finditer(tex):
        opens = found[1] == "begin" or found[3] == "left" or found[0] == "{"
        closes = found[1] == "end" or found[3] == "right" or found[0] == "}"
        depth += opens - closes
    return depth


def _break(app: Sphinx, doctree: nodes.document) -> None:
    for node in doctree.findall(nodes.math_block):
        tex = broken(node.astext())
        node.children = []
        node += nodes.Text(tex)


def _number(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Let the equations of each page begin at 1. Sphinx does so in numbered chapters; all others it counts as one."""
    for kinds in env.toc_fignumbers.values():
        numbers = kinds.get("displaymath", {})
        if numbers and all(len(number) == 1 for number in numbers.values()):
            kinds["displaymath"] = {
                name: (place,) for place, name in enumerate(sorted(numbers, key=numbers.get), start=1)
            }
    return []


def setup(app: Sphinx) -> None:
    """Break the equations of each page when it has been read, and number them when all are."""
    app.connect("doctree-read", _break)
    app.connect("env-get-updated", _number, priority=900)  # behind Sphinx's own
