"""What measures the processor's limits does what it says: so many operations, all the bytes."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
from qkern import _core


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = qkern.get_num_threads()
    qkern.set_num_threads(request.param)
    yield request.param
    qkern.set_num_threads(before)


@pytest.mark.parametrize("tier", qkern.isa.available())
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_register_loop_counts_the_operations_of_all_threads(tier, dtype, threads):
    of_a_round = _core.register_loop(tier, dtype, 1)
    assert of_a_round > 0
    assert of_a_round % 2 == 0
    for rounds in (7, 1234):
        assert _core.register_loop(tier, dtype, rounds) == rounds * of_a_round
    assert _core.register_loop_instructions(tier, dtype)


@pytest.mark.parametrize("tier", qkern.isa.available())
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 127, 512, 1000, 4096, 100_003])
def test_read_memory_reads_every_byte_once(tier, size, threads):
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    expected = int(np.bitwise_xor.reduce(data, initial=0))
    with qkern.isa.use(tier):
        assert _core.read_memory(data) == expected
        assert _core.read_memory(data, 3) == expected
        assert _core.read_memory(data, repeats=2) == 0


def test_read_memory_takes_any_dtype():
    data = np.random.default_rng(0).standard_normal((5, 7))
    assert _core.read_memory(data) == int(np.bitwise_xor.reduce(data.view(np.uint8), axis=None))


def test_errors_name_the_argument():
    tier = qkern.isa.active()
    with pytest.raises(ValueError, match="tier 'sse9'"):
        _core.register_loop("sse9", "int8", 1)
    with pytest.raises(ValueError, match="dtype is 'int4'"):
        _core.register_loop(tier, "int4", 1)
    with pytest.raises(ValueError, match="rounds"):
        _core.register_loop(tier, "int8", 0)
    with pytest.raises(ValueError, match="tier 'sse9'"):
        _core.register_loop_instructions("sse9", "int8")
    with pytest.raises(ValueError, match="repeats"):
        _core.read_memory(np.ones(4), 0)
    with pytest.raises(ValueError, match="data"):
        _core.read_memory(np.ones((4, 4))[:, ::2])
