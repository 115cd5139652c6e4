"""Who is right: share of wrong entries and largest error on full-range data, and what that does to a model.

    python -m bench.exactness [--output FOLDER] [--publish] [--no-models] [--render JSON]

Each environment is a process of its own: this processor as it is; a Haswell (AVX2) by `qemu-x86_64`, where that is
installed (Debian: qemu-user); and, where the processor has more than AVX2, itself without that (bench/instructions).
The models are the demo's and, with ../shared beside the checkout, EfficientNet-Lite0. A model is quantized once, here,
by qkern, as for x86 by default and, as others quantize, with the smallest scales (`saturation_safe=False`); the same
QDQ files then run everywhere, and their outputs are compared with those of the float model.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import qkern
from numpy.typing import NDArray

from . import contestants, instructions, machine
from .exact import deviation
from .operators import conv, gemm
from .report import publish
from .report.markdown import share, table
from .run import RESULTS, say
from .shapes import Conv, Gemm

__all__ = ["main", "page", "sqnr"]

CASES: tuple[tuple[Any, Any], ...] = ((gemm.build, Gemm(64, 256, 768)), (conv.build, Conv(64, 64, 3, 14)))
TASKS = {"s32": "matrix product, int32 sums", "u8": "uint8 codes after requantization"}
LITE0_IMAGES = 16  # an emulated processor takes seconds for each
DEMO_IMAGES = 96


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures everywhere, writes JSON and Markdown; 1 where qkern isn't exact, or not the same everywhere."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.exactness", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=machine.ROOT / "build" / "bench")
    parser.add_argument("--publish", action="store_true", help="write to bench/results, and have the README show it")
    parser.add_argument("--no-models", action="store_true", help="kernels only")
    parser.add_argument("--render", type=Path, metavar="JSON", help="no measuring: the files of an earlier run again")
    parser.add_argument("--worker", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    if parsed.worker:
        print(json.dumps(work(parsed.worker)))
        return 0
    document = json.loads(parsed.render.read_text()) if parsed.render else measure(with_models=not parsed.no_models)
    write(document, RESULTS if parsed.publish else parsed.output, parsed.publish)
    return 0 if document["same_bits"] and ours_is_exact(document["environments"]) else 1


def measure(*, with_models: bool) -> dict[str, Any]:
    """What the JSON holds."""
    document: dict[str, Any] = {"machine": machine.describe(), "missing": contestants.installed()[1]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model in models() if with_models else ():
            prepare(folder, *model)
        document["environments"] = {
            what: in_environment(what, command, variables, folder) for what, command, variables in environments()
        }
    document["same_bits"] = same_bits(document["environments"])
    return document


def write(document: dict[str, Any], folder: Path, published: bool) -> None:
    """JSON and Markdown, and with `published` the tables in README and docs/benchmarking.md."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"exactness_{machine.slug(document['machine'])}"
    paths = {kind: stem.with_name(f"{stem.name}.{kind}") for kind in ("json", "md")}
    paths["json"].write_text(json.dumps(document, indent=1) + "\n")
    paths["md"].write_text(page(document))
    print(page(document))
    for shown in (publish.README, publish.DOCS) if published else ():
        link = publish.relative(paths["md"], shown)
        publish.replace_block(shown, "exactness", f"{short(document)}\n\n[All figures]({link}).")


# --- environments -------------------------------------------------------------


def environments() -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Name, what the command starts with, environment variables."""
    yield f"this processor, {qkern.isa.active()}", [], {}
    emulator = shutil.which("qemu-x86_64")
    if emulator:
        yield "Haswell, emulated", [emulator, "-cpu", "Haswell"], {}
    else:
        say("missing: qemu-x86_64 (Debian: qemu-user), so no emulated Haswell")
    if qkern.isa.active() in ("avx512_vnni", "avx_vnni"):
        if why := instructions.why_missing():
            say(f"missing: this processor without what AVX2 lacks ({why})")
        else:
            yield "this processor, AVX2 alone", [], dict(instructions.environment("avx2"))


def in_environment(
    what: str, command: Sequence[str], variables: Mapping[str, str], folder: Path
) -> dict[str, list[dict[str, Any]]]:
    """What `work` finds there."""
    say(f"{what} ...")
    done = subprocess.run(
        [*command, sys.executable, "-m", "bench.exactness", "--worker", str(folder)],
        cwd=machine.ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if command else None,  # the emulator names every feature it lacks
        text=True,
        check=True,
    )
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout.splitlines()[-1])
    return found


def work(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Of this process: every contestant's deviation, every model's distance from float."""
    modules, _ = contestants.installed()
    tiers = [qkern.isa.active()]
    kernels = []
    for build, shape in CASES:
        case = build(shape, modules, 1, tiers)
        for each in case.contestants:
            if each.task != "fp32" and each.library != "numpy int32":
                each.call()
                found = deviation(np.asarray(each.output()), case.answers[each.answer])
                kernels.append(
                    {
                        "op": case.op,
                        "task": each.task,
                        "library": each.library,
                        "variant": each.variant,
                        "wrong_share": found.wrong_share,
                        "largest_error": found.largest_error,
                    }
                )
    return {"kernels": kernels, "models": [row for path in sorted(folder.glob("*.onnx")) for row in run_model(path)]}


def run_model(path: Path) -> Iterator[dict[str, Any]]:
    """qkern, and ONNX Runtime where it is installed, on the images that were kept beside the model."""
    with np.load(path.with_suffix(".npz")) as kept:
        images, expected = kept["images"], kept["outputs"]
    sessions: dict[str, Any] = {"qkern": qkern.Session(path, num_threads=1)}
    try:
        import onnxruntime
    except ImportError:
        pass
    else:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        sessions["onnxruntime"] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for library, session in sessions.items():
        name = session.get_inputs()[0].name
        parts = np.array_split(images, max(1, len(images) // 8))
        outputs = np.concatenate([session.run(None, {name: part})[0] for part in parts])
        yield {
            "model": path.stem,
            "library": library,
            "images": len(images),
            "sqnr_db": sqnr(expected, outputs),
            "agreement": float((outputs.argmax(1) == expected.argmax(1)).mean()),
            "sha256": hashlib.sha256(np.ascontiguousarray(outputs).tobytes()).hexdigest(),
        }


def sqnr(reference: NDArray[np.float32], result: NDArray[np.float32]) -> float:
    """10 log10(sum r^2 / sum (r - q)^2), in dB."""
    real = reference.astype(np.float64)
    return float(10 * np.log10(np.sum(real**2) / np.sum((real - result) ** 2)))


# --- models -------------------------------------------------------------------


def models() -> Iterator[tuple[str, Path, NDArray[np.float32], NDArray[np.float32]]]:
    """Name, file, images to calibrate with, images to compare on."""
    from qkern.demo import data

    images = data.load()
    yield "fashion_mnist", data.model_path(), images.calibration, images.test[:DEMO_IMAGES]

    from . import accuracy

    [case] = [case for case in accuracy.CASES if case.name == "efficientnet_lite0"]
    if why := accuracy.missing(case):
        say(f"missing: {case.name} ({why})")
        return
    every, _ = accuracy.load(case)
    for_calibration, held_out = accuracy.split(len(every))
    few = held_out[np.arange(LITE0_IMAGES) * len(held_out) // LITE0_IMAGES]
    yield case.name, accuracy.SHARED / case.model, every[for_calibration], every[few]


def prepare(folder: Path, name: str, path: Path, calibration: NDArray[np.float32], images: NDArray[np.float32]) -> None:
    """The int8 models, the images and the float model's outputs, in the folder."""
    session = qkern.Session(path)
    first = session.get_inputs()[0].name
    outputs = np.concatenate([session.run(None, {first: part})[0] for part in np.array_split(images, len(images) // 8)])
    for safe, file in ((True, name), (False, f"{name}, smallest scales")):
        say(f"quantizing {file} ...")
        quantized = qkern.quantize_model(path, calibration, "x86", effort="fast", saturation_safe=safe)
        quantized.save(folder / f"{file}.onnx")
        np.savez(folder / f"{file}.npz", images=images, outputs=outputs)


# --- tables -------------------------------------------------------------------


def same_bits(found: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> bool:
    """Whether qkern's model outputs are the same bytes in all environments."""
    hashes: dict[str, set[str]] = {}
    for environment in found.values():
        for row in environment["models"]:
            if row["library"] == "qkern":
                hashes.setdefault(row["model"], set()).add(row["sha256"])
    return all(len(each) == 1 for each in hashes.values())


def ours_is_exact(found: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> bool:
    rows = [row for environment in found.values() for row in environment["kernels"]]
    return all(row["wrong_share"] == 0 for row in rows if row["library"] == "qkern")


def page(document: Mapping[str, Any]) -> str:
    """Everything, as Markdown."""
    about = document["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [
        f"# Exactness: {about['cpu']}, {about['tier']}, {about['date']}",
        f"Commit {about['commit'] or 'unknown'}; {versions}. Codes are random over their whole range: share of entries "
        "that differ from the exact ones, and the largest difference.",
    ]
    if document["missing"]:
        lines.append("Missing: " + "; ".join(f"{name} ({why})" for name, why in document["missing"].items()) + ".")
    for op in ("gemm", "conv"):
        for task, title in TASKS.items():
            rows = kernel_rows(document, op, task)
            if rows:
                what = title if op == "gemm" or task == "s32" else f"convolution, {title}"
                lines += [f"## {what[0].upper()}{what[1:]}", table(["", *document["environments"]], rows)]
    rows = model_rows(document)
    if rows:
        same = "the same bytes in all of these" if document["same_bits"] else "NOT THE SAME in these"
        lines += ["## Models", f"SQNR against the float model, and share of images with its top-1; qkern's are {same}."]
        lines.append(table(["", *document["environments"]], rows))
    return "\n\n".join(lines) + "\n"


def short(document: Mapping[str, Any]) -> str:
    """One table: sums, codes, models."""
    parts = (
        ("int32 sums", kernel_rows(document, "gemm", "s32")),
        ("uint8 codes", kernel_rows(document, "gemm", "u8")),
        ("model", model_rows(document)),
    )
    rows = [[what, *row] for what, found in parts for row in found]
    return table(["", "", *document["environments"]], rows)


def kernel_rows(document: Mapping[str, Any], op: str, task: str) -> list[list[str]]:
    """A row per contestant, a column per environment."""
    cells: dict[str, dict[str, str]] = {}
    for environment, found in document["environments"].items():
        for row in found["kernels"]:
            if row["op"] == op and row["task"] == task and not row["variant"].endswith(("unpacked", "NCHW")):
                name = f"{row['library']} {row['variant']}"
                cells.setdefault(name, {})[environment] = (
                    f"{share(row['wrong_share'])} wrong, by up to {row['largest_error']:,.0f}"
                    if row["wrong_share"]
                    else "exact"
                )
    return [[name, *(of.get(each, "-") for each in document["environments"])] for name, of in cells.items()]


def model_rows(document: Mapping[str, Any]) -> list[list[str]]:
    cells: dict[str, dict[str, str]] = {}
    for environment, found in document["environments"].items():
        for row in found["models"]:
            name = f"{row['model']}, {row['library']}"
            cells.setdefault(name, {})[environment] = f"{row['sqnr_db']:.1f} dB, {100 * row['agreement']:.0f} %"
    return [[name, *(of.get(each, "-") for each in document["environments"])] for name, of in cells.items()]


if __name__ == "__main__":
    sys.exit(main())
