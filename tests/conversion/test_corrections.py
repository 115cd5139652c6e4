"""Corrections: what each promises, on layers small enough to know the answer, and that only what helps is kept."""

import itertools
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import qkern
from qkern.conversion import CORRECTIONS, EFFORTS
from qkern.conversion.adaround import round_rows
from qkern.conversion.bias_correction import correct_biases
from qkern.conversion.channels import find_channels
from qkern.conversion.cross_layer_equalization import ChannelObserver, equalize
from qkern.conversion.network import prepared
from qkern.conversion.observation import observe
from qkern.conversion.plan import make_plan
from qkern.conversion.weight_clipping import clip_weights
from qkern.conversion.weights import nearest_weights
from qkern.conversion.windows import observe_moments, weight_rows
from qkern.graph_values import constant_of
from qkern.target import get_target
from small_cnn import images, small_cnn

WEIGHT = get_target("x86").weight
X = images(24)

LAYERS = ["", ", pads=[1, 1, 2, 0], strides=[2, 1]", ', dilations=[2, 1], auto_pad="SAME_UPPER", strides=[1, 2]']


def network(text, **arrays):
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> graph {text}')
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(a, np.float32), name) for name, a in arrays.items()
    )
    for node in proto.graph.node:
        node.name = node.output[0]
    return ir.from_proto(proto)


def planned(model, exclude=()):
    copy = prepared(model)
    plan = make_plan(copy, exclude)
    return copy, plan, list(plan.layers.values())


def feeds(x, name="image"):
    return [{name: x[start : start + 8]} for start in range(0, len(x), 8)]


def observe_channels(model, plan, samples):
    observer = ChannelObserver(plan)
    observe(model, samples, observer.taps)
    return observer.ranges()


def run(model, feed):
    return qkern.Session(model).run(None, feed)[0].astype(np.float64)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("attributes", LAYERS)
def test_moments_are_those_of_what_the_kernel_sees(attributes, groups, rng):
    # W x at every position is the convolution itself: its mean and its variance say whether x is right.
    w = rng.normal(size=(6, 6 // groups, 3, 2))
    model = network(
        f"(float[N, 6, 9, 8] x) => (float[] y) {{ y = Conv<group={groups}{attributes}>(x, w, b) }}", w=w, b=np.zeros(6)
    )
    x = rng.normal(size=(10, 6, 9, 8)).astype(np.float32) + 1
    copy, _, layers = planned(model)
    moments = observe_moments(copy, layers, feeds(x, "x"), covariance=True)["y"]
    rows = weight_rows(layers[0]).rows.astype(np.float64)
    y = run(model, {"x": x})
    np.testing.assert_allclose(np.einsum("gok,gk->go", rows, moments.mean).ravel(), y.mean(axis=(0, 2, 3)), rtol=1e-4)
    variance = np.einsum("gok,gkl,gol->go", rows, moments.covariance, rows).ravel()
    np.testing.assert_allclose(variance, y.var(axis=(0, 2, 3)), rtol=1e-3)  # few positions: all of them are looked at
    assert (moments.square >= moments.mean**2 - 1e-9).all()


@pytest.mark.parametrize("op", ["Gemm<transB=1>(x, w, b)", "Gemm(x, w, b)", "MatMul(x, w)"])
def test_rows_of_a_matrix(op, rng):
    w = rng.normal(size=(4, 7) if "transB" in op else (7, 4))
    model = network(f"(float[N, 7] x) => (float[N, 4] y) {{ y = {op} }}", w=w, b=np.zeros(4))
    x = rng.normal(size=(16, 7)).astype(np.float32)
    copy, _, layers = planned(model)
    rows = weight_rows(layers[0])
    np.testing.assert_array_equal(rows.restore(rows.rows), np.float32(w))
    mean = observe_moments(copy, layers, feeds(x, "x"))["y"].mean
    np.testing.assert_allclose(rows.rows[0].astype(np.float64) @ mean[0], run(model, {"x": x}).mean(axis=0), rtol=1e-4)


def test_bias_correction_restores_the_mean(rng):
    model = network("(float[N, 6, 9, 9] x) => (float[] y) { y = Conv(x, w) }", w=rng.normal(size=(5, 6, 3, 3)))
    x = rng.normal(size=(16, 6, 9, 9)).astype(np.float32) + 2
    copy, _, layers = planned(model)
    moments, weights = observe_moments(copy, layers, feeds(x, "x")), nearest_weights(layers, WEIGHT)
    rows = weight_rows(layers[0])
    rounded = network(
        "(float[N, 6, 9, 9] x) => (float[] y) { y = Conv(x, w, b) }",
        w=rows.restore(weights["y"].real_rows(rows)),
        b=np.zeros(5),
    )
    off = run(rounded, {"x": x}).mean(axis=(0, 2, 3)) - run(model, {"x": x}).mean(axis=(0, 2, 3))
    assert np.abs(off).max() > 1e-3
    assert correct_biases(copy, layers, weights, moments) == 1
    bias = constant_of(next(iter(copy.graph)).inputs[2])  # the Conv had none
    np.testing.assert_allclose(bias, -off, atol=1e-5)


def test_clipping_never_raises_the_error_it_minimizes_and_does_clip(rng):
    w = rng.normal(size=(8, 40))
    w[:, 0] = 4.2  # one large weight, whose input is always 0
    x = rng.normal(size=(50, 40)).astype(np.float32)
    x[:, 0] = 0
    model = network("(float[N, 40] x) => (float[N, 8] y) { y = Gemm<transB=1>(x, w, b) }", w=w, b=np.zeros(8))
    copy, _, layers = planned(model)
    moments, nearest = observe_moments(copy, layers, feeds(x, "x")), nearest_weights(layers, WEIGHT)
    clipped = clip_weights(layers, nearest, moments, WEIGHT)
    rows, power = weight_rows(layers[0]), moments["y"].square

    def error(weight):
        return (power * (rows.rows - weight.real_rows(rows)) ** 2).sum(axis=2)

    assert (error(clipped["y"]) <= error(nearest["y"])).all()
    assert (clipped["y"].params.scale < nearest["y"].params.scale).all()
    assert np.abs(clipped["y"].codes.astype(int)).max() == 127


def test_adaround_finds_what_trying_everything_finds(rng):
    # Four weights have 16 ways to be rounded up or down; a single-code optimum need not be the best of them, so count.
    best = 0
    for _ in range(40):
        rows, scales = rng.normal(size=(1, 4)) * 8, np.ones(1)
        x = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))
        covariance = np.cov(x.T)
        codes = round_rows(rows, scales, covariance, (-127, 127), np.rint(rows))
        damped = covariance + 0.2 * np.diag(covariance).mean() * np.eye(4)

        def loss(candidate, rows=rows, damped=damped):
            error = candidate - rows
            return float((error @ damped @ error.T).item())

        ways = [np.floor(rows) + np.array(way) for way in itertools.product((0, 1), repeat=4)]
        assert loss(codes) <= loss(np.rint(rows)) + 1e-12
        best += loss(codes) <= min(map(loss, ways)) + 1e-9
    assert best >= 25


def test_adaround_saturates_and_survives_constants():
    start = np.array([[127.0, -127.0, 0.0]])
    codes = round_rows(np.array([[300.0, -300.0, 0.4]]), np.ones(1), np.zeros((3, 3)), (-127, 127), start)
    np.testing.assert_array_equal(codes, [[127, -127, 0]])


EQUALIZED = {
    "relu": "t = Relu(a)",
    "clip": "t = Clip(a, zero, six)",
    "residual": "r = Relu(a) q = Conv<pads=[1, 1, 1, 1]>(r, v, c) s = Add(q, r) t = Relu(s)",
    "depthwise": "r = Clip(a, zero, six) q = Conv<pads=[1, 1, 1, 1], group=8>(r, d, c) t = Clip(q, zero, six)",
    "linear": "t = MaxPool<kernel_shape=[2, 2]>(a)",
}


def uneven(body, rng):
    """Channels of very different ranges between two convolutions."""
    spread = 2.0 ** rng.integers(-4, 1, 8)
    return network(
        f"(float[N, 3, 8, 8] x) => (float[] y) {{ a = Conv<pads=[1, 1, 1, 1]>(x, w, b) {body} y = Conv(t, u, e) }}",
        w=rng.normal(size=(8, 3, 3, 3)) * spread.reshape(8, 1, 1, 1),
        b=rng.normal(size=8) * spread,
        v=rng.normal(size=(8, 8, 3, 3)) * spread.reshape(8, 1, 1, 1) / 8,
        d=rng.normal(size=(8, 1, 3, 3)),
        c=rng.normal(size=8) * spread / 4,
        u=rng.normal(size=(4, 8, 3, 3)) / spread.reshape(1, 8, 1, 1),
        e=rng.normal(size=4),
        zero=0.0,
        six=60.0,
    )


@pytest.mark.parametrize("case", EQUALIZED)
def test_equalization_keeps_the_function_and_evens_out_the_ranges(case, rng):
    model = uneven(EQUALIZED[case], rng)
    x = rng.normal(size=(32, 3, 8, 8)).astype(np.float32)
    copy, plan, _ = planned(model)
    before = observe_channels(copy, plan, feeds(x, "x"))
    changed = equalize(copy, plan, before, get_target("x86").weight)
    assert changed
    expected, result = run(model, {"x": x}), run(copy, {"x": x})
    assert np.abs(result - expected).max() < 1e-4 * np.abs(expected).max()
    assert all(each.after <= each.before * 1.001 for each in changed)
    assert any(each.after < each.before / 1.5 for each in changed)
    plain, better = (
        qkern.quantize_model(each, x, "x86", "minmax", effort="fast").session().run(None, {"x": x})[0]
        for each in (model, copy)
    )
    assert np.square(better - expected).sum() < np.square(plain - expected).sum()


@pytest.mark.parametrize("case", EQUALIZED)
def test_with_a_scale_per_tensor_rows_of_weights_are_evened_out_too(case, rng):
    model = uneven(EQUALIZED[case], rng)
    x = rng.normal(size=(32, 3, 8, 8)).astype(np.float32)
    x86 = get_target("x86")
    per_tensor = replace(x86, weight=replace(x86.weight, per_channel=False))
    errors = []
    for scheme in (None, x86.weight, per_tensor.weight):
        copy, plan, _ = planned(model)
        if scheme is not None:
            assert equalize(copy, plan, observe_channels(copy, plan, feeds(x, "x")), scheme)
        expected, result = run(model, {"x": x}), run(copy, {"x": x})
        assert np.abs(result - expected).max() < 1e-4 * np.abs(expected).max()
        quantized = qkern.quantize_model(copy, x, per_tensor, "minmax", effort="fast")
        errors.append(np.square(quantized.session().run(None, {"x": x})[0] - expected).sum())
    plain, of_channels, of_tensors = errors
    assert of_tensors <= 1.001 * of_channels
    assert of_tensors < plain / 2


def test_a_channel_that_reaches_its_bound_keeps_it(rng):
    model = uneven("t = Clip(a, zero, six)", rng)
    copy, plan, _ = planned(model)
    maxima = {"t": np.array([60, 30, 15, 60, 0, 60, 60, 60], float), "a": np.full(8, 90.0)}
    channels = find_channels(copy, plan, maxima)
    t = channels.of[next(value for value in channels.of if value.name == "t")]
    np.testing.assert_array_equal(channels.highest[t][:4], [1, 2, 4, 1])
    assert (channels.lowest[t] == 1).all()
    fixed = {value.name for value in channels.of if (channels.highest[channels.of[value]] == 1).all()}
    assert fixed == {"x", "y"}


@pytest.mark.parametrize("body", ["t = Sigmoid(a)", "t = LeakyRelu(a)", "q = Clip(a, six, six) t = Relu(q)"])
def test_other_functions_pass_no_factor_on(body, rng):
    copy, plan, _ = planned(uneven(body, rng))
    x = rng.normal(size=(8, 3, 8, 8)).astype(np.float32)
    assert equalize(copy, plan, observe_channels(copy, plan, feeds(x, "x")), get_target("x86").weight) == []


@pytest.mark.parametrize("target", ["x86", "arm"])
@pytest.mark.parametrize("effort", EFFORTS)
def test_more_effort_is_kept_only_where_it_helps(effort, target, onnxruntime_session, tmp_path):
    calibration, held_out = images(40), images(100, seed=1)
    quantized = qkern.quantize_model(small_cnn(), calibration, target, effort=effort)
    corrections = quantized.report.corrections
    assert bool(corrections) == (effort != "fast")
    assert all(each.kept == (each.after > each.before) for each in corrections if each.note != "demanded")
    for earlier, later in itertools.pairwise(corrections):
        assert later.before == (earlier.after if earlier.kept else earlier.before)
    names = " ".join(each.name for each in corrections)
    assert ("adaround" in names) == (effort == "best")
    assert not quantized.report.left_float
    expected = onnxruntime_session(small_cnn()).run(None, {"image": held_out})[0]
    (outputs,) = quantized.session().run(None, {"image": held_out})
    plain = qkern.quantize_model(small_cnn(), calibration, target, effort="fast")
    (before,) = plain.session().run(None, {"image": held_out})
    assert np.square(outputs - expected).sum() <= np.square(before - expected).sum()
    path = tmp_path / "m.onnx"
    quantized.save(path)
    theirs = onnxruntime_session(path).run(None, {"image": held_out})[0]
    assert np.square(theirs - outputs).sum() < np.square(outputs - expected).sum() / 4
    assert all(step.kind in ("int8", "convert") for step in quantized.session().steps)


def test_threads_batches_and_an_iterator_that_goes_once_do_not_change_a_bit():
    x = images(40)
    one = qkern.quantize_model(small_cnn(), x, "x86", num_threads=1)
    model = ir.to_proto(one.model).SerializeToString(deterministic=True)
    for parts, threads in ((np.split(x, [3, 4, 25]), 2), ((part for part in np.split(x, 5)), None)):
        other = qkern.quantize_model(small_cnn(), parts, "x86", num_threads=threads)
        assert one.report == other.report
        assert ir.to_proto(other.model).SerializeToString(deterministic=True) == model


def test_data_are_corrected_and_a_table_alone_is_not(tmp_path):
    table = tmp_path / "t.npz"
    assert qkern.quantize_model(small_cnn(), images(40), "x86", checkpoint=table).report.corrections
    assert not qkern.quantize_model(small_cnn(), None, "x86", table=table).report.corrections


def test_an_unknown_effort_is_an_error():
    with pytest.raises(ValueError, match="effort: 'most' is not one of fast, balanced, best"):
        qkern.quantize_model(small_cnn(), X, effort="most")


def test_every_correction_names_its_source():
    assert all("et al." in __import__(each.__module__, fromlist=["_"]).__doc__ for each in CORRECTIONS)
