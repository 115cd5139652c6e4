"""The right answer to a case, and what the reference makes of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray
from sweep_cases import Case, K, schemas

__all__ = ["RANDOM", "about", "difference", "reference", "right"]

# Only shape and type are known.
RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


def about(case: Case, model: ir.Model) -> list[ir.Node]:
    """The nodes that the case is about."""
    return [node for node in model.graph if node.op_type == case.op_type]


@cache
def right(case: Case, opset: int) -> list[Any] | None:
    """What `case` gives: by a definition of ours, or as ONNX Runtime computes it at that opset or at an older one in
    which the operator is called alike; None where neither knows."""
    define = DEFINITIONS.get(case.op_type)
    if define is not None and (defined := define(case)) is not None:
        return defined
    for version in reversed([version for version in case.versions() if version <= opset]):
        if version == opset or _alike(case, version, opset):
            try:
                return run_by_onnxruntime(case.model(version), case.feeds())
            except Exception:  # its own classes: an operator or type without a kernel
                continue
    if case.plain is not None and _array(case.inputs[-1]).dtype == np.float64:  # the same in float32, which it knows
        known = right(case.plain, opset)
        return known and [each.astype(np.float64) if each.dtype == np.float32 else each for each in known]
    return None


def run_by_onnxruntime(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def reference(case: Case, opset: int) -> list[Any] | str:
    """What `onnx.reference` gives, or its error."""
    from onnx.reference import ReferenceEvaluator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return list(ReferenceEvaluator(case.model(opset)).run(None, case.feeds()))
        except Exception as error:  # whatever it stumbles over
            return f"{type(error).__name__}: {error}"


def difference(case: Case, ours: list[Any], theirs: list[Any]) -> str:
    """In words what differs; empty where nothing does."""
    if len(ours) != len(theirs):
        return f"{len(ours)} outputs instead of {len(theirs)}"
    for a, b in (_comparable(a, b) for a, b in zip(ours, theirs, strict=True)):
        if a.shape != b.shape or (a.dtype != b.dtype and not a.dtype == b.dtype == object):
            return f"{a.dtype}{list(a.shape)} instead of {b.dtype}{list(b.shape)}"
        if case.op_type in RANDOM:
            continue
        if case.op_type == "TopK" and case.attributes.get("sorted") == 0:  # in any order
            a, b = np.sort(a, case.attributes.get("axis", -1)), np.sort(b, case.attributes.get("axis", -1))
        if a.dtype.kind in "fc":
            loose = 1e-2 if a.dtype == np.float16 else 1e-4
            same = np.allclose(a, b, rtol=loose, atol=loose, equal_nan=True)
        else:
            same = np.array_equal(a, b)
        if not same:
            return "other numbers"
    return ""


def _comparable(a: Any, b: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Text as objects, and floats of 8 bits, which ONNX Runtime returns as bytes, as float32."""
    arrays = [np.asarray(value) for value in (a, b)]
    small = next((array.dtype for array in arrays if array.dtype.name.startswith("float8")), None)
    for index, array in enumerate(arrays):
        if array.dtype.kind in "UT":
            arrays[index] = array.astype(object)
        elif small is not None and array.dtype.itemsize == 1:
            arrays[index] = array.view(small).astype(np.float32)
    return arrays[0], arrays[1]


def _alike(case: Case, version: int, opset: int) -> bool:
    """Whether nothing but types changed between two opsets."""

    def said(schema: Any) -> Any:
        attributes = {name: str(each.default_value) for name, each in schema.attributes.items()}
        return attributes, [(each.name, each.option) for each in (*schema.inputs, *schema.outputs)]

    between = [schema for schema in schemas(case.op_type, case.domain) if version <= schema.since_version <= opset]
    before = [schema for schema in schemas(case.op_type, case.domain) if schema.since_version <= version]
    return all(said(schema) == said(before[-1]) for schema in between) and case.op_type not in CHANGED_IN_WORDS


# Called alike, but meant otherwise in a later opset.
CHANGED_IN_WORDS = frozenset({"BatchNormalization", "GroupNormalization"})


def _batchwise(case: Case) -> list[Any] | None:
    """layout=1 of the recurrent operators: the batch comes first."""
    if case.attributes.get("layout") != 1:
        return None
    inputs = list(case.inputs)
    for index in (0, 5, 6):  # X, initial_h, initial_c
        if index < len(inputs) and inputs[index] is not None:
            inputs[index] = np.ascontiguousarray(inputs[index].swapaxes(0, 1))
    attributes = {name: value for name, value in case.attributes.items() if name != "layout"}
    y, *states = run_by_onnxruntime(
        Case(case.op_type, tuple(inputs), attributes, case.outputs).model(14),
        {f"x{number}": value for number, value in enumerate(inputs) if value is not None and not isinstance(value, K)},
    )
    return [y.transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in states)]


def _array(value: Any) -> NDArray[Any]:
    return value.array if isinstance(value, K) else value


def _quantized(case: Case) -> list[Any] | None:
    """Integers by one scale."""
    x, scale, *zero = (_array(value) for value in case.inputs)
    if x.dtype != np.int32 or not zero:
        return None
    limits = np.iinfo(zero[0].dtype)
    return [np.clip(np.rint(x / scale) + zero[0], limits.min, limits.max).astype(zero[0].dtype)]


def _swiglu(case: Case) -> list[Any]:
    gate, linear = (_array(value).astype(np.float64) for value in case.inputs)
    result = gate / (1 + np.exp(-case.attributes.get("alpha", 1.0) * gate)) * linear
    return [result.astype(case.inputs[0].dtype)]


def _mean(case: Case) -> list[Any] | None:
    arrays = [_array(value) for value in case.inputs]
    if arrays[0].dtype != np.float64:
        return None
    return [np.asarray(sum(np.broadcast_arrays(*arrays)) / len(arrays))]


DEFINITIONS: dict[str, Callable[[Case], list[Any] | None]] = {
    "GRU": _batchwise,
    "LSTM": _batchwise,
    "Mean": _mean,
    "QuantizeLinear": _quantized,
    "RNN": _batchwise,
    "SwiGLU": _swiglu,
}
