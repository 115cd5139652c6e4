"""`qkern quantize --weights`: the formats of weights, and demands on mixed ones."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from qkern import cli, pipeline
from small_cnn import images, small_cnn

QUANTIZE = ("quantize", "model.onnx", "--data", "data.npz", "-o", "new.onnx", "--target", "x86")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with a model and data; also the current directory."""
    onnx.save(small_cnn(), tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", image=images(20))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ((), "int8"),
        (("--weights", "nf4"), "nf4"),
        (
            ("--weights", "Conv=codebook4", "--weights", "gemm_scores=int4"),
            {"Conv": "codebook4", "gemm_scores": "int4"},
        ),
        (("--weights", "pow2", "--weights", "Conv=int8"), {"default": "pow2", "Conv": "int8"}),
    ],
)
def test_formats_of_weights(files, capsys, options, weights):
    assert cli.main([*QUANTIZE, "--effort", "fast", *options]) == 0
    out = capsys.readouterr().out
    expected = pipeline.quantize_model("model.onnx", images(20), "x86", effort="fast", weights=weights)
    expected.save("expected.onnx")
    assert (files / "new.onnx").read_bytes() == (files / "expected.onnx").read_bytes()
    assert ("4 bits" in out) == (weights != "int8")
    assert " ".join(expected.report.weights.split()[:3]) in out


def test_mixed_weights(files, capsys):
    assert cli.main([*QUANTIZE, "--weights", "mixed", "--size", "1"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "weights of 0 layers have 4 bits: 1.000 of the int8 file's bytes" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--weights", "nf5"), "weights: 'nf5' is not one of int8, codebook4"),
        (("--weights", "nf4", "--weights", "int4"), "two formats without a name"),
        (("--weights", "Conv=nf4", "--weights", "Conv=int4"), "two formats for 'Conv'"),
        (("--weights", "Konv=nf4"), "no node or operator 'Konv'; the closest are 'Conv'"),
        (("--weights", "mixed"), "needs size or budget"),
        (("--size", "0.7"), "size: it goes with weights='mixed'"),
    ],
)
def test_wrong_formats(files, capsys, options, message):
    assert cli.main([*QUANTIZE, *options]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (files / "new.onnx").exists()
