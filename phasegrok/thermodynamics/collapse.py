r"""Data collapse: all sizes on one curve each, with one T_c and one nu.

At a continuous transition observables of different sizes L fall on one curve each [1]_,

.. math:: U = f_U(x),\quad \langle|\Phi|\rangle = L^{-\beta/\nu} f_\Phi(x),\quad
          \chi = L^{\gamma/\nu} f_\chi(x),\qquad x = \frac{T - T_c}{T_c}\,L^{1/\nu},

up to corrections that vanish as L grows.

References
----------
.. [1] M. E. Fisher, M. N. Barber, Phys. Rev. Lett. 28 (1972) 1516; K. Binder, Z. Phys. B 43 (1981)
   119.
.. [2] V. Privman, M. E. Fisher, J. Stat. Phys. 33 (1983) 385; J. Salas, A. D. Sokal, J. Stat. Phys.
   98 (2000) 551: corrections to scaling, analytic and from irrelevant fields.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg, optimize, stats

from phasegrok.thermodynamics.crossings import P_AGREE
from phasegrok.thermodynamics.curves import Curves, Reweighted, jackknife_covariance

COLLAPSED = ("binder", "order_parameter_abs", "susceptibility")
"""Observables of the data collapse."""

P_COLLAPSE = 1e-3
"""Goodness of fit below which the largest sizes, too, do not collapse."""

SHARES = (1.0, 0.5, 0.25)
"""Parts of the sampled temperatures, about their middle, that a collapse tries in turn."""

_LOWEST_DEGREE, _HIGHEST_DEGREE = 2, 6
_FEWEST_SIZES = 3


@dataclass(frozen=True)
class Points:
    """The curves of one size at a few temperatures, with their covariance.

    Attributes
    ----------
    size : int
    temperatures_t : ndarray, shape (T,)
    y_ot : ndarray, shape (3, T)
        U, ln <|Phi|> and ln (chi T), chi T = N var |Phi|.
    covariance : ndarray, shape (3 T, 3 T)
        Of ``y_ot.ravel()``.
    """

    size: int
    temperatures_t: np.ndarray
    y_ot: np.ndarray
    covariance: np.ndarray


def inner(data: Reweighted, number: int, share: float = 1.0) -> np.ndarray:
    """Temperatures between the second and the last but one that was sampled, or a share of them
    about their middle: farther out corrections to scaling are larger."""
    ladder = np.sort(data.found.temperatures_k)
    middle, half = (0.5 * (float(ladder[-2]) + sign * float(ladder[1])) for sign in (1, -1))
    return np.linspace(middle - share * half, middle + share * half, number)


def points(found: Curves) -> Points:
    """The points of the collapse from the curves of one size, at the temperatures of the curves."""
    y_obt = np.stack([found.values["binder"], np.log(found.values["order_parameter_abs"]),
                      np.log(found.values["susceptibility"] * found.temperatures_t)])
    rows = np.swapaxes(y_obt[:, 1:], 0, 1).reshape(len(y_obt[0]) - 1, -1)
    return Points(found.size, found.temperatures_t, y_obt[:, 0], jackknife_covariance(rows))


@dataclass(frozen=True)
class Collapse:
    """A data collapse of U, <|Phi|> and chi T with one T_c and one nu.

    Attributes
    ----------
    collapsed : bool
        Whether the sizes used fall on one curve each (p >= `P_COLLAPSE`).
    reason : str
        In words.
    parameters, errors : ndarray, shape (4,)
        T_c, 1/nu, beta/nu, gamma/nu; NaN if nothing could be fitted.
    chi2, expected, p : float
        The quality: squared distances from the curves in units of the errors, their expectation if
        the sizes collapse, and the chance of a larger sum.
    sizes : tuple of int
        Sizes used.
    bend, tilt : float
        Analytic corrections: x = t (1 + bend t) L^(1/nu), and the field couples by 1 + tilt t.
    amplitudes_o2 : ndarray, shape (3, 2)
        Irrelevant corrections L^(-omega) (a + a' x), x scaled to -1 .. 1 over the window.
    omega : float
    window : (float, float)
        Range of x.
    coefficients_od : ndarray, shape (3, degree + 1)
        Chebyshev coefficients of f_U, ln f_Phi and ln f_chi over the window.
    """

    collapsed: bool
    reason: str
    parameters: np.ndarray
    errors: np.ndarray
    chi2: float
    expected: float
    p: float
    sizes: tuple[int, ...]
    bend: float
    tilt: float
    amplitudes_o2: np.ndarray
    omega: float
    window: tuple[float, float]
    coefficients_od: np.ndarray

    def x(self, size: int, temperatures_t: np.ndarray) -> np.ndarray:
        """Scaling variable t (1 + bend t) L^(1/nu), t = (T - T_c)/T_c."""
        return _scaled((*self.parameters[:2], self.bend), size, temperatures_t)

    def scaled(self, size: int, temperatures_t: np.ndarray, y_ot: np.ndarray) -> np.ndarray:
        """U, <|Phi|> and chi T of one size, divided by L to its power and free of corrections."""
        t = np.asarray(temperatures_t) / self.parameters[0] - 1.0
        low, high = self.window
        x = (2.0 * self.x(size, temperatures_t) - low - high) / (high - low)
        shift_ot = float(size) ** -self.omega * (
            self.amplitudes_o2[:, :1] + self.amplitudes_o2[:, 1:] * x)
        log_L, field = math.log(size), self.tilt * t
        _, _, beta_nu, gamma_nu = self.parameters
        return np.stack([y_ot[0] - shift_ot[0],
                         y_ot[1] * np.exp(beta_nu * log_L - field - shift_ot[1]),
                         y_ot[2] * np.exp(-gamma_nu * log_L - 2.0 * field - shift_ot[2])])

    def master(self, x: np.ndarray) -> np.ndarray:
        """U, L^(beta/nu) <|Phi|> and L^(-gamma/nu) chi T on the fitted curves, shape (3, X)."""
        low, high = self.window
        basis = np.polynomial.chebyshev.chebvander((2.0 * x - low - high) / (high - low),
                                                   self.coefficients_od.shape[1] - 1)
        y_ox = self.coefficients_od @ basis.T
        return np.stack([y_ox[0], np.exp(y_ox[1]), np.exp(y_ox[2])])


def _scaled(field, size: int, temperatures_t: np.ndarray) -> np.ndarray:
    """x at T_c, 1/nu and the curvature of the scaling field."""
    T_c, inverse_nu, bend = field
    t = (np.asarray(temperatures_t) - T_c) / T_c
    return t * (1.0 + bend * t) * float(size) ** inverse_nu


class _Problem:
    """Least squares of the collapse, each point in units of its error.

    Linear in all but T_c, 1/nu and the curvature of the scaling field.
    """

    def __init__(self, data: list[Points], degree: int, guess: np.ndarray, omega: float):
        self.data, self.degree, self.omega = data, degree, omega
        self.error = [np.sqrt(np.diag(d.covariance)) for d in data]
        self.target = np.concatenate([d.y_ot.ravel() / e for d, e in zip(data, self.error)])
        x = np.concatenate([_scaled(guess, d.size, d.temperatures_t) for d in data])
        self.low, self.high = float(x.min()), float(x.max())
        width = (self.high - self.low) * guess[0] / max(d.size for d in data) ** guess[1]
        self.scale = np.array([width / 50.0, 0.02, 1.0])

    def design(self, field) -> np.ndarray:
        """Columns of the polynomials, beta/nu, gamma/nu, and of the corrections."""
        blocks = []
        for error, d in zip(self.error, self.data):
            n, width, log_L = len(d.temperatures_t), self.degree + 1, math.log(d.size)
            x = (2.0 * _scaled(field, d.size, d.temperatures_t) - self.low - self.high) / (
                self.high - self.low)
            basis = np.polynomial.chebyshev.chebvander(x, self.degree)
            A = np.zeros((3 * n, 3 * width + 9))
            for o in range(3):
                A[o * n : (o + 1) * n, o * width : (o + 1) * width] = basis
            A[n : 2 * n, 3 * width] = -log_L
            A[2 * n :, 3 * width + 1] = log_L
            t = (d.temperatures_t - field[0]) / field[0]
            A[n : 2 * n, 3 * width + 2], A[2 * n :, 3 * width + 2] = t, 2.0 * t
            for o in range(3):
                first = 3 * width + 3 + 2 * o
                A[o * n : (o + 1) * n, first : first + 2] = (
                    float(d.size) ** -self.omega * basis[:, :2])
            blocks.append(A / error[:, None])
        return np.concatenate(blocks)

    def solve(self, start: np.ndarray):
        """Nonlinear and linear parameters, covariance of all, chi2, its expectation and p.

        The points of one size are correlated.  So the covariance of the parameters is that of a
        linear function of correlated data, and chi2 is a sum of squares with the eigenvalues of the
        covariance of the residuals, of which p follows by matching mean and variance
        (Satterthwaite, Biometrics Bulletin 2 (1946) 110).
        """
        def residual(u):
            A = self.design(start + u * self.scale)
            return A @ np.linalg.lstsq(A, self.target, rcond=None)[0] - self.target

        fit = optimize.least_squares(residual, np.zeros(len(self.scale)), method="lm")
        best = start + fit.x * self.scale
        A = self.design(best)
        linear = np.linalg.lstsq(A, self.target, rcond=None)[0]
        slopes = []
        for k in range(len(self.scale)):
            step = np.zeros(3)
            step[k] = 1e-3 * self.scale[k]
            slopes.append((self.design(best + step) - self.design(best - step)) @ linear
                          / (2.0 * step[k]))
        J = np.column_stack([*slopes, A])
        norm = np.linalg.norm(J, axis=0)
        J /= norm
        R = linalg.block_diag(*[d.covariance / np.outer(e, e)
                                for d, e in zip(self.data, self.error)])
        inverse = np.linalg.pinv(J)
        covariance = inverse @ R @ inverse.T / np.outer(norm, norm)
        rest = np.eye(len(J)) - J @ inverse
        spread = rest @ R @ rest
        expected, squares = float(np.trace(spread)), float((spread**2).sum())
        chi2 = float((fit.fun**2).sum())
        p = float(stats.chi2.sf(chi2 * expected / squares, expected**2 / squares))
        return best, linear, np.sqrt(np.diag(covariance)), chi2, expected, p


def collapse(data: list[Points], guess: tuple[float, float], omega: float = 1.0,
             narrower: tuple[list[Points], ...] = ()) -> Collapse:
    r"""Fit of T_c, 1/nu, beta/nu and gamma/nu so that all sizes fall on one curve.

    U, ln <|Phi|> and ln (chi T) of all sizes are fitted together, each with a polynomial in x for
    its master curve, by least squares with the error of each point.  The quality is chi2 against
    its expectation, both errors and p with the full covariance of the points of one size.

    Corrections to scaling are always fitted besides [2]_, since those too small to be seen still
    shift exponents by several errors: analytic ones, :math:`x = t(1 + bt) L^{1/\nu}` and a field
    that couples by 1 + c t, and irrelevant ones :math:`L^{-\omega}(a + a'x)` of each observable.
    The degree of the polynomials is the lowest, from 2 to 6, at which p reaches `P_AGREE`, and
    below the number of temperatures of a size: windows of x coincide, and higher polynomials pass
    between the points at will.  Where none does the smallest size is left out, as long as three are
    left, and then the window is narrowed: corrections of the next order grow with t, and since the
    points of one size are parts of one smooth curve, whose shape is known far better than its
    height, p sees them where they are a fraction of an error bar.

    (2D Ising, L = 8, 16, 32, errors of 0.1 %, 5 seeds: p is 1e-4 to 5e-3 in the whole window, .01
    to .17 in a half, .03 to .3 in a quarter.  With the temperatures of one size stretched by 5 %,
    so that 1/nu of the two pairs of sizes differs by .07 or more, it is below 1e-8 in all of them.)

    The errors include the shift of each number when the smallest size is left out, as far as it
    exceeds what the errors of both fits explain.  Three sizes are too few for that; there it is the
    shift when the corrections are taken to vanish as :math:`L^{-2\omega}`, or the window is
    narrowed once more, whichever is larger.  (2D Ising, L = 8, 16,
    32, 12 seeds: the rms z of 1/nu is 1.29, and the largest of the four, in the whole window.)

    Parameters
    ----------
    data : list of Points
        Ascending sizes; what is given is the window.
    guess : (float, float)
        T_c and 1/nu from which the fit begins, e.g. from `crossings`.
    omega : float
        Exponent of the leading irrelevant correction.
    narrower : tuple of list of Points
        The same sizes in ever narrower windows.

    Returns
    -------
    Collapse
        With fewer than three sizes, or a guess that is not finite, nothing is fitted.
    """
    if len(data) < _FEWEST_SIZES or not np.isfinite(guess).all():
        return _no_collapse("fewer than three sizes" if len(data) < _FEWEST_SIZES
                            else "no crossing of the Binder ratios from which to begin")
    windows = (data, *narrower)
    best: Collapse | None = None
    at = 0, 0
    for w, window in enumerate(windows):
        most = min(len(d.temperatures_t) for d in window) - 1
        for first in range(len(window) - _FEWEST_SIZES + 1):
            for degree in range(_LOWEST_DEGREE, min(most, _HIGHEST_DEGREE) + 1):
                if best is not None and best.p >= P_AGREE:
                    break
                found = _collapse_of(window[first:], guess, omega, degree)
                if found is None:
                    break
                if best is None or found.p > best.p:
                    best, at = found, (w, first)
    if best is None:
        return _no_collapse("too few points for a fit")
    w, first = at
    return _with_shift(best, [window[first:] for window in windows[w : w + 2]], guess, omega)


def _with_shift(found: Collapse, windows: list[list[Points]], guess: tuple[float, float],
                omega: float) -> Collapse:
    """Errors with what the numbers move, beyond noise, when the form of the fit is not trusted.

    ``windows``: the one of the fit and, where there is one, the next.
    """
    degree = found.coefficients_od.shape[1] - 1
    data = windows[0]
    if len(data) > _FEWEST_SIZES:
        others = [_collapse_of(data[1:], guess, omega, degree)]
    else:
        others = [_collapse_of(data, guess, 2.0 * omega, degree),
                  *(_collapse_of(window, guess, omega, degree) for window in windows[1:])]
    most = np.zeros(len(found.parameters))
    for other in others:
        if other is None:
            continue
        excess = (other.parameters - found.parameters) ** 2
        if other.omega == found.omega:
            # a fit to a part of the data differs from the whole by noise, of variance s_part^2 -
            # s_whole^2
            excess -= np.maximum(other.errors**2 - found.errors**2, 0.0)
        most = np.maximum(most, excess)
    return replace(found, errors=np.sqrt(found.errors**2 + most))


def _no_collapse(reason: str) -> Collapse:
    nan = np.full(4, np.nan)
    return Collapse(False, reason, nan, nan, math.nan, math.nan, math.nan, (), 0.0, 0.0,
                    np.zeros((3, 2)), math.nan, (math.nan, math.nan), np.zeros((3, 0)))


def _collapse_of(data: list[Points], guess: tuple[float, float], omega: float, degree: int
                 ) -> Collapse | None:
    """The collapse of given sizes in a given form; None where the points are too few for it."""
    n, width = sum(d.y_ot.size for d in data), degree + 1
    if n - (3 * width + 12) < n // 4:
        return None
    start = np.array([*guess, 0.0])
    problem = _Problem(data, degree, start, omega)
    field, linear, errors, chi2, expected, p = problem.solve(start)
    beta_gamma = len(problem.scale) + 3 * width + np.arange(2)
    sizes = tuple(d.size for d in data)
    text = "one curve each" if p >= P_COLLAPSE else "no collapse"
    reason = (f"{text}: chi2 = {chi2:.1f}, {expected:.1f} expected, p = {p:.2g}, of L = "
              f"{sizes[0]} .. {sizes[-1]} with corrections (omega = {omega:g}), polynomials of "
              f"degree {degree}, "
              f"{problem.low:.2f} < x < {problem.high:.2f}")
    rest = linear[3 * width + 2 :]
    return Collapse(
        p >= P_COLLAPSE, reason, np.array([*field[:2], *linear[3 * width : 3 * width + 2]]),
        np.concatenate([errors[:2], errors[beta_gamma]]), chi2, expected, p, sizes,
        float(field[2]), float(rest[0]), rest[1:].reshape(3, 2), omega,
        (problem.low, problem.high), linear[: 3 * width].reshape(3, width))
