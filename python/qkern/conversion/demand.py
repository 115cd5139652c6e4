"""What an int8 model has to reach, and the search for the layers that it takes to leave in float for that."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.session import Execution
from ..runtime.signature import holds_floats
from .budget import BudgetResult, search_budget
from .deviation import Deviation
from .windows import weight_ratio

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from ..calibration import Sampling
    from ..calibration.data import Feed
    from .network import Network
    from .plan import Layer
    from .report import ConversionReport

__all__ = ["METRICS", "Demand", "meet"]

METRICS = ("agreement", "cosine")

_Convert = Callable[[Collection[str]], tuple["ir.Model", "ConversionReport"]]


@dataclass(frozen=True)
class Demand:
    """`metric` of the outputs has to be `least`: "sqnr" in dB, "agreement" of the first output's top-1, "cosine"."""

    metric: str
    least: float

    @classmethod
    def of(cls, budget: float | None, max_drop: float | None, metric: str) -> Demand | None:
        """That of `quantize_model`'s arguments; None where they demand nothing. Raises ValueError for an unknown
        metric, and for two demands."""
        if metric not in METRICS:
            raise ValueError(f"metric: {metric!r} is not one of {', '.join(METRICS)}")
        if budget is not None and max_drop is not None:
            raise ValueError("budget and max_drop: one demand at a time")
        if budget is not None:
            return cls("sqnr", budget)
        return None if max_drop is None else cls(metric, 1 - max_drop)


def meet(
    demand: Demand,
    network: Network,
    samples: Iterable[Feed],
    without: _Convert,
    sampling: Sampling,
    *,
    reference: Network,
    execution: Execution = Execution(),
    stage: Callable[[str], object] | None = None,
) -> tuple[BudgetResult, tuple[ir.Model, ConversionReport] | None]:
    """What the search found, and the int8 model with these layers in float; None where it takes none. `without(names)`
    is the int8 model of the float `network` with these nodes in float; its outputs are compared with `reference`'s."""
    layers = [each for each in network.plan.layers.values() if not each.shares_params]
    by_name = {str(layer.node.name): layer for layer in layers}
    operations = {name: _operations(layer, sampling) for name, layer in by_name.items()}
    measure = _measure_of(demand.metric, reference, samples, without, sampling, execution)
    found = search_budget(operations, measure, demand.least, stage if stage is not None else (lambda name: None))
    if not found.in_float:
        return found, None
    quantized, report = without([cost.name for cost in found.in_float])
    words = {cost.name: _reason(cost.gain, by_name[cost.name], found) for cost in found.in_float}
    layers_said = tuple(replace(each, reason=words.get(each.name, each.reason)) for each in report.layers)
    return found, (quantized, replace(report, layers=layers_said))


def _measure_of(
    metric: str,
    network: Network,
    samples: Iterable[Feed],
    without: _Convert,
    sampling: Sampling,
    execution: Execution,
) -> Callable[[Collection[str]], float]:
    """`metric` as a function of the nodes in float; what the float network gives is computed once."""
    feeds = list(samples)
    session = execution.session(network.model, fused=True)
    expected = [session.run(None, feed) for feed in feeds]

    def measure(names: Collection[str]) -> float:
        session = execution.session(without(names)[0], fused=True)
        deviation, same = Deviation(), []
        for feed, floats in zip(feeds, expected, strict=True):
            outputs = session.run(None, feed)
            for f, q in zip(floats, outputs, strict=True):
                if holds_floats(f):
                    deviation.add(f, q)
            if metric == "agreement":
                same.append(_same_top(floats[0], outputs[0], sampling.count(feed)))
        if metric == "agreement":
            return float(np.concatenate(same).mean())
        return deviation.cosine if metric == "cosine" else deviation.sqnr_db

    return measure


def _same_top(f: NDArray[Any], q: NDArray[Any], samples: int) -> NDArray[np.bool_]:
    if f.ndim != 2 or len(f) != samples:
        raise ValueError("metric: agreement needs a first output [samples, classes]")
    return np.asarray(f.argmax(axis=1) == q.argmax(axis=1))


def _reason(gain: float, layer: Layer, found: BudgetResult) -> str:
    ratio = weight_ratio(layer)
    tail = "" if ratio is None else f", per-channel range ratio {ratio:.3g}"
    return f"stays float: {gain:+.4g} alone, on {found.all_int8:.4g} with everything in int8{tail}"


def _operations(layer: Layer, sampling: Sampling) -> float:
    """Multiplications per sample, as far as shapes are known."""
    shape = () if layer.outputs[0].shape is None else tuple(layer.outputs[0].shape)
    sizes = [size if isinstance(size, int) else 1 for size in (shape[1:] if sampling.by_rows else shape)]
    positions = math.prod(sizes)
    if layer.weight_shape is None or layer.weight_axis is None:
        return float(positions)
    return float(positions) * math.prod(layer.weight_shape) / layer.weight_shape[layer.weight_axis]
