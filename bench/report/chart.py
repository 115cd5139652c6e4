"""A run as a chart: for each shape, how fast everyone is beside the fastest FP32 (elementwise: the fastest peer)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
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
ROW_HEIGHT, HEAD, WIDTH = 0.27, 1.5, 0.15
SLOWEST = 1 / 16  # what is slower is drawn here
RATIOS: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "annotation_clip": False}


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
    # Two columns; the heights of a line of panels are those of its longest.
    lines = [panels[at : at + 2] for at in range(0, len(panels), 2)]
    heights = [HEAD + ROW_HEIGHT * max(len(found) for _, found in line) for line in lines]
    settings = {"svg.hashsalt": "qkern", "svg.fonttype": "none", "font.family": ["DejaVu Sans", "sans-serif"]}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(7.0 * min(2, len(panels)), sum(heights) + 1.0), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.15, h_pad=0.15)
        grid = figure.add_gridspec(len(lines), min(2, len(panels)), height_ratios=heights)
        for line, of_line in enumerate(lines):
            for column, (op, found) in enumerate(of_line):
                panel(figure.add_subplot(grid[line, column]), op, found)
        machine = document["machine"]
        count = f"{threads} thread{'s' if threads > 1 else ''}"
        figure.suptitle(
            f"Speed on {machine['cpu']}, tier {panels[0][1][0].tier}, {count}; to the right is faster",
            fontsize=13,
            fontweight="bold",
        )
        marks = legend(panels, Line2D)
        if len(panels) % 2 and len(panels) > 1:  # in the empty place
            beside = figure.add_subplot(grid[-1, 1])
            beside.axis("off")
            beside.legend(handles=marks, loc="center", frameon=False, fontsize=11, labelspacing=0.9)
        else:
            figure.legend(handles=marks, loc="outside lower center", ncols=4, frameon=False, fontsize=10)
        for path in paths:
            figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def panel(axis: Any, op: str, found: Sequence[Summary]) -> None:
    """A line per shape, a mark per contestant, and the ratios in figures."""
    seen: list[float] = [1.0]
    labels = []
    for line, each in enumerate(found):
        base = base_of(each)
        labels.append(f"{each.group}, {each.shape}" if op == "elementwise" else each.shape)
        if base is None or each.ours is None:
            continue
        ours = base.seconds / each.ours.seconds
        axis.plot([1, ours], [line, line], color=FADED, linewidth=3, zorder=1, solid_capstyle="round")
        for row in each.rows:
            if row.library != OURS and row.task in (each.ours.task, "fp32") and row.library != "numpy int32":
                speed = base.seconds / row.seconds
                seen.append(speed)
                axis.scatter(max(speed, SLOWEST), line, **mark(row), zorder=2)
        seen.append(ours)
        axis.scatter(ours, line, s=62, color=COLORS[OURS], zorder=3)
        for column, row in enumerate(compared(each).values()):
            text = f"{row.seconds / each.ours.seconds:.2f}" if row else "-"
            axis.annotate(text, (1.075 + WIDTH * column, line), **RATIOS, va="center", ha="center", fontsize=9.5)
    low, high = floor(log2(max(min(seen), SLOWEST))), ceil(log2(max(seen)))
    axis.set_xscale("log", base=2)
    axis.set_xlim(2.0 ** (low - 0.15), 2.0 ** (high + 0.15))
    ticks = [2.0**power for power in range(low, high + 1)]
    axis.set_xticks(ticks, [f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}" for tick in ticks])
    axis.axvline(1, color="#525252", linewidth=1, zorder=0)
    axis.set_yticks(range(len(found)), labels, fontsize=9.5)
    axis.set_ylim(len(found) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="#e5e5e5", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    for column, name in enumerate(compared(found[0])):
        place = (1.075 + WIDTH * column, -0.65)
        axis.annotate(
            f"{TIMES} " + name.replace(" ", "\n"),
            place,
            **RATIOS,
            va="bottom",
            ha="center",
            fontsize=8.5,
            color="#525252",
        )
    axis.set_title(f"{TITLES[op]}\n", loc="left", fontsize=11.5, fontweight="bold", pad=24)
    axis.annotate(
        means_of(found), (0, 1), xycoords="axes fraction", xytext=(0, 26), textcoords="offset points", fontsize=9.5
    )
    axis.set_xlabel(AGAINST[op], fontsize=9.5)
    for line, (above, below) in enumerate(pairwise(found)):
        if kind_of(above) != kind_of(below):
            axis.axhline(line + 0.5, color="#a3a3a3", linewidth=0.6, linestyle=(0, (4, 3)))


def kind_of(each: Summary) -> str:
    """What a dashed line separates."""
    return each.group.split()[0]


def base_of(each: Summary) -> Row | None:
    """What has speed 1."""
    if each.op != "elementwise":
        return each.fp32
    return each.peer(each.group.split()[0])


def compared(each: Summary) -> dict[str, Row | None]:
    """With whom ours is compared in figures."""
    task = each.ours.task if each.ours else ""
    if each.op == "elementwise":
        return {"peer": each.peer(task)}
    return {"FP32": each.fp32, "peer": each.peer(task), "right peer": each.peer(task, sound=True)}


def means_of(found: Sequence[Summary]) -> str:
    """Geometric means of the figures."""
    parts = []
    for name in compared(found[0]):
        ratios = [row.seconds / each.ours.seconds for each in found if each.ours and (row := compared(each)[name])]
        if mean := geometric_mean(ratios):
            parts.append(f"{mean:.2f}{TIMES} {name}")
    return f"geometric means: {', '.join(parts)}" if parts else ""


def mark(row: Row) -> dict[str, Any]:
    """Float hollow, wrong results a cross."""
    color = COLORS[row.library]
    if row.task == "fp32":
        return {"s": 26, "facecolors": "white", "edgecolors": color, "linewidths": 1.2}
    if not row.sound:
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
    if any(not row.sound for row in rows if row.task != "fp32"):
        kinds.append(line([], [], marker="x", linestyle="", color="#525252", markersize=7, label="int8, results wrong"))
    return dots + kinds


assert set(MAIN) == set(TITLES)
