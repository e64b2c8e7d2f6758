"""``python -m attention`` lists the mechanisms; ``python -m attention cbam`` describes one and shows its shapes."""

import argparse
import ast
import sys

from attention import registry
from attention.about import describe, input_count, listed
from attention.standalone import source


def main(arguments: list[str] | None = None) -> int:
    """List, describe, or print a block as one file."""
    parser = argparse.ArgumentParser(prog="python -m attention", description=__doc__)
    parser.add_argument("name", nargs="?", help="a mechanism")
    parser.add_argument("--channels", type=int, default=64, help="channels of the input; default: 64")
    parser.add_argument("--size", type=int, nargs="+", default=[56], help="height and width of the input; default: 56")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the block")
    parser.add_argument("--source", action="store_true", help="print the block as one file in plain torch")
    given = parser.parse_args(arguments)
    if given.name is None:
        print(listed())
        return 0
    if len(given.size) > 2 or min(given.channels, *given.size) < 1:
        parser.error("--channels and --size take whole numbers from 1, --size one or two of them")
    try:
        if given.source:
            print(source(given.name), end="")
            return 0
        options = dict(_option(each) for each in given.option)
        height, width = given.size[0], given.size[-1]
        print(describe(given.name, given.channels, (height, width), **options))
        _shapes(given.name, given.channels, height, width, options)
    except (ValueError, TypeError) as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


def _option(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--option {text}: write NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value  # a word


def _shapes(name: str, channels: int, height: int, width: int, options: dict[str, object]) -> None:
    """Print the tensors of one run, where the block is built from channels alone."""
    if not registry.KINDS[registry.entry(name).kind]:
        return
    import torch

    from attention.lab import shapes

    block = registry.create(name, channels, **options).eval()
    given = [torch.randn(1, channels, height, width) for _ in range(input_count(block))]
    with torch.no_grad():
        print(f"\n{shapes.table(shapes.trace(block, *given))}")


if __name__ == "__main__":
    sys.exit(main())
