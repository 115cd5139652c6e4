"""A run as a page of Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..contest import OURS, Row
from ..machine import limited
from .summary import Summary, geometric_mean, rows_of, summaries
from .targets import Check, checks

__all__ = ["duration", "page", "table"]

NONE = "-"
RIGHT = ("fastest right peer", "x right peer")


def page(document: Mapping[str, Any], *, chart_name: str = "", threads: Sequence[int] | None = None) -> str:
    """Everything of a run but the samples, which the JSON has no room for either; `threads` leaves out other tables."""
    machine = document["machine"]
    parts = [f"# {machine['cpu']}, {machine['tier']}, {machine['date']}", about(document)]
    if chart_name:
        parts.append(f"![Speed of int8 relative to the fastest FP32]({chart_name})")
    for of_threads in document["threads"] if threads is None else threads:
        for op, make in (("gemm", gemm), ("conv", conv), ("elementwise", elementwise)):
            found = summaries(document, of_threads, op)
            if found:
                parts.append(make(found))
    parts += targets(checks(document))
    if document["overheads"]:
        parts += ["## Overheads", overheads(document["overheads"])]
    if any(document["peaks"].values()):
        parts += ["## What the machine reaches", peaks(document["peaks"])]
    parts += ["## All rows", LEGEND, everything(rows_of(document))]
    return "\n\n".join(parts) + "\n"


LEGEND = (
    "`time` is the median over the samples, `IQR` the distance of the quartiles; `%` is of the bound: the instruction "
    "peak of the tier or the bandwidth, whichever takes longer, measured in the same rounds. `wrong` is the share of "
    "entries that differ from the exact answer, `off by` the largest difference."
)


def about(document: Mapping[str, Any]) -> str:
    machine = document["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"commit {machine['commit'] or 'unknown'}, compiled by {machine['compiler']}; Python {machine['python']}",
        versions,
        f"BLAS of NumPy: {', '.join(machine['blas'])}",
        f"tiers {', '.join(machine['tiers'])}; threads {', '.join(map(str, document['threads']))}; "
        f"{machine['cpus']} processors, load {machine['load']} before the run",
    ]
    lines += [limits] if (limits := limited(machine)) else []
    if document["clock"] == "cpu":
        lines.append("times are CPU time of the process: the machine was busy")
    lines += [f"missing: {name} ({why})" for name, why in document["missing"].items()]
    return "\n".join(f"- {line}" for line in lines)


def gemm(found: Sequence[Summary]) -> str:
    """int32 output, then the fused layer."""
    tier = found[0].tier
    rows = []
    for each in found:
        ours, peer, sound = each.ours, each.peer("s32"), each.peer("s32", sound=True)
        rows.append(
            [
                each.shape,
                rate(ours),
                rate(each.of("s8s8 packed")),
                rate(each.of("u8s8 unpacked")),
                bound(ours),
                named(peer),
                ratio(ours, peer),
                named(sound),
                ratio(ours, sound),
                named(each.fp32),
                ratio(ours, each.fp32),
                *scaling(each),
            ]
        )
    columns = [
        "rows x cols x depth",
        "u8s8",
        "s8s8",
        "not packed",
        "% of bound",
        "fastest peer",
        "x peer",
        "fastest right peer",
        "x right peer",
        "fastest FP32",
        "x FP32",
    ]
    columns += scaling_column(found)
    rows.append(means(rows, columns))
    title = f"## GEMM, int32 output, GOPS ({tier}, {count(found)})"
    fused = [
        [
            each.shape,
            rate(each.of("fused")),
            ratio(each.of("fused"), each.ours),
            named(each.peer("u8")),
            ratio(each.of("fused"), each.peer("u8")),
            named(each.peer("u8", sound=True)),
            ratio(each.of("fused"), each.peer("u8", sound=True)),
            ratio(each.of("fused"), each.fp32),
        ]
        for each in found
    ]
    fused_columns = ["rows x cols x depth", "QLinear", "x int32 GEMM", "fastest peer", "x peer", *RIGHT, "x FP32"]
    fused.append(means(fused, fused_columns))
    return "\n\n".join(
        [
            title,
            table(columns, rows),
            f"## GEMM, uint8 output, requantized per channel, GOPS ({tier}, {count(found)})",
            table(fused_columns, fused),
            *safe_weights(found, "u8s8 packed"),
            *safe_weights(found, "fused"),
            *other_tiers(found),
        ]
    )


def conv(found: Sequence[Summary]) -> str:
    columns = ["shape", "NHWC", "NCHW", "% of bound", "fastest peer", "x peer", *RIGHT, "fastest FP32", "x FP32"]
    columns += scaling_column(found)
    parts = [f"## Convolution, uint8 to uint8, GOPS ({found[0].tier}, {count(found)})"]
    rows = []
    for each in found:
        ours, peer, sound = each.ours, each.peer("u8"), each.peer("u8", sound=True)
        rows.append(
            [
                each.shape,
                rate(ours),
                rate(each.of("fused NCHW")),
                bound(ours),
                named(peer),
                ratio(ours, peer),
                named(sound),
                ratio(ours, sound),
                named(each.fp32),
                ratio(ours, each.fp32),
                *scaling(each),
            ]
        )
    for group in dict.fromkeys(each.group for each in found):
        of_group = [row for row, each in zip(rows, found, strict=True) if each.group == group]
        parts.append(table(columns, [*of_group, means(of_group, columns)]))
    return "\n\n".join([*parts, *safe_weights(found, "fused"), *other_tiers(found)])


def safe_weights(found: Sequence[Summary], variant: str) -> list[str]:
    """A variant by saturation-safe weights, where the tier takes other instructions for them."""
    rows = []
    for each in found:
        safe, any_weights = each.of(f"{variant}, safe weights"), each.of(variant)
        if safe is not None:
            peer = each.peer(safe.task)
            ratios = [ratio(safe, other) for other in (any_weights, peer, each.fp32)]
            rows.append([each.shape, rate(safe), percent(safe), ratios[0], named(peer), *ratios[1:]])
    if not rows:
        return []
    columns = ["shape", "GOPS", "% of peak", "x any weights", "fastest peer", "x peer", "x FP32"]
    return [f"By saturation-safe weights, {variant}:", table(columns, [*rows, means(rows, columns)])]


def elementwise(found: Sequence[Summary]) -> str:
    columns = ["operator", "elements", "G/s", "% of bound", "fastest peer", "x peer", *scaling_column(found)]
    rows = [
        [
            each.group,
            each.shape,
            rate(each.ours),
            bound(each.ours),
            named(each.peer(each.group.split()[0])),
            ratio(each.ours, each.peer(each.group.split()[0])),
            *scaling(each),
        ]
        for each in found
    ]
    title = f"## Elementwise, elements per ns ({found[0].tier}, {count(found)})"
    return "\n\n".join([title, table(columns, rows), *other_tiers(found)])


def other_tiers(found: Sequence[Summary]) -> list[str]:
    """The main variant on every tier, where there are several."""
    tiers = list(dict.fromkeys(row.tier for each in found for row in each.rows if row.library == OURS))
    if len(tiers) < 2:
        return []
    variant = found[0].ours.variant if found[0].ours else ""
    columns = ["shape", *(column for tier in tiers for column in (tier, "%"))]
    rows = []
    for each in found:
        name = f"{each.group} {each.shape}" if each.op == "elementwise" else each.shape
        of_tiers = [each.of(variant, tier) for tier in tiers]
        rows.append([name, *(cell for row in of_tiers for cell in (rate(row), percent(row)))])
    return ["On every tier:", table(columns, rows)]


def targets(found: Sequence[Check]) -> list[str]:
    """What was missed, with the reason where one is known."""
    if not found:
        return []
    missed = [check for check in found if not check.reached]
    reasons = list(dict.fromkeys(check.reason for check in missed if check.reason))
    letters = {reason: chr(ord("a") + index) for index, reason in enumerate(reasons)}
    rows = [
        [check.what, check.shape, quotient(check.value), quotient(check.least), letters.get(check.reason, NONE)]
        for check in missed
    ]
    said = [f"{len(found) - len(missed)} of {len(found)} figures that have a target reach it."]
    if missed:
        said.append(table(["what", "shape", "reached", "target: at least", "why"], rows))
    if reasons:
        said.append("\n".join(f"* {letters[reason]}: {reason}." for reason in reasons))
    return ["## Targets missed", *said]


def quotient(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f} %"


def overheads(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        [
            row["what"],
            quantity(row["value"], row["unit"]),
            quantity(row["below"], row["unit"]),
            "yes" if row["value"] < row["below"] else "no",
        ]
        for row in rows
    ]
    return table(["what", "measured", "target: below", "reached"], cells)


def quantity(value: float, unit: str) -> str:
    return duration(value) if unit == "s" else f"{value / 1e6:.2f} MB"


def peaks(measured: Mapping[str, Mapping[str, float]]) -> str:
    names = list(dict.fromkeys(name for each in measured.values() for name in each))
    columns = ["", *(f"{threads} thread{'s' if threads != '1' else ''}" for threads in measured)]
    rows = []
    for name in names:
        unit = "GB/s" if name.startswith(("read", "copy")) else "GOPS"
        rows.append([name, *(f"{each[name]:.4g} {unit}" if name in each else NONE for each in measured.values())])
    return table(columns, rows)


def everything(rows: Iterable[Row]) -> str:
    columns = [
        "operator",
        "shape",
        "threads",
        "contestant",
        "time",
        "IQR",
        "rate",
        "%",
        "bound",
        "wrong",
        "off by",
        "x FP32",
        "x peer",
    ]
    cells = [
        [
            row.group if row.op == "elementwise" else row.op,
            row.shape,
            str(row.threads),
            row.contestant,
            duration(row.seconds),
            f"{100 * (row.high - row.low) / row.seconds:.0f} %",
            f"{row.rate:.4g}",
            percent(row),
            row.bound or NONE,
            NONE if row.wrong_share is None else "0" if row.exact else share(row.wrong_share),
            NONE if row.largest_error is None else f"{row.largest_error:.0f}",
            number(row.over_fp32),
            number(row.over_peer),
        ]
        for row in rows
    ]
    return table(columns, cells)


# --- cells --------------------------------------------------------------------


def rate(row: Row | None) -> str:
    return NONE if row is None else f"{row.rate:.3g}" if row.rate < 100 else f"{row.rate:.0f}"


def percent(row: Row | None) -> str:
    return NONE if row is None or row.percent is None else f"{row.percent:.0f}"


def bound(row: Row | None) -> str:
    """The share, and of what: instructions or memory."""
    if row is None or row.percent is None:
        return NONE
    kind = row.bound if row.bound in ("read", "copy") else "peak"
    return f"{row.percent:.0f} ({kind})"


def named(row: Row | None) -> str:
    """A rate and whose; what is wrong with it."""
    if row is None:
        return NONE
    wrong = "" if row.exact else f", {share(row.wrong_share or 0)} wrong"
    return f"{rate(row)} {row.contestant}{wrong}"


def share(value: float) -> str:
    return f"{100 * value:.1f} %" if value >= 0.001 else f"{100 * value:.1g} %"


def ratio(row: Row | None, other: Row | None) -> str:
    return NONE if row is None or other is None else number(other.seconds / row.seconds)


def number(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def scaling(each: Summary) -> list[str]:
    """Speed over that on one thread, in the same rounds."""
    return [] if each.threads == 1 else [ratio(each.ours, each.on_one_thread)]


def scaling_column(found: Sequence[Summary]) -> list[str]:
    return [] if found[0].threads == 1 else ["x 1 thread"]


def means(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> list[str]:
    """Geometric means of the columns that are ratios."""
    last = ["geometric mean"]
    for index, name in enumerate(columns[1:], start=1):
        values = [float(row[index]) for row in rows if row[index] != NONE] if name.startswith("x ") else []
        last.append(number(geometric_mean(values)) if values else "")
    return last


def count(found: Sequence[Summary]) -> str:
    return f"{found[0].threads} thread{'s' if found[0].threads > 1 else ''}"


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column is text, the others are numbers and names, to the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
