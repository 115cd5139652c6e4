"""The report: JSON that reads back, a page that needs nothing else."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
import qkern
from qkern.report.document import describe_quantization, render_html
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
    for svg in re.findall(r"<svg.*?</svg>", page):
        assert len(ElementTree.fromstring(svg).findall("line")) == 12
    assert page.count("<figure>") == len(described["tensors"])
