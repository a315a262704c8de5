"""Camera raw files: developed by LibRaw as the camera would, denoised, written as a 16-bit TIFF."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from denoisebench.photographs.photo import Photo, PhotoError

SUFFIX = ".tif"


def read(path: Path, content: bytes) -> Photo:
    """Raises: PhotoError without rawpy; whatever LibRaw raises on a damaged file."""
    try:
        import rawpy
    except ImportError as error:
        raise PhotoError(
            "it is a raw file: pip install 'denoisebench[raw]' reads it, or develop it and export a 16-bit TIFF"
        ) from error
    with rawpy.imread(io.BytesIO(content)) as raw:
        turned = {0: 1, 3: 3, 5: 8, 6: 6}.get(raw.sizes.flip, 1)  # LibRaw's number -> the tag Orientation
        developed: Any = raw.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=16, user_flip=0)

    def encoded(denoised: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        own = [(274, "H", 1, turned, True)]
        tifffile.imwrite(buffer, denoised, photometric="rgb", compression="zlib", predictor=True, extratags=own, metadata=None)
        return buffer.getvalue()

    notes = ("is developed with the camera's white balance; the output is a 16-bit TIFF without the raw file's metadata",)
    return Photo(path, "raw", np.ascontiguousarray(developed), None, encoded, notes)
