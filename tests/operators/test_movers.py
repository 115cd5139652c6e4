"""Operators that move numbers: on codes, exact to the bit; images stay channels last where the operator can."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import qkern
from onnx_text import f32, graph, network, run_as_written

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
    "Gather": ("Gather<axis=1>(c, indices)", {"indices": np.array([[2, -1], [0, 0]], I64)}),
    "Gather-one": ("Gather<axis=-1>(c, index)", {"index": np.array(-3, np.int32)}),
    "Gather-first": ("Gather(c, indices)", {"indices": np.array([1, 0, -1], I64)}),
    "Expand": ("Expand(c, shape)", {"shape": np.array([3, 1, 4, 1, 6], I64)}),
    "Tile": ("Tile(c, repeats)", {"repeats": np.array([1, 2, 1, 3], I64)}),
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


SPLITS = {
    "sizes": ("<axis=1>(c, sizes)", 1, {"sizes": np.array([1, 3], I64)}),
    "rows": ("<axis=-2>(c, sizes)", 2, {"sizes": np.array([4, 2], I64)}),
    "samples": ("<num_outputs=2>(c)", 0, {}),
}


@pytest.mark.parametrize("split", SPLITS)
def test_parts_are_moved_as_they_are(check, rng, split):
    call, axis, arrays = SPLITS[split]
    text = f"""(float[2, 4, 6, 6] x) => (float[] y) {{
        c = Conv(x, w)  a, b = Split{call}  y = Concat<axis={axis}>(b, a)
    }}"""
    session = check(text, f32(rng, 2, 4, 6, 6), w=f32(rng, 4, 4, 1, 1), **arrays)
    assert [step.op_type for step in session.steps if step.kind == "int8"] == ["Conv", "Split", "Split", "Concat"]


def test_parts_with_parameters_of_their_own(rng):
    """A file of somebody else's, whose parts are quantized each by its own range: no codes of the input."""
    proto = network(
        """(float[2, 4] x) => (float[2, 2] a, float[2, 2] b) {
            xq = QuantizeLinear(x, s, z)  xd = DequantizeLinear(xq, s, z)  p, q = Split<axis=1, num_outputs=2>(xd)
            pq = QuantizeLinear(p, s, z)  a = DequantizeLinear(pq, s, z)
            qq = QuantizeLinear(q, t, z)  b = DequantizeLinear(qq, t, z)
        }""",
        s=np.float32(0.1),
        t=np.float32(0.07),
        z=np.uint8(120),
    )
    x = f32(rng, 2, 4)
    session = qkern.Session(proto)
    assert [(s.kind, s.reason) for s in session.steps if s.op_type == "Split"] == [
        ("int8", ""),
        ("float", "its output is not quantized"),
    ]
    for ours, theirs in zip(session.run(None, {"x": x}), run_as_written(proto, {"x": x}), strict=True):
        np.testing.assert_array_equal(ours, theirs)


MATRIX = np.arange(20, dtype=np.float32).reshape(4, 5)
KINDS = [MATRIX, MATRIX.astype(np.int64), MATRIX > 7, MATRIX.astype(np.float16), MATRIX.astype(np.int8)]
NODES = {
    "Split": ("Split", [np.array([3, 0, 1], I64)], 3, {}),
    "Split-equal": ("Split", [], 5, {"axis": -1, "num_outputs": 5}),
    "Split-shorter": ("Split", [], 3, {"axis": 1, "num_outputs": 3}),
    "Gather": ("Gather", [np.array([[1, -4], [3, 0]], I64)], 1, {}),
    "Gather-last": ("Gather", [np.array([-5, 4, 4], np.int32)], 1, {"axis": -1}),
    "Gather-one": ("Gather", [np.array(2, I64)], 1, {"axis": 1}),
    "Gather-none": ("Gather", [np.zeros((0, 2), I64)], 1, {}),
    "Expand": ("Expand", [np.array([3, 4, 1], I64)], 1, {}),
    "Expand-itself": ("Expand", [np.array([5], I64)], 1, {}),
    "Expand-nothing": ("Expand", [np.array([0, 1, 1], I64)], 1, {}),
    "Tile": ("Tile", [np.array([2, 3], I64)], 1, {}),
    "Tile-nothing": ("Tile", [np.array([1, 0], I64)], 1, {}),
    "Identity": ("Identity", [], 1, {}),
}


@pytest.mark.parametrize("x", KINDS, ids=lambda x: x.dtype.name)
@pytest.mark.parametrize("name", NODES)
def test_moves_of_every_type(same_as_onnxruntime, name, x):
    op_type, constants, outputs, attributes = NODES[name]
    constants_at = range(1, 1 + len(constants))
    same_as_onnxruntime(op_type, [x, *constants], constants=constants_at, outputs=outputs, exact=True, **attributes)


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_indices_that_are_computed(same_as_onnxruntime, axis, dtype):
    for indices in (np.array([[0, -1, 3]], dtype), np.array(-2, dtype), np.zeros((0, 3), dtype)):
        same_as_onnxruntime("Gather", [MATRIX, indices], axis=axis, exact=True)
        same_as_onnxruntime("Gather", [MATRIX, indices], constants=[0], axis=axis, exact=True)


def test_codes_at_indices_that_are_computed(check, rng):
    feeds = {"x": f32(rng, 2, 4, 6, 6), "i": np.array([3, -4, 1], I64)}
    text = "(float[2, 4, 6, 6] x, int64[3] i) => (float[] y) { c = Conv(x, w) y = Gather<axis=1>(c, i) }"
    session = check(text, feeds, w=f32(rng, 4, 4, 1, 1))
    assert [step.op_type for step in session.steps if step.kind == "int8"] == ["Conv", "Gather"]


def test_a_sequence_stays_in_a_library():
    """Its value has the shape of its tensors."""
    text = '<ir_version: 9, opset_import: ["": 17]> graph (seq(float[2]) x) => (seq(float[2]) y) { y = Identity(x) }'
    session = qkern.Session(onnx.parser.parse_model(text), fallback="reference")
    assert [(step.kind, step.reason) for step in session.steps] == [("reference", "its input is not a tensor")]
    ((result,),) = session.run(None, {"x": [MATRIX[0, :2]]})
    np.testing.assert_array_equal(result, MATRIX[0, :2])


REFUSED = {
    "index 4 of an axis of 4": ("y = Gather(x, k)", [0, 4]),
    "index -5 of an axis of 4": ("y = Gather(x, k)", [0, -5]),
    r"5 can't be cut into parts of the sizes \(2, 2\)": ("y, z = Split<axis=1>(x, k)", [2, 2]),
    "5 can't be cut into 4": ("y, z, a, b = Split<axis=1, num_outputs=4>(x)", []),
    "5 can't be cut into 2 equal parts": ("y, z = Split<axis=1>(x)", []),
    "shape mismatch": ("y = Expand(x, k)", [3, 5]),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_does_not_fit_is_refused(message):
    call, constant = REFUSED[message]
    opset = 13 if "equal parts" in message else 20
    proto = graph(f"(float[A, B] x) => (float[C, D] y) {{ {call} }}", opset, k=np.array(constant, I64))
    with pytest.raises(ValueError, match=f"node.*{message}"):
        qkern.Session(proto, fallback="none").run(None, {"x": MATRIX})


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
