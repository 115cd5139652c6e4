"""A run of whole models as a page of Markdown tables, and what README and docs show of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..machine import ROOT, limited
from ..report import publish as pages
from ..report.markdown import duration, share, table
from .table import Entry, Setting, settings
from .targets import Check, checks

__all__ = ["DOCS", "page", "publish"]

DOCS = ROOT / "docs" / "whole_models.md"
NONE = "-"
AT_THEIR_BEST = "the peers take their best instructions, qkern those of the tier that is named"
LEGEND = (
    "A cell is the median time of a batch and, after it, the speed over the fastest FP32 of all in the same setting. "
    "SQNR of the outputs and share of samples with the same top-1 are against qkern's FP32. *Wrong*: the share of "
    "outputs that differ from those of the library's exact mode for the same file. *Fused*: uint8 activations, Q/DQ "
    "only where ONNX Runtime fuses it. *Smallest scales*: `saturation_safe=False`."
)


def page(document: Mapping[str, Any], *, chart_name: str = "", all_rows: bool = True) -> str:
    """Everything of a run."""
    machine = document["machine"]
    found = settings(document)
    parts = [f"# Whole models: {machine['cpu']}, {machine['date']}", about(document)]
    if chart_name:
        parts.append(f"![Speed and accuracy of whole models]({chart_name})")
    parts.append(LEGEND)
    for model in document["models"]:
        own = [each for each in found if each.model is model]
        parts += [f"## {model['name']}", what_of(model), contest(own), "qkern in these:", ours(own)]
    parts += ["## Targets", targets(checks(document))]
    if all_rows:
        parts += ["## All rows", everything(found)]
    return "\n\n".join(parts) + "\n"


def about(document: Mapping[str, Any]) -> str:
    machine = document["machine"]
    lines = [
        f"commit {machine['commit'] or 'unknown'}, compiled by {machine['compiler']}; Python {machine['python']}",
        ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
        f"{machine['cpus']} processors; {limited(machine) or AT_THEIR_BEST}",
        "OpenVINO FP32 is held to float32: its default on processors with bfloat16 is that",
    ]
    lines += [f"missing: {name} ({why})" for name, why in document["missing"].items()]
    return "\n".join(f"- {line}" for line in lines)


def what_of(model: Mapping[str, Any]) -> str:
    """What it was compared on, and who couldn't take part."""
    text = f"Compared on {model['samples']}; qkern's effort is `{model['effort']}`."
    return text + "".join(f" Left out: {name} ({why})." for name, why in model["missing"].items())


def contest(own: Sequence[Setting]) -> str:
    """A line per contestant, a column per setting, and accuracy."""
    by_name: dict[str, dict[Setting, Entry]] = {}
    for each in own:
        for entry in each.entries:
            by_name.setdefault(entry.name, {})[each] = entry
    lines = []
    for name, entries in by_name.items():
        row = next(iter(entries.values())).accuracy
        wrong = f" (wrong: {share(row['wrong_share'])})" if row["wrong_share"] else ""
        cells = [timed(each, entries.get(each)) for each in own]
        accuracy = [decibels(row["sqnr_db"]), percent(row["agreement"]), percent(row["top1"])]
        lines.append([name + wrong, *cells, *accuracy])
    return table(["", *(setting(each) for each in own), "SQNR", "same top-1", "top-1"], lines)


def ours(own: Sequence[Setting]) -> str:
    """What is asked of qkern: int8 by default against the fastest others, in each setting."""
    columns = [
        "int8",
        "",
        "x own FP32",
        "x fastest FP32",
        "x fastest int8 peer",
        "x fastest right one",
        "FP32, x onnxruntime",
    ]
    columns += ["x 1 thread", "beyond steps", "packed", "direct"]
    lines = []
    for each in own:
        for tier in each.tiers:
            int8 = each.our_int8(tier)
            lines.append(
                [
                    f"{tier}, {setting(each)}",
                    duration(int8.seconds),
                    over(each.our_fp32(tier), int8, named=False),
                    over(each.fp32, int8),
                    over(each.peer(), int8),
                    over(each.peer(right=True), int8),
                    over(each.peer_fp32("onnxruntime"), each.our_fp32(tier), named=False),
                    scaling(each, tier),
                    f"{1e6 * int8.time['overhead']:.0f} µs, {percent(int8.time['overhead_share'])}",
                    megabytes(int8.packed),
                    megabytes(each.our_direct(tier).packed),
                ]
            )
    return table(columns, lines)


def targets(found: Sequence[Check]) -> str:
    """Met or missed, and why."""
    lines = [
        [
            check.what,
            check.model,
            check.tier,
            f"{check.value:.2f}",
            f"{'≤' if check.at_most else '≥'} {check.limit:g}",
            "met" if check.reached else f"missed: {check.reason or 'the cause is not known'}",
        ]
        for check in found
    ]
    return (
        "Those of speed are set for processors whose best tier is `avx2`; on others peers have more than that.\n\n"
        + table(["", "model", "tier", "value", "target", "result"], lines)
    )


def everything(found: Sequence[Setting]) -> str:
    lines = [
        [
            entry.name,
            each.model["name"],
            str(each.batch),
            str(each.threads),
            duration(entry.seconds),
            f"{100 * (entry.time['high'] - entry.time['low']) / entry.seconds:.0f} %",
            str(entry.time["samples"]),
            f"{each.batch / entry.seconds:.4g}",
        ]
        for each in found
        for entry in each.entries
    ]
    return table(["", "model", "batch", "threads", "time", "IQR", "timed", "samples/s"], lines)


# --- cells --------------------------------------------------------------------


def setting(each: Setting) -> str:
    return f"batch {each.batch}, {each.threads} thread{'s' if each.threads > 1 else ''}"


def timed(each: Setting, entry: Entry | None) -> str:
    return NONE if entry is None else f"{duration(entry.seconds)}, {each.fp32.seconds / entry.seconds:.2f}x"


def over(other: Entry | None, entry: Entry, *, named: bool = True) -> str:
    """Speed over another's, and whose."""
    if other is None:
        return NONE
    return f"{other.seconds / entry.seconds:.2f}" + (f" ({other.name})" if named else "")


def scaling(each: Setting, tier: str) -> str:
    """Speed over one thread's in the same rounds, of what the instruction peak gains."""
    int8 = each.our_int8(tier)
    if int8.time["one_thread"] is None:
        return NONE
    gain = each.model["peak_gain"][f"batch{each.batch}_threads{each.threads}"][tier]
    return f"{int8.time['one_thread'] / int8.seconds:.2f} of {gain:.2f}"


def decibels(value: float | None) -> str:
    return "equal" if value is None else f"{value:.1f} dB"


def percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def megabytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB"


# --- pages --------------------------------------------------------------------


def publish(document: Mapping[str, Any], paths: Mapping[str, Path]) -> None:
    """The chart in the README, the tables but for all rows in docs/whole_models.md; there alone, of a
    run on limited instructions."""
    machine = document["machine"]
    link = pages.relative(paths["md"], DOCS)
    short = page(document, all_rows=False).partition("\n")[2].strip()
    if limited(machine):
        short = short.replace("\n## ", "\n### ")
        pages.replace_block(DOCS, f"models, {machine['tier']}", f"{where_of(machine)}; [all rows]({link}).\n\n{short}")
        return
    chart, tables = (pages.relative(paths[kind], pages.README) for kind in ("svg", "md"))
    where = where_of(machine)
    text = f"[![Speed and accuracy of whole models]({chart})]({tables})\n\n{in_words(document)}\n\n"
    text += f"{where}; [every figure]({tables})."
    pages.replace_block(pages.README, "models", text)
    pages.replace_block(DOCS, "models", f"{where}; [all rows]({link}).\n\n{short}")


def in_words(document: Mapping[str, Any]) -> str:
    """Of each model its first setting, on the best tier."""
    found = settings(document)
    firsts = [next(each for each in found if each.model is model) for model in document["models"]]
    tier = firsts[0].tiers[0]
    clauses = []
    for each in firsts:
        int8, peer = each.our_int8(tier), each.peer()
        clause = f"{each.fp32.seconds / int8.seconds:.2f} times as fast as the fastest FP32"
        if peer is not None:
            clause += f" and {peer.seconds / int8.seconds:.2f} times as the fastest other int8"
        clause += f", at {decibels(int8.accuracy['sqnr_db'])}"
        if peer is not None:
            clause += f" beside {decibels(peer.accuracy['sqnr_db'])} ({peer.name})"
        clauses.append(f"- {each.model['name']}: {clause}.")
    return f"int8 on `{tier}`, {setting(firsts[0])}:\n\n" + "\n".join(clauses)


def where_of(machine: Mapping[str, Any]) -> str:
    return f"{machine['cpu']}, {machine['date'].split()[0]}, commit {machine['commit']}"
