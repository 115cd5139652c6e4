"""Steps that a plan computes as one: which are joined, and that the bytes are those of each step by itself."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import qkern
from onnx_text import graph
from qkern.runtime.executor import _Planned


def quantized(name: str, x: str, *, scale: str = "s", zero: str = "z") -> str:
    return f"{name}_q = QuantizeLinear({x}, {scale}, {zero}) {name} = DequantizeLinear({name}_q, {scale}, {zero})"


WEIGHTS = "w = DequantizeLinear(w_q, ws)"
FIRST = f"{quantized('i', 'x')} {WEIGHTS} c = Conv<pads=[1, 1, 1, 1]>(i, w) {quantized('a', 'c')}"
HEAD = "(float[N, 4, 9, 7] x) => (float[N, 4, 9, 7] y)"


def arrays(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "w_q": rng.integers(-127, 128, (4, 4, 3, 3), dtype=np.int8),
        "ws": np.float32(0.01),
        "s": np.float32(0.04),
        "z": np.uint8(120),
        "s2": np.float32(0.07),
        "z2": np.uint8(90),
        "s3": np.float32(0.05),
        "z3": np.int8(-3),
    }


def joined(session: qkern.Session) -> dict[str, list[str]]:
    """By the operator of each step that has others in it, theirs."""
    steps = session.steps
    found: dict[str, list[str]] = {}
    for part in session._executor._parts:
        assert isinstance(part, _Planned)
        for plan in part.idle():
            for number, layer in sorted(plan._computed_in.items()):
                found.setdefault(f"{steps[layer].op_type} {steps[layer].name}", []).append(steps[number].op_type)
    return found


def run(
    text: str, rng: np.random.Generator, batch: int = 1, size: tuple[int, int] = (9, 7), **more: Any
) -> qkern.Session:
    """What is joined on one thread and on two; each run is compared with the interpreter."""
    session = qkern.Session(graph(text, **arrays(rng), **more))
    x = rng.standard_normal((batch, 4, *size)).astype(np.float32) * 3
    for _ in range(2):
        session.run(None, {"x": x})
    return session


@pytest.mark.parametrize("size", [(9, 7), (161, 131)], ids=["at once", "in bands"])
@pytest.mark.parametrize("count", [1, 2])
def test_an_image_is_quantized_and_turned_as_it_is_copied(rng, isa, threads, size: tuple[int, int], count: int):
    threads(count)
    head = HEAD.replace("9, 7", f"{size[0]}, {size[1]}")
    session = run(f"{head} {{ {FIRST} y = Identity(a) }}", rng, size=size)
    assert list(joined(session).values()) == [["QuantizeLinear", "Transpose"]]


@pytest.mark.parametrize(("order", "activation"), [*itertools.product(["b, a", "a, b"], ["", "Relu"])])
def test_a_residual_sum_is_added_in_place(rng, isa, order: str, activation: str):
    body = f"d = Conv<pads=[1, 1, 1, 1]>(a, w) {quantized('b', 'd', scale='s2', zero='z2')} t = Add({order}) "
    body += f"{'u = Relu(t)' if activation else ''} {quantized('y', 'u' if activation else 't')}"
    session = run(f"{HEAD} {{ {FIRST} {body} }}", rng)
    assert sorted(map(tuple, joined(session).values())) == [("Add",), ("QuantizeLinear", "Transpose")]


def test_a_table_is_looked_up_in_place_also_behind_a_sum(rng, isa):
    h = f"h = HardSwish(a) {quantized('b', 'h', scale='s3', zero='z3')}"
    session = run(f"{HEAD} {{ {FIRST} {h} y = Identity(b) }}", rng)
    assert list(joined(session).values()) == [["QuantizeLinear", "Transpose", "HardSwish"]]
    d = f"d = Conv<pads=[1, 1, 1, 1]>(a, w) {quantized('e', 'd')} t = Add(a, e) {quantized('f', 't')}"
    d += f" h = Sigmoid(f) {quantized('y', 'h', scale='s2', zero='z2')}"
    session = run(f"{HEAD} {{ {FIRST} {d} }}", rng)
    assert sorted(map(tuple, joined(session).values())) == [("Add", "Sigmoid"), ("QuantizeLinear", "Transpose")]


def test_a_constant_is_added_in_place(rng, isa):
    more = f"k = DequantizeLinear(k_q, s2, z2) t = Add(a, k) {quantized('y', 't')}"
    session = run(f"{HEAD} {{ {FIRST} {more} }}", rng, k_q=rng.integers(0, 256, (1, 4, 9, 7), dtype=np.uint8))
    assert sorted(joined(session).values()) == [["QuantizeLinear", "Transpose", "Add"]]


SEPARATE = {
    "codes that are read twice": f"t = Add(a, a) {quantized('y', 't')}",
    "codes that are an output": f"h = Sigmoid(a) {quantized('y', 'h')}",
    "a sum of other codes": f"d = Conv(a, w1) {quantized('b', 'd')} t = Add(a, b) "
    + quantized("y", "t", scale="s3", zero="z3"),
    "a sum that broadcasts": f"p = GlobalAveragePool(a) {quantized('b', 'p')} t = Add(a, b) {quantized('y', 't')}",
}


@pytest.mark.parametrize("name", SEPARATE)
def test_what_others_see_stays_a_step(rng, name: str):
    head, body = HEAD, f"{FIRST} w1 = DequantizeLinear(w1_q, ws) {SEPARATE[name]}"
    if "output" in name:
        head = HEAD[:-1] + ", uint8[N, 4, 9, 7] a_q)"
    session = run(f"{head} {{ {body} }}", rng, w1_q=rng.integers(-127, 128, (4, 4, 1, 1), dtype=np.int8))
    assert list(joined(session).values()) == [["QuantizeLinear", "Transpose"]]


def test_a_profile_says_where_a_step_went(rng):
    session = run(f"{HEAD} {{ {FIRST} h = Sigmoid(a) {quantized('y', 'h')} }}", rng)
    profile = session.profile({"x": rng.standard_normal((1, 4, 9, 7)).astype(np.float32)}, seconds=0)
    reasons = {step.op_type: step.reason for step in profile.steps}
    conv = next(step.name for step in session.steps if step.op_type == "Conv")
    assert reasons["Sigmoid"].endswith("a part of Conv" + (f" {conv}" if conv else ""))
