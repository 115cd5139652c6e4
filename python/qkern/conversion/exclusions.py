"""What stays float although an operator could be int8: what the caller excludes, and what 8 bits can't hold.

The caller names nodes of the graph as it was; fusion merges some of them into others. The layer that does their work
stays float then.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from ..fusion import Fused, fuse

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Exclude", "Exclusions", "fuse_excluding", "refuse_unknown"]


@dataclass(frozen=True)
class Exclusions:
    """`nodes`: those that stay float, by name or operator type, each with its reason ("": the caller's wish).
    `outputs`: nodes that may be int8 but give floats, by name, with the reason."""

    nodes: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.nodes or self.outputs)

    @classmethod
    def of(cls, exclude: Exclude) -> Exclusions:
        """Those of names or operator types, or of one."""
        if isinstance(exclude, Exclusions):
            return exclude
        return cls(dict.fromkeys([exclude] if isinstance(exclude, str) else exclude, ""))

    def also(self, other: Exclude) -> Exclusions:
        """These and others; where both have a reason, this one's."""
        more = Exclusions.of(other)
        return Exclusions({**more.nodes, **self.nodes}, {**more.outputs, **self.outputs})


Exclude: TypeAlias = "Collection[str] | Exclusions"


def fuse_excluding(model: ir.Model, exclude: Exclude) -> tuple[tuple[Fused, ...], Exclusions]:
    """Fuses `model` in place; what was done, and `exclude`, the names and operator types of the nodes that `model` had
    (or has now), as names of the nodes that do their work now. What cleaning removed without a trace needs nothing.

    Raises ValueError as `fuse` does, and for a name that `model` had neither before nor after.
    """
    import onnx_ir.passes.common as common

    common.NameFixPass()(model)
    before = [(str(node.name), node.op_type, [value.name for value in node.outputs]) for node in model.graph]
    bodies = _inlined(model) if model.functions else {}
    fused = tuple(fuse(model))
    after = {str(node.name): node.op_type for node in model.graph}
    writers = {value.name: str(node.name) for node in model.graph for value in node.outputs}
    given = Exclusions.of(exclude).nodes
    refuse_unknown(given, [*(each for name, op_type, _ in before for each in (name, op_type)), *after, *after.values()])
    found: dict[str, str] = {}
    for name, op_type in after.items():
        if name in given or op_type in given:
            found[name] = "excluded by name" if name in given else f"excluded: every {op_type}"
    for name, op_type, outputs in before:
        if name in given or op_type in given:
            work = f"excluded: it does the work of {name!r}" + ("" if name in given else f", as every {op_type} is")
            targets = [now for each in bodies.get(name, [name]) for now in _merged_into(each, fused, after)]
            targets = targets or [writers[each] for each in outputs if each in writers]
            for target in targets:
                found.setdefault(target, work)
    return fused, Exclusions(found)


def refuse_unknown(wanted: Iterable[str], known: Iterable[str]) -> None:
    """Raises ValueError for the first of `wanted` that isn't `known`, with the closest that are."""
    names = list(dict.fromkeys(known))
    for name in sorted(set(wanted) - set(names)):
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"; the closest are {', '.join(map(repr, close))}" if close else ""
        raise ValueError(f"exclude: the graph has no node or operator {name!r}{hint}")


def _inlined(model: ir.Model) -> dict[str, list[str]]:
    """Inlines the functions of `model`; by the name of a node that called one, the names of those in its place."""
    import onnx_ir.passes.common as common

    old = set(model.graph)
    calls = {
        str(node.name): ({value.name for value in node.inputs if value is not None}, {v.name for v in node.outputs})
        for node in model.graph
        if node.op_identifier() in model.functions
    }
    common.InlinePass()(model)
    common.NameFixPass()(model)
    bodies: dict[str, list[str]] = {}
    for name, (inputs, outputs) in calls.items():
        body: dict[ir.Node, None] = {}
        open_ = [node for node in model.graph if any(value.name in outputs for value in node.outputs)]
        while open_:  # from the outputs back to the inputs
            node = open_.pop()
            if node in body or node in old:
                continue
            body[node] = None
            ahead = (value for value in node.inputs if value is not None and value.name not in inputs)
            open_ += [producer for value in ahead if (producer := value.producer()) is not None]
        bodies[name] = [str(node.name) for node in body]
    return bodies


def _merged_into(name: str, fused: Iterable[Fused], after: Collection[str]) -> list[str]:
    """The nodes there are now that do the work of the node that was called `name`: itself, if there still is one."""
    names = {name: None}
    for each in fused:  # in the order in which it was done
        if each.into and names.keys() & set(each.nodes):
            names[each.into] = None
    return [each for each in names if each in after]
