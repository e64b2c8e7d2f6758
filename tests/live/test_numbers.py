"""What a page computes is what torch computes: every tensor of every picture, and how it changes."""

import torch
from torch import Tensor

from attention.lab.live import Picture, Program
from tests.live.derivatives import after, again, backward, evaluate, forward, kind, short
from tests.live.shown import Shown

EDITS = 5
#: Of each drawn tensor so many numbers are moved, and of what moves a number so many are looked at.
MOVED, LOOKED = 1, 24
STEP = 1e-5  # as in run.js


def presets(picture: Picture) -> list[tuple[Tensor, ...]]:
    """The inputs as the page has them, with seven digits."""
    return [tuple(short(each) for each in given) for given in picture.presets.values()]


def edits(picture: Picture) -> list[tuple[Tensor, ...]]:
    """The inputs as readers change them: some numbers painted, one channel shifted."""
    generator = torch.Generator().manual_seed(0)
    found, starts = [], presets(picture)
    for number in range(EDITS):
        given = [each.clone() for each in starts[number % len(starts)]]
        for x in given:
            places = torch.randint(x.numel(), (6,), generator=generator)
            x.view(-1)[places] = (torch.randint(-1, 3, (6,), generator=generator) * 0.5).double()
            if x.ndim > 2:
                x[:, int(torch.randint(x.shape[1], (), generator=generator))] += 0.25
        found.append(tuple(given))
    return found


def jittered(picture: Picture) -> tuple[Tensor, ...]:
    """One of the inputs, without ties and away from kinks."""
    generator = torch.Generator().manual_seed(1)
    given = presets(picture)[-1]
    return tuple(x + 1e-2 * torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in given)


def alike(found: Tensor, expected: Tensor, relative: float) -> bool:
    """Whether tensors agree, measured by the largest number of the expected one."""
    expected = expected.double()
    if found.shape != expected.shape or not torch.equal(found.isfinite(), expected.isfinite()):
        return False
    found, expected = (torch.nan_to_num(each, 7.0, 8.0, -8.0) for each in (found, expected))
    return bool((found - expected).abs().max() <= relative * expected.abs().max() + 1e-12)


def pairs(program: Program, found: list, expected: list) -> list[tuple[str, Tensor, Tensor]]:
    """Every tensor of two runs, with a name for messages."""
    result = []
    for place, entry in enumerate(program.values):
        name = f"value {place}, {entry.operation or entry.name or 'input'} {entry.shape}"
        one, other = found[place], expected[place]
        both = zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]
        result += [(name, mine, its) for mine, its in both]
    return result


def wrong_values(shown: Shown) -> list[str]:
    """Name the tensors that the page computes otherwise than torch, on all inputs and edits, in every variant."""
    wrong = []
    many = [*presets(shown.picture), *edits(shown.picture)]
    for variant, (called, program) in enumerate(shown.picture.programs.items()):
        for given, found in zip(many, shown.computed(variant, many), strict=True):
            original = program.compute(*(x.to(kind(program)) for x in given))
            wrong += [f"{called}: {name}" for name, a, b in pairs(program, found, original) if not alike(a, b, 1e-4)]
            if kind(program) == torch.float64:  # with the same seven digits nothing but rounding is left
                same = evaluate(program, given)
                wrong += [
                    f"{called}, exactly: {name}" for name, a, b in pairs(program, found, same) if not alike(a, b, 1e-9)
                ]
    return sorted(set(wrong))


def test_every_tensor_is_torchs(shown: Shown) -> None:
    assert wrong_values(shown) == []


def wrong_slopes(found: Tensor, expected: Tensor, values: Tensor) -> Tensor:
    """Where slopes differ by more than 1e-3 of them, above 1e-6 of the largest.

    Two runs that are ``2 · STEP`` apart cannot show less than the last digits of their numbers.
    """
    digits = 4e-16 / STEP * values.double().abs().max()
    return (found - expected.flatten()).abs() > 1e-3 * expected.flatten().abs() + 1e-6 * expected.abs().max() + digits


def lights(found: Tensor) -> Tensor:
    """What is outlined: what moves by more than 1e-6 of the largest."""
    top = found.abs().max()
    return found.abs() > 1e-6 * top if top > 1e-12 else torch.zeros_like(found, dtype=torch.bool)


def bent(program: Program, values: list, place: int, at: int) -> dict[int, Tensor]:
    """Where a slope is another at the ends of the step: at a kink no two answers agree."""
    ends = [forward(program, again(program, values, place, at, by), place, at) for by in (2 * STEP, -2 * STEP)]
    return {k: ((ends[0][k] - ends[1][k]).abs() > 1e-3 * ends[0][k].abs().max() + 1e-12).flatten() for k in ends[0]}


def some(program: Program, place: int, generator: torch.Generator, count: int) -> list[int]:
    """Choose numbers of a value at random."""
    size = int(torch.tensor(program.values[place].shape).prod())
    return torch.randperm(size, generator=generator)[:count].tolist()


def test_what_a_number_moves_is_what_autograd_says(shown: Shown) -> None:
    """One number of each drawn tensor, moved: all drawn tensors that follow from it."""
    wrong, looked, left_out = [], 0, 0
    generator = torch.Generator().manual_seed(2)
    inputs = jittered(shown.picture)
    for variant, (called, program) in enumerate(shown.picture.programs.items()):
        values, drawn = evaluate(program, inputs), {each.value: each.name for each in shown.picture.drawn[called]}
        jobs = [
            (place, at, [each for each in after(program, place) if each in drawn])
            for place in drawn
            for at in some(program, place, generator, MOVED)
        ]
        jobs = [job for job in jobs if job[2]]
        for (place, at, wanted), found in zip(jobs, shown.forward(variant, inputs, jobs), strict=True):
            expected = forward(program, values, place, at)
            kinks = None
            for each, slopes in zip(wanted, found, strict=True):
                looked += slopes.numel()
                bad = wrong_slopes(slopes, expected[each], values[each])
                bad |= faults_of_light(slopes, expected[each].flatten())
                if bad.any():
                    kinks = kinks or bent(program, values, place, at)
                    left_out += int((bad & kinks[each]).sum())
                    bad &= ~kinks[each]
                wrong += [
                    f"{called}: {drawn[each]}[{k}] by {drawn[place]}[{at}]: {slopes[k]:.6g}, autograd "
                    f"{expected[each].flatten()[k]:.6g}, largest {expected[each].abs().max():.3g}"
                    for k in bad.nonzero().flatten().tolist()[:3]
                ]
    assert wrong == []
    assert looked > 0
    assert left_out <= 0.01 * looked


def faults_of_light(found: Tensor, expected: Tensor) -> Tensor:
    """What is outlined and does not move, or moves and is not outlined; on the border either is right."""
    top = expected.abs().max()
    if top < 1e-9:  # where nothing moves nothing may be outlined; between, two runs cannot tell
        return lights(found) if top == 0 else torch.zeros_like(expected, dtype=torch.bool)
    clearly, never = expected.abs() > 1e-5 * top, expected.abs() < 1e-8 * top
    return (clearly & ~lights(found)) | (never & lights(found))


def most(slopes: Tensor) -> list[int]:
    """Choose the numbers that move another most."""
    return slopes.abs().topk(min(8, len(slopes))).indices.tolist()


def test_what_moves_a_number_is_what_autograd_says(shown: Shown) -> None:
    """A number of each map and of the output: the inputs that move it."""
    wrong, looked, left_out = [], 0, 0
    generator = torch.Generator().manual_seed(3)
    inputs = jittered(shown.picture)
    for variant, (called, program) in enumerate(shown.picture.programs.items()):
        values, drawn = evaluate(program, inputs), {each.value: each.name for each in shown.picture.drawn[called]}
        given = {entry.input: place for place, entry in enumerate(program.values) if entry.input is not None}
        targets = [each.value for each in shown.picture.drawn[called] if each.role == "map"] + [program.output]
        for target in dict.fromkeys(targets):
            for at in some(program, target, generator, 1):
                expected = [each.flatten() for each in backward(program, inputs, target, at)]
                chosen = [
                    sorted({*some(program, given[i], generator, LOOKED), *most(each)})
                    for i, each in enumerate(expected)
                ]
                jobs = [(target, at, given[i], ks) for i, ks in enumerate(chosen)]
                for i, found in enumerate(shown.backward(variant, inputs, jobs)):
                    looked += len(found)
                    right = expected[i][chosen[i]]
                    if not expected[i].abs().max() > 0:
                        bad = found.abs() > 4e-16 / STEP * max(1, float(values[target].abs().max()))
                    else:
                        bad = wrong_slopes(found, right, values[target])
                    for j in bad.nonzero().flatten().tolist():
                        k = chosen[i][j]
                        if bent(program, values, given[i], k)[target][at]:
                            left_out += 1
                            continue
                        wrong.append(
                            f"{called}: {drawn.get(target, target)}[{at}] by input {i}, {k}: {found[j]:.6g}, autograd "
                            f"{right[j]:.6g}, largest {right.abs().max():.3g}"
                        )
    assert wrong == []
    assert looked > 0
    assert left_out <= 0.02 * looked
