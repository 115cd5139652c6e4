"""Nodes that aren't as their operator's schema says are refused at load, by name."""

import onnx
import pytest
import qkern
from onnx_text import graph

CONV = "(float[1, 2, 5, 5] x, float[2, 2, 3, 3] w) => (float[N, C, H, W] y) { y = Conv(x, w) }"


def attribute(name, value):
    return lambda node: node.attribute.append(onnx.helper.make_attribute(name, value))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda node: node.input.pop(), "it has 1 inputs, not 2 to 3"),
        (lambda node: node.input.extend(["x", "x"]), "it has 4 inputs, not 2 to 3"),
        (lambda node: node.output.append("z"), "it has 2 outputs, not 1"),
        (lambda node: node.input.__setitem__(1, ""), "its input 'W' is missing"),
        (attribute("stride", [1, 1]), "it has an attribute 'stride', which Conv does not have"),
        (attribute("strides", 1), "its attribute 'strides' is not of type INTS"),
        (attribute("strides", [1.0, 1.0]), "its attribute 'strides' is not of type INTS"),
        (attribute("strides", [0, 1]), "its attribute 'strides' is not positive"),
        (attribute("kernel_shape", [3, -3]), "its attribute 'kernel_shape' is not positive"),
        (attribute("group", 0), "its attribute 'group' is not positive"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_it_names_the_node_and_what_is_wrong(change, message, nested):
    proto = graph(CONV)
    change(proto.graph.node[0])
    if nested:
        outer = graph("(float[1, 2, 5, 5] x, float[2, 2, 3, 3] w, bool b) => (float[N, C, H, W] y) { y = If(b) }")
        for branch in ("then_branch", "else_branch"):
            body = onnx.helper.make_graph(proto.graph.node, branch, [], proto.graph.output)
            outer.graph.node[0].attribute.append(onnx.helper.make_attribute(branch, body))
        proto = outer
    with pytest.raises(ValueError, match=rf"node 'y' \(Conv\): {message}"):
        qkern.Session(proto)


def test_a_required_attribute():
    proto = graph("(float[2] x) => (float[4] y) { y = Concat(x, x) }")
    with pytest.raises(ValueError, match=r"node 'y' \(Concat\): it lacks the attribute 'axis'"):
        qkern.Session(proto)


@pytest.mark.parametrize("opset", [-1, 0, 1000])
def test_an_opset_that_is_not_known(opset):
    proto = graph(CONV)
    proto.opset_import[0].version = opset
    with pytest.raises(ValueError, match=rf"node 'y' \(Conv\): opset {opset} is none of 1 to"):
        qkern.Session(proto)


def test_nobody_knows_other_domains():
    with pytest.raises(ValueError, match="vendor"):
        qkern.Session(graph("(float[2] x) => (float[2] y) { y = vendor.Thing<what=1>(x, x, x) }"))
