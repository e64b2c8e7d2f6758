"""Find the maps of modules that declare none: gates that multiply a feature map, and rows of attention."""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from attention.contract import Attention, Map
from attention.lab.maps.captured import Captured, Found, grid_of
from attention.lab.maps.fused import is_fused, rows_of, same
from attention.lab.maps.history import History, Made, name_of

__all__ = ["LOOKED_FOR", "Finder", "Site", "compact"]

#: What is looked for, for whoever gets none of it.
LOOKED_FOR = (
    "a tensor computed from the input that multiplies a feature map, or is rows of a softmax that weigh values, also "
    "within scaled_dot_product_attention"
)
_GATE = "the layer computes feature map · map; the product was computed again and is the same"
_ROWS = "rows of a softmax, which weigh values; the product was computed again and is the same"
_FUSED = (
    "rows that a fused attention never makes a tensor of, computed from its queries and keys; rows · values is what it "
    "computed"
)
_CONSTANT = "a product with a parameter or another constant of the input, such as a layer's scale"
_ACTIVATION = "a product with a function of each number itself, such as SiLU or GELU"
_NORM = "a product with one over a size, as a normalisation has it"
_EQUAL = "a product of two feature maps, of which none is a map of the other"
_OTHERWISE = "a fused attention whose rows, computed again, do not give what it computed: dropout, for example"
_UNUSED = "a product that the model's output does not depend on"


@dataclass(frozen=True)
class Site:
    """Where a map acts in a run: the number of the operation, and which of its arguments the map is.

    :param call: the operation's number.
    :param kind: ``factor``: an argument; ``rows``: an argument, of a matrix product; ``fused``: no tensor holds the
        map; ``result``: the operation makes it.
    :param place: which argument, or which of the results.
    """

    call: int
    kind: Literal["factor", "rows", "fused", "result"]
    place: int = 0


@dataclass(frozen=True)
class _Candidate:
    """A product that may be a map's doing."""

    layer: str
    name: str
    tensor: Tensor
    found: Found
    made: Made
    site: Site


class Finder(History):
    """A context that finds maps in all modules but our own blocks, which declare theirs.

    :param model: the model that runs.
    :param inputs: its input tensors; the first gives the size of the batch.
    :param picture: the input over which maps are shown.
    """

    def __init__(self, model: nn.Module, inputs: Iterable[Tensor], picture: Tensor) -> None:
        inputs = list(inputs)
        super().__init__(inputs)
        self.passed: Counter[str] = Counter()
        self.sites: dict[tuple[str, str], Site] = {}
        self.declared: dict[tuple[str, str], Made] = {}
        self._batch = picture.shape[0] if picture.ndim else 1
        self._picture = picture
        self._model = model
        self._stack: list[tuple[str, bool]] = []
        self._calls: Counter[str] = Counter()
        self._candidates: list[_Candidate] = []
        self._seen: set[tuple[str, Made]] = set()

    def follow(self) -> ExitStack:
        """Follow, for the time of a context, which module's ``forward`` runs."""
        stack = ExitStack()
        for path, module in self._model.named_modules():
            stack.callback(module.register_forward_pre_hook(self._entering(path, module)).remove)
            stack.callback(module.register_forward_hook(self._leaving, always_call=True).remove)
        return stack

    def _entering(self, path: str, module: nn.Module) -> Callable[..., None]:
        def enter(*_: Any) -> None:
            self._calls[path] += 1
            place = path if self._calls[path] == 1 else f"{path}#{self._calls[path]}"
            ours = isinstance(module, Attention) or (bool(self._stack) and self._stack[-1][1])
            self._stack.append((place, ours))

        return enter

    def _leaving(self, *_: Any) -> None:
        self._stack.pop()

    def __torch_dispatch__(self, func: Any, types: Iterable[type], args: tuple = (), kwargs: Any = None) -> Any:
        """Run one operation, note what it made, and look whether it applied a map."""
        kwargs = kwargs or {}
        self.call += 1
        name = name_of(func)
        if not self._stack or self._stack[-1][1] or (name not in ("mul", "bmm") and not is_fused(func)):
            return self.noted(func, args, kwargs)
        # Before it runs, for it may write its result over one of them.
        made = [self[each] for each in args[:2]]
        kept = [args[0].clone(), *args[1:]] if func._schema.is_mutable else args
        out = self.noted(func, args, kwargs)
        if name == "mul":
            self._look_at_product(kept, made, out)
        elif name == "bmm":
            self._look_at_rows(kept, made, out)
        else:
            self._look_into(func, args, kwargs, out)
        return out

    def _look_at_product(self, factors: Any, made: list[Made | None], out: Tensor) -> None:
        """Judge an elementwise product."""
        if not all(isinstance(each, Tensor) and each.is_floating_point() and each.ndim for each in factors[:2]):
            return
        if out.ndim < 3 or self[out] is None:
            return
        first, second = made
        if first is None or second is None:
            self.passed[_CONSTANT] += 1
            return
        which = _which_is_the_map(factors, [first, second], out)
        if which is None:
            one, other = first.origins(), second.origins()
            self.passed[_ACTIVATION if one <= other or other <= one else _EQUAL] += 1
            return
        of_map, of_features = (first, second) if which == 0 else (second, first)
        if of_map.origins() <= of_features.origins():
            self.passed[_ACTIVATION] += 1
        elif of_map.scales_back():
            self.passed[_NORM] += 1
        elif same(factors[1 - which] * factors[which], out):
            gate = compact(factors[which])
            gate = gate.reshape((1,) * (out.ndim - gate.ndim) + gate.shape)
            known = Found(*self._gate_axes(gate, out, of_map), _GATE)
            self._keep("gate", gate, known, of_map, out, Site(self.call, "factor", which))

    def _look_at_rows(self, factors: Any, made: list[Made | None], out: Tensor) -> None:
        """Judge a product of matrices: rows · values, or values · columns."""
        for which, axis in ((0, 2), (1, 1)):
            of_map, matrices = made[which], factors[which]
            if of_map is None or of_map.unmoved().op not in ("_softmax", "_safe_softmax", "div"):
                continue
            sums = matrices.float().sum(axis)
            if bool((matrices < 0).any()) or not same(sums, torch.ones_like(sums)):
                continue
            if not same(torch.matmul(factors[0], factors[1]), out):
                continue
            rows = matrices if which == 0 else matrices.transpose(1, 2)
            first = of_map.unmoved().shape[0]
            self._keep_rows(rows, first, _ROWS, of_map, out, Site(self.call, "rows", which))
            return

    def _look_into(self, func: Any, args: tuple, kwargs: dict[str, Any], out: Any) -> None:
        """Compute the rows of a fused attention."""
        result = tree_leaves(out)[0]
        made = self[result]
        if made is None:
            return
        rows, values = rows_of(func, args, kwargs)
        if same(rows @ values.to(rows.dtype), result):
            self._keep_rows(rows, len(rows), _FUSED, made, result, Site(self.call, "fused"))
        else:
            self.passed[_OTHERWISE] += 1

    def _keep_rows(self, rows: Tensor, first: int, how: str, made: Made, out: Tensor, site: Site) -> None:
        """Bring rows to (batch, heads, queries, keys), without heads where there is one.

        :param first: the size of the first axis that the module gave them: where it is the batch, positions are those
            of the whole picture; otherwise they may be those of a window.
        """
        queries, keys = rows.shape[-2:]
        rows = rows.reshape(-1, queries, keys)
        letters, sizes = "q k", {"q": queries, "k": keys}
        grid = grid_of(queries, self._picture)
        wide = out.shape[-1] > queries and grid_of(out.shape[-1], self._picture)
        # Rows over channels have positions along the values' last axis: then those of the rows are none.
        if grid and queries == keys and not grid[0] and first == self._batch and not wide:
            letters, sizes = "(h w) (h w)", {"h": grid[1], "w": grid[2]}
        if self._batch and rows.shape[0] % self._batch == 0:
            rows = rows.reshape(self._batch, -1, queries, keys)
            heads = rows.shape[1]
            rows = rows[:, 0] if heads == 1 else rows
            letters, sizes = f"b {'m ' if heads > 1 else ''}{letters}", sizes | {"b": self._batch, "m": heads}
        else:
            letters, sizes = f"m {letters}", sizes | {"m": len(rows)}
        dims = Map(letters, "softmax", sums=(rows.ndim - 1,), about="how much each key's value counts for a query")
        self._keep("rows", rows, Found(dims, sizes, how), made, out, site)

    def _gate_axes(self, gate: Tensor, out: Tensor, made: Made) -> tuple[Map, dict[str, int]]:
        """Read letters and kind of a gate from its shape and its values."""
        letters = {3: "bnc", 4: "bchw", 5: "bmchw"}.get(out.ndim, "bmnopqrs"[: out.ndim])
        if out.ndim == 4 and gate.shape[1:3] == (1, 1) and gate.shape[3] > 1 and out.shape[2] > 1:
            letters = "bhwc"  # one number for each entry of the last axis: channels come last
        axes = [letter if size > 1 or letter == "b" else "1" for letter, size in zip(letters, gate.shape, strict=True)]
        if gate.shape[0] != out.shape[0]:
            axes[0] = "1"
        sizes = dict(zip(letters, out.shape, strict=True))
        low, high = float(gate.min()), float(gate.max())
        kind = "sigmoid" if low >= 0 and high <= 1 else "real"
        sums: tuple[int, ...] = ()
        if kind == "sigmoid" and made.unmoved().op == "_softmax":
            for axis in range(1, gate.ndim):
                total = gate.float().sum(axis)
                if gate.shape[axis] > 1 and same(total, torch.ones_like(total)):
                    kind, sums = "softmax", (axis,)
                    break
        return Map(" ".join(axes), kind, sums), sizes

    def _keep(self, name: str, tensor: Tensor, found: Found, made: Made, out: Tensor, site: Site) -> None:
        layer = self._stack[-1][0]
        product = self[out]
        if product is None or (layer, made.unmoved()) in self._seen:
            return
        self._seen.add((layer, made.unmoved()))
        copy = tensor.detach().to("cpu", copy=True)  # the next layer may work in place
        self._candidates.append(_Candidate(layer, name, copy, found, product, site))

    def declare(self, layer: str, name: str, tensor: Tensor) -> None:
        """Note where a map that a block declares was made: its numbers, not a view of them."""
        made = self[tensor]
        if made is not None:
            self.declared[layer, name] = made.unmoved()

    def deliver(self, captured: Captured, outputs: Iterable[Tensor]) -> None:
        """Put what was found into a recording: those products that the model's outputs depend on.

        :param captured: the recording.
        :param outputs: the tensors that the model returned; for none, as in an object of the model's own, all products
            count.
        """
        outputs = list(outputs)
        used: set[Made] = set()
        for made in filter(None, map(self.__getitem__, outputs)):
            used |= made.before()
        for each in self._candidates:
            if outputs and each.made not in used:
                self.passed[_UNUSED] += 1
                continue
            tensors = captured.setdefault(each.layer, {})
            count = 1 + sum(name.split(" ")[0] == each.name for name in tensors)
            name = each.name if count == 1 else f"{each.name} {count}"
            tensors[name] = each.tensor
            captured.found[each.layer, name] = each.found
            self.sites[each.layer, name] = each.site
        for key, made in self.declared.items():
            if (made in used or not outputs) and made.call >= 0:
                self.sites[key] = Site(made.call, "result", made.slot)
        captured.passed += self.passed


def compact(tensor: Tensor) -> Tensor:
    """Undo an expansion: along an axis whose numbers are one number in memory, keep one of them."""
    for axis, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        if size > 1 and stride == 0:
            tensor = tensor.narrow(axis, 0, 1)
    return tensor


def _which_is_the_map(factors: Any, made: list[Made], out: Tensor) -> int | None:
    """Say which of two factors is the map: 0, 1, or ``None`` where neither is one of the other.

    The other has the product's shape. The map is the smaller, or else the one that was computed from the other, or
    the only one whose numbers all lie between 0 and 1.
    """
    small = [compact(each) for each in factors[:2]]
    whole = [each.shape == out.shape for each in small]
    if not any(whole):
        return None
    if not all(whole):
        return whole.index(False)
    if made[0] in made[1].before():
        return 1
    if made[1] in made[0].before():
        return 0
    within = [bool(((each >= 0) & (each <= 1)).all()) for each in small]
    return within.index(True) if sum(within) == 1 else None
