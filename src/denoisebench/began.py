"""When this process first imported this package: of a source written later, it may hold the older version."""

import time

BEGAN = time.time()
"""In seconds since the epoch."""
