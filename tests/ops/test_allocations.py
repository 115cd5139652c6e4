"""A kernel that was called before takes nothing from the heap: what shapes decide is planned, scratch memory kept."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import object_files
import pytest
from allocations import TESTS
from emulation import EMULATED


@pytest.fixture(scope="module")
def warm_kernels(tmp_path_factory: pytest.TempPathFactory, allocation_counter: str) -> Path:
    """`warm_kernels.cc` and the objects of the newest build as a program."""
    if EMULATED:
        pytest.skip("the compiler is the host's")
    build = object_files.newest_build()
    found = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.+)$", object_files.read_cache(build), re.MULTILINE)
    if found is None or not Path(found[1]).exists():
        pytest.skip("needs the compiler of the build")
    program = tmp_path_factory.mktemp("warm_kernels") / "warm_kernels"
    options = ["-std=c++20", "-O1", "-pthread", f"-I{object_files.ROOT / 'csrc'}", f"-I{build / 'generated'}"]
    source = Path(__file__).parent / "warm_kernels.cc"
    command = [
        found[1],
        *options,
        source,
        *object_files.objects_below_bindings(build),
        allocation_counter,
        "-o",
        program,
    ]
    subprocess.run(command, check=True)
    return program


def test_the_counter_counts(python: Callable[..., subprocess.CompletedProcess[str]], allocation_counter: str):
    code = """
        from allocations import fewest
        print(fewest(lambda: None), fewest(lambda: [bytearray(100000) for _ in "123"]))
    """
    result = python(code, LD_PRELOAD=allocation_counter, PYTHONPATH=str(TESTS))
    assert result.stdout.split() == ["0", "3"], result.stderr


@pytest.mark.parametrize("threads", [1, 2])
def test_a_warm_kernel_allocates_nothing(isa: str, threads: int, warm_kernels: Path):
    command = [warm_kernels, isa, str(threads)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    counts = {name: int(count) for count, _, name in (line.partition(" ") for line in output.splitlines())}
    assert counts.pop("a plan") > 0
    assert len(counts) > 25
    assert {name: count for name, count in counts.items() if count > 0} == {}
