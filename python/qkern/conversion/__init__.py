"""Stage 5: a fused float graph and the ranges of its tensors -> the same graph in QDQ form.

The result is plain ONNX: a QuantizeLinear/DequantizeLinear pair on every 8-bit tensor, int8 weights and int32 biases
behind a DequantizeLinear, inputs and outputs in float32.
"""

from __future__ import annotations

from .adaround import round_weights
from .bias_correction import correct_biases
from .budget import BudgetResult, search_budget
from .convert import convert, tensors_to_observe
from .cross_layer_equalization import equalize
from .range_search import ChosenRanges
from .ranges import RangeTable
from .refine import EFFORTS, refine
from .report import ConversionReport, CorrectionReport, LayerReport
from .weight_clipping import clip_weights

__all__ = [
    "CORRECTIONS",
    "EFFORTS",
    "BudgetResult",
    "ChosenRanges",
    "ConversionReport",
    "CorrectionReport",
    "LayerReport",
    "RangeTable",
    "convert",
    "refine",
    "search_budget",
    "tensors_to_observe",
]

CORRECTIONS = (equalize, clip_weights, correct_biases, round_weights)
