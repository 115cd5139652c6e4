"""`exclude` takes what the caller's model has, and follows it through fusion."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
from onnx import TensorProto, helper, numpy_helper
from qkern.conversion.exclusions import Exclusions, fused_exclusions
from qkern.conversion.fused_names import FusedNames
from qkern.conversion.plan import make_plan

RNG = np.random.default_rng(12)
X = RNG.normal(size=(8, 3, 8, 8)).astype(np.float32)


def array(name, *shape):
    return numpy_helper.from_array(RNG.normal(size=shape).astype(np.float32), name)


def network():
    """Every kind of node that fusion or cleaning takes away, each by a name of the caller's."""
    node = helper.make_node
    nodes = [
        node("Identity", ["x"], ["x0"], name="/in/Identity"),
        node("Pad", ["x0", "pads"], ["x1"], name="/stem/Pad"),
        node("Conv", ["x1", "w0"], ["c0"], name="/stem/Conv"),
        node("BatchNormalization", ["c0", "one4", "zero4", "zero4", "one4"], ["n0"], name="/stem/BatchNorm"),
        node("Relu", ["n0"], ["r0"], name="/stem/Relu"),
        node("Dropout", ["r0"], ["d0"], name="/drop/Dropout"),
        node("Conv", ["d0", "w1"], ["c1"], name="/body/Conv"),
        node("Relu", ["c1"], ["r1"], name="/body/Relu"),
        node("ReduceMean", ["r1"], ["m"], name="/head/ReduceMean", axes=[2, 3], keepdims=0),
        node("MatMul", ["m", "w2"], ["a"], name="/fc/MatMul"),
        node("Add", ["a", "b2"], ["y"], name="/fc/Add"),
    ]
    initializers = [
        array("w0", 4, 3, 3, 3),
        array("w1", 4, 4, 1, 1),
        array("w2", 4, 5),
        array("b2", 5),
        numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "pads"),
        numpy_helper.from_array(np.ones(4, np.float32), "one4"),
        numpy_helper.from_array(np.zeros(4, np.float32), "zero4"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def left(exclude):
    report = qkern.quantize_model(network(), X, "x86", effort="fast", exclude=exclude).report
    return {layer.name: layer.reason for layer in report.left_float}


@pytest.mark.parametrize(
    ("exclude", "names", "words"),
    [
        ("/fc/Add", {"/fc/MatMul"}, "it does the work of '/fc/Add'"),
        ("/fc/MatMul", {"/fc/MatMul"}, "excluded by name"),
        ("Add", {"/fc/MatMul"}, "it does the work of '/fc/Add', as every Add is"),
        ("MatMul", {"/fc/MatMul"}, "as every MatMul is"),
        ("Gemm", {"/fc/MatMul"}, "excluded: every Gemm"),
        ("/stem/BatchNorm", {"/stem/Conv", "/stem/Relu"}, "it does the work of '/stem/BatchNorm'"),
        ("BatchNormalization", {"/stem/Conv", "/stem/Relu"}, "as every BatchNormalization is"),
        ("Pad", {"/stem/Conv", "/stem/Relu"}, "it does the work of '/stem/Pad', as every Pad is"),
        ("/head/ReduceMean", {"/head/ReduceMean"}, "excluded by name"),
        ("ReduceMean", {"/head/ReduceMean"}, "as every ReduceMean is"),
        ("GlobalAveragePool", {"/head/ReduceMean"}, "excluded: every GlobalAveragePool"),
        ("/in/Identity", set(), ""),
        ("Identity", set(), ""),
    ],
)
def test_what_does_the_work_stays_float(exclude, names, words):
    reasons = left([exclude])
    assert reasons == left(exclude)
    assert names <= set(reasons) <= {*names, "/head/ReduceMean.flatten"}
    assert all(words in reasons[name] or "belongs to" in reasons[name] for name in names)


def test_what_cleaning_took_away_needs_nothing():
    assert set(left(["Dropout", "/drop/Dropout"])) <= {"/stem/Conv", "/stem/Relu"}


def test_an_excluded_activation_is_not_absorbed():
    reasons = left(["/body/Relu"])
    assert reasons == {"/body/Relu": "excluded by name"}


@pytest.mark.parametrize(
    ("wrong", "closest"),
    [("/fc/ad", "'/fc/Add'"), ("BatchNorm", "BatchNormalization"), ("/stem/Batchnorm", "'/stem/BatchNorm'")],
)
def test_unknown_names_get_the_closest_of_the_caller_s(wrong, closest):
    with pytest.raises(ValueError, match=f"no node or operator '{wrong}'; the closest are .*{closest}"):
        left([wrong])


def test_analyze_takes_the_same():
    with_all, without = (qkern.analyze(network(), X, "x86", samples=4, exclude=each) for each in ((), ["/fc/Add"]))
    gone = {layer.name for layer in with_all.layers} - {layer.name for layer in without.layers}
    assert gone == {"/fc/MatMul"}


def test_reasons_go_along():
    from qkern.model_file import load_model

    graph = load_model(network())
    excluded = fused_exclusions(FusedNames(graph), ["/fc/Add"])
    both = excluded.also(["/body/Conv"]).also(Exclusions({"/fc/MatMul": "another"}, {"/stem/Conv": "too wide"}))
    plan = make_plan(graph, both)
    reasons = {node.name: reason for node, reason in plan.float_reasons.items()}
    assert "it does the work of '/fc/Add'" in reasons["/fc/MatMul"]
    assert reasons["/body/Conv"] == "excluded by name"
    assert [layer.gives_floats for layer in plan.layers.values() if layer.node.name == "/stem/Conv"] == ["too wide"]


def calls_of_functions():
    """Two calls of one function in a row, and a Conv behind."""
    body = [
        helper.make_node("Conv", ["i", "v"], ["t"], name="conv"),
        helper.make_node("Relu", ["t"], ["o"], name="relu"),
    ]
    opset = helper.make_opsetid("", 17)
    function = helper.make_function("local", "Block", ["i", "v"], ["o"], body, [opset])
    nodes = [
        helper.make_node("Block", ["x", "w"], ["a"], name="/first", domain="local"),
        helper.make_node("Block", ["a", "w"], ["b"], name="/second", domain="local"),
        helper.make_node("Conv", ["b", "w"], ["y"], name="/last"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [array("w", 3, 3, 1, 1)],
    )
    imports = [opset, helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=imports, functions=[function], ir_version=8)


@pytest.mark.parametrize(("exclude", "layers"), [("/first", [1, 2]), ("/second", [0, 2]), ("Block", [2])])
def test_a_call_of_a_function_is_all_of_its_nodes(exclude, layers):
    report = qkern.quantize_model(calls_of_functions(), X, "x86", effort="fast", exclude=exclude).report
    convolutions = [layer for layer in report if layer.op_type == "Conv"]
    assert [index for index, layer in enumerate(convolutions) if layer.quantized] == layers
    assert all(exclude in layer.reason for layer in report.left_float)
