r"""Of which order a transition is, at the sizes that were run: the one rule for all scripts.

Two phases that coexist on a lattice are divided by an interface, and the barrier between them is
:math:`\Delta F = 2\sigma L^{d-1} + \ldots` [1]_; where every site neighbours all others it grows as
N.  At a critical point the distribution of the energy or of the order parameter has one form at all
sizes, so that a barrier between two maxima of it is a number of order one, and it grows too, by
corrections to scaling, as long as these last.  A correlation length :math:`\xi` beyond the size has
the same effect at a transition of first order: nothing at these sizes tells it from a critical
point.  In the square Potts model :math:`2\sigma = 1/\xi` [2]_, which comes on top of some 0.2 nat
in P(E) and 1 nat in P(Phi), so that fewer than `LEAST_BARRIER` nats are what a system has that is
not wider than its correlation length.

**The rule.**  s is a standard error; B and B' are the barriers of the largest size and of the
largest of those with at most a quarter as many sites N', in the plane half as wide (the smallest
size, if there is none).

- First-order: B - B' > ``SIGMAS`` s, B/B' at least (N/N')^`LEAST_BARRIER_GROWTH`, from no size to
  the next a fall by more than ``FALL`` s, and on a lattice B of `LEAST_BARRIER` nats or more.
- Crossover at the sizes run: the peak of the susceptibility grows as N^y with y + SIGMAS s below
  ``LEAST_GROWTH`` between the two largest sizes.  At critical points y = gamma/(d nu) is 1/2 in
  mean field and larger in two and three dimensions.
- Continuous: the sizes scale as at a critical point, and no barrier grows by more than ``SIGMAS``
  s.  That there is no barrier is not enough: a crossover has none either.  Sizes scale by a data
  collapse with 1/nu below d, or by peaks and crossings: y - SIGMAS s above ``LEAST_GROWTH``,
  y + SIGMAS s below 1, which is the growth where two phases coexist [3]_, y does not fall with size
  by more than SIGMAS s and ``DRIFT``, and the Binder ratios of the two largest sizes cross inside
  the peak.
- Undecided: all else, as one size only, or sizes that are no evidence.

The numbers were chosen, and changed until they fitted, on short runs of Potts spins of 6 and 10
colours, on a growth as N^0.22, which corrections to scaling of 4 colours may give, and on the exact
tensions of 5, 6, 8 and 10 colours.  Then they were left alone and tried on others: 8 colours at
L = 8, 16, 32 (first-order, as N^0.32 in P(Phi) and N^0.45 in P(E)), longer runs of 6 colours to
L = 64 (undecided) and 10 colours to L = 24 (first-order), all in ``data/reference/barriers.csv``;
the Blume-Capel model at D = 1.98, L = 6 and 10, and Curie-Weiss spins of three kinds from their
exact weights (first-order).

References
----------
.. [1] J. Lee, J. M. Kosterlitz, Phys. Rev. Lett. 65 (1990) 137.
.. [2] C. Borgs, W. Janke, J. Phys. I France 2 (1992) 2011.
.. [3] M. S. S. Challa, D. P. Landau, K. Binder, Phys. Rev. B 34 (1986) 1841: peaks grow as N, and
   their distance from T_c falls as 1/N, at a first-order transition.
"""

import math
from dataclasses import dataclass

import numpy as np

from phasegrok.statistics import Line, format_error, weighted_line
from phasegrok.thermodynamics.effective_potential import stands_out

CLASSES = ("undecided", "crossover", "continuous", "first-order")
SIGMAS = 3.0
FALL = 2.0
LEAST_BARRIER_GROWTH = 0.25
LEAST_BARRIER = 1.5
LEAST_GROWTH = 0.25
DRIFT = 0.1


@dataclass(frozen=True)
class Growth:
    """How a barrier grows with size.

    Attributes
    ----------
    first_order : bool
        As between two phases that coexist.
    grows : bool
        By more than its error: neither a critical point nor two phases, if not ``first_order``.
    reason : str
        In words, with the numbers that decide.
    """

    first_order: bool
    grows: bool
    reason: str


def barrier_growth(n_sites_l: np.ndarray, height_l: np.ndarray, error_l: np.ndarray,
                   lattice: bool) -> Growth:
    """Whether barriers grow with size as at a first-order transition, by the rule of this module.

    Parameters
    ----------
    n_sites_l, height_l, error_l : array_like, shape (sizes,)
        N, ascending, and barriers of the whole system in nats with errors: 0 where there is one
        well, NaN where nothing is known.
    lattice : bool
        Whether a correlation length may exceed the size; False where all sites are neighbours.
    """
    N, B, s = (np.asarray(x, dtype=float) for x in (n_sites_l, height_l, error_l))
    known = np.isfinite(B) & np.isfinite(s)
    N, B, s = N[known], B[known], s[known]
    if not B.size:
        return Growth(False, False, "barriers were not measured")
    if not stands_out(B[-1], s[-1], SIGMAS):
        below = f" (below {SIGMAS * s[-1]:.2g} nat)" if s[-1] > 0.0 else ": one well"
        return Growth(False, False, f"no barrier at the largest size{below}")
    largest = f"barrier {format_error(B[-1], s[-1])} nat at the largest size"
    if B.size < 2:
        return Growth(False, False, f"{largest}; two sizes or more are needed")
    smaller = np.flatnonzero(4.0 * N <= N[-1])
    k = int(smaller[-1]) if smaller.size else 0
    grown, error = B[-1] - B[k], math.hypot(s[-1], s[k])
    text = f"barrier {format_error(B[k], s[k])} to {format_error(B[-1], s[-1])} nat"
    if not grown > SIGMAS * error:
        return Growth(False, False, f"{text}: no growth beyond {SIGMAS:g} errors")
    if B[k] <= 0.0:  # that a second well appears is no growth
        return Growth(False, False, f"{text}: one well at N = {N[k]:.0f}")
    x = math.log(B[-1] / B[k]) / math.log(N[-1] / N[k])
    x_error = math.hypot(s[-1] / B[-1], s[k] / B[k]) / math.log(N[-1] / N[k])
    text += f", as N^{format_error(x, x_error)}"
    if x < LEAST_BARRIER_GROWTH:
        return Growth(False, True, f"{text}: slower than N^{LEAST_BARRIER_GROWTH:g}")
    if (np.diff(B) < -FALL * np.hypot(s[1:], s[:-1])).any():
        return Growth(False, True, f"{text}, but it falls between sizes before")
    if lattice and B[-1] < LEAST_BARRIER:
        return Growth(False, True, f"{text}: below {LEAST_BARRIER:g} nat, as where the correlation "
                      "length exceeds the sizes")
    return Growth(True, True, text)


def label_of(growth: Growth, scales: bool, crossover: bool = False) -> str:
    """One of `CLASSES`, from barriers and the caller's evidence of scaling or of a crossover."""
    if growth.first_order:
        return "first-order"
    if crossover:
        return "crossover"
    return "continuous" if scales and not growth.grows else "undecided"


@dataclass(frozen=True)
class Order:
    """Of which order a transition is, at the sizes that were run.

    Attributes
    ----------
    label : str
        "first-order", "continuous" or "undecided".
    reason : str
        In words, with the numbers that decide.
    slope : Line
        Of the barrier against the area.
    """

    label: str
    reason: str
    slope: Line


def order_of_transition(n_sites_l: np.ndarray, area_l: np.ndarray, height_l: np.ndarray,
                        error_l: np.ndarray, found, dimension: float) -> Order:
    """The order from barriers and a data collapse: sizes scale if 1/nu is below d by three errors.

    Parameters
    ----------
    n_sites_l, area_l, height_l, error_l : array_like, shape (sizes,)
        N and L^(d-1), ascending, and barriers in nats with errors; NaN where nothing is known.
    found : Collapse or None
        None: not measured.
    dimension : float
        d; infinite where every site neighbours all others.
    """
    growth = barrier_growth(n_sites_l, height_l, error_l, math.isfinite(dimension))
    height_l, error_l = (np.asarray(x, dtype=float) for x in (height_l, error_l))
    use = np.isfinite(height_l) & (error_l > 0.0)
    line = weighted_line(np.asarray(area_l, dtype=float)[use], height_l[use], error_l[use])
    words, scales = [growth.reason], False
    if math.isfinite(line.slope):
        words.append(f"slope {format_error(line.slope, line.slope_error)} nat per unit of area")
    if found is None:
        words.append("a collapse was not measured")
    elif not found.collapsed:
        words.append(found.reason)
    else:
        scales = (dimension - found.parameters[1]) / found.errors[1] > SIGMAS
        words.append(f"sizes collapse (p = {found.p:.2g}) with 1/nu = "
                     f"{format_error(found.parameters[1], found.errors[1])}, against d = "
                     f"{dimension:g}")
    return Order(label_of(growth, scales), "; ".join(words), line)


def order_of_peaks(n_sites_s: np.ndarray, height_s: np.ndarray, error_s: np.ndarray,
                   growths: list[tuple[float, float]], crossings: list[tuple[float, float]],
                   doubt: str, lattice: bool) -> tuple[str, str]:
    """One of `CLASSES`, and why, from barriers, peaks of chi and crossings of Binder ratios.

    Parameters
    ----------
    n_sites_s, height_s, error_s : array_like, shape (S,)
        As in `barrier_growth`.
    growths, crossings : list of (float, float), length S - 1
        Exponent of the peak of chi, and temperature at which the Binder ratios cross, between each
        size and the next, with errors; NaN: none.
    doubt : str
        Why the sizes are no evidence; empty where they are.
    lattice : bool
        As in `barrier_growth`.
    """
    if not growths:
        return "undecided", "one size only"
    y, s = growths[-1]
    growth = barrier_growth(n_sites_s, height_s, error_s, lattice)
    words = [f"peak of chi grows as N^{format_error(y, s)}", growth.reason]
    if doubt:
        return "undecided", f"{doubt}; " + ", ".join(words)
    label = label_of(growth, False, y + SIGMAS * s < LEAST_GROWTH)
    if label != "undecided":
        return label, ", ".join(words)
    x, x_err = crossings[-1]
    crosses = math.isfinite(x) and math.isfinite(x_err)
    words.append(f"Binder ratios cross at T = {format_error(x, x_err)}" if crosses
                 else "Binder ratios do not cross inside the peak")
    falls = False
    if len(growths) > 1:
        earlier, earlier_err = growths[-2]
        falls = earlier - y > max(SIGMAS * math.hypot(s, earlier_err), DRIFT)
        words.append(f"before as N^{format_error(earlier, earlier_err)}")
    slow = LEAST_GROWTH + SIGMAS * s < y < 1.0 - SIGMAS * s
    return label_of(growth, slow and crosses and not falls), ", ".join(words)
