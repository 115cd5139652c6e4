"""The steps of a program, timed, each beside its bound; as text and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from .limits import Limits
from .measured import Array, Measured
from .roofline import Roofline
from .step_profile import StepProfile, profiled
from .summary import summary_of

__all__ = ["COLUMNS", "NUMBERS", "Profile"]

COLUMNS = ("", "step", "operator", "kernel", "shapes", "MACs", "bytes", "time", "%", "GOPS", "of bound", "why")
NUMBERS = (0, 5, 6, 7, 8, 9, 10)  # columns of numbers
_BUSY = 1.25  # times the sum of the medians: other processes had the processor meanwhile
_LONGEST = 32  # characters of a name in a table
_SHORT_TYPES = {"float": "f", "uint": "u", "int": "i"}


class Profile:
    """What `Session.profile` gives; printed, it is a table and what it says in words.

    `steps`: a `StepProfile` each, in the order in which they run; `overhead`: seconds of a run that pass between the
    steps, the median of the runs; `total`: these and the seconds of all steps. `elapsed`: median of whole runs by the
    clock, which is longer where other processes interrupt most of them. `runs`: how many were measured; `limits`: what
    the processor can do at best; `threads` that the kernels used.
    """

    def __init__(
        self, measured: Sequence[Measured], *, overhead: float, elapsed: float, runs: int, limits: Limits
    ) -> None:
        roofline = Roofline(measured, limits)
        self.steps = tuple(profiled(number, step, roofline) for number, step in enumerate(measured))
        self.overhead = overhead
        self.total = overhead + sum(step.seconds for step in measured)
        self.elapsed = elapsed
        self.runs = runs
        self.limits = limits
        self.threads = limits.threads
        self.packed_bytes = sum(step.layer.nbytes for step in measured if step.layer is not None)

    @property
    def summary(self) -> str:
        """Where the time goes and what would help, in words."""
        return summary_of(self.steps, self.total, self.overhead, self.limits)

    def ordered(self, sort: str = "order") -> tuple[StepProfile, ...]:
        """The steps in the `order` in which they run, or by `time`, the longest first. ValueError for another word."""
        if sort not in ("order", "time"):
            raise ValueError(f"sort: {sort!r} is not 'order' or 'time'")
        return self.steps if sort == "order" else tuple(sorted(self.steps, key=lambda step: -step.seconds))

    def rows(self, sort: str = "order") -> list[tuple[str, ...]]:
        """The cells of a table of `COLUMNS`."""
        return [_cells(step, self.total) for step in self.ordered(sort)]

    @property
    def totals(self) -> str:
        """Total and overhead in one line."""
        share = f" ({100 * self.overhead / self.total:.0f} %)" if self.total else ""
        busy = f"; interrupted by other processes, {_time(self.elapsed)}" if self.elapsed > _BUSY * self.total else ""
        threads = f"{self.threads} thread{'s' if self.threads != 1 else ''}"
        return (
            f"{_time(self.total)} a run, of which {_time(self.overhead)}{share} between the steps; "
            f"medians of {self.runs} runs on {threads}; weights packed to {_count(self.packed_bytes)}B{busy}"
        )

    def as_dict(self, sort: str = "order") -> dict[str, Any]:
        """For JSON; seconds, bytes, GOPS and GB/s."""
        return {
            "total": self.total,
            "overhead": self.overhead,
            "elapsed": self.elapsed,
            "runs": self.runs,
            "threads": self.threads,
            "packed_bytes": self.packed_bytes,
            "limits": self.limits.as_dict(),
            "steps": [step.as_dict() for step in self.ordered(sort)],
            "summary": self.summary,
        }

    def to_json(self) -> str:
        """All of it as JSON; the fields are those of `StepProfile`."""
        return json.dumps(self.as_dict(), indent=2)

    def __repr__(self) -> str:
        rows = [COLUMNS, *self.rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
        lines = ("  ".join(map(_aligned, row, widths, range(len(row)))).rstrip() for row in rows)
        return "\n".join([*lines, "", self.totals, str(self.limits), self.summary])


# --- cells ---------------------------------------------------------------------


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column in NUMBERS else cell.ljust(width)


def _cells(step: StepProfile, total: float) -> tuple[str, ...]:
    reads, writes = (", ".join(map(_shape, arrays)) for arrays in (step.inputs, step.outputs))
    return (
        str(step.number),
        _shortened(step.name),
        _shortened(step.op_type),
        step.kernel,
        f"{reads} -> {writes}",
        _count(step.macs).strip() if step.macs else "",
        f"{_count(step.nbytes)}B",
        _time(step.seconds),
        f"{100 * step.seconds / total:.1f}" if total else "",
        "" if step.gops is None else f"{step.gops:.3g}",
        "" if step.percent is None else f"{step.percent:.0f} % {step.bound}",
        "; ".join(part for part in (step.reason, step.slow) if part),
    )


def _shape(array: Array) -> str:
    dtype = re.sub(r"^(float|uint|int)(?=\d)", lambda found: _SHORT_TYPES[found[1]], array.dtype)
    return f"{dtype}[{','.join(map(str, array.shape))}]"


def _shortened(name: str) -> str:
    """Of a long name both ends, which is where names of exporters differ."""
    half = _LONGEST // 2
    return name if len(name) <= _LONGEST else f"{name[: half - 1]}..{name[1 - half :]}"


def _count(number: int) -> str:
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= 0.9995 * factor:
            return f"{number / factor:.3g} {unit}" if number < 999.5 * factor else f"{number / factor:.0f} {unit}"
    return f"{number} "


def _time(seconds: float) -> str:
    if seconds >= 0.9995e-3:
        return f"{1e3 * seconds:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"
    return f"{1e6 * seconds:.3g} us"
