"""`denoisebench import-weights`: released checkpoints as weights of ours."""

from pathlib import Path
from typing import Annotated

import typer

from denoisebench.cli.messages import loading, refused


def import_weights(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The released checkpoint.", show_default=False)],
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="Where to write (default: FILE with the ending .ours.safetensors).")
    ] = None,
    *,
    method: Annotated[str, typer.Option(help="neighbor2neighbor, sdap, apbsn, cbsn, tm_bsn or at_bsn.", show_default=False)],
) -> int:
    """Convert a checkpoint released by a method's authors into our weights. No code in it is run.

    \b
      denoisebench import-weights --method apbsn APBSN_SIDD.pth
      denoisebench run method=apbsn checkpoint=APBSN_SIDD.ours.safetensors dataset=polyu noise=real

    C-BSN was released for TensorFlow 1. Where that is installed, these lines make the .npz that is read here:

    \b
      import numpy as np, tensorflow as tf
      checkpoint = tf.train.load_checkpoint("CBSN_SIDDtrain.ckpt")
      np.savez("cbsn.npz", **{name: checkpoint.get_tensor(name) for name in checkpoint.get_variable_to_shape_map()})
    """
    with loading():
        from denoisebench.weights.released import import_weights

    written = out or file.with_suffix(".ours.safetensors")
    with refused():
        import_weights(method, file, written)
    print(f"wrote {written}; test it with: denoisebench run method={method} checkpoint={written}")
    return 0
