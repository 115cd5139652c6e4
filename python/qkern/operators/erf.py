"""Erf."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..program import Function
from .unary import Unary

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Erf", "erf"]


class Erf(Unary):
    """The error function."""

    op_type = "Erf"

    def function(self, node: ir.Node) -> Function:
        return erf


# Numerators and denominators, the highest power first.
_CENTRE = (
    (
        1.85777706184603153e-1,
        3.16112374387056560e0,
        1.13864154151050156e2,
        3.77485237685302021e2,
        3.20937758913846947e3,
    ),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
_MIDDLE = (
    (
        2.15311535474403846e-8,
        5.64188496988670089e-1,
        8.88314979438837594e0,
        6.61191906371416295e1,
        2.98635138197400131e2,
        8.81952221241769090e2,
        1.71204761263407058e3,
        2.05107837782607147e3,
        1.23033935479799725e3,
    ),
    (
        1.0,
        1.57449261107098347e1,
        1.17693950891312499e2,
        5.37181101862009858e2,
        1.62138957456669019e3,
        3.29079923573345963e3,
        4.36261909014324716e3,
        3.43936767414372164e3,
        1.23033935480374942e3,
    ),
)
_TAIL = (
    (
        1.63153871373020978e-2,
        3.05326634961232344e-1,
        3.60344899949804439e-1,
        1.25781726111229246e-1,
        1.60837851487422766e-2,
        6.58749161529837803e-4,
    ),
    (
        1.0,
        2.56852019228982242e0,
        1.87295284992346725e0,
        5.27905102951428412e-1,
        6.05183413124413191e-2,
        2.33520497626869185e-3,
    ),
)
_LAST = 6.0  # from here on erf is 1 in float64


def erf(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """erf of float64, an array of its shape: the rational approximations of W. J. Cody, "Rational Chebyshev
    approximations for the error function" (Mathematics of Computation 23, 1969), for three ranges of |x|."""
    size = np.abs(x)
    result = np.array(x, np.float64)  # NaN stays
    for where, function in (
        (size <= 0.46875, _centre),
        ((size > 0.46875) & (size <= 4), _middle),
        (size > 4, _tail),
    ):
        result[where] = function(size[where])
    return np.copysign(result, x)


def _centre(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x * _ratio(x * x, *_CENTRE))


def _middle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 - _power(x) * _ratio(x, *_MIDDLE))


def _tail(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.minimum(x, _LAST)
    square = 1 / (x * x)
    return np.asarray(1 - _power(x) * (1 / np.sqrt(np.pi) - square * _ratio(square, *_TAIL)) / x)


def _ratio(x: NDArray[np.float64], numerator: Sequence[float], denominator: Sequence[float]) -> NDArray[np.float64]:
    above, below = np.full_like(x, numerator[0]), np.full_like(x, denominator[0])
    for total, coefficients in ((above, numerator), (below, denominator)):
        for coefficient in coefficients[1:]:
            total *= x
            total += coefficient
    return np.asarray(above / below)


def _power(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """exp(-x²), x cut into sixteenths and a rest so that x² loses nothing."""
    coarse = np.trunc(16 * x) / 16
    return np.asarray(np.exp(-coarse * coarse) * np.exp(-(x - coarse) * (x + coarse)))
