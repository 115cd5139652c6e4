"""Mixed precision: the fewest layers in float32 that bring the int8 model to a demanded accuracy.

What each layer costs is measured, not estimated: the model is converted with that layer left in float, all others in
int8. Then layers are left in float one after the other, those that gain most per multiplication (float layers are slow)
first, until the demand is met; at the end every one of them that turns out not to be needed goes back to int8. Greedy,
as the search of Wu et al. (arXiv 2004.09602, section 6) for layers to leave out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

__all__ = ["BudgetResult", "LayerCost", "search_budget"]


@dataclass(frozen=True)
class LayerCost:
    """What it was worth to leave a layer in float: `gain` over everything in int8, in the units of the measure."""

    name: str
    gain: float
    operations: float


@dataclass(frozen=True)
class BudgetResult:
    """`in_float`: the layers to leave, in the order they were chosen; `reached` is the measure with them."""

    in_float: tuple[LayerCost, ...]
    all_int8: float
    reached: float
    met: bool


def search_budget(
    operations: dict[str, float],
    measure: Callable[[Collection[str]], float],
    least: float,
    stage: Callable[[str], object],
) -> BudgetResult:
    """Which layers to leave in float for `measure(names left in float)` to reach `least`; more is better.

    `operations` are the multiplications of each layer that may be left, by name.
    """
    whole = measure(())
    if whole >= least:
        return BudgetResult((), whole, whole, True)
    costs = []
    for number, name in enumerate(operations):
        stage(f"sensitivity: layer {number + 1} of {len(operations)}")
        costs.append(LayerCost(name, measure((name,)) - whole, operations[name]))
    # A layer that gains nothing comes last, whatever it costs.
    costs.sort(key=lambda cost: (cost.gain <= 0, -cost.gain / (1 + cost.operations / _mean(operations))))
    chosen: list[LayerCost] = []
    reached = whole
    for cost in costs:
        stage(f"budget: {len(chosen) + 1} layers in float")
        chosen.append(cost)
        reached = measure([each.name for each in chosen])
        if reached >= least:
            break
    if reached >= least:
        chosen, reached = _prune(chosen, measure, least, reached)
    return BudgetResult(tuple(chosen), whole, reached, reached >= least)


def _prune(
    chosen: list[LayerCost], measure: Callable[[Collection[str]], float], least: float, reached: float
) -> tuple[list[LayerCost], float]:
    """Without the layers that the demand is met without, the dearest first."""
    for cost in sorted(chosen, key=lambda cost: -cost.operations):
        rest = [each for each in chosen if each is not cost]
        result = measure([each.name for each in rest])
        if result >= least:
            chosen, reached = rest, result
    return chosen, reached


def _mean(operations: dict[str, float]) -> float:
    return max(sum(operations.values()) / max(len(operations), 1), 1.0)
