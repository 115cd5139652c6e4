"""Stage 5: a fused float graph and the ranges of its tensors -> the same graph in QDQ form.

The result is plain ONNX: a QuantizeLinear/DequantizeLinear pair on every 8-bit tensor, int8 weights and int32 biases
behind a DequantizeLinear, inputs and outputs in float32.
"""

from __future__ import annotations

from .convert import convert, tensors_to_observe
from .ranges import RangeTable
from .report import ConversionReport, LayerReport

__all__ = ["ConversionReport", "LayerReport", "RangeTable", "convert", "tensors_to_observe"]
