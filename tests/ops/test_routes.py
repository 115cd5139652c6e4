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
        ((32, 4, 3, 3), 8, "grouped, 4 merged", "grouped"),
        ((8, 1, 3), 8, "depthwise", "depthwise"),
    ],
)
def test_convolutions_name_their_route(shape, groups, route, float_route):
    weight = np.ones(shape, np.int8)
    for tier in qkern.isa.available():
        with qkern.isa.use(tier):
            layer = qkern.QConv(weight, 0.1, x_scale=0.1, groups=groups)
            plain = _core.Conv(weight.astype(np.float32), groups=groups)
        assert layer.weight_shape == plain.weight_shape == shape
        assert layer.groups == plain.groups == groups
        assert layer.route.startswith(route)
        assert plain.route == float_route
        assert (layer.tile is None) == (plain.tile is None) == (route == "depthwise")
        assert "depthwise" in layer.route or layer.route == route


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
