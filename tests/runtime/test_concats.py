"""Operands of a Concat that are written where they belong: which are, and that the bytes are those of the interpreter,
with which every run is compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import qkern
from onnx_text import graph
from qkern.program import Concatenate
from qkern.runtime.batch_plan import BatchPlan
from qkern.runtime.executor import _Planned


def codes(name: str, x: str) -> str:
    return f"{name}_q = QuantizeLinear({x}, s, z) {name} = DequantizeLinear({name}_q, s, z)"


def conv(name: str, x: str, w: str, attributes: str = "") -> str:
    return f"{name}_w = DequantizeLinear({w}, ws) {name}_f = Conv{attributes}({x}, {name}_w) {codes(name, name + '_f')}"


def last(x: str, w: str = "w1") -> str:
    return f"{conv('e', x, w)} y = Identity(e)"


PADDED = "<pads=[1, 1, 1, 1]>"
IMAGE = codes("i", "x")
TWO = f"{IMAGE} {conv('a', 'i', 'w1')} {conv('b', 'i', 'w3', PADDED)}"
CHANNELS = "c_f = Concat<axis=1>(a, b) " + codes("c", "c_f")
# nodes, and how many operands all Concats of codes have that are written in place, and that are copied
CODES = {
    "channels": (f"{TWO} {CHANNELS} {last('c', 'w2')}", 2, 0),
    "an image among them": (f"{TWO} c_f = Concat<axis=1>(a, i) {codes('c', 'c_f')} {last('c', 'w2')}", 1, 1),
    "read by others": (f"{TWO} {CHANNELS} d = Concat<axis=1>(c, a) y = Identity(d)", 1, 3),
    "twice the same": (f"{TWO} c_f = Concat<axis=1>(a, a) {codes('c', 'c_f')} {last('c', 'w2')}", 0, 2),
    "one in another": (
        f"{TWO} {CHANNELS} {conv('d', 'i', 'w3', PADDED)} f_f = Concat<axis=1>(d, c) {codes('f', 'f_f')}"
        f" {last('f', 'w5')}",
        4,
        0,
    ),
    "an output": (f"{TWO} y = Concat<axis=1>(a, b)", 0, 2),  # of numbers
    "pooled": (
        f"{TWO} m_f = MaxPool<kernel_shape=[3, 3], pads=[1, 1, 1, 1]>(i) {codes('m', 'm_f')}"
        f" c_f = Concat<axis=1>(m, b) {codes('c', 'c_f')} {last('c', 'w2')}",
        1,
        1,
    ),
    "depthwise": (
        f"{IMAGE} {conv('a', 'i', 'wd', '<pads=[1, 1, 1, 1], group=4>')} {conv('b', 'i', 'w3', PADDED)} {CHANNELS}"
        f" {last('c', 'w2')}",
        2,
        0,
    ),
    "groups": (
        f"{IMAGE} {conv('a', 'i', 'wg', '<pads=[1, 1, 1, 1], group=2>')} {conv('b', 'i', 'w3', PADDED)} {CHANNELS}"
        f" {last('c', 'w2')}",
        2,
        0,
    ),
    "a sum and a table behind a layer": (
        f"{TWO} s_f = Add(a, i) {codes('sum', 's_f')} t_f = HardSwish(b) {codes('t', 't_f')}"
        f" c_f = Concat<axis=1>(sum, t) {codes('c', 'c_f')} {last('c', 'w2')}",
        2,
        0,
    ),
    "rows of an image": (f"{TWO} c_f = Concat<axis=2>(a, b) {codes('c', 'c_f')} {last('c')}", 2, 0),
    "columns": (f"{TWO} c_f = Concat<axis=3>(a, b) {codes('c', 'c_f')} {last('c')}", 0, 2),
}
ROWS_OF_BATCHES = {"rows of an image": (0, 2)}  # of several images they are no piece


def arrays(rng: np.random.Generator) -> dict[str, np.ndarray]:
    shapes = {"w1": (4, 4, 1, 1), "w2": (5, 8, 1, 1), "w3": (4, 4, 3, 3), "w5": (3, 12, 1, 1)}
    shapes |= {"wd": (4, 1, 3, 3), "wg": (4, 2, 3, 3)}
    weights = {name: rng.integers(-127, 128, shape, dtype=np.int8) for name, shape in shapes.items()}
    return {**weights, "ws": np.float32(0.004), "s": np.float32(0.03), "z": np.uint8(120)}


def operands(session: qkern.Session) -> tuple[int, int]:
    """Of all Concatenates in all plans: how many operands are written in place, and how many copied."""
    written = copied = 0
    for part in session._executor._parts:
        if not isinstance(part, _Planned):
            continue
        for plan in (each._whole if isinstance(each, BatchPlan) else each for each in part.idle()):
            for number in plan._segment.numbers:
                if isinstance(plan._program.steps[number].call, Concatenate):
                    copied += len(plan._reads[number])
                    written += len(plan._program.reads[number]) - len(plan._reads[number])
    return written, copied


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", CODES)
def test_codes(rng, isa, threads, name: str, batch: int):
    nodes, *expected = CODES[name]
    session = qkern.Session(graph(f"(float[N, 4, H, W] x) => (float[N, C, H2, W2] y) {{ {nodes} }}", **arrays(rng)))
    x = rng.standard_normal((batch, 4, 9, 7)).astype(np.float32)
    for count in (1, 2, 2):  # on two, the samples of a batch by themselves
        threads(count)
        session.run(None, {"x": x})
    assert operands(session) == (tuple(expected) if batch == 1 else ROWS_OF_BATCHES.get(name, tuple(expected)))


FLOATS = {
    "channels": "a = Conv(x, v1) b = Conv<pads=[1, 1, 1, 1]>(x, v3) c = Concat<axis=1>(a, b) y = Conv(c, v2)",
    "depthwise": "a = Conv<pads=[1, 1, 1, 1], group=4>(x, vd) b = Conv(x, v1) c = Concat<axis=1>(b, a) y = Conv(c, v2)",
    "an output": "a = Conv(x, v1) b = Conv<pads=[1, 1, 1, 1]>(x, v3) y = Concat<axis=1>(a, b)",
    "read by others, one piece": "a = Relu(x) b = Conv(a, v1) "
    "c = Concat<axis=0>(a, b) d = Conv(b, v1) y = Concat<axis=0>(c, d)",
}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", FLOATS)
def test_floats(rng, isa, threads, name: str, count: int):
    shapes = {"v1": (4, 4, 1, 1), "v2": (5, 8, 1, 1), "v3": (4, 4, 3, 3), "vd": (4, 1, 3, 3)}
    weights: dict[str, Any] = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    threads(count)
    session = qkern.Session(graph(f"(float[N, 4, H, W] x) => (float[M, C, H2, W2] y) {{ {FLOATS[name]} }}", **weights))
    x = rng.standard_normal((1, 4, 61, 67)).astype(np.float32)
    for _ in range(2):
        session.run(None, {"x": x})
    written, _ = operands(session)
    assert written >= 1
