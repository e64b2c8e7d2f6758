"""Make the photographs that ship with the package, from those that scikit-image ships in its wheel.

Needs scikit-image, which the package itself does not. Run from the root of the repository::

    python tools/data/make_photographs.py

Only photographs that scikit-image marks as CC0 or public domain are listed; where each one comes from is written in
``attention/data/photographs/LICENSE.md``.
"""

import hashlib
import sys
from pathlib import Path
from typing import NamedTuple

from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / "attention" / "data" / "photographs"
SIZE = 224  # the input of networks trained on ImageNet
LIMIT = 60_000  # bytes: a wheel should stay small


class Source(NamedTuple):
    """A photograph of scikit-image, and the square that is cut from it."""

    file: str
    sha256: str
    left: float  # where the square starts, as a share of the width that is cut away


SOURCES = {
    "cat": Source("chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb", 0.6),
    "coffee": Source("coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7", 0.45),
    "rocket": Source("rocket.jpg", "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c", 0.5),
}


def square(image: Image.Image, left: float) -> Image.Image:
    """Cut the largest square, ``left`` of the way through the spare width, and shrink it to ``SIZE``."""
    side = min(image.size)
    x, y = round((image.width - side) * left), (image.height - side) // 2
    return image.crop((x, y, x + side, y + side)).resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def main() -> None:
    """Write one JPEG a photograph, and print its size."""
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, source in SOURCES.items():
        path = folder / source.file
        if hashlib.sha256(path.read_bytes()).hexdigest() != source.sha256:
            sys.exit(f"{source.file} is not the file that was used: its sha256 differs")
        target = FOLDER / f"{name}.jpg"
        square(Image.open(path).convert("RGB"), source.left).save(target, quality=90, optimize=True)
        size = target.stat().st_size
        if size > LIMIT:
            sys.exit(f"{target.name} has {size} bytes, more than {LIMIT}")
        print(f"{target.name}: {SIZE} × {SIZE}, {size} bytes")


if __name__ == "__main__":
    main()
