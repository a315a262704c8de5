"""Checks a pack without trusting it: what it says against itself, its inputs and scores made again, cells computed again."""
