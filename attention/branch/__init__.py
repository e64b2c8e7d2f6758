"""Attention over branches: through which of several windows to look."""
