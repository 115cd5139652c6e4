"""Graphs that are quantized already stay as they are."""

from __future__ import annotations

import numpy as np


class TestQuantizedInput:
    def test_stays_as_it_is(self, check, ops, rng):
        model, report = check(
            """(float[N,3,8,8] x) => (float[N,4] y) {
                xq = QuantizeLinear(x, scale, zp)
                xd = DequantizeLinear(xq, scale, zp)
                wd = DequantizeLinear<axis=0>(w, ws, wz)
                bd = DequantizeLinear<axis=0>(b, ws)
                c = Conv(xd, wd, bd)
                n = BatchNormalization(c, ws, ws, ws, ws)
                r = Relu(n)
                rq = QuantizeLinear(r, scale, zp)
                rd = DequantizeLinear(rq, scale, zp)
                y = ReduceMean<axes=[2,3], keepdims=0>(rd)
            }""",
            w=rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
            b=rng.integers(-1000, 1000, 4).astype(np.int32),
            ws=rng.uniform(0.01, 0.02, 4).astype(np.float32),
            wz=np.zeros(4, np.int8),
            scale=np.float32(0.02),
            zp=np.uint8(100),
        )
        assert sorted(ops(model)) == sorted(
            ["QuantizeLinear", "DequantizeLinear"] * 2
            + ["DequantizeLinear"] * 2
            + ["Conv", "BatchNormalization", "Relu", "ReduceMean"]
        )
        assert [fused.reason for fused in report] == ["'wd' is not constant"]
