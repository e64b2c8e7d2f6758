"""Attention over channels and over positions: which feature maps to listen to, and where."""
