"""One-operator networks: quantized by the pipeline, run in int8 and in float, compared with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import qkern
from onnx_text import network, run_as_written


def kinds(session: qkern.Session) -> set[str]:
    return {step.kind for step in session.steps}


@pytest.fixture
def check() -> Callable[..., qkern.Session]:
    """`check(text, x, exact=False, int8=True, **arrays)`: the network in float is ONNX Runtime's; quantized, for both
    targets, it runs in int8 alone and gives the codes that its QDQ nodes say, or (not `exact`: what sums in float may
    round a tie the other way) their neighbours; on every tier the same bytes. Returns the session of target x86."""

    def run(text: str, x: Any, *, exact: bool = False, int8: bool = True, **arrays: np.ndarray) -> qkern.Session:
        proto = network(text, **arrays)
        feeds = x if isinstance(x, dict) else {"x": x}
        (expected,) = run_as_written(proto, feeds)
        floats = qkern.Session(proto)
        assert kinds(floats) <= {"float", "convert"}
        for _ in range(2):  # the first run plans the memory, the second uses it
            (result,) = floats.run(None, feeds)
            np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
        sessions = []
        for target in ("x86", "arm"):
            quantized = qkern.quantize_model(proto, feeds, target, "minmax", effort="fast")
            session = quantized.session()
            sessions.append(session)
            if int8:
                assert kinds(session) <= {"int8", "convert"}, [(s.op_type, s.reason) for s in session.steps]
            else:
                assert "int8" not in kinds(session)
            (expected,) = run_as_written(ir.to_proto(quantized.model), feeds)
            step = next((r.scale for r in reversed(quantized.report.layers) if r.scale), None)
            for _ in range(2):
                (result,) = session.run(None, feeds)
                assert result.dtype == np.float32
                assert result.shape == expected.shape
                if exact:
                    np.testing.assert_array_equal(result, expected)
                elif step is not None:
                    np.testing.assert_allclose(result, expected, rtol=0, atol=1.01 * step)
                    assert np.mean(result == expected) > 0.98
            for tier in qkern.isa.available():
                with qkern.isa.use(tier):
                    np.testing.assert_array_equal(quantized.session().run(None, feeds)[0], result)
        return sessions[0]

    return run
