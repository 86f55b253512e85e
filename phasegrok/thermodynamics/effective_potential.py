r"""Effective potential of an order parameter: wells, barriers, coexistence and spinodals.

Everything follows from a joint density of states g(E, Phi) (rows E, columns Phi):

.. math:: V(\Phi) = -\ln P(\Phi), \qquad P(\Phi) \propto \sum_E g(E, \Phi)\, e^{-E/T},

in nats of the whole system, minimum 0.  Columns that were never visited (NaN), such as the parity
gaps of a lattice magnetisation, are dropped before minima are sought.

A minimum is a topological statement: it counts if the barrier to a deeper one, its persistence,
exceeds a resolution in nats, that of the errors of V (`resolution_of`), and its own error, known
from leaving out walkers (`stands_out`): a few bins of large errors have deep pits.  The two wells
of a symmetric potential are both minima.  Fold a symmetric order parameter (take its modulus) to
compare its ordered with its disordered phase.

References
----------
.. [1] J. Lee, J. M. Kosterlitz, Phys. Rev. Lett. 65 (1990) 137: barrier between wells of equal
   height.
.. [2] C. Borgs, R. Kotecky, Phys. Rev. Lett. 68 (1992) 1734: coexistence by equal weight.
.. [3] H. Edelsbrunner, D. Letscher, A. Zomorodian, Discrete Comput. Geom. 28 (2002) 511:
   persistence.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import brentq

from phasegrok.statistics import format_error, jackknife_error

_SCAN = 65
"""Temperatures at which a bracket is searched before bisection."""

SIGNIFICANT = 3.0
"""Errors that a barrier is high at least; without a barrier there is one well."""

_DEPTH = 10.0
"""Nats above the minimum to which `resolution_of` looks."""

RESOLUTION_RULE = (f"{SIGNIFICANT:g} median errors of the potential within {_DEPTH:g} nats of its "
                   f"minimum, and {SIGNIFICANT:g} errors of the barrier itself")


@dataclass(frozen=True)
class Well:
    """A minimum of an effective potential.

    Attributes
    ----------
    phi : float
        Order parameter there.
    potential : float
        V there, nats.
    index : int
        Column.
    persistence : float
        Height of the lowest pass to a deeper minimum, nats; infinite for the deepest.
    top : int
        Column of that pass; of the deepest, its own.
    """

    phi: float
    potential: float
    index: int
    persistence: float
    top: int = -1


@dataclass(frozen=True)
class Barrier:
    """The pass between the two most persistent minima.

    Attributes
    ----------
    height : float
        Height above the shallower minimum, nats.
    phi : float
        Order parameter at the top.
    index : int
        Column of the top.
    low, high : Well
        The minima at smaller and at larger order parameter.
    """

    height: float
    phi: float
    index: int
    low: Well
    high: Well


class _Joint:
    """The visited cells of ln g(E, Phi), sorted by column, for fast sums over E."""

    def __init__(self, energies_E: np.ndarray, log_g_EPhi: np.ndarray):
        energies_E = np.asarray(energies_E, dtype=float)
        log_g_EPhi = np.asarray(log_g_EPhi, dtype=float)
        if log_g_EPhi.ndim != 2 or energies_E.shape != log_g_EPhi.shape[:1]:
            raise ValueError(
                f"energies {energies_E.shape} must match the rows of log_g {log_g_EPhi.shape}"
            )
        column_c, row_c = np.nonzero(np.isfinite(log_g_EPhi.T))
        if column_c.size == 0:
            raise ValueError("no visited cell: ln g is nowhere finite")
        self.E_c = energies_E[row_c]
        self.log_g_c = log_g_EPhi[row_c, column_c]
        self.columns, self.start = np.unique(column_c, return_index=True)
        self.n_columns = log_g_EPhi.shape[1]
        self.member_c = np.searchsorted(self.columns, column_c)

    def potential(self, temperature: float) -> np.ndarray:
        """V of the visited columns at a temperature."""
        log_p_c = self.log_g_c - self.E_c / temperature
        top = np.maximum.reduceat(log_p_c, self.start)
        V = -top - np.log(np.add.reduceat(np.exp(log_p_c - top[self.member_c]), self.start))
        return V - V.min()


def stands_out(height, error, errors: float = SIGNIFICANT):
    """Whether a barrier is higher than its error says that noise is: the one judgement on wells.

    Parameters
    ----------
    height, error : float or array_like
        Nats; False where the error is NaN.
    errors : float
        How many of them; more where a well is the deepest of hundreds of bins.
    """
    return np.asarray(height) > errors * np.asarray(error)


def resolution_of(V: np.ndarray, V_err: np.ndarray) -> float:
    """Nats below which a well is noise: three median errors where the potential is low.

    Parameters
    ----------
    V, V_err : array_like
        Potentials with errors; the error of the reference, 0, does not count.

    Returns
    -------
    float
        0 where all errors are 0, as of exact landscapes; NaN where none is known.
    """
    low = np.isfinite(V_err) & (np.asarray(V) < _DEPTH)
    if not low.any():
        return math.nan
    known = np.asarray(V_err)[low & (np.asarray(V_err) > 0.0)]
    return SIGNIFICANT * float(np.median(known)) if known.size else 0.0


def _positive(temperature: float) -> None:
    if not (math.isfinite(temperature) and temperature > 0.0):
        raise ValueError(f"temperature must be positive, got {temperature}")


def effective_potential(
    energies_E: np.ndarray, log_g_EPhi: np.ndarray, temperature: float
) -> np.ndarray:
    r"""Effective potential V = -ln P(Phi) of the whole system at one temperature, in nats.

    Parameters
    ----------
    energies_E : array_like, shape (E,)
        Energies of the rows.
    log_g_EPhi : array_like, shape (E, Phi)
        ln g(E, Phi); unvisited cells are NaN.
    temperature : float
        T > 0, k_B = 1.

    Returns
    -------
    ndarray, shape (Phi,)
        Minimum 0; NaN where the order parameter was never seen.

    Raises
    ------
    ValueError
        Temperature not positive, shapes that do not fit, nothing visited.
    """
    _positive(temperature)
    joint = _Joint(energies_E, log_g_EPhi)
    V_Phi = np.full(joint.n_columns, np.nan)
    V_Phi[joint.columns] = joint.potential(temperature)
    return V_Phi


def effective_potential_with_errors(
    energies_E: np.ndarray,
    log_g_EPhi: np.ndarray,
    log_g_jackknife_wEPhi: np.ndarray,
    temperature: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Effective potential with its jackknife error, relative to the deepest minimum.

    Parameters
    ----------
    energies_E, log_g_EPhi, temperature
        As in `effective_potential`.
    log_g_jackknife_wEPhi : array_like, shape (W, E, Phi)
        ln g with walker w left out.

    Returns
    -------
    V_Phi, V_err_Phi : ndarray, shape (Phi,)
        The error is 0 at the deepest minimum, which is the reference, and NaN where a single walker
        was, or for W = 1.

    Raises
    ------
    ValueError
        As in `effective_potential`.
    """
    V_Phi = effective_potential(energies_E, log_g_EPhi, temperature)
    reference = int(np.nanargmin(V_Phi))
    V_w = potentials_left_out(energies_E, log_g_jackknife_wEPhi, temperature)
    return V_Phi, jackknife_error(V_w - V_w[:, [reference]])


def potentials_left_out(energies_E: np.ndarray, log_g_jackknife_wEPhi: np.ndarray,
                        temperature: float) -> np.ndarray:
    """Effective potential with each walker left out, shape (W, Phi).

    NaN where the other walkers do not determine it.  Parameters as in
    `effective_potential_with_errors`.
    """
    rows = np.asarray(log_g_jackknife_wEPhi, dtype=float)
    return np.array([
        effective_potential(energies_E, row, temperature) if np.isfinite(row).any()
        else np.full(row.shape[1], np.nan) for row in rows])


def wells(phi: np.ndarray, V: np.ndarray, resolution: float = 0.0,
          V_jackknife_w: np.ndarray | None = None) -> list[Well]:
    """Minima of an effective potential by persistence [3]_, the most persistent first.

    The level rises from below; a pool starts at each local minimum and ends where it meets a pool
    with a deeper minimum.  An end of the range can be a minimum.

    Parameters
    ----------
    phi : array_like, shape (Phi,)
        Order parameter, increasing.
    V : array_like, shape (Phi,)
        Potential, nats; NaN columns are skipped.
    resolution : float
        Nats; minima of no larger persistence are noise.
    V_jackknife_w : array_like, shape (W, Phi), optional
        The potential with walker w left out: minima whose persistence does not stand out of its
        own error are noise too.

    Returns
    -------
    list of Well
        The deepest minimum is first, with infinite persistence.

    Raises
    ------
    ValueError
        Shapes differ or no column is finite.
    """
    phi, V = np.asarray(phi, dtype=float), np.asarray(V, dtype=float)
    if phi.shape != V.shape or phi.ndim != 1:
        raise ValueError(f"phi {phi.shape} and V {V.shape} must be (Phi,)")
    column = np.flatnonzero(np.isfinite(V))
    if column.size == 0:
        raise ValueError("the potential is nowhere finite")
    found = [
        Well(float(phi[column[i]]), float(V[column[i]]), int(column[i]), persistence,
             int(column[top]))
        for i, persistence, top in _minima_and_passes(V[column])
        if persistence > resolution
    ]
    if V_jackknife_w is None:
        return found
    V_w = np.asarray(V_jackknife_w, dtype=float)
    return [well for well in found if math.isinf(well.persistence) or stands_out(
        well.persistence, jackknife_error(V_w[:, well.top] - V_w[:, well.index]))]


def persistent_minima(V: np.ndarray) -> list[tuple[int, float]]:
    """(index, persistence) of the local minima of a finite array, the most persistent first."""
    return [(index, persistence) for index, persistence, _ in _minima_and_passes(V)]


def _minima_and_passes(V: np.ndarray) -> list[tuple[int, float, int]]:
    """The same with the index of the pass."""
    n = V.size
    root = np.full(n, -1)  # a pool is an interval: only its two ends need to know its deepest point
    first, last = np.arange(n), np.arange(n)
    minima = []
    for i in np.argsort(V, kind="stable"):
        left = root[i - 1] if i > 0 else -1
        right = root[i + 1] if i + 1 < n else -1
        deepest = left if left >= 0 else right
        if left >= 0 and right >= 0:  # i is the pass between two pools: the shallower one ends
            deepest, shallower = (left, right) if V[left] <= V[right] else (right, left)
            if V[i] > V[shallower]:
                minima.append((int(shallower), float(V[i] - V[shallower]), int(i)))
        elif deepest < 0:
            deepest = i
        begin = first[i - 1] if left >= 0 else i
        end = last[i + 1] if right >= 0 else i
        first[end], last[begin] = begin, end
        root[[i, begin, end]] = deepest
    minima.append((int(np.argmin(V)), math.inf, int(np.argmin(V))))
    return sorted(minima, key=lambda m: -m[1])


def barrier(phi: np.ndarray, V: np.ndarray, resolution: float = 0.0,
            V_jackknife_w: np.ndarray | None = None) -> Barrier | None:
    """Barrier between the two most persistent minima of an effective potential.

    Parameters
    ----------
    phi, V, resolution, V_jackknife_w
        As in `wells`.

    Returns
    -------
    Barrier or None
        None if there is a single minimum at this resolution.

    Raises
    ------
    ValueError
        As in `wells`.
    """
    minima = wells(phi, V, resolution, V_jackknife_w)
    if len(minima) < 2:
        return None
    low, high = sorted(minima[:2], key=lambda well: well.index)
    between = np.asarray(V, dtype=float)[low.index : high.index + 1]
    top = low.index + int(np.nanargmax(between))
    height = float(np.nanmax(between)) - max(low.potential, high.potential)
    return Barrier(height, float(np.asarray(phi, dtype=float)[top]), top, low, high)


@dataclass(frozen=True)
class Coexistence:
    """Temperatures at which two wells coexist, or the reason why there is none.

    Attributes
    ----------
    found : bool
        Whether two wells of equal height, separated by more than the resolution, were found.
    reason : str
        In words, what was found or why nothing was.
    temperature_equal_height, temperature_equal_height_err : float
        T at which the two minima of V are equal [1]_; NaN if not found.
    temperature_equal_weight, temperature_equal_weight_err : float
        T at which the two wells, divided at the top of the barrier, hold equal probability [2]_;
        NaN if that happens outside the range.
    barrier, barrier_err : float
        Height at equal height, nats of the whole system.  The highest of many noisy columns lies
        too high by about their error, which the jackknife does not see.
    phi_barrier, phi_low, phi_high : float
        Order parameter at the top and in the wells.
    """

    found: bool
    reason: str
    temperature_equal_height: float = math.nan
    temperature_equal_height_err: float = math.nan
    temperature_equal_weight: float = math.nan
    temperature_equal_weight_err: float = math.nan
    barrier: float = math.nan
    barrier_err: float = math.nan
    phi_barrier: float = math.nan
    phi_low: float = math.nan
    phi_high: float = math.nan

    def __str__(self) -> str:
        if not self.found:
            return f"no coexistence: {self.reason}"
        T = format_error(self.temperature_equal_height, self.temperature_equal_height_err)
        return f"coexistence at T = {T}, barrier {format_error(self.barrier, self.barrier_err)}"


def coexistence(
    energies_E: np.ndarray,
    phi: np.ndarray,
    log_g_EPhi: np.ndarray,
    bracket: tuple[float, float],
    resolution: float = 0.0,
    log_g_jackknife_wEPhi: np.ndarray | None = None,
) -> Coexistence:
    """Coexistence temperature, by equal height and by equal weight, and the barrier there.

    The deepest minimum is followed over the range; where it jumps across a barrier the two wells
    are equally deep.  A symmetric potential has wells of equal height at every temperature: that
    is reported as a symmetry, not as a temperature.

    Parameters
    ----------
    energies_E, log_g_EPhi
        As in `effective_potential`.
    phi : array_like, shape (Phi,)
        Order parameter of the columns, increasing.
    bracket : (float, float)
        Range of temperatures to search.
    resolution : float
        Nats; a lower barrier counts as none.
    log_g_jackknife_wEPhi : array_like, shape (W, E, Phi), optional
        Leave-one-walker-out rows for the errors, which are NaN without and for one walker.  A
        barrier that does not stand out of its error counts as none.

    Returns
    -------
    Coexistence

    Raises
    ------
    ValueError
        A bracket that is not 0 < low < high, or as in `effective_potential`.
    """
    T_t = _scan(bracket)
    joint = _Joint(energies_E, log_g_EPhi)
    phi_v = np.asarray(phi, dtype=float)[joint.columns]
    V_tv = np.array([joint.potential(T) for T in T_t])
    if _symmetric(V_tv, resolution):
        return Coexistence(False, "wherever there are two wells they are equally deep: a symmetry")
    jump = _find_jump(joint, phi_v, T_t, V_tv, resolution)
    if jump is None:
        return Coexistence(
            False,
            f"none between T = {bracket[0]:g} and {bracket[1]:g}: the deepest minimum never jumps "
            f"across a barrier of more than {resolution:.2g} nats",
        )
    T, low, high = jump
    V_v = joint.potential(T)
    top = low + int(np.argmax(V_v[low : high + 1]))
    divide = int(joint.columns[top])
    value = _at_coexistence(joint, divide, T, bracket)
    error = np.full(3, np.nan)
    if log_g_jackknife_wEPhi is not None:
        error = jackknife_error(
            np.array(
                [
                    _at_coexistence(_Joint(energies_E, row), divide, T, bracket)
                    if np.isfinite(row).any()
                    else np.full(3, np.nan)
                    for row in np.asarray(log_g_jackknife_wEPhi, dtype=float)
                ]
            )
        )
        if len(log_g_jackknife_wEPhi) > 1 and not stands_out(value[2], error[2]):
            return Coexistence(False, f"the barrier at T = {T:.6g} is not higher than its error")
    return Coexistence(
        True,
        f"two wells of equal height at T = {value[0]:.6g}",
        temperature_equal_height=float(value[0]),
        temperature_equal_height_err=float(error[0]),
        temperature_equal_weight=float(value[1]),
        temperature_equal_weight_err=float(error[1]),
        barrier=float(value[2]),
        barrier_err=float(error[2]),
        phi_barrier=float(phi_v[top]),
        phi_low=float(phi_v[low]),
        phi_high=float(phi_v[high]),
    )


def _scan(bracket: tuple[float, float]) -> np.ndarray:
    low, high = bracket
    if not (0.0 < low < high and math.isfinite(high)):
        raise ValueError(f"temperatures to search must satisfy 0 < low < high, got {bracket}")
    return np.linspace(low, high, _SCAN)


def _symmetric(V_tv: np.ndarray, resolution: float) -> bool:
    """Whether the two wells are equally deep at every temperature that has two (three or more)."""
    differences = []
    for V_v in V_tv:
        minima = [m for m in persistent_minima(V_v) if m[1] > max(resolution, 1e-6)]
        if len(minima) > 1:
            differences.append(abs(V_v[minima[0][0]] - V_v[minima[1][0]]))
    return len(differences) > 2 and max(differences) <= max(resolution, 1e-6)


def _find_jump(joint, phi_v, T_t, V_tv, resolution):
    """(T, low, high): where the deepest minimum jumps across a barrier, and from where to where."""
    deepest_t = V_tv.argmin(axis=1)
    move_t = np.abs(np.diff(phi_v[deepest_t]))
    for t in np.argsort(-move_t, kind="stable")[:4]:
        if move_t[t] == 0.0:
            break
        cold, hot = (T_t[t], deepest_t[t]), (T_t[t + 1], deepest_t[t + 1])
        while hot[0] - cold[0] > 4e-15 * hot[0]:
            T = 0.5 * (cold[0] + hot[0])
            here = (T, int(joint.potential(T).argmin()))
            # Keep the half in which the deepest minimum moves further: that holds the jump.
            if abs(phi_v[here[1]] - phi_v[cold[1]]) > abs(phi_v[hot[1]] - phi_v[here[1]]):
                hot = here
            else:
                cold = here
        low, high = sorted((int(cold[1]), int(hot[1])))
        V_v = joint.potential(cold[0])
        if V_v[low : high + 1].max() - max(V_v[low], V_v[high]) > max(resolution, 1e-9):
            return float(cold[0]), low, high
    return None


def _at_coexistence(joint, divide, T_guess, bracket) -> np.ndarray:
    """T of equal height, T of equal weight and barrier, with the wells divided at one column."""
    low_v, high_v = joint.columns < divide, joint.columns > divide
    if not (low_v.any() and high_v.any()):
        return np.full(3, np.nan)

    def height(T):
        V_v = joint.potential(T)
        return V_v[high_v].min() - V_v[low_v].min()

    def weight(T):
        V_v = joint.potential(T)
        return np.logaddexp.reduce(-V_v[low_v]) - np.logaddexp.reduce(-V_v[high_v])

    T_height = _root(height, T_guess, bracket)
    T_weight = _root(weight, T_guess, bracket)
    if math.isnan(T_height):
        return np.array([T_height, T_weight, math.nan])
    V_v = joint.potential(T_height)
    low = int(np.argmin(np.where(low_v, V_v, np.inf)))
    high = int(np.argmin(np.where(high_v, V_v, np.inf)))
    top = V_v[low : high + 1].max() - max(V_v[low], V_v[high])
    return np.array([T_height, T_weight, top])


def _root(function: Callable[[float], float], guess: float, bracket: tuple[float, float]) -> float:
    """Root nearest to a guess: a window around it widens until the sign differs; NaN if never."""
    width = 1e-4 * (bracket[1] - bracket[0])
    while True:
        low, high = max(bracket[0], guess - width), min(bracket[1], guess + width)
        at_low, at_high = function(low), function(high)
        if at_low * at_high <= 0.0:
            return float(brentq(function, low, high, xtol=1e-14 * high, rtol=1e-14))
        if low == bracket[0] and high == bracket[1]:
            return math.nan
        width *= 3.0


@dataclass(frozen=True)
class Spinodals:
    """Temperatures between which the effective potential of this size has a second minimum.

    Attributes
    ----------
    lower, upper : float or None
        Where the second minimum appears on heating and where it is gone, in the hottest interval
        with two minima; None if that lies outside the range.
    lower_err, upper_err : float
        Jackknife errors, NaN without jackknife rows or where the edge is None.
    intervals : tuple of (float or None, float or None)
        Every interval of the range with two minima, from cold to hot.
    reason : str
        In words.
    """

    lower: float | None
    upper: float | None
    lower_err: float
    upper_err: float
    intervals: tuple[tuple[float | None, float | None], ...]
    reason: str


def spinodals(
    energies_E: np.ndarray,
    log_g_EPhi: np.ndarray,
    bracket: tuple[float, float],
    resolution: float = 0.0,
    log_g_jackknife_wEPhi: np.ndarray | None = None,
) -> Spinodals:
    """Temperatures at which the second minimum of the effective potential comes and goes.

    At finite size a spinodal is where the persistence of the second minimum passes the resolution;
    it approaches the mean-field spinodal as the size grows.  A minimum that nowhere in its range of
    temperatures stands out of its error is none.

    Parameters
    ----------
    energies_E, log_g_EPhi, bracket, resolution, log_g_jackknife_wEPhi
        As in `coexistence`; the columns are in the order of the order parameter.

    Returns
    -------
    Spinodals

    Raises
    ------
    ValueError
        As in `coexistence`.
    """
    T_t = _scan(bracket)
    joint = _Joint(energies_E, log_g_EPhi)
    excess_t = np.array([_excess(joint, T, resolution) for T in T_t])
    rows = [] if log_g_jackknife_wEPhi is None else list(np.asarray(log_g_jackknife_wEPhi))
    edges = np.diff(np.concatenate([[False], excess_t > 0.0, [False]]).astype(int))
    spans = list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1))
    if len(rows) > 1:
        deepest = [T_t[a + int(np.argmax(excess_t[a : b + 1]))] for a, b in spans]
        spans = [span for span, T in zip(spans, deepest)
                 if _second_stands_out(joint, energies_E, rows, float(T))]
    if not spans:
        nan = math.nan
        return Spinodals(None, None, nan, nan, (), "one minimum throughout the range")

    def edge(inside: int, outside: int) -> float | None:
        if not 0 <= outside < T_t.size:
            return None
        pair = sorted((float(T_t[inside]), float(T_t[outside])))
        return float(brentq(lambda T: _excess(joint, T, resolution), *pair, xtol=1e-12))

    intervals = tuple((edge(int(a), int(a) - 1), edge(int(b), int(b) + 1)) for a, b in spans)
    lower, upper = intervals[-1]
    lower_err, upper_err = (
        _edge_error(energies_E, rows, T, bracket, resolution) for T in (lower, upper)
    )
    words = [
        "still two minima at the cold end" if lower is None else f"appears at T = {lower:.6g}",
        "still two minima at the hot end" if upper is None else f"gone at T = {upper:.6g}",
    ]
    reason = "second minimum: " + "; ".join(words)
    return Spinodals(lower, upper, lower_err, upper_err, intervals, reason)


def _excess(joint: _Joint, temperature: float, resolution: float) -> float:
    """Persistence of the second minimum minus the resolution: positive with two minima."""
    minima = persistent_minima(joint.potential(temperature))
    # With no second minimum and resolution 0 the sign must still say "none".
    return (minima[1][1] if len(minima) > 1 else 0.0) - max(resolution, 1e-9)


def _second_stands_out(joint: _Joint, energies_E, rows, temperature: float) -> bool:
    """Whether the second minimum at a temperature is deeper than its own error."""
    V_w = potentials_left_out(energies_E, np.array(rows), temperature)
    V_v = joint.potential(temperature)
    return len(wells(np.arange(V_v.size), V_v, 0.0, V_w[:, joint.columns])) > 1


def _edge_error(energies_E, rows, T_edge, bracket, resolution) -> float:
    if T_edge is None or not rows:
        return math.nan
    edges = []
    for row in rows:
        if not np.isfinite(row).any():
            return math.nan
        excess = partial(_excess, _Joint(energies_E, row), resolution=resolution)
        edges.append(_root(excess, T_edge, bracket))
    return float(jackknife_error(np.array(edges)))
