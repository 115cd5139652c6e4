"""Tables on a terminal (they need rich, so only what prints imports them)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from .compare import Comparison

__all__ = ["comparison_table", "pairs", "percent", "size", "table", "time_of"]


def table(title: str | None, columns: Iterable[str], rows: Iterable[Iterable[str]], *, right: int = 0) -> Table:
    """A table; the last `right` columns are numbers."""
    names = list(columns)
    result = Table(title=_plain(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(names):
        result.add_column(name, justify="right" if index >= len(names) - right else "left", overflow="fold")
    for row in rows:
        result.add_row(*map(Text, row))
    return result


def pairs(title: str | None, rows: Iterable[tuple[str, str]]) -> Table:
    """Names and values."""
    result = Table(
        title=_plain(title), title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False
    )
    result.add_column(style="bold")
    result.add_column(overflow="fold")
    for row in rows:
        result.add_row(*map(Text, row))
    return result


def comparison_table(comparison: Comparison, more: Iterable[tuple[str, str, str, str]] = ()) -> Table:
    """Both models in columns, and what lies between them; `more` are further rows."""
    c = comparison
    rows = []
    if c.top1_float is not None and c.top1_int8 is not None:
        rows.append(
            ("top-1", percent(c.top1_float), percent(c.top1_int8), f"{100 * (c.top1_int8 - c.top1_float):+.2f} points")
        )
    if c.agreement is not None:
        rows.append(("same top-1", "", percent(c.agreement), ""))
    rows += [
        ("SQNR of the outputs", "", f"{c.sqnr_db:.1f} dB", f"cosine {c.cosine:.5f}"),
        ("size", size(c.size_float), size(c.size_int8), f"{c.size_float / c.size_int8:.1f}x smaller"),
        ("latency, one sample", time_of(c.latency_float), time_of(c.latency_int8), f"{c.speedup:.2f}x as fast"),
        *more,
    ]
    return table(None, ("", "FP32", "int8", ""), rows, right=3)


def percent(share: float) -> str:
    """0.9234 -> 92.34 %"""
    return f"{100 * share:.2f} %"


def size(count: int) -> str:
    """Bytes with a unit."""
    for unit, factor in (("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}" if count < 999.5 * factor else f"{count / factor:.0f} {unit}"
    return f"{count} B"


def time_of(seconds: float) -> str:
    """Seconds with a unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def _plain(title: str | None) -> Text | None:
    return None if title is None else Text(title)  # a string would be read as markup
