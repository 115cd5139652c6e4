"""Types of the compiled extension; the docstrings live with the bindings."""

from collections.abc import Sequence
from typing import Any, Literal, final, type_check_only

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .codebook import Codebook

Array = NDArray[Any]
Floats = NDArray[np.float32]
Int64s = NDArray[np.int64]
Padding = int | Sequence[int] | Sequence[tuple[int, int]] | Literal["same", "valid"]
Ints = int | Sequence[int]
Layout = Literal["NCHW", "NHWC"]
Addition = tuple[Array, float, int, float, int, tuple[int, int] | None]

__version__: str

# --- kernels on arrays -------------------------------------------------------

def quantize(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike = 0,
    *,
    dtype: DTypeLike = ...,
    axis: int | None = None,
    block_size: int | None = None,
    rounding: str = ...,
    out: Array | None = None,
) -> Array: ...
def dequantize(
    q: Array | np.integer[Any],
    scale: ArrayLike,
    zero_point: ArrayLike = 0,
    *,
    axis: int | None = None,
    block_size: int | None = None,
    out: Floats | None = None,
) -> Floats: ...
def requantize(
    acc: NDArray[np.int32],
    multiplier: ArrayLike,
    zero_point: int = 0,
    *,
    dtype: DTypeLike = ...,
    axis: int = -1,
    bias: ArrayLike | None = None,
    clamp: tuple[int, int] | None = None,
    rounding: str = ...,
    out: Array | None = None,
) -> Array: ...

@type_check_only
class _Packed:
    """What a packed matrix and the layers share: their tier, and size and width of the packed weights."""

    @property
    def isa(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def bits(self) -> int: ...

@final
class PackedMatrix(_Packed):
    """Right operand of `matmul`, packed once for the tier that was active."""

    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...

def pack(b: Array, codebook: Codebook | None = None) -> PackedMatrix: ...
def matmul(
    a: Array,
    b: Array | PackedMatrix,
    *,
    a_zero_point: ArrayLike = 0,
    b_zero_point: ArrayLike = 0,
    out: NDArray[np.int32] | None = None,
) -> Any: ...
def conv(
    x: Array,
    w: Array,
    *,
    strides: Ints = 1,
    padding: Padding = 0,
    dilations: Ints = 1,
    groups: int = 1,
    layout: Layout = "NCHW",
    x_zero_point: int = 0,
    w_zero_point: ArrayLike = 0,
    out: NDArray[np.int32] | None = None,
) -> NDArray[np.int32]: ...
def add(
    a: Array,
    b: Array,
    *,
    a_scale: float,
    b_scale: float,
    y_scale: float,
    a_zero_point: int = 0,
    b_zero_point: int = 0,
    y_zero_point: int = 0,
    dtype: DTypeLike | None = None,
    clamp: tuple[int, int] | None = None,
    out: Array | None = None,
) -> Array: ...
def max_pool(
    x: Array,
    *,
    kernel: Ints,
    strides: Ints = 1,
    padding: Padding = 0,
    dilations: Ints = 1,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array: ...
def average_pool(
    x: Array,
    *,
    kernel: Ints,
    strides: Ints = 1,
    padding: Padding = 0,
    dilations: Ints = 1,
    count_include_pad: bool = False,
    layout: Layout = "NCHW",
    x_scale: float = 1.0,
    x_zero_point: int = 0,
    y_scale: float = 1.0,
    y_zero_point: int = 0,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array: ...
def global_average_pool(
    x: Array,
    *,
    layout: Layout = "NCHW",
    x_scale: float = 1.0,
    x_zero_point: int = 0,
    y_scale: float = 1.0,
    y_zero_point: int = 0,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array: ...
def encode(x: Floats, levels: NDArray[np.int8], scale: ArrayLike, axis: int | None = None) -> NDArray[np.uint8]: ...
def lookup(x: Array | np.integer[Any], table: Array, *, out: Array | None = None) -> Array: ...
def to_nhwc(x: Array, *, out: Array | None = None) -> Array: ...
def to_nchw(x: Array, *, out: Array | None = None) -> Array: ...
def extremes(x: Floats) -> tuple[float, float]: ...
def add_to_histogram(x: Floats, factor: float, first: int, counts: Int64s) -> tuple[float, float, int] | None: ...
def add_column_sums(x: Floats, sums: NDArray[np.float64], squares: NDArray[np.float64]) -> None: ...
def return_free_memory() -> None: ...

# --- layers, prepacked once and called often ---------------------------------

@type_check_only
class _Layer(_Packed):
    """What the layers share besides."""

    @property
    def weight_shape(self) -> tuple[int, ...]: ...
    @property
    def tile(self) -> tuple[int, int, int] | None: ...

@final
class QLinear(_Layer):
    def __init__(
        self,
        weight: Array,
        weight_scale: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        x_scale: float,
        x_zero_point: int = 0,
        weight_zero_point: ArrayLike = 0,
        y_scale: float | None = None,
        y_zero_point: int = 0,
        y_dtype: DTypeLike = ...,
        clamp: tuple[int, int] | None = None,
        levels: NDArray[np.int8] | None = None,
    ) -> None: ...
    def __call__(self, x: Array, *, out: Array | None = None) -> Array: ...
    def _fused(
        self, x: Array, *, add: Addition | None = None, table: Array | None = None, out: Array | None = None
    ) -> Array: ...
    @property
    def is_safe(self) -> bool: ...

class PackingBudget:
    def __init__(self, bytes: int) -> None: ...

@final
class QConv(_Layer):
    def __init__(
        self,
        weight: Array,
        weight_scale: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        x_scale: float,
        x_zero_point: int = 0,
        weight_zero_point: ArrayLike = 0,
        y_scale: float | None = None,
        y_zero_point: int = 0,
        y_dtype: DTypeLike = ...,
        clamp: tuple[int, int] | None = None,
        strides: Ints = 1,
        padding: Padding = 0,
        dilations: Ints = 1,
        groups: int = 1,
        layout: Layout = "NHWC",
        algorithm: Literal["auto", "direct", "winograd2", "winograd4"] = "auto",
        levels: NDArray[np.int8] | None = None,
        budget: PackingBudget | None = None,
    ) -> None: ...
    def __call__(self, x: Array, *, out: Array | None = None) -> Array: ...
    def route_of(self, x_shape: Sequence[int]) -> str: ...
    def _fused(
        self,
        x: Array | Floats,
        *,
        quantize: tuple[float, int, DTypeLike] | None = None,
        add: Addition | None = None,
        table: Array | None = None,
        out: Array | None = None,
    ) -> Array: ...
    def output_shape(self, x_shape: Sequence[int]) -> tuple[int, ...]: ...
    @property
    def is_safe(self) -> bool: ...
    @property
    def groups(self) -> int: ...
    @property
    def route(self) -> str: ...

@final
class Linear(_Layer):
    """FP32 fallback with the bits of every tier alike (one fused multiply-add per step, in order)."""

    def __init__(self, weight: Floats, bias: Floats | None = None, *, clamp: Bounds | None = None) -> None: ...
    def __call__(self, x: Floats, *, out: Floats | None = None) -> Floats: ...

@final
class Conv(_Layer):
    """FP32 fallback of `QConv`; weight [out, in/groups, *kernel]."""

    def __init__(
        self,
        weight: Floats,
        bias: Floats | None = None,
        *,
        clamp: tuple[float, float] | None = None,
        strides: Ints = 1,
        padding: Padding = 0,
        dilations: Ints = 1,
        groups: int = 1,
        layout: Layout = "NHWC",
    ) -> None: ...
    def __call__(self, x: Floats, *, out: Floats | None = None) -> Floats: ...
    def output_shape(self, x_shape: Sequence[int]) -> tuple[int, ...]: ...
    @property
    def groups(self) -> int: ...
    @property
    def route(self) -> str: ...

# --- tiers and threads -------------------------------------------------------

def isa_compiled() -> list[str]: ...
def isa_available() -> list[str]: ...
def isa_required(name: str) -> list[str]: ...
def isa_active() -> str: ...
def isa_use(name: str) -> None: ...
def cpu_features() -> dict[str, bool]: ...
def compiler() -> str: ...
def set_num_threads(n: int) -> None: ...
def limit_num_threads(n: int) -> int: ...
def get_num_threads() -> int: ...
def cpu_quota(root: str = ...) -> float | None: ...

# --- what the processor can do at best ---------------------------------------

def register_loop(tier: str, dtype: str, rounds: int) -> int: ...
def register_loop_instructions(tier: str, dtype: str) -> str: ...
def read_memory(data: Array, repeats: int = 1) -> int: ...

# --- programs ------------------------------------------------------------------

Dims = Sequence[int]
Bounds = tuple[float, float]
NativeAddition = tuple[DTypeLike, float, int, float, int, float, int, tuple[int, int] | None]
Place = int | tuple[int, int] | Array

@final
class NativeCall:
    @staticmethod
    def conv(
        layer: QConv | Conv,
        x_shape: Dims,
        x_dtype: DTypeLike,
        *,
        quantize: tuple[float, int, DTypeLike] | None = None,
        add: NativeAddition | None = None,
        table: Array | None = None,
        y_stride: int | None = None,
    ) -> NativeCall: ...
    @staticmethod
    def linear(
        layer: QLinear | Linear,
        x_shape: Dims,
        x_dtype: DTypeLike,
        *,
        add: NativeAddition | None = None,
        table: Array | None = None,
    ) -> NativeCall: ...
    @staticmethod
    def add(
        shape: Dims,
        a_dtype: DTypeLike,
        b_dtype: DTypeLike,
        *,
        a_scale: float,
        b_scale: float,
        y_scale: float,
        a_zero_point: int,
        b_zero_point: int,
        y_zero_point: int,
        dtype: DTypeLike,
        clamp: tuple[int, int] | None,
    ) -> NativeCall: ...
    @staticmethod
    def lookup(shape: Dims, table: Array) -> NativeCall: ...
    @staticmethod
    def quantize(
        shape: Dims, scale: ArrayLike, zero_point: ArrayLike, *, dtype: DTypeLike, axis: int | None
    ) -> NativeCall: ...
    @staticmethod
    def dequantize(
        shape: Dims, dtype: DTypeLike, scale: ArrayLike, zero_point: ArrayLike, *, axis: int | None
    ) -> NativeCall: ...
    @staticmethod
    def max_pool(
        x_shape: Dims, x_dtype: DTypeLike, *, kernel: Ints, strides: Ints = 1, padding: Padding = 0, dilations: Ints = 1
    ) -> NativeCall: ...
    @staticmethod
    def average_pool(
        x_shape: Dims,
        x_dtype: DTypeLike,
        *,
        kernel: Ints,
        strides: Ints = 1,
        padding: Padding = 0,
        dilations: Ints = 1,
        count_include_pad: bool = False,
        x_scale: float = 1.0,
        x_zero_point: int = 0,
        y_scale: float = 1.0,
        y_zero_point: int = 0,
        dtype: DTypeLike = ...,
    ) -> NativeCall: ...
    @staticmethod
    def copy(element_size: int, shape: Dims, strides: Dims, start: int) -> NativeCall: ...
    @staticmethod
    def gather(element_size: int, shape: Dims, indices: Sequence[Int64s | None]) -> NativeCall: ...
    @staticmethod
    def pad(shape: Dims, padded: Dims, before: Dims, fill: Array) -> NativeCall: ...
    @staticmethod
    def concatenate(rows: int, parts: Dims, starts: Dims, stride: int) -> NativeCall: ...
    @staticmethod
    def combine(
        operation: str, a: Dims, b: Dims, constant_at: int, constant: Floats | None, bounds: Bounds | None
    ) -> NativeCall: ...
    @staticmethod
    def clamp(shape: Dims, low: float, high: float) -> NativeCall: ...

@final
class Program:
    def __init__(self, steps: list[tuple[NativeCall, list[Place], Place]]) -> None: ...
    def run(self, arena: NDArray[np.uint8], arrays: list[Array], times: Int64s | None = None) -> None: ...
    def run_samples(self, count: int, arena_bytes: int, arrays: list[Array], strides: Dims) -> None: ...
    def __len__(self) -> int: ...

@final
class FixedProgram:
    def __init__(
        self,
        program: Program,
        arena_bytes: int,
        inputs: Sequence[tuple[str, np.dtype[Any], Dims, int]],
        results: Sequence[tuple[np.dtype[Any], Dims, int]],
    ) -> None: ...
    def run(self, feeds: object, threads: int = 0, times: Int64s | None = None) -> list[Array] | None: ...

def place(sizes: Int64s, firsts: Int64s, lasts: Int64s, alignment: int) -> tuple[Int64s, int]: ...
