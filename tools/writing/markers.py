"""Parts of a page that are written between two markers."""

__all__ = ["Stale", "between"]


class Stale(Exception):
    """A place that cannot be written: a marker or a cell is missing."""


def between(text: str, markers: tuple[str, str], new: str, where: str) -> str:
    """Replace what stands between two markers, each of which stands once and alone on its line.

    :raises Stale: where the markers are missing, doubled or in the wrong order.
    """
    begin, end = markers
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise Stale(f"{where}: needs one {begin} and, after it, one {end}")
    head, _, rest = text.partition(begin)
    return f"{head}{begin}\n{new}\n{end}{rest.partition(end)[2]}"
