"""What layers say of how they are computed."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
from qkern import _core


@pytest.mark.parametrize(
    ("shape", "groups", "route", "float_route"),
    [
        ((8, 4, 3, 3), 1, "direct", "direct"),
        ((8, 4, 1, 1), 1, "1x1", "1x1"),
        ((64, 32, 3, 3), 2, "grouped", "grouped"),
        ((8, 1, 3), 8, "depthwise", "depthwise"),
    ],
)
def test_convolutions_name_their_route(shape, groups, route, float_route):
    weight = np.ones(shape, np.int8)
    for tier in qkern.isa.available():
        with qkern.isa.use(tier):
            layer = qkern.QConv(weight, 0.1, x_scale=0.1, groups=groups, algorithm="direct")
            plain = _core.Conv(weight.astype(np.float32), groups=groups)
        assert layer.weight_shape == plain.weight_shape == shape
        assert layer.groups == plain.groups == groups
        assert layer.route.startswith(route)
        assert plain.route == float_route
        assert (layer.tile is None) == (plain.tile is None) == (route == "depthwise")
        assert "depthwise" in layer.route or layer.route == route


@pytest.mark.parametrize(("channels", "by_pairs"), [(2, 4), (4, 2), (8, 1), (16, 1)])
def test_narrow_groups_are_packed_as_one(isa, rng, channels, by_pairs):
    """To 8 channels where a kernel multiplies pairs, else to 16: as if the caller had put zeros between them."""
    groups = 8
    merged = by_pairs if isa in ("scalar", "avx2") else 16 // channels
    weight = rng.integers(-127, 128, (groups * channels, channels, 3, 3)).astype(np.int8)
    wide = np.zeros((groups * channels, merged * channels, 3, 3), np.int8)
    for output in range(groups * channels):
        first = output // channels % merged * channels
        wide[output, first : first + channels] = weight[output]
    x = rng.integers(0, 256, (1, 5, 6, groups * channels)).astype(np.uint8)
    layer = qkern.QConv(weight, 0.1, x_scale=0.1, groups=groups, algorithm="direct")
    by_hand = qkern.QConv(wide, 0.1, x_scale=0.1, groups=groups // merged, algorithm="direct")
    assert layer.route == ("grouped" if merged == 1 else f"grouped, {merged} merged")
    assert layer.nbytes == by_hand.nbytes
    np.testing.assert_array_equal(layer(x), by_hand(x))


@pytest.mark.parametrize("tier", qkern.isa.available())
def test_tiles_are_those_of_the_tier(tier):
    with qkern.isa.use(tier):
        layers = [
            qkern.QLinear(np.ones((3, 5), np.int8), 0.1, x_scale=0.1),
            _core.Linear(np.ones((3, 5), np.float32)),
            qkern.QConv(np.ones((3, 5, 1, 1), np.int8), 0.1, x_scale=0.1),
            _core.Conv(np.ones((3, 5, 1, 1), np.float32)),
        ]
    assert [layer.weight_shape for layer in layers] == 2 * [(3, 5)] + 2 * [(3, 5, 1, 1)]
    for layer in layers:
        rows, cols, lanes = layer.tile
        assert rows >= 4
        assert cols % lanes == 0
    assert layers[0].tile == layers[2].tile
    assert layers[1].tile == layers[3].tile
