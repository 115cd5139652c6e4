"""`qkern bench`: what it measures and what it prints."""

from __future__ import annotations

import json

import onnx
import pytest
import qkern
from qkern import cli
from qkern.timing import Timing, kernels
from qkern.timing.kernels import Conv, Elementwise, Entry, Gemm, Measured, measure
from small_cnn import images, small_cnn

SMALL = (
    Gemm(3, 5, 7),
    Conv(4, 6, 3, 5),
    Conv(4, 4, 3, 5, groups=4),
    *(Elementwise(op, 1024) for op in ("quantize", "dequantize")),
)


def timing(seconds: float) -> Timing:
    return Timing(seconds, seconds, seconds, 5, 1)


def test_every_shape_has_int8_and_float():
    before = qkern.get_num_threads()
    found = list(measure(1, shapes=SMALL, seconds=0.001, peers=()))
    assert qkern.get_num_threads() == before
    assert [each.name for each in found] == [shape.name for shape in SMALL]
    for each in found:
        assert each.entries[0].name == "qkern int8"
        assert [entry.is_int8 for entry in each.entries] == [True] + [False] * (len(each.entries) - 1)
        assert all(entry.timing.median > 0 for entry in each.entries)
        json.dumps(each.as_dict())
    assert {entry.name for entry in found[0].entries} == {"qkern int8", "NumPy", "qkern float"}


def test_a_peer_that_is_installed_takes_part():
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    for shape in SMALL[:2]:
        [found] = measure(1, shapes=[shape], seconds=0.001, peers=("onnxruntime", "not_there"))
        assert found.entries[-1].name == "ONNX Runtime"


def test_a_wrong_result_is_not_timed(monkeypatch):
    monkeypatch.setattr(kernels, "matmul", lambda a, b, out: out.fill(7))
    with pytest.raises(AssertionError, match="gemm 3x5x7: wrong result"):
        next(measure(1, shapes=SMALL, seconds=0.001, peers=()))


def test_speedup_is_over_the_fastest_float():
    entries = [Entry("qkern int8", True, timing(1.0)), Entry("other int8", True, timing(0.5))]
    assert Measured("m", 0, tuple(entries)).speedup is None
    entries += [Entry("a", False, timing(4.0)), Entry("b", False, timing(3.0))]
    assert Measured("m", 0, tuple(entries)).speedup == 3.0


def test_operations():
    assert Gemm(3, 5, 7).work == 2 * 3 * 5 * 7
    assert Conv(4, 6, 3, 5).work == 2 * 5 * 5 * 6 * 4 * 9
    assert Conv(4, 4, 3, 5, groups=4).work == 2 * 5 * 5 * 4 * 9


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """The command with small shapes and short samples."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(kernels, "SHAPES", SMALL)
    monkeypatch.setattr(kernels, "measure", lambda threads: measure(threads, shapes=SMALL, seconds=0.001, peers=()))
    return tmp_path


def test_the_command_prints_and_writes(quick, capsys):
    onnx.save(small_cnn(), "model.onnx")
    assert cli.main(["bench", "model.onnx", "--threads", "1", "--json", "figures.json"]) == 0
    out = capsys.readouterr().out
    for said in ("gemm 3x5x7", "conv 3x3 4->6 @5", "depthwise 3x3 4 @5", "model.onnx", "x float", "1 threads"):
        assert said in out
    figures = json.loads((quick / "figures.json").read_text())
    assert [row["shape"] for row in figures["rows"]] == [*(shape.name for shape in SMALL), "model.onnx"]
    assert figures["rows"][-1]["entries"][0]["name"] == "qkern int8"
    assert figures["machine"]["active_tier"] == qkern.isa.active()


def test_a_quantized_model_is_measured_as_it_is(quick, capsys):
    qkern.quantize_model(small_cnn(), images(4), "x86", effort="fast").save("int8.onnx")
    assert cli.main(["bench", "int8.onnx", "--json", "figures.json"]) == 0
    entries = json.loads((quick / "figures.json").read_text())["rows"][-1]["entries"]
    assert all(entry["int8"] for entry in entries)


def test_wrong_input(quick, capsys):
    assert cli.main(["bench", "nowhere.onnx"]) == 2
    assert "nowhere.onnx: no such file" in capsys.readouterr().err
    assert cli.main(["bench", "--json", "no/figures.json"]) == 2
