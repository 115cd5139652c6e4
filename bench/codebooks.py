"""What codebooks cost in weights: SQNR of each method on Gaussian weights and on the weights of real networks.

    python -m bench.codebooks [--model FILE]... [--json FILE]

Weights of Conv, Gemm and MatMul, a scale per output channel. Models are expected in ../shared beside the checkout; what
isn't there is skipped, with the reason.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qkern.codebook import METHODS, Codebook

SHARED = Path(__file__).resolve().parents[2] / "shared" / "models"
MODELS = ("efficientnet_lite0.onnx", "resnet20_cifar10.onnx")
GAUSSIAN = (256, 1152)


def weights_of(path: Path) -> Iterator[NDArray[np.float32]]:
    """Of each layer, [output channels, ...]."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    constants = {each.name: each for each in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in constants:
            weight = numpy_helper.to_array(constants[node.input[1]])
            transposed = any(each.name == "transB" and each.i for each in node.attribute)
            yield weight if node.op_type == "Conv" or transposed else weight.T


def decibels(signal: float, noise: float) -> float:
    return float(10 * np.log10(signal / noise))


def measure(layers: list[NDArray[np.float32]]) -> dict[str, float]:
    """SQNR in dB of each method over the weights of all layers together, layers scaled to the same mean square."""
    fits = {name: {"method": name} for name in METHODS} | {"kmeans, a table per channel": {"table_axis": 0}}
    fits["int8"] = {"levels": 256, "method": "int4_max"}
    result = {}
    for name, arguments in fits.items():
        noise = []
        for weight in layers:
            codebook = Codebook.fit(weight, axis=0, **arguments)
            error = weight.astype(np.float64) - codebook.decode(codebook.encode(weight))
            noise.append((error**2).mean() / (weight.astype(np.float64) ** 2).mean() * weight.size)
        result[name] = decibels(sum(weight.size for weight in layers), sum(noise))
    return result


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    gaussian = np.random.default_rng(0).standard_normal(GAUSSIAN, np.float32)
    columns = {f"Gaussian {GAUSSIAN[0]} x {GAUSSIAN[1]}": measure([gaussian])}
    for path in arguments.model or [SHARED / name for name in MODELS]:
        if path.exists():
            columns[path.stem] = measure(list(weights_of(path)))
        else:
            print(f"{path.name} skipped: not in {path.parent}")
    print("| method | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for name in next(iter(columns.values())):
        print(f"| {name} | " + " | ".join(f"{column[name]:.2f} dB" for column in columns.values()) + " |")
    if arguments.json:
        arguments.json.write_text(json.dumps(columns, indent=2) + "\n")


if __name__ == "__main__":
    main()
