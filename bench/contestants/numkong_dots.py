"""NumKong: `dots_packed`, int8 x int8 -> int32, on one thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numkong
import numpy as np

from ..contest import Contestant
from ..operators import conv as conv_data
from ..operators import elementwise as elementwise_data
from ..operators import gemm as gemm_data

__all__ = ["conv", "elementwise", "gemm", "set_threads"]


def set_threads(count: int) -> None:
    """It has no threads of its own."""


def gemm(data: gemm_data.Data, threads: int, tiers: Sequence[str]) -> Iterator[Contestant]:
    packed = numkong.dots_pack(np.ascontiguousarray(data.b_s8.T))
    out = numkong.zeros((data.shape.rows, data.shape.cols), dtype="int32")
    call = partial(numkong.dots_packed, data.a_s8, packed, out=out)
    yield Contestant("numkong", "dots_packed", "s32", "s8s8", call, lambda: np.asarray(out))


def conv(data: conv_data.Data, threads: int, tiers: Sequence[str]) -> Iterator[Contestant]:
    """NumKong has none."""
    yield from ()


def elementwise(data: elementwise_data.Data, threads: int, tiers: Sequence[str]) -> Iterator[Contestant]:
    """NumKong has none."""
    yield from ()
