"""The plain case of each operator in other types. Importing this makes `CASES` complete."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from sweep_cases import CASES, Case, K, schemas

for module in ("sweep_functions", "sweep_moves", "sweep_layers", "sweep_images", "sweep_chains"):
    import_module(module)

OTHER_TYPES = (np.float64, np.float16, np.int64, np.int32, np.int8, np.uint8, np.bool_)


def in_other_types(plain: Case) -> list[Case]:
    """`plain` with the type of its first input, and of those that have to have the same, exchanged."""
    known = schemas(plain.op_type)
    if type(plain) is not Case or not known:  # an older onnx doesn't know every operator
        return []
    schema = known[-1]
    floats = [index for index, value in enumerate(plain.inputs) if array_of(value).dtype == np.float32]
    if not floats:
        return []
    kind = schema.inputs[min(floats[0], len(schema.inputs) - 1)].type_str
    allowed = {t for each in schema.type_constraints if each.type_param_str == kind for t in each.allowed_type_strs}
    names = {np.float64: "double", np.float16: "float16", np.bool_: "bool"}
    found = []
    for dtype in OTHER_TYPES:
        if f"tensor({names.get(dtype, np.dtype(dtype).name)})" not in allowed:
            continue

        def converted(value: Any, index: int, dtype: Any = dtype) -> Any:
            formal = schema.inputs[min(index, len(schema.inputs) - 1)]
            if value is None or formal.type_str != kind:
                return value
            array = array_of(value)
            if np.dtype(dtype).kind in "iu":
                array = np.abs(3 * array.astype(np.float64)) + 1  # no division by zero, no negative shift
                if plain.op_type == "ReduceProd":  # that stays within int32
                    array = 1 + (np.arange(array.size).reshape(array.shape) % 16 == 0)
            other = np.asarray(array > 0.5 if dtype is np.bool_ else array.astype(dtype))
            return K(other) if isinstance(value, K) else other

        inputs = tuple(converted(value, index) for index, value in enumerate(plain.inputs))
        found.append(Case(plain.op_type, inputs, plain.attributes, plain.outputs, plain.opsets, plain=plain))
    return found


def array_of(value: Any) -> Any:
    return np.zeros(0, bool) if value is None else value.array if isinstance(value, K) else value


_first: dict[tuple[str, int], Case] = {}
for each in CASES:
    _first.setdefault((each.op_type, sum(value is not None for value in each.inputs)), each)
for each in _first.values():
    if each.op_type not in ("Loop", "If", "Scan"):
        CASES.extend(in_other_types(each))
