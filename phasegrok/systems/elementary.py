"""Elementary functions of whole rows, as polynomials that the compiler turns into vectors.

The mathematical functions of Numba are called element by element.  Here each function is a
polynomial without branches, fitted when the module is loaded; all are accurate to 2e-14.
"""

import math

import numpy as np
from scipy import special

from phasegrok.compiled import kernel

TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)
_LOG2_E = math.log2(math.e)
_ROUND = 6755399441055744.0  # 1.5 2^52: what is added to it is rounded, and lies in the last bits
_HALF_WIDTH = 0.5  # p of t = 1/(1 + p u), in which erf is fitted
_LARGEST = 26.0  # beyond, exp(-u^2) is 0, and tanh is 1
_EXPONENT_OF_ONE = np.int64(1023 << 52)
CHUNK = 256  # elements that stay in the nearest cache


def _fit(function, low: float, high: float, degree: int) -> tuple[float, ...]:
    """Coefficients, highest first, of a polynomial in x for ``function`` of x in [low, high]."""
    found = np.polynomial.Chebyshev.interpolate(function, degree, domain=[low, high])
    return tuple(found.convert(kind=np.polynomial.Polynomial, domain=[-1.0, 1.0],
                               window=[-1.0, 1.0]).coef[::-1])


def _arcsine_ratio(y):
    x = np.sqrt(y)
    return np.where(x > 1e-4, np.arcsin(x) / np.where(x > 0.0, x, 1.0), 1.0 + y / 6.0)


def _scaled_complement(x):
    """erfc(u) exp(u^2)/t at t = (1 + x)/2."""
    t = 0.5 * (1.0 + x)
    return special.erfcx((1.0 / t - 1.0) / _HALF_WIDTH) / t


_ARCSINE = _fit(_arcsine_ratio, 0.0, 0.25, 13)
_EXP2 = _fit(np.exp2, -0.5, 0.5, 11)
_ERFC = _fit(_scaled_complement, 2.0 / (1.0 + _HALF_WIDTH * _LARGEST) - 1.0, 1.0, 22)


@kernel
def _polynomial(coefficients, x, p, n):
    """Fill ``p[:n]`` with the polynomial of ``x[:n]``, all elements a coefficient at a time."""
    for k in range(n):
        p[k] = coefficients[0]
    for j in range(1, len(coefficients)):
        c = coefficients[j]
        for k in range(n):
            p[k] = p[k] * x[k] + c


@kernel
def arcsines(x, room):
    """Replace ``x`` by its arcsine: a polynomial up to 1/2, by the half angle beyond.

    Parameters
    ----------
    x : float64 array, shape (n,)
    room : float64 array, shape (2, CHUNK)
    """
    for first in range(0, x.shape[0], CHUNK):
        part = x[first : first + CHUNK]
        n = part.shape[0]
        y, p = room[0], room[1]
        for k in range(n):
            size = abs(part[k])
            y[k] = 0.5 * (1.0 - size) if size > 0.5 else size * size
        _polynomial(_ARCSINE, y, p, n)
        for k in range(n):
            beyond = 0.5 * math.pi - 2.0 * math.sqrt(y[k]) * p[k]
            size = abs(part[k])
            part[k] = math.copysign(beyond if size > 0.5 else size * p[k], part[k])


@kernel
def error_functions(u, slope, room, bits):
    """Replace ``u`` by erf(u) and fill ``slope`` with its derivative 2/sqrt(pi) exp(-u^2).

    Parameters
    ----------
    u, slope : float64 arrays, shape (n,)
    room : float64 array, shape (2, CHUNK)
    bits : int64 array, shape (CHUNK,)
        Its memory holds the exponents.
    """
    powers = bits.view(np.float64)
    for first in range(0, u.shape[0], CHUNK):
        part, gauss = u[first : first + CHUNK], slope[first : first + CHUNK]
        n = part.shape[0]
        x, p = room[0], room[1]
        for k in range(n):
            size = min(abs(part[k]), _LARGEST)
            y = -_LOG2_E * size * size
            powers[k] = y + _ROUND
            x[k] = y - (powers[k] - _ROUND)
        _polynomial(_EXP2, x, p, n)
        for k in range(n):
            bits[k] = (bits[k] << 52) + _EXPONENT_OF_ONE
        for k in range(n):
            gauss[k] = p[k] * powers[k]
            x[k] = 2.0 / (1.0 + _HALF_WIDTH * abs(part[k])) - 1.0
        _polynomial(_ERFC, x, p, n)
        for k in range(n):
            rest = gauss[k] * (0.5 * (1.0 + x[k])) * p[k]
            part[k] = math.copysign(1.0 - rest, part[k])
            gauss[k] *= TWO_OVER_ROOT_PI


@kernel
def tanhs(x, room, bits):
    """Replace ``x`` by tanh(x) = 1 - 2/(1 + e^2x), taken at |x|.

    Parameters
    ----------
    x : float64 array, shape (n,)
    room : float64 array, shape (2, CHUNK)
    bits : int64 array, shape (CHUNK,)
        Its memory holds the exponents.
    """
    powers = bits.view(np.float64)
    for first in range(0, x.shape[0], CHUNK):
        part = x[first : first + CHUNK]
        n = part.shape[0]
        rest, p = room[0], room[1]
        for k in range(n):
            y = 2.0 * _LOG2_E * min(abs(part[k]), _LARGEST)
            powers[k] = y + _ROUND
            rest[k] = y - (powers[k] - _ROUND)
        _polynomial(_EXP2, rest, p, n)
        for k in range(n):
            bits[k] = (bits[k] << 52) + _EXPONENT_OF_ONE
        for k in range(n):
            part[k] = math.copysign(1.0 - 2.0 / (1.0 + p[k] * powers[k]), part[k])
