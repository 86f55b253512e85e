"""Laws of a time to generalise, fitted to replicas: powers, and divergences at a critical value."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

_RESAMPLES = 200


class Fit(NamedTuple):
    """Parameters of a law with their standard errors."""

    value: np.ndarray
    error: np.ndarray  # see _fit; NaN where too few resamples could be fitted
    rms: float  # of the logarithms of the medians about the law; NaN without a fit
    points: int  # values that entered


def power_law(value_k: np.ndarray, time_kr: np.ndarray) -> Fit:
    """t = A value^(-b), fitted to the medians of replicas in logarithms.

    Parameters
    ----------
    value_k : (K,) array
        Positive.
    time_kr : (K, R) array
        Times of R replicas, which are the same at all values (they are resampled together); NaN:
        never.  Values at which half of the replicas or more are NaN do not enter.

    Returns
    -------
    fit : Fit
        Of A and b.
    """
    def solve(x, y):
        slope, level = np.polyfit(np.log(x), y, 1)
        return np.array([np.exp(level), -slope])

    return _fit(value_k, time_kr, 2, solve, lambda p, x: np.log(p[0]) - p[1] * np.log(x))


def divergence(value_k: np.ndarray, time_kr: np.ndarray) -> Fit:
    """t = A (value - critical)^(-b), 0 <= critical < min(value), fitted as :func:`power_law`.

    Returns
    -------
    fit : Fit
        Of A, b and the critical value.
    """
    def law(p, x):
        return np.log(p[0]) - p[1] * np.log(x - p[2])

    def solve(x, y):
        """The line in ln(x - critical) is known for each gap = min(x) - critical; then the gap."""
        def line(gap):
            u = np.log(x - x.min() + gap)
            slope, level = np.polyfit(u, y, 1)
            return slope, level, np.sum((level + slope * u - y) ** 2)

        gaps = np.geomspace(1e-3 * x.min(), x.min(), 26)
        best = int(np.argmin([line(gap)[2] for gap in gaps]))
        ends = np.log(gaps[[max(best - 1, 0), min(best + 1, len(gaps) - 1)]])
        found = minimize_scalar(lambda q: line(np.exp(q))[2], bounds=ends, method="bounded",
                                options={"xatol": 1e-8})
        gap = float(np.exp(found.x))
        slope, level, _ = line(gap)
        return np.array([np.exp(level), -slope, x.min() - gap])

    return _fit(value_k, time_kr, 3, solve, law)


def local_exponents(value_k: np.ndarray, time_kr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-d ln t/d ln value between neighbouring values, (K - 1,), and its standard error.

    Of medians as in :func:`power_law`; NaN where one of the two is not known.
    """
    def slopes(times):
        with np.errstate(invalid="ignore"):
            return -np.diff(_log_medians(times)) / np.diff(np.log(value_k))

    time_kr = np.asarray(time_kr, dtype=float)
    rng, n = np.random.default_rng(0), time_kr.shape[1]
    draws = [slopes(time_kr[:, rng.integers(0, n, n)]) for _ in range(_RESAMPLES)]
    found = slopes(time_kr)
    with np.errstate(invalid="ignore"):
        error = np.where(np.isfinite(draws).all(axis=0), np.std(draws, axis=0), np.nan)
    return np.where(np.isfinite(found), found, np.nan), error


def _log_medians(time_kr: np.ndarray) -> np.ndarray:
    return np.log(np.median(np.where(np.isnan(time_kr), np.inf, time_kr), axis=1))


def _fit(value_k, time_kr, n, solve, law) -> Fit:
    """Fit of ``n`` parameters to the medians, and to those of resampled replicas for the errors.

    Where the medians scatter about the law by more than their own errors, as they do where it does
    not hold, errors are enlarged by that ratio: a bent law does not pass for a precise exponent.
    """
    value_k, time_kr = np.asarray(value_k, dtype=float), np.asarray(time_kr, dtype=float)
    never = Fit(np.full(n, np.nan), np.full(n, np.nan), np.nan, 0)

    def medians(times):
        y = _log_medians(times)
        return np.isfinite(y), y

    known, y = medians(time_kr)
    if known.sum() <= n:  # nothing would be left to tell whether it is a law
        return never._replace(points=int(known.sum()))
    best = solve(value_k[known], y[known])
    rms = float(np.sqrt(np.mean((law(best, value_k[known]) - y[known]) ** 2)))
    rng, draws, scatter = np.random.default_rng(0), [], []
    for _ in range(_RESAMPLES):
        chosen = rng.integers(0, time_kr.shape[1], time_kr.shape[1])
        seen, again = medians(time_kr[:, chosen])
        if seen.sum() > n:
            draws.append(solve(value_k[seen], again[seen]))
            scatter.append(np.mean((again[seen & known] - y[seen & known]) ** 2))
    error = never.error
    if len(draws) > _RESAMPLES // 2 and time_kr.shape[1] > 1:
        low, high = np.quantile(draws, [0.16, 0.84], axis=0)
        expected = np.sqrt(np.mean(scatter) * (1.0 - n / known.sum()))
        error = 0.5 * (high - low) * max(1.0, rms / expected if expected > 0.0 else 1.0)
    return Fit(best, error, rms, int(known.sum()))
