"""Random-energy model: the limit N -> infinity and exact disorder averages at finite N.

2^N independent levels E, Gaussian of mean 0 and variance N J^2/2; k_B = 1 (Derrida, Phys. Rev. B
24 (1981) 2613).  It is the limit p -> infinity of the Ising p-spin glass.  At T_c = J/(2 sqrt ln 2)
the entropy vanishes and the system freezes into a few levels; S is normalised to N ln 2 at T =
infinity.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import special


class Quenched(NamedTuple):
    """Disorder averages at finite N: <ln Z>, <E> of the whole system and <sum_i w_i^2>."""

    ln_Z: float
    energy: float
    participation: float


def _check(temperature, J: float) -> np.ndarray:
    temperature = np.asarray(temperature, dtype=float)
    if not np.all((temperature > 0.0) & np.isfinite(temperature)):
        raise ValueError("temperatures must be positive and finite")
    if not (J > 0.0 and math.isfinite(J)):
        raise ValueError(f"J = {J}: the width must be positive and finite")
    return temperature


def transition_temperature(J: float = 1.0) -> float:
    """Freezing temperature T_c = J/(2 sqrt ln 2) = 0.6006 J (Derrida 1981)."""
    _check(1.0, J)
    return 0.5 * J / math.sqrt(math.log(2.0))


def free_energy(temperature, J: float = 1.0) -> np.ndarray:
    """Free energy per spin, -T ln 2 - J^2/(4T) above T_c and -J sqrt ln 2 below (Derrida 1981).

    Raises
    ------
    ValueError
        If a temperature or J is not positive and finite.
    """
    T = _check(temperature, J)
    above = -T * math.log(2.0) - J**2 / (4.0 * T)
    return np.where(T > transition_temperature(J), above, -J * math.sqrt(math.log(2.0)))


def energy(temperature, J: float = 1.0) -> np.ndarray:
    """Energy per spin, -J^2/(2T) above T_c and -J sqrt ln 2 below; raises as ``free_energy``."""
    T = _check(temperature, J)
    return -0.5 * J**2 / np.maximum(T, transition_temperature(J))


def entropy(temperature, J: float = 1.0) -> np.ndarray:
    """Entropy per spin, ln 2 - J^2/(4T^2) above T_c and 0 below; raises as ``free_energy``."""
    T = _check(temperature, J)
    return math.log(2.0) - (0.5 * J / np.maximum(T, transition_temperature(J))) ** 2


def participation(temperature, k: int = 2, J: float = 1.0) -> np.ndarray:
    """Moments of the weights of the frozen phase, <sum_i w_i^k>, w_i = exp(-E_i/T)/Z.

    Gamma(k - x)/[Gamma(k) Gamma(1 - x)] with x = T/T_c, and 0 above T_c.  For k = 2 it is the
    weight 1 - T/T_c of overlap 1 in the mean P(q) = (T/T_c) delta(q) + (1 - T/T_c) delta(q - 1), so
    x is the parameter m of one-step replica-symmetry breaking (Gross and Mezard, Nucl. Phys. B 240
    (1984) 431; Derrida and Toulouse, J. Phys. Lett. 46 (1985) L223).

    Parameters
    ----------
    temperature : float or array
        Positive.
    k : int
        Order of the moment, >= 2.
    J : float
        Width of the levels.

    Raises
    ------
    ValueError
        If k < 2, or a temperature or J is not positive and finite.
    """
    if k < 2:
        raise ValueError(f"k = {k}: moments of order 2 and above are finite")
    x = np.minimum(_check(temperature, J) / transition_temperature(J), 1.0)
    return special.gamma(k - x) * special.rgamma(1.0 - x) / special.gamma(k)


def quenched_averages(N: int, temperature: float, J: float = 1.0) -> Quenched:
    """Exact disorder averages over 2^N levels: <ln Z>, <E> and <sum_i w_i^2>.

    ln Z = int (dt/t) [exp(-t) - exp(-t Z)] and 1/Z^k = int dt t^(k - 1) exp(-t Z)/(k - 1)!, whose
    averages factorise over the levels (Derrida 1981): with t = exp u, s = J sqrt(N/2)/T
    and z a standard Gaussian, everything follows from phi(u) = <exp(-exp(u + s z))>.  Trapezoidal
    sums, which converge exponentially here; relative error about 1e-12.

    Parameters
    ----------
    N : int
        Number of spins, 1..100.
    temperature : float
        Positive.
    J : float
        Width of the levels.

    Raises
    ------
    ValueError
        If N is out of range, or the temperature or J is not positive and finite.
    """
    _check(temperature, J)
    if not 1 <= N <= 100:
        raise ValueError(f"N = {N}: the integrals take N = 1 to 100")
    levels, log_levels = 2.0**N, N * math.log(2.0)
    width = J * math.sqrt(0.5 * N)
    s = width / temperature
    extreme = math.sqrt(2.0 * (log_levels + 40.0))  # no level lies beyond, up to exp(-40)
    low = min(log_levels + 0.5 * s * s, log_levels + s * extreme)
    most = min(9.0, special.ndtri(min(200.0 / levels, 1.0)))  # u/s at which no exp(-t Z) is left
    step_u, step_z = 0.25, min(0.1, 0.25 / s)
    u = np.arange(-low - 40.0, 5.0 + max(s * most, 0.0), step_u)
    z = np.arange(-9.0, extreme, step_z)
    weight = step_z * np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    ln_Z = mean = square = 0.0
    for part in np.array_split(u, 1 + u.size * z.size // 1_000_000):
        t_w = np.exp(np.minimum(part[:, None] + s * z, 300.0))
        decay = np.exp(-t_w)
        absent = np.minimum(-np.expm1(-t_w) @ weight, 1.0)
        with np.errstate(divide="ignore"):
            log_phi = np.log1p(-absent)  # of phi(u), with all digits where it is close to 1
        others = levels * np.exp((levels - 1.0) * log_phi)
        ln_Z += float(np.sum(np.exp(-np.exp(part)) - np.exp(levels * log_phi)))
        mean -= width * float(others @ ((t_w * decay) @ (weight * z)))
        square += float(others @ ((t_w * t_w * decay) @ weight))
    return Quenched(ln_Z * step_u, mean * step_u, square * step_u)
