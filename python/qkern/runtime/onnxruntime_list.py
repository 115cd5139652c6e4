"""What ONNX Runtime is known to compute otherwise than ONNX defines it, or to refuse only when it runs.

Found by ONNX's node tests with ONNX Runtime 1.20 to 1.32; tests/test_backend.py runs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..graph_values import constant_of

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["deviation"]

_FLOAT8E4M3FN = 17


def deviation(node: ir.Node) -> str:
    """What of `node` ONNX Runtime gets wrong, in words; empty where nothing is known."""
    if node.domain != "":
        return ""
    if node.op_type == "MaxUnpool" and _given(node, 2) is not None:
        return "MaxUnpool with output_shape"  # it reads the indices as those of the default shape
    if node.op_type == "Resize" and _has_broken_sizes(node):
        return "Resize to align_corners by scales that aren't whole"  # it takes the rounded size for the scaled one
    if node.op_type == "Attention" and len(node.outputs) > 3 and node.outputs[3].name:
        return "Attention with qk_matmul_output"  # masked places are the lowest number, not -inf
    if node.op_type == "Attention" and _given(node, 6) is not None:
        return "Attention with nonpad_kv_seqlen"
    if node.op_type == "ConvInteger" and _is_vector(_given(node, 3)):
        return "ConvInteger with a zero point per output channel"
    if node.op_type == "Cast" and node.attributes.get_int("to", 0) == _FLOAT8E4M3FN and not _saturates(node):
        return "Cast to FLOAT8E4M3FN without saturate"  # numbers just beyond the range become the largest, not NaN
    if node.op_type in ("ReduceMax", "ReduceMin") and _is_bool(_given(node, 0)):
        return f"{node.op_type} of bool"
    return ""


def _given(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _saturates(node: ir.Node) -> bool:
    return bool(node.attributes.get_int("saturate", 1))


def _has_broken_sizes(node: ir.Node) -> bool:
    if node.attributes.get_string("coordinate_transformation_mode") != "align_corners":
        return False
    if _given(node, 3) is not None:
        return False
    scales = constant_of(_given(node, 2))
    return scales is None or bool((scales != np.round(scales)).any())


def _is_vector(value: ir.Value | None) -> bool:
    return value is not None and (value.shape is None or (len(value.shape) == 1 and value.shape[0] != 1))


def _is_bool(value: ir.Value | None) -> bool:
    import onnx_ir as ir

    return value is not None and value.dtype == ir.DataType.BOOL
