"""``attention.laws`` on blocks that know nothing of this package: what each law finds, and what it leaves alone."""

import builtins
import math
import re
import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attention import laws
from attention.contract import Map

X = torch.randn(3, 8, 4, 5, generator=torch.Generator().manual_seed(0))


class Scores(nn.Module):
    """Attention of positions to positions, with the product and the softmax left to subclasses."""

    start = 1.0

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.query, self.key = (nn.Conv2d(channels, channels // 2, 1, bias=False) for _ in range(2))
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.tensor([self.start]))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        return x + self.gamma * self.mix(q, k, v).reshape(x.shape)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.einsum("bij,bcj->bci", torch.einsum("bci,bcj->bij", q, k).softmax(2), v)


class OverQueries(Scores):
    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.einsum("bij,bcj->bci", torch.einsum("bci,bcj->bij", q, k).softmax(1), v)


class OverQueriesFromZero(OverQueries):
    start = 0.0


class OverBatch(Scores):
    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return v @ F.softmax(q.mT @ k, dim=0).mT


class OverHeads(Scores):
    """Heads first, and the default of an old ``F.softmax``: the axis of the heads."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        b, _, n = q.shape
        q, k, v = (each.reshape(b, 2, -1, n).permute(1, 0, 2, 3) for each in (q, k, v))
        weights = nn.Softmax(dim=0)(q.mT @ k)
        return (v @ weights.mT).permute(1, 0, 2, 3).reshape(b, -1, n)


class Transposed(Scores):
    """The same function as ``Scores``, with keys before queries."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return v @ (k.mT @ q).softmax(1)


class Fused(Scores):
    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q.mT, k.mT, v.mT).mT


class Linear(Scores):
    """Efficient attention: two softmax, each over the axis that its product sums."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (v @ k.softmax(2).mT) @ q.softmax(1)


class Branches(nn.Module):
    """Two branches, and for each channel a softmax over them, or over the channels."""

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = axis
        self.branches = nn.ModuleList(nn.Conv2d(8, 8, k, padding=k // 2) for k in (1, 3))
        self.choose = nn.Linear(8, 16, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        each = torch.stack([branch(x) for branch in self.branches], 1)
        scores = self.choose(each.sum(1).mean((2, 3))).reshape(-1, 2, 8)
        return (each * scores.softmax(self.axis)[..., None, None]).sum(1)


class Placed(nn.Module):
    """A softmax over the positions that multiplies, without a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Conv2d(8, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.score(x).flatten(2).softmax(2) * x[0, 0].numel()).reshape(-1, 1, *x.shape[2:])


class Gate(nn.Module):
    """The gate of SE, which subclasses spoil."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Linear(8, 2), nn.Linear(2, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean((2, 3)))[..., None, None]

    def gate(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.expand(F.silu(self.reduce(z))))


class Pooled(Gate):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :, 1:]


class Logarithm(Gate):
    def gate(self, z: Tensor) -> Tensor:
        return super().gate(z).log().log()


class MeanOfBatch(Gate):
    def gate(self, z: Tensor) -> Tensor:
        return super().gate(z - z.mean(0))


class Reshaped(Gate):
    """A batch and its channels, exchanged by a reshape that needs two samples."""

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean((2, 3)).reshape(-1, 8)).mT.reshape(len(x), 8, 1, 1)


class Normalised(Gate):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)

    def gate(self, z: Tensor) -> Tensor:
        return super().gate(self.norm(z))


class NormalisedByHand(Gate):
    def gate(self, z: Tensor) -> Tensor:
        return super().gate((z - z.mean(0)) / z.std(0) if self.training else z)


class Squeezing(Gate):
    def gate(self, z: Tensor) -> Tensor:
        return super().gate(z.squeeze().softmax(1))


class Viewed(Gate):
    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.view(len(x), 8, -1).mean(2))[..., None, None]


class AtLeastOne(Gate):
    def forward(self, x: Tensor) -> Tensor:
        if not len(x):
            raise IndexError("no sample")
        return super().forward(x)


class InPlace(Gate):
    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(self.gate(x.mean((2, 3)))[..., None, None])


class Unused(Gate):
    def __init__(self) -> None:
        super().__init__()
        self.forgotten = nn.Linear(8, 8)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        return 2 * z

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class WrongBackward(Gate):
    def gate(self, z: Tensor) -> Tensor:
        return super().gate(Doubled.apply(z))


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z**3

    @staticmethod
    def backward(ctx, gradient):
        (z,) = ctx.saved_tensors
        return gradient * (3 * z**2).detach()


class FirstOnly(Gate):
    def gate(self, z: Tensor) -> Tensor:
        return super().gate(Once.apply(z))


class Wide(Gate):
    def gate(self, z: Tensor) -> Tensor:
        return super().gate(z) * torch.ones(8, dtype=torch.float64)


class Long(Gate):
    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate((64 * x).sum((2, 3)) / (64 * x[0, 0].numel()))[..., None, None]


class Stays(Gate):
    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.full((8,), 0.5)

    def gate(self, z: Tensor) -> Tensor:
        return super().gate(z + self.shift.to(z.dtype))


class Closed(Gate):
    def __init__(self) -> None:
        super().__init__()
        self.squash = lambda z: z.tanh()

    def gate(self, z: Tensor) -> Tensor:
        return super().gate(self.squash(z))


class Decides(Gate):
    def gate(self, z: Tensor) -> Tensor:
        return super().gate(z if z.sum() > 0 else -z)


class Counts(Gate):
    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.reshape(math.prod(x.shape[:1]), 8, -1).mean(2))[..., None, None] + 0 * len(x)


#: A block, the law that it breaks, and what that law says.
WRONG: list[tuple[Callable[[], nn.Module], str, str]] = [
    (Pooled, "shape", r"output \(3, 8, 3, 5\), documented \(3, 8, 4, 5\)"),
    (Logarithm, "shape", "the output is not finite"),
    (MeanOfBatch, "batch_mates", "sample 0 alone"),
    (Reshaped, "batch_mates", "sample 0"),
    (NormalisedByHand, "batch_of_one", r"in training, the output of \(1, 8, 4, 5\) is not finite"),
    (Squeezing, "batch_of_one", "IndexError|RuntimeError"),
    (AtLeastOne, "batch_of_none", "IndexError: no sample"),
    (OverQueries, "normalised_axis", r"over axis 1 of weights \(3, 20, 20\): it is axis 2 that is summed over next"),
    (OverQueriesFromZero, "normalised_axis", "over axis 1 of weights"),
    (OverBatch, "normalised_axis", "over axis 0 of weights"),
    (OverHeads, "normalised_axis", r"over axis 0 of weights \(2, 3, 20, 20\): it is axis 3"),
    (lambda: Branches(2), "normalised_axis", r"over axis 2 of weights \(3, 2, 8\): it is axis 1"),
    (InPlace, "unchanged", "input 0 was changed in place"),
    (Unused, "gradients_arrive", "the 64 elements of forgotten.weight never received"),
    (WrongBackward, "gradients_are_right", "Jacobian mismatch"),
    (WrongBackward, "forward_mode", "jvp|forward"),
    (FirstOnly, "second_derivatives", "Jacobian mismatch"),
    (Wide, "dtypes", "a torch.float32 block makes the output torch.float64"),
    (Long, "half_precision", "is not finite; in float64 it reaches"),
    (Viewed, "layouts", "view size is not compatible"),
    (Stays, "devices", "meta"),
    (Closed, "pickles", "lambda"),
    (Decides, "compiles", "[Dd]ata-dependent"),
    (Decides, "exports", "[Dd]ata-dependent"),
    (Decides, "fx", "symbolically traced variables cannot be used as inputs to control flow"),
    (Counts, "fx", "len"),
]
_IDS = [f"{law}-{getattr(make, '__name__', '')}" for make, law, _ in WRONG]
#: Laws whose tools fail for reasons of PyTorch's alone have no wrong block here; `test_wrong_variants` has theirs.


@pytest.mark.parametrize(("make", "law", "says"), WRONG, ids=_IDS)
def test_a_wrong_block_is_found_in_one_line(make: Callable[[], nn.Module], law: str, says: str) -> None:
    with pytest.raises(AssertionError, match=rf"(?s)^{law} \(.*{says}"):
        laws.LAWS[law](make(), X)


@pytest.mark.parametrize("make", [Gate, Scores])
def test_a_right_block_breaks_no_law(make: Callable[[], nn.Module]) -> None:
    allowed = {"half_precision": "scores of pairs are taken in half precision"} if make is Scores else {}
    report = laws.check(make(), X, without=allowed)
    assert report.broken == {}
    skipped = {each.law.name: each.said for each in report.findings if each.verdict == "skipped"}
    assert skipped == {"maps": "it declares no maps: it is no attention.contract.Attention", **allowed}
    assert len(report.findings) == len(laws.LAWS)


@pytest.mark.parametrize("make", [Transposed, Fused, Linear, Branches, Placed, Gate, Normalised])
def test_a_softmax_that_is_right_is_left_alone(make: Callable[[], nn.Module]) -> None:
    laws.normalised_axis(make(), X)


def _called(block: nn.Module, x: Tensor) -> Tensor:
    return block(x, x, x, need_weights=True)[0]


def test_a_block_that_is_called_in_another_way() -> None:
    block = laws.Called(nn.MultiheadAttention(8, 2, batch_first=True), _called)
    only = ["shape", "batch_mates", "normalised_axis", "pickles"]
    assert laws.check(block, X.flatten(2).mT, only=only).broken == {}
    wrong = laws.Called(nn.MultiheadAttention(8, 2, batch_first=False), _called)  # it takes the batch for a sequence
    assert set(laws.check(wrong, X.flatten(2).mT, only=only).broken) == {"batch_mates"}


def test_competition_on_purpose_is_said_with_a_reason() -> None:
    """Slot attention normalises over those who take, not over what is taken; the law says so, and may be left out."""
    report = laws.check(OverQueries(), X, only=["normalised_axis"], without={"normalised_axis": "slots compete"})
    assert report.broken == {}
    assert "skipped  normalised_axis  slots compete" in str(report)


def test_a_softmax_behind_a_zero_is_named() -> None:
    with pytest.raises(AssertionError, match="has no influence on the output: the block may start with a zero"):
        laws.normalised_axis(OverQueriesFromZero(), X, random=False)


def test_the_block_and_the_inputs_stay_as_they_are() -> None:
    block, x = Normalised().train(), X.clone()
    state = {name: value.clone() for name, value in block.state_dict().items()}
    laws.check(block, x)
    assert block.training
    assert x.equal(X)
    assert all(value.equal(state[name]) for name, value in block.state_dict().items())


def test_maps_of_this_packages_blocks_are_looked_at() -> None:
    import attention

    report = laws.check(attention.create("cbam", channels=8, reduction=2), X, only=["maps", "half_precision"])
    assert [each.verdict for each in report.findings] == ["holds", "holds"]


def test_a_map_of_any_module_is_held_to_a_declaration() -> None:
    x = X.flatten(2).mT
    _, weights = nn.MultiheadAttention(8, 2, batch_first=True)(x, x, x)
    laws.as_declared(weights, Map("b n n", "softmax", sums=(2,)))
    with pytest.raises(AssertionError, match=r"the map 'weights', summed over its axes \(1,\), differs"):
        laws.as_declared(weights, Map("b n n", "softmax", sums=(1,)), "weights")
    with pytest.raises(ValueError, match=r"declared 'b h n n': 4 axes"):
        laws.as_declared(weights, Map("b h n n", "softmax", sums=(3,)))
    laws.as_declared(torch.rand(2, 12), Map("b (h w)", "sigmoid"), h=3, w=4)


def test_another_form_of_the_same_function() -> None:
    block, other = (make().double().eval() for make in (Scores, Transposed))
    other.load_state_dict(block.state_dict())
    laws.equals(block, X.double(), reference=other)
    with pytest.raises(AssertionError, match="the output differs by"):
        laws.equals(block, X.double(), reference=lambda x: x)


class Square(Gate):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[..., : x.shape[-1] - (x.shape[-2] > 3)]


def test_many_sizes_are_tried_and_the_smallest_is_named() -> None:
    assert laws.check(Square(), X[:, :, :3], only=["shape"]).broken == {}
    report = laws.check(Square(), X[:, :, :3], only=["shape"], draws=50)
    assert re.search(r"with inputs \(1, 8, 4, 1\)$", report.broken["shape"])
    assert laws.check(Gate(), X, only=["shape", "batch_mates", "layouts"], draws=20).broken == {}


def test_a_report_can_be_read() -> None:
    report = laws.check(OverQueries(), X, only=["shape", "normalised_axis", "maps"])
    lines = str(report).splitlines()
    assert lines[0] == "OverQueries, on (3, 8, 4, 5)"
    assert all(len(line) <= 78 for line in lines)
    assert [line.split()[:2] for line in lines[1:] if not line.startswith(" ")] == [
        ["holds", "shape"],
        ["broken", "normalised_axis"],
        ["skipped", "maps"],
    ]
    assert "| normalised\\_axis | **broken** |" in report._repr_markdown_()
    with pytest.raises(AssertionError, match=r"(?s)^OverQueries, on .*\nnormalised_axis: the softmax over axis 1"):
        report.raise_broken()
    laws.check(Gate(), X, only=["shape"]).raise_broken()


def test_a_law_that_does_not_exist_is_named() -> None:
    for wrong in ({"only": ["sape"]}, {"without": {"sape": "no"}}, {"sape": {}}):
        with pytest.raises(ValueError, match="sape: no such law; there are shape, batch_mates,"):
            laws.check(Gate(), X, **wrong)


def test_what_a_law_takes_beside() -> None:
    assert laws.check(Pooled(), X, only=["shape"], shape={"expected": (3, 8, 3, 5)}).broken == {}
    kept = {"none_by_design": {"forgotten.weight": "it is not used", "forgotten.bias": "it is not used"}}
    assert laws.check(Unused(), X, only=["gradients_arrive"], gradients_arrive=kept).broken == {}
    stale = {"none_by_design": {"reduce.weight": "it is not used"}}
    assert laws.check(Gate(), X, only=["gradients_arrive"], gradients_arrive=stale).broken


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("hypothesis", "onnxruntime")]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name: str, *rest: object, **named: object) -> object:
        if name.split(".")[0] in ("hypothesis", "onnxruntime"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "skipped  onnx  onnxruntime is not installed" in str(laws.check(Gate(), X, only=["onnx"]))
    with pytest.raises(ModuleNotFoundError, match="hypothesis"):
        laws.images(8)
    with pytest.raises(ModuleNotFoundError, match="hypothesis"):
        laws.check(Gate(), X, only=["shape"], draws=5)


@pytest.mark.parametrize("law", laws.LAWS.values(), ids=str)
def test_as_tests_one_for_each_law(law: laws.Law) -> None:
    law(Gate(), X)


def test_drawn_images_fit_a_test_of_ones_own() -> None:
    from hypothesis import given, settings

    seen = []

    @settings(max_examples=20, database=None, deadline=None)
    @given(x=laws.images(8, height=(2, 3)))
    def mates(x: Tensor) -> None:
        seen.append(tuple(x.shape))
        laws.batch_mates(Gate(), x)

    mates()
    assert {shape[1] for shape in seen} == {8}
    assert {shape[2] for shape in seen} == {2, 3}
    assert len(set(seen)) > 5
