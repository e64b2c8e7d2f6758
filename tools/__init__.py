"""The scripts behind the Makefile, run as ``python -m tools.<name>`` from the top of the repository."""
