"""Curie-Weiss model with two- and three-spin coupling: exact finite-N sums and mean-field limit.

E = -N (h m + (J2/2) m^2 + J3 m^3) for N spins with m = (1/N) sum_i s_i, k_B = 1.  At finite N the
weights hold the binomial coefficient itself, not Stirling's formula; effective potentials of the
whole system are in nats with minimum 0, those of the limit N -> infinity in nats per spin.
J3 = 1 alone is the p = 3 model, whose m = 0 state stays metastable down to T = 0; J2 = J3 = 1 has
spinodals on both sides of coexistence.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import optimize, special


class Thermodynamics(NamedTuple):
    """ln Z, mean energy, heat capacity (whole system) and mean magnetisation per spin."""

    ln_Z: float
    energy: float
    heat_capacity: float
    magnetisation: float


class Barrier(NamedTuple):
    """Two minima of an effective potential, the maximum between them, and the heights to climb.

    ``from_low`` and ``from_high`` are the heights of the maximum above the minimum at the smaller
    and at the larger m: nats for a finite system, nats per spin in the mean-field limit.
    """

    m_low: float
    m_saddle: float
    m_high: float
    from_low: float
    from_high: float


class Coexistence(NamedTuple):
    """Temperature at which two minima are equally deep (or weighty), and the barrier there."""

    temperature: float
    barrier: Barrier

    @property
    def free_energy_barrier(self) -> float:
        """The barrier times T: in units of energy, of the whole system or per spin."""
        return self.temperature * self.barrier.from_low


def energy_per_spin(m, h: float = 0.0, J2: float = 0.0, J3: float = 0.0):
    """E/N = -(h m + (J2/2) m^2 + J3 m^3), float or array."""
    return -(h + (0.5 * J2 + J3 * m) * m) * m


def _check(temperature: float, N: int = 1) -> None:
    if not (temperature > 0.0 and math.isfinite(temperature)):
        raise ValueError(f"temperature = {temperature}: must be positive and finite")
    if N < 1:
        raise ValueError(f"N = {N}: at least one spin is needed")


# --- finite N ------------------------------------------------------------------------------------


def log_weights(
    N: int, temperature: float, h: float = 0.0, J2: float = 0.0, J3: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm of the Boltzmann weight of every magnetisation, ln[binom(N, N_up) exp(-E/T)].

    Returns
    -------
    m : (N + 1,) array
        -1, -1 + 2/N, ..., 1.
    log_w : (N + 1,) array
        Its log-sum-exp is ln Z with sum g = 2^N.

    Raises
    ------
    ValueError
        If N < 1 or the temperature is not positive and finite.
    """
    _check(temperature, N)
    n_up = np.arange(N + 1)
    m = (2 * n_up - N) / N
    log_g = special.gammaln(N + 1) - special.gammaln(n_up + 1) - special.gammaln(N - n_up + 1)
    return m, log_g - N * energy_per_spin(m, h, J2, J3) / temperature


def thermodynamics(
    N: int, temperature: float, h: float = 0.0, J2: float = 0.0, J3: float = 0.0
) -> Thermodynamics:
    """Exact ln Z, <E>, C = d<E>/dT and <m> of N spins; raises ValueError as ``log_weights``."""
    m, log_w = log_weights(N, temperature, h, J2, J3)
    ln_Z = special.logsumexp(log_w)
    p = np.exp(log_w - ln_Z)
    energy = N * energy_per_spin(m, h, J2, J3)
    lowest = energy.min()  # from there, rounding stays small where T is
    mean = p @ (energy - lowest)
    heat_capacity = p @ (energy - lowest - mean) ** 2 / temperature**2
    return Thermodynamics(float(ln_Z), float(lowest + mean), float(heat_capacity), float(p @ m))


def effective_potential(
    N: int, temperature: float, h: float = 0.0, J2: float = 0.0, J3: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Effective potential of the magnetisation, -ln P_N(m) + max ln P_N: nats, minimum 0.

    Returns (m, potential), each of shape (N + 1,); raises ValueError as ``log_weights``.
    """
    m, log_w = log_weights(N, temperature, h, J2, J3)
    return m, log_w.max() - log_w


def _local_minima(potential: np.ndarray) -> list[int]:
    """Indices of the local minima of a sequence; a flat one counts once, at its first index."""
    edge = np.concatenate([[np.inf], potential, [np.inf]])
    found, i = [], 1
    while i < edge.size - 1:
        j = i
        while edge[j + 1] == edge[i]:
            j += 1
        if edge[i - 1] > edge[i] < edge[j + 1]:
            found.append(i - 1)
        i = j + 1
    return found


def _barrier_of(m: np.ndarray, potential: np.ndarray) -> tuple[int, Barrier]:
    """Index of the maximum and the barrier between the two minima of a potential."""
    minima = _local_minima(potential)
    if len(minima) != 2:
        raise ValueError(f"the effective potential has {len(minima)} minima, not 2")
    low, high = minima
    top = low + int(np.argmax(potential[low : high + 1]))
    heights = [float(potential[top] - potential[i]) for i in minima]
    return top, Barrier(float(m[low]), float(m[top]), float(m[high]), heights[0], heights[1])


def barrier(
    N: int, temperature: float, h: float = 0.0, J2: float = 0.0, J3: float = 0.0
) -> Barrier:
    """Barrier of the exact effective potential of N spins, in nats.

    Raises
    ------
    ValueError
        If the potential does not have two minima at this temperature.
    """
    return _barrier_of(*effective_potential(N, temperature, h, J2, J3))[1]


def finite_coexistence(
    N: int, h: float = 0.0, J2: float = 0.0, J3: float = 0.0, criterion: str = "height"
) -> Coexistence:
    """Temperature at which N spins spend their time equally in two phases, and the barrier there.

    Parameters
    ----------
    N : int
        Number of spins.
    h, J2, J3 : float
        Field and couplings.
    criterion : {"height", "weight"}
        Equal height of the two maxima of P_N(m), or equal weight on either side of the minimum
        between them (half of the minimum's own weight goes to each side).  The two differ by O(1/N)
        where the phases have different susceptibilities.

    Raises
    ------
    ValueError
        If the criterion is unknown, or no temperature makes two phases equal.
    """
    if criterion not in ("height", "weight"):
        raise ValueError(f"criterion = {criterion!r}: choose 'height' or 'weight'")

    def difference(temperature: float) -> float:
        m, log_w = log_weights(N, temperature, h, J2, J3)
        top, walls = _barrier_of(m, -log_w)
        if criterion == "height":
            return walls.from_low - walls.from_high
        half = np.array([log_w[top] - math.log(2.0)])
        low, high = (np.concatenate([part, half]) for part in (log_w[:top], log_w[top + 1 :]))
        return float(special.logsumexp(low) - special.logsumexp(high))

    start = coexistence(h, J2, J3).temperature
    below, above = _bracket(difference, start)
    temperature = optimize.brentq(difference, below, above, xtol=1e-14, rtol=1e-14)
    return Coexistence(temperature, barrier(N, temperature, h, J2, J3))


def _bracket(difference, start: float) -> tuple[float, float]:
    """Temperatures around ``start`` between which ``difference`` changes sign, both bimodal."""
    step = 1e-3 * start
    try:
        values = [difference(start)] * 2
    except ValueError:
        raise ValueError("too few spins: the effective potential has no two minima") from None
    ends = [start, start]
    for _ in range(200):
        if values[0] * values[1] <= 0.0:
            return ends[0], ends[1]
        for end, sign in ((0, -1.0), (1, 1.0)):
            trial = ends[end] + sign * step
            try:
                value = difference(trial)
            except ValueError:
                continue
            ends[end], values[end] = trial, value
        step *= 1.05
    raise ValueError("too few spins: no temperature makes the two phases equal")


# --- N -> infinity -------------------------------------------------------------------------------


def mean_field_potential(
    m, temperature: float, h: float = 0.0, J2: float = 0.0, J3: float = 0.0
) -> np.ndarray:
    """Potential per spin in the limit N -> infinity, phi(m) = e(m)/T - s(m), in nats per spin.

    s(m) = -((1 + m)/2) ln((1 + m)/2) - ((1 - m)/2) ln((1 - m)/2); min phi = -lim ln Z / N.  It is
    not shifted.

    Parameters
    ----------
    m : float or array
        -1 <= m <= 1.

    Raises
    ------
    ValueError
        If |m| > 1 or the temperature is not positive and finite.
    """
    _check(temperature)
    m = np.asarray(m, dtype=float)
    if np.any(np.abs(m) > 1.0):
        raise ValueError("|m| <= 1 is required")
    up, down = 0.5 * (1.0 + m), 0.5 * (1.0 - m)
    entropy = special.entr(up) + special.entr(down)
    return energy_per_spin(m, h, J2, J3) / temperature - entropy


def _real_roots_inside(coefficients) -> list[float]:
    """Real roots in (-1, 1) of a polynomial (highest power first), ascending."""
    trimmed = np.trim_zeros(np.asarray(coefficients, dtype=float), "f")
    if trimmed.size < 2:
        return []
    roots = np.roots(trimmed)
    real = roots.real[np.abs(roots.imag) < 1e-9 * (1.0 + np.abs(roots))]
    return sorted(float(r) for r in real if -1.0 < r < 1.0)


def _roots_between(function, breaks: list[float]) -> list[float]:
    """Roots of a function that is monotone between consecutive ``breaks``; ends included."""
    found = [b for b in breaks if function(b) == 0.0]
    for a, b in pairwise(breaks):
        if function(a) * function(b) < 0.0:
            found.append(optimize.brentq(function, a, b, xtol=1e-15, rtol=1e-14))
    return sorted(set(found))


def stationary_points(
    temperature: float, h: float = 0.0, J2: float = 0.0, J3: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Minima and maxima of the mean-field potential, arrays of m (one minimum, or two and one).

    They solve atanh m = (h + J2 m + 3 J3 m^2)/T.  All are found: phi' is monotone between the roots
    of the cubic T = (1 - m^2)(J2 + 6 J3 m), which is phi'' = 0.  Raises ValueError if the
    temperature is not positive and finite.
    """
    _check(temperature)

    def slope(u: float) -> float:  # u = atanh m keeps its digits where m is close to 1
        m = math.tanh(u)
        return u - (h + (J2 + 3.0 * J3 * m) * m) / temperature

    inflections = _real_roots_inside([6.0 * J3, J2, -6.0 * J3, temperature - J2])
    largest = (abs(h) + abs(J2) + 3.0 * abs(J3)) / temperature + 1.0
    breaks = sorted([-largest, *(math.atanh(m) for m in inflections), 0.0, largest])
    points = [(math.tanh(u), _curvature_sign(slope, u)) for u in _roots_between(slope, breaks)]
    minima = np.array([m for m, sign in points if sign > 0])
    return minima, np.array([m for m, sign in points if sign < 0])


def _curvature_sign(slope, u: float) -> int:
    """+1 where the slope passes from negative to positive, -1 where it does the opposite, or 0."""
    step = 1e-6 * (1.0 + abs(u))
    left, right = slope(u - step), slope(u + step)
    return int(left < 0.0 < right) - int(right < 0.0 < left)


def mean_field_barrier(
    temperature: float, h: float = 0.0, J2: float = 0.0, J3: float = 0.0
) -> Barrier:
    """Barrier of the mean-field potential, in nats per spin.

    Raises
    ------
    ValueError
        If the potential does not have two minima at this temperature.
    """
    minima, maxima = stationary_points(temperature, h, J2, J3)
    if len(minima) != 2 or len(maxima) != 1:
        raise ValueError(f"one minimum only at temperature {temperature}")
    low, high = (float(m) for m in minima)
    top = float(maxima[0])
    phi = mean_field_potential(np.array([low, top, high]), temperature, h, J2, J3)
    return Barrier(low, top, high, float(phi[1] - phi[0]), float(phi[1] - phi[2]))


def spinodals(h: float = 0.0, J2: float = 0.0, J3: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Mean-field spinodals: temperatures where a minimum merges with the maximum, and m there.

    phi' = phi'' = 0, or F(m) = atanh(m) (1 - m^2)(J2 + 6 J3 m) - (h + J2 m + 3 J3 m^2) = 0 with T =
    (1 - m^2)(J2 + 6 J3 m) > 0.  F' = atanh(m) d/dm[(1 - m^2)(J2 + 6 J3 m)] vanishes only at m = 0
    and at the roots of a quadratic, so that every root is bracketed.  At h = 0 the state m = 0
    loses its stability at T = J2: the critical point where J3 = 0, and otherwise the exchange of
    stability with a maximum that comes from the other side.

    Returns
    -------
    temperature : (n,) array
        Ascending.
    m : (n,) array
        Magnetisation at the merger.
    """

    def stiffness(m: float) -> float:
        return (1.0 - m * m) * (J2 + 6.0 * J3 * m)

    def condition(m: float) -> float:
        return math.atanh(m) * stiffness(m) - (h + (J2 + 3.0 * J3 * m) * m)

    edge = 1.0 - 1e-13
    extrema = _real_roots_inside([-18.0 * J3, -2.0 * J2, 6.0 * J3])
    breaks = sorted({-edge, 0.0, edge, *extrema})
    roots = {m for m in _roots_between(condition, breaks) if stiffness(m) > 1e-10}
    pairs = sorted((stiffness(m), m) for m in roots)
    return np.array([T for T, _ in pairs]), np.array([m for _, m in pairs])


def coexistence(h: float = 0.0, J2: float = 0.0, J3: float = 0.0) -> Coexistence:
    """Mean-field coexistence: the temperature where two minima are equally deep, and the barrier.

    Raises
    ------
    ValueError
        If the two phases are equal at every temperature (h = J3 = 0, by symmetry) or at none.
    """
    if h == 0.0 and J3 == 0.0:
        raise ValueError("at h = J3 = 0 the phases +-m coexist at every temperature below J2")
    edges = [0.0, *spinodals(h, J2, J3)[0]]

    def depth(temperature: float) -> float:
        walls = mean_field_barrier(temperature, h, J2, J3)
        return temperature * (walls.from_low - walls.from_high)

    for lower, upper in reversed(list(pairwise(edges))):
        trial = lower + (upper - lower) * np.linspace(0.02, 0.9999, 200)
        try:
            values = [depth(float(T)) for T in trial]
        except ValueError:
            continue  # one minimum only between these two spinodals
        for k in range(len(trial) - 1, 0, -1):
            if values[k - 1] * values[k] <= 0.0:
                T = optimize.brentq(depth, trial[k - 1], trial[k], xtol=1e-15, rtol=1e-14)
                return Coexistence(T, mean_field_barrier(T, h, J2, J3))
    raise ValueError(f"no coexistence of two phases at h = {h}, J2 = {J2}, J3 = {J3}")
