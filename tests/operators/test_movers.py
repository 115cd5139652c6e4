"""Operators that move numbers: on codes, exact to the bit; images stay channels last where the operator can."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
from onnx_text import f32, network, run_as_written

I64 = np.int64
MOVES = {
    "Flatten": ("Flatten(c)", {}),
    "Flatten-2": ("Flatten<axis=2>(c)", {}),
    "Reshape": ("Reshape(c, shape)", {"shape": np.array([0, -1, 2], I64)}),
    "Reshape-allowzero": ("Reshape<allowzero=1>(c, shape)", {"shape": np.array([2, -1], I64)}),
    "Transpose": ("Transpose<perm=[0, 2, 3, 1]>(c)", {}),
    "Transpose-reversed": ("Transpose(c)", {}),
    "Unsqueeze": ("Unsqueeze(c, axes)", {"axes": np.array([1, -1], I64)}),
    "Unsqueeze-one": ("Unsqueeze(c, axis)", {"axis": np.array(1, I64)}),
    "Slice": ("Slice(c, starts, ends)", {"starts": np.array([0, 1], I64), "ends": np.array([9, 3], I64)}),
    "Slice-steps": (
        "Slice(c, starts, ends, axes, steps)",
        {
            "starts": np.array([0, -1], I64),
            "ends": np.array([6, np.iinfo(I64).min], I64),
            "axes": np.array([2, -1], I64),
            "steps": np.array([2, -2], I64),
        },
    ),
    "Pad": ("Pad(c, pads)", {"pads": np.array([0, 1, 1, 0, 0, 2, 0, 1], I64)}),
    "Pad-axes": (
        "Pad(c, pads, fill, axes)",
        {"pads": np.array([1, 2], I64), "fill": np.float32(0), "axes": np.array([-3], I64)},
    ),
    "Pad-edge": ('Pad<mode="edge">(c, pads)', {"pads": np.array([0, 0, 1, 2, 0, 0, 0, 1], I64)}),
    "Pad-reflect": ('Pad<mode="reflect">(c, pads)', {"pads": np.array([0, 0, 1, 2, 0, 0, 0, 1], I64)}),
    "DepthToSpace": ("DepthToSpace<blocksize=2>(c)", {}),
    "DepthToSpace-CRD": ('DepthToSpace<blocksize=2, mode="CRD">(c)', {}),
}


@pytest.mark.parametrize("move", MOVES)
def test_codes_are_moved_as_they_are(check, rng, move):
    call, arrays = MOVES[move]
    text = f"(float[2, 4, 6, 6] x) => (float[] y) {{ c = Conv(x, w) y = {call} }}"
    session = check(text, f32(rng, 2, 4, 6, 6), w=f32(rng, 4, 4, 1, 1), **arrays)
    assert [step.op_type for step in session.steps if step.kind == "int8"] == ["Conv", move.partition("-")[0]]


def test_squeeze(check, rng):
    """ "Squeeze" has no row above: it needs axes of size 1."""
    for call, arrays in (("Squeeze(p, axes)", {"axes": np.array([2, -1], I64)}), ("Squeeze(p)", {})):
        check(
            f"(float[2, 4, 6, 6] x) => (float[2, 4] y) {{ p = GlobalAveragePool(x) y = {call} }}",
            f32(rng, 2, 4, 6, 6),
            **arrays,
        )


@pytest.mark.parametrize("move", ["Slice", "Pad"])
def test_images_stay_channels_last(check, rng, move):
    call, arrays = MOVES[move]
    text = f"(float[2, 4, 6, 6] x) => (float[] y) {{ c = Conv(x, w) m = {call} y = MaxPool<kernel_shape=[2, 2]>(m) }}"
    session = check(text, f32(rng, 2, 4, 6, 6), w=f32(rng, 4, 4, 1, 1), **arrays)
    assert len([step for step in session.steps if step.reason == "order of axes"]) == 2  # at the edges


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_concat(check, rng, axis):
    text = f"""(float[2, 4, 6, 6] x) => (float[] y) {{
        a = Conv(x, w)  b = Conv(x, v)
        y = Concat<axis={axis}>(a, b, x)
    }}"""
    session = check(text, f32(rng, 2, 4, 6, 6), w=f32(rng, 4, 4, 1, 1), v=3 * f32(rng, 4, 4, 1, 1))
    assert "Concat" in [step.op_type for step in session.steps if step.kind == "int8"]


def test_a_move_between_float_operators_stays_float(rng):
    proto = network("(float[2, 6] x) => (float[6, 2] y) { t = Transpose(x) y = Softmax(t) }")
    quantized = qkern.quantize_model(proto, f32(rng, 2, 6), effort="fast")
    assert not quantized.report.quantized
    x = f32(rng, 2, 6)
    np.testing.assert_allclose(
        quantized.session().run(None, {"x": x})[0], run_as_written(proto, {"x": x})[0], rtol=1e-6
    )


def test_moves_with_parameters_that_are_computed(rng):
    proto = network(
        "(float[2, 6] x, int64[2] shape) => (float[A, B] y) { y = Reshape(x, shape) }",
    )
    session = qkern.Session(proto, fallback="reference")
    assert [(step.kind, step.reason) for step in session.steps] == [("reference", "its shape is not constant")]
    x = f32(rng, 2, 6)
    (result,) = session.run(None, {"x": x, "shape": np.array([3, 4])})
    np.testing.assert_array_equal(result, x.reshape(3, 4))
