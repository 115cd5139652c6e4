"""TensorFlow Lite files of one operator, written with flatbuffers by the field numbers of schema.fbs."""

from __future__ import annotations

import numpy as np

TYPES = {"float32": 0, "int32": 2, "int8": 9}
FULLY_CONNECTED, QUANTIZE = 9, 114
# Members of the union BuiltinOptions.
FULLY_CONNECTED_OPTIONS, QUANTIZE_OPTIONS = 8, 86


def table(builder, *fields):
    """A table of (number, kind, value); kinds: "offset", or a type's name of Builder.Prepend<Type>Slot."""
    builder.StartObject(max((number for number, _, _ in fields), default=-1) + 1)
    for number, kind, value in fields:
        if kind == "offset":
            builder.PrependUOffsetTRelativeSlot(number, value, 0)
        else:
            getattr(builder, f"Prepend{kind}Slot")(number, value, 0)
    return builder.EndObject()


def offsets(builder, values):
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependUOffsetTRelative(value)
    return builder.EndVector()


def model(operator, options, tensors, inputs, outputs):
    """One operator, which reads all tensors but the outputs. tensors: (shape, dtype, data, scale, zero point)."""
    import flatbuffers

    b = flatbuffers.Builder(1024)
    buffers = [table(b)]
    made = []
    for i, (shape, dtype, data, scale, zero_point) in enumerate(tensors):
        if data is not None:
            buffers.append(table(b, (0, "offset", b.CreateNumpyVector(np.frombuffer(data.tobytes(), np.uint8)))))
        fields = [
            (0, "offset", b.CreateNumpyVector(np.array(shape, np.int32))),
            (1, "Int8", TYPES[np.dtype(dtype).name]),
            (2, "Uint32", len(buffers) - 1 if data is not None else 0),
            (3, "offset", b.CreateString(f"tensor{i}")),
        ]
        if scale is not None:
            scales = b.CreateNumpyVector(np.atleast_1d(np.float32(scale)))
            zeros = b.CreateNumpyVector(np.atleast_1d(np.int64(zero_point)))
            fields.append((4, "offset", table(b, (2, "offset", scales), (3, "offset", zeros))))
        made.append(table(b, *fields))
    read = [i for i in range(len(tensors)) if i not in outputs]
    ins, outs = (b.CreateNumpyVector(np.array(each, np.int32)) for each in (inputs, outputs))
    arguments, results = (b.CreateNumpyVector(np.array(each, np.int32)) for each in (read, outputs))
    node = table(b, (1, "offset", arguments), (2, "offset", results), (3, "Uint8", options), (4, "offset", table(b)))
    graph = table(
        b, (0, "offset", offsets(b, made)), (1, "offset", ins), (2, "offset", outs), (3, "offset", offsets(b, [node]))
    )
    code = table(b, (0, "Int8", operator), (2, "Int32", 1), (3, "Int32", operator))
    codes, graphs, data = offsets(b, [code]), offsets(b, [graph]), offsets(b, buffers)
    root = table(b, (0, "Uint32", 3), (1, "offset", codes), (2, "offset", graphs), (4, "offset", data))
    b.Finish(root, b"TFL3")
    return bytes(b.Output())
