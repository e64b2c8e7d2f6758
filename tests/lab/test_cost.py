"""Counting: cases small enough to count by hand, torch's own counters, and modules left as they were."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from attention.backbones.resnet import small_resnet
from attention.channel.se import SqueezeExcitation
from attention.lab import cost
from attention.lab.operations import _FREE, Operations, _pointwise


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def image(*shape: int) -> Tensor:
    return torch.rand(1, *shape)


# Parameters and multiply–adds, by hand


@pytest.mark.parametrize(
    ("module", "shape", "parameters", "macs", "operations"),
    [
        # 16 positions × 9 taps; one channel in, one out.
        (nn.Conv2d(1, 1, 3, padding=1, bias=False), (1, 4, 4), 9, 144, 288),
        # The bias adds one for each of the 16 numbers.
        (nn.Conv2d(1, 1, 3, padding=1), (1, 4, 4), 10, 144, 304),
        # 3 × 3 positions, 3 outputs, 2 × 9 taps each.
        (nn.Conv2d(2, 3, 3, bias=False), (2, 5, 5), 54, 3 * 9 * 18, 2 * 3 * 9 * 18),
        # Stride 2: 2 × 2 positions.
        (nn.Conv2d(2, 3, 3, stride=2, bias=False), (2, 5, 5), 54, 3 * 4 * 18, 2 * 3 * 4 * 18),
        # Two groups: each output sees two of four channels.
        (nn.Conv2d(4, 4, 1, groups=2, bias=False), (4, 3, 3), 8, 9 * 4 * 2, 2 * 9 * 4 * 2),
        # Transposed: every input number is spread over 2 × 2 positions of 3 outputs.
        (nn.ConvTranspose2d(2, 3, 2, bias=False), (2, 5, 5), 24, 2 * 25 * 12, 2 * 2 * 25 * 12),
        (nn.Linear(5, 3), (5,), 18, 15, 33),
        (nn.Linear(5, 3, bias=False), (7, 5), 15, 105, 210),
        (nn.Conv1d(1, 1, 3, padding=1, bias=False), (1, 8), 3, 24, 48),
    ],
)
def test_layers(module: nn.Module, shape: tuple, parameters: int, macs: int, operations: int) -> None:
    counted = cost.count(module, image(*shape))
    assert (counted.parameters, counted.macs, counted.operations) == (parameters, macs, operations)


@pytest.mark.parametrize(
    ("function", "shapes", "macs"),
    [
        (lambda q, k: q @ k.mT, [(3, 4), (5, 4)], 3 * 5 * 4),
        (lambda q, k: torch.einsum("b i d, b j d -> b i j", q, k), [(3, 4), (5, 4)], 60),
        (lambda x: x[0] @ x[0, 0], [(3, 4)], 12),  # matrix times vector
        (lambda x: x[0] @ x[0], [(6,)], 6),  # vector times vector
        (lambda x: torch.addmv(x[0, :, 0], x[0], x[0, 0]), [(3, 4)], 12),
        (lambda q, k: F.scaled_dot_product_attention(q, k, k), [(2, 3, 4), (2, 5, 4)], 2 * 2 * 3 * 5 * 4),
        (lambda q, k: F.scaled_dot_product_attention(q, k, k[..., :2]), [(2, 3, 4), (2, 5, 4)], 2 * 3 * 5 * (4 + 2)),
        (lambda x: F.affine_grid(x, (1, 1, 5, 7), align_corners=False), [(2, 3)], 35 * 6),
        (lambda x: x * x + x.mean(), [(3, 4)], 0),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_products(function: Callable, shapes: list, macs: int, device: str) -> None:
    counted = cost.count(Call(function), *(image(*shape).to(device) for shape in shapes))
    assert counted.macs == macs
    assert counted.unknown == ()


def test_se_by_hand() -> None:
    """C = 8, r = 2, 3 × 5 pixels, biases."""
    mean = 8 * 15 + 8  # additions, and a division for each channel
    reduce = 2 * 8 * 4 + 4 + 4  # multiply–adds, biases, ReLU
    expand = 2 * 4 * 8 + 8 + 8  # multiply–adds, biases, sigmoid
    scale = 8 * 15
    counted = cost.count(SqueezeExcitation(8, 2, bias=True), image(8, 3, 5))
    assert counted.operations == mean + reduce + expand + scale == 400
    assert counted.macs == 64
    assert counted.parameters == 64 + 12
    assert counted.buffers == 0


def test_counts_are_those_of_one_image() -> None:
    block = SqueezeExcitation(8, 2)
    assert cost.count(block, torch.rand(5, 8, 3, 5)) == cost.count(block, torch.rand(1, 8, 3, 5))


def test_trained_and_stored_numbers() -> None:
    module = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    assert cost.count(module, image(2, 4, 4)).parameters == 9 + 6
    assert cost.count(module, image(2, 4, 4)).buffers == 6  # mean and variance; not the counter of batches
    module[0].requires_grad_(False)
    assert cost.count(module, image(2, 4, 4)).parameters == 6


def test_shared_weights_count_once_and_run_twice() -> None:
    layer = nn.Linear(4, 4)
    counted = cost.count(nn.Sequential(layer, layer), image(4))
    assert (counted.parameters, counted.macs) == (20, 32)


# All operations, by hand: the input has 2 × 4 × 6 = 48 numbers, with 24 pixels in each of two channels


@pytest.mark.parametrize(
    ("function", "operations"),
    [
        (torch.sigmoid, 48),
        (torch.relu, 48),
        (F.silu, 48),
        (F.hardswish, 48),
        (lambda x: F.leaky_relu(x, 0.1), 48),
        (lambda x: x.clone().mul_(2), 48),
        (lambda x: 1 - x, 48),
        (lambda x: x * x[:, :, :1, :1], 48),  # broadcast: the numbers that come out
        (lambda x: x.add(x, alpha=3), 96),
        (lambda x: torch.addcmul(x, x, x), 96),
        (lambda x: torch.where(x > 0, x, x), 96),  # comparison, choice
        (lambda x: torch.maximum(x, x), 48),
        (lambda x: torch.max(x, x), 48),
        (lambda x: x.sum((2, 3)), 48),
        (lambda x: x.amax((2, 3)), 48),
        (lambda x: x.max(1), 48),
        (lambda x: x.mean((2, 3)), 48 + 2),
        (lambda x: x.mean(1), 48 + 24),
        (lambda x: x.var(1), 4 * 48 + 2 * 24),
        (lambda x: x.std(1), 4 * 48 + 3 * 24),
        (lambda x: x.norm(dim=1), 2 * 48 + 24),
        (lambda x: x.softmax(1), 5 * 48),
        (lambda x: x.log_softmax(1), 5 * 48 + 24),
        (lambda x: x.cumsum(1), 48),
        (lambda x: F.max_pool2d(x, 2), 12 * 4),
        (lambda x: F.max_pool2d(x, 3, stride=1, padding=1), 48 * 9),
        (lambda x: F.avg_pool2d(x, (2, 3)), 2 * 2 * 2 * (6 + 1)),
        (lambda x: F.adaptive_avg_pool2d(x, 1), 48 + 2),
        (lambda x: F.adaptive_avg_pool2d(x, (3, 4)), 2 * (2 + 2 + 2) * (2 + 2 + 2 + 2) + 24),  # windows overlap
        (lambda x: F.adaptive_max_pool2d(x, (2, 3)), 48),
        (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), 8 * 192),
        (lambda x: F.interpolate(x, scale_factor=2), 0),
        (lambda x: F.grid_sample(x, x.reshape(1, 4, 6, 2), align_corners=False), 8 * 48 + 14 * 24),
        (lambda x: F.group_norm(x, 1), 6 * 48),
        (lambda x: F.layer_norm(x, (6,)), 6 * 48),
        (lambda x: F.layer_norm(x, (6,), torch.ones(6), torch.ones(6)), 8 * 48),
        (lambda x: F.batch_norm(x, torch.zeros(2), torch.ones(2)), 2 * 48),
        (lambda x: F.batch_norm(x, torch.zeros(2), torch.ones(2), training=True), 6 * 48),
        (lambda x: F.dropout(x, training=False), 0),
        (lambda x: torch.cat([x, x.flatten(2).mT.reshape(x.shape)], 1).roll(1, 2)[:, 1:, ::2], 0),
        (lambda x: F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1).contiguous().double(), 0),
        (lambda x: torch.stack([torch.zeros(3), torch.ones(3)]), 0),
    ],
)
@pytest.mark.filterwarnings("ignore:Default")
def test_operations(function: Callable, operations: int) -> None:
    counted = cost.count(Call(function), image(2, 4, 6))
    assert counted.unknown == ()
    assert counted.operations == operations


def test_scaled_dot_product_counts_its_softmax() -> None:
    """2 heads, 3 queries, 5 keys, width 4: scale and softmax over 2 · 3 · 5 numbers, and the mask."""
    q, k, mask = image(2, 3, 4), image(2, 5, 4), torch.zeros(1, 1, 3, 5)
    products, pairs = 2 * 2 * 2 * 3 * 5 * 4, 2 * 3 * 5
    plain = cost.count(Call(lambda q, k: F.scaled_dot_product_attention(q, k, k)), q, k)
    masked = cost.count(Call(lambda q, k, m: F.scaled_dot_product_attention(q, k, k, m)), q, k, mask)
    assert plain.operations == products + 6 * pairs
    assert masked.operations == products + 7 * pairs


@pytest.mark.parametrize(
    ("function", "name"), [(torch.sort, "sort"), (torch.fft.rfft, "_fft_r2c"), (torch.median, "median")]
)
def test_what_is_not_covered_is_named(function: Callable, name: str) -> None:
    counted = cost.count(Call(lambda x: function(x + 1)), image(2, 4, 6))
    assert counted.unknown == (name,)
    assert counted.operations == 48
    assert f"not counted: {name}" in str(counted)


def test_no_arithmetic_is_free() -> None:
    """What counts nothing by name is nothing that PyTorch marks as elementwise, but copies."""
    marked = set()
    for name in _FREE:
        packet = getattr(torch.ops.aten, name, None)
        if packet is not None and any(_pointwise(getattr(packet, overload)) for overload in packet.overloads()):
            marked.add(name)
    assert marked <= {"clone", "copy", "_to_copy", "fill", "zero", "bernoulli"}


def test_inference_mode_counts_the_same() -> None:
    layer, x = nn.Linear(4, 3), torch.rand(2, 5, 4)
    with torch.inference_mode(), Operations() as inference:
        layer(x)
    with torch.no_grad(), Operations() as plain:
        layer(x)
    assert (inference.macs, inference.total) == (plain.macs, plain.total) == (120, 270)


# Against torch's own counters, and on other devices


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (small_resnet(attention="se"), (1, 28, 28)),
        (nn.Sequential(nn.Conv2d(3, 8, 5, 2, 1, dilation=2, groups=1), nn.Conv2d(8, 8, 3, groups=8)), (3, 33, 21)),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8)),
    ],
)
def test_multiply_adds_are_half_of_torchs_flops(module: nn.Module, shape: tuple) -> None:
    meta = module.eval().to("meta")  # on the meta device torch's counter sees attention's products as well
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        meta(torch.empty(1, *shape, device="meta"))
    assert cost.count(meta, torch.empty(1, *shape, device="meta")).macs == flops.get_total_flops() / 2


def test_paper_and_real_network_cost_the_same() -> None:
    paper, real = cost.on_paper(small_resnet, (1, 28, 28)), cost.count(small_resnet(), image(1, 28, 28))
    assert replace(paper, peak_bytes=0) == replace(real, peak_bytes=0)
    assert paper.peak_bytes == pytest.approx(real.peak_bytes, rel=0.01)  # batch normalisation returns two small vectors


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_costs_the_same() -> None:
    network = small_resnet(attention="se")
    here = cost.count(network, image(1, 28, 28))
    there = cost.count(network.cuda(), image(1, 28, 28).cuda())
    assert (there.macs, there.operations, there.parameters) == (here.macs, here.operations, here.parameters)


# Memory, by hand, in numbers of four bytes


def test_memory_of_a_chain() -> None:
    """Of x → a → b → c three are alive at once: the input, what is read, what is written."""
    chain = nn.Sequential(*[nn.Sigmoid() for _ in range(6)])
    assert cost.peak(chain, torch.rand(3, 100)) == 3 * 300 * 4


def test_memory_of_what_is_kept() -> None:
    def keep(x: Tensor) -> Tensor:
        kept = [x]
        for _ in range(6):
            kept.append(kept[-1].exp())
        return kept[-1]

    assert cost.peak(Call(keep), torch.rand(3, 100)) == 7 * 300 * 4


def test_views_and_work_in_place_need_no_memory() -> None:
    assert cost.peak(Call(lambda x: x.view(-1).expand(9, -1).mT), torch.rand(3, 100)) == 300 * 4
    assert cost.peak(Call(lambda x: x.exp().add_(1).mul_(2)), torch.rand(3, 100)) == 2 * 300 * 4


def test_parameters_and_constants_do_not_count() -> None:
    module = Call(lambda x: x + constant.view(-1))
    constant = torch.zeros(100)
    module.weight = nn.Parameter(torch.zeros(1000))
    assert cost.peak(module, torch.rand(3, 100)) == 2 * 300 * 4


def test_memory_of_training() -> None:
    """A batch of 30 through 100 → 50, sigmoid, 50 → 200.

    Forward: x 3000, then h 1500 and s 1500, then h is let go and y 6000 comes: 10,500.
    Backward: x, y and the gradient of y: 15,000. Of the second layer: weights 10,000 and biases 200. Then s and its
    gradient are let go, when that of h (1500) is there; last come the first layer's weights, 5000, and biases, 50.
    """
    layers = nn.Sequential(nn.Linear(100, 50), nn.Sigmoid(), nn.Linear(50, 200))
    x = torch.rand(30, 100)
    assert cost.peak(layers, x) == 10_500 * 4
    assert cost.peak(layers, x, training=True) == (15_000 + 10_000 + 200 + 1_500 + 5_000 + 50) * 4


@pytest.mark.parametrize("before", [False, True])
def test_the_mode_of_a_run(before: bool) -> None:
    seen = []

    class Witness(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            seen.append((self.training, torch.is_grad_enabled()))
            return super().forward(x)

    layer, x = Witness(4, 2).train(before), torch.rand(3, 4)
    cost.count(layer, x)
    cost.peak(layer, x)
    cost.peak(layer, x, training=True)
    assert seen == [(False, False), (False, False), (True, True)]


def test_memory_is_that_of_the_batch() -> None:
    network = small_resnet()
    one, eight = (cost.peak(network, torch.rand(batch, 1, 28, 28)) for batch in (1, 8))
    assert eight == 8 * one
    assert cost.count(network, torch.rand(8, 1, 28, 28)).peak_bytes == one


def test_training_needs_more_memory() -> None:
    x = torch.rand(2, 1, 28, 28)
    network = small_resnet(attention="se")
    assert cost.peak(network, x, training=True) > 2 * cost.peak(network, x)


# Left as it was


def snapshot(module: nn.Module) -> tuple:
    state = {key: value.clone() for key, value in module.state_dict().items()}
    return state, [part.training for part in module.modules()], [p.grad for p in module.parameters()]


class Restless(nn.Module):
    """Does what a block should not: draws random numbers, changes and replaces buffers, and fails where told."""

    def __init__(self, fail: bool = False) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.fail = fail
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("last", torch.zeros(4))
        self.register_buffer("filled", None)

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        self.filled = x.mean()
        self.register_buffer("added", x.mean())
        self.last = x[0].detach() + torch.rand(4)
        if self.fail:
            raise RuntimeError("as told")
        return self.norm(x)


@pytest.mark.parametrize("run", [cost.count, cost.peak, lambda *args: cost.peak(*args, training=True)])
@pytest.mark.parametrize("fail", [False, True])
def test_the_module_is_left_as_it_was(run: Callable, fail: bool) -> None:
    module = nn.Sequential(Restless(fail), nn.Dropout(), nn.Linear(4, 2))
    module[1].eval()
    before, buffers, drawn = snapshot(module), list(module.buffers()), torch.get_rng_state()
    x = torch.rand(6, 4)
    values = x.clone()
    torch.set_rng_state(drawn)
    if fail:
        with pytest.raises(RuntimeError, match="as told"):
            run(module, x)
    else:
        run(module, x)
    after = snapshot(module)
    torch.testing.assert_close(after[0], before[0], rtol=0, atol=0)
    assert after[1:] == before[1:]
    assert all(a is b for a, b in zip(module.buffers(), buffers, strict=True))
    assert torch.equal(torch.get_rng_state(), drawn)
    assert torch.equal(x, values)
    assert x.grad is None
    assert torch.is_grad_enabled()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_module_is_left_as_it_was() -> None:
    module = torch.jit.script(nn.BatchNorm1d(4))
    cost.peak(module, torch.rand(6, 4), training=True)
    assert not module.running_mean.any()


def test_the_inputs_are_left_as_they_were() -> None:
    for run in (cost.count, cost.peak):
        x = torch.rand(2, 4) - 0.5
        values = x.clone()
        run(nn.ReLU(inplace=True), x)
        assert torch.equal(x, values)


def test_where_nothing_is_learned_training_takes_no_more_than_running() -> None:
    x = torch.rand(2, 4)
    assert cost.peak(nn.ReLU(), x, training=True) == cost.peak(nn.ReLU(), x)


def test_a_pending_backward_pass_is_not_disturbed() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).eval()
    x = torch.rand(6, 4)
    y = module(x)
    cost.count(module, x)
    cost.peak(module, x)
    y.sum().backward()
    assert module[0].weight.grad is not None


# Formula and count


@pytest.mark.parametrize("options", [{}, {"reduction": 4}, {"bias": True}, {"reduction": 8, "bias": True}])
def test_check(options: dict) -> None:
    block = SqueezeExcitation(32, **options)
    counted = cost.check("se", block, torch.rand(2, 32, 5, 3), **options)
    assert counted == cost.count(block, torch.rand(1, 32, 5, 3))
    assert counted.parameters == cost.evaluate("se", channels=32, **options)


def test_check_names_both_numbers() -> None:
    with pytest.raises(AssertionError, match=r"parameters of 'se' .*\(2, 32, 5, 3\).* gives 128, counted are 512"):
        cost.check("se", SqueezeExcitation(32, reduction=4), torch.rand(2, 32, 5, 3))


def test_check_looks_at_the_multiply_adds_as_well() -> None:
    class Twice(SqueezeExcitation):
        def weights(self, x: Tensor) -> Tensor:
            return super().weights(x) * super().weights(x)

    with pytest.raises(AssertionError, match=r"macs of 'se' .* gives 128, counted are 256"):
        cost.check("se", Twice(32), torch.rand(2, 32, 5, 3))


# Words


def test_a_cost_is_a_table() -> None:
    counted = cost.count(nn.Conv2d(4, 300, 1), image(4, 2, 2))
    assert str(counted).splitlines() == [
        "cost of one image    count",
        "──────────────────  ──────",
        "parameters           1,500",
        "buffers                  0",
        "multiply–adds        4,800",
        "all operations      10,800",
        "peak memory, bytes   4,864",
    ]
    assert counted._repr_html_() == counted.table()._repr_html_()


def test_the_convention_is_stated() -> None:
    for word in ("multiply–add counts two", "softmax: 5n", "views", "bilinear", "lower bound"):
        assert word in cost.CONVENTION


def test_bad_inputs() -> None:
    with pytest.raises(ValueError, match=r"at least one image, received shape \(0, 4\)"):
        cost.count(nn.Linear(4, 2), torch.rand(0, 4))
    for lazy in (nn.LazyLinear(2), nn.LazyBatchNorm1d(affine=False)):
        for run in (cost.count, cost.peak):
            with pytest.raises(ValueError, match="parameters or buffers without a shape"):
                run(lazy, torch.rand(2, 4))


def test_what_a_forward_pass_keeps_is_the_inputs_of_what_is_differentiated() -> None:
    """What a gradient needs and no more: of a product the other factor, of a ReLU its output, of a sum nothing."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor) -> Tensor:
            return (x.cos() * (x * self.scale)).relu() + x

    module, x = Scaled().eval(), torch.rand(3, 4, 5)
    assert cost.kept(module, x) == 3 * x.numel() * 4  # x for the scale, cos x for the product, the ReLU's output
    assert not module.training
    assert cost.kept(Call(lambda x: x + 1), x) == 0
