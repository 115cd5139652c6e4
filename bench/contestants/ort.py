"""ONNX Runtime: graphs of one node; weights are initializers, so it packs them; inputs and outputs are bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..contest import Contestant
from ..operators import conv as conv_data
from ..operators import elementwise as elementwise_data
from ..operators import gemm as gemm_data

__all__ = ["bind", "conv", "elementwise", "gemm", "model", "set_threads"]

Array = NDArray[Any]
LIBRARY = "onnxruntime"


def set_threads(count: int) -> None:
    """Each session has its own."""


def model(
    nodes: Sequence[onnx.NodeProto], inputs: Mapping[str, Array], constants: Mapping[str, Array], output: Array
) -> bytes:
    """A graph with one output, y."""

    def info(name: str, array: Array) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

    graph = helper.make_graph(
        nodes,
        "bench",
        [info(name, array) for name, array in inputs.items()],
        [info("y", output)],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return made


def bind(made: bytes, inputs: Mapping[str, Array], output: Array, threads: int) -> Callable[[], object]:
    """A call that runs the graph from `inputs` to `output`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Its threads would else spin for work while others are measured.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(made, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
    binding.bind_output("y", "cpu", 0, output.dtype.type, output.shape, output.ctypes.data)
    call = partial(session.run_with_iobinding, binding)
    call.__dict__["memory"] = (inputs, output)  # the binding holds addresses only
    return call


def _contestant(
    variant: str,
    task: str,
    answer: str,
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Array],
    constants: Mapping[str, Array],
    output: Array,
    threads: int,
    seen: Callable[[Array], Array] = lambda array: array,
) -> Contestant:
    call = bind(model(nodes, inputs, constants, output), inputs, output, threads)
    return Contestant(LIBRARY, variant, task, answer, call, lambda: seen(output))


def gemm(data: gemm_data.Data, threads: int, tiers: Sequence[str]) -> Iterator[Contestant]:
    shape = (data.shape.rows, data.shape.cols)
    product = [helper.make_node("MatMulInteger", ["a", "b"], ["y"])]
    for name, a in (("u8s8", data.a_u8), ("s8s8", data.a_s8)):
        inputs, constants = {"a": a}, {"b": data.b_s8}
        out = np.empty(shape, np.int32)
        yield _contestant(f"MatMulInteger {name}", "s32", name, product, inputs, constants, out, threads)
    names = ["a", "a_scale", "zero", "b", "b_scale", "b_zero", "y_scale", "zero"]
    constants = {
        "a_scale": np.asarray(data.x_scale),
        "zero": np.asarray(data.zero_point, np.uint8),
        "b": data.b_s8,
        "b_scale": data.w_scale,
        "b_zero": np.zeros(data.shape.cols, np.int8),
        "y_scale": np.asarray(data.y_scale),
    }
    fused = [helper.make_node("QLinearMatMul", names, ["y"])]
    codes = np.empty(shape, np.uint8)
    yield _contestant("QLinearMatMul", "u8", "u8", fused, {"a": data.a_u8}, constants, codes, threads)
    real = np.empty(shape, np.float32)
    dense = [helper.make_node("MatMul", ["a", "b"], ["y"])]
    yield _contestant("float", "fp32", "f32", dense, {"a": data.a_f32}, {"b": data.b_f32}, real, threads)


def conv(data: conv_data.Data, threads: int, tiers: Sequence[str]) -> Iterator[Contestant]:
    """QLinearConv with channels first, as in ONNX, and last, as it works inside; its optimizer turns QDQ into these."""
    shape = data.shape
    geometry: dict[str, Any] = {
        "kernel_shape": [shape.kernel] * 2,
        "strides": [shape.stride] * 2,
        "pads": [shape.padding] * 4,
        "dilations": [shape.dilation] * 2,
        "group": shape.groups,
    }
    first = (1, shape.filters, shape.output, shape.output)
    names = ["x", "x_scale", "zero", "w", "w_scale", "w_zero", "y_scale", "zero"]
    constants = {
        "x_scale": np.asarray(data.x_scale),
        "zero": np.asarray(data.zero_point, np.uint8),
        "w": data.w_s8,
        "w_scale": data.w_scale,
        "w_zero": np.zeros(shape.filters, np.int8),
        "y_scale": np.asarray(data.y_scale),
    }
    nodes = [
        helper.make_node("QLinearConv", names, ["y"], domain="com.microsoft", channels_last=1, **geometry),
    ]
    codes = np.empty(data.output_shape, np.uint8)
    yield _contestant("QLinearConv NHWC", "u8", "u8", nodes, {"x": data.x_u8}, constants, codes, threads)
    nodes = [helper.make_node("QLinearConv", names, ["y"], **geometry)]
    x = np.ascontiguousarray(data.x_u8.transpose(0, 3, 1, 2))
    codes = np.empty(first, np.uint8)
    yield _contestant("QLinearConv", "u8", "u8", nodes, {"x": x}, constants, codes, threads, _channels_last)
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], **geometry)]
    real, x = np.empty(first, np.float32), np.ascontiguousarray(data.x_f32.transpose(0, 3, 1, 2))
    yield _contestant("float", "fp32", "f32", nodes, {"x": x}, {"w": data.w_f32}, real, threads, _channels_last)


def _channels_last(array: Array) -> Array:
    return array.transpose(0, 2, 3, 1)


def elementwise(data: elementwise_data.Data, threads: int, tiers: Sequence[str]) -> Iterator[Contestant]:
    """Requantization from int32 is no operator of ONNX: DequantizeLinear, then QuantizeLinear."""
    zero = np.full(data.scale.shape, data.zero_point, np.uint8)
    constants: dict[str, Array] = {"scale": data.scale, "zero": zero}
    if data.operator == "requantize":
        constants |= {"one": np.asarray(1, np.float32), "code": np.asarray(data.zero_point, np.uint8)}
        del constants["zero"]
        nodes = [
            helper.make_node("DequantizeLinear", ["x", "scale"], ["real"], axis=1),
            helper.make_node("QuantizeLinear", ["real", "one", "code"], ["y"]),
        ]
    else:
        name = "QuantizeLinear" if data.operator == "quantize" else "DequantizeLinear"
        nodes = [helper.make_node(name, ["x", "scale", "zero"], ["y"], axis=1)]
    out = np.empty(data.x.shape, np.float32 if data.operator == "dequantize" else np.uint8)
    yield _contestant("", data.operator, "exact", nodes, {"x": data.x}, constants, out, threads, elementwise_data.bits)
