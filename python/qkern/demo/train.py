"""Trains the model of `qkern demo` on Fashion-MNIST and writes `fashion_mnist.onnx` and `fashion_mnist.npz`.

    python python/qkern/demo/train.py --data /usr/share/datasets/fashion-mnist --out python/qkern/demo

Data: the four IDX .gz files of https://github.com/zalandoresearch/fashion-mnist (60,000 training and 10,000 test
images of 28x28 pixels, 10 classes, MIT License). `apt-get install dataset-fashion-mnist` puts them where --data points
by default.
Needs torch, onnx and onnxruntime: `pip install --group train "onnx>=1.16"`.

The network has one of each thing that quantization has to deal with (@DATA@). All convolutions carry a batch norm
and no bias, `r6` is ReLU6:

    stem    conv 3x3, r6                                          1 -> 32   28x28
    block1  depthwise 3x3 stride 2, r6; pointwise 1x1, r6        32 -> 64   14x14
    block2  conv 3x3, r6; conv 3x3; + input; r6                  64 -> 64   14x14
    block3  depthwise 3x3 stride 2, r6; pointwise 1x1, r6        64 -> 128    7x7
    block4  depthwise 3x3, r6; pointwise 1x1; + input           128 -> 128    7x7
    head    global average pool, linear                         128 -> 10

Recipe: SGD with Nesterov momentum, one-cycle learning rate, label smoothing, flips and shifts. It trains on all 60,000
images for a fixed number of epochs and keeps the last weights. The settings were chosen on 10,000 training images held
out of the training; the test set chose nothing.

The ONNX file has its batch norms as nodes of their own: folding them is the first stage of quantization.
"""
# torch is not needed to lint: without it every torch type is Any.
# mypy: disable-error-code="import-not-found,import-untyped,no-redef"
# mypy: no-disallow-subclassing-any, no-disallow-untyped-decorators, no-warn-return-any

from __future__ import annotations

import argparse
import gzip
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

try:
    from qkern.demo.data import MEAN, STD, normalize
except ImportError:  # a checkout whose kernels are not built; this script's folder is on the path
    from data import MEAN, STD, normalize

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
CALIBRATION_PER_CLASS = 50
TEST_PER_CLASS = 200
BATCH = 64
MAX_SHIFT = 1


class ConvNorm(nn.Module):
    """Convolution that keeps height and width (up to the stride), batch norm and, unless `linear`, ReLU6."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, linear: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.relu6 = nn.Identity() if linear else nn.ReLU6()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu6(self.norm(self.conv(x)))

    def write(self, graph: GraphWriter, name: str, x: str) -> str:
        x = graph.conv(f"{name}.conv", self.conv, x)
        x = graph.batch_norm(f"{name}.norm", self.norm, x)
        return graph.relu6(f"{name}.relu6", x) if isinstance(self.relu6, nn.ReLU6) else x


class DepthwiseSeparable(nn.Module):
    """Depthwise 3x3, then pointwise 1x1; with `residual` the pointwise one is linear and the input is added."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, residual: bool = False) -> None:
        super().__init__()
        self.depthwise = ConvNorm(inputs, inputs, 3, stride=stride, groups=inputs)
        self.pointwise = ConvNorm(inputs, outputs, 1, linear=residual)
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.pointwise(self.depthwise(x))
        return x + y if self.residual else y

    def write(self, graph: GraphWriter, name: str, x: str) -> str:
        y = self.depthwise.write(graph, f"{name}.depthwise", x)
        y = self.pointwise.write(graph, f"{name}.pointwise", y)
        return graph.add(f"{name}.add", x, y) if self.residual else y


class Residual(nn.Module):
    """relu6(x + conv(conv(x))) with two 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, 3)
        self.second = ConvNorm(channels, channels, 3, linear=True)
        self.relu6 = nn.ReLU6()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu6(x + self.second(self.first(x)))

    def write(self, graph: GraphWriter, name: str, x: str) -> str:
        y = self.first.write(graph, f"{name}.first", x)
        y = self.second.write(graph, f"{name}.second", y)
        return graph.relu6(f"{name}.relu6", graph.add(f"{name}.add", x, y))


class FashionNet(nn.Module):
    """[N, 1, 28, 28] -> logits [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(1, 32, 3)
        self.block1 = DepthwiseSeparable(32, 64, stride=2)
        self.block2 = Residual(64)
        self.block3 = DepthwiseSeparable(64, 128, stride=2)
        self.block4 = DepthwiseSeparable(128, 128, residual=True)
        self.classifier = nn.Linear(128, len(CLASS_NAMES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.block4(self.block3(self.block2(self.block1(self.stem(x)))))
        return self.classifier(x.mean((2, 3)))

    def write(self, graph: GraphWriter, x: str) -> None:
        x = self.stem.write(graph, "stem", x)
        x = self.block1.write(graph, "block1", x)
        x = self.block2.write(graph, "block2", x)
        x = self.block3.write(graph, "block3", x)
        x = self.block4.write(graph, "block4", x)
        x = graph.node("GlobalAveragePool", "head.pool", [x])
        x = graph.node("Flatten", "head.flatten", [x])
        graph.linear("head.classifier", self.classifier, x, output="logits")


class GraphWriter:
    """Collects ONNX nodes and weights, one node per layer, named as the layer.

    Written by hand since torch.onnx.export folds batch norms into convolutions.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []
        self.limits = [self._weight("relu6.min", torch.tensor(0.0)), self._weight("relu6.max", torch.tensor(6.0))]

    def node(self, kind: str, name: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        output = output or f"{name}.output"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))
        return output

    def conv(self, name: str, layer: nn.Conv2d, x: str) -> str:
        return self.node(
            "Conv",
            name,
            [x, self._weight(f"{name}.weight", layer.weight)],
            kernel_shape=layer.kernel_size,
            strides=layer.stride,
            pads=2 * layer.padding,
            dilations=layer.dilation,
            group=layer.groups,
        )

    def batch_norm(self, name: str, layer: nn.BatchNorm2d, x: str) -> str:
        inputs = ("weight", "bias", "running_mean", "running_var")  # in the order of the ONNX operator
        weights = [self._weight(f"{name}.{key}", getattr(layer, key)) for key in inputs]
        return self.node("BatchNormalization", name, [x, *weights], epsilon=layer.eps)

    def relu6(self, name: str, x: str) -> str:
        return self.node("Clip", name, [x, *self.limits])

    def add(self, name: str, x: str, y: str) -> str:
        return self.node("Add", name, [x, y])

    def linear(self, name: str, layer: nn.Linear, x: str, output: str) -> str:
        weights = [self._weight(f"{name}.weight", layer.weight), self._weight(f"{name}.bias", layer.bias)]
        return self.node("Gemm", name, [x, *weights], output=output, transB=1)

    def _weight(self, name: str, value: torch.Tensor) -> str:
        self.weights.append(numpy_helper.from_array(value.detach().contiguous().numpy(), name))
        return name


def to_onnx(model: FashionNet, metadata: dict[str, str]) -> onnx.ModelProto:
    """The model in inference mode as a checked ONNX model with a batch dimension of any size."""
    writer = GraphWriter()
    model.write(writer, "image")
    graph = helper.make_graph(
        writer.nodes,
        "fashion_mnist",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(CLASS_NAMES)])],
        writer.weights,
    )
    # IR version 8 goes with opset 17: runtimes refuse a file that says it is newer than they are.
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="qkern/demo/train.py"
    )
    helper.set_model_props(proto, metadata)
    proto = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An IDX file of bytes, gzipped: magic 0 0 8 rank, the sizes as big-endian uint32, the values."""
    data = gzip.decompress(path.read_bytes())
    if data[:3] != b"\0\0\x08":
        raise ValueError(f"{path}: not an IDX file of bytes")
    start = 4 + 4 * data[3]
    shape = np.frombuffer(data[4:start], ">u4")
    if len(data) != start + math.prod(shape.tolist()):
        raise ValueError(f"{path}: {len(data) - start} values don't fill the shape {shape.tolist()}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def first_of_each_class(labels: NDArray[np.uint8], count: int) -> NDArray[np.intp]:
    """Where the first `count` items of each class are, in the order of the data set."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(len(CLASS_NAMES))]))


def augment(images: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Each image shifted by up to `MAX_SHIFT` pixels in both directions (black enters), and half of them mirrored."""
    count, height, width = images.shape
    padded = np.pad(images, ((0, 0), (MAX_SHIFT, MAX_SHIFT), (MAX_SHIFT, MAX_SHIFT)))
    down, right = random.integers(0, 2 * MAX_SHIFT + 1, (2, count, 1))
    rows = down + np.arange(height)
    columns = right + np.arange(width)
    mirrored = random.random(count) < 0.5
    columns[mirrored] = columns[mirrored, ::-1]
    return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def train(images: NDArray[np.uint8], labels: NDArray[np.uint8], *, epochs: int, seed: int) -> FashionNet:
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    torch.use_deterministic_algorithms(True)
    model = FashionNet().train()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,unused-ignore]  # twice as fast here
    # Weight decay is for convolutions and the classifier; on a batch norm it pulls whole channels to zero.
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    steps = len(images) // BATCH
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": 5e-4}, {"params": plain, "weight_decay": 0.0}],
        lr=0.1,  # of no account: the schedule sets it
        momentum=0.9,
        nesterov=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=epochs * steps, pct_start=0.25, cycle_momentum=False
    )
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    start = time.monotonic()
    for epoch in range(1, epochs + 1):
        order = random.permutation(len(images))
        total = 0.0
        for step in range(steps):
            batch = order[step * BATCH : (step + 1) * BATCH]
            x = torch.from_numpy(normalize(augment(images[batch], random))).to(memory_format=torch.channels_last)
            loss = criterion(model(x), torch.from_numpy(labels[batch].astype(np.int64)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        passed = time.monotonic() - start
        left = passed / epoch * (epochs - epoch)
        print(f"epoch {epoch:2d}/{epochs}  loss {total / steps:.4f}  {passed:4.0f} s, {left:4.0f} s left", flush=True)
    return model.eval()


@torch.inference_mode()
def predict(model: FashionNet, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    batches = np.array_split(normalize(images), max(1, len(images) // 500))
    return np.concatenate([model(torch.from_numpy(batch)).argmax(1).numpy() for batch in batches])


def predict_onnx(proto: onnx.ModelProto, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    import onnxruntime

    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    batches = np.array_split(normalize(images), max(1, len(images) // 500))
    return np.concatenate([session.run(None, {"image": batch})[0].argmax(1) for batch in batches])


@torch.inference_mode()
def count_macs(model: FashionNet) -> int:
    """Multiply-adds of the convolutions and the classifier for one image."""
    total = 0

    def add(layer: Any, _: object, output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    hooks = [layer.register_forward_hook(add) for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    model(torch.zeros(1, 1, 28, 28))
    for hook in hooks:
        hook.remove()
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the model of `qkern demo` on Fashion-MNIST.")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("/usr/share/datasets/fashion-mnist"),
        help="folder of the four IDX .gz files (default: %(default)s, Debian's dataset-fashion-mnist)",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write fashion_mnist.onnx and .npz to")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="of torch; another number rounds sums differently")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    images = read_idx(arguments.data / "train-images-idx3-ubyte.gz")
    labels = read_idx(arguments.data / "train-labels-idx1-ubyte.gz")
    test_images = read_idx(arguments.data / "t10k-images-idx3-ubyte.gz")
    test_labels = read_idx(arguments.data / "t10k-labels-idx1-ubyte.gz")

    start = time.monotonic()
    model = train(images, labels, epochs=arguments.epochs, seed=arguments.seed)
    seconds = time.monotonic() - start

    accuracy = float(np.mean(predict(model, test_images) == test_labels))
    proto = to_onnx(
        model,
        {
            "input": f"float32 [N, 1, 28, 28] = (pixel / 255 - {MEAN:.4f}) / {STD:.4f}; not a part of the graph",
            "classes": ", ".join(CLASS_NAMES),
            "data": "Fashion-MNIST, https://github.com/zalandoresearch/fashion-mnist, 60,000 training images",
            "top1": f"{accuracy:.4f} on the 10,000 test images",
        },
    )
    exported = predict_onnx(proto, test_images)
    accuracy_onnx = float(np.mean(exported == test_labels))
    if abs(accuracy - accuracy_onnx) > 1e-4:
        raise SystemExit(f"top-1 is {accuracy:.2%} in PyTorch and {accuracy_onnx:.2%} in ONNX Runtime: nothing written")

    calibration = first_of_each_class(labels, CALIBRATION_PER_CLASS)
    chosen = first_of_each_class(test_labels, TEST_PER_CLASS)
    arguments.out.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, arguments.out / "fashion_mnist.onnx")
    np.savez_compressed(
        arguments.out / "fashion_mnist.npz",
        calibration_images=images[calibration],
        test_images=test_images[chosen],
        test_labels=test_labels[chosen],
        class_names=np.array(CLASS_NAMES),
    )

    print(f"trained in {seconds:.0f} s with {arguments.threads} threads")
    print(f"parameters {sum(p.numel() for p in model.parameters()):,}; multiply-adds per image {count_macs(model):,}")
    print(f"top-1 on the 10,000 test images: PyTorch {accuracy:.2%}, ONNX Runtime {accuracy_onnx:.2%}")
    print(f"top-1 on the {len(chosen):,} in the .npz: {np.mean(exported[chosen] == test_labels[chosen]):.2%}")
    for name in ("fashion_mnist.onnx", "fashion_mnist.npz"):
        print(f"{name}: {(arguments.out / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
