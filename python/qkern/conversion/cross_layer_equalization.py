"""Cross-layer equalization: channels of a tensor get ranges nearer to each other, at the cost of nobody.

    relu(s y) = s relu(y), so    W2 relu(W1 x + b1) = (W2 / s) relu(s W1 x + s b1)        for s > 0, per channel

Nagel et al., "Data-free quantization through weight equalization and bias correction" (ICCV 2019, section 4.1), with
two changes. Weights here have a scale per output channel, so a factor costs the first layer nothing, and what it evens
out is the tensor between the two layers, whose one scale fits its widest channel only; and the factors reach over
residual connections (channels.py). They are (widest / range)^alpha of the tensor, alpha in steps of 1/8 per set of
connected channels, for the least sum over the layers that read it of

    relative noise = (step² / 12  sum_c |W_c|² / s_c²  +  sum_o step_o² / 12  sum_c s_c² E[x_c²]) / E[y²]

the first term the rounding of the tensor (step = widest s_c range_c / 255), the second that of the weights of W / s.

Where weights have one scale per tensor, rows of the first layer get ranges nearer to each other too: the noise of its
weights counts as well, relative to the scaled rows, and factors are those above times (range of its row / range of the
columns that read it)^-beta, of which the paper's are alpha 0, beta 1/2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._core import add_column_sums
from ..graph_values import add_initializer, constant_of
from ..scheme import Scheme
from .channels import Channels, find_channels
from .observation import Taps
from .plan import Layer, Plan
from .windows import weight_rows

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["ChannelObserver", "ChannelRanges", "Equalized", "equalize"]

_ALPHAS = np.arange(9) / 8
_COARSE_ALPHAS = _BETAS = np.arange(5) / 4  # where there are two exponents
_MOST_FACTOR = 64.0
_ROUNDS = 2


@dataclass(eq=False)
class ChannelRanges:
    """Of a tensor, per channel: the largest |x| and the mean of x²; `signed` where x goes below 0."""

    maximum: NDArray[np.float64]
    power: NDArray[np.float64]
    signed: bool


@dataclass(frozen=True)
class Equalized:
    """What was done to a tensor: `before` and `after` are the largest and the median channel range as a ratio."""

    name: str
    channels: int
    before: float
    after: float


@dataclass(eq=False)
class _ChannelSums:
    """What `ChannelRanges` are made of, over some batches."""

    low: Any = np.inf
    high: Any = -np.inf
    square: Any = 0.0
    count: int = 0
    even: bool = True  # every sample has as many channels

    def add(self, array: NDArray[Any]) -> None:
        axes = (0, *range(2, array.ndim))
        low, high = array.min(axis=axes), array.max(axis=axes)
        if self.count and self.low.shape != low.shape:
            self.even = False
        if not self.even:
            return
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        rows = np.ascontiguousarray(np.moveaxis(array, 1, -1), np.float32).reshape(-1, low.size)
        sums, squares = np.zeros(low.size), np.zeros(low.size)
        add_column_sums(rows, sums, squares)
        self.square, self.count = self.square + squares, self.count + len(rows)


class ChannelObserver:
    """Watches the channels (axis 1) of every 8-bit tensor of two or more axes of the float network that has this
    `plan`."""

    def __init__(self, plan: Plan) -> None:
        values = (v for v in plan.values() if constant_of(v) is None and v.shape is not None and len(v.shape) > 1)
        self._sums = {str(value.name): _ChannelSums() for value in values}
        self.taps: Taps = {name: [sums.add] for name, sums in self._sums.items()}

    def ranges(self) -> dict[str, ChannelRanges]:
        """Those of the tensors that were seen; without those that have more channels in one sample than in another."""
        return {
            name: ChannelRanges(
                np.maximum(-sums.low, sums.high).astype(np.float64),
                sums.square / sums.count,
                bool((sums.low < 0).any()),
            )
            for name, sums in self._sums.items()
            if sums.count and sums.even
        }


def equalize(model: ir.Model, plan: Plan, ranges: Mapping[str, ChannelRanges], scheme: Scheme) -> list[Equalized]:
    """Scales weights and biases of `model` (float, in place), for weights of this `scheme`. The model's function stays,
    up to rounding, for numbers that don't go beyond those in `ranges`. Returns the tensors that changed."""
    channels = find_channels(model, plan, {name: each.maximum for name, each in ranges.items()})
    tensors = [value for value in channels.of if str(value.name) in ranges]
    factors = np.ones(channels.lowest.size)
    groups = _connected(channels, tensors)
    for _ in range(_ROUNDS):
        for group in groups:
            _choose(group, factors, channels, ranges, scheme)
    for layer in channels.layers:
        _apply(model, layer, channels, factors)
    changed = []
    for value in tensors:
        own = factors[channels.of[value]]
        if (own != 1).any():
            before = ranges[str(value.name)].maximum
            changed.append(Equalized(str(value.name), own.size, _spread(before), _spread(before * own)))
    return changed


def _spread(maxima: NDArray[np.float64]) -> float:
    return float(maxima.max() / max(float(np.median(maxima)), 1e-12 * float(maxima.max()), 1e-300))


def _connected(channels: Channels, tensors: list[ir.Value]) -> list[list[ir.Value]]:
    """Sets of tensors that have factors in common."""
    groups: list[tuple[set[int], list[ir.Value]]] = []
    for value in tensors:
        own = set(channels.of[value].tolist())
        together = [group for group in groups if group[0] & own]
        merged = (own.union(*(group[0] for group in together)), [v for group in together for v in group[1]] + [value])
        groups = [group for group in groups if group not in together] + [merged]
    return [values for _, values in groups]


def _choose(
    group: list[ir.Value],
    factors: NDArray[np.float64],
    channels: Channels,
    ranges: Mapping[str, ChannelRanges],
    scheme: Scheme,
) -> None:
    """Sets the factors of the group's channels to the best ones of those that are tried."""
    indices = np.unique(np.concatenate([channels.of[value] for value in group]))
    free = indices[channels.highest[indices] > channels.lowest[indices]]
    if free.size == 0:
        return
    reach = np.zeros(factors.size)  # of each factor's channels, relative to the widest of their tensor
    for value in group:
        maximum = ranges[str(value.name)].maximum
        if maximum.max() > 0:
            np.maximum.at(reach, channels.of[value], maximum / maximum.max())
    layers = [layer for layer in channels.layers if layer.node.inputs[layer.activations[0]] in set(group)]
    candidates = [_limited(reach) ** -alpha for alpha in _ALPHAS]
    if not scheme.per_channel:
        makers = [layer for layer in channels.layers if np.isin(channels.of[layer.node.outputs[0]], indices).any()]
        uneven = _unevenness(makers, layers, factors, channels)
        candidates = [
            _limited(reach) ** -alpha * _limited(uneven) ** -beta for alpha in _COARSE_ALPHAS for beta in _BETAS
        ]
        layers += [layer for layer in makers if layer not in layers]
    best, least = factors[free].copy(), np.inf
    for wanted in [factors, *candidates]:
        factors[free] = np.clip(wanted[free], channels.lowest[free], channels.highest[free])
        noise = sum(_noise(layer, factors, channels, ranges, scheme) for layer in layers)
        noise += sum(_rounding(value, factors, channels, ranges) for value in group)
        if noise < least:
            best, least = factors[free].copy(), noise
    factors[free] = best


def _limited(relative: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(relative, 1 / _MOST_FACTOR)


def _unevenness(
    makers: list[Layer], readers: list[Layer], factors: NDArray[np.float64], channels: Channels
) -> NDArray[np.float64]:
    """Of each factor: the range of the rows that make its channel over that of the columns that read it, to be evened
    out; the largest is 1. With the factors that the other sides of these layers have now."""
    rows, columns = np.zeros(factors.size), np.zeros(factors.size)
    for layer in makers:
        weight = _scaled(layer, factors, channels, up=False)
        widest = np.abs(weight).max(axis=(2, 3)).reshape(-1)
        np.maximum.at(rows, channels.of[layer.node.outputs[0]], widest / max(float(widest.max()), 1e-300))
    for layer in readers:
        weight = _scaled(layer, factors, channels, down=False)
        widest = np.abs(weight).max(axis=(1, 3)).reshape(-1)
        value = layer.node.inputs[layer.activations[0]]
        assert value is not None
        np.maximum.at(columns, channels.of[value], widest / max(float(widest.max()), 1e-300))
    ratio = np.where(rows > 0, rows, 1.0) / _limited(np.where(columns > 0, columns, 1.0))
    return np.asarray(ratio / ratio.max())


def _step(
    value: ir.Value, factors: NDArray[np.float64], channels: Channels, ranges: Mapping[str, ChannelRanges]
) -> float:
    each = ranges[str(value.name)]
    return float((each.maximum * factors[channels.of[value]]).max()) * (2 if each.signed else 1) / 255


def _rounding(
    value: ir.Value, factors: NDArray[np.float64], channels: Channels, ranges: Mapping[str, ChannelRanges]
) -> float:
    """Relative noise of a tensor that an Add reads, which hands it on as it is."""
    if all(use.node.op_type != "Add" for use in value.uses()):
        return 0.0
    power = float(ranges[str(value.name)].power.sum())
    step = _step(value, factors, channels, ranges)
    return 0.0 if power == 0 else step**2 / 12 * float((factors[channels.of[value]] ** -2.0).sum()) / power


def _scaled(
    layer: Layer, factors: NDArray[np.float64], channels: Channels, *, up: bool = True, down: bool = True
) -> NDArray[np.float64]:
    """The layer's weight, [groups, rows, channels, window], rows times the factors of its output (`up`), columns over
    those of its input (`down`)."""
    rows = weight_rows(layer)
    x, y = layer.node.inputs[layer.activations[0]], layer.node.outputs[0]
    assert rows is not None
    assert x is not None
    groups, count, _ = rows.rows.shape
    below, above = factors[channels.of[x]].reshape(groups, 1, -1, 1), factors[channels.of[y]]
    weight = rows.rows.astype(np.float64).reshape(groups, count, below.shape[2], -1)
    if up:
        weight = weight * above.reshape(groups, count, 1, 1)
    return np.asarray(weight / below if down else weight)


def _noise(
    layer: Layer,
    factors: NDArray[np.float64],
    channels: Channels,
    ranges: Mapping[str, ChannelRanges],
    scheme: Scheme,
) -> float:
    """Relative noise at the output of a layer, in its own units before any factor of the output."""
    value, y = layer.node.inputs[layer.activations[0]], layer.node.outputs[0]
    assert value is not None
    if str(value.name) not in ranges:
        return 0.0
    weight = _scaled(layer, factors, channels, up=False, down=False)
    groups = len(weight)
    own = factors[channels.of[value]].reshape(groups, 1, -1, 1)  # [groups, 1, channels per group, 1]
    power = ranges[str(value.name)].power.reshape(own.shape)
    signal = float((weight**2 * power).sum())
    if signal == 0:
        return 0.0
    from_tensor = _step(value, factors, channels, ranges) ** 2 / 12 * float((weight**2 / own**2).sum())
    steps = np.abs(weight / own).max(axis=(2, 3)) / 127
    if not scheme.per_channel:
        up = factors[channels.of[y]].reshape(groups, -1)
        steps = (up * steps).max() / up
    from_weights = float((steps**2).sum(axis=1) @ (own**2 * power).sum(axis=(1, 2, 3))) / 12 * weight.shape[3]
    return float((from_tensor + from_weights) / signal)


def _apply(model: ir.Model, layer: Layer, channels: Channels, factors: NDArray[np.float64]) -> None:
    """Multiplies the rows of the layer's weight, and its bias, by the factors of its output; divides the columns by
    those of its input."""
    node, rows = layer.node, weight_rows(layer)
    x, y = node.inputs[layer.activations[0]], node.outputs[0]
    assert rows is not None
    assert x is not None
    assert layer.weight is not None
    up, down = factors[channels.of[y]], factors[channels.of[x]]
    if (up == 1).all() and (down == 1).all():
        return
    scaled = _scaled(layer, factors, channels).reshape(rows.rows.shape)
    name = str(node.inputs[layer.weight].name)  # type: ignore[union-attr]
    weight = rows.restore(scaled.astype(np.float32))
    node.replace_input_with(layer.weight, add_initializer(model.graph, f"{name}.equalized", weight))
    if layer.bias is not None:
        bias = node.inputs[layer.bias]
        old = constant_of(bias)
        assert bias is not None
        assert old is not None
        new = np.asarray(old.reshape(-1) * up, np.float32)
        node.replace_input_with(layer.bias, add_initializer(model.graph, f"{bias.name}.equalized", new))
