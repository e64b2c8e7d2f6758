"""A model whose output is a block's map: for tasks that ask for the gates themselves."""

from torch import Tensor, nn

from attention.contract import Attention

__all__ = ["GateOf"]


class GateOf(nn.Module):
    """A model whose output is one of a block's gates itself, for tasks that ask for the gate.

    :param block: an attention block.
    :param name: which of its maps, by name; may be left out where it has one only.
    """

    def __init__(self, block: Attention, name: str = "") -> None:
        super().__init__()
        (only, *others) = block.maps
        if not name and others:
            raise ValueError(f"name: the block has the maps {', '.join(block.maps)}; say which")
        self.block, self.name = block, name or only

    def forward(self, x: Tensor) -> Tensor:
        """Return the gate, one row of numbers a sample: (batch, channels), or (batch, height · width)."""
        return self.block.attend(x)[1][self.name].flatten(1)
