"""Known distributions, their histograms, and the error that quantizing them makes."""

from __future__ import annotations

from functools import cache

import numpy as np
from qkern.calibration import METHODS as ALL_METHODS
from qkern.calibration import HistogramObserver
from qkern.scheme import Scheme

UINT8 = Scheme("uint8")
INT8 = Scheme("int8")
SYMMETRIC = Scheme("int8", symmetric=True)
SCHEMES = [UINT8, INT8, SYMMETRIC, Scheme("int8", symmetric=True, narrow=True), Scheme("uint8", symmetric=True)]
N = 300_000
METHODS = [method for method in ALL_METHODS if method != "moving_average_minmax"]  # those of a histogram


@cache
def draw(name):
    rng = np.random.default_rng(11)
    normal, laplace = rng.normal(size=N), rng.laplace(size=N)
    x = {
        "gaussian": lambda: normal,
        "laplace": lambda: laplace,
        "relu": lambda: np.maximum(normal, 0),
        "relu6": lambda: np.clip(4 * normal, 0, 6),
        "negative": lambda: -np.abs(normal),
        "outliers": lambda: np.concatenate([normal, [50, -60]]),
        "relu_outlier": lambda: np.concatenate([np.maximum(normal, 0), [40]]),
        "uniform": lambda: rng.uniform(-1, 3, N),
        "constant": lambda: np.full(100, 3.0),
        "zero": lambda: np.zeros(100),
        "single": lambda: np.array([-2.5]),
        "tiny": lambda: normal * 1e-30,
        "huge": lambda: normal * 1e30,
        "denormal": lambda: normal * 1e-42,
    }[name]().astype(np.float32)
    x.flags.writeable = False  # shared by all tests
    return x


NAMES = [
    *("gaussian", "laplace", "relu", "relu6", "negative", "outliers", "relu_outlier", "uniform"),
    *("constant", "zero", "single", "tiny", "huge", "denormal"),
]


def histogram_of(x):
    histogram = HistogramObserver()
    histogram.update(x)
    return histogram


@cache
def known(name):
    """The histogram of `draw(name)`, shared by all tests."""
    return histogram_of(draw(name))


@cache
def chosen(name, scheme, method):
    """The range that `method` chooses for `draw(name)`."""
    return known(name).range(scheme, method)


def squared_error(x, params, scheme):
    zero = int(params.zero_point)
    scale = float(params.scale)
    code = np.clip(np.rint(x.astype(np.float64) / scale) + zero, *scheme.limits)
    return float(np.mean((x - (code - zero) * scale) ** 2))
