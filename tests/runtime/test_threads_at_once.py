"""Sessions, kernels, calibration and tiers from many threads at once: no deadlock, and no byte other than alone."""

from __future__ import annotations

import os
import random
import threading
import time
from functools import cache

import numpy as np
import pytest
import qkern
from emulation import EFFORT, smaller
from qkern.calibration import HistogramObserver
from qkern.scheme import Scheme
from small_cnn import images, small_cnn


@cache
def int8_model():
    return qkern.quantize_model(small_cnn(), images(40), "x86", effort=EFFORT).model


def mixed_calls():
    """What the threads do, and that every caller does alone first."""
    rng = np.random.default_rng(4)
    one, two, default, floats = (
        qkern.Session(int8_model(), num_threads=1),
        qkern.Session(int8_model(), num_threads=2),
        qkern.Session(int8_model()),
        qkern.Session(small_cnn()),
    )
    a = rng.integers(-128, 128, (257, 300)).astype(np.int8)
    packed = qkern.pack(a.T.copy())
    values = rng.standard_normal(200_000).astype(np.float32)
    seen = HistogramObserver()
    seen.update(values)
    few, many = images(1), images(37)

    def observed():
        observer = HistogramObserver()
        observer.update(values)
        return np.frombuffer(observer.to_bytes(), np.uint8)

    def chosen():
        params = seen.quant_params(Scheme(np.dtype(np.int8), symmetric=True), "kl")
        return np.array([params.scale, params.zero_point])

    return [
        lambda: one.run(None, {"image": few})[0],
        lambda: two.run(None, {"image": many})[0],
        lambda: default.run(None, {"image": many})[0],
        lambda: default.run(None, {"image": few})[0],
        lambda: floats.run(None, {"image": many})[0],
        lambda: qkern.matmul(a, packed),
        lambda: qkern.quantize(values, 0.01),
        observed,
        chosen,
    ]


def test_sixteen_threads(threads):
    calls = mixed_calls()
    expected = [call().tobytes() for call in calls]
    wrong, rounds = [], smaller(40, 4)

    def work(seed):
        order = random.Random(seed)
        for _ in range(rounds):
            if order.random() < 0.1:
                qkern.set_num_threads(order.randint(1, 5))
            i = order.randrange(len(calls))
            if calls[i]().tobytes() != expected[i]:
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(16)]
    for worker in workers:
        worker.start()
    deadline = time.monotonic() + smaller(90, 900)
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
    assert [worker for worker in workers if worker.is_alive()] == [], "deadlock"
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system doesn't fork")
def test_forked_while_others_run(python, tmp_path):
    path = tmp_path / "m.onnx"
    qkern.quantize_model(small_cnn(), images(8), "x86", effort="fast").save(path)
    done = python(f"""
        import os, signal, threading
        import numpy as np, qkern
        session = qkern.Session({str(path)!r}, num_threads=2)
        x = {{"image": np.linspace(-1, 1, 40 * 432, dtype=np.float32).reshape(40, 3, 12, 12)}}
        expected, stop = session.run(None, x)[0], threading.Event()
        def run():
            while not stop.is_set():
                session.run(None, x)
        others = [threading.Thread(target=run) for _ in range(3)]
        for other in others:
            other.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # ends it, if it hangs
                os._exit(0 if (session.run(None, x)[0] == expected).all() else 3)
            print(os.waitpid(child, 0)[1], end=" ")
        stop.set()
        for other in others:
            other.join()
    """)
    assert done.stdout.split() == ["0"] * 20, done.stdout + done.stderr
