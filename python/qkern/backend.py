"""qkern as a backend of ONNX (https://onnx.ai/onnx/api/backend.html), for whatever runs models through that interface.

import qkern.backend
(y,) = qkern.backend.run_model(model, [x])
onnx.backend.test.BackendTest(qkern.backend, __name__)  # ONNX's own tests
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx.backend.base import BackendRep

from .runtime import Fallback, Session

__all__ = ["Prepared", "prepare", "run_model", "run_node", "supports_device"]


class Prepared(BackendRep):
    """A model made ready to run."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs, in the graph's order, for `inputs`: arrays in the order of the graph's inputs, one array, or a
        mapping from names. Raises as `Session.run` does."""
        if not isinstance(inputs, dict):
            given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
            names = [spec.name for spec in self.session.get_inputs()]
            if len(given) > len(names):
                raise ValueError(f"inputs: {len(given)} of them for a model that takes {len(names)}")
            inputs = dict(zip(names, given, strict=False))
        return tuple(self.session.run(None, inputs))


def prepare(
    model: onnx.ModelProto,
    device: str = "CPU",
    *,
    num_threads: int | None = None,
    fallback: Fallback = "auto",
    **kwargs: Any,
) -> Prepared:
    """`model` made ready to run; `num_threads` and `fallback` are those of `qkern.Session`. Raises ValueError for a
    device that isn't the CPU, and as `Session` does."""
    if not supports_device(device):
        raise ValueError(f"device: {device!r} is not the CPU")
    return Prepared(Session(model, num_threads, fallback=fallback))


def run_model(model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
    """The outputs of `model` for `inputs`. Raises as `prepare` and `Prepared.run` do."""
    return prepare(model, device, **kwargs).run(inputs)


def run_node(
    node: onnx.NodeProto,
    inputs: Sequence[Any],
    device: str = "CPU",
    outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None = None,
    *,
    opset_version: int | None = None,
    **kwargs: Any,
) -> tuple[Any, ...]:
    """The outputs of one of ONNX's own operators for `inputs`, arrays in the node's order without those that it leaves
    out. `opset_version` None is the newest. Raises as `prepare` and `Prepared.run` do."""
    names = [name for name in node.input if name]
    arrays = dict(zip(names, map(np.asarray, inputs), strict=True))
    described = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    version = onnx.defs.onnx_opset_version() if opset_version is None else opset_version
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], node.op_type, described, outputs),
        opset_imports=[onnx.helper.make_opsetid("", version)],
    )
    return run_model(model, arrays, device, **kwargs)


def supports_device(device: str) -> bool:
    """Whether `device` is the CPU."""
    return device.partition(":")[0] == "CPU"
