"""Kernels in int8 beside float32 on this machine, a few shapes of each: what `qkern bench` measures.

The contestants of a shape are checked, then timed in turn in one process with the same number of threads. The suite in
the repository's bench/ measures all shapes, other int8 libraries and the processor's own limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core, dequantize, matmul, pack, quantize
from .interleaved import Timing, interleaved_timings

__all__ = ["PEERS", "SHAPES", "Entry", "Measured", "measure"]

Array = NDArray[Any]
Call = Callable[[], object]

PEERS = ("onnxruntime", "torch")


@dataclass(frozen=True)
class Gemm:
    """[rows, depth] x [depth, cols]."""

    rows: int
    cols: int
    depth: int

    @property
    def name(self) -> str:
        return f"gemm {self.rows}x{self.cols}x{self.depth}"

    @property
    def work(self) -> int:
        return 2 * self.rows * self.cols * self.depth


@dataclass(frozen=True)
class Conv:
    """Batch 1, channels last, square, the size kept."""

    channels: int
    filters: int
    kernel: int
    size: int
    groups: int = 1

    @property
    def name(self) -> str:
        kind = "depthwise" if self.groups == self.channels else "conv"
        channels = f"{self.channels}" if self.channels == self.filters else f"{self.channels}->{self.filters}"
        return f"{kind} {self.kernel}x{self.kernel} {channels} @{self.size}"

    @property
    def work(self) -> int:
        return 2 * self.size**2 * self.filters * self.channels // self.groups * self.kernel**2


@dataclass(frozen=True)
class Elementwise:
    """quantize or dequantize, one scale."""

    operator: str
    elements: int

    @property
    def name(self) -> str:
        return f"{self.operator} {self.elements >> 10} Ki"

    @property
    def work(self) -> int:
        return self.elements


Shape = Gemm | Conv | Elementwise

SHAPES: tuple[Shape, ...] = (
    Gemm(1024, 1024, 1024),
    Gemm(128, 768, 768),
    Gemm(1, 4096, 4096),
    Gemm(784, 128, 1152),
    Conv(64, 64, 3, 56),
    Conv(64, 256, 1, 56),
    Conv(384, 384, 3, 14, groups=384),
    Elementwise("quantize", 256 << 10),
    Elementwise("dequantize", 256 << 10),
)


@dataclass(frozen=True)
class Entry:
    """Who computed it, whether in int8, and how long a call took."""

    name: str
    is_int8: bool
    timing: Timing


@dataclass(frozen=True)
class Measured:
    """A shape and all its entries; the first is qkern's int8. `work`: operations (2 per product), or elements."""

    name: str
    work: int
    entries: tuple[Entry, ...]

    @property
    def fastest_float(self) -> Entry | None:
        """The fastest that is not int8."""
        floats = [entry for entry in self.entries if not entry.is_int8]
        return min(floats, key=lambda entry: entry.timing.median, default=None)

    @property
    def speedup(self) -> float | None:
        """How many times as fast as the fastest float qkern's int8 is."""
        if self.fastest_float is None:
            return None
        return self.fastest_float.timing.median / self.entries[0].timing.median

    def as_dict(self) -> dict[str, Any]:
        """For JSON; seconds."""
        entries = [
            {"name": each.name, "int8": each.is_int8, **{k: getattr(each.timing, k) for k in ("median", "low", "high")}}
            for each in self.entries
        ]
        return {"shape": self.name, "work": self.work, "entries": entries, "speedup": self.speedup}


def measure(
    threads: int, *, shapes: Sequence[Shape] = SHAPES, seconds: float = 0.15, peers: Sequence[str] = PEERS
) -> Iterator[Measured]:
    """Each shape when it is measured, on `threads` threads; `peers` that aren't installed are left out.

    Raises AssertionError where an int8 result differs from the exact one: then its speed is of no interest.
    """
    there = [name for name in peers if find_spec(name) is not None]
    before = _core.get_num_threads()
    _core.set_num_threads(threads)
    try:
        for shape in shapes:
            contestants = list(_contestants(shape, threads, there))
            pause = 0.004 if threads > 1 else 0.0  # threads of other libraries go on spinning for a while
            timings = interleaved_timings([call for _, _, call in contestants], seconds=seconds, pause=pause)
            entries = (Entry(name, int8, time) for (name, int8, _), time in zip(contestants, timings, strict=True))
            yield Measured(shape.name, shape.work, tuple(entries))
    finally:
        _core.set_num_threads(before)


def _contestants(shape: Shape, threads: int, peers: Sequence[str]) -> Iterator[tuple[str, bool, Call]]:
    if isinstance(shape, Gemm):
        yield from _gemm(shape, threads, peers)
    elif isinstance(shape, Conv):
        yield from _conv(shape, threads, peers)
    else:
        yield from _elementwise(shape)


def _gemm(shape: Gemm, threads: int, peers: Sequence[str]) -> Iterator[tuple[str, bool, Call]]:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (shape.rows, shape.depth), np.uint8)
    b = rng.integers(-128, 128, (shape.depth, shape.cols), np.int8)
    packed, out = pack(b), np.empty((shape.rows, shape.cols), np.int32)
    matmul(a, packed, out=out)
    # Sums of products of codes are integers far below 2**53, so float64 has them exactly.
    assert np.array_equal(out, a.astype(np.float64) @ b.astype(np.float64)), f"{shape.name}: wrong result"
    yield "qkern int8", True, partial(matmul, a, packed, out=out)
    x = rng.standard_normal((shape.rows, shape.depth), np.float32)
    w = rng.standard_normal((shape.depth, shape.cols), np.float32)
    y = np.empty((shape.rows, shape.cols), np.float32)
    yield "NumPy", False, partial(np.matmul, x, w, out=y)
    yield "qkern float", False, partial(_core.Linear(np.ascontiguousarray(w.T)), x, out=np.empty_like(y))
    if "onnxruntime" in peers:
        from onnx import helper

        yield "ONNX Runtime", False, _onnxruntime(helper.make_node("MatMul", ["x", "w"], ["y"]), x, w, y.shape, threads)
    if "torch" in peers:
        torch = import_module("torch")
        torch.set_num_threads(threads)
        product = torch.empty(y.shape)
        yield "PyTorch", False, partial(torch.mm, torch.from_numpy(x), torch.from_numpy(w), out=product)


def _conv(shape: Conv, threads: int, peers: Sequence[str]) -> Iterator[tuple[str, bool, Call]]:
    rng = np.random.default_rng(0)
    image = (1, shape.size, shape.size, shape.channels)
    weight = (shape.filters, shape.channels // shape.groups, shape.kernel, shape.kernel)
    padding = shape.kernel // 2
    geometry: dict[str, Any] = {"padding": padding, "groups": shape.groups}
    codes, w_codes = rng.integers(0, 256, image, np.uint8), rng.integers(-128, 128, weight, np.int8)
    layer = _core.QConv(
        w_codes, 0.01, x_scale=0.1, x_zero_point=128, y_scale=5.0, y_zero_point=128, layout="NHWC", **geometry
    )
    acc = _core.conv(codes, w_codes, x_zero_point=128, layout="NHWC", **geometry)
    multiplier = np.float32(0.1) * np.float32(0.01) / np.float32(5.0)
    expected = np.clip(np.rint(acc.astype(np.float32) * multiplier) + 128, 0, 255)
    assert np.array_equal(layer(codes), expected), f"{shape.name}: wrong result"
    out = np.empty((1, shape.size, shape.size, shape.filters), np.uint8)
    yield "qkern int8", True, partial(layer, codes, out=out)
    x, w = rng.standard_normal(image, np.float32), rng.standard_normal(weight, np.float32)
    yield "qkern float", False, partial(_core.Conv(w, **geometry), x, out=np.empty(out.shape, np.float32))
    if "onnxruntime" in peers:
        from onnx import helper

        node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[padding] * 4, group=shape.groups)
        first = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        shape_y = (1, shape.filters, shape.size, shape.size)
        yield "ONNX Runtime", False, _onnxruntime(node, first, w, shape_y, threads)
    if "torch" in peers:
        torch = import_module("torch")
        torch.set_num_threads(threads)
        kernel = torch.from_numpy(w).contiguous(memory_format=torch.channels_last)
        call = partial(torch.nn.functional.conv2d, torch.from_numpy(x).permute(0, 3, 1, 2), kernel)
        yield "PyTorch", False, partial(call, padding=padding, groups=shape.groups)


def _onnxruntime(node: Any, x: Array, w: Array, shape: tuple[int, ...], threads: int) -> Call:
    """A session for one node with weights w; threads don't spin when it has nothing to do."""
    from onnx import TensorProto, helper, numpy_helper

    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
    graph = helper.make_graph([node], "bench", inputs, outputs, [numpy_helper.from_array(w, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnxruntime = import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return partial(session.run, None, {"x": x})


def _elementwise(shape: Elementwise) -> Iterator[tuple[str, bool, Call]]:
    rng = np.random.default_rng(0)
    x, scale = rng.standard_normal(shape.elements, np.float32), np.float32(0.03)
    real, codes = np.empty_like(x), np.empty(x.shape, np.int8)
    quantize(x, scale, out=codes)
    assert np.array_equal(codes, np.clip(np.rint(x / scale), -128, 127)), f"{shape.name}: wrong result"
    if shape.operator == "dequantize":
        yield "qkern int8", True, partial(dequantize, codes, scale, out=real)
        yield "NumPy", False, partial(np.multiply, codes, scale, out=np.empty_like(x))
        return

    def in_numpy() -> None:
        np.divide(x, scale, out=real)
        np.rint(real, out=real)
        np.clip(real, -128, 127, out=real)
        real.astype(np.int8)

    yield "qkern int8", True, partial(quantize, x, scale, out=codes)
    yield "NumPy", False, in_numpy
