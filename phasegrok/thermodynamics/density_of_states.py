r"""Density of states from multicanonical walkers, and the canonical averages it gives.

A cell c is an energy, or an (energy, order parameter) pair with the two axes flattened.  Walker w
sampled configurations with frozen weight :math:`\exp(-u_{wc})`, so it visits cell c with
probability :math:`g_c e^{-u_{wc}} / Z_w`.  All sums are done in logarithms: on a 32 x 32 lattice
:math:`\sum_c g_c = 2^{1024}` overflows a double.  Cells that nobody visited are NaN, never zero.

References
----------
.. [1] A. M. Ferrenberg, R. H. Swendsen, Phys. Rev. Lett. 63 (1989) 1195: multi-histogram equations.
.. [2] M. R. Shirts, J. D. Chodera, J. Chem. Phys. 129 (2008) 124105: their convex form and Newton's
   method for it.
.. [3] Y. Vardi, Ann. Statist. 13 (1985) 178: when their solution exists and is unique.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.special import logsumexp

from phasegrok.statistics import jackknife_error

_TOLERANCE = 1e-9
"""Largest imbalance |sum_c H_c p_wc - n_w| / n_w accepted as solved; far below sampling noise."""


def combine_walkers(
    histogram_wc: np.ndarray, log_weight_wc: np.ndarray, log_total: float,
    ladder_w: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Density of states from the production histograms of independent multicanonical walkers.

    Solves the multi-histogram equations [1]_

    .. math:: g_c = \frac{\sum_w H_{wc}}{\sum_w n_w e^{-u_{wc}} / Z_w}, \qquad
              Z_w = \sum_c g_c e^{-u_{wc}}, \qquad n_w = \sum_c H_{wc},

    and normalises :math:`\sum_c g_c` to the total number of states.  Walkers are weighted by their
    sample numbers, that is, equal autocorrelation times are assumed; the jackknife over walkers
    does not need that assumption.

    Parameters
    ----------
    histogram_wc : array_like of int, shape (W, C)
        Visits of walker w to cell c during production.
    log_weight_wc : array_like, shape (W, C)
        u_wc, the frozen estimate of ln g_c; +inf or NaN where the walker never knew the cell.
    log_total : float
        ln of the total number of states, e.g. N ln 2.
    ladder_w : array_like of int, shape (W,), optional
        Number 0, 1, ... of the ladder that a walker belongs to: walkers of one ladder exchange
        configurations, so that only ladders are independent.  Default: every walker is its own.

    Returns
    -------
    log_g_c : ndarray, shape (C,)
        ln g_c; NaN where no walker was.
    log_g_jackknife_wc : ndarray, shape (number of ladders, C)
        The same with ladder w left out.  A row is NaN where only that ladder saw the cell, and NaN
        altogether if the others do not determine the solution (W = 1 included), so that an error
        that cannot be given is NaN.

    Raises
    ------
    ValueError
        Shapes differ, a negative count, visits to a cell of no weight, no visits at all, or walkers
        that share too few cells for their relative normalisation to be determined [3]_.
    """
    histogram_wc = np.asarray(histogram_wc)
    log_weight_wc = np.array(log_weight_wc, dtype=float)
    if histogram_wc.ndim != 2 or histogram_wc.shape != log_weight_wc.shape:
        raise ValueError(
            f"histogram {histogram_wc.shape} and log_weight {log_weight_wc.shape} must be (W, C)"
        )
    if (histogram_wc < 0).any():
        raise ValueError("a histogram holds negative counts")
    log_weight_wc[~np.isfinite(log_weight_wc)] = np.inf
    if (histogram_wc[np.isinf(log_weight_wc)] > 0).any():
        raise ValueError("a walker visited a cell to which its log_weight gives no weight")
    visited_c = (histogram_wc > 0).any(axis=0)
    if not visited_c.any():
        raise ValueError("no walker visited any cell")
    H_wc = histogram_wc[:, visited_c].astype(float)
    u_wc = log_weight_wc[:, visited_c]
    if not _connected(H_wc, u_wc):
        raise ValueError("the walkers share too few cells: their relative weights are undetermined")
    log_g, log_Z_w = solve_histograms(H_wc, u_wc)
    log_g_c = np.full(visited_c.size, np.nan)
    log_g_c[visited_c] = log_g - logsumexp(log_g) + log_total
    ladder_w = np.arange(len(H_wc)) if ladder_w is None else np.asarray(ladder_w)
    log_g_jackknife_wc = np.full((int(ladder_w.max()) + 1, visited_c.size), np.nan)
    for w in range(len(log_g_jackknife_wc)):
        others = ladder_w != w
        H_others, u_others = H_wc[others], u_wc[others]
        if not H_others.any() or not _connected(H_others, u_others):
            continue
        log_g, _ = solve_histograms(H_others, u_others, log_Z_w[others])
        log_g_jackknife_wc[w, visited_c] = log_g - logsumexp(log_g[np.isfinite(log_g)]) + log_total
    return log_g_c, log_g_jackknife_wc


def _connected(H_wc: np.ndarray, u_wc: np.ndarray) -> bool:
    """Whether the solution is unique: every walker that counted reaches every other, see [3]_."""
    counted = H_wc.any(axis=1)
    link_ww = (H_wc[counted] > 0).astype(float) @ np.isfinite(u_wc[counted]).T.astype(float) > 0
    return connected_components(link_ww, directed=True, connection="strong")[0] == 1


def solve_histograms(
    H_wc: np.ndarray, u_wc: np.ndarray, log_Z_w: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Solve the multi-histogram equations; ln g_c (NaN where unvisited) and ln Z_w.

    Minimises the convex function F(f) = sum_c H_c ln sum_w n_w exp(f_w - u_wc) - sum_w n_w f_w of
    f_w = -ln Z_w by Newton's method with step halving [2]_; its gradient is sum_c H_c p_wc - n_w
    with p_wc the share of walker w in cell c.

    Raises
    ------
    ArithmeticError
        If the minimum is not found.
    """
    counted = H_wc.any(axis=1)
    H_c = H_wc.sum(axis=0)
    used_c = H_c > 0
    n_v, u_vc, H_u = H_wc[counted].sum(axis=1), u_wc[counted][:, used_c], H_c[used_c]
    problem = (n_v, u_vc, H_u)
    at = _objective(_first_guess(H_wc[counted][:, used_c], u_vc), *problem)
    if log_Z_w is not None:
        at = _lower(_objective(-log_Z_w[counted], *problem), at)
    for _ in range(500):
        if at.imbalance < _TOLERANCE:
            break
        at = _descend(at, *problem)
    else:
        raise ArithmeticError("the multi-histogram equations did not converge")
    log_mix_c = at.log_mix_c
    log_g_c = np.full(H_c.size, np.nan)
    log_g_c[used_c] = np.log(H_u) - log_mix_c
    # Also for walkers that counted nothing: they add nothing, but a start value is wanted.
    return log_g_c, logsumexp(log_g_c[used_c] - u_wc[:, used_c], axis=1)


class _Point(NamedTuple):
    """F at f, what its derivatives are made of, and how far f is from solving the equations."""

    f_v: np.ndarray
    F: float
    log_mix_c: np.ndarray  # ln sum_v n_v exp(f_v - u_vc)
    share_vc: np.ndarray
    mean_v: np.ndarray  # sum_c H_c p_vc
    imbalance: float  # largest |mean_v / n_v - 1|


def _objective(
    f_v: np.ndarray, n_v: np.ndarray, u_vc: np.ndarray, H_c: np.ndarray
) -> _Point:
    """F(f) and what belongs to it."""
    log_term_vc = (np.log(n_v) + f_v)[:, None] - u_vc
    log_mix_c = logsumexp(log_term_vc, axis=0)
    share_vc = np.exp(log_term_vc - log_mix_c)
    mean_v = share_vc @ H_c
    return _Point(f_v, float(H_c @ log_mix_c - n_v @ f_v), log_mix_c, share_vc, mean_v,
                  float(np.abs(mean_v / n_v - 1.0).max()))


def _lower(a: _Point, b: _Point) -> _Point:
    """The lower of two points; where rounding hides which, the one that is nearer to solving."""
    if abs(a.F - b.F) > 1e-13 * abs(b.F):
        return a if a.F < b.F else b
    return a if a.imbalance < b.imbalance else b


def _descend(at: _Point, n_v: np.ndarray, u_vc: np.ndarray, H_c: np.ndarray) -> _Point:
    """A damped Newton step, if it gets lower than the plain iteration of the equations does.

    The plain iteration f_v = -ln Z_v never ascends, if slowly.  Far from the solution the shares
    p_vc are 0 or 1 to rounding, the curvature is singular, and Newton may stand still.
    """
    curvature_vv = np.diag(at.mean_v) - (at.share_vc * H_c) @ at.share_vc.T
    step_v = np.zeros_like(at.f_v)  # adding one number to all f_v changes nothing: f_0 stays
    step_v[1:] = -np.linalg.lstsq(curvature_vv[1:, 1:], (at.mean_v - n_v)[1:], rcond=None)[0]
    newton = _objective(at.f_v + step_v, n_v, u_vc, H_c)
    if newton.imbalance < 0.1 * at.imbalance and _lower(newton, at) is newton:
        return newton  # it converges
    plain = _objective(-logsumexp(np.log(H_c) - at.log_mix_c - u_vc, axis=1), n_v, u_vc, H_c)
    for scale in 0.5 ** np.arange(1, 9):
        if _lower(newton, plain) is newton:
            return newton
        newton = _objective(at.f_v + scale * step_v, n_v, u_vc, H_c)
    return plain


def _first_guess(H_wc: np.ndarray, u_wc: np.ndarray) -> np.ndarray:
    """f_w from the walkers' own estimates ln g_c = a_wc - f_w, a_wc = ln H_wc + u_wc - ln n_w.

    Least squares with weights H_wc of a_wc = ln g_c + f_w; ln g_c is eliminated by hand.
    """
    n_w, H_c = H_wc.sum(axis=1), H_wc.sum(axis=0)
    seen_wc = H_wc > 0
    a_wc = np.zeros(H_wc.shape)
    a_wc[seen_wc] = (np.log(np.maximum(H_wc, 1.0)) - np.log(n_w)[:, None])[seen_wc] + u_wc[seen_wc]
    mean_c = (H_wc * a_wc).sum(axis=0) / H_c
    laplacian_ww = np.diag(n_w) - (H_wc / H_c) @ H_wc.T
    return np.linalg.lstsq(laplacian_ww, (H_wc * (a_wc - mean_c)).sum(axis=1), rcond=None)[0]


def marginal(log_g: np.ndarray, axis: int) -> np.ndarray:
    """Sum g over an axis in logarithms, e.g. ln g(E) from ln g(E, Phi), skipping unvisited cells.

    Parameters
    ----------
    log_g : array_like
        ln g with NaN (or -inf) where unvisited.
    axis : int
        Axis to sum over.

    Returns
    -------
    ndarray
        The shape without ``axis``; NaN where nothing was visited.
    """
    log_g = np.asarray(log_g, dtype=float)
    filled = np.where(np.isfinite(log_g), log_g, -np.inf)
    top = filled.max(axis=axis, keepdims=True)
    shift = np.where(np.isfinite(top), top, 0.0)
    total = np.exp(filled - shift).sum(axis=axis)
    result = np.full(total.shape, np.nan)
    seen = total > 0.0
    result[seen] = np.log(total[seen]) + np.squeeze(shift, axis=axis)[seen]
    return result


def canonical(
    energies_c: np.ndarray, log_g_c: np.ndarray, temperatures_t: np.ndarray, n_sites: int
) -> dict[str, np.ndarray]:
    r"""Canonical thermodynamics of a density of states at any temperature.

    .. math:: Z = \sum_c g_c e^{-E_c/T},\; u = \langle E\rangle/N,\;
              c = (\langle E^2\rangle - \langle E\rangle^2)/(N T^2),\;
              s = (\ln Z + \langle E\rangle/T)/N,\; f = -T \ln Z/N.

    Parameters
    ----------
    energies_c : array_like, shape (C,)
        Energy of the whole system in each cell; several cells may share one.
    log_g_c : array_like, shape (C,)
        ln g; cells that are NaN are skipped.
    temperatures_t : array_like, shape (T,)
        Temperatures, k_B = 1, positive.
    n_sites : int
        Number of sites N.

    Returns
    -------
    dict of ndarray, shape (T,)
        ``log_Z`` of the whole system; ``mean_energy``, ``heat_capacity``, ``entropy`` and
        ``free_energy`` per site.

    Raises
    ------
    ValueError
        A temperature that is not positive, shapes that differ, or no visited cell.
    """
    temperatures_t = np.atleast_1d(np.asarray(temperatures_t, dtype=float))
    if not (np.isfinite(temperatures_t) & (temperatures_t > 0.0)).all():
        raise ValueError("temperatures must be positive")
    energies_c = np.asarray(energies_c, dtype=float)
    log_g_c = np.asarray(log_g_c, dtype=float)
    if energies_c.shape != log_g_c.shape or energies_c.ndim != 1:
        raise ValueError(f"energies {energies_c.shape} and log_g {log_g_c.shape} must be (C,)")
    seen_c = np.isfinite(log_g_c)
    if not seen_c.any():
        raise ValueError("no visited cell: ln g is NaN everywhere")
    lowest = energies_c[seen_c].min()  # from there, rounding stays small where T is
    E_c, log_g_c = energies_c[seen_c] - lowest, log_g_c[seen_c]
    log_Z_t, mean_t, variance_t = (np.empty(temperatures_t.size) for _ in range(3))
    for t, temperature in enumerate(temperatures_t):  # one row at a time: C may be a million
        log_p_c = log_g_c - E_c / temperature
        log_Z_t[t] = logsumexp(log_p_c)
        p_c = np.exp(log_p_c - log_Z_t[t])
        mean_t[t] = p_c @ E_c
        variance_t[t] = p_c @ (E_c - mean_t[t]) ** 2
    entropy_t = log_Z_t + mean_t / temperatures_t
    log_Z_t -= lowest / temperatures_t
    mean_t += lowest
    return {
        "log_Z": log_Z_t,
        "mean_energy": mean_t / n_sites,
        "heat_capacity": variance_t / (n_sites * temperatures_t**2),
        "entropy": entropy_t / n_sites,
        "free_energy": -temperatures_t * log_Z_t / n_sites,
    }


def canonical_with_errors(
    energies_c: np.ndarray,
    log_g_c: np.ndarray,
    log_g_jackknife_wc: np.ndarray,
    temperatures_t: np.ndarray,
    n_sites: int,
) -> dict[str, np.ndarray]:
    """`canonical`, with ``NAME_err`` beside every quantity by the jackknife over walkers.

    Parameters
    ----------
    energies_c, log_g_c, temperatures_t, n_sites
        As in `canonical`.
    log_g_jackknife_wc : array_like, shape (W, C)
        Rows with walker w left out, from `combine_walkers`.

    Returns
    -------
    dict of ndarray, shape (T,)
        Errors are NaN when W = 1 or a row is undetermined.

    Raises
    ------
    ValueError
        As in `canonical`.
    """
    result = canonical(energies_c, log_g_c, temperatures_t, n_sites)
    rows = []
    for row_c in np.atleast_2d(np.asarray(log_g_jackknife_wc, dtype=float)):
        if np.isfinite(row_c).any():
            rows.append(canonical(energies_c, row_c, temperatures_t, n_sites))
        else:
            rows.append({name: np.full_like(value, np.nan) for name, value in result.items()})
    errors = {f"{k}_err": jackknife_error(np.stack([row[k] for row in rows])) for k in result}
    return result | errors
