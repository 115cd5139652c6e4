"""BatchNormalization that no linear node absorbs: behind an Add, a Concat or a pool, as in DenseNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..program import Call, Form, Lowering, ScaleAndShift, Unsupported, same_form
from .operator import Operator

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["BatchNormalization"]


class BatchNormalization(Operator):
    """x * s + (beta - mean * s), s = gamma / sqrt(variance + epsilon), one number per channel: inference mode.

    s and the addend are computed in float64 and rounded once; then a multiplication and an addition in float32.
    """

    op_type = "BatchNormalization"
    attributes = ("epsilon", "momentum", "spatial", "training_mode")
    absorbs_activation = True

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        if node.attributes.get_int("training_mode", 0) or any(output.name for output in node.outputs[1:]):
            raise Unsupported("it is in training mode")
        if node.attributes.get_int("spatial", 1) != 1:
            raise Unsupported("it has parameters for each pixel")
        values = [value for value in node.inputs if value is not None]
        if len(values) != 5 or not all(lowering.is_float(value) for value in values):
            raise Unsupported("its inputs are not float32")
        x, *parameters = values
        rank = lowering.rank(x)
        if rank < 2:
            raise Unsupported("its input has no axis of channels")
        if any(value.shape is not None and len(value.shape) != 1 for value in parameters):
            raise Unsupported("its parameters are not one number per channel")
        to = lowering.destination(node)
        channels_last = rank > 2 and lowering.channels_last(x)
        # Channels first: one number per channel stands before the spatial axes.
        shape = (-1,) + (1,) * (0 if channels_last else rank - 2)
        epsilon = node.attributes.get_float("epsilon", 1e-5)
        inputs = [lowering.read(x, channels_last=channels_last)]
        arrays = [lowering.constant(value) for value in parameters]
        known = [array for array in arrays if array is not None]
        if len(known) == len(parameters):
            factor, addend = _factor_and_addend(*known, epsilon=epsilon)
            call: Call = ScaleAndShift(factor.reshape(shape), addend.reshape(shape), to.bounds)
        else:
            inputs += [lowering.read(value) for value in parameters]
            call = _Normalize(shape, epsilon, to.bounds)
        lowering.add_float(node, call, inputs, to, channels_last=channels_last)


def _factor_and_addend(
    gamma: NDArray[Any], beta: NDArray[Any], mean: NDArray[Any], variance: NDArray[Any], *, epsilon: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    with np.errstate(all="ignore"):
        factor = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)
        return factor.astype(np.float32), (beta - mean * factor).astype(np.float32)


@dataclass(frozen=True)
class _Normalize(Call):
    """The same with parameters that are operands, given the `shape` in which they broadcast to x's."""

    shape: tuple[int, ...]
    epsilon: float
    bounds: tuple[float, float] | None

    def __call__(
        self, x: NDArray[np.float32], *parameters: NDArray[np.float32], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        factor, addend = _factor_and_addend(*parameters, epsilon=self.epsilon)
        return ScaleAndShift(factor.reshape(self.shape), addend.reshape(self.shape), self.bounds)(x, out=out)

    def forms(self, *operands: Form) -> tuple[Form]:
        return same_form(operands[0])
