"""Nearest neighbours among a million vectors: int8 codes, exact int32 inner products, a quarter of float32's memory.

python examples/vector_search.py [--vectors 1000000] [--queries 100]
"""

from __future__ import annotations

import argparse
import time

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


def run(vectors=1_000_000, queries=100):
    """Recall of int8 among the true neighbours, and seconds of float32 and int8."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((200, WIDTH), np.float32)
    base, asked = unit_vectors(rng, vectors, centres), unit_vectors(rng, queries, centres)
    # One scale for all, so that the order of the integers is that of the real products.
    codes = qkern.asquantized(base)
    wanted = qkern.asquantized(asked)
    blocks = [qkern.pack(codes.codes[begin : begin + BLOCK].T) for begin in range(0, vectors, BLOCK)]

    start = time.perf_counter()
    exact = search(lambda begin, end: asked @ base[begin:end].T, vectors, queries, np.float32(-np.inf))
    middle = time.perf_counter()
    found = search(
        lambda begin, end: qkern.matmul(wanted.codes, blocks[begin // BLOCK]), vectors, queries, np.int32(-(2**31))
    )
    end = time.perf_counter()
    recall = np.mean([len(np.intersect1d(a, b)) / NEIGHBOURS for a, b in zip(exact, found, strict=True)])
    return {"recall": float(recall), "float32_seconds": middle - start, "int8_seconds": end - middle}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=100)
    arguments = parser.parse_args()
    result = run(arguments.vectors, arguments.queries)
    print(f"recall of the {NEIGHBOURS} nearest: {100 * result['recall']:.1f} %")
    print(f"NumPy float32 {result['float32_seconds']:.2f} s, int8 {result['int8_seconds']:.2f} s, selection included")
