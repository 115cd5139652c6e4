"""`qkern explain`: a table of timed steps, JSON, and what it does where it can't run the model."""

import json

import numpy as np
import onnx
import pytest
from onnx_text import graph
from qkern import cli
from qkern.pipeline import quantize_model
from small_cnn import images, small_cnn


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("explain")
    onnx.save(small_cnn(), path / "model.onnx")
    np.savez(path / "data.npz", image=images(20))
    quantize_model(path / "model.onnx", path / "data.npz", "x86", effort="fast").save(path / "int8.onnx")
    return path


@pytest.fixture
def explain(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("qkern.runtime.profiler._MOST_RUNS", 5)

    def run(*arguments, columns="240"):
        monkeypatch.setenv("COLUMNS", columns)
        code = cli.main(["explain", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_every_step_is_timed(explain):
    code, out, err = explain("int8.onnx")
    assert (code, err) == (0, "")
    for said in (
        "MACs",
        "GOPS",
        "of bound",
        "Conv",
        "int8 direct",
        "u8[1,",
        "% peak",
        "medians of 5 runs",
        "0 reference",
    ):
        assert said in out, said
    assert "The time goes to" in out
    code, out, _ = explain("model.onnx")
    assert code == 0
    assert "0 int8" in out
    assert "float direct" in out


def test_json_is_what_is_printed(explain):
    code, out, err = explain("int8.onnx", "--json", "--sort", "time", "--threads", 1)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["model"] == "int8.onnx"
    assert found["threads"] == 1
    seconds = [step["seconds"] for step in found["steps"]]
    assert seconds == sorted(seconds, reverse=True)
    assert found["total"] == pytest.approx(found["overhead"] + sum(seconds))
    assert any(step["kernel"] == "int8 direct" and step["percent"] > 0 for step in found["steps"])


def test_data_is_one_sample(explain):
    code, out, _ = explain("int8.onnx", "--data", "data.npz", "--json")
    assert code == 0
    assert json.loads(out)["steps"][0]["inputs"][0]["shape"][0] == 1


@pytest.mark.parametrize("columns", ["80", "100", "140"])
def test_a_narrow_terminal_has_fewer_columns(explain, columns):
    code, out, _ = explain("int8.onnx", columns=columns)
    assert code == 0
    assert max(map(len, out.splitlines())) <= int(columns)
    header = next(line for line in out.splitlines() if "kernel" in line)
    assert "time" in header
    assert "operator" in header or columns == "80"
    assert "MACs" not in header or columns == "140"
    assert "of bound" in header


def test_without_data_a_model_that_ones_do_not_fit_is_listed_untimed(explain, folder):
    proto = graph(
        """(float[N, 3] x, int64[M] shape) => (float[K, L] y)
        { a = Relu(x)
          y = Reshape(a, shape) }"""
    )
    onnx.save(proto, folder / "reshape.onnx")
    code, out, err = explain("reshape.onnx")
    assert (code, err) == (0, "")
    assert "Relu" in out
    assert "not timed: " in out
    assert out.rstrip().endswith("convert")
    assert "give --data" in out
    code, _, err = explain("reshape.onnx", "--json")
    assert code != 0
    assert "Reshape" in err
    np.savez(folder / "fits.npz", x=np.ones((1, 4, 3), "f"), shape=np.array([[2, 6]]))
    code, out, _ = explain("reshape.onnx", "--data", "fits.npz")
    assert code == 0
    assert "The time goes to" in out


def test_sizes_that_vary_are_said_to_be_one(explain, folder):
    onnx.save(graph("(float[N, L, 3] x) => (float[N, L, 3] y) { y = Relu(x) }"), folder / "varies.onnx")
    np.savez(folder / "varies.npz", x=np.ones((2, 5, 3), "f"))
    code, out, _ = explain("varies.onnx")
    assert code == 0
    assert "note: sizes that vary were 1" in out
    for arguments in (["varies.onnx", "--data", "varies.npz"], ["int8.onnx"]):
        assert "note:" not in explain(*arguments)[1]


def test_an_input_of_no_known_rank_needs_data(explain, folder):
    proto = graph("(float x) => (float y) { y = Relu(x) }")
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.ClearField("shape")
    onnx.save(proto, folder / "any.onnx")
    code, out, _ = explain("any.onnx")
    assert code == 0
    assert "not timed: input 'x' takes float32 of any shape; give --data" in out
