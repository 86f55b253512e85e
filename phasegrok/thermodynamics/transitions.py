r"""Density of states from attempted transitions between cells.

A cell i is an energy, or an (energy, order parameter) pair with the two axes flattened.  A walker
whose acceptance depends on cells only finds every state of a cell equally likely, so its symmetric
proposals go from cell i to cell j with the probability T_ij of an infinitely hot walker, whatever
the weights of the cells.  The chain T is reversible with respect to the number of states,

.. math:: g_i T_{ij} = g_j T_{ji},

and every attempt, accepted or not, tells about it [1]_: counts of walkers with different weights,
or in different windows, are simply added.

With :math:`C_{ij}` attempts from i to j and :math:`n_i` attempts from i in all, the likelihood
:math:`\prod T_{ij}^{C_{ij}}` is maximal under detailed balance [2]_ where

.. math:: g_i T_{ij} = \frac{C_{ij} + C_{ji}}{n_i / g_i + n_j / g_j},

which leaves for :math:`\zeta_i = \ln(n_i / g_i)` the minimum of the convex function

.. math:: F(\zeta) = \sum_{i<j} \Bigl[ (C_{ij} + C_{ji}) \ln(e^{\zeta_i} + e^{\zeta_j})
          - C_{ij} \zeta_i - C_{ji} \zeta_j \Bigr].

This is the logistic likelihood of the direction in which each pair of cells was crossed, that is,
the acceptance ratio method of free energies [3]_ on a graph of cells, or a Bradley-Terry model in
which i wins :math:`C_{ij}` times against j.  The minimum exists and is unique where every cell can
be reached from every other along attempts that were made [4]_; a pair crossed in one direction only
is allowed.  The curvature of F does not give the errors: attempts from one cell exclude one
another, and those of a walker follow one another.  Errors come from independent walkers.

References
----------
.. [1] J.-S. Wang, R. H. Swendsen, J. Stat. Phys. 106 (2002) 245: transition matrix Monte Carlo.
.. [2] B. Trendelkamp-Schroer et al., J. Chem. Phys. 143 (2015) 174101: the most likely reversible
   chain.
.. [3] M. R. Shirts et al., Phys. Rev. Lett. 91 (2003) 140601.
.. [4] L. R. Ford, Amer. Math. Monthly 64 (1957) 28.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import LinearOperator, cg, splu
from scipy.special import expit, logsumexp

from phasegrok.statistics import jackknife_error

_LAST_STEP = 1e-6
"""Newton's method ends with a step below this many nats: it squares, so only rounding is left."""

_LEAST_P = 1e-3
_TOO_FEW = 0.05  # p that is the least of 5 walkers or fewer is above
_MANY_ERRORS = 4.0  # rms z of 8 walkers is below 2.7 in 99.4 % of runs of known systems
_BLOCKS = 12
"""Groups of walkers, at most, where all 2^(groups - 1) changes of sign are tried."""


class _Pairs(NamedTuple):
    """Pairs of cells between which attempts were made, with the numbers in either direction."""

    i: np.ndarray  # (P,)
    j: np.ndarray  # (P,)
    forth: np.ndarray  # (P,) i -> j
    back: np.ndarray  # (P,) j -> i


def transition_log_g(
    attempts_ck: np.ndarray, offsets_k: np.ndarray, log_total: float
) -> np.ndarray:
    r"""Density of states from attempted transitions: the most likely reversible chain.

    Parameters
    ----------
    attempts_ck : array_like, shape (C, K)
        Attempts from flat cell c to flat cell c + offsets_k, accepted or not.  Expected numbers
        instead of counts give the exact answer.
    offsets_k : array_like of int, shape (K,)
        0 says that the attempt stayed in the cell or that its end is not recorded: such columns
        count in n_c only, and there may be several.  So do columns whose opposite offset is missing
        and attempts that would leave 0..C-1: a chain in which both directions of a pair stay in
        place is reversible too.
    log_total : float
        ln of the total number of states, e.g. N ln 2.

    Returns
    -------
    ndarray, shape (C,)
        ln g, with the sum of g over these cells equal to the total.  NaN for cells outside the
        largest set (in cells) of which each can be reached from each other along recorded attempts:
        their ratio to the others is not determined.

    Raises
    ------
    ValueError
        Shapes do not fit, or an attempt number is negative or not finite.
    ArithmeticError
        Newton's method did not converge.
    """
    attempts_ck, offsets_k = _checked(attempts_ck, offsets_k, 2)
    log_g_c = np.full(len(attempts_ck), np.nan)
    pairs, cells = _largest_component(_pairs(attempts_ck, offsets_k), len(attempts_ck))
    if cells.size:
        n_c = attempts_ck.sum(axis=1, dtype=float)[cells]
        zeta_c, _ = _solve(pairs, _first_guess(pairs, n_c))
        log_g_c[cells] = _normalised(np.log(n_c) - zeta_c, log_total)
    return log_g_c


def transition_log_g_jackknife(
    attempts_wck: np.ndarray, offsets_k: np.ndarray, log_total: float
) -> tuple[np.ndarray, np.ndarray]:
    """`transition_log_g` of all walkers together, and with each left out.

    Parameters
    ----------
    attempts_wck : array_like, shape (W, C, K)
        Attempts of the independent walkers (ladders) w, as in `transition_log_g`.
    offsets_k, log_total
        As in `transition_log_g`.

    Returns
    -------
    log_g_c : ndarray, shape (C,)
    log_g_jackknife_wc : ndarray, shape (W, C)
        With walker w left out; NaN where the others do not determine ln g, so also for W = 1.
        Where cells are missing, the others keep the share of the total that they have in log_g_c.

    Raises
    ------
    ValueError, ArithmeticError
        As in `transition_log_g`.
    """
    attempts_wck, offsets_k = _checked(attempts_wck, offsets_k, 3)
    n_walkers, n_cells, _ = attempts_wck.shape
    log_g_c, jackknife_wc = np.full(n_cells, np.nan), np.full((n_walkers, n_cells), np.nan)
    attempts_ck = attempts_wck.sum(axis=0)
    pairs, cells = _largest_component(_pairs(attempts_ck, offsets_k), n_cells)
    if not cells.size:
        return log_g_c, jackknife_wc
    n_c = attempts_ck.sum(axis=1, dtype=float)[cells]
    zeta_c, factor = _solve(pairs, _first_guess(pairs, n_c))
    log_g_c[cells] = _normalised(np.log(n_c) - zeta_c, log_total)
    for w in range(n_walkers if n_walkers > 1 else 0):
        others_ck = attempts_ck - attempts_wck[w]
        others, kept = _largest_component(_within(_pairs(others_ck, offsets_k), cells), len(cells))
        if not kept.size:
            continue
        n_w = others_ck.sum(axis=1, dtype=float)[cells[kept]]
        start_c = np.log(n_w / n_c[kept]) + zeta_c[kept]
        zeta_w, _ = _solve(others, start_c, _on_subset(factor, kept, len(cells)))
        share = logsumexp(log_g_c[cells[kept]])
        jackknife_wc[w, cells[kept]] = _normalised(np.log(n_w) - zeta_w, share)
    return log_g_c, jackknife_wc


def _checked(attempts, offsets_k, n_axes: int) -> tuple[np.ndarray, np.ndarray]:
    attempts, offsets_k = np.asarray(attempts), np.asarray(offsets_k)
    if attempts.ndim != n_axes or offsets_k.shape != attempts.shape[-1:]:
        raise ValueError(f"attempts {attempts.shape} do not fit offsets {offsets_k.shape}")
    if not np.issubdtype(offsets_k.dtype, np.integer):
        raise ValueError("offsets must be integers")
    if not (np.isfinite(attempts).all() and (attempts >= 0).all()):
        raise ValueError("numbers of attempts must be finite and not negative")
    return attempts, offsets_k


def _pairs(attempts_ck: np.ndarray, offsets_k: np.ndarray) -> _Pairs:
    """Pairs i < j with attempts in at least one direction, where both directions are recorded."""
    n_cells = len(attempts_ck)
    parts = []
    for offset in np.unique(offsets_k[offsets_k > 0]):
        if offset < n_cells and -offset in offsets_k:
            forth = attempts_ck[: n_cells - offset, offsets_k == offset].sum(axis=1, dtype=float)
            back = attempts_ck[offset:, offsets_k == -offset].sum(axis=1, dtype=float)
            i = np.flatnonzero(forth + back)
            parts.append((i, i + offset, forth[i], back[i]))
    if not parts:
        none = np.zeros(0, dtype=int)
        return _Pairs(none, none, np.zeros(0), np.zeros(0))
    return _Pairs(*(np.concatenate(column) for column in zip(*parts)))


def _within(pairs: _Pairs, cells: np.ndarray) -> _Pairs:
    """The pairs between given cells (ascending), numbered by their places in the list."""
    at_i, at_j = np.searchsorted(cells, pairs.i), np.searchsorted(cells, pairs.j)
    last = len(cells) - 1
    use = (cells[np.minimum(at_i, last)] == pairs.i) & (cells[np.minimum(at_j, last)] == pairs.j)
    return _Pairs(at_i[use], at_j[use], pairs.forth[use], pairs.back[use])


def _largest_component(pairs: _Pairs, n_cells: int) -> tuple[_Pairs, np.ndarray]:
    """The largest strongly connected set of cells (no single cell), and the pairs inside it."""
    there, back = pairs.forth > 0, pairs.back > 0
    start = np.concatenate([pairs.i[there], pairs.j[back]])
    end = np.concatenate([pairs.j[there], pairs.i[back]])
    graph = sparse.csr_matrix((np.ones(len(start)), (start, end)), shape=(n_cells, n_cells))
    _, label_c = connected_components(graph, directed=True, connection="strong")
    size = np.bincount(label_c, minlength=1)
    cells = np.flatnonzero(label_c == size.argmax()) if size.max() > 1 else np.zeros(0, dtype=int)
    return (_within(pairs, cells) if cells.size else pairs), cells


def _normalised(log_g_c: np.ndarray, log_total: float) -> np.ndarray:
    return log_g_c - logsumexp(log_g_c) + log_total


def _laplacian(pairs: _Pairs, weight: np.ndarray, n_cells: int) -> sparse.csc_matrix:
    """sum_pairs w (e_i - e_j)(e_i - e_j)^T; the diagonal of cell 0, which is held, is raised.

    Adding one number to all zeta changes nothing.  With right-hand sides that sum to zero, any
    addition to one element of the diagonal keeps the solution at 0 there.
    """
    diagonal = np.bincount(pairs.i, weight, n_cells) + np.bincount(pairs.j, weight, n_cells)
    diagonal[0] *= 2.0
    cell = np.arange(n_cells)
    rows = np.concatenate([pairs.i, pairs.j, cell])
    columns = np.concatenate([pairs.j, pairs.i, cell])
    values = np.concatenate([-weight, -weight, diagonal])
    return sparse.csc_matrix((values, (rows, columns)), shape=(n_cells, n_cells))


def _factor(matrix: sparse.csc_matrix):
    """Solver of a symmetric positive definite system: no pivoting, ordered to stay sparse."""
    try:
        return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0,
                    options={"SymmetricMode": True}).solve
    except RuntimeError as error:  # ratios of attempts beyond 1/rounding
        raise ArithmeticError(f"equations of the transition counts: {error}") from None


def _first_guess(pairs: _Pairs, n_c: np.ndarray) -> np.ndarray:
    """zeta from the ratios of single pairs, ln[(C_ij + 1/2) / (C_ji + 1/2)], by least squares."""
    forth, back = pairs.forth + 0.5, pairs.back + 0.5
    weight = forth * back / (forth + back)
    slope = weight * np.log(forth / back)
    matrix = _laplacian(pairs, weight, len(n_c))
    return _factor(matrix)(_divergence(pairs, slope, len(n_c)))


def _divergence(pairs: _Pairs, flow: np.ndarray, n_cells: int) -> np.ndarray:
    return np.bincount(pairs.i, flow, n_cells) - np.bincount(pairs.j, flow, n_cells)


def _solve(pairs: _Pairs, zeta_c: np.ndarray, precondition=None):
    """Minimise F by Newton's method with step halving; zeta_c and a solver with its last curvature.

    With a solver of a similar curvature, the linear equations are solved by conjugate gradients
    preconditioned by it: a factorisation costs a hundred solutions.
    """
    n_cells, solve = len(zeta_c), precondition
    value = _objective(pairs, zeta_c)
    for _ in range(200):
        difference = zeta_c[pairs.i] - zeta_c[pairs.j]
        first, second = expit(difference), expit(-difference)
        gradient_c = _divergence(pairs, pairs.back * first - pairs.forth * second, n_cells)
        curvature = _laplacian(pairs, (pairs.forth + pairs.back) * first * second, n_cells)
        if precondition is None:
            solve = _factor(curvature)
            step_c = -solve(gradient_c)
        else:
            operator = LinearOperator(curvature.shape, precondition)
            step_c = -cg(curvature, gradient_c, rtol=1e-10, maxiter=100, M=operator)[0]
        scale, value = _descend(pairs, zeta_c, step_c, value, float(gradient_c @ step_c))
        zeta_c = zeta_c + scale * step_c
        if np.abs(step_c).max() < _LAST_STEP:
            return zeta_c, solve
    raise ArithmeticError("the equations of the transition counts did not converge")


def _descend(pairs, zeta_c, step_c, value, slope):
    """Share of the step that lowers F enough, and F there."""
    for scale in 0.5 ** np.arange(40):
        trial = _objective(pairs, zeta_c + scale * step_c)
        # Rounding of F limits how small a decrease can be asked for near the minimum.
        if trial <= value + 1e-4 * scale * slope + 1e-13 * abs(value):
            return scale, trial
    raise ArithmeticError("the equations of the transition counts have no descent")


def _objective(pairs: _Pairs, zeta_c: np.ndarray) -> float:
    """F, with each logarithm taken relative to the winner's zeta."""
    difference = zeta_c[pairs.i] - zeta_c[pairs.j]
    return float(pairs.forth @ np.logaddexp(0.0, -difference)
                 + pairs.back @ np.logaddexp(0.0, difference))


def _on_subset(solve, kept: np.ndarray, n_cells: int):
    """The solver of all cells as an approximate one of some of them."""

    def restricted(right_c):
        full_c = np.zeros(n_cells)
        full_c[kept] = right_c.ravel()
        return solve(full_c)[kept]

    return restricted


class Agreement(NamedTuple):
    """How far two estimates of ln g from the same walkers differ."""

    cells: int
    """Cells that both estimates and all their leave-one-out values cover."""
    rms_difference: float
    """Root mean square difference over these cells, in nats."""
    rms_error: float
    """Root mean square standard error of the difference, in nats: what rms_difference should be."""
    rms_z: float
    """Root mean square over cells of difference / its standard error."""
    p_value: float
    """Probability of a difference as significant as this if both estimates have the same mean."""
    least_p: float
    """The smallest p_value that so many walkers can give."""

    @property
    def refuted(self) -> bool:
        """Whether the estimates differ: p_value below 1/1000 or, of 6 to 10 walkers, who cannot
        give that, as small as it can be while the difference is many errors large.  Fewer say
        nothing: their errors are too uncertain."""
        if self.p_value < _LEAST_P:
            return True
        least = self.p_value <= 1.01 * self.least_p
        return least and self.least_p < _TOO_FEW and self.rms_z > _MANY_ERRORS


def estimates_agree(
    log_g_c: np.ndarray,
    log_g_jackknife_wc: np.ndarray,
    other_c: np.ndarray,
    other_jackknife_wc: np.ndarray,
) -> Agreement:
    r"""Whether two estimates of ln g that were made from the same walkers agree.

    Errors of the two estimates are correlated, and so are those of neighbouring cells; W walkers
    cannot give a C x C covariance.  The walkers are independent, however: walker w's pseudo-values
    of the difference d, :math:`D_{wc} = W d_c - (W - 1) d_{(w)c}`, have mean zero if the estimates
    agree, and are then as likely to occur with the opposite sign in all cells at once.  So

    .. math:: Q = \sum_c \frac{(\sum_w D_{wc})^2}{\sum_w D_{wc}^2}

    is compared with its values for all :math:`2^{W-1}` changes of sign [5]_.  This needs neither a
    covariance nor a normal distribution.

    Parameters
    ----------
    log_g_c, other_c : array_like, shape (C,)
        Two estimates, NaN where undetermined.
    log_g_jackknife_wc, other_jackknife_wc : array_like, shape (W, C)
        The same with walker w left out.

    Returns
    -------
    Agreement
        p_value is at least :math:`2^{1-W}` (for W > 12 walkers are grouped to 12): 4 walkers can
        show a disagreement at the level of 1/8, 8 at that of 1/128, and a stricter limit is never
        met.  rms_difference is NaN if no cell is covered, the others also if errors are not
        determined (W = 1).

    Raises
    ------
    ValueError
        Shapes differ.

    References
    ----------
    .. [5] R. A. Fisher, The Design of Experiments (1935), section 21: the randomisation test.
    """
    arrays = [np.asarray(a, dtype=float) for a in (log_g_c, other_c, log_g_jackknife_wc,
                                                   other_jackknife_wc)]
    if arrays[0].shape != arrays[1].shape or not (
        arrays[2].shape == arrays[3].shape == arrays[2].shape[:1] + arrays[0].shape
    ):
        raise ValueError("estimates (C,) and leave-one-out values (W, C) must have the same shapes")
    difference_c, left_out_wc = arrays[0] - arrays[1], arrays[2] - arrays[3]
    known_c = np.isfinite(difference_c)
    covered_c = known_c & np.isfinite(left_out_wc).all(axis=0)
    if len(left_out_wc) < 2 or not covered_c.any():
        rms = _rms(difference_c[known_c])
        return Agreement(int(known_c.sum()), rms, math.nan, math.nan, math.nan, 1.0)
    d_c, left_out_wc = difference_c[covered_c], left_out_wc[:, covered_c]
    error_c = jackknife_error(left_out_wc)
    uncertain_c = error_c > 0.0  # equal to the last bit: nothing to compare
    z_c = d_c[uncertain_c] / error_c[uncertain_c]
    p_value = _sign_test(d_c[uncertain_c], left_out_wc[:, uncertain_c])
    least = 2.0 ** (1 - min(len(left_out_wc), _BLOCKS))
    return Agreement(d_c.size, _rms(d_c), _rms(error_c), _rms(z_c), p_value, least)


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x**2))) if x.size else math.nan


def _sign_test(d_c: np.ndarray, left_out_wc: np.ndarray) -> float:
    """Share of the changes of sign of the walkers' pseudo-values that give at least this Q."""
    n_walkers = len(left_out_wc)
    n_blocks = min(n_walkers, _BLOCKS)
    pseudo_wc = n_walkers * d_c - (n_walkers - 1) * left_out_wc
    pseudo_bc = np.array([pseudo_wc[b::_BLOCKS].sum(axis=0) for b in range(n_blocks)])
    scaled_bc = pseudo_bc / np.sqrt((pseudo_bc**2).sum(axis=0))
    overlap_bb = scaled_bc @ scaled_bc.T
    signs_sb = np.array([(1, *s) for s in itertools.product((1, -1), repeat=n_blocks - 1)])
    Q_s = ((signs_sb @ overlap_bb) * signs_sb).sum(axis=1)
    return float(np.mean(Q_s >= Q_s[0] * (1.0 - 1e-12)))
