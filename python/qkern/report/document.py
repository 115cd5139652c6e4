"""The report of one quantization as data, fit for JSON; page.py makes HTML of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..calibration import METHODS, HistogramObserver

if TYPE_CHECKING:
    from ..calibration import CalibrationTable
    from ..conversion import BudgetResult, ConversionReport
    from ..conversion.cross_layer_equalization import Equalized
    from ..scheme import Scheme
    from .analysis import Analysis
    from .compare import Comparison
    from .weight_levels import WeightLevels
    from .weight_ranges import WeightRanges

__all__ = ["describe_quantization"]

_BARS = 64
_NOT_OF_A_HISTOGRAM = "moving_average_minmax"


def describe_quantization(
    report: ConversionReport,
    table: CalibrationTable,
    scheme: Scheme,
    *,
    method: str,
    equalized: Sequence[Equalized] = (),
    weights: Sequence[WeightRanges] = (),
    levels: Sequence[WeightLevels] = (),
    budget: BudgetResult | None = None,
    analysis: Analysis | None = None,
    comparison: Comparison | None = None,
) -> dict[str, Any]:
    """Everything the page shows, fit for JSON (what is not finite is None). `scheme` is that of the activations.

    `tensors` has the histograms that `table` holds or, where the method needed none, those of `analysis`.
    """
    layers = [dataclasses.asdict(layer) for layer in report.layers]
    if analysis is not None:
        errors = {layer.name: dataclasses.asdict(layer) for layer in analysis.layers}
        for layer in layers:
            layer.update(errors.get(layer["name"], {}))
    histograms = dict(table)
    if analysis is not None and analysis.table is not None:
        kept = {name: each for name, each in table.items() if isinstance(each, HistogramObserver)}
        histograms = {**analysis.table, **kept}
    described = {
        "target": report.target,
        "method": method,
        "samples": table.samples,
        "int8_layers": len(report.quantized),
        "float_layers": len(report.left_float),
        "notes": list(report.notes),
        "warnings": list(report.warnings),
        "judged": report.judged,
        "sqnr_db": report.sqnr_db,
        "corrections": [dataclasses.asdict(each) for each in report.corrections],
        "equalized": [dataclasses.asdict(each) for each in equalized],
        "weights": [dataclasses.asdict(each) for each in weights],
        "levels": [dataclasses.asdict(each) for each in levels],
        "budget": None if budget is None else dataclasses.asdict(budget),
        "comparison": None if comparison is None else comparison.as_dict(),
        "layers": layers,
        "tensors": [
            _tensor(name, observer, scheme)
            for name, observer in histograms.items()
            if isinstance(observer, HistogramObserver) and observer.count
        ],
    }
    plain: dict[str, Any] = _finite(described)
    return plain


def _tensor(name: str, histogram: HistogramObserver, scheme: Scheme) -> dict[str, Any]:
    edges, counts = histogram.edges, histogram.counts
    used = np.flatnonzero(counts)
    low, high = float(edges[used[0]]), float(edges[used[-1] + 1])
    width = max(high - low, 1e-30)
    middles = np.clip(((edges[:-1] + edges[1:]) / 2 - low) / width * _BARS, 0, _BARS - 1).astype(int)
    bars = np.bincount(middles, weights=counts, minlength=_BARS)
    ranges = {method: histogram.range(scheme, method) for method in METHODS if method != _NOT_OF_A_HISTOGRAM}
    return {"name": name, "low": low, "high": high, "bars": bars.astype(int).tolist(), "ranges": ranges}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
