"""The definitions the kernels are held to: NumPy, int64, one obvious line after the other, no speed."""

from .floats import conv_fma, fma, linear_fma
from .pools import average_pool, max_pool
from .products import conv, matmul, pad_pairs, wrap
from .quantization import add, dequantize, encode, lookup, quantize, requantize

__all__ = [
    "add",
    "average_pool",
    "conv",
    "conv_fma",
    "dequantize",
    "encode",
    "fma",
    "linear_fma",
    "lookup",
    "matmul",
    "max_pool",
    "pad_pairs",
    "quantize",
    "requantize",
    "wrap",
]
