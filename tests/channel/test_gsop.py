"""Global second-order pooling: its Spec for the laws, and what holds for this block alone."""

from math import exp
from typing import Any

import pytest
import torch
from einops import rearrange, reduce
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import conv2d

from attention.channel import gsop
from attention.channel.gsop import SecondOrderPooling
from attention.channel.se import SqueezeExcitation
from attention.formulas import evaluate
from attention.lab import cost
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases
from tests.laws.steps import steps_of

Plane = list[list[float]]


def normalise(value: float, norm: nn.Module, channel: int) -> float:
    """Batch normalisation in eval mode, of one number."""
    mean, variance = norm.running_mean[channel].item(), norm.running_var[channel].item()
    return norm.weight[channel].item() * (value - mean) / (variance + norm.eps) ** 0.5 + norm.bias[channel].item()


def naive_reduced(block: SecondOrderPooling, sample: list[Plane]) -> list[list[float]]:
    """δ(B(W_r ⋆ X)), at every position that the stride leaves."""
    conv, norm, _ = block.reduce
    matrix, offsets = conv.weight.flatten(1).tolist(), conv.bias.tolist()
    reduced = []
    for i, (weights, offset) in enumerate(zip(matrix, offsets, strict=True)):
        row = []
        for p in range(0, len(sample[0]), block.stride):
            for q in range(0, len(sample[0][0]), block.stride):
                total = offset
                for weight, plane in zip(weights, sample, strict=True):
                    value = plane[p][q]
                    total += weight * (max(value, 0.0) if block.rectify else value)
                row.append(max(normalise(total, norm, i), 0.0))
        reduced.append(row)
    return reduced


def naive_covariance(rows: list[list[float]]) -> list[list[float]]:
    """X' Ī X'ᵀ, with the matrix Ī written out."""
    m = len(rows[0])
    bar = [[((1.0 if k == n else 0.0) - 1 / m) / m for n in range(m)] for k in range(m)]
    half = [[sum(row[k] * bar[k][n] for k in range(m)) for n in range(m)] for row in rows]
    return [[sum(a[n] * b[n] for n in range(m)) for b in rows] for a in half]


def naive(block: SecondOrderPooling, x: list[list[Plane]]) -> tuple[list[Any], dict[str, list[Any]]]:
    """The paper's equations, one number at a time."""
    filters, row_bias = block.rows.weight.squeeze(1).squeeze(2).tolist(), block.rows.bias.tolist()
    matrix, bias = block.expand.weight.flatten(1).tolist(), block.expand.bias.tolist()
    output, gates = [], []
    for sample in x:
        sigma = naive_covariance(naive_reduced(block, sample))
        h = []
        for o in range(len(filters)):  # four filters to each row
            i = o // 4
            total = row_bias[o]
            for weight, covariance in zip(filters[o], sigma[i], strict=True):
                total += weight * normalise(covariance, block.row_norm, i)
            h.append(total if total > 0 else block.slope * total)
        s = []
        for weights, offset in zip(matrix, bias, strict=True):
            total = offset + sum(weight * value for weight, value in zip(weights, h, strict=True))
            s.append(1 / (1 + exp(-total)))
        output.append([[[gate * v for v in row] for row in plane] for gate, plane in zip(s, sample, strict=True)])
        gates.append([[[gate]] for gate in s])
    return output, {"channel": gates}


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    return {
        "channels": draw(st.integers(1, 8)),
        "reduced": draw(st.integers(1, 4)),
        "stride": draw(st.integers(1, 2)),
        "slope": draw(st.sampled_from([0.0, 0.1, 1.0])),
        "rectify": draw(st.booleans()),
    }


OFFICIAL = {"slope": 1.0, "rectify": True}  # beside the stride, which depends on the channels there

SPEC = Spec(
    name="gsop",
    cases=cases(options(), height=(1, 4), width=(1, 4)),
    fixed=(
        Case({"channels": 6, "reduced": 4}, batch=3, height=3, width=5),
        Case({"channels": 4, "reduced": 3, "stride": 2} | OFFICIAL, batch=2, height=4, width=5, seed=1),
        Case({"channels": 3, "reduced": 5, "slope": 0.0}, batch=2, height=4, width=3, seed=2),
    ),
    naive=naive,
    bad_arguments=(
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 8, "reduced": -1}, ValueError, "reduced=-1 is not positive"),
        BadArguments({"channels": 8, "reduced": 4.0}, TypeError, "reduced=4.0 is not a whole number"),
        BadArguments({"channels": 8, "stride": (2, 2)}, TypeError, r"stride=\(2, 2\) is not a whole number"),
        BadArguments({"channels": 8, "slope": -0.1}, ValueError, "slope=-0.1 is outside the interval; allowed: 0 to 1"),
        BadArguments({"channels": 8, "slope": float("nan")}, ValueError, "slope=nan is outside the interval"),
        BadArguments({"channels": 8, "slope": "0.1"}, TypeError, "slope='0.1' is not a number"),
        BadArguments({"channels": 8, "slope": True}, TypeError, "slope=True is not a number"),
    ),
    bad_inputs=bad_images(),
)


def plain(channels: int, **options: Any) -> SecondOrderPooling:
    """A block in eval mode that reduces nothing: of images without negative numbers it takes the covariances as they
    are, and normalises nothing.
    """
    block = SecondOrderPooling(channels, reduced=channels, **options).double().eval()
    with torch.no_grad():
        block.reduce[0].weight.copy_(torch.eye(channels)[..., None, None])
        block.reduce[0].bias.zero_()
        for norm in (block.reduce[1], block.row_norm):
            norm.running_var.fill_(1 - norm.eps)
    return block


def test_covariances_are_those_of_torch_divided_by_the_number_of_positions() -> None:
    block, x = plain(5), torch.rand(3, 5, 4, 6, dtype=torch.float64)
    sigma = dict(steps_of(block, x))["sigma"]
    for found, image in zip(sigma, x, strict=True):
        torch.testing.assert_close(found, torch.cov(image.flatten(1), correction=0))


def test_gates_computed_by_hand() -> None:
    """Two channels (0, 2) and (4, 0): variances 1 and 4, covariance −2; each row's first filter sums it up."""
    block = plain(2, slope=0.1)
    with torch.no_grad():
        for layer in (block.rows, block.expand):
            layer.weight.zero_()
            layer.bias.zero_()
        block.rows.weight[0::4] = 1.0  # rows 1 − 2 and −2 + 4
        block.expand.weight[0, 0] = block.expand.weight[1, 4] = 1.0
    x = torch.tensor([[[[0.0, 2.0]], [[4.0, 0.0]]]], dtype=torch.float64)
    expected = torch.tensor([-0.1, 2.0], dtype=torch.float64).sigmoid()
    torch.testing.assert_close(block.weights(x)[0, :, 0, 0], expected)


def test_it_sees_correlation_where_the_means_see_nothing() -> None:
    """Two images of equal means and variances in every channel, whose channels go together, or apart."""
    a = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    together, apart = (torch.stack([a, b]).view(1, 2, 2, 2) for b in (a, 1 - a))
    se, block = SqueezeExcitation(2, 1).double(), plain(2)
    torch.testing.assert_close(se.weights(together), se.weights(apart), rtol=0, atol=1e-15)
    assert (block.weights(together) - block.weights(apart)).abs().max() > 1e-3


def test_it_is_blind_to_means_alone_and_to_where_things_are() -> None:
    block, x = plain(4), torch.rand(2, 4, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(block.weights(x + torch.rand(1, 4, 1, 1)), block.weights(x))
    shuffled = x.flatten(2)[..., torch.randperm(30)].view_as(x)
    torch.testing.assert_close(block.weights(shuffled), block.weights(x))


def test_each_row_is_read_by_its_own_filters() -> None:
    """A change in one row of the covariances changes its four numbers of 4d, and no others."""
    block = plain(3)
    sigma = torch.rand(1, 3, 3, dtype=torch.float64)
    other = sigma.clone()
    other[:, 1] += 1
    before, after = (
        gsop._convolve(rearrange(each, "b i j -> b i j 1"), block.rows.weight, block.rows.bias, 3).flatten()
        for each in (sigma, other)
    )
    assert (before != after).nonzero().flatten().tolist() == [4, 5, 6, 7]


def test_rectifying_hides_negative_numbers() -> None:
    x = torch.randn(2, 8, 4, 5, dtype=torch.float64)
    for rectify in (False, True):
        block = SecondOrderPooling(8, 4, rectify=rectify).double().eval()
        assert torch.allclose(block.weights(x), block.weights(x.relu())) == rectify
        assert torch.equal(block(x) == 0, x == 0), "the input that is weighed is never rectified"


@pytest.mark.parametrize("training", [True, False])
def test_the_rows_are_normalised_as_pytorch_does(training: bool) -> None:
    """In eval mode the block does it in its own words, and the stored statistics are those of training."""
    block = SPEC.block(SPEC.fixed[0], training=training)
    sigma = torch.randn(3, 4, 4, dtype=torch.float64)
    norm = nn.BatchNorm2d(4).double().train(training)
    norm.load_state_dict(block.row_norm.state_dict())
    torch.testing.assert_close(block.normalised(sigma), norm(sigma[..., None])[..., 0])
    for name, value in norm.state_dict().items():
        torch.testing.assert_close(block.row_norm.state_dict()[name], value)


@pytest.mark.parametrize(("reduced", "stride", "size"), [(4, 2, (2, 2)), (4, 1, (1, 1)), (1, 1, (3, 3))])
def test_one_number_is_not_normalised(reduced: int, stride: int, size: tuple[int, int]) -> None:
    block = SecondOrderPooling(8, reduced, stride)
    with pytest.raises(ValueError, match=r"^x\w*: expected at least 2 .* in training, received shape"):
        block(torch.randn(1, 8, *size))
    assert block.eval()(torch.randn(1, 8, *size)).isfinite().all()
    assert block.train()(torch.randn(2, 8, *size)).isfinite().all()


@pytest.mark.parametrize(("stride", "positions"), [(1, 196), (2, 49)])
def test_costs_of_one_block(stride: int, positions: int) -> None:
    x = torch.randn(1, 256, 14, 14)
    counted = cost.check("gsop", SecondOrderPooling(256, stride=stride), x, stride=stride)
    assert counted.parameters == 230_784
    assert counted.macs == (256 * 128 + 128**2) * positions + 4 * 128**2 + 4 * 128 * 256


def test_parameters_of_the_published_networks() -> None:
    """A ResNet-50 with a block in its last three stages; the released code has one in all four."""
    extra = {c: evaluate("gsop", "parameters", channels=c) for c in (256, 512, 1024, 2048)}
    assert 25_557_032 + extra[512] + extra[1024] + extra[2048] == 28_054_440
    assert 25_557_032 + sum(extra.values()) == 28_285_224


@pytest.mark.filterwarnings("ignore")
def test_a_stride_is_exported_for_sizes_that_it_steps_through() -> None:
    """PyTorch's export asks whether the map that the stride leaves has one row; a smallest size of 3 answers it."""
    onnxruntime = pytest.importorskip("onnxruntime")
    block, dim = SPEC.block(SPEC.fixed[1], torch.float32), torch.export.Dim
    names = {0: dim("batch"), 2: dim("height", min=3), 3: dim("width", min=3)}
    program = torch.export.export(block, (torch.randn(3, 4, 5, 6),), dynamic_shapes=(names,))
    file = torch.onnx.export(program, dynamo=True, verbose=False).model_proto
    session = onnxruntime.InferenceSession(file.SerializeToString(), providers=["CPUExecutionProvider"])
    for shape in ((2, 4, 7, 4), (4, 4, 3, 9)):
        x = torch.randn(shape)
        torch.testing.assert_close(program.module()(x), block(x))
        (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), block(x), rtol=1e-4, atol=1e-4)


# What circulates, in our words: each is caught by a law


class SecondMoment(SecondOrderPooling):
    """The products without the means taken off."""

    def weights(self, x: Tensor) -> Tensor:
        return self.with_covariance(x, lambda u: u @ u.transpose(1, 2) / u.shape[2])

    def with_covariance(self, x: Tensor, covariance: Any) -> Tensor:
        sigma = covariance(self.reduce(x.relu() if self.rectify else x).flatten(2))
        h = self.rows(self.normalised(sigma)[..., None])
        return self.expand(nn.functional.leaky_relu(h, self.slope)).sigmoid()


class Unbiased(SecondMoment):
    """Covariances divided by M − 1."""

    def weights(self, x: Tensor) -> Tensor:
        def covariance(u: Tensor) -> Tensor:
            centred = u - u.mean(2, keepdim=True)
            return centred @ centred.transpose(1, 2) / max(u.shape[2] - 1, 1)

        return self.with_covariance(x, covariance)


class Correlation(SecondMoment):
    """Correlations for covariances."""

    def weights(self, x: Tensor) -> Tensor:
        def covariance(u: Tensor) -> Tensor:
            unit = nn.functional.normalize(u - u.mean(2, keepdim=True), dim=2)
            return unit @ unit.transpose(1, 2)

        return self.with_covariance(x, covariance)


class RowsMixed(SecondOrderPooling):
    """A convolution over all rows at once, without groups."""

    def __init__(self, channels: int, reduced: int = 128, *arguments: Any, **options: Any) -> None:
        super().__init__(channels, reduced, *arguments, **options)
        self.rows = nn.Conv2d(reduced, 4 * reduced, (reduced, 1))

    def weights(self, x: Tensor) -> Tensor:
        sigma = gsop._covariance(self.reduce(x))
        return self.expand(conv2d(self.normalised(sigma)[..., None], self.rows.weight, self.rows.bias)).sigmoid()


class NoRowNorm(SecondOrderPooling):
    """The covariances as they are."""

    def normalised(self, sigma: Tensor) -> Tensor:
        return sigma


class ColumnsNormalised(SecondOrderPooling):
    """The rows laid along the wrong axis for the normalisation alone."""

    def normalised(self, sigma: Tensor) -> Tensor:
        return super().normalised(sigma).transpose(1, 2)


class NoNonlinearity(SecondOrderPooling):
    """Two convolutions with nothing between them, whatever was asked for."""

    def __init__(self, channels: int, reduced: int = 128, stride: int = 1, slope: float = 0.1, **options: Any) -> None:
        super().__init__(channels, reduced, stride, 1.0, **options)
        self.slope = slope

    def weights(self, x: Tensor) -> Tensor:
        asked, self.slope = self.slope, 1.0
        gate = super().weights(x)
        self.slope = asked
        return gate


class MeansForCovariances(SecondOrderPooling):
    """First-order pooling under the second-order name: the same in each column."""

    def weights(self, x: Tensor) -> Tensor:
        z = reduce(self.reduce(x), "b d h w -> b d 1", "mean").expand(-1, -1, self.reduced)
        return self.expand(self.rows(self.normalised(z)[..., None])).sigmoid()


class HalfCovariance(SecondMoment):
    """Covariances in the type of the input, which ends at 65504 in float16."""

    def weights(self, x: Tensor) -> Tensor:
        def covariance(u: Tensor) -> Tensor:
            centred = u - u.mean(2, keepdim=True)
            return centred @ centred.transpose(1, 2) / u.shape[2]

        return self.with_covariance(x, covariance)


@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        (SecondMoment, 2),
        (Unbiased, 2),
        (Correlation, 2),
        (RowsMixed, 6),
        (NoRowNorm, 2),
        (ColumnsNormalised, 2),
        (NoNonlinearity, 2),
        (MeansForCovariances, 2),
        (HalfCovariance, 13),
    ],
)
def test_a_law_catches_what_circulates(wrong: type, law: int) -> None:
    with pytest.raises(AssertionError, match=rf"law {law} \("):
        LAWS[law](SPEC.with_build(wrong), 25)


def test_what_the_variants_share_is_right() -> None:
    """With covariances that are right, the variants' common form is the block's function."""
    LAWS[2](SPEC.with_build(HalfCovariance), 25)
