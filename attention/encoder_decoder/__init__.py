"""Encoder–decoder attention: what a decoder reads at each step."""
