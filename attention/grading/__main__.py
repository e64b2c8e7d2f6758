"""``python -m attention.grading``: see :mod:`attention.grading.command`."""

import sys

from attention.grading.command import main

if __name__ == "__main__":
    sys.exit(main())
