"""Errors of Monte Carlo averages: Gamma method, binning, jackknife, bootstrap, R-hat, BIC.

Everything takes arrays and returns numbers; nothing here knows a physical system.  Times are in
units of the spacing of the samples.

References
----------
.. [1] U. Wolff, Monte Carlo errors with less errors, Comput. Phys. Commun. 156 (2004) 143,
   hep-lat/0306017.
.. [2] A. Gelman et al., Bayesian Data Analysis, 3rd ed. (2013), section 11.4.
.. [3] B. Efron, The Jackknife, the Bootstrap and Other Resampling Plans (1982), chapter 2.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

WINDOW_FACTOR = 1.5
"""Ratio S of the exponential to the integrated autocorrelation time, recommended in [1]_."""

ENOUGH_INDEPENDENT = 50
"""Independent samples n / (2 tau) below which tau, and so the error, is not trustworthy."""


ENOUGH_TAU = 20
"""Autocorrelation times that a run lasts at least before it counts as equilibrated."""

MAX_R_HAT = 1.1
"""R-hat up to which chains count as mixed, the rule of [2]_, section 11.5."""

MAX_DEVIATION = 3.0
"""Standard errors by which equal means may differ."""


@dataclass(frozen=True)
class Estimate:
    """A Monte Carlo mean with its statistical error.

    Attributes
    ----------
    value, error : float
        Mean and its standard error, in the unit of the observable.
    tau, tau_error : float
        Integrated autocorrelation time (1/2 for independent samples) and its error, in samples;
        NaN for a series that never changed, whose tau is unknown.
    n : int
        Number of samples, summed over replicas.
    """

    value: float
    error: float
    tau: float
    tau_error: float
    n: int

    @property
    def more_needed(self) -> int:
        """Further samples needed before tau is trustworthy, 0 when there are enough."""
        tau = 0.5 if math.isnan(self.tau) else self.tau
        return max(0, math.ceil(2.0 * ENOUGH_INDEPENDENT * tau) - self.n)

    def __str__(self) -> str:
        if math.isnan(self.tau):
            text = f"{self.value:.6g} ± {self.error:.2g} [tau unknown: constant, n {self.n}]"
        else:
            text = f"{format_error(self.value, self.error)} [tau {self.tau:.3g}, n {self.n}]"
        if self.more_needed:
            text += f" (too short: at least {self.more_needed} more samples needed)"
        return text


def format_error(value: float, error: float) -> str:
    """``value ± error`` with the value cut at the error's second digit.

    Parameters
    ----------
    value, error : float
        A number and its standard error; an error that is not finite and positive prints as is.
    """
    if not (math.isfinite(value) and math.isfinite(error) and error > 0.0):
        return f"{value:.6g} ± {error:.2g}"
    digits = 1 - math.floor(math.log10(error))
    if digits > 8 or digits < -3:
        size = math.floor(math.log10(abs(value))) if value else 0
        return f"{value:.{min(17, max(1, size + 1 + digits))}g} ± {error:.1e}"
    digits = max(digits, 0)
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def autocovariance(x_rt: np.ndarray) -> np.ndarray:
    r"""Autocovariance of a stationary series about the mean over all replicas.

    .. math:: \Gamma(t) = \frac{1}{N - R t} \sum_{r} \sum_{i} \delta x_{r,i}\, \delta x_{r,i+t},

    with R replicas and N samples in all, eq. (31) of [1]_.

    Parameters
    ----------
    x_rt : ndarray, shape (T,) or (R, T)
        One series, or R replicas of it.

    Returns
    -------
    ndarray, shape (T,)
    """
    x_rt = np.atleast_2d(np.asarray(x_rt, dtype=float))
    n_replicas, n_times = x_rt.shape
    deviation_rt = x_rt - x_rt.mean()
    # Zero padding to twice the length keeps the circular transform from wrapping around.
    size = 1 << (2 * n_times - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(deviation_rt, size, axis=1)) ** 2
    sums_t = np.fft.irfft(spectrum.sum(axis=0), size)[:n_times]
    return sums_t / (n_replicas * np.arange(n_times, 0, -1))


def mean_with_error(x_t: np.ndarray) -> Estimate:
    r"""Mean of a stationary series with its error by the Gamma method.

    The error is :math:`\sigma^2 = 2 \tau_{int} \Gamma(0) / N`; the sum over the autocovariance
    stops at the window W where truncation bias and noise balance (eq. 50-52 of [1]_), the bias of
    the subtracted mean is removed (eq. 49), and :math:`\delta\tau^2 = 4 (W + 1/2 - \tau)\tau^2/N`
    (eq. 42).

    Parameters
    ----------
    x_t : array_like, shape (T,) or (R, T)
        Equally spaced samples in equilibrium; several rows are independent replicas.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        Fewer than two samples a replica, or a sample that is not finite.
    """
    x_rt = np.atleast_2d(np.asarray(x_t, dtype=float))
    if x_rt.ndim != 2 or x_rt.shape[1] < 2:
        raise ValueError("a mean with an error needs a series of at least two samples")
    if not np.isfinite(x_rt).all():
        raise ValueError("the series contains values that are not finite")
    n = x_rt.size
    value = float(x_rt.mean())
    if np.ptp(x_rt) == 0.0:
        return Estimate(value, 0.0, math.nan, math.nan, n)
    gamma_t = autocovariance(x_rt)
    window = _window(gamma_t, n)
    variance = gamma_t[0]
    sum_gamma = variance + 2.0 * gamma_t[1 : window + 1].sum()
    if sum_gamma <= 0.0:  # anticorrelation beyond what n resolves
        sum_gamma = variance / n
    sum_gamma *= 1.0 + (2.0 * window + 1.0) / n
    tau = sum_gamma / (2.0 * variance)
    tau_error = 2.0 * tau * math.sqrt(max(window + 0.5 - tau, 0.5) / n)
    return Estimate(value, math.sqrt(sum_gamma / n), tau, tau_error, n)


def _window(gamma_t: np.ndarray, n: int) -> int:
    """Summation window of [1]_, eq. (51-52): the first W at which g(W) < 0."""
    n_times = gamma_t.size
    tau_W = 0.5 + np.cumsum(gamma_t[1:]) / gamma_t[0]
    W = np.arange(1, n_times)
    # exp(-1/decay) = (2 tau - 1) / (2 tau + 1) for a single exponential, eq. (51); its modulus
    # also covers an alternating one, for which [1]_ would stop at W = 1.
    ratio_W = np.abs((2.0 * tau_W - 1.0) / np.where(tau_W > 0.0, 2.0 * tau_W + 1.0, 1.0))
    decay_W = WINDOW_FACTOR / -np.log(np.clip(ratio_W, 1e-30, 1.0 - 1e-12))
    g_W = np.exp(-W / decay_W) - decay_W / np.sqrt(W * float(n))
    below = np.flatnonzero(g_W < 0.0)
    # Never below zero: a chain shorter than its own correlations; the widest sensible window is
    # half the series, and more_needed then says so.
    return int(W[below[0]]) if below.size else max(1, n_times // 2)


def mean_of_blocks(sum_b: np.ndarray, sum_squares_b: np.ndarray, every: int) -> Estimate:
    r"""Mean of a series of which only sums over blocks were kept; tau in the series' own spacing.

    The error is that of the block means by `mean_with_error`; with the variance of the single
    samples, which the sums of squares give,

    .. math:: \tau_{int} = n \sigma^2 / (2 (\overline{x^2} - \bar x^2)).

    Parameters
    ----------
    sum_b, sum_squares_b : array_like, shape (B,) or (R, B)
        Sums of x and of x^2 over consecutive blocks; several rows are independent replicas.
    every : int
        Samples (sweeps) a block.

    Returns
    -------
    Estimate
        ``tau`` and ``n`` count samples, not blocks.

    Raises
    ------
    ValueError
        Fewer than two blocks a replica, shapes that differ, or values that are not finite.
    """
    sum_rb, squares_rb = (np.atleast_2d(np.asarray(s, float)) for s in (sum_b, sum_squares_b))
    if sum_rb.shape != squares_rb.shape or not np.isfinite(squares_rb).all():
        raise ValueError("sums and sums of squares need one shape and finite values")
    blocks = mean_with_error(sum_rb / every)
    n = blocks.n * every
    variance = float(squares_rb.mean()) / every - blocks.value**2
    if math.isnan(blocks.tau) or variance <= 0.0:
        return Estimate(blocks.value, blocks.error, math.nan, math.nan, n)
    tau = n * blocks.error**2 / (2.0 * variance)
    return Estimate(blocks.value, blocks.error, tau, tau * blocks.tau_error / blocks.tau, n)


def binned_error(x_t: np.ndarray, length: int) -> float:
    r"""Standard error of the mean of a series from averages over bins of one length.

    Grows with the length until bins are independent, then stays level: compare several lengths.

    Parameters
    ----------
    x_t : array_like, shape (T,)
        Equally spaced samples; an incomplete last bin is dropped.
    length : int
        Samples a bin.

    Raises
    ------
    ValueError
        Fewer than two whole bins.
    """
    x_t = np.asarray(x_t, dtype=float)
    n_bins = x_t.size // length if length > 0 else 0
    if n_bins < 2:
        raise ValueError(f"bins of {length} samples: {x_t.size} samples give fewer than two")
    mean_b = x_t[: n_bins * length].reshape(n_bins, length).mean(axis=1)
    return float(mean_b.std(ddof=1) / math.sqrt(n_bins))


def jackknife_error(leave_one_out: np.ndarray, axis: int = 0) -> np.ndarray:
    r"""Standard error from leave-one-out values.

    .. math:: \sigma^2 = \frac{W - 1}{W} \sum_w (x_w - \bar x)^2

    Parameters
    ----------
    leave_one_out : array_like
        Values of the estimator with walker w left out, along ``axis``.
    axis : int
        Axis of the walkers.

    Returns
    -------
    ndarray
        The shape without ``axis``; NaN where W = 1 or any leave-one-out value is NaN.
    """
    values = np.moveaxis(np.asarray(leave_one_out, dtype=float), axis, 0)
    n_walkers = values.shape[0]
    if n_walkers < 2:
        return np.full(values.shape[1:], math.nan)
    squares = ((values - values.mean(axis=0)) ** 2).sum(axis=0)
    return np.sqrt(squares * (n_walkers - 1) / n_walkers)


def mean_and_error(x: np.ndarray, axis: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Mean of independent samples along an axis, and its standard error.

    Samples that are NaN are left out; the error of fewer than two is NaN.
    """
    x = np.asarray(x, dtype=float)
    known = np.isfinite(x)
    n = known.sum(axis=axis, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, x, 0.0).sum(axis=axis, keepdims=True) / n
        squares = (np.where(known, x - mean, 0.0) ** 2).sum(axis=axis, keepdims=True)
        error = np.sqrt(np.where(n > 1, squares / (n - 1), math.nan) / n)
    return mean.squeeze(axis), error.squeeze(axis)


def over_samples(x_r: np.ndarray, n_samples: int = 1):
    r"""Mean over replicas with its error; with disorder, errors over samples and thermal ones.

    Parameters
    ----------
    x_r : array_like, shape (R, ...)
        A value of every replica; replicas of one sample of the disorder stand together.
    n_samples : int
        S samples of R / S replicas each.

    Returns
    -------
    mean, error, thermal_error : ndarray, shape (...)
        For one sample, the scatter of replicas gives the error, and the thermal one is the same.
        For several, the scatter of their means gives the error, of which the thermal one is the
        part that more replicas would remove (NaN with one replica a sample).
    """
    x_r = np.asarray(x_r, dtype=float)
    if x_r.shape[0] == 0:
        nothing = np.full(x_r.shape[1:], math.nan)
        return nothing, nothing, nothing
    x_sr = x_r.reshape(n_samples, -1, *x_r.shape[1:])
    thermal = np.full(x_r.shape[1:], math.nan)
    if x_sr.shape[1] > 1:
        thermal = np.sqrt((x_sr.var(axis=1, ddof=1) / x_sr.shape[1]).sum(axis=0)) / n_samples
    mean_s = x_sr.mean(axis=1)
    if n_samples == 1:
        return mean_s[0], thermal, thermal
    return mean_s.mean(axis=0), mean_s.std(axis=0, ddof=1) / math.sqrt(n_samples), thermal


def jackknife(
    function: Callable[..., np.ndarray], *means_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    r"""Function of several means, without its bias of order 1/B, and its standard error.

    .. math:: \hat\theta = B\,\theta(\bar x) - (B - 1)\,\overline{\theta_{(b)}},\qquad
              \sigma^2 = \frac{B-1}{B}\sum_b (\theta_{(b)} - \overline{\theta_{(b)}})^2

    with block b left out in :math:`\theta_{(b)}`, eq. (2.8) and (3.1) of [3]_.

    Parameters
    ----------
    function : callable
        Takes one array a mean, e.g. ``lambda E, E2: (E2 - E**2) / (N * T**2)``, elementwise.
    *means_b : array_like, shape (B, ...)
        Means over B blocks of equal length, much longer than tau; the blocks of several replicas
        stand one after the other.  Further axes (temperatures) are kept.

    Returns
    -------
    value, error : ndarray
        The shape of a mean without the axis of blocks; the error is NaN for B = 1.
    """
    blocks = [np.asarray(x_b, dtype=float) for x_b in means_b]
    B = len(blocks[0])
    whole = np.asarray(function(*[x_b.mean(axis=0) for x_b in blocks]))
    if B < 2:
        return whole, np.full(whole.shape, math.nan)
    left_out = np.asarray(function(*[(x_b.sum(axis=0) - x_b) / (B - 1) for x_b in blocks]))
    return B * whole - (B - 1) * left_out.mean(axis=0), jackknife_error(left_out)


def bootstrap(
    samples: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    n_resamples: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Bootstrap distribution of a statistic of independent samples; its spread is the error.

    Parameters
    ----------
    samples : array_like, shape (n, ...)
        Independent samples along the first axis.
    statistic : callable
        Takes ``samples[index_bn]``, shape (n_resamples, n, ...), and returns one value a
        resample, shape (n_resamples, ...).
    n_resamples : int
        Number of resamples.
    seed : int
        Seed of the resampling.

    Returns
    -------
    ndarray, shape (n_resamples, ...)
    """
    samples = np.asarray(samples)
    index_bn = np.random.default_rng(seed).integers(
        0, samples.shape[0], (n_resamples, samples.shape[0])
    )
    return np.asarray(statistic(samples[index_bn]))


def r_hat(x_ct: np.ndarray) -> float:
    r"""Split R-hat of several chains: 1 when all of them sample the same distribution.

    :math:`\hat R^2 = \frac{n-1}{n} + B/(nW)` with the variance B/n of the half-chain means and the
    mean variance W within half-chains, eq. (11.4) of [2]_.

    Parameters
    ----------
    x_ct : array_like, shape (C, T)
        C >= 1 chains, e.g. from hot and cold starts.

    Returns
    -------
    float
        NaN if nothing varies at all, infinite if only the chains differ.

    Raises
    ------
    ValueError
        Fewer than four samples a chain.
    """
    x_ct = np.atleast_2d(np.asarray(x_ct, dtype=float))
    half = x_ct.shape[1] // 2
    if half < 2:
        raise ValueError("R-hat needs at least four samples a chain")
    x_ht = np.concatenate([x_ct[:, :half], x_ct[:, -half:]])
    within = float(x_ht.var(axis=1, ddof=1).mean())
    between = float(x_ht.mean(axis=1).var(ddof=1))
    if within == 0.0:
        return math.inf if between > 0.0 else math.nan
    return math.sqrt((half - 1) / half + between / within)


def bic(log_likelihood: float, n_parameters: int, n_samples: int) -> float:
    """Bayesian information criterion k ln n - 2 ln L; the smaller, the better the law.

    Parameters
    ----------
    log_likelihood : float
        Natural logarithm of the maximised likelihood.
    n_parameters, n_samples : int
        Fitted parameters k and data points n.
    """
    return n_parameters * math.log(n_samples) - 2.0 * log_likelihood


@dataclass(frozen=True)
class Line:
    """A fitted straight line y = intercept + slope x.

    Attributes
    ----------
    slope, slope_error, intercept, intercept_error : float
        Parameters and standard errors; NaN when fewer than two points could be used.
    chi2 : float
        Sum of squared residuals in units of the errors.
    n : int
        Points used.
    """

    slope: float
    slope_error: float
    intercept: float
    intercept_error: float
    chi2: float
    n: int

    def __str__(self) -> str:
        dof = max(self.n - 2, 0)
        fit = f"chi2 {self.chi2:.3g} / {dof}" if dof else f"{self.n} points"
        return f"{format_error(self.slope, self.slope_error)} [{fit}]"


def weighted_line(x: np.ndarray, y: np.ndarray, y_error: np.ndarray) -> Line:
    r"""Straight line through points with errors, by weighted least squares.

    Errors are enlarged by :math:`\sqrt{\chi^2/(n-2)}` where the points scatter by more than their
    errors, so that a curved law does not pass for a precise slope.

    Parameters
    ----------
    x, y, y_error : array_like, shape (n,)
        Points; those with a value or error that is not finite, or an error of zero, are dropped.

    Returns
    -------
    Line
    """
    x, y, y_error = (np.asarray(v, dtype=float) for v in (x, y, y_error))
    use = np.isfinite(x) & np.isfinite(y) & np.isfinite(y_error) & (y_error > 0.0)
    x, y, weight = x[use], y[use], y_error[use] ** -2.0
    if x.size < 2 or np.ptp(x) == 0.0:
        return Line(math.nan, math.nan, math.nan, math.nan, math.nan, int(x.size))
    total = weight.sum()
    x_mean, y_mean = (weight * x).sum() / total, (weight * y).sum() / total
    spread = (weight * (x - x_mean) ** 2).sum()
    slope = (weight * (x - x_mean) * y).sum() / spread
    intercept = y_mean - slope * x_mean
    chi2 = float((weight * (y - intercept - slope * x) ** 2).sum())
    enlarge = math.sqrt(max(1.0, chi2 / (x.size - 2))) if x.size > 2 else 1.0
    return Line(
        float(slope),
        enlarge / math.sqrt(spread),
        float(intercept),
        enlarge * math.sqrt(1.0 / total + x_mean**2 / spread),
        chi2,
        int(x.size),
    )
