r"""Waiting times of an event: mean, spread, shifted-exponential law, and their slopes.

Clones of one state, which differ in thermal noise alone, wait times :math:`t_i` for an event; those
still waiting when the observation ends are right-censored.  Nucleation waits a transit lag and then
an exponential time,

.. math:: p(t) = \frac{1}{s} e^{-(t - \ell)/s}, \quad t \ge \ell, \qquad \tau = \ell + s .

A mean is only ever quoted when at least half of the clones were seen to cross; otherwise the result
holds a lower bound and NaN.

References
----------
.. [1] J. F. Lawless, Statistical Models and Methods for Lifetime Data, 2nd ed. (2003): censored
   estimators of the two-parameter exponential, sections 4.1 and 4.4; product-limit estimator 3.2.
.. [2] W. Stute, W. Gonzalez Manteiga, M. Presedo Quindimil, Metrika 40 (1993) 243: bootstrap of
   goodness-of-fit statistics with fitted parameters.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from phasegrok.statistics import Line, format_error, weighted_line

MOST = 0.5
"""Largest fraction of censored clones for which a mean is quoted."""


@dataclass(frozen=True)
class WaitingTimes:
    r"""Statistics of the waiting times of a set of clones, in the time unit of the input.

    Attributes
    ----------
    n, n_censored : int
        Clones, and those whose event was not seen.
    tau, tau_err : float
        Mean waiting time; with censoring, :math:`\ell + s` of the censored fit.
    tau_lower : float
        95 % lower bound on the mean that assumes no law: observation time x the least fraction
        that can still be waiting then (Markov's inequality, Clopper-Pearson); 0 if nothing is
        censored, when tau is the better statement.
    cv, cv_err : float
        Standard deviation / mean, with the bootstrap error.  Censored waits are completed by the
        fitted exponential tail.
    lag, lag_err, scale, scale_err : float
        Shifted-exponential fit: lag :math:`\ell` (slightly negative values are compatible with
        none) and scale s.
    p_value, p_value_err : float
        Goodness of the shifted exponential: Kolmogorov-Smirnov distance with fitted parameters
        against its parametric bootstrap [2]_, and the error from the number of resamples.
    memoryless, memoryless_err : float
        Memoryless index: mean residual time of the clones still waiting at the median, divided by
        the fitted scale s; 1 for an exponential law with or without lag, below for a law that
        peaks, above for one with a long tail.  Its bootstrap error is up to a quarter too large
        below a hundred clones, because resampled medians fall on ties.
    mostly_censored : bool
        More than half, or all but one, are censored: everything but the counts and ``tau_lower`` is
        NaN.
    """

    n: int
    n_censored: int
    tau: float
    tau_err: float
    tau_lower: float
    cv: float
    cv_err: float
    lag: float
    lag_err: float
    scale: float
    scale_err: float
    p_value: float
    p_value_err: float
    memoryless: float
    memoryless_err: float
    mostly_censored: bool

    def __str__(self) -> str:
        seen = f"{self.n - self.n_censored} of {self.n} events seen"
        if self.mostly_censored:
            return f"mean waiting time > {self.tau_lower:.3g} (95 %) [{seen}: too few for more]"
        return (
            f"mean waiting time {format_error(self.tau, self.tau_err)}, "
            f"CV {format_error(self.cv, self.cv_err)}, lag {format_error(self.lag, self.lag_err)}, "
            f"exponential p = {self.p_value:.2g} [{seen}]"
        )


def waiting_times(
    time_i: np.ndarray,
    censored_i: np.ndarray | None = None,
    interval: float = 0.0,
    n_resamples: int = 1000,
    seed: int = 0,
) -> WaitingTimes:
    """Mean, spread and shifted-exponential law of right-censored waiting times.

    Parameters
    ----------
    time_i : array_like, shape (n,)
        Waiting time of each clone, or the time until which it was watched in vain.
    censored_i : array_like of bool, shape (n,), optional
        Whether the event was not seen; nothing is censored by default.
    interval : float
        Spacing of the recorded times, 0 for continuous ones: synthetic times of the goodness-of-fit
        test are rounded up to it, so that a coarse record alone does not reject the law.
    n_resamples : int
        Bootstrap resamples; the p-value resolves 1/n_resamples.
    seed : int
        Seed of the bootstraps.

    Returns
    -------
    WaitingTimes

    Raises
    ------
    ValueError
        No times, negative or not finite times, or shapes that differ.
    """
    time_i = np.asarray(time_i, dtype=float)
    censored_i = np.zeros(time_i.shape) if censored_i is None else np.asarray(censored_i)
    censored_i = censored_i.astype(bool)
    if time_i.ndim != 1 or time_i.shape != censored_i.shape:
        raise ValueError(f"times {time_i.shape} and censored {censored_i.shape} must be (n,)")
    if not (np.isfinite(time_i).all() and (time_i >= 0.0).all()):
        raise ValueError("waiting times must be finite and not negative; mark unseen as censored")
    n, n_censored = time_i.size, int(censored_i.sum())
    n_seen = n - n_censored
    lower = _mean_lower_bound(time_i, censored_i)
    if n_censored > MOST * n or n_seen < 2:
        return _too_few(n, n_censored, lower)
    lag, scale = (float(v[0]) for v in _fit(time_i[None], censored_i[None]))
    # t_min - l is exponential with mean s/n and independent of the estimate of s; see [1]_, 4.4.
    scale_err = scale / math.sqrt(n_seen - 1)
    lag_err = scale / n * math.sqrt(1.0 + 1.0 / (n_seen - 1))
    if n_censored:
        tau = lag + scale
        tau_err = math.hypot(scale / n, scale_err * (1.0 - 1.0 / n))
    else:
        tau, tau_err = float(time_i.mean()), float(time_i.std(ddof=1) / math.sqrt(n))
    tau_err = math.hypot(tau_err, interval / math.sqrt(12.0))  # a coarse record is no sharper
    p_value = _goodness_of_fit(time_i, censored_i, interval, n_resamples, seed)
    index_bi = np.random.default_rng(seed).integers(0, n, (n_resamples, n))
    cv_b = _coefficient_of_variation(time_i[index_bi], censored_i[index_bi])
    memoryless_b = _memoryless_index(time_i[index_bi], censored_i[index_bi])
    return WaitingTimes(
        n,
        n_censored,
        tau,
        tau_err,
        lower,
        float(_coefficient_of_variation(time_i[None], censored_i[None])[0]),
        _spread(cv_b),
        lag,
        lag_err,
        scale,
        scale_err,
        p_value,
        math.sqrt(p_value * (1.0 - p_value) / n_resamples),
        float(_memoryless_index(time_i[None], censored_i[None])[0]),
        _spread(memoryless_b),
        False,
    )


def _too_few(n: int, n_censored: int, tau_lower: float) -> WaitingTimes:
    """Counts and a bound, and no number that would pretend to be measured."""
    nan = math.nan
    return WaitingTimes(
        n, n_censored, nan, nan, tau_lower, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, True
    )


def _mean_lower_bound(time_i: np.ndarray, censored_i: np.ndarray) -> float:
    """h x (95 % lower bound of the probability to wait longer than h), h = shortest watch."""
    if not censored_i.any():
        return 0.0
    horizon = time_i[censored_i].min()
    waiting = int((time_i > horizon).sum() + (censored_i & (time_i == horizon)).sum())
    return float(horizon * betaincinv(waiting, time_i.size - waiting + 1, 0.05))


def _fit(time_bi: np.ndarray, censored_bi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lag and scale of each row: maximum likelihood with its bias removed [1]_.

    The likelihood is largest at l = t_min and s = (time at risk after t_min) / events; the event at
    t_min carries no information on s, hence events - 1, and t_min exceeds the lag by s/n.
    """
    first_b = np.where(censored_bi, np.inf, time_bi).min(axis=1, keepdims=True)
    at_risk_b = np.maximum(time_bi - first_b, 0.0).sum(axis=1)
    n_seen_b = (~censored_bi).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale_b = np.where(n_seen_b > 1, at_risk_b / (n_seen_b - 1), np.nan)
        return first_b[:, 0] - scale_b / time_bi.shape[1], scale_b


def _coefficient_of_variation(time_bi: np.ndarray, censored_bi: np.ndarray) -> np.ndarray:
    """Standard deviation / mean of each row; a censored wait c counts as c + exponential(s)."""
    scale_b = np.where(censored_bi.any(axis=1), _fit(time_bi, censored_bi)[1], 0.0)
    tail_bi = np.where(censored_bi, scale_b[:, None], 0.0)
    mean_b = (time_bi + tail_bi).mean(axis=1)
    square_b = ((time_bi + tail_bi - mean_b[:, None]) ** 2 + tail_bi**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(square_b / (time_bi.shape[1] - 1)) / mean_b


def _memoryless_index(time_bi: np.ndarray, censored_bi: np.ndarray) -> np.ndarray:
    """Mean residual time beyond the median over the fitted scale, of each row."""
    # With at most half censored, all beyond the median or nearly so, the plain median serves.
    median_b = np.median(time_bi, axis=1, keepdims=True)
    beyond_bi = time_bi > median_b
    residual_b = np.where(beyond_bi, time_bi - median_b, 0.0).sum(axis=1)
    events_b = (beyond_bi & ~censored_bi).sum(axis=1)
    scale_b = _fit(time_bi, censored_bi)[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(events_b > 0, residual_b / events_b, np.nan) / scale_b


def _spread(values_b: np.ndarray) -> float:
    """Standard deviation of the finite resamples; NaN if more than one in ten is not finite."""
    finite_b = values_b[np.isfinite(values_b)]
    return float(finite_b.std(ddof=1)) if finite_b.size > 0.9 * values_b.size > 1 else math.nan


def _goodness_of_fit(time_i, censored_i, interval, n_resamples, seed) -> float:
    """p-value of the shifted exponential by parametric bootstrap of the KS distance [2]_.

    All clones are compared up to the shortest observation time, so that synthetic clones can be
    watched in the same way.
    """
    n = time_i.size
    horizon = time_i[censored_i].min() if censored_i.any() else math.inf
    late_i = censored_i | (time_i > horizon)
    time_i = np.minimum(time_i, horizon)
    lag_b, scale_b = _fit(time_i[None], late_i[None])
    lag, scale = float(lag_b[0]), float(scale_b[0])
    if not scale > 0.0:
        return math.nan
    observed = _ks_distance(time_i[None], late_i[None])[0]
    # The lag is not far below the first event, so a negative one needs no special care.
    rng = np.random.default_rng([seed, n])
    time_bi = lag + scale * rng.exponential(size=(n_resamples, n))
    if interval > 0.0:
        time_bi = interval * np.ceil(time_bi / interval)
    late_bi = time_bi > horizon
    distance_b = _ks_distance(np.minimum(time_bi, horizon), late_bi)
    distance_b = distance_b[np.isfinite(distance_b)]
    # The observed sample counts as one of the resamples: never exactly zero.
    return float((1 + (distance_b >= observed * (1.0 - 1e-12)).sum()) / (1 + distance_b.size))


def _ks_distance(time_bi: np.ndarray, late_bi: np.ndarray) -> np.ndarray:
    """Kolmogorov-Smirnov distance of each row to its own fit, over the observed range."""
    n = time_bi.shape[1]
    lag_b, scale_b = _fit(time_bi, late_bi)
    order_bi = np.argsort(time_bi, axis=1, kind="stable")
    time_bi = np.take_along_axis(time_bi, order_bi, axis=1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        law_bi = -np.expm1(-np.maximum(time_bi - lag_b[:, None], 0.0) / scale_b[:, None])
    rank_i = np.arange(1, n + 1)
    seen_bi = ~np.take_along_axis(late_bi, order_bi, axis=1)
    above_bi = np.where(seen_bi, rank_i / n - law_bi, 0.0)
    below_bi = law_bi - (rank_i - 1) / n  # also at the horizon, before the first censored clone
    first_late_bi = ~seen_bi & (np.cumsum(~seen_bi, axis=1) == 1)
    below_bi = np.where(seen_bi | first_late_bi, below_bi, 0.0)
    return np.maximum(above_bi.max(axis=1), below_bi.max(axis=1))


def temperature_slope(
    temperature_k: np.ndarray, tau_k: np.ndarray, tau_err_k: np.ndarray
) -> Line:
    r"""Noise scaling :math:`G = d\ln\tau / d\ln T` of the mean waiting time.

    -B/T for activation over a barrier B, :math:`-1/(2\lambda\tau)` for noise leaving a saddle of
    growth rate :math:`\lambda`, 0 for drift.

    Parameters
    ----------
    temperature_k, tau_k, tau_err_k : array_like, shape (K,)
        Temperatures, mean waiting times and their errors; NaN entries (mostly censored) are
        dropped, and ``n`` of the result says how many were used.

    Returns
    -------
    Line
        Its ``slope`` is G.

    Raises
    ------
    ValueError
        A temperature that is not positive.
    """
    temperature_k = np.asarray(temperature_k, dtype=float)
    if not (temperature_k > 0.0).all():
        raise ValueError("temperatures must be positive")
    return _log_line(np.log(temperature_k), tau_k, tau_err_k)


def size_slope(size_k: np.ndarray, tau_k: np.ndarray, tau_err_k: np.ndarray) -> Line:
    r"""Size scaling :math:`d\ln\tau / dN` of the mean waiting time.

    Positive for a barrier proportional to N; 0 for nucleation at a local spot, drift or a saddle.

    Parameters
    ----------
    size_k, tau_k, tau_err_k : array_like, shape (K,)
        Sizes (spins, weights or width), mean waiting times and errors; NaN entries are dropped.

    Returns
    -------
    Line
        Its ``slope`` is d ln tau / dN.
    """
    return _log_line(np.asarray(size_k, dtype=float), tau_k, tau_err_k)


def _log_line(x_k, tau_k, tau_err_k) -> Line:
    tau_k, tau_err_k = np.asarray(tau_k, dtype=float), np.asarray(tau_err_k, dtype=float)
    usable_k = np.isfinite(tau_k) & (tau_k > 0.0)
    safe_k = np.where(usable_k, tau_k, 1.0)
    return weighted_line(x_k, np.where(usable_k, np.log(safe_k), np.nan), tau_err_k / safe_k)


def crossing_time(
    series_t: np.ndarray,
    phi_t: np.ndarray,
    threshold: float,
    hold: int = 1,
    falling: bool = False,
) -> np.ndarray:
    """First time from which an order parameter stays beyond a threshold for ``hold`` points.

    Parameters
    ----------
    series_t : array_like, shape (T,)
        Recorded times.
    phi_t : array_like, shape (..., T)
        Order parameter, of one or of several clones; NaN is never beyond.
    threshold : float
        The event is phi >= threshold.
    hold : int
        Recorded points, the first included, for which it must stay there.
    falling : bool
        The event is phi <= threshold instead.

    Returns
    -------
    ndarray, shape (...)
        NaN where the event is not seen; one that begins too late to be held is not.

    Raises
    ------
    ValueError
        hold < 1 or shapes that do not fit.
    """
    series_t, phi_t = np.asarray(series_t, dtype=float), np.asarray(phi_t, dtype=float)
    if hold < 1 or series_t.ndim != 1 or phi_t.shape[-1:] != series_t.shape:
        raise ValueError(f"hold {hold} must be >= 1 and phi {phi_t.shape} end in {series_t.shape}")
    if series_t.size < hold:
        return np.full(phi_t.shape[:-1], np.nan)[()]
    beyond_t = phi_t <= threshold if falling else phi_t >= threshold
    counts = np.cumsum(beyond_t, axis=-1)
    counts = np.concatenate([np.zeros_like(counts[..., :1]), counts], axis=-1)
    held_t: np.ndarray = counts[..., hold:] - counts[..., : counts.shape[-1] - hold] == hold
    return np.where(held_t.any(axis=-1), series_t[held_t.argmax(axis=-1)], np.nan)[()]


def transit_time(
    series_t: np.ndarray,
    phi_t: np.ndarray,
    start: float,
    threshold: float,
    hold: int = 1,
    falling: bool = False,
) -> np.ndarray:
    """Time from the last visit to the old state to the crossing: how long the passage itself takes.

    Parameters
    ----------
    series_t, phi_t, threshold, hold, falling
        As in `crossing_time`.
    start : float
        Edge of the old state: the passage begins after the last point with phi <= start (>= for
        falling events) before the crossing.

    Returns
    -------
    ndarray, shape (...)
        NaN where the event is not seen; counted from the first record if that is beyond ``start``.

    Raises
    ------
    ValueError
        As in `crossing_time`.
    """
    series_t, phi_t = np.asarray(series_t, dtype=float), np.asarray(phi_t, dtype=float)
    crossing = np.asarray(crossing_time(series_t, phi_t, threshold, hold, falling))
    home_t = phi_t >= start if falling else phi_t <= start
    home_t = home_t & (series_t < crossing[..., None])
    last = series_t.size - 1 - home_t[..., ::-1].argmax(axis=-1)
    begin = np.where(home_t.any(axis=-1), series_t[last], series_t[0])
    return (crossing - begin)[()]


def first_step(step_t: np.ndarray, accuracy_t: np.ndarray, level: float = 0.5) -> float:
    """First recorded training step at which an accuracy reaches a level.

    Parameters
    ----------
    step_t, accuracy_t : array_like, shape (T,)
        Recorded steps and accuracies in 0..1.
    level : float
        Accuracy.

    Returns
    -------
    float
        NaN if never.

    Raises
    ------
    ValueError
        Shapes differ.
    """
    return float(crossing_time(step_t, np.atleast_1d(accuracy_t), level))


def sustained_step(
    step_t: np.ndarray, accuracy_t: np.ndarray, level: float = 0.95, window: float = 0.0
) -> float:
    """First training step from which an accuracy stays at a level over a window of steps.

    Parameters
    ----------
    step_t, accuracy_t : array_like, shape (T,)
        Recorded steps, increasing, not necessarily evenly, and accuracies in 0..1.
    level : float
        Accuracy; 0.95 rather than 0.99, about which accuracies oscillate.
    window : float
        Steps (not records): every record in [step, step + window] must be at the level.

    Returns
    -------
    float
        NaN if never, or if the record ends before the window does.

    Raises
    ------
    ValueError
        Shapes differ or a negative window.
    """
    step_t, accuracy_t = np.asarray(step_t, dtype=float), np.asarray(accuracy_t, dtype=float)
    if step_t.ndim != 1 or step_t.shape != accuracy_t.shape or window < 0.0:
        raise ValueError(
            f"steps {step_t.shape} and accuracies {accuracy_t.shape} must be (T,), window >= 0"
        )
    if step_t.size == 0:
        return math.nan
    low_t = ~(accuracy_t >= level)
    # First step at or after each record at which the accuracy is low again.
    next_low_t = np.minimum.accumulate(np.where(low_t, step_t, np.inf)[::-1])[::-1]
    held_t = (next_low_t > step_t + window) & (step_t + window <= step_t[-1])
    return float(step_t[held_t.argmax()]) if held_t.any() else math.nan
