"""int8 quantization and int8 inference on ordinary CPUs: exact, the same bits everywhere, faster than FP32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import isa, threadpoolctl_controller
from ._core import (
    PackedMatrix,
    QConv,
    QLinear,
    __version__,
    add,
    average_pool,
    conv,
    dequantize,
    get_num_threads,
    global_average_pool,
    lookup,
    matmul,
    max_pool,
    pack,
    quantize,
    requantize,
    set_num_threads,
)
from .codebook import Codebook
from .qarray import QArray, asquantized

if TYPE_CHECKING:
    from .pipeline import QuantizedModel, quantize_model
    from .report import analyze
    from .runtime.session import Session

__all__ = [
    "Codebook",
    "PackedMatrix",
    "QArray",
    "QConv",
    "QLinear",
    "QuantizedModel",
    "Session",
    "__version__",
    "add",
    "analyze",
    "asquantized",
    "average_pool",
    "conv",
    "dequantize",
    "get_num_threads",
    "global_average_pool",
    "isa",
    "lookup",
    "matmul",
    "max_pool",
    "pack",
    "quantize",
    "quantize_model",
    "requantize",
    "set_num_threads",
]

threadpoolctl_controller.register_when_imported()

# The model layer needs the extra [onnx] and takes longer to import, so it loads when first asked for.
_MODEL_LAYER = {
    "quantize_model": "pipeline",
    "QuantizedModel": "pipeline",
    "analyze": "report",
    "Session": "runtime.session",
}


def __getattr__(name: str) -> Any:
    if name not in _MODEL_LAYER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        value = getattr(import_module(f".{_MODEL_LAYER[name]}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] in {"onnx", "onnx_ir", "onnxscript"}:
            raise ImportError(
                f'qkern.{name} works on ONNX models: pip install "qkern[onnx]"', name=error.name
            ) from error
        raise
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
