"""The laws that every attention block obeys, each a plain function of a :class:`tests.laws.spec.Spec`.

``law_4(spec)`` returns nothing where the law holds and raises ``AssertionError`` with a sentence where it does not.
The laws look at blocks with random parameters and buffers; law 9 alone looks at the initial state. They know no
mechanism. What they find in wrong blocks is tested in ``test_wrong_variants.py``.

They stand in files by what they are about: ``values.py`` (1 to 4, and 6), ``gradients.py`` (5), ``precision.py``
(7 and 13), ``graphs.py`` (8 and 12), ``conduct.py`` (9 to 11), ``steps.py`` (14).
"""

from tests.laws.conduct import law_9, law_10, law_11
from tests.laws.gradients import law_5
from tests.laws.graphs import law_8, law_12
from tests.laws.precision import law_7, law_13
from tests.laws.running import EXAMPLES, LAWS
from tests.laws.steps import law_14
from tests.laws.values import law_1, law_2, law_3, law_4, law_6

__all__ = [
    "EXAMPLES",
    "LAWS",
    "law_1",
    "law_2",
    "law_3",
    "law_4",
    "law_5",
    "law_6",
    "law_7",
    "law_8",
    "law_9",
    "law_10",
    "law_11",
    "law_12",
    "law_13",
    "law_14",
]

_ORDERED = sorted(LAWS.items())  # the files register them in the order of their names
LAWS.clear()
LAWS.update(_ORDERED)
