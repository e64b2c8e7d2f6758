"""The experiments of the chapter on Efficient Channel Attention."""
