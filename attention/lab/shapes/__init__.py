"""What really happens to a tensor: record a module's run, draw its tensors, tabulate their shapes.

>>> run = trace(block, x)
>>> draw(run)
>>> table(run)
"""

from attention.lab.shapes.alt import alt_text
from attention.lab.shapes.nodes import Edge, Node
from attention.lab.shapes.picture import diagram, draw
from attention.lab.shapes.runs import Trace, table
from attention.lab.shapes.tables import summary
from attention.lab.shapes.tracing import trace
from attention.lab.tables import Table

__all__ = ["Edge", "Node", "Table", "Trace", "alt_text", "diagram", "draw", "summary", "table", "trace"]
