"""The report of one quantization as data (JSON) and as one self-contained HTML page."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ..calibration import METHODS, HistogramObserver

if TYPE_CHECKING:
    from ..calibration import CalibrationTable
    from ..conversion import ConversionReport
    from ..scheme import Scheme
    from .analysis import Analysis
    from .compare import Comparison

__all__ = ["describe_quantization", "render_html"]

_BARS = 64
_NOT_OF_A_HISTOGRAM = "moving_average_minmax"


def describe_quantization(
    report: ConversionReport,
    table: CalibrationTable,
    scheme: Scheme,
    *,
    method: str,
    equalized: Any = (),
    analysis: Analysis | None = None,
    comparison: Comparison | None = None,
) -> dict[str, Any]:
    """Everything the page shows, fit for JSON (what is not finite is None). `scheme` is that of the activations."""
    layers = [dataclasses.asdict(layer) for layer in report.layers]
    if analysis is not None:
        errors = {layer.name: dataclasses.asdict(layer) for layer in analysis.layers}
        for layer in layers:
            layer.update(errors.get(layer["name"], {}))
    described = {
        "target": report.target,
        "method": method,
        "samples": table.samples,
        "int8_layers": len(report.quantized),
        "float_layers": len(report.left_float),
        "corrections": [dataclasses.asdict(each) for each in report.corrections],
        "equalized": [dataclasses.asdict(each) for each in equalized],
        "comparison": None if comparison is None else comparison.as_dict(),
        "layers": layers,
        "tensors": [
            _tensor(name, observer, scheme)
            for name, observer in table.items()
            if isinstance(observer, HistogramObserver) and observer.count
        ],
    }
    plain: dict[str, Any] = _finite(described)
    return plain


def _tensor(name: str, histogram: HistogramObserver, scheme: Scheme) -> dict[str, Any]:
    edges, counts = histogram.edges, histogram.counts
    used = np.flatnonzero(counts)
    low, high = float(edges[used[0]]), float(edges[used[-1] + 1])
    width = max(high - low, 1e-30)
    middles = np.clip(((edges[:-1] + edges[1:]) / 2 - low) / width * _BARS, 0, _BARS - 1).astype(int)
    bars = np.bincount(middles, weights=counts, minlength=_BARS)
    ranges = {method: histogram.range(scheme, method) for method in METHODS if method != _NOT_OF_A_HISTOGRAM}
    return {"name": name, "low": low, "high": high, "bars": bars.astype(int).tolist(), "ranges": ranges}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def render_html(described: Mapping[str, Any], title: str) -> str:
    """The page: no scripts, styles or pictures from elsewhere. `described` is of `describe_quantization`."""
    left = [layer for layer in described["layers"] if not layer["quantized"]]
    summary = [
        ("target", described["target"]),
        ("ranges by", described["method"]),
        ("calibrated on", f"{described['samples']} samples"),
        ("layers", f"{described['int8_layers']} int8, {described['float_layers']} float"),
    ]
    figures = described["comparison"]
    if figures:
        summary += [
            ("SQNR", f"{_number(figures['sqnr_db'])} dB"),
            ("same top-1", "-" if figures["agreement"] is None else f"{100 * figures['agreement']:.2f} %"),
            ("latency", f"{1e3 * figures['latency_float']:.3g} ms float, {1e3 * figures['latency_int8']:.3g} ms int8"),
            ("size", f"{figures['size_float'] / 1e6:.3g} MB float, {figures['size_int8'] / 1e6:.3g} MB int8"),
        ]
    columns = ("name", "op_type", "quantized", "alone_db", "accumulated_db", "weight_ratio", "reason")
    heads = ("layer", "operator", "int8", "alone, dB", "accumulated, dB", "range ratio", "note")
    parts = [
        f"<h1>{escape(title)}</h1>",
        _table("summary", ("", ""), summary),
        _table(
            "corrections",
            ("tried", "SQNR before, dB", "after, dB", "kept", "note"),
            [(c["name"], c["before"], c["after"], c["kept"], c["note"]) for c in described["corrections"]],
        ),
        _table("stays in float", ("layer", "operator", "why"), [(x["name"], x["op_type"], x["reason"]) for x in left]),
        _table("layers", heads, [tuple(layer.get(column) for column in columns) for layer in described["layers"]]),
        _table(
            "channel ranges, widest to median, before and after equalization",
            ("tensor", "channels", "before", "after"),
            [(e["name"], e["channels"], e["before"], e["after"]) for e in described["equalized"]],
        ),
        "<h2>tensors</h2>",
        *(_figure(tensor) for tensor in described["tensors"]),
    ]
    return _PAGE.replace("TITLE", escape(title)).replace("BODY", "\n".join(parts))


def _table(title: str, heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join(f"<tr>{''.join(_cell(each) for each in row)}</tr>" for row in rows)
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<h2>{escape(title)}</h2><div class=wide>{whole}</div>"


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, (int, float)):
        return f'<td class=n data-v="{value}">{_number(value)}</td>'
    return f"<td>{'' if value is None else escape(str(value))}</td>"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4g}"


def _figure(tensor: Mapping[str, Any]) -> str:
    """The histogram, its bars on a logarithmic scale, with both ends of every method's range."""
    bars = np.log1p(np.asarray(tensor["bars"], np.float64))
    heights = 80 * bars / max(float(bars.max()), 1e-30)
    span = max(tensor["high"] - tensor["low"], 1e-30)
    shapes = [
        f'<rect x="{8 * i}" y="{80 - height:.1f}" width="7" height="{height:.1f}"/>' for i, height in enumerate(heights)
    ]
    texts = []
    for number, (method, (low, high)) in enumerate(tensor["ranges"].items()):
        for end in (low, high):
            x = min(max(8 * _BARS * (end - tensor["low"]) / span, 0), 8 * _BARS)
            shapes.append(f'<line class="m{number}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="86"/>')
        texts.append(f'<span class="m{number}">{escape(method)} {low:.4g} to {high:.4g}</span>')
    return (
        f"<figure><figcaption>{escape(tensor['name'])}</figcaption>"
        f'<svg viewBox="0 0 {8 * _BARS} 88" preserveAspectRatio="none">{"".join(shapes)}</svg>'
        f"<p>{' '.join(texts)}</p></figure>"
    )


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>TITLE</title><style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 70rem; color: #1c2430; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere } h2 { font-size: 1.1rem; margin-top: 2rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .85rem }
th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid #dde2e8; vertical-align: top }
thead th { cursor: pointer; white-space: nowrap } .n { text-align: right; font-variant-numeric: tabular-nums }
figure { margin: 0 0 1.2rem } figcaption { font-size: .85rem; overflow-wrap: anywhere }
svg { width: 100%; height: 6rem; fill: #8fa3b8 } line { stroke-width: 1.5; stroke: currentColor }
p { margin: 0; font-size: .8rem } p span { margin-right: .9rem; white-space: nowrap }
.m0 { color: #1c2430 } .m1 { color: #b3261e } .m2 { color: #1a6b2f } .m3 { color: #1857b8 } .m4 { color: #8a5a00 }
.m5 { color: #7a2aa8 }
</style></head><body>
BODY
<script>
for (const table of document.querySelectorAll("table")) table.querySelectorAll("thead th").forEach((head, column) => {
  let down = false;
  head.onclick = () => {
    down = !down;
    const key = row => {
      const cell = row.cells[column];
      return cell.dataset.v === undefined ? cell.textContent : +cell.dataset.v;
    };
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const x = key(a), y = key(b);
      if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
      return (x < y ? -1 : x > y ? 1 : 0) * (down ? 1 : -1);
    });
    table.tBodies[0].append(...rows);
  };
});
</script></body></html>
"""
