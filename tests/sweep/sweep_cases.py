"""Every operator of ONNX with each of its attributes varied: cases of one node.

`vary(op, inputs, attribute=[values], ...)` is the plain case and one for each value; `case(...)` is one case. An input
is fed, but for `K(array)`, which is an initializer, and None, which is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

__all__ = ["CASES", "Case", "K", "schemas"]


@dataclass(frozen=True, eq=False)
class K:
    """A constant input."""

    array: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Case:
    """One node. `opsets`: None are all from 13 on that know its attributes and inputs, else (first, last). `plain`: the
    one that this is in another type."""

    op_type: str
    inputs: tuple[Any, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    opsets: tuple[int, int] | None = None
    domain: str = ""
    plain: Case | None = None

    @property
    def label(self) -> str:
        """Operator, attributes, shapes and types."""
        said = ", ".join(f"{name}={_short(value)}" for name, value in self.attributes.items())
        given = ", ".join("-" if value is None else _short(value) for value in self.inputs)
        return f"{self.op_type}<{said}>({given})" + (f" -> {self.outputs}" if self.outputs > 1 else "")

    def model(self, opset: int) -> onnx.ModelProto:
        """The model at that version of the operator's domain."""
        names = ["" if value is None else f"x{number}" for number, value in enumerate(self.inputs)]
        results = [f"y{number}" for number in range(self.outputs)]
        node = helper.make_node(self.op_type, names, results, name="node", domain=self.domain, **self.attributes)
        arrays = [(name, value) for name, value in zip(names, self.inputs, strict=True) if value is not None]
        graph = helper.make_graph(
            [node],
            "g",
            [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
                for name, value in arrays
                if not isinstance(value, K)
            ],
            [onnx.ValueInfoProto(name=name) for name in results],
            [numpy_helper.from_array(value.array, name) for name, value in arrays if isinstance(value, K)],
        )
        imports = [helper.make_opsetid(self.domain, opset)] + ([helper.make_opsetid("", 18)] if self.domain else [])
        return helper.make_model(graph, opset_imports=imports, ir_version=10)

    def feeds(self) -> dict[str, NDArray[Any]]:
        """The inputs that are fed."""
        return {
            f"x{number}": value
            for number, value in enumerate(self.inputs)
            if value is not None and not isinstance(value, K)
        }

    def versions(self) -> list[int]:
        """Opsets in which the operator differs: for each of its schemas from 13 on that takes this case, the first."""
        known = schemas(self.op_type, self.domain)
        found = []
        for schema in known if known and not known[-1].deprecated else ():
            first = schema.since_version if self.domain else max(schema.since_version, 13)
            low, high = self.opsets or (0, 10**6)
            fits = set(self.attributes) <= set(schema.attributes) and len(self.inputs) <= schema.max_input
            if fits and low <= first <= high and self.outputs <= schema.max_output:
                found.append(first)
        return sorted(set(found))


@cache
def schemas(op_type: str, domain: str = "") -> list[Any]:
    """The schemas that are in force at opset 13 (of other domains: at any) or later, oldest first."""
    every = [s for s in onnx.defs.get_all_schemas_with_history() if (s.name, s.domain) == (op_type, domain)]
    every.sort(key=lambda schema: schema.since_version)
    if domain:
        return every
    before = [schema for schema in every if schema.since_version <= 13]
    return before[-1:] + [schema for schema in every if schema.since_version > 13]


def _short(value: Any) -> str:
    if isinstance(value, K):
        return f"const {_short(value.array)}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}" if value.size > 4 else f"{value.dtype}{value.tolist()}"
    if isinstance(value, (onnx.GraphProto, onnx.TensorProto)):
        return value.name or "tensor"
    return str(value)


CASES: list[Case] = []
RNG = np.random.default_rng(7)


def case(op_type: str, *inputs: Any, outputs: int = 1, opsets: Any = None, domain: str = "", **attributes: Any) -> None:
    CASES.append(Case(op_type, inputs, attributes, outputs, opsets, domain))


def vary(op_type: str, inputs: Any, base: Any = None, outputs: int = 1, opsets: Any = None, **values: Any) -> None:
    base = base or {}
    CASES.append(Case(op_type, tuple(inputs), dict(base), outputs, opsets))
    for name, choices in values.items():
        for choice in choices:
            CASES.append(Case(op_type, tuple(inputs), {**base, name: choice}, outputs, opsets))


def f32(*shape: int) -> NDArray[np.float32]:
    return RNG.standard_normal(shape).astype(np.float32)


def f64(*shape: int) -> NDArray[np.float64]:
    return RNG.standard_normal(shape)


def ints(low: int, high: int, *shape: int, dtype: Any = np.int64) -> NDArray[Any]:
    return RNG.integers(low, high, shape).astype(dtype)


def i64(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


X = f32(2, 4, 6, 6)
SEQ = f32(2, 3, 11)
VOLUME = f32(1, 2, 5, 6, 7)
M = f32(3, 4, 5)
U = RNG.uniform(-0.9, 0.9, (3, 4, 5)).astype(np.float32)
P = RNG.uniform(1.1, 3, (3, 4, 5)).astype(np.float32)
ODD = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 0.5, -0.5, 1.5, 2.5, -2.5], np.float32)
INTS = ints(-9, 9, 3, 4, 5)
BITS = ints(0, 200, 3, 4, dtype=np.uint8)
TRUTH = INTS > 0
