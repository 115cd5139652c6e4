"""Whether an int8 model is still the model it was: every output, and every channel of it, beside the float one.

    collapsed    SQNR below 10 dB, or one number throughout where float32 varies by more than an 8-bit step of its own
    ruined       SQNR of all outputs together below 15 dB

Channels are those of axis 1, of three axes the shorter one of the last two; [samples, classes] has none. Noise is as
large in each channel, so that where signals fade from channel to channel (scores of classes that the samples don't
show) the last of them are below it in any int8 model. These are let pass: channels below 10 dB that are reached from
those above it in steps of no more than 24 dB. Boxes in pixels beside scores below 1 are further apart.

What costs most is measured as `analyze` does it, on what has collapsed: layers in int8, all others in float. Of many
layers, halves first: that with the lower SQNR is halved again, until there are few, each of which runs alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..conversion.network import FloatModel, Network
from ..runtime.session import Execution
from ..runtime.signature import holds_floats
from .analysis import errors_of_layers

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..calibration.data import Feed
    from ..conversion.report import ConversionReport

__all__ = ["judged"]

_LEAST = 10.0  # dB, of an output or a channel
_LEAST_OF_ALL = 15.0
_NEIGHBOUR = 24.0
_ALIKE = 6.0
_FEW = 8  # layers
_STEPS = 127  # a spread of less than 1 / 127 of the largest magnitude is within an 8-bit step


@dataclass(frozen=True)
class _Figures:
    """Of one output: signal, noise, extremes; of the whole of it (axis None) or of each channel along `axis`."""

    axis: int | None
    signal: NDArray[np.float64]
    noise: NDArray[np.float64]
    reference: tuple[NDArray[np.float64], NDArray[np.float64]]  # lowest and highest
    other: tuple[NDArray[np.float64], NDArray[np.float64]]

    @property
    def sqnr_db(self) -> NDArray[np.float64]:
        """Infinite without noise, and where there is no signal to lose."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = 10 * np.log10(self.signal / self.noise)
        return np.where((self.noise == 0) | (self.signal == 0), np.inf, ratio)

    @property
    def collapsed(self) -> NDArray[np.bool_]:
        """Whether it, or each channel, has."""
        low, high = self.reference
        varies = high - low > np.maximum(np.abs(low), np.abs(high)) / _STEPS
        constant = (self.other[0] == self.other[1]) & varies
        return np.asarray(constant | (self.sqnr_db < _LEAST))


def judged(
    report: ConversionReport,
    model: FloatModel,
    quantized: ir.Model,
    feeds: Sequence[Feed],
    with_left: Callable[[Collection[str]], tuple[ir.Model, Any]],
    *,
    count: Callable[[Feed], int],
    execution: Execution = Execution(),
    stage: Callable[[str], object] | None = None,
) -> ConversionReport:
    """`report` of `quantized` with what it makes of `feeds` beside what the float `model` does; `with_left(names)` is
    the int8 model with these nodes in float, `count(feed)` the samples in a feed. Outputs that are no floats aren't
    judged, nor those of another shape in int8, which is said. A model without int8 layers is warned of too.
    """
    if not report.quantized:
        reasons = "; ".join(sorted({layer.reason for layer in report.left_float})) or "it has none to quantize"
        report = replace(report, warnings=(*report.warnings, f"no layer is int8: {reasons}"))
    if not feeds:
        note = "not judged: without samples there is nothing to compare the outputs on"
        return replace(report, notes=(*report.notes, note))
    network = Network.of(model)
    sessions = [execution.session(each, fused=True) for each in (network.model, quantized)]
    pairs = [[session.run(None, feed) for session in sessions] for feed in feeds]
    names = [spec.name for spec in sessions[0].get_outputs()]
    warnings: list[str] = []
    chosen: list[tuple[int, int | None, list[int]]] = []  # output, axis, channels: what has collapsed
    signal = noise = 0.0
    compared = []
    for index, name in enumerate(names):
        arrays = [(float_[index], int8[index]) for float_, int8 in pairs]
        if not all(holds_floats(f) for f, _ in arrays):
            continue
        if any(f.shape != q.shape for f, q in arrays):
            warnings.append(f"output {name!r} is not judged: its shape is another one in int8")
            continue
        compared.append(index)
        whole = _figures(arrays, None)
        signal, noise = signal + float(whole.signal[0]), noise + float(whole.noise[0])
        axis = _channel_axis([f.shape for f, _ in arrays])
        if whole.collapsed[0]:
            how = "one number throughout" if whole.sqnr_db[0] >= _LEAST else f"{whole.sqnr_db[0]:.1f} dB"
            warnings.append(f"output {name!r} has collapsed: {how}")
            chosen.append((index, None, []))
        elif axis is not None:
            channels = _collapsed_channels(_figures(arrays, axis))
            if channels:
                size = arrays[0][0].shape[axis]
                which = ", ".join(map(str, channels[:3])) + (", ..." if len(channels) > 3 else "")
                warnings.append(f"output {name!r}: {len(channels)} of {size} channels have collapsed ({which})")
                chosen.append((index, axis, channels))
    total = math.inf
    if noise and signal:
        total = 10 * math.log10(signal / noise) if math.isfinite(noise) else -math.inf
    if total < _LEAST_OF_ALL:
        warnings.append(f"SQNR of the outputs is {total:.1f} dB")
        chosen = chosen or [(index, None, []) for index in compared]
    if chosen:

        def collapsed(outputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
            return [
                outputs[index] if axis is None else np.take(outputs[index], channels, axis)
                for index, axis, channels in chosen
            ]

        in_int8 = network.without([layer.name for layer in report.left_float])
        layers, measure, _ = errors_of_layers(in_int8, feeds, with_left, execution=execution, of=collapsed)
        if layers:
            if stage is not None:
                stage("what costs most")
            while len(layers) > _FEW:
                middle = len(layers) // 2
                layers = min(layers[:middle], layers[middle:], key=lambda half: measure(half).sqnr_db)
            costs = {layer.outputs[0].name: (measure([layer]).sqnr_db, layer.node) for layer in layers}
            tensor = min(costs, key=lambda name: costs[name][0])
            alone, node = costs[tensor]
            warnings.append(
                f"{tensor!r} costs most: {alone:.1f} dB with {node.op_type} {node.name!r} alone in int8; leave it in "
                "float (exclude), or as much as it takes (budget)"
            )
    return replace(report, warnings=(*report.warnings, *warnings), judged=sum(map(count, feeds)), sqnr_db=total)


def _channel_axis(shapes: Sequence[tuple[int, ...]]) -> int | None:
    """None where there are no channels, or not the same number in every array."""
    shape = shapes[0]
    if len(shape) < 3:
        return None
    axis = 2 if len(shape) == 3 and shape[2] < shape[1] else 1
    return axis if shape[axis] > 1 and len({each[axis] for each in shapes}) == 1 else None


def _figures(arrays: Sequence[tuple[NDArray[Any], NDArray[Any]]], axis: int | None) -> _Figures:
    """Without the places at which the float output isn't finite. Sums are NumPy's, the same on every processor."""
    parts = []
    for f, q in arrays:
        wide = [np.moveaxis(np.atleast_1d(each), axis or 0, 0).astype(np.float64) for each in (f, q)]
        reference, other = (each.reshape(len(each) if axis is not None else 1, -1) for each in wide)
        if not reference.size:
            continue
        finite = np.isfinite(reference)
        with np.errstate(all="ignore"):
            difference = np.where(finite, reference - other, 0)
            noise = np.square(np.where(np.isfinite(difference), difference, np.inf)).sum(axis=1)
            signal = np.square(np.where(finite, reference, 0)).sum(axis=1)
        ends = (
            [np.where(finite, each, fill).min(axis=1) for each, fill in ((reference, np.inf), (other, np.inf))],
            [np.where(finite, each, fill).max(axis=1) for each, fill in ((reference, -np.inf), (other, -np.inf))],
        )
        parts.append((signal, noise, *ends[0], *ends[1]))
    if not parts:
        nothing = np.zeros(1)
        return _Figures(axis, nothing, nothing, (nothing, nothing), (nothing, nothing))
    signal, noise, *lows_highs = (np.stack(each) for each in zip(*parts, strict=True))
    low, other_low = (each.min(axis=0) for each in lows_highs[:2])
    high, other_high = (each.max(axis=0) for each in lows_highs[2:])
    return _Figures(axis, signal.sum(axis=0), noise.sum(axis=0), (low, high), (other_low, other_high))


def _collapsed_channels(figures: _Figures) -> list[int]:
    """Those that have, without those that fade away."""
    collapsed, sound = figures.collapsed, ~figures.collapsed & (figures.signal > 0)
    found = np.flatnonzero(collapsed & (figures.signal > 0)).tolist()
    if not found or not sound.any():
        return list(map(int, found))
    power = 10 * np.log10(np.where(figures.signal > 0, figures.signal, 1))
    edge = faintest = float(power[sound].min())
    kept = []
    for channel in sorted(found, key=lambda each: -power[each]):
        if edge - _NEIGHBOUR <= power[channel] < faintest + _ALIKE:
            edge = min(edge, float(power[channel]))
        else:
            kept.append(int(channel))
    return sorted(kept)
