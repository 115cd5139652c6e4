"""The operators by their ONNX names."""

from __future__ import annotations

from collections.abc import Iterable

from .operator import Operator

__all__ = ["get_operator", "register"]

_BY_TYPE: dict[str, Operator] = {}


def register(operators: Iterable[Operator]) -> None:
    """Makes `operators` known: once, by the package."""
    _BY_TYPE.update({operator.op_type: operator for operator in operators})


def get_operator(op_type: str) -> Operator | None:
    """The operator called `op_type` in ONNX's own domain; None where there is none."""
    return _BY_TYPE.get(op_type)
