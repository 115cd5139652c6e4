"""What stays float although an operator could be int8: what the caller excludes, and what 8 bits can't hold.

The caller names nodes of the graph as it was; fusion merges some of them into others. The layer that does their work
stays float then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from .fused_names import FusedNames

__all__ = ["Exclude", "Exclusions", "fused_exclusions"]


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


def fused_exclusions(names: FusedNames, exclude: Exclude) -> Exclusions:
    """`exclude`, the names and operator types of the nodes that the model had (or has now), as names of the nodes that
    do their work now. Raises ValueError for a name that it had neither before nor after."""
    given = Exclusions.of(exclude).nodes
    names.refuse_unknown(given, "exclude")
    found: dict[str, str] = {}
    for name, op_type in names.after.items():
        if name in given or op_type in given:
            found[name] = "excluded by name" if name in given else f"excluded: every {op_type}"
    for name, op_type in names.before.items():
        if name in given or op_type in given:
            work = f"excluded: it does the work of {name!r}" + ("" if name in given else f", as every {op_type} is")
            for target in names.work_of(name):
                found.setdefault(target, work)
    return Exclusions(found)
