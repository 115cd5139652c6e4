"""The examples do what they are there to show, on small sizes."""

from __future__ import annotations

import importlib.util
from importlib.util import find_spec
from pathlib import Path

import pytest
from emulation import EMULATED, smaller

FOLDER = Path(__file__).parents[2] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested():
    tested = {"vector_search", "mlp_by_hand", "fir_filter", "four_bits", "tensorflow_lite"}
    assert {path.stem for path in FOLDER.glob("*.py")} == tested


@pytest.fixture
def picture(tmp_path):
    """Where a picture goes; None where nothing can draw it."""
    return tmp_path / "picture.svg" if find_spec("matplotlib") else None


def assert_drawn(picture, *words):
    if picture is not None:
        text = picture.read_text()
        assert all(f"<!-- {word} -->" in text for word in words), "matplotlib writes each text as a comment"


def test_vector_search(picture):
    result = load("vector_search").run(smaller(20_000, 2_000), 20, picture)
    assert result["recall"] > 0.9
    assert result.get("same as NumKong", True)
    assert ("same as NumKong" in result) == bool(find_spec("numkong"))
    assert_drawn(picture, "NumPy float32", "qkern int8")


def test_mlp_by_hand(picture):
    result = load("mlp_by_hand").run(600, picture)
    assert result["float32"] > 0.8
    assert abs(result["int8"] - result["float32"]) < 0.02
    assert result["same"] > 0.96
    assert_drawn(picture, "float32", "int8")


def test_fir_filter(picture):
    result = load("fir_filter").run(0.5, picture)
    assert result["snr_db"] > 35
    assert result["attenuation_db"] > 40
    assert_drawn(picture, "audio", "filtered, int8")


@pytest.mark.skipif(EMULATED, reason="other stacks' wheels may need another processor")
def test_tensorflow_lite(picture):
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    pytest.importorskip("onnx", reason="the network is an ONNX file")
    result = load("tensorflow_lite").run(40, picture)
    for name, same in result.items():
        assert same["gemmlowp"] == 1, name
        assert 0.9 < same["half_even"] < 1, f"{name} doesn't tell the roundings apart"
    assert_drawn(picture, *result)


@pytest.mark.skipif(EMULATED, reason="takes minutes on an emulated processor, and gives the same bits")
def test_four_bits(tmp_path):
    pytest.importorskip("onnxscript", reason="models need the extra [onnx]")
    result = load("four_bits").run(500, tmp_path / "levels.svg", ("int8", "codebook4"))
    assert result["codebook4"][0] > result["float32"][0] - 0.03
    assert result["codebook4"][1] < 0.7 * result["int8"][1]
    assert (tmp_path / "levels.svg").read_text().count("<line") == 16
