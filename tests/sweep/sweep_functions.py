"""Cases of functions of numbers, and of reductions."""

from __future__ import annotations

import numpy as np
from sweep_cases import BITS, INTS, ODD, TRUTH, K, M, P, U, X, case, f32, f64, i64, ints, vary

# --- functions of one number ---------------------------------------------------------------------------------------

for op in ("Abs", "Acos", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor", "HardSwish"):
    case(op, U)
for op in ("Identity", "IsNaN", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Sinh"):
    case(op, M)
for op in ("Softplus", "Softsign", "Swish", "Tan", "Tanh", "Elu", "Selu", "LeakyRelu", "HardSigmoid", "Gelu", "Celu"):
    case(op, M)
for op in ("Acosh", "Log", "Sqrt"):
    case(op, P)
for op in (
    "Abs",
    "Ceil",
    "Exp",
    "Floor",
    "IsNaN",
    "IsInf",
    "Neg",
    "Relu",
    "Round",
    "Sigmoid",
    "Sign",
    "Tanh",
    "Identity",
):
    case(op, ODD)
for op in ("Abs", "Neg", "Sign", "Identity"):
    case(op, INTS)
    case(op, f64(3, 4))
for op in ("Ceil", "Exp", "Floor", "Log", "Sqrt", "Reciprocal", "Round", "Sigmoid", "Tanh", "Relu"):
    case(op, np.abs(f64(3, 4)))
case("Not", TRUTH)
case("Identity", TRUTH)
for dtype in (np.uint8, np.int32, np.int64):
    case("BitwiseNot", BITS.astype(dtype))
vary("Celu", [M], alpha=[0.5])
vary("Elu", [M], alpha=[0.3])
vary("Gelu", [M], approximate=["tanh"])
vary("HardSigmoid", [M], alpha=[0.4], beta=[0.1])
vary("IsInf", [ODD], detect_negative=[0], detect_positive=[0])
vary("LeakyRelu", [M], alpha=[0.3])
vary("Selu", [M], alpha=[1.2], gamma=[0.7])
vary("Shrink", [M], bias=[0.2], lambd=[0.1])
vary("Swish", [M], alpha=[0.4])
vary("ThresholdedRelu", [M], alpha=[0.2])
for low, high in ((None, None), (-0.5, 0.5), (None, 0.3), (0.1, None), (0.5, -0.5)):
    ends = [None if end is None else np.float32(end) for end in (low, high)]
    case("Clip", M, *(None if end is None else K(np.array(end)) for end in ends))
    case("Clip", M, *(None if end is None else np.array(end) for end in ends))
case("Clip", INTS, K(np.array(-2)), K(np.array(3)))

# --- functions of two and more -------------------------------------------------------------------------------------

for op in ("Add", "Sub", "Mul", "Div", "Max", "Min"):
    for right in (P, P[0], P[:, :1], np.array(2.5, np.float32), K(P[0, 0])):
        case(op, M, right)
    case(op, P[0, 0], M)
    case(op, INTS, ints(1, 5, 4, 1))
    case(op, INTS.astype(np.int32), ints(1, 5, 4, 1, dtype=np.int32))
    case(op, f64(3, 4), np.abs(f64(4)) + 1)
case("Div", i64(-7, 7, -8), i64(2, -2, 3))
for op in ("Max", "Min", "Mean", "Sum"):
    case(op, M)
    case(op, M, P[0], U[:, :1])
    case(op, f64(3, 4), f64(4))
for op in ("Max", "Min"):
    case(op, ODD, np.zeros(10, np.float32))
for a, b in (
    (P, M),
    (P, P[0]),
    (M, np.array(2.0, np.float32)),
    (np.abs(INTS), i64(2)),
    (P, i64(2, 0, 1, 3, 2)),
    (i64(2, 3), f32(2)),
):
    case("Pow", a, b)
for dtype in (np.int32, np.int64, np.uint8):
    vary("Mod", [ints(1 if dtype == np.uint8 else -9, 9, 3, 4, dtype=dtype), ints(1, 5, 4, dtype=dtype)], fmod=[1])
case("Mod", M, P, fmod=1)
for op in ("And", "Or", "Xor"):
    case(op, TRUTH, TRUTH[::-1])
    case(op, TRUTH, TRUTH[0, :, :1])
for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
    for a, b in (
        (np.round(M), np.round(P) - 1),
        (INTS, INTS[0]),
        (INTS.astype(np.int32), INTS[::-1].astype(np.int32)),
        (ODD, ODD[::-1]),
    ):
        case(op, a, b)
case("Equal", TRUTH, TRUTH[::-1])
for direction in ("LEFT", "RIGHT"):
    for dtype in (np.uint8, np.uint32, np.uint64):
        case("BitShift", BITS.astype(dtype), ints(0, 5, 4, dtype=dtype), direction=direction)
for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
    for dtype in (np.uint8, np.int32, np.int64):
        case(op, BITS.astype(dtype), BITS[::-1, :1].astype(dtype))
for slope in (f32(4, 1, 1), f32(1), f32(6), f32(2, 4, 6, 6)):
    case("PRelu", X, K(slope))
case("Where", TRUTH, M, P[0])
case("Where", TRUTH[0], INTS, i64(3))
case("Where", TRUTH, f64(3, 4, 5), f64(5))

# --- reductions ----------------------------------------------------------------------------------------------------

for op in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"):
    x = P if op == "LogSum" else M
    first = 13 if op == "Sum" else 18
    for axes in (None, i64(0), i64(1, -1), i64()):
        for keepdims in (0, 1):
            inputs = [x] if axes is None else [x, K(axes)]
            case(f"Reduce{op}", *inputs, keepdims=keepdims, opsets=(first, 99))
            case(f"Reduce{op}", *inputs, keepdims=keepdims, noop_with_empty_axes=1, opsets=(first, 99))
            if op != "Sum" and (axes is None or axes.size):
                case(
                    f"Reduce{op}",
                    x,
                    keepdims=keepdims,
                    opsets=(13, 17),
                    **({} if axes is None else {"axes": axes.tolist()}),
                )
    case(f"Reduce{op}", x, i64(1), opsets=(first, 99))
    if "Log" not in op:
        case(f"Reduce{op}", np.abs(INTS) + 1, K(i64(1)), opsets=(first, 99))
    case(f"Reduce{op}", np.abs(f64(3, 4)), K(i64(1)), opsets=(first, 99))
for op in ("ArgMax", "ArgMin"):
    for x in (M, np.round(M), INTS):
        vary(op, [x], axis=[1, -1], keepdims=[0], select_last_index=[1])
vary("CumSum", [M, K(np.array(1))], exclusive=[1], reverse=[1])
case("CumSum", M, np.array(-1), exclusive=1, reverse=1)
case("CumSum", INTS, K(np.array(0)))
vary("CumProd", [M, K(np.array(1))], exclusive=[1], reverse=[1])
vary("TopK", [M, K(i64(2))], outputs=2, axis=[0, 1, -1], largest=[0], sorted=[0])
case("TopK", INTS, K(i64(3)), outputs=2, axis=1)
case("TopK", np.round(M), i64(2), outputs=2)
