"""When this process imported this package first: of a source written later, it may already have imported the older one."""

import time

BEGAN = time.time()
"""In seconds since the epoch."""
