"""Ladders of temperatures of a larger size, and whether it is worth its time, from smaller ones."""

import math

import numpy as np

from phasegrok.thermodynamics.curves import INDEPENDENT, Reweighted, Series
from phasegrok.thermodynamics.order import LEAST_GROWTH
from phasegrok.thermodynamics.peaks import peak
from phasegrok.thermodynamics.smooth_potential import equal_height

RUNG = 1.0
_WIDTHS, _FEWEST_RUNGS = 1.5, 7


def natural_width(temperature: float, heat_capacity: float, n_sites: int) -> float:
    r"""Change of T that moves the mean energy by its standard deviation, T/sqrt(C N).

    Histograms of runs so far apart overlap well.  With hyperscaling, :math:`\alpha = 2 - d\nu`, it
    is :math:`\propto L^{-\alpha/2\nu - d/2} = L^{-1/\nu}`: a fixed number of widths is a fixed
    window of the scaling variable.
    """
    return temperature / math.sqrt(heat_capacity * n_sites)


def _window(small: Reweighted) -> tuple[float, float]:
    """Temperatures at which a larger system is worth its time."""
    low, high = small.range
    chi = peak(small, "susceptibility")
    if small.symmetric or not chi.found:
        return low, high
    width = _WIDTHS * (chi.high - chi.low)
    return max(low, chi.low - width), min(high, chi.high + width)


def rungs(small: Reweighted, n_sites: int) -> np.ndarray:
    r"""Temperatures at which exchanges of a larger system are accepted, from a smaller one.

    Where Phi is symmetric they span the range of the smaller system, since +Phi and -Phi coexist
    below a transition; else only the peak of its susceptibility and 1.5 widths on both sides, for
    which fewer of them do.  Neighbours are :math:`\int \sqrt{N C(T)}\, dT/T \le` ``RUNG`` standard
    deviations of the energy apart, with the heat capacity C a site of the smaller system.

    Parameters
    ----------
    small : Reweighted
    n_sites : int
        N of the larger system.

    Returns
    -------
    ndarray, shape (K,)
    """
    T_t = np.linspace(*_window(small), 401)
    C_t = small.averages(T_t)["heat_capacity"][0]
    speed_t = np.sqrt(n_sites * C_t) / T_t
    speed_t += speed_t.mean() / 4.0  # at first-order peaks C moves and narrows with size
    along_t = np.concatenate([[0.0], np.cumsum(0.5 * (speed_t[1:] + speed_t[:-1]))]) * (
        T_t[1] - T_t[0])
    n = max(_FEWEST_RUNGS, 1 + math.ceil(along_t[-1] / RUNG))
    return np.interp(np.linspace(0.0, along_t[-1], n), along_t, T_t).round(6)


def too_high(series: list[Series], n_sites: int) -> bool:
    r"""Whether a larger system would have too few independent samples to be evidence.

    The time between visits of two phases grows as the exponential of the barrier, and a barrier
    grows as :math:`N^x`: x is taken from the two largest sizes so far, and is 1 at most.  Where the
    histograms of the largest do not overlap, no rungs can be planned from it: that too counts.
    """
    try:
        data_s = [Reweighted(one) for one in series[-2:]]
    except ValueError:
        return True
    if len(data_s) < 2:
        return False
    chi_s = [peak(data, "susceptibility") for data in data_s]
    if not data_s[-1].is_evidence:
        return True
    if not all(chi.found for chi in chi_s):
        return False
    before, barrier = (float(equal_height(d, chi).barrier_r[0]) for d, chi in zip(data_s, chi_s))
    if barrier == 0.0:
        return False
    sites = data_s[-1].n_sites
    x = 1.0 if before == 0.0 else math.log(barrier / before) / math.log(sites / data_s[0].n_sites)
    more = barrier * ((n_sites / sites) ** min(max(x, LEAST_GROWTH), 1.0) - 1.0)
    return data_s[-1].independent * math.exp(-more) < INDEPENDENT
