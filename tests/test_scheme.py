from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qkern.scheme import QuantParams, Scheme, quant_params, weight_params

schemes = st.sampled_from(
    [
        Scheme(dtype, symmetric=symmetric, narrow=narrow)
        for dtype in ("int8", "uint8")
        for symmetric in (False, True)
        for narrow in (False, True)
        if dtype == "int8" or not narrow
    ]
)
bounds = st.tuples(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30)).map(sorted)


def codes(x, params: QuantParams, scheme: Scheme):
    steps = np.rint(np.float32(x) / params.scale).astype(np.float64)
    return np.clip(steps + params.zero_point.astype(np.int64), *scheme.limits)


class TestScheme:
    @pytest.mark.parametrize(
        ("scheme", "limits"),
        [
            (Scheme("int8"), (-128, 127)),
            (Scheme("int8", narrow=True), (-127, 127)),
            (Scheme("uint8"), (0, 255)),
        ],
    )
    def test_limits(self, scheme, limits):
        assert scheme.limits == limits

    @pytest.mark.parametrize("dtype", ["int16", "float32", "u1", ""])
    def test_another_dtype(self, dtype):
        with pytest.raises(ValueError, match="int8"):
            Scheme(dtype)

    def test_narrow_uint8(self):
        with pytest.raises(ValueError, match="narrow"):
            Scheme("uint8", narrow=True)


class TestQuantParams:
    @given(schemes, bounds)
    def test_zero_is_exact_and_the_ends_have_codes(self, scheme, low_high):
        low, high = low_high
        params = quant_params(low, high, scheme)
        assert params.scale.dtype == np.float32
        assert params.scale.shape == params.zero_point.shape == ()
        assert isinstance(params.zero_point, np.ndarray)
        assert params.zero_point.dtype == scheme.dtype
        assert np.isfinite(params.scale)
        assert params.scale > 0
        lowest, highest = scheme.limits
        assert lowest <= params.zero_point <= highest
        # every number of the range is within a step: half for its rounding, half for the zero point's
        for x in (low, high, (low + high) / 2):
            back = (codes(x, params, scheme) - int(params.zero_point)) * float(params.scale)
            assert abs(back - x) <= float(params.scale) * 1.0001

    @given(bounds)
    def test_symmetric_has_its_zero_in_the_middle(self, low_high):
        assert quant_params(*low_high, Scheme("int8", symmetric=True)).zero_point == 0
        assert quant_params(*low_high, Scheme("uint8", symmetric=True)).zero_point == 128

    @given(schemes, st.floats(1e-30, 1e30))
    def test_a_range_on_one_side_of_zero_starts_there(self, scheme, high):
        params = quant_params(high / 2, high, scheme)
        assert params.same_as(quant_params(0, high, scheme))
        if not scheme.symmetric:
            assert params.zero_point == scheme.limits[0]

    def test_known_values(self):
        params = quant_params(-1, 3, Scheme("uint8"))
        assert params.scale == np.float32(4 / 255)
        assert params.zero_point == 64
        params = quant_params(-1, 3, Scheme("int8"))
        assert params.zero_point == -64
        params = quant_params(-1, 3, Scheme("int8", symmetric=True, narrow=True))
        assert params.scale == np.float32(3 / 127)
        params = quant_params(-4, 3, Scheme("int8", symmetric=True))
        assert params.scale == np.float32(4 / 128)

    @pytest.mark.parametrize("width", [0.0, 1e-44, 1e-40])
    def test_an_empty_range_has_scale_1(self, width):
        for scheme in (
            Scheme("uint8"),
            Scheme("int8"),
            Scheme("int8", symmetric=True),
            Scheme("uint8", symmetric=True),
        ):
            params = quant_params(0, width, scheme)
            assert params.scale == 1
            expected = {("uint8", False): 0, ("uint8", True): 128}.get((scheme.dtype, scheme.symmetric), 0)
            assert params.zero_point == expected

    def test_per_channel(self):
        scheme = Scheme("int8", symmetric=True, per_channel=True)
        params = quant_params([-1, 0, -2], [1, 0, 4], scheme, axis=2)
        assert params.axis == 2
        np.testing.assert_array_equal(params.scale, np.float32([1 / 127, 1, 4 / 127]))
        assert params.zero_point.tolist() == [0, 0, 0]

    @pytest.mark.parametrize(
        ("low", "high", "axis", "message"),
        [
            (np.nan, 1, None, "finite"),
            (0, np.inf, None, "finite"),
            (-np.inf, 0, None, "finite"),
            ([0, 1], [1, np.nan], 0, "finite"),
            (2, 1, None, "above"),
            ([0, 3], [1, 2], 0, "above"),
            ([0, 1], [1, 2], None, "0-d"),
            (0, 1, 0, "1-d"),
            ([0, 1], [1, 2, 3], 0, "1-d"),
            (0, 1e300, None, "float32"),
            (-1.7e308, 1.7e308, None, "float32"),
        ],
    )
    def test_bad_bounds(self, low, high, axis, message):
        with pytest.raises(ValueError, match=message):
            quant_params(low, high, Scheme("int8"), axis=axis)

    def test_range(self):
        params = QuantParams(np.asarray(0.5, "f4"), np.asarray(10, np.uint8))
        assert params.range == (-5.0, 122.5)
        assert params.fitted is None
        assert quant_params(1, 2, Scheme("int8")).fitted == (0, 2)

    def test_same_as(self):
        one = quant_params(0, 1, Scheme("uint8"))
        assert one.same_as(quant_params(0, 1, Scheme("uint8")))
        assert not one.same_as(quant_params(0, 1.1, Scheme("uint8")))
        assert not one.same_as(quant_params(-0.1, 0.9, Scheme("uint8")))
        assert not one.same_as(quant_params(0, 1, Scheme("int8")))


class TestWeightParams:
    @pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
    def test_per_channel(self, axis):
        weight = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
        params = weight_params(weight, Scheme("int8", symmetric=True, per_channel=True, narrow=True), axis=axis)
        assert params.axis == axis % 3
        largest = np.abs(np.moveaxis(weight, axis, 0)).reshape(weight.shape[axis], -1).max(axis=1)
        np.testing.assert_array_equal(params.scale, (largest.astype(np.float64) / 127).astype(np.float32))

    def test_per_tensor(self):
        params = weight_params(np.float32([[1, -5], [2, 3]]), Scheme("int8", symmetric=True, narrow=True), axis=0)
        assert params.axis is None
        assert params.scale == np.float32(5 / 127)

    def test_empty(self):
        assert weight_params(np.zeros((0, 3), "f4"), Scheme("int8"), axis=0).scale == 1
        assert weight_params(np.zeros((2, 0), "f4"), Scheme("int8", per_channel=True), axis=0).scale.tolist() == [1, 1]

    @pytest.mark.parametrize("axis", [2, -3])
    def test_no_such_axis(self, axis):
        with pytest.raises(ValueError, match="out of bounds"):
            weight_params(np.ones((2, 3), "f4"), Scheme("int8", per_channel=True), axis=axis)

    @pytest.mark.parametrize("per_channel", [False, True])
    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_not_finite(self, per_channel, bad):
        with pytest.raises(ValueError, match="finite"):
            weight_params(np.float32([[1, bad], [2, 3]]), Scheme("int8", per_channel=per_channel), axis=0)
