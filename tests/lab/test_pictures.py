"""The live pictures of the mechanisms: each can be made, says what it computes, and shows what it is there to show."""

from functools import cache
from importlib import import_module
from itertools import combinations

import pytest
import torch

from attention import pictures, registry
from attention.lab.live import Picture, markup
from attention.pictures.making import like, weighted
from tools import chapters

MECHANISMS = [name for name, entry in registry.entries().items() if entry.built]


@cache
def made(name: str) -> Picture:
    return pictures.make(name)


@cache
def computed(name: str, variant: str, preset: str) -> list:
    shown = made(name)
    return shown.programs[variant].compute(*shown.presets[preset])


def main(name: str) -> str:
    return next(iter(made(name).programs))


def maps(name: str, variant: str = "", preset: str = "") -> dict[str, torch.Tensor]:
    """The maps of a picture; of its first variant and its first input, where no others are named."""
    variant, preset = variant or main(name), preset or next(iter(made(name).presets))
    return {key: computed(name, variant, preset)[value] for key, value in made(name).programs[variant].maps.items()}


def output(name: str, variant: str, preset: str) -> torch.Tensor:
    return computed(name, variant, preset)[made(name).programs[variant].output]


def moved(name: str, variant: str, step: str, place: int) -> int:
    """How many numbers of a step follow when one number of the first input is moved."""
    shown = made(name)
    given = next(iter(shown.presets.values()))
    changed = given[0].clone()
    changed.view(-1)[place] += 1e-4
    value = next(each.value for each in shown.drawn[variant] if each.name == step)
    before, after = (shown.programs[variant].compute(x, *given[1:])[value] for x in (given[0], changed))
    return int(((after - before).abs() > 1e-12).sum())


def test_every_mechanism_has_a_picture_and_each_picture_is_of_something():
    assert set(MECHANISMS) <= set(pictures.names())
    assert set(pictures.names()) - set(MECHANISMS) <= {"idea_gate", "idea_query"}


def test_a_name_without_a_picture_is_refused():
    with pytest.raises(ValueError, match=r"name='idea' has no picture; there are .*eca"):
        pictures.make("idea")


@pytest.mark.parametrize("name", pictures.names())
def test_a_picture_is_small(name):
    assert len(markup(made(name))) < 70_000


@pytest.mark.parametrize("name", MECHANISMS)
def test_its_inputs_and_variants_differ_in_what_comes_out(name):
    shown = made(name)
    assert 3 <= len(shown.presets) <= 5
    assert len(shown.programs) >= 2
    for one, other in combinations(shown.presets, 2):
        assert not torch.equal(output(name, main(name), one), output(name, main(name), other)), (one, other)
    for variant in list(shown.programs)[1:]:
        found = [(output(name, main(name), each), output(name, variant, each)) for each in shown.presets]
        assert any(a.shape != b.shape or (a - b).abs().max() > 0.01 for a, b in found), variant


@pytest.mark.parametrize("name", MECHANISMS)
def test_each_step_says_what_it_is_computed_from(name):
    picture = made(name)
    for variant, drawn in picture.drawn.items():
        values = picture.programs[variant].values
        for each in drawn:
            if each.zone != "input" and values[each.value].constant is None:  # a weight is computed from nothing
                assert each.equation, (variant, each.name)
                assert "computed from" not in each.equation, (variant, each.name)
                assert "constants" not in each.equation, (variant, each.name)


@pytest.mark.parametrize("name", MECHANISMS)
def test_no_two_tensors_have_one_symbol(name):
    for variant, drawn in made(name).drawn.items():
        symbols = [each.tex for each in drawn]
        assert len(set(symbols)) == len(symbols), (variant, symbols)


@pytest.mark.parametrize("name", MECHANISMS)
def test_its_maps_are_neither_saturated_nor_all_alike_on_the_first_input(name):
    for key, found in maps(name).items():
        numbers, one = found.flatten(), found.new_ones(())
        assert numbers.isfinite().all(), key
        assert numbers.max() - numbers.min() > 0.08, key
        shares = any(torch.allclose(found.sum(axis), one) for axis in range(found.ndim) if found.shape[axis] > 1)
        if numbers.min() >= 0 and numbers.max() <= 1 and not shares:  # gates
            assert ((numbers < 0.05) | (numbers > 0.95)).double().mean() <= 0.5, key


@pytest.mark.parametrize("name", MECHANISMS)
def test_it_says_how_its_weights_were_made(name):
    if any(value.name for value in made(name).programs[main(name)].values):
        assert "not trained" in made(name).about


@pytest.mark.parametrize("name", MECHANISMS)
def test_no_layer_before_a_bend_is_shut_on_the_first_input(name):
    """A ReLU that lets nothing through would make all that stands before it look useless."""
    program, found = made(name).programs[main(name)], computed(name, main(name), next(iter(made(name).presets)))
    for value, numbers in zip(program.values, found, strict=True):
        if value.operation == "relu.default":
            assert (numbers > 0).any()


def test_one_channel_of_eca_moves_three_gates_and_with_k_5_five():
    place = 3 * 16
    assert [moved("eca", variant, "s", place) for variant in ("k = 1", "k = 3", "k = 5")] == [1, 3, 5]


def test_one_pass_of_criss_cross_attention_reaches_a_cross_and_two_reach_everything():
    assert moved("ccnet", "one pass", "X1", 9) == moved("ccnet", "two passes", "X1", 9) == 6 + 6 - 1
    assert moved("ccnet", "two passes", "X2", 9) == 36


@pytest.mark.parametrize("name", ["ccnet", "fca", "gsop", "resnest", "additive"])
def test_a_block_that_its_picture_writes_anew_computes_the_same(name):
    """Subclasses mark more steps, or compute each from the one before; the function is that of the block."""
    shown, module = made(name), import_module(f"attention.pictures.{name}")
    given = list(shown.presets.values())[-1]
    kind = registry.entry(name).load()
    anew = {"ccnet": "InPasses"}.get(name, "Literal")
    options = {
        "ccnet": {"channels": 1, "reduction": 1, "passes": 2},
        "fca": {"channels": 4, "reduction": 2, "frequencies": ((0, 0), (0, 1), (1, 0), (1, 1))},
        "gsop": {"channels": 4, "reduced": 2},
        "resnest": {"channels": 4, "reduction": 4, "floor": 2},
        "additive": {"channels": 2, "query": 3, "hidden": 5},
    }[name]
    own = weighted(kind(**options), seed=3)
    y, found = own(*given), like(getattr(module, anew), own, **options)(*given)
    assert torch.allclose(found, y)


@pytest.mark.parametrize("name", MECHANISMS)
def test_each_step_leads_to_the_output(name):
    """A step that is a copy beside the way would seem to move nothing when one points at it."""
    for variant, program in made(name).programs.items():
        before = {program.output}
        for place in reversed(range(len(program.values))):
            if place in before:
                before.update(program.values[place].sources)
        assert {each.value for each in made(name).drawn[variant]} <= before, variant


def test_coordinate_attention_forgets_where_a_row_was_with_one_mean():
    assert moved("coordinate", "Coordinate", "gh", 17) < moved("coordinate", "one mean", "gh", 17) == 4 * 7
    rows = maps("coordinate", "one mean")["rows"]
    assert torch.allclose(rows, rows[:, :, :1].expand_as(rows))


def test_equal_means_look_alike_to_means_and_not_to_other_frequencies():
    same, other = (
        [maps("fca", kind, each)["channel"] for each in made("fca").presets] for kind in ("means only", "FcaNet")
    )
    assert all(torch.allclose(same[0], each, atol=1e-3) for each in same)
    assert all((a - b).abs().max() > 0.1 for a, b in combinations(other, 2))


def test_only_covariances_tell_channels_alike_from_channels_reversed():
    gates = {
        (kind, each): maps("gsop", kind, each)["channel"]
        for kind in ("covariances", "variances alone")
        for each in ("all alike", "two and two")
    }
    assert torch.allclose(gates["variances alone", "all alike"], gates["variances alone", "two and two"])
    assert (gates["covariances", "all alike"] - gates["covariances", "two and two"]).abs().max() > 0.1


def test_shuffled_positions_leave_dot_product_attention_as_shuffled_as_they_are():
    plain, shuffled = (
        output("dot_product", "one head", each).flatten(2) for each in ("two halves", "the same, shuffled")
    )
    assert torch.allclose(plain.sort(2).values, shuffled.sort(2).values)


def test_exchanged_inputs_are_mixed_by_the_same_map():
    one, other = (maps("aff", "AFF", each)["fusion_1"] for each in ("large and small", "small and large"))
    assert torch.equal(one, other)


def test_the_official_similarity_of_channels_prefers_the_unlike_one():
    paper, reverse = (maps("danet", kind)["channel"][0] for kind in ("paper", "reversed"))
    assert paper[0, 1] > paper[0, 2]
    assert reverse[0, 1] < reverse[0, 2]


def test_a_query_chooses_nothing_without_the_tanh():
    asked = ("asks for channel 1", "asks for channel 2")
    with_, without = ([maps("additive", kind, each)["position"] for each in asked] for kind in ("additive", "no tanh"))
    assert torch.allclose(*without)
    assert (with_[0] - with_[1]).abs().max() > 0.1


def test_the_windows_of_gam_and_bam_are_as_large_as_their_kernels():
    middle = 4 * 9 + 4
    assert moved("gam", "k = 3", "Ms", middle) == 2 * 5 * 5
    assert moved("gam", "k = 5", "Ms", middle) > 2 * 5 * 5
    assert moved("bam", "d = 2", "Ms", 5 * 11 + 5) <= 5 * 5  # nine taps with gaps, twice


def test_a_channel_moves_only_its_group_in_sge_and_shuffle_attention():
    assert moved("sge", "two groups", "a", 0) == 36  # of 72
    assert moved("shuffle", "SA", "y", 0) == 25


@pytest.mark.parametrize("name", [entry.name for entry in chapters.written()])
def test_a_chapter_holds_its_picture_as_it_is(name: str) -> None:
    """Its output is not compared when the chapter is run again, for Jupyter and Colab add the script."""
    notebook = chapters.read(chapters.notebook_path(registry.entry(name)))
    (cell,) = [cell for cell in notebook.cells if "live" in chapters.tags(cell)]
    (output,) = [each for each in cell.outputs if "text/html" in each.get("data", {})]
    assert "".join(output["data"]["text/html"]) == markup(made(name)), f"run: make execute NAME={name}"
