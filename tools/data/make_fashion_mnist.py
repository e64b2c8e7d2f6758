"""Make the class-balanced part of Fashion-MNIST that ships with the package.

The full set comes from a folder with the four original ``*-ubyte.gz`` files; Debian's package
``dataset-fashion-mnist`` installs them. Of each class the first 600 training and the first 200 test images are
taken, in the order of the original files. They are stored one class after the other in turn (0, 1, …, 9, 0, 1, …),
so that the first images of the set, however many, are balanced too. No random number is drawn.

The file's sha256 is kept beside it. Compressing again with another zlib may give other bytes for the same images.
"""

import argparse
import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np

CLASSES = 10
DATA = Path(__file__).resolve().parents[2] / "attention" / "data"


def read(path: Path) -> np.ndarray:
    """Read one file in the IDX format: two zero bytes, type 8 (unsigned byte), the rank, then the sizes.

    :param path: the gzipped file.
    :returns: its array.
    :raises ValueError: for a file of another type, or of another length than its sizes say.
    """
    raw = gzip.decompress(path.read_bytes())
    zeros, kind, rank = struct.unpack(">HBB", raw[:4])
    if (zeros, kind) != (0, 8):
        raise ValueError(f"{path} is not an IDX file of unsigned bytes")
    sizes = struct.unpack(f">{rank}I", raw[4 : 4 + 4 * rank])
    return np.frombuffer(raw[4 + 4 * rank :], np.uint8).reshape(sizes)


def balanced(images: np.ndarray, labels: np.ndarray, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """Take the first ``per_class`` images of each class, one class after the other in turn."""
    rows = np.stack([np.flatnonzero(labels == c)[:per_class] for c in range(CLASSES)], axis=1)
    if rows.shape != (per_class, CLASSES):
        raise ValueError(f"a class has fewer than per_class={per_class} images")
    return images[rows.ravel()], labels[rows.ravel()]


def make(source: Path, target: Path) -> str:
    """Write the file, and its sha256 beside it.

    :param source: folder of the original files.
    :param target: the ``.npz`` file.
    :returns: the sha256.
    """
    arrays = {}
    for split, files, per_class in (("train", "train", 600), ("test", "t10k", 200)):
        images = read(source / f"{files}-images-idx3-ubyte.gz")
        labels = read(source / f"{files}-labels-idx1-ubyte.gz")
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = balanced(images, labels, per_class)
    target.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(target, **arrays)
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    target.with_suffix(".npz.sha256").write_text(f"{digest}  {target.name}\n", encoding="ascii")
    return digest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder of the four *-ubyte.gz files")
    parser.add_argument("--target", type=Path, default=DATA / "fashion_mnist.npz")
    asked = parser.parse_args()
    print(make(asked.source, asked.target), asked.target.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
