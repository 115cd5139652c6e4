"""What every test may ask for: a tier, fixed random numbers, memory with a guard page behind it."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qkern
from allocations import compile_counter
from emulation import EMULATED, smaller
from hypothesis import HealthCheck, settings
from qkern import _core

# `isa` is active for all examples of a test, so a function-scoped fixture is right.
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    max_examples=smaller(60, 8),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("ci")


# Tests of kernels and of what they give: for every tier.
OF_EVERY_TIER = ("tests/isa/", "tests/ops/", "tests/threading/test_threads.py", "tests/test_golden.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With QKERN_TEST_SHARE=2/3 the second of three runs that deal out all other files of tests among them."""
    part, _, parts = os.environ.get("QKERN_TEST_SHARE", "1/1").partition("/")

    def is_ours(item: pytest.Item) -> bool:
        file = item.nodeid.partition("::")[0]
        return file.startswith(OF_EVERY_TIER) or zlib.crc32(file.encode()) % int(parts) == int(part) - 1

    ours = [item for item in items if is_ours(item)]
    if len(ours) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if not is_ours(item)])
        items[:] = ours


@pytest.fixture(params=qkern.isa.available()[:1] if EMULATED else qkern.isa.compiled())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each tier of this build in turn, active during the test. Under emulation the best one: for another tier another
    processor is emulated."""
    name: str = request.param
    if name not in qkern.isa.available():
        features = _core.cpu_features()
        missing = [feature for feature in _core.isa_required(name) if not features[feature]]
        pytest.skip(f"tier {name}: this processor lacks {', '.join(missing)}")
    with qkern.isa.use(name):
        yield name


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """`set_num_threads`, undone at the end."""
    before = qkern.get_num_threads()
    yield qkern.set_num_threads
    qkern.set_num_threads(before)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that depend on the test alone, and not on the tier: all tiers see the same input."""
    return np.random.default_rng(zlib.crc32(request.node.originalname.encode()))


@pytest.fixture
def shared() -> Path:
    """The folder of large test data beside the repository."""
    folder = Path(__file__).parents[1].parent / "shared"
    if not folder.is_dir():
        pytest.skip("no folder `shared` beside the repository")
    return folder


@pytest.fixture
def onnxruntime_session() -> Callable[..., Any]:
    """Makes ONNX Runtime's session of a model (path or ModelProto), exact on every processor: without VNNI its default
    saturates the sums of int8 layers."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

    def make(model: Any, *, threads: int = 0) -> Any:
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.x64quantprecision", "1")
        options.intra_op_num_threads = threads
        source = model if isinstance(model, (str, os.PathLike)) else model.SerializeToString()
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    return make


@pytest.fixture
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs lines of Python in their own process: they may crash, or need another environment."""

    def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if name != "QKERN_ISA"} | environment
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env=env,
            capture_output=True,
            text=True,
            timeout=smaller(60, 600),
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def allocation_counter(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The library that counts allocations, for LD_PRELOAD (allocations.py)."""
    return compile_counter(tmp_path_factory.mktemp("allocations"))


@pytest.fixture
def address_space_limit() -> None:
    """For tests that limit a process's address space."""
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("AddressSanitizer reserves terabytes of addresses, so no process starts under the limit")


@pytest.fixture
def guarded() -> Iterator[Callable[..., np.ndarray]]:
    """A function that copies an array to memory with an unreadable page right behind it (`front=True`: before it).

    Reading one byte too many then kills the process instead of going unnoticed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    page = mmap.PAGESIZE
    regions: list[tuple[int, int]] = []

    def copy(array: np.ndarray, *, front: bool = False) -> np.ndarray:
        inner = -(-max(array.nbytes, 1) // page) * page
        total = inner + 2 * page
        prot = mmap.PROT_READ | mmap.PROT_WRITE
        start = libc.mmap(None, total, prot, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        assert start not in (None, ctypes.c_void_p(-1).value)
        regions.append((start, total))
        assert libc.mprotect(start, page, 0) == 0
        assert libc.mprotect(start + page + inner, page, 0) == 0
        at = start + page if front else start + page + inner - array.nbytes
        buffer = (ctypes.c_ubyte * array.nbytes).from_address(at)
        result = np.frombuffer(buffer, array.dtype).reshape(array.shape)
        result[...] = array
        return result

    yield copy
    for start, total in regions:
        libc.munmap(start, total)


@pytest.fixture(autouse=not EMULATED)
def both_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a session runs by its plans in a test gives the bytes that the interpreter gives."""
    from qkern.runtime.executor import Executor
    from qkern.runtime.interpreter import interpret

    def compared(run: Any) -> Any:
        def both(executor: Executor, feeds: dict[str, Any], *rest: Any) -> Any:
            results, program = run(executor, feeds, *rest), executor.program
            random = any(
                name in step.op_type for step in program.steps for name in ("Random", "Bernoulli", "Multinomial")
            )
            if results is not None and not random:
                with np.errstate(all="ignore"):
                    expected = interpret(program, feeds)
                assert_same_bytes(results, expected)
            return results

        return both

    monkeypatch.setattr(Executor, "run", compared(Executor.run))
    monkeypatch.setattr(Executor, "again", compared(Executor.again))


def assert_same_bytes(results: Any, expected: Any) -> None:
    """Arrays, or lists of them, of the same types, shapes and bytes."""
    if isinstance(expected, (list, tuple)):
        assert len(results) == len(expected)
        for each, other in zip(results, expected, strict=True):
            assert_same_bytes(each, other)
    elif isinstance(expected, np.ndarray):
        assert (results.dtype, results.shape) == (expected.dtype, expected.shape)
        if expected.dtype.hasobject:
            np.testing.assert_array_equal(results, expected)
        else:
            assert results.tobytes() == expected.tobytes()
    else:
        assert results == expected
