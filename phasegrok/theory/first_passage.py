"""Exact first-passage times: birth-death chains, the Curie-Weiss model, one-dimensional diffusion.

A chain moves from state i to i + 1 with probability up[i] and to i - 1 with down[i] in one step,
and stays otherwise.  All sums have positive terms only and are taken in logarithms, so that a mean
of exp(1000) steps keeps its digits.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import integrate

_LONGEST_LOG = 709.0  # exp of more overflows a double
_GAUSS_ORDER = 16
_TAIL_NATS = 60.0  # where the natural boundary may be cut: exp(-60) is far below rounding
_NATS_PER_PANEL = 3.0
_MOST_PANELS = 1_000_000


class FirstPassage(NamedTuple):
    """Mean and second moment of a first-passage time, and the logarithm of the mean.

    The unit is a step for chains, a sweep for Curie-Weiss.  Moments beyond the range of a double
    are ``inf``; ``log_mean`` is always finite.
    """

    mean: float
    second_moment: float
    log_mean: float

    @property
    def standard_deviation(self) -> float:
        """sqrt(<T^2> - <T>^2)."""
        return math.sqrt(max(self.second_moment - self.mean**2, 0.0))


def _exp(log_value: float) -> float:
    return math.exp(log_value) if log_value < _LONGEST_LOG else math.inf


def _oriented(up, down, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Chain cut at ``stop`` and mirrored, if need be, so that the passage goes upward."""
    up, down = np.asarray(up, dtype=float), np.asarray(down, dtype=float)
    if up.ndim != 1 or up.shape != down.shape:
        raise ValueError("up and down must be two arrays of one length")
    if np.any(up < 0.0) or np.any(down < 0.0) or np.any(up + down > 1.0 + 1e-12):
        raise ValueError("up and down must be probabilities with up + down <= 1")
    n = up.size
    if not (0 <= start < n and 0 <= stop < n and start != stop):
        raise ValueError(f"start and stop must be two different states of 0..{n - 1}")
    if stop < start:
        up, down, start, stop = down[::-1], up[::-1], n - 1 - start, n - 1 - stop
    up, down = up[:stop].copy(), down[:stop].copy()
    down[0] = 0.0
    reached = start  # states below the last down == 0 under the start are never visited
    while reached > 0 and down[reached] > 0.0:
        reached -= 1
    if np.any(up[reached:] <= 0.0):
        raise ValueError("the stop is never reached: a state on the way cannot go on")
    return up[reached:], down[reached:], start - reached


def _log_solution(log_up, log_down, log_source) -> np.ndarray:
    """ln x for (1 - P) x = source > 0 with x = 0 beyond the last state.

    D_i = x_i - x_{i+1} obeys D_i = (source_i + down_i D_{i-1})/up_i; no term is negative.
    """
    n = log_up.size
    log_D = np.empty(n)
    previous = -math.inf
    for i in range(n):
        previous = np.logaddexp(log_source[i], log_down[i] + previous) - log_up[i]
        log_D[i] = previous
    return np.logaddexp.accumulate(log_D[::-1])[::-1]


def first_passage_moments(up, down, start: int, stop: int) -> FirstPassage:
    """Exact mean and second moment of the number of steps from one state of a chain to another.

    With P the chain without ``stop``: (1 - P) <T> = 1 and (1 - P) <T^2> = 2 <T> - 1 (van Kampen,
    Stochastic Processes in Physics and Chemistry, ch. XII, in discrete time).

    Parameters
    ----------
    up, down : (n,) arrays
        Probabilities of a step up and down from every state; the values at the two ends that lead
        out of the chain are not used.
    start, stop : int
        States in 0..n-1; either may be the larger.

    Raises
    ------
    ValueError
        If the arrays are no probabilities, the states are outside the chain, or the stop cannot be
        reached.
    """
    up, down, begin = _oriented(up, down, start, stop)
    with np.errstate(divide="ignore"):
        log_up, log_down = np.log(up), np.log(down)
    log_T = _log_solution(log_up, log_down, np.zeros(up.size))
    # 2 <T> - 1 >= 1, so the logarithm is real
    log_source = math.log(2.0) + log_T + np.log1p(-0.5 * np.exp(-log_T))
    log_T2 = _log_solution(log_up, log_down, log_source)
    return FirstPassage(_exp(log_T[begin]), _exp(log_T2[begin]), float(log_T[begin]))


def _doubled(P, absorbed) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Transition matrix, absorbed and surviving part of every state after twice as many steps."""
    absorbed = absorbed + P @ absorbed
    P = P @ P
    rows = P.sum(axis=1)
    # the smaller part is the one with all its digits
    stay = np.where(absorbed < 0.5, 1.0 - absorbed, rows)
    P *= (stay / np.where(rows > 0.0, rows, 1.0))[:, None]
    return P, absorbed, stay


def survival_probability(up, down, start: int, stop: int, steps) -> np.ndarray:
    """Probability that a chain has not reached ``stop`` after given numbers of steps.

    The transition matrix is squared again and again; the absorbed part is summed on its own and
    every row is scaled back to 1 - (absorbed part) while that is small, so that a chance of leaving
    of 1e-40 a step is not lost in the rounding of 1 - 1e-40.  The cost is the third power of the
    number of states times the binary digits of the longest time: a tenth of a second for 400
    states, ten seconds for 1000.

    Parameters
    ----------
    up, down, start, stop
        As in ``first_passage_moments``.
    steps : (n_t,) sequence of int
        Numbers of steps >= 0, in any order; Python integers beyond 2^63 are allowed.

    Returns
    -------
    (n_t,) array
        P(T > steps).

    Raises
    ------
    ValueError
        As ``first_passage_moments``; or if a number of steps is negative.
    """
    up, down, begin = _oriented(up, down, start, stop)
    wanted = [int(t) for t in steps]
    if any(t < 0 for t in wanted):
        raise ValueError("numbers of steps cannot be negative")
    n = up.size
    P = np.diag(1.0 - up - down) + np.diag(up[:-1], 1) + np.diag(down[1:], -1)
    absorbed = np.zeros(n)
    absorbed[-1] = up[-1]
    stay = 1.0 - absorbed
    occupied = np.zeros((len(wanted), n))
    occupied[:, begin] = 1.0
    left = np.ones(len(wanted))  # survival so far
    while any(wanted):
        odd = np.array([t % 2 == 1 for t in wanted])
        left[odd] *= occupied[odd] @ stay
        occupied[odd] = occupied[odd] @ P
        mass = occupied.sum(axis=1, keepdims=True)
        occupied /= np.where(mass > 0.0, mass, 1.0)
        wanted = [t // 2 for t in wanted]
        if any(wanted):
            P, absorbed, stay = _doubled(P, absorbed)
    return left


# --- Curie-Weiss ---------------------------------------------------------------------------------


def curie_weiss_chain(
    N: int,
    temperature: float,
    dynamics: str = "heat-bath",
    h: float = 0.0,
    J2: float = 0.0,
    J3: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Birth-death chain of the number of up spins under single-spin dynamics, random site.

    E = -N (h m + (J2/2) m^2 + J3 m^3).  One step is one attempted update of a site drawn with
    replacement, so N steps are a sweep.  Heat bath flips with 1/(1 + exp(dE/T)), Metropolis with
    min(1, exp(-dE/T)).

    Returns
    -------
    up, down : (N + 1,) arrays
        Probabilities of one more and one fewer up spin, by the number of up spins.

    Raises
    ------
    ValueError
        If N < 1, the temperature is not positive and finite, or the dynamics is unknown.
    """
    if N < 1 or not (temperature > 0.0 and math.isfinite(temperature)):
        raise ValueError("N >= 1 and a positive, finite temperature are required")
    n_up = np.arange(N + 1)
    m = (2 * n_up - N) / N
    # E(m + 2/N) - E(m), expanded so that no digits of large energies cancel
    middle, step = m[:-1] + 1.0 / N, 1.0 / N
    rise = -2.0 * (h + J2 * middle + J3 * (3.0 * middle**2 + step**2))
    up, down = np.zeros(N + 1), np.zeros(N + 1)
    if dynamics == "heat-bath":
        accept_up = np.exp(-np.logaddexp(0.0, rise / temperature))
        accept_down = np.exp(-np.logaddexp(0.0, -rise / temperature))
    elif dynamics == "metropolis":
        accept_up = np.exp(-np.maximum(rise, 0.0) / temperature)
        accept_down = np.exp(np.minimum(rise, 0.0) / temperature)
    else:
        raise ValueError(f"dynamics = {dynamics!r}: choose 'heat-bath' or 'metropolis'")
    up[:-1] = (N - n_up[:-1]) / N * accept_up
    down[1:] = n_up[1:] / N * accept_down
    return up, down


def _states(N: int, m_start: float, m_stop: float) -> tuple[int, int]:
    """Numbers of up spins at the start and at the first state at or beyond the stop."""
    start = 0.5 * N * (1.0 + m_start)
    if abs(start - round(start)) > 1e-6:
        raise ValueError(f"m_start = {m_start} is not a magnetisation of {N} spins")
    stop = 0.5 * N * (1.0 + m_stop)
    # 1e-9: m_stop = 0.9 is meant to include m = 0.9 whatever its last binary digit
    last = math.ceil(stop - 1e-9 * N) if m_stop > m_start else math.floor(stop + 1e-9 * N)
    return round(start), last


def curie_weiss_first_passage(
    N: int,
    temperature: float,
    m_start: float,
    m_stop: float,
    dynamics: str = "heat-bath",
    h: float = 0.0,
    J2: float = 0.0,
    J3: float = 0.0,
) -> FirstPassage:
    """Exact first-passage time of the Curie-Weiss magnetisation, in sweeps.

    From m_start to the first m >= m_stop (or m <= m_stop, if that is lower), single-spin dynamics
    at random sites with replacement; one sweep is N attempted updates.

    Parameters
    ----------
    N : int
        Number of spins.
    temperature : float
        T > 0.
    m_start, m_stop : float
        Magnetisations per spin; m_start must be one that N spins can have.
    dynamics : {"heat-bath", "metropolis"}
        Acceptance rule.
    h, J2, J3 : float
        E = -N (h m + (J2/2) m^2 + J3 m^3).

    Raises
    ------
    ValueError
        If a parameter is out of range or the stop is never reached.
    """
    up, down = curie_weiss_chain(N, temperature, dynamics, h, J2, J3)
    mean, second, log_mean = first_passage_moments(up, down, *_states(N, m_start, m_stop))
    return FirstPassage(mean / N, second / N**2, log_mean - math.log(N))


def curie_weiss_survival(
    N: int,
    temperature: float,
    m_start: float,
    m_stop: float,
    sweeps,
    dynamics: str = "heat-bath",
    h: float = 0.0,
    J2: float = 0.0,
    J3: float = 0.0,
) -> np.ndarray:
    """Probability that the magnetisation has not reached ``m_stop`` after given numbers of sweeps.

    ``sweeps`` has shape (n_t,) and is rounded to whole updates; the other parameters and errors are
    those of ``curie_weiss_first_passage``.
    """
    up, down = curie_weiss_chain(N, temperature, dynamics, h, J2, J3)
    steps = [round(float(t) * N) for t in sweeps]
    return survival_probability(up, down, *_states(N, m_start, m_stop), steps)


# --- one-dimensional overdamped diffusion --------------------------------------------------------


def _panel_integrals(force, temperature: float, edges: np.ndarray):
    """Gauss-Legendre integrals of every panel [a, b] for the diffusion's mean first-passage time.

    With v(z) = (U(z) - U(a))/T: the rise v(b), ln int e^{-v}, ln int e^{v}, and ln int dy e^{v(y)}
    int_a^y dz e^{-v(z)}, each of shape (n_panels,).
    """
    x, w = np.polynomial.legendre.leggauss(_GAUSS_ORDER)
    # cumulative[j, k] integrates the interpolant through the nodes from -1 to x_j, or to 1
    values = np.polynomial.legendre.legvander(x, _GAUSS_ORDER - 1)
    antiderivative = np.array(
        [
            np.polynomial.legendre.legval(
                np.append(x, 1.0), np.polynomial.legendre.legint(row, lbnd=-1)
            )
            for row in np.eye(_GAUSS_ORDER)
        ]
    ).T
    cumulative = antiderivative @ np.linalg.inv(values)
    half = 0.5 * np.diff(edges)[:, None]
    nodes = 0.5 * (edges[1:] + edges[:-1])[:, None] + half * x
    rise = -half / temperature * (np.asarray(force(nodes), dtype=float) @ cumulative.T)
    v, total = rise[:, :-1], rise[:, -1]
    low, high = v.min(axis=1, keepdims=True), v.max(axis=1, keepdims=True)
    boltzmann = np.exp(low - v)  # e^{-v} times e^{low}
    inverse = np.exp(v - high)
    inner = half * (boltzmann @ cumulative[:-1].T)
    # rounding may leave the first of the positive cumulated integrals below zero
    inner = np.maximum(inner, 0.0)
    log_minus = np.log((half * boltzmann) @ w) - low[:, 0]
    log_plus = np.log((half * inverse) @ w) + high[:, 0]
    log_both = np.log((half * inverse * inner) @ w) + (high - low)[:, 0]
    return total, log_minus, log_plus, log_both


def _panels(force, temperature: float, a: float, b: float, n: int) -> np.ndarray:
    """Edges of at least n panels of [a, b], in each of which the potential changes by about 3 T."""
    edges = np.linspace(a, b, n + 1)
    width = (b - a) / n
    inside = edges[:-1, None] + width * np.linspace(0.0, 1.0, 9)
    steepest = np.abs(np.asarray(force(inside), dtype=float)).max(axis=1)
    parts = np.maximum(np.ceil(steepest * width / (_NATS_PER_PANEL * temperature)), 1.0)
    if not parts.sum() < _MOST_PANELS:
        raise ValueError("the potential spans too many T for the integral: raise the temperature")
    pieces = [x + width * np.arange(int(k)) / k for x, k in zip(edges[:-1], parts)]
    return np.append(np.concatenate(pieces), b)


def _log_diffusion_time(force, temperature, left, start, stop, n_panels) -> float:
    """ln <T> from start < stop with a reflecting wall at ``left``, on a grid of panels."""
    after = _panels(force, temperature, start, stop, n_panels)
    before = after[:1]
    if left < start:
        before = _panels(force, temperature, left, start, n_panels)
    edges = np.concatenate([before, after[1:]])
    rise, log_minus, log_plus, log_both = _panel_integrals(force, temperature, edges)
    log_I, log_T = -math.inf, -math.inf  # I(y) = int_left^y exp((U(y) - U(z))/T) dz
    for k in range(rise.size):
        if k >= before.size - 1:
            log_T = np.logaddexp(log_T, np.logaddexp(log_I + log_plus[k], log_both[k]))
        log_I = rise[k] + np.logaddexp(log_I, log_minus[k])
    return float(log_T - math.log(temperature))


def _natural_cut(force, temperature: float, start: float, stop: float) -> float:
    """A point below the start beyond which the potential stays 60 T above its least value.

    The search goes on to ten times the distance at which it first does, because a deeper well
    behind a barrier, however rarely visited, may make up most of the mean.
    """

    def scalar_force(z: float) -> float:
        return float(np.asarray(force(np.array([z])))[0])

    step, x, U = 0.02 * (stop - start), start, 0.0
    path = [(x, U)]
    horizon = math.nan
    for _ in range(2000):
        U += integrate.quad(scalar_force, x - step, x)[0]
        x -= step
        path.append((x, U))
        high = U - min(u for _, u in path) > _TAIL_NATS * temperature
        if not high:
            horizon = math.nan
        elif math.isnan(horizon):
            horizon = start - 10.0 * (start - x + stop - start)
        elif x < horizon:
            break
        step *= 1.02
    else:
        raise ValueError("the force does not confine on the far side: give x_reflect")
    limit = min(u for _, u in path) + _TAIL_NATS * temperature
    last_low = max(k for k, (_, u) in enumerate(path) if u <= limit)
    return path[last_low + 1][0]


def diffusion_first_passage(
    force, temperature: float, x_start: float, x_stop: float, x_reflect: float | None = None
) -> float:
    """Exact mean first-passage time of dx = f(x) dt + sqrt(2T) dW from x_start to x_stop.

    <T> = (1/T) int_{x_start}^{x_stop} dy int_{-inf}^y dz exp((U(y) - U(z))/T), f = -U', for x_stop
    > x_start and its mirror image otherwise (Gardiner, Handbook of Stochastic Methods, 3rd
    ed., eq. 5.2.160).
    The double integral is taken by Gauss-Legendre panels in logarithms, whose number is doubled
    until the result is stable to 1e-9.  It is the mean over all paths: where a deeper well lies
    behind the start, rare visits there may dominate it; a wall excludes them.

    Parameters
    ----------
    force : callable
        f(x) for an array x of any shape, smooth.
    temperature : float
        T > 0.
    x_start, x_stop : float
        Start and absorbing level.
    x_reflect : float, optional
        Reflecting wall on the far side of the start; without it the force must confine there.

    Returns
    -------
    float
        Mean time in the unit of the equation's t; ``inf`` beyond the range of a double.

    Raises
    ------
    ValueError
        If the temperature is not positive, the wall is on the wrong side, the force does not
        confine, or the integral does not settle.
    """
    if not (temperature > 0.0 and math.isfinite(temperature)):
        raise ValueError(f"temperature = {temperature}: must be positive and finite")
    if x_stop < x_start:
        wall = None if x_reflect is None else -x_reflect
        return diffusion_first_passage(
            lambda x: -np.asarray(force(-x), dtype=float), temperature, -x_start, -x_stop, wall
        )
    if x_stop == x_start:
        return 0.0
    if x_reflect is not None and x_reflect > x_start:
        raise ValueError("x_reflect lies between the start and the stop, or beyond it")
    if x_reflect is None:
        x_reflect = _natural_cut(force, temperature, x_start, x_stop)
    n_panels, previous = 32, math.nan
    while n_panels <= 8192:
        log_T = _log_diffusion_time(force, temperature, x_reflect, x_start, x_stop, n_panels)
        if abs(log_T - previous) < 1e-9:
            return _exp(log_T)
        n_panels, previous = 2 * n_panels, log_T
    raise ValueError("the mean first-passage time did not settle: is the force smooth?")


def drift_crossing_time(force, x_start: float, x_stop: float) -> float:
    """Noise-free crossing time of dx = f(x) dt, int_{x_start}^{x_stop} dx / f(x).

    ``inf`` where the force vanishes or points back on the way, so that the level is never reached.

    Parameters
    ----------
    force : callable
        f(x) for an array x of any shape.
    x_start, x_stop : float
        Start and level.
    """
    if x_start == x_stop:
        return 0.0
    direction = math.copysign(1.0, x_stop - x_start)
    grid = np.linspace(x_start, x_stop, 10001)
    f = direction * np.asarray(force(grid), dtype=float)
    if np.any(f <= 0.0):
        return math.inf

    def time_per_length(x: float) -> float:
        return 1.0 / abs(float(np.asarray(force(np.array([x])))[0]))

    slow = float(grid[np.argmin(f)])
    points = [slow] if 0 < np.argmin(f) < f.size - 1 else None
    ends = sorted((x_start, x_stop))
    return integrate.quad(time_per_length, *ends, points=points, limit=500, epsrel=1e-11)[0]
