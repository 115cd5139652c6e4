"""Shapes that depend on values: every run gives what a new session gives, whatever was run before."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import qkern
from onnx_text import graph

FLOATS = [np.float32([[1, 2, 3, -1]]), np.float32([[-1, -2, 7, -1]]), np.float32([[5, 2, 3, 4]])]
BEHIND = "d = Relu(c) e = Add(d, d) t = Transpose<perm=[1, 0]>(e) y = Relu(t)"  # kernels of our own, and a view of some


def values(name: str) -> list[dict[str, np.ndarray]]:
    """Middle, smaller, larger."""
    return [{"x": FLOATS[0], name: np.array(each)} for each in ([2, 3], [1, 2], [4, 5])]


BY_VALUES = [{"x": x} for x in FLOATS]
COMPARE = "r = Reshape(x, column) m = Greater(x, zero) b = Reshape(m, all)"
CASES = {
    "Compress": (f"(float[1, 4] x) => (float[A, B] y) {{ {COMPARE} c = Compress<axis=0>(r, b) {BEHIND} }}", BY_VALUES),
    "NonZero": (
        f"""(float[1, 4] x) => (float[A, B] y) {{
            r = Relu(x) n = NonZero(r) f = Cast<to=1>(n) c = Neg(f) {BEHIND.replace("Relu(c)", "Abs(c)")}
        }}""",
        BY_VALUES,
    ),
    "NonMaxSuppression": (
        f"""(float[1, 3, 4] boxes, float[1, 1, 3] scores) => (float[A, B] y) {{
            n = NonMaxSuppression(boxes, scores, most, overlap, least) c = Cast<to=1>(n) {BEHIND}
        }}""",
        [
            {
                "boxes": np.float32([[[0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 5, 5]]]),
                "scores": np.float32([[[0.9, 0.9, 0.9][:k] + [0.0] * (3 - k)]]),
            }
            for k in (2, 1, 3)
        ],
    ),
    "Loop": (
        f"""(float[1, 4] x, int64[2] k) => (float[A, B] y) {{
            trips = ReduceMax<keepdims=0>(k)
            c = Loop (trips, yes) <body = body (int64 i, bool go) => (bool on, float[4] s) {{
                on = Identity(go) s = ReduceSum<keepdims=0>(x, first)
            }}>
            {BEHIND}
        }}""",
        values("k"),
    ),
    "If": (
        f"""(float[1, 4] x, int64[2] k) => (float[A, B] y) {{
            top = ReduceMax<keepdims=0>(k) f = Greater(top, three)
            c = If (f) <then_branch = a () => (float[P, Q] p) {{ p = Concat<axis=0>(x, x) }},
                else_branch = b () => (float[R, S] q) {{ q = Identity(x) }}>
            {BEHIND}
        }}""",
        [*reversed(values("k")), values("k")[2]],
    ),
    "Reshape": (
        f"(float[1, 4] x, int64[2] k) => (float[A, B] y) {{ c = Reshape(x, k) {BEHIND} }}",
        [{"x": FLOATS[0], "k": np.array(each)} for each in ([2, 2], [1, 4], [4, 1])],
    ),
    "Slice": (f"(float[1, 4] x, int64[2] k) => (float[A, B] y) {{ c = Slice(x, zeros, k) {BEHIND} }}", values("k")),
    "Pad": (
        f"(float[1, 4] x, int64[4] k) => (float[A, B] y) {{ c = Pad(x, k) {BEHIND} }}",
        [{"x": FLOATS[0], "k": np.array(each)} for each in ([0, 1, 0, 1], [0, 0, 0, 0], [2, 1, 0, 3])],
    ),
    "Range": (
        f"""(float[1, 4] x, int64 k) => (float[A, B] y) {{
            g = Range(none, k, one) f = Cast<to=1>(g) c = Unsqueeze(f, first) {BEHIND}
        }}""",
        [{"x": FLOATS[0], "k": np.array(each)} for each in (3, 1, 6)],
    ),
    "Expand": (
        f"(float[1, 4] x, int64[2] k) => (float[A, B] y) {{ c = Expand(x, k) {BEHIND} }}",
        [{"x": FLOATS[0], "k": np.array(each)} for each in ([3, 4], [1, 4], [5, 4])],
    ),
    "Tile": (f"(float[1, 4] x, int64[2] k) => (float[A, B] y) {{ c = Tile(x, k) {BEHIND} }}", values("k")),
    "TopK": (
        f"""(float[1, 4] x, int64[1] k) => (float[A, B] y) {{ c, i = TopK(x, k) {BEHIND} }}""",
        [{"x": FLOATS[0], "k": np.array([each])} for each in (2, 1, 4)],
    ),
    "ConstantOfShape": (
        f"(float[1, 4] x, int64[2] k) => (float[A, B] y) {{ c = ConstantOfShape(k) {BEHIND} }}",
        values("k"),
    ),
    "OneHot": (
        f"""(int64[2] x, int64 k) => (float[A, B] y) {{ c = OneHot(x, k, off_on) {BEHIND} }}""",
        [{"x": np.array([0, 1]), "k": np.array(each)} for each in (3, 2, 5)],
    ),
    "Unique": (
        f"(float[1, 4] x) => (float[A, B] y) {{ u = Unique(x) c = Unsqueeze(u, first) {BEHIND} }}",
        [{"x": np.float32([each])} for each in ([1, 2, 2, 1], [3, 3, 3, 3], [1, 2, 3, 4])],
    ),
    "a sequence": (
        f"""(float[1, 4] x, int64[2] k) => (float[A, B] y) {{
            q = SplitToSequence<axis=1>(x, one) p = SequenceAt(q, none) w = Expand(p, k) s = SequenceConstruct(w, w)
            c = ConcatFromSequence<axis=0>(s) {BEHIND}
        }}""",
        values("k"),
    ),
}
CONSTANTS = {
    "column": np.array([4, 1]),
    "all": np.array([4]),
    "zero": np.float32(0),
    "zeros": np.array([0, 0]),
    "first": np.array([0]),
    "none": np.array(0),
    "one": np.array(1),
    "three": np.array(3),
    "yes": np.array(True),
    "most": np.array([3]),
    "overlap": np.float32([0.5]),
    "least": np.float32([0.5]),
    "off_on": np.float32([0, 1]),
}


def model(text: str) -> onnx.ModelProto:
    return graph(text, **{name: array for name, array in CONSTANTS.items() if name in text})


@pytest.mark.parametrize("fallback", ["reference", "auto"])
@pytest.mark.parametrize("case", CASES)
def test_later_runs_with_other_values(case, fallback):
    text, feeds = CASES[case]
    session = qkern.Session(model(text), fallback=fallback)
    shapes = set()
    for feed in [*feeds, *reversed(feeds), feeds[0]]:
        (expected,) = qkern.Session(model(text), fallback=fallback).run(None, feed)
        (result,) = session.run(None, feed)
        np.testing.assert_array_equal(result, expected)
        shapes.add(result.shape)
    assert len(shapes) > 1


def test_what_is_observed_has_its_shape_in_every_run():
    pytest.importorskip(
        "onnxruntime", reason="onnxruntime is not installed"
    )  # no shape is inferred: it knows the ranks
    text, feeds = CASES["Compress"]
    session = qkern.Session(model(text), observe=["d", "e"])
    for feed in [*feeds, feeds[1]]:
        seen = {}
        session.observe(feed, lambda name, array, seen=seen: seen.update({name: array.copy()}))
        np.testing.assert_array_equal(seen["d"], np.maximum(feed["x"][feed["x"] > 0], 0)[:, np.newaxis])
        np.testing.assert_array_equal(seen["e"], 2 * seen["d"])


def test_outputs_are_fresh_whatever_the_first_feed_looked_like():
    session = qkern.Session(graph("(float[4, 2] x) => (float[8] y) { y = Reshape(x, s) }", s=np.array([8])))
    session.run(None, {"x": np.zeros((2, 4), np.float32).T})
    x = np.ones((4, 2), np.float32)
    (result,) = session.run(None, {"x": x})
    assert not np.shares_memory(result, x)


@pytest.mark.parametrize("fallback", ["reference", "auto"])
def test_an_output_listed_twice_and_one_that_is_an_input(fallback):
    proto = graph("(float[2] x) => (float[2] y, float[2] y, float[2] x, float[2] z) { y = Relu(x) z = Selu(y) }")
    session = qkern.Session(proto, fallback=fallback)
    assert [spec.name for spec in session.get_outputs()] == ["y", "y", "x", "z"]
    x = np.float32([-1, 0])
    for _ in range(2):
        results = session.run(None, {"x": x})
        for result, expected in zip(results, ([0, 0], [0, 0], [-1, 0], [0, 0]), strict=True):
            np.testing.assert_array_equal(result, expected)
        for number, result in enumerate(results):
            assert not any(np.shares_memory(result, other) for other in [x, *results[:number]])
    assert len(session.run(["z", "y", "z"], {"x": x})) == 3
