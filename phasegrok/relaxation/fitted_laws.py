r"""Laws fitted to points with errors, and the choice between several.

References
----------
.. [1] G. Schwarz, Estimating the dimension of a model, Ann. Statist. 6 (1978) 461.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeWarning, approx_fprime, curve_fit
from scipy.stats import chi2 as chi_squared

from phasegrok.statistics import bic, format_error, weighted_line

LEAST_P = 0.05
"""Probability of so large a chi^2 below which a law does not fit, and its errors are enlarged."""

DECIDES = 4.0
"""Difference of BIC from which on a law is chosen: odds of e^2 if both were as likely before."""

OPEN = "open"
"""In place of a law where the data cannot say."""


@dataclass(frozen=True)
class FittedLaw:
    """A law with its parameters.

    Attributes
    ----------
    name : str
        Of the law.
    parameters : tuple of str
        Names of its parameters.
    value, error : ndarray, shape (P,)
        Parameters and their standard errors, which are multiplied by ``enlarged``.
    chi2 : float
        Sum of squared residuals in units of the errors given.
    dof : int
        Points less parameters.
    p_value : float
        Probability of a chi^2 at least as large if the law holds.
    enlarged : float
        sqrt(chi^2/dof) where the law does not fit, else 1.
    bic : float
        Bayesian information criterion; see [1]_.
    at_edge : tuple of str
        Parameters that ended at the edge of their range, where the law is another one.
    """

    name: str
    parameters: tuple[str, ...]
    value: np.ndarray
    error: np.ndarray
    chi2: float
    dof: int
    p_value: float
    enlarged: float
    bic: float
    at_edge: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the points scatter about the law as their errors say."""
        return self.p_value >= LEAST_P

    def __getitem__(self, parameter: str) -> tuple[float, float]:
        """A parameter and its error."""
        at = self.parameters.index(parameter)
        return float(self.value[at]), float(self.error[at])

    def __str__(self) -> str:
        text = ", ".join(f"{name} = {format_error(value, error)}" for name, value, error in
                         zip(self.parameters, self.value, self.error))
        text = f"{self.name}: {text} [chi2/dof {self.chi2:.3g}/{self.dof}]"
        if not self.fits:
            text += f" (does not fit, errors enlarged by {self.enlarged:.2g})"
        if self.at_edge:
            text += f" ({', '.join(self.at_edge)} at the edge of the range)"
        return text


@dataclass(frozen=True)
class Choice:
    """Which of several laws the points follow.

    Attributes
    ----------
    law : str
        Name of the law, or "open".
    difference : float
        BIC of the next best law less that of the best; infinite where no other law is left.
    best : FittedLaw
        The one of least BIC; whether it fits, it says itself.
    fits : tuple of FittedLaw
        All laws, the best first.
    same : tuple of str
        Laws left out, as they contain another one and do not differ from it within the errors.
    """

    law: str
    difference: float
    best: FittedLaw
    fits: tuple[FittedLaw, ...]
    same: tuple[str, ...] = ()

    def __str__(self) -> str:
        known = self.law if self.law != OPEN else f"open, perhaps {self.best.name}"
        text = f"{known} [BIC less by {self.difference:.1f}]; {self.best}"
        if self.same:
            text += f"; {', '.join(self.same)}: not told from a law that it contains"
        return text


def fit_law(name: str, parameters: tuple[str, ...], law: Callable[..., np.ndarray],
            points: tuple[np.ndarray, np.ndarray, np.ndarray], start, bounds=None,
            reported: Callable[[np.ndarray], np.ndarray] | None = None) -> FittedLaw:
    r"""Parameters of least :math:`\chi^2 = \sum_k (y_k - f(x_k))^2/\sigma_k^2`.

    Parameters
    ----------
    name, parameters
        As in :class:`FittedLaw`.
    law : callable
        ``law(x_k, *p)``.
    points : tuple of ndarray
        x, y and the errors of y, as from :func:`phasegrok.relaxation.inputs.points`.
    start : array_like, shape (P,)
        Where the search begins, within the bounds.
    bounds : pair of array_like, optional
        Least and largest values of the parameters.
    reported : callable, optional
        Parameters as they are to be given, from those that are fitted.

    Raises
    ------
    ValueError
        No more points than parameters, or a search that does not end.
    """
    x_k, y_k, y_err_k = points
    dof = len(x_k) - len(parameters)
    if dof < 1:
        raise ValueError(f"{name}: give at least {len(parameters) + 1} points, not {len(x_k)}")
    low, high = (np.full(len(parameters), edge) if bounds is None else np.asarray(bounds[i], float)
                 for i, edge in enumerate((-math.inf, math.inf)))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)  # a covariance that is infinite is shown
        try:
            value, covariance = curve_fit(law, x_k, y_k, p0=start, sigma=y_err_k,
                                          absolute_sigma=True, bounds=(low, high), method="trf",
                                          x_scale="jac", max_nfev=5000)
        except RuntimeError as wrong:
            raise ValueError(f"{name}: the fit does not end; give points over a wider range or "
                             "with smaller errors") from wrong
    chi2 = float((((y_k - law(x_k, *value)) / y_err_k) ** 2).sum())
    width = np.where(np.isfinite(high - low), high - low, np.inf)
    edge = np.minimum(value - low, high - value) < 1e-4 * width
    at_edge = tuple(p for p, at in zip(parameters, edge & np.isfinite(width)) if at)
    if reported is not None:
        slope = np.atleast_2d(approx_fprime(value, reported))
        value, covariance = reported(value), slope @ covariance @ slope.T
    p_value = float(chi_squared.sf(chi2, dof))
    enlarged = math.sqrt(chi2 / dof) if p_value < LEAST_P else 1.0
    error = np.sqrt(np.diag(covariance))
    return FittedLaw(name, parameters, value, enlarged * error, chi2, dof, p_value, enlarged,
                     _bic(chi2, y_err_k, len(parameters)), at_edge)


def fit_bent_line(name: str, parameters: tuple[str, ...], basis: Callable[..., np.ndarray],
                  points: tuple[np.ndarray, np.ndarray, np.ndarray], value_g: np.ndarray,
                  edges: tuple[float, float],
                  reported: Callable[[np.ndarray], np.ndarray] | None = None) -> FittedLaw:
    """The law y = a + b f(x, c), fitted from the value of c at which a line in f fits best.

    Parameters
    ----------
    name, parameters, points, reported
        As in :func:`fit_law`; the parameters are a, b and c.
    basis : callable
        ``f(x_k, c)``.
    value_g : ndarray, shape (G,)
        Values of c that are tried, between the edges.
    edges : pair of float
        Least and largest value of c.
    """
    x_k, y_k, y_err_k = points
    lines = [weighted_line(basis(x_k, c), y_k, y_err_k) for c in value_g]
    best = int(np.argmin([line.chi2 for line in lines]))
    start = [lines[best].intercept, lines[best].slope, float(value_g[best])]
    return fit_law(name, parameters, lambda x, a, b, c: a + b * basis(x, c), points, start,
                   ([-math.inf, -math.inf, edges[0]], [math.inf, math.inf, edges[1]]), reported)


def constants(name: str, parameters: tuple[str, ...], value, error, chi2: float,
              y_err_k: np.ndarray) -> FittedLaw:
    """A law whose parameters and errors were found in another way, judged as by :func:`fit_law`."""
    dof = len(y_err_k) - len(parameters)
    p_value = float(chi_squared.sf(chi2, dof))
    enlarged = math.sqrt(chi2 / dof) if p_value < LEAST_P else 1.0
    return FittedLaw(name, parameters, np.asarray(value), enlarged * np.asarray(error), chi2, dof,
                     p_value, enlarged, _bic(chi2, y_err_k, len(parameters)))


def _bic(chi2: float, y_err_k: np.ndarray, n_parameters: int) -> float:
    constant = np.log(math.sqrt(2.0 * math.pi) * y_err_k).sum()
    return bic(-0.5 * chi2 - float(constant), n_parameters, len(y_err_k))


def choose(fits: list[FittedLaw], same: tuple[str, ...] = ()) -> Choice:
    r"""The law of least BIC, or "open" where another is less than 4 behind.

    Where the best law does not fit, chi^2 of all laws is divided by its chi^2/dof: errors that are
    too small decide nothing.

    Parameters
    ----------
    fits : list of FittedLaw
        At the same points.
    same : tuple of str
        Laws that contain another one of them as a limit and lie so near to it that they say the
        same.  They are left out: of n points, BIC speaks against them by ln n at the most, however
        precise the points are.
    """
    order = sorted((fit for fit in fits if fit.name not in same), key=lambda fit: fit.bic)
    scale = order[0].enlarged**-2
    order = sorted(order, key=lambda fit: fit.bic + (scale - 1.0) * fit.chi2)
    bic_l = [fit.bic + (scale - 1.0) * fit.chi2 for fit in order]
    difference = bic_l[1] - bic_l[0] if len(order) > 1 else math.inf
    law = order[0].name if difference >= DECIDES else OPEN
    rest = [fit for fit in fits if fit.name in same]
    return Choice(law, float(difference), order[0], (*order, *rest), tuple(same))
