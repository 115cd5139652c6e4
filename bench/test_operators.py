"""The operators under pytest-benchmark, for development: `pytest bench [-k "conv and avx2"] [--benchmark-compare]`.

The data and calls are those of the suite; qkern alone, on every tier; each result is checked before it is timed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest
import qkern

from bench.contest import Case, check
from bench.contestants import qkern_kernels
from bench.run import OPERATORS


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = qkern.get_num_threads()
    qkern.set_num_threads(1)
    yield
    qkern.set_num_threads(before)


@lru_cache(maxsize=1)  # tests of one shape follow each other
def case_of(op: str, shape: Any, tier: str) -> Case:
    build = OPERATORS[op][1]
    return build(shape, [qkern_kernels], 1, [tier])


VARIANTS = [
    *(("gemm", variant) for variant in ("u8s8 packed", "s8s8 packed", "u8s8 unpacked", "fused", "float")),
    *(("conv", variant) for variant in ("fused", "fused NCHW", "float")),
    ("elementwise", ""),
]
CASES = [
    pytest.param(op, shape, variant, id=f"{op} {shape.name} {variant}".strip().replace(" ", "-"))
    for op, (shapes, _) in OPERATORS.items()
    for shape in shapes
    for of_op, variant in VARIANTS
    if of_op == op
]


@pytest.mark.parametrize("tier", [tier for tier in qkern.isa.available() if tier != "scalar"])
@pytest.mark.parametrize(("op", "shape", "variant"), CASES)
def test_operator(benchmark: Any, op: str, shape: Any, variant: str, tier: str) -> None:
    case = case_of(op, shape, tier)
    [contestant] = [each for each in case.contestants if each.variant == variant]
    check(contestant, case.answers)
    benchmark.group = f"{op} {shape.name} {tier}"
    with qkern.isa.use(tier):
        benchmark(contestant.call)
    if benchmark.stats is not None:  # None with --benchmark-disable
        benchmark.extra_info["GOPS"] = case.operations / benchmark.stats["median"] / 1e9
