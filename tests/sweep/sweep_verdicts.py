"""Verdicts on ONNX's reference, and the list that follows from them."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import qkern.reference_list
from onnx.reference import ReferenceEvaluator
from onnx_tests import NodeTest, check_outputs, node_tests
from qkern.reference_list import features
from qkern.runtime.onnxruntime_list import deviation
from sweep_cases import Case
from sweep_judge import RANDOM, about, difference, reference, right

__all__ = [
    "LIST",
    "RAISES",
    "Verdict",
    "node_test_verdicts",
    "proven",
    "reference_list",
    "single_nodes",
    "typed_node",
    "verdict",
]

LIST = Path(qkern.reference_list.__file__).with_suffix(".json")


@dataclass(frozen=True)
class Verdict:
    """What the reference makes of a case: "right", "wrong", "refused" (it raises) or "unjudged"."""

    case: Case
    opset: int
    outcome: str
    features: tuple[str, ...]


def typed_node(case: Case, opset: int) -> ir.Node:
    """The node that the case is about, with types and shapes."""
    return about(case, ir.from_proto(onnx.shape_inference.infer_shapes(case.model(opset))))[0]


@cache
def verdict(case: Case, opset: int) -> Verdict:
    """The verdict on the reference, and the features of the node that it is about."""
    node = typed_node(case, opset)
    described = tuple(features(node, opset, ranks=True))
    answer = right(case, opset)
    if answer is None:
        return Verdict(case, opset, "unjudged", described)
    ours = reference(case, opset)
    if isinstance(ours, str):
        return Verdict(case, opset, "refused", described)
    if not difference(case, ours, answer):
        return Verdict(case, opset, "right", described)
    return Verdict(case, opset, "unjudged" if deviation(node) else "wrong", described)


@cache
def single_nodes() -> dict[str, list[tuple[NodeTest, ir.Node, int]]]:
    """By operator, ONNX's tests of one node, from opset 13 on, with the node, typed, and its domain's version."""
    found: dict[str, list[tuple[NodeTest, ir.Node, int]]] = {}
    for test in node_tests():
        model = ir.from_proto(onnx.shape_inference.infer_shapes(test.model))
        node, *others = model.graph
        opset = model.opset_imports[node.domain]
        if not others and node.op_type not in RANDOM and (node.domain != "" or _means_the_same(node, opset)):
            operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            found.setdefault(operator, []).append((test, node, opset))
    return found


def _means_the_same(node: ir.Node, opset: int) -> bool:
    """Whether the operator is as in opset 13 or later."""
    old, new = (onnx.defs.get_schema(node.op_type, version) for version in (opset, max(opset, 13)))
    return bool(old.since_version == new.since_version)


@cache
def node_test_verdicts(operator: str) -> list[Verdict]:
    """The verdicts on the reference that ONNX's own tests of the operator give; without those at which it raises, as it
    will in a session, with the node's name."""
    verdicts = []
    for test, node, opset in single_nodes().get(operator, ()):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                feeds = {value.name: given for value, given in zip(test.model.graph.input, test.inputs, strict=False)}
                results = list(ReferenceEvaluator(test.model).run(None, feeds))
            except Exception:  # whatever it stumbles over
                continue
        try:
            check_outputs(results, test.outputs, test.rtol)
            outcome = "right"
        except AssertionError:
            outcome = "wrong"
        described = tuple(features(node, opset, ranks=True))
        verdicts.append(Verdict(Case(node.op_type, ()), opset, outcome, described))
    return verdicts


# What cases can't show, since it isn't a feature: the scan outputs of a body, and no iteration at all.
NEVER = frozenset({"Loop"})


# It raises for what it can't do, and whether it can depends on the values of inputs (negative amounts), or the
# node isn't valid (bits of two sizes).
RAISES = frozenset({"BitCast", "Pad"})


def proven(verdicts: Iterable[Verdict]) -> list[str] | None:
    """The features of one operator for which the reference is proven: those of its right cases, but of each wrong case
    one at least, that with the fewest right cases: an attribute, output or input rather than a rank, a type or a
    version, never float32. Ranks count where more right cases are told from wrong ones by them. None: not proven for
    anything."""
    verdicts = list(verdicts)
    good = [set(each.features) for each in verdicts if each.outcome == "right"]
    bad = [
        set(each.features)
        for each in verdicts
        if each.outcome == "wrong" or (each.outcome == "refused" and each.case.op_type not in RAISES)
    ]
    if not good or any(each.case.op_type in NEVER for each in verdicts):
        return None
    best: list[set[str]] = []
    for ranked in (False, True):
        rights, wrongs = (
            [{name for name in case if ranked or _kind(name) != "rank"} for case in cases] for cases in (good, bad)
        )
        found = _without(wrongs, Counter(name for case in rights for name in case))
        usable = [case for case in rights if found is not None and case <= found]
        best = usable if len(usable) > len(best) else best
    return sorted(set().union(*best), key=_order) if best else None


def _without(wrongs: list[set[str]], counts: Counter[str]) -> set[str] | None:
    """The counted features, but one of each wrong case, the one with the fewest right ones; None where it has none."""
    found = set(counts)
    for case in wrongs:
        while case <= found:
            blamed = [name for name in case if not name.startswith("FLOAT as ")]
            if not blamed:
                return None
            found.discard(min(blamed, key=lambda name: (max(2, _KINDS.index(_kind(name))), counts[name], name)))
    return found


_KINDS = ("attribute", "output", "input", "rank", "type", "version")


def _kind(feature: str) -> str:
    first = feature.partition(" ")[0]
    first = "input" if first == "no" else first
    return first if first in _KINDS else "type" if " as " in feature else "attribute"


def _order(feature: str) -> tuple[int, int, str]:
    kind = _kind(feature)
    return _KINDS[::-1].index(kind), int(feature.split()[1]) if kind == "version" else 0, feature


def reference_list(verdicts: dict[str, list[Verdict]], versions: tuple[str, str]) -> str:
    """The text of reference_list.json, for verdicts by operator; `versions`: those of onnx that were swept."""
    lists = {
        operator: proven([*verdicts.get(operator, ()), *node_test_verdicts(operator)])
        for operator in sorted({*verdicts, *single_nodes()})
    }
    lines = [f"    {json.dumps(op_type)}: {json.dumps(found)}" for op_type, found in lists.items() if found]
    body = ",\n".join(lines)
    return f'{{\n  "onnx": {json.dumps(versions)},\n  "operators": {{\n{body}\n  }}\n}}\n'
