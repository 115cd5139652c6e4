"""A program as data: steps, what each computes, and how operators add them.

call.py says what a call is; calls.py (kernels), moves.py and arithmetic.py have those that several operators share. An
operator with a call of its own keeps it in its file.
"""

from __future__ import annotations

from .arithmetic import Apply, Clamped, Combine, Function, Operation, ScaleAndShift
from .call import Call, Form, moved, same_form
from .calls import (
    AddCodes,
    Convolution,
    Dequantize,
    DequantizeBy,
    FullyConnected,
    GlobalAverage,
    GlobalMax,
    Lookup,
    PoolScales,
    Quantize,
    QuantizeBy,
    WindowMax,
)
from .lowering import Algorithm, Destination, Lowering, Unsupported
from .moves import (
    ChangeLayout,
    ChannelsFirstColumns,
    Concatenate,
    ExpandDims,
    Flattened,
    PadByCopies,
    PadWith,
    PixelShuffle,
    Reshaped,
    Sliced,
    Squeezed,
    Strided,
    Transposed,
    axis_in,
)
from .quantized import CODES, Quantized, dequantized, has_kernel, params_of
from .step import Kind, Slot, Step
from .window import KERNEL_AXES, Window

__all__ = [
    "CODES",
    "KERNEL_AXES",
    "AddCodes",
    "Algorithm",
    "Apply",
    "Call",
    "ChangeLayout",
    "ChannelsFirstColumns",
    "Clamped",
    "Combine",
    "Concatenate",
    "Convolution",
    "Dequantize",
    "DequantizeBy",
    "Destination",
    "ExpandDims",
    "Flattened",
    "Form",
    "FullyConnected",
    "Function",
    "GlobalAverage",
    "GlobalMax",
    "Kind",
    "Lookup",
    "Lowering",
    "Operation",
    "PadByCopies",
    "PadWith",
    "PixelShuffle",
    "PoolScales",
    "Quantize",
    "QuantizeBy",
    "Quantized",
    "Reshaped",
    "ScaleAndShift",
    "Sliced",
    "Slot",
    "Squeezed",
    "Step",
    "Strided",
    "Transposed",
    "Unsupported",
    "Window",
    "WindowMax",
    "axis_in",
    "dequantized",
    "has_kernel",
    "moved",
    "params_of",
    "same_form",
]
