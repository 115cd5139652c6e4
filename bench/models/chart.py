"""A run of whole models as a chart: a panel per model, a bar per contestant, one sample on one thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .contestants import DEFAULT, OURS
from .table import Entry, Setting, settings

__all__ = ["draw", "shown", "why_missing"]

COLORS = {OURS: "#c2410c", "onnxruntime": "#1d4ed8", "openvino": "#0f766e"}
PLAIN = ("", "auto", "default")  # options that a user needn't choose
TIMES = "\N{MULTIPLICATION SIGN}"
ROW_HEIGHT, HEAD = 0.36, 1.9


def why_missing() -> str:
    return "" if find_spec("matplotlib") else "matplotlib is not installed"


def draw(document: Mapping[str, Any], paths: Iterable[Path]) -> None:
    """Writes the chart of the first batch and number of threads; a file's ending is its format."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    firsts: dict[str, Setting] = {}
    for each in settings(document):
        firsts.setdefault(each.model["name"], each)
    panels = list(firsts.values())
    names = list(dict.fromkeys(entry.name for each in panels for entry in shown(each)))
    style = {"svg.hashsalt": "qkern", "svg.fonttype": "none", "font.family": ["DejaVu Sans", "sans-serif"]}
    with mpl.rc_context(style):
        figure = Figure(figsize=(2.6 + 3.7 * len(panels), HEAD + ROW_HEIGHT * len(names)), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.08, h_pad=0.1)
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, each in zip(axes, panels, strict=True):
            panel(axis, each, names)
        count = f"batch {panels[0].batch}, {panels[0].threads} thread{'s' if panels[0].threads > 1 else ''}"
        title = f"Whole models, {count}: speed over the fastest FP32, and SQNR\n{document['machine']['cpu']}"
        figure.suptitle(title, fontsize=11.5, fontweight="bold")
        libraries = [name for name in COLORS if any(e.time["library"] == name for p in panels for e in shown(p))]
        marks = [Patch(facecolor=COLORS[name], label=f"{name} int8") for name in libraries]
        marks.append(Patch(facecolor="white", edgecolor="#525252", label="FP32"))
        if any(entry.wrong for each in panels for entry in shown(each)):
            marks.append(Patch(facecolor="white", edgecolor="#525252", hatch="////", label="int8, results wrong"))
        figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), frameon=False, fontsize=9.5)
        for path in paths:
            figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def shown(each: Setting) -> list[Entry]:
    """What users get by default, and the peer's quantizer at its best; the rest is in the tables."""
    return [
        entry
        for entry in each.entries
        if entry.time["option"] in PLAIN
        and (entry.ours or entry.time["file"] != DEFAULT)
        and not (entry.ours and entry.int8 and entry.time["file"] != DEFAULT)
    ]


def panel(axis: Any, each: Setting, names: Sequence[str]) -> None:
    """A bar's length is the speed, the text at its end says it, and how near the outputs are to the float ones."""
    longest = 1.0
    for entry in shown(each):
        speed = each.fp32.seconds / entry.seconds
        longest = max(longest, speed)
        axis.barh(names.index(entry.name), speed, **look(entry))
        text = f"{speed:.2f}{TIMES}"
        if entry.int8:
            text += f"  {entry.accuracy['sqnr_db']:.1f} dB" + (" wrong" if entry.wrong else "")
        axis.annotate(
            text,
            (speed, names.index(entry.name)),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},  # over the line of speed 1
            fontweight="bold" if entry.ours and entry.int8 else "normal",
        )
    axis.set_xlim(0, 1.55 * longest)
    axis.axvline(1, color="#525252", linewidth=1, zorder=0)
    axis.set_yticks(range(len(names)), names, fontsize=9.5)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=8.5)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.set_title(each.model["name"], loc="left", fontsize=10.5, fontweight="bold")


def look(entry: Entry) -> dict[str, Any]:
    """Float hollow, wrong results hatched."""
    color = COLORS[entry.time["library"]]
    if not entry.int8:
        return {"facecolor": "white", "edgecolor": color, "linewidth": 1.3, "height": 0.66}
    if entry.wrong:
        return {"facecolor": "white", "edgecolor": color, "hatch": "////", "height": 0.66}
    return {"facecolor": color, "height": 0.7}
