"""A real network with weights of 4 bits: top-1 and size by format, and a picture of the levels over a layer's weights.

    python examples/four_bits.py [--images 2000] [--picture levels.svg]

The network is the CNN for Fashion-MNIST that qkern carries; activations are int8, biases corrected.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import qkern
from qkern.demo import data
from qkern.report.weight_levels import levels_svg

FORMATS = ("int8", "codebook4", "codebook4_per_channel", "nf4", "apot", "int4", "pow2")


def picture(quantized):
    """SVG: the levels of the layer with the most weights, over their histogram, as the report has them."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        quantized.save_report(report)
        layers = json.loads(report.read_text())["levels"]
    largest = max((each for each in layers if each["op_type"] == "Conv"), key=lambda each: sum(each["bars"]))
    return levels_svg(*(largest[key] for key in ("bars", "levels", "low", "high", "name")))


def run(images=2000, picture_path=None, formats=FORMATS):
    """Top-1 and bytes of the file, in float32 and with weights of each format."""
    shown = data.load()
    test, labels = shown.test[:images], shown.labels[:images]

    def top1(session):
        (logits,) = session.run(None, {"image": test})
        return float((logits.argmax(axis=1) == labels).mean())

    model = data.model_path()
    result = {"float32": (top1(qkern.Session(model)), model.stat().st_size)}
    for name in formats:
        quantized = qkern.quantize_model(model, shown.calibration, weights=name)
        with tempfile.TemporaryDirectory() as folder:
            saved = Path(folder) / "model.onnx"
            quantized.save(saved)
            result[name] = top1(qkern.Session(saved)), saved.stat().st_size
        if name == "codebook4" and picture_path is not None:
            Path(picture_path).write_text(picture(quantized) + "\n")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    for name, (share, size) in run(arguments.images, arguments.picture).items():
        print(f"{name:24}{100 * share:7.2f} %{size:10,} bytes")
