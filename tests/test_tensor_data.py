"""Tensors in files: which files a model may name, and what they have to hold; tensors in the model itself."""

import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
import qkern
from onnx_text import graph
from qkern.model_file import load_model

W = np.arange(12, dtype=np.float32).reshape(3, 4)


def model(place="initializer", **entries):
    """A model whose tensor w, an initializer or a node's attribute or in a body, is in a file."""
    tensor = onnx.numpy_helper.from_array(W, "w")
    tensor.ClearField("raw_data")
    tensor.data_location = tensor.EXTERNAL
    for key, value in ({"location": "w.bin"} | entries).items():
        tensor.external_data.add(key=key, value=str(value))
    if place == "initializer":
        proto = graph("(float[N, 3] x) => (float[N, 4] y) { y = MatMul(x, w) }")
        proto.graph.initializer.append(tensor)
    elif place == "attribute":
        proto = graph("(float[N, 3] x) => (float[N, 4] y) { y = MatMul(x, w) }")
        proto.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["w"], name="c", value=tensor))
    else:
        proto = graph(
            """(float[N, 3] x, bool b) => (float[N, 4] y) {
                y = If(b)<
                    then_branch = then () => (float[N, 4] t) { t = MatMul(x, w) },
                    else_branch = other () => (float[N, 4] t) { m = MatMul(x, w) t = Neg(m) }
                >
            }"""
        )
        for attribute in proto.graph.node[0].attribute:
            attribute.g.initializer.append(tensor)
    return proto


@pytest.fixture
def folder(tmp_path):
    """A folder for models, with the right data beside it but not in it."""
    (tmp_path / "secret.bin").write_bytes(W.tobytes())
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def save(folder, proto):
    (folder / "m.onnx").write_bytes(proto.SerializeToString())
    return folder / "m.onnx"


def outputs(source, **how):
    session = qkern.Session(source, **how)
    feeds = {"x": np.eye(3, dtype=np.float32), "b": np.array(True)}
    return session.run(None, {spec.name: feeds[spec.name] for spec in session.get_inputs()})[0]


PLACES = pytest.mark.parametrize("place", ["initializer", "attribute", "body"])


@PLACES
def test_data_lies_beside_the_model_or_below(folder, place):
    (folder / "data").mkdir()
    (folder / "data" / "w.bin").write_bytes(b"..." + W.tobytes() + b"...")
    (folder / "w.bin").symlink_to("data/w.bin")
    for location in ("data/w.bin", "w.bin", "./data/../w.bin"):
        path = save(folder, model(place, location=location, offset=3, length=48))
        np.testing.assert_array_equal(outputs(path), W)


@PLACES
@pytest.mark.parametrize("location", ["../secret.bin", "link", "linked/secret.bin", "absolute", "", "a\0b", "."])
def test_data_elsewhere_is_refused_by_name(folder, place, location):
    (folder / "link").symlink_to("../secret.bin")
    (folder / "linked").symlink_to("..")
    location = str(folder.parent / "secret.bin") if location == "absolute" else location
    path = save(folder, model(place, location=location))
    with pytest.raises(ValueError, match=r"m\.onnx: tensor 'w' is kept in"):
        qkern.Session(path)
    with pytest.raises(ValueError, match=r"m\.onnx: tensor 'w' is kept in"):
        qkern.quantize_model(path, np.ones((2, 3), np.float32))


@PLACES
def test_links_may_lead_out_of_a_folder_that_the_caller_has_chosen(folder, place):
    (folder / "w.bin").symlink_to("../secret.bin")
    for source in (save(folder, model(place)), model(place), model(place).SerializeToString()):
        np.testing.assert_array_equal(outputs(source, external_data=folder), W)
    proto = model(place)
    before = proto.SerializeToString()
    load_model(proto, folder)
    assert proto.SerializeToString() == before
    for location in ("../secret.bin", str(folder.parent / "secret.bin")):
        with pytest.raises(ValueError, match="tensor 'w' is kept in"):
            qkern.Session(model(place, location=location), external_data=folder)
    if place != "body":
        quantized = qkern.quantize_model(model(place), np.ones((2, 3), np.float32), external_data=str(folder))
        assert quantized.report.quantized


@PLACES
@pytest.mark.parametrize("wrap", [lambda proto: proto, lambda proto: proto.SerializeToString()])
def test_a_model_that_is_no_path_has_no_files(folder, place, wrap, monkeypatch):
    (folder / "w.bin").write_bytes(W.tobytes())
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match=r"tensor 'w' is kept in the file 'w\.bin': say external_data=FOLDER"):
        qkern.Session(wrap(model(place)))
    with pytest.raises(ValueError, match="external_data=FOLDER"):
        qkern.quantize_model(wrap(model(place)), np.ones((2, 3), np.float32))


@PLACES
@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"offset": 1}, r"takes bytes 1 to 49 of .*w\.bin, which has 48"),
        ({"offset": 1 << 70}, "which has 48"),
        ({"offset": -4}, "takes 48 bytes, not 48 from -4 on"),
        ({"offset": "four"}, "makes no sense"),
        ({"length": 44}, "takes 48 bytes, not 44 from 0 on"),
        ({"length": -48}, "takes 48 bytes, not -48"),
        ({"length": 1 << 70}, "takes 48 bytes, not"),
        ({"location": "missing.bin"}, r"missing\.bin, which is missing"),
    ],
)
def test_data_that_is_not_all_there_names_file_and_tensor(folder, place, entries, message):
    (folder / "w.bin").write_bytes(W.tobytes())
    with pytest.raises((ValueError, FileNotFoundError), match=rf"m\.onnx: tensor 'w'.*{message}"):
        qkern.Session(save(folder, model(place, **entries)))


@pytest.mark.skipif(os.name != "posix", reason="files of POSIX")
@PLACES
def test_pipes_devices_and_folders_are_refused_without_waiting(folder, place):
    os.mkfifo(folder / "pipe")
    (folder / "sub").mkdir()
    for location in ("pipe", "sub"):
        with pytest.raises(ValueError, match=r"tensor 'w' is kept in .*, which is no regular file"):
            qkern.Session(save(folder, model(place, location=location)))
    (folder / "zero").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="which is no regular file"):
        qkern.Session(model(place, location="zero"), external_data=folder)


def test_the_command_line_takes_the_folder(folder, tmp_path):
    (folder / "w.bin").symlink_to("../secret.bin")
    path = save(tmp_path, model())
    np.save(tmp_path / "x.npy", np.eye(3, dtype=np.float32))
    command = [sys.executable, "-m", "qkern", "run", path, "--data", tmp_path / "x.npy", "-o", tmp_path / "y.npz"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "tensor 'w'" in refused.stderr
    subprocess.run([*command, "--external-data", str(folder)], check=True, capture_output=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npz")["y"], W)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensor: tensor.ClearField("raw_data"), "needs 12 numbers and has 0"),
        (lambda tensor: setattr(tensor, "raw_data", tensor.raw_data[:-1]), "needs 48 bytes and has 47"),
        (lambda tensor: tensor.dims.append(3), "needs 144 bytes and has 48"),
        (lambda tensor: tensor.dims.append(-1), "has a negative size"),
        (lambda tensor: setattr(tensor, "data_type", 0), "has no type of numbers"),
        (lambda tensor: setattr(tensor, "data_type", 99), "has no type of numbers"),
        (lambda tensor: setattr(tensor, "data_type", onnx.TensorProto.INT4), "needs 6 bytes and has 48"),
    ],
)
def test_data_in_the_model_that_is_not_all_there_names_the_tensor(change, message):
    proto = graph("(float[N, 3] x) => (float[N, 4] y) { y = MatMul(x, w) }", w=W)
    change(proto.graph.initializer[0])
    with pytest.raises(ValueError, match=rf"tensor 'w'.* {message}"):
        qkern.Session(proto)


@pytest.mark.parametrize("dtype", sorted({*onnx.TensorProto.DataType.keys()} - {"UNDEFINED"}))
@pytest.mark.parametrize("count", [0, 1, 5])
def test_data_of_every_type_is_known_to_be_all_there(dtype, count):
    kind = onnx.TensorProto.DataType.Value(dtype)
    values = ["a"] * count if dtype == "STRING" else np.ones(count)
    tensors = [onnx.helper.make_tensor("w", kind, [count], values)]
    if dtype != "STRING":
        array = onnx.numpy_helper.to_array(tensors[0])
        tensors.append(onnx.numpy_helper.from_array(array, "w"))
    for tensor in tensors:
        proto = graph("(float[N] x) => (float[N] y) { y = Relu(x) }")
        proto.graph.initializer.append(tensor)
        assert list(load_model(proto).graph.initializers) == ["w"]
