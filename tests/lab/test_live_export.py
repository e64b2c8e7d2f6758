"""A run that is followed: what it computes is what the module computes, and the module stays as it was."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attention
from attention.contract import Attention
from attention.lab.live import KNOWN, follow
from attention.lab.live.known import PLUMBING
from attention.laws import randomise
from tests.lab.live_modules import Classifier, Mixer, Residual, Two
from tests.laws.steps import steps_of

BLOCKS = {
    "SE": ("se", {"reduction": 2, "bias": True}),
    "CBAM": ("cbam", {"reduction": 2, "norm": True, "kernel_size": 3}),
    "CBAM, the other order": ("cbam", {"reduction": 2, "order": "space-channel"}),
    "Non-local": ("non_local", {"subsample": 2}),
    "Non-local, scaled": ("non_local", {"scale": True, "norm": False, "bias": True}),
    "Non-local, dot product": ("non_local", {"similarity": "dot product"}),
    "Non-local, Gaussian": ("non_local", {"similarity": "gaussian"}),
}


class Calls(nn.Module):
    """A module that is one function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


def made(name: str) -> Attention:
    block = attention.create(BLOCKS[name][0], 8, **BLOCKS[name][1]).double()
    randomise(block, torch.Generator().manual_seed(1))
    return block.eval()


def image(channels: int = 2, size: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(1, channels, size, size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_followed_run_is_the_block(name: str) -> None:
    """Output, maps and steps, also for numbers that it was not followed with."""
    block, x = made(name), torch.randn(1, 8, 5, 6, dtype=torch.float64)
    program = follow(block, x)
    for given in (x, torch.randn(1, 8, 5, 6, dtype=torch.float64) * 3):
        values = program.compute(given)
        with torch.no_grad():
            output, maps = block.attend(given)
        torch.testing.assert_close(values[program.output], output)
        assert list(program.maps) == list(maps)
        for key, place in program.maps.items():
            torch.testing.assert_close(values[place], maps[key])
        steps = dict(steps_of(block, given))
        assert set(program.steps) == set(steps) == set(block.steps)
        for key, (place, step) in program.steps.items():
            torch.testing.assert_close(values[place], steps[key])
            assert step is block.steps[key]
    assert {each.operation for each in program.values if each.operation} <= KNOWN


def test_every_value_has_the_shape_that_is_written_down() -> None:
    program = follow(made("Non-local"), image(8))
    for place, (entry, value) in enumerate(zip(program.values, program.compute(image(8)), strict=True)):
        several = isinstance(value, tuple | list)
        assert entry.shape == ([list(each.shape) for each in value] if several else list(value.shape))
        assert all(source < place for source in entry.sources)


def test_what_depends_on_no_input_is_a_constant() -> None:
    program = follow(Calls(lambda x: x * torch.ones(4, dtype=x.dtype).exp().sum()), image())
    assert [each.operation for each in program.values if each.operation] == ["mul.Tensor"]
    (constant,) = [each.constant for each in program.values if each.constant is not None]
    assert float(constant) == pytest.approx(4 * torch.e)


def test_constants_know_their_parameters() -> None:
    names = {each.name for each in follow(made("SE"), image(8)).values if each.constant is not None}
    assert names == {"reduce.weight", "reduce.bias", "expand.weight", "expand.bias"}


# --- modules of one's own


@pytest.mark.parametrize("kind", [Classifier, Residual, Mixer, Two])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_modules_of_ones_own_can_be_followed(kind: type[nn.Module], dtype: torch.dtype) -> None:
    module, x = kind().to(dtype).eval(), image().to(dtype)
    program = follow(module, x)
    for given in (x, 2 * x + 0.1):
        with torch.no_grad():
            expected = module(given.clone())
        torch.testing.assert_close(program.compute(given)[program.output], expected)
    assert program.steps == {}
    assert program.maps == {}


@pytest.mark.parametrize("returned", [tuple, list, lambda two: dict(zip("ab", two, strict=True)), lambda two: [two]])
def test_of_several_results_the_first_counts(returned: Callable[[Any], Any]) -> None:
    program = follow(Calls(lambda x: returned((2 * x, x.mean(1)))), image())
    torch.testing.assert_close(program.compute(image())[program.output], 2 * image())


def test_a_module_may_have_several_inputs() -> None:
    x, y = image(), image(1)
    program = follow(Calls(lambda a, b: a - b), x, y)
    assert [each.input for each in program.values if each.input is not None] == [0, 1]
    torch.testing.assert_close(program.compute(x, y)[program.output], x - y)


def test_it_is_followed_in_eval_mode() -> None:
    program = follow(nn.Dropout(0.9).train(), image())
    torch.testing.assert_close(program.compute(image())[program.output], image())


def test_the_module_is_left_as_it_was() -> None:
    """Modes, also of a layer that is frozen; parameters, buffers, their gradients and attributes; hooks; the input."""
    module, x = Classifier().double(), image()
    module.train()
    module.norm.eval()
    module.conv.weight.requires_grad_(False)
    module.conv.weight.note = "mine"
    module.linear.weight.grad = torch.ones_like(module.linear.weight)

    def state() -> Any:
        held = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        return (
            {name: each.training for name, each in module.named_modules()},
            {name: (id(each), each.requires_grad, sorted(vars(each)), each._version) for name, each in held.items()},
            {name: id(each.grad) for name, each in held.items() if each.is_leaf},
            {name: each.tolist() for name, each in held.items()},
            {name: sorted(vars(each)) for name, each in module.named_modules()},
            {name: len(each._forward_hooks) for name, each in module.named_modules()},
            x.tolist(),
        )

    before = state()
    follow(module, x)
    assert state() == before


def test_it_is_left_as_it_was_when_it_is_refused() -> None:
    module = nn.Sequential(nn.Dropout(), Calls(torch.sin)).train()
    with pytest.raises(ValueError, match="sin"):
        follow(module, image())
    assert [each.training for each in module.modules()] == [True] * 3


def test_an_input_that_is_changed_in_place_stays_as_it_was() -> None:
    module, x = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(2, 2, 1)).double().eval(), image()
    program = follow(module, x)
    assert torch.equal(x, image())
    with torch.no_grad():
        torch.testing.assert_close(program.compute(x)[program.output], module(x.clone()))


# --- what is refused


def test_an_unknown_operation_is_refused_in_words() -> None:
    with pytest.raises(
        ValueError, match=r"^Calls: cos\.default, sin\.default cannot be computed in a page; known: "
    ) as caught:
        follow(Calls(lambda x: x.sin() + x.cos()), image())
    assert str(caught.value).partition("known: ")[2] == ", ".join(sorted(KNOWN))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: x.int().double(), "_to_copy"),
        (lambda x: (3 * x).long().to(x.dtype), "_to_copy"),
        (lambda x: F.max_pool2d(x, 2, return_indices=True)[1] * x[..., :2, :2], "max_pool2d"),
        (lambda x: F.conv_transpose2d(x, torch.ones(2, 1, 2, 2, dtype=x.dtype)), "convolution"),
        (lambda x: F.conv3d(x[:, :, None], torch.ones(1, 2, 1, 2, 2, dtype=x.dtype)), "convolution"),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=3), "avg_pool2d"),
    ],
    ids=["int", "long", "where the largest lies", "transposed", "volumes", "another divisor"],
)
def test_a_form_of_an_operation_that_pages_do_not_have_is_refused(function: Callable[..., Any], named: str) -> None:
    """A page would compute something else, and nobody would see it."""
    with pytest.raises(ValueError, match=rf"^Calls: .*{named}.*(cannot be computed in a page|depends on)"):
        follow(Calls(function), image())


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x if x.sum() > 0 else -x,
        lambda x: x * x.max().item(),
        lambda x: x[:, :, : int(x.abs().sum())],
        lambda x: x[x > 0],
    ],
    ids=["if", "item", "size", "mask"],
)
def test_a_run_that_depends_on_the_numbers_is_refused_in_words(function: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"^Calls: its run depends on the numbers that go through it"):
        follow(Calls(function), image())


@pytest.mark.parametrize(("returned", "called"), [(3, "int"), (None, "NoneType"), ([], "list"), ("y", "str")])
def test_a_module_has_to_return_a_tensor(returned: Any, called: str) -> None:
    with pytest.raises(ValueError, match=rf"returns {called}, and no tensor in it"):
        follow(Calls(lambda x: returned), image())


def test_what_the_module_itself_refuses_is_said_by_it() -> None:
    with pytest.raises(ValueError, match=r"channels"):
        follow(made("SE"), image(3))


def test_plumbing_is_known() -> None:
    assert PLUMBING < KNOWN
