"""Stage 1: a float graph -> a smaller float graph that computes the same, up to rounding.

One pass per file, each a function `(model) -> list[Fused]` whose docstring is its pattern and its algebra; `PASSES` is
the list, in the order in which they run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .affine import fold_affine
from .batch_norm import fold_batch_norm
from .clean import clean, complete_shapes, sweep
from .fused import Fused
from .matmul_add import merge_matmul_add
from .pad import merge_pads
from .reduce_mean import pool_means
from .redundant_activation import merge_activations
from .slices import merge_slices

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["PASSES", "Fused", "fuse"]

PASSES = (merge_slices, merge_matmul_add, merge_pads, fold_batch_norm, fold_affine, pool_means, merge_activations)


def fuse(model: ir.Model) -> list[Fused]:
    """Cleans `model` and runs every pass of `PASSES` over it, in place. Returns what was fused or could not be.

    Outputs stay equal up to float32 rounding; names of inputs, outputs and remaining nodes stay. Arrays are replaced,
    never written to, so that a clone of the model isn't changed. Quantized parts stay as they are. Raises ValueError
    naming a node of an opset below 13 whose meaning opset 13 can't express.
    """
    clean(model)
    report = [fused for run in PASSES for fused in run(model)]
    if any(fused.into for fused in report):
        sweep(model)
        complete_shapes(model)
    return report
