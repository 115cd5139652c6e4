"""Which layers have weights of 4 bits, and how their levels are chosen: what `quantize_model(weights=)` means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .fused_names import FusedNames

if TYPE_CHECKING:
    from .plan import Plan

__all__ = ["EIGHT_BITS", "FORMATS", "MIXED", "MIXED_FORMAT", "WeightFormat", "check_weights", "formats_of_layers"]

EIGHT_BITS, MIXED = "int8", "mixed"
MIXED_FORMAT = "codebook4"  # of the layers that get 4 bits with "mixed"


@dataclass(frozen=True)
class WeightFormat:
    """Weights of 4 bits: `method` finds levels and scales (`codebook.METHODS`), for one table per tensor or, where
    `per_channel`, one per output channel."""

    name: str
    method: str
    per_channel: bool = False


FORMATS = {
    each.name: each
    for each in (
        WeightFormat("codebook4", "kmeans"),
        WeightFormat("codebook4_per_channel", "kmeans", per_channel=True),
        WeightFormat("nf4", "nf4"),
        WeightFormat("pow2", "pow2"),
        WeightFormat("apot", "apot"),
        WeightFormat("int4", "int4"),
    )
}


def check_weights(
    weights: str | Mapping[str, str], size: float | None, budget: float | None, *, can_measure: bool
) -> None:
    """Raises ValueError for a format that there isn't, and where `weights` and demands on "mixed" don't go together.
    `can_measure`: whether there is something to measure layers with."""
    if size is not None and weights != MIXED:
        raise ValueError(f"size: it goes with weights={MIXED!r}")
    if weights == MIXED:
        if (size is None) == (budget is None):
            raise ValueError(f"weights: {MIXED!r} needs size or budget, one of the two")
        if size is not None and not 0 < size <= 1:
            raise ValueError(f"size: {size} is not a share of the int8 file's bytes, above 0 and up to 1")
        if not can_measure:
            raise ValueError(f"weights: {MIXED!r} measures layers, which takes data and effort 'balanced' or 'best'")
        return
    named = {"weights": weights} if isinstance(weights, str) else {f"weights[{k!r}]": v for k, v in weights.items()}
    for argument, each in named.items():
        if each not in (EIGHT_BITS, *FORMATS):
            known = (EIGHT_BITS, *FORMATS, *((MIXED,) if argument == "weights" else ()))
            raise ValueError(f"{argument}: {each!r} is not one of {', '.join(known)}")


def formats_of_layers(weights: str | Mapping[str, str], names: FusedNames, plan: Plan) -> dict[str, WeightFormat]:
    """The format of each layer of `plan` whose weight has 4 bits, by node name.

    In a mapping a node's name counts more than an operator type, and that more than "default". Raises ValueError for a
    name that the model doesn't have, or that does no layer's work.
    """
    layers = {str(layer.node.name) for layer in plan.layers.values() if layer.weight_shape is not None}
    given = {"default": weights} if isinstance(weights, str) else dict(weights)
    default = given.pop("default", EIGHT_BITS)
    names.refuse_unknown(given, "weights")
    chosen = dict.fromkeys(layers, default)
    for by_name in (False, True):
        for key, each in given.items():
            if names.is_node(key) is by_name:
                chosen.update(dict.fromkeys(layers.intersection(names.now(key)), each))
    for key in given:
        if not layers.intersection(names.now(key)):
            raise ValueError(f"weights: {key!r} does the work of no layer with constant weights in int8")
    return {name: FORMATS[each] for name, each in chosen.items() if each != EIGHT_BITS}
