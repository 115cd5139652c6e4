"""What `onnx.reference` computes as ONNX defines it: the operators, versions, attributes, inputs and types for which a
sweep found no difference from ONNX Runtime or a definition of its own (tests/sweep, which writes reference_list.json).

A node is described by features: its schema's version, each attribute that isn't at its default (texts and types with
their value), each optional input that it has or hasn't, each output behind the first, the types of its inputs, and,
where they matter, their ranks.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["features", "unlisted", "unproven"]

_TYPES = frozenset({"dtype", "output_datatype", "output_dtype", "to"})  # attributes whose number is a type
_TEXTS = frozenset({"delimiter", "equation", "locale", "pattern", "value_string"})  # whose text may be any
_FILE = Path(__file__).with_name("reference_list.json")


def unproven(node: ir.Node, opset: int) -> str:
    """What of `node` (its operator, an attribute, an input), at this version of its domain, isn't known to be right in
    the installed onnx, in words; empty where all of it is. Nodes of bodies are asked for by themselves."""
    first, last = _listed()["onnx"]
    if not _minor(first) <= _minor(_installed()) <= _minor(last):
        return f"{_name(node)} of onnx {_installed()} (tested: {first} to {last})"
    return unlisted(node, opset)


def unlisted(node: ir.Node, opset: int) -> str:
    """As `unproven`, whatever the installed onnx: that is what constant folding goes by, which every model needs."""
    operator = _name(node)
    known = _listed()["operators"].get(operator)
    if known is None:
        return operator
    proven = frozenset(known)
    ranked = any(feature.startswith("rank") for feature in proven)
    missing = [feature for feature in features(node, opset, ranks=ranked) if feature not in proven]
    return f"{operator} with {missing[0]}" if missing else ""


def features(node: ir.Node, opset: int, *, ranks: bool = False) -> list[str]:
    """The features of `node` at that version of its domain."""
    import onnx
    import onnx_ir as ir

    try:
        schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    except onnx.defs.SchemaError:
        return ["no schema"]
    found = [f"version {schema.since_version}"]
    for name, attribute in sorted(node.attributes.items()):
        known = schema.attributes.get(name)
        default = onnx.helper.get_attribute_value(known.default_value) if known and known.default_value.name else None
        value = attribute.value
        if value != (default.decode() if isinstance(default, bytes) else default):
            told = (isinstance(value, str) and name not in _TEXTS) or name in _TYPES
            found.append(f"{name}={value}" if told else name)
    for index, value in enumerate(node.inputs):
        if value is None:
            continue
        formal = schema.inputs[min(index, len(schema.inputs) - 1)]
        if formal.option != onnx.defs.OpSchema.FormalParameterOption.Single:
            found.append(f"input {formal.name}")
        found.append(f"{_type_of(value)} as {formal.name}")
        if ranks:
            found.append(f"rank {'unknown' if value.shape is None else len(value.shape)} of input {formal.name}")
    for index, formal in enumerate(schema.inputs):
        optional = formal.option == onnx.defs.OpSchema.FormalParameterOption.Optional
        if optional and (index >= len(node.inputs) or node.inputs[index] is None):
            found.append(f"no {formal.name}")
    given = [index for index, value in enumerate(node.outputs) if value.name]
    for index in given:
        name = schema.outputs[min(index, len(schema.outputs) - 1)].name
        found += [f"output {name}"] if index else []
        found += [f"output {name} of OptionalType"] if isinstance(node.outputs[index].type, ir.OptionalType) else []
    return list(dict.fromkeys(found))


def _type_of(value: ir.Value) -> str:
    import onnx_ir as ir

    dtype = value.dtype if value.const_value is None else value.const_value.dtype
    if dtype is None:
        return "unknown type"
    kind = ir.TensorType if value.type is None else type(value.type)
    return dtype.name if kind is ir.TensorType else f"{kind.__name__} of {dtype.name}"


def _name(node: ir.Node) -> str:
    return f"{node.domain + '.' if node.domain else ''}{node.op_type}"


@cache
def _listed() -> dict[str, Any]:
    listed: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return listed


@cache
def _installed() -> str:
    import onnx

    return str(onnx.__version__)


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
