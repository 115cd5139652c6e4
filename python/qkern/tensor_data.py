"""The data of a model's tensors: whether it is all there, and which files beside the model may hold it.

A model file may come from anywhere, and whatever it names would be read and could come out of `run`. So the data lies
in the model's folder or below it, links followed; in a folder that the caller has chosen for it links may lead out, as
those of a download cache do.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

__all__ = ["check_tensors", "is_external", "place_external_data", "tensors_in"]

_HOLDERS = frozenset(
    f"onnx.{name}Proto"
    for name in ("Model", "Graph", "Node", "Attribute", "Function", "SparseTensor", "TrainingInfo", "Tensor")
)


def tensors_in(message: Any) -> Iterator[onnx.TensorProto]:
    """Every tensor of a model, also those in attributes, bodies, functions and sparse tensors."""
    for field, content in message.ListFields():
        if field.message_type is None or field.message_type.full_name not in _HOLDERS:
            continue
        for each in [content] if hasattr(content, "ListFields") else content:
            if field.message_type.full_name == "onnx.TensorProto":
                yield each
            else:
                yield from tensors_in(each)


def check_tensors(proto: onnx.ModelProto, name: str) -> None:
    """Raises ValueError naming a tensor of `proto` (called `name`) whose data isn't what its shape and type need."""
    for tensor in tensors_in(proto):
        if not is_external(tensor):
            found, needed = _amounts(tensor, f"{name}: tensor {tensor.name!r}")
            if found != needed:
                what = "bytes" if tensor.HasField("raw_data") else "numbers"
                raise ValueError(
                    f"{name}: tensor {tensor.name!r} of shape {list(tensor.dims)} needs {needed} {what} and has {found}"
                )


def place_external_data(proto: onnx.ModelProto, name: str, folder: Path | None, *, links: bool) -> None:
    """Gives every external tensor of `proto` (called `name`) the whole path of its file below `folder`; those that
    aren't initializers of the graph itself are read into it. `links`: links may lead out of the folder.

    Raises FileNotFoundError where a file is missing; ValueError naming the tensor where there is no folder, where the
    file is outside of it or no regular file, or where it is too short.
    """
    graph = proto.graph
    for tensor in filter(is_external, graph.initializer):
        path, offset, length = _located(tensor, f"{name}: tensor {tensor.name!r}", folder, links)
        del tensor.external_data[:]
        for key, value in (("location", str(path)), ("offset", str(offset)), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)
    for part in (*graph.node, *graph.sparse_initializer, *proto.functions, *proto.training_info):
        for tensor in filter(is_external, tensors_in(part)):
            path, offset, length = _located(tensor, f"{name}: tensor {tensor.name!r}", folder, links)
            with open(path, "rb") as file:
                file.seek(offset)
                tensor.raw_data = file.read(length)
            del tensor.external_data[:]
            tensor.data_location = tensor.DEFAULT


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether the tensor is kept in a file."""
    return tensor.data_location == tensor.EXTERNAL or bool(tensor.external_data)


def _located(tensor: onnx.TensorProto, label: str, folder: Path | None, links: bool) -> tuple[Path, int, int]:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise ValueError(f"{label} is kept in the file {location!r}: say external_data=FOLDER, the folder it is in")
    path = _path(location, folder, links, label)
    return path, *_extent(tensor, entries, path, label)


def _path(location: str, folder: Path, links: bool, label: str) -> Path:
    relative = os.path.normpath(location)
    if not location or "\0" in location or os.path.isabs(relative) or Path(relative).drive:
        raise ValueError(f"{label} is kept in {location!r}, which is no path below the model's folder")
    path = Path(os.path.realpath(folder / relative))
    inside = ".." not in Path(relative).parts if links else path.is_relative_to(os.path.realpath(folder))
    if not inside:
        way_out = "" if links else "; external_data=FOLDER says where it is, links included"
        raise ValueError(f"{label} is kept in {location!r}, outside of {folder}{way_out}")
    if not path.exists():
        raise FileNotFoundError(f"{label}: its data should be in {folder / relative}, which is missing")
    return path


def _extent(tensor: onnx.TensorProto, entries: dict[str, str], path: Path, label: str) -> tuple[int, int]:
    """Offset and length in bytes, which the file has."""
    file = path.stat()
    if not stat.S_ISREG(file.st_mode):
        raise ValueError(f"{label} is kept in {path}, which is no regular file")
    needed = math.ceil(_bits(tensor, label) / 8)
    try:
        offset = int(entries.get("offset") or 0)
        length = int(entries.get("length") or needed)
    except ValueError as error:
        raise ValueError(f"{label}: what it says of its data in {path} makes no sense ({error})") from error
    if offset < 0 or length != needed:
        raise ValueError(f"{label} of shape {list(tensor.dims)} takes {needed} bytes, not {length} from {offset} on")
    if offset + length > file.st_size:
        raise ValueError(f"{label} takes bytes {offset} to {offset + length} of {path}, which has {file.st_size}")
    return offset, length


def _amounts(tensor: onnx.TensorProto, label: str) -> tuple[int, int]:
    """How many bytes or, where they are stored one by one, numbers the tensor has, and how many it needs."""
    import onnx

    if tensor.data_type == tensor.STRING:
        return len(tensor.string_data), math.prod(tensor.dims)
    bits = _bits(tensor, label)
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data), math.ceil(bits / 8)
    count = len(getattr(tensor, onnx.helper.tensor_dtype_to_field(tensor.data_type)))
    if tensor.data_type in (tensor.COMPLEX64, tensor.COMPLEX128):
        return count, 2 * math.prod(tensor.dims)
    numbers = math.prod(tensor.dims)
    return count, math.ceil(bits / 8) if bits < 5 * numbers else numbers  # those of 4 and 2 bits are packed


def _bits(tensor: onnx.TensorProto, label: str) -> int:
    import onnx_ir as ir

    try:
        width: int = ir.DataType(tensor.data_type).bitwidth
    except (TypeError, ValueError) as error:
        raise ValueError(f"{label} has no type of numbers ({error})") from error
    if min(tensor.dims, default=0) < 0:
        raise ValueError(f"{label} has a negative size: {list(tensor.dims)}")
    return width * math.prod(int(size) for size in tensor.dims)
