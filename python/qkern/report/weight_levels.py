"""The levels of weights of 4 bits, over the histogram of the weights that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ..conversion.network import FloatModel, Network
from ..conversion.windows import weight_rows
from ..graph_values import constant_of
from ..runtime.lookups import looked_up

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["WeightLevels", "levels_svg", "weight_levels"]

_BARS = 128
_WIDTH, _HEIGHT = 4, 100  # of a bar, of the picture


@dataclass(frozen=True)
class WeightLevels:
    """A layer whose weights have 4 bits: `bars` count its weights, each divided by the scale of its channel, in equal
    steps from `low` to `high`; `levels` are those in use. Where channels have tables of their own it is `channel` 0."""

    name: str
    op_type: str
    low: float
    high: float
    bars: tuple[int, ...]
    levels: tuple[int, ...]
    channel: int | None


def weight_levels(model: FloatModel, quantized: ir.Model) -> tuple[WeightLevels, ...]:
    """Those of the layers of `quantized`, converted from the float `model`, in the order of the graph."""
    nodes = {str(node.name): node for node in quantized.graph}
    found = []
    for layer in Network.of(model).plan.layers.values():
        rows, node = weight_rows(layer), nodes.get(str(layer.node.name))
        value = None if node is None or layer.weight is None else node.inputs[layer.weight]
        dequantize = None if value is None else value.producer()
        if rows is None or dequantize is None:
            continue
        codes, scale = looked_up(dequantize.inputs[0]), constant_of(dequantize.inputs[1])
        if codes is None or scale is None:
            continue
        size = rows.rows.shape[-1]
        real, coded = rows.rows.reshape(-1, size), rows.of(codes).reshape(-1, size)
        channel = None if np.unique(coded).size <= 16 else 0
        divided = real / scale.reshape(-1, 1)
        if channel is not None:
            divided, coded = divided[channel], coded[channel]
        levels = np.unique(coded)
        reach = 1.1 * max(float(np.abs(divided).max(initial=1.0)), 1.0)
        bars, _ = np.histogram(divided, _BARS, (-reach, reach))
        name = str(layer.node.name)
        found.append(
            WeightLevels(name, layer.node.op_type, -reach, reach, tuple(bars.tolist()), tuple(levels.tolist()), channel)
        )
    return tuple(found)


def levels_svg(bars: Sequence[int], levels: Sequence[int], low: float, high: float, title: str) -> str:
    """A picture that stands alone: counts as bars, levels as lines over them."""
    most = max(*bars, 1)
    width = _WIDTH * len(bars)
    shapes = [
        f'<rect x="{_WIDTH * i}" y="{_HEIGHT * (1 - count / most):.1f}" width="{_WIDTH - 1}" '
        f'height="{_HEIGHT * count / most:.1f}" fill="#9db8d9"/>'
        for i, count in enumerate(bars)
        if count
    ]
    for level in levels:
        x = width * (level - low) / (high - low)
        shapes.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HEIGHT}" stroke="#b3402a"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" role="img">'
        f"<title>{escape(title)}</title>{''.join(shapes)}</svg>"
    )
