"""The picture that computes: a small module whose numbers can be changed in a page, without a server.

>>> live.show(block, {"noise": x})          # in a notebook
>>> live.save("se.html", block, {"noise": x})  # one file, for a lecture
"""

from attention.lab.live.export import Program, follow
from attention.lab.live.known import KNOWN
from attention.lab.live.page import markup, save, script, show, style
from attention.lab.live.picture import Picture, picture

__all__ = ["KNOWN", "Picture", "Program", "follow", "markup", "picture", "save", "script", "show", "style"]
