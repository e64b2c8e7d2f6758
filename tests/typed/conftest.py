"""The typed lane: every annotation of the package ``attention`` is checked while it runs.

Call it as a pytest process of its own, from the repository's root::

    python -m pytest tests/typed

Where it is not named, pytest does not collect this folder: jaxtyping's import hook changes every module of the package,
``torch.compile`` cannot see through that, and wrong inputs raise its errors instead of the documented ones.
"""

import sys

from jaxtyping import install_import_hook

if any(name.startswith("attention.") for name in sys.modules):
    raise RuntimeError("the package was imported before its annotations were hooked: run the typed lane by itself")
install_import_hook("attention", "beartype.beartype")
