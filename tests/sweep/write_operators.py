"""Writes what the sweep finds: `python tests/sweep/write_operators.py` (a minute or two; needs onnxruntime).

reference_list.json, what `onnx.reference` is proven right for, and docs/operators.md, what computes each operator.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import onnx
import sweep_types  # noqa: F401  (completes the cases)
from sweep_cases import CASES, Case
from sweep_outcomes import outcome, row
from sweep_verdicts import LIST, reference_list, verdict

__all__ = ["BY_OPERATOR", "NOT_SWEPT", "PAGE", "operator_page", "row_of"]

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"
NOT_SWEPT = {"ImageDecoder": "needs a library for images"}
BY_OPERATOR: dict[str, list[Case]] = {}
for each in CASES:
    BY_OPERATOR.setdefault(each.op_type, []).append(each)

HEAD = """# Operators

What computes each operator of ONNX, in opset 13 and later; older models are rewritten for opset 13 first.
`tests/sweep/write_operators.py` writes this page: it runs each operator with each of its attributes varied, and
compares with onnxruntime, or with a definition where that lacks the operator.

- **own kernel**: ours, with the same bits on every tier; "int8" where quantize_model can make it an int8 layer. "in
  part": not with every attribute, type or number of axes. The other columns are about the rest.
- **reference**: `onnx.reference`. `fallback="reference"` takes it, and so does "auto" where onnxruntime isn't
  installed, for what is proven right (`python/qkern/reference_list.json`).
- **onnxruntime**: `fallback="onnxruntime"` takes it, and so does "auto" where it is installed.
- **refused**: neither can run it. The model is refused when it is loaded, naming node and operator.

Operators of other domains (`ai.onnx.ml`, `com.microsoft`, ...) run in onnxruntime, if that knows them, or are refused.
Random operators are compared by shape and type only.

| operator | own kernel | reference | onnxruntime | refused |
|---|---|---|---|---|
"""


def row_of(op_type: str) -> str:
    """The line of one operator: its cases in the newest opset, as they are typed."""
    cases = [case for case in BY_OPERATOR[op_type] if case.plain is None]
    return row(op_type, [outcome(case, case.versions()[-1]) for case in cases])


def operator_page() -> str:
    """The text of docs/operators.md."""
    lines = {op_type: row_of(op_type) for op_type in BY_OPERATOR}
    lines |= {op_type: f"| {op_type} | - | - | - | all: {why} |" for op_type, why in NOT_SWEPT.items()}
    return HEAD + "\n".join(lines[op_type] for op_type in sorted(lines, key=str.lower)) + "\n"


def main() -> None:
    verdicts = {
        op_type: [verdict(case, opset) for case in cases for opset in case.versions()]
        for op_type, cases in BY_OPERATOR.items()
    }
    minor = ".".join(onnx.__version__.split(".")[:2])
    LIST.write_text(reference_list(verdicts, (minor, minor)), encoding="utf-8")
    PAGE.write_text(operator_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
