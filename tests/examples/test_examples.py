"""The examples do what they are there to show, on small sizes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from emulation import smaller

FOLDER = Path(__file__).parents[2] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested():
    tested = {"vector_search", "mlp_by_hand", "fir_filter", "four_bits"}
    assert {path.stem for path in FOLDER.glob("*.py")} == tested


def test_vector_search():
    result = load("vector_search").run(vectors=smaller(20_000, 2_000), queries=20)
    assert result["recall"] > 0.9


def test_mlp_by_hand():
    result = load("mlp_by_hand").run(steps=600)
    assert result["float32"] > 0.8
    assert abs(result["int8"] - result["float32"]) < 0.02
    assert result["same"] > 0.96


def test_fir_filter():
    result = load("fir_filter").run(seconds=0.5)
    assert result["snr_db"] > 35
    assert result["attenuation_db"] > 40


def test_four_bits(tmp_path):
    pytest.importorskip("onnxscript", reason="models need the extra [onnx]")
    result = load("four_bits").run(500, tmp_path / "levels.svg")
    assert result["kmeans"] > result["float32"] - 0.03
    assert result["pow2"] < result["kmeans"] + 0.01
    assert (tmp_path / "levels.svg").read_text().count("<line") == 16
