"""The networks of ../shared: accuracy, agreement with ONNX Runtime, the same bytes on every tier."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import qkern

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def accuracy():
    spec = importlib.util.spec_from_file_location("accuracy", ROOT / "bench" / "accuracy.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["accuracy"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("target", ["x86", "arm"])
@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet20_cifar10"])
def test_int8_is_as_right_as_float_and_the_same_everywhere(
    name, target, accuracy, shared, onnxruntime_session, tmp_path
):
    case = next(case for case in accuracy.CASES if case.name == name)
    if accuracy.missing(case):
        pytest.skip(accuracy.missing(case))
    images, _ = accuracy.load(case)
    step = len(images) // 100
    calibration, held_out = images[::step][:30], images[step // 2 :: max(step // 2, 1)][1:101]
    quantized = qkern.quantize_model(shared / case.model, calibration, target, effort="fast")
    assert not quantized.report.left_float
    path = tmp_path / "int8.onnx"
    quantized.save(path)
    session = qkern.Session(path)
    assert {s.kind for s in session.steps} <= {"int8", "convert"}

    expected = qkern.Session(shared / case.model).run(None, {"input": held_out})[0]
    outputs = session.run(None, {"input": held_out})[0]
    theirs = onnxruntime_session(path).run(None, {"input": held_out})[0]
    assert np.mean(expected.argmax(axis=1) == outputs.argmax(axis=1)) >= 0.93
    # Logits of 8 bits tie at the top: what is the highest here is to be one of the highest there.
    of_our_class = np.take_along_axis(theirs, outputs.argmax(axis=1)[:, None], axis=1)[:, 0]
    assert np.mean(of_our_class == theirs.max(axis=1)) >= 0.99

    for tier in qkern.isa.available():
        few = held_out[: 1 if tier == "scalar" else 8]
        with qkern.isa.use(tier):
            for threads in (1, 2):
                other = qkern.Session(path, num_threads=threads).run(None, {"input": few})[0]
                np.testing.assert_array_equal(other, outputs[: len(few)])


@pytest.mark.parametrize("target", ["x86", "arm"])
def test_corrections_gain_on_images_they_have_not_seen(target, accuracy, shared, onnxruntime_session, tmp_path):
    case = next(case for case in accuracy.CASES if case.name == "resnet20_cifar10")
    if accuracy.missing(case):
        pytest.skip(accuracy.missing(case))
    images, _ = accuracy.load(case)
    for_calibration, others = accuracy.split(len(images))
    held_out = images[others[::16]]
    expected = qkern.Session(shared / case.model).run(None, {"input": held_out})[0]

    def noise_db(outputs):
        return 10 * np.log10(np.sum(expected**2) / np.sum((expected - outputs) ** 2))

    reached = {}
    for effort in ("fast", "balanced"):
        quantized = qkern.quantize_model(shared / case.model, images[for_calibration], target, effort=effort)
        assert not quantized.report.left_float
        assert {step.kind for step in quantized.session().steps} <= {"int8", "convert"}
        quantized.save(tmp_path / f"{effort}.onnx")
        reached[effort] = noise_db(quantized.session().run(None, {"input": held_out})[0])
    assert reached["balanced"] > max(reached["fast"] + 1.5, 30)
    theirs = onnxruntime_session(tmp_path / "balanced.onnx").run(None, {"input": held_out})[0]
    assert noise_db(theirs) == pytest.approx(reached["balanced"], abs=0.5)
