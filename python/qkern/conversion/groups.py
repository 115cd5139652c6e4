"""Values that have to have the same scale and zero point (union-find)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["ValueGroups"]


class ValueGroups:
    """Disjoint sets of values; a value nobody joined is a set of its own. Members are in the order they were joined."""

    def __init__(self) -> None:
        self._root: dict[ir.Value, ir.Value] = {}
        self._members: dict[ir.Value, list[ir.Value]] = {}

    def root(self, value: ir.Value) -> ir.Value:
        """The value that stands for the set `value` is in."""
        return self._root.get(value, value)

    def members(self, value: ir.Value) -> tuple[ir.Value, ...]:
        """Everything in the set `value` is in."""
        return tuple(self._members.get(self.root(value), [value]))

    def join(self, a: ir.Value, b: ir.Value) -> None:
        """Makes one set of those of `a` and `b`."""
        kept, gone = self.root(a), self.root(b)
        if kept is gone:
            return
        members = self._members.setdefault(kept, [kept])
        for value in self._members.pop(gone, [gone]):
            self._root[value] = kept
            members.append(value)

    def of_copy(self, values: Mapping[ir.Value, ir.Value]) -> ValueGroups:
        """The same sets of the values of a copied graph."""
        copy = ValueGroups()
        copy._root = {values[value]: values[root] for value, root in self._root.items()}
        copy._members = {values[root]: [values[each] for each in members] for root, members in self._members.items()}
        return copy
