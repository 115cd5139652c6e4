"""A multilayer perceptron quantized by hand: ranges from data, weights per row, two int8 layers.

python examples/mlp_by_hand.py
"""

from __future__ import annotations

import numpy as np
import qkern

CLASSES, HIDDEN = 3, 64


def spirals(rng, count):
    """Points of a plane on three arms, and the arm of each."""
    labels = rng.integers(CLASSES, size=count)
    radius = rng.uniform(0.1, 1, count)
    angle = 4 * radius + labels * 2 * np.pi / CLASSES + 0.15 * rng.standard_normal(count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32), labels


def train(x, labels, rng, steps):
    """Gradient descent with momentum, in NumPy."""
    weights = [
        rng.standard_normal((2, HIDDEN)),
        np.zeros(HIDDEN),
        rng.standard_normal((HIDDEN, CLASSES)) / 8,
        np.zeros(CLASSES),
    ]
    momentum = [np.zeros_like(w) for w in weights]
    wanted = np.eye(CLASSES)[labels]
    for _ in range(steps):
        w1, b1, w2, b2 = weights
        hidden = np.maximum(x @ w1 + b1, 0)
        logits = hidden @ w2 + b2
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        error = (share / share.sum(axis=1, keepdims=True) - wanted) / len(x)
        back = error @ w2.T * (hidden > 0)
        for w, m, g in zip(weights, momentum, (x.T @ back, back.sum(0), hidden.T @ error, error.sum(0)), strict=True):
            m *= 0.9
            m -= 0.5 * g
            w += m
    return [w.astype(np.float32) for w in weights]


def quantized(weights, sample):
    """The same network on codes: x int8 -> hidden uint8, ReLU included -> float32 logits."""
    w1, b1, w2, b2 = weights
    hidden = np.maximum(sample @ w1 + b1, 0)
    x_scale, hidden_scale = np.abs(sample).max() / 127, hidden.max() / 255
    rows1, rows2 = qkern.asquantized(w1.T, axis=0), qkern.asquantized(w2.T, axis=0)

    def bias(b, scale):  # int32 of the accumulators' scale
        return np.rint(b / scale).astype(np.int32)

    into_uint8 = {"x_scale": x_scale, "y_scale": hidden_scale, "y_dtype": np.uint8}
    first = qkern.QLinear(rows1.codes, rows1.scale, bias(b1, x_scale * rows1.scale), **into_uint8)
    # Codes of uint8 with zero point 0 end at real 0: that is the ReLU.
    second = qkern.QLinear(rows2.codes, rows2.scale, bias(b2, hidden_scale * rows2.scale), x_scale=hidden_scale)
    return lambda x: second(first(qkern.quantize(x, x_scale)))


def run(steps=1500):
    """Top-1 of both networks on points that neither has seen, and the share with the same answer."""
    rng = np.random.default_rng(0)
    (x, labels), (test, truth) = spirals(rng, 600), spirals(rng, 2000)
    weights = train(x, labels, rng, steps)
    w1, b1, w2, b2 = weights
    float32 = (np.maximum(test @ w1 + b1, 0) @ w2 + b2).argmax(axis=1)
    int8 = quantized(weights, x)(test).argmax(axis=1)
    return {"float32": (float32 == truth).mean(), "int8": (int8 == truth).mean(), "same": (float32 == int8).mean()}


if __name__ == "__main__":
    result = run()
    print(f"top-1: float32 {100 * result['float32']:.1f} %, int8 {100 * result['int8']:.1f} %")
    print(f"same answer: {100 * result['same']:.1f} %")
