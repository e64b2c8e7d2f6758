"""MyST lowered to plain Markdown: what Jupyter Book renders, said so that Colab, too, can show it.

Blocks (directives, labelled equations, targets) are found by the parser that the book uses; roles and links are found
in what is left between them, code and formulas spared. Whatever has no plain counterpart is an error.
"""

import re
from collections.abc import Callable
from typing import Protocol

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin
from mdit_py_plugins.myst_role import myst_role_plugin

__all__ = ["References", "Unresolved", "directive", "leftovers", "lower", "parser"]

#: Admonitions, and how a reader is told which it is.
NOTES = {
    "note": "Note",
    "tip": "Tip",
    "hint": "Hint",
    "important": "Important",
    "warning": "Warning",
    "caution": "Caution",
    "attention": "Attention",
    "danger": "Danger",
    "error": "Error",
    "seealso": "See also",
}
#: What sphinx-proof numbers, and calls by its own name.
PROOFS = ("theorem", "lemma", "proposition", "corollary", "definition", "example", "remark", "algorithm", "observation")
_INLINE = re.compile(
    r"(?P<escape>\\.)"
    r"|\{(?P<role>[\w:.-]+)\}(?P<tick>`+)(?P<content>.+?)(?<!`)(?P=tick)(?!`)"
    r"|(?P<code>(?<!`)(`+)(?!`).+?(?<!`)\6(?!`))"
    r"|(?P<math>\$\$.+?\$\$|\$[^\s$](?:[^$]*[^\s$\\])?\$(?!\d))"
    r"|(?P<image>!?)\[(?P<text>(?:\[[^\]]*\](?:\([^)]*\))?|[^\[\]])*)\]\((?P<link>[^()\s]+)\)"
    r"|<(?P<auto>(?:project:|#)[^>\s]*)>",
    re.DOTALL,
)
#: A summary is HTML, in which no renderer looks for Markdown.
_MARKUP = MarkdownIt("commonmark")
#: Blocks that have no place in plain Markdown.
_RAW = (
    "colon_fence",
    "math_block_label",
    "math_inline_label",
    "myst_block_break",
    "myst_line_comment",
    "myst_role",
    "myst_target",
)
#: What the book's Markdown gives a meaning within text: directives, roles and attributes, footnotes, fields, terms.
_MARKS = re.compile(r"\{[\w:-]+\}`|\{[.#][A-Za-z]|\[\^[^\]\s]+\]|\{\{")
_LINES = re.compile(r"^\s*:{3,}|^:[\w -]+:(?:\s|$)|^:\s", re.MULTILINE)
_EXPLICIT = re.compile(r"(?P<text>.*?)\s*<(?P<target>[^<>]+)>", re.DOTALL)


class Unresolved(ValueError):
    """A directive, role, reference or citation that has no plain counterpart, or whose target is unknown."""


class References(Protocol):
    """What a reference needs to know of the book."""

    def equation(self, label: str) -> str:
        """Return an equation's number: ``1.3``."""

    def numbered(self, label: str) -> str:
        """Return what a numbered thing is called: ``Exercise 1.2``."""

    def target(self, label: str) -> tuple[str, str]:
        """Return the words and the address that a label stands for."""

    def page(self, path: str) -> tuple[str, str]:
        """Return the title and the address of a page, given as a relative or absolute path."""

    def term(self, term: str) -> str:
        """Return the address of a term in the glossary."""

    def citation(self, key: str) -> tuple[str, str, str]:
        """Return (authors, year, address) of a work in the bibliography."""

    def image(self, path: str) -> str:
        """Return the address of an image."""


def parser() -> MarkdownIt:
    """Return a parser with the block syntax of the book."""
    md = MarkdownIt("commonmark").enable("table")
    md.use(colon_fence_plugin).use(myst_block_plugin).use(myst_role_plugin)
    return md.use(dollarmath_plugin, allow_labels=True, allow_space=True, double_inline=True).use(amsmath_plugin)


def lower(text: str, to: References) -> str:
    """Lower a text.

    :param text: MyST Markdown.
    :param to: where its references lead.
    :returns: plain Markdown, with HTML where Markdown has no words for it.
    :raises Unresolved: for what has no counterpart.
    """
    lines = text.split("\n")
    out: list[str] = []
    done = 0
    for token in parser().parse(text):
        replace = _BLOCKS.get(token.type)
        if token.level or not token.map or replace is None:
            continue
        begin, end = token.map
        new = replace(token, to, lines[begin:end])
        out += [_paragraphs("\n".join(lines[done:begin]), to), new or ""]
        done = end
    out.append(_paragraphs("\n".join(lines[done:]), to))
    return "\n\n".join(part.strip("\n") for part in out if part.strip())


def leftovers(text: str) -> list[str]:
    """Name everything in a text that only the book understands: directives, roles, labels, attributes, footnotes,
    comments, references to labels within formulas, links and images that are not absolute.

    :param text: Markdown.
    """
    found = []
    for token in parser().parse(text):
        for part in [token, *(token.children or [])]:
            if what := _leftover(part):
                found.append(f"{part.type}: {' '.join(what.split()):.60}")
    return found


def _leftover(part: Token) -> str:
    if part.type in _RAW or (part.type == "fence" and part.info.startswith("{")):
        return str(part.info or part.meta or part.content) or part.type
    if part.type in ("math_block", "math_inline", "math_inline_double", "amsmath"):
        return part.content if re.search(r"\\(?:eq)?ref\b|\\label\b", part.content) else ""
    if part.type in ("html_block", "html_inline"):
        return part.content if re.search(r"<!--|(?:href|src)\s*=\s*[\"']?(?![\"']|https?:)", part.content) else ""
    if part.type in ("link_open", "image"):
        address = str(part.attrs.get("href", part.attrs.get("src")))
        return "" if re.match(r"https?:|mailto:", address) else address
    marks = {"text": _MARKS, "inline": _LINES}.get(part.type)
    return part.content if marks and marks.search(part.content) else ""


def directive(content: str) -> tuple[dict[str, str], str]:
    """Split a directive's content into its options and its body."""
    lines = content.split("\n")
    options = {}
    while lines and (found := re.fullmatch(r":([\w-]+):\s*(.*)", lines[0])):
        options[found[1]] = found[2]
        lines.pop(0)
    return options, "\n".join(lines).strip("\n")


def _paragraphs(text: str, to: References) -> str:
    parts = re.split(r"(\n[ \t]*\n)", text)
    return "".join(_inline(part, to) if part.strip() else part for part in parts)


def _inline(text: str, to: References) -> str:
    def change(found: re.Match[str]) -> str:
        if found["math"]:
            return found[0].replace("\n", " ")  # as in _one_line_each
        if found["role"]:
            return _role(found["role"], found["content"].strip(), to)
        if found["link"]:
            return _link(found["image"], found["text"], found["link"], to)
        if found["auto"]:
            words, address = _resolve(found["auto"].removeprefix("project:"), to)
            return f"[{words}]({address})"
        return found[0]

    return _INLINE.sub(change, text)


def _resolve(link: str, to: References) -> tuple[str, str]:
    """Return words and address for a link within the book."""
    path, _, label = link.partition("#")
    if not path:
        return to.target(label)
    title, address = to.page(path)
    return title, f"{address}#{label}" if label else address


def _link(image: str, text: str, link: str, to: References) -> str:
    if re.match(r"[a-z]+:", link) and not link.startswith("project:"):
        return f"{image}[{_inline(text, to)}]({link})"
    if image:
        return f"![{text}]({to.image(link)})"
    words, address = _resolve(link.removeprefix("project:"), to)
    words = _inline(text, to) or words
    return f"[{words}]({address})" if address else words


def _role(name: str, content: str, to: References) -> str:
    explicit = _EXPLICIT.fullmatch(content)
    words, target = (explicit["text"], explicit["target"]) if explicit else ("", content)
    if name in ("eq", "math:numref"):
        return f"({to.equation(target)})"
    if name in ("cite", "cite:p", "cite:t", "cite:ps", "cite:ts"):
        return _cite(content, to, inside=name not in ("cite:t", "cite:ts"))
    if name == "numref":
        return re.sub(r"%s|\{number\}", to.numbered(target).rpartition(" ")[2], words) if words else to.numbered(target)
    if name in ("ref", "prf:ref", "doc"):
        title, address = to.page(target) if name == "doc" else to.target(target)
        return f"[{words or title}]({address})" if address else words or title
    if name == "term":
        return f"[{words or target}]({to.term(target)})"
    if name in ("abbr", "kbd", "guilabel", "dfn"):
        return content
    if name in ("sub", "sup"):
        return f"<{name}>{content}</{name}>"
    if name == "math":
        return f"${content}$"
    if name.removeprefix("py:") in ("class", "func", "meth", "mod", "attr", "obj", "data"):
        shown = words or (target[1:].rpartition(".")[2] if target.startswith("~") else target)
        return f"`{shown}`"
    raise Unresolved(f"the role {{{name}}}`{content}` has no plain counterpart")


def _cite(keys: str, to: References, *, inside: bool) -> str:
    works = [to.citation(key.strip()) for key in keys.split(",")]
    if inside:
        return "(" + "; ".join(f"[{authors}, {year}]({address})" for authors, year, address in works) + ")"
    return ", ".join(f"[{authors} ({year})]({address})" for authors, year, address in works)


def _quote(title: str, body: str) -> str:
    text = f"**{title}**\n\n{_one_line_each(body)}".rstrip()
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def _one_line_each(text: str) -> str:
    """Put every display equation on one line.

    Notebooks take formulas out of the text before they read the Markdown: the ``>`` of a quotation, at the beginning
    of an equation's second line, would become part of the formula.
    """
    lines = text.split("\n")
    for token in reversed(parser().parse(text)):
        if token.type == "math_block" and token.map:
            begin, end = token.map
            formula = " ".join(re.sub(r"(?<!\\)%.*", "", token.content).split())
            lines[begin:end] = [f"{lines[begin].partition('$$')[0]}$$ {formula} $$"]
    return "\n".join(lines)


def _fold(title: str, body: str) -> str:
    return f"<details>\n<summary>{_MARKUP.renderInline(title)}</summary>\n\n{body}\n\n</details>\n"


def _directive(token, to: References, lines: list[str]) -> str:
    found = re.fullmatch(r"\{([\w:-]+)\}\s*(.*)", token.info.strip())
    if not found:
        raise Unresolved(f"the block {token.markup}{token.info} is no directive")
    name, argument = found[1], found[2].strip()
    options, body = directive(token.content)
    folded = "dropdown" in options.get("class", "").split() or name == "dropdown"
    box = _fold if folded else _quote
    if name in NOTES:
        title, inner = NOTES[name], "\n\n".join(part for part in (argument, body) if part)
        return box(title, lower(inner, to)) + "\n"
    if name in ("admonition", "dropdown", "topic", "margin", "sidebar"):
        return box(_inline(argument, to), lower(body, to)) + "\n"
    if name == "exercise":
        called = to.numbered(options["label"]) if "label" in options else "Exercise"
        return _quote(called + (f" ({_inline(argument, to)})" if argument else ""), lower(body, to)) + "\n"
    if name == "solution":
        return _fold(f"Solution to {to.numbered(argument)}", lower(body, to))
    if name.startswith("prf:") and name.removeprefix("prf:") in PROOFS:
        called = to.numbered(options["label"]) if "label" in options else name.removeprefix("prf:").capitalize()
        return _quote(called + (f" ({_inline(argument, to)})" if argument else ""), lower(body, to)) + "\n"
    if name == "prf:proof":
        return _quote("Proof", lower(body, to)) + "\n"
    if name in ("figure", "image"):
        caption = f"\n\n*{lower(body, to)}*" if name == "figure" and body else ""
        return f"![{options.get('alt', '')}]({to.image(argument)}){caption}\n"
    if name == "math":
        return _equation(body, options.get("label", ""), to)
    if name == "table":
        return f"**{_inline(argument, to)}**\n\n{lower(body, to)}\n"
    if name == "list-table":
        return _list_table(argument, body, to)
    raise Unresolved(f"the directive {{{name}}} has no plain counterpart")


def _list_table(caption: str, body: str, to: References) -> str:
    """Turn rows written as nested lists into a table; the first row is its head."""
    rows: list[list[str]] = []
    depth = 0
    for token in parser().parse(body):
        depth += {"bullet_list_open": 1, "bullet_list_close": -1}.get(token.type, 0)
        if token.type == "list_item_open":
            if depth == 1:
                rows.append([])
            elif depth == 2:
                rows[-1].append("")
        elif token.type == "inline" and depth == 2:
            rows[-1][-1] += (" " if rows[-1][-1] else "") + _inline(token.content.replace("\n", " "), to)
    if not rows or len({len(row) for row in rows}) != 1:
        raise Unresolved("a list-table has rows of different lengths")
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + ":--|" * len(rows[0]))
    return (f"**{_inline(caption, to)}**\n\n" if caption else "") + "\n".join(lines) + "\n"


def _equation(body: str, label: str, to: References) -> str:
    tag = f" \\tag{{{to.equation(label)}}}" if label else ""
    return f"$$\n{body.strip()}{tag}\n$$\n"


def _labelled(token, to: References, lines: list[str]) -> str:
    return _equation(token.content, token.info, to)


def _nothing(token, to: References, lines: list[str]) -> None:
    return None


def _as_it_is(token, to: References, lines: list[str]) -> str:
    return "\n".join(lines)


def _html(token, to: References, lines: list[str]) -> str:
    """Keep it, but for comments, which are for whoever writes the chapter."""
    return re.sub(r"<!--.*?-->", "", "\n".join(lines), flags=re.DOTALL)


def _fence(token, to: References, lines: list[str]) -> str:
    if token.info.strip().startswith("{"):
        raise Unresolved(f"the directive {token.info.strip()} is written with backticks; write it with colons")
    return "\n".join(lines)


_BLOCKS: dict[str, Callable[..., str | None]] = {
    "colon_fence": _directive,
    "math_block_label": _labelled,
    "math_block": _as_it_is,
    "amsmath": _as_it_is,
    "fence": _fence,
    "code_block": _as_it_is,
    "html_block": _html,
    "myst_target": _nothing,
    "myst_line_comment": _nothing,
    "myst_block_break": _nothing,
}
