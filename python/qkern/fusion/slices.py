"""Consecutive Slices along different axes into one.

    Slice(Slice(x, starts=a, axes=A), starts=b, axes=B) -> Slice(x, starts=a+b, axes=A+B)       A, B disjoint

x[:, :, ::2, ::2] comes out of PyTorch as one Slice per axis. Starts, ends, axes and steps have to be constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..graph_values import add_initializer, integers_of
from .fused import Fused

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["PASS_NAME", "merge_slices"]

PASS_NAME = "slices"


def merge_slices(model: ir.Model) -> list[Fused]:
    """Merges every such pair of the main graph, first to last; the later node stays."""
    done: list[Fused] = []
    for outer in tuple(model.graph):
        data = outer.inputs[0] if outer.op_type == "Slice" and outer.domain == "" else None
        inner = data.producer() if data is not None else None
        if data is None or inner is None or inner.op_type != "Slice" or inner.graph is not outer.graph:
            continue
        if len(data.uses()) != 1 or data.is_graph_output() or data.shape is None:
            continue
        first, second = _ranges(inner, len(data.shape)), _ranges(outer, len(data.shape))
        if first is None or second is None or set(first[2].tolist()) & set(second[2].tolist()):
            continue
        names = (inner.name or "", outer.name or "")
        outer.resize_inputs(5)
        outer.replace_input_with(0, inner.inputs[0])
        for index, part in enumerate(("starts", "ends", "axes", "steps")):
            joined = np.concatenate([first[index], second[index]])
            outer.replace_input_with(index + 1, add_initializer(model.graph, f"{outer.name}.{part}", joined))
        model.graph.remove(inner, safe=True)
        done.append(Fused(PASS_NAME, names, names[1]))
    return done


def _ranges(node: ir.Node, rank: int) -> list[NDArray[Any]] | None:
    """Starts, ends, axes (>= 0) and steps as int64 arrays of one length; None where they aren't constant."""
    parts = []
    for index in range(1, 5):
        source = node.inputs[index] if len(node.inputs) > index else None
        numbers = integers_of(source)
        if source is not None and numbers is None:
            return None
        parts.append(None if numbers is None else np.array(numbers, np.int64))
    starts, ends, axes, steps = parts
    if starts is None or ends is None:
        return None
    axes = np.arange(starts.size) if axes is None else axes % rank
    steps = np.ones(starts.size, np.int64) if steps is None else steps
    return [np.asarray(part, np.int64) for part in (starts, ends, axes, steps)]
