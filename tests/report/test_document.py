"""The report: JSON that reads back, a page that needs nothing else."""

import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import onnx
import pytest
import qkern
from qkern.fusion import fuse
from qkern.model_file import load_model
from qkern.report.document import describe_quantization
from qkern.report.page import render_html
from qkern.report.weight_ranges import weight_ranges
from small_cnn import images, small_cnn


@pytest.fixture(scope="module")
def described():
    x = images(24)
    quantized = qkern.quantize_model(small_cnn(), x, "x86", effort="balanced")
    analysis = qkern.analyze(small_cnn(), x, "x86", samples=8)
    return describe_quantization(
        quantized.report,
        quantized.table,
        quantized.target.activation,
        method=quantized.method,
        equalized=quantized.equalized,
        weights=weight_ranges(quantized.float_model, quantized.corrected_model),
        analysis=analysis,
    )


def test_it_is_json_and_has_every_layer_and_tensor(described):
    again = json.loads(json.dumps(described, allow_nan=False))
    assert again == described
    assert {"conv_c1", "gemm_scores"} <= {layer["name"] for layer in again["layers"]}
    first = next(layer for layer in again["layers"] if layer["name"] == "conv_c1")
    assert first["alone_db"] > 0
    tensor = again["tensors"][0]
    assert sum(tensor["bars"]) == 24 * 3 * 12 * 12
    assert set(tensor["ranges"]) == {"minmax", "percentile", "kl", "l2", "mse", "auto"}
    assert again["corrections"]


def test_the_page_is_self_contained_and_escapes_names(described):
    page = render_html({**described, "method": "<b>&"}, "model <1>")
    assert "&lt;b&gt;&amp;" in page
    assert "model &lt;1&gt;" in page
    assert not re.search(r"(?:src|href)\s*=|@import|url\(|https?:", page)
    figures = re.findall(r"<svg.*?</svg>", page)
    assert len(figures) == len(described["tensors"]) + len(described["weights"])
    for svg in figures[: len(described["tensors"])]:
        assert len(ElementTree.fromstring(svg).findall("line")) == 12
    for svg in figures[len(described["tensors"]) :]:
        assert ElementTree.fromstring(svg).findall("polyline")


def test_layers_are_listed_the_costliest_first(described):
    page = render_html(described, "model")
    costs = {layer["name"]: layer["alone_db"] for layer in described["layers"] if layer.get("alone_db") is not None}
    places = {name: page.index(f">{name}</td><td class=n") for name in costs}
    assert len(costs) > 2
    assert sorted(places, key=places.get) == sorted(costs, key=costs.get)


def test_the_ranges_of_every_channel_before_and_after(described):
    weights = {each["name"]: each for each in described["weights"]}
    initializers = {each.name: onnx.numpy_helper.to_array(each) for each in small_cnn().graph.initializer}
    assert weights["conv_c2"]["before"] == np.abs(initializers["w2"]).max(axis=(1, 2, 3)).tolist()
    assert weights["gemm_scores"]["before"] == np.abs(initializers["w3"]).max(axis=1).tolist()
    assert {len(each["before"]) == len(each["after"]) for each in weights.values()} == {True}


def test_equalization_shows_in_the_ranges():
    def scaled(model):
        copy = load_model(model.SerializeToString())
        fuse(copy)
        return copy

    before, other = small_cnn(), small_cnn()
    weight = next(each for each in other.graph.initializer if each.name == "w3")
    weight.CopyFrom(onnx.numpy_helper.from_array(2 * onnx.numpy_helper.to_array(weight), "w3"))
    ranges = {each.name: each for each in weight_ranges(scaled(before), scaled(other))}
    assert ranges["gemm_scores"].after == tuple(2 * each for each in ranges["gemm_scores"].before)
    assert {name for name, each in ranges.items() if each.equalized} == {"gemm_scores"}


def test_a_method_without_histograms_still_shows_them():
    x = images(16)
    method = "moving_average_minmax"
    quantized = qkern.quantize_model(small_cnn(), x, "arm", method, effort="fast")
    analysis = qkern.analyze(small_cnn(), x, "arm", "minmax", samples=4)
    described = describe_quantization(
        quantized.report, quantized.table, quantized.target.activation, method=method, analysis=analysis
    )
    assert {tensor["name"] for tensor in described["tensors"]} == set(quantized.table)
    alone = describe_quantization(quantized.report, quantized.table, quantized.target.activation, method=method)
    assert alone["tensors"] == []
    assert "there were no samples" in render_html(alone, "m")
