"""Additive attention: its Spec for the laws, and what holds for this block alone."""

from math import exp, log, tanh
from typing import Any

import pytest
import torch
from einops import rearrange
from hypothesis import strategies as st
from torch import Tensor, nn

from attention import registry
from attention.encoder_decoder.additive import AdditiveAttention
from attention.lab import cost
from attention.laws import image
from attention.official import load_official
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, BadInputs, Case, Spec, bad_images, cases

READS = 3


def dot(a: list[float], b: list[float]) -> float:
    total = 0.0
    for left, right in zip(a, b, strict=True):
        total += left * right
    return total


def naive_read(block: AdditiveAttention, h: list[list[float]], s: list[float]) -> tuple[list[float], list[float]]:
    """Equations (5) and (6) for one query: c = Σ α_j h_j, with α the softmax of v · tanh(W s + U h_j)."""
    offsets = [0.0] * block.queries.out_features if block.queries.bias is None else block.queries.bias.tolist()
    (v,) = block.score.weight.tolist()
    powers = []
    for features in h:
        e = 0.0
        for k, (w, u) in enumerate(zip(block.queries.weight.tolist(), block.keys.weight.tolist(), strict=True)):
            e += v[k] * tanh(dot(w, s) + dot(u, features) + offsets[k])
        powers.append(exp(e))
    alpha = [power / sum(powers) for power in powers]
    return [dot(alpha, [features[c] for features in h]) for c in range(len(h[0]))], alpha


def naive(block: AdditiveAttention, x: list[Any], query: list[Any]) -> tuple[list[Any], dict[str, list[Any]]]:
    output, maps = [], []
    for f, queries in zip(x, query, strict=True):
        h = [[plane[i][j] for plane in f] for i in range(len(f[0])) for j in range(len(f[0][0]))]
        found = [naive_read(block, h, s) for s in (queries if block.several else [queries])]
        output.append([c for c, _ in found] if block.several else found[0][0])
        maps.append([alpha for _, alpha in found] if block.several else found[0][1])
    return output, {"position": maps}


def inputs(case: Case) -> tuple[Tensor, Tensor]:
    generator = case.generator()
    x = image((case.batch, case.options["channels"], case.height, case.width), generator)
    reads = (READS,) if case.options.get("several") else ()
    shape = (case.batch, *reads, case.options["query"])
    return x, torch.randn(shape, generator=generator, dtype=torch.float64)


def costs(case: Case) -> dict[str, int]:
    """The formulas hold for one query; each further one is projected, scored with every position, and reads."""
    sizes = {"height": case.height, "width": case.width, **case.options}
    found = {which: cost.evaluate("additive", which, **sizes) for which in ("parameters", "macs")}
    if case.options.get("several"):
        channels, query, hidden = (case.options[name] for name in ("channels", "query", "hidden"))
        found["macs"] += (READS - 1) * (query * hidden + (hidden + channels) * case.height * case.width)
    return found


SHAPE = r"query: expected shape \(batch=\d+, .*q=\d+\), received shape {shape}"
FLOATING = r"query: expected a floating-point tensor \(batch=\d+, .*q=\d+\), received "

SPEC = Spec(
    name="additive",
    build=AdditiveAttention,
    cases=cases(
        st.fixed_dictionaries(
            {
                "channels": st.integers(1, 5),
                "query": st.integers(1, 4),
                "hidden": st.integers(1, 4),
                "several": st.booleans(),
                "bias": st.booleans(),
            }
        ),
        height=(1, 4),
        width=(1, 5),
    ),
    fixed=(
        Case({"channels": 4, "query": 3, "hidden": 5}, height=3, width=2),
        Case({"channels": 3, "query": 2, "hidden": 4, "several": True, "bias": True}, batch=3, height=2, seed=1),
    ),
    naive=naive,
    inputs=inputs,
    output_shape=lambda block, x, query: (*query[:-1], x[1]),
    apply=lambda block, maps, x, query: torch.einsum("b...n,bcn->b...c", maps["position"], x.flatten(2)),
    cost=costs,
    bad_arguments=(
        BadArguments({"channels": 0, "query": 4}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 4, "query": -1}, ValueError, "query=-1 is not positive"),
        BadArguments({"channels": 4, "query": 4, "hidden": 0}, ValueError, "hidden=0 is not positive"),
        BadArguments({"channels": 4, "query": 4.0}, TypeError, "query=4.0 is not a whole number"),
        BadArguments({"channels": 4, "query": 4, "hidden": "4"}, TypeError, "hidden='4' is not a whole number"),
    ),
    bad_inputs=(
        *bad_images(),
        BadInputs("a query without its batch axis", lambda q: q[0], ValueError, SHAPE, 1),
        BadInputs("an axis too many", lambda q: q[..., None], ValueError, SHAPE, 1),
        BadInputs("a feature too many", lambda q: torch.cat([q, q[..., :1]], -1), ValueError, SHAPE, 1),
        BadInputs("fewer queries than samples", lambda q: q[:1], ValueError, SHAPE, 1),
        BadInputs("words for queries", lambda q: q.long(), TypeError, FLOATING + "dtype torch.int64", 1),
        BadInputs("no query", lambda q: None, TypeError, FLOATING + "NoneType", 1),
    ),
)


def test_a_read_computed_by_hand() -> None:
    """One feature, one hidden unit: scores 2·tanh(0) and 2·tanh(log 3) = 2 · 0.8."""
    block = AdditiveAttention(1, query=1, hidden=1).double()
    with torch.no_grad():
        for layer, value in ((block.queries, -1.0), (block.keys, 1.0), (block.score, 2.0)):
            layer.weight.fill_(value)
    x = torch.tensor([[[[1.0, 1.0 + log(3)]]]], dtype=torch.float64)
    c, maps = block.attend(x, torch.ones(1, 1, dtype=torch.float64))
    alpha = 1 / (1 + exp(1.6))
    torch.testing.assert_close(maps["position"], torch.tensor([[alpha, 1 - alpha]], dtype=torch.float64))
    torch.testing.assert_close(c, torch.tensor([[1 + (1 - alpha) * log(3)]], dtype=torch.float64))


def test_several_queries_are_read_as_one_after_the_other() -> None:
    one, many = (AdditiveAttention(6, query=5, hidden=7, several=several).double() for several in (False, True))
    one.load_state_dict(many.state_dict())
    x, queries = torch.randn(2, 6, 3, 4).double(), torch.randn(2, 4, 5).double()
    together = many(x, queries)
    for i in range(4):
        torch.testing.assert_close(together[:, i], one(x, queries[:, i]))


def test_the_features_are_projected_once_for_all_steps_of_a_decoder() -> None:
    block = AdditiveAttention(6, query=5, hidden=7)
    x, queries, calls = torch.randn(2, 6, 3, 4), torch.randn(4, 2, 5), []
    block.keys.register_forward_hook(lambda *_: calls.append(1))
    rows, keys = block.project(x)
    found = [block.read(rows, keys, query)[0] for query in queries]
    assert len(calls) == 1
    for c, query in zip(found, queries, strict=True):
        torch.testing.assert_close(c, block(x, query))


def test_the_order_of_positions_does_not_matter() -> None:
    """A set is read: what is read stays when its members change places, and their weights move with them."""
    block = AdditiveAttention(6, query=5, hidden=7).double()
    x, query = torch.randn(2, 6, 1, 12).double(), torch.randn(2, 5).double()
    order = torch.randperm(12)
    (c, maps), (moved, others) = block.attend(x, query), block.attend(x[..., order], query)
    torch.testing.assert_close(moved, c)
    torch.testing.assert_close(others["position"], maps["position"][:, order])
    torch.testing.assert_close(block(x.view(2, 6, 3, 4), query), c)


def test_a_score_is_bounded_and_so_is_the_ratio_of_two_weights() -> None:
    """|e| ≤ Σ|v|: however large features and queries are, no weight is more than e^(2 Σ|v|) times another."""
    block = AdditiveAttention(6, query=5, hidden=3).double()
    x, query = 1e6 * torch.randn(2, 6, 3, 4).double(), 1e6 * torch.randn(2, 5).double()
    alpha = block.attend(x, query)[1]["position"]
    bound = 2 * block.score.weight.abs().sum()
    assert (alpha.amax(1) / alpha.amin(1)).log().max() <= bound


@pytest.mark.parametrize(("options", "parameters"), [({}, 1000 * 3001), ({"hidden": 512, "bias": True}, 512 * 3002)])
def test_parameters_in_the_size_of_the_paper(options: dict[str, Any], parameters: int) -> None:
    """Two directions of 1000 units are read, by a decoder of 1000 units."""
    found = sum(p.numel() for p in AdditiveAttention(2000, 1000, **options).parameters())
    assert found == parameters == cost.evaluate("additive", channels=2000, query=1000, **options)


def test_it_is_not_built_from_channels_alone() -> None:
    with pytest.raises(ValueError, match=r"is a reader, not built from channels alone"):
        registry.create("additive", 8)


# The public code, in our words


def test_weights_of_the_best_known_code_give_its_output() -> None:
    torch.manual_seed(0)
    shapes = {"W_k.weight": (7, 6), "W_q.weight": (7, 5), "w_v.weight": (1, 7)}
    w = {name: torch.randn(shape, dtype=torch.float64) for name, shape in shapes.items()}
    block = AdditiveAttention(6, 5, 7, **registry.entry("additive").official["options"]).double()
    load_official(block, w)
    x, queries = torch.randn(2, 6, 3, 4).double(), torch.randn(2, 4, 5).double()
    rows = x.flatten(2).transpose(1, 2)
    hidden = torch.tanh((queries @ w["W_q.weight"].T)[:, :, None] + (rows @ w["W_k.weight"].T)[:, None])
    expected = torch.softmax((hidden @ w["w_v.weight"].T).squeeze(-1), dim=-1) @ rows
    torch.testing.assert_close(block(x, queries), expected, rtol=1e-9, atol=1e-9)


def test_one_layer_on_query_and_feature_together_is_the_same_function() -> None:
    """Another popular form: a linear layer with bias on [s, h], cut into the two matrices."""
    layer, score = nn.Linear(5 + 6, 7).double(), nn.Linear(7, 1, bias=False).double()
    block = AdditiveAttention(6, query=5, hidden=7, bias=True).double()
    with torch.no_grad():
        block.queries.weight.copy_(layer.weight[:, :5])
        block.keys.weight.copy_(layer.weight[:, 5:])
        block.queries.bias.copy_(layer.bias)
        block.score.weight.copy_(score.weight)
    x, query = torch.randn(2, 6, 3, 4).double(), torch.randn(2, 5).double()
    rows = x.flatten(2).transpose(1, 2)
    both = torch.cat([query[:, None].expand(-1, 12, -1), rows], dim=2)
    alpha = torch.softmax(score(torch.tanh(layer(both))).squeeze(2), dim=1)
    torch.testing.assert_close(block(x, query), (alpha[:, :, None] * rows).sum(1))


# What circulates, in our words: each is caught by a law


class Wrong(AdditiveAttention):
    """The reading in steps that can be spoilt; as it stands it is right."""

    def hidden(self, s: Tensor, keys: Tensor) -> Tensor:
        return (s[:, :, None] + keys[:, None]).tanh()

    def weigh(self, e: Tensor) -> Tensor:
        return e.softmax(2)

    def mean(self, alpha: Tensor, rows: Tensor, keys: Tensor) -> Tensor:
        return alpha @ rows

    def read(self, rows: Tensor, keys: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        s = self.queries(query if self.several else query[:, None])
        alpha = self.weigh(self.score(self.hidden(s, keys)).squeeze(3))
        c = self.mean(alpha, rows, keys)
        return (c, alpha) if self.several else (c.squeeze(1), alpha.squeeze(1))


class Relu(Wrong):
    """A ReLU for the tanh, as in a popular captioner."""

    def hidden(self, s: Tensor, keys: Tensor) -> Tensor:
        return (s[:, :, None] + keys[:, None]).relu()


class SoftmaxOverBatch(Wrong):
    """The softmax over the batch."""

    def weigh(self, e: Tensor) -> Tensor:
        return e.softmax(0)


class SoftmaxOverReads(Wrong):
    """The softmax over the queries: they compete for each position."""

    def weigh(self, e: Tensor) -> Tensor:
        return e.softmax(1)


class MeanOfProjections(Wrong):
    """The projections read, not the features; where both have the same width, no shape tells."""

    def mean(self, alpha: Tensor, rows: Tensor, keys: Tensor) -> Tensor:
        return alpha @ (keys if keys.shape == rows.shape else keys.mean(2, keepdim=True).expand_as(rows))


class Product(Wrong):
    """The product of query and position in the place of their sum."""

    def hidden(self, s: Tensor, keys: Tensor) -> Tensor:
        return (s[:, :, None] * keys[:, None]).tanh()


class Divided(Wrong):
    """What is read divided by the number of positions."""

    def mean(self, alpha: Tensor, rows: Tensor, keys: Tensor) -> Tensor:
        return alpha @ rows / rows.shape[1]


class BiasesEverywhere(AdditiveAttention):
    """A bias in all three layers; the one behind the tanh has no effect, for a softmax does not see it."""

    def __init__(
        self, channels: int, query: int, hidden: int = 1000, several: bool = False, bias: bool = False
    ) -> None:
        super().__init__(channels, query, hidden, several, bias)
        self.score = nn.Linear(hidden, 1)


class ColumnByColumn(AdditiveAttention):
    """The positions counted down the columns."""

    def attend(self, x: Tensor, query: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return super().attend(rearrange(x, "b c h w -> b c w h"), query)


@pytest.mark.parametrize(
    ("wrong", "law", "says"),
    [
        (Relu, 2, "output"),
        (SoftmaxOverBatch, 4, "sample"),
        (SoftmaxOverReads, 3, "summed over its axes"),
        (MeanOfProjections, 3, "maps applied"),
        (Product, 2, "output"),
        (Divided, 3, "maps applied"),
        (BiasesEverywhere, 6, "parameters"),
        (BiasesEverywhere, 5, "score.bias"),
        (ColumnByColumn, 2, "position"),
    ],
)
def test_a_law_catches_what_circulates(wrong: type, law: int, says: str) -> None:
    with pytest.raises(AssertionError, match=rf"law {law} \((.|\n)*{says}"):
        LAWS[law](SPEC.with_build(wrong), 25)


def test_the_frame_of_the_wrong_ones_is_right() -> None:
    for case in SPEC.fixed:
        torch.testing.assert_close(SPEC.with_build(Wrong).block(case)(*inputs(case)), SPEC.block(case)(*inputs(case)))
