"""For testing: the lanes of ``make test``, and the quick checks."""
