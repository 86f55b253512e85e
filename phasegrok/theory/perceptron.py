"""Ising perceptron, teacher and student: exact counts by enumeration, and the annealed limit.

A student w in {-1, 1}^N classifies a pattern xi in {-1, 1}^N by sign(w . xi), N odd.  E is the
number of the P patterns on which it differs from the teacher, R = w . w*/N the overlap, alpha =
P/N.  Counts are normalised by the 2^N students, k_B = 1.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from phasegrok.compiled import kernel

_LARGEST_N = 35  # 2^34 students times P patterns: minutes to an hour


class Thermodynamics(NamedTuple):
    """ln Z, mean energy, heat capacity, mean overlap and mean squared overlap."""

    ln_Z: float
    energy: float
    heat_capacity: float
    overlap: float
    overlap_squared: float


@kernel
def _enumerate(columns, counts):
    """Count students with w_{N-1} equal to the teacher's by (misclassified, differing weights).

    ``columns[i, mu]`` = label_mu xi_mu,i w*_i: the field of every pattern is positive for the
    teacher, and flipping weight i changes it by twice this.  Gray-code order, from the teacher.
    """
    N, P = columns.shape
    field = np.zeros(P, np.int32)
    for i in range(N):
        for mu in range(P):
            field[mu] += columns[i, mu]
    sign = np.ones(N, np.int32)
    differing = 0
    counts[0, 0] += 1
    for step in range(1, 1 << (N - 1)):
        i, word = 0, step
        while word & 1 == 0:
            word >>= 1
            i += 1
        twice = np.int32(2) * sign[i]
        wrong = 0
        for mu in range(P):
            field[mu] -= twice * columns[i, mu]
            wrong += field[mu] < 0
        differing += sign[i]
        sign[i] = -sign[i]
        counts[wrong, differing] += 1


def joint_counts(patterns, teacher) -> np.ndarray:
    """Exact number of students by (misclassified patterns, differing weights), by enumeration.

    Parameters
    ----------
    patterns : (P, N) array of +-1
        One pattern a row.
    teacher : (N,) array of +-1
        Its signs of the fields are the labels.

    Returns
    -------
    (P + 1, N + 1) int64 array
        ``counts[E, d]``: students that misclassify E patterns and differ from the teacher in d
        weights, so that R = 1 - 2 d/N; they sum to 2^N.

    Raises
    ------
    ValueError
        If N is even or above 35, or an entry is not +-1.
    """
    xi, w = np.asarray(patterns), np.asarray(teacher)
    if w.ndim != 1 or xi.ndim != 2 or xi.shape[1] != w.size:
        raise ValueError("patterns must be (P, N) and the teacher (N,)")
    N = w.size
    if N % 2 == 0 or N > _LARGEST_N:
        raise ValueError(f"N = {N}: enumeration needs an odd N up to {_LARGEST_N}")
    if not (np.all(np.abs(xi) == 1) and np.all(np.abs(w) == 1)):
        raise ValueError("patterns and teacher must hold +-1 only")
    gauged = (xi * w).astype(np.int32)
    gauged *= np.sign(gauged.sum(axis=1, keepdims=True))
    counts = np.zeros((len(xi) + 1, N + 1), dtype=np.int64)
    _enumerate(np.ascontiguousarray(gauged.T), counts)
    return counts + counts[::-1, ::-1]  # -w misclassifies exactly the patterns that w gets right


def _log_weights(counts, temperature: float) -> np.ndarray:
    """ln[counts exp(-E/T)], minus infinity where there is no student."""
    if not (temperature > 0.0 and math.isfinite(temperature)):
        raise ValueError(f"temperature = {temperature}: must be positive and finite")
    counts = np.asarray(counts)
    with np.errstate(divide="ignore"):
        return np.log(counts.astype(float)) - np.arange(len(counts))[:, None] / temperature


def thermodynamics(counts, temperature: float) -> Thermodynamics:
    """Exact ln Z, <E>, C = d<E>/dT, <R> and <R^2> from the joint counts (E, d).

    Parameters
    ----------
    counts : (P + 1, N + 1) array
        As from ``joint_counts``.
    temperature : float
        Conjugate to the number of misclassified patterns.

    Raises
    ------
    ValueError
        If the temperature is not positive and finite.
    """
    log_w = _log_weights(counts, temperature)
    ln_Z = float(special.logsumexp(log_w))
    p = np.exp(log_w - ln_Z)
    E, R = np.arange(log_w.shape[0]), overlaps(log_w.shape[1] - 1)
    mean = float(p.sum(axis=1) @ E)
    heat_capacity = float(p.sum(axis=1) @ (E - mean) ** 2) / temperature**2
    p_R = p.sum(axis=0)
    return Thermodynamics(ln_Z, mean, heat_capacity, float(p_R @ R), float(p_R @ R**2))


def overlaps(N: int) -> np.ndarray:
    """Overlaps R = 1 - 2 d/N for d = 0..N differing weights, shape (N + 1,), descending."""
    return 1.0 - 2.0 * np.arange(N + 1) / N


def effective_potential(counts, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Effective potential of the overlap, -ln P(R) with minimum 0, in nats.

    Returns (R, potential), each of shape (N + 1,) with R descending from 1.  The potential is
    infinite nowhere: every d has students.  Raises ValueError as ``thermodynamics``.
    """
    log_w = _log_weights(counts, temperature)
    log_P = special.logsumexp(log_w, axis=0)
    return overlaps(log_w.shape[1] - 1), log_P.max() - log_P


# --- annealed, N -> infinity ---------------------------------------------------------------------


def annealed_entropy(R, alpha: float, temperature: float = 0.0) -> np.ndarray:
    """Annealed entropy per weight of students at overlap R, N -> infinity, in nats.

    s(R) = H((1 + R)/2) + alpha ln[1 - (1 - exp(-1/T)) arccos(R)/pi], H the binary entropy: the
    logarithm of the disorder-averaged weight of overlap R (Gyorgyi, Phys. Rev. A 41 (1990) 7097;
    Seung, Sompolinsky and Tishby, Phys. Rev. A 45 (1992) 6056).  An upper bound on the typical
    value.  T = 0 counts students without error.

    Parameters
    ----------
    R : float or array
        -1 <= R <= 1.
    alpha : float
        Patterns per weight, >= 0.
    temperature : float
        T >= 0, conjugate to the number of misclassified patterns.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """
    R = np.asarray(R, dtype=float)
    if np.any(np.abs(R) > 1.0) or alpha < 0.0 or temperature < 0.0:
        raise ValueError("|R| <= 1, alpha >= 0 and temperature >= 0 are required")
    cost = 1.0 if temperature == 0.0 else -math.expm1(-1.0 / temperature)
    with np.errstate(divide="ignore"):
        log_right = np.log1p(-cost * np.arccos(R) / math.pi)
    if alpha == 0.0:
        log_right = np.zeros_like(R)
    entropy = special.entr(0.5 * (1.0 + R)) + special.entr(0.5 * (1.0 - R))
    return entropy + alpha * log_right


def _poor_maximum(alpha: float, temperature: float) -> tuple[float, float]:
    """Overlap and entropy of the maximum of the annealed entropy below R = 1, or (nan, -inf).

    In R = tanh u the slope is -u + (alpha/pi) c cosh(u)/(1 - c arccos(R)/pi), c = 1 - exp(-1/T); it
    is positive at u = 0, and the maximum is its first root.
    """
    cost = 1.0 if temperature == 0.0 else -math.expm1(-1.0 / temperature)

    def slope(u):
        angle = np.arctan2(1.0, np.sinh(u))  # arccos(tanh u)
        return -u + alpha * cost * np.cosh(u) / (math.pi - cost * angle)

    grid = np.linspace(0.0, 12.0, 4801)
    negative = np.flatnonzero(slope(grid) < 0.0)
    if negative.size == 0:
        return math.nan, -math.inf
    first = int(negative[0])
    u = optimize.brentq(slope, grid[max(first - 1, 0)], grid[first], xtol=1e-14) if first else 0.0
    R = math.tanh(u)
    return R, float(annealed_entropy(R, alpha, temperature))


def annealed_transition(temperature: float = 0.0) -> tuple[float, float]:
    """alpha at which the teacher (R = 1, s = 0) overtakes all other students, and their R there.

    The first-order transition to perfect generalisation in the annealed approximation: alpha =
    1.448 at T = 0 (Gyorgyi, Phys. Rev. A 41 (1990) 7097; replica-symmetric 1.245).

    Raises
    ------
    ValueError
        If the temperature is negative.
    """
    if temperature < 0.0:
        raise ValueError("temperature >= 0 is required")
    high = 1.0
    while _poor_maximum(high, temperature)[1] > 0.0:
        high *= 2.0

    def entropy(alpha: float) -> float:
        # beyond the spinodal there is no maximum; any negative number keeps the bracket
        return max(_poor_maximum(alpha, temperature)[1], -1.0)

    alpha = optimize.brentq(entropy, 0.0, high, xtol=1e-13)
    return alpha, _poor_maximum(alpha, temperature)[0]


def annealed_spinodal(temperature: float = 0.0) -> float:
    """alpha above which the annealed entropy has no maximum below R = 1.

    There the poorly generalising state loses its metastability.  Raises ValueError if the
    temperature is negative.
    """
    if temperature < 0.0:
        raise ValueError("temperature >= 0 is required")
    cost = 1.0 if temperature == 0.0 else -math.expm1(-1.0 / temperature)

    def needed(u: float) -> float:  # the alpha at which tanh u is stationary
        return u * (math.pi - cost * math.atan2(1.0, math.sinh(u))) / (cost * math.cosh(u))

    best = optimize.minimize_scalar(
        lambda u: -needed(u), bounds=(0.0, 12.0), method="bounded", options={"xatol": 1e-12}
    )
    return needed(float(best.x))
