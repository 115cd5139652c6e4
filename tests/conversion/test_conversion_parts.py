"""The pieces of conversion that are arithmetic: properties over random numbers."""

from __future__ import annotations

import math

import numpy as np
import onnx.parser
import onnx.reference
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qkern.conversion.codes import quantize_constant
from qkern.conversion.constants import layer_constants
from qkern.conversion.groups import ValueGroups
from qkern.conversion.ranges import is_redundant, union
from qkern.scheme import QuantParams, Scheme, quant_params

UINT8, INT8, SYMMETRIC = Scheme("uint8"), Scheme("int8"), Scheme("int8", symmetric=True)
NARROW = Scheme("int8", symmetric=True, per_channel=True, narrow=True)
schemes = st.sampled_from([UINT8, INT8, SYMMETRIC, Scheme("int8", symmetric=True, narrow=True)])
finite = st.floats(-1000, 1000, width=32)


def clip_node(low: float, high: float) -> ir.Node:
    bounds = [
        None if math.isinf(bound) else ir.Value(name=f"{bound}", const_value=ir.tensor(np.float32(bound)))
        for bound in (low, high)
    ]
    return ir.Node("", "Clip", [ir.Value(name="x"), *bounds])


def codes_of(x: np.ndarray, params: QuantParams) -> np.ndarray:
    """docs/quantization.md, written out once more."""
    limits = np.iinfo(params.dtype)
    with np.errstate(over="ignore"):
        return np.clip(np.rint(x / params.scale).astype(np.float64) + int(params.zero_point), limits.min, limits.max)


class TestRedundantActivation:
    @given(
        scheme=schemes,
        reach=st.tuples(finite, finite).map(sorted),
        low=st.one_of(finite, st.just(-math.inf), st.just(0.0)),
        high=st.one_of(finite, st.just(math.inf), st.just(6.0)),
        x=st.lists(st.floats(width=32, allow_nan=False), min_size=1),
        snap=st.booleans(),
    )
    def test_exactly_where_no_code_changes(self, scheme, reach, low, high, x, snap):
        params = quant_params(*reach, scheme)
        if snap:  # bounds at the ends of the range: the case that matters, and rare in random numbers
            low, high = (float(np.float32(end)) for end in params.range)
        low, high = min(low, high), max(low, high)
        # Quantizing is monotone: if the two infinities keep their codes, everything between does.
        numbers = np.array([*x, -math.inf, math.inf, low, high], np.float32)
        same = np.array_equal(
            codes_of(np.clip(numbers, np.float32(low), np.float32(high)), params), codes_of(numbers, params)
        )
        assert is_redundant(clip_node(low, high), params) == same

    @pytest.mark.parametrize(
        ("high", "top", "redundant"),
        [
            (6.0, 6.0, True),  # 255 * float32(6 / 255) is 6.0000001: the same codes all the same
            (6.0, 5.0, True),
            (6.0, 6.011, True),  # 6 / scale = 254.53 rounds to 255
            (6.0, 6.013, False),  # 254.45 doesn't
            (math.inf, 100.0, True),
        ],
    )
    def test_half_a_step_at_the_end(self, high, top, redundant):
        assert is_redundant(clip_node(0.0, high), quant_params(0, top, UINT8)) == redundant

    def test_relu(self):
        relu = ir.Node("", "Relu", [ir.Value(name="x")])
        assert is_redundant(relu, quant_params(0, 3, UINT8))
        assert is_redundant(relu, quant_params(0, 3, INT8))
        assert is_redundant(relu, quant_params(-0.001, 3, UINT8))  # rounds to the same zero point
        assert not is_redundant(relu, quant_params(-0.1, 3, UINT8))
        assert not is_redundant(relu, quant_params(0, 3, SYMMETRIC))


class TestUnion:
    @given(scheme=schemes, reaches=st.lists(st.tuples(finite, finite).map(sorted), min_size=1, max_size=4))
    def test_is_fitted_to_the_whole(self, scheme, reaches):
        params = [quant_params(*reach, scheme) for reach in reaches]
        low, high = min(low for low, _ in reaches), max(high for _, high in reaches)
        assert union(params, scheme).same_as(quant_params(low, high, scheme))

    def test_an_empty_range_adds_nothing(self):
        # both have scale 1 and zero point 0
        empty, bytes_ = quant_params(0, 0, UINT8), quant_params(0, 255, UINT8)
        assert empty.same_as(bytes_)
        small = quant_params(0, 2, UINT8)
        assert union([small, empty], UINT8).same_as(small)
        assert union([small, bytes_], UINT8).same_as(bytes_)

    def test_of_parameters_that_do_not_know_their_range(self):
        bare = QuantParams(np.asarray(0.5, "f4"), np.asarray(10, np.uint8))
        joined = union([bare, quant_params(0, 1, UINT8)], UINT8)
        assert joined.same_as(bare)


class TestGroups:
    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20))
    def test_are_the_connected_components(self, joins):
        values = [ir.Value(name=str(index)) for index in range(10)]
        groups = ValueGroups()
        components = [{index} for index in range(10)]
        for a, b in joins:
            groups.join(values[a], values[b])
            merged = components[a] | components[b]
            for index in merged:
                components[index] = merged
        for index, value in enumerate(values):
            assert {int(member.name) for member in groups.members(value)} == components[index]
            assert groups.root(value) is groups.root(values[min(components[index])])


class TestConstants:
    @given(
        channels=st.integers(1, 5),
        depth=st.integers(1, 7),
        x_scale=st.floats(1e-6, 1e3),
        weight_size=st.sampled_from([0.0, 1e-30, 1e-12, 1e-3, 1.0, 1e6]),
        bias_size=st.sampled_from([0.0, 1e-20, 1e-3, 1.0, 1e6]),
        per_channel=st.booleans(),
        seed=st.integers(0, 99),
    )
    def test_are_near_and_fit(self, channels, depth, x_scale, weight_size, bias_size, per_channel, seed):
        rng = np.random.default_rng(seed)
        weight = (rng.normal(size=(channels, depth)) * weight_size).astype(np.float32)
        bias = (rng.normal(size=channels) * bias_size).astype(np.float32)
        axis = 0 if per_channel else None
        result = layer_constants(weight, bias, NARROW, axis=axis, x_scale=np.asarray(x_scale, np.float32))
        scale = np.broadcast_to(result.weight_params.scale.reshape(-1, 1), (channels, 1)).astype(np.float64)
        assert result.weight.dtype == np.int8
        assert result.weight.min() >= -127
        assert (np.abs(result.weight * scale - weight) <= scale * 0.5000001).all()
        assert np.abs(result.bias.astype(np.int64)).max() <= 2**30 + 64
        product = np.broadcast_to(result.bias_params.scale, (channels,))
        np.testing.assert_array_equal(product, np.float32(x_scale) * scale[:, 0].astype(np.float32))
        assert (product >= np.finfo(np.float32).tiny).all()
        step = product.astype(np.float64)
        assert (np.abs(result.bias * step - bias) <= step * 0.5000001 + np.abs(bias) * 2**-29).all()

    def test_weight_of_zeros_has_scale_1(self):
        result = layer_constants(np.zeros((2, 3), "f4"), None, NARROW, axis=0, x_scale=np.float32(1))
        assert result.weight_params.scale.tolist() == [1, 1]
        assert not result.weight.any()

    def test_of_a_weight_that_is_not_constant(self):
        params = quant_params(-1, 1, UINT8)
        result = layer_constants(params, np.float32([1, 2]), NARROW, axis=None, x_scale=np.asarray(0.5, "f4"))
        assert result.weight is None
        scale = np.float32(0.5) * params.scale
        assert result.bias_params.scale == scale
        assert result.bias.tolist() == [round(1 / float(scale)), round(2 / float(scale))]

    def test_a_product_beyond_float32(self):
        with pytest.raises(ValueError, match="beyond float32"):
            layer_constants(
                np.full((1, 1), 1e30, "f4"), np.ones(1, "f4"), NARROW, axis=0, x_scale=np.asarray(1e30, "f4")
            )

    @given(
        x=st.lists(st.floats(-300, 300, width=32), min_size=1),
        scale=st.floats(0.25, 4, width=32),
        zero_point=st.integers(0, 255),
    )
    def test_codes_are_onnx_quantize_linear(self, x, scale, zero_point):
        array, params = np.array(x, np.float32), QuantParams(np.asarray(scale, "f4"), np.asarray(zero_point, np.uint8))
        (expected,) = onnx.reference.ReferenceEvaluator(
            onnx.parser.parse_model(
                '<ir_version: 8, opset_import: ["": 17]> g (float[N] x, float s, uint8 z) => (uint8[N] y) '
                "{ y = QuantizeLinear(x, s, z) }"
            )
        ).run(None, {"x": array, "s": params.scale, "z": params.zero_point})
        np.testing.assert_array_equal(quantize_constant(array, params, (0, 255)), expected)
