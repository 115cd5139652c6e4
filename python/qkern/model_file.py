"""ONNX models in and out: whatever a caller holds -> `ir.Model`, and `ir.Model` -> a file that is whole or absent."""

from __future__ import annotations

import logging
import os
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from .atomic_file import write_atomically
from .node_schema import check_nodes
from .tensor_data import check_tensors, is_external, place_external_data, tensors_in

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

__all__ = ["Folder", "ModelSource", "fix_defaults", "load_model", "model_bytes", "save_model", "serialize"]

for _name in ("onnx", "onnx_ir", "onnxscript"):  # what they log goes to whoever listens, and not to stderr
    logging.getLogger(_name).addHandler(logging.NullHandler())

ModelSource = Union[str, "os.PathLike[str]", bytes, "onnx.ModelProto", "ir.Model"]
Folder = Union[str, "os.PathLike[str]", None]


def load_model(source: ModelSource, external_data: Folder = None) -> ir.Model:
    """The model behind `source`: a path, the bytes of a file, an `onnx.ModelProto`, or an `ir.Model` (a copy that
    shares its tensors). A negative dimension, as paddle2onnx writes it, is one that isn't known.

    Tensors kept in external files are read when they are used, but for those in attributes and bodies; the files have
    to exist now and be long enough. They lie in the folder of the model or below it; in `external_data`, where that
    says another folder, links may lead out. A model that isn't a path has no other folder.

    Raises FileNotFoundError where the file or one of its external tensors is missing, OSError where it can't be read,
    ValueError naming the source where it isn't a whole ONNX model, naming the node that isn't as its operator's schema
    says or reads a tensor that nothing writes, and naming the tensor whose data is short or outside of its folder;
    TypeError for another type.
    """
    import onnx
    import onnx_ir as ir

    if isinstance(source, ir.Model):
        return _without_negative_sizes(source.clone())
    folder = None if external_data is None else Path(external_data)
    if isinstance(source, onnx.ModelProto):
        name, proto = "ModelProto", source
        if any(map(is_external, tensors_in(source))):
            proto = onnx.ModelProto()
            proto.CopyFrom(source)
    elif isinstance(source, bytes):
        name, proto = f"{len(source)} bytes", _parse(source, f"{len(source)} bytes")
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        name, folder = str(path), folder or path.resolve().parent
        if not path.exists():
            raise FileNotFoundError(f"{name}: no such file")
        proto = _parse(path.read_bytes(), name)
    else:
        raise TypeError(f"a model is a path, bytes, onnx.ModelProto or onnx_ir.Model, not {type(source).__name__}")
    _check_whole(proto, name)
    if not _is_text(proto, set()):
        raise ValueError(f"{name}: not a valid ONNX model (a name in it is not UTF-8)")
    check_nodes(proto, name)
    check_tensors(proto, name)
    place_external_data(proto, name, folder, links=external_data is not None)
    try:
        model = ir.from_proto(proto)
    except Exception as error:  # whatever the reader stumbles over, the file is at fault
        raise ValueError(f"{name}: not a valid ONNX model ({error})") from error
    _check_wired(model, name)
    try:
        model.graph.sort()
    except ValueError as error:
        raise ValueError(f"{name}: nodes of the graph wait for each other ({error})") from error
    return _without_negative_sizes(model)


def fix_defaults(model: ir.Model) -> list[str]:
    """Takes initializers off the inputs of `model`, in place: what was a default is a constant now.

    Returns the names of those that a caller could have fed. Below IR version 4 that is none of them: there every
    initializer had to be listed.
    """
    listed = [value for value in model.graph.inputs if value.is_initializer()]
    for value in listed:
        model.graph.inputs.remove(value)
    return [value.name or "" for value in listed] if model.ir_version >= 4 else []


def save_model(model: ir.Model, path: str | os.PathLike[str]) -> None:
    """Writes `model` to `path` in one step: a reader sees the old file or the new one; a failure leaves the old one.

    External tensors are stored inside the file. Raises OSError naming `path` where it can't be written, ValueError
    where the model can't be stored in one file (more than 2 GiB, or not serializable).
    """
    try:
        data = serialize(model)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    write_atomically(path, data)


def model_bytes(source: ModelSource) -> int:
    """Size of the model's file, or of the file it would be."""
    import onnx
    import onnx_ir as ir

    if isinstance(source, (str, os.PathLike)):
        return Path(source).stat().st_size
    if isinstance(source, bytes):
        return len(source)
    proto = source if isinstance(source, onnx.ModelProto) else ir.to_proto(source)
    return int(proto.ByteSize())


def serialize(model: ir.Model) -> bytes:
    """`model` as the bytes of one ONNX file, external tensors inside. Raises ValueError where that can't be."""
    import onnx_ir as ir

    whole = model.clone()
    try:
        ir.external_data.load_to_model(whole)
        data: bytes = ir.to_proto(whole).SerializeToString()
    except Exception as error:  # protobuf's, numpy's and the IR's own errors: all mean the same to the caller
        raise ValueError(f"the model can't be stored in one ONNX file ({error})") from error
    return data


def _parse(data: bytes, name: str) -> onnx.ModelProto:
    import onnx

    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError, of which there are several, one per implementation
        raise ValueError(f"{name}: not an ONNX model, or a truncated one ({error})") from error
    return proto


def _check_whole(proto: onnx.ModelProto, name: str) -> None:
    # A file cut between two fields, or a stray file that protobuf happens to accept, parses without an error.
    for field, present in (
        ("ir_version", proto.ir_version > 0),
        ("graph", proto.HasField("graph")),
        ("opset_import", len(proto.opset_import) > 0),
    ):
        if not present:
            raise ValueError(f"{name}: not an ONNX model, or a truncated one (it has no {field})")


def _is_text(message: Any, known: set[bytes]) -> bool:
    """Whether all strings are UTF-8, which some of protobuf's readers leave to the one who uses them. `known`: types
    and attributes that are, as bytes; most of a file's messages are parts of these, and few differ."""
    if message.DESCRIPTOR.full_name in ("onnx.AttributeProto", "onnx.TypeProto"):
        content = message.SerializeToString()
        if content in known:
            return True
        known.add(content)  # should it be none, that is the end of the search
    strings, lists, parts, part_lists = _fields_of(message.DESCRIPTOR)
    for name in strings:
        if not isinstance(getattr(message, name), str):
            return False
    for name in lists:
        if not all(isinstance(each, str) for each in getattr(message, name)):
            return False
    for name in parts:
        if message.HasField(name) and not _is_text(getattr(message, name), known):
            return False
    return all(_is_text(each, known) for name in part_lists for each in getattr(message, name))


@cache
def _fields_of(descriptor: Any) -> tuple[list[str], list[str], list[str], list[str]]:
    """Names of the fields that are a string, several, a message, several."""
    kinds: dict[tuple[bool, bool], list[str]] = {(text, many): [] for text in (True, False) for many in (False, True)}
    for field in descriptor.fields:
        text = field.type == field.TYPE_STRING
        if text or field.message_type is not None:
            kinds[text, field.default_value == []].append(field.name)  # `label` and `is_repeated` depend on the version
    return kinds[True, False], kinds[True, True], kinds[False, False], kinds[False, True]


def _without_negative_sizes(model: ir.Model) -> ir.Model:
    import onnx_ir as ir

    for graph in model.graphs():
        for value in (*graph.inputs, *(output for node in graph for output in node.outputs)):
            if value.shape is not None and any(isinstance(size, int) and size < 0 for size in value.shape):
                value.shape = ir.Shape([None if isinstance(size, int) and size < 0 else size for size in value.shape])
    return model


def _check_wired(model: ir.Model, name: str) -> None:
    for graph in model.graphs():
        written = [
            value.name for value in (*graph.inputs, *(out for node in graph for out in node.outputs)) if value.name
        ]
        twice = [value for value, count in Counter(written).items() if count > 1]
        if twice:
            raise ValueError(f"{name}: {twice[0]!r} is the name of two tensors")
        for node in graph:
            for value in node.inputs:
                if value is not None and not _has_source(value):
                    raise ValueError(
                        f"{name}: node {node.name!r} ({node.op_type}) reads {value.name!r}, which nothing writes"
                    )
        for output in graph.outputs:
            if not _has_source(output):
                raise ValueError(f"{name}: nothing writes the output {output.name!r}")


def _has_source(value: ir.Value) -> bool:
    return value.producer() is not None or value.is_graph_input() or value.is_initializer()
