r"""Perceptrons that learn from a perceptron at T = 0: replica-symmetric theory of Gibbs learning.

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
