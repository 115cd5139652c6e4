"""What a fusion pass reports."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Fused"]


@dataclass(frozen=True)
class Fused:
    """One rewrite, or one that was possible but not done.

    `nodes` are the names of the nodes that took part, `into` that of the node that does their work now. Where `into`
    is empty nothing was changed, and `reason` says why.
    """

    pass_name: str
    nodes: tuple[str, ...]
    into: str
    reason: str = ""
