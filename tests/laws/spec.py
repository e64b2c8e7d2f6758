"""What a mechanism's test module tells the laws: how to build the block, what to feed it, what it must compute.

``tests/<family>/test_<name>.py`` exports one :class:`Spec` under the name ``SPEC``; :mod:`tests.laws.laws` does the
rest.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from attention import registry
from attention.contract import Attention
from attention.laws import image, randomise

__all__ = [
    "EXCEPTIONS",
    "NOWHERE",
    "WORKS",
    "BadArguments",
    "BadInputs",
    "Case",
    "Spec",
    "bad_images",
    "cases",
    "images",
]

#: What a Spec may ask to be excepted from: one law, or one part of a law.
EXCEPTIONS = (
    *(f"law {number}" for number in range(1, 15)),
    *("empty batch", "training", "gradcheck", "second derivatives", "forward mode", "bfloat16", "layout", "meta"),
    *("pickle", "compile", "export", "fx", "trace", "quantisation", "ddp", "reset", "onnx", "dynamic size", "half"),
)

#: The columns of the table *What works with what*, and the exceptions that say where one does not: see `Spec.works`.
WORKS: dict[str, tuple[str, ...]] = {
    "compile": ("law 8", "compile"),
    "export": ("law 8", "export", "law 12"),
    "ONNX": ("law 12", "onnx", "dynamic size"),
    "trace": ("law 8", "trace"),
    "script": (),
    "FX": ("law 8", "fx"),
    "int8": ("law 8", "quantisation"),
    "half": ("law 13", "half"),
    "double backward": ("law 5", "second derivatives"),
    "forward mode": ("law 5", "forward mode"),
    "DDP": ("law 8", "ddp"),
}
#: What no block does, and what to do instead; law 8 holds each block to it.
NOWHERE = {"script": "PyTorch no longer develops it; torch.jit.trace and torch.export take every block"}


@dataclass(frozen=True)
class Case:
    """One block and one size of input, wholly determined by these values.

    :param options: the constructor's arguments by name, ``channels`` among them.
    :param batch: number of samples.
    :param height: height of the input.
    :param width: width of the input.
    :param seed: where the random parameters, buffers and inputs come from.
    """

    options: Mapping[str, Any]
    batch: int = 2
    height: int = 3
    width: int = 4
    seed: int = 0

    def generator(self) -> torch.Generator:
        """Return a fresh generator, the same for each call."""
        return torch.Generator().manual_seed(self.seed)


@dataclass(frozen=True)
class BadArguments:
    """Arguments that the constructor must refuse.

    :param options: the arguments, by name.
    :param error: the documented exception.
    :param match: a regular expression that its message must contain.
    """

    options: Mapping[str, Any]
    error: type[Exception]
    match: str


@dataclass(frozen=True)
class BadInputs:
    """Inputs that a block must refuse.

    :param about: what is wrong with them.
    :param change: makes bad inputs of good ones.
    :param error: the documented exception.
    :param match: a regular expression that its message must contain; ``{shape}`` in it is replaced by the shape of
        the bad input, where it has one.
    :param position: which of the inputs is the bad one.
    """

    about: str
    change: Callable[[Any], Any]
    error: type[Exception]
    match: str
    position: int = 0

    def spoil(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """Return the inputs, one of them spoilt."""
        spoilt = list(inputs)
        spoilt[self.position] = self.change(spoilt[self.position])
        return tuple(spoilt)

    def pattern(self, inputs: Sequence[Any]) -> str:
        """Return the regular expression for these spoilt inputs."""
        shape = tuple(getattr(inputs[self.position], "shape", ()))
        return self.match.replace("{shape}", re.escape(str(shape)))


def images(count: int = 1) -> Callable[[Case], tuple[Tensor, ...]]:
    """Make inputs for blocks that take ``count`` feature maps of one shape."""

    def make(case: Case) -> tuple[Tensor, ...]:
        generator = case.generator()
        shape = (case.batch, case.options["channels"], case.height, case.width)
        return tuple(image(shape, generator) for _ in range(count))

    return make


def cases(
    options: SearchStrategy[dict[str, Any]],
    *,
    height: tuple[int, int] = (1, 7),
    width: tuple[int, int] = (1, 7),
    batch: tuple[int, int] = (1, 3),
) -> SearchStrategy[Case]:
    """Draw cases: options, and sizes within the given bounds (the smallest and the largest)."""
    return st.builds(
        Case,
        options=options,
        batch=st.integers(*batch),
        height=st.integers(*height),
        width=st.integers(*width),
        seed=st.integers(0, 2**16),
    )


def bad_images(position: int = 0, *, channels: bool = True) -> tuple[BadInputs, ...]:
    """List what every block must refuse in place of a feature map.

    :param position: which of the block's inputs this is.
    :param channels: whether the block knows its number of channels.
    """
    shapes = r"expected shape \(batch.*, channels.*, height.*, width.*\), received shape {shape}"
    floating = r"expected a floating-point tensor \(batch.*, channels.*\), received "
    bad = [
        BadInputs("an image without its batch axis", lambda x: x[0], ValueError, shapes, position),
        BadInputs("a fifth axis", lambda x: x[:, :, None], ValueError, shapes, position),
        BadInputs("no channels", lambda x: x[:, :0], ValueError, shapes, position),
        BadInputs("no width", lambda x: x[..., :0], ValueError, shapes + ": width is 0", position),
        BadInputs("no height", lambda x: x[..., :0, :], ValueError, shapes + ": height is 0", position),
        BadInputs("integers", lambda x: x.long(), TypeError, floating + "dtype torch.int64", position),
        BadInputs("truth values", lambda x: x > 0, TypeError, floating + "dtype torch.bool", position),
        BadInputs("a list", lambda x: x.tolist(), TypeError, floating + "list", position),
        BadInputs("nothing", lambda x: None, TypeError, floating + "NoneType", position),
    ]
    if channels:
        more = BadInputs("a channel too many", lambda x: torch.cat([x, x[:, :1]], 1), ValueError, shapes, position)
        bad.append(more)
    return tuple(bad)


_ONE_IMAGE = images()


def _same_shape(block: Attention, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    return shapes[0]


def _no_sizes(block: Attention, known: dict[str, int]) -> dict[str, int]:
    return {}


def _nothing(block: Attention, generator: torch.Generator) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Spec:
    """All that the laws need to know of one mechanism.

    :param name: its name in the registry.
    :param cases: draws :class:`Case`\\ s for the cheap laws; keep them small (C ≤ 16, H, W ≤ 7).
    :param fixed: one to four small cases for the laws that are slow; between them they use every option.
    :param naive: ``naive(block, *inputs) -> (output, maps)``: the paper's equations in plain Python loops over
        nested lists of floats, with the block's own parameters; each result anything that ``torch.tensor`` takes.
    :param bad_arguments: what the constructor refuses.
    :param bad_inputs: what the block refuses; :func:`bad_images` has the common ones.
    :param build: makes the block of a case's options; by default ``registry.create``. Samplers and networks, which
        ``create`` does not build, give their own.
    :param inputs: makes float64 inputs for a case (or integers, such as words); one feature map by default.
    :param output_shape: ``output_shape(block, *shapes of the inputs)``; by default the first input's shape.
    :param letters: the axes of the first input, for the declared dims of the maps.
    :param sizes: ``sizes(block, known) -> {"m": 2}``: what the block's own letters in its maps' dims must be, given
        the known sizes of the first input.
    :param apply: ``apply(block, maps, *inputs) -> output``: how the maps and inputs make the output, where that is
        a short formula; law 3 then holds the output to the maps. A ``Gate`` needs none: it multiplies.
    :param prepare: called with the block and a generator after its parameters were randomised, for those that must
        stay in a range (a positive temperature, a transform near the identity).
    :param constants: names of buffers that are constants of the equations and are not randomised.
    :param no_gradient: parameters (or ``"input 1"``) that by the equations receive no gradient: name -> reason.
    :param identity_at_start: whether the block, as constructed, returns its first input (law 9).
    :param tolerance: largest error allowed, relative to the largest output, for bfloat16; what law 13 allows for half
        precision grows and shrinks with it.
    :param large: (height, width) of the map on which law 13 looks for sums that overflow.
    :param exceptions: documented exceptions, a key of :data:`EXCEPTIONS` -> the reason. An exception that is no
        longer needed fails the law. Where there is another way to the same end, the reason names it.
    :param cost: ``cost(case) -> {"parameters": …, "macs": …}`` for one image; by default the formulas of
        ``mechanisms.toml``.
    """

    name: str
    cases: SearchStrategy[Case]
    fixed: tuple[Case, ...]
    naive: Callable[..., tuple[Any, dict[str, Any]]]
    bad_arguments: tuple[BadArguments, ...]
    bad_inputs: tuple[BadInputs, ...]
    build: Callable[..., Attention] | None = None
    inputs: Callable[[Case], tuple[Tensor, ...]] = _ONE_IMAGE
    output_shape: Callable[..., tuple[int, ...]] = _same_shape
    letters: str = "b c h w"
    sizes: Callable[[Attention, dict[str, int]], dict[str, int]] = _no_sizes
    apply: Callable[..., Tensor] | None = None
    prepare: Callable[[Attention, torch.Generator], None] = _nothing
    constants: tuple[str, ...] = ()
    no_gradient: Mapping[str, str] = field(default_factory=dict)
    identity_at_start: bool = False
    tolerance: float = 0.05
    large: tuple[int, int] = (24, 20)
    exceptions: Mapping[str, str] = field(default_factory=dict)
    cost: Callable[[Case], dict[str, int]] | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.fixed) <= 4:
            raise ValueError(f"{self.name}: {len(self.fixed)} fixed cases; allowed: 1 to 4")
        for key, reason in {**self.exceptions, **self.no_gradient}.items():
            if not reason.strip():
                raise ValueError(f"{self.name}: the exception {key!r} gives no reason")
        if unknown := set(self.exceptions) - set(EXCEPTIONS):
            raise ValueError(f"{self.name}: exceptions {sorted(unknown)} are unknown; allowed: {', '.join(EXCEPTIONS)}")
        if not self.bad_inputs or not self.bad_arguments:
            raise ValueError(f"{self.name}: every block refuses something; list bad_arguments and bad_inputs")

    def with_build(self, build: Callable[..., Attention], **changes: Any) -> "Spec":
        """Return this Spec for another way of building the block: how the wrong variants are made."""
        return replace(self, build=build, **changes)

    def works(self) -> dict[str, str]:
        """Return the block's row of the table *What works with what*.

        :returns: for each column of :data:`WORKS` nothing where it works, else why not, and what to do instead.
        """
        reasons = {
            column: "; ".join(self.exceptions[key] for key in keys if key in self.exceptions)
            for column, keys in WORKS.items()
        }
        return reasons | NOWHERE

    def fresh(self, case: Case) -> Attention:
        """Build the block of a case as a user gets it: float32, in training mode, initialised by its constructor."""
        build = self.build or (lambda **options: registry.create(self.name, **options))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(case.seed)
            return build(**case.options)

    def block(self, case: Case, dtype: torch.dtype = torch.float64, training: bool = False) -> Attention:
        """Build the block of a case with random parameters and buffers."""
        block = self.fresh(case).to(torch.float64)
        generator = torch.Generator().manual_seed(case.seed + 1)
        randomise(block, generator, self.constants)
        with torch.no_grad():
            self.prepare(block, generator)
        return block.to(dtype).train(training)

    def known(self, block: Attention, inputs: Sequence[Tensor]) -> dict[str, int]:
        """Return the sizes of the first input, and the block's own, by letter."""
        known = dict(zip(self.letters.split(), inputs[0].shape, strict=True))
        return {**known, **self.sizes(block, known)}
