"""Self-attention: every position looks at every other, and decides for itself what to take from it."""
