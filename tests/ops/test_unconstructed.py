"""An object that `__new__` alone has made has no weights: whatever is asked of it is a TypeError."""

import copy

import numpy as np
import pytest
from qkern import _core

X = np.zeros((1, 4, 4), np.int8)
REQUESTS = {
    "__repr__": repr,
    "__call__": lambda made: made(X),
    "_fused": lambda made: made._fused(X),
    "matmul": lambda made: _core.matmul(X[0], made),
    "copy": copy.copy,
    "output_shape": lambda made: made.output_shape((1, 4, 4)),
    "route_of": lambda made: made.route_of((1, 4, 4)),
}


@pytest.mark.parametrize("name", ["PackedMatrix", "QLinear", "QConv", "Linear", "Conv"])
def test_every_method_refuses_it(name):
    kind = getattr(_core, name)
    own = [each for each in vars(kind) if not each.startswith("_") or each in ("__repr__", "__call__", "_fused")]
    assert len(own) >= 3
    for each in (*own, "matmul", "copy"):
        made = kind.__new__(kind)
        request = REQUESTS.get(each, lambda made, each=each: getattr(made, each))
        with pytest.raises(TypeError):
            request(made)
        with pytest.raises(TypeError):  # not only the first time
            request(made)
