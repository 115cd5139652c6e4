"""Opset 13 or later: the first with per-channel QuantizeLinear, and with which every pass and operator is written."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["MINIMUM_OPSET", "opset_of", "raise_opset"]

MINIMUM_OPSET = 13


def opset_of(model: ir.Model) -> int:
    """Version of the standard operators that `model` imports (0: it imports none)."""
    return model.opset_imports.get("", model.opset_imports.get("ai.onnx", 0))


def raise_opset(model: ir.Model, minimum: int = MINIMUM_OPSET) -> None:
    """Converts `model` in place, with ONNX's version converter, where its opset is below `minimum`.

    Raises ValueError where the converter can't.
    """
    before = opset_of(model)
    if before >= minimum:
        return
    if before == 0:
        model.opset_imports[""] = minimum
        return
    import onnx_ir.passes.common as common
    from onnxscript.version_converter import ConvertVersionPass

    if model.ir_version < 4:  # there, initializers had to be listed as inputs too: they are constants all the same
        common.RemoveInitializersFromInputsPass()(model)
        model.ir_version = 4
    logger = logging.getLogger("onnxscript.version_converter")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # it warns of taking the C++ converter, which is what we want
    try:
        ConvertVersionPass(minimum, fallback=True)(model)
    finally:
        logger.setLevel(level)
    if opset_of(model) < minimum:
        raise ValueError(f"ONNX's version converter can't bring this model from opset {before} to {minimum}")
