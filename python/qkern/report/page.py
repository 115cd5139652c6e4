"""The report of one quantization as one HTML page: no scripts, styles or pictures from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from .weight_levels import levels_svg

__all__ = ["render_html"]

_LONG = 24  # letters: cells with more keep a width at which they can be read
_MEASURED = (
    "Alone: SQNR of the model's outputs with this layer in int8 and all others in float. Accumulated: SQNR of the "
    "layer's own output with all of them in int8. Both without corrections. Range ratio: widest to narrowest output "
    "channel of the weight. "
)
_SAFE = (
    "Safe: runtimes that saturate on AVX2 compute this layer exactly too; for that its scales are so many times the "
    "smallest, and the noise of its weights so much higher. "
)
_DECADES = 3  # that the chart of a weight's channels reaches down from the widest


def render_html(described: Mapping[str, Any], title: str) -> str:
    """The page of what `describe_quantization` gave."""
    ordered = enumerate(described["layers"], 1)
    # The costliest first; what has no error of its own comes last.
    layers = sorted(ordered, key=lambda each: _or_infinite(each[1].get("alone_db")))
    columns = {
        "name": "layer",
        "alone_db": "alone, dB",
        "accumulated_db": "accumulated, dB",
        "weight_ratio": "range ratio",
        "op_type": "operator",
        "quantized": "int8",
        "reason": "note",
    }
    if described["levels"]:
        columns |= {"weight_format": "weights", "weight_bytes": "their bytes"}
    safe = any(layer["saturation_safe"] is not None for layer in described["layers"])
    if safe:
        columns |= {"saturation_safe": "safe", "scale_factor": "scale factor", "noise_db": "weight noise, dB"}
    left = [layer for layer in described["layers"] if not layer["quantized"]]
    measured = any(layer.get("alone_db") is not None for layer in described["layers"])
    parts = [
        f"<h1>{escape(title)}</h1>",
        _summary(described),
        _list("Notes", described["notes"]),
        _list("Warnings", described["warnings"]),
        _table(
            "Corrections",
            "SQNR of the outputs on samples that it was not fitted to; each starts from what was kept before it.",
            ("tried", "before, dB", "after, dB", "kept", "note"),
            [(c["name"], c["before"], c["after"], c["kept"], c["note"]) for c in described["corrections"]],
        ),
        _table(
            "Stays in float",
            "" if left else "Nothing: every layer runs in int8.",
            ("layer", "operator", "why"),
            [(each["name"], each["op_type"], each["reason"]) for each in left],
        ),
        _table(
            "Layers",
            (_MEASURED if measured else "Errors were not measured: there were no samples. ")
            + (_SAFE if safe else "")
            + "A click on a heading sorts.",
            ("#", *columns.values()),
            [(number, *(layer.get(column) for column in columns)) for number, layer in layers],
        ),
        _table(
            "Equalized tensors",
            "Widest channel over the median one, before and after.",
            ("tensor", "channels", "before", "after"),
            [(e["name"], e["channels"], e["before"], e["after"]) for e in described["equalized"]],
        ),
        _figures(
            "Tensors",
            "Histograms, heights logarithmic; below, the range that each method keeps. "
            f"In use: {escape(described['method'])}.",
            [_tensor(tensor, described["method"]) for tensor in described["tensors"]],
        ),
        _figures(
            "Weights of 4 bits",
            "Histograms of the weights of each layer, divided by the scales of their channels; lines are the levels "
            "that their codes stand for.",
            [_levels(layer) for layer in described["levels"]],
        ),
        _figures(
            "Weights",
            f"The largest |w| of each output channel, from the widest to the narrowest, on {_DECADES} decades: grey in "
            "the float model, blue after equalization.",
            [_weight(weight) for weight in described["weights"]],
        ),
    ]
    before, _, after = _PAGE.partition("BODY")
    return before.replace("TITLE", escape(title)) + "\n".join(parts) + after


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value


def _summary(described: Mapping[str, Any]) -> str:
    rows = [
        ("target", described["target"]),
        ("ranges by", described["method"]),
        ("calibrated on", f"{described['samples']} samples"),
        ("layers", f"{described['int8_layers']} int8, {described['float_layers']} float"),
    ]
    figures = described["comparison"]
    if figures:
        slow, fast = figures["latency_float"], figures["latency_int8"]
        big, small = figures["size_float"], figures["size_int8"]
        same = figures["agreement"]
        rows += [
            ("SQNR", "no error" if figures["sqnr_db"] is None else f"{figures['sqnr_db']:.1f} dB"),
            ("cosine", f"{figures['cosine']:.5f}"),
            ("same top-1", "-" if same is None else f"{100 * same:.2f} % of {figures['samples']} samples"),
            ("latency", f"{1e3 * slow:.3g} ms float, {1e3 * fast:.3g} ms int8: {slow / fast:.2f}x as fast"),
            ("size", f"{big / 1e6:.3g} MB float, {small / 1e6:.3g} MB int8: {big / small:.1f}x smaller"),
            ("measured on", f"the calibration samples; tier {figures['tier']}, {figures['num_threads']} threads"),
        ]
    found = described["budget"]
    if found:
        met = "met" if found["met"] else "NOT met"
        words = f"{found['all_int8']:.4g} with everything in int8, {found['reached']:.4g} reached: {met}"
        rows.append(("demand", words))
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows) + "</dl>"


def _section(title: str, words: str, content: str) -> str:
    text = f"<p>{words}</p>" if words else ""
    return f"<section><h2>{escape(title)}</h2>{text}{content}</section>"


def _list(title: str, lines: Sequence[str]) -> str:
    return (
        _section(title, "", "<ul>" + "".join(f"<li>{escape(each)}</li>" for each in lines) + "</ul>") if lines else ""
    )


def _table(title: str, words: str, heads: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> str:
    if not rows:
        return _section(title, words, "") if words.startswith("Nothing") else ""
    head = "".join(f"<th scope=col><button>{escape(each)}</button></th>" for each in heads)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return _section(
        title, words, f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, (int, float)):
        return f'<td class=n data-v="{value}">{value:.4g}</td>'
    text = "" if value is None else str(value)
    return f"<td{' class=long' if len(text) > _LONG else ''}>{escape(text)}</td>"


def _figures(title: str, words: str, figures: Sequence[str]) -> str:
    return _section(title, words, f"<div class=figures>{''.join(figures)}</div>") if figures else ""


def _tensor(tensor: Mapping[str, Any], used: str) -> str:
    """The histogram, and in a row for each method the range that it keeps; a line goes up from each of its ends."""
    bars = np.log1p(np.asarray(tensor["bars"], np.float64))
    heights = 80 * bars / max(float(bars.max()), 1e-30)
    width = 8 * len(bars)
    span = max(tensor["high"] - tensor["low"], 1e-30)
    rows = len(tensor["ranges"])
    shapes = [
        f'<rect x="{8 * i}" y="{80 - height:.1f}" width="7" height="{height:.1f}"/>'
        for i, height in enumerate(heights)
        if height
    ]
    names, numbers = [], []
    for row, (method, (low, high)) in enumerate(tensor["ranges"].items()):
        kind = f"m{row}" + (" used" if method == used else "")
        ends = [min(max(width * (end - tensor["low"]) / span, 0), width) for end in (low, high)]
        middle = 80 + 16 * row + 8
        for x in ends:
            shapes.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{middle}"/>')
        shapes.append(
            f'<rect class="{kind}" x="{ends[0]:.1f}" y="{middle - 3}" width="{ends[1] - ends[0]:.1f}" height="6"/>'
        )
        names.append(f'<div class="{kind}">{escape(method)}</div>')
        numbers.append(f'<div class="{kind}">{low:.3g} to {high:.3g}</div>')
    return (
        f"<figure><figcaption>{escape(tensor['name'])}</figcaption><div class=ranges><div>{''.join(names)}</div>"
        f'<svg viewBox="0 0 {width} {80 + 16 * rows}" preserveAspectRatio="none" style="height:{5 + rows}rem">'
        f"{''.join(shapes)}</svg><div>{''.join(numbers)}</div></div></figure>"
    )


def _levels(layer: Mapping[str, Any]) -> str:
    words = f"{len(layer['levels'])} levels" + ("" if layer["channel"] is None else f" of channel {layer['channel']}")
    picture = levels_svg(layer["bars"], layer["levels"], layer["low"], layer["high"], f"levels of {layer['name']}")
    return f"<figure><figcaption>{escape(layer['name'])}</figcaption>{picture}<p>{words}</p></figure>"


def _weight(weight: Mapping[str, Any]) -> str:
    """Channels by their range before; each is a step."""
    before, after = (np.asarray(weight[key], np.float64) for key in ("before", "after"))
    order = np.argsort(-before, kind="stable")
    changed = bool((before != after).any())
    lines = [_steps(after[order], "after")] if changed else []
    words = f"{before.size} channels, widest to narrowest {_ratio(before)}"
    if changed:
        words += f", {_ratio(after)} after equalization"
    return (
        f"<figure><figcaption>{escape(weight['name'])}</figcaption>"
        '<svg viewBox="0 0 512 80" preserveAspectRatio="none" style="height:5rem">'
        f"{_steps(before[order], 'before')}{''.join(lines)}</svg><p>{words}</p></figure>"
    )


def _steps(reach: np.ndarray[Any, np.dtype[np.float64]], kind: str) -> str:
    """A line of one step per channel, at its share of the widest."""
    share = reach / max(float(reach.max()), 1e-300)
    heights = 78 * np.clip(-np.log10(np.maximum(share, 1e-300)) / _DECADES, 0, 1) + 1
    ends = 512 * np.arange(reach.size + 1) / reach.size
    corners = (f"{x:.1f},{y:.1f}" for i, y in enumerate(heights) for x in (ends[i], ends[i + 1]))
    return f'<polyline class="{kind}" points="{" ".join(corners)}"/>'


def _ratio(reach: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    return f"{reach.max() / reach[reach > 0].min():.3g}" if (reach > 0).any() else "-"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>TITLE</title><style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 76rem; color: #1c2430;
  background: #fff }
h1 { font-size: 1.4rem; overflow-wrap: anywhere } h2 { font-size: 1.1rem; margin: 2rem 0 .3rem }
section > p { margin: 0 0 .6rem; max-width: 48rem; color: #56616f; font-size: .85rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: 0 } dt { color: #56616f }
dd { margin: 0 }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .85rem }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #dde2e8; vertical-align: top }
td { max-width: 22rem; overflow-wrap: break-word } td.long { min-width: 13rem }
.n { text-align: right; font-variant-numeric: tabular-nums }
th button { all: unset; cursor: pointer; white-space: nowrap; font-weight: 600 }
th button:focus-visible { outline: auto }
th[aria-sort=ascending] button::after { content: " \\25B2" }
th[aria-sort=descending] button::after { content: " \\25BC" }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 32rem), 1fr)); gap: 1.2rem 2rem }
figure { margin: 0; min-width: 0 } figcaption { font-size: .85rem; overflow-wrap: anywhere }
figure p { margin: 0; font-size: .75rem; color: #56616f }
svg { display: block; width: 100%; fill: #a9b8c8; background: #f5f7f9 }
.ranges { display: grid; grid-template-columns: 62px minmax(0, 1fr) 118px; gap: 0 8px }
.ranges { font-size: 12px }
.ranges > div { padding-top: 5rem } .ranges > div > div { height: 1rem; line-height: 1rem; white-space: nowrap;
  color: var(--m) }
line { stroke: var(--m); stroke-width: 1; stroke-opacity: .35; vector-effect: non-scaling-stroke }
rect[class] { fill: var(--m) } line.used { stroke-width: 2; stroke-opacity: 1 } div.used { font-weight: 700 }
polyline { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; stroke: #8593a3 }
polyline.after { stroke: #1857b8 }
.m0 { --m: #1c2430 } .m1 { --m: #b3261e } .m2 { --m: #1a6b2f } .m3 { --m: #1857b8 } .m4 { --m: #8a5a00 }
.m5 { --m: #7a2aa8 }
</style></head><body>
BODY
<script>
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.querySelectorAll("thead th")];
  heads.forEach((head, column) => {
    const key = row => {
      const cell = row.cells[column];
      return cell.dataset.v === undefined ? cell.textContent : +cell.dataset.v;
    };
    head.querySelector("button").onclick = () => {
      const sign = head.ariaSort === "ascending" ? -1 : 1;
      heads.forEach(each => each.removeAttribute("aria-sort"));
      head.ariaSort = sign > 0 ? "ascending" : "descending";
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const x = key(a), y = key(b);
        if ((x === "") !== (y === "")) return x === "" ? 1 : -1;  // blanks last, whatever the direction
        return (x < y ? -1 : x > y ? 1 : 0) * sign;
      });
      table.tBodies[0].append(...rows);
    };
  });
}
</script></body></html>
"""
