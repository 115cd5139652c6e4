"""Measures the kernels beside FP32 and int8 peers: every shape, every tier, one process.

    python -m bench [--ops gemm,conv,elementwise,overheads] [--shapes REGEX] [--tiers avx2,scalar] [--threads 1,2]
                    [--libraries qkern_kernels,ort] [--quick] [--instructions TIER] [--output FOLDER] [--publish]

Writes FOLDER/<processor>_<tier>_<day>.{json,md,svg,png}; docs/benchmarking.md says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import qkern

from . import contestants, instructions, machine, overheads, peaks
from .contest import Case, Effort, Row, hold
from .operators import conv, elementwise, gemm
from .report import chart, markdown, publish
from .shapes import CONV, ELEMENTWISE, GEMM

__all__ = ["main", "measure"]

OPERATORS: dict[str, tuple[Sequence[Any], Callable[..., Case]]] = {
    "gemm": (GEMM, gemm.build),
    "conv": (CONV, conv.build),
    "elementwise": (ELEMENTWISE, elementwise.build),
}
OPS = (*OPERATORS, "overheads")
QUICK_SHAPES = (
    r"^(1024x1024x1024|1x4096x4096|784x128x1152|3x5x7|3x3 64 @56|dw 3x3 32 @112|1x1 64->256 @56)$|tensor 256 Ki"
)
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
PUBLISHED = "avx2"  # of limited runs, what the pages have a place for
RESULTS = machine.ROOT / "bench" / "results"


def main() -> int:
    """Measures what the command line asks for; returns the exit code."""
    arguments = parse(sys.argv[1:])
    if arguments.render:
        write(json.loads(arguments.render.read_text()), arguments.output, arguments.publish)
        return 0
    modules, missing = contestants.installed(arguments.libraries)
    if why := peaks.why_missing():
        missing["copying"] = why
    for name, why in missing.items():
        say(f"missing: {name} ({why})")
    document: dict[str, Any] = {"machine": machine.describe(), "missing": missing, "threads": arguments.threads}
    document["clock"] = arguments.clock
    document["arguments"] = sys.argv[1:]
    say(f"{document['machine']['cpu']}; tiers {', '.join(arguments.tiers)}; threads {arguments.threads}")
    start = time.monotonic()
    rows: list[Row] = []
    document["peaks"] = {}
    for threads in arguments.threads:
        for module in modules:
            module.set_threads(threads)
        effort = effort_of(arguments.quick, threads, arguments.clock)
        document["peaks"][str(threads)] = overheads.peaks_of_machine(threads, effort)
        rows += measure(arguments.ops, arguments.shapes, modules, threads, arguments.tiers, effort)
    document["rows"] = [row.as_dict() for row in rows]
    qkern.set_num_threads(1)
    document["overheads"] = overheads.measure() if "overheads" in arguments.ops else []
    document["seconds"] = round(time.monotonic() - start)
    write(document, arguments.output, arguments.publish)
    return 0


def measure(
    ops: Sequence[str], pattern: str, modules: Sequence[Any], threads: int, tiers: Sequence[str], effort: Effort
) -> list[Row]:
    """All rows of these operators, with a line on stderr for each case."""
    rows: list[Row] = []
    for case in cases(ops, pattern, modules, threads, tiers):
        begin = time.monotonic()
        found, _ = hold(case, threads, tiers, effort)
        rows += found
        name = case.shape if case.group == case.op else f"{case.group} {case.shape}"
        say(f"{case.op:12}{name:34}{threads} threads {time.monotonic() - begin:5.1f} s  {best(found)}")
    return rows


def cases(
    ops: Sequence[str], pattern: str, modules: Sequence[Any], threads: int, tiers: Sequence[str]
) -> Iterator[Case]:
    """Those whose shape's name the regular expression matches, built one at a time: some are large."""
    for op, (shapes, build) in OPERATORS.items():
        for shape in shapes if op in ops else ():
            if re.search(pattern, shape.name):
                yield build(shape, modules, threads, tiers)


def best(rows: Sequence[Row]) -> str:
    """The fastest of ours, for the line on stderr."""
    ours = [row for row in rows if row.library == "qkern" and row.task != "fp32"]
    if not ours:
        return ""
    row = max(ours, key=lambda each: each.rate)
    ratios = (("FP32", row.over_fp32), ("peer", row.over_peer))
    return f"{row.contestant}: {row.rate:.4g}" + "".join(f", {ratio:.2f}x {name}" for name, ratio in ratios if ratio)


def effort_of(quick: bool, threads: int, clock: str) -> Effort:
    """A pause where several libraries keep threads that spin for a while after their work."""
    effort = Effort(pause=0.004 if threads > 1 else 0.0, clock=CLOCKS[clock])
    return replace(effort, samples=7, seconds=0.05) if quick else effort


def write(document: dict[str, Any], folder: Path, published: bool) -> None:
    """The run's files, and with `published` the pages that show them."""
    stem = folder / machine.slug(document["machine"])
    write_files(document, stem, markdown.page, chart.draw, publish.publish if published else None)
    say(f"wrote {stem}.*, after {document['seconds']} s")


def write_files(
    document: dict[str, Any],
    stem: Path,
    page: Callable[..., str],
    draw: Callable[[dict[str, Any], tuple[Path, Path]], None],
    publish: Callable[[dict[str, Any], dict[str, Path]], None] | None,
) -> None:
    """`stem` with its endings: the run as JSON, its page and its chart; then `publish`, which shows them elsewhere."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = {kind: stem.with_name(f"{stem.name}.{kind}") for kind in ("json", "md", "svg", "png")}
    paths["json"].write_text(as_json(document))
    text = page(document, chart_name=paths["svg"].name)
    paths["md"].write_text(text)
    print(text)
    if why := chart.why_missing():
        say(f"no chart: {why}")
    else:
        draw(document, (paths["svg"], paths["png"]))
    if publish is not None:
        publish(document, paths)


def as_json(document: dict[str, Any]) -> str:
    """A line per row, so that a run is short and differences between runs can be read."""
    rest = json.dumps({**document, "rows": []}, indent=1)
    rows = ",\n".join(f"  {json.dumps(row)}" for row in document["rows"])
    return rest.replace('"rows": []', f'"rows": [\n{rows}\n ]', 1) + "\n"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ops", type=names_of(OPS), default=OPS)
    parser.add_argument("--shapes", default="", help="a regular expression that the shape's name has to match")
    parser.add_argument("--tiers", type=names_of(qkern.isa.available()), default=tuple(qkern.isa.available()))
    parser.add_argument("--threads", type=counts, default=[1], help="for instance 1,2: everything once with each")
    parser.add_argument("--libraries", type=names_of(contestants.LIBRARIES), default=contestants.LIBRARIES)
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: of this process, for a busy machine; one thread only"
    )
    parser.add_argument("--quick", action="store_true", help="a few shapes and samples; to see that it works")
    parser.add_argument("--output", type=Path, default=machine.ROOT / "build" / "bench")
    parser.add_argument(
        "--publish", action="store_true", help="write to bench/results, and have README and docs show this run"
    )
    parser.add_argument("--render", type=Path, metavar="JSON", help="no measuring: the files of an earlier run again")
    add_instructions(parser)
    parser.add_argument("--openblas-core", metavar="CORE", help="OPENBLAS_CORETYPE, e.g. Haswell")
    parsed = parser.parse_args(arguments)
    check_instructions(parser, parsed)
    try:
        re.compile(parsed.shapes)
    except re.error as error:
        parser.error(f"--shapes: {error}")
    if parsed.quick and not parsed.shapes:
        parsed.shapes = QUICK_SHAPES
    if parsed.clock == "cpu" and parsed.threads != [1]:
        parser.error("--clock cpu adds up the time of all threads: it is for --threads 1")
    if parsed.publish:
        parsed.output = RESULTS
    return parsed


def add_instructions(parser: argparse.ArgumentParser) -> None:
    """The option that `__main__` sees to, for the help."""
    parser.add_argument(
        "--instructions",
        choices=instructions.TIERS,
        help="limit the processor for all libraries to what the tier has, as an older one would be",
    )


def check_instructions(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuses a run that would not be limited, or would have no place to be shown in."""
    if options.instructions and options.instructions != instructions.limit():
        parser.error("--instructions TIER: two words, of `python -m bench`, which starts itself again")
    if options.publish and options.instructions not in (None, PUBLISHED):
        parser.error(f"--publish: of limited runs the pages show those of {PUBLISHED}")


def names_of(allowed: Sequence[str]) -> Any:
    """A list of these names, with commas between."""

    def names(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        if unknown := [name for name in chosen if name not in allowed]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(allowed)}")
        return chosen

    return names


def counts(text: str) -> list[int]:
    """Numbers of threads, with commas between."""
    found = [int(part) for part in text.split(",")]
    most = os.cpu_count() or 1
    if min(found) < 1 or max(found) > most:
        raise argparse.ArgumentTypeError(f"has to be from 1 to {most}")
    return found


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
