"""Every operator of ONNX, each attribute varied: right through each fallback, or refused by name.

QKERN_SWEEP=full (`nox -s sweep`) runs sessions at every opset in which an operator changed, and in every type; else
they run at the newest opset and with the types that the cases name.
"""

from __future__ import annotations

import json
import os
import zlib

import onnx
import onnx_ir as ir
import pytest
from qkern.operators import OPERATORS
from qkern.reference_list import unproven

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from sweep_cases import Case
from sweep_judge import about
from sweep_outcomes import outcome, run
from sweep_verdicts import LIST, RAISES, node_test_verdicts, proven, single_nodes, typed_node, verdict
from write_operators import BY_OPERATOR, NOT_SWEPT, PAGE, row_of

LISTED = json.loads(LIST.read_text(encoding="utf-8"))
FULL = os.environ.get("QKERN_SWEEP") == "full"
UNVARIED = {
    ("CastLike", "round_mode"): "as Cast's: for float8e8m0 only, which ONNX Runtime doesn't return",
    ("CastLike", "saturate"): "tests/fusion/test_clean.py",
    ("Constant", "sparse_value"): "ONNX Runtime returns no sparse tensor",
    ("Optional", "type"): "the type of an optional without a value",
}


def swept(op_type: str) -> list[tuple[Case, int]]:
    cases = [case for case in BY_OPERATOR[op_type] if FULL or case.plain is None]
    return [(case, opset) for case in cases for opset in (case.versions() if FULL else case.versions()[-1:])]


def test_every_operator_has_a_case_and_every_attribute_varies():
    for schema in onnx.defs.get_all_schemas():
        if schema.domain != "" or schema.deprecated or schema.name in NOT_SWEPT:
            continue
        cases = BY_OPERATOR.get(schema.name)
        assert cases, schema.name
        assert [case.label for case in cases if not case.versions()] == []
        models = [ir.from_proto(case.model(opset)) for case in cases for opset in case.versions()]
        varied = {name for model in models for node in about(cases[0], model) for name in node.attributes}
        assert [name for name in schema.attributes if name not in varied and (schema.name, name) not in UNVARIED] == []


@pytest.mark.parametrize("op_type", BY_OPERATOR)
def test_right_or_refused(op_type):
    for case, opset in swept(op_type):
        found = outcome(case, opset)
        assert found.reference in ("", "refused"), f"{case.label} at {opset} with the reference: {found.reference}"
        assert found.onnxruntime in ("", "refused"), f"{case.label} at {opset} with onnxruntime: {found.onnxruntime}"
        if FULL and not found.own and found.reference != "refused":
            assert run(case, opset, "none")[0] in ("", "refused"), case.label
    assert row_of(op_type) in PAGE.read_text(encoding="utf-8").splitlines(), "run tests/sweep/write_operators.py"


@pytest.mark.parametrize("op_type", BY_OPERATOR)
def test_the_reference_is_listed_for_what_it_is_right_for(op_type):
    verdicts = [verdict(case, opset) for case in BY_OPERATOR[op_type] for opset in case.versions()]
    for each in verdicts:
        if each.outcome == "wrong" or (each.outcome == "refused" and op_type not in RAISES):
            assert unproven(typed_node(each.case, each.opset), each.opset), f"{each.case.label} at {each.opset}"
    if not onnx.__version__.startswith(f"{LISTED['onnx'][-1]}."):  # an older one doesn't know all cases
        return
    if FULL or zlib.crc32(op_type.encode()) % 4 == 0:  # ONNX's own tests take long
        expected = proven([*verdicts, *node_test_verdicts(op_type)])
        assert LISTED["operators"].get(op_type) == expected, "run tests/sweep/write_operators.py"


def test_the_list_names_nothing_else():
    assert LISTED["operators"].keys() <= {*BY_OPERATOR, *single_nodes()}


def test_the_list_is_for_the_installed_onnx():
    first, last = (tuple(map(int, version.split("."))) for version in LISTED["onnx"])
    assert first <= tuple(map(int, onnx.__version__.split(".")[:2])) <= last, "sweep this version too"


def test_what_has_kernels_of_ours_runs_on_them():
    for operator in OPERATORS:
        kinds = []
        for case in BY_OPERATOR[operator.op_type]:
            wrong, steps = run(case, case.versions()[-1], "none")
            kinds += [steps] if wrong == "" else []
        assert kinds, operator.op_type
        assert set().union(*kinds) <= {"int8", "float", "convert"}, operator.op_type
