r"""Perceptrons that learn from a perceptron: replica-symmetric theory of Gibbs learning.

A student is drawn from all that classify alpha N random patterns as the teacher does.  Teacher and
student have one law, so their overlap R is that of two students (Nishimori), and replica symmetry
is exact.  With the field r that acts on a weight, in the limit N -> infinity the logarithm of the
fraction of students that is left, per weight, is stationary in (R, r):

.. math:: \varphi = -\tfrac{r R}{2} + \psi(r) + \alpha\Psi(R),\qquad
          \Psi(R) = 2\int Dt\, H(\gamma t)\ln H(\gamma t),\quad \gamma = \sqrt{R/(1 - R)} ,

with H(x) the Gaussian tail.  Ising weights: :math:`\psi = -r/2 + \int Dz \ln\cosh(\sqrt r z + r)`,
hence :math:`R = \int Dz \tanh(\sqrt r z + r)`; spherical weights: R = r/(1 + r).  In both cases
:math:`r = 2\alpha\Psi'(R)`, so a curve of solutions is drawn by its r (Gyorgyi, Phys. Rev. A 41
(1990) 7097; Seung, Sompolinsky and Tishby, Phys. Rev. A 45 (1992) 6056; Barbier et al., PNAS 116
(2019) 5451, eq. 4).
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

_HOT = 100.0
_LEAST_R, _LARGEST_R = 1e-6, 0.999  # of solutions at T > 0 or at fixed R
_LEAST_FIELD, _LARGEST_FIELD = 1e-9, 3e3  # of q_hat, between which it is looked for
_MOST_ROUNDS = 60
_STEEPEST = 100.0  # gamma of a tail that the grid resolves
_T = np.linspace(-10.0, 10.0, 2001)
_WEIGHT = np.exp(-0.5 * _T**2) / math.sqrt(2.0 * math.pi) * (_T[1] - _T[0])


class Point(NamedTuple):
    """A solution: patterns a weight, overlap, generalisation error, entropy a weight (nat)."""

    alpha: float
    R: float
    error: float
    entropy: float


def pattern_term(R: float) -> tuple[float, float]:
    """Psi(R) and its derivative, 0 <= R < 1.

    Raises
    ------
    ValueError
        If R is out of range.
    """
    if not 0.0 <= R < 1.0:
        raise ValueError(f"R = {R:g}: 0 <= R < 1 is required")
    gamma = math.sqrt(R / (1.0 - R))
    x, weight = gamma * _T, _WEIGHT
    if gamma > 1.0:  # steep on the grid of t: x = gamma t is the variable
        x, weight = _T, _WEIGHT * np.exp(0.5 * _T**2 * (1.0 - gamma**-2)) / gamma
    log_H = special.log_ndtr(-x)
    value = 2.0 * float(weight @ (np.exp(log_H) * log_H))
    # d/dR by parts: int Dt exp(-gamma^2 t^2)/H(gamma t) / (2 pi (1 - R))
    ratio = np.exp(-(x**2) - log_H)
    return value, float(weight @ ratio) / (2.0 * math.pi * (1.0 - R))


def ising(r: float) -> Point:
    """Ising weights, on the branch that begins at random (r = 0 is alpha = 0)."""
    if not r > 0.0:
        raise ValueError("r > 0 is required")
    field = math.sqrt(r) * _T + r
    R = float(_WEIGHT @ np.tanh(field))
    log_cosh = np.logaddexp(field, -field) - math.log(2.0)
    value, slope = pattern_term(R)
    alpha = 0.5 * r / slope
    phi = -0.5 * r * R - 0.5 * r + float(_WEIGHT @ log_cosh) + alpha * value
    return Point(alpha, R, math.acos(R) / math.pi, math.log(2.0) + phi)


def spherical(R: float) -> Point:
    r"""Spherical weights at overlap R; :math:`\alpha\epsilon \to 0.625` as R -> 1.

    The entropy is the logarithm of the fraction of the sphere that is left,
    :math:`\frac12\ln(1 - R) + \frac R2 + \alpha\Psi(R)` a weight: 0 at alpha = 0, falling without
    end.  There is no transition.
    """
    if not 0.0 < R < 1.0:
        raise ValueError(f"R = {R:g}: 0 < R < 1 is required")
    value, slope = pattern_term(R)
    r = R / (1.0 - R)
    alpha = 0.5 * r / slope
    phi = 0.5 * (r - math.log1p(r)) - 0.5 * r * R + alpha * value
    return Point(alpha, R, math.acos(R) / math.pi, phi)


def ising_transition() -> Point:
    """The first-order transition: the poor state's entropy is that of the teacher, 0.

    alpha = 1.245 (Gyorgyi 1990); beyond, the teacher alone is left.
    """
    top = ising_spinodal_field()
    r = optimize.brentq(lambda x: ising(x).entropy, 1e-3, top, xtol=1e-12)
    return ising(r)


def ising_spinodal_field() -> float:
    """r at which the branch from random weights ends."""
    found = optimize.minimize_scalar(lambda r: -ising(r).alpha, bounds=(0.5, 8.0),
                                     method="bounded", options={"xatol": 1e-10})
    return float(found.x)


def ising_spinodal() -> Point:
    """Where the poorly generalising state ends: alpha = 1.493 (Gyorgyi 1990)."""
    return ising(ising_spinodal_field())


def ising_at(alpha: float) -> Point | None:
    """The poorly generalising state of Ising weights at alpha; None beyond its spinodal."""
    top = ising_spinodal_field()
    if not 0.0 < alpha < ising(top).alpha:
        return None
    return ising(float(optimize.brentq(lambda r: ising(r).alpha - alpha, 1e-9, top, xtol=1e-12)))


def spherical_at(alpha: float) -> Point:
    """Spherical weights at alpha.

    Raises
    ------
    ValueError
        If alpha is not positive, or so large that 1 - R is below 1e-9.
    """
    if not 0.0 < alpha < spherical(1.0 - 1e-9).alpha:
        raise ValueError(f"alpha = {alpha:g} is out of range")
    found = optimize.brentq(lambda x: spherical(1.0 - math.exp(x)).alpha - alpha,
                            math.log(1e-9), -1e-12, xtol=1e-13)
    return spherical(1.0 - math.exp(float(found)))


# --- Ising weights at T > 0, and at fixed overlap -------------------------------------------------


class Thermal(NamedTuple):
    """A solution at T > 0: overlaps of student and teacher and of two students, phi = ln Z/N."""

    R: float
    q: float
    phi: float
    energy: float


def pattern_slopes(q: float, R: float, beta: float) -> tuple[float, float, float, float]:
    """E(q, R), its derivatives by q, R and beta, of the pattern term; beta may be infinite."""
    cost = -math.expm1(-beta)
    gamma = R / math.sqrt(q - R * R)
    ratio = math.sqrt(q / (1.0 - q))
    x = ratio * _T
    g = np.logaddexp(-beta, math.log(cost) + special.log_ndtr(-x))
    slope = -cost * np.exp(-0.5 * x * x - g) / math.sqrt(2.0 * math.pi)
    teacher = special.ndtr(-gamma * _T)
    value = 2.0 * float(_WEIGHT @ (teacher * g))
    density = np.exp(-0.5 * (gamma * _T) ** 2) / math.sqrt(2.0 * math.pi)
    # by parts in t: int Dt t n(gamma t) g = ratio (q - R^2)/q int Dt n(gamma t) g'
    by_R = -2.0 / math.sqrt(q - R * R) * ratio * float(_WEIGHT @ (density * slope))
    by_q = (-R / (2.0 * q) * by_R + float(_WEIGHT @ (teacher * slope * _T))
            / (math.sqrt(q) * (1.0 - q) ** 1.5))
    by_beta = -2.0 * float(_WEIGHT @ (teacher * np.exp(special.log_ndtr(x) - beta - g)))
    return value, by_q, by_R, by_beta


def _fields(R: float, q_hat: float) -> tuple[float, float]:
    """R_hat, of which R is the magnetisation of weights in fields of variance q_hat, and q."""
    noise = math.sqrt(q_hat) * _T
    x = math.atanh(abs(R))  # Newton from below; the magnetisation is concave in x
    for _ in range(_MOST_ROUNDS):
        m = np.tanh(noise + x)
        q = float(_WEIGHT @ m**2)
        step = (abs(R) - float(_WEIGHT @ m)) / (1.0 - q)
        if step < 1e-14 * (1.0 + x):
            break
        x += step
    return math.copysign(x, R), q


def _first_root(excess: Callable[[float], float], R: float) -> float:
    """The smallest q_hat at which ``excess`` falls below 0; nan if it does not."""
    least = max(_LEAST_FIELD, (R / (_STEEPEST * (1.0 - R * R))) ** 2)
    high = least
    while excess(high) > 0.0:
        high *= 16.0
        if high > max(_LARGEST_FIELD, 100.0 * least):
            return math.nan
    if high == least:
        return high
    return float(optimize.brentq(excess, 0.0625 * high, high, xtol=1e-14, rtol=1e-13))


def _phi(R: float, q_hat: float, R_hat: float, q: float, pattern: float) -> float:
    field = math.sqrt(q_hat) * _T + R_hat
    return (-0.5 * q_hat * (1.0 - q) - R * R_hat + float(_WEIGHT @ np.logaddexp(field, -field))
            + pattern)


class AtOverlap(NamedTuple):
    """Students at a fixed overlap: entropy a weight (nat), and the overlap q of two of them."""

    entropy: float
    q: float


def ising_entropy(R: float, alpha: float, temperature: float = 0.0) -> AtOverlap:
    r"""Typical entropy s(R) of Ising students at overlap R, replica-symmetric.

    s(R) is the expression of :func:`ising_thermal`, stationary in q, :math:`\hat q` and
    :math:`\hat R` alone (Gyorgyi, Phys. Rev. A 41 (1990) 7097; Seung, Sompolinsky and Tishby, Phys.
    Rev. A 45 (1992) 6056).  At T = 0 it is the mean over samples of ln g(E = 0, R)/N; at T > 0 that
    of the logarithm of the Boltzmann weight of the overlap R.  Its maximum is the poorly
    generalising state, where q = R at T = 0.  Where s < 0 at T = 0 a typical sample has no student
    of this overlap, and the value says no more than that.

    Parameters
    ----------
    R : float
        -0.999 <= R <= 0.999; beyond, the integrals are too steep for their grid.
    alpha, temperature : float
        Patterns a weight; T >= 0.

    Returns
    -------
    AtOverlap
        nan where the equations have no solution with q < 1, which is where s is far below 0.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """
    if not (abs(R) <= _LARGEST_R and alpha > 0.0 and temperature >= 0.0):
        raise ValueError(f"|R| <= {_LARGEST_R:g}, alpha > 0 and temperature >= 0 are required")
    beta = 1.0 / temperature if temperature > 0.0 else math.inf

    def excess(q_hat: float) -> float:
        return -2.0 * alpha * pattern_slopes(_fields(R, q_hat)[1], R, beta)[1] - q_hat

    q_hat = _first_root(excess, R)
    if math.isnan(q_hat):
        return AtOverlap(math.nan, math.nan)
    R_hat, q = _fields(R, q_hat)
    pattern = alpha * pattern_slopes(q, R, beta)[0]
    return AtOverlap(_phi(R, q_hat, R_hat, q, pattern), q)


def _thermal(R: float, beta: float) -> tuple[float, Thermal]:
    """alpha at which R is stationary, and the solution there."""

    def excess(q_hat: float) -> float:  # R_hat/by_R = alpha = -q_hat/(2 by_q)
        R_hat, q = _fields(R, q_hat)
        _, by_q, by_R, _ = pattern_slopes(q, R, beta)
        return -2.0 * R_hat * by_q - q_hat * by_R

    q_hat = _first_root(excess, R)
    R_hat, q = _fields(R, q_hat)
    value, _, by_R, by_beta = pattern_slopes(q, R, beta)
    alpha = R_hat / by_R
    return alpha, Thermal(R, q, _phi(R, q_hat, R_hat, q, alpha * value), -alpha * by_beta)


@functools.lru_cache(maxsize=256)
def _thermal_end(temperature: float) -> tuple[float, float]:
    """R and alpha at the spinodal of the poor state."""
    if not 0.0 < temperature <= _HOT:
        raise ValueError(f"0 < temperature <= {_HOT:g} is required")
    found = optimize.minimize_scalar(lambda R: -_thermal(R, 1.0 / temperature)[0],
                                     bounds=(0.3, _LARGEST_R), method="bounded",
                                     options={"xatol": 1e-7})
    return float(found.x), -float(found.fun)


def ising_thermal(alpha: float, temperature: float) -> Thermal | None:
    r"""The poorly generalising state of Ising weights at T > 0, replica-symmetric.

    .. math:: \varphi = -\tfrac{\hat q}{2}(1 - q) - R\hat R
              + \int Dz \ln 2\cosh(\sqrt{\hat q}z + \hat R)
              + 2\alpha\int Dt\, H(\gamma t)\ln[e^{-\beta} + (1 - e^{-\beta})H(\rho t)]

    with :math:`\gamma = R/\sqrt{q - R^2}`, :math:`\rho = \sqrt{q/(1 - q)}` (Seung, Sompolinsky and
    Tishby, Phys. Rev. A 45 (1992) 6056, sec. V).  T is conjugate to the number of misclassified
    patterns, energy is that per weight.  Perfect generalisation, R = q = 1, has phi = 0.

    Parameters
    ----------
    alpha, temperature : float
        Patterns a weight; 0 < T <= 100.

    Returns
    -------
    Thermal or None
        None where there is no such state, beyond its spinodal.

    Raises
    ------
    ValueError
        If alpha or the temperature is out of range.
    """
    top, largest = _thermal_end(temperature)
    least = _thermal(_LEAST_R, 1.0 / temperature)[0]
    if not alpha > least:
        raise ValueError(f"alpha > {least:.1g} is required")
    if alpha >= largest:
        return None
    R = optimize.brentq(lambda x: _thermal(x, 1.0 / temperature)[0] - alpha, _LEAST_R, top,
                        xtol=1e-12)
    return _thermal(R, 1.0 / temperature)[1]


def ising_thermal_transition(temperature: float) -> float:
    """alpha at which the poor state at T > 0 has the free energy of perfect generalisation."""
    R = optimize.brentq(lambda x: _thermal(x, 1.0 / temperature)[1].phi, 0.05,
                        _thermal_end(temperature)[0], xtol=1e-11)
    return _thermal(R, 1.0 / temperature)[0]


def ising_thermal_spinodal(temperature: float) -> float:
    """alpha beyond which there is no poor state at T > 0."""
    return _thermal_end(temperature)[1]
