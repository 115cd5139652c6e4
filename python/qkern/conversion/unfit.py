"""Which tensors 8 bits can't hold, decided from their ranges and histograms. They stay float.

An 8-bit grid of step s adds noise of s^2 / 12 to each number. With P the mean square of a tensor's numbers that are not
0 (0 has a code of its own), in decibels over that noise, a tensor is unfit where

    infinities     it holds some
    rounding       its mean square is < 15 dB over the expected error (calibration/mse.py), clipping included
    outliers       P of the 99 % nearest zero < 15 dB: the rest have taken the range (residual sums of transformers)
    two clusters   a tenth or more lie within 8 s, with P < 20 dB, and nothing from there to 32 s: logits, and -1e9
                   where they are masked
    a sum          P of one of the summands < 10 dB over the noise of the sum's grid: that part is lost (logits plus a
                   mask); a constant one may be, as any bias smaller than a step
    a Concat       P of one of the inputs < 10 dB on the grid that all of them would share (boxes of 0 to 640 pixels and
                   scores of 0 to 1)

Where only extremes are known, and no histogram, P is at most their square: what is unfit by that is unfit for sure.
Measured (docs/accuracy.md): the tensors of CNNs are above 33 dB by each of these, the residual sums that ruin a MiniLM
between 7 and 15.

What would read an unfit tensor in 8 bits stays float. What writes it stays float too; a layer with weights is int8
but for its output, which it gives in float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..calibration import CalibrationTable, HistogramObserver
from ..calibration.mse import expected_error
from ..graph_values import constant_of
from ..scheme import Scheme
from .exclusions import Exclusions
from .ranges import own_params, union

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from ..scheme import QuantParams
    from .plan import Layer, Plan

__all__ = ["unfit"]

_BULK = 99  # percent
_LEAST = 15.0  # dB
_LEAST_OF_PART = 10.0
_LEAST_OF_CLUSTER = 20.0
_CLUSTER = 10  # percent
_NEAR, _FAR = 8, 32  # steps
_INFINITE = "it holds infinities"


@dataclass(frozen=True)
class _Tensor:
    """`params` of its own (None: it holds infinities), P (`power`; 0 where everything is 0), and why 8 bits can't hold
    it ("": they can)."""

    params: QuantParams | None
    power: float
    reason: str = ""


def unfit(plan: Plan, table: CalibrationTable, scheme: Scheme, method: str) -> Exclusions:
    """The layers of `plan` that stay float, and those that give floats, with their reasons, where activations have
    `scheme` and ranges are chosen by `method`. Raises ValueError where `table` lacks a tensor."""
    tensors: dict[ir.Value, _Tensor] = {}
    origins: dict[ir.Value, tuple[ir.Value, ...]] = {}  # of what is only moved: where its numbers come from
    reasons: dict[ir.Value, str] = {}
    for value in plan.values():
        for source in plan.sources(value):
            if source not in tensors:
                tensors[source] = _examined(source, table, scheme, method)
                if tensors[source].reason:
                    reasons[source] = tensors[source].reason
    nodes: dict[str, str] = {}
    outputs: dict[str, str] = {}
    for layer in plan.layers.values():
        name, output = str(layer.node.name), layer.outputs[0]
        bad = next((value for value in layer.inputs() if value in reasons), None)
        if bad is not None:
            nodes[name] = f"8 bits can't hold {bad.name!r}: {reasons[bad]}"
            if layer.shares_params:
                reasons.update(dict.fromkeys(layer.outputs, reasons[bad]))
            continue
        parts = {part: tensors[part] for value in layer.inputs() for part in origins.get(value, (value,))}
        if layer.shares_params:
            origins.update(dict.fromkeys(layer.outputs, tuple(parts)))
        lost = _lost_part(layer, parts, tensors.get(output), scheme) if output not in reasons else ""
        if lost:
            reasons.update(dict.fromkeys(layer.outputs, lost))
        if output in reasons:
            with_weights = layer.weight_shape is not None and reasons[output] != _INFINITE
            into = outputs if with_weights else nodes
            into[name] = f"8 bits can't hold its output: {reasons[output]}"
    return Exclusions(nodes, outputs)


def _examined(value: ir.Value, table: CalibrationTable, scheme: Scheme, method: str) -> _Tensor:
    """A tensor by itself."""
    constant, observer = constant_of(value), table.get(str(value.name))
    if constant is None and observer is not None and observer.infinities:
        return _Tensor(None, 0.0, _INFINITE)
    params = own_params(value, table, scheme, method)
    if constant is not None:
        numbers = constant[constant != 0].astype(np.float64)
        return _Tensor(params, math.fsum(np.square(numbers)) / max(numbers.size, 1))
    assert observer is not None
    if not isinstance(observer, HistogramObserver):
        return _Tensor(params, float(max(-observer.minimum, observer.maximum)) ** 2)
    counts = observer.folded(observer.nonzero_counts)
    if not counts.any():
        return _Tensor(params, 0.0)
    squares = np.asarray(((np.arange(counts.size) + 0.5) ** 2 + 1 / 12) * observer.width**2, np.float64)
    return _Tensor(params, _mean(squares, counts), _flaw(observer, counts, squares, params, scheme))


def _flaw(
    observer: HistogramObserver,
    counts: NDArray[np.int64],
    squares: NDArray[np.float64],
    params: QuantParams,
    scheme: Scheme,
) -> str:
    """Why 8 bits can't hold it; `counts` and `squares` are those of |x| in each bin, without what is exactly 0."""
    step, total = float(params.scale), int(counts.sum())
    assert params.fitted is not None
    error = float(expected_error(observer, scheme, *(np.reshape(end, 1) for end in params.fitted))[0])
    kept = _decibels(_mean(squares, counts) * total, error * observer.count)
    if kept < _LEAST:
        return f"rounding leaves {kept:.0f} dB of it"
    bulk = int(np.searchsorted(100 * np.cumsum(counts), _BULK * total)) + 1
    kept = _over_noise(_mean(squares[:bulk], counts[:bulk]), step)
    if kept < _LEAST:
        return f"a few outliers take the range: steps of {step:.3g} leave {kept:.0f} dB of the {_BULK} % nearest zero"
    near, far = (int(ends * step / observer.width) for ends in (_NEAR, _FAR))
    kept = _over_noise(_mean(squares[:near], counts[:near]), step)
    if kept < _LEAST_OF_CLUSTER and 100 * counts[:near].sum() >= _CLUSTER * total and not counts[near:far].any():
        return f"it has two clusters: steps of {step:.3g} leave {kept:.0f} dB of the one at zero"
    return ""


def _lost_part(layer: Layer, parts: dict[ir.Value, _Tensor], output: _Tensor | None, scheme: Scheme) -> str:
    """Which part of the output its grid loses, in words; "" where there is none."""
    if layer.sums and output is not None and output.params is not None:
        parts = {value: part for value, part in parts.items() if constant_of(value) is None}
        step, what = float(output.params.scale), "its steps of {:.3g} leave {:.0f} dB of the summand {!r}"
    elif layer.shares_params and len(parts) > 1:
        params = [part.params for part in parts.values() if part.params is not None]
        step = float(union(params, scheme).scale)
        what = "one scale for all its inputs, with steps of {:.3g}, leaves {:.0f} dB of {!r}"
    else:
        return ""
    for value, part in parts.items():
        kept = _over_noise(part.power, step)
        if part.power and kept < _LEAST_OF_PART:
            return what.format(step, kept, value.name)
    return ""


def _mean(squares: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """Mean square, summed exactly: the same whatever the processor."""
    return math.fsum(squares * counts) / max(int(counts.sum()), 1)


def _over_noise(power: float, step: float) -> float:
    return _decibels(power, step**2 / 12)


def _decibels(signal: float, noise: float) -> float:
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
