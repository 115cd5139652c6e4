"""The caller's names of nodes after fusion, which merges some nodes into others: who does their work now."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from ..fusion import Fused, fuse

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["FusedNames", "refuse_unknown"]


class FusedNames:
    """Fuses `model` in place, and knows what became of its nodes. `fused` is what was done, `before` the nodes that
    there were, by name, with their operator types, `after` those that there are.

    Raises ValueError as `fuse` does.
    """

    def __init__(self, model: ir.Model) -> None:
        import onnx_ir.passes.common as common

        common.NameFixPass()(model)
        self.before = {str(node.name): node.op_type for node in model.graph}
        outputs = {str(node.name): [value.name for value in node.outputs] for node in model.graph}
        bodies = _inlined(model) if model.functions else {}
        self.fused = tuple(fuse(model))
        self.after = {str(node.name): node.op_type for node in model.graph}
        writers = {value.name: str(node.name) for node in model.graph for value in node.outputs}
        self._work: dict[str, list[str]] = {}
        for name, written in outputs.items():
            targets = [now for each in bodies.get(name, [name]) for now in _merged_into(each, self.fused, self.after)]
            self._work[name] = targets or [writers[each] for each in written if each in writers]

    def work_of(self, name: str) -> list[str]:
        """The nodes that do the work of a node that there was. What cleaning removed without a trace needs none."""
        return self._work[name]

    def now(self, name: str) -> list[str]:
        """The nodes that are called `name`, by name or operator type, or do the work of those that were."""
        found = [each for each, op_type in self.after.items() if name in (each, op_type)]
        for each, op_type in self.before.items():
            if name in (each, op_type):
                found += self.work_of(each)
        return list(dict.fromkeys(found))

    def is_node(self, name: str) -> bool:
        """Whether a node was or is called `name`; else it can be an operator type only."""
        return name in self.before or name in self.after

    def refuse_unknown(self, wanted: Iterable[str], argument: str) -> None:
        """Raises ValueError for the first of `wanted` that the model had neither before nor after."""
        known = (each for nodes in (self.before, self.after) for each in (*nodes, *nodes.values()))
        refuse_unknown(wanted, known, argument)


def refuse_unknown(wanted: Iterable[str], known: Iterable[str], argument: str) -> None:
    """Raises ValueError for the first of `wanted` that isn't `known`, with the closest that are."""
    names = list(dict.fromkeys(known))
    for name in sorted(set(wanted) - set(names)):
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"; the closest are {', '.join(map(repr, close))}" if close else ""
        raise ValueError(f"{argument}: the graph has no node or operator {name!r}{hint}")


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
