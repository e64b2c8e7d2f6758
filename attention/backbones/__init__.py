"""Networks to put attention blocks in: they take a block by name or by factory, and import none themselves."""
