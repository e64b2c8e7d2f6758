"""One file with one block in plain torch, to be copied into somebody's own code.

The file is made from the block's module: what it takes from this package comes along, what only this package needs
(maps, steps, shapes in types) stays behind. It needs torch alone.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType

from attention.registry import entry

__all__ = ["source"]

#: What a block's base classes are, without declarations.
_BASES = {
    "Attention": '''class Attention(nn.Module):
    """A block that computes its output, and the attention maps that led to it."""

    def attend(self, *inputs: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the output and the maps."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Compute the output alone."""
        return self.attend(x)[0]

    def reset_parameters(self) -> None:
        """Give all parameters and buffers the values that a fresh block starts with."""
        for layer in self.children():
            for module in reversed(list(layer.modules())):
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
''',
    "Gate": '''class Gate(Attention):
    """A block whose output is its input times one map."""

    def weights(self, x: Tensor) -> Tensor:
        """Compute the gate, of a shape that broadcasts to that of the input."""
        raise NotImplementedError

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the output and the gate."""
        gate = self.weights(x)
        return x * gate, {"gate": gate}
''',
}
#: What stands for the functions of einops.
_SHAPES = {
    "rearrange": '''def rearrange(x: Tensor, pattern: str, **sizes: int) -> Tensor:
    """Change a tensor's shape by the names of its axes: ``"b c h w -> b (h w) c"``."""
    sides = (re.findall(r"\\([^)]*\\)|\\S+", side) for side in pattern.split("->"))
    left, right = ([part.strip("()").split() for part in side] for side in sides)
    known = dict(sizes)
    for names, size in zip(left, x.shape, strict=True):
        unknown = [name for name in names if name not in known and name != "1"]
        for name in unknown:
            known[name] = size // prod([known[other] for other in names if other not in (name, "1")])
    names = [name for group in left for name in group if name != "1"]
    wanted = [name for group in right for name in group if name != "1"]
    x = x.reshape([known[name] for name in names]).permute([names.index(name) for name in wanted])
    return x.reshape([prod([known.get(name, 1) for name in group]) for group in right])
''',
    "einsum": '''def einsum(*operands: Any) -> Tensor:
    """Multiply and sum by the names of axes: ``einsum(a, b, "b i d, b j d -> b i j")``."""
    *tensors, pattern = operands
    letters = {name: chr(97 + i) for i, name in enumerate(dict.fromkeys(re.findall(r"\\w+", pattern)))}
    return torch.einsum(re.sub(r"\\w+", lambda name: letters[name[0]], pattern).replace(" ", ""), *tensors)
''',
}
_SHAPE_IMPORTS = {"rearrange": {"import re", "from math import prod"}, "einsum": {"import re", "import torch"}}


@dataclass(frozen=True)
class _Definition:
    """A name that a module defines at its top: its text without what only this package needs, and what it uses."""

    text: str
    uses: frozenset[str]


def source(name: str) -> str:
    """Return a block as one self-contained file in plain torch.

    >>> pathlib.Path("cbam.py").write_text(attention.source("cbam"))

    The class has the same options, parameters, errors and output as the block of this package. ``attend`` returns its
    maps too; that of a gate is called ``gate``.

    :param name: a mechanism whose block is written.
    :returns: Python, with the block's docstring, its source and the licence.
    :raises ValueError: for a mechanism that is unknown or not written yet.
    """
    found = entry(name)
    if not found.built:
        raise ValueError(f"name={name!r} ({found.title}) is planned, not written yet")
    module = import_module(found.module)
    imports: set[str] = set()
    parts: dict[tuple[str, str], str] = {}
    _gather(module, found.class_name, imports, parts, set())
    body = "\n\n\n".join(parts[key].strip("\n") for key in _ordered(parts, (found.module, found.class_name)))
    body = _one_line(body.replace("bool | np.bool_", "bool"))
    wraps = [f'torch.fx.wrap("{each}")' for each in _wrapped(module) if re.search(rf"\b{each}\(", body)]
    summary = (module.__doc__ or "").strip().partition("\n")[0]
    head = (
        f'r"""{summary}\n\nFrom attention-block-by-block, attention/{found.family}/{found.name}.py, MIT licence.\n'
        f'The mechanism: {found.authors}, {found.paper}, {found.venue}, arXiv {found.arxiv}.\n"""\n'
    )
    needed = sorted(_used(imports, body), key=lambda line: (line.startswith("from"), line))
    torch = [line for line in needed if line.split()[1].startswith("torch")]
    above = [*(line for line in needed if line not in torch), "", *torch]
    return "\n".join([head, *above, *([""] if wraps else []), *wraps, "", "", body]).strip() + "\n"


def _ordered(parts: dict[tuple[str, str], str], main: tuple[str, str]) -> list[tuple[str, str]]:
    """Put the block behind what it is built on, and functions, which are called later, behind the block."""
    names = {key[1]: key for key in parts}
    early: set[tuple[str, str]] = set()
    waiting = [key for key, text in parts.items() if not text.lstrip().startswith("def ") and key != main]
    waiting += [names[name] for name in _at_once(parts[main]) if name in names]
    while waiting:
        key = waiting.pop()
        if key not in early and key != main:
            early.add(key)
            waiting += [names[name] for name in _at_once(parts[key]) if name in names]
    return [*(key for key in parts if key in early), main, *(key for key in parts if key not in early and key != main)]


def _at_once(text: str) -> set[str]:
    """Return the names that a definition uses when it is made, not when it is called."""
    found: set[str] = set()
    for node in ast.parse(text).body:
        outer = [*node.bases, *node.body] if isinstance(node, ast.ClassDef) else [node]
        for part in outer:
            if isinstance(part, ast.FunctionDef):
                inner = [*part.args.defaults, *(d for d in part.args.kw_defaults if d), *part.decorator_list]
            else:
                inner = [part]
            found |= {each.id for one in inner for each in ast.walk(one) if isinstance(each, ast.Name)}
    return found


def _one_line(text: str) -> str:
    """Put a signature that became short on one line."""

    def joined(match: re.Match[str]) -> str:
        line = f"{match[1]}{' '.join(match[2].split()).rstrip(',')}{match[3]}"
        return line if len(line) <= 120 else match[0]

    return re.sub(r"^( *def \w+\()\n([^()]*?)\n *(\)[^\n]*:)$", joined, text, flags=re.MULTILINE)


def _gather(
    module: ModuleType, name: str, imports: set[str], parts: dict[tuple[str, str], str], under_way: set[tuple[str, str]]
) -> None:
    """Add a definition, after all that it needs."""
    key = (module.__name__, name)
    if key in parts or key in under_way:
        return
    under_way.add(key)
    definitions, taken = _read(module)
    if name in _BASES and module.__name__ == "attention.contract":
        if name == "Gate":
            _gather(module, "Attention", imports, parts, under_way)
        imports |= {"from typing import Any", "from torch import Tensor, nn"}
        parts[key] = _BASES[name]
        return
    definition = definitions[name]
    for used in sorted(definition.uses):
        if used in definitions:
            _gather(module, used, imports, parts, under_way)
        elif used in taken:
            where, original = taken[used]
            if where.startswith("attention"):
                _gather(import_module(where), original, imports, parts, under_way)
            elif where == "einops":
                imports |= _SHAPE_IMPORTS[original] | {"from torch import Tensor", "from typing import Any"}
                parts.setdefault(("einops", original), _SHAPES[original])
            elif original:
                imports.add(f"from {where} import {original}" + (f" as {used}" if used != original else ""))
            else:
                imports.add(f"import {where}" + (f" as {used}" if used != where.partition(".")[0] else ""))
    parts[key] = definition.text


@cache
def _read(module: ModuleType) -> tuple[dict[str, _Definition], dict[str, tuple[str, str]]]:
    """Read what a module defines at its top, and what it imports: local name -> (module, name there)."""
    text = inspect.getsource(module)
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    data = text.encode()
    definitions: dict[str, _Definition] = {}
    taken: dict[str, tuple[str, str]] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom):
            taken |= {alias.asname or alias.name: (node.module or "", alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            taken |= {alias.asname or alias.name.partition(".")[0]: (alias.name, "") for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign):
            edits = list(_edits(node, data, starts))
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            while first > 1 and lines[first - 2].startswith("#:"):
                first -= 1
            new = _edited(data, starts[first - 1], _end(node, starts), edits)
            made = _Definition(re.sub(r"\n[ \t]*\n([ \t]*\n)+", "\n\n\n", new), frozenset(_names(new)))
            definitions |= dict.fromkeys(_targets(node), made)
    return definitions, taken


def _targets(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]  # type: ignore[attr-defined]
    return [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]


def _names(text: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}


def _start(node: ast.AST, starts: list[int]) -> int:
    return starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]


def _end(node: ast.AST, starts: list[int]) -> int:
    return starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]


Edit = tuple[int, int, str]


def _edited(data: bytes, start: int, end: int, edits: list[Edit]) -> str:
    """Return a stretch of text with its edits made; an edit inside another is left out."""
    out, at = [], start
    for first, last, new in sorted(edits, key=lambda edit: (edit[0], -edit[1])):
        if first < at:
            continue
        out += [data[at:first].decode(), new]
        at = last
    return "".join([*out, data[at:end].decode()])


def _edits(top: ast.stmt, data: bytes, starts: list[int]) -> Iterator[Edit]:
    """Yield what is left out or replaced: declarations of maps and steps, marks of steps, shapes in types."""
    inside = {id(child) for node in ast.walk(top) if isinstance(node, _BINDING) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(top):
        if _declares(node) or (isinstance(node, ast.Expr) and _is_step(node.value)):
            yield _line(node, starts)
        elif _is_step(node):
            value = node.args[1]  # type: ignore[attr-defined]
            inner = _edited(data, _start(value, starts), _end(value, starts), list(_edits_in(value, data, starts)))
            loose = isinstance(value, ast.BinOp | ast.UnaryOp | ast.BoolOp | ast.Compare | ast.IfExp | ast.Lambda)
            yield _start(node, starts), _end(node, starts), f"({inner})" if loose and id(node) in inside else inner
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in _SHAPED:
            yield _start(node, starts), _end(node, starts), "Tensor"


#: Within these, an expression in the place of a call needs brackets.
_BINDING = (ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Attribute, ast.Subscript, ast.Starred)
#: The types of jaxtyping that the blocks use.
_SHAPED = ("Float", "Int", "Bool", "Shaped")


def _edits_in(value: ast.expr, data: bytes, starts: list[int]) -> Iterator[Edit]:
    yield from _edits(ast.Expr(value, lineno=value.lineno, col_offset=value.col_offset), data, starts)


def _line(node: ast.stmt, starts: list[int]) -> Edit:
    """Leave out whole lines."""
    return starts[node.lineno - 1], starts[node.end_lineno], ""  # type: ignore[index]


def _declares(node: ast.AST) -> bool:
    """Say whether a statement does nothing but declare maps or steps."""
    if isinstance(node, ast.If):
        return all(_declares(each) for each in (*node.body, *node.orelse))
    if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return False
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    parts = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return all(_is_declaration(part.value if isinstance(part, ast.Subscript) else part) for part in parts)


def _is_declaration(target: ast.expr) -> bool:
    return (
        isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
        and target.attr in ("maps", "steps")
    )


def _is_step(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "step"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "self"
    )


def _wrapped(module: ModuleType) -> list[str]:
    """Return the functions that a module wraps for ``torch.fx``."""
    text = inspect.getsource(module)
    single = re.findall(r'^torch\.fx\.wrap\("(\w+)"\)', text, re.MULTILINE)
    loops = re.findall(r"^for _?\w+ in \(([^)]*)\):\n    torch\.fx\.wrap", text, re.MULTILINE)
    return [*single, *(name for loop in loops for name in re.findall(r'"(\w+)"', loop))]


def _used(imports: set[str], body: str) -> set[str]:
    """Keep the imports whose names the text uses, each name once."""
    names = _names(body)
    kept: dict[str, set[str]] = {}
    plain = {"import torch"}
    for line in imports:
        if line.startswith("import "):
            alias = line.rpartition(" ")[2].partition(".")[0]
            plain |= {line} if alias in names else set()
            continue
        where, _, what = line.removeprefix("from ").partition(" import ")
        for each in what.split(", "):
            if each.rpartition(" ")[2] in names:
                kept.setdefault(where, set()).add(each)
    return plain | {f"from {where} import {', '.join(sorted(what))}" for where, what in kept.items()}
