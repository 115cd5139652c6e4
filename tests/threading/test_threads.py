"""Any number of threads gives the same bytes; the GIL is free while a kernel runs."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import oracle
import pytest
import qkern
from emulation import EMULATED
from oracle.samples import codes
from qkern import _core


def work(rng):
    """Calls big enough to be shared between threads, over rows, panels, planes and channels; few large results."""
    u8, s8 = (lambda *shape: codes(rng, np.uint8, shape)), (lambda *shape: codes(rng, np.int8, shape))
    x = rng.standard_normal((301, 1501)).astype(np.float32)
    acc = rng.integers(-(2**20), 2**20, (701, 703)).astype(np.int32)
    scales = rng.uniform(0.01, 0.1, 1501).astype(np.float32)
    tall, wide, image, batch = (
        (u8(301, 157), s8(157, 65)),
        (u8(3, 157), s8(157, 4999)),
        u8(1, 31, 33, 32),
        u8(9, 12, 11, 32),
    )
    w, depthwise = s8(67, 32, 3, 3), s8(32, 1, 3, 3)
    qconv = qkern.QConv(w, 0.01, x_scale=0.1, y_scale=1.0, x_zero_point=9, padding=1)
    grouped = qkern.QConv(s8(64, 8, 3, 3), 0.01, x_scale=0.1, y_scale=1.0, groups=4, weight_zero_point=5, layout="NCHW")
    float_conv = _core.Conv(w.astype(np.float32), padding="same")
    float_depthwise = _core.Conv(depthwise.astype(np.float32), groups=32, padding=1)
    linear = _core.Linear(rng.standard_normal((130, 1501)).astype(np.float32))
    return [
        lambda: qkern.matmul(*tall, a_zero_point=3, b_zero_point=-4),
        lambda: qkern.matmul(*wide, b_zero_point=7),
        lambda: qconv(image),
        lambda: qconv(batch),
        lambda: grouped(np.moveaxis(batch, -1, 1)),
        lambda: qkern.conv(image, depthwise, groups=32, layout="NHWC", padding=1),
        lambda: qkern.conv(batch, depthwise, groups=32, layout="NHWC", w_zero_point=100),
        lambda: float_conv(image.astype(np.float32)),
        lambda: float_depthwise(batch.astype(np.float32)),
        lambda: linear(x),
        lambda: qkern.quantize(x, 0.02),
        lambda: qkern.quantize(x, scales, axis=1),
        lambda: qkern.dequantize(u8(701, 703), 0.1),
        lambda: qkern.requantize(acc, 1e-4),
        lambda: qkern.max_pool(batch, kernel=3, layout="NHWC"),
        lambda: qkern.average_pool(image, kernel=3, padding=1),
        lambda: _core.to_nchw(batch),
        lambda: qkern.lookup(image, np.arange(256, dtype=np.uint8)[::-1]),
    ]


def test_same_bytes_for_any_number_of_threads(isa, threads):
    results = []
    for n in (1, 2, 3, 8):
        threads(n)
        assert qkern.get_num_threads() == n
        results.append([call().tobytes() for call in work(np.random.default_rng(5))])
    for other in results[1:]:
        assert [i for i, (a, b) in enumerate(zip(results[0], other, strict=True)) if a != b] == []


@pytest.mark.parametrize("n", [1, 3])
def test_many_python_threads_at_once(isa, threads, n):
    threads(n)
    calls = [call for i, call in enumerate(work(np.random.default_rng(6))) if i != 12]  # 12 draws a new input each time
    expected = [call().tobytes() for call in calls]
    with ThreadPoolExecutor(4) as pool:
        rounds = list(pool.map(lambda i: (i % len(calls), calls[i % len(calls)]().tobytes()), range(4 * len(calls))))
    assert [i for i, result in rounds if result != expected[i]] == []


def test_tiers_may_change_while_others_compute():
    rng = np.random.default_rng(7)
    a, b = codes(rng, np.uint8, (33, 65)), codes(rng, np.int8, (65, 67))
    expected = oracle.matmul(a, b)
    stop = threading.Event()

    def change():
        while not stop.is_set():
            for name in qkern.isa.available():
                _core.isa_use(name)

    before = qkern.isa.active()
    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(300):
            packed = qkern.pack(b)
            assert packed.isa in qkern.isa.available()
            np.testing.assert_array_equal(qkern.matmul(a, packed), expected)
    finally:
        stop.set()
        changer.join()
        qkern.isa.use(before)


def test_the_gil_is_free(threads):
    threads(1)
    a = np.ones((1500, 1500), np.int8)
    packed = {}
    with qkern.isa.use("scalar"):  # the slowest: long enough to see
        packed = qkern.pack(a[:, :300])
    counts, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counts[0] += 1
            time.sleep(0.0005)

    counter = threading.Thread(target=count)
    counter.start()
    try:
        start = time.perf_counter()
        before = counts[0]
        qkern.matmul(a, packed)
        seconds, progress = time.perf_counter() - start, counts[0] - before
    finally:
        stop.set()
        counter.join()
    if seconds < 0.02:
        pytest.skip(f"the product took {seconds * 1e3:.1f} ms: too short to see another thread run")
    assert progress >= 5, f"another thread took {progress} steps in {seconds:.3f} s"


@pytest.mark.skipif(EMULATED, reason="what is measured would be the emulator's memory")
def test_memory_does_not_grow(python):
    # Its own process: what other tests allocate is not counted.
    done = python("""
        import resource
        import numpy as np, qkern
        from qkern import _core
        x, w = np.ones((1, 20, 20, 16), np.uint8), np.ones((32, 16, 3, 3), np.int8)
        def once():
            layer = qkern.QConv(w, 0.1, x_scale=0.1, y_scale=1.0, padding=1)
            layer(x), qkern.matmul(x[0, 0], qkern.pack(x[0, 0].T)), qkern.conv(x, w, layout="NHWC", padding=1)
            qkern.quantize(np.ones((100, 100)), np.ones(100), axis=0), qkern.max_pool(x, kernel=2)
            _core.to_nchw(x[:, ::2])
            try:
                qkern.matmul(x, w)
            except ValueError:
                pass
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(200):
            once()
        before = peak()
        for _ in range(1500):
            once()
        print(peak() - before)
    """)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2000, f"{done.stdout.strip()} KiB more after 1500 rounds"
