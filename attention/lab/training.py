"""Fit models, compare them over seeds, and judge claims by the results.

On the CPU everything is deterministic: the same seed gives the same numbers, bit for bit, on the same machine with the
same number of threads. On CUDA, sums are taken in an order of the device's own, and results differ in the last digits.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from attention.contract import check_positive
from attention.lab.comparison import Comparison, Interval, Run
from attention.lab.session import Budget
from attention.lab.tasks.task import Task

__all__ = ["Comparison", "Interval", "Run", "batches", "claim", "compare", "evaluate", "fit"]

OPTIMISERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "constant")
BATCH = 64
_CURVE = 50  # points of a loss curve that are kept


def batches(samples: int, batch: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Yield the indices of each step's samples: all samples in random order, then all again in another.

    :param samples: number of samples there are.
    :param batch: samples in a step; at most all.
    :param steps: number of steps.
    :param seed: the order depends on this and the sizes alone, never on the model.
    """
    generator = torch.Generator().manual_seed(seed)
    size, left = min(batch, samples), torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(left) < size:
            left = torch.cat([left, torch.randperm(samples, generator=generator)])
        yield left[:size]
        left = left[size:]


def fit(
    model: nn.Module,
    task: Task,
    *,
    steps: int,
    batch: int = BATCH,
    lr: float = 1e-3,
    optimiser: str = "adamw",
    weight_decay: float = 0.01,
    schedule: str = "cosine",
    seed: int = 0,
    device: torch.device | str | None = None,
    amp: bool | None = None,
    channels_last: bool | None = None,
    name: str = "model",
) -> Run:
    """Train a model on a task, in place, and score it on the task's test data.

    :param model: the model; it is moved to the device and left there, in evaluation mode.
    :param task: the task.
    :param steps: optimiser steps.
    :param batch: samples in a step.
    :param lr: the largest learning rate.
    :param optimiser: ``adamw``, or ``sgd`` (with Nesterov momentum 0.9).
    :param weight_decay: decoupled for ``adamw``, an L2 penalty for ``sgd``.
    :param schedule: ``cosine``: up linearly in the first twentieth of the steps, then down to 0 along a cosine;
        ``constant``.
    :param seed: of the data order, and of what is random in the model while it trains.
    :param device: by default the one that the model's parameters are on.
    :param amp: mixed precision, bfloat16 where the device has it, else float16 with scaled gradients; by default on
        CUDA only.
    :param channels_last: memory format of model and inputs; by default on CUDA only.
    :param name: what the run is called.
    :returns: the run.
    :raises ValueError: for an argument outside what is allowed.
    :raises FloatingPointError: where the loss is no number at the end.
    """
    check_positive(steps=steps, batch=batch)
    if not lr > 0:
        raise ValueError(f"lr={lr} is not positive")
    where = torch.device(device) if device is not None else _device(model)
    cuda = where.type == "cuda"
    amp, channels_last = (cuda if choice is None else choice for choice in (amp, channels_last))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    began = time.perf_counter()
    task = task.to(where)
    x, y = task.train[0].contiguous(memory_format=layout), task.train[1]
    model = model.to(where, memory_format=layout).train()
    step = _Step(model, task.loss, _optimiser(optimiser, model, lr, weight_decay), amp, where)
    losses = torch.zeros(steps, device=where)
    with _forked(where, seed):
        order = torch.stack(list(batches(len(x), batch, steps, seed))).to(where)
        for i, rows in enumerate(_progress(order, steps, f"{name}, seed {seed}")):
            step.rate(lr * _rate(i, steps, schedule))
            losses[i] = step(x[rows], y[rows])
        score = evaluate(model, task, amp=amp)
    curve = tuple(part.mean().item() for part in losses.double().tensor_split(min(_CURVE, steps)))
    if not math.isfinite(curve[-1]):
        raise FloatingPointError(f"{name}: the loss is {curve[-1]} at the end; a smaller lr than {lr} may help")
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Run(name, seed, score, curve, time.perf_counter() - began, count)


class _Step:
    """One optimiser step, in the precision that was asked for."""

    def __init__(
        self, model: nn.Module, loss: str, optimiser: torch.optim.Optimizer, amp: bool, device: torch.device
    ) -> None:
        self.model, self.loss, self.optimiser = model, loss, optimiser
        self.cast = _autocast(device, amp)
        half = amp and device.type == "cuda" and not _has_bfloat16()
        self.scaler = torch.amp.GradScaler(device.type, enabled=half)

    def rate(self, lr: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = lr

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        with self.cast():
            output = self.model(x)
        loss = _loss(output.float(), y, self.loss)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return loss.detach()


def _loss(output: Tensor, target: Tensor, loss: str) -> Tensor:
    if loss == "cross-entropy":
        return functional.cross_entropy(output, target)
    output = _same_shape(output, target)
    return (
        functional.binary_cross_entropy(output, target)
        if loss == "multi-label"
        else functional.mse_loss(output, target)
    )


def _same_shape(output: Tensor, target: Tensor) -> Tensor:
    """Refuse what would be broadcast; axes of size 1 after the second are dropped."""
    if output.shape[:2] != target.shape or output.numel() != target.numel():
        raise ValueError(f"the model returned shape {tuple(output.shape)}; the targets have {tuple(target.shape)}")
    return output.reshape(target.shape)


@torch.no_grad()
def evaluate(model: nn.Module, task: Task, *, amp: bool = False, batch: int = 500) -> float:
    """Score a model on a task's test data, in evaluation mode, in which it is left.

    :param model: the model.
    :param task: the task, on the model's device.
    :param amp: mixed precision.
    :param batch: samples that go through at once.
    :returns: accuracy; or the share of labels on the right side of ½; or R², which is 1 for perfect answers and 0 for
        answering each label's mean always.
    """
    model.eval()
    x, y = task.test
    cast = _autocast(x.device, amp)
    with cast():
        output = torch.cat([model(part).float() for part in x.split(batch)])
    if task.loss == "cross-entropy":
        return (output.argmax(1) == y).double().mean().item()
    output = _same_shape(output, y)
    if task.loss == "multi-label":
        return ((output > 0.5) == (y > 0.5)).double().mean().item()
    y = y.double()
    return 1 - ((output - y).square().sum() / (y - y.mean(0)).square().sum()).item()


def compare(
    models: dict[str, Callable[[], nn.Module]],
    task: Task | Callable[[int], Task],
    *,
    steps: int,
    seeds: Sequence[int] = (0, 1, 2),
    keep: Callable[[str, int, nn.Module], None] | None = None,
    **options: Any,
) -> Comparison:
    """Train several models with several seeds: with one seed, all see the same data in the same order.

    The default device is the CPU.

    :param models: a name and a function that builds the model, for each; it is called once a seed, with torch's random
        numbers seeded by it. The state of the random numbers outside is left as it was.
    :param task: a task, or a function that makes one from a seed.
    :param steps: optimiser steps of each run.
    :param seeds: the seeds; none twice.
    :param keep: called with name, seed and trained model after each run, to look into the model.
    :param options: of :func:`fit`, the same for all models.
    :returns: the comparison.
    :raises ValueError: for no models, no seeds, or a seed given twice.
    """
    if not models:
        raise ValueError("models is empty: there is nothing to compare")
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds={tuple(seeds)} must name one seed or more, none twice")
    device = torch.device(options.pop("device", None) or "cpu")
    runs = []
    for seed in seeds:
        data = (task(seed) if callable(task) else task).to(device)
        for name, build in models.items():
            with _forked(device, seed):
                model = build()
            runs.append(fit(model, data, steps=steps, seed=seed, device=device, name=name, **options))
            if keep is not None:
                keep(name, seed, model)
    runs.sort(key=lambda run: list(models).index(run.name))  # stable: seeds stay in order
    batch = options.get("batch", BATCH)
    return Comparison(data.name, data.measure, data.chance, steps, batch, device.type, tuple(runs))


def claim(statement: str, holds: bool, budget: Budget) -> None:
    """Print a claim with a tick or a cross, and fail where it does not hold.

    :param statement: the claim, a sentence.
    :param holds: whether the results bear it out.
    :param budget: what was computed with; the smallest budget prints no verdict.
    :raises AssertionError: for a claim that does not hold, where the budget can judge.
    """
    if not budget.judges:
        print(f"– {statement} (not judged: the budget is {budget.name})")
        return
    print(f"{'✓' if holds else '✗'} {statement}")
    if not holds:
        raise AssertionError(f"the claim does not hold: {statement}")


def _optimiser(name: str, model: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    if name not in OPTIMISERS:
        raise ValueError(f"optimiser={name!r} is not one of {', '.join(OPTIMISERS)}")
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("model has no trainable parameter: there is nothing to fit")
    if name == "adamw":
        fused = parameters[0].is_cuda
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=fused)
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True, weight_decay=weight_decay)


def _rate(step: int, steps: int, schedule: str) -> float:
    """The learning rate of a step, as a share of the largest."""
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule={schedule!r} is not one of {', '.join(SCHEDULES)}")
    if schedule == "constant":
        return 1.0
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2


def _device(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _has_bfloat16() -> bool:
    """Whether the GPU computes in bfloat16 itself: a T4 does so by emulation only, and is faster in float16."""
    return torch.cuda.is_bf16_supported(including_emulation=False)


def _autocast(device: torch.device, amp: bool) -> Callable[[], Any]:
    if not amp:
        return nullcontext
    half = device.type == "cuda" and not _has_bfloat16()
    kind = torch.float16 if half else torch.bfloat16
    return lambda: torch.autocast(device.type, kind)


@contextmanager
def _forked(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch's random numbers inside, and leave them as they were outside."""
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _progress(steps: Iterable[Tensor], total: int, words: str) -> Iterable[Tensor]:
    """Show a bar where somebody watches, and write nothing anywhere else.

    A terminal gets one, and so does Colab. A kernel cannot tell a reader's Jupyter from a run that records outputs,
    where a bar would be kept as an error output: there the environment variable ``ATTENTION_PROGRESS=1`` asks for
    one. ``ATTENTION_PROGRESS=0`` silences it everywhere.
    """
    asked = os.environ.get("ATTENTION_PROGRESS")
    if not (asked == "1" or (asked is None and (sys.stderr.isatty() or "google.colab" in sys.modules))):
        return steps
    try:
        from tqdm import tqdm
    except ImportError:
        return steps
    return tqdm(steps, total=total, desc=words, leave=False, mininterval=0.5)
