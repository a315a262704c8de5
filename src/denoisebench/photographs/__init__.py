"""Photographs of the user's own: read with everything that must survive, denoised, and written beside the originals.

A file's metadata is never interpreted and made anew: what surrounds the pixels is copied byte for byte from the input.
"""
