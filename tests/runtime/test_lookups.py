"""Weights that a Gather looks up, however a writer says it: recognized, or right all the same."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import qkern
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(3)
LEVELS = np.int8([-64, -50, -38, -29, -21, -14, -8, -3, 0, 4, 9, 15, 23, 33, 46, 63])
CODES = RNG.integers(0, 16, (12, 6, 3, 3))
SCALE = RNG.uniform(0.01, 0.02, 12).astype(np.float32)
X = RNG.normal(size=(3, 6, 7, 7)).astype(np.float32)


def network(weight_nodes, constants):
    """x quantized, a Conv by what `weight_nodes` make of `constants` as "w", its result quantized."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        *weight_nodes,
        helper.make_node("Conv", ["xd", "w"], ["c"], "conv"),
        helper.make_node("QuantizeLinear", ["c", "ys", "xz"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "ys", "xz"], ["y"]),
    ]
    constants = {"xs": np.float32(0.03), "xz": np.uint8(120), "ys": np.float32(0.05), "s": SCALE, **constants}
    x, y = (helper.make_tensor_value_info(*each) for each in (("x", 1, ["n", 6, 7, 7]), ("y", 1, ["n", 12, 5, 5])))
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def gather(levels, codes, *, to=TensorProto.INT32, axis=0, zero_point=None, **more):
    """Nodes and constants of a weight that is looked up."""
    nodes = [
        *([helper.make_node("Cast", ["codes"], ["at"], to=to)] if to else []),
        helper.make_node("Gather", ["levels", "at" if to else "codes"], ["w8"], axis=axis),
        helper.make_node("DequantizeLinear", ["w8", "s", *(["z"] if zero_point is not None else [])], ["w"], axis=0),
    ]
    zero = {} if zero_point is None else {"z": zero_point}
    return nodes, {"levels": levels, "codes": codes, **zero, **more}


ZEROS = np.zeros(12, np.int8)
OFFSETS = (16 * np.arange(12)).astype(np.int32).reshape(12, 1, 1, 1)
TABLES = np.sort(np.stack([RNG.choice(np.arange(-60, 60), 16, replace=False) for _ in range(12)]), axis=1).astype(
    np.int8
)
CASES = {
    "uint4": (*gather(LEVELS, CODES.astype(ml_dtypes.uint4), zero_point=ZEROS), LEVELS[CODES]),
    "no zero point": (*gather(LEVELS, CODES.astype(ml_dtypes.uint4)), LEVELS[CODES]),
    "int64": (*gather(LEVELS, CODES.astype(ml_dtypes.uint4), to=TensorProto.INT64), LEVELS[CODES]),
    "uint8 codes": (*gather(LEVELS, CODES.astype(np.uint8)), LEVELS[CODES]),
    "int32 codes": (*gather(LEVELS, CODES.astype(np.int32), to=0), LEVELS[CODES]),
    "codes from the end": (*gather(LEVELS, CODES - 16, to=0), LEVELS[CODES]),
    "axis -1": (*gather(LEVELS, CODES.astype(ml_dtypes.uint4), axis=-1), LEVELS[CODES]),
    "unsorted levels": (*gather(LEVELS[::-1].copy(), CODES.astype(ml_dtypes.uint4)), LEVELS[::-1][CODES]),
    "7 levels": (*gather(LEVELS[:7], (CODES % 7).astype(ml_dtypes.uint4)), LEVELS[CODES % 7]),
    "a zero point": (*gather(LEVELS, CODES.astype(ml_dtypes.uint4), zero_point=ZEROS + np.int8(3)), LEVELS[CODES] - 3),
}


def with_tables():
    nodes, constants = gather(TABLES.reshape(-1), CODES.astype(ml_dtypes.uint4), first=OFFSETS)
    nodes.insert(1, helper.make_node("Add", ["at", "first"], ["places"]))
    nodes[2].input[1] = "places"
    return nodes, constants, TABLES[np.arange(12)[:, None, None, None], CODES]


def table_of_two_axes():
    """[1, 16] levels along axis 1, and the axis in front taken off again."""
    nodes, constants = gather(LEVELS[None], CODES.astype(ml_dtypes.uint4), axis=1, front=np.int64([0]))
    nodes.insert(2, helper.make_node("Squeeze", ["w8", "front"], ["squeezed"]))
    nodes[3].input[0] = "squeezed"
    return nodes, constants, LEVELS[CODES]


CASES["a table per channel"] = with_tables()
CASES["a table of two axes"] = table_of_two_axes()


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_as_int8_weights(case, fused):
    nodes, constants, weights = CASES[case]
    if fused and case == "a table of two axes":
        return  # not a form that is made here, and only such are given as fused
    session = qkern.Session(network(nodes, constants), fused=fused)
    stored = network(
        [helper.make_node("DequantizeLinear", ["w8", "s"], ["w"], axis=0)], {"w8": weights.astype(np.int8)}
    )
    plain = qkern.Session(stored)
    np.testing.assert_array_equal(session.run(None, {"x": X})[0], plain.run(None, {"x": X})[0])
    assert [step.kind for step in session.steps if step.op_type == "Conv"] == ["int8"]
    assert [(step.op_type, step.kind) for step in session.steps] == [(step.op_type, step.kind) for step in plain.steps]


@pytest.mark.parametrize("case", CASES)
def test_kernels_keep_them_in_4_bits(case):
    """Where there is one table of 16 ascending levels, and for a kernel that has such a form."""
    nodes, constants, _ = CASES[case]
    session = qkern.Session(network(nodes, constants), algorithm="direct")
    (layer,) = (layer for step in session.steps for layer in step.call.layers())
    eight_bits = ("unsorted levels", "7 levels", "a table per channel", "a table of two axes")
    assert layer.bits == (8 if case in eight_bits else 4)
    (kernel,) = (step.kernel for step in session.profile({"x": X}, seconds=0.01).steps if step.op_type == "Conv")
    assert kernel == ("int8 direct" if case in eight_bits else "int8 direct, 4-bit codes")


def test_float_levels_are_float_weights():
    """Nothing says that these are codes: the layer is computed in float32."""
    nodes = [
        helper.make_node("Cast", ["codes"], ["at"], to=TensorProto.INT32),
        helper.make_node("Gather", ["levels", "at"], ["w"]),
    ]
    levels = LEVELS.astype(np.float32) / 100
    session = qkern.Session(network(nodes, {"levels": levels, "codes": CODES.astype(ml_dtypes.uint4)}))
    assert [step.kind for step in session.steps if step.op_type == "Conv"] == ["float"]
    xd = ((np.clip(np.rint(X / np.float32(0.03)) + 120, 0, 255) - 120) * np.float32(0.03)).astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(xd, (3, 3), axis=(2, 3))
    y = np.einsum("ncijkl,ockl->noij", windows, levels[CODES].astype(np.float64))
    expected = (np.clip(np.rint(y / 0.05) + 120, 0, 255) - 120) * 0.05
    np.testing.assert_allclose(session.run(None, {"x": X})[0], expected, atol=1e-5)


def test_what_else_reads_the_levels_still_does():
    nodes, constants, _ = CASES["uint4"]
    model = network(nodes, constants)
    model.graph.output.append(helper.make_tensor_value_info("w8", TensorProto.INT8, CODES.shape))
    ours = qkern.Session(model).run(["w8"], {"x": X})[0]
    np.testing.assert_array_equal(ours, LEVELS[CODES])


@pytest.mark.parametrize(("to", "wrong"), [(TensorProto.INT32, 16), (0, -17)])
def test_codes_out_of_the_table(to, wrong):
    codes = np.where(CODES == 3, wrong, CODES).astype(np.uint8 if to else np.int32)
    nodes, constants = gather(LEVELS, codes, to=to)
    nodes[-2].name = "lookup"
    with pytest.raises(ValueError, match=f"node 'lookup' \\(Gather\\): index {wrong} of a table of 16 levels"):
        qkern.Session(network(nodes, constants))
