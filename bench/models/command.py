"""Whole models, int8 and float, beside other libraries: speed, and accuracy in the same table.

    python -m bench models [MODEL]... [--model PATH] [--threads 1,2] [--batch 1,32] [--isa TIER,TIER] [--seconds S]
                           [--images N] [--effort E] [--output FOLDER] [--publish] [--render JSON]
                           [--instructions TIER] [--keep FOLDER [--steps prepare,accuracy,speed] [--limit S]]

MODEL: fashion_mnist, the demo's network; efficientnet_lite0 and resnet20_cifar10 where ../shared beside the checkout
has them (all of these, if neither MODEL nor --model is given). --model runs any float model, on random numbers.

Each is quantized by qkern, ONNX Runtime and NNCF on the same samples, compared with its float original on others, and
timed with each batch and number of threads, all contestants in turn. With --instructions no library sees more of the
processor than the tier has.

A run in pieces: with --keep what is finished is kept in FOLDER, and the same command goes on from there; --steps takes
some of the steps only, and none begins --limit seconds after the start. It exits with 3 while something is left to do.

Writes models_<processor>_<tier>_<day>.{json,md,svg,png}; docs/whole_models.md says how to read them.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import qkern
from qkern.conversion import EFFORTS

from .. import instructions, machine
from ..run import RESULTS, add_instructions, check_instructions, counts, names_of, say, write_files
from . import chart, files, measure, page
from .contestants import DEFAULT, Contestant, contestants, missing_packages
from .networks import KNOWN, RANDOM, Network, from_file, known

__all__ = ["main"]

STEPS = ("prepare", "accuracy", "speed")
UNFINISHED = 3  # exit code


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures what the command line asks for; returns the exit code."""
    options = parse(arguments)
    if options.render:
        write(json.loads(options.render.read_text()), options.output, options.publish)
        return 0
    networks, missing = entered(options)
    for name, why in missing.items():
        say(f"missing: {name} ({why})")
    if not networks:
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        about = machine_of(folder, options)
        begin = time.monotonic()
        every = [step for network in networks for step in steps(network, folder, options)]
        left = sorted((s for s in every if not s.path.exists()), key=lambda step: STEPS.index(step.kind))
        while left and left[0].kind in options.steps and time.monotonic() - begin <= options.limit:
            step = left.pop(0)
            start = time.monotonic()
            step.path.write_text(json.dumps(step.run(), indent=1) + "\n")
            say(f"{step.path.relative_to(folder)}: {time.monotonic() - start:.1f} s")
        if left:
            say(f"{len(left)} steps are left, from {left[0].path.relative_to(folder)} on")
            return UNFINISHED
        write(merged(networks, folder, options, about, missing), options.output, options.publish)
    return 0


def entered(options: argparse.Namespace) -> tuple[list[Network], dict[str, str]]:
    """The networks that there are; what is missing of them and of the libraries, and why."""
    names = options.models or ([] if options.model else KNOWN)
    networks, missing = [from_file(path) for path in options.model or ()], {}
    for name in names:
        found = known(name, options.images)
        if isinstance(found, str):
            missing[name] = found
        else:
            networks.append(found)
    return networks, missing | missing_packages()


def machine_of(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Where the run was begun. Exits where the folder has parts of one with other settings or of another commit."""
    path = folder / "run.json"
    versions = {name: version(name) for name in ("openvino", "nncf") if find_spec(name)}
    settings = {
        "tiers": options.isa,
        "instructions": instructions.limit(),
        "seconds": options.seconds,
        "images": options.images,
        "effort": options.effort,
    }
    described = machine.describe()
    described["versions"] |= versions
    now = {"machine": described, "settings": settings}
    if path.exists():
        before: dict[str, Any] = json.loads(path.read_text())
        for what, one, other in (
            ("commit", before["machine"]["commit"], described["commit"]),
            ("settings", before["settings"], settings),
        ):
            if one != json.loads(json.dumps(other)):
                raise SystemExit(f"--keep: {folder} has parts of another run ({what}: {one}, now {other})")
        return before["machine"]
    path.write_text(json.dumps(now, indent=1) + "\n")
    return described


@dataclass(frozen=True)
class Step:
    """A part of the run that takes a minute or so, and the file with its result."""

    kind: str
    path: Path
    run: Callable[[], Mapping[str, Any]]


def steps(network: Network, folder: Path, options: argparse.Namespace) -> Iterator[Step]:
    """All of a network, in order."""
    own = folder / network.name
    own.mkdir(exist_ok=True)

    def entering() -> list[Contestant]:
        made = set(files.FILES) - set(result(own / "prepare.json")["missing"])
        return list(contestants(options.isa, made))

    def prepare() -> Mapping[str, Any]:
        missing = files.prepare(network, own, effort_of(network, options))
        return {"missing": missing, "int8_bytes": files.int8_bytes(own / DEFAULT)}

    yield Step("prepare", own / "prepare.json", prepare)
    most = max(options.threads)
    yield Step("accuracy", own / "accuracy.json", lambda: measure.accuracy(network, own, entering(), most))
    for batch in options.batch if network.batch is None else [network.batch]:
        for threads in options.threads:

            def speed(batch: int = batch, threads: int = threads) -> Mapping[str, Any]:
                left_out = result(own / "accuracy.json")["left_out"]
                able = [each for each in entering() if each.name not in left_out]
                return measure.speed(network, own, able, batch, threads, options.seconds)

            yield Step("speed", own / f"batch{batch}_threads{threads}.json", speed)


def effort_of(network: Network, options: argparse.Namespace) -> str:
    """Of our quantization: corrections fitted to random numbers would correct nothing."""
    return "fast" if network.samples == RANDOM else options.effort


def result(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def merged(
    networks: Sequence[Network],
    folder: Path,
    options: argparse.Namespace,
    about: Mapping[str, Any],
    missing: Mapping[str, str],
) -> dict[str, Any]:
    """One document of all parts."""
    document: dict[str, Any] = {"machine": about, "missing": dict(missing), "seconds": options.seconds}
    document["models"], document["rows"] = [], []
    for network in networks:
        parts = {step.path.stem: result(step.path) for step in steps(network, folder, options)}
        prepared, compared = parts.pop("prepare"), parts.pop("accuracy")
        document["models"].append(
            {
                "name": network.name,
                "samples": network.samples,
                "effort": effort_of(network, options),
                "int8_bytes": prepared["int8_bytes"],
                "missing": prepared["missing"] | compared["left_out"],
                "accuracy": compared["rows"],
                "peak_gain": {name: part["peak_gain"] for name, part in parts.items() if part["peak_gain"]},
            }
        )
        for part in parts.values():
            document["rows"] += part["rows"]
    return document


def write(document: dict[str, Any], folder: Path, published: bool) -> None:
    """The run's files, and with `published` the pages that show them."""
    stem = folder / f"models_{machine.slug(document['machine'])}"
    write_files(document, stem, page.page, chart.draw, page.publish if published else None)
    say(f"wrote {stem}.*")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench models", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tiers = qkern.isa.available()
    usual = tuple(dict.fromkeys([tiers[0], *(tier for tier in tiers if tier == "avx2")]))
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(KNOWN))
    parser.add_argument("--model", action="append", type=Path, metavar="PATH", help="any float model; repeatable")
    parser.add_argument("--threads", type=counts, default=[1, 2][: os.cpu_count()])
    parser.add_argument("--batch", type=sizes, default=[1, 32])
    parser.add_argument("--isa", type=names_of(tiers), default=usual, help=f"our tiers ({','.join(usual)})")
    add_instructions(parser)
    parser.add_argument("--seconds", type=float, default=1.0, help="of timing, for each contestant")
    parser.add_argument("--images", type=int, default=400, help="to compare on, at most")
    parser.add_argument("--effort", choices=EFFORTS, default="balanced", help="of our quantization")
    parser.add_argument("--output", type=Path, default=machine.ROOT / "build" / "bench")
    parser.add_argument(
        "--publish", action="store_true", help="write to bench/results, and have README and docs show this run"
    )
    parser.add_argument("--render", type=Path, metavar="JSON", help="no measuring: the files of an earlier run again")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="of a run in pieces")
    parser.add_argument("--steps", type=names_of(STEPS), default=STEPS, help=f"some of {','.join(STEPS)}; with --keep")
    parser.add_argument(
        "--limit", type=float, default=float("inf"), metavar="S", help="no step begins later; with --keep"
    )
    options = parser.parse_args(arguments)
    check_instructions(parser, options)
    if unknown := [name for name in options.models if name not in KNOWN]:
        parser.error(f"{', '.join(unknown)}: not one of {', '.join(KNOWN)}")
    if not options.keep and (set(options.steps) != set(STEPS) or options.limit != float("inf")):
        parser.error("--steps and --limit leave something for the next run: they need --keep")
    if options.publish:
        options.output = RESULTS
    return options


def sizes(text: str) -> list[int]:
    """Sizes of batches, with commas between."""
    found = [int(part) for part in text.split(",")]
    if min(found) < 1:
        raise argparse.ArgumentTypeError("has to be 1 or more")
    return found
