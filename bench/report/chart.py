"""A run as a chart: for each shape, how fast everyone is beside the fastest FP32 (elementwise: the fastest peer)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from math import ceil, floor, log2
from pathlib import Path
from typing import Any

from ..contest import OURS, Row
from .summary import MAIN, Summary, geometric_mean, summaries

__all__ = ["draw", "why_missing"]

TITLES = {"gemm": "Matrix product, 8 bit to int32", "conv": "Convolution, uint8 to uint8", "elementwise": "Elementwise"}
AGAINST = {"gemm": "the fastest FP32 = 1", "conv": "the fastest FP32 = 1", "elementwise": "the fastest peer = 1"}
COLORS = {OURS: "#c2410c", "onnxruntime": "#1d4ed8", "torch": "#0f766e", "numkong": "#7e22ce", "numpy": "#525252"}
TIMES = "\N{MULTIPLICATION SIGN}"
FADED = "#d4d4d4"
ROW_HEIGHT, HEAD = 0.27, 1.5


def why_missing() -> str:
    return "" if find_spec("matplotlib") else "matplotlib is not installed"


def draw(document: Mapping[str, Any], paths: Iterable[Path]) -> None:
    """Writes the chart of the run's first number of threads; a file's ending is its format."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    threads = document["threads"][0]
    panels = [(op, found) for op in TITLES if (found := summaries(document, threads, op))]
    if not panels:
        return
    rows = max(len(found) for _, found in panels)
    # Same names in every file, so that a new run of the same figures gives the same bytes.
    settings = {"svg.hashsalt": "qkern", "svg.fonttype": "none", "font.family": ["DejaVu Sans", "sans-serif"]}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(6.3 * len(panels), HEAD + ROW_HEIGHT * rows), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, (op, found) in zip(axes, panels, strict=True):
            panel(axis, op, found)
        machine = document["machine"]
        count = f"{threads} thread{'s' if threads > 1 else ''}"
        figure.suptitle(
            f"Speed on {machine['cpu']}, tier {panels[0][1][0].tier}, {count}; to the right is faster",
            fontsize=12,
            fontweight="bold",
        )
        figure.legend(handles=legend(panels, Line2D), loc="outside lower center", ncols=7, frameon=False, fontsize=10)
        for path in paths:
            figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def panel(axis: Any, op: str, found: Sequence[Summary]) -> None:
    """A line per shape, a mark per contestant, and what the two ratios are."""
    seen: list[float] = [1.0]
    labels = []
    for line, each in enumerate(found):
        base = base_of(each)
        labels.append(f"{each.group.replace(' per ', ', per ')}, {each.shape}" if op == "elementwise" else each.shape)
        if base is None or each.ours is None:
            continue
        ours = base.seconds / each.ours.seconds
        axis.plot([1, ours], [line, line], color=FADED, linewidth=3, zorder=1, solid_capstyle="round")
        for row in each.rows:
            if row.library != OURS and row.task in (each.ours.task, "fp32") and row.library != "numpy int32":
                speed = base.seconds / row.seconds
                seen.append(speed)
                axis.scatter(speed, line, **mark(row), zorder=2)
        seen.append(ours)
        axis.scatter(ours, line, s=62, color=COLORS[OURS], zorder=3)
        axis.annotate(note(each), (1.01, line), xycoords=("axes fraction", "data"), va="center", fontsize=9.5)
    low, high = floor(log2(max(min(seen), 1 / 16))), ceil(log2(max(seen)))
    axis.set_xscale("log", base=2)
    axis.set_xlim(2.0 ** (low - 0.1), 2.0 ** (high + 0.1))
    ticks = [2.0**power for power in range(low, high + 1)]
    axis.set_xticks(ticks, [f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}" for tick in ticks])
    axis.axvline(1, color="#525252", linewidth=1, zorder=0)
    axis.set_yticks(range(len(found)), labels, fontsize=9.5)
    axis.set_ylim(len(found) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="#e5e5e5", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    heads = f"{TIMES} peer" if op == "elementwise" else f"{TIMES} FP32  {TIMES} peer"
    axis.annotate(heads, (1.01, -0.75), xycoords=("axes fraction", "data"), va="bottom", fontsize=9.5, color="#525252")
    axis.set_title(f"{TITLES[op]}{mean_of(op, found)}", loc="left", fontsize=11, pad=16)
    axis.set_xlabel(AGAINST[op], fontsize=9.5)
    for first, each in zip(found[1:], found, strict=False):
        if first.group != each.group:
            axis.axhline(found.index(first) - 0.5, color="#a3a3a3", linewidth=0.6, linestyle=(0, (4, 3)))


def base_of(each: Summary) -> Row | None:
    """What has speed 1."""
    if each.op != "elementwise":
        return each.fp32
    return each.peer(each.group.split()[0])


def peer_of(each: Summary) -> Row | None:
    return each.peer(each.ours.task) if each.ours else None


def note(each: Summary) -> str:
    """The ratios to the right of a line."""
    ratios = [] if each.op == "elementwise" else [each.fp32]
    assert each.ours is not None
    cells = [f"{row.seconds / each.ours.seconds:.2f}" if row else "-" for row in (*ratios, peer_of(each))]
    return "      ".join(f"{cell:>5}" for cell in cells)


def mean_of(op: str, found: Sequence[Summary]) -> str:
    """Geometric means, for the panel's title."""
    ours = [each for each in found if each.ours]
    over_peer = geometric_mean([p.seconds / each.ours.seconds for each in ours if each.ours and (p := peer_of(each))])
    over_fp32 = geometric_mean([f.seconds / each.ours.seconds for each in ours if each.ours and (f := each.fp32)])
    parts = [f"{over_fp32:.2f}{TIMES} FP32"] if over_fp32 else []
    parts += [f"{over_peer:.2f}{TIMES} the fastest peer"] if over_peer else []
    return f": {', '.join(parts)} (geometric means)" if parts else ""


def mark(row: Row) -> dict[str, Any]:
    """Float hollow, wrong results a cross."""
    color = COLORS[row.library]
    if row.task == "fp32":
        return {"s": 26, "facecolors": "white", "edgecolors": color, "linewidths": 1.2}
    if not row.exact and (row.largest_error or 0) > 1:
        return {"s": 30, "marker": "x", "color": color, "linewidths": 1.6}
    return {"s": 26, "color": color}


def legend(panels: Sequence[tuple[str, Sequence[Summary]]], line: Any) -> list[Any]:
    """Only what is on the chart."""
    rows = [row for _, found in panels for each in found for row in each.rows]
    libraries = [name for name in COLORS if any(row.library == name for row in rows)]
    dots = [
        line([], [], marker="o", linestyle="", color=COLORS[name], markersize=9 if name == OURS else 6, label=name)
        for name in libraries
    ]
    kinds = [
        line([], [], marker="o", linestyle="", markerfacecolor="white", color="#525252", markersize=6, label="FP32")
    ]
    if any(not row.exact and (row.largest_error or 0) > 1 for row in rows if row.task != "fp32"):
        kinds.append(line([], [], marker="x", linestyle="", color="#525252", markersize=7, label="results wrong"))
    return dots + kinds


assert set(MAIN) == set(TITLES)
