"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

__all__ = [
    "data",
    "data_if_any",
    "err",
    "external_data",
    "fallback",
    "formats",
    "model",
    "out",
    "samples",
    "threads",
    "weights",
]

_IN_FILES = "an .npz, an .npy, or a folder of these."

model = click.argument("model", type=click.Path(path_type=Path))
data = click.option("--data", required=True, type=click.Path(path_type=Path), help=f"Samples: {_IN_FILES}")
data_if_any = click.option("--data", type=click.Path(path_type=Path), help=f"Samples: {_IN_FILES}")
fallback = click.option(
    "--fallback",
    type=click.Choice(("auto", "none", "reference", "onnxruntime")),  # runtime.FALLBACKS
    default="auto",
    show_default=True,
    help="Where operators without a kernel run.",
)
external_data = click.option(
    "--external-data",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the model's tensors in files are, links included (default: its own folder, without links out of it).",
)
samples = click.option(
    "--samples",
    type=click.Choice(("axis0", "items")),  # calibration.SAMPLES
    help="What a sample is: a row of axis 0, or all that one run takes (default: rows where axis 0 is one dimension).",
)
weights = click.option(
    "--weights",
    multiple=True,
    metavar="[NAME=]FORMAT",
    help="int8, codebook4, nf4, pow2, apot, int4, or mixed (with --size or --budget). NAME is a node or operator type; "
    "without it, the format of all others. Repeatable.",
)
threads = click.option("--threads", type=click.IntRange(min=1), help="Threads to use (default: all cores).")


def formats(given: tuple[str, ...]) -> str | dict[str, str]:
    """What `--weights` says, as `quantize_model` takes it."""
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    named = [each.rpartition("=") for each in given]
    names = [name or "default" for name, _, _ in named]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        what = "without a name" if twice == "default" else f"for {twice!r}"
        raise click.BadParameter(f"two formats {what}", param_hint="--weights")
    return {name: form for name, (_, _, form) in zip(names, named, strict=True)} or "int8"


def out() -> Console:
    return Console(highlight=False, markup=False)


def err() -> Console:
    return Console(stderr=True, highlight=False, markup=False)
