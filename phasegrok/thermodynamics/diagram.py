r"""Where phases meet, and how: transitions from time series of E and Phi at several sizes.

At one value of the other parameter, a series of E and Phi was taken on a ladder of temperatures at
each of several sizes.  The ladders of one size are combined by multiple histograms in E; the
distribution of Phi at given E does not depend on the temperature, so that

.. math:: P_T(\Phi) = \sum_c p_T(E_c)\, P(\Phi \mid E_c), \qquad
          p_T(E_c) \propto g_c\, e^{-E_c/T}

at every T of the range.  All errors are jackknife errors over independent ladders, carried through
to the last number.

The class is judged in :mod:`phasegrok.thermodynamics.order`.  A size is evidence only if ladders
begun ordered and at random agree, and if the ladders together have ``INDEPENDENT`` independent
samples or more of the energy at every temperature.  With fewer the way between two phases was seen
too rarely: barriers come out too high and errors too small.

References
----------
.. [1] J. Lee, J. M. Kosterlitz, Phys. Rev. Lett. 65 (1990) 137.
.. [2] K. Binder, Z. Phys. B 43 (1981) 119.
.. [3] M. S. S. Challa, D. P. Landau, K. Binder, Phys. Rev. B 34 (1986) 1841: peaks grow as N, and
   their distance from T_c falls as 1/N, at a first-order transition.
"""

import dataclasses
import math

import numpy as np

from phasegrok.statistics import jackknife_error
from phasegrok.thermodynamics.curves import CURVES, INDEPENDENT, Reweighted, Series
from phasegrok.thermodynamics.order import SIGMAS, order_of_peaks
from phasegrok.thermodynamics.peaks import Paired, Peak, crossing, paired, peak
from phasegrok.thermodynamics.smooth_potential import EqualHeight, equal_height, symmetric_barrier

PHASES = ("disordered", "ordered", "positive", "negative")
_GUESS = 0.25  # of the distance to the peak of chi: what two sizes leave of a drift


@dataclasses.dataclass(frozen=True)
class Transition:
    """What happens along the temperature at one value of the parameter.

    Attributes
    ----------
    label : str
        One of ``CLASSES``.
    reason : str
        The evidence in words.
    temperature, temperature_err : float
        Of the transition: equal height extrapolated in 1/N [3]_ where it is first-order, the
        crossing of the Binder ratios [2]_ where it is continuous, else the peak of chi at the
        largest size.  The error includes the drift with size, see ``temperature_shift``.
    temperature_shift : float
        What the temperature changed when the largest size N_S was added; NaN with two sizes.  If
        the rest falls as 1/N^2 it is shift N_1/(N_S - N_1) [N_1: the third largest]; for the
        crossing, whose rest falls at least as 1/N, it is shift N_2/(N_S - N_2) [N_2: the second
        largest].  This rest, with the error of the shift, is added to the error in quadrature;
        with two sizes a quarter of the distance to the peak of chi is, which is a guess.
    sizes : dict of ndarray, shape (S,)
        ``heat_capacity_temperature``, ``heat_capacity_peak``, ``susceptibility_temperature``,
        ``susceptibility_peak``, ``barrier`` and ``barrier_temperature`` of every size, each with
        ``_err``.
    growth, growth_err : float
        y of the peak of chi, between the two largest sizes.
    binder_crossing, binder_crossing_err : float
        Of the two largest sizes; NaN: none.
    coexistence : tuple of float
        Temperatures between which +Phi and -Phi coexist; NaN: none.
    coexistence_end, coexistence_end_err : float
        Where the barriers between +Phi and -Phi of the two largest sizes cross: the upper end.
    """

    label: str
    reason: str
    temperature: float = math.nan
    temperature_err: float = math.nan
    temperature_shift: float = math.nan
    sizes: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    growth: float = math.nan
    growth_err: float = math.nan
    binder_crossing: float = math.nan
    binder_crossing_err: float = math.nan
    coexistence: tuple[float, float] = (math.nan, math.nan)
    coexistence_end: float = math.nan
    coexistence_end_err: float = math.nan


@dataclasses.dataclass(frozen=True)
class _Evidence:
    """Peaks and barriers of every size; S sizes ascending."""

    n_sites_s: np.ndarray
    chi_s: list[Peak]
    barrier_s: list[EqualHeight]

    def growth(self, s: int) -> Paired:
        """Exponent of the peak of chi between the sizes s - 1 and s."""
        ratio = math.log(self.n_sites_s[s] / self.n_sites_s[s - 1])
        return paired(lambda a, b: np.log(b / a) / ratio, self.chi_s[s - 1].height_r,
                      self.chi_s[s].height_r)

    def extrapolated(self, s: int) -> tuple[float, float]:
        """Temperature of equal height extrapolated in 1/N from the sizes s - 1 and s."""
        small, large = self.n_sites_s[s - 1], self.n_sites_s[s]
        rows = [self.barrier_s[k].temperature_r for k in (s - 1, s)]
        if np.isnan(rows[0]).any():  # one well at the smaller size: no two phases yet
            return float(rows[1][0]), float(jackknife_error(rows[1][1:]))
        found = paired(lambda a, b: (large * b - small * a) / (large - small), *rows)
        return float(found.value), float(found.error)


def transition(data_s: list[Reweighted]) -> Transition:
    """Locate and classify the transition along the temperature.

    Parameters
    ----------
    data_s : list of Reweighted
        Sizes in ascending order.
    """
    left_out = []
    while len(data_s) > 2 and not data_s[-1].is_evidence:
        left_out.append(f"N = {data_s[-1].n_sites} left out: {_doubt(data_s)}")
        data_s = data_s[:-1]
    chi = [peak(data, "susceptibility") for data in data_s]
    heat = [peak(data, "heat_capacity") for data in data_s]
    if not all(p.found for p in chi):
        return _add_coexistence(Transition(
            "undecided", "the susceptibility has no peak inside the range of temperatures"), data_s)
    barriers = [equal_height(data, p) for data, p in zip(data_s, chi)]
    evidence = _Evidence(np.array([data.n_sites for data in data_s], float), chi, barriers)
    sizes: dict[str, np.ndarray] = {}
    for name, rows in (("susceptibility", chi), ("heat_capacity", heat)):
        _put(sizes, f"{name}_temperature", [p.temperature_r for p in rows])
        _put(sizes, f"{name}_peak", [p.height_r for p in rows])
    _put(sizes, "barrier", [b.barrier_r for b in barriers])
    _put(sizes, "barrier_temperature", [b.temperature_r for b in barriers])
    pairs = range(1, len(data_s))
    crossings = [_number(_binder_crossing(data_s[s - 1], data_s[s], chi[s])) for s in pairs]
    growths = [_number(evidence.growth(s)) for s in pairs]
    label, reason = order_of_peaks(evidence.n_sites_s, sizes["barrier"], sizes["barrier_err"],
                                   growths, crossings, _doubt(data_s), data_s[-1].series.lattice)
    if len(data_s) == 2 and label in ("first-order", "continuous"):
        left_out.append("two sizes: the drift in the error of T is a guess")
    reason = "; ".join([reason, *left_out])
    where = _with_drift(label, evidence, _where(label, evidence, crossings))
    none = [(math.nan, math.nan)]
    return _add_coexistence(Transition(label, reason, *where, sizes, *(growths or none)[-1],
                                       *(crossings or none)[-1]), data_s)


def _put(sizes, name, rows_sr) -> None:
    sizes[name] = np.array([rows_r[0] for rows_r in rows_sr])
    sizes[f"{name}_err"] = np.array([float(jackknife_error(rows_r[1:])) for rows_r in rows_sr])


def _number(found: Paired) -> tuple[float, float]:
    return float(found.value), float(found.error)


def _binder_crossing(small: Reweighted, large: Reweighted, chi: Peak) -> Paired:
    """Crossing of the Binder ratios inside the peak of chi of the larger size."""
    T_t = chi.around(81, small, large)
    return crossing(T_t, *(data.averages(T_t)["binder"] for data in (small, large)))


def _doubt(data_s: list[Reweighted]) -> str:
    """Why the two largest sizes are no evidence; empty where they are."""
    if not all(data.starts_agree for data in data_s[-2:]):
        return "ladders begun ordered and at random disagree"
    fewest = min(data.independent for data in data_s[-2:])
    if fewest < INDEPENDENT:
        return f"{fewest:.0f} independent samples at one temperature, {INDEPENDENT:.0f} are wanted"
    return ""


def _where(label: str, evidence: _Evidence, crossings) -> list[tuple[float, float]]:
    """Temperature with error, with every size added in turn."""
    if label == "first-order":
        return [evidence.extrapolated(s) for s in range(1, len(evidence.n_sites_s))]
    if label == "continuous":
        return crossings
    return [(float(p.temperature_r[0]), float(jackknife_error(p.temperature_r[1:])))
            for p in evidence.chi_s]


def _with_drift(label: str, evidence: _Evidence, where: list[tuple[float, float]]
                ) -> tuple[float, float, float]:
    """Temperature, its error with the drift in it, and the change by the largest size."""
    value, error = where[-1]
    n_sites_s = evidence.n_sites_s
    if len(n_sites_s) == 2 and label in ("first-order", "continuous"):
        error = math.hypot(error, _GUESS * (value - float(evidence.chi_s[-1].temperature_r[0])))
    shift = value - where[-2][0] if len(where) > 1 else math.nan
    if math.isfinite(shift) and len(n_sites_s) > 2:
        before = n_sites_s[-3 if label == "first-order" else -2]
        rest = before / (n_sites_s[-1] - before)
        error = math.hypot(error, rest * math.hypot(shift, error, where[-2][1]))
    return value, error, shift


def _add_coexistence(found: Transition, data_s: list[Reweighted]) -> Transition:
    """Where +Phi and -Phi coexist: the barrier between them grows with size."""
    if len(data_s) < 2 or not all(data.symmetric for data in data_s):
        return found
    T_t = data_s[-1].grid(81)
    small_rt, large_rt = (symmetric_barrier(data, T_t) for data in data_s[-2:])
    known = np.isfinite(small_rt).all(axis=0) & np.isfinite(large_rt).all(axis=0)
    if known.sum() < 2:
        return found
    T_t, small_rt, large_rt = T_t[known], small_rt[:, known], large_rt[:, known]
    growth = paired(lambda a, b: b - a, small_rt, large_rt)
    end, end_err = _number(crossing(T_t, small_rt, large_rt))
    below = T_t < end
    if not (growth.value[below] > SIGMAS * growth.error[below]).any():
        return found
    shrinks = T_t[below][growth.value[below] < -SIGMAS * growth.error[below]]
    low = max(shrinks, default=data_s[-1].range[0])
    return dataclasses.replace(found, coexistence=(float(low), end), coexistence_end=end,
                               coexistence_end_err=end_err)


# --- phases ---------------------------------------------------------------------------------------


def phases(small: Reweighted, large: Reweighted, temperatures_t: np.ndarray) -> np.ndarray:
    """Which phase is stable at each temperature: indices into ``PHASES``, shape (T,).

    - positive, negative: the sign of <Phi>, where Phi has both signs and its energy is not
      symmetric (in a field): no symmetry is left that could be broken;
    - disordered: else, and <|Phi|> falls at least as N^(-1/4) between two sizes (it falls as
      N^(-1/2) far above a transition);
    - ordered: else.
    """
    a, b = (data.averages(temperatures_t) for data in (small, large))
    if large.series.signed and not large.symmetric:
        return np.where(b["order_parameter"][0] > 0.0, 2, 3)
    ratio = math.log(large.n_sites / small.n_sites)
    falls_t = -np.log(b["order_parameter_abs"][0] / a["order_parameter_abs"][0]) / ratio
    return np.where(falls_t >= 0.25, 0, 1)


@dataclasses.dataclass(frozen=True)
class Column:
    """All that is known at one value of the parameter; S sizes, T temperatures.

    Attributes
    ----------
    transition : Transition
    n_sites_s : ndarray, shape (S,)
    temperatures_t : ndarray, shape (T,)
    curves : dict of ndarray, shape (S, T)
        Every one of `CURVES`, with ``_err``; NaN beyond the range of a size, and where it could not
        be reweighted.
    phase_t : ndarray, shape (T,)
        Indices into ``PHASES``; -1 with one size.
    """

    transition: Transition
    n_sites_s: np.ndarray
    temperatures_t: np.ndarray
    curves: dict[str, np.ndarray]
    phase_t: np.ndarray


def analyse(series: list[Series], n_grid: int = 121) -> Column:
    """Transition, curves and phases at one value of the parameter, from series of every size.

    A size that cannot be reweighted, since the histograms of neighbouring temperatures do not
    overlap, is left out, and the reason of the transition says so.
    """
    n_sites_s = np.array([one.n_sites for one in series])
    T_t = np.linspace(series[0].temperatures_k[0], series[0].temperatures_k[-1], n_grid)
    data_s, used, left_out = [], [], []
    for s, one in enumerate(series):
        try:
            data_s.append(Reweighted(one))
        except ValueError as error:
            left_out.append(f"N = {one.n_sites} left out: {error}")
            continue
        used.append(s)
    curves = {name + suffix: np.full((len(series), n_grid), np.nan)
              for name in CURVES for suffix in ("", "_err")}
    for s, data in zip(used, data_s):
        inside_t = (T_t >= data.range[0]) & (T_t <= data.range[1])
        for name, rows_rt in data.averages(T_t[inside_t]).items():
            curves[name][s, inside_t] = rows_rt[0]
            curves[f"{name}_err"][s, inside_t] = jackknife_error(rows_rt[1:])
    found = transition(data_s) if data_s else Transition("undecided", "no size can be reweighted")
    of_sizes = {}
    for name, x_s in found.sizes.items():
        of_sizes[name] = np.full(len(series), np.nan)
        of_sizes[name][used[: len(x_s)]] = x_s
    found = dataclasses.replace(found, sizes=of_sizes, reason="; ".join([found.reason, *left_out]))
    phase_t = np.full(n_grid, -1)
    if len(data_s) > 1:  # beyond the range of the larger sizes: as at its end
        phase_t = phases(data_s[-2], data_s[-1], np.clip(T_t, *data_s[-1].range))
    return Column(found, n_sites_s, T_t, curves, phase_t)
