"""A network is prepared and planned once, and its copies are as good as graphs prepared by themselves."""

import onnx
import onnx_ir as ir
import pytest
import qkern
from qkern.calibration import calibrate
from qkern.conversion import convert, network, tensors_to_observe
from qkern.conversion.network import Network, prepared
from qkern.conversion.plan import make_plan
from qkern.fusion import fuse
from qkern.model_file import load_model
from qkern.target import get_target
from small_cnn import images, small_cnn

HARD_SWISH = """
<ir_version: 8, opset_import: ["": 17]> graph (float[N, 4] x) => (float[N, 2, 2] y)
<float three = {3}, float zero = {0}, float six = {6}, int64[3] shape = {-1, 2, 2}> {
    t = Relu(x)
    a = Add(t, three)
    c = Clip(a, zero, six)
    m = Mul(t, c)
    d = Div(m, six)
    y = Reshape(d, shape)
}
"""


def fused(proto):
    model = load_model(proto)
    fuse(model)
    return model


def words(plan):
    """A plan without the identity of its nodes and values."""

    def layer(each):
        reads = [(node.name, index) for node, index in each.reads()]
        outputs = [value.name for value in each.outputs]
        group = None if each.group is None else [node.name for node in each.group.nodes]
        activation = each.activation and each.activation.name
        return each.node.name, activation, reads, outputs, group, each.shares_params, each.weight_shape

    return (
        [layer(each) for each in plan.layers.values()],
        [(node.name, reason) for node, reason in plan.float_reasons.items()],
        [(node.name, by.name) for node, by in plan.absorbed.items()],
        [[member.name for member in plan.groups.members(value)] for value in plan.values()],
        [[source.name for source in plan.sources(value)] for value in plan.values()],
    )


@pytest.mark.parametrize("proto", [small_cnn(), onnx.parser.parse_model(HARD_SWISH)], ids=["cnn", "table"])
@pytest.mark.parametrize("exclude", [(), ("Relu",)])
def test_a_plan_goes_along_with_a_copy(proto, exclude):
    whole = Network.of(fused(proto), exclude)
    copy = whole.copy()
    assert words(copy.plan) == words(whole.plan) == words(make_plan(copy.model, whole.exclude))
    nodes, values = set(copy.model.graph), {value for node in copy.model.graph for value in node.outputs}
    assert {layer.node for layer in copy.plan.layers.values()} <= nodes
    assert {node for layer in copy.plan.layers.values() for node, _ in layer.reads()} <= nodes
    assert {value for layer in copy.plan.layers.values() for value in layer.outputs} <= values


def test_a_network_is_converted_as_its_model_is_and_stays_as_it_is():
    model, target = fused(small_cnn()), get_target("x86")
    table = calibrate(model, images(16), tensors_to_observe(model))
    whole = Network.of(model)
    before = ir.to_proto(whole.model).SerializeToString()
    results = [convert(each, table, target) for each in (model, whole, whole)]
    assert len({ir.to_proto(each).SerializeToString(deterministic=True) for each, _ in results}) == 1
    assert results[0][1] == results[1][1] == results[2][1]
    assert ir.to_proto(whole.model).SerializeToString() == before


def test_what_is_left_in_float_adds_up():
    model, target = fused(small_cnn()), get_target("x86")
    whole = Network.of(model, ["MaxPool"])
    assert whole.without(()) is whole
    table = calibrate(model, images(16), tensors_to_observe(whole))
    _, report = convert(whole, table, target, exclude=["Gemm"])
    assert {layer.op_type for layer in report.left_float} == {"MaxPool", "Gemm"}


@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_shapes_are_inferred_a_few_times_however_often_a_model_is_tried(effort, monkeypatch):
    prepared_, inferred = [], []
    infer = onnx.shape_inference.infer_shapes

    def counted(*args, **how):
        inferred.append(args)
        return infer(*args, **how)

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", counted)
    monkeypatch.setattr(network, "prepared", lambda model: prepared_.append(model) or prepared(model))
    quantized = qkern.quantize_model(small_cnn(), images(24), "x86", effort=effort)
    assert effort == "fast" or len(quantized.report.corrections) > 5
    assert len(prepared_) == 1
    assert 0 < len(inferred) <= 6
