"""Attention over channels: which feature maps to listen to."""
