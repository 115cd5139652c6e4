"""The golden file: the same hashes on every tier of every processor."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
from qkern import golden

CASES = [*golden.KERNEL_CASES, *golden.MODEL_CASES]


@pytest.mark.parametrize("name", CASES)
def test_the_bits_of_the_golden_file(isa: str, name: str):
    if name in golden.MODEL_CASES:
        pytest.importorskip("onnx_ir")
    assert golden.run_case(name) == golden.expected()[name]


def test_the_file_holds_every_case():
    assert list(golden.expected()) == CASES


def test_inputs_reach_the_ends_of_the_codes():
    data = golden._Stream(1)
    for dtype in golden.CODES:
        assert set(data.codes(dtype, 4000).tolist()) == set(range(np.iinfo(dtype).min, np.iinfo(dtype).max + 1))
    integers = data.integers(4, 4000)
    assert (integers.min(), integers.max()) == (-16, 15)


def test_one_wrong_bit_is_noticed(monkeypatch: pytest.MonkeyPatch):
    hashes = golden.expected()
    changed = {name: value[:-1] + ("0" if value[-1] != "0" else "1") for name, value in hashes.items()}
    monkeypatch.setattr(golden, "MODEL_CASES", {})
    monkeypatch.setattr(golden, "expected", lambda: hashes | {"requantize": changed["requantize"]})
    checks = list(golden.verify())
    assert [check.tier for check in checks if not check.passed] == qkern.isa.available()
    assert {check.case for check in checks if not check.passed} == {"requantize"}
