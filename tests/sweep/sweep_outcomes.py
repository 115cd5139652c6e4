"""What a session makes of a case with each fallback, and the row of docs/operators.md that follows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import qkern
from qkern.operators import NodeQuantization, get_operator
from qkern.runtime.onnxruntime_list import deviation
from sweep_cases import Case
from sweep_judge import difference, right
from sweep_verdicts import typed_node

__all__ = ["Outcome", "outcome", "row"]

OWN = frozenset({"int8", "float", "convert"})
QUANTIZES = frozenset({"DequantizeLinear", "QuantizeLinear"})


@dataclass(frozen=True)
class Outcome:
    """`own`: no step is foreign. `reference`, `onnxruntime`: "" where the session gave the right answer, "refused", or
    what was wrong. `int8`: what conversion would make of the node."""

    case: Case
    own: bool
    reference: str
    onnxruntime: str
    int8: bool


def run(case: Case, opset: int, fallback: Any) -> tuple[str, set[str]]:
    """What differs from the right answer ("" nothing, "refused"), and the kinds of the steps."""
    try:
        session = qkern.Session(case.model(opset), fallback=fallback)
    except ValueError as error:
        return "refused" if "node" in str(error) else f"refused without a name: {error}", set()
    kinds = {step.kind for step in session.steps}
    try:
        results = session.run(None, case.feeds())
    except RuntimeError as error:  # values that the library behind the step takes exception to
        named = "node" in str(error) and not kinds <= OWN
        return "refused" if named else f"raised {error}", kinds
    answer = right(case, opset)
    wrong = "" if answer is None else difference(case, results, answer)
    return "" if deviation(
        typed_node(case, opset)
    ) else wrong, kinds  # there the answer, onnxruntime's, is the wrong one


@cache
def outcome(case: Case, opset: int) -> Outcome:
    """Runs `case` with the reference and, where not all is our own, with ONNX Runtime."""
    node = typed_node(case, opset)
    operator = get_operator(node.op_type)
    by_reference, kinds = run(case, opset, "reference")
    int8 = "int8" in kinds or node.op_type in QUANTIZES
    int8 = int8 or (operator is not None and isinstance(operator.quantization(node), NodeQuantization))
    if by_reference != "refused" and kinds <= OWN:
        return Outcome(case, bool(kinds), by_reference, "", int8)
    return Outcome(case, False, by_reference, run(case, opset, "onnxruntime")[0], int8)


def row(op_type: str, outcomes: list[Outcome]) -> str:
    """The operator's line of the table."""
    own = [each for each in outcomes if each.own]
    foreign = [each for each in outcomes if not each.own]
    kernel = "-"
    if own:
        kernel = "int8, float" if any(each.int8 for each in own) else "float"
        kernel += "" if len(own) == len(outcomes) else ", in part"
    columns = [
        _of(sum(each.reference != "refused" for each in foreign), len(foreign)),
        _of(sum(each.onnxruntime != "refused" for each in foreign), len(foreign)),
    ]
    nobody = sum(each.reference == each.onnxruntime == "refused" for each in foreign)
    refused = "" if not nobody else "all" if nobody == len(outcomes) else "in part"
    return f"| {op_type} | {kernel} | {columns[0]} | {columns[1]} | {refused} |"


def _of(count: int, total: int) -> str:
    if not total:
        return ""
    return "yes" if count == total else "in part" if count else "-"
