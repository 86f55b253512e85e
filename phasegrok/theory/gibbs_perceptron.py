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

import math
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

_PERFECT = 0.9999  # an overlap beyond which the iteration runs away to R = 1
_MOST_ROUNDS = 20_000
_HOT = 100.0
_T = np.linspace(-14.0, 14.0, 5601)
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
    log_H = special.log_ndtr(-gamma * _T)
    value = 2.0 * float(_WEIGHT @ (np.exp(log_H) * log_H))
    # d/dR by parts: int Dt exp(-gamma^2 t^2)/H(gamma t) / (2 pi (1 - R))
    ratio = np.exp(-((gamma * _T) ** 2) - log_H)
    return value, float(_WEIGHT @ ratio) / (2.0 * math.pi * (1.0 - R))


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


# --- Ising weights at T > 0 -----------------------------------------------------------------------


class Thermal(NamedTuple):
    """A solution at T > 0: overlaps of student and teacher and of two students, phi = ln Z/N."""

    R: float
    q: float
    phi: float
    energy: float


def _pattern_slopes(q: float, R: float, beta: float) -> tuple[float, float, float, float]:
    """E(q, R), its derivatives by q, R and beta, of the pattern term at T > 0."""
    cost, rest = -math.expm1(-beta), math.exp(-beta)
    gamma = R / math.sqrt(q - R * R)
    ratio = math.sqrt(q / (1.0 - q))
    x = ratio * _T
    H = special.ndtr(-x)
    inside = rest + cost * H
    g = np.log(inside)
    slope = -cost * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi) / inside
    teacher = special.ndtr(-gamma * _T)
    value = 2.0 * float(_WEIGHT @ (teacher * g))
    density = np.exp(-0.5 * (gamma * _T) ** 2) / math.sqrt(2.0 * math.pi)
    # by parts in t: int Dt t n(gamma t) g = ratio (q - R^2)/q int Dt n(gamma t) g'
    by_R = -2.0 / math.sqrt(q - R * R) * ratio * float(_WEIGHT @ (density * slope))
    by_q = (-R / (2.0 * q) * by_R + float(_WEIGHT @ (teacher * slope * _T))
            / (math.sqrt(q) * (1.0 - q) ** 1.5))
    by_beta = 2.0 * float(_WEIGHT @ (teacher * (rest * (H - 1.0)) / inside))
    return value, by_q, by_R, by_beta


def ising_thermal(alpha: float, temperature: float, start: float = 0.0) -> Thermal | None:
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
        Patterns a weight; T > 0.
    start : float
        R at which the iteration begins.

    Returns
    -------
    Thermal or None
        None where there is no such state, beyond its spinodal.

    Raises
    ------
    ValueError
        If alpha or the temperature is not positive.
    """
    if not (alpha > 0.0 and temperature > 0.0):
        raise ValueError("alpha > 0 and temperature > 0 are required")
    beta = 1.0 / temperature
    R, q = max(start, 1e-3), max(start, 2e-3)
    before = math.inf
    for _ in range(_MOST_ROUNDS):
        _, by_q, by_R, _ = _pattern_slopes(q, R, beta)
        q_hat, R_hat = max(0.0, -2.0 * alpha * by_q), alpha * by_R
        field = np.tanh(math.sqrt(q_hat) * _T + R_hat)
        new_R, new_q = float(_WEIGHT @ field), float(_WEIGHT @ (field * field))
        if new_R > _PERFECT:
            return None
        # two damped directions: the slow one, along the branch, sets the pace
        R, q = new_R, max(new_q, new_R * new_R * (1.0 + 1e-9))
        change = abs(R - before)
        before = R
        if change < 1e-12:
            break
    value, by_q, by_R, by_beta = _pattern_slopes(q, R, beta)
    q_hat, R_hat = max(0.0, -2.0 * alpha * by_q), alpha * by_R
    field = math.sqrt(q_hat) * _T + R_hat
    phi = (-0.5 * q_hat * (1.0 - q) - R * R_hat + float(_WEIGHT @ np.logaddexp(field, -field))
           + alpha * value)
    return Thermal(R, q, phi, -alpha * by_beta)


def ising_thermal_transition(temperature: float) -> float:
    """alpha at which the poor state at T > 0 has the free energy of perfect generalisation.

    nan where the poor state ends, or joins the other, before that.
    """
    if temperature > _HOT:
        raise ValueError(f"temperature <= {_HOT:g} is required")

    def phi(alpha):
        found = ising_thermal(alpha, temperature)
        return -1.0 if found is None else found.phi

    return float(optimize.brentq(phi, 0.05, 40.0 * (1.0 + temperature), xtol=1e-7))


def ising_thermal_spinodal(temperature: float) -> float:
    """alpha beyond which there is no poor state at T > 0, to 1e-4."""
    low, high = 0.05, 40.0 * (1.0 + temperature)
    while high - low > 1e-4 * low:
        middle = 0.5 * (low + high)
        if ising_thermal(middle, temperature) is None:
            high = middle
        else:
            low = middle
    return 0.5 * (low + high)
