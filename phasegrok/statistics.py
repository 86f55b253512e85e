"""Errors of Monte Carlo averages: autoregressive fits, binning, jackknife, bootstrap, R-hat, BIC.

Everything takes arrays and returns numbers; nothing here knows a physical system.  Times are in
units of the spacing of the samples.

References
----------
.. [1] G. E. P. Box, G. M. Jenkins and G. C. Reinsel, Time Series Analysis, 4th ed. (2008),
   chapters 3 and 7.
.. [2] A. Gelman et al., Bayesian Data Analysis, 3rd ed. (2013), section 11.4.
.. [3] B. Efron, The Jackknife, the Bootstrap and Other Resampling Plans (1982), chapter 2.
.. [4] J. P. Burg, Maximum entropy spectral analysis, Proc. 37th Meeting Soc. Exploration
   Geophysicists (1967).
.. [5] C. M. Hurvich and C.-L. Tsai, Regression and time series model selection in small samples,
   Biometrika 76 (1989) 297.
.. [6] U. Wolff, Monte Carlo errors with less errors, Comput. Phys. Commun. 156 (2004) 143,
   hep-lat/0306017.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter, lfiltic
from scipy.stats import t as student

_BLOCKS = 1024
"""Blocks, at least, of the noise of a long series; of N samples N^(2/3).  Low orders then span its
slow correlations, and both the error of the error and what a fit cannot span fall with N."""

_FEWEST_BLOCKS = 16  # of a replica
_CHOICE = 8.0  # times 1/N: variance that the choice of their order adds, measured on white noise
_LARGEST_ORDER = 8  # of the fit to a long series, whose slow correlations are left to its blocks

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
    dof : float
        Degrees of freedom of the error, which is itself estimated: (value - exact) / error follows
        Student's t with so many; infinite where the error is exact.
    """

    value: float
    error: float
    tau: float
    tau_error: float
    n: int
    dof: float = math.inf

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Confidence interval of the mean, by Student's t.

        Parameters
        ----------
        level : float
            Probability that the interval holds the exact value.
        """
        half = self.error * float(student.ppf(0.5 + 0.5 * level, self.dof))
        return self.value - half, self.value + half

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


def mean_with_error(x_t: np.ndarray) -> Estimate:
    r"""Mean of a stationary series, whether it decays, oscillates or alternates, with its error.

    The deviations from the mean are taken as an autoregressive process

    .. math:: \sum_{j=0}^p a_j x_{t-j} = \epsilon_t,\qquad a_0 = 1,\quad
              \langle \epsilon^2 \rangle = s^2,

    with coefficients by Burg's recursion over all replicas [4]_ and the order p of least AIC with
    the correction for small samples [5]_.  Its spectral density at zero frequency,
    :math:`2 \tau_{int} \Gamma(0) = s^2 / (\sum_j a_j)^2`, is positive and also right where
    autocovariances of both signs cancel, which a cut sum over measured ones [6]_ is not.  The error
    is the exact one of a mean over T samples of that process,

    .. math:: \sigma^2 = \frac{1 + V}{R T} \sum_{|t| < T} (1 - |t|/T)\, \Gamma(t),\qquad
              V = \frac{2}{N} + \frac{4 s^2\; 1^T \Gamma_p^{-1} 1}{N (\sum_j a_j)^2},

    where V is the relative variance of the spectral density (from the covariance
    :math:`s^2 \Gamma_p^{-1} / N` of the coefficients, eq. (7.2.17) of [1]_): 1 + V removes the bias
    of the subtracted mean and of the fit to order 1/N, and the error has 2/V degrees of freedom.
    Of a long series a low order takes the fast oscillations; its noise :math:`\epsilon_t`, which
    still has the slow correlations, is averaged to blocks and fitted in the same way.  Correlations
    that are weak and longer than about a twentieth of the run are not seen, as by any estimator.

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
    return _mean_with_error(x_t, in_blocks=False)


def _mean_with_error(x_t: np.ndarray, in_blocks: bool) -> Estimate:
    """As `mean_with_error`; samples that are averages of blocks already are fitted as they are."""
    x_rt = np.atleast_2d(np.asarray(x_t, dtype=float))
    if x_rt.ndim != 2 or x_rt.shape[1] < 2:
        raise ValueError("a mean with an error needs a series of at least two samples")
    if not np.isfinite(x_rt).all():
        raise ValueError("the series contains values that are not finite")
    n_replicas, n_times = x_rt.shape
    n = x_rt.size
    value = float(x_rt.mean())
    scale = float(np.abs(x_rt - value).max())
    if scale <= 8.0 * np.finfo(float).eps * abs(value):  # nothing but the rounding of the mean
        return Estimate(value, 0.0, math.nan, math.nan, n)
    deviation_rt = (x_rt - value) / scale  # squares neither overflow nor vanish
    length = 1 if in_blocks else max(1, min(int(n / max(_BLOCKS, n ** (2.0 / 3.0))),
                                            n_times // _FEWEST_BLOCKS))
    a, noise = _autoregression(deviation_rt, _LARGEST_ORDER if length > 1 else 10.0 * math.log10(n))
    squared_error, spread = _variance_of_mean(a, noise, n_replicas, n_times)
    choice = 0.0
    if length > 1:
        n_blocks = (n_times - len(a) + 1) // length
        noise_rt = lfilter(a, [1.0], deviation_rt, axis=1)[:, n_times - n_blocks * length :]
        noise_rb = noise_rt.reshape(n_replicas, n_blocks, length).mean(axis=2)
        of_blocks = _autoregression(noise_rb, 10.0 * math.log10(noise_rb.size))
        slow, more = _variance_of_mean(*of_blocks, n_replicas, n_blocks)
        squared_error *= slow * n_replicas * n_blocks * length / noise
        spread += more
        choice = _CHOICE / noise_rb.size
    squared_error *= 1.0 + spread
    spread += choice
    tau = n * squared_error / (2.0 * float((deviation_rt**2).mean()))
    return Estimate(value, scale * math.sqrt(squared_error), tau, tau * math.sqrt(spread), n,
                    max(1.0, 2.0 / spread))


def _autoregression(x_rt: np.ndarray, largest: float) -> tuple[np.ndarray, float]:
    """Coefficients a_0 ... a_p and noise variance of the process of the best order.

    Zero is taken as the mean.  Burg's recursion minimises the errors of prediction forwards and
    backwards, one more lag at a time.
    """
    n, n_times = x_rt.size, x_rt.shape[1]
    most = max(0, min(int(largest), n_times // 3, n - 4))
    forward, backward = x_rt, x_rt
    a, noise = np.ones(1), float((x_rt**2).mean())
    tiny = noise * 1e-11  # what is left of a series that is predicted but for rounding
    best, best_noise, least = a, noise, math.inf
    for order in range(most + 1):
        if order:
            f, b = forward[:, 1:], backward[:, :-1]
            reflection = -2.0 * float((f * b).sum()) / float((f * f).sum() + (b * b).sum())
            forward, backward = f + reflection * b, b + reflection * f
            a = np.append(a, 0.0)
            a = a + reflection * a[::-1]
            noise *= 1.0 - reflection**2
        if noise <= tiny:
            break
        criterion = n * math.log(noise) + 2.0 * n * (order + 1) / max(n - order - 2, 1)
        if criterion < least:
            best, best_noise, least = a, noise, criterion
    return best, best_noise * n / (n - len(best))


def _variance_of_mean(a: np.ndarray, noise: float, n_replicas: int,
                      n_times: int) -> tuple[float, float]:
    """Variance of the mean of an autoregressive process, and V, the relative variance of it."""
    order, n, total = len(a) - 1, n_replicas * n_times, a.sum()
    # autocovariances at lags 0 ... p solve sum_j a_j Gamma(|i - j|) = s^2 delta_i0, eq. (3.2.7)
    lag = np.abs(np.arange(order + 1)[:, None] - np.arange(order + 1))
    equations = np.zeros((order + 1, order + 1))
    np.add.at(equations, (np.arange(order + 1)[:, None], lag), a)
    gamma = np.linalg.solve(equations, noise * np.eye(order + 1)[0])
    spread = 2.0 / n
    if order:
        fisher = solve_toeplitz(gamma[:-1], np.ones(order)).sum()
        spread += 4.0 * noise * fisher / (n * total**2)
        start = lfiltic([1.0], a, gamma[::-1])
        further = max(n_times - order - 1, 0)
        gamma = np.append(gamma, lfilter([1.0], a, np.zeros(further), zi=start)[0])[:n_times]
        variance = gamma[0] + 2.0 * float((1.0 - np.arange(1, len(gamma)) / n_times) @ gamma[1:])
    else:
        variance = gamma[0]
    return float(variance) / n, float(spread)


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
    blocks = _mean_with_error(sum_rb / every, in_blocks=True)
    n = blocks.n * every
    variance = float(squares_rb.mean()) / every - blocks.value**2
    if math.isnan(blocks.tau) or variance <= 0.0:
        return Estimate(blocks.value, blocks.error, math.nan, math.nan, n, blocks.dof)
    tau = n * blocks.error**2 / (2.0 * variance)
    return Estimate(blocks.value, blocks.error, tau, tau * blocks.tau_error / blocks.tau, n,
                    blocks.dof)


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
