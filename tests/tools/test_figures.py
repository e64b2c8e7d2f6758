"""The pictures of the prose pages are the same bytes every time, whatever was set before."""

import matplotlib as mpl
import pytest

from tools.writing import figures


@pytest.mark.parametrize("name", figures.FIGURES)
def test_a_picture_has_the_same_bytes_twice(name: str) -> None:
    first = figures.drawn(name)
    with mpl.rc_context({"font.size": 20, "figure.constrained_layout.use": True, "svg.fonttype": "none"}):
        assert figures.drawn(name) == first
