"""ReduceMean over the spatial axes into the pool that it is.

    ReduceMean(x, axes=(2, 3), keepdims=1) = GlobalAveragePool(x)
    ReduceMean(x, axes=(2, 3), keepdims=0) = Flatten(GlobalAveragePool(x))         x (batch, channels, spatial...)

What PyTorch exports for x.mean((2, 3)); GlobalAveragePool has an int8 kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..graph_values import fresh_name, integers_of
from .fused import Fused

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["PASS_NAME", "pool_means"]

PASS_NAME = "reduce_mean"


def pool_means(model: ir.Model) -> list[Fused]:
    """Rewrites every such ReduceMean of the main graph; the pool keeps its name."""
    import onnx_ir as ir

    done: list[Fused] = []
    graph = model.graph
    for node in tuple(graph):
        data = node.inputs[0] if node.op_type == "ReduceMean" and node.domain == "" else None
        if data is None or data.shape is None or not _is_spatial(node, len(data.shape)):
            continue
        producer = data.producer()
        keep = node.attributes.get_int("keepdims", 1)
        if not keep and producer is not None and producer.op_type == "DequantizeLinear":
            continue  # in a quantized graph Flatten would stand between the pool and its QuantizeLinear
        node.op_type = "GlobalAveragePool"
        node.resize_inputs(1)
        for name in ("axes", "keepdims", "noop_with_empty_axes"):
            node.attributes.pop(name, None)
        if not keep:
            output = node.outputs[0]
            pooled = ir.Value(name=fresh_name(graph, f"{output.name}.pooled"), type=output.type)
            pooled.shape = ir.Shape([*data.shape[:2], *[1] * (len(data.shape) - 2)])
            pool = ir.Node("", "GlobalAveragePool", [data], outputs=[pooled], name=node.name)
            graph.insert_before(node, pool)
            node.op_type, node.name = "Flatten", f"{node.name}.flatten"
            node.replace_input_with(0, pooled)
            done.append(Fused(PASS_NAME, (pool.name or "",), pool.name or ""))
        else:
            done.append(Fused(PASS_NAME, (node.name or "",), node.name or ""))
    return done


def _is_spatial(node: ir.Node, rank: int) -> bool:
    axes = node.attributes.get_ints("axes")
    if axes is None and len(node.inputs) > 1:
        axes = integers_of(node.inputs[1])
    return rank >= 3 and axes is not None and sorted(axis % rank for axis in axes) == list(range(2, rank))
