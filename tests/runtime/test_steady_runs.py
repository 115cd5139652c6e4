"""A run whose shapes were seen before takes memory for its outputs from the heap, and none besides."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from allocations import TESTS

CODE = """
    import numpy as np, qkern
    from allocations import fewest
    from onnx_text import graph

    qkern.set_num_threads({threads})
    rng = np.random.default_rng(1)
    text = '''(float[N, 3, 24, 24] x) => (float[N, 8, 12, 12] y, float[N, 4096] z) {{
        c = Conv<pads=[1, 1, 1, 1]>(x, w1) r = Relu(c)
        d = Conv<pads=[1, 1, 1, 1], group=8>(r, w2) s = Add(r, d)
        p = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(s) h = Clip(p, low, high)
        y = Transpose<perm=[0, 1, 3, 2]>(h) f = Flatten(p) z = MatMul(f, w3)
    }}'''
    weights = dict(
        low=np.float32(-1),
        high=np.float32(2),
        w1=rng.standard_normal((8, 3, 3, 3)).astype(np.float32),
        w2=rng.standard_normal((8, 1, 3, 3)).astype(np.float32),
        w3=rng.standard_normal((1152, 4096)).astype(np.float32),
    )
    x = rng.standard_normal((3, 3, 24, 24)).astype(np.float32)
    model = graph(text, **weights)
    for session in (qkern.quantize_model(model, {{"x": x}}, effort="fast").session(), qkern.Session(model)):
        for batch in (1, 3):
            feeds = {{"x": x[:batch]}}
            print(fewest(lambda: session.run(None, feeds)))
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_steady_run_allocates_its_outputs(
    python: Callable[..., subprocess.CompletedProcess[str]], allocation_counter: str, threads: int
):
    result = python(CODE.format(threads=threads), LD_PRELOAD=allocation_counter, PYTHONPATH=str(TESTS))
    assert result.returncode == 0, result.stderr
    assert [int(count) for count in result.stdout.split()] == [2] * 4
