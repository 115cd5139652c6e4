"""What is around the kernels: packing, import, size, the cost of a call; and what the machine reaches at best."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import qkern
from qkern import _core
from qkern.timing import interleaved_timings

from . import peaks
from .contest import Effort

__all__ = ["lite0_layers", "measure", "peaks_of_machine"]

BANDWIDTH_SIZES = {"16 KiB": 16 << 10, "256 KiB": 256 << 10, "8 MiB": 8 << 20, "256 MiB": 256 << 20}
IMPORTS = 9


def peaks_of_machine(threads: int, effort: Effort) -> dict[str, float]:
    """GOPS of every tier's instructions, and GB/s of reading and, with a compiler, copying at several sizes."""
    loops = {peak.instructions: peaks.run(peak, threads) for peak in peaks.of_tiers(qkern.isa.available())}
    saturating = peaks.saturating(threads)
    if saturating is not None:
        loops[peaks.SATURATING] = saturating
    loops |= {f"read {name}": peaks.read(size, threads) for name, size in BANDWIDTH_SIZES.items()}
    for plainly, how in () if peaks.library() is None else ((True, "vector moves"), (False, "memcpy")):
        copies = {name: peaks.copy(size // 2, threads, plainly) for name, size in BANDWIDTH_SIZES.items()}
        loops |= {f"copy {name}, {how}": loop for name, loop in copies.items()}
    timings = interleaved_timings(
        [call for call, _ in loops.values()],
        samples=effort.samples,
        seconds=effort.seconds,
        pause=effort.pause,
        clock=effort.clock,
    )
    return {
        name: amount / timing.median / 1e9 for (name, (_, amount)), timing in zip(loops.items(), timings, strict=True)
    }


def measure() -> list[dict[str, Any]]:
    """Each with what it has to stay below."""
    layers = lite0_layers()
    weights = sum(weight.size for weight, _, _ in layers)
    a, packed = np.ones((3, 7), np.uint8), qkern.pack(np.ones((7, 5), np.int8))
    x, codes, out = np.ones(4096, np.float32), np.ones(4096, np.uint8), np.empty((3, 5), np.int32)
    real = np.empty(4096, np.float32)
    calls = {
        f"packing EfficientNet-Lite0's weights ({weights / 1e6:.2f} M, one thread)": partial(_pack, layers),
        "matmul 3x5x7, packed": partial(qkern.matmul, a, packed, out=out),
        "quantize, 4 Ki elements": partial(qkern.quantize, x, 0.1, 0, dtype=np.uint8, out=codes),
        "dequantize, 4 Ki elements": partial(qkern.dequantize, codes, 0.1, 0, out=real),
        "requantize, 4 Ki elements": partial(
            qkern.requantize, x.view(np.int32), np.float32(0.01), 0, dtype=np.uint8, out=codes
        ),
    }
    below = (10e-3, 0.6e-6, 0.8e-6, 0.8e-6, 0.8e-6)
    timings = interleaved_timings(list(calls.values()), seconds=1.0)
    rows: list[dict[str, Any]] = [
        {"what": what, "value": timing.median, "unit": "s", "low": timing.low, "high": timing.high, "below": limit}
        for (what, timing), limit in zip(zip(calls, timings, strict=True), below, strict=True)
    ]
    rows.append({"what": "import qkern after numpy", "value": import_seconds(), "unit": "s", "below": 50e-3})
    rows.append({"what": "the extension, stripped", "value": stripped_bytes(), "unit": "B", "below": 3e6})
    return rows


def _pack(layers: list[tuple[Any, Any, dict[str, int]]]) -> None:
    for weight, scale, geometry in layers:
        if geometry:
            qkern.QConv(weight, scale, x_scale=0.1, y_scale=0.1, **geometry)  # type: ignore[arg-type]
        else:
            qkern.QLinear(weight, scale, x_scale=0.1, y_scale=0.1)


def lite0_layers() -> list[tuple[Any, Any, dict[str, int]]]:
    """Random weights in the shapes of EfficientNet-Lite0, scales, and geometry (empty for the classifier)."""
    rng = np.random.default_rng(0)
    layers = []
    for shape, groups in lite0_shapes():
        weight = rng.integers(-127, 128, shape, np.int8)
        geometry = {"groups": groups, "padding": shape[-1] // 2} if len(shape) == 4 else {}
        layers.append((weight, np.full(shape[0], 0.01, np.float32), geometry))
    return layers


def lite0_shapes() -> Iterator[tuple[tuple[int, ...], int]]:
    """Weights [out, in / groups, kernel, kernel] and groups: a stem, 16 inverted bottlenecks, a head, a classifier."""
    yield (32, 3, 3, 3), 1
    channels = 32
    # Expansion, output channels, blocks, kernel.
    for expand, out, blocks, kernel in (
        (1, 16, 1, 3), (6, 24, 2, 3), (6, 40, 2, 5), (6, 80, 3, 3), (6, 112, 3, 5), (6, 192, 4, 5), (6, 320, 1, 3),
    ):  # fmt: skip
        for _ in range(blocks):
            wide = channels * expand
            if expand > 1:
                yield (wide, channels, 1, 1), 1
            yield (wide, 1, kernel, kernel), wide
            yield (out, wide, 1, 1), 1
            channels = out
    yield (1280, channels, 1, 1), 1
    yield (1000, 1280), 1


def import_seconds() -> float:
    """What `import qkern` adds to `import numpy`: median of new processes."""
    command = [sys.executable, "-c"]
    code = "import time, numpy; t = time.perf_counter(); import qkern; print(time.perf_counter() - t)"
    runs = [subprocess.run([*command, code], capture_output=True, text=True, check=True) for _ in range(IMPORTS)]
    return median(float(run.stdout) for run in runs)


def stripped_bytes() -> int:
    """Size of the extension as a wheel carries it; of the one that is loaded, where there is no `strip`."""
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(shutil.copy(_core.__file__, folder))
        if shutil.which("strip"):
            subprocess.run(["strip", str(copied)], check=True)
        return copied.stat().st_size
