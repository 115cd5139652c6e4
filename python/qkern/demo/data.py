"""Fashion-MNIST images for `qkern demo`, and where its model is.

`fashion_mnist.npz` holds a part of Fashion-MNIST (https://github.com/zalandoresearch/fashion-mnist), unchanged:
the first 50 training images of each class to calibrate with, the first 200 test images of each class to measure
with, both in the order of the data set. `train.py` writes it and `fashion_mnist.onnx`.

The images are Copyright (c) 2017 Zalando SE, https://tech.zalando.com, under the MIT License:

    Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
    documentation files (the "Software"), to deal in the Software without restriction, including without limitation
    the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to
    permit persons to whom the Software is furnished to do so, subject to the following conditions:

    The above copyright notice and this permission notice shall be included in all copies or substantial portions of
    the Software.

    THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO
    THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
    AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT,
    TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
    SOFTWARE.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["MEAN", "STD", "DemoData", "load", "model_path", "normalize"]

# Mean and standard deviation of the training set's pixels, scaled to 0..1.
MEAN = 0.2860
STD = 0.3530


@dataclass(frozen=True)
class DemoData:
    """Images as the model takes them, float32 [n, 1, 28, 28]; `labels`, uint8 [2000], belong to the test images."""

    calibration: NDArray[np.float32]
    test: NDArray[np.float32]
    labels: NDArray[np.uint8]
    class_names: tuple[str, ...]


def load() -> DemoData:
    """500 images of the training set to calibrate with, 2000 of the test set to measure with, classes balanced."""
    with np.load(_resource("fashion_mnist.npz"), allow_pickle=False) as arrays:
        return DemoData(
            calibration=normalize(arrays["calibration_images"]),
            test=normalize(arrays["test_images"]),
            labels=arrays["test_labels"],
            class_names=tuple(str(name) for name in arrays["class_names"]),
        )


def model_path() -> Path:
    """The FP32 model: input "image" float32 [N, 1, 28, 28] as `normalize` gives it, output "logits" float32 [N, 10]."""
    return _resource("fashion_mnist.onnx")


def normalize(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(pixel / 255 - MEAN) / STD: uint8 [n, 28, 28] -> float32 [n, 1, 28, 28].

    Raises TypeError for another dtype (an image already scaled would pass unnoticed), ValueError for another rank.
    """
    if images.dtype != np.uint8:
        raise TypeError(f"images: expected uint8, got {images.dtype}")
    if images.ndim != 3:
        raise ValueError(f"images: expected [n, height, width], got shape {images.shape}")
    scaled = images[:, None].astype(np.float32) / np.float32(255)
    return (scaled - np.float32(MEAN)) / np.float32(STD)


def _resource(name: str) -> Path:
    # Files of a package with compiled modules are never inside a zip, so the resource is a path.
    return Path(str(files("qkern.demo") / name))
