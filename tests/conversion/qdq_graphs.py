"""Targets and looks at QDQ graphs that the tests of conversion share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
from qkern.graph_values import constant_of
from qkern.scheme import Scheme
from qkern.target import TARGETS

X86, ARM = TARGETS["x86"], TARGETS["arm"]
SYMMETRIC = replace(ARM, activation=Scheme("int8", symmetric=True))
PER_TENSOR = replace(X86, weight=Scheme("int8", symmetric=True, narrow=True))
ASYMMETRIC_WEIGHT = replace(X86, weight=Scheme("int8", per_channel=True))


def f32(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def types(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph if not node.op_type.endswith("uantizeLinear")]


def producer(model: ir.Model, name: str) -> ir.Node:
    return next(node for node in model.graph if node.name == name)


def quantizer(value: ir.Value) -> ir.Node | None:
    return next((node for node in value.consumers() if node.op_type == "QuantizeLinear"), None)


def params_of(node: ir.Node) -> tuple[float, int]:
    return constant_of(node.inputs[1]).item(), constant_of(node.inputs[2]).item()


def output_params(model: ir.Model, name: str) -> tuple[float, int]:
    return params_of(quantizer(producer(model, name).outputs[0]))
