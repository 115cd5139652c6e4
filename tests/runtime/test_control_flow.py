"""If, Loop and Scan: bodies that are programs of ours, against ONNX Runtime, which runs the node as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import qkern
from onnx_text import graph, run_as_written

X = np.arange(12, dtype=np.float32).reshape(3, 4) - 5
CONSTANTS: dict[str, np.ndarray] = {
    "first": np.array([0]),
    "last": np.array([-1]),
    "rows": np.array([2, 1]),
    "half": np.float32(0.5),
    "twice": np.array([2, 1]),
    "grid": np.float32(0.25),
    "middle": np.uint8(120),
}


def values(**lists: list[Any]) -> list[dict[str, Any]]:
    return [
        {name: np.asarray(each) for name, each in zip(lists, feed, strict=True)}
        for feed in zip(*lists.values(), strict=True)
    ]


YES_NO = [True, False, True]
COUNTS = [3, 0, 1, 5]
CASES = {
    "If": (
        """(float[3, 4] x, bool c) => (float[A, B] y, float[C, D] z) {
            h = Mul(x, half)  r, s = If (c) <
                then_branch = a () => (float[P, Q] p, float[P, Q] q) { p = Relu(h) q = Concat<axis=0>(x, h) },
                else_branch = b () => (float[P, Q] u, float[P, Q] v) { u = Add(x, x) v = Transpose(u) }>
            y = Mul(r, half)  z = Mul(s, half)
        }""",
        values(x=[X, X, 2 * X], c=YES_NO),
    ),
    "If, one element": (
        """(float[3, 4] x, bool[1] c) => (float[A, B] y) {
            y = If (c) <then_branch = a () => (float[P, Q] p) { p = Relu(x) },
                else_branch = b () => (float[P, Q] q) { q = Mul(x, half) }>
        }""",
        values(x=[X] * 3, c=[[each] for each in YES_NO]),
    ),
    "If, what is outside": (  # an output of each branch is a value of the graph around it
        """(float[3, 4] x, bool c) => (float[A, B] y) {
            h = Mul(x, half) y = If (c) <then_branch = a () => (float[P, Q] p) { p = Identity(h) },
                else_branch = b () => (float[P, Q] q) { q = Reshape(x, backwards) }>
        }""",
        values(x=[X] * 3, c=YES_NO),
    ),
    "Loop": (
        """(float[3, 4] x, int64 k) => (float[A, B] y, float[C, D, E] z) {
            y, z = Loop (k, , x) <body = b (int64 i, bool go, float[P, Q] s)
                => (bool on, float[P, Q] t, float[3, 4] u) {
                on = Identity(go) f = Cast<to=1>(i) t = Add(s, f) u = Mul(t, x)
            }>
        }""",
        values(x=[X] * 4, k=COUNTS),
    ),
    "Loop, growing": (
        """(float[3, 4] x, int64[1] k) => (float[A, B] y) {
            y = Loop (k, , x) <body = b (int64 i, bool go, float[P, Q] s) => (bool on, float[P, Q] t) {
                on = Identity(go) t = Concat<axis=0>(s, x)
            }>
        }""",
        values(x=[X] * 4, k=[[each] for each in COUNTS]),
    ),
    "Loop, while": (
        """(float[3, 4] x, bool c, bool[3] more) => (float[A, B] y, int64[N] z) {
            y, z = Loop (, c, x) <body = b (int64 i, bool go, float[P, Q] s) => (bool on, float[P, Q] t, int64 j) {
                on = Gather(more, i) t = Tile(s, twice) j = Add(i, i)
            }>
        }""",
        values(x=[X] * 3, c=[True, False, True], more=[[True, True, False], [True] * 3, [False] * 3]),
    ),
    "Loop, both": (
        """(float[3, 4] x, int64 k, bool[3] more) => (float[A, B] y) {
            y = Loop (k, yes, x) <body = b (int64 i, bool go, float[P, Q] s) => (bool on, float[P, Q] t) {
                on = Gather(more, i) t = Add(s, x)
            }>
        }""",
        values(x=[X] * 3, k=[3, 2, 1], more=[[True, False, True], [True] * 3, [True] * 3]),
    ),
    "Loop, swapping": (
        """(float[3, 4] x, float[3, 4] v, int64 k) => (float[A, B] y, float[C, D] z) {
            y, z = Loop (k, , x, v) <body = b (int64 i, bool go, float[P, Q] s, float[P, Q] r)
                => (bool on, float[P, Q] r2, float[P, Q] s2) { on = Identity(go) r2 = Identity(r) s2 = Identity(s) }>
        }""",
        values(x=[X] * 4, v=[-X] * 4, k=COUNTS),
    ),
    "Loop, nested": (
        """(float[3, 4] x, int64 k, bool c) => (float[A, B] y) {
            h = Mul(x, half) y = Loop (k, , x) <body = b (int64 i, bool go, float[P, Q] s) => (bool on, float[P, Q] t) {
                on = Identity(go) w = Add(s, h) t = If (c) <
                    then_branch = d () => (float[P, Q] p) {
                        p = Loop (i, , w) <body = e (int64 j, bool go2, float[P, Q] m) => (bool on2, float[P, Q] n) {
                            on2 = Identity(go2) o = Add(m, h) n = Add(o, s)
                        }>
                    },
                    else_branch = f () => (float[P, Q] q) { q = Mul(w, h) }>
            }>
        }""",
        values(x=[X] * 4, k=COUNTS, c=[True, True, False, True]),
    ),
    "Loop, on codes": (
        """(float[3, 4] x, int64 k) => (float[A, B] y) {
            xq = QuantizeLinear(x, grid, middle) xd = DequantizeLinear(xq, grid, middle)
            y = Loop (k, , x) <body = b (int64 i, bool go, float[3, 4] s) => (bool on, float[3, 4] t) {
                on = Identity(go) sq = QuantizeLinear(s, grid, middle) sd = DequantizeLinear(sq, grid, middle)
                a = Add(sd, xd) aq = QuantizeLinear(a, grid, middle) t = DequantizeLinear(aq, grid, middle)
            }>
        }""",
        values(x=[X] * 4, k=COUNTS),
    ),
    "Scan": (
        """(float[4] s0, float[N, 4] x) => (float[4] y, float[M, 4] z) {
            y, z = Scan <num_scan_inputs=1, body = b (float[4] s, float[4] e) => (float[4] t, float[4] u) {
                t = Add(s, e) u = Mul(t, half)
            }> (s0, x)
        }""",
        values(s0=[X[0]] * 4, x=[X, X[:1], np.concatenate([X, X]), X[:2]]),
    ),
    "Scan, axes and directions": (
        """(float[2] a0, float[1] c0, float[2, 3] x, float[3, 2, 2] v)
            => (float[2] y, float[1] w, float[A, B] z, float[C, D, E] q) {
            y, w, z, q = Scan <num_scan_inputs=2, scan_input_axes=[-1, 0], scan_input_directions=[1, 0],
                scan_output_axes=[1, -1], scan_output_directions=[0, 1],
                body = b (float[2] s, float[1] r, float[2] e, float[2, 2] f)
                    => (float[2] t, float[1] r2, float[2] u, float[2, 2] g) {
                        t = Add(s, e) r2 = Add(r, half) u = Mul(t, r) g = Add(f, e)
                    }> (a0, c0, x, v)
        }""",
        values(
            a0=[X[0, :2]] * 2,
            c0=[X[0, :1]] * 2,
            x=[X[:2, :3], X[1:, 1:]],
            v=[X.reshape(3, 2, 2), -X.reshape(3, 2, 2)],
        ),
    ),
    "Scan, no state": (
        """(float[3, 4] x) => (float[A, B] y) {
            y = Scan <num_scan_inputs=1, scan_input_axes=[1],
                body = b (float[3] e) => (float[3] u) { u = Add(e, e) }> (x)
        }""",
        values(x=[X, -X]),
    ),
}
CONSTANTS["backwards"] = np.array([4, 3])
CONSTANTS["yes"] = np.array(True)


def model(text: str) -> Any:
    return graph(text, 20, **{name: array for name, array in CONSTANTS.items() if name in text})


def kinds(session: qkern.Session) -> set[str]:
    return {step.kind for step in session.steps}


@pytest.mark.parametrize("case", CASES)
def test_a_body_is_a_program(case):
    text, feeds = CASES[case]
    session = qkern.Session(model(text), fallback="none")
    for feed in [*feeds, *reversed(feeds)]:
        for ours, theirs in zip(session.run(None, feed), run_as_written(model(text), feed), strict=True):
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
            np.testing.assert_array_equal(ours, theirs)


WITH_FOREIGN = """(float[3, 4] x, int64 k) => (float[A, B] y) {
    y = Loop (k, , x) <body = b (int64 i, bool go, float[P, Q] s) => (bool on, float[P, Q] t) {
        on = Identity(go) a = Abs(s) t = Sub(a, half)
    }>
}"""


def test_a_library_computes_what_a_body_has_no_kernel_for():
    session = qkern.Session(model(WITH_FOREIGN), fallback="reference")
    [step] = session.steps
    assert (step.op_type, step.kind, step.reason) == ("Loop", "reference", "in its body: Abs has no kernel")
    for count in COUNTS:
        expected = X
        for _ in range(count):
            expected = abs(expected) - np.float32(0.5)
        np.testing.assert_array_equal(session.run(None, {"x": X, "k": np.array(count)})[0], expected)


def test_onnxruntime_takes_a_node_as_a_whole():
    """One call, instead of one in every iteration."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    [step] = qkern.Session(model(WITH_FOREIGN)).steps
    assert step.kind == "onnxruntime"
    assert "(Abs), in its body, has no kernel" in step.reason


def test_what_can_not_run_is_named():
    with pytest.raises(ValueError, match=r"node .* \(Loop\) can't run: node .* \(Abs\), in its body, has no kernel"):
        qkern.Session(model(WITH_FOREIGN), fallback="none")


def test_sequences_stay_in_a_library():
    text = """(float[3, 4] x, int64 k) => (float[A, B] y) {
        e = SequenceEmpty() q = Loop (k, , e) <body = b (int64 i, bool go, seq(float[3, 4]) s)
            => (bool on, seq(float[3, 4]) t) { on = Identity(go) t = SequenceInsert(s, x) }>
        y = ConcatFromSequence<axis=0>(q)
    }"""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = qkern.Session(model(text))
    assert kinds(session) == {"onnxruntime"}
    np.testing.assert_array_equal(session.run(None, {"x": X, "k": np.array(2)})[0], np.concatenate([X, X]))


def test_errors_name_the_nodes():
    text, _ = CASES["Loop, while"]
    with pytest.raises(ValueError, match=r"node 'y' \(Loop\): node .* \(Gather\): index 3 of an axis of 3"):
        qkern.Session(model(text)).run(None, {"x": X, "c": np.array(True), "more": np.array([True] * 3)})
    text = """(float[N, 4] x, float[M, 4] v) => (float[A, 4] y) {
        y = Scan <num_scan_inputs=2, body = b (float[4] e, float[4] f) => (float[4] u) { u = Add(e, f) }> (x, v)
    }"""
    with pytest.raises(ValueError, match=r"node 'y' \(Scan\): .*2, 3 elements"):
        qkern.Session(model(text)).run(None, {"x": X, "v": X[:2]})


def test_a_state_that_is_not_what_the_body_takes():
    """The body counts on the number of axes that it states."""
    text = """(float[3, 4] x, int64 k) => (float y) {
        y = Loop (k, , x) <body = b (int64 i, bool go, float[3, 4] s) => (bool on, float[A, B, C] t) {
            on = Identity(go) t = Unsqueeze(s, first)
        }>
    }"""
    session = qkern.Session(model(text), fallback="none")
    with pytest.raises(ValueError, match="'s' of its body gets float32"):
        session.run(None, {"x": X, "k": np.array(2)})
