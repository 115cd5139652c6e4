"""What saturation-safe weights cost: their scales and the noise of rounding to nearest, against the smallest scales."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..conversion.network import FloatModel, Network
from ..conversion.report import ConversionReport
from ..conversion.saturation import is_saturation_safe
from ..conversion.weights import nearest_weights
from ..conversion.windows import weight_rows
from ..graph_values import constant_of
from ..runtime.lookups import looked_up

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..conversion.plan import Layer
    from ..scheme import Scheme

__all__ = ["with_saturation_costs"]


def with_saturation_costs(
    report: ConversionReport, model: FloatModel, quantized: ir.Model, scheme: Scheme
) -> ConversionReport:
    """`report` of `quantized`, converted from the float `model` with weights of `scheme`, with what is proven of the
    codes of each layer whose weight has rows, and what it costs."""
    nodes = {str(node.name): node for node in quantized.graph}
    costs = {}
    for layer in Network.of(model).plan.layers.values():
        name = str(layer.node.name)
        found = None if name not in nodes else _cost(layer, nodes[name], scheme)
        if found is not None:
            costs[name] = found
    layers = []
    for each in report.layers:
        safe, factor, noise = costs.get(each.name, (None, None, None))
        layers.append(replace(each, saturation_safe=safe, scale_factor=factor, noise_db=noise))
    return replace(report, layers=tuple(layers))


def _cost(layer: Layer, node: ir.Node, scheme: Scheme) -> tuple[bool, float | None, float | None] | None:
    """Whether the codes of `node` are safe, by what mean factor the scales of safe ones are larger, and by how many
    decibels that raises the noise of the weights; None where the layer has no rows or isn't int8, and None for both of
    levels of a table."""
    rows = weight_rows(layer)
    if rows is None or layer.weight is None:
        return None
    value = node.inputs[layer.weight]
    source = None if value is None else value.producer()
    if source is None or source.op_type != "DequantizeLinear":
        return None
    codes = looked_up(source.inputs[0])
    if codes is not None:  # 4 bits have scales of their own, whatever is safe
        return is_saturation_safe(rows.in_order(rows.of(codes))), None, None
    codes = constant_of(source.inputs[0])
    if codes is None:
        return None
    safe = is_saturation_safe(rows.in_order(rows.of(codes)))
    kinds = [nearest_weights([layer], scheme, safe=each)[str(layer.node.name)] for each in (False, True)]
    scales = [each.params.scale.astype(np.float64) for each in kinds]
    noises = [float(np.square(each.real_rows(rows) - rows.rows).sum()) for each in kinds]
    ratio = noises[1] / noises[0] if noises[0] else 1.0 if not noises[1] else float("inf")
    return safe, float(np.mean(scales[1] / scales[0])), 10 * float(np.log10(ratio)) if ratio else 0.0
