"""The embedded model and images: what `qkern demo` and its documentation rely on."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qkern.demo import data

# Where Debian's package dataset-fashion-mnist puts the original files.
ORIGINALS = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def demo() -> data.DemoData:
    return data.load()


@pytest.fixture(scope="module")
def model() -> Any:
    onnx = pytest.importorskip("onnx")
    return onnx.load(data.model_path())


def weights(model: Any) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}


def test_shapes_and_dtypes(demo: data.DemoData) -> None:
    assert demo.calibration.shape == (500, 1, 28, 28)
    assert demo.test.shape == (2000, 1, 28, 28)
    assert demo.calibration.dtype == demo.test.dtype == np.float32
    assert demo.labels.shape == (2000,)
    assert demo.labels.dtype == np.uint8
    assert len(set(demo.class_names)) == 10
    assert all(type(name) is str for name in demo.class_names)


def test_classes_are_balanced_and_mixed(demo: data.DemoData) -> None:
    np.testing.assert_array_equal(np.bincount(demo.labels), [200] * 10)
    # In the order of the data set, so any batch of it holds all classes.
    assert len(set(demo.labels[:100].tolist())) == 10


def test_images_use_the_whole_pixel_range(demo: data.DemoData) -> None:
    low, high = data.normalize(np.array([[[0, 255]]], np.uint8)).ravel()
    for images in (demo.calibration, demo.test):
        assert images.min() == low
        assert images.max() == high


def test_calibration_images_are_not_test_images(demo: data.DemoData) -> None:
    test = {image.tobytes() for image in demo.test}
    assert not any(image.tobytes() in test for image in demo.calibration)


@pytest.mark.skipif(not ORIGINALS.is_dir(), reason="dataset-fashion-mnist is not installed")
@pytest.mark.parametrize(("part", "key", "count"), [("train", "calibration", 50), ("t10k", "test", 200)])
def test_images_are_the_first_of_each_class(demo: data.DemoData, part: str, key: str, count: int) -> None:
    images, labels = (
        np.frombuffer(gzip.decompress((ORIGINALS / f"{part}-{kind}-ubyte.gz").read_bytes()), np.uint8, offset=offset)
        for kind, offset in (("images-idx3", 16), ("labels-idx1", 8))
    )
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(10)]))
    expected = data.normalize(images.reshape(-1, 28, 28)[chosen])
    np.testing.assert_array_equal(getattr(demo, key), expected)
    if part == "t10k":
        np.testing.assert_array_equal(demo.labels, labels[chosen])


def test_normalize() -> None:
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    normalized = data.normalize(images)
    assert normalized.shape == (1, 1, 16, 16)
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized[0, 0], (images[0] / 255 - 0.2860) / 0.3530, rtol=1e-5, atol=1e-6)


def test_normalize_refuses_other_input() -> None:
    with pytest.raises(TypeError, match="uint8"):
        data.normalize(np.zeros((1, 28, 28), np.float32))
    with pytest.raises(ValueError, match=r"\(28, 28\)"):
        data.normalize(np.zeros((28, 28), np.uint8))


def test_files_are_small() -> None:
    model_size = data.model_path().stat().st_size
    assert model_size < 1_000_000
    assert model_size + data.model_path().with_suffix(".npz").stat().st_size < 2_000_000


def test_model_is_valid(model: Any) -> None:
    import onnx

    onnx.checker.check_model(model, full_check=True)
    (image,) = model.graph.input
    assert image.name == "image"
    batch, *sizes = image.type.tensor_type.shape.dim
    assert batch.dim_param == "N"
    assert [size.dim_value for size in sizes] == [1, 28, 28]
    assert [output.name for output in model.graph.output] == ["logits"]
    assert all(node.name for node in model.graph.node)


def test_model_says_how_its_input_is_made(model: Any) -> None:
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert f"(pixel / 255 - {data.MEAN:.4f}) / {data.STD:.4f}" in metadata["input"]


def test_classes_are_named_in_the_order_of_the_logits(model: Any, demo: data.DemoData) -> None:
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["classes"].split(", ") == list(demo.class_names)
    assert weights(model)["head.classifier.weight"][0] == len(demo.class_names)


def test_every_convolution_has_its_batch_norm(model: Any) -> None:
    for conv in (node for node in model.graph.node if node.op_type == "Conv"):
        readers = [node.op_type for node in model.graph.node if conv.output[0] in node.input]
        assert readers == ["BatchNormalization"], conv.name


def test_model_has_what_quantization_must_deal_with(model: Any) -> None:
    kinds = {node.op_type for node in model.graph.node}
    assert kinds >= {"Conv", "BatchNormalization", "Clip", "Add", "GlobalAveragePool", "Flatten", "Gemm"}

    plain, pointwise, depthwise = [], [], []
    for node in model.graph.node:
        if node.op_type == "Conv":
            outputs, inputs_per_group, height, width = weights(model)[node.input[1]]
            group = next(attribute.i for attribute in node.attribute if attribute.name == "group")
            if inputs_per_group == 1 and group == outputs > 1:
                depthwise.append(node.name)
            elif height == width == 1:
                pointwise.append(node.name)
            elif group == 1:
                plain.append(node.name)
    assert plain
    assert pointwise
    assert depthwise


def test_additions_join_two_computed_tensors(model: Any) -> None:
    # A residual, not a bias: neither operand is stored in the file.
    stored = weights(model)
    additions = [node for node in model.graph.node if node.op_type == "Add"]
    assert additions
    for node in additions:
        assert not any(name in stored for name in node.input), node.name


def test_accuracy(demo: data.DemoData) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = onnxruntime.InferenceSession(data.model_path(), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": demo.test})
    assert logits.shape == (2000, 10)
    assert np.mean(logits.argmax(1) == demo.labels) >= 0.92
