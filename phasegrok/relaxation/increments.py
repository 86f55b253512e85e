r"""Ageing of an ensemble of clones, from what they add to their differences.

Clones of one checkpoint differ in their thermal noise alone.  At age :math:`t_w` the spread of
their increments over a lag t,

.. math::

   D(t_w, t) = \frac{1}{N}\sum_i \mathrm{Var}_c\,[x_{ic}(t_w + t) - x_{ic}(t_w)],

with the variance over clones c and the mean over sites i, holds no mean drift, whatever one does:
what all clones do alike drops out.  Increments of free diffusion and of equilibrium do not depend
on age, however many directions are flat; those of a system that ages do.  With
:math:`\tau_f(t_w)`, the lag at which D reaches a given value, the exponent

.. math:: \mu = d\ln\tau_f/d\ln t_w

is 0 without ageing and 1 where age is the only time [1]_.  A normalised correlation would be misled
twice: by a drift, and by modes that never relax.

References
----------
.. [1] J.-P. Bouchaud, L. Cugliandolo, J. Kurchan and M. Mézard, in A. P. Young (ed.), Spin Glasses
   and Random Fields (World Scientific 1998).
"""

from typing import NamedTuple

import numpy as np

from phasegrok.statistics import jackknife_error

LEVELS = (0.4, 0.6, 0.8, 0.9)
"""Shares of the reference at which lags are taken: the largest D that all ages reach."""

FEWEST_AGES = 3


class Ageing(NamedTuple):
    """How the spread of increments slows with age.

    Attributes
    ----------
    exponent, error : float
        mu, the mean over the levels, and its standard error by jackknife over clones; NaN where
        fewer than three ages reach a level.
    reference : float
        The value of D of which ``LEVELS`` are shares.
    lag_lw : ndarray, shape (4, W)
        tau_f by level and age; NaN where D does not reach it.
    """

    exponent: float
    error: float
    reference: float
    lag_lw: np.ndarray


def spread_of_increments(then_cn, now_cn) -> tuple[float, np.ndarray]:
    """D of one age and lag, and the same with each clone left out.

    Parameters
    ----------
    then_cn, now_cn : array_like, shape (C, N)
        States of the clones at t_w and at t_w + t: spins, coordinates or weights.

    Returns
    -------
    float, ndarray of shape (C,)

    Raises
    ------
    ValueError
        Shapes that differ, or fewer than three clones.
    """
    then_cn, now_cn = np.asarray(then_cn, dtype=float), np.asarray(now_cn, dtype=float)
    if then_cn.ndim != 2 or then_cn.shape != now_cn.shape:
        raise ValueError(f"increments: give two arrays (clones, sites) of one shape, not "
                         f"{then_cn.shape} and {now_cn.shape}")
    c, n = then_cn.shape
    if c < 3:
        raise ValueError(f"increments: the spread is over clones: give at least three, not {c}")
    step_cn = now_cn - then_cn
    step_cn -= step_cn.mean(axis=0)  # then the sum over clones is 0, also with one left out but it
    own_c = (step_cn**2).sum(axis=1)
    total = own_c.sum()
    # without clone c the sum of squares is less by d^2, and the mean by -d/(C - 1)
    left_out_c = (total - own_c - own_c / (c - 1)) / ((c - 2) * n)
    return float(total / ((c - 1) * n)), left_out_c


def ageing_of_increments(age_w, lag_t, spread_wt, left_out_cwt) -> Ageing:
    r"""The exponent mu with which lags of equal spread grow with age.

    Lags are interpolated in the logarithms of D and t, and :math:`\ln\tau_f` is fitted by a line in
    :math:`\ln t_w` at each level.

    Parameters
    ----------
    age_w : array_like, shape (W,)
        Ages t_w, positive, ascending.
    lag_t : array_like, shape (T,)
        Lags t, positive, ascending.
    spread_wt : array_like, shape (W, T)
        D(t_w, t), NaN where not measured.
    left_out_cwt : array_like, shape (C, W, T)
        The same with each clone left out; a clone that does not count at an age leaves D as it is.

    Returns
    -------
    Ageing

    Raises
    ------
    ValueError
        Shapes that do not fit, or ages and lags that are not positive and ascending.
    """
    age_w, lag_t = np.asarray(age_w, dtype=float), np.asarray(lag_t, dtype=float)
    spread_wt, left_out_cwt = np.asarray(spread_wt, float), np.asarray(left_out_cwt, float)
    for name, x in (("ages", age_w), ("lags", lag_t)):
        if x.ndim != 1 or not (x > 0.0).all() or not (np.diff(x) > 0.0).all():
            raise ValueError(f"increments: sort the {name} so that they ascend from above 0")
    if spread_wt.shape != (len(age_w), len(lag_t)) or left_out_cwt.shape[1:] != spread_wt.shape:
        raise ValueError(f"increments: give D of every age and lag ({len(age_w)}, {len(lag_t)}) "
                         f"and with each clone left out, not {spread_wt.shape} and "
                         f"{left_out_cwt.shape}")
    reached = np.nanmax(np.where(np.isfinite(spread_wt), spread_wt, -np.inf), axis=1)
    reference = float(reached.min()) if np.isfinite(reached).all() else np.nan
    values = reference * np.array(LEVELS)
    lag_lw = _lags(spread_wt, lag_t, values)
    exponent = _exponent(age_w, lag_lw)
    left_out = np.array([_exponent(age_w, _lags(one, lag_t, values)) for one in left_out_cwt])
    return Ageing(exponent, float(jackknife_error(left_out)), reference, lag_lw)


def _lags(spread_wt: np.ndarray, lag_t: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Lag at which D first reaches each value, (levels, W); NaN where it does not."""
    return np.array([[_first(row, lag_t, value) for row in spread_wt] for value in values])


def _first(spread_t: np.ndarray, lag_t: np.ndarray, value: float) -> float:
    known = np.isfinite(spread_t) & (spread_t > 0.0)
    spread_t, lag_t = spread_t[known], lag_t[known]
    above = np.flatnonzero(spread_t >= value)
    if not len(above) or not value > 0.0:
        return np.nan
    k = int(above[0])
    if k == 0:  # D begins as t does, or faster
        return float(lag_t[0] * value / spread_t[0])
    share = np.log(value / spread_t[k - 1]) / np.log(spread_t[k] / spread_t[k - 1])
    return float(lag_t[k - 1] * (lag_t[k] / lag_t[k - 1]) ** share)


def _exponent(age_w: np.ndarray, lag_lw: np.ndarray) -> float:
    """Mean over levels of the slope of ln tau_f against ln t_w, at the ages that reach all."""
    known = np.isfinite(lag_lw).all(axis=0)
    if known.sum() < FEWEST_AGES:
        return np.nan
    x = np.log(age_w[known])
    x -= x.mean()
    return float((np.log(lag_lw[:, known]) @ x / (x @ x)).mean())
