"""Nearest neighbours among a million vectors: int8 codes, exact int32 inner products, a quarter of float32's memory.

python examples/vector_search.py [--vectors 1000000] [--queries 100] [--picture vector_search.svg]

Where NumKong is installed, its int8 products (the same integers, on one thread) stand beside ours.
"""

from __future__ import annotations

import argparse
import time
from importlib.util import find_spec

import numpy as np
import qkern

WIDTH, NEIGHBOURS, BLOCK = 128, 10, 65_536


def unit_vectors(rng, count, centres):
    """Around centres, as embeddings lie."""
    vectors = centres[rng.integers(len(centres), size=count)] + 0.7 * rng.standard_normal((count, WIDTH), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def best(scores, first, known):
    """The NEIGHBOURS largest of each row among `known` (scores, indices) and the scores of a block."""
    indices = np.broadcast_to(np.arange(first, first + scores.shape[1]), scores.shape)
    scores = np.concatenate([known[0], scores], axis=1)
    indices = np.concatenate([known[1], indices], axis=1)
    chosen = np.argpartition(scores, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:]
    return np.take_along_axis(scores, chosen, 1), np.take_along_axis(indices, chosen, 1)


def search(products, count, queries, lowest):
    """products(begin, end) gives the scores of a block of vectors."""
    known = np.full((queries, NEIGHBOURS), lowest), np.zeros((queries, NEIGHBOURS), np.intp)
    for begin in range(0, count, BLOCK):
        known = best(products(begin, min(begin + BLOCK, count)), begin, known)
    return known[1]


def timed(products, count, queries, lowest):
    """The neighbours, and seconds, selection included."""
    start = time.perf_counter()
    found = search(products, count, queries, lowest)
    return found, time.perf_counter() - start


def numkong_products(codes, asked):
    """The same by NumKong; the vectors stand packed."""
    import numkong

    packed = [numkong.dots_pack(codes[begin : begin + BLOCK]) for begin in range(0, len(codes), BLOCK)]
    return lambda begin, end: np.asarray(numkong.dots_packed(asked, packed[begin // BLOCK]))


def run(vectors=1_000_000, queries=100, picture=None):
    """Recall of int8 among the true neighbours, and seconds of float32 and int8."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((200, WIDTH), np.float32)
    base, asked = unit_vectors(rng, vectors, centres), unit_vectors(rng, queries, centres)
    # One scale for all, so that the order of the integers is that of the real products.
    codes = qkern.asquantized(base).codes
    wanted = qkern.asquantized(asked).codes
    blocks = [qkern.pack(codes[begin : begin + BLOCK].T) for begin in range(0, vectors, BLOCK)]

    lowest = np.int32(-(2**31))
    exact, float_seconds = timed(lambda begin, end: asked @ base[begin:end].T, vectors, queries, np.float32(-np.inf))
    found, seconds = timed(lambda begin, end: qkern.matmul(wanted, blocks[begin // BLOCK]), vectors, queries, lowest)
    recall = np.mean([len(np.intersect1d(a, b)) / NEIGHBOURS for a, b in zip(exact, found, strict=True)])
    result = {"recall": float(recall), "NumPy float32": float_seconds, "qkern int8": seconds}
    if find_spec("numkong"):
        theirs, result["NumKong int8, one thread"] = timed(numkong_products(codes, wanted), vectors, queries, lowest)
        result["same as NumKong"] = bool((np.sort(theirs) == np.sort(found)).all())
    if picture is not None:
        draw(result, picture)
    return result


def times(result):
    return {name: value for name, value in result.items() if name.startswith(("NumPy", "qkern", "NumKong"))}


def draw(result, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1.9), layout="constrained")
    axes = figure.add_subplot()
    recalls = [1.0, *[result["recall"]] * (len(times(result)) - 1)]
    bars = axes.barh(list(times(result)), list(times(result).values()), 0.6, color=["#9db8d9", "#b3402a", "#c9a7d8"])
    labels = [
        f"{time:.2f} s, recall {recall:.1%}" for time, recall in zip(times(result).values(), recalls, strict=False)
    ]
    axes.bar_label(bars, labels, padding=4)
    axes.invert_yaxis()
    axes.set_xlabel("seconds, selection of the ten included")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.3)
    figure.savefig(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--picture")
    arguments = parser.parse_args()
    outcome = run(arguments.vectors, arguments.queries, arguments.picture)
    print(f"recall of the {NEIGHBOURS} nearest: {outcome['recall']:.1%}")
    for name, seconds in times(outcome).items():
        print(f"{name:25}{seconds:6.2f} s, selection included")
