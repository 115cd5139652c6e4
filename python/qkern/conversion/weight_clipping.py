"""Weight clipping: per output channel the scale with the least error, which may saturate the largest weights.

    minimize over s    sum over k of E[x_k²] (w_k - s clamp(round(w_k / s)))²

Codes that have to be safe from saturation (saturation.py) are no larger than they are, so there scales up to a
sixteenth above the smallest safe one are tried: of a few hundred weights, some scales happen to suit more than others.

Mean squared error as in Choukroun et al., "Low-bit quantization of neural networks for efficient inference" (ICCV
workshops 2019), each weight's error weighed by the power of the input that it meets. Scales from half to the whole of
what the extremes give are tried.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..scheme import Scheme
from .plan import Layer
from .weights import QuantizedWeight, rescaled
from .windows import Moments, weight_rows

__all__ = ["clip_weights"]

_SHARES = np.arange(64, 31, -1) / 64
_SAFE_SHARES = 1 + np.arange(33) / 512


def clip_weights(
    layers: list[Layer],
    weights: Mapping[str, QuantizedWeight],
    moments: Mapping[str, Moments],
    scheme: Scheme,
    *,
    safe: bool = False,
) -> dict[str, QuantizedWeight]:
    """`weights` (rounded to nearest) of `layers` with better scales, rounded to nearest again; `safe` ones stay safe
    from saturation."""
    shares = _SAFE_SHARES if safe else _SHARES
    clipped = dict(weights)
    lowest, highest = scheme.limits
    for layer in layers:
        name, rows = str(layer.node.name), weight_rows(layer)
        if rows is None or name not in moments:
            continue
        before = weights[name]
        power = moments[name].square[:, None, :]
        real = rows.rows.astype(np.float64)
        scales = before.row_scales(rows)
        errors = []
        codes = np.empty_like(real)  # one for all shares: new memory costs more than the arithmetic
        for share in shares:
            step = (scales * share)[..., None]
            np.clip(np.rint(np.divide(real, step, out=codes), out=codes), lowest, highest, out=codes)
            lost = np.subtract(real, np.multiply(codes, step, out=codes), out=codes)
            errors.append(np.multiply(power, np.square(lost, out=codes), out=codes).sum(axis=2))
        error = np.stack(errors)
        if before.params.axis is None:
            best = np.full(scales.shape, int(np.argmin(error.sum(axis=(1, 2)))))
        else:
            best = error.argmin(axis=0)
        scale = (scales * shares[best]).astype(np.float32)
        codes = np.clip(np.rint(rows.rows / scale[..., None]), lowest, highest)
        chosen = scale.reshape(-1) if before.params.axis is not None else np.asarray(scale.reshape(-1)[0])
        clipped[name] = rescaled(before, chosen, rows.restore(codes).astype(before.codes.dtype))
    return clipped
