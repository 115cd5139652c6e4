"""Whether runtimes that saturate on AVX2 compute qkern's models exactly: onnxruntime, default mode and exact one.

    python -m bench.saturation [--model NAME]... [--effort E]... [--images N]

Each network is quantized with and without saturation-safe weights. The files run on an emulated Haswell (`qemu-x86_64`,
Debian: qemu-user), an AVX2 processor without VNNI, where onnxruntime's default saturates sums of pairs of products;
`session.x64quantprecision` asks it for exact ones. SQNR is that of the logits against the float model's. Models and
images are those of bench/accuracy.py. Exits 1 where the two modes differ on a file with saturation-safe weights.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import qkern
from qkern.conversion import EFFORTS

from . import accuracy, machine
from .exactness import sqnr
from .report.markdown import table

__all__ = ["main"]

IMAGES = {"efficientnet_lite0": 8, "resnet20_cifar10": 64}  # an emulated processor takes seconds for each of the first


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.saturation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", choices=list(IMAGES))
    parser.add_argument("--effort", action="append", choices=EFFORTS)
    parser.add_argument("--images", type=int, help="how many to compare on")
    parser.add_argument("--worker", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    if parsed.worker:
        print(json.dumps([run(path) for path in sorted(parsed.worker.glob("*.onnx"))]))
        return 0
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        print("needs qemu-x86_64 (Debian: qemu-user)", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case in accuracy.CASES:
            if parsed.model and case.name not in parsed.model:
                continue
            if why := accuracy.missing(case):
                print(f"{case.name} skipped: {why}", file=sys.stderr)
                continue
            prepare(case, folder, parsed.effort or EFFORTS, parsed.images or IMAGES[case.name])
        rows = emulated(emulator, folder)
    heads = ["file", "default mode", "exact mode", "logits that differ", "qkern"]
    cells = [[r["file"], db(r["default"]), db(r["exact"]), f"{100 * r['differ']:.1f} %", r["qkern"]] for r in rows]
    print(table(heads, cells))
    return int(any(row["differ"] for row in rows if "without" not in row["file"]))


def db(value: float) -> str:
    return f"{value:.1f} dB"


def prepare(case: accuracy.Case, folder: Path, efforts: Sequence[str], count: int) -> None:
    """The int8 files, and beside each what it runs on and is compared with."""
    images, _ = accuracy.load(case)
    for_calibration, held_out = accuracy.split(len(images))
    few = images[held_out[np.arange(count) * len(held_out) // count]]
    path = accuracy.SHARED / case.model
    expected = qkern.Session(path).run(None, {"input": few})[0]
    for effort in efforts:
        for safe in (True, False):
            quantized = qkern.quantize_model(path, images[for_calibration], "x86", effort=effort, saturation_safe=safe)
            stem = folder / f"{case.name}, {effort}{'' if safe else ', without'}"
            quantized.save(f"{stem}.onnx")
            np.savez(
                f"{stem}.npz", images=few, expected=expected, ours=quantized.session().run(None, {"input": few})[0]
            )


def emulated(emulator: str, folder: Path) -> list[dict[str, Any]]:
    """What `run` finds there."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS")}
    done = subprocess.run(
        [emulator, "-cpu", "Haswell", sys.executable, "-m", "bench.saturation", "--worker", str(folder)],
        cwd=machine.ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # the emulator names every feature it lacks
        text=True,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(path: Path) -> dict[str, Any]:
    """One file in both modes, here."""
    import onnxruntime

    with np.load(path.with_suffix(".npz")) as kept:
        images, expected, ours = kept["images"], kept["expected"], kept["ours"]
    outputs = []
    for exact in ("0", "1"):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.x64quantprecision", exact)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        parts = np.array_split(images, max(1, len(images) // 8))
        outputs.append(np.concatenate([session.run(None, {name: part})[0] for part in parts]))
    here = qkern.Session(path, num_threads=1).run(None, {"input": images[:1]})[0]
    return {
        "file": path.stem,
        "default": sqnr(expected, outputs[0]),
        "exact": sqnr(expected, outputs[1]),
        "differ": float((outputs[0] != outputs[1]).mean()),
        "qkern": f"{sqnr(expected, ours):.1f} dB, " + ("the same bytes" if (here == ours[:1]).all() else "OTHER BYTES"),
    }


if __name__ == "__main__":
    sys.exit(main())
