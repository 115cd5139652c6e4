"""Every call does what it says: forms, aliasing, `out=`, and the same bytes in C++."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from qkern import _core, operators, program
from qkern.operators import (
    average_pool,
    batch_normalization,
    cast,
    conv_transpose,
    expand,
    gather,
    lp_pool,
    matmul,
    max_pool,
    resize,
    split,
    tile,
)
from qkern.operators import softmax as softmax_file
from qkern.program import Call, Form, Window
from qkern.runtime import control_flow
from qkern.runtime.foreign_nodes import Foreign
from qkern.scheme import QuantParams

SEED = np.random.default_rng(1311)
F = np.float32


def floats(*shape: int) -> np.ndarray:
    return SEED.standard_normal(shape).astype(F)


def codes(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    limits = np.iinfo(dtype)
    return SEED.integers(limits.min, limits.max + 1, shape, dtype=dtype)


def params(scale: float = 0.05, zero: int = 3, dtype: Any = np.uint8) -> QuantParams:
    return QuantParams(F(scale).reshape(()), np.array(zero, dtype))


def by_channel(axis: int, *scales: float) -> QuantParams:
    return QuantParams(np.array(scales, F), np.zeros(len(scales), np.int8), axis)


def qconv(**how: Any) -> program.Convolution:
    weight = codes(5, 3, 3, 3, dtype=np.int8)
    layer = _core.QConv(weight, floats(5) ** 2 + F(0.01), x_scale=0.1, x_zero_point=7, y_scale=2.0, **how)
    return program.Convolution(layer, np.dtype(np.uint8))


def linear() -> program.FullyConnected:
    weight = floats(5, 8)
    return program.FullyConnected(_core.Linear(weight, floats(5)), np.dtype(F))


def qlinear() -> program.FullyConnected:
    weight = codes(5, 8, dtype=np.int8)
    layer = _core.QLinear(weight, 0.02, x_scale=0.1, y_scale=0.7)
    return program.FullyConnected(layer, np.dtype(np.uint8))


def window(*kernel: int, strides: int = 1, padding: Any = None, ceil: bool = False) -> Window:
    axes = len(kernel)
    pairs = ((0, 0),) * axes if padding is None else padding
    return Window(kernel, (strides,) * axes, (1,) * axes, pairs, ceil)


SCALES = program.PoolScales(0.1, 4, 0.07, 9, np.dtype(np.uint8))
RESIZING: dict[str, Any] = dict(  # noqa: C408
    coordinates="asymmetric",
    rounding="floor",
    cubic_a=-0.75,
    exclude_outside=False,
    extrapolation=0.0,
    policy="stretch",
    axes=(2, 3),
    scales=(F(2), F(3)),
    sizes=None,
    regions=((F(0), F(1)),) * 2,
)


def resizing(mode: str, **how: Any) -> Any:
    return resize._Resizing(mode=mode, **{**RESIZING, **how})


@dataclass(frozen=True)
class Example:
    call: Call
    operands: tuple[np.ndarray, ...]
    native: bool = True  # whether it has a native call for these


def phases() -> conv_transpose._Phases:
    axis = conv_transpose._Axis(3, 2, 1, 1, 0)
    weight = floats(4, 2, 3, 3)
    return conv_transpose._phases(
        [axis, axis],
        weight,
        1,
        lambda taps, padding, dilations: _core.Conv(taps, padding=padding, dilations=dilations),
        F(0),
    )


ZEROS = np.array([0, -0.0, np.nan, 1] * 9, F), np.array([-0.0, 0, 1, np.nan] * 9, F)
IMAGE, QIMAGE = floats(2, 6, 5, 3), codes(2, 6, 5, 3)
PACKED: dict[str, Any] = {
    "conv": lambda: qconv(padding=1),
    "conv strided": lambda: qconv(strides=2, padding="same"),
    "qlinear": qlinear,
    "linear": linear,
    "linear of nothing": linear,
}
EXAMPLES = {
    "conv": Example(PACKED["conv"](), (QIMAGE,)),
    "conv strided": Example(PACKED["conv strided"](), (QIMAGE,)),
    "qlinear": Example(PACKED["qlinear"](), (codes(2, 3, 8),)),
    "linear": Example(PACKED["linear"](), (floats(7, 8),)),
    "linear of nothing": Example(PACKED["linear of nothing"](), (floats(0, 8),)),
    "add": Example(
        program.AddCodes(params(), params(0.1, -3, np.int8), params(0.2, 1), (5, 250)),
        (codes(3, 7), codes(3, 7, dtype=np.int8)),
    ),
    "add broadcast": Example(
        program.AddCodes(params(), params(), params(), None), (codes(3, 7), codes(7)), native=False
    ),
    "lookup": Example(program.Lookup(codes(256, dtype=np.int8)), (codes(3, 70, dtype=np.int8),)),
    "quantize": Example(program.Quantize(params()), (floats(5, 13),)),
    "quantize by channel": Example(program.Quantize(by_channel(1, 0.1, 0.2, 0.3)), (floats(2, 3, 5),)),
    "dequantize": Example(program.Dequantize(params(dtype=np.int8)), (codes(5, 13, dtype=np.int8),)),
    "dequantize int32": Example(
        program.Dequantize(QuantParams(F(0.1).reshape(()), np.array(0, np.int32))), (codes(5, dtype=np.int32),)
    ),
    "quantize by": Example(
        program.QuantizeBy(1, np.dtype(np.int8)), (floats(2, 3), np.array([0.1, 0.2, 0.3], F)), native=False
    ),
    "dequantize by": Example(
        program.DequantizeBy(1), (codes(2, 3), np.array(0.1, F), np.array(3, np.uint8)), native=False
    ),
    "window max": Example(program.WindowMax(window(3, 2, strides=2, ceil=True)), (QIMAGE,)),
    "window max float": Example(program.WindowMax(window(3, 3, padding=((1, 1), (1, 1)))), (IMAGE,)),
    "window mean": Example(average_pool.WindowMean(window(3, 3, padding=((1, 1), (1, 0))), True, SCALES), (QIMAGE,)),
    "window mean float": Example(average_pool.WindowMean(window(2, 2, strides=2, ceil=True), False), (IMAGE,)),
    "window mean by taps": Example(
        average_pool.WindowMean(window(2, 2, strides=2, ceil=True), True, SCALES), (QIMAGE[:, :, :, :2],), native=False
    ),
    "global mean": Example(program.GlobalAverage(SCALES), (QIMAGE,)),
    "global mean float": Example(program.GlobalAverage(), (floats(2, 3, 4, 2, 3, 5),)),
    "global max": Example(program.GlobalMax(), (QIMAGE,)),
    "reshaped": Example(program.Reshaped((0, -1), True), (IMAGE,)),
    "flattened": Example(program.Flattened(2), (IMAGE,)),
    "squeezed": Example(program.Squeezed(None), (floats(1, 3, 1),)),
    "squeezed axes": Example(program.Squeezed((-1,)), (floats(1, 3, 1),)),
    "expanded": Example(program.ExpandDims((0, -1)), (floats(2, 3),)),
    "transposed": Example(program.Transposed((2, 0, 3, 1)), (QIMAGE,)),
    "transposed int64": Example(program.Transposed((1, 0)), (np.arange(35).reshape(5, 7),)),
    "transposed last two": Example(program.Transposed((0, 2, 1)), (floats(3, 70, 19),)),
    "transposed into itself": Example(program.Transposed((1, 0)), (floats(1, 9),)),
    "channels last": Example(program.ChangeLayout(True), (codes(2, 130, 6, 5),)),
    "channels first": Example(program.ChangeLayout(False), (floats(2, 6, 5, 67),)),
    "channels last of one": Example(program.ChangeLayout(True), (floats(2, 1, 6, 5),)),
    "channels last bool": Example(program.ChangeLayout(True), (floats(2, 3, 6, 5) > 0,)),
    "channels last of nothing": Example(program.ChangeLayout(True), (floats(0, 3, 6, 5),)),
    "sliced": Example(program.Sliced((slice(None), slice(4, None, -2), slice(1, -1), slice(None))), (QIMAGE,)),
    "sliced rows": Example(program.Sliced((slice(1, None), slice(None))), (floats(4, 3),)),
    "sliced to nothing": Example(program.Sliced((slice(3, 2), slice(None))), (floats(4, 3),)),
    "broadcast": Example(expand._Expanded((2, 1, 4, 1)), (floats(3, 1, 5),)),
    "broadcast codes": Example(expand._Expanded((6, 1)), (codes(2, 1, 5),)),
    "broadcast to itself": Example(expand._Expanded((1,)), (np.arange(6).reshape(2, 3),)),
    "broadcast nothing": Example(expand._Expanded((0, 1)), (floats(1, 3),)),
    "broadcast a number": Example(expand._Expanded((2, 3)), (np.array(1.5),)),
    "tiled": Example(tile._Tiled((2, 1, 3)), (floats(2, 3, 5),)),
    "tiled samples": Example(tile._Tiled((1, 2)), (codes(3, 5),)),
    "tiled into itself": Example(tile._Tiled((1, 1)), (floats(2, 3),)),
    "tiled away": Example(tile._Tiled((2, 0)), (floats(2, 3),)),
    "part": Example(split._Part(3, 1, 2, (1, 2)), (QIMAGE,)),
    "part of samples": Example(split._Part(0, 1, 2, None), (np.arange(20).reshape(4, 5),)),
    "shorter part": Example(split._Part(1, 2, 3, None, True), (floats(2, 5),)),
    "part of nothing": Example(split._Part(1, 0, 2, (0, 5)), (floats(2, 5),)),
    "gathered": Example(gather._Gathered(1, np.array([[2, -1], [0, 0]])), (QIMAGE,)),
    "gathered last": Example(gather._Gathered(1, np.array([4, -5, 1])), (np.arange(10).reshape(2, 5),)),
    "gathered one": Example(gather._Gathered(0, np.array(-1)), (floats(3),)),
    "gathered none": Example(gather._Gathered(0, np.zeros((2, 0), np.int64)), (floats(3, 2),), native=False),
    "gathered from nothing": Example(gather._Gathered(1, np.array([1])), (floats(0, 2),)),
    "gathered by": Example(gather._Gathered(1, None), (floats(2, 3, 4), np.array([[-3, 2]], np.int32)), native=False),
    "columns of images": Example(program.ChannelsFirstColumns(5), (codes(3, 35),)),
    "columns of one pixel": Example(program.ChannelsFirstColumns(5), (floats(2, 5),)),
    "pixel shuffle": Example(program.PixelShuffle(2, False), (codes(2, 12, 3, 5),)),
    "pixel shuffle by columns": Example(program.PixelShuffle(2, True), (floats(2, 12, 3, 5),)),
    "concatenate": Example(program.Concatenate(1), (QIMAGE, QIMAGE[:, :2], QIMAGE[:, :0])),
    "concatenate last": Example(program.Concatenate(2), (floats(2, 3, 1), floats(2, 3, 4))),
    "concatenate one": Example(program.Concatenate(0), (floats(2, 3),)),
    "pad": Example(program.PadWith(((1, 0), (0, 2), (3, 1)), np.array(1.5)), (floats(2, 3, 4),)),
    "pad and crop": Example(program.PadWith(((0, 0), (-1, 2), (3, -2)), np.array(7, np.uint8)), (codes(2, 3, 4),)),
    "crop": Example(program.PadWith(((-1, 0), (0, -1)), np.array(0)), (np.arange(12).reshape(3, 4),)),
    "pad away": Example(program.PadWith(((-2, 2),), np.array(3.0)), (floats(2),)),
    "pad nothing": Example(program.PadWith(((1, 1), (0, 0)), np.array(3.0)), (floats(0, 2),)),
    "pad by copies": Example(program.PadByCopies(((0, 0), (1, 2)), "reflect"), (floats(2, 5),), native=False),
    "combine": Example(program.Combine("add", (None, None)), (floats(3, 7), floats(3, 7))),
    "combine broadcast": Example(
        program.Combine("subtract", (None, None), (-1.0, 0.5)), (floats(3, 1, 7), floats(5, 1))
    ),
    "combine a constant": Example(program.Combine("divide", (None, floats(7)), (0.0, math.inf)), (floats(3, 7),)),
    "combine with a constant": Example(program.Combine("multiply", (np.array(2.5, F), None)), (floats(3, 7),)),
    "combine many": Example(
        program.Combine("maximum", (None, None, floats(7))), (floats(3, 7), floats(3, 7)), native=False
    ),
    "combine one": Example(program.Combine("minimum", (None,)), (floats(3, 7),), native=False),
    "combine nothing": Example(program.Combine("add", (None, None)), (floats(0, 7), floats(1, 7))),
    "combine rows with as many columns": Example(program.Combine("add", (None, None)), (floats(4, 4), floats(4))),
    "largest": Example(program.Combine("maximum", (None, None)), (floats(5000), floats(5000))),
    "largest of zeros": Example(
        program.Combine("maximum", (None, None)),
        ZEROS,
    ),
    "smallest of zeros": Example(
        program.Combine("minimum", (None, None)),
        ZEROS,
    ),
    "smallest": Example(program.Combine("minimum", (None, floats(1))), (floats(50, 200),)),
    "combine integers": Example(
        program.Combine("divide", (None, None)), (np.arange(-5, 5), np.full(10, 3)), native=False
    ),
    "clamped": Example(program.Clamped((0.0, math.inf)), (np.array([-0.0, 0.0, -1, 2, np.nan, np.inf, -np.inf], F),)),
    "clamped doubles": Example(program.Clamped((0.0, 1.0)), (SEED.standard_normal(9),), native=False),
    "scale and shift": Example(program.ScaleAndShift(floats(3), floats(3), (0.0, 6.0)), (IMAGE,), native=False),
    "normalize": Example(
        batch_normalization._Normalize((-1,), 1e-5, None), (IMAGE, *floats(3, 3), floats(3) ** 2), native=False
    ),
    "apply": Example(program.Apply(np.tanh), (floats(3, 7),), native=False),
    "cast": Example(cast._To(np.dtype(np.float16)), (floats(3, 7),), native=False),
    "softmax": Example(softmax_file._Normalized(-1), (floats(3, 7),), native=False),
    "codes product": Example(
        matmul._CodesProduct(params(), params(), params(0.5), None), (codes(2, 3, 8), codes(8, 5)), native=False
    ),
    "codes product to floats": Example(
        matmul._CodesProduct(params(), params(), None, None), (codes(3, 8), codes(8)), native=False
    ),
    "float product": Example(matmul._FloatProduct(None), (floats(8), floats(2, 8, 5)), native=False),
    "max of taps": Example(max_pool._MaxOfTaps(window(2, 2, 2, 2)), (codes(1, 3, 3, 3, 3, 2),), native=False),
    "max with indices": Example(max_pool._MaxWithIndices(window(2, 2), True), (floats(1, 3, 4, 5),), native=False),
    "window norm": Example(lp_pool._WindowNorm(window(2, 2), 2), (IMAGE,), native=False),
    "global norm": Example(lp_pool._WindowNorm(None, 1), (IMAGE,), native=False),
    "resize nearest": Example(resize._Resized(resizing("nearest"), None, True), (QIMAGE,)),
    "resize nearest first": Example(resize._Resized(resizing("nearest"), None, False), (floats(2, 3, 6, 5),)),
    "resize to half": Example(
        resize._Resized(resizing("nearest", scales=(F(0.5), F(1))), None, False), (floats(2, 3, 6, 5),)
    ),
    "resize to itself": Example(
        resize._Resized(resizing("nearest", scales=(F(1), F(1))), None, False), (floats(2, 3, 6, 5),)
    ),
    "resize linear": Example(resize._Resized(resizing("linear"), None, True), (IMAGE,), native=False),
    "transposed convolution": Example(phases(), (floats(2, 5, 6, 4),), native=False),
}


def every_call(base: type[Call] = Call) -> set[type[Call]]:
    return {base}.union(*(every_call(each) for each in base.__subclasses__()))


def test_every_call_has_an_example():
    assert operators.OPERATORS  # all files are loaded
    shown = {type(example.call) for example in EXAMPLES.values()}
    abstract = {each for each in every_call() if each.__subclasses__()}
    by_values = {each for each in every_call() if each.depends_on_values}
    assert every_call() - abstract - shown - by_values == set()
    assert {Foreign, control_flow._Loop} <= by_values
    assert not any("forms" in vars(each) or each.takes_out for each in by_values)


def form_of(array: np.ndarray) -> Form:
    return Form(array.shape, array.dtype)


@pytest.mark.parametrize("name", EXAMPLES)
def test_forms_and_aliasing_are_as_stated(name: str):
    call, operands = EXAMPLES[name].call, EXAMPLES[name].operands
    forms = call.forms(*map(form_of, operands))
    given = call(*operands)
    results = given if isinstance(given, tuple) else (given,)
    assert forms == tuple(map(form_of, results))
    start = call.alias(*map(form_of, operands))
    if start is None:
        assert not any(np.shares_memory(result, operand) for result in results for operand in operands)
    else:
        (result,) = results
        assert result.flags.c_contiguous
        part = np.ndarray(forms[0].shape, forms[0].dtype, operands[0], start)
        assert result.size == 0 or result.ctypes.data == part.ctypes.data
        np.testing.assert_array_equal(result, part)


@pytest.mark.parametrize("name", EXAMPLES)
def test_samples_that_stand_alone_do(name: str):
    call, operands = EXAMPLES[name].call, EXAMPLES[name].operands
    if any(each.ndim == 0 or len(each) != len(operands[0]) for each in operands):
        return
    if not call.by_sample(*map(form_of, operands)):
        return
    whole = call(*operands)
    for sample in range(len(operands[0])):
        parts = [each[sample : sample + 1] for each in operands]
        (form,) = call.forms(*map(form_of, parts))
        if form.shape == (1, *whole.shape[1:]):  # the other condition of a batch's plan
            assert call(*parts).tobytes() == whole[sample : sample + 1].tobytes()


@pytest.mark.parametrize("name", [name for name, each in EXAMPLES.items() if each.call.takes_out])
def test_a_result_goes_where_it_is_told(name: str):
    call, operands = EXAMPLES[name].call, EXAMPLES[name].operands
    expected = call(*operands)
    (form,) = call.forms(*map(form_of, operands))
    out = np.empty(form.nbytes, np.uint8)
    out[:] = 0xA5
    out = out.view(form.dtype).reshape(form.shape)
    result = call(*operands, out=out)
    assert result.size == 0 or np.shares_memory(result, out)
    assert out.tobytes() == expected.tobytes()


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_same_bytes_without_python(name: str, isa: str, threads: Any, count: int):
    example = EXAMPLES[name]
    threads(count)
    call = PACKED[name]() if name in PACKED else example.call  # layers pack for the tier that is active
    forms = call.forms(*map(form_of, example.operands))
    native = call.native(*map(form_of, example.operands))
    is_view = call.alias(*map(form_of, example.operands)) is not None
    assert (native is not None or is_view) == example.native
    if native is None:
        return
    expected = call(*example.operands)
    (form,) = forms
    steps = [(native, [(number, 0) for number in range(len(example.operands))], 64)]
    runner = _core.Program(steps)
    assert len(runner) == 1
    arena = np.empty(64 + form.nbytes + 64, np.uint8)
    arena[:] = 0xA5
    arrays = [np.require(each, requirements=["C", "A"]) for each in example.operands]
    before = [each.tobytes() for each in arrays]
    times = np.zeros(2, np.int64)
    runner.run(arena, arrays, times)
    assert arena[64 : 64 + form.nbytes].tobytes() == expected.tobytes()
    assert (arena[:64] == 0xA5).all()
    assert (arena[64 + form.nbytes :] == 0xA5).all()
    assert [each.tobytes() for each in arrays] == before
    assert 0 < times[0] <= times[1]


def test_a_program_checks_what_it_is_given():
    call = program.Clamped((0.0, 1.0)).native(Form((3,), np.dtype(F)))
    with pytest.raises(ValueError, match="negative"):
        _core.Program([(call, [-1], 0)])
    with pytest.raises(ValueError, match="constant"):
        _core.Program([(call, [0], np.zeros(3, F))])
    runner = _core.Program([(call, [(1, 0)], (0, 0))])
    arena = np.empty(0, np.uint8)
    with pytest.raises(ValueError, match="takes 2"):
        runner.run(arena, [np.zeros(3, F)])
    with pytest.raises(TypeError, match="number 1"):
        runner.run(arena, [np.zeros(3, F), None])
    with pytest.raises(ValueError, match="times"):
        runner.run(arena, [np.zeros(3, F)] * 2, np.zeros(1, np.int64))


def test_constants_stay_alive():
    call = program.Clamped((0.0, 1.0)).native(Form((1000,), np.dtype(F)))
    runner = _core.Program([(call, [np.linspace(-1, 2, 1000, dtype=F)], 0)])
    arena = np.empty(4000, np.uint8)
    runner.run(arena, [])
    np.testing.assert_array_equal(arena.view(F), np.clip(np.linspace(-1, 2, 1000, dtype=F), F(0), F(1)))
