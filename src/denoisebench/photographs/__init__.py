"""People's own photographs: read with all that must survive, denoised, written back beside them.

A file's metadata is never interpreted and made anew: what surrounds the pixels is copied byte for byte from the input.
"""
