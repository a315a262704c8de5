"""Training by (seed, step), on one device or several."""
