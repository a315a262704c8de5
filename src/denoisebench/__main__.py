"""`python -m denoisebench`."""

import sys

from denoisebench.cli import main

if __name__ == "__main__":
    sys.exit(main())
