"""GlobalMaxPool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .. import _core
from .operator import NodeQuantization, Operator, Unsupported
from .pools import global_obstacle, over_all

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder

__all__ = ["GlobalMaxPool"]


class GlobalMaxPool(Operator):
    """The largest number over all spatial axes, which keep size 1: codes keep their order, so the scale stays."""

    op_type = "GlobalMaxPool"

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        return global_obstacle(node) or NodeQuantization((0,), shares_params=True)

    def lower(self, node: ir.Node, builder: Builder) -> None:
        x = node.inputs[0]
        assert x is not None
        if global_obstacle(node) or not builder.is_float(x):
            raise Unsupported(global_obstacle(node) or "its input is not float32")
        codes, to = builder.codes(x), builder.destination(node, absorb=False)
        if codes is not None and to.params is not None and to.params.same_as(codes.params):
            builder.add(node, _largest, [builder.read_codes(codes, channels_last=True)], to, channels_last=True)
        else:
            builder.add_float(node, _largest, [builder.read(x, channels_last=True)], to, channels_last=True)


def _largest(x: NDArray[Any], *, out: NDArray[Any] | None = None) -> NDArray[Any]:
    return over_all(x, pool=_largest_of_row, out=out)


def _largest_of_row(flat: NDArray[Any], *, out: NDArray[Any] | None) -> NDArray[Any]:
    return _core.max_pool(flat, kernel=flat.shape[1], layout="NHWC", out=out)
