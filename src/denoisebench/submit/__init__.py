"""Bundles for the online benchmarks."""
