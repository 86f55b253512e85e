"""Exact and nearly exact lines of phase diagrams: temperature against one parameter of a system.

Ising (T, h), Potts (T, q) and Curie-Weiss (T, h) are exact; the line of Blume-Capel (T, D) is from
the exact correlation lengths of two strips (phenomenological renormalisation, Nightingale, Physica
A 83 (1976) 561), with the tricritical point.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import optimize

from phasegrok.theory import blume_capel, curie_weiss, ising, potts

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
    solver = {("ising-2d", "h"): _ising, ("potts-2d", "q"): _potts,
              ("curie-weiss", "h"): _curie_weiss, ("blume-capel-2d", "D"): _blume_capel
              }.get((kind, name))
    return solver(parameters, np.asarray(values, dtype=float)) if solver else None


def _ising(p, h_v: np.ndarray) -> PhaseLines | None:
    if p.J2 != 0.0 or p.J <= 0.0:
        return None
    T_c = ising.critical_temperature(p.J)
    line = Line(np.zeros(2), np.array([0.0, T_c]), "coexistence of +M and -M")
    return PhaseLines({"coexistence": line}, {"critical": (0.0, T_c, "critical point (Onsager)")},
                      np.where(h_v == 0.0, T_c, np.nan), np.zeros(h_v.shape, dtype=bool))


def _potts(p, q_v: np.ndarray) -> PhaseLines:
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


def _curie_weiss(p, h_v: np.ndarray) -> PhaseLines | None:
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


def _blume_capel(p, D_v: np.ndarray) -> PhaseLines | None:
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
