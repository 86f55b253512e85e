r"""Crossings of the Binder ratios of pairs of sizes, exponents from quotients there, their limits.

Errors are jackknife errors over blocks: one block is the same replicas and sweeps at all
temperatures of one size, so that what temperatures have in common is kept; sizes are independent.

References
----------
.. [1] H. G. Ballesteros et al., Phys. Lett. B 378 (1996) 207: quotients at the crossing, eq. (4).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from phasegrok.thermodynamics.curves import GRID, Curves, Reweighted, curves, jackknife_covariance
from phasegrok.thermodynamics.peaks import crossing

QUOTIENTS = ("temperature", "binder", "inverse_nu", "beta_nu", "gamma_nu")
"""Columns of `crossings`."""

P_AGREE = 0.05
"""Goodness of fit below which the smallest size is left out, the simplest correction to scaling."""


def pairs(sizes: list[int]) -> list[tuple[int, int]]:
    """Each size with the smallest one that is at least 1.5 times as large (indices into ``sizes``,
    which ascend); nearer sizes cross at too small an angle."""
    found = []
    for i, L in enumerate(sizes):
        larger = [j for j, other in enumerate(sizes) if 2 * other >= 3 * L]
        if larger:
            found.append((i, larger[0]))
    return found


def _quotients(small: Curves, large: Curves) -> tuple[np.ndarray, list[np.ndarray]]:
    """`QUOTIENTS` of one pair, and with each block of the smaller and of the larger size left out;
    NaN where U of the larger size does not fall below the other's."""
    T_t, log_b = small.temperatures_t, math.log(large.size / small.size)
    found = crossing(T_t, small.values["binder"], large.values["binder"])

    def at(T, i, j):
        def here(curves, name, row):
            return float(np.interp(T, T_t, curves.values[name][row]))

        with np.errstate(invalid="ignore"):
            slope, size, chi = (np.log(here(large, name, j) / here(small, name, i)) / log_b
                                for name in ("binder_slope", "order_parameter_abs",
                                             "susceptibility"))
        return [T, here(large, "binder", j), slope, -size, chi]

    return np.array(at(found.value, 0, 0)), [
        np.array([at(T, b + 1, 0) for b, T in enumerate(found.small_b)]),
        np.array([at(T, 0, b + 1) for b, T in enumerate(found.large_b)])]


@dataclass(frozen=True)
class Crossings:
    """Where the Binder ratios of pairs of sizes cross, with effective exponents there.

    Attributes
    ----------
    sizes_p2 : ndarray, shape (P, 2)
        Smaller and larger size.
    values_pq : ndarray, shape (P, 5)
        `QUOTIENTS`: T and U at the crossing, and from the quotients of dU/dT, <|Phi|> and chi [1]_
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


def crossings(data: list[Reweighted]) -> Crossings:
    r"""Crossings of U_L(T) and U_bL(T), and effective exponents from quotients at the crossing.

    .. math:: \frac1\nu = \frac{\ln (U'_{bL}/U'_L)}{\ln b},\quad
              \frac\beta\nu = -\frac{\ln(\langle|\Phi|\rangle_{bL}/\langle|\Phi|\rangle_L)}{\ln b},
              \quad \frac\gamma\nu = \frac{\ln(\chi_{bL}/\chi_L)}{\ln b},

    eq. (4) of [1]_: T_c is not needed, and its error does not enter.

    Parameters
    ----------
    data : list of Reweighted
        Ascending sizes.

    Raises
    ------
    ValueError
        If the windows of two sizes do not overlap.
    """
    size = [d.series.size for d in data]
    index = pairs(size)
    values = np.full((len(index), len(QUOTIENTS)), np.nan)
    rows = [np.zeros((len(d.found.log_g_jackknife_bc), len(index), len(QUOTIENTS))) for d in data]
    for p, pair in enumerate(index):
        low, high = (f(*(data[n].range[end] for n in pair)) for end, f in enumerate((max, min)))
        if low >= high:
            raise ValueError(f"the temperatures of sizes {size[pair[0]]} and {size[pair[1]]} do "
                             "not overlap")
        T_t = np.linspace(low, high, GRID)
        values[p], left_out = _quotients(*(curves(data[n], T_t) for n in pair))
        for n in range(len(data)):
            rows[n][:, p] = left_out[pair.index(n)] if n in pair else values[p]
    sizes = np.array([[size[i], size[j]] for i, j in index]).reshape(-1, 2)
    covariance = sum(jackknife_covariance(np.moveaxis(x_bpq, 2, 0)) for x_bpq in rows)
    return Crossings(sizes, values, np.asarray(covariance))


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
