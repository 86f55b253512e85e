r"""Finite-size scaling: crossings, exponents, data collapse, and barriers against size.

At a continuous transition observables of different sizes L fall on one curve each [1]_,

.. math:: U = f_U(x),\quad \langle|\Phi|\rangle = L^{-\beta/\nu} f_\Phi(x),\quad
          \chi = L^{\gamma/\nu} f_\chi(x),\qquad x = \frac{T - T_c}{T_c}\,L^{1/\nu},

up to corrections that vanish as L grows.  At a first-order transition the two phases are divided by
a barrier that grows as the area of an interface, :math:`\Delta F = 2\sigma L^{d-1} + \ldots` [2]_;
what that says of the order is judged in :mod:`phasegrok.thermodynamics.order`.

Errors are jackknife errors over blocks: one block is the same replicas and sweeps at all
temperatures of one size, so that what temperatures have in common is kept; sizes are independent.

References
----------
.. [1] M. E. Fisher, M. N. Barber, Phys. Rev. Lett. 28 (1972) 1516; K. Binder, Z. Phys. B 43 (1981)
   119.
.. [2] J. Lee, J. M. Kosterlitz, Phys. Rev. Lett. 65 (1990) 137.
.. [3] H. G. Ballesteros et al., Phys. Lett. B 378 (1996) 207: quotients at the crossing, eq. (4).
.. [4] V. Privman, M. E. Fisher, J. Stat. Phys. 33 (1983) 385; J. Salas, A. D. Sokal, J. Stat. Phys.
   98 (2000) 551: corrections to scaling, analytic and from irrelevant fields.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg, optimize, stats

from phasegrok.statistics import jackknife_error
from phasegrok.thermodynamics.effective_potential import (
    Coexistence,
    coexistence,
    effective_potential_with_errors,
    potentials_left_out,
    resolution_of,
    wells,
)
from phasegrok.thermodynamics.reweighting import MultiHistogram, combine_histograms

CURVES = ("binder", "binder_slope", "order_parameter_abs", "susceptibility", "heat_capacity")
"""Rows of `Curves.values`."""

QUOTIENTS = ("temperature", "binder", "inverse_nu", "beta_nu", "gamma_nu")
"""Columns of `crossings`."""

COLLAPSED = ("binder", "order_parameter_abs", "susceptibility")
"""Observables of the data collapse."""

P_AGREE = 0.05
"""Goodness of fit below which the smallest size is left out, the simplest correction to scaling."""

P_COLLAPSE = 1e-3
"""Goodness of fit below which the largest sizes, too, do not collapse."""

SHARES = (1.0, 0.5, 0.25)
"""Parts of the sampled temperatures, about their middle, that a collapse tries in turn."""

GRID = 201
"""Temperatures of a curve: linear interpolation is then off by 1e-5 of its height."""

_MOST_CELLS = 2**14
_LOWEST_DEGREE, _HIGHEST_DEGREE = 2, 6
_FEWEST_SIZES = 3


# --- curves of one size ---------------------------------------------------------------------------


def histograms(energy_krt: np.ndarray, phi_krt: np.ndarray, n_blocks: int
               ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Histograms of the energy, with moments of the order parameter, from time series.

    Parameters
    ----------
    energy_krt, phi_krt : array_like, shape (K, R, T)
        E of the whole system and intensive Phi of R replicas at K temperatures.
    n_blocks : int
        Blocks of the jackknife, a multiple of R: stretches of equal length of every replica.

    Returns
    -------
    energies_c : ndarray, shape (C,)
        Energies that occurred, or bins far narrower than their spread where they are too many.
    counts_bkc : ndarray, shape (B, K, C)
    sums_nbkc : ndarray, shape (3, B, K, C)
        Sums of \\|Phi\\|, Phi^2 and Phi^4.

    Raises
    ------
    ValueError
        If ``n_blocks`` is no multiple of R, or a block is empty.
    """
    energy_krt, phi_krt = np.asarray(energy_krt, float), np.asarray(phi_krt, float)
    K, R, T = energy_krt.shape
    length = T * R // n_blocks
    if n_blocks % R or not length:
        raise ValueError(f"{n_blocks} blocks of {R} replicas with {T} samples each")
    used = T - length * (n_blocks // R)
    energy_kbt, phi_kbt = (x[:, :, used:].reshape(K, n_blocks, length)
                           for x in (energy_krt, phi_krt))
    energies_c, cell = np.unique(energy_kbt, return_inverse=True)
    if energies_c.size > _MOST_CELLS:
        edges = np.linspace(energies_c[0], energies_c[-1], _MOST_CELLS + 1)
        cell = np.clip(np.searchsorted(edges, energy_kbt, "right") - 1, 0, _MOST_CELLS - 1)
        energies_c = (edges[1:] + edges[:-1]) / 2.0
    shape = (n_blocks, K, energies_c.size)
    k, b = np.ogrid[:K, :n_blocks]
    place = ((b * K + k)[..., None] * energies_c.size + cell.reshape(energy_kbt.shape)).ravel()
    total = math.prod(shape)
    counts = np.bincount(place, minlength=total).reshape(shape)
    size = np.abs(phi_kbt).ravel()
    sums = [np.bincount(place, size**n, total).reshape(shape) for n in (1, 2, 4)]
    return energies_c, counts, np.array(sums)


@dataclass(frozen=True)
class Size:
    """What the canonical runs at one size say together.

    Attributes
    ----------
    size : int
        L, or what stands for it.
    n_sites : int
    found : MultiHistogram
        Of all temperatures, with one block left out in each row of its jackknife.
    """

    size: int
    n_sites: int
    found: MultiHistogram

    @property
    def window(self) -> tuple[float, float]:
        """Temperatures that were sampled, and between which histograms are reweighted."""
        return float(self.found.temperatures_k.min()), float(self.found.temperatures_k.max())

    def grid(self) -> np.ndarray:
        """`GRID` temperatures of the window."""
        return np.linspace(*self.window, GRID)

    def inner(self, number: int, share: float = 1.0) -> np.ndarray:
        """Temperatures between the second and the last but one that was sampled, or a share of them
        about their middle, for the collapse: farther out corrections to scaling are larger."""
        ladder = np.sort(self.found.temperatures_k)
        middle, half = (0.5 * (float(ladder[-2]) + sign * float(ladder[1])) for sign in (1, -1))
        return np.linspace(middle - share * half, middle + share * half, number)


def combine(size: int, n_sites: int, temperatures_k: np.ndarray, inefficiency_k: np.ndarray,
            energy_krt: np.ndarray, phi_krt: np.ndarray, n_blocks: int) -> Size:
    """Multiple histograms of the time series of one size; see `histograms`, `combine_histograms`.

    Raises
    ------
    ValueError
        As these, e.g. where the histograms of neighbouring temperatures do not overlap.
    """
    energies_c, counts, sums = histograms(energy_krt, phi_krt, n_blocks)
    return Size(size, n_sites, combine_histograms(energies_c, counts, temperatures_k,
                                                  inefficiency_k, sums))


@dataclass(frozen=True)
class Curves:
    """Averages of one size against temperature; row 0 from all data, row b with block b - 1 left
    out.

    Attributes
    ----------
    size, n_sites : int
    temperatures_t : ndarray, shape (T,)
    values : dict of ndarray, shape (1 + B, T)
        `CURVES`: U = 1 - <Phi^4>/(3 <Phi^2>^2), dU/dT, <|Phi|>, chi = N (<Phi^2> - <|Phi|>^2)/T,
        and the heat capacity a site.
    """

    size: int
    n_sites: int
    temperatures_t: np.ndarray
    values: dict[str, np.ndarray]

    def mean_and_error(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """One curve with its jackknife error."""
        return self.values[name][0], jackknife_error(self.values[name][1:])


def curves(data: Size, temperatures_t: np.ndarray) -> Curves:
    r"""Reweighted averages at any temperatures in the window of a size.

    Derivatives come from covariances, :math:`d\langle A\rangle/dT =
    (\langle AE\rangle - \langle A\rangle\langle E\rangle)/T^2`.

    Parameters
    ----------
    data : Size
    temperatures_t : array_like, shape (T,)

    Raises
    ------
    ValueError
        A temperature that the histograms do not cover.
    """
    T_t = np.atleast_1d(np.asarray(temperatures_t, dtype=float))
    found = data.found
    if not found.covers(T_t).all():
        raise ValueError(f"the histograms of size {data.size}, taken between T = "
                         f"{data.window[0]:g} and {data.window[1]:g}, do not cover T = "
                         f"{T_t[0]:g} .. {T_t[-1]:g}")
    log_g_c = found.log_g_c
    log_w_ct = log_g_c[:, None] - found.energies_c[:, None] / T_t
    w_ct = np.exp(log_w_ct - log_w_ct.max(axis=0))
    E_c = found.energies_c - (w_ct.T @ found.energies_c / w_ct.sum(axis=0)).mean()
    share_bc = np.exp(np.vstack([log_g_c, found.log_g_jackknife_bc]) - log_g_c)
    share_bc = np.where(np.isfinite(share_bc), share_bc, 0.0)
    moments_nbc = np.concatenate([found.moments_nc[None], found.moments_jackknife_bnc]).swapaxes(
        0, 1)
    moments_nbc = np.where(share_bc > 0.0, moments_nbc, 0.0)
    Z_bt = share_bc @ w_ct

    def mean(x_bc):
        return (share_bc * x_bc) @ w_ct / Z_bt

    E, E2 = mean(E_c), mean(E_c**2)
    size, square, fourth = (mean(x_bc) for x_bc in moments_nbc)
    d_square, d_fourth = ((mean(x_bc * E_c) - m * E) / T_t**2
                          for x_bc, m in zip(moments_nbc[1:], (square, fourth)))
    ratio = fourth / (3.0 * square**2)
    n = data.n_sites
    rows = (1.0 - ratio, ratio * (2.0 * d_square / square - d_fourth / fourth), size,
            n * (square - size**2) / T_t, (E2 - E**2) / (n * T_t**2))
    return Curves(data.size, n, T_t, dict(zip(CURVES, rows)))


def natural_width(temperature: float, heat_capacity: float, n_sites: int) -> float:
    r"""Change of T that moves the mean energy by its standard deviation, T/sqrt(C N).

    Histograms of runs so far apart overlap well.  With hyperscaling, :math:`\alpha = 2 - d\nu`, it
    is :math:`\propto L^{-\alpha/2\nu - d/2} = L^{-1/\nu}`: a fixed number of widths is a fixed
    window of the scaling variable.
    """
    return temperature / math.sqrt(heat_capacity * n_sites)


# --- crossings and quotients ----------------------------------------------------------------------


def pairs(sizes: list[int]) -> list[tuple[int, int]]:
    """Each size with the smallest one that is at least 1.5 times as large (indices into ``sizes``,
    which ascend); nearer sizes cross at too small an angle."""
    found = []
    for i, L in enumerate(sizes):
        larger = [j for j, other in enumerate(sizes) if 2 * other >= 3 * L]
        if larger:
            found.append((i, larger[0]))
    return found


def _crossing(small: dict, large: dict, T_t: np.ndarray, ratio: float, near: float | None
              ) -> np.ndarray:
    """`QUOTIENTS` of one pair; NaN where U of the larger size does not fall below the other's."""
    difference = large["binder"] - small["binder"]
    at = np.flatnonzero((difference[:-1] > 0.0) & (difference[1:] <= 0.0))
    if not len(at):
        return np.full(len(QUOTIENTS), np.nan)
    if near is None:  # deep in the ordered phase both U are 2/3 and cross at random, at no angle
        t = at[np.argmax((small["binder_slope"] - large["binder_slope"])[at])]
    else:
        t = at[np.argmin(np.abs(T_t[at] - near))]
    f = difference[t] / (difference[t] - difference[t + 1])

    def here(x_t):
        return x_t[t] + f * (x_t[t + 1] - x_t[t])

    log_b = math.log(ratio)
    with np.errstate(invalid="ignore"):
        quotients = [np.log(here(large[name]) / here(small[name])) / log_b
                     for name in ("binder_slope", "order_parameter_abs", "susceptibility")]
    return np.array([here(T_t), here(large["binder"]), quotients[0], -quotients[1], quotients[2]])


@dataclass(frozen=True)
class Crossings:
    """Where the Binder ratios of pairs of sizes cross, with effective exponents there.

    Attributes
    ----------
    sizes_p2 : ndarray, shape (P, 2)
        Smaller and larger size.
    values_pq : ndarray, shape (P, 5)
        `QUOTIENTS`: T and U at the crossing, and from the quotients of dU/dT, <|Phi|> and chi [3]_
        1/nu, beta/nu and gamma/nu; NaN without crossing.
    covariance_qpp : ndarray, shape (5, P, P)
        Covariance of each between the pairs, which share sizes.
    """

    sizes_p2: np.ndarray
    values_pq: np.ndarray
    covariance_qpp: np.ndarray

    @property
    def errors_pq(self) -> np.ndarray:
        """Standard errors, shape (P, 5)."""
        return np.sqrt(np.diagonal(self.covariance_qpp, axis1=1, axis2=2)).T


def crossings(data: list[Size]) -> Crossings:
    r"""Crossings of U_L(T) and U_bL(T), and effective exponents from quotients at the crossing.

    .. math:: \frac1\nu = \frac{\ln (U'_{bL}/U'_L)}{\ln b},\quad
              \frac\beta\nu = -\frac{\ln(\langle|\Phi|\rangle_{bL}/\langle|\Phi|\rangle_L)}{\ln b},
              \quad \frac\gamma\nu = \frac{\ln(\chi_{bL}/\chi_L)}{\ln b},

    eq. (4) of [3]_: T_c is not needed, and its error does not enter.

    Parameters
    ----------
    data : list of Size
        Ascending sizes.

    Raises
    ------
    ValueError
        If the windows of two sizes do not overlap.
    """
    index = pairs([d.size for d in data])
    values = np.full((len(index), len(QUOTIENTS)), np.nan)
    rows = [np.zeros((len(d.found.log_g_jackknife_bc), len(index), len(QUOTIENTS))) for d in data]
    for p, (i, j) in enumerate(index):
        low, high = (f(a, b) for f, a, b in zip((max, min), data[i].window, data[j].window))
        if low >= high:
            raise ValueError(f"the temperatures of sizes {data[i].size} and {data[j].size} do not "
                             "overlap")
        T_t = np.linspace(low, high, GRID)
        both = [curves(data[n], T_t).values for n in (i, j)]
        ratio = data[j].size / data[i].size

        def at(rows_2, near, both=both, T_t=T_t, ratio=ratio):
            small, large = ({name: x[r] for name, x in values.items()}
                            for values, r in zip(both, rows_2))
            return _crossing(small, large, T_t, ratio, near)

        values[p] = at((0, 0), None)
        for side, n in enumerate((i, j)):
            for b in range(len(rows[n])):
                row = (b + 1, 0) if side == 0 else (0, b + 1)
                rows[n][b, p] = at(row, values[p, 0])
        for n in set(range(len(data))) - {i, j}:
            rows[n][:, p] = values[p]
    sizes = np.array([[data[i].size, data[j].size] for i, j in index]).reshape(-1, 2)
    covariance = sum(_covariance(np.moveaxis(x_bpq, 2, 0)) for x_bpq in rows)
    return Crossings(sizes, values, np.asarray(covariance))


def _covariance(x_qbp: np.ndarray) -> np.ndarray:
    """Jackknife covariance over blocks, shape (..., P, P) from leave-one-out rows (..., B, P)."""
    n = x_qbp.shape[-2]
    deviation = x_qbp - x_qbp.mean(axis=-2, keepdims=True)
    return (n - 1) / n * np.swapaxes(deviation, -1, -2) @ deviation


@dataclass(frozen=True)
class Limit:
    """A quantity in the limit of large sizes.

    Attributes
    ----------
    value, error : float
    amplitude : float
        a of the correction a L^-theta; 0 where none was fitted.
    chi2 : float
        Of the values that were used.
    n : int
        How many, the largest; 0 if none is known.
    p : float
        Chance of a larger chi2; NaN where nothing is left to test.
    """

    value: float
    error: float
    amplitude: float
    chi2: float
    n: int
    p: float


def large_size_limit(sizes_p: np.ndarray, values_p: np.ndarray, covariance_pp: np.ndarray,
                     theta: float) -> Limit:
    r"""Limit of :math:`y_p = y_\infty + a L_p^{-\theta}` by generalised least squares.

    The correction is fitted also where the scatter does not ask for it: one that hides in the
    errors of single values would still shift their mean.  While the values disagree with the fit (p
    below `P_AGREE`), the one of the smallest size is left out.  A single value stands for itself.

    Parameters
    ----------
    sizes_p, values_p : array_like, shape (P,)
        Ascending sizes; NaN values are left out.
    covariance_pp : array_like, shape (P, P)
    theta : float
        Exponent of the correction.
    """
    values_p, sizes_p = np.asarray(values_p, dtype=float), np.asarray(sizes_p, dtype=float)
    known = np.flatnonzero(np.isfinite(values_p))
    for first in range(len(known)):
        use = known[first:]
        A = np.ones((len(use), 1))
        if len(use) >= 2:
            A = np.column_stack([A, sizes_p[use] ** -theta])
        weight = np.linalg.inv(np.asarray(covariance_pp)[np.ix_(use, use)])
        covariance = np.linalg.inv(A.T @ weight @ A)
        best = covariance @ A.T @ weight @ values_p[use]
        residual = values_p[use] - A @ best
        chi2, dof = float(residual @ weight @ residual), len(use) - A.shape[1]
        p = float(stats.chi2.sf(chi2, dof)) if dof else math.nan
        if not dof or p >= P_AGREE:
            return Limit(float(best[0]), math.sqrt(covariance[0, 0]),
                         float(best[1]) if len(best) > 1 else 0.0, chi2, len(use), p)
    return Limit(math.nan, math.nan, 0.0, math.nan, 0, math.nan)


def limits(found: Crossings, omega: float) -> dict[str, Limit]:
    r"""Limits of all `QUOTIENTS`, with corrections of exponent omega, and of T* with

    :math:`T^* = T_c + a L^{-\omega - 1/\nu}`.
    """
    result: dict[str, Limit] = {}
    for name in reversed(QUOTIENTS):  # 1/nu before T*
        q = QUOTIENTS.index(name)
        theta = omega
        if name == "temperature" and math.isfinite(result["inverse_nu"].value):
            theta += result["inverse_nu"].value
        result[name] = large_size_limit(found.sizes_p2[:, 0], found.values_pq[:, q],
                                        found.covariance_qpp[q], theta)
    return {name: result[name] for name in QUOTIENTS}


def maximum(found: Curves, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Temperature and height of the maximum of a curve, each with its jackknife error.

    A parabola through the highest temperature of the grid and its neighbours; NaN where the
    maximum is at an end of the grid.
    """
    T_t, y_bt = found.temperatures_t, found.values[name]
    step = T_t[1] - T_t[0]
    rows = np.full((len(y_bt), 2), np.nan)
    for b, y_t in enumerate(y_bt):
        t = int(np.argmax(y_t))
        if 0 < t < len(T_t) - 1:
            slope, bend = (y_t[t + 1] - y_t[t - 1]) / 2.0, y_t[t + 1] - 2.0 * y_t[t] + y_t[t - 1]
            rows[b] = T_t[t] - step * slope / bend, y_t[t] - slope**2 / (2.0 * bend)
    return rows[0], jackknife_error(rows[1:])


# --- data collapse --------------------------------------------------------------------------------


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


def points(found: Curves) -> Points:
    """The points of the collapse from the curves of one size, at the temperatures of the curves."""
    y_obt = np.stack([found.values["binder"], np.log(found.values["order_parameter_abs"]),
                      np.log(found.values["susceptibility"] * found.temperatures_t)])
    rows = np.swapaxes(y_obt[:, 1:], 0, 1).reshape(len(y_obt[0]) - 1, -1)
    return Points(found.size, found.temperatures_t, y_obt[:, 0], _covariance(rows))


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

    Corrections to scaling are always fitted besides [4]_, since those too small to be seen still
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


# --- barriers against size ------------------------------------------------------------------------


def energy_columns(energies_E: np.ndarray, log_g_E: np.ndarray, width: float
                   ) -> tuple[np.ndarray, np.ndarray]:
    """A density of states g(E) as a joint one whose second coordinate is E in bins.

    In an ordered phase of discrete spins most excitations are single sites, and P(E) has teeth at
    multiples of the energy of one: a property of the lattice, not of two phases.  Sums over bins of
    that width are free of them, and leave the peaks as they are, which are sqrt(N) times wider.

    Parameters
    ----------
    energies_E, log_g_E : array_like, shape (E,)
        Energies of the whole system and ln g; NaN where unvisited.
    width : float
        Energy; 0: every level is a column.

    Returns
    -------
    energy_b : ndarray, shape (B,)
        Energies of the columns: the mean of the levels in each.
    log_g_Eb : ndarray, shape (E, B)
        NaN but for one column in each row, for `effective_potential` and `coexistence`.
    """
    energies_E = np.asarray(energies_E, dtype=float)
    column = np.arange(energies_E.size)
    if width > 0.0:  # the half level keeps levels at the edges of bins where they belong
        step = np.diff(energies_E).min()
        column = ((energies_E - energies_E[0] + step / 2.0) // width).astype(np.int64)
    _, column = np.unique(column, return_inverse=True)
    energy_b = np.bincount(column, energies_E) / np.bincount(column)
    log_g_Eb = np.full((energies_E.size, energy_b.size), np.nan)
    log_g_Eb[np.arange(energies_E.size), column] = log_g_E
    return energy_b, log_g_Eb


@dataclass(frozen=True)
class SizeBarrier:
    """The barrier between two phases of one size, at the temperature where they are equally likely.

    Attributes
    ----------
    coexistence : Coexistence
        With the temperature of equal heights and the barrier, or the reason why there is none.
    height, error : float
        Barrier of the whole system in nats.  Where there is one well, 0 with the median error of
        the potential; NaN where nothing can be said.
    potential_b, potential_err_b : ndarray
        F = -ln P of the columns at that temperature; with one well, in the middle of the range.
    resolution : float
        Nats below which a second well is noise: three median errors.
    """

    coexistence: Coexistence
    height: float
    error: float
    potential_b: np.ndarray
    potential_err_b: np.ndarray
    resolution: float


def size_barrier(energies_E: np.ndarray, phi_b: np.ndarray, log_g_Eb: np.ndarray,
                 log_g_jackknife_wEb: np.ndarray, bracket: tuple[float, float]) -> SizeBarrier:
    """Barrier at equal heights of the two peaks of P, after Lee and Kosterlitz [2]_.

    Parameters
    ----------
    energies_E : array_like, shape (E,)
    phi_b : array_like, shape (B,)
        The coordinate of P: E in bins (`energy_columns`), or the order parameter.
    log_g_Eb : array_like, shape (E, B)
    log_g_jackknife_wEb : array_like, shape (W, E, B)
        With walker w left out.
    bracket : (float, float)
        Temperatures between which coexistence is sought.
    """
    middle = 0.5 * (bracket[0] + bracket[1])
    columns = (energies_E, log_g_Eb, log_g_jackknife_wEb)
    V, V_err = effective_potential_with_errors(*columns, middle)
    resolution = resolution_of(V, V_err)
    found = coexistence(energies_E, phi_b, log_g_Eb, bracket, resolution, log_g_jackknife_wEb)
    if found.found:  # the errors that count are those where the wells are
        T = found.temperature_equal_height
        V, V_err = effective_potential_with_errors(*columns, T)
        resolution = resolution_of(V, V_err)
        return SizeBarrier(found, found.barrier, found.barrier_err, V, V_err, resolution)
    V_w = potentials_left_out(energies_E, log_g_jackknife_wEb, middle)
    one_well = len(wells(phi_b, V, resolution, V_w)) == 1
    height = 0.0 if one_well and resolution > 0.0 else math.nan
    return SizeBarrier(found, height, resolution / 3.0 if one_well else math.nan, V, V_err,
                       resolution)
