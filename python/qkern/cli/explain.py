"""`qkern explain`: what a model runs in, step by step, and where the time goes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ..report.tables import table
from . import options
from .progress import progress

if TYPE_CHECKING:
    from ..profiling import Profile
    from ..program import Step
    from ..runtime.foreign_nodes import Fallback
    from ..runtime.signature import InputSpec

__all__ = ["explain", "profile_table"]

_KINDS = ("int8", "float", "onnxruntime", "reference", "convert")
_GIVE_DATA = "give --data"
_WIDE = 240  # characters, where no terminal sets a limit
_FLEXIBLE = {"step": 14, "operator": 10, "kernel": 12, "why": 16}  # columns that may be folded, to no less than that
_LEFT_OUT = ("bytes", "MACs", "shapes", "GOPS", "operator")  # where the terminal is too narrow for all, in that order


@click.command()
@options.model
@options.data_if_any
@click.option("--sort", type=click.Choice(("order", "time")), default="order", show_default=True, help="Of the steps.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@options.samples
@options.fallback
@options.external_data
@options.threads
def explain(
    model: Path,
    data: Path | None,
    sort: str,
    as_json: bool,
    samples: str | None,
    fallback: Fallback,
    external_data: Path | None,
    threads: int | None,
) -> None:
    """Lists the steps MODEL runs in, what computes each and why, times them for a second, and says where the time goes.

    It runs the first sample of the data; without data random numbers, or ones where the input isn't float, with 1 for
    sizes that vary.

    A step is int8, float, convert, or in another library (onnxruntime, reference). Its bound is what the processor
    could do at best: the peak of the tier's instructions, or reading from the memory or cache that holds its data. On
    a terminal too narrow for all columns some are left out.
    """
    from ..model_file import load_model
    from ..runtime.session import Session

    graph = load_model(model, external_data)
    session = Session(graph, threads, fallback=fallback)
    out = options.out()
    try:
        if data is None:
            feeds = _random(session.get_inputs())
        else:
            from ..calibration import Feeds, Sampling

            feeds = next(iter(Feeds(data, Sampling.of(graph, samples), batch=1, what="data")))
        with progress("timing", options.err()) as show:
            profile = session.profile(feeds, progress=show)
    except (ValueError, TypeError, RuntimeError) as error:
        if data is not None or as_json:
            raise
        out.print(_steps_table(str(model), session.steps))
        out.print(f"not timed: {error}; {_GIVE_DATA}")
    else:
        if as_json:
            click.echo(json.dumps({"model": str(model), **profile.as_dict(sort)}, indent=2))
            return
        if not out.is_terminal and "COLUMNS" not in os.environ:
            out = Console(highlight=False, markup=False, width=_WIDE)
        out.print(profile_table(str(model), profile, sort, out.width))
        out.print(profile.totals)
        out.print(str(profile.limits))
        out.print(profile.summary)
        if data is None and any(None in (spec.shape or ())[1:] for spec in session.get_inputs()):
            out.print("note: sizes that vary were 1, which may be far from what is usual; --data runs a sample")
    out.print(", ".join(f"{sum(step.kind == kind for step in session.steps)} {kind}" for kind in _KINDS))


def profile_table(title: str, profile: Profile, sort: str, width: int) -> Table:
    """A line per step, with as many columns as `width` characters have room for."""
    from ..profiling.profile import COLUMNS, NUMBERS

    rows = profile.rows(sort)
    needed = [
        min(max(len(row[i]) for row in (COLUMNS, *rows)), _FLEXIBLE.get(name, _WIDE)) + 2
        for i, name in enumerate(COLUMNS)
    ]
    kept = list(range(len(COLUMNS)))
    for name in _LEFT_OUT:
        if sum(needed[i] for i in kept) > width:
            kept.remove(COLUMNS.index(name))
    result = table(title, [COLUMNS[i] for i in kept], ([row[i] for i in kept] for row in rows))
    for i, column in zip(kept, result.columns, strict=True):
        column.justify = "right" if i in NUMBERS else "left"
        column.no_wrap = COLUMNS[i] not in _FLEXIBLE
    return result


def _steps_table(title: str, steps: tuple[Step, ...]) -> Table:
    rows = [(str(i), step.name, step.op_type, step.kind, step.reason) for i, step in enumerate(steps)]
    return table(title, ("", "step", "operator", "runs in", "why"), rows)


def _random(specs: list[InputSpec]) -> dict[str, NDArray[Any]]:
    """Random numbers for floats and ones for anything else, dimensions that vary being 1. Raises ValueError where the
    inputs don't say enough for that."""
    rng = np.random.default_rng(0)
    feeds = {}
    for spec in specs:
        if spec.shape is None or spec.within:
            raise ValueError(f"input {spec.name!r} takes {spec.describe()}; {_GIVE_DATA}")
        shape = [size or 1 for size in spec.shape]
        numbers = rng.standard_normal(shape) if spec.dtype.kind == "f" else np.ones(shape)
        feeds[spec.name] = np.asarray(numbers).astype(spec.dtype)
    return feeds
