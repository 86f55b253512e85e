"""Spherical p-spin glass: statics, Franz-Parisi potential, complexity and equilibrium dynamics.

E = -sum_{i1<...<ip} J_{i1...ip} s_i1 ... s_ip on the sphere sum_i s_i^2 = N with independent
Gaussian couplings of variance p!/(2 N^(p-1)), so that <E(s) E(s')> = N Q^p/2 for the overlap
Q = s s'/N; k_B = 1, N -> infinity, p >= 3.  The entropy is that of the uniform measure on the
sphere, 0 at T = infinity; energies, entropies and potentials are per spin.

Equilibrium is one-step replica-symmetry breaking (1RSB) below T_K and ergodic above T_d; between,
the paramagnet is an exponential number of states.  Crisanti and Sommers, Z. Phys. B 87 (1992) 341;
Crisanti, Horner and Sommers, Z. Phys. B 92 (1993) 257; reviewed by Castellani and Cavagna, J. Stat.
Mech. (2005) P05012.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import interpolate, optimize


class Statics(NamedTuple):
    """Free energy, energy and entropy per spin, and the 1RSB overlap and breaking point (q, m).

    Above T_K the overlap is 0 and m is 1.
    """

    free_energy: float
    energy: float
    entropy: float
    q: float
    m: float


def _check(p: int, temperature: float = 1.0, least: int = 3) -> None:
    if p < least:
        raise ValueError(f"p = {p}: at least {least} spins interact")
    if not (temperature > 0.0 and math.isfinite(temperature)):
        raise ValueError(f"temperature = {temperature}: must be positive and finite")


# --- statics -------------------------------------------------------------------------------------


def dynamic_temperature(p: int = 3) -> float:
    """T_d, where C(t) acquires a plateau: T_d^2 = (p/2) (p - 2)^(p - 2)/(p - 1)^(p - 1).

    The largest T for which (p/2) q^(p-2) (1 - q) = T^2 has a solution, at q = (p - 2)/(p - 1);
    sqrt(3/8) for p = 3 (Crisanti, Horner and Sommers 1993).  Raises ValueError if p < 3.
    """
    _check(p)
    return math.sqrt(0.5 * p * ((p - 2) / (p - 1)) ** (p - 2) / (p - 1))


def _breaking_ratio(p: int) -> float:
    """y = (1 - q)/(1 - (1 - m) q) of the 1RSB solution, a number for each p at every T < T_K.

    Stationarity in q and m, with T eliminated: (1 - y)^2/(p y) + ln y + 1 - y = 0, 0 < y < 1.
    """

    def condition(y: float) -> float:
        return (1.0 - y) ** 2 / (p * y) + math.log(y) + 1.0 - y

    # y = 1 is a trivial root, where the condition goes as (1/p - 1/2) (1 - y)^2
    return optimize.brentq(condition, 1e-9, 1.0 - 1e-3, xtol=1e-16, rtol=1e-14)


def static_temperature(p: int = 3) -> float:
    """T_K of the static (1RSB) transition, where the complexity of the paramagnet vanishes.

    T_K^2 = (p/2) (1 - y)^(p - 2) y with y of the stationarity in q and m at m = 1; there the
    overlap jumps to 1 - y.  0.58606 for p = 3 (Crisanti and Sommers 1992).  Raises
    ValueError if p < 3.
    """
    _check(p)
    y = _breaking_ratio(p)
    return math.sqrt(0.5 * p * (1.0 - y) ** (p - 2) * y)


def statics(temperature: float, p: int = 3) -> Statics:
    """Equilibrium in the limit N -> infinity: -1/(4T) above T_K, 1RSB below.

    f = -(T/2) {[1 - (1 - m) q^p]/(2T^2) + ((m - 1)/m) ln(1 - q) + (1/m) ln[1 - (1 - m) q]} with f
    stationary in q and m, e = -[1 - (1 - m) q^p]/(2T) (Crisanti and Sommers 1992, without
    their entropy of the sphere).

    Raises
    ------
    ValueError
        If p < 3 or the temperature is not positive and finite.
    """
    _check(p, temperature)
    T = temperature
    if T >= static_temperature(p):
        return Statics(-0.25 / T, -0.5 / T, -0.25 / T**2, 0.0, 1.0)
    y = _breaking_ratio(p)

    def condition(x: float) -> float:  # x = ln(1 - q) keeps its digits at low T
        return 2.0 * x + (p - 2) * math.log(-math.expm1(x)) + math.log(0.5 * p / (y * T * T))

    x = optimize.brentq(condition, math.log(1e-12 * T), math.log(2.0 / p), xtol=1e-14)
    q, gap = -math.expm1(x), math.exp(x)
    m = gap * (1.0 - y) / (y * q)
    energy = -0.5 * (-math.expm1(p * math.log1p(-gap)) + m * q**p) / T
    free = 0.5 * energy - 0.5 * T * ((m - 1.0) * x + x - math.log(y)) / m
    return Statics(free, energy, (energy - free) / T, q, m)


def ground_state_energy(p: int = 3) -> float:
    """Energy per spin of the ground state, the limit T -> 0 of 1RSB; -1.17167 for p = 3.

    -(1/2) [p chi + chi (1 - y)/y], chi = lim (1 - q)/T = sqrt(2y/p).  Raises ValueError if p < 3.
    """
    _check(p)
    y = _breaking_ratio(p)
    chi = math.sqrt(2.0 * y / p)
    return -0.5 * chi * (p + (1.0 - y) / y)


def threshold_energy(p: int = 3) -> float:
    """Energy per spin of the marginal states, -sqrt(2 (p - 1)/p), where quenches to T = 0 end.

    There the lower edge of the Hessian's semicircle, -p e - sqrt(2 p (p - 1)), is zero (Cugliandolo
    and Kurchan, Phys. Rev. Lett. 71 (1993) 173).  Raises ValueError if p < 3.
    """
    _check(p)
    return -math.sqrt(2.0 * (p - 1) / p)


def complexity(energy, p: int = 3) -> np.ndarray:
    """Complexity of the minima of the energy, ln(number of minima at e)/N.

    (1/2) {(2 - p)/p - ln(p z^2/2) + (p - 1) z^2/2 - 2/(p^2 z^2)}, z = [-e - sqrt(e^2 -
    e_th^2)]/(p - 1): zero at the ground state and largest at the threshold (Crisanti and Sommers,
    J. Phys. I France 5 (1995) 805; Castellani and Cavagna 2005).

    Parameters
    ----------
    energy : float or array
        Per spin, not above ``threshold_energy``.

    Raises
    ------
    ValueError
        If p < 3 or an energy is above the threshold, where stationary points are saddles.
    """
    threshold = threshold_energy(p)
    e = np.asarray(energy, dtype=float)
    if np.any(e > threshold * (1.0 - 1e-12)):
        raise ValueError(f"minima lie below the threshold energy {threshold:g}")
    z2 = ((-e - np.sqrt(np.maximum(e**2 - threshold**2, 0.0))) / (p - 1)) ** 2
    return 0.5 * (
        (2.0 - p) / p - np.log(0.5 * p * z2) + 0.5 * (p - 1) * z2 - 2.0 / (p * p * z2)
    )


# --- Franz-Parisi potential and plateau ----------------------------------------------------------


def plateau(temperature: float, p: int = 3) -> float:
    """Overlap within a state of the paramagnet, T_K <= T <= T_d: the limit of C(t).

    The larger root of (p/2) q^(p - 2) (1 - q) = T^2.

    Raises
    ------
    ValueError
        If p < 3 or the temperature is not between T_K and T_d.
    """
    _check(p, temperature)
    low, high = static_temperature(p), dynamic_temperature(p)
    if not low <= temperature <= high:
        raise ValueError(f"equilibrium has a plateau for {low:g} <= T <= {high:g}")
    lower = (p - 2) / (p - 1)
    excess = max(0.5 * p * lower ** (p - 2) * (1.0 - lower) - temperature**2, 0.0)
    if excess == 0.0:
        return lower
    return optimize.brentq(
        lambda q: 0.5 * p * q ** (p - 2) * (1.0 - q) - temperature**2, lower, 1.0, xtol=1e-15
    )


def franz_parisi_potential(q, temperature: float, p: int = 3) -> np.ndarray:
    """Free energy per spin to hold overlap q with a reference configuration, both at T >= T_K.

    With overlaps q0 <= q1 among copies of the held configuration, in groups of m (1RSB),

    V = -[2 q^p - (1 - m) q1^p - m q0^p]/(4T) - (T/2) {((m - 1)/m) ln(1 - q1) + (1/m) ln A + (q0 -
    q^2)/A},  A = 1 - q1 + m (q1 - q0),

    at its maximum over q0, q1 and m (Franz and Parisi, J. Phys. I France 5 (1995) 1401; here from
    the replicated partition function with n copies tied to an annealed reference, n -> 0).  One
    step is enough, because what is held is a mixed spherical model whose (second derivative)^(-1/2)
    is convex.  At the minima of V it is replica-symmetric with q0 = q; between them, at the maximum
    too, it is not, and the symmetric expression has spurious minima there.  V(0) = 0; a second
    minimum appears at T_d, at q = (p - 2)/(p - 1), its height is T times the complexity of the
    paramagnet, and it reaches zero at T_K.

    Parameters
    ----------
    q : float or array
        0 <= q < 1.

    Raises
    ------
    ValueError
        If p < 3, T < T_K (where the reference itself is frozen), or q is out of range.
    """
    _check(p, temperature)
    if temperature < static_temperature(p) * (1.0 - 1e-12):
        raise ValueError(f"temperature = {temperature}: the reference is frozen below T_K")
    q = np.asarray(q, dtype=float)
    if np.any(q < 0.0) or np.any(q >= 1.0):
        raise ValueError("0 <= q < 1 is required")
    T, shape, q = temperature, q.shape, q.ravel()

    def symmetric_overlap(value: float) -> float:
        def condition(q0: float) -> float:
            return q0 - value**2 - 0.5 * p / T**2 * q0 ** (p - 1) * (1.0 - q0) ** 2

        return optimize.brentq(condition, value**2, 1.0, xtol=1e-15) if value > 0.0 else 0.0

    q0 = np.array([symmetric_overlap(float(value)) for value in q])
    q1, m = q0.copy(), np.ones_like(q0)
    branch = _broken_branch(T, p)
    if branch is not None:
        values = branch(q)  # NaN beyond its ends
        broken = values[:, 2] < 1.0
        q0[broken], q1[broken], m[broken] = values[broken].T
    A = 1.0 - q1 + m * (q1 - q0)
    energetic = 2.0 * q**p - (1.0 - m) * q1**p - m * q0**p
    entropic = (m - 1.0) / m * np.log1p(-q1) + np.log(A) / m + (q0 - q**2) / A
    return (-energetic / (4.0 * T) - 0.5 * T * entropic).reshape(shape)


def _broken_branch(T: float, p: int) -> interpolate.CubicSpline | None:
    """(q0, q1, m) of the 1RSB solutions against q, or None where there are none.

    Stationarity in q0 and q1 gives m and q for each pair (q0, q1); the one in m then selects q1.
    The branch ends where q1 = q0 loses its instability and, at smaller q, at m = 1.  V is
    stationary, so that interpolation costs only the square of its error.
    """
    factor = 0.5 * p / T**2

    def replicon(q0: float) -> float:
        return factor * (p - 1) * q0 ** (p - 2) * (1.0 - q0) ** 2 - 1.0

    if replicon((p - 2) / p) <= 0.0:
        return None
    end = optimize.brentq(replicon, (p - 2) / p, 1.0)
    q0 = np.linspace(0.0, end, 402)[1:-1, None]

    def solve(q1):
        A = (q1 - q0) / ((1.0 - q1) * factor * (q1 ** (p - 1) - q0 ** (p - 1)))
        m = (A - (1.0 - q1)) / (q1 - q0)
        force = np.log((1.0 - q1) / A) / m**2 + (q1 - q0) / (m * A)
        force += (q1**p - q0**p) / (2.0 * T * T) - factor * q0 ** (p - 1) * (q1 - q0)
        return m, q0 - factor * q0 ** (p - 1) * A * A, force / (q1 - q0) ** 3

    q1 = q0 + (1.0 - q0) * np.linspace(2e-3, 0.999, 1000)
    m, q_squared, force = solve(q1)
    root = (force[:, 1:] * force[:, :-1] < 0.0) & (m[:, 1:] > 0.0) & (m[:, 1:] < 1.05)
    root &= q_squared[:, 1:] > 0.0
    rows = np.flatnonzero(root.any(axis=1))
    if rows.size < 4:
        return None
    left = root[rows].argmax(axis=1)
    f = np.array([force[rows, left], force[rows, left + 1]])
    x = np.array([q1[rows, left], q1[rows, left + 1]])
    q0, found = q0[rows], ((f[1] * x[0] - f[0] * x[1]) / (f[1] - f[0]))[:, None]
    m, q_squared, _ = solve(found)
    return interpolate.CubicSpline(
        np.sqrt(q_squared[:, 0]), np.hstack([q0, found, m]), extrapolate=False
    )


# --- equilibrium dynamics ------------------------------------------------------------------------

_POINTS = 1024  # of the time grid; the error of C is of order 1/_POINTS^2
_FIRST_TIME = 1e-4  # up to which the short-time expansion is exact to 1e-12


class _Grid:
    """C and the kernel M = (p/2T) C^(p-1) at t_i = i h, with their means over each interval.

    The means survive when every second point is dropped: that is what lets h double without
    losing the short times (Fuchs, Gotze, Hofacker and Latz, J. Phys. Cond. Matt. 3 (1991) 5047).
    An interval in which a function falls early has its mean below the trapezoid; that excess is the
    first moment of its slope and keeps the memory integral second-order after many doublings.
    """

    def __init__(self, temperature: float, p: int):
        self.T, self.p, self.n = temperature, p, _POINTS
        self.h = 2.0 * _FIRST_TIME / self.n
        t = self.h * np.arange(self.n + 1)
        self.C = 1.0 - temperature * t + 0.5 * (temperature**2 + 0.5 * p) * t * t
        self.M = self._kernel(self.C)
        self.C_mean, self.M_mean = (
            np.concatenate([[0.0], 0.5 * (a[1:] + a[:-1])]) for a in (self.C, self.M)
        )

    def _kernel(self, C):
        return 0.5 * self.p / self.T * C ** (self.p - 1)

    def double(self) -> None:
        """Keep every second point, so that h doubles, and solve the second half of the grid."""
        half = self.n // 2
        for a in (self.C, self.M):
            a[: half + 1] = a[::2].copy()
        for a in (self.C_mean, self.M_mean):
            a[1 : half + 1] = 0.5 * (a[1::2] + a[2::2])
        self.h *= 2.0
        dC, dM = np.diff(self.C, prepend=0.0), np.diff(self.M, prepend=0.0)
        C_excess = self.C - 0.5 * dC - self.C_mean
        M_excess = self.M - 0.5 * dM - self.M_mean
        for i in range(half + 1, self.n + 1):
            self._solve(i, dC, dM, C_excess, M_excess)

    def _solve(self, i, dC, dM, C_excess, M_excess) -> None:
        """Newton's method for C_i: backward differences, and the memory integral cut in the middle.

        int_0^t M(t - s) C'(s) ds is sum dC M_mean over s < t/2; beyond it is integrated by parts,
        M(0) C(t) - M(t/2) C(t/2) + sum dM C_mean.  So the differences are taken where they are
        large, and C_i occurs where the other factor varies slowly.
        """
        C, M, k = self.C, self.M, i // 2
        memory = (
            dC[2 : k + 1] @ self.M_mean[i - 1 : i - k : -1]
            - C_excess[2 : k + 1] @ dM[i - 1 : i - k : -1]
            + dM[2 : i - k + 1] @ self.C_mean[i - 1 : k : -1]
            - M_excess[2 : i - k + 1] @ dC[i - 1 : k : -1]
            + (0.5 * dC[1] + C_excess[1]) * M[i - 1]
            + (0.5 * dM[1] + M_excess[1]) * C[i - 1]
            - M[i - k] * C[k]
        )
        known = (4.0 * C[i - 1] - C[i - 2]) / (2.0 * self.h) - memory
        linear = 1.5 / self.h + self.T + M[0] + 0.5 * dM[1] - M_excess[1]
        through_kernel = 0.5 * dC[1] - C_excess[1]
        c = C[i - 1]
        for _ in range(50):
            slope = 0.5 * self.p / self.T * c ** (self.p - 2)
            step = (linear * c + through_kernel * slope * c - known) / (
                linear + through_kernel * (self.p - 1) * slope
            )
            c -= step
            if abs(step) < 1e-15:
                break
        C[i], M[i] = c, self._kernel(c)
        dC[i], dM[i] = c - C[i - 1], M[i] - M[i - 1]
        self.C_mean[i], self.M_mean[i] = c - 0.5 * dC[i], M[i] - 0.5 * dM[i]


def equilibrium_correlation(t, temperature: float, p: int = 3) -> np.ndarray:
    """Equilibrium correlation C(t) = <s(0) s(t)>/N of Langevin dynamics, T >= T_K, N -> infinity.

    For ds/dt = -dE/ds - mu s + xi with <xi xi> = 2T delta(t), mu keeping the sphere,

    dC/dt = -T C - (p/(2T)) int_0^t C^(p-1)(t - s) C'(s) ds,  C(0) = 1

    (Crisanti, Horner and Sommers 1993): the fluctuation-dissipation theorem in the equations for C
    and the response.  C decays to 0 above T_d; at T_K <= T <= T_d, for initial states drawn from
    equilibrium, to ``plateau``.  The step of the time grid doubles; the absolute error of C is
    about 1e-6.  p = 2 has no glass phase and is allowed here for T >= 1.

    Parameters
    ----------
    t : float or array
        Times >= 0, in units where the mobility is 1; the work grows as the logarithm of the
        largest.
    temperature : float
        Not below ``static_temperature``.
    p : int
        Number of interacting spins, >= 2.

    Raises
    ------
    ValueError
        If p < 2, T is below the static transition, or a time is negative or infinite.
    """
    _check(p, temperature, least=2)
    lowest = static_temperature(p) if p > 2 else 1.0
    if temperature < lowest * (1.0 - 1e-12):
        raise ValueError(f"temperature = {temperature}: frozen below {lowest:g}")
    t = np.asarray(t, dtype=float)
    if np.any(t < 0.0) or not np.all(np.isfinite(t)):
        raise ValueError("times must be >= 0 and finite")
    grid = _Grid(temperature, p)
    times, values = [grid.h * np.arange(grid.n + 1)], [grid.C.copy()]
    while times[-1][-1] < t.max(initial=0.0):
        grid.double()
        new = np.arange(grid.n // 2 + 1, grid.n + 1)
        times.append(grid.h * new)
        values.append(grid.C[new].copy())
    return _interpolant(np.concatenate(times), np.concatenate(values))(t)


def _interpolant(t: np.ndarray, C: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Cubic spline in asinh(t/t_1), which is linear at short times and logarithmic beyond."""
    scale = _FIRST_TIME
    keep = np.concatenate([[0], np.arange(1, t.size, 4), [t.size - 1]])
    keep = np.unique(keep)
    spline = interpolate.CubicSpline(np.arcsinh(t[keep] / scale), C[keep])
    return lambda time: spline(np.arcsinh(time / scale))
