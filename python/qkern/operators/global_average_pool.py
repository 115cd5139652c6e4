"""GlobalAveragePool."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .. import _core
from .operator import NodeQuantization, Operator, Unsupported
from .pools import KERNEL_AXES, global_obstacle, over_all, scales

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder

__all__ = ["GlobalAveragePool"]


class GlobalAveragePool(Operator):
    """The mean over all spatial axes, which keep size 1."""

    op_type = "GlobalAveragePool"

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        return global_obstacle(node) or NodeQuantization((0,))

    def lower(self, node: ir.Node, builder: Builder) -> None:
        x = node.inputs[0]
        assert x is not None
        if global_obstacle(node) or not builder.is_float(x):
            raise Unsupported(global_obstacle(node) or "its input is not float32")
        codes, to = builder.codes(x), builder.destination(node, absorb=False)
        if codes is not None and to.params is not None:
            call = _mean(builder.rank(x), **scales(codes, to))
            builder.add(node, call, [builder.read_codes(codes, channels_last=True)], to, channels_last=True)
        else:
            call = _mean(builder.rank(x))
            builder.add_float(node, call, [builder.read(x, channels_last=True)], to, channels_last=True)


def _mean(rank: int, **codes: Any) -> Callable[..., NDArray[Any]]:
    kernel = partial(_core.global_average_pool, layout="NHWC", **codes)
    return kernel if rank <= KERNEL_AXES + 2 else partial(over_all, pool=kernel)
