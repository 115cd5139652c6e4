"""Softmax, in float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..program import Call, Form, Lowering, Unsupported, same_form
from .operator import Operator

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["Softmax"]


class Softmax(Operator):
    """exp(x - max) / sum of these, along `axis`; float64 rounded once (see unary.py)."""

    op_type = "Softmax"
    attributes = ("axis",)

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        x = node.inputs[0]
        assert x is not None
        if not lowering.is_float(x):
            raise Unsupported("its input is not float32")
        call = _Normalized(node.attributes.get_int("axis", -1))
        lowering.add_float(node, call, [lowering.read(x)], lowering.destination(node, absorb=False))


@dataclass(frozen=True)
class _Normalized(Call):
    """Softmax along `axis`."""

    axis: int
    takes_out = False

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        wide = x.astype(np.float64)
        powers = np.exp(wide - wide.max(axis=self.axis, keepdims=True, initial=-np.inf))
        return np.asarray((powers / powers.sum(axis=self.axis, keepdims=True)).astype(np.float32))

    def forms(self, *operands: Form) -> tuple[Form]:
        return same_form(operands[0])
