"""A subgraph -> a call of ONNX's reference implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .subgraph import Subgraph

__all__ = ["reference_call"]


def reference_call(subgraph: Subgraph) -> Callable[..., Any]:
    """A function that computes the subgraph's outputs from its inputs: one array, or a tuple.

    Raises ValueError, without a label, where ONNX's reference doesn't know an operator.
    """
    from onnx.reference import ReferenceEvaluator

    try:
        evaluator = ReferenceEvaluator(subgraph.model)
    except Exception as error:  # whatever the evaluator stumbles over, it can't run this
        raise ValueError(f"onnx.reference doesn't have it ({error})") from error
    feeds = [value.name or "" for value in subgraph.inputs]
    single = len(subgraph.outputs) == 1

    def call(*arrays: Any) -> Any:
        with np.errstate(all="ignore"):  # it computes both sides of a choice
            results: Any = evaluator.run(None, dict(zip(feeds, arrays, strict=True)))
        owned = tuple(_owned(result, arrays) for result in results)
        return owned[0] if single else owned

    return call


def _owned(result: Any, inputs: Any) -> Any:
    """A copy where the result is a view of an input: whether it is one may depend on values, and memory is planned as
    if it never were."""
    if isinstance(result, list):
        return [_owned(each, inputs) for each in result]
    if isinstance(result, np.ndarray) and any(np.may_share_memory(result, each) for each in _arrays(inputs)):
        return result.copy()
    return result


def _arrays(value: Any) -> Iterator[NDArray[Any]]:
    """The array, or those in sequences."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _arrays(each)
