"""Stacks of images in one file: TIFF of many pages, ImageJ and OME-TIFF, NumPy, MRC, OME-Zarr; read and written by the slice."""
