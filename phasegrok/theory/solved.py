"""All that is known of a kind of card: averages, critical point, lines, first passages, barriers.

Each question is one function of the kind and its parameters, and answers nothing where nothing is
known.  Averages are exact at finite size.  Critical exponents: 1/nu is the exponent y_T of the
thermal field, beta/nu = d - y_h, gamma/nu = 2 y_h - d.  Of the lines of phase diagrams, Ising
(T, h), Potts (T, q) and Curie-Weiss (T, h) are exact; that of Blume-Capel (T, D) is from the exact
correlation lengths of two strips (phenomenological renormalisation, Nightingale, Physica A 83
(1976) 561), with the tricritical point.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from phasegrok.theory import (
    blume_capel,
    coordinates,
    curie_weiss,
    glauber,
    ising,
    mean_field_potts,
    muller_brown,
    potts,
)

_RARE, _FEW = 0.01, 8  # excitations of an East ring so rare that more than a few never meet


def exact_averages(kind: str, parameters, temperatures) -> dict[str, np.ndarray]:
    """Exact energy and heat capacity a site, and the order parameter where it is known.

    Parameters
    ----------
    kind : str
        Kind of the card.
    parameters : object
        The card's parameters (``L``, ``N``, ``J``, ...).
    temperatures : array_like, shape (K,)
        T in units of energy.

    Returns
    -------
    dict
        ``energy``, ``heat_capacity`` and perhaps ``order_parameter`` or others, each of shape
        (K,); empty where the model is not solved.
    """
    solver = _SOLVERS.get(kind)
    rows = [solver(parameters, float(t)) for t in temperatures] if solver else []
    if not rows or not rows[0]:
        return {}
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _square_lattice(p, temperature: float) -> dict[str, float]:
    if p.h != 0.0 or p.J2 != 0.0 or p.J <= 0.0:
        return {}
    exact, n = ising.kaufman(p.L, temperature, p.J), p.L**2
    return {"energy": float(exact.energy) / n, "heat_capacity": float(exact.heat_capacity) / n}


def _chain(p, temperature: float) -> dict[str, float]:
    r"""Transfer matrix: :math:`\lambda_\pm = e^K \cosh H \pm \sqrt{e^{2K}\sinh^2 H + e^{-2K}}`.

    Energies are taken from the lowest, whose Boltzmann factor is divided out: what is left neither
    overflows nor rounds where T is small.
    """
    N, J, h = p.N, p.J, abs(p.h)
    staggered = 2.0 * J + h < 0.0
    odd = staggered and N % 2 == 1  # one bond stays unsatisfied
    lowest = -N * (-J if staggered else J + h) - (2.0 * J + h if odd else 0.0)

    def excess(beta: float) -> float:  # <E> - lowest, by a complex step, exact to rounding
        b = beta * (1.0 + 1e-30j)
        cosh, sinh = 0.5 + 0.5 * np.exp(-2.0 * b * h), 0.5 - 0.5 * np.exp(-2.0 * b * h)
        # of both eigenvalues over the Boltzmann factor of a site in the lowest state
        up = np.exp(b * (2.0 * J + h)) if staggered else 1.0
        down = 1.0 if staggered else np.exp(-b * (2.0 * J + h))
        larger = up * cosh + np.sqrt((up * sinh) ** 2 + down**2)
        # the smaller over the larger is q - 1
        q_over_up = 2.0 * cosh / larger
        q = up * q_over_up
        if odd:  # 1 - (1 - q)^N over q is a sum without cancellation
            rest = np.log(q_over_up * ((1.0 - q) ** np.arange(N)).sum())
        else:
            rest = np.log(1.0 + (q - 1.0) ** N)
        return -float((N * np.log(larger) + rest).imag) / (1e-30 * beta)

    beta, d = 1.0 / temperature, 1e-5 / temperature
    slope = (excess(beta + d) - excess(beta - d)) / (2.0 * d)
    return {"energy": (lowest + excess(beta)) / N, "heat_capacity": -(beta**2) * slope / N}


def _curie_weiss(p, temperature: float) -> dict[str, float]:
    exact = curie_weiss.thermodynamics(p.N, temperature, p.h, p.J2, p.J3)
    return {"energy": exact.energy / p.N, "heat_capacity": exact.heat_capacity / p.N,
            "order_parameter": exact.magnetisation}


_occupations = functools.lru_cache(maxsize=2)(mean_field_potts.occupations)


def _potts_mean_field(p, temperature: float) -> dict[str, float]:
    try:
        classes = _occupations(p.q, p.N)
    except ValueError:  # too many to enumerate: not solved at this size
        return {}
    exact = mean_field_potts.thermodynamics(classes, temperature, p.J)
    return {"energy": exact.energy / p.N, "heat_capacity": exact.heat_capacity / p.N,
            "order_parameter": exact.order_parameter}


def _east(p, temperature: float) -> dict[str, float]:
    """Independent sites, given that one is excited: the state without any is isolated."""
    odds, N = math.exp(-p.J / temperature), p.N
    if N * odds < _RARE:  # terms of 1, 2, ... excitations, whose sums would cancel in what follows
        k = np.arange(1, min(N, _FEW) + 1)
        weight = special.comb(N, k) / N * odds ** (k - 1.0)
        weight /= weight.sum()
        number = float(weight @ (k - 1)) + 1.0
        variance = float(weight @ (k - number) ** 2)
    else:
        c = odds / (1.0 + odds)
        some = -math.expm1(N * math.log1p(-c))  # chance of at least one excitation
        number = N * c / some
        variance = number * (1.0 + (N - 1) * c) - number**2
    return {"energy": p.J * number / N, "order_parameter": number / N,
            "heat_capacity": (p.J / temperature) ** 2 * variance / N}


def _xy(p, temperature: float) -> dict[str, float]:
    if p.dimension > 1:
        return {}
    exact = coordinates.xy_ring(p.L, p.J, temperature)
    return {"energy": exact.energy / p.L, "heat_capacity": exact.heat_capacity / p.L,
            "helicity_modulus": coordinates.xy_ring_helicity(p.L, p.J, temperature)}


def _heisenberg(p, temperature: float) -> dict[str, float]:
    if p.dimension > 1:
        return {}
    exact = coordinates.heisenberg_ring(p.L, p.J, temperature)
    return {"energy": exact.energy / p.L, "heat_capacity": exact.heat_capacity / p.L}


def _phi4(p, temperature: float) -> dict[str, float]:
    if p.dimension > 1 and p.K > 0.0:
        return {}
    n = p.L**p.dimension
    reach = 1.5 + abs(p.h) / p.barrier
    try:
        exact = coordinates.field_ring(
            n, lambda x: p.barrier * (x * x - 1.0) ** 2 - p.h * x, p.K, temperature, reach)
    except ValueError:  # too cold for the rule
        return {}
    return {"energy": exact.energy / n, "heat_capacity": exact.heat_capacity / n}


def _muller_brown(p, temperature: float) -> dict[str, float]:
    try:
        return muller_brown.averages(temperature, p.scale)
    except ValueError:  # too cold or too hot for the grid
        return {}


_SOLVERS = {
    "ising-2d": _square_lattice,
    "ising-chain": _chain,
    "curie-weiss": _curie_weiss,
    "potts-mean-field": _potts_mean_field,
    "east": _east,
    "xy": _xy,
    "heisenberg": _heisenberg,
    "phi4": _phi4,
    "muller-brown": _muller_brown,
}

_LONGEST_RING = 2**16  # spins; beyond, the infinite chain is the same to 1e-5
_OVERSHOOT = 0.5826  # -zeta(1/2)/sqrt(2 pi)


def exact_first_passage(kind: str, parameters, waiting, event, temperature: float,
                        size: int | None = None, step: float | None = None) -> dict[str, float]:
    """Exact mean first-passage time and barrier where the system is solved; else empty.

    Parameters
    ----------
    kind : str
        Kind of the card.
    parameters, waiting, event : pydantic models
        Of the card.
    temperature : float
        T of the clones.
    size : int, optional
        Number of spins, if another than the card's.
    step : float, optional
        Time of a step of overdamped coordinates.
    """
    if event.hold > 0.0:
        return {}
    fixed_start = waiting.start is not None and waiting.preparation_sweeps == 0
    try:
        if kind == "curie-weiss" and fixed_start and temperature > 0.0:
            n = size or parameters.N
            return _exact_curie_weiss(parameters, waiting, event, temperature, n)
        if kind == "overdamped-1d":
            return _exact_overdamped(parameters, event, temperature)
        if kind == "phi4" and size == 1 and step is not None and fixed_start:
            return _exact_well(parameters, waiting.start, event.threshold, temperature, step)
        if kind == "muller-brown" and step is not None and fixed_start:
            # y - x spreads by twice as much in a step as x
            seen = _seen(event.threshold, 2.0 * temperature, step)
            return {"tau": muller_brown.first_passage(temperature, waiting.start, seen,
                                                      parameters.scale)}
    except ValueError:  # no exact answer: a level out of reach, a force that does not confine
        return {}
    return {}


def _exact_curie_weiss(p, waiting, event, temperature, n) -> dict[str, float]:
    from phasegrok.theory.curie_weiss import barrier
    from phasegrok.theory.first_passage import curie_weiss_first_passage

    couplings = {"h": p.h, "J2": p.J2, "J3": p.J3}
    start = 2.0 * round(n * (1.0 + waiting.start) / 2.0) / n - 1.0  # the nearest of N spins
    passage = curie_weiss_first_passage(n, temperature, start, event.threshold,
                                        waiting.dynamics, **couplings)
    try:
        found = barrier(n, temperature, **couplings)
    except ValueError:  # a single well at this temperature
        return {"tau": passage.mean}
    return {"tau": passage.mean, "barrier": min(found.from_low, found.from_high)}


def _exact_overdamped(p, event, temperature) -> dict[str, float]:
    from phasegrok.theory.first_passage import diffusion_first_passage, drift_crossing_time

    def force(x):
        return p.c0 + x * (p.c1 + x * (p.c2 + x * p.c3))

    if temperature == 0.0:
        return {"tau": drift_crossing_time(force, p.start, event.threshold)}
    # |x| started at 0 is a walk on the half line: a reflecting wall at 0 (the force is odd)
    folded = p.order_parameter == "abs_x"
    if folded and (p.start != 0.0 or p.c0 != 0.0 or p.c2 != 0.0):
        return {}
    reflect = 0.0 if folded else None
    seen = _seen(event.threshold, temperature, p.dt)
    return {"tau": diffusion_first_passage(force, temperature, p.start, seen, reflect)}


def _seen(threshold: float, temperature: float, dt: float) -> float:
    """The level that a walk has reached when it is seen beyond a threshold.

    One that is looked at every dt sees it about 0.5826 standard deviations of a step later
    (Siegmund, Sequential Analysis, 1985, ch. X): the time-step error is part of the answer.
    """
    return threshold + _OVERSHOOT * math.sqrt(2.0 * temperature * dt)


def _exact_well(p, start: float, threshold: float, temperature: float, dt: float
                ) -> dict[str, float]:
    from phasegrok.theory.first_passage import diffusion_first_passage, drift_crossing_time

    def force(x):
        return p.h - 4.0 * p.barrier * (x * x - 1.0) * x

    if temperature == 0.0:
        return {"tau": drift_crossing_time(force, start, threshold)}
    return {"tau": diffusion_first_passage(force, temperature, start,
                                           _seen(threshold, temperature, dt))}


def interface_tension(kind: str, parameters) -> float:
    """Interface tension over T of ordered and disordered phases at coexistence; NaN: not known."""
    return potts.interface_tension(parameters.q) if kind == "potts-2d" else math.nan


def barriers(kind: str, parameters, sizes) -> list[float] | None:
    """Barriers in the order parameter at wells of equal height, at every size; None: not known."""
    if kind != "curie-weiss":
        return None
    p = parameters
    return [curie_weiss.finite_coexistence(n, p.h, p.J2, p.J3).barrier.from_low for n in sizes]


def heat_bath_quench(kind: str, parameters, temperature: float, time_t: np.ndarray,
                     waiting_w: np.ndarray, since_s: np.ndarray
                     ) -> tuple[np.ndarray, np.ndarray, str] | None:
    """Energy per site and two-time overlap after a quench from a random configuration.

    Parameters
    ----------
    kind : str
        Kind of the card.
    parameters : object
        The card's parameters.
    temperature : float
        T after the quench.
    time_t, waiting_w, since_s : ndarray
        Sweeps since the quench; waiting times, and sweeps since them.

    Returns
    -------
    tuple or None
        E(t), shape (T,); C(t_w, t_w + t), shape (W, S), NaN beyond the last time; of what it is:
        of a ring that is too large for its sum, the infinite chain.  None: not known.
    """
    p = parameters
    if kind != "ising-chain" or p.h != 0.0 or p.J == 0.0:
        return None
    n_spins = p.N if p.N <= _LONGEST_RING else None
    overlap = np.full((len(waiting_w), len(since_s)), np.nan)
    for w, t_w in enumerate(waiting_w):
        inside = t_w + since_s <= time_t[-1]
        overlap[w, inside] = glauber.ageing_correlation(float(t_w), since_s[inside], temperature,
                                                        p.J, n_spins)
    how = "of the ring in sweeps" if n_spins else "of the infinite chain in continuous time"
    return glauber.quench_energy(time_t, temperature, p.J, n_spins), overlap, how


def universal_jumps(kind: str, parameters, temperatures: np.ndarray) -> dict[str, np.ndarray]:
    """Lines against T at which an average falls to zero at a Kosterlitz-Thouless transition.

    The helicity modulus of planar spins at Y = 2 T/pi (Nelson and Kosterlitz, Phys. Rev. Lett. 39
    (1977) 1201).
    """
    if kind == "xy" and parameters.dimension == 2:
        return {"helicity_modulus": 2.0 / math.pi * np.asarray(temperatures)}
    return {}


class Critical(NamedTuple):
    """T_c in units of energy, exponents, and the Binder ratio U = 1 - <m^4>/(3 <m^2>^2) at T_c of
    the periodic square in the limit of large L (NaN: not known)."""

    temperature: float
    inverse_nu: float
    beta_nu: float
    gamma_nu: float
    binder: float


_BINDER_ISING = 0.61069014
"""Periodic square: Kamieniarz and Blote, J. Phys. A 26 (1993) 201; Salas and Sokal, J. Stat. Phys.
98 (2000) 551, eq. (1.4), U_4 = 1.1679229(47), which is 3 (1 - U) here."""


def critical_point(kind: str, parameters) -> Critical | None:
    """Critical point of a model, or None where there is none or it is not known exactly.

    Ising: Onsager, Phys. Rev. 65 (1944) 117, and Yang, Phys. Rev. 85 (1952) 808.  Potts with q <= 4
    colours, sqrt q = 2 cos(pi u/2): y_T = 3 (1 - u)/(2 - u), 2 - y_h = (1 - u^2)/(4 (2 - u)), den
    Nijs, J. Phys. A 12 (1979) 1857, and Nienhuis, Riedel and Schick, J. Phys. A 13 (1980) L189; for
    q = 4 there are logarithms besides.

    Parameters
    ----------
    kind : str
        Kind of the card.
    parameters : object
        The card's parameters.
    """
    if kind == "ising-2d" and parameters.h == 0.0 and parameters.J2 == 0.0 and parameters.J > 0.0:
        T_c = ising.critical_temperature(parameters.J)
        return Critical(T_c, 1.0, 0.125, 1.75, _BINDER_ISING)
    if kind == "potts-2d" and parameters.q <= 4:
        u = 2.0 / math.pi * math.acos(math.sqrt(parameters.q) / 2.0)
        y_T, beta_nu = 3.0 * (1.0 - u) / (2.0 - u), (1.0 - u**2) / (4.0 * (2.0 - u))
        return Critical(potts.transition_temperature(parameters.q), y_T, beta_nu,
                        2.0 - 2.0 * beta_nu, math.nan)
    return None

_STRIPS = (4, 5)  # wider ones are nearer to the infinite lattice and take minutes
_BRACKET = (0.35, 2.5)  # of the Blume-Capel transition; below, gaps are lost to rounding
_ENDS = 1e-3  # of a field: how near to a critical point a line is drawn


class Line(NamedTuple):
    """A line of the plane: values of the parameter, temperatures, and what it is."""

    parameter: np.ndarray
    temperature: np.ndarray
    text: str


class PhaseLines(NamedTuple):
    """Lines and special points, and the transition at each value that was scanned.

    ``temperature`` is NaN where no transition is known to be; ``first_order`` is only meant where
    there is one.
    """

    lines: dict[str, Line]
    points: dict[str, tuple[float, float, str]]
    temperature: np.ndarray
    first_order: np.ndarray
    exact: bool = True


def phase_lines(kind: str, parameters, name: str, values: np.ndarray) -> PhaseLines | None:
    """Lines for a kind of card and its second parameter; None where nothing is known.

    Parameters
    ----------
    kind : str
        Kind of the card.
    parameters : object
        The card's parameters.
    name : str
        The parameter that is scanned, "none" for temperature alone.
    values : ndarray
        Its values.
    """
    solver = {("ising-2d", "h"): _ising_lines, ("potts-2d", "q"): _potts_lines,
              ("curie-weiss", "h"): _curie_weiss_lines, ("blume-capel-2d", "D"): _blume_capel_lines
              }.get((kind, name))
    return solver(parameters, np.asarray(values, dtype=float)) if solver else None


def _ising_lines(p, h_v: np.ndarray) -> PhaseLines | None:
    if p.J2 != 0.0 or p.J <= 0.0:
        return None
    T_c = ising.critical_temperature(p.J)
    line = Line(np.zeros(2), np.array([0.0, T_c]), "coexistence of +M and -M")
    return PhaseLines({"coexistence": line}, {"critical": (0.0, T_c, "critical point (Onsager)")},
                      np.where(h_v == 0.0, T_c, np.nan), np.zeros(h_v.shape, dtype=bool))


def _potts_lines(_p, q_v: np.ndarray) -> PhaseLines:
    q = np.linspace(q_v.min(), q_v.max(), 61)
    T = np.array([potts.transition_temperature(x) for x in q])
    lines = {"transition": Line(q, T, "$1/\\ln(1+\\sqrt{q})$")}
    T_v = np.array([potts.transition_temperature(x) for x in q_v])
    return PhaseLines(lines, {}, T_v, q_v > 4.0)


def curie_weiss_critical_point(J2: float, J3: float) -> tuple[float, float] | None:
    """Field and temperature at which the coexistence line ends, or None.

    phi' = phi'' = phi''' = 0 of the mean-field potential: T = (1 - m^2)(J2 + 6 J3 m) is stationary
    in m, 9 J3 m^2 + J2 m - 3 J3 = 0, and h = T atanh m - J2 m - 3 J3 m^2.
    """
    if J3 == 0.0:
        return (0.0, J2) if J2 > 0.0 else None
    ends = []
    for m in np.roots([9.0 * J3, J2, -3.0 * J3]).real:
        T = (1.0 - m * m) * (J2 + 6.0 * J3 * m)
        if abs(m) < 1.0 and T > 0.0:
            ends.append((float(T * math.atanh(m) - J2 * m - 3.0 * J3 * m * m), float(T)))
    return max(ends, key=lambda end: end[1], default=None)


def _curie_weiss_lines(p, h_v: np.ndarray) -> PhaseLines | None:
    end = curie_weiss_critical_point(p.J2, p.J3)
    if end is None or p.J3 == 0.0:
        return None
    h_end, T_end = end
    side = math.copysign(1.0, p.J3)  # the line lies at fields below (J3 > 0) or above its end
    far = h_v.min() if side > 0 else h_v.max()
    h = h_end - side * np.geomspace(_ENDS, max(abs(far - h_end), 2.0 * _ENDS), 60)
    lines = {}
    T = np.array([_coexistence(x, p) for x in h])
    lines["coexistence"] = Line(np.append(h_end, h), np.append(T_end, T), "coexistence")
    for name, pick in (("lower_spinodal", -2), ("upper_spinodal", -1)):
        rows = [curie_weiss.spinodals(float(x), p.J2, p.J3)[0] for x in h]
        T = np.array([row[pick] if len(row) >= -pick else np.nan for row in rows])
        lines[name] = Line(np.append(h_end, h), np.append(T_end, T), "spinodals")
    T_v = np.array([_coexistence(x, p) if side * (h_end - x) > 0 else np.nan for x in h_v])
    point = {"critical": (h_end, T_end, "critical point")}
    return PhaseLines(lines, point, T_v, np.isfinite(T_v))


def _coexistence(h: float, p) -> float:
    try:
        return curie_weiss.coexistence(float(h), p.J2, p.J3).temperature
    except ValueError:
        return math.nan


def _blume_capel_lines(p, D_v: np.ndarray) -> PhaseLines | None:
    if p.h != 0.0 or p.J <= 0.0:
        return None
    point = blume_capel.TRICRITICAL_POINT_2D
    D_t, T_t = point.D * p.J, point.temperature * p.J
    lowest = min(float(D_v.min()), D_t - 1.0)
    D = D_t - (D_t - lowest) * np.linspace(0.0, 1.0, 13)[1:] ** 2
    D = np.concatenate([D[::-1], D_t + (2.0 * p.J - D_t) * np.array([0.2, 0.4, 0.6, 0.8])])
    T = np.array([strip_transition(x / p.J) for x in D]) * p.J
    line = Line(np.append(D, 2.0 * p.J), np.append(T, 0.0), "strips of width 4 and 5")
    T_v = np.array([strip_transition(x / p.J) for x in D_v]) * p.J
    return PhaseLines({"transition": line},
                      {"tricritical": (D_t, T_t, "tricritical point (strips)")}, T_v, D_v > D_t,
                      exact=False)


def strip_transition(D: float) -> float:
    """Transition temperature of Blume-Capel at J = 1 from xi_4/4 = xi_5/5 of infinite strips.

    NaN for D >= 2, where there is no order.  An approximation: widths 6 and 7 move it by -0.5 % at
    D = 0, by +0.7 % at D = 1.8 and by -1.2 % at D = 1.98.
    On the first-order line it is too high: at D = 1.99 widths 3 and 4, 4 and 5, 5 and 6 give .531,
    .516, .505, and the differences fall slowly.
    """
    if D >= 2.0:
        return math.nan

    def difference(T: float) -> float:
        small, large = (blume_capel.strip(L, T, D) for L in _STRIPS)
        return 1.0 / small.correlation_length * _STRIPS[0] - (
            1.0 / large.correlation_length * _STRIPS[1])

    try:
        return float(optimize.brentq(difference, *_BRACKET, xtol=1e-4))
    except ValueError:  # below the bracket, close to D = 2
        return math.nan
