"""Glauber chain: exact magnetisation, correlations and ageing of the one-dimensional Ising model.

E = -J sum_i s_i s_(i+1), k_B = 1, heat bath: a chosen spin takes the value s with the probability
[1 + s (gamma/2) (s_(i-1) + s_(i+1))]/2, gamma = tanh(2J/T); eta = tanh(J/T) is the equilibrium
correlation of neighbours (Glauber, J. Math. Phys. 4 (1963) 294).  T = 0 is allowed.

Two clocks.  ``n_spins`` None is the infinite chain in continuous time, each spin updated at rate 1.
``n_spins`` = N is the ring in discrete time as it is simulated: one sweep is N updates at sites
drawn at random with replacement.  Each update applies 1 + L/N to any mean that obeys d/dt = L in
continuous time, so a mode of rate lambda decays by (1 - lambda/N)^(N t) instead of exp(-lambda t):
they differ by lambda^2 t/(2N).  Times of the ring are rounded to whole updates.
"""

import math

import numpy as np
from scipy import fft, special


def _rates(temperature: float, J: float, n_spins: int | None) -> tuple[float, float]:
    """(gamma, eta) after the arguments are checked."""
    if not (temperature >= 0.0 and math.isfinite(temperature)):
        raise ValueError(f"temperature = {temperature}: must be finite and not negative")
    if not math.isfinite(J) or J == 0.0:
        raise ValueError(f"J = {J}: the coupling must be finite and not 0")
    if n_spins is not None and n_spins < 3:
        raise ValueError(f"n_spins = {n_spins}: a ring has at least 3 spins")
    if temperature == 0.0:
        return math.copysign(1.0, J), math.copysign(1.0, J)
    return math.tanh(2.0 * J / temperature), math.tanh(J / temperature)


def _times(t) -> np.ndarray:
    t = np.asarray(t, dtype=float)
    if np.any(t < 0.0) or not np.all(np.isfinite(t)):
        raise ValueError("times must be finite and not negative")
    return t


def _bessel(n: int, gamma: float, t: float) -> np.ndarray:
    """exp(-t) I_r(gamma t) for r = 0..n - 1, also at negative gamma."""
    r = np.arange(n)
    x = abs(gamma) * t
    values = special.ive(r, x) * math.exp(-(t - x))
    return values if gamma >= 0.0 else np.where(r % 2 == 1, -values, values)


def _reach(t: float) -> int:
    """Sites beyond which a walk of rate t has not gone, up to 1e-16."""
    return 40 + int(9.0 * math.sqrt(t) + min(t, 30.0))


def _updates(t: float, N: int) -> int:
    return round(N * t)


def magnetisation_decay(t, temperature: float, J: float = 1.0, n_spins: int | None = None):
    """Decay M(t)/M(0) of the magnetisation, exp[-(1 - gamma) t] (Glauber 1963).

    On the ring [1 - (1 - gamma)/N]^(N t).  Not the autocorrelation of one spin, which decays
    faster at first: ``autocorrelation``.

    Parameters
    ----------
    t : float or array
        Time in sweeps, >= 0.
    temperature : float
        T >= 0.
    J : float
        Coupling.
    n_spins : int or None
        Ring of so many spins, or the infinite chain.

    Raises
    ------
    ValueError
        If a time or the temperature is negative, J is 0 or n_spins below 3.
    """
    gamma, _ = _rates(temperature, J, n_spins)
    t = _times(t)
    if n_spins is None:
        return np.exp(-(1.0 - gamma) * t)
    return (1.0 - (1.0 - gamma) / n_spins) ** np.rint(n_spins * t)


def autocorrelation(
    t, temperature: float, r: int = 0, J: float = 1.0, n_spins: int | None = None
) -> np.ndarray:
    """Equilibrium correlation <s_i(0) s_(i+r)(t)>, the autocorrelation of a spin for r = 0.

    exp(-t) sum_l eta^|l| I_(r-l)(gamma t): the mean of a spin obeys ds_i/dt = -s_i + (gamma/2)
    (s_(i-1) + s_(i+1)) whatever the start, and the start has correlations eta^|l| (Glauber
    1963).  At T = 0, where equilibrium is all up or all down, it is 1.

    Parameters
    ----------
    t, temperature, J, n_spins
        As ``magnetisation_decay``.
    r : int
        Distance in sites, >= 0.

    Raises
    ------
    ValueError
        As ``magnetisation_decay``, or if r < 0.
    """
    gamma, eta = _rates(temperature, J, n_spins)
    if r < 0:
        raise ValueError(f"r = {r}: distances are not negative")
    return _map(lambda time: _propagated(_equilibrium(eta, n_spins), gamma, time, r, n_spins), t)


def quench_correlation(
    t, temperature: float, r: int = 1, J: float = 1.0, n_spins: int | None = None
) -> np.ndarray:
    """Correlation <s_i(t) s_(i+r)(t)> at equal times, t after a quench from random spins.

    eta^r - exp(-2t) sum_{l>=1} eta^l [I_(r-l)(2 gamma t) - I_(r+l)(2 gamma t)] (Glauber 1963,
    with no correlations at t = 0).

    Parameters
    ----------
    t, temperature, J, n_spins
        As ``magnetisation_decay``.
    r : int
        Distance in sites, >= 0.

    Raises
    ------
    ValueError
        As ``autocorrelation``.
    """
    gamma, eta = _rates(temperature, J, n_spins)
    if r < 0:
        raise ValueError(f"r = {r}: distances are not negative")
    return _map(lambda time: _quenched(gamma, eta, time, n_spins)(r + 1)[r], t)


def quench_energy(
    t, temperature: float, J: float = 1.0, n_spins: int | None = None
) -> np.ndarray:
    """Energy per spin at time t after a quench from random spins, -J <s_i s_(i+1)>.

    At T = 0 it is -|J| (1 - exp(-2t) [I_0(2t) + I_1(2t)]), so that walls vanish as 1/sqrt(4 pi t).
    Parameters and errors as ``magnetisation_decay``.
    """
    return -J * quench_correlation(t, temperature, 1, J, n_spins)


def ageing_correlation(
    t_w: float, t, temperature: float, J: float = 1.0, n_spins: int | None = None
) -> np.ndarray:
    """Two-time autocorrelation C(t_w, t_w + t) of a spin after a quench from random spins.

    The correlations of ``quench_correlation`` at t_w, carried on by the linear equation of
    ``autocorrelation``: exp(-t) sum_l I_l(gamma t) <s_i(t_w) s_(i+l)(t_w)>.  At T = 0 and late
    times it tends to ``ageing_limit``; Metropolis dynamics, which flips a spin between unlike
    neighbours at every attempt, lies below.

    Parameters
    ----------
    t_w : float
        Waiting time in sweeps, >= 0.
    t, temperature, J, n_spins
        As ``magnetisation_decay``, t counted from t_w.

    Raises
    ------
    ValueError
        As ``magnetisation_decay``.
    """
    gamma, eta = _rates(temperature, J, n_spins)
    start = _quenched(gamma, eta, float(_times(t_w)), n_spins)
    return _map(lambda time: _propagated(start, gamma, time, 0, n_spins), t)


def ageing_limit(ratio) -> np.ndarray:
    """Limit of C(t_w, t_w + t) at T = 0 for t_w -> infinity: (2/pi) arctan sqrt(2/ratio).

    ``ratio`` is t/t_w > 0 (Prados, Brey and Sanchez-Rey, Europhys. Lett. 40 (1997) 13; Godreche and
    Luck, J. Phys. A 33 (2000) 1151).
    """
    ratio = np.asarray(ratio, dtype=float)
    if not np.all(ratio > 0.0):
        raise ValueError("t/t_w must be positive")
    return 2.0 / math.pi * np.arctan(np.sqrt(2.0 / ratio))


# Equal-time correlations are functions n -> array of <s_i s_(i+l)>, l = 0..n - 1: the infinite
# chain is asked for as many as it needs.


def _map(function, t) -> np.ndarray:
    t = _times(t)
    return np.array([function(float(time)) for time in t.ravel()]).reshape(t.shape)


def _equilibrium(eta: float, N: int | None):
    def correlations(n: int) -> np.ndarray:
        distance = np.arange(n)
        if N is None:
            return eta**distance
        distance = distance % N
        return (eta**distance + eta ** (N - distance)) / (1.0 + eta**N)

    return correlations


def _quenched(gamma: float, eta: float, t: float, N: int | None):
    """Equal-time correlations at time t after a quench from random spins."""
    if N is not None:
        return lambda n: _quenched_ring(gamma, eta, t, N)[np.arange(n) % N]

    def correlations(n: int) -> np.ndarray:
        reach = n + _reach(2.0 * t)
        bessel = _bessel(n + reach + 1, gamma, 2.0 * t)
        r, far = np.arange(n)[:, None], np.arange(1, reach)
        lost = (bessel[np.abs(r - far)] - bessel[r + far]) @ eta**far
        return eta ** np.arange(n) - lost

    return correlations


def _quenched_ring(gamma: float, eta: float, t: float, N: int) -> np.ndarray:
    """Both spins of a pair are updated at 1/N: sine modes, since r_0 = r_N = 1 always."""
    stationary = _equilibrium(eta, N)(N)
    k = math.pi * np.arange(1, N) / N
    decay = (1.0 - 2.0 * (1.0 - gamma * np.cos(k)) / N) ** _updates(t, N)
    lost = fft.idst(decay * fft.dst(stationary[1:], type=1), type=1)
    return np.concatenate([[1.0], stationary[1:] - lost])


def _propagated(correlations, gamma: float, t: float, r: int, N: int | None) -> float:
    """<s_i(t_w) s_(i+r)(t_w + t)> from the correlations at t_w."""
    if N is not None:
        k = 2.0 * math.pi * np.arange(N // 2 + 1) / N
        decay = (1.0 - (1.0 - gamma * np.cos(k)) / N) ** _updates(t, N)
        return float(fft.irfft(decay * fft.rfft(correlations(N)), N)[r % N])
    reach = _reach(t)
    walk = _bessel(reach, gamma, t)
    start = correlations(r + reach)
    ahead = start[r : r + reach] @ walk
    behind = start[np.abs(r - np.arange(1, reach))] @ walk[1:]
    return float(ahead + behind)
