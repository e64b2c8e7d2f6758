"""The tensors of a recorded run, and the ways between them."""

from dataclasses import dataclass

__all__ = ["Edge", "Node"]


@dataclass(frozen=True)
class Node:
    """One tensor of a run.

    :param index: its number, in the order of the run.
    :param name: what the module calls it: an argument's name, an attention map's, ``output``; often empty.
    :param shape: its shape.
    :param dtype: its dtype, as torch prints it, without ``torch.``.
    :param axes: a letter for each axis, as far as known: ``("B", "C", "HW")``.
    :param words: the operation that made it; empty for an input.
    :param sources: the tensors that went into the operation.
    :param operation: the operation's number; tensors that one call made share it. -1 for an input.
    :param module: the submodule that made it, by its qualified name; empty for the traced module itself.
    :param parameters: the parameters that went in: (qualified name, shape).
    :param role: ``input``, ``output``, ``failed`` for an operation that raised an error, or ``""``.
    :param quiet: whether only its layout changed: an axis of size 1 came or went, a tensor was expanded or copied.
    :param step: the step of the equations that it is, as the block that computed it declares it; often empty.
    :param symbol: that step's symbol, in TeX.
    :param zone: the part of the mechanism that the step belongs to.
    :param kind: what kind of operation made it: ``layout`` (the same numbers in another arrangement), ``cast`` (in
        another dtype), ``stack``, ``part`` (some of the numbers), ``same`` (as many numbers, each computed by itself or
        with a normalisation), or ``""``.
    :param chain: the operations in words, where several are told as one.
    :param map: whether it holds the numbers of an attention map.
    :param stretched: of a product or a sum, which tensors were stretched, and along which axes: ``((5, "H × W"),)``.
    :param block: whether an attention block made it, told as one step.
    :param colour: its role in :mod:`attention.lab.roles`; empty until it is drawn.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    axes: tuple[str, ...] = ()
    words: str = ""
    sources: tuple[int, ...] = ()
    operation: int = -1
    module: str = ""
    parameters: tuple[tuple[str, tuple[int, ...]], ...] = ()
    role: str = ""
    quiet: bool = False
    step: str = ""
    symbol: str = ""
    zone: str = ""
    kind: str = ""
    chain: tuple[str, ...] = ()
    map: bool = False
    stretched: tuple[tuple[int, str], ...] = ()
    block: bool = False
    colour: str = ""


@dataclass(frozen=True)
class Edge:
    """One way that numbers take: from tensor ``source`` through the operation ``words`` to tensor ``target``."""

    source: int
    target: int
    words: str
