"""Accuracy on real models: what int8 costs in top-1, agreement and SQNR, per model, target and method.

    python bench/accuracy.py [--model NAME]... [--target x86|arm]... [--method M]...
                             [--effort fast|balanced|best] [--weights FORMAT]... [--size SHARE] [--threads N]
                             [--json FILE]

EfficientNet-Lite0 on 500 ImageNet photos and ResNet-20 on 5000 CIFAR-10 test images, calibrated on 100 of them (evenly
spaced, so of all classes) and compared on the others. Models and images are expected in ../shared beside the checkout;
what isn't there is skipped, with the reason. Where onnxruntime is installed the saved model also runs there, and its
top-1 is compared with ours. Exits 1 where a target with its own method misses what it has to reach.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import qkern
from numpy.typing import NDArray
from qkern.calibration import METHODS
from qkern.conversion import EFFORTS
from qkern.conversion.weight_formats import EIGHT_BITS, FORMATS, MIXED
from qkern.report import compare
from qkern.target import TARGETS

SHARED = Path(__file__).resolve().parents[2] / "shared"
CALIBRATION_IMAGES = 100
LEAST_AGREEMENT = 0.97


@dataclass(frozen=True)
class Case:
    """A model, its images with labels in their names, and the top-1 it may lose (as a share)."""

    name: str
    model: str
    images: str
    label: Callable[[str], int]
    normalize: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    may_lose: float


IMAGENET_MEAN, IMAGENET_STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])

CASES = [
    Case(
        name="efficientnet_lite0",
        model="models/efficientnet_lite0.onnx",
        images="data/imagenet_sample_500.zip",
        label=lambda name: int(Path(name).stem),
        normalize=lambda rgb: (rgb - np.float32(127)) / np.float32(128),
        may_lose=0.010,
    ),
    Case(
        name="resnet20_cifar10",
        model="models/resnet20_cifar10.onnx",
        images="data/cifar10_test_5000.zip",
        label=lambda name: int(Path(name).parent.name),
        normalize=lambda rgb: (rgb / np.float32(255) - IMAGENET_MEAN) / IMAGENET_STD,
        may_lose=0.005,
    ),
]


def missing(case: Case) -> str:
    """Why the case can't run here; "" where it can."""
    absent = [path for path in (case.model, case.images) if not (SHARED / path).exists()]
    if absent:
        return f"{', '.join(absent)} not in {SHARED.name}/ beside the checkout"
    return "" if find_spec("PIL") else "pillow is not installed"


def load(case: Case) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All images as the model takes them, [n, 3, height, width], and their classes."""
    from PIL import Image

    with zipfile.ZipFile(SHARED / case.images) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        pixels = [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"), np.float32) for name in names]
    images = np.stack([case.normalize(image).transpose(2, 0, 1) for image in pixels])
    return images, np.array([case.label(name) for name in names])


def split(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices to calibrate with, evenly spaced, and all the others."""
    chosen = np.arange(CALIBRATION_IMAGES) * count // CALIBRATION_IMAGES
    return chosen, np.setdiff1d(np.arange(count), chosen)


def measure(
    case: Case,
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    target: str,
    method: str | None,
    effort: str,
    weights: str,
    size: float | None,
    threads: int | None,
) -> dict[str, Any]:
    """One row of the table."""
    for_calibration, held_out = split(len(images))
    path = SHARED / case.model
    start = time.perf_counter()
    quantized = qkern.quantize_model(
        path,
        images[for_calibration],
        target,
        method,
        effort=effort,
        weights=weights,
        size=size if weights == MIXED else None,
        num_threads=threads,
    )
    seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "int8.onnx"
        quantized.save(saved)
        result = compare(path, saved, images[held_out], labels[held_out], num_threads=threads)
        peer = onnxruntime_agreement(saved, images[held_out]) if find_spec("onnxruntime") else None
    assert result.top1_float is not None
    assert result.top1_int8 is not None
    assert result.agreement is not None
    is_default = weights == EIGHT_BITS and (method is None or method == TARGETS[target].method)
    reached = result.top1_float - result.top1_int8 <= case.may_lose and result.agreement >= LEAST_AGREEMENT
    return {
        "model": case.name,
        "target": target,
        "method": quantized.method,
        "effort": effort,
        "weights": weights,
        "is_default": is_default,
        "reached": reached,
        "calibrated_on": CALIBRATION_IMAGES,
        "quantize_seconds": seconds,
        "onnxruntime_agreement": peer,
        **result.as_dict(),
    }


def onnxruntime_agreement(path: Path, images: NDArray[np.float32]) -> float:
    """Share of images for which ONNX Runtime's top-1 of the saved model is ours."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Without VNNI its default saturates int8 products; this asks for exact ones.
    options.add_session_config_entry("session.x64quantprecision", "1")
    theirs = onnxruntime.InferenceSession(path, options)
    ours = qkern.Session(path)
    name = theirs.get_inputs()[0].name
    same = [
        theirs.run(None, {name: batch})[0].argmax(axis=1) == ours.run(None, {name: batch})[0].argmax(axis=1)
        for batch in np.array_split(images, max(len(images) // 8, 1))
    ]
    return float(np.concatenate(same).mean())


def line(row: dict[str, Any]) -> str:
    """A row for people."""
    lost = 100 * (row["top1_int8"] - row["top1_float"])
    peer = "      -" if row["onnxruntime_agreement"] is None else f"{100 * row['onnxruntime_agreement']:6.2f}%"
    verdict = "" if not row["is_default"] else "  reached" if row["reached"] else "  MISSED"
    return (
        f"{row['model']:20}{row['target']:5}{row['method']:11}{row['weights']:22}"
        f"{100 * row['top1_float']:8.2f}%{100 * row['top1_int8']:8.2f}%{lost:+7.2f}{100 * row['agreement']:8.2f}%"
        f"{row['sqnr_db']:7.1f}  {peer}{row['quantize_seconds']:8.1f}{len(row['left_float']):6}"
        f"{row['size_int8'] / 1e6:8.3f}{verdict}"
    )


def main() -> int:
    """Prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=[case.name for case in CASES])
    parser.add_argument("--target", action="append", choices=list(TARGETS))
    parser.add_argument("--method", action="append", choices=list(METHODS))
    parser.add_argument("--effort", choices=EFFORTS, default="fast", help="fast: every method; more: the one it finds")
    parser.add_argument("--weights", action="append", choices=[EIGHT_BITS, *FORMATS, MIXED])
    parser.add_argument("--size", type=float, default=0.65, help="for --weights mixed: share of the int8 file's bytes")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    rows = []
    print(
        f"{'model':20}{'targ':5}{'method':11}{'weights':22}"
        "   FP32     int8    lost   agree   SQNR  as ORT  seconds float      MB"
    )
    for case in CASES:
        if arguments.model and case.name not in arguments.model:
            continue
        reason = missing(case)
        if reason:
            print(f"{case.name:20}skipped: {reason}")
            continue
        images, labels = load(case)
        for target in arguments.target or TARGETS:
            methods: list[str | None] = arguments.method or (list(METHODS) if arguments.effort == "fast" else [None])
            for method in methods:
                for weights in arguments.weights or [EIGHT_BITS]:
                    how = (target, method, arguments.effort, weights, arguments.size, arguments.threads)
                    rows.append(measure(case, images, labels, *how))
                    print(line(rows[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return int(any(row["is_default"] and not row["reached"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
