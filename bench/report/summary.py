"""Of every shape the rows that are compared: ours on the best tier, the fastest peer, the fastest FP32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import exp, log
from typing import Any

from ..contest import OURS, Row, one_thread

__all__ = ["Summary", "geometric_mean", "rows_of", "summaries"]

# The variant that stands for an operator where there is room for one.
MAIN = {"gemm": "u8s8 packed", "conv": "fused", "elementwise": ""}


@dataclass(frozen=True)
class Summary:
    """One shape on one number of threads; all its rows are comparable, being of one run."""

    op: str
    group: str
    shape: str
    threads: int
    rows: tuple[Row, ...]
    tier: str

    @property
    def ours(self) -> Row | None:
        return self.of(MAIN[self.op])

    @property
    def on_one_thread(self) -> Row | None:
        """The same as `ours`, on one thread: there where the case has several."""
        return self.of(one_thread(MAIN[self.op]))

    def of(self, variant: str, tier: str = "") -> Row | None:
        """Ours in this variant, on the best tier unless another is named."""
        matching = [
            row
            for row in self.rows
            if row.library == OURS and row.variant == variant and row.tier == (tier or self.tier)
        ]
        return matching[0] if matching else None

    def peer(self, task: str, *, sound: bool = False) -> Row | None:
        """The fastest other library at a task; with `sound`, of those whose results are right."""
        others = (row for row in self.rows if row.task == task and row.library not in (OURS, "numpy int32"))
        return fastest(row for row in others if row.sound or not sound)

    @property
    def fp32(self) -> Row | None:
        return fastest(row for row in self.rows if row.task == "fp32")


def fastest(rows: Iterable[Row]) -> Row | None:
    return min(rows, key=lambda row: row.seconds, default=None)


def rows_of(document: Mapping[str, Any]) -> list[Row]:
    """The rows of a run's JSON."""
    return [Row(**row) for row in document["rows"]]


def summaries(document: Mapping[str, Any], threads: int, op: str) -> list[Summary]:
    """In the order of the run; the best tier is the first that takes part."""
    rows = [row for row in rows_of(document) if row.threads == threads and row.op == op]
    tiers = [row.tier for row in rows if row.library == OURS]
    order = [tier for tier in document["machine"]["tiers"] if tier in tiers]
    best = order[0] if order else ""
    return [
        Summary(op, group, shape, threads, tuple(found), best)
        for (group, shape), found in groupby(rows, key=lambda row: (row.group, row.shape))
    ]


def geometric_mean(ratios: Sequence[float]) -> float | None:
    return exp(sum(map(log, ratios)) / len(ratios)) if ratios else None
