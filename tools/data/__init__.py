"""Where the data that ship with the package come from: run once, each with its source."""
