"""Verdicts on ONNX's reference, and the list that follows from them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import onnx
import onnx_ir as ir
import qkern.reference_list
from qkern.reference_list import features
from qkern.runtime.onnxruntime_list import deviation
from sweep_cases import Case
from sweep_judge import about, difference, reference, right

__all__ = ["LIST", "RAISES", "Verdict", "proven", "reference_list", "typed_node", "verdict"]

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


# What cases can't show, since it isn't a feature: the scan outputs of a body, and no iteration at all.
NEVER = frozenset({"Loop"})


# It raises for what it can't do, and whether it can depends on the values of inputs: negative amounts.
RAISES = frozenset({"Pad"})


def proven(verdicts: Iterable[Verdict]) -> list[str] | None:
    """The features of one operator for which the reference is proven: those of its right cases, but of each wrong case
    one at least, that with the fewest right cases: an attribute, output or input rather than a rank, a type or a
    version, never float32. Ranks count where nothing else tells right from wrong. None: not proven for anything."""
    verdicts = list(verdicts)
    good = [set(each.features) for each in verdicts if each.outcome == "right"]
    bad = [
        set(each.features)
        for each in verdicts
        if each.outcome == "wrong" or (each.outcome == "refused" and each.case.op_type not in RAISES)
    ]
    if not good or any(each.case.op_type in NEVER for each in verdicts):
        return None
    for ranked in (False, True):
        rights, wrongs = (
            [{name for name in case if ranked or _kind(name) != "rank"} for case in cases] for cases in (good, bad)
        )
        found = _without(wrongs, Counter(name for case in rights for name in case))
        usable = [case for case in rights if found is not None and case <= found]
        if usable:
            return sorted(set().union(*usable), key=_order)
    return None


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
    lists = {op_type: proven(each) for op_type, each in sorted(verdicts.items())}
    lines = [f"    {json.dumps(op_type)}: {json.dumps(found)}" for op_type, found in lists.items() if found]
    body = ",\n".join(lines)
    return f'{{\n  "onnx": {json.dumps(versions)},\n  "operators": {{\n{body}\n  }}\n}}\n'
