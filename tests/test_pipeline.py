"""quantize_model: the six stages in a row, on a small network."""

import json
import os

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import qkern
from emulation import EFFORT
from qkern.calibration import METHODS, HistogramObserver, MovingAverageMinMaxObserver
from qkern.target import get_target
from small_cnn import images, small_cnn

CALIBRATION, HELD_OUT = images(40), images(100, seed=1)


@pytest.fixture
def reference(onnxruntime_session):
    return lambda model, x: onnxruntime_session(model).run(None, {"image": x})[0]


def noise_db(reference, other):
    return 10 * np.log10(np.sum(reference**2) / np.sum((reference - other) ** 2))


@pytest.mark.parametrize("target", ["x86", "arm"])
@pytest.mark.parametrize("method", [None, *METHODS])
def test_the_int8_network_computes_what_the_float_one_does(target, method, tmp_path, reference):
    model = small_cnn()
    quantized = qkern.quantize_model(model, CALIBRATION, target, method, effort="fast")
    assert quantized.target is get_target(target)
    assert quantized.method == (method or get_target(target).method)
    assert not quantized.report.left_float
    assert any(fused.into for fused in quantized.fused)

    expected = reference(model, HELD_OUT)
    (outputs,) = quantized.session().run(None, {"image": HELD_OUT})
    assert outputs.dtype == np.float32
    assert noise_db(expected, outputs) > 25
    assert np.mean(expected.argmax(axis=1) == outputs.argmax(axis=1)) >= 0.95

    path = tmp_path / "int8.onnx"
    quantized.save(path)
    assert os.listdir(tmp_path) == ["int8.onnx"]
    onnx.checker.check_model(path, full_check=True)
    np.testing.assert_array_equal(qkern.Session(path).run(None, {"image": HELD_OUT})[0], outputs)
    np.testing.assert_array_equal(reference(path, HELD_OUT), outputs)


def test_the_model_may_be_a_path_bytes_a_proto_or_ir_and_stays_as_it_is(tmp_path):
    proto = small_cnn()
    content = proto.SerializeToString(deterministic=True)
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    in_memory = ir.from_proto(proto)
    before = ir.to_proto(in_memory).SerializeToString(deterministic=True)
    sources = (path, str(path), content, proto, in_memory)
    results = [qkern.quantize_model(source, CALIBRATION, effort=EFFORT) for source in sources]
    states = [[observer.to_bytes() for observer in result.table.values()] for result in results]
    assert all(state == states[0] for state in states)
    assert path.read_bytes() == proto.SerializeToString(deterministic=True) == content
    assert ir.to_proto(in_memory).SerializeToString(deterministic=True) == before


def test_the_table_has_what_the_method_needs():
    observers = {
        method: {
            type(observer)
            for observer in qkern.quantize_model(small_cnn(), CALIBRATION, "x86", method, effort=EFFORT).table.values()
        }
        for method in ("minmax", "kl", "moving_average_minmax")
    }
    histograms = {"minmax": {HistogramObserver}, "kl": {HistogramObserver}}
    assert observers == {**histograms, "moving_average_minmax": {MovingAverageMinMaxObserver}}


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_and_order_do_not_change_a_bit_of_the_ranges(threads):
    one = qkern.quantize_model(small_cnn(), CALIBRATION, "x86", effort="fast", num_threads=threads)
    shuffled = [*CALIBRATION[20:], *CALIBRATION[:20]]
    other = qkern.quantize_model(small_cnn(), shuffled, "x86", effort="fast", num_threads=2)
    as_bytes = [ir.to_proto(each.model).SerializeToString(deterministic=True) for each in (one, other)]
    assert as_bytes[0] == as_bytes[1]
    outputs = [each.session(threads).run(None, {"image": HELD_OUT})[0] for each in (one, other)]
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_model_with_a_fixed_batch_takes_budgets_and_analysis(batch):
    fixed, free = small_cnn(), small_cnn()
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    found = [
        qkern.quantize_model(each, CALIBRATION[:12], "x86", budget=10, effort=EFFORT).budget for each in (fixed, free)
    ]
    assert found[0].met
    assert found[0].reached == pytest.approx(found[1].reached)
    assert qkern.analyze(fixed, CALIBRATION[:12], "x86", samples=8).samples >= 4


def test_excluded_layers_stay_float_and_say_so(reference):
    whole = qkern.quantize_model(small_cnn(), CALIBRATION)
    by_name = qkern.quantize_model(small_cnn(), CALIBRATION, exclude=["gemm_scores"])
    assert [layer.name for layer in by_name.report.left_float] == ["gemm_scores"]
    assert "excluded" in by_name.report.left_float[0].reason
    by_type = qkern.quantize_model(small_cnn(), CALIBRATION, exclude=["Conv"])
    assert {layer.op_type for layer in by_type.report.left_float} >= {"Conv"}
    expected = reference(small_cnn(), HELD_OUT)
    noise = [noise_db(expected, q.session().run(None, {"image": HELD_OUT})[0]) for q in (whole, by_type)]
    assert noise[1] > noise[0]


def test_progress_is_passed_on():
    seen = []

    def note(done, total):
        seen.append((done, total))

    qkern.quantize_model(small_cnn(), CALIBRATION, effort=EFFORT, progress=note)
    assert seen[0] == (0, 40)
    assert seen[-1] == (40, 40)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "mips"}, "target: 'mips' is not one of x86, arm, auto"),
        ({"method": "best"}, "method: 'best' is not one of minmax"),
        ({"exclude": ["gemm_score"]}, "no node or operator 'gemm_score'; the closest are 'gemm_scores'"),
        ({"data": []}, "no calibration data"),
        ({"data": CALIBRATION.astype(np.float64)}, r"'image' takes float32 \[\?, 3, 12, 12\], not float64"),
        ({"data": CALIBRATION[:, :2]}, "'image' takes float32"),
        (
            {"data": np.where(np.arange(40).reshape(-1, 1, 1, 1) == 9, np.float32("nan"), CALIBRATION)},
            "NaN in sample 9",
        ),
        ({"model": b"not a model"}, "not an ONNX model"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        qkern.quantize_model(**{"model": small_cnn(), "data": CALIBRATION, **arguments})


def test_a_quantized_model_is_refused(tmp_path):
    qkern.quantize_model(small_cnn(), CALIBRATION, effort="fast").save(tmp_path / "int8.onnx")
    with pytest.raises(ValueError, match="quantized already"):
        qkern.quantize_model(tmp_path / "int8.onnx", CALIBRATION)


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.onnx"):
        qkern.quantize_model(tmp_path / "nowhere.onnx", CALIBRATION)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        qkern.quantize_model(small_cnn(), tmp_path / "nowhere.npz")
    with pytest.raises(OSError, match="int8"):
        qkern.quantize_model(small_cnn(), CALIBRATION, effort="fast").save(tmp_path / "no" / "int8.onnx")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("ir_version", [3, 8])
def test_weights_that_are_listed_as_inputs_are_constants(ir_version):
    listed = small_cnn()
    for tensor in listed.graph.initializer:
        listed.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    listed.ir_version = ir_version
    quantized = qkern.quantize_model(listed, CALIBRATION, "x86", effort="fast")
    plain = qkern.quantize_model(small_cnn(), CALIBRATION, "x86", effort="fast")
    assert quantized.report.layers == plain.report.layers
    assert [value.name for value in quantized.model.graph.inputs] == ["image"]
    if ir_version == 3:  # there they have to be listed
        assert not quantized.report.notes
    else:
        (note,) = quantized.report.notes
        assert all(repr(tensor.name) in note for tensor in listed.graph.initializer)


@pytest.mark.parametrize("effort", ["fast", "balanced"])
@pytest.mark.parametrize("name", ["r.html", "r.json"])
@pytest.mark.parametrize("with_data", [False, True])
def test_the_report_is_saved_with_what_each_layer_costs(effort, name, with_data, tmp_path):
    quantized = qkern.quantize_model(small_cnn(), CALIBRATION, "x86", effort=effort)
    path = tmp_path / name
    quantized.save_report(path, HELD_OUT if with_data else None, title="a <title>")
    text = path.read_text()
    if name.endswith(".html"):
        assert "<h1>a &lt;title&gt;</h1>" in text
        assert "conv_c1" in text or "c1" in text
        return
    described = json.loads(text)
    layers = {layer["name"]: layer for layer in described["layers"]}
    assert all(layer["alone_db"] > 20 for layer in layers.values() if layer["op_type"] in ("Conv", "Gemm"))
    few = sum(len(feed["image"]) for feed in quantized.samples)
    assert 8 <= few <= 16
    assert described["comparison"]["samples"] == (len(HELD_OUT) if with_data else few)
    assert described["comparison"]["size_float"] == len(small_cnn().SerializeToString())
    assert {tensor["name"] for tensor in described["tensors"]} == set(quantized.table)


def test_the_report_of_a_table_alone_measures_nothing(tmp_path):
    table = qkern.quantize_model(small_cnn(), CALIBRATION, "x86", effort="fast").table
    quantized = qkern.quantize_model(small_cnn(), None, "x86", table=table)
    quantized.save_report(tmp_path / "r.json")
    described = json.loads((tmp_path / "r.json").read_text())
    assert described["comparison"] is None
    assert "alone_db" not in described["layers"][0]


def test_the_report_has_histograms_whatever_the_method(tmp_path):
    quantized = qkern.quantize_model(small_cnn(), CALIBRATION, "arm", "moving_average_minmax", effort="fast")
    quantized.save_report(tmp_path / "r.json")
    described = json.loads((tmp_path / "r.json").read_text())
    assert {tensor["name"] for tensor in described["tensors"]} == set(quantized.table)
    assert described["method"] == "moving_average_minmax"
