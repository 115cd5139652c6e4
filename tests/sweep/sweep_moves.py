"""Cases of what moves numbers, selects them or changes their type."""

from __future__ import annotations

import numpy as np
from onnx import numpy_helper
from sweep_cases import INTS, TRUTH, K, M, P, X, case, f32, i64, ints, vary

# --- moving numbers ------------------------------------------------------------------------------------------------

for dtype in (1, 2, 3, 6, 7, 9, 10, 11, 12):
    for x in (3 * M, INTS, TRUTH):
        case("Cast", np.abs(x) if dtype in (2, 12) and x is not TRUTH else x, to=dtype)
case("Cast", 300 * M, to=17)
case("Cast", 300 * M, to=17, saturate=0)
case("Cast", 300 * M, to=24, saturate=0, round_mode="nearest")
case("CastLike", 3 * M, INTS)
case("CastLike", INTS, M)
case("CastLike", INTS, np.array([0.5]))
case("BitCast", M, to=6)
vary("CenterCropPad", [X, K(i64(3, 9, 4, 6))])
case("CenterCropPad", X, K(i64(3, 9)), axes=[1, -1])
vary("Col2Im", [f32(2, 8, 25), K(i64(6, 6)), K(i64(2, 2))])
vary("Col2Im", [f32(2, 8, 9), K(i64(6, 6)), K(i64(2, 2))], {"strides": [2, 2]})
vary("Col2Im", [f32(2, 8, 16), K(i64(6, 6)), K(i64(2, 2))], {"dilations": [2, 2]})
vary("Col2Im", [f32(2, 8, 49), K(i64(6, 6)), K(i64(2, 2))], {"pads": [1, 1, 1, 1]})
case("Compress", M, np.array([True, False, True]), axis=0)
case("Compress", M, np.array([True, False, True, True]), axis=-2)
case("Compress", M, np.array([False, True, True]))
for axis in (0, 1, -1):
    case("Concat", M, P, axis=axis)
case("Concat", M, axis=0)
case("Concat", INTS, i64(1, 2, 3, 4, 5).reshape(1, 1, 5).repeat(4, 1), axis=0)
case("Constant", value=numpy_helper.from_array(M))
for name, value in (("value_float", 1.5), ("value_floats", [1.0, 2.0]), ("value_int", 3), ("value_ints", [1, 2])):
    case("Constant", **{name: value})
case("ConstantOfShape", K(i64(2, 3)))
case("ConstantOfShape", i64(2, 3), value=numpy_helper.from_array(i64(7)))
for mode in ("DCR", "CRD"):
    case("DepthToSpace", X, blocksize=2, mode=mode)
    case("SpaceToDepth", X, blocksize=2, mode=mode)
case("DepthToSpace", X, blocksize=2)
case("SpaceToDepth", X, blocksize=3)
case("Det", f32(2, 3, 3))
case("Det", f32(3, 3))
for equation, shapes in (
    ("ij,jk->ik", [(3, 4), (4, 5)]),
    ("bij->bji", [(2, 3, 4)]),
    ("...ii->...i", [(2, 3, 3)]),
    ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
    ("ij,ij->", [(3, 4), (3, 4)]),
):
    case("Einsum", *(f32(*shape) for shape in shapes), equation=equation)
case("Expand", M, K(i64(2, 3, 4, 5)))
case("Expand", f32(3, 1), i64(2, 1, 6))
vary("EyeLike", [f32(3, 4)], dtype=[7, 11], k=[1, -1])
for axis in (0, 1, 3, -1):
    case("Flatten", X, axis=axis)
case("Flatten", X)
for axis in (0, 1, -1):
    case("Gather", M, K(i64(1, 0, -1)), axis=axis)
    case("Gather", M, np.array(1), axis=axis)
    case("GatherElements", M, ints(-3, 3, 3, 4, 5), axis=axis)
case("Gather", M, K(i64(1, 0)))
case("GatherElements", M, ints(0, 3, 2, 4, 5))
case("Gather", INTS, K(np.array([[0, 1]], np.int32)))
case("GatherND", M, K(np.array([[0, 1], [2, 3]])))
case("GatherND", M, K(np.array([[1], [2], [0]])), batch_dims=1)
for op in ("Softmax", "LogSoftmax", "Hardmax"):
    vary(op, [X], axis=[0, 1, 2, -1])
case("NonZero", np.round(M))
case("NonZero", TRUTH)
vary("OneHot", [i64(0, 2, -1, 5), K(np.array(4)), K(np.array([0, 1], np.float32))], axis=[0, -1])
case("OneHot", ints(0, 4, 2, 3), K(np.array(4)), K(f32(2)))
for depth in (K(np.array(4)), K(i64(4))):
    for values in (i64(5, 6), f32(2)):
        case("OneHot", i64(0, 2, 1), depth, K(values))
for mode in ("constant", "reflect", "edge", "wrap"):
    for amounts in ((0, 0, 1, 2, 0, 0, 2, 1), (0, 1, 0, 0, 0, 1, 0, 2)):
        case("Pad", X, K(i64(*amounts)), mode=mode)
        case("Pad", X, i64(*amounts), mode=mode)
    case("Pad", X, K(i64(1, 2)), None, K(i64(-1)), mode=mode)
for amounts in ((0, 0, -1, 0, 0, 0, 0, -2), (0, 0, 1, -1, 0, 0, -2, 1)):
    case("Pad", X, K(i64(*amounts)))
    case("Pad", X, K(i64(*amounts)), K(np.array(1.5, np.float32)))
    case("Pad", X, K(i64(*amounts)), mode="edge")
    case("Pad", X, K(i64(*amounts)), mode="reflect")
case("Pad", X, K(i64(0, 0, 1, 0, 0, 0, 0, 1)), K(np.array(1.5, np.float32)))
case("Pad", X, K(i64(1, 2, 0, 1)), np.array(1.5, np.float32), K(i64(-1, 1)))
case("Pad", INTS, K(i64(0, 0, 1, 0, 0, 1)))
for ends in ((0, 10, 2), (10, 0, -3), (0, 0, 1)):
    case("Range", *(np.array(end) for end in ends))
    case("Range", *(K(np.array(end, np.float32)) for end in ends))
case("Range", *(K(np.array(end, np.float32)) for end in (0, 1, 0.3)), stash_type=1)
for shape in ((2, -1), (0, 0, 36), (2, 4, 2, 3, 6)):
    case("Reshape", X, K(i64(*shape)))
    case("Reshape", X, i64(*shape))
case("Reshape", X[:0], K(i64(0, 144)), allowzero=1)
case("Reshape", INTS, K(i64(-1)))
vary("ReverseSequence", [f32(4, 3, 2), i64(1, 4, 2)])
case("ReverseSequence", f32(3, 4, 2), i64(1, 4, 2), batch_axis=0, time_axis=1)
for reduction in ("none", "add", "mul", "max", "min"):
    for axis in (0, -1):
        case(
            "ScatterElements",
            M,
            np.argsort(f32(3, 4, 5), axis).astype(np.int64),
            f32(3, 4, 5),
            axis=axis,
            reduction=reduction,
        )
    case("ScatterND", M, K(np.array([[0, 1], [2, 3]])), f32(2, 5), reduction=reduction)
case("ScatterElements", M, K(np.zeros((1, 4, 5), np.int64)), f32(1, 4, 5))
case("ScatterND", M, K(np.array([[2], [0]])), f32(2, 4, 5))
case("ScatterElements", INTS, K(np.zeros((2, 4, 5), np.int64)), ints(0, 9, 2, 4, 5), reduction="add")
vary("Shape", [X], start=[1, -2], end=[2, -1])
case("Size", X)
case("Slice", M, K(i64(0, 1)), K(i64(2, 9)))
case("Slice", M, i64(0, 1), i64(2, 9), K(i64(-1, 0)))
case("Slice", M, K(i64(0, 1).astype(np.int32)), np.array([2, 9], np.int32), K(np.array([-1, 0], np.int32)))
case("Slice", M, K(i64(-1, 4)), K(i64(-9, 0)), K(i64(0, 2)), K(i64(-1, -2)))
case("Slice", INTS, K(i64(1)), K(i64(3)), K(np.array([1])), K(i64(2)))
vary("Split", [M, K(i64(1, 3))], {"axis": 1}, outputs=2)
case("Split", M, outputs=3, opsets=(13, 17))
case("Split", M, outputs=3, num_outputs=3)
case("Split", M, outputs=2, num_outputs=2, axis=-1)
case("Split", M, i64(2, 3), outputs=2, axis=-1)
case("Squeeze", f32(1, 3, 1, 2))
case("Squeeze", f32(1, 3, 1, 2), K(i64(0, -2)))
case("Squeeze", f32(1, 3, 1, 2), i64(2))
case("Unsqueeze", M, K(i64(0, -1)))
case("Unsqueeze", M, i64(1))
case("Tile", M, K(i64(1, 2, 3)))
case("Tile", INTS, i64(2, 1, 1))
case("Transpose", M)
case("Transpose", M, perm=[1, 2, 0])
case("Transpose", INTS, perm=[2, 0, 1])
for k in (None, 1, -1):
    for upper in (0, 1):
        case("Trilu", M, *([] if k is None else [np.array(k)]), upper=upper)
case("Trilu", INTS)
x = np.array([3, 1, 1, 3, 2, 2, 7], np.float32)
vary("Unique", [x], outputs=4, sorted=[0])
vary("Unique", [np.round(M[0])], {"axis": 0}, outputs=4, sorted=[0])
vary("Unique", [np.array([[1, 0, 0], [1, 0, 0], [2, 3, 4]], np.float32)], {"axis": 0}, outputs=4, axis=[1, -1])
case("TensorScatter", f32(2, 3, 4, 5), f32(2, 3, 1, 5), i64(1, 2), axis=2)
case("TensorScatter", f32(2, 3, 4, 5), f32(2, 3, 2, 5), i64(3, 1), mode="circular")
