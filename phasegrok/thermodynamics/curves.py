r"""One size of a system at any temperature: averages, peaks and crossings, with errors.

A series of E and Phi was taken on a ladder of temperatures.  Multiple histograms combine them in E
[1]_, and the distribution of Phi at given E does not depend on the temperature, so that

.. math:: \langle A\rangle_T = \sum_c p_T(E_c)\, \langle A\rangle_c, \qquad
          P_T(\Phi) = \sum_c p_T(E_c)\, P(\Phi \mid E_c), \qquad
          p_T(E_c) \propto g_c\, e^{-E_c/T}

at every T of the range.  Errors are jackknife errors over blocks: one block is the same replicas
and sweeps at all temperatures of one size, so that what temperatures have in common is kept.  Sizes
are independent.  Everything has a first axis of rows: row 0 from all data, row b with block b - 1
left out.

References
----------
.. [1] A. M. Ferrenberg, R. H. Swendsen, Phys. Rev. Lett. 63 (1989) 1195.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from phasegrok.statistics import jackknife_error, mean_with_error
from phasegrok.thermodynamics.reweighting import combine_histograms

CURVES = ("energy", "heat_capacity", "order_parameter", "order_parameter_abs", "susceptibility",
          "binder", "binder_slope")
"""Averages of `Reweighted`: E and heat capacity a site, <Phi>, <|Phi|>, chi = N (<x^2> - <x>^2)/T
and U = 1 - <x^4>/(3 <x^2>^2) with x = |Phi| where Phi is symmetric and Phi where it is not, and
dU/dT."""

GRID = 201
"""Temperatures of a curve: linear interpolation is then off by 1e-5 of its height."""

INDEPENDENT = 100.0
"""Independent samples of the energy that a size needs at every temperature to be evidence."""

_MOST_CELLS = 2**14  # of the energy
_ENOUGH_CELLS = 1024  # narrow against the width of P(E) at every size that is scanned
_RECURS = 16  # samples a level, on average: with fewer the levels are bins
_BINS = 256  # of the order parameter
_BLOCKS = 16  # of replicas, for the jackknife
_P_STARTS = 1e-3  # chance that starts that sample the same differ so much at any temperature


@dataclass(frozen=True)
class Series:
    """What was measured at one size.

    Attributes
    ----------
    n_sites : int
        N.
    temperatures_k : ndarray, shape (K,)
        Ascending.
    energy_krt, phi_krt : ndarray, shape (K, R, n)
        E of the whole system, and Phi measured from its value without order, on R independent
        ladders; 2 m and 2 m + 1 started ordered for odd m, at random for even m.
    symmetric : bool
        The modulus is the order parameter, since Phi and -Phi are equally likely.
    signed : bool
        Phi has both signs, whether or not both were seen.
    lattice : bool
        Sites have a place, so that a correlation length may exceed the size.
    size : int
        L, or what stands for it; 0 where sizes are told by N.
    """

    n_sites: int
    temperatures_k: np.ndarray
    energy_krt: np.ndarray
    phi_krt: np.ndarray
    symmetric: bool
    signed: bool = True
    lattice: bool = False
    size: int = 0


def cells(energy_krt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cell of each energy, and the energy of each cell.

    Cells are the levels that occurred.  Where these are too many, or do not recur, so that runs at
    neighbouring temperatures would have none in common, they are bins, far narrower than P(E), each
    at the mean energy of its samples.
    """
    energies_c, cell = np.unique(energy_krt, return_inverse=True)
    most = min(_MOST_CELLS, energy_krt.size // _RECURS)
    if energies_c.size <= most:
        return cell.reshape(energy_krt.shape), energies_c
    most = max(most, _ENOUGH_CELLS)
    low, high = float(energies_c[0]), float(energies_c[-1])
    width = max(high - low, 1e-12) / most
    cell = np.minimum(((energy_krt - low) / width).astype(np.int64), most - 1)
    number = np.bincount(cell.ravel(), minlength=most)
    total = np.bincount(cell.ravel(), energy_krt.ravel(), most)
    used = number > 0
    return (np.cumsum(used) - 1)[cell], total[used] / number[used]


def _blocks(R: int, n: int, n_blocks: int) -> tuple[int, np.ndarray]:
    """First sample in use, and the block of each sample from there on, shape (R, n - first).

    Groups of replicas, or stretches of equal length of every replica.
    """
    if n_blocks <= R:
        return 0, np.broadcast_to((np.arange(R) * n_blocks // R)[:, None], (R, n))
    stretches, rest = divmod(n_blocks, R)
    length = n // stretches
    if rest or not length:
        raise ValueError(f"{n_blocks} blocks of {R} replicas with {n} samples each")
    first = n - length * stretches
    return first, stretches * np.arange(R)[:, None] + np.arange(n - first) // length


class Reweighted:
    """Averages and distributions of one size at any temperature of its range.

    Parameters
    ----------
    series : Series
    inefficiency_k : array_like, shape (K,), optional
        2 tau of the runs in measurements, which sets their weights; by default that of the energy,
        from the series.
    n_blocks : int, optional
        Blocks of the jackknife: groups of replicas, at most R, or a multiple of R, stretches of
        equal length of every replica; by default 16 groups, or as many as there are replicas.

    Attributes
    ----------
    found : MultiHistogram
        Of all temperatures.
    independent : float
        Independent samples at the temperature that has fewest.

    Raises
    ------
    ValueError
        If the histograms of neighbouring temperatures do not overlap, or the blocks do not fit.
    """

    def __init__(self, series: Series, inefficiency_k: np.ndarray | None = None,
                 n_blocks: int | None = None):
        self.series = series
        K, R, n = series.energy_krt.shape
        B = n_blocks or min(R, _BLOCKS)
        if inefficiency_k is None:
            inefficiency_k = np.array([_inefficiency(e_rt) for e_rt in series.energy_krt])
        self.independent = R * n / float(np.max(inefficiency_k))
        self._inefficiency_k = np.asarray(inefficiency_k, dtype=float)
        first, self._block_rt = _blocks(R, n, B)
        self._phi_krt = np.asarray(series.phi_krt[:, :, first:], dtype=float)
        self._cell_krt, energies_c = cells(np.asarray(series.energy_krt[:, :, first:], float))
        shape = (B, K, energies_c.size)
        place = ((self._block_rt * K + np.arange(K)[:, None, None]) * energies_c.size
                 + self._cell_krt).ravel()
        counts_bkc = np.bincount(place, minlength=math.prod(shape)).reshape(shape)
        sums_nbkc = np.empty((4, *shape))
        phi = self._phi_krt.ravel()
        for sums, power in zip(sums_nbkc, (phi, np.abs(phi), phi**2, phi**4)):
            sums.ravel()[:] = np.bincount(place, power, math.prod(shape))
        self.found = combine_histograms(energies_c, counts_bkc, series.temperatures_k,
                                        self._inefficiency_k, sums_nbkc)
        self._centre = float(self.found.effective_c @ energies_c / self.found.effective_c.sum())
        self._known_nrc = self._known()

    def _known(self) -> np.ndarray:
        """Share of g, times 1, E, E^2, Phi, |Phi|, Phi^2, Phi^4, E Phi^2 and E Phi^4, by cell."""
        found = self.found
        share_rc = np.exp(np.vstack([found.log_g_c, found.log_g_jackknife_bc]) - found.log_g_c)
        share_rc = np.where(np.isfinite(share_rc), share_rc, 0.0)
        known_nrc = np.empty((9, *share_rc.shape))
        known_nrc[0] = share_rc
        E_c = found.energies_c - self._centre
        known_nrc[1], known_nrc[2] = share_rc * E_c, share_rc * E_c**2
        known_nrc[3:7, 0], known_nrc[3:7, 1:] = (
            found.moments_nc, found.moments_jackknife_bnc.swapaxes(0, 1))
        known_nrc[3:7] = np.where(share_rc > 0.0, known_nrc[3:7], 0.0) * share_rc
        known_nrc[7:] = known_nrc[5:7] * E_c
        return known_nrc

    @property
    def n_sites(self) -> int:
        """N."""
        return self.series.n_sites

    @property
    def symmetric(self) -> bool:
        """Whether |Phi| is the order parameter."""
        return self.series.symmetric

    @property
    def range(self) -> tuple[float, float]:
        """Temperatures that were sampled, and between which histograms are reweighted."""
        return float(self.found.temperatures_k.min()), float(self.found.temperatures_k.max())

    def grid(self, n: int = GRID) -> np.ndarray:
        """Temperatures of the range, equidistant."""
        return np.linspace(*self.range, n)

    @cached_property
    def starts_agree(self) -> bool:
        """Whether ladders begun ordered and at random have the same mean energies."""
        mean_kr = self.series.energy_krt.mean(axis=2)
        ordered_r = np.arange(mean_kr.shape[1]) // 2 % 2 == 1
        cold, hot = mean_kr[:, ordered_r], mean_kr[:, ~ordered_r]
        if cold.shape[1] < 2:
            return False
        with np.errstate(divide="ignore", invalid="ignore"):
            p_k = stats.ttest_ind(cold, hot, axis=1, equal_var=False).pvalue
        return bool(np.nanmin(p_k, initial=1.0) * len(p_k) > _P_STARTS)

    @property
    def is_evidence(self) -> bool:
        """Whether the run was long enough for its errors to be believed."""
        return self.starts_agree and self.independent >= INDEPENDENT

    def averages(self, temperatures_t: np.ndarray) -> dict[str, np.ndarray]:
        """`CURVES` at temperatures that all rows share, shape (rows, T)."""
        T_t = np.asarray(temperatures_t, dtype=float)
        n, R, C = self._known_nrc.shape
        total = self._known_nrc.reshape(n * R, C) @ self._weights(T_t).T
        return self._averages(total.reshape(n, R, -1), T_t)

    def averages_of_rows(self, temperatures_r: np.ndarray) -> dict[str, np.ndarray]:
        """`CURVES`, each row at its own temperature, shape (rows,)."""
        total = np.einsum("nrc,rc->nr", self._known_nrc, self._weights(temperatures_r))
        return self._averages(total, temperatures_r)

    def _weights(self, temperatures_t: np.ndarray) -> np.ndarray:
        log_w_tc = self.found.log_g_c - self.found.energies_c / temperatures_t[:, None]
        return np.exp(log_w_tc - log_w_tc.max(axis=1, keepdims=True))

    def _averages(self, total_n: np.ndarray, T: np.ndarray) -> dict[str, np.ndarray]:
        """`CURVES` from canonical sums of what is known at each energy.

        Derivatives are covariances, d<A>/dT = (<A E> - <A><E>)/T^2.
        """
        n = self.n_sites
        with np.errstate(divide="ignore", invalid="ignore"):
            E, E2, signed, modulus, square, fourth, E_square, E_fourth = total_n[1:] / total_n[0]
            x, ratio = modulus if self.symmetric else signed, fourth / (3.0 * square**2)
            d_square, d_fourth = (E_square - E * square) / T**2, (E_fourth - E * fourth) / T**2
            slope = ratio * (2.0 * d_square / square - d_fourth / fourth)
        return dict(zip(CURVES, (
            (E + self._centre) / n, (E2 - E**2) / (n * T**2), signed, modulus,
            n * (square - x**2) / T, 1.0 - ratio, slope)))

    def p_energy(self, temperatures_r: np.ndarray) -> np.ndarray:
        """P(E_c), each row at its own temperature (or all at one), shape (rows, C)."""
        p_rc = self._known_nrc[0] * self._weights(np.atleast_1d(temperatures_r))
        with np.errstate(divide="ignore", invalid="ignore"):
            return p_rc / p_rc.sum(axis=1, keepdims=True)

    @cached_property
    def _joint(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Values of Phi, the first cells of wider ones, their numbers and those with each Phi."""
        energies_c = self.found.energies_c
        wide_c = np.arange(len(energies_c))
        if len(energies_c) > _ENOUGH_CELLS:
            width = (energies_c[-1] - energies_c[0]) / _ENOUGH_CELLS
            wide_c = np.minimum((energies_c - energies_c[0]) // width, _ENOUGH_CELLS - 1)
        _, first_g, wide_c = np.unique(wide_c, return_index=True, return_inverse=True)
        bin_krt, phi_f = _bins(self._phi_krt)
        B, G, F = self._known_nrc.shape[1] - 1, len(first_g), len(phi_f)
        at_krt = self._block_rt * G + wide_c[self._cell_krt]
        weight_krt = np.broadcast_to((1.0 / self._inefficiency_k)[:, None, None], at_krt.shape)

        def number(place_krt, shape):
            counts = np.bincount(place_krt.ravel(), weight_krt.ravel(), math.prod(shape))
            total = counts.reshape(shape).sum(axis=0, keepdims=True)
            return np.concatenate([total, total - counts.reshape(shape)])

        number_rg = number(at_krt, (B, G))
        counts_rgf = number(at_krt * F + bin_krt, (B, G, F)).astype(np.float32)
        return (phi_f, first_g, np.where(number_rg > 1e-9, number_rg, 0.0),  # the rest is rounding
                np.maximum(counts_rgf, 0.0))

    @property
    def phi_f(self) -> np.ndarray:
        """Values, or bins, of the order parameter."""
        return self._joint[0]

    def p_phi(self, temperatures_r: np.ndarray) -> np.ndarray:
        """P(Phi_f), each row at its own temperature (or all at one), shape (rows, F)."""
        _, first_g, number_rg, counts_rgf = self._joint
        p_rg = np.add.reduceat(self.p_energy(temperatures_r), first_g, axis=1)
        p_rg /= np.maximum(number_rg, 1e-300)
        return np.matmul(p_rg[:, None, :].astype(np.float32), counts_rgf)[:, 0].astype(float)


def _bins(phi_krt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bin of each order parameter, with 0 in the middle of one, and the centres of all bins."""
    values = np.unique(phi_krt.astype(np.float32)).astype(float)
    gaps = np.diff(values)
    gaps = gaps[gaps > 1e-5 * max(np.ptp(values), 1e-9)]
    step = float(gaps.min()) if gaps.size else 1.0
    per_bin = math.ceil((np.ptp(values) / step + 1.0) / _BINS)
    width = step * (per_bin + 1 - per_bin % 2)
    bin_krt = np.rint(phi_krt / width).astype(np.int64)
    low, high = int(bin_krt.min()), int(bin_krt.max())
    return bin_krt - low, width * np.arange(low, high + 1)


def _inefficiency(energy_rt: np.ndarray) -> float:
    """2 tau of the energy, in measurements."""
    tau = mean_with_error(energy_rt).tau
    return 2.0 * max(0.5, tau) if math.isfinite(tau) else 1.0


@dataclass(frozen=True)
class Curves:
    """Averages of one size against temperature.

    Attributes
    ----------
    size, n_sites : int
    temperatures_t : ndarray, shape (T,)
    values : dict of ndarray, shape (rows, T)
        `CURVES`.
    """

    size: int
    n_sites: int
    temperatures_t: np.ndarray
    values: dict[str, np.ndarray]

    def mean_and_error(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """One curve with its jackknife error."""
        return self.values[name][0], jackknife_error(self.values[name][1:])


def curves(data: Reweighted, temperatures_t: np.ndarray) -> Curves:
    """Averages of one size at temperatures that its histograms cover.

    Raises
    ------
    ValueError
        A temperature that they do not cover.
    """
    T_t = np.atleast_1d(np.asarray(temperatures_t, dtype=float))
    if not data.found.covers(T_t).all():
        raise ValueError(f"the histograms of size {data.series.size}, taken between T = "
                         f"{data.range[0]:g} and {data.range[1]:g}, do not cover T = "
                         f"{T_t[0]:g} .. {T_t[-1]:g}")
    return Curves(data.series.size, data.n_sites, T_t, data.averages(T_t))


def jackknife_covariance(rows_bp: np.ndarray) -> np.ndarray:
    """Covariance (..., P, P) of numbers from their values with each block left out (..., B, P)."""
    n = rows_bp.shape[-2]
    deviation = rows_bp - rows_bp.mean(axis=-2, keepdims=True)
    return (n - 1) / n * np.swapaxes(deviation, -1, -2) @ deviation
