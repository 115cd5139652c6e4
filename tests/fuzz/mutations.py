"""Model files that went wrong: truncated, with flipped bytes, or whole with nodes that make no sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

Random = np.random.Generator

_INTEGERS = (-1, 0, 1, 2, 3, 7, 64, 1 << 20, 1 << 40, -(1 << 40), (1 << 63) - 1, -(1 << 63))
_SMALL = (-1, 0, 1, 1, 2, 2, 3, 4, 5, 8)
_FLOATS = (0.0, -1.0, 1e-30, 1e30, float("inf"), float("nan"))


def mutated(proto: onnx.ModelProto, random: Random) -> bytes:
    """The bytes of `proto` after a few changes of a kind."""
    kind = random.integers(12)
    if kind == 0:
        data = proto.SerializeToString()
        return data[: random.integers(len(data))]
    if kind <= 2:
        flipped = bytearray(proto.SerializeToString())
        for _ in range(random.integers(1, 5)):
            flipped[random.integers(len(flipped))] ^= 1 << random.integers(8)
        return bytes(flipped)
    for _ in range(random.integers(1, 4)):
        _pick(_CHANGES, random)(proto, random)
    return proto.SerializeToString()


def _pick(items: Any, random: Random) -> Any:
    return items[random.integers(len(items))]


def _graph(proto: onnx.ModelProto, random: Random) -> onnx.GraphProto:
    bodies = [a.g for node in proto.graph.node for a in node.attribute if a.HasField("g")]
    return _pick([proto.graph, proto.graph, *bodies], random)


def _node(proto: onnx.ModelProto, random: Random) -> onnx.NodeProto:
    graph = _graph(proto, random)
    return _pick(graph.node if len(graph.node) else proto.graph.node, random)


def _names(proto: onnx.ModelProto) -> list[str]:
    graph = proto.graph
    named = [*graph.input, *graph.initializer, *graph.output]
    return ["", "nowhere", *(each.name for each in named), *(name for node in graph.node for name in node.output)]


def _change_inputs(proto: onnx.ModelProto, random: Random) -> None:
    inputs = _node(proto, random).input
    action = random.integers(4)
    if action == 0 and len(inputs):
        del inputs[random.integers(len(inputs))]
    elif action == 1:
        inputs.append(_pick(_names(proto), random))
    elif len(inputs):
        inputs[random.integers(len(inputs))] = _pick(_names(proto), random)


def _change_outputs(proto: onnx.ModelProto, random: Random) -> None:
    outputs = _node(proto, random).output
    action = random.integers(3)
    if action == 0 and len(outputs):
        del outputs[random.integers(len(outputs))]
    elif action == 1:
        outputs.append(_pick(_names(proto), random))
    elif len(outputs):
        outputs[random.integers(len(outputs))] = _pick(_names(proto), random)


def _change_attribute(proto: onnx.ModelProto, random: Random) -> None:
    attributes = _node(proto, random).attribute
    if not len(attributes):
        return
    index = int(random.integers(len(attributes)))
    attribute, action = attributes[index], random.integers(5)
    if action == 0:
        del attributes[index]
    elif action == 1:
        attribute.name = _pick(("axis", "perm", "pads", "strides", "to", "value", "group", "nothing"), random)
    elif action == 2:
        attribute.type = int(random.integers(0, 15))
    elif attribute.HasField("i"):
        attribute.i = _pick(_INTEGERS, random)
    elif attribute.HasField("f"):
        attribute.f = _pick(_FLOATS, random)
    elif attribute.HasField("s"):
        attribute.s = _pick((b"", b"SAME_LOWER", b"VALID", b"\xff\xfe", b"edge"), random)
    elif len(attribute.ints):
        change = random.integers(3)
        if change == 0:
            attribute.ints.pop()
        elif change == 1:
            attribute.ints.append(_pick(_INTEGERS, random))
        else:
            attribute.ints[int(random.integers(len(attribute.ints)))] = _pick(_INTEGERS, random)


def _rewire(proto: onnx.ModelProto, random: Random) -> None:
    """Another tensor of the graph as an input."""
    inputs = _node(proto, random).input
    if len(inputs):
        inputs[int(random.integers(len(inputs)))] = _pick(_names(proto)[2:], random)


def _change_number(proto: onnx.ModelProto, random: Random) -> None:
    """One number of an attribute or of a small tensor."""
    tensors = [each for each in proto.graph.initializer if 0 < len(each.raw_data) <= 64]
    attributes = [each for node in proto.graph.node for each in node.attribute if len(each.ints) or each.HasField("i")]
    one = _pick([*tensors, *attributes], random) if tensors or attributes else None
    number = _pick(_SMALL if random.integers(4) else _INTEGERS, random)
    if isinstance(one, onnx.TensorProto):
        try:
            array = onnx.numpy_helper.to_array(one).copy()
        except (KeyError, TypeError, ValueError, onnx.checker.ValidationError):  # another change was here before
            return
        with np.errstate(all="ignore"):
            array.reshape(-1)[random.integers(array.size)] = np.array(number).astype(array.dtype)
        one.raw_data = array.tobytes()
    elif one is not None and len(one.ints):
        one.ints[int(random.integers(len(one.ints)))] = number
    elif one is not None:
        one.i = number


def _reshape_tensor(proto: onnx.ModelProto, random: Random) -> None:
    """Other dimensions for the same numbers."""
    if not len(proto.graph.initializer):
        return
    tensor = _pick(proto.graph.initializer, random)
    sizes = [int(size) for size in tensor.dims]
    action = random.integers(4)
    if action == 0:
        sizes = list(random.permutation(sizes))
    elif action == 1:
        sizes.insert(int(random.integers(len(sizes) + 1)), 1)
    elif action == 2:
        sizes = [int(np.prod(sizes, dtype=int))]
    else:
        sizes = [size for size in sizes if size != 1]
    del tensor.dims[:]
    tensor.dims.extend(sizes)


def _change_operator(proto: onnx.ModelProto, random: Random) -> None:
    """Another operator that takes as many inputs."""
    node = _node(proto, random)
    same = [each.op_type for each in proto.graph.node if len(each.input) == len(node.input)]
    node.op_type = _pick([*same, "Relu", "Identity", "Neg", "Transpose", "Softmax", "Shape"], random)
    if random.integers(2):
        del node.attribute[:]


def _resize_input(proto: onnx.ModelProto, random: Random) -> None:
    dims = _pick([*proto.graph.input, *proto.graph.output], random).type.tensor_type.shape.dim
    if len(dims):
        dims[int(random.integers(len(dims)))].dim_value = _pick(_SMALL, random)


def _change_nodes(proto: onnx.ModelProto, random: Random) -> None:
    graph = _graph(proto, random)
    if not len(graph.node):
        return
    index, action = int(random.integers(len(graph.node))), random.integers(5)
    node = graph.node[index]
    if action == 0:
        del graph.node[index]
    elif action == 1:
        graph.node.add().CopyFrom(node)
    elif action == 2:
        types = ["", "Nothing", "Identity", "Constant", "Slice", "Expand", "Gather", "DequantizeLinear", "Range", "If"]
        node.op_type = _pick([*types, *(each.op_type for each in graph.node)], random)
    elif action == 3:
        node.domain = _pick(("", "ai.onnx", "com.microsoft", "nowhere"), random)
    else:
        node.name = _pick(graph.node, random).name


def _change_tensor(proto: onnx.ModelProto, random: Random) -> None:
    tensors = proto.graph.initializer
    if not len(tensors):
        return
    index, action = int(random.integers(len(tensors))), random.integers(7)
    tensor = tensors[index]
    if action == 0:
        del tensors[index]
    elif action == 1:
        tensor.data_type = int(random.integers(0, 27))
    elif action == 2:
        tensor.dims.append(_pick(_INTEGERS, random))
    elif action == 3 and len(tensor.dims):
        tensor.dims[int(random.integers(len(tensor.dims)))] = _pick(_INTEGERS, random)
    elif action == 4:
        tensor.name = _pick(_names(proto), random)
    elif action == 5 and len(tensor.raw_data):  # other numbers
        numbers = bytearray(tensor.raw_data)
        width = min(len(numbers), _pick((1, 4, 8), random))
        at = int(random.integers(len(numbers) // width)) * width
        fresh = _pick(_INTEGERS, random) % (1 << 8 * width)
        numbers[at : at + width] = fresh.to_bytes(width, "little")
        if width == 4 and random.integers(2):
            numbers[at : at + width] = np.float32(_pick(_FLOATS, random)).tobytes()
        tensor.raw_data = bytes(numbers)
    else:
        tensor.external_data.add(key="location", value=_pick(("/etc/hostname", "../x", "fuzz.onnx"), random))
        tensor.data_location = tensor.EXTERNAL


def _change_types(proto: onnx.ModelProto, random: Random) -> None:
    graph = proto.graph
    values = [*graph.input, *graph.output]
    value, action = _pick(values, random), random.integers(6)
    tensor = value.type.tensor_type
    if action == 0:
        tensor.elem_type = int(random.integers(0, 27))
    elif action == 1:
        tensor.shape.dim.add().dim_value = _pick(_INTEGERS, random)
    elif action == 2 and len(tensor.shape.dim):
        tensor.shape.dim[int(random.integers(len(tensor.shape.dim)))].dim_value = _pick(_INTEGERS, random)
    elif action == 3:
        value.ClearField("type")
    elif action == 4:
        value.name = _pick(_names(proto), random)
    else:
        (graph.input if random.integers(2) else graph.output).add().CopyFrom(value)


def _change_version(proto: onnx.ModelProto, random: Random) -> None:
    if random.integers(2) and len(proto.opset_import):
        _pick(proto.opset_import, random).version = _pick((*_INTEGERS, *range(5, 26)), random)
    else:
        proto.ir_version = int(random.integers(0, 15))


_CHANGES: tuple[Callable[[onnx.ModelProto, Random], None], ...] = (
    *(_rewire, _change_number, _reshape_tensor, _change_operator, _resize_input) * 4,
    *(_change_attribute, _change_attribute),
    _change_inputs,
    _change_tensor,
    _change_outputs,
    _change_nodes,
    _change_types,
    _change_version,
)
