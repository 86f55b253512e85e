r"""What is left of a ramp against its rate: a logarithm, a power, or a step.

A residual energy or the temperature of a threshold, y, after ramps of rates r:

.. math::

   \text{logarithm}\quad & y = a + b \ln r, \\
   \text{power}\quad & y = a + b\, r^c, \quad c > 0, \\
   \text{step}\quad & y = y_- \ (r < r_*),\quad y = y_+ \ (r > r_*).

A glass that crosses growing barriers keeps a logarithm, or a power of it [1]_; a continuous
transition and growing domains a power; a step parts rates with which a state is reached from those
with which it is missed.

References
----------
.. [1] D. A. Huse and D. S. Fisher, Residual energies after slow cooling of disordered systems,
   Phys. Rev. Lett. 57 (1986) 2203.
"""

import math

import numpy as np

from phasegrok.relaxation.fitted_laws import (
    Choice,
    FittedLaw,
    choose,
    constants,
    fit_bent_line,
    fit_law,
)
from phasegrok.relaxation.inputs import points
from phasegrok.statistics import weighted_line

LOGARITHM = "logarithm"
POWER = "power"
STEP = "step"

DECADES = 3.0
"""Decades of the rate without which laws are not told apart."""

NEAR = 1.25
"""Ratio of the slopes dy/d ln r at both ends up to which a power is a logarithm."""

_LEAST, _LARGEST = 1e-3, 10.0  # exponents

_VALUES = "values against the rate"


def logarithm(rate_k, y_k, y_err_k) -> FittedLaw:
    r"""The law :math:`y = a + b \ln r`.

    Parameters
    ----------
    rate_k, y_k, y_err_k : array_like, shape (K,)
        Rates, values and their standard errors.

    Returns
    -------
    FittedLaw
        Of a and b.

    Raises
    ------
    ValueError
        Fewer than three points, or what :func:`phasegrok.relaxation.inputs.points` refuses.
    """
    return _logarithm(points(rate_k, y_k, y_err_k, 3, _VALUES))


def power(rate_k, y_k, y_err_k) -> FittedLaw:
    r"""The law :math:`y = a + b\, r^c`, 0 < c, with what infinitely slow ramps would leave, a.

    Parameters
    ----------
    rate_k, y_k, y_err_k : array_like, shape (K,)
        As in :func:`logarithm`.

    Returns
    -------
    FittedLaw
        Of a, b and c; where c falls to zero, and the law is a logarithm, c is in ``at_edge``.

    Raises
    ------
    ValueError
        Fewer than four points, or as in :func:`logarithm`.
    """
    return _power(points(rate_k, y_k, y_err_k, 4, _VALUES))


def step(rate_k, y_k, y_err_k) -> FittedLaw:
    r"""Two constants, y- of slow ramps and y+ of fast ones, and the rate r* between them.

    Weighted means on both sides, with two points at least.  Of the rate only the gap between two
    neighbouring ones is known.  ln r* has the density exp(-chi^2/2), which is constant within gaps;
    its mean and standard deviation are given.

    Parameters
    ----------
    rate_k, y_k, y_err_k : array_like, shape (K,)
        As in :func:`logarithm`.

    Returns
    -------
    FittedLaw
        Of "y-", "y+" and "ln r*".

    Raises
    ------
    ValueError
        Fewer than four points, or as in :func:`logarithm`.
    """
    return _step(points(rate_k, y_k, y_err_k, 4, _VALUES))


def ramp_law(rate_k, y_k, y_err_k) -> Choice:
    r"""Which of the three laws values follow, by BIC.

    A power does not count as a rival where it says the same as the logarithm, which it contains:
    where its slopes dy/d ln r at the two ends differ by less than a quarter even for c plus two of
    its errors.

    Parameters
    ----------
    rate_k, y_k, y_err_k : array_like, shape (K,)
        As in :func:`logarithm`; rates over three decades or more.

    Returns
    -------
    Choice
        "open" where the difference is below 4.

    Raises
    ------
    ValueError
        Fewer than six points, rates over less than three decades, or as in :func:`logarithm`.
    """
    data = points(rate_k, y_k, y_err_k, 6, _VALUES)
    span = float(np.log(data[0][-1] / data[0][0]))
    if span < DECADES * math.log(10.0) * (1.0 - 1e-9):
        raise ValueError(f"{_VALUES}: add slower ramps until rates span {DECADES:g} decades, not "
                         f"{span / math.log(10.0):.2g}")
    bent = _power(data)
    c, error = bent["c"]
    same = (POWER,) if (c + 2.0 * error) * span < math.log(NEAR) else ()
    return choose([_logarithm(data), bent, _step(data)], same)


def _logarithm(data) -> FittedLaw:
    line = weighted_line(np.log(data[0]), *data[1:])
    return fit_law(LOGARITHM, ("a", "b"), lambda r, a, b: a + b * np.log(r), data,
                   [line.intercept, line.slope])


def _power(data) -> FittedLaw:
    """Fitted as y = m + s (x^c - 1)/c, x = r/r_mid, which stays well defined as c falls to 0."""
    middle = float(np.exp(np.log(data[0]).mean()))

    def reported(p):
        m, s, c = p
        return np.array([m - s / c, s / c * middle**-c, c])

    return fit_bent_line(POWER, ("a", "b", "c"), lambda r, c: ((r / middle) ** c - 1.0) / c, data,
                         np.geomspace(2.0 * _LEAST, 4.0, 60), (_LEAST, _LARGEST), reported)


def _step(data) -> FittedLaw:
    rate_k, y_k, y_err_k = data
    weight_k, x_k = y_err_k**-2.0, np.log(rate_k)
    at_g = np.arange(2, len(x_k) - 1)  # first point of the fast side
    sides = [[_level(y_k[s], weight_k[s]) for s in (slice(None, k), slice(k, None))] for k in at_g]
    chi2_g = np.array([slow[2] + fast[2] for slow, fast in sides])
    best = int(np.argmin(chi2_g))
    low_g, high_g = x_k[at_g - 1], x_k[at_g]
    share_g = np.exp(-0.5 * (chi2_g - chi2_g[best])) * (high_g - low_g)
    share_g /= share_g.sum()
    mean = (share_g * (low_g + high_g)).sum() / 2.0
    square = (share_g * (low_g**2 + low_g * high_g + high_g**2)).sum() / 3.0
    slow, fast = sides[best]
    return constants(STEP, ("y-", "y+", "ln r*"), [slow[0], fast[0], mean],
                     [slow[1], fast[1], math.sqrt(max(square - mean**2, 0.0))],
                     float(chi2_g[best]), y_err_k)


def _level(y_k, weight_k) -> tuple[float, float, float]:
    """Weighted mean, its error, and chi^2 about it."""
    mean = float((weight_k * y_k).sum() / weight_k.sum())
    return mean, float(weight_k.sum() ** -0.5), float((weight_k * (y_k - mean) ** 2).sum())
