"""Small models that mutations start from: together they take most ways through fusion, lowering and quantizing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx_text import graph
from small_cnn import small_cnn

RNG = np.random.default_rng(0)


def f32(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def parameters(name: str, scale: float, zero_point: np.generic) -> dict[str, np.ndarray]:
    return {f"{name}s": np.float32(scale), f"{name}z": np.asarray(zero_point)}


def attention() -> onnx.ModelProto:
    return graph(
        """(float[N, 6, 8] x) => (float[N, 6, 8] y) {
            q = MatMul(x, wq)  k = MatMul(x, wk)  t = Transpose<perm=[0, 2, 1]>(k)
            s = MatMul(q, t)  d = Div(s, c)  p = Softmax<axis=-1>(d)  a = MatMul(p, x)
            m = ReduceMean<keepdims=1>(a, last)  f = Sub(a, m)  r = Reshape(f, shape)
            h = Slice(r, zero, four, two)  g = Concat<axis=2>(h, h)  e = Erf(g)  u = Unsqueeze(e, zero)
            v = Squeeze(u, zero)  y = Add(v, b)
        }""",
        opset=18,
        wq=f32(8, 8),
        wk=f32(8, 8),
        c=np.float32(2),
        b=f32(8),
        last=np.array([-1]),
        shape=np.array([0, 6, -1]),
        zero=np.array([0]),
        four=np.array([4]),
        two=np.array([2]),
    )


def pools() -> onnx.ModelProto:
    return graph(
        """(float[N, 2, 8, 8] x) => (float[N, 5, 3, 3] y, float[N, 2] z) {
            p = Pad(x, pads)  c = Conv<strides=[1, 1], dilations=[1, 1], group=2>(p, w, b)  l = LeakyRelu<alpha=0.2>(c)
            m = MaxPool<kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1>(l)
            a = AveragePool<kernel_shape=[2, 2], auto_pad="SAME_UPPER">(m)
            n = BatchNormalization(a, one, b, b, one)  t = ConvTranspose<strides=[1, 1]>(n, tw)
            y = Clip(t, low, high)  g = GlobalAveragePool(m)  f = Flatten<axis=1>(g)  z = HardSwish(f)
        }""",
        pads=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        w=f32(2, 1, 3, 3),
        b=f32(2),
        one=np.float32([1, 2]),
        tw=f32(2, 5, 1, 1),
        low=np.float32(-1),
        high=np.float32(4),
    )


def qdq() -> onnx.ModelProto:
    return graph(
        """(float[N, 2, 6, 6] x) => (float[N, 4, 6, 6] y) {
            q = QuantizeLinear(x, xs, xz)  d = DequantizeLinear(q, xs, xz)
            wd = DequantizeLinear<axis=0>(w, ws, wz)  bd = DequantizeLinear(b, bs)
            c = Conv<pads=[1, 1, 1, 1]>(d, wd, bd)  r = Relu(c)
            o = QuantizeLinear(r, ys, yz)  v = DequantizeLinear(o, ys, yz)
            s = Sigmoid(v)  sq = QuantizeLinear(s, ts, tz)  sd = DequantizeLinear(sq, ts, tz)
            m = Mul(v, sd)  mq = QuantizeLinear(m, ys, yz)  y = DequantizeLinear(mq, ys, yz)
        }""",
        w=RNG.integers(-127, 128, (4, 2, 3, 3), np.int8),
        ws=np.float32([0.01, 0.02, 0.03, 0.04]),
        wz=np.zeros(4, np.int8),
        b=np.int32([100, -100, 5, 0]),
        bs=np.float32(0.0002),
        **parameters("x", 0.02, np.uint8(128)),
        **parameters("y", 0.05, np.uint8(0)),
        **parameters("t", 1 / 256, np.uint8(0)),
    )


def qoperators() -> onnx.ModelProto:
    proto = graph(
        """(uint8[N, 4, 6, 6] x) => (uint8[N, 3] y) {
            c = QLinearConv<kernel_shape=[3, 3]>(x, xs, xz, w, ws, wz, ys, yz, b)
            g = com.microsoft.QLinearGlobalAveragePool(c, ys, yz, xs, xz)
            f = Flatten(g)  y = com.microsoft.QGemm<transB=1, alpha=0.5>(f, xs, xz, v, ws, wz, b, ys, yz)
        }""",
        w=RNG.integers(-127, 128, (3, 4, 3, 3), np.int8),
        v=RNG.integers(-127, 128, (3, 3), np.int8),
        ws=np.float32([0.01, 0.02, 0.03]),
        wz=np.zeros(3, np.int8),
        b=np.int32([100, -100, 5]),
        **parameters("x", 0.02, np.uint8(100)),
        **parameters("y", 0.1, np.uint8(128)),
    )
    proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return proto


def bodies() -> onnx.ModelProto:
    return graph(
        """(float[N, 4] x, int64 count) => (float[N, 4] y) {
            total = ReduceSum<keepdims=0>(x)  some = Greater(total, zero)
            a = If(some)<
                then_branch = then () => (float[N, 4] t) { t = MatMul(x, w) },
                else_branch = other () => (float[N, 4] e) { e = Neg(x) }
            >
            y = Loop(count, yes, a)<body = b (int64 i, bool go, float[N, 4] s) => (bool on, float[N, 4] o) {
                on = Identity(go)  h = Relu(s)  o = Add(h, w0)
            }>
        }""",
        w=f32(4, 4),
        w0=f32(4),
        zero=np.float32(0),
        yes=np.array(True),
    )


def old() -> onnx.ModelProto:
    return graph(
        """(float[N, 2, 4, 4] x) => (float[N, 8] y) {
            c = Clip<min=-1.0, max=6.0>(x)  u = Upsample<mode="nearest">(c, scales)  p = Pad<pads=[0,0,1,1,0,0,1,1]>(u)
            s = Slice<axes=[2, 3], starts=[0, 0], ends=[2, 2]>(p)  f = Flatten(s)  y = Softmax<axis=1>(f)
        }""",
        opset=9,
        scales=np.float32([1, 1, 2, 2]),
    )


MODELS: tuple[Callable[[], onnx.ModelProto], ...] = (small_cnn, attention, pools, qdq, qoperators, bodies, old)
