"""Networks to put attention blocks in: they take a block by name or by factory, and import none themselves."""

from attention.backbones.insertion import insert as insert
from attention.backbones.insertion import remove as remove
