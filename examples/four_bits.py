"""Weights of a real network in 4 bits: top-1 by method, and a picture of the levels over a layer's weights.

    python examples/four_bits.py [--images 2000] [--picture levels.svg]

The network is the CNN for Fashion-MNIST that qkern carries; weights are rounded to their levels, activations
stay float32.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import qkern
from onnx import numpy_helper
from qkern.codebook import METHODS, Codebook
from qkern.demo import data


def weights_of(model):
    """Initializers that a layer multiplies with, and the axis of their output channels."""
    constants = {each.name: each for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm") and node.input[1] in constants:
            transposed = any(each.name == "transB" and each.i for each in node.attribute)
            yield constants[node.input[1]], 0 if node.op_type == "Conv" or transposed else 1


def rounded(model, method):
    """A copy of the model with weights that have only 16 levels per layer."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for tensor, axis in weights_of(result):
        w = numpy_helper.to_array(tensor)
        book = Codebook.fit(w, axis=axis, method=method)
        tensor.CopyFrom(numpy_helper.from_array(book.decode(book.encode(w)), tensor.name))
    return result


def picture(w, book, bins=120):
    """SVG: the histogram of w / scale, and the levels as lines over it."""
    values = w / np.expand_dims(book.scale, tuple(range(1, w.ndim)))
    counts, edges = np.histogram(np.clip(values, -128, 128), bins, (-128, 128))
    wide, high = 6, 160
    bars = [
        f'<rect x="{i * wide}" y="{high - high * n / counts.max():.1f}" width="{wide - 1}" '
        f'height="{high * n / counts.max():.1f}" fill="#9db8d9"/>'
        for i, n in enumerate(counts)
    ]
    at = (book.levels.astype(float) - edges[0]) / (edges[-1] - edges[0]) * bins * wide
    lines = [f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{high}" stroke="#b3402a" stroke-width="1.5"/>' for x in at]
    size = f'viewBox="0 0 {bins * wide} {high}" width="{bins * wide}" height="{high}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>' + "".join(bars + lines) + "</svg>\n"


def run(images=2000, picture_path=None):
    """Top-1 in float32 and with the weights of each method."""
    model, shown = onnx.load(data.model_path()), data.load()
    test, labels = shown.test[:images], shown.labels[:images]

    def top1(network):
        (logits,) = qkern.Session(network).run(None, {"image": test})
        return float((logits.argmax(axis=1) == labels).mean())

    if picture_path is not None:
        layers = [(numpy_helper.to_array(tensor), axis) for tensor, axis in weights_of(model)]
        largest = max((w for w, axis in layers if axis == 0), key=lambda w: w.size)
        Path(picture_path).write_text(picture(largest, Codebook.fit(largest, axis=0)))
    return {"float32": top1(model)} | {method: top1(rounded(model, method)) for method in METHODS}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    for name, share in run(arguments.images, arguments.picture).items():
        print(f"{name:10}{100 * share:7.2f} %")
