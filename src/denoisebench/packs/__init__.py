"""Packs: a study as one file that others can read, merge and check. Its format, how it is written and how it is read."""
