"""The tests, a package so that one test module can use another's helpers (``from tests.laws.spec import Spec``)."""
