"""Samples of a batch that threads share one by one: the bytes of the batch as a whole, and of each sample alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import qkern
from onnx_text import graph
from qkern import _core
from qkern.runtime.batch_plan import BatchPlan
from qkern.runtime.executor import _Planned


def plans_of(session: qkern.Session) -> list[Any]:
    return [plan for part in session._executor._parts if isinstance(part, _Planned) for plan in part.idle()]


@pytest.mark.parametrize("int8", [True, False])
def test_samples_are_shared_by_threads(rng, threads, int8: bool):
    text = """(float[N, 3, 40, 40] x) => (float[N, 9] y) {
        c = Conv<pads=[1, 1, 1, 1]>(x, w) r = Relu(c) p = GlobalAveragePool(r) y = Flatten(p)
    }"""
    model = graph(text, w=rng.standard_normal((9, 3, 3, 3)).astype(np.float32))
    x = rng.standard_normal((12, 3, 40, 40)).astype(np.float32)
    session = qkern.quantize_model(model, {"x": x}, effort="fast").session() if int8 else qkern.Session(model)
    threads(1)
    alone = [session.run(None, {"x": x[i : i + 1]})[0] for i in range(len(x))]
    for count in (1, 2, 3, 4):
        threads(count)
        for batch in (1, 2, 3, 5, 12):
            for _ in range(2):
                (result,) = session.run(None, {"x": x[:batch]})
                assert result.tobytes() == np.concatenate(alone[:batch]).tobytes()
    assert any(isinstance(plan, BatchPlan) for plan in plans_of(session))


ALONE = {
    "a mean over the batch": "y = GlobalAveragePool(t) t = Transpose<perm=[1, 0, 2, 3]>(c)",
    "a part of the batch": "y = Slice(c, first, second, axis)",
    "rows of other lengths": "y = Reshape(c, rows)",
    "joined batches": "y = Concat<axis=0>(c, c)",
    "padded batches": "y = Pad(c, widths)",
    "a constant per sample": "y = Add(c, numbers)",
}


@pytest.mark.parametrize("name", ALONE)
def test_batches_that_are_more_than_their_samples(rng, threads, name: str):
    body = ALONE[name]
    if "t = " in body:
        first, second = body.split(" t = ")
        body = f"t = {second} {first}"
    model = graph(
        f"(float[N, 4, 6, 6] x) => (float[A, B, C, D] y) {{ c = Conv(x, w) {body} }}"
        if "rows" not in name
        else f"(float[N, 4, 6, 6] x) => (float[A, B] y) {{ c = Conv(x, w) {body} }}",
        w=rng.standard_normal((64, 4, 3, 3)).astype(np.float32),
        first=np.array([1]),
        second=np.array([3]),
        axis=np.array([0]),
        rows=np.array([2, -1]),
        widths=np.array([1, 0, 0, 0, 1, 0, 0, 0]),
        numbers=rng.standard_normal((4, 1, 1, 1)).astype(np.float32),
    )
    session = qkern.Session(model)
    x = rng.standard_normal((4, 4, 6, 6)).astype(np.float32)
    threads(2)
    session.run(None, {"x": x})  # compared with the interpreter
    assert not any(isinstance(plan, BatchPlan) for plan in plans_of(session))


def test_an_operand_with_as_many_numbers_as_there_are_samples(threads):
    session = qkern.Session(graph("(float[N, 4] x, float[4] b) => (float[N, 4] y) { y = Add(x, b) }"))
    x, b = np.arange(16, dtype=np.float32).reshape(4, 4), np.float32([1, 10, 100, 1000])
    threads(2)
    (y,) = session.run(None, {"x": x, "b": b})
    np.testing.assert_array_equal(y, x + b)


def test_strides_are_checked():
    runner = _core.Program([])
    with pytest.raises(ValueError, match="strides"):
        runner.run_samples(2, 0, [np.zeros(2)], [])
