"""One-operator networks: quantized by the pipeline, run in int8 and in float, compared with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import qkern
from onnx import helper, numpy_helper
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


@pytest.fixture
def same_as_onnxruntime() -> Callable[..., qkern.Session]:
    """`same_as_onnxruntime(op_type, inputs, constants=(), outputs=1, opset=21, exact=False, **attributes)`: one node,
    with its inputs by position (None: left out), those at the indices in `constants` as initializers, computes what
    ONNX Runtime does, by own kernels alone. Returns the session."""

    def run(
        op_type: str,
        inputs: Sequence[np.ndarray | None],
        *,
        constants: Sequence[int] = (),
        outputs: int = 1,
        opset: int = 21,
        exact: bool = False,
        **attributes: Any,
    ) -> qkern.Session:
        proto = one_node(op_type, inputs, constants, outputs, opset, **attributes)
        feeds = {f"i{k}": x for k, x in enumerate(inputs) if x is not None and k not in constants}
        expected = run_as_written(proto, feeds)
        session = qkern.Session(proto)
        assert kinds(session) <= {"float", "int8", "convert"}, [(s.op_type, s.reason) for s in session.steps]
        for _ in range(2):  # the first run plans the memory, the second uses it
            for ours, theirs in zip(session.run(None, feeds), expected, strict=True):
                assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
                if exact or ours.dtype.kind != "f":
                    np.testing.assert_array_equal(ours, theirs)
                else:
                    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
        return session

    return run


def one_node(
    op_type: str,
    inputs: Sequence[np.ndarray | None],
    constants: Sequence[int] = (),
    outputs: int = 1,
    opset: int = 21,
    **attributes: Any,
) -> onnx.ModelProto:
    """A model of one node whose input k is called `ik`; attributes as helper.make_node takes them."""
    names = ["" if x is None else f"i{k}" for k, x in enumerate(inputs)]
    results = [f"o{k}" for k in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(op_type, names, results, name="node", **attributes)],
        "one_node",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
            for k, (name, x) in enumerate(zip(names, inputs, strict=True))
            if x is not None and k not in constants
        ],
        [onnx.ValueInfoProto(name=name) for name in results],
        [numpy_helper.from_array(np.asarray(inputs[k]), f"i{k}") for k in constants],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
