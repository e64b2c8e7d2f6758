"""How both tables are laid out."""

from collections.abc import Iterable

__all__ = ["laid_out", "measured_on", "shaped"]


def shaped(shape: Iterable[int]) -> str:
    """Write a shape: 8 × 64 × 56 × 56."""
    return " × ".join(map(str, shape))


def measured_on(where: dict) -> str:
    """Say on what was measured, in a line."""
    return (
        f"{where['processor']}, {where['threads']} threads, torch {where['torch']}, Python {where['python']}, "
        f"{where['dtype']}, {where['date']}"
    )


def laid_out(lines: list[list[str]]) -> list[str]:
    """Set columns below each other; the first line stands above them and may be wider than its columns."""
    widths = [max(len(line[i]) for line in lines[1:]) for i in range(len(lines[0]))]
    table = ("  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)) for line in lines)
    return [line.rstrip() for line in table]
