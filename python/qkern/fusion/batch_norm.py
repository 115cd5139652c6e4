"""Batch normalization into the linear node before it.

    bn(y) = gamma * (y - mean) / sqrt(var + eps) + beta,  y = W x + b
          = (s W) x + ((b - mean) s + beta),              s = gamma / sqrt(var + eps), one number per output channel

for Conv, ConvTranspose (grouped too) and Gemm, with or without a bias. Computed in float64 and rounded once. Weights
that another node reads are copied. Not done, and reported, where another node or an output of the graph reads y, or
where a parameter isn't constant. (Jacob et al. 2018, section 3.2.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .fused import Fused
from .linear import channels_of, constant_array, fold_into, linear_before, obstacle

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["PASS_NAME", "fold_batch_norm"]

PASS_NAME = "batch_norm"


def fold_batch_norm(model: ir.Model) -> list[Fused]:
    """Folds every BatchNormalization of the main graph that follows a linear node."""
    done: list[Fused] = []
    for norm in tuple(model.graph):
        if norm.op_type != "BatchNormalization" or norm.domain != "":
            continue
        linear = linear_before(norm)
        if linear is None:
            continue
        names = (linear.name or "", norm.name or "")
        reason = _obstacle(linear, norm)
        if reason:
            done.append(Fused(PASS_NAME, names, "", reason))
            continue
        gamma, beta, mean, variance = (constant_array(value) for value in norm.inputs[1:5])
        factor = gamma / np.sqrt(variance + norm.attributes.get_float("epsilon", 1e-5))
        fold_into(linear, norm, factor, lambda bias: (bias - mean) * factor + beta)  # noqa: B023
        done.append(Fused(PASS_NAME, names, names[0]))
    return done


def _obstacle(linear: ir.Node, norm: ir.Node) -> str:
    # Before opset 14 having statistics as outputs, read or not, is what training mode was.
    if norm.attributes.get_int("training_mode", 0) or any(output.name for output in norm.outputs[1:]):
        return "the batch normalization is in training mode"
    gamma = norm.inputs[1]
    channels = 0 if gamma is None or gamma.shape is None else int(np.prod(tuple(gamma.shape)))  # type: ignore[arg-type]
    reason = obstacle(linear, channels, "the batch normalization", *norm.inputs[1:5])
    if not reason and any(constant_array(value).shape != (channels_of(linear),) for value in norm.inputs[1:5]):
        return "the batch normalization has not one number per output channel"
    return reason
