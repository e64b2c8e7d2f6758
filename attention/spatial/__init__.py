"""Attention over space: where to look."""
