"""Blocks that are right, and blocks that are wrong in one way each: the material on which the laws are tested.

Two right blocks are spoilt: Squeeze-and-Excitation, and :class:`Context`, a block of this file that has what SE has
not: a softmax map and the identity at its start.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from hypothesis import strategies as st
from torch import Tensor, nn

from attention.channel.se import SqueezeExcitation
from attention.contract import Attention, Map, Step, check_input, check_positive
from tests.channel.test_se import SPEC as SE
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

__all__ = ["CONTEXT", "VARIANTS", "Context", "Variant"]

torch.fx.wrap("rearrange")


class Context(Attention):
    r"""Add to every position, scaled by γ = 0 at the start, the mean of all positions under a softmax.

    $$
    a_j = \frac{e^{k^\top x_j}}{\sum_m e^{k^\top x_m}}, \qquad y_i = x_i + \gamma \sum_j a_j x_j
    $$

    :param channels: number of channels.
    :raises TypeError: for a ``channels`` that is not an ``int``; for an input that is no floating-point tensor.
    :raises ValueError: for a ``channels`` below 1; for an input of another shape.
    """

    start = 0.0

    def __init__(self, channels: int) -> None:
        super().__init__()
        (self.channels,) = check_positive(channels=channels)
        channels = self.channels
        self.maps = {"position": Map("b (h w)", "softmax", sums=(1,), about="how much of this position is added")}
        self.steps = {
            "a": Step("b (h w)", "compare", "how much of this position is added"),
            "y": Step("b c h w", "add", "the mean, added to what was there"),
        }
        self.key = nn.Conv2d(channels, 1, 1, bias=False)
        self.gamma = nn.Parameter(torch.tensor(self.start))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.constant_(self.gamma, self.start)

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        check_input(x, c=self.channels)
        position = self.step("a", self.normalise(self.key(x)))
        # A matrix product; einsum would turn one over a single position into a product of elements, and law 6 see it.
        context = rearrange(x, "b c h w -> b c (h w)") @ rearrange(position, "b n -> b n 1")
        y = x + self.gamma * rearrange(context, "b c 1 -> b c 1 1")
        return self.step("y", y), {"position": position}

    def normalise(self, scores: Tensor) -> Tensor:
        return rearrange(scores, "b 1 h w -> b (h w)").softmax(1)


def naive_context(block: Context, x: list) -> tuple[list, dict[str, list]]:
    """The same with loops."""
    key, gamma = block.key.weight.flatten().tolist(), block.gamma.item()
    output, maps = [], []
    for sample in x:
        height, width = len(sample[0]), len(sample[0][0])
        places = [(i, j) for i in range(height) for j in range(width)]
        scores = [math.exp(sum(k * plane[i][j] for k, plane in zip(key, sample, strict=True))) for i, j in places]
        position = [score / sum(scores) for score in scores]
        context = [sum(p * plane[i][j] for p, (i, j) in zip(position, places, strict=True)) for plane in sample]
        output.append(
            [[[v + gamma * c for v in row] for row in plane] for c, plane in zip(context, sample, strict=True)]
        )
        maps.append(position)
    return output, {"position": maps}


CONTEXT = Spec(
    name="context",
    build=Context,
    cases=cases(st.builds(dict, channels=st.integers(1, 16))),
    fixed=(Case({"channels": 3}, height=2, width=3), Case({"channels": 4}, height=3, width=2, seed=1)),
    naive=naive_context,
    identity_at_start=True,
    bad_arguments=(
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 2.0}, TypeError, "channels=2.0 is not a whole number"),
    ),
    bad_inputs=bad_images(),
    cost=lambda case: {
        "parameters": case.options["channels"] + 1,
        "macs": 2 * case.options["channels"] * case.height * case.width,
    },
)


@dataclass(frozen=True)
class Variant:
    """One wrong block.

    :param about: what is wrong with it.
    :param law: the law that must catch it, whichever others do.
    :param says: a regular expression for what that law says: it must be caught for what is wrong with it.
    :param spec: the right block's Spec, building the wrong one.
    """

    about: str
    law: int
    says: str
    spec: Spec


VARIANTS: list[Variant] = []


def wrong(about: str, law: int, says: str, spec: Spec = SE) -> Callable[[type], type]:
    """Note a class as a wrong variant."""

    def note(variant: type) -> type:
        # One fixed case is enough to be caught by a slow law.
        VARIANTS.append(Variant(about, law, says, replace(spec, build=variant, fixed=spec.fixed[:1])))
        return variant

    return note


class _SE(SqueezeExcitation):
    """Squeeze-and-Excitation in steps, so that one of them can be wrong; as it stands it is right.

    :raises TypeError: as SE.
    :raises ValueError: as SE.
    """

    def weights(self, x: Tensor) -> Tensor:
        check_input(x, c=self.channels)
        s = self.step("s", self.excite(self.step("z", self.squeeze(x))))
        return rearrange(s, "b c -> b c 1 1")

    def squeeze(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))

    def excite(self, z: Tensor) -> Tensor:
        return self.expand(self.reduce(z).relu()).sigmoid()


# Law 1: shapes


@wrong("height and width confused in the output", 1, r"output \(1, 1, 2, 1\), documented \(1, 1, 1, 2\)")
class HeightWidthConfused(_SE):
    def attend(self, x):
        gate = self.weights(x)
        b, c, h, w = x.shape
        return (x * gate).reshape(b, c, w, h), {"channel": gate}


@wrong("assumes square maps", 1, "is invalid for input of size")
class OnlySquare(_SE):
    def squeeze(self, x):
        b, c, _, w = x.shape
        return x.reshape(b, c, w * w).mean(-1)


@wrong("squeeze() drops a batch of one", 1, "RuntimeError")
class SqueezesBatch(_SE):
    def squeeze(self, x):
        return x.mean((2, 3)).squeeze()


@wrong("gate laid along the width", 1, r"output \(.*documented \(")
class GateAlongWidth(_SE):
    def attend(self, x):
        gate = self.weights(x)
        return x * rearrange(gate, "b c 1 1 -> b 1 1 c"), {"channel": gate}


# Law 2: values


@wrong("non-linearity missing", 2, "the output differs")
class NoRelu(_SE):
    def excite(self, z):
        return self.expand(self.reduce(z)).sigmoid()


@wrong("softmax instead of the declared sigmoid", 2, "the output differs")
class SoftmaxGate(_SE):
    def excite(self, z):
        return self.expand(self.reduce(z).relu()).softmax(-1)


@wrong("maximum instead of mean", 2, "the output differs")
class MaxSqueeze(_SE):
    def squeeze(self, x):
        return reduce(x, "b c h w -> b c", "max")


@wrong("sum instead of mean", 2, "the output differs")
class SumSqueeze(_SE):
    def squeeze(self, x):
        return reduce(x, "b c h w -> b c", "sum")


@wrong("map right, output gated twice", 2, "the output differs")
class GatedTwice(_SE):
    def attend(self, x):
        gate = self.weights(x)
        return x * gate * gate, {"channel": gate}


@wrong("mean over positions and channels", 2, "the output differs")
class MeanOverChannels(_SE):
    def squeeze(self, x):
        return reduce(x, "b c h w -> b 1", "mean").expand(-1, self.channels)


@wrong("float32 in the middle of float64", 2, "the output differs")
class ThroughFloat32(_SE):
    def squeeze(self, x):
        return super().squeeze(x.float()).to(x.dtype)


# Law 3: maps


@wrong("sigmoid missing", 3, r"a sigmoid lies in \[0, 1\]")
class NoSigmoid(_SE):
    def excite(self, z):
        return self.expand(self.reduce(z).relu())


@wrong("extra residual: x + x · map", 3, "the output, against x · map, differs")
class ExtraResidual(_SE):
    def attend(self, x):
        gate = self.weights(x)
        return x + x * gate, {"channel": gate}


@wrong("forward is not attend: a hard sigmoid", 3, "forward, against attend's, differs")
class ForwardDiffers(_SE):
    def forward(self, x):
        check_input(x, c=self.channels)
        return x * rearrange(F.hardsigmoid(self.expand(self.reduce(self.squeeze(x)).relu())), "b c -> b c 1 1")


@wrong("a map that was not declared", 3, r"attend returned maps \['channel', 'hidden'\], declared \['channel'\]")
class UndeclaredMap(_SE):
    def attend(self, x):
        output, maps = super().attend(x)
        return output, {**maps, "hidden": self.reduce(self.squeeze(x))}


@wrong("map declared with other dims", 3, "declared 'b c h w'")
class OtherDims(_SE):
    def __init__(self, channels, reduction=16, bias=False):
        super().__init__(channels, reduction, bias)
        self.maps = {"channel": Map("b c h w", "sigmoid")}


@wrong("softmax over the batch instead of the positions", 3, r"summed over its axes \(1,\), differs", CONTEXT)
class SoftmaxOverBatch(Context):
    def normalise(self, scores):
        return rearrange(scores, "b 1 h w -> b (h w)").softmax(0)


# Which of the two is said depends on the numbers that are drawn.
@wrong("output differs from call to call", 3, "other results for the same case|forward, against attend's, differs")
class Noisy(_SE):
    def excite(self, z):
        return F.dropout(super().excite(z), 0.5, training=True)


# Law 4: the batch


@wrong("one sample's gate shared over the batch", 4, "sample 1 alone")
class SharedOverBatch(_SE):
    def squeeze(self, x):
        return super().squeeze(x[:1]).expand(len(x), -1)


@wrong("statistics of the whole batch", 4, "sample 1 alone")
class BatchStatistics(_SE):
    def squeeze(self, x):
        z = super().squeeze(x)
        return z - z.mean(0, keepdim=True)


# Law 5: inputs and gradients


@wrong("input changed in place", 5, "input 0 was changed in place")
class InPlace(_SE):
    def attend(self, x):
        gate = self.weights(x)
        return x.mul_(gate), {"channel": gate}


@wrong("a parameter that never reaches the output", 5, "8 of the 8 elements of scale never")
class UnusedParameter(_SE):
    def __init__(self, channels, reduction=16, bias=False):
        super().__init__(channels, reduction, bias)
        self.scale = nn.Parameter(torch.ones(channels))


@wrong("a bias that the softmax cancels", 5, "1 of the 1 elements of key.bias never", CONTEXT)
class DeadBias(Context):
    def __init__(self, channels):
        super().__init__(channels)
        self.key = nn.Conv2d(channels, 1, 1, bias=True)


@wrong("gate cut off from the gradient", 5, "elements of (reduce|expand).* never")
class DetachedGate(_SE):
    def excite(self, z):
        return super().excite(z).detach()


class _HalfGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        s = x.sigmoid()
        ctx.save_for_backward(s)
        return s

    @staticmethod
    def backward(ctx, gradient):
        (s,) = ctx.saved_tensors
        return gradient * s  # forgets the factor 1 − s


@wrong("a hand-written backward without one factor", 5, "Jacobian mismatch")
class WrongBackward(_SE):
    def excite(self, z):
        return _HalfGradient.apply(self.expand(self.reduce(z).relu()))


@wrong("counts its calls in eval mode too", 5, "eval mode changed calls")
class CountsCalls(_SE):
    def __init__(self, channels, reduction=16, bias=False):
        super().__init__(channels, reduction, bias)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def squeeze(self, x):
        self.calls += 1
        return super().squeeze(x)


# Law 6: cost


@wrong("hidden width never below 8", 6, "parameters: counted 16, by formula 2")
class HiddenFloor(_SE):
    def __init__(self, channels, reduction=16, bias=False):
        super().__init__(channels, reduction, bias)
        hidden = max(8, channels // reduction)
        self.reduce = nn.Linear(channels, hidden, bias=bias)
        self.expand = nn.Linear(hidden, channels, bias=bias)


@wrong("same function at HW times the work", 6, "macs: counted 3, by formula 2")
class LinearBeforeMean(_SE):
    def weights(self, x):
        check_input(x, c=self.channels)
        hidden = reduce(self.reduce(rearrange(x, "b c h w -> b h w c")), "b h w k -> b k", "mean")
        return rearrange(self.expand(hidden.relu()).sigmoid(), "b c -> b c 1 1")


# Law 7: types, layouts, copies


@wrong("float32 constants that widen bfloat16", 7, "a torch.bfloat16 block makes")
class WideConstant(_SE):
    def attend(self, x):
        gate = self.weights(x) * torch.ones(1)
        return x * gate, {"channel": gate}


@wrong("view() of an input that is not contiguous", 7, "view size is not compatible")
class ViewsInput(_SE):
    def squeeze(self, x):
        return x.view(*x.shape[:2], -1).mean(-1)


@wrong("a weight that is no parameter", 7, "a deep copy, after it was changed, differs")
class PlainTensor(_SE):
    def __init__(self, channels, reduction=16, bias=False):
        super().__init__(channels, reduction, bias)
        weight = self.expand.weight.detach().double()
        del self.expand
        self.expand = SimpleNamespace(weight=weight, bias=None)

    def excite(self, z):
        return F.linear(self.reduce(z).relu(), self.expand.weight.to(z.dtype)).sigmoid()


@wrong("a lambda that pickle refuses", 7, "HoldsLambda.__init__")
class HoldsLambda(_SE):
    def __init__(self, channels, reduction=16, bias=False):
        super().__init__(channels, reduction, bias)
        self.pool = lambda x: x.mean((2, 3))

    def squeeze(self, x):
        return self.pool(x)


class _Excite:
    def __init__(self, block: Any) -> None:
        self.block = block

    def __call__(self, z: Tensor) -> Tensor:
        return self.block.expand(self.block.reduce(z).relu()).sigmoid()

    def __deepcopy__(self, memo: dict) -> "_Excite":
        return self  # what a closure over the block does


@wrong("a deep copy that still uses the original's weights", 7, "a deep copy, after it was changed, differs")
class SharedCopy(_SE):
    def __init__(self, channels, reduction=16, bias=False):
        super().__init__(channels, reduction, bias)
        self.gate = _Excite(self)

    def excite(self, z):
        return self.gate(z)


# Law 8: compile, export


@wrong("Python control flow that depends on the data", 8, "data-dependent")
class DataDependent(_SE):
    def squeeze(self, x):
        z = super().squeeze(x)
        return z if bool((z > 0).any()) else 1.0 * z


# Law 9: the start


@wrong("γ starts at 1 where the paper has 0", 9, "at initialisation, against the input, differs", CONTEXT)
class GammaStartsAtOne(Context):
    start = 1.0


@wrong(
    "an identity at the start that the Spec does not state",
    9,
    "identity_at_start=True",
    replace(CONTEXT, identity_at_start=False),
)
class UnstatedIdentity(Context):
    pass


# Law 10: bad input


@wrong("no check of the input: torch's error, not the documented one", 10, "raised IndexError")
class Unchecked(_SE):
    def weights(self, x):
        return rearrange(self.excite(self.squeeze(x)), "b c -> b c 1 1")


@wrong("a reduction that does not divide is rounded silently", 10, "'reduction': 16}: accepted, documented ValueError")
class RoundsSilently(_SE):
    def __init__(self, channels, reduction=16, bias=False):
        check_positive(channels=channels, reduction=reduction)
        divides = max(r for r in range(1, channels + 1) if channels % r == 0 and r <= reduction)
        super().__init__(channels, divides, bias)


@wrong(
    "an error that the docstring does not mention",
    10,
    r"documents \['ValueError'\], the Spec tries \['TypeError', 'ValueError'\]",
)
class Undocumented(_SE):
    """Squeeze-and-Excitation.

    :raises ValueError: for anything.
    """


# Laws 5, 8 to 13: what circulates, and what people met


class _NoSecond(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        s = x.sigmoid()
        ctx.save_for_backward(s)
        return s

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (s,) = ctx.saved_tensors
        return gradient * s * (1 - s)


@wrong("a second derivative that forgets where it came from", 5, "Jacobian mismatch")
class NoSecondDerivative(_SE):
    def excite(self, z):
        return _NoSecond.apply(self.expand(self.reduce(z).relu()))


@wrong("inputs without names", 8, "does not name its inputs")
class Nameless(_SE):
    def forward(self, *inputs):
        return self.attend(*inputs)[0]


@wrong("forward and attend name their input differently", 8, r"forward names \['u'\], attend \['x'\]")
class OtherName(_SE):
    def forward(self, u):
        return self.attend(u)[0]


@wrong("a decision on the size of the batch, which a graph cannot take", 8, "TraceError")
class AsksForTheBatch(_SE):
    def squeeze(self, x):
        return super().squeeze(x) if x.shape[0] > 0 else x.sum((2, 3))


@wrong("the start is lost after to_empty", 9, "gamma does not start as in a fresh block", CONTEXT)
class LosesItsStart(Context):
    def reset_parameters(self):
        Attention.reset_parameters(self)


@wrong("keeps NumPy's numbers", 10, "block.channels is NumPy's")
class KeepsNumpy(_SE):
    def __init__(self, channels, reduction=16, bias=False):
        super().__init__(channels, reduction, bias)
        self.channels = channels


@wrong("takes the word false for true", 10, "'bias': 'false'.*accepted")
class AnyTruth(_SE):
    def __init__(self, channels, reduction=16, bias=False):
        super().__init__(channels, reduction, bool(bias))


@wrong("a batch of one in training: torch's error", 11, "Expected more than 1 value per channel when training")
class NormalisesOne(_SE):
    def __init__(self, channels, reduction=16, bias=False):
        super().__init__(channels, reduction, bias)
        self.norm = nn.BatchNorm1d(channels)

    def squeeze(self, x):
        return self.norm(super().squeeze(x))


@wrong("an empty width is not named", 11, "a width of 0 in input 0: raised .*does not match 'width is 0'")
class NamelessWidth(_SE):
    def weights(self, x):
        if 0 in x.shape[2:] and x.shape[2] > 0:
            raise ValueError(f"received shape {tuple(x.shape)}")
        return super().weights(x)


@wrong("len() of a tensor: the batch of the example for ever", 12, "batch")
class FixedBatch(_SE):
    def squeeze(self, x):
        return x.mean((2, 3)).view(len(x), self.channels)


@wrong("a sum before it is divided", 13, "is not finite|differs by")
class SumsFirst(_SE):
    def squeeze(self, x):
        return x.sum((2, 3)) / (x.shape[2] * x.shape[3])


@wrong("scores of pairs in half precision", 13, "is not finite", CONTEXT)
class HalfScores(Context):
    def normalise(self, scores):
        return super().normalise(scores * scores * scores.abs())


# Law 14: steps


@wrong("a step that is declared and never marked", 14, r"marks the steps \['s', 'y'\], declared \['s', 'y', 'z'\]")
class UnmarkedStep(_SE):
    def weights(self, x):
        check_input(x, c=self.channels)
        return rearrange(self.step("s", self.excite(self.squeeze(x))), "b c -> b c 1 1")


@wrong("a step that is marked and not declared", 14, r"marks the steps \['hidden', 's', 'y', 'z'\], declared")
class UndeclaredStep(_SE):
    def excite(self, z):
        return self.expand(self.step("hidden", self.reduce(z).relu())).sigmoid()


@wrong("a step declared with other dims", 14, "the step has shape .*, declared 'b h w'")
class StepOfOtherDims(_SE):
    def __init__(self, channels, reduction=16, bias=False):
        super().__init__(channels, reduction, bias)
        self.steps = {**self.steps, "z": Step("b h w", "squeeze", "the mean of each position")}


@wrong("an equation that is no step", 14, r"equation for \$h\$ is none of the steps")
class EquationWithoutStep(_SE):
    r"""The gate, with one equation more than the block has steps.

    $$
    z_c = \frac{1}{HW} \sum_{i,j} u_c(i, j), \qquad h = \delta(W_1 z), \qquad s = \sigma(W_2 h), \qquad
    y_c = s_c x_c
    $$
    """


@wrong("a step that the docstring does not write", 14, r"symbol \$s\$, which the docstring lacks")
class StepWithoutEquation(_SE):
    r"""The gate, without its excitation.

    $$
    z_c = \frac{1}{HW} \sum_{i,j} x_c(i, j), \qquad y_c = \sigma(W_2\, \delta(W_1 z))_c\, x_c
    $$
    """


@wrong("no step at all", 14, "the block declares no steps")
class NoSteps(_SE):
    def __init__(self, channels, reduction=16, bias=False):
        super().__init__(channels, reduction, bias)
        self.steps = {}

    def step(self, name, value):
        return value
