"""Which tier is used: QKERN_ISA, isa.use, and what was packed before."""

from __future__ import annotations

import ctypes
import platform
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import qkern
from emulation import EMULATED
from oracle.samples import codes
from qkern import _core

AVAILABLE = qkern.isa.available()
MISSING = [name for name in qkern.isa.compiled() if name not in AVAILABLE]


def test_lists():
    compiled = qkern.isa.compiled()
    assert [name for name in compiled if name in AVAILABLE] == AVAILABLE
    assert len(set(compiled)) == len(compiled)
    assert compiled[-1] == "scalar", "the tier that runs everywhere is the last resort"
    assert "scalar" in AVAILABLE
    assert qkern.isa.active() in AVAILABLE
    features = _core.cpu_features()
    for name in compiled:
        assert (name in AVAILABLE) == all(features[feature] for feature in _core.isa_required(name))
    with pytest.raises(ValueError, match="mmx"):
        _core.isa_required("mmx")


@pytest.mark.skipif(platform.machine() != "aarch64" or sys.platform != "linux", reason="Linux on Arm")
def test_features_are_what_the_kernel_offers():
    # Not what /proc/cpuinfo says: an emulator shows the host's, and what is hidden from a process must not be used.
    getauxval = ctypes.CDLL(None).getauxval
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    hwcap, hwcap2 = getauxval(16), getauxval(26)
    offered = {"neon": hwcap >> 1 & 1, "dotprod": hwcap >> 20 & 1, "i8mm": hwcap2 >> 13 & 1}
    assert _core.cpu_features() == {name: bool(bit) for name, bit in offered.items()}


@pytest.mark.parametrize("name", AVAILABLE)
def test_an_available_tier_runs_to_its_end_in_a_process_of_its_own(python, name):
    done = python(
        """
        import numpy as np, qkern
        codes = np.arange(-128, 128, dtype=np.int16).astype(np.int8).reshape(8, 32)
        for x in (codes, codes.view(np.uint8)):
            exact = x.astype(np.int32) @ codes.T.astype(np.int32)
            assert np.array_equal(qkern.matmul(x, codes.T), exact)
        print(qkern.isa.active(), qkern.pack(codes).isa, *qkern.isa.available())
        """,
        QKERN_ISA=name,
    )
    assert (done.returncode, done.stdout.split()) == (0, [name, name, *AVAILABLE]), done.stderr


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_the_best_tier_is_the_default(python, value):
    done = python("import qkern; print(qkern.isa.active())", **({} if value is None else {"QKERN_ISA": value}))
    assert done.stdout.split() == AVAILABLE[:1], done.stderr


@pytest.mark.parametrize("name", ["mmx", "AVX2", "avx2 ", "avx2,scalar", "é", *MISSING])
def test_environment_names_a_tier_that_is_not_there(python, name):
    done = python("import qkern", QKERN_ISA=name)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError")
    assert "QKERN_ISA" in last
    assert name in last
    for available in AVAILABLE:
        assert available in last


FOREIGN = ["neon", "neon_dotprod", "neon_i8mm", "avx2", "avx_vnni", "avx512_vnni"]


@pytest.mark.parametrize("name", [name for name in FOREIGN if name not in qkern.isa.compiled()])
def test_a_tier_of_another_processor_is_told_apart_from_a_misspelt_one(python, name):
    processor = "aarch64" if name.startswith("neon") else "x86_64"
    with pytest.raises(ValueError, match=f"'{name}' is a tier of {processor} processors.* available: .*scalar"):
        qkern.isa.use(name)
    done = python("import qkern", QKERN_ISA=name)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError")
    assert f"'{name}' is a tier of {processor} processors" in last


# Processors of the emulator, some with a feature hidden, and the best tier of each; the variable that chooses one.
PROCESSORS_BY_KIND = {
    "aarch64": ("QEMU_CPU", {"cortex-a53": "neon", "a64fx": "neon", "cortex-a76": "neon_dotprod", "max": "neon_i8mm"}),
    "x86_64": (
        "X86_CPU",
        dict.fromkeys(("Haswell,-avx2", "Haswell,-fma", "Haswell,-xsave"), "scalar") | {"max": "avx2"},
    ),
}
VARIABLE, PROCESSORS = PROCESSORS_BY_KIND.get(platform.machine(), ("", {}))


@pytest.mark.skipif(not EMULATED, reason="another processor needs an emulator")
@pytest.mark.parametrize("processor", PROCESSORS)
def test_what_another_processor_lacks_is_an_error_and_not_used(python, processor):
    done = python(
        """
        import numpy as np, qkern
        x = np.arange(-128, 128, dtype=np.int16).astype(np.int8).reshape(8, 32)
        exact = x.astype(np.int32) @ x.T.astype(np.int32)
        print(qkern.isa.active())
        for name in qkern.isa.compiled():
            try:
                with qkern.isa.use(name):
                    assert np.array_equal(qkern.matmul(x, x.T), exact)
            except ValueError as error:
                assert "which this processor lacks; available: " in str(error), error
                assert name not in qkern.isa.available()
            else:
                assert name in qkern.isa.available()
        """,
        **{VARIABLE: processor},
    )
    assert (done.returncode, done.stdout.strip()) == (0, PROCESSORS[processor]), done.stderr


def test_use():
    before = qkern.isa.active()
    try:
        for name in AVAILABLE:
            qkern.isa.use(name)
            assert qkern.isa.active() == name
    finally:
        qkern.isa.use(before)


def test_use_as_a_context():
    before = qkern.isa.active()
    for name in AVAILABLE:
        with qkern.isa.use(name):
            assert qkern.isa.active() == name
            with qkern.isa.use("scalar"):
                assert qkern.isa.active() == "scalar"
            assert qkern.isa.active() == name
            with pytest.raises(KeyError), qkern.isa.use("scalar"):
                raise KeyError
            assert qkern.isa.active() == name
        assert qkern.isa.active() == before


@pytest.mark.parametrize("name", ["mmx", "", "AVX2", "scalar ", *MISSING])
def test_use_of_a_tier_that_is_not_there(name):
    before = qkern.isa.active()
    with pytest.raises(ValueError, match=AVAILABLE[0]) as caught:
        qkern.isa.use(name)
    assert repr(name) in str(caught.value)
    assert qkern.isa.active() == before
    for wrong in (None, 3, ["scalar"]):
        with pytest.raises(TypeError):
            qkern.isa.use(wrong)


@pytest.mark.parametrize("packed_by", AVAILABLE)
@pytest.mark.parametrize("called_under", AVAILABLE)
def test_packed_objects_keep_their_tier(packed_by, called_under):
    rng = np.random.default_rng(1)
    a, b = codes(rng, np.uint8, (7, 13)), codes(rng, np.int8, (13, 70))
    image, w, depthwise = (
        codes(rng, np.uint8, (1, 5, 5, 13)),
        codes(rng, np.int8, (9, 13, 3, 3)),
        codes(rng, np.int8, (13, 1, 3, 3)),
    )
    floats = rng.standard_normal((7, 13)).astype(np.float32)
    with qkern.isa.use(packed_by):
        packed = qkern.pack(b)
        layers = [
            (qkern.QLinear(np.ascontiguousarray(b.T), 0.1, x_scale=0.1, weight_zero_point=3), a),
            (qkern.QConv(w, 0.1, x_scale=0.1, y_scale=9.0), image),
            (qkern.QConv(depthwise, 0.1, x_scale=0.1, y_scale=1.0, groups=13), image),
            (_core.Linear(rng.standard_normal((70, 13)).astype(np.float32)), floats),
            (_core.Conv(w.astype(np.float32)), image.astype(np.float32)),
            (_core.Conv(depthwise.astype(np.float32), groups=13), image.astype(np.float32)),
        ]
        product = qkern.matmul(a, packed, b_zero_point=3)
        results = [layer(x) for layer, x in layers]
    with qkern.isa.use(called_under):
        assert packed.isa == packed_by
        np.testing.assert_array_equal(qkern.matmul(a, packed, b_zero_point=3), product)
        for (layer, x), result in zip(layers, results, strict=True):
            assert layer.isa == packed_by
            np.testing.assert_array_equal(layer(x), result)


@pytest.mark.skipif(len(AVAILABLE) < 2, reason="one tier")
def test_contexts_that_overlap():
    # as two threads have them: neither ends in the order it began
    before, (one, other) = qkern.isa.active(), (AVAILABLE[-1], AVAILABLE[0])
    first, second = qkern.isa.use(one), qkern.isa.use(other)
    second.__enter__()
    first.__enter__()
    first.__exit__(None, None, None)
    assert qkern.isa.active() == other
    second.__exit__(None, None, None)
    assert qkern.isa.active() == before


@pytest.mark.skipif(len(AVAILABLE) < 2, reason="one tier")
def test_contexts_may_end_between_the_making_and_the_entering_of_another():
    before = qkern.isa.active()
    first = qkern.isa.use("scalar")
    second = qkern.isa.use(AVAILABLE[0])
    with first:
        pass
    assert qkern.isa.active() == before
    with second:
        assert qkern.isa.active() == AVAILABLE[0]
    assert qkern.isa.active() == before


def test_contexts_of_many_threads_leave_the_tier_as_it_was():
    before = qkern.isa.active()

    def work(number):
        for i in range(200):
            with qkern.isa.use(AVAILABLE[(number + i) % len(AVAILABLE)]):
                assert qkern.isa.active() in AVAILABLE

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert qkern.isa.active() == before
