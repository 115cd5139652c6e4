"""What ONNX's reference implementation is known to compute as ONNX defines it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["unproven"]


def unproven(node: ir.Node, opset: int) -> str:
    """What of `node` (its operator, an attribute, an input), at this version of its domain, isn't known to be right in
    the installed onnx, in words; empty where all of it is. The nodes of bodies are asked for by themselves."""
    return ""
