"""A multilayer perceptron quantized by hand: ranges from data, weights per row, two int8 layers.

python examples/mlp_by_hand.py [--picture mlp_by_hand.png]
"""

from __future__ import annotations

import argparse

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


def run(steps=1500, picture=None):
    """Top-1 of both networks on points that neither has seen, and the share with the same answer."""
    rng = np.random.default_rng(0)
    (x, labels), (test, truth) = spirals(rng, 600), spirals(rng, 2000)
    weights = train(x, labels, rng, steps)
    w1, b1, w2, b2 = weights
    networks = {"float32": lambda x: np.maximum(x @ w1 + b1, 0) @ w2 + b2, "int8": quantized(weights, x)}
    answers = {name: network(test).argmax(axis=1) for name, network in networks.items()}
    if picture is not None:
        draw(networks, test, truth, picture)
    shares = {name: (answer == truth).mean() for name, answer in answers.items()}
    return shares | {"same": (answers["float32"] == answers["int8"]).mean()}


def draw(networks, points, truth, path, size=240):
    """What each network answers over the plane, and the points."""
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axis = np.linspace(-1.1, 1.1, size, dtype=np.float32)
    plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    for axes, (name, network) in zip(figure.subplots(1, 2), networks.items(), strict=True):
        regions = network(plane).argmax(axis=1).reshape(size, size)
        axes.imshow(regions, ListedColormap(["#c8d9ee", "#f3d2b8", "#cfe5cf"]), origin="lower", extent=[-1.1, 1.1] * 2)
        axes.scatter(*points[:600].T, s=4, c=truth[:600], cmap=ListedColormap(["#1d4ed8", "#c2410c", "#15803d"]))
        axes.set(title=name, xticks=[], yticks=[])
    figure.savefig(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture")
    result = run(picture=parser.parse_args().picture)
    print(f"top-1: float32 {100 * result['float32']:.1f} %, int8 {100 * result['int8']:.1f} %")
    print(f"same answer: {100 * result['same']:.1f} %")
