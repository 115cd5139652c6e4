"""Small images of many channels, whose depthwise layers threads cut into parts of rows and blocks of channels."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import qkern
from oracle.samples import codes

# Channels, height, width, kernel, stride: no multiple of a block, a part that ends at one, one more and one less.
SHAPES = {
    "5x5 @7": (449, 7, 7, 5, 1),
    "5x5 @7, whole blocks": (512, 7, 7, 5, 1),
    "3x3 @14": (321, 14, 13, 3, 1),
    "5x5 s2 @14": (479, 14, 14, 5, 2),
    "3x3 s2 @23": (300, 23, 21, 3, 2),
    "3x3 @20": (257, 20, 17, 3, 1),
}


@pytest.mark.parametrize("name", SHAPES)
def test_parts(rng, isa, threads, name: str):
    channels, height, width, kernel, stride = SHAPES[name]
    x = codes(rng, np.uint8, (1, height, width, channels))
    w = codes(rng, np.int8, (channels, 1, kernel, kernel))
    settings = {"strides": stride, "padding": kernel // 2, "groups": channels}
    expected = np.moveaxis(oracle.conv(np.moveaxis(x, -1, 1), w, x_zero_point=7, **settings), 1, -1)
    layer = qkern.QConv(w, 0.02, x_scale=0.5, x_zero_point=7, y_scale=1.3, y_zero_point=90, **settings)
    other, table = codes(rng, np.int8, expected.shape), codes(rng, np.uint8, 256)
    finished = []
    for count in (1, 2, 3, 5):
        threads(count)
        found = qkern.conv(x, w, x_zero_point=7, layout="NHWC", **settings)
        np.testing.assert_array_equal(found, expected)
        finished.append([layer(x), layer._fused(x, add=(other, 0.7, 5, 4.3, 90, None), table=table)])
    y, total = finished[0]
    assert len(np.unique(y)) > 100
    np.testing.assert_array_equal(
        total,
        qkern.lookup(
            qkern.add(
                y, other, a_scale=1.3, a_zero_point=90, b_scale=0.7, b_zero_point=5, y_scale=4.3, y_zero_point=90
            ),
            table,
        ),
    )
    for each in finished[1:]:
        for one, same in zip(each, finished[0], strict=True):
            np.testing.assert_array_equal(one, same)
