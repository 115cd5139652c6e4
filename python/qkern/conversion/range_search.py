"""Range search: the method is chosen per tensor, by what it does to the model's outputs.

A method knows the numbers of one tensor and not what they are worth: in one tensor an outlier is noise, in another it
is the class. So each tensor in turn, in the order of the graph, tries the ranges of the other methods, and the one that
brings the outputs nearest to the float ones stays. Greedy search over the very objective, as in Wu et al. (EasyQuant,
arXiv 2006.16669), with the methods' ranges as candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..calibration import CalibrationTable
from ..scheme import QuantParams, Scheme

__all__ = ["CANDIDATES", "ChosenRanges", "search_ranges"]

CANDIDATES = ("minmax", "percentile", "mse", "kl", "l2")
_LEAST_GAIN = 0.02  # dB: less is the samples' doing
_SAME = 0.01  # scales that differ by less are not worth a run


@dataclass(frozen=True, eq=False)
class ChosenRanges:
    """A table with a method per tensor, or parameters that are `given`; tensors without one use the method they are
    asked for."""

    table: CalibrationTable
    methods: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, QuantParams] = field(default_factory=dict)

    def quant_params(self, name: str, scheme: Scheme, method: str) -> QuantParams:
        """As `CalibrationTable.quant_params`."""
        if name in self.given:
            return self.given[name]
        return self.table.quant_params(name, scheme, self.methods.get(name, method))


def search_ranges(
    ranges: ChosenRanges,
    scheme: Scheme,
    method: str,
    sqnr: Callable[[Mapping[str, str]], float],
    stage: Callable[[str], object],
) -> dict[str, str]:
    """Methods by tensor: those of `ranges`, and of the tensors for which another one than that or than `method` is
    better. `sqnr(methods)` is that of the int8 model in dB."""
    table, chosen = ranges.table, dict(ranges.methods)
    best = sqnr(chosen)
    for number, name in enumerate(table):
        if name in ranges.given or not table[name].count:
            continue
        stage(f"range search: tensor {number + 1} of {len(table)}")
        tried = [ranges.quant_params(name, scheme, method)]
        for candidate in CANDIDATES:
            params = table.quant_params(name, scheme, candidate)
            if any(_alike(params, other) for other in tried):
                continue
            tried.append(params)
            result = sqnr({**chosen, name: candidate})
            if result > best + _LEAST_GAIN:
                chosen, best = {**chosen, name: candidate}, result
    return chosen


def _alike(a: QuantParams, b: QuantParams) -> bool:
    return abs(float(a.scale) / float(b.scale) - 1) < _SAME and int(a.zero_point) == int(b.zero_point)
