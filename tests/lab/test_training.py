"""Training is reproducible and fair, its records are frozen, and intervals and claims say what they should."""

import json
import math
from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from scipy.stats import ttest_rel
from torch import nn

from attention.lab import training
from attention.lab.comparison import Comparison, Interval, Run
from attention.lab.session import Budget
from attention.lab.tasks import Task
from attention.lab.training import batches, claim, compare, evaluate, fit

CUDA = torch.cuda.is_available()


def toy(seed: int = 0, loss: str = "cross-entropy", n: int = 120) -> Task:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, 4, 4, generator=generator)
    y = (x.mean((2, 3)) > 0).float()
    if loss == "cross-entropy":
        y = y[:, 0].long()
    return Task("toy", (x, y), (x[:60], y[:60]), 2, 0.5, "Is the mean positive?", loss)


def small(*, dropout: float = 0.0, last: nn.Module | None = None) -> nn.Module:
    layers = [nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(dropout), nn.Flatten(), nn.Linear(24, 2)]
    return nn.Sequential(*layers, *([last] if last else []))


class Watcher(nn.Module):
    """A model that writes down which samples it was trained on."""

    def __init__(self, seen: list, inner: nn.Module) -> None:
        super().__init__()
        self.seen, self.inner = seen, inner

    def forward(self, x):
        if self.training:
            self.seen.append(x.double().sum((1, 2, 3)).tolist())
        return self.inner(x)


def result(scores_by_name: dict[str, list[float]], measure: str = "accuracy", chance: float = 0.1) -> Comparison:
    runs = [
        Run(name, seed, score, (1.0, 0.5), 2.0, 10)
        for name, values in scores_by_name.items()
        for seed, score in enumerate(values)
    ]
    return Comparison("toy", measure, chance, 5, 8, "cpu", tuple(runs))


# Reproducible and fair


@pytest.mark.parametrize("options", [{}, {"optimiser": "sgd"}, {"schedule": "constant"}, {"amp": True}])
def test_the_same_seed_gives_the_same_bits(options):
    fitted = []
    for _ in range(2):
        torch.manual_seed(1)
        model = small(dropout=0.3)
        torch.rand(len(fitted))  # what was drawn in between changes nothing
        fitted.append((fit(model, toy(), steps=12, batch=32, seed=7, **options), model.state_dict()))
    (one, first), (two, second) = fitted
    assert replace(one, seconds=0.0) == replace(two, seconds=0.0)
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_another_seed_gives_another_run():
    runs = []
    for seed in (0, 1):
        torch.manual_seed(1)
        runs.append(fit(small(), toy(), steps=12, batch=32, seed=seed))
    assert runs[0].losses != runs[1].losses


def test_all_models_of_a_seed_see_the_same_data_in_the_same_order():
    seen = {"narrow": [], "with noise of its own": []}
    models = {
        "narrow": lambda: Watcher(seen["narrow"], small()),
        "with noise of its own": lambda: Watcher(seen["with noise of its own"], small(dropout=0.5)),
    }
    compare(models, toy(), seeds=(3, 4), steps=9, batch=50)
    one, two = seen.values()
    assert len(one) == 18
    assert one == two
    assert one[:9] != one[9:]


def test_factories_start_from_the_seed_and_nothing_outside_changes():
    started = []

    def build():
        started.append(torch.rand(()).item())
        return small(dropout=0.5)

    torch.manual_seed(9)
    before = torch.get_rng_state()
    compare({"a": build, "b": build}, toy, seeds=(0, 5), steps=2)
    assert torch.equal(before, torch.get_rng_state())
    assert started[0] == started[1] != started[2] == started[3]


def test_a_task_may_depend_on_the_seed():
    asked = []
    compare({"a": small, "b": small}, lambda seed: asked.append(seed) or toy(seed), seeds=(2, 6), steps=1)
    assert asked == [2, 6]


def test_each_round_shows_every_sample_once():
    order = torch.cat(list(batches(10, 4, 10, seed=1)))
    assert order.shape == (40,)
    rounds = order.reshape(4, 10)
    assert all(sorted(r.tolist()) == list(range(10)) for r in rounds)
    assert not torch.equal(rounds[0], rounds[1])
    assert [len(rows) for rows in batches(3, 8, 2, seed=0)] == [3, 3]


def test_keep_meets_every_trained_model():
    met = []
    compare({"a": small, "b": small}, toy(), seeds=(0, 1), steps=1, keep=lambda *what: met.append(what))
    assert [(name, seed) for name, seed, _ in met] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert not any(model.training for *_, model in met)


# Learning and scoring


@pytest.mark.parametrize(
    ("loss", "last", "least"),
    [("cross-entropy", None, 0.9), ("multi-label", nn.Sigmoid(), 0.9), ("mse", None, 0.4)],
)
def test_each_loss_is_learned(loss, last, least):
    torch.manual_seed(0)
    run = fit(small(last=last), toy(loss=loss), steps=150, lr=1e-2)
    assert run.score > least
    assert run.losses[-1] < 0.6 * run.losses[0]
    assert len(run.losses) == 50
    assert run.parameters == sum(p.numel() for p in small().parameters())


class Answer(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer[: len(x)]


def test_scores_are_what_they_are_called():
    x = torch.zeros(4, 1, 1, 1)
    classes = Task("t", (x, torch.tensor([0, 1, 1, 0])), (x, torch.tensor([0, 1, 1, 0])), 2, 0.5, "")
    assert evaluate(Answer(torch.tensor([[1.0, 0], [0, 1], [1, 0], [1, 0]])), classes) == 0.75
    y = torch.tensor([[0.0, 1], [1, 1], [0, 0], [1, 0]])
    gates = replace(classes, train=(x, y), test=(x, y), loss="multi-label")
    assert evaluate(Answer(torch.tensor([[0.4, 0.6], [0.4, 0.6], [0.4, 0.6], [0.6, 0.4]])), gates) == 0.75
    numbers = replace(gates, loss="mse")
    assert evaluate(Answer(y), numbers) == 1
    assert evaluate(Answer(torch.full((4, 2), 0.5)), numbers) == 0
    assert evaluate(Answer(1 - y), numbers) == -3
    assert evaluate(Answer(y[:, :, None, None]), numbers) == 1
    with pytest.raises(ValueError, match=r"returned shape \(4, 1\); the targets have \(4, 2\)"):
        evaluate(Answer(y[:, :1]), numbers)


def test_the_rate_warms_up_and_falls_to_nothing():
    rates = [training._rate(i, 100, "cosine") for i in range(100)]
    assert rates[:5] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert rates[5] == 1
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert 0 < rates[-1] < 1e-2
    assert training._rate(3, 100, "constant") == 1
    assert 0 < training._rate(0, 1, "cosine") <= 1


@pytest.mark.parametrize("choice", [{"amp": True}, {"channels_last": True}, {"amp": True, "channels_last": True}])
def test_mixed_precision_and_channels_last_learn_as_well(choice):
    torch.manual_seed(0)
    assert fit(small(), toy(), steps=150, lr=1e-2, **choice).score > 0.9


@pytest.mark.skipif(not CUDA, reason="no CUDA device")
def test_on_cuda_the_data_stay_on_the_device_and_mixed_precision_is_the_default():
    seen = []

    class Look(nn.Module):
        def forward(self, x):
            seen.append((x.device.type, x.is_contiguous(memory_format=torch.channels_last)))
            return x

    result = compare(
        {"a": lambda: nn.Sequential(Look(), small())}, toy(), seeds=(0,), steps=150, lr=1e-2, device="cuda"
    )
    assert set(seen) == {("cuda", True)}
    assert result.mean("a") > 0.9
    assert result.device == "cuda"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps=0"),
        ({"batch": 0}, "batch=0"),
        ({"lr": 0.0}, "lr=0.0"),
        ({"optimiser": "adam"}, "optimiser='adam'"),
        ({"schedule": "step"}, "schedule='step'"),
    ],
)
def test_fit_refuses_bad_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        fit(small(), toy(), **({"steps": 1} | options))


def test_fit_refuses_a_model_without_parameters_and_a_loss_that_is_no_number():
    with pytest.raises(ValueError, match="no trainable parameter"):
        fit(nn.Flatten(), toy(), steps=1)
    with pytest.raises(FloatingPointError, match="the loss is"):
        fit(small(), toy(loss="mse"), steps=30, lr=1e30, optimiser="sgd")


def test_compare_refuses_nothing_to_compare_and_seeds_given_twice():
    with pytest.raises(ValueError, match="models is empty"):
        compare({}, toy(), steps=1)
    for seeds in ((), (1, 1)):
        with pytest.raises(ValueError, match="seeds="):
            compare({"a": small}, toy(), seeds=seeds, steps=1)


# Silence


def test_nothing_is_written_where_nobody_watches(capfd, monkeypatch):
    monkeypatch.delenv("ATTENTION_PROGRESS", raising=False)
    fit(small(), toy(), steps=3)
    assert capfd.readouterr() == ("", "")


def test_a_bar_is_shown_where_it_is_asked_for(capfd, monkeypatch):
    monkeypatch.setenv("ATTENTION_PROGRESS", "1")
    fit(small(), toy(), steps=3, name="mine")
    assert "mine, seed 0" in capfd.readouterr().err
    monkeypatch.setenv("ATTENTION_PROGRESS", "0")
    monkeypatch.setattr(training.sys.stderr, "isatty", lambda: True)
    fit(small(), toy(), steps=3)
    assert capfd.readouterr().err == ""


CELL = """
import torch
from torch import nn
from attention.experiments.se import tasks as se
from attention.lab.training import compare
result = compare({"a": se.reader, "b": se.reader}, se.conditional_channel, seeds=(0, 1), steps=3)
result.plot()
se.conditional_channel().show()
"""


def test_a_notebook_that_is_executed_gets_no_error_output(monkeypatch):
    monkeypatch.delenv("ATTENTION_PROGRESS", raising=False)
    notebook = new_notebook(cells=[new_code_cell(CELL)])
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    outputs = notebook.cells[0].outputs
    assert [output.output_type for output in outputs] == ["display_data", "display_data"]
    assert all(output.metadata["image/svg+xml"]["alt"] for output in outputs)


# Records


def test_records_are_frozen():
    comparison = result({"a": [0.1, 0.2], "b": [0.3, 0.3]})
    for thing, field in (
        (comparison, "steps"),
        (comparison.runs[0], "score"),
        (comparison.difference("a", "b"), "mean"),
    ):
        with pytest.raises(FrozenInstanceError):
            setattr(thing, field, 0)


def test_records_go_through_json_unchanged():
    comparison = compare({"a": small, "b": small}, toy(), seeds=(0, 1), steps=3, batch=16)
    kept = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert Comparison.from_dict(kept) == comparison
    assert (comparison.steps, comparison.batch, comparison.seeds, comparison.names) == (3, 16, (0, 1), ("a", "b"))


def test_parts_made_with_different_seeds_join_into_one():
    whole = compare({"a": small, "b": small}, toy, seeds=(0, 1, 2), steps=3)
    parts = [compare({"a": small, "b": small}, toy, seeds=(seed,), steps=3) for seed in (0, 1, 2)]
    joined = Comparison.merge(parts)
    assert Comparison.joined(part.to_dict() for part in parts) == joined
    plain = [replace(c, runs=tuple(replace(r, seconds=0.0) for r in c.runs)) for c in (whole, joined)]
    assert plain[0] == plain[1]
    with pytest.raises(ValueError, match="share seeds"):
        Comparison.merge([parts[0], parts[0]])
    with pytest.raises(ValueError, match="parts differ"):
        Comparison.merge([parts[0], replace(parts[1], steps=4)])
    with pytest.raises(ValueError, match="parts is empty"):
        Comparison.merge([])


def test_models_get_other_names() -> None:
    found = compare({"a": small, "b": small}, toy(), seeds=(0, 1), steps=1)
    other = found.renamed({"b": "c"})
    assert (other.names, other.scores("c")) == (("a", "c"), found.scores("b"))
    assert other.renamed({"c": "b"}) == found
    with pytest.raises(ValueError, match="there is no d; the models: a, b"):
        found.renamed({"d": "e"})
    with pytest.raises(ValueError, match="two models would have one name"):
        found.renamed({"b": "a"})


def test_mean_and_spread_by_hand():
    comparison = result({"a": [0.2, 0.4, 0.9], "b": [0.5]})
    assert comparison.mean("a") == pytest.approx(0.5)
    assert comparison.spread("a") == pytest.approx(math.sqrt((0.09 + 0.01 + 0.16) / 2))
    assert math.isnan(comparison.spread("b"))
    with pytest.raises(ValueError, match="name='c' is not one of a, b"):
        comparison.scores("c")


def test_the_interval_by_hand_and_by_scipy():
    # Differences 1, 2, 3, 4: mean 2.5, standard error sqrt(5/3)/2, t(0.975; 3) = 3.182446 from a table.
    ours, theirs = [3.0, 5.0, 4.0, 9.0], [2.0, 3.0, 1.0, 5.0]
    interval = Interval.paired(ours, theirs)
    half = 3.182446 * math.sqrt(5 / 3) / 2
    assert (interval.mean, interval.low, interval.high) == pytest.approx((2.5, 2.5 - half, 2.5 + half), abs=1e-6)
    for level in (0.8, 0.95, 0.99):
        wanted = ttest_rel(ours, theirs).confidence_interval(level)
        found = Interval.paired(ours, theirs, level=level)
        assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


def test_pairing_matters():
    drift = [0.5, 0.6, 0.7, 0.8, 0.9]  # what all models of a seed share
    better = [d + 0.01 + 0.001 * i for i, d in enumerate(drift)]
    assert Interval.paired(better, drift).verdict == "higher"
    assert Interval.paired(better, drift[::-1]).verdict == "undecided"


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [([], [], "0 scores"), ([1.0], [1.0, 2.0], "1 scores cannot be paired with 2")],
)
def test_what_cannot_be_paired_is_refused(ours, theirs, words):
    with pytest.raises(ValueError, match=words):
        Interval.paired(ours, theirs)
    with pytest.raises(ValueError, match="level=1"):
        Interval.paired([1.0, 2.0], [1.0, 2.0], level=1)


def test_sentences_state_the_verdict():
    up = result({"SE": [0.82, 0.84, 0.86], "plain": [0.80, 0.83, 0.84]})
    assert up.difference("SE", "plain").sentence() == (
        "SE minus plain: +1.67 points (95% interval +0.23 to +3.10, 3 seeds).\n  SE scores higher."
    )
    assert up.difference("plain", "SE").sentence().endswith("plain scores lower.")
    same = result({"SE": [0.82, 0.80], "plain": [0.80, 0.83]}, measure="R²")
    assert same.difference("SE", "plain").sentence() == (
        "SE minus plain: -0.005 (95% interval -0.323 to +0.313, 2 seeds).\n"
        "  The interval holds 0: no difference is shown."
    )
    one = result({"SE": [0.82], "plain": [0.80]}).difference("SE", "plain")
    assert (one.low, one.high, one.verdict) == (-math.inf, math.inf, "undecided")
    assert one.sentence() == "SE minus plain: +2.00 points; one seed gives no interval."


def test_the_table_has_a_row_a_model_and_few_digits():
    text = str(result({"plain": [0.81234, 0.83456], "with block": [0.9, 0.9]}).table())
    head, _, first, second, last = text.splitlines()
    assert head.split() == ["model", "mean", "std", "lowest", "highest", "parameters"]
    assert first.split() == ["plain", "0.82", "0.016", "0.81", "0.83", "10"]
    assert second.split() == ["with", "block", "0.90", "0.000", "0.90", "0.90", "10"]
    assert last == "accuracy on toy; chance 0.10; 2 seeds, 5 steps each"


# Claims


def test_claims_are_judged_by_the_budget(capsys):
    cpu, smoke = (Budget(name, torch.device("cpu")) for name in ("cpu", "smoke"))
    claim("It holds.", True, cpu)
    assert capsys.readouterr().out == "✓ It holds.\n"
    with pytest.raises(AssertionError, match="It fails"):
        claim("It fails.", False, cpu)
    assert capsys.readouterr().out == "✗ It fails.\n"
    for holds in (True, False):
        claim("Who knows.", holds, smoke)
        assert capsys.readouterr().out == "– Who knows. (not judged: the budget is smoke)\n"
