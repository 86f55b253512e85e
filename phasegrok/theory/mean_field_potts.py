"""Infinite-range q-state Potts model: exact finite-N sums and the limit N -> infinity.

E = -(J/N) sum_{i<j} delta(s_i, s_j) = -(J/(2N)) (sum_c n_c^2 - N) with n_c the number of the N
sites that have colour c, J > 0, k_B = 1.  The order parameter is the fraction of the commonest
colour, Phi = max_c n_c/N; the symmetric one is m = (q Phi - 1)/(q - 1).  First-order for q >= 3,
continuous at T = J/2 for q = 2 (Wu, Rev. Mod. Phys. 54 (1982) 235, section I.C).

At finite N the sums run over all partitions of N into at most q occupation numbers, with the
multinomial coefficients themselves.  Effective potentials of the whole system are in nats with
minimum 0, those of the limit in nats per site.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

_MOST_PARTITIONS = 5_000_000


class Occupations(NamedTuple):
    """Classes of states that have the same occupation numbers up to renaming of the colours.

    ``sum_n2`` is sum_c n_c^2, ``n_max`` the largest n_c and ``log_g`` the logarithm of the number
    of states of the class; arrays of equal length, of which the log-sum-exp of the last is N ln q.
    """

    N: int
    sum_n2: np.ndarray
    n_max: np.ndarray
    log_g: np.ndarray


class Thermodynamics(NamedTuple):
    """ln Z, mean energy, heat capacity (whole system) and mean largest fraction <Phi>."""

    ln_Z: float
    energy: float
    heat_capacity: float
    order_parameter: float


class Barrier(NamedTuple):
    """Disordered and ordered minimum of the potential, the maximum between, and the heights.

    ``from_disordered`` and ``from_ordered`` are the heights of the maximum above the minimum at the
    smaller and at the larger Phi, in nats per site.
    """

    Phi_disordered: float
    Phi_saddle: float
    Phi_ordered: float
    from_disordered: float
    from_ordered: float


def _check(q: int, temperature: float = 1.0, J: float = 1.0) -> None:
    if q < 2:
        raise ValueError(f"q = {q}: the Potts model needs at least two colours")
    if not (temperature > 0.0 and math.isfinite(temperature)):
        raise ValueError(f"temperature = {temperature}: must be positive and finite")
    if not (J > 0.0 and math.isfinite(J)):
        raise ValueError(f"J = {J}: the coupling must be positive and finite")


# --- finite N ------------------------------------------------------------------------------------


def occupations(q: int, N: int) -> Occupations:
    """All classes of occupation numbers of N sites, with their exact numbers of states.

    A class n_1 >= n_2 >= ... >= n_q holds N!/prod_c n_c! times q!/prod_k r_k! states, r_k the
    number of colours that occur k times.  There are about N^(q - 1)/(q! (q - 1)!) classes.

    Parameters
    ----------
    q : int
        Number of colours, >= 2.
    N : int
        Number of sites, >= 1.

    Raises
    ------
    ValueError
        If q < 2, N < 1, or the classes are more than five million.
    """
    _check(q)
    if N < 1:
        raise ValueError(f"N = {N}: at least one site is needed")
    rest, part, repeats = np.array([N]), np.array([N]), np.zeros(1, int)
    sum_n2, n_max = np.zeros(1, int), np.array([N])
    log_g = np.array([special.gammaln(N + 1) + special.gammaln(q + 1)])
    for colours_left in range(q, 0, -1):
        low = -(-rest // colours_left)
        width = np.minimum(part, rest) - low + 1
        if width.sum() > _MOST_PARTITIONS:
            raise ValueError(f"q = {q}, N = {N}: too many occupation numbers to enumerate")
        above = np.repeat(np.arange(rest.size), width)
        n = low[above] + np.arange(above.size) - np.repeat(np.cumsum(width) - width, width)
        repeats = np.where(n == part[above], repeats[above], 0) + 1
        if colours_left == q:
            repeats, n_max = np.ones_like(n), n
        else:
            n_max = n_max[above]
        log_g = log_g[above] - special.gammaln(n + 1) - np.log(repeats)
        sum_n2 = sum_n2[above] + n * n
        rest, part = rest[above] - n, n
    return Occupations(N, sum_n2, n_max, log_g)


def energies(classes: Occupations, J: float = 1.0) -> np.ndarray:
    """Energy of the whole system in each class, E = -(J/(2N)) (sum_c n_c^2 - N)."""
    return -0.5 * J * (classes.sum_n2 / classes.N - 1.0)


def density_of_states(classes: Occupations, J: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """ln g(E) of the energies that occur, both ascending in E; the sum of g is q^N."""
    sum_n2, index = np.unique(classes.sum_n2, return_inverse=True)
    log_g_E = _log_sum_by(index, classes.log_g, sum_n2.size)
    return -0.5 * J * (sum_n2[::-1] / classes.N - 1.0), log_g_E[::-1]


def _log_sum_by(index: np.ndarray, log_terms: np.ndarray, n: int) -> np.ndarray:
    """Log-sum-exp of the terms that share an index, shape (n,), each with its own largest term."""
    largest = np.full(n, -np.inf)
    np.maximum.at(largest, index, log_terms)
    sums = np.bincount(index, np.exp(log_terms - largest[index]), minlength=n)
    with np.errstate(divide="ignore"):
        return largest + np.log(sums)


def thermodynamics(
    classes: Occupations, temperature: float, J: float = 1.0
) -> Thermodynamics:
    """Exact ln Z, <E>, C = d<E>/dT and <Phi> of the N sites whose ``occupations`` are given.

    Raises
    ------
    ValueError
        If the temperature or J is not positive and finite.
    """
    _check(2, temperature, J)
    E = energies(classes, J)
    log_w = classes.log_g - E / temperature
    ln_Z = float(special.logsumexp(log_w))
    p = np.exp(log_w - ln_Z)
    lowest = float(E.min())  # from there, rounding stays small where T is
    mean = float(p @ (E - lowest))
    heat_capacity = float(p @ (E - lowest - mean) ** 2) / temperature**2
    return Thermodynamics(ln_Z, lowest + mean, heat_capacity, float(p @ classes.n_max) / classes.N)


def effective_potential(
    classes: Occupations, temperature: float, J: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Effective potential of the largest fraction, -ln P_N(Phi) with minimum 0, in nats.

    Returns (Phi, potential) for Phi = n/N, n = ceil(N/q), ..., N; raises ValueError as
    ``thermodynamics``.  The logarithm of the binomial weights makes it differ from N times
    ``mean_field_potential`` by terms of order ln N.
    """
    _check(2, temperature, J)
    log_w = classes.log_g - energies(classes, J) / temperature
    n = np.arange(classes.n_max.min(), classes.N + 1)
    log_P = _log_sum_by(classes.n_max - n[0], log_w, n.size)
    return n / classes.N, log_P.max() - log_P


# --- N -> infinity -------------------------------------------------------------------------------


def mean_field_potential(Phi, q: int, temperature: float, J: float = 1.0) -> np.ndarray:
    """Potential per site of the limit, where the other q - 1 colours are equally common.

    phi(Phi) = -(J/(2T)) [Phi^2 + (1 - Phi)^2/(q - 1)] + Phi ln Phi + (1 - Phi) ln[(1 - Phi)/(q -
    1)], in nats per site and not shifted: its minimum is -lim ln Z/N.  Equal fractions of the
    others are the most likely ones where 1 - Phi < (q - 1) T/J.

    Parameters
    ----------
    Phi : float or array
        1/q <= Phi <= 1.

    Raises
    ------
    ValueError
        If Phi is outside 1/q..1, q < 2, or the temperature or J is not positive and finite.
    """
    _check(q, temperature, J)
    Phi = np.asarray(Phi, dtype=float)
    if np.any(Phi < (1.0 - 1e-12) / q) or np.any(Phi > 1.0):
        raise ValueError(f"1/q <= Phi <= 1 is required, with q = {q}")
    energy = -0.5 * J * (Phi**2 + (1.0 - Phi) ** 2 / (q - 1))
    return energy / temperature - special.entr(Phi) - special.entr(1.0 - Phi) - (
        (1.0 - Phi) * math.log(q - 1)
    )


def transition_temperature(q: int, J: float = 1.0) -> float:
    """Temperature at which the ordered and the disordered phase coexist, N -> infinity.

    T_c = J (q - 2)/[2 (q - 1) ln(q - 1)] for q >= 3, J/2 for q = 2.  The
    exchange of Phi and 1 - Phi leaves phi at T_c unchanged, so that Phi = 1/q and (q - 1)/q are
    equally deep and the maximum between them is at Phi = 1/2.

    Raises
    ------
    ValueError
        If q < 2 or J is not positive and finite.
    """
    _check(q, 1.0, J)
    if q == 2:
        return 0.5 * J
    return J * (q - 2) / (2.0 * (q - 1) * math.log(q - 1))


def order_parameter_jump(q: int) -> float:
    """Jump of m = (q Phi - 1)/(q - 1) at T_c, (q - 2)/(q - 1); of Phi it is (q - 2)/q."""
    _check(q)
    return (q - 2) / (q - 1)


def latent_heat(q: int, J: float = 1.0) -> float:
    """Latent heat per site at T_c, e_disordered - e_ordered = J (q - 2)^2/(2 q (q - 1))."""
    _check(q, 1.0, J)
    return 0.5 * J * (q - 2) ** 2 / (q * (q - 1))


def spinodals(q: int, J: float = 1.0) -> tuple[float, float]:
    """Temperatures between which both phases are (meta)stable, (T_low, T_high), N -> infinity.

    The disordered phase loses its stability at T_low = J/q.  The ordered one ends at T_high, the
    maximum over m of T(m) = J m/ln[(1 + (q - 1) m)/(1 - m)], its equation of state.  Both are J/2
    for q = 2.  Raises ValueError as ``transition_temperature``.
    """
    _check(q, 1.0, J)
    if q == 2:
        return 0.5 * J, 0.5 * J

    def minus_temperature(m: float) -> float:
        return -m / math.log((1.0 + (q - 1) * m) / (1.0 - m))

    best = optimize.minimize_scalar(
        minus_temperature, bounds=(1e-6, 1.0 - 1e-12), method="bounded", options={"xatol": 1e-12}
    )
    return J / q, -J * float(best.fun)


def barrier(q: int, temperature: float, J: float = 1.0) -> Barrier:
    """Barrier of ``mean_field_potential`` between the disordered and the ordered phase.

    Raises
    ------
    ValueError
        If the temperature is not between the spinodals.
    """
    low, high = spinodals(q, J)
    if not low < temperature < high:
        raise ValueError(f"two phases exist for {low:g} < T < {high:g}, not at {temperature:g}")

    def force(u: float) -> float:  # m = tanh u keeps its digits where m is close to 1
        m = math.tanh(u)
        return math.log1p((q - 1) * m) - math.log1p(-m) - J * m / temperature

    turning = _inflections(q, temperature / J)
    saddle = optimize.brentq(force, math.atanh(turning[0]), math.atanh(turning[1]), xtol=1e-15)
    far = math.atanh(turning[1]) + 1.0
    while force(far) <= 0.0:
        far += 1.0
    ordered = optimize.brentq(force, math.atanh(turning[1]), far, xtol=1e-15)
    Phi = [(1.0 + (q - 1) * m) / q for m in (0.0, math.tanh(saddle), math.tanh(ordered))]
    phi = mean_field_potential(np.array(Phi), q, temperature, J)
    return Barrier(Phi[0], Phi[1], Phi[2], float(phi[1] - phi[0]), float(phi[1] - phi[2]))


def _inflections(q: int, t: float) -> tuple[float, float]:
    """The two m at which phi'' = 0: q/[(1 - m)(1 + (q - 1) m)] = 1/t, a quadratic."""
    half = (q - 2) / (2.0 * (q - 1))
    root = math.sqrt(half**2 + (1.0 - q * t) / (q - 1))
    return half - root, half + root
