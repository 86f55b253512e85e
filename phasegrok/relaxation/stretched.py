r"""Stretched exponential decay of a correlation, and its integral.

.. math:: C(t) = A\, e^{-(t/\tau)^\beta},\qquad
          \tau_{int} = \frac{1}{A}\int_0^\infty C\, dt = \frac{\tau}{\beta}\,\Gamma(1/\beta)

[1]_, [2]_.  One decay of rate 1/tau has beta = 1, a spread of rates beta < 1.  A < 1 is what a
faster decay has left, where only the later one is given.

References
----------
.. [1] R. Kohlrausch, Ann. Phys. Chem. (Poggendorff) 91 (1854) 179.
.. [2] G. Williams and D. C. Watts, Trans. Faraday Soc. 66 (1970) 80.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import gamma

from phasegrok.relaxation.inputs import curves
from phasegrok.statistics import format_error, jackknife_error, mean_and_error

_WHAT = "correlations"

_FEWEST = 5  # replicas: one is left out, and the scatter of the others is the weight


@dataclass(frozen=True)
class StretchedExponential:
    """A stretched exponential with errors over replicas.

    Attributes
    ----------
    amplitude, amplitude_err : float
        A; its error is 0 where it was given.
    tau, tau_err : float
        In the unit of the times.
    beta, beta_err : float
        Exponent.
    integral, integral_err : float
        tau_int, of the law up to infinite times.
    rms : float
        Of the mean curve about the law, in units of its errors.  As values at different times
        depend on one another it has no exact law: much more than 1 says that C is another function.
    remaining : float
        C/A at the last time: part of the decay that the law continues beyond the data.
    """

    amplitude: float
    amplitude_err: float
    tau: float
    tau_err: float
    beta: float
    beta_err: float
    integral: float
    integral_err: float
    rms: float
    remaining: float

    def __str__(self) -> str:
        return (f"A = {format_error(self.amplitude, self.amplitude_err)}, "
                f"tau = {format_error(self.tau, self.tau_err)}, "
                f"beta = {format_error(self.beta, self.beta_err)}, "
                f"integral {format_error(self.integral, self.integral_err)} "
                f"[rms {self.rms:.2g} errors, {self.remaining:.2g} left at the last time]")


def stretched_exponential(time_t, c_rt, amplitude: float | None = None) -> StretchedExponential:
    r"""Kohlrausch-Williams-Watts law of correlations of independent replicas.

    The mean curve is fitted by least squares, weighted with the scatter of replicas.  Errors are a
    jackknife over replicas: they hold although values of one replica at different times depend on
    one another.  Weights are those of the replicas that are left: with fixed ones, errors of eight
    replicas are too small by a fifth.

    Parameters
    ----------
    time_t : array_like, shape (T,)
        Positive times t; leave t = 0 out, where C has no scatter.
    c_rt : array_like, shape (R, T)
        C(t) of every replica.  With disorder, one row a sample: the mean over its replicas.
    amplitude : float, optional
        A, if it is known, 1 say; otherwise it is fitted.

    Returns
    -------
    StretchedExponential

    Raises
    ------
    ValueError
        Fewer than five replicas or five times, times that are not positive, a time at which
        replicas agree, a mean that does not decay, or a fit that does not end; and as in
        :func:`phasegrok.relaxation.inputs.curves`.
    """
    time_t, c_rt = curves(time_t, c_rt, 5, _WHAT)
    if time_t[0] <= 0.0:
        raise ValueError(f"{_WHAT}: leave out times that are not positive")
    if amplitude is not None and not (math.isfinite(amplitude) and amplitude > 0.0):
        raise ValueError(f"{_WHAT}: give a positive amplitude, not {amplitude}")
    if len(c_rt) < _FEWEST:
        raise ValueError(f"{_WHAT}: give at least {_FEWEST} replicas, as weights come from their "
                         f"scatter too, not {len(c_rt)}")
    mean_t, error_t = _mean(time_t, c_rt)
    if not mean_t[0] > max(mean_t[-1], 0.0):
        raise ValueError(f"{_WHAT}: give times over which the mean decays from a positive value")
    start = _start(time_t, mean_t, error_t, amplitude)
    best = _fitted(time_t, mean_t, error_t, amplitude, start)
    left_out = np.array([
        _fitted(time_t, *_mean(time_t, np.delete(c_rt, r, axis=0)), amplitude, best)
        for r in range(len(c_rt))])
    value, error = _all(best, amplitude), jackknife_error(_all(left_out, amplitude))
    decay_t = _law(time_t, best[0], best[1], 1.0)
    rms = float(np.sqrt((((mean_t - value[0] * decay_t) / error_t) ** 2).mean()))
    A, tau, beta, integral = ((float(x), float(e)) for x, e in zip(value, error))
    return StretchedExponential(*A, *tau, *beta, *integral, rms, float(decay_t[-1]))


def _mean(time_t, c_rt) -> tuple[np.ndarray, np.ndarray]:
    mean_t, error_t = mean_and_error(c_rt)
    if not (error_t > 0.0).all():
        raise ValueError(f"{_WHAT}: leave out t = {time_t[error_t <= 0.0][0]:g}, where replicas "
                         "agree, as their scatter is the weight")
    return mean_t, error_t


def _law(t, log_tau, log_beta, A):
    return A * np.exp(-np.exp(np.exp(log_beta) * (np.log(t) - log_tau)))


def _all(p, amplitude) -> np.ndarray:
    """A, tau, beta and the integral, from the parameters of one or of several fits."""
    log_tau, log_beta = p[..., 0], p[..., 1]
    A = p[..., 2] if amplitude is None else np.full(log_tau.shape, amplitude)
    tau, beta = np.exp(log_tau), np.exp(log_beta)
    return np.stack([A, tau, beta, tau / beta * gamma(1.0 / beta)], axis=-1)


def _start(time_t, mean_t, error_t, amplitude) -> np.ndarray:
    """The best of a few curves; A follows from each by least squares."""
    best, least = np.zeros(3), math.inf
    for log_tau in np.log(np.geomspace(0.3 * time_t[0], 3.0 * time_t[-1], 25)):
        for beta in (0.25, 0.4, 0.6, 0.8, 1.0, 1.5):
            shape = _law(time_t, log_tau, math.log(beta), 1.0) / error_t
            square = float((shape**2).sum())
            if square == 0.0:
                continue
            A = float((shape * mean_t / error_t).sum()) / square if amplitude is None else amplitude
            chi2 = float(((mean_t / error_t - A * shape) ** 2).sum())
            if chi2 < least:
                best, least = np.array([log_tau, math.log(beta), A]), chi2
    return best if amplitude is None else best[:2]


def _fitted(time_t, value_t, error_t, amplitude, start) -> np.ndarray:
    def law(t, log_tau, log_beta, A=amplitude):  # without a start for A, it stays as given
        return _law(t, log_tau, log_beta, A)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)  # errors do not come from the covariance
        try:
            return curve_fit(law, time_t, value_t, p0=start, sigma=error_t, maxfev=4000)[0]
        except RuntimeError as wrong:
            raise ValueError(f"{_WHAT}: the fit does not end; give times from before the decay to "
                             "well after it, or the amplitude") from wrong
