r"""How unlike the parts of a slow system relax, and what part never does.

References
----------
.. [1] L. Berthier and G. Biroli, Rev. Mod. Phys. 83 (2011) 587.
.. [2] G. Parisi, Phys. Rev. Lett. 50 (1983) 1946.
.. [3] S. F. Edwards and P. W. Anderson, J. Phys. F 5 (1975) 965.
.. [4] W. Kob and H. C. Andersen, Phys. Rev. E 52 (1995) 4134.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from phasegrok.relaxation.inputs import curves, without_each
from phasegrok.relaxation.peaks import maximum
from phasegrok.statistics import format_error, jackknife_error, over_samples

_TOP_OF_CHI, _TOP_OF_P = 0.8, 0.5  # parts of a peak from which on points enter


@dataclass(frozen=True)
class FourPointSusceptibility:
    """Variance of the two-time overlap over histories, times N.

    Attributes
    ----------
    value_t, error_t : ndarray, shape (T,)
        chi_4(t) and its standard error.
    left_out_nt : ndarray, shape (n, T)
        chi_4 with one replica, or one sample of the disorder, left out each.
    """

    value_t: np.ndarray
    error_t: np.ndarray
    left_out_nt: np.ndarray


class Peak(NamedTuple):
    """Place and height of a maximum, with standard errors."""

    place: float
    place_err: float
    height: float
    height_err: float


@dataclass(frozen=True)
class OverlapDistribution:
    """Density P(q) of the overlap.

    Attributes
    ----------
    edges : ndarray, shape (B + 1,)
        Of the bins.
    value_b, error_b : ndarray, shape (B,)
        Mean density in each bin and its standard error.
    left_out_nb : ndarray, shape (n, B)
        The density with one sample, or one replica, left out each.
    """

    edges: np.ndarray
    value_b: np.ndarray
    error_b: np.ndarray
    left_out_nb: np.ndarray

    @property
    def middle_b(self) -> np.ndarray:
        """Middles of the bins."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])


@dataclass(frozen=True)
class Plateau:
    """Where a correlation stays before its last decay.

    Attributes
    ----------
    value, error : float
        Mean of C over the plateau, and its standard error over replicas.
    first, last : float
        Times between which it is flattest.
    fall, fall_err : float
        What C still falls between these times: the plateau is known no better than that.
    """

    value: float
    error: float
    first: float
    last: float
    fall: float
    fall_err: float

    def __str__(self) -> str:
        return (f"plateau {format_error(self.value, self.error)} from t = {self.first:g} to "
                f"{self.last:g}, falling by {format_error(self.fall, self.fall_err)}")


@dataclass(frozen=True)
class ScatteringFunction:
    """Self-intermediate scattering function.

    Attributes
    ----------
    value_kt, error_kt : ndarray, shape (K, T)
        F_s(k, t) and its standard error: over samples of the disorder where there are.
    replicas_rkt : ndarray, shape (R, K, T)
        Of every replica, for stretched exponentials and for chi_4.
    """

    value_kt: np.ndarray
    error_kt: np.ndarray
    replicas_rkt: np.ndarray


def four_point_susceptibility(overlap_rt, n_sites: int,
                              n_samples: int = 1) -> FourPointSusceptibility:
    r"""Number of sites that relax together, :math:`\chi_4(t)` [1]_.

    .. math:: \chi_4(t) = N\, [\overline{C^2} - \overline{C}^2],\qquad C = C(t_w, t_w + t)

    over independent histories, without bias.  N spins that flip each by itself have 1 - C^2;
    spins that flip in groups of m have m times as much.

    Parameters
    ----------
    overlap_rt : array_like, shape (R, T)
        C(t_w, t_w + t) of every replica, of N spins or coordinates.
    n_sites : int
        N.
    n_samples : int
        Samples of the disorder; replicas of one sample stand together, and the variance is that
        within samples.

    Returns
    -------
    FourPointSusceptibility
        Its error is a jackknife over replicas, or over samples where there are several.

    Raises
    ------
    ValueError
        Fewer than four replicas, of a sample fewer than two or not the same number, N below 1, or
        values that are not finite.
    """
    what = "four-point susceptibility"
    overlap_rt = np.asarray(overlap_rt, dtype=float)
    if overlap_rt.ndim != 2:
        raise ValueError(f"{what}: give one row for each replica, (R, T), not {overlap_rt.shape}")
    n = len(overlap_rt)
    if n < 4 or n_samples < 1 or n % n_samples or n < 2 * n_samples:
        raise ValueError(f"{what}: give at least four replicas, the same number and two at least "
                         f"of each sample, not {n} of {n_samples}")
    if not (np.isfinite(overlap_rt).all() and n_sites >= 1):
        raise ValueError(f"{what}: give finite overlaps of at least one site")
    if n_samples > 1:
        rows = overlap_rt.reshape(n_samples, -1, overlap_rt.shape[1]).var(axis=1, ddof=1)
        value_t, left_out = rows.mean(axis=0), without_each(rows)
    else:
        squares_rt = (overlap_rt - overlap_rt.mean(axis=0)) ** 2
        value_t = squares_rt.sum(axis=0) / (n - 1)
        left_out = ((n - 1) * value_t - squares_rt * n / (n - 1)) / (n - 2)
    left_out = n_sites * left_out
    return FourPointSusceptibility(n_sites * value_t, jackknife_error(left_out), left_out)


def peak_of_susceptibility(time_t, chi: FourPointSusceptibility) -> Peak:
    """Time and height of the maximum of chi_4: when, and in what numbers, sites relax together.

    By a polynomial in ln t through ln chi_4 where it is above 0.8 of the highest; errors by
    jackknife.

    Parameters
    ----------
    time_t : array_like, shape (T,)
        Positive times, ascending.
    chi : FourPointSusceptibility
        At these times.

    Raises
    ------
    ValueError
        Times that do not fit, are not positive or do not ascend, or a maximum at an end.
    """
    what = "maximum of chi_4"
    time_t, _ = curves(time_t, chi.left_out_nt, 5, what)
    if time_t[0] <= 0.0:
        raise ValueError(f"{what}: leave out times that are not positive")
    place, error, height, height_err = maximum(np.log(time_t), chi.value_t, chi.left_out_nt,
                                               _TOP_OF_CHI, what)
    return Peak(math.exp(place), math.exp(place) * error, height, height_err)


def overlap_distribution(q_sm, edges, symmetric: bool = False) -> OverlapDistribution:
    r"""Mean density :math:`P(q) = \overline{\langle \delta(q - q_{ab}) \rangle}` [2]_.

    Parameters
    ----------
    q_sm : array_like, shape (S, M)
        M overlaps of each of S samples of the disorder (or pairs of replicas that share none with
        another pair).  Those of one sample may depend on one another; samples may not.
    edges : array_like, shape (B + 1,)
        Of the bins, ascending, around all overlaps.  Bins as wide as a multiple of the spacing of
        possible overlaps, 2/N for spins, have no ripples.
    symmetric : bool
        P(q) = P(-q), as without a field: the mean of both is given.

    Returns
    -------
    OverlapDistribution
        Its error is the scatter over samples.

    Raises
    ------
    ValueError
        Fewer than three samples, overlaps that are not finite or outside the bins, edges that do
        not ascend, or ``symmetric`` with edges that are not.
    """
    what = "distribution of overlaps"
    q_sm = np.asarray(q_sm, dtype=float)
    if q_sm.ndim != 2 or q_sm.shape[0] < 3 or q_sm.shape[1] < 1:
        raise ValueError(f"{what}: give overlaps of at least three samples, a row each, not "
                         f"{q_sm.shape}")
    edges = _edges(edges, q_sm, symmetric, what)
    rows = np.array([np.histogram(q_m, edges)[0] for q_m in q_sm]) / q_sm.shape[1]
    return _distribution(edges, rows.mean(axis=0), without_each(rows), symmetric)


def pair_overlap_distribution(q_rr, edges, symmetric: bool = False) -> OverlapDistribution:
    """Density of the overlaps of all pairs of independent replicas of one system.

    Parameters
    ----------
    q_rr : array_like, shape (R, R) or (T, R, R)
        Overlap of each replica with each other one, at one or several times; the diagonal does not
        enter.
    edges, symmetric
        As in :func:`overlap_distribution`.

    Returns
    -------
    OverlapDistribution
        Its error is a jackknife that leaves out all pairs of a replica.  It is too large, by
        sqrt(2) at the most, where pairs with a replica in common are independent.

    Raises
    ------
    ValueError
        No square matrix, one that is not symmetric, fewer than four replicas, or as in
        :func:`overlap_distribution`.
    """
    what = "distribution of overlaps"
    q_trr = np.asarray(q_rr, dtype=float)
    q_trr = q_trr[None] if q_trr.ndim == 2 else q_trr
    if q_trr.ndim != 3 or q_trr.shape[1] != q_trr.shape[2] or q_trr.shape[1] < 4:
        raise ValueError(f"{what}: give the overlaps of at least four replicas as a square matrix, "
                         f"not {np.shape(q_rr)}")
    n = q_trr.shape[1]
    others = ~np.eye(n, dtype=bool)
    edges = _edges(edges, q_trr[:, others], symmetric, what)
    if not np.array_equal(q_trr[:, others], np.swapaxes(q_trr, 1, 2)[:, others]):
        raise ValueError(f"{what}: give a matrix that is symmetric")
    rows = np.array([np.histogram(q_trr[:, r, others[r]], edges)[0] for r in range(n)]) / len(q_trr)
    total = rows.sum(axis=0)  # each pair twice
    left_out = (total - 2.0 * rows) / ((n - 1) * (n - 2))
    return _distribution(edges, total / (n * (n - 1)), left_out, symmetric)


def _edges(edges, q, symmetric: bool, what: str) -> np.ndarray:
    edges = np.asarray(edges, dtype=float)
    if edges.ndim != 1 or len(edges) < 3 or not (np.diff(edges) > 0.0).all():
        raise ValueError(f"{what}: give edges of at least two bins, ascending")
    if not np.isfinite(q).all():
        raise ValueError(f"{what}: leave out overlaps that are not finite")
    low, high = min(float(q.min()), edges[0]), max(float(q.max()), edges[-1])
    if low < edges[0] or high > edges[-1]:
        raise ValueError(f"{what}: widen the edges, as overlaps go from {low:.3g} to {high:.3g}")
    if symmetric and not np.allclose(edges, -edges[::-1], atol=1e-12):
        raise ValueError(f"{what}: give edges that are symmetric about 0")
    return edges


def _distribution(edges, share_b, left_out_nb, symmetric: bool) -> OverlapDistribution:
    width = np.diff(edges)
    value_b, left_out_nb = share_b / width, left_out_nb / width
    if symmetric:
        value_b = 0.5 * (value_b + value_b[::-1])
        left_out_nb = 0.5 * (left_out_nb + left_out_nb[:, ::-1])
    return OverlapDistribution(edges, value_b, jackknife_error(left_out_nb), left_out_nb)


def overlap_at_peak(distribution: OverlapDistribution) -> tuple[float, float]:
    r"""Edwards-Anderson parameter q_EA from the peak of P(abs q), with its standard error [3]_.

    By a polynomial through ln P in the bins above half of the highest.  The peak moves with the
    size; q_EA is its limit at large N.

    Parameters
    ----------
    distribution : OverlapDistribution
        With edges from 0 up, or symmetric about 0 with an edge there: both signs count as one then.

    Returns
    -------
    value, error : float
        0 and the width of a bin where P is largest at q = 0.

    Raises
    ------
    ValueError
        Edges that are neither, a peak at the last bin, or bins that are too wide for it.
    """
    what = "peak of P(q)"
    edges, value_b, left_out = (distribution.edges, distribution.value_b, distribution.left_out_nb)
    half = len(value_b) // 2
    if edges[0] < 0.0:
        if len(value_b) % 2 or not np.allclose(edges, -edges[::-1], atol=1e-12):
            raise ValueError(f"{what}: give edges from 0 up, or symmetric ones with an edge at 0")
        edges, value_b = edges[half:], value_b[half:] + value_b[:half][::-1]
        left_out = left_out[:, half:] + left_out[:, :half][:, ::-1]
    if np.argmax(value_b) == 0:
        return 0.0, float(edges[1] - edges[0])
    place, error, _, _ = maximum(0.5 * (edges[1:] + edges[:-1]), value_b, left_out, _TOP_OF_P, what)
    return place, error


def plateau(time_t, c_rt, width: float = 10.0, above: float = 0.1) -> Plateau:
    r"""Part of a correlation that has not decayed for a long time, q_EA if it never does [3]_.

    Of all stretches from t to ``width`` t, the one in which the mean curve falls least, by a line
    in ln t.

    Parameters
    ----------
    time_t : array_like, shape (T,)
        Positive times.
    c_rt : array_like, shape (R, T)
        C(t) of every replica.  With disorder, one row a sample: the mean over its replicas.
    width : float
        Ratio of the last to the first time of the stretch.
    above : float
        Stretches whose mean is lower do not count: what has decayed is flat too.

    Returns
    -------
    Plateau

    Raises
    ------
    ValueError
        Fewer than three replicas, times that are not positive, a width of 1 or less, or no stretch
        of three times above the level; and as in :func:`phasegrok.relaxation.inputs.curves`.
    """
    what = "plateau"
    time_t, c_rt = curves(time_t, c_rt, 3, what)
    if time_t[0] <= 0.0 or not width > 1.0:
        raise ValueError(f"{what}: give positive times and a width above 1, not {time_t[0]:g} and "
                         f"{width:g}")
    rows = np.vstack([c_rt.mean(axis=0), without_each(c_rt)])
    x_t, best, least = np.log(time_t), slice(0), math.inf
    end_t = time_t * width * (1.0 - 1e-9)  # that of a grid of decades is a point of it
    for first in range(int((end_t <= time_t[-1]).sum())):
        part = slice(first, int(np.searchsorted(time_t, end_t[first] * (1.0 + 2e-9))))
        if part.stop - first < 3 or rows[0, part].mean() < above:
            continue
        slope = abs(_line(x_t[part], rows[:1, part])[0])
        if slope < least:
            best, least = part, slope
    if math.isinf(least):
        raise ValueError(f"{what}: give at least three times within a factor {width:g} at which C "
                         f"is above {above:g}")
    mean, slope_b = rows[:, best].mean(axis=1), _line(x_t[best], rows[:, best])
    fall_b = -slope_b * np.ptp(x_t[best])
    return Plateau(float(mean[0]), float(jackknife_error(mean[1:])), float(time_t[best][0]),
                   float(time_t[best][-1]), float(fall_b[0]), float(jackknife_error(fall_b[1:])))


def _line(x_t: np.ndarray, rows_bt: np.ndarray) -> np.ndarray:
    """Slope of each row by least squares."""
    x_t = x_t - x_t.mean()
    return rows_bt @ x_t / (x_t @ x_t)


def self_intermediate_scattering(x_then_rn, x_now_rtn, k, n_samples: int = 1) -> ScatteringFunction:
    r"""Share of coordinates that are within about 1/k of where they were, F_s(k, t) [4]_.

    .. math:: F_s(k, t) = \frac{1}{n} \sum_i \overline{\cos k\, [x_i(t_w + t) - x_i(t_w)]}

    Parameters
    ----------
    x_then_rn : array_like, shape (R, n)
        Coordinates, or weights, of every replica at the waiting time.
    x_now_rtn : array_like, shape (R, T, n)
        Those at t_w + t; positions in a periodic box without the folding back.
    k : float or array_like, shape (K,)
        Wave numbers.
    n_samples : int
        Samples of the disorder; replicas of one sample stand together.

    Returns
    -------
    ScatteringFunction

    Raises
    ------
    ValueError
        Shapes that do not fit, fewer than three replicas, samples that do not divide them, or
        values that are not finite.
    """
    what = "scattering function"
    then, now = np.asarray(x_then_rn, dtype=float), np.asarray(x_now_rtn)
    k_k = np.atleast_1d(np.asarray(k, dtype=float))
    if now.ndim != 3 or then.shape != (now.shape[0], now.shape[2]) or k_k.ndim != 1:
        raise ValueError(f"{what}: give coordinates (R, n) and (R, T, n) and wave numbers (K,), "
                         f"not {then.shape}, {now.shape} and {k_k.shape}")
    if len(then) < 3 or n_samples < 1 or len(then) % n_samples:
        raise ValueError(f"{what}: give at least three replicas, the same number of each sample, "
                         f"not {len(then)} of {n_samples}")
    rows = np.array([[np.cos(k * (now_tn - then_n)).mean(axis=1) for k in k_k]
                     for then_n, now_tn in zip(then, now)])
    if not np.isfinite(rows).all():
        raise ValueError(f"{what}: leave out times and replicas that are not finite")
    mean, error, _ = over_samples(rows, n_samples)
    return ScatteringFunction(mean, error, rows)
