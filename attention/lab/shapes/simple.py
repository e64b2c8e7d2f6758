"""A run as it is drawn: plumbing left out, what acts on each number told with what it follows, zones and colours."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import prod

from attention.lab import roles
from attention.lab.shapes.axes import stretch
from attention.lab.shapes.nodes import Node
from attention.lab.shapes.words import SIGNS

__all__ = ["simplified"]

#: The kinds of operations that compute nothing.
_PLUMBING = ("layout", "part", "stack", "cast")
#: The most operations that are told as one.
_LONGEST = 5


def simplified(nodes: Sequence[Node], plumbing: bool = False) -> tuple[Node, ...]:
    """Give the tensors that are drawn, zone by zone, each with its colour.

    :param nodes: all tensors of a run, in its order.
    :param plumbing: whether every tensor stays, with its own operation.
    """
    found = list(nodes) if plumbing else _chained(_Plumber(nodes).kept())
    return tuple(_coloured(_by_zone(_zoned(found))))


class _Plumber:
    """Leaves out what computes nothing, and hands on what it was called."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.all = {node.index: node for node in nodes}
        self.users = Counter(s for node in nodes for s in set(node.sources))
        self.found: dict[int, Node] = {}
        self.stands: dict[int, tuple[int, ...]] = {}  # what stands for a tensor
        self.alone: dict[int, bool] = {}  # whether a tensor is all that is made of what stands for it
        self.repeated: dict[int, str] = {}  # of a tensor that was expanded: along which axes
        self.fixed = self._fixed()

    def _fixed(self) -> set[int]:
        """Find what must stay: what an operation that failed reads, and parts of one tensor that meet again."""
        fixed = {s for node in self.nodes if node.role == "failed" for s in node.sources}
        root: dict[int, tuple[int, frozenset[int]]] = {}  # where a tensor comes from, through which parts
        for node in self.nodes:
            if node.kind in _PLUMBING and len(node.sources) == 1:
                origin, parts = root[node.sources[0]]
                root[node.index] = origin, parts | ({node.index} if node.kind == "part" else frozenset())
                continue
            root[node.index] = node.index, frozenset()
            origins = Counter(root[s][0] for s in node.sources)
            for s in node.sources:
                if origins[root[s][0]] > 1:
                    fixed |= root[s][1]
        calls = {self.all[i].operation for i in fixed if self.all[i].kind == "part"}
        return fixed | {node.index for node in self.nodes if node.operation in calls}

    def kept(self) -> list[Node]:
        """Give the tensors that stay."""
        for node in self.nodes:
            sources = tuple(dict.fromkeys(s for given in node.sources for s in self.stands[given]))
            if not self._hidden(node, sources):
                self._keep(node, sources)
        return list(self.found.values())

    def _keep(self, node: Node, sources: tuple[int, ...]) -> None:
        words, chain = node.words, node.chain
        if words == "matrix product" and len(sources) == 1 and len(node.sources) > 1:
            words, chain = f"{words} with itself", (f"{words} with itself",)
        if words.startswith("einsum ") and node.zone:  # its letters say less than the name of what it does
            words, chain = node.zone, (node.zone,)
        stretched = [(self.stands[s][0], axes) for s, axes in node.stretched]
        if words in SIGNS:
            stretched += [(self.stands[s][0], self.repeated[s]) for s in node.sources if s in self.repeated]
        same = node.kind in ("layout", "cast") and any(self.found[s].map for s in sources)
        self.found[node.index] = replace(
            node,
            map=node.map or same,
            words=words,
            chain=chain,
            sources=sources,
            stretched=tuple(dict.fromkeys(stretched)),
        )
        self.stands[node.index], self.alone[node.index] = (node.index,), True

    def _hidden(self, node: Node, sources: tuple[int, ...]) -> bool:
        """Leave a tensor out, if it is plumbing: its source stands for it, under its name or in its shape."""
        if node.kind not in _PLUMBING or not sources or node.index in self.fixed:
            return False
        given = node.sources[0]
        named = bool(node.step or node.role or node.map)
        if len(sources) > 1 or node.kind == "part":
            if named:
                return False
        elif not self._handed_on(node, sources[0], self.alone[given] and self.users[given] == 1, named):
            return False
        self.stands.setdefault(node.index, sources)
        self.alone[node.index] = self.alone[given] and self.users[given] == 1
        if node.kind == "layout" and len(node.sources) == 1 and node.words == "expand":
            self.repeated[node.index] = stretch(self.all[given].shape, node.shape, node.axes)
        elif given in self.repeated:
            self.repeated[node.index] = self.repeated[given]
        return True

    def _handed_on(self, node: Node, source: int, alone: bool, named: bool) -> bool:
        """Give a source what the hidden tensor was called, or make it that tensor; say whether that is possible."""
        before = self.found[source]
        free = not (before.step or before.role or before.name or before.map)
        if node.quiet and not node.role and not (node.step and before.step):
            step = {"step": node.step, "symbol": node.symbol, "zone": node.zone} if node.step else {}
            if named or node.name:
                name = before.name or node.name
                self.found[source] = replace(before, name=name, map=before.map or node.map, **step)
            return True
        if alone and free and before.words and not before.block:
            self._become(before, node)
            return True
        if node.map and not node.role and not node.step:
            self.found[source] = replace(before, name=before.name or node.name, map=True)
            return True
        return not named

    def _become(self, before: Node, node: Node) -> None:
        """Draw an operation's result in the shape that it has after some plumbing."""
        after = replace(
            node, words=before.words, chain=before.chain, kind=before.kind, sources=before.sources,
            operation=before.operation, module=before.module, parameters=before.parameters, quiet=False,
            stretched=before.stretched, block=before.block,
        )  # fmt: skip
        self.found = {after.index if i == before.index else i: after if i == before.index else n
                      for i, n in self.found.items()}  # fmt: skip
        for i, stands in self.stands.items():
            self.stands[i] = tuple(after.index if s == before.index else s for s in stands)
        self.stands[after.index] = (after.index,)


def _chained(nodes: list[Node]) -> list[Node]:
    """Tell what changes each number by itself with the operation that it follows."""
    users = Counter(s for node in nodes for s in node.sources)
    made = Counter(node.operation for node in nodes)
    found: dict[int, Node] = {}
    for node in nodes:
        before = found.get(node.sources[0]) if len(node.sources) == 1 else None
        if before is not None and _follows(node, before) and users[before.index] == made[before.operation] == 1:
            del found[before.index]
            sizes = [n.shape for n in nodes if n.index in before.sources]
            chain = _as_mean((*before.chain, *node.chain), sizes, node.shape)
            node = replace(
                node, words=", ".join(chain), chain=chain, sources=before.sources, stretched=before.stretched,
                parameters=before.parameters + node.parameters, module=before.module, kind="",
            )  # fmt: skip
        found[node.index] = node
    return list(found.values())


def _as_mean(chain: tuple[str, ...], before: list[tuple[int, ...]], after: tuple[int, ...]) -> tuple[str, ...]:
    """Call a sum that is divided by the count of what was summed a mean."""
    if len(before) != 1 or len(chain) != 2 or not chain[0].startswith("sum over "):
        return chain
    count = prod(before[0]) // max(1, prod(after))
    return (chain[0].replace("sum", "mean", 1),) if chain[1] == f"÷ {count}" else chain


def _follows(node: Node, before: Node) -> bool:
    named = before.step or before.role or before.name or before.map or before.block or before.stretched
    short = len(before.chain) < _LONGEST and before.kind not in _PLUMBING
    return node.kind == "same" and bool(before.words) and not named and short


def _zoned(nodes: list[Node]) -> list[Node]:
    """Give what leads to a step that step's zone; what follows the last of them stays in its zone."""
    zones = {node.index: node.zone for node in nodes}
    readers: dict[int, int] = {}
    for node in reversed(nodes):
        for s in node.sources:
            readers[s] = node.index
    for node in reversed(nodes):
        if node.words and not zones[node.index] and node.index in readers:
            zones[node.index] = zones[readers[node.index]]
    for node in nodes:
        if node.words and not zones[node.index]:
            zones[node.index] = next((zones[s] for s in reversed(node.sources) if zones[s]), "")
    return [replace(node, zone=zones[node.index]) if node.words else node for node in nodes]


def _by_zone(nodes: list[Node]) -> list[Node]:
    """Order a run so that each zone stands together, as far as what is made of what allows."""
    waiting = {node.index: node for node in nodes}
    found: list[Node] = []
    zone = ""
    while waiting:
        ready = [node for node in waiting.values() if not any(s in waiting for s in node.sources)]
        inputs = [node for node in ready if not node.words]
        here = inputs or [node for node in ready if node.zone == zone] or ready
        chosen = [node for node in here if node.operation == here[0].operation] if here[0].words else here[:1]
        for node in chosen:
            found.append(waiting.pop(node.index))
        zone = chosen[-1].zone if chosen[-1].words else zone
    return found


def _coloured(nodes: list[Node]) -> list[Node]:
    features = [node.shape for node in nodes if node.role in ("input", "output")]
    plain = not any(node.step for node in nodes)
    return [replace(node, colour=_role(node, features, plain)) for node in nodes]


def _role(node: Node, features: list[tuple[int, ...]], plain: bool) -> roles.Role:
    if node.map:
        return "map"
    if node.role or roles.is_feature(node.shape, features) or (plain and len(node.shape) > 3):
        return "feature"
    return "statistic" if node.step else "hidden"
