"""Constants of a layer: weights in 8 bits, biases in int32.

    weight: q = saturate(round_half_even(w / scale) + zero_point)            scale from w's own extremes
    bias:   q = round_half_even(b / (x_scale * weight_scale))                so that it adds to the accumulator

A bias must fit: where |b| / (x_scale * weight_scale) would pass 2**30 (a channel whose weights are nearly nothing, as
batch norm leaves behind when it switches a channel off), the weight's scale is raised until it doesn't. The other half
of int32 is room for the accumulator. Weights of a channel that are all 0 may have any scale: theirs is the one that
keeps the bias finest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scheme import QuantParams, Scheme, weight_params
from .codes import quantize_constant
from .weights import QuantizedWeight

__all__ = ["LayerConstants", "layer_constants"]

_LARGEST_BIAS = float(2**30)
_SMALLEST_PRODUCT = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class LayerConstants:
    """`weight` and `bias` as integers with their parameters (None: the layer has none), `raised`: how many channels
    have a larger weight scale because of their bias."""

    weight: NDArray[Any] | None
    weight_params: QuantParams
    bias: NDArray[np.int32] | None
    bias_params: QuantParams | None
    raised: int


def layer_constants(
    weight: NDArray[np.float32] | QuantParams,
    bias: NDArray[np.float32] | None,
    scheme: Scheme,
    *,
    axis: int | None,
    x_scale: NDArray[np.float32],
    rounded: QuantizedWeight | None = None,
) -> LayerConstants:
    """Weight and bias of one layer as integers.

    `weight`: float32 with output channels along `axis` (None: one scale for all), or the parameters of a weight that is
    no constant. `bias`: one number per output channel, or one for all. `rounded`: the weight as a correction chose
    it, taken as it is but for channels whose scale has to be raised. Raises ValueError where x_scale * weight_scale is
    beyond float32.
    """
    if isinstance(weight, QuantParams):
        params, array = weight, None
    else:
        formula = scheme if axis is not None else replace(scheme, per_channel=False)
        array = weight
        params = weight_params(weight, formula, axis=axis or 0) if rounded is None else rounded.params
    raised = 0
    if array is not None and bias is not None:
        params, raised = _fit_bias(array, params, bias.astype(np.float64).reshape(-1), float(x_scale))
    codes = None if rounded is None or array is None else rounded.codes
    if array is not None and rounded is None:
        codes = quantize_constant(array, params, scheme.limits)
    elif array is not None and rounded is not None and not np.array_equal(params.scale, rounded.params.scale):
        codes = rounded.nearest(array, params, scheme.limits)
        shape = [-1 if dimension == params.axis else 1 for dimension in range(codes.ndim)]
        kept = (params.scale == rounded.params.scale).reshape(shape if params.axis is not None else ())
        codes = np.where(kept, rounded.codes, codes)
    if bias is None:
        return LayerConstants(codes, params, None, None, raised)
    with np.errstate(over="ignore"):
        product = x_scale * params.scale
    if not np.isfinite(product).all() or (product <= 0).any():
        raise ValueError("x_scale * weight_scale is beyond float32")
    row = bias.reshape(-1)
    row = np.broadcast_to(row, product.shape) if row.size < product.size else row
    repeats = row.size // product.size if product.ndim else 1  # ConvTranspose: every group has the same scales
    product = np.tile(product, repeats) if repeats > 1 else product
    limits = np.iinfo(np.int32)
    bias_codes = np.clip(np.rint(row.astype(np.float64) / product), limits.min, limits.max).astype(np.int32)
    zero_point = np.zeros(product.shape, np.int32)
    bias_params = QuantParams(np.asarray(product), zero_point, 0 if product.ndim else None)
    return LayerConstants(codes, params, bias_codes, bias_params, raised)


def _fit_bias(
    weight: NDArray[np.float32], params: QuantParams, bias: NDArray[np.float64], x_scale: float
) -> tuple[QuantParams, int]:
    """`params` with scales at which the bias fits, and how many had to be raised."""
    if params.axis is None:
        largest = np.asarray(np.abs(bias).max(initial=0.0))
        empty = np.asarray(not weight.any())
    else:
        largest = np.abs(bias)
        if largest.size > 1:
            largest = largest.reshape(-1, params.scale.size).max(axis=0)
        empty = np.asarray(~weight.any(axis=tuple(axis for axis in range(weight.ndim) if axis != params.axis)))
    smallest = np.maximum(largest / _LARGEST_BIAS, _SMALLEST_PRODUCT) / x_scale
    scale = params.scale.astype(np.float64)
    # np.nextafter: rounding to float32 must not take the product below the smallest normal number.
    fitted = np.nextafter(smallest.astype(np.float32), np.float32(np.inf))
    chosen = np.where(np.where(empty, largest > 0, smallest > scale), fitted, params.scale)
    raised = int(np.count_nonzero(~empty & (chosen > params.scale)))
    return QuantParams(np.asarray(chosen, np.float32), params.zero_point, params.axis), raised
