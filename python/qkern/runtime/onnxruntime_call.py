"""A subgraph -> a call of ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .. import _core
from .onnxruntime_list import deviation
from .subgraph import nodes_in

if TYPE_CHECKING:
    import onnx_ir as ir

    from .subgraph import Subgraph

__all__ = ["has_onnxruntime", "onnxruntime_call"]

_WITHOUT_ARRAYS = ("bfloat16", "float8", "float4", "int4", "int2")
_QUIET = 4  # of ONNX Runtime's severities: it raises what it would log


def has_onnxruntime() -> bool:
    """Whether ONNX Runtime is installed."""
    return find_spec("onnxruntime") is not None


def onnxruntime_call(subgraph: Subgraph, num_threads: int | None) -> Callable[..., Any]:
    """A function that computes the subgraph's outputs from its inputs, on `num_threads` threads (None: what
    `qkern.get_num_threads()` is at each call): one array, or a tuple. What it gives is memory of its own.

    Raises ValueError, without a label, where ONNX Runtime can't run the subgraph. Fills in types of outputs that ONNX
    didn't know.
    """
    for node in subgraph.nodes:
        for inner in nodes_in(node):
            if known := deviation(inner):
                raise ValueError(f"onnxruntime computes {known} otherwise than ONNX defines it")
    for value in subgraph.inputs:
        if value.type is None:
            raise ValueError(f"the type of its input {value.name!r} is not known")
    try:
        serialized = subgraph.model.SerializeToString()
    except Exception as error:  # protobuf's, of more than 2 GiB
        raise ValueError(f"onnxruntime can't be given it ({error})") from error
    process = os.getpid()
    exact = _reads_uint8(subgraph)
    sessions: dict[int, Any] = {}
    feeds = [value.name or "" for value in subgraph.inputs]
    single = len(subgraph.outputs) == 1

    def session() -> Any:
        count = num_threads or _core.get_num_threads()
        if os.getpid() != process:  # a forked one, in which the threads of a session of its parent don't exist
            count = 1
        if count not in sessions:
            sessions[count] = _session(serialized, count, exact)
        return sessions[count]

    try:
        first = session()
    except Exception as error:  # its own classes, which have no base
        raise ValueError(f"onnxruntime refuses it ({_first_line(error)})") from error
    for each in (*first.get_inputs(), *first.get_outputs()):
        if any(name in each.type for name in _WITHOUT_ARRAYS):
            raise ValueError(f"onnxruntime takes and gives no NumPy arrays of {each.type}")
    _fill_in_types(subgraph.outputs, first.get_outputs())

    def call(*arrays: Any) -> Any:
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.log_severity_level = _QUIET
        results = session().run(None, dict(zip(feeds, arrays, strict=True)), options)
        return results[0] if single else tuple(results)

    return call


def _session(serialized: bytes, num_threads: int, exact: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # our kernels need the processors next
    return onnxruntime.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])


def _reads_uint8(subgraph: Subgraph) -> bool:
    """Whether a node reads unsigned bytes: for these, ONNX Runtime's sums of int8 products saturate on AVX2, unless it
    is asked for its exact mode. That lacks kernels for signed bytes, whose sums are exact as they are."""
    import onnx_ir as ir

    read = (value for node in subgraph.nodes for inner in nodes_in(node) for value in inner.inputs)
    return any(value is not None and value.dtype in (ir.DataType.UINT8, None) for value in read)


def _fill_in_types(outputs: tuple[ir.Value, ...], described: list[Any]) -> None:
    import onnx_ir as ir

    for value, each in zip(outputs, described, strict=True):
        if value.type is None and each.type.startswith("tensor("):
            value.type = ir.TensorType(ir.DataType[each.type[len("tensor(") : -1].upper()])
            value.shape = ir.Shape([size if isinstance(size, int) else None for size in each.shape])


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
