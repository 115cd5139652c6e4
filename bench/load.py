"""How long a model takes to load, and what it keeps of memory.

    python -m bench.load [MODEL.onnx]... [--repeat N] [--nodes N]

For each model: processor and wall time of `qkern.Session(path)`, which reads, checks, fuses, packs and plans it (median
and least of N loads in one process, after one that imports), and how much the memory of a fresh process has grown from
before to after, beside the size of the file. Without models: the demo's, float and int8, and a quantized network of
`--nodes` nodes. A float EfficientNet-Lite0 in ../shared beside the checkout is taken too, and quantized (effort fast).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import onnx
import qkern
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SHARED = Path(__file__).resolve().parents[2] / "shared"

# In a process of its own, in which everything is imported and everything lazy is done.
GROWTH = """
import json, os, sys, onnx, onnx_ir.passes.common, onnxscript.optimizer, qkern
from pathlib import Path
warm, path = sys.argv[1:]
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
qkern.Session(warm)
before = resident()
session = qkern.Session(path)
print(json.dumps({"growth": resident() - before}))
"""


def main() -> None:
    """Prints a line per model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--nodes", type=int, default=5000)
    options = parser.parse_args()
    print(f"tier {qkern.isa.active()}, {qkern.get_num_threads()} threads")
    print(f"{'model':32} {'nodes':>6} {'file, MB':>9} {'wall, ms':>9} {'least':>7} {'cpu, ms':>8} {'growth, MB':>11}")
    with tempfile.TemporaryDirectory() as folder:
        for path in options.models or models(Path(folder), options.nodes):
            report(path, options.repeat)


def report(path: Path, repeat: int) -> None:
    nodes, size = len(onnx.load(path, load_external_data=False).graph.node), path.stat().st_size
    wall, cpu = times(lambda: qkern.Session(path), repeat)
    grown = growth(path)
    more = "-" if grown is None else f"{grown / 1e6:.1f}"
    least = f"{1e3 * min(wall):.0f}"
    figures = f"{nodes:6} {size / 1e6:9.2f} {1e3 * median(wall):9.0f} {least:>7} {1e3 * min(cpu):8.0f} {more:>11}"
    print(f"{path.name:32} {figures}")


def times(load: Callable[[], object], repeat: int) -> tuple[list[float], list[float]]:
    """Seconds by the clock and of the processor, of each load but the first."""
    load()
    wall, cpu = [], []
    for _ in range(repeat):
        start, busy = time.perf_counter(), time.process_time()
        load()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
    return wall, cpu


def growth(path: Path) -> int | None:
    """Bytes that a process holds more of after it has loaded the model; None where the system doesn't tell."""
    if not Path("/proc/self/statm").exists():
        return None
    from qkern.demo.data import model_path

    command = [sys.executable, "-c", GROWTH, str(model_path()), str(path)]
    return int(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["growth"])


def models(folder: Path, nodes: int) -> Iterator[Path]:
    from qkern.demo import data

    yield data.model_path()
    yield quantized(data.model_path(), data.load().calibration[:64], folder / "demo.int8.onnx")
    lite0 = SHARED / "models" / "efficientnet_lite0.onnx"
    if lite0.exists():
        yield lite0
        images = np.random.default_rng(0).normal(size=(8, 3, 224, 224)).astype(np.float32)
        yield quantized(lite0, images, folder / "efficientnet_lite0.int8.onnx")
    path = folder / f"{nodes}_nodes.onnx"
    path.write_bytes(long_model(nodes).SerializeToString())
    yield path


def quantized(model: Path, samples: NDArray[np.float32], path: Path) -> Path:
    qkern.quantize_model(model, samples, effort="fast").save(path)
    return path


def long_model(nodes: int) -> onnx.ModelProto:
    """A quantized network of blocks x + Relu(Conv(x)), with `nodes` nodes or a few more."""
    rng = np.random.default_rng(0)
    inits, body = [], []

    def constant(name: str, array: object) -> str:
        inits.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(op_type: str, inputs: list[str], output: str, **attributes: object) -> str:
        body.append(helper.make_node(op_type, inputs, [output], name=output, **attributes))
        return output

    scale, zero = constant("scale", np.float32(0.05)), constant("zero", np.uint8(128))
    weight_scale, weight_zero = (
        constant("weight_scale", np.full(8, 0.01, np.float32)),
        constant("w0", np.zeros(8, np.int8)),
    )
    bias_scale = constant("bias_scale", np.float32(0.05) * np.full(8, 0.01, np.float32))
    bias_zero = constant("bias_zero", np.zeros(8, np.int32))
    codes = node("QuantizeLinear", ["x", scale, zero], "x.q")
    block = 0
    while len(body) < nodes - 1:
        b = f"b{block}"
        weight = constant(f"{b}.w", rng.integers(-127, 128, (8, 8, 1, 1), np.int8))
        bias = constant(f"{b}.b", rng.integers(-100, 100, 8).astype(np.int32))
        real = node("DequantizeLinear", [codes, scale, zero], f"{b}.x")
        w = node("DequantizeLinear", [weight, weight_scale, weight_zero], f"{b}.wd", axis=0)
        c = node("DequantizeLinear", [bias, bias_scale, bias_zero], f"{b}.bd", axis=0)
        y = node("Relu", [node("Conv", [real, w, c], f"{b}.conv")], f"{b}.relu")
        y = node("DequantizeLinear", [node("QuantizeLinear", [y, scale, zero], f"{b}.yq"), scale, zero], f"{b}.y")
        again = node("DequantizeLinear", [codes, scale, zero], f"{b}.again")
        codes = node("QuantizeLinear", [node("Add", [y, again], f"{b}.sum"), scale, zero], f"{b}.q")
        block += 1
    node("DequantizeLinear", [codes, scale, zero], "y")
    shape = ["N", 8, 8, 8]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph(body, "long", ends[:1], ends[1:], inits)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    main()
