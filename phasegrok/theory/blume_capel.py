"""Blume-Capel model: exact strips and tori, exact state counts, mean-field phase diagram.

E = -J sum_<ij> s_i s_j + D sum_i s_i^2 - h sum_i s_i with s = -1, 0, 1, k_B = 1.  The square
lattice has no closed form: its exact results here are transfer matrices, periodic over the width L.
D is the crystal field (Delta in much of the literature); at large D the vacancies s = 0 win, by a
continuous transition at high T and a first-order one below the tricritical point (Blume, Phys. Rev.
141 (1966) 517; Capel, Physica 32 (1966) 966).
"""

import math
from collections import Counter
from typing import NamedTuple

import numpy as np
from scipy import linalg, optimize

_WIDEST = 7  # 2187 row states
_VALUES = np.array([-1, 0, 1])


class Thermodynamics(NamedTuple):
    """Per site: ln Z, energy E, <s^2> and <s>; and the correlation length along the strip.

    The correlation length is 1/ln(lambda_0/lambda_1) in lattice spacings, infinite where the two
    are equal in double precision.
    """

    ln_Z: float
    energy: float
    s2: float
    magnetisation: float
    correlation_length: float


class TricriticalPoint(NamedTuple):
    """Temperature and crystal field at which the continuous and the first-order line meet."""

    temperature: float
    D: float


# Square lattice, in units of J, uncertain by 2e-5 in T and 1e-5 in D: where L ln(lambda_0/lambda_1)
# = 2 pi 3/40 and L ln(lambda_0/lambda_2) = 2 pi/5 on infinite strips, the scaling dimensions of
# tricritical Ising, extrapolated in L^-3 from L = 7, 8, 9.  Transfer matrices of smaller L gave T =
# 0.610(5), D = 1.9655(10) (Beale, Phys. Rev. B 33 (1986) 1717), Wang-Landau sampling 0.6080(1),
# 1.9660(1) (Kwak, Jeong, Lee and Kim, Phys. Rev. E 92 (2015) 022134).
TRICRITICAL_POINT_2D = TricriticalPoint(0.60857, 1.96582)


# --- square lattice ------------------------------------------------------------------------------


def _check(temperature: float, J: float = 1.0) -> None:
    if not (temperature > 0.0 and math.isfinite(temperature)):
        raise ValueError(f"temperature = {temperature}: must be positive and finite")
    if not (J > 0.0 and math.isfinite(J)):
        raise ValueError(f"J = {J}: the coupling must be positive and finite")


def _rows(L: int) -> np.ndarray:
    """All states of a row, shape (3^L, L)."""
    return _VALUES[np.arange(3**L)[:, None] // 3 ** np.arange(L) % 3]


def transfer_energies(L: int, D: float, J: float = 1.0, h: float = 0.0) -> np.ndarray:
    """Energy of two adjacent rows a, b: their bonds and half of each row's own energy.

    The transfer matrix is exp(-energy/T), real and symmetric, shape (3^L, 3^L), states in base 3
    with the first site fastest and digits 0, 1, 2 for s = -1, 0, 1.

    Raises
    ------
    ValueError
        If L is outside 3..7.
    """
    if not 3 <= L <= _WIDEST:
        raise ValueError(f"L = {L}: strips are 3 to {_WIDEST} sites wide")
    s = _rows(L)
    own = -J * (s * np.roll(s, 1, axis=1)).sum(1) + (D * s**2 - h * s).sum(1)
    return 0.5 * (own[:, None] + own) - J * (s @ s.T)


def strip(
    L: int,
    temperature: float,
    D: float,
    J: float = 1.0,
    h: float = 0.0,
    length: int | None = None,
) -> Thermodynamics:
    """Exact thermodynamics of a periodic strip L wide: infinitely long, or a torus L x length.

    Z = tr T^length; derivatives of ln Z by first-order perturbation of the eigenvalues.

    Parameters
    ----------
    L : int
        Width, 3..7; 7 takes some seconds.
    temperature : float
        Positive.
    D, J, h : float
        Crystal field, coupling > 0 and field.
    length : int or None
        Rows of the torus, >= 3, or None for the infinite strip.

    Raises
    ------
    ValueError
        If L or the length is out of range, or the temperature or J is not positive and finite.
    """
    _check(temperature, J)
    if length is not None and length < 3:
        raise ValueError(f"length = {length}: at least 3 rows, as shorter tori double their bonds")
    E_ab = transfer_energies(L, D, J, h)
    ground = E_ab.min()
    T_ab = np.exp((ground - E_ab) / temperature)
    eigenvalue, vector = linalg.eigh(T_ab)
    first = eigenvalue[-1]
    ratio = eigenvalue / first
    if length is None:
        weight = (np.arange(ratio.size) == ratio.size - 1).astype(float)
        ln_Z = math.log(first)
    else:
        weight = ratio**length
        ln_Z = math.log(first) + math.log(weight.sum()) / length
        weight = weight / weight.sum()
    used = np.abs(weight) > 1e-18
    weight, ratio, vector = weight[used], ratio[used], vector[:, used]
    # sum_k w_k <k| E T |k>/lambda_k is the mean energy of a row and its bonds
    energy = np.einsum("ak,ak,k->", vector, (E_ab * T_ab) @ vector, weight / (ratio * first))
    gap = -math.log(eigenvalue[-2] / first)  # rounds to 0 where two phases are degenerate
    s = _rows(L)
    p_a = vector**2 @ weight
    return Thermodynamics(
        float(ln_Z - ground / temperature) / L,
        float(energy) / L,
        float(p_a @ (s**2).sum(1)) / L,
        float(p_a @ s.sum(1)) / L,
        1.0 / gap if gap > 0.0 else math.inf,
    )


def joint_density_of_states(L: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact number of states g(B, Q), B = sum_<ij> s_i s_j and Q = sum_i s_i^2, periodic L x L.

    E = -J B + D Q, so that one table serves every temperature and crystal field.

    Parameters
    ----------
    L : int
        3 or 4 (4: 4.3e7 states by transfer matrix, seconds).

    Returns
    -------
    B : (4 L^2 + 1,) int64
        -2 L^2..2 L^2.
    Q : (L^2 + 1,) int64
        0..L^2.
    g : (4 L^2 + 1, L^2 + 1) int64
        Number of states, zero where none exists; they sum to 3^(L^2).

    Raises
    ------
    ValueError
        If L is not 3 or 4.
    """
    if L not in (3, 4):
        raise ValueError(f"L = {L}: exact counts are for L = 3 and 4")
    N = L * L
    rows = _rows(L)
    total = np.zeros((4 * N + 1, N + 1), dtype=np.int64)
    for first, multiplicity in _row_classes(rows).items():
        counts = np.zeros((3**L, 4 * N + 1, N + 1), dtype=np.int64)
        at = int(np.flatnonzero((rows == first).all(axis=1))[0])
        B, Q = _own_counts(rows[at])
        counts[at, B + 2 * N, Q] = multiplicity
        for _ in range(L - 1):
            counts = _add_row(counts, rows)
        for last, bonds in enumerate(rows @ np.array(first)):
            total += np.roll(counts[last], bonds, axis=0)
    return np.arange(-2 * N, 2 * N + 1), np.arange(N + 1), total


def _own_counts(row: np.ndarray) -> tuple[int, int]:
    """(B, Q) of a row by itself, closed to a ring."""
    return int(row @ np.roll(row, 1)), int(row @ row)


def _row_classes(rows: np.ndarray) -> Counter:
    """Rows that differ by a rotation or by the sign of all spins, one of them with their number."""
    def first(row: np.ndarray) -> tuple[int, ...]:
        turned = [np.roll(row, k) for k in range(row.size)]
        return max(tuple(image.tolist()) for turn in turned for image in (turn, -turn))

    return Counter(first(row) for row in rows)


def _add_row(counts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Counts [row state, B, Q] with one more row; none leaves the range, so shifts may wrap."""
    new = np.zeros_like(counts)
    bonds_ab = rows @ rows.T
    for b, row in enumerate(rows):
        B, Q = _own_counts(row)
        for bonds in np.unique(bonds_ab[b]):
            above = counts[bonds_ab[b] == bonds].sum(axis=0)
            new[b] += np.roll(above, (bonds + B, Q), axis=(0, 1))
    return new


# --- mean field ----------------------------------------------------------------------------------


def mean_field_free_energy(
    m, temperature: float, D: float, zJ: float = 1.0, h: float = 0.0
) -> np.ndarray:
    """Free energy per site of the mean-field theory as a function of m, a maximum-term bound.

    f(m) = (zJ/2) m^2 - T ln[1 + 2 exp(-D/T) cosh((zJ m + h)/T)], whose minima are the phases:
    exact for E = -(zJ/(2N)) (sum_i s_i)^2 + D sum_i s_i^2 - h sum_i s_i and N -> infinity (Blume,
    Emery and Griffiths, Phys. Rev. A 4 (1971) 1071).

    Parameters
    ----------
    m : float or array
        Magnetisation per site.
    temperature : float
        Positive.
    D, zJ, h : float
        Crystal field, coupling times the number of neighbours (> 0), field.

    Raises
    ------
    ValueError
        If the temperature or zJ is not positive and finite.
    """
    _check(temperature, zJ)
    m = np.asarray(m, dtype=float)
    x = np.abs(zJ * m + h) / temperature
    log_two_cosh = x + np.log1p(np.exp(-2.0 * x))
    return 0.5 * zJ * m**2 - temperature * np.logaddexp(0.0, log_two_cosh - D / temperature)


def mean_field_tricritical_point(zJ: float = 1.0) -> TricriticalPoint:
    """Mean-field tricritical point, T = zJ/3 and D = (2/3) ln 2 zJ.

    Where the terms m^2 and m^4 of f(m) vanish together: exp(D/T) = 2 (zJ/T - 1) and T = zJ/3.
    """
    _check(1.0, zJ)
    return TricriticalPoint(zJ / 3.0, 2.0 / 3.0 * math.log(2.0) * zJ)


def mean_field_transition(temperature: float, zJ: float = 1.0) -> tuple[float, float]:
    """Crystal field of the mean-field transition at a temperature, and the jump of |m| there.

    D = T ln[2 (zJ/T - 1)] and jump 0 on the continuous line, zJ/3 <= T < zJ; below, the D at which
    the minima at 0 and at |m| > 0 are equally deep (zJ/2 at T = 0).

    Parameters
    ----------
    temperature : float
        0 < T < zJ.
    zJ : float
        Coupling times the number of neighbours, > 0.

    Raises
    ------
    ValueError
        If the temperature is out of range: there is no order at any D for T >= zJ.
    """
    _check(temperature, zJ)
    t = temperature / zJ
    if t >= 1.0:
        raise ValueError(f"temperature = {temperature}: order needs T < zJ = {zJ}")
    continuous = t * math.log(2.0 * (1.0 / t - 1.0))
    if t >= 1.0 / 3.0:
        return zJ * continuous, 0.0

    if t < 0.01:  # corrections are exp(-zJ/(2T)) < 2e-22
        return 0.5 * zJ, 1.0

    def crystal_field(w: float) -> float:
        """D at which m = 1 - w is stationary: exp(D/T) = 2 (sinh a - m cosh a)/m, a = m/t."""
        m = 1.0 - w
        return m + t * (math.log((w - _pole(w, t)) / m) + math.log1p(math.exp(-2.0 * m / t)))

    def difference(log_w: float) -> float:
        w = math.exp(log_w)
        f = mean_field_free_energy(np.array([0.0, 1.0 - w]), t, crystal_field(w))
        return float(f[1] - f[0])

    saturated = 0.0
    for _ in range(100):  # the m of D = -infinity, where the map is a contraction
        saturated = _pole(saturated, t)
    below_jump = 0.5 * math.sqrt(1.0 - 3.0 * t)  # m^2 = 5/2 (1 - 3t) close to the tricritical point
    ends = math.log(saturated) + 1e-9, math.log1p(-below_jump)
    w = math.exp(optimize.brentq(difference, *ends, xtol=1e-15))
    return zJ * crystal_field(w), 1.0 - w


def _pole(w: float, t: float) -> float:
    """1 - tanh((1 - w)/t)."""
    x = math.exp(-2.0 * (1.0 - w) / t)
    return 2.0 * x / (1.0 + x)
