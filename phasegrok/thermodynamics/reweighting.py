r"""Histogram reweighting: canonical averages at any temperature from runs at several.

Runs at temperatures T_k counted each energy E_c :math:`H_{kc}` times.  The density of states that
fits all of them best is, with the statistical inefficiency :math:`s_k = 2 \tau_k` of run k [1]_,

.. math:: g_c = \frac{\sum_k H_{kc}/s_k}{\sum_k (n_k/s_k)\, e^{f_k - E_c/T_k}}, \qquad
          e^{-f_k} = \sum_c g_c e^{-E_c/T_k}.

Only temperatures times energies are stored, never samples.  The order parameter enters by its mean
at each energy, :math:`\langle\Phi^n\rangle_c`, which does not depend on the temperature.

References
----------
.. [1] A. M. Ferrenberg, R. H. Swendsen, Phys. Rev. Lett. 63 (1989) 1195, eq. (5)-(6).
.. [2] L. Kish, Survey Sampling (1965), section 11.7: effective number of weighted samples.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse.csgraph import connected_components

from phasegrok.groups import Group
from phasegrok.statistics import jackknife_error
from phasegrok.thermodynamics.density_of_states import canonical_with_errors, solve_histograms

ENOUGH_SAMPLES = 50.0
"""Effective samples below which a temperature counts as not covered by the histograms."""


@dataclass(frozen=True)
class MultiHistogram:
    """What several canonical histograms together say of the density of states.

    Attributes
    ----------
    energies_c : ndarray, shape (C,)
        Energies of the whole system.
    temperatures_k : ndarray, shape (K,)
    log_g_c : ndarray, shape (C,)
        ln g up to one constant, chosen so that f_0 = 0; NaN where no run was.
    log_g_jackknife_bc : ndarray, shape (B, C)
        The same with block b left out.
    free_energies_k, free_energies_err_k : ndarray, shape (K,)
        f_k = -ln(Z_k/Z_0), dimensionless, with standard errors (jackknife over blocks).
    overlap_k : ndarray, shape (K - 1,)
        Common area of the normalised histograms of neighbouring temperatures, 0 to 1.
    effective_c : ndarray, shape (C,)
        Effective counts sum_k H_kc / s_k.
    moments_nc : ndarray, shape (n_moments, C)
        Mean of each moment at each energy.
    moments_jackknife_bnc : ndarray, shape (B, n_moments, C)
    """

    energies_c: np.ndarray
    temperatures_k: np.ndarray
    log_g_c: np.ndarray
    log_g_jackknife_bc: np.ndarray
    free_energies_k: np.ndarray
    free_energies_err_k: np.ndarray
    overlap_k: np.ndarray
    effective_c: np.ndarray
    moments_nc: np.ndarray
    moments_jackknife_bnc: np.ndarray

    def effective_samples(self, temperatures_t: np.ndarray) -> np.ndarray:
        """Number of independent canonical samples that would be as good, 1/sum_c p_c^2/H_c [2]_.

        Falls off sharply outside of the range of temperatures that the histograms cover, and
        between temperatures whose histograms hardly overlap.
        """
        seen = np.isfinite(self.log_g_c)
        p_tc = self._weights(self.log_g_c[seen], seen, temperatures_t)
        return 1.0 / (p_tc**2 / self.effective_c[seen]).sum(axis=1)

    def covers(self, temperatures_t: np.ndarray) -> np.ndarray:
        """Whether averages at these temperatures, and their errors, can be trusted."""
        return self.effective_samples(temperatures_t) >= ENOUGH_SAMPLES

    def canonical(self, temperatures_t: np.ndarray, n_sites: int) -> dict[str, np.ndarray]:
        """``mean_energy`` and ``heat_capacity`` per site, each with ``_err``, and ``moments``.

        Parameters
        ----------
        temperatures_t : array_like, shape (T,)
            Positive temperatures.
        n_sites : int
            Number of sites N.

        Returns
        -------
        dict of ndarray
            Energy and heat capacity have shape (T,), ``moments`` and ``moments_err`` (n, T),
            ``moments_jackknife`` (B, n, T).

        Raises
        ------
        ValueError
            A temperature outside of what the histograms cover.
        """
        temperatures_t = np.atleast_1d(np.asarray(temperatures_t, dtype=float))
        bad = ~self.covers(temperatures_t)
        if bad.any():
            low, high = self.temperatures_k.min(), self.temperatures_k.max()
            raise ValueError(
                f"the histograms, taken between T = {low:g} and {high:g}, do not cover "
                f"T = {', '.join(f'{T:g}' for T in temperatures_t[bad])}: fewer than "
                f"{ENOUGH_SAMPLES:g} effective samples")
        all_values = canonical_with_errors(self.energies_c, self.log_g_c, self.log_g_jackknife_bc,
                                           temperatures_t, n_sites)
        result = {name: all_values[name] for name in
                  ("mean_energy", "mean_energy_err", "heat_capacity", "heat_capacity_err")}
        result["moments"] = self._moments(self.log_g_c, self.moments_nc, temperatures_t)
        left_out = [self._moments(*rows, temperatures_t)
                    for rows in zip(self.log_g_jackknife_bc, self.moments_jackknife_bnc)]
        result["moments_jackknife"] = np.array(left_out)
        result["moments_err"] = jackknife_error(result["moments_jackknife"])
        return result

    def _weights(self, log_g_s, seen, temperatures_t):
        """Canonical probabilities of the cells seen, shape (T, cells)."""
        log_p = log_g_s - self.energies_c[seen] / np.atleast_1d(temperatures_t)[:, None]
        p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)

    def _moments(self, log_g_c, moments_nc, temperatures_t):
        seen = np.isfinite(log_g_c)
        if not seen.any():
            return np.full((len(moments_nc), len(temperatures_t)), np.nan)
        return moments_nc[:, seen] @ self._weights(log_g_c[seen], seen, temperatures_t).T


def combine_histograms(
    energies_c: np.ndarray, counts_bkc: np.ndarray, temperatures_k: np.ndarray,
    inefficiency_k: np.ndarray, sums_nbkc: np.ndarray | None = None
) -> MultiHistogram:
    """Solve the multiple-histogram equations for runs at several temperatures.

    Parameters
    ----------
    energies_c : array_like, shape (C,)
        Energies of the whole system.
    counts_bkc : array_like, shape (B, K, C)
        How often each energy occurred at each temperature, in B blocks: replicas, or stretches of
        a run much longer than tau.  Errors are those of the jackknife over blocks, which does not
        trust ``inefficiency_k``.
    temperatures_k : array_like, shape (K,)
        Positive temperatures, k_B = 1.
    inefficiency_k : array_like, shape (K,)
        Statistical inefficiency 2 tau of each run, which sets the weights of the runs.
    sums_nbkc : array_like, shape (n_moments, B, K, C), optional
        Sums of moments of the order parameter over the counts.

    Raises
    ------
    ValueError
        Shapes that differ, negative counts, a run without samples, or runs whose histograms do not
        overlap, so that their relative weights are undetermined.
    """
    energies_c, T_k, s_k = (np.asarray(x, dtype=float)
                            for x in (energies_c, temperatures_k, inefficiency_k))
    counts_bkc = np.asarray(counts_bkc)
    if counts_bkc.ndim != 3 or counts_bkc.shape[1:] != (T_k.size, energies_c.size):
        raise ValueError(f"counts {counts_bkc.shape} must be (blocks, temperatures, energies), "
                         f"here (B, {T_k.size}, {energies_c.size})")
    if (counts_bkc < 0).any() or not (T_k > 0.0).all() or not (s_k > 0.0).all():
        raise ValueError("counts, temperatures and inefficiencies must not be negative or zero")
    total_kc = counts_bkc.sum(axis=0)
    _check_overlap(total_kc, T_k)
    weighted_bkc = counts_bkc / s_k[:, None]
    sums = np.zeros((0, *counts_bkc.shape)) if sums_nbkc is None else np.asarray(sums_nbkc, float)
    sums_nbc = np.einsum("nbkc,k->nbc", sums, 1.0 / s_k)

    log_g_c, f_k = _fit(energies_c, T_k, weighted_bkc.sum(axis=0))
    rows, f_rows = [], []
    for b in range(len(counts_bkc)):
        others_kc = total_kc - counts_bkc[b]
        if _gaps(others_kc, T_k):
            rows.append(np.full(energies_c.size, np.nan))
            f_rows.append(np.full(T_k.size, np.nan))
            continue
        row, f = _fit(energies_c, T_k, others_kc / s_k[:, None], -f_k)
        rows.append(row)
        f_rows.append(f)
    effective_c = weighted_bkc.sum(axis=(0, 1))
    effective_bc = effective_c - weighted_bkc.sum(axis=1)
    sums_nc = sums_nbc.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        moments_nc = sums_nc / effective_c
        moments_bnc = (sums_nc[None] - sums_nbc.swapaxes(0, 1)) / effective_bc[:, None]
    order = np.argsort(T_k)
    return MultiHistogram(
        energies_c, T_k, log_g_c, np.array(rows), f_k, jackknife_error(np.array(f_rows)),
        _overlap(total_kc[order]), effective_c, moments_nc, moments_bnc)


def _fit(energies_c, T_k, weighted_kc, log_Z_k=None):
    """ln g_c with f_0 = 0 (NaN where no run was), and f_k."""
    shift = energies_c[weighted_kc.any(axis=0)].min()  # keeps E/T of the lowest levels near 0
    u_kc = (energies_c - shift) / T_k[:, None]
    start_k = _integrated(energies_c - shift, T_k, weighted_kc)
    if log_Z_k is not None:
        start_k = log_Z_k + shift / T_k
    log_g_c, log_Z_k = solve_histograms(weighted_kc, u_kc, start_k)
    f_k = -(log_Z_k - shift / T_k)
    return log_g_c + f_k[0], f_k - f_k[0]


def _integrated(energies_c, T_k, weighted_kc):
    """ln Z_k by integrating -<E> over 1/T, with the end corrections that the variances give."""
    p_kc = weighted_kc / weighted_kc.sum(axis=1, keepdims=True)
    mean_k = p_kc @ energies_c
    variance_k = p_kc @ energies_c**2 - mean_k**2
    order = np.argsort(1.0 / T_k)
    step = np.diff(1.0 / T_k[order])
    mean, variance = mean_k[order], variance_k[order]
    rise = -step * (mean[1:] + mean[:-1]) / 2.0 - step**2 * (variance[1:] - variance[:-1]) / 12.0
    log_Z_k = np.zeros(T_k.size)
    log_Z_k[order[1:]] = np.cumsum(rise)
    return log_Z_k


def _overlap(total_kc):
    p_kc = total_kc / total_kc.sum(axis=1, keepdims=True)
    return np.minimum(p_kc[1:], p_kc[:-1]).sum(axis=1)


def _gaps(total_kc, T_k) -> str:
    """Empty if all histograms hang together, else one sentence that says where they do not."""
    empty = ~total_kc.any(axis=1)
    if empty.any():
        return f"no samples at T = {', '.join(f'{T:g}' for T in T_k[empty])}"
    common_kk = (total_kc > 0).astype(float) @ (total_kc > 0).T.astype(float)
    n_parts, part_k = connected_components(common_kk, directed=False)
    if n_parts == 1:
        return ""
    order = np.argsort(T_k)
    cuts = [f"{T_k[a]:g} and {T_k[b]:g}" for a, b in pairwise(order) if part_k[a] != part_k[b]]
    return ("no energy occurred on both sides between T = " + ", ".join(cuts)
            + ": add temperatures there")


def _check_overlap(total_kc, T_k):
    problem = _gaps(total_kc, T_k)
    if problem:
        raise ValueError(problem)


def reweighted_group(energies_c: np.ndarray, histogram_kbcm: np.ndarray,
                     temperatures_k: np.ndarray, inefficiency_k: np.ndarray,
                     n_sites: int, n_temperatures: int = 81) -> Group:
    """Group ``reweighted``: averages at all temperatures between those that were sampled.

    Parameters
    ----------
    energies_c : ndarray, shape (C,)
        Energies of the whole system.
    histogram_kbcm : ndarray, shape (K, B, C, 4)
        At each temperature, in B blocks, for each energy: its number, and the sums of |Phi|, Phi^2
        and Phi^4.
    temperatures_k, inefficiency_k : ndarray, shape (K,)
        T and 2 tau of the runs.
    n_sites : int
        N.
    n_temperatures : int
        Equidistant temperatures between the first and the last.

    Raises
    ------
    ValueError
        If the histograms of neighbouring temperatures do not overlap.
    """
    seen = histogram_kbcm[..., 0].sum(axis=(0, 1)) > 0
    rows = np.moveaxis(histogram_kbcm[:, :, seen], -1, 0).swapaxes(1, 2)
    found = combine_histograms(energies_c[seen], rows[0], temperatures_k, inefficiency_k, rows[1:])
    grid = np.linspace(temperatures_k.min(), temperatures_k.max(), n_temperatures)
    grid = grid[found.covers(grid)] if len(temperatures_k) > 1 else temperatures_k
    if not len(grid):
        raise ValueError("the histograms cover no temperature well enough")
    values = found.canonical(grid, n_sites)
    group = Group()
    group.add("temperature", grid, "temperature", "energy", "temperature")
    for name, stored, units in (("energy", "mean_energy", "energy per site"),
                                ("heat_capacity", "heat_capacity", "1 per site")):
        _add(group, name, values[stored], values[f"{stored}_err"], units)

    def of_moments(moments):
        size, square, fourth = np.moveaxis(moments, -2, 0)
        return (size, n_sites * (square - size**2) / grid, 1.0 - fourth / (3.0 * square**2))

    with np.errstate(divide="ignore", invalid="ignore"):  # an order parameter that is zero
        means, left_out = of_moments(values["moments"]), of_moments(values["moments_jackknife"])
    names = (("order_parameter_abs", "1"), ("susceptibility", "1 per energy"), ("binder", "1"))
    for (name, units), mean, jackknife in zip(names, means, left_out):
        _add(group, name, mean, jackknife_error(jackknife), units)
    group.attributes["method"] = "multiple histograms (Ferrenberg and Swendsen 1989)"
    return group


def _add(group: Group, name: str, value, error, units: str) -> None:
    group.add(name, value, "temperature", units, f"{name.replace('_', ' ')}, reweighted")
    group.add(f"{name}_err", error, "temperature", units,
              f"standard error of {name}: jackknife over groups of replicas")
