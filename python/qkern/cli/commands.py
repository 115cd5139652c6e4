"""The commands of `qkern`: each parses, calls the function of the same name, and prints what it gave."""

from __future__ import annotations

import json
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

from .. import golden
from ..atomic_file import write_atomically
from ..report.tables import comparison_table, pairs, size, table, time_of
from ..target import TARGETS
from . import options
from .explain import explain
from .machine import checks_by_tier, checks_table, describe_machine, machine_table
from .output import described, joined, npz, refuse_unwritable
from .progress import progress

if TYPE_CHECKING:
    from ..runtime.foreign_nodes import Fallback

__all__ = ["qkern"]

# calibration.METHODS, without importing it for --help
_METHODS = ("minmax", "moving_average_minmax", "percentile", "kl", "l2", "mse", "auto")
_EFFORTS = ("fast", "balanced", "best")  # conversion.EFFORTS


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="qkern", message="qkern %(version)s")
def qkern() -> None:
    """int8 quantization and int8 inference on CPUs.

    Sizes are in bytes, 1 kB = 1000 B. Exit codes: 1 failure, 2 wrong usage or input, 130 interrupted.
    """


qkern.add_command(explain)


@qkern.command()
@options.model
@options.data_if_any
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The int8 model to write.")
@click.option("--target", type=click.Choice([*TARGETS, "auto"]), default="auto", show_default=True)
@click.option("--method", type=click.Choice(_METHODS), help="How ranges are chosen (default: the target's).")
@click.option(
    "--effort",
    type=click.Choice(_EFFORTS),
    help="Which corrections to try (default: balanced, without data fast).",
)
@click.option(
    "--calibration-table",
    "table_path",
    type=click.Path(path_type=Path),
    help="Without --data: ranges from this table, effort fast. With --data: saved there, resumed from there.",
)
@click.option("--budget", metavar="DB", help="Leave the fewest layers in float for this SQNR, as in 30dB.")
@click.option("--max-drop", type=click.FloatRange(0, 1), help="The same for the share of samples with another top-1.")
@click.option("--explain", "in_words", is_flag=True, help="Say in words what stays float, and why.")
@click.option("--report", "report_path", type=click.Path(path_type=Path), help="Write an .html or .json of all of it.")
@click.option("--exclude", multiple=True, metavar="NAME", help="Node or operator type to leave in float; repeatable.")
@options.weights
@click.option(
    "--size", "share", type=float, help="With --weights mixed: share of the int8 file's bytes to reach, as in 0.65."
)
@click.option(
    "--saturation-safe/--no-saturation-safe",
    default=None,
    help="Scales with which runtimes that saturate on AVX2 are exact too (default: the target's, yes for x86).",
)
@options.samples
@options.fallback
@options.external_data
@options.threads
def quantize(
    model: Path,
    data: Path | None,
    output: Path,
    target: str,
    method: str | None,
    effort: str | None,
    table_path: Path | None,
    budget: str | None,
    max_drop: float | None,
    in_words: bool,
    report_path: Path | None,
    exclude: tuple[str, ...],
    weights: tuple[str, ...],
    share: float | None,
    saturation_safe: bool | None,
    samples: str | None,
    fallback: Fallback,
    external_data: Path | None,
    threads: int | None,
) -> None:
    """Quantizes the float model MODEL to int8."""
    from ..model_file import model_bytes
    from ..pipeline import quantize_model

    for path in (output, report_path, None if data is None else table_path):
        if path is not None:
            refuse_unwritable(path, inputs=(model,))
    start = time.perf_counter()
    with progress("calibrating", options.err()) as show:
        quantized = quantize_model(
            model,
            data,
            target,
            method,
            exclude,
            effort=effort,
            weights=options.formats(weights),
            size=share,
            table=table_path if data is None else None,
            checkpoint=None if data is None else table_path,
            budget=_decibels(budget),
            max_drop=max_drop,
            saturation_safe=saturation_safe,
            samples=samples,
            num_threads=threads,
            fallback=fallback,
            external_data=external_data,
            progress=show,
            stage=show.stage,
        )
    quantized.save(output)
    report, out = quantized.report, options.out()
    rows = [
        ("target", f"{quantized.target.name}: {quantized.target.why}"),
        (
            "calibrated",
            f"{len(quantized.table)} tensors on {quantized.table.samples} samples, method {quantized.method}",
        ),
        ("layers", f"{len(report.quantized)} int8, {len(report.left_float)} float"),
        *([("judged on", f"{report.judged} samples: SQNR {report.sqnr_db:.1f} dB")] if report.judged else []),
        *([("weights", report.weights)] if report.weights else []),
        *([("saturation", report.saturation)] if report.saturation else []),
        ("size", f"{size(model_bytes(model))} -> {size(model_bytes(output))}"),
        ("time", time_of(time.perf_counter() - start)),
    ]
    out.print(pairs(str(output), rows))
    for note in report.notes:
        out.print(f"note: {note}")
    for warning in report.warnings:
        out.print(f"warning: {warning}")
    if report.corrections:
        tried = (
            (c.name, f"{c.before:.2f}", f"{c.after:.2f}", "kept" if c.kept else "not kept") for c in report.corrections
        )
        out.print(table("corrections: SQNR on the calibration samples, in dB", ("", "before", "after", ""), tried))
    if report_path is not None:
        with progress("report: errors per layer", options.err()) as show:
            quantized.save_report(report_path, data, title=f"{model.name} in int8", progress=show, stage=show.stage)
    if quantized.budget is not None:
        found = quantized.budget
        words = f"{found.all_int8:.4g} with everything in int8, {found.reached:.4g} reached"
        out.print(f"budget: {words}" + ("" if found.met else "; the demand is NOT met"))
    if in_words:
        for layer in report.left_float:
            out.print(f"{layer.op_type} {layer.name}: {layer.reason}")
    elif report.left_float:
        rows_left = ((layer.name, layer.op_type, layer.reason) for layer in report.left_float)
        out.print(table("stay in float", ("layer", "operator", "why"), rows_left))


@qkern.command()
@options.model
@options.data
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write the outputs (.npz).")
@options.samples
@options.fallback
@options.external_data
@options.threads
def run(
    model: Path,
    data: Path,
    output: Path | None,
    samples: str | None,
    fallback: Fallback,
    external_data: Path | None,
    threads: int | None,
) -> None:
    """Runs MODEL, float or int8, on every sample.

    Outputs of rows are joined along axis 0, those of items stacked along an axis in front; where their shapes differ
    they are written sample by sample, as NAME.0, NAME.1, ...
    """
    from ..calibration import Feeds, Sampling
    from ..model_file import load_model
    from ..runtime.session import Session

    if output is not None:
        refuse_unwritable(output, inputs=(model, data))
    graph = load_model(model, external_data)
    names = [value.name or "" for value in graph.graph.outputs]
    sampling = Sampling.of(graph, samples)
    feeds = Feeds(data, sampling, what="data")
    session = Session(graph, threads, fallback=fallback)
    parts: list[list[Any]] = []
    done, seconds = 0, 0.0
    with progress("running", options.err()) as show:
        for feed in feeds:
            start = time.perf_counter()
            parts.append([np.array(array) for array in session.run(None, feed)])
            seconds += time.perf_counter() - start
            done += sampling.count(feed)
            show(done, feeds.samples)
    results: dict[str, NDArray[Any]] = {}
    rows: list[tuple[str, ...]] = []
    for name, arrays in zip(names, zip(*parts, strict=True), strict=True):
        of_name = joined(name, arrays, sampling.by_rows)
        rows.append((name, *described(list(of_name.values()))))
        results |= of_name
    if output is not None:
        write_atomically(output, npz(results))
    out = options.out()
    out.print(table(None, ("output", "type", "shape", "min", "mean", "max"), rows, right=3))
    out.print(
        f"{done} samples in {time_of(seconds)}, {time_of(seconds / done)} each" + (f"; {output}" if output else "")
    )


@qkern.command()
@click.argument("float_model", metavar="FP32", type=click.Path(path_type=Path))
@click.argument("int8_model", metavar="INT8", type=click.Path(path_type=Path))
@options.data
@options.samples
@click.option("--labels", type=click.Path(path_type=Path), help="The right class of every sample: integers in an .npy.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the figures there.")
@options.fallback
@options.external_data
@options.threads
def compare(
    float_model: Path,
    int8_model: Path,
    data: Path,
    samples: str | None,
    labels: Path | None,
    json_path: Path | None,
    fallback: Fallback,
    external_data: Path | None,
    threads: int | None,
) -> None:
    """Compares the model INT8 with the model FP32 it came from: accuracy, distance, size, latency."""
    from ..report import compare as compare_models

    if json_path is not None:
        refuse_unwritable(json_path, inputs=(float_model, int8_model, data))
    right = None if labels is None else _load_labels(labels)
    with progress("comparing", options.err()) as show:
        result = compare_models(
            *(float_model, int8_model, data, right),
            samples=samples,
            num_threads=threads,
            fallback=fallback,
            external_data=external_data,
            progress=show,
        )
    if json_path is not None:
        write_atomically(json_path, (json.dumps(result.as_dict(), indent=2) + "\n").encode())
    out = options.out()
    out.print(comparison_table(result))
    out.print(f"{result.samples} samples; tier {result.tier}, {result.num_threads} threads")
    left = ", ".join(result.left_float) or "none"
    out.print(f"left in float: {left}")


@qkern.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--verify",
    is_flag=True,
    help="Compute fixed cases on every tier and compare them, bit for bit, with what they have to give.",
)
@click.pass_context
def info(context: click.Context, as_json: bool, verify: bool) -> None:
    """Shows the processor, the tiers that were compiled and that it can run, threads and versions."""
    machine = describe_machine()
    checks = list(golden.verify()) if verify else []
    if as_json:
        click.echo(json.dumps(machine | ({"verified": checks_by_tier(checks)} if verify else {}), indent=2))
    else:
        for each in (*machine_table(machine), *([checks_table(checks)] if verify else [])):
            options.out().print(each)
    if not all(check.passed for check in checks):
        context.exit(1)


@qkern.command()
@click.argument("model", required=False, type=click.Path(path_type=Path))
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the figures there.")
@options.threads
def bench(model: Path | None, json_path: Path | None, threads: int | None) -> None:
    """Measures int8 beside float32 here: a few shapes, and MODEL (default: the demo's).

    A float MODEL is quantized on random samples first: its speed doesn't depend on them. NumPy, and ONNX Runtime and
    PyTorch where they are installed, run in the same process, in turn, with as many threads.
    """
    from .. import get_num_threads
    from ..timing.kernels import PEERS, SHAPES, measure
    from .speed import measure_model, speed_table

    if json_path is not None:
        refuse_unwritable(json_path, inputs=() if model is None else (model,))
    count = threads or get_num_threads()
    of_model = measure_model(model, count)  # first, since it is what can go wrong
    kernels = []
    with progress("measuring", options.err()) as show:
        for each in measure(count):
            kernels.append(each)
            show(len(kernels), len(SHAPES))
    machine = describe_machine()
    if json_path is not None:
        figures = {"machine": machine, "threads": count, "rows": [each.as_dict() for each in (*kernels, of_model)]}
        write_atomically(json_path, (json.dumps(figures, indent=2) + "\n").encode())
    out = options.out()
    out.print(speed_table(kernels))
    out.print(speed_table([of_model]))
    out.print(f"{machine['cpu']}; tier {machine['active_tier']}, {count} threads; medians")
    out.print("G/s: 10^9 operations or elements a second; x float: int8 over the fastest float")
    if absent := [name for name in PEERS if find_spec(name) is None]:
        out.print(f"not installed: {', '.join(absent)}")


@qkern.command()
@click.option("--target", type=click.Choice([*TARGETS, "auto"]), default="auto", show_default=True)
@options.threads
def demo(target: str, threads: int | None) -> None:
    """Quantizes and runs the model that comes with qkern, a stage at a time."""
    from ..demo.run import run_demo

    run_demo(options.out(), target=target, num_threads=threads)


def _decibels(text: str | None) -> float | None:
    """30, 30dB or "30 dB" as a number."""
    if text is None:
        return None
    number = text.lower().removesuffix("db").strip()
    try:
        return float(number)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a number of decibels", param_hint="--budget") from None


def _load_labels(path: Path) -> Any:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        labels = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a NumPy file ({error})") from error
    if not isinstance(labels, np.ndarray):
        raise ValueError(f"{path}: labels have to be one array, in an .npy")
    return labels
