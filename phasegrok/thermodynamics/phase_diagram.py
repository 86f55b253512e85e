r"""Where phases meet, and how: transitions from time series of E and Phi at several sizes.

At one value of the other parameter, a series of E and Phi was taken on a ladder of temperatures at
each of several sizes.  The ladders of one size are combined by multiple histograms in E; the
distribution of Phi at given E does not depend on the temperature, so that

.. math:: P_T(\Phi) = \sum_c p_T(E_c)\, P(\Phi \mid E_c), \qquad
          p_T(E_c) \propto g_c\, e^{-E_c/T}

at every T of the range.  All errors are jackknife errors over independent ladders, carried through
to the last number.

**The rule.** s is the standard error of what stands before it, and N the number of sites.

- First-order: the barrier between two wells of -ln P(Phi) at equal height [1]_ grows as between two
  phases, by :func:`phasegrok.thermodynamics.order.barrier_growth`.
- Crossover at the sizes run: the peak of the susceptibility grows as N^y with y + SIGMAS s below
  ``LEAST_GROWTH`` between the two largest sizes.  At critical points y = gamma/(d nu) is 1/2 in
  mean field and larger in two and three dimensions.
- Continuous at the sizes run: y - SIGMAS s above ``LEAST_GROWTH``, y + SIGMAS s below 1, which is
  the growth where two phases coexist [3]_, y does not fall with size by more than SIGMAS s and
  ``DRIFT``, the Binder ratios of the two largest sizes cross inside the peak, and no barrier grows
  by more than ``SIGMAS`` s.
- Undecided: all else, one size only, or a peak at an end of the range.

A size is evidence only if ladders begun ordered and at random agree, and if the ladders together
have ``INDEPENDENT`` independent samples or more of the energy at every temperature.  With fewer the
way between two phases was seen too rarely: barriers come out too high and errors too small.

References
----------
.. [1] J. Lee, J. M. Kosterlitz, Phys. Rev. Lett. 65 (1990) 137.
.. [2] K. Binder, Z. Phys. B 43 (1981) 119.
.. [3] M. S. S. Challa, D. P. Landau, K. Binder, Phys. Rev. B 34 (1986) 1841: peaks grow as N, and
   their distance from T_c falls as 1/N, at a first-order transition.
"""

import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy import stats

from phasegrok.groups import Group
from phasegrok.statistics import format_error, jackknife_error, mean_with_error
from phasegrok.thermodynamics.effective_potential import _persistent_minima
from phasegrok.thermodynamics.order import CLASSES, SIGMAS, barrier_growth, label_of
from phasegrok.thermodynamics.reweighting import combine_histograms

PHASES = ("disordered", "ordered", "positive", "negative")
LEAST_GROWTH = 0.25
DRIFT = 0.1
RUNG = 1.0
INDEPENDENT = 100.0
CURVES = ("energy", "heat_capacity", "order_parameter", "order_parameter_abs", "susceptibility",
          "binder")

_CELLS = 1024  # of the energy: narrow against the width of P(E) at every size that is scanned
_BINS = 256  # of the order parameter
_BLOCKS = 16  # of ladders, for the jackknife
_GRID = 81  # points at which a potential is evaluated
_BANDWIDTH = 0.12  # of the kernel, in standard deviations of the distribution at the peak ...
_OF_WELL = 0.3  # ... and of the narrower of two wells, where there are two
_GUESS = 0.25  # of the distance to the peak of chi: what two sizes leave of a drift
_WIDTHS, _FEWEST_RUNGS = 1.5, 7
_P_STARTS = 1e-3  # chance that starts that sample the same differ so much at any temperature


@dataclasses.dataclass(frozen=True)
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
        Phi and -Phi are equally likely: the modulus is the order parameter.
    signed : bool
        Phi has both signs, whether or not both were seen.
    lattice : bool
        Sites have a place, so that a correlation length may exceed the size.
    """

    n_sites: int
    temperatures_k: np.ndarray
    energy_krt: np.ndarray
    phi_krt: np.ndarray
    symmetric: bool
    signed: bool = True
    lattice: bool = False


def _cells(energy_krt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cell of each energy, and the mean energy of each cell that occurs."""
    low, high = float(energy_krt.min()), float(energy_krt.max())
    width = max(high - low, 1e-12) / _CELLS
    cell_krt = np.minimum(((energy_krt - low) / width).astype(np.int64), _CELLS - 1)
    number = np.bincount(cell_krt.ravel(), minlength=_CELLS)
    total = np.bincount(cell_krt.ravel(), energy_krt.ravel().astype(float), minlength=_CELLS)
    used = number > 0
    return (np.cumsum(used) - 1)[cell_krt], total[used] / number[used]


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


class Reweighted:
    """Distributions and averages of one size at any temperature of its range.

    Everything has a first axis of rows: row 0 from all ladders, row b with block b - 1 of ladders
    left out.

    Parameters
    ----------
    series : Series

    Raises
    ------
    ValueError
        If the histograms of neighbouring temperatures do not overlap.
    """

    def __init__(self, series: Series):
        self.n_sites, self.symmetric, self.signed = (
            series.n_sites, series.symmetric, series.signed)
        self.lattice = series.lattice
        self.temperatures_k = series.temperatures_k
        K, R, n = series.energy_krt.shape
        B = min(R, _BLOCKS)
        cell_krt, self.energies_c = _cells(series.energy_krt)
        C = len(self.energies_c)
        block_r = (np.arange(R) * B // R)[:, None]
        rung = np.arange(K)[:, None, None]
        counts_rkc = np.bincount(((block_r * K + rung) * C + cell_krt).ravel(),
                                 minlength=B * K * C).reshape(B, K, C)
        inefficiency_k = np.array([_inefficiency(e_rt) for e_rt in series.energy_krt])
        self.independent = R * n / float(inefficiency_k.max())
        found = combine_histograms(self.energies_c, counts_rkc, series.temperatures_k,
                                   inefficiency_k)
        rows_bc = np.concatenate([found.log_g_c[None], found.log_g_jackknife_bc])
        self._log_g_bc = np.where(np.isfinite(rows_bc), rows_bc, -np.inf)

        def sums(place_krt, shape, x_krt=1.0):
            weight_krt = x_krt * np.broadcast_to((1.0 / inefficiency_k)[:, None, None], (K, R, n))
            total = np.bincount(place_krt.ravel(), weight_krt.ravel(), minlength=math.prod(shape))
            return _leave_one_out(total.reshape(shape))

        at_krt = block_r * C + cell_krt
        number_bc = sums(at_krt, (B, C))
        self._number_bc = np.where(number_bc > 1e-9, number_bc, 0.0)  # the rest is rounding
        signed = series.phi_krt.astype(float)
        x = np.abs(signed) if series.symmetric else signed
        sums_nbc = np.array([sums(at_krt, (B, C), power) for power in (
            signed, np.abs(signed), x, x**2, x**4)])
        self._moments_nbc = np.divide(sums_nbc, self._number_bc, where=self._number_bc > 0.0,
                                      out=np.zeros_like(sums_nbc))
        bin_krt, self.phi_f = _bins(series.phi_krt)
        F = len(self.phi_f)
        counts_bcf = sums(at_krt * F + bin_krt, (B, C, F)).astype(np.float32)
        self._phi_counts_bcf = np.maximum(counts_bcf, 0.0)
        self.starts_agree = _starts_agree(series)

    @property
    def is_evidence(self) -> bool:
        """Whether the run was long enough for its errors to be believed."""
        return self.starts_agree and self.independent >= INDEPENDENT

    @property
    def range(self) -> tuple[float, float]:
        """First and last temperature."""
        return float(self.temperatures_k[0]), float(self.temperatures_k[-1])

    def p_energy(self, temperatures_b: np.ndarray) -> np.ndarray:
        """P(E_c) of each row at its own temperature, shape (B, C)."""
        T_b = np.broadcast_to(temperatures_b, len(self._log_g_bc))
        log_p_bc = self._log_g_bc - self.energies_c / T_b[:, None]
        p_bc = np.exp(log_p_bc - log_p_bc.max(axis=1, keepdims=True))
        return p_bc / p_bc.sum(axis=1, keepdims=True)

    def averages(self, temperatures_b: np.ndarray) -> dict[str, np.ndarray]:
        """Averages of each row at its own temperature (or at one for all), shape (B,).

        Energy and heat capacity a site; Phi and its modulus; chi = N (<x^2> - <x>^2)/T and U = 1 -
        <x^4>/(3 <x^2>^2), x = |Phi| where Phi is symmetric and Phi where it is not.
        """
        T_b = np.broadcast_to(np.asarray(temperatures_b, float), len(self._log_g_bc))
        p_bc = self.p_energy(T_b)
        mean_b = p_bc @ self.energies_c
        variance_b = (p_bc * (self.energies_c - mean_b[:, None]) ** 2).sum(axis=1)
        signed, modulus, x, x2, x4 = np.einsum("bc,nbc->nb", p_bc, self._moments_nbc)
        with np.errstate(divide="ignore", invalid="ignore"):
            binder = 1.0 - x4 / (3.0 * x2**2)
        return {"energy": mean_b / self.n_sites,
                "heat_capacity": variance_b / (self.n_sites * T_b**2),
                "order_parameter": signed, "order_parameter_abs": modulus,
                "susceptibility": self.n_sites * (x2 - x**2) / T_b, "binder": binder}

    def curves(self, temperatures_t: np.ndarray) -> dict[str, np.ndarray]:
        """`averages` at many temperatures, shape (T, B)."""
        found = [self.averages(T) for T in temperatures_t]
        return {name: np.array([row[name] for row in found]) for name in CURVES}

    def p_phi(self, temperatures_b: np.ndarray) -> np.ndarray:
        """P(Phi_f) of each row at its own temperature, shape (B, F)."""
        p_bc = self.p_energy(temperatures_b) / np.maximum(self._number_bc, 1e-300)
        p_bf = np.matmul(p_bc[:, None, :].astype(np.float32), self._phi_counts_bcf)[:, 0]
        return p_bf.astype(float)


def _inefficiency(energy_rt: np.ndarray) -> float:
    """2 tau of the energy, in measurements."""
    tau = mean_with_error(energy_rt).tau
    return 2.0 * max(0.5, tau) if math.isfinite(tau) else 1.0


def _leave_one_out(x_rn: np.ndarray) -> np.ndarray:
    total = x_rn.sum(axis=0, keepdims=True)
    return np.concatenate([total, total - x_rn])


def _starts_agree(series: Series) -> bool:
    """Whether ladders begun ordered and at random have the same mean energies."""
    mean_kr = series.energy_krt.mean(axis=2)
    ordered_r = np.arange(mean_kr.shape[1]) // 2 % 2 == 1
    cold, hot = mean_kr[:, ordered_r], mean_kr[:, ~ordered_r]
    if cold.shape[1] < 2:
        return False
    with np.errstate(divide="ignore", invalid="ignore"):
        p_k = stats.ttest_ind(cold, hot, axis=1, equal_var=False).pvalue
    return bool(np.nanmin(p_k, initial=1.0) * len(p_k) > _P_STARTS)


# --- peaks ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Peak:
    """The highest maximum of a curve inside the range; rows as in `Reweighted`.

    Attributes
    ----------
    temperature_b, height_b : ndarray, shape (B,)
        NaN where the curve is highest at an end of the range.
    low, high : float
        Where the curve has half of its height, or the ends of the range.
    """

    temperature_b: np.ndarray
    height_b: np.ndarray
    low: float
    high: float

    @property
    def found(self) -> bool:
        """Whether there is one."""
        return bool(np.isfinite(self.temperature_b).all())


def peak(data: Reweighted, name: str, n_grid: int = 161) -> Peak:
    """The highest maximum of ``heat_capacity`` or ``susceptibility``."""
    grid_t = np.linspace(*data.range, n_grid)
    curve_tb = data.curves(grid_t)[name]
    top_b = np.argmax(curve_tb, axis=0)
    missing = np.full(curve_tb.shape[1], np.nan)
    if ((top_b == 0) | (top_b == n_grid - 1)).any():
        return Peak(missing, missing, *data.range)
    temperature_b = _parabola(grid_t, curve_tb, top_b)
    step = grid_t[1] - grid_t[0]
    for _ in range(4):  # three points around the maximum, ever nearer
        step /= 4.0
        near_sb = temperature_b + step * np.arange(-1, 2)[:, None]
        y_sb = np.array([data.averages(T_b)[name] for T_b in near_sb])
        move_b, _ = _vertex(y_sb)
        temperature_b = temperature_b + step * np.clip(move_b, -2.0, 2.0)
    height_b = data.averages(temperature_b)[name]
    half = grid_t[curve_tb[:, 0] >= 0.5 * height_b[0]]
    top = top_b[0]
    below = np.flatnonzero(curve_tb[:top, 0] < 0.5 * height_b[0])
    above = np.flatnonzero(curve_tb[top:, 0] < 0.5 * height_b[0])
    low = grid_t[below[-1]] if below.size else half[0]
    high = grid_t[top + above[0]] if above.size else half[-1]
    return Peak(temperature_b, height_b, float(low), float(high))


def _around(found: Peak, data: Reweighted, n: int) -> np.ndarray:
    """Temperatures of a peak, and as far beyond on both sides.

    Small systems are critical, or have wells of equal height, beside the peak of chi.
    """
    width = found.high - found.low
    low, high = data.range
    return np.linspace(max(found.low - width, low), min(found.high + width, high), n)


def _parabola(grid_t, curve_tb, top_b):
    row = np.arange(curve_tb.shape[1])
    y_sb = np.array([curve_tb[top_b + s, row] for s in (-1, 0, 1)])
    return grid_t[top_b] + (grid_t[1] - grid_t[0]) * _vertex(y_sb)[0]


def _vertex(y_sb):
    """Place of the vertex of a parabola through three points, in spacings from the middle."""
    bend = y_sb[0] - 2.0 * y_sb[1] + y_sb[2]
    slope = 0.5 * (y_sb[2] - y_sb[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        move = np.where(bend < 0.0, -slope / bend, np.sign(slope))
    return move, bend


# --- barriers -------------------------------------------------------------------------------------


class _Smooth:
    """-ln P(x) from a Gaussian kernel on P(Phi); x = |Phi| where Phi is symmetric.

    The width must be wide against the spacing of the values of Phi and narrow against each well,
    else minima are noise or are lost.  A kernel of width w raises the bottom of a well of width s
    by (1/2) ln(1 + w^2/s^2); two widths, w and sqrt(2) w, are combined so that the order w^2
    cancels.  Values of Phi are reflected at x = 0 where Phi is symmetric, so that the potential is
    flat there.

    Parameters
    ----------
    data : Reweighted
    temperature : float
        Where the width follows the distribution.
    divide : float, optional
        Between two wells: the width then follows the narrower one.
    """

    def __init__(self, data: Reweighted, temperature: float, divide: float | None = None):
        self.data, phi_f = data, data.phi_f
        p_f = data.p_phi(np.array(temperature))[0]
        x_f = np.abs(phi_f) if data.symmetric else phi_f
        order = np.argsort(x_f)
        cumulative = np.cumsum(p_f[order]) / p_f.sum()
        low, high = (float(x_f[order][np.searchsorted(cumulative, q)]) for q in (1e-3, 1.0 - 1e-3))
        spacing = float(np.diff(phi_f).min()) if phi_f.size > 1 else 1.0
        parts = [np.ones(len(x_f), dtype=bool)] if divide is None else [
            x_f < divide, x_f >= divide]
        deviation = min(_deviation(x_f[part], p_f[part]) for part in parts)
        width = max((_BANDWIDTH if divide is None else _OF_WELL) * deviation, 0.75 * spacing)
        self.x_g = np.linspace(0.0 if data.symmetric else low, high, _GRID)
        self._kernels = [self._kernel(phi_f, w) for w in (width, math.sqrt(2.0) * width)]

    def _kernel(self, phi_f: np.ndarray, width: float) -> np.ndarray:
        kernel_fg = np.exp(-0.5 * ((self.x_g - phi_f[:, None]) / width) ** 2)
        if self.data.symmetric:
            kernel_fg += np.exp(-0.5 * ((self.x_g + phi_f[:, None]) / width) ** 2)
        return kernel_fg / width

    def __call__(self, temperatures_b) -> np.ndarray:
        """The potential of each row at its own temperature, nats, shape (B, G)."""
        p_bf = self.data.p_phi(np.asarray(temperatures_b))
        narrow, wide = (np.log(np.maximum(p_bf @ kernel, 1e-300)) for kernel in self._kernels)
        return wide - 2.0 * narrow


def _deviation(x_f: np.ndarray, p_f: np.ndarray) -> float:
    if not p_f.sum() > 0.0:
        return 0.0
    mean = p_f @ x_f / p_f.sum()
    return math.sqrt(float(p_f @ (x_f - mean) ** 2 / p_f.sum()))


@dataclasses.dataclass(frozen=True)
class EqualHeight:
    """Two wells of the potential of Phi at the temperature at which they are equally deep.

    ``barrier_b`` is 0, and the temperature NaN, where there is one well at every temperature of
    the peak.
    """

    temperature_b: np.ndarray
    barrier_b: np.ndarray


def equal_height(data: Reweighted, within: Peak, n_scan: int = 49) -> EqualHeight:
    """Barrier between two phases of equal height, sought at the temperatures of a peak."""
    scan_t = _around(within, data, n_scan)
    smooth = _Smooth(data, float(within.temperature_b[0]))
    rows = len(within.temperature_b)
    none = EqualHeight(np.full(rows, np.nan), np.zeros(rows))
    best, divide = _jump([smooth(T)[0] for T in scan_t])
    if divide == 0:
        return none
    smooth = _Smooth(data, float(scan_t[best]), float(smooth.x_g[divide]))

    def difference(T_b):
        V_bg = smooth(T_b)
        return V_bg[:, divide:].min(axis=1) - V_bg[:, :divide].min(axis=1)

    T_b = _bisect(difference, np.full(rows, scan_t[0]), np.full(rows, scan_t[-1]))
    if np.isnan(T_b[0]):  # one of the wells is the deeper everywhere
        return none
    V_bg = smooth(T_b)
    depth_b = np.maximum(V_bg[:, divide:].min(axis=1), V_bg[:, :divide].min(axis=1))
    top_b = np.array([_pass(V_g, divide) for V_g in V_bg])
    return EqualHeight(T_b, np.maximum(top_b - depth_b, 0.0))


def _jump(V_tg: list[np.ndarray]) -> tuple[int, int]:
    """Temperature at which the deepest point jumps over a pass, and the pass; (0, 0) if nowhere.

    Of several the one over the highest pass.
    """
    best, at, highest = 0, 0, 0.0
    for t, (V_g, next_g) in enumerate(pairwise(V_tg)):
        minima = _persistent_minima(V_g)
        if len(minima) < 2:
            continue
        low, high = sorted(index for index, _ in minima[:2])
        divide = low + int(np.argmax(V_g[low : high + 1]))
        jumps = (np.argmin(V_g) < divide) != (np.argmin(next_g) < divide)
        if jumps and minima[1][1] > highest:
            best, at, highest = t, divide, minima[1][1]
    return best, at


def _pass(V_g: np.ndarray, divide: int) -> float:
    """The highest point between the deepest points on both sides."""
    low = int(np.argmin(V_g[:divide]))
    high = divide + int(np.argmin(V_g[divide:]))
    return float(V_g[low : high + 1].max())


def _bisect(function: Callable, low_b: np.ndarray, high_b: np.ndarray) -> np.ndarray:
    """Root of each row by bisection; NaN where the sign is the same at both ends."""
    sign_b = np.sign(function(low_b))
    bad = sign_b * np.sign(function(high_b)) > 0.0
    for _ in range(24):
        middle_b = 0.5 * (low_b + high_b)
        left = np.sign(function(middle_b)) == sign_b
        low_b, high_b = np.where(left, middle_b, low_b), np.where(left, high_b, middle_b)
    return np.where(bad, np.nan, 0.5 * (low_b + high_b))


def symmetric_barrier(data: Reweighted, temperatures_t: np.ndarray) -> np.ndarray:
    """Barrier between +Phi and -Phi at each temperature, nats, shape (T, B).

    The wells have equal weight by symmetry.  NaN where Phi = 0 was hardly ever seen: the barrier
    is then larger than the run can measure.
    """
    barrier_tb = []
    for T in temperatures_t:
        V_bg = _Smooth(data, float(T))(T)
        barrier_tb.append(V_bg[:, 0] - V_bg.min(axis=1))
    known = np.array(barrier_tb)
    return np.where(known < math.log(data.independent), known, np.nan)


# --- crossings ------------------------------------------------------------------------------------


def _with_error(function: Callable, small_b: np.ndarray, large_b: np.ndarray):
    """Function of two independent sizes, with errors from the rows of each in turn."""
    value = function(small_b[..., :1], large_b[..., :1])[..., 0]
    errors = [jackknife_error(np.moveaxis(x, -1, 0)) for x in (
        function(small_b[..., 1:], large_b[..., :1]), function(small_b[..., :1], large_b[..., 1:]))]
    return value, np.hypot(*errors)


def crossing(temperatures_t: np.ndarray, small_tb: np.ndarray, large_tb: np.ndarray
             ) -> tuple[float, float]:
    """Temperature at which the curve of the larger size falls below that of the smaller one.

    Parameters
    ----------
    temperatures_t : ndarray, shape (T,)
        Ascending.
    small_tb, large_tb : ndarray, shape (T, B)
        Binder ratios, or barriers, of both sizes; rows as in `Reweighted`.

    Returns
    -------
    value, error : float
        NaN where there is none.  Of several, the one at which the curves differ most before.
    """
    difference_t = large_tb[:, 0] - small_tb[:, 0]
    falls = np.flatnonzero((difference_t[:-1] > 0.0) & (difference_t[1:] <= 0.0))
    if not falls.size:
        return math.nan, math.nan
    before = [np.nansum(np.clip(difference_t[: k + 1], 0.0, None)) - np.nansum(
        np.clip(difference_t[k + 1 :], None, 0.0)) for k in falls]
    k = int(falls[int(np.argmax(before))])

    def root(small, large):
        y_tb = large - small
        return np.array([_nearest_root(temperatures_t, y_t, k) for y_t in y_tb.T])[None]

    value, error = _with_error(root, small_tb, large_tb)
    return float(value[0]), float(error[0])


def _nearest_root(x_t: np.ndarray, y_t: np.ndarray, k: int) -> float:
    """Where a curve falls through zero, nearest to the interval k; NaN if it does not."""
    falls = np.flatnonzero((y_t[:-1] > 0.0) & (y_t[1:] <= 0.0))
    if not falls.size:
        return math.nan
    i = int(falls[np.abs(falls - k).argmin()])
    return float(x_t[i] + (x_t[i + 1] - x_t[i]) * y_t[i] / (y_t[i] - y_t[i + 1]))


# --- the verdict on one value of the parameter ----------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Transition:
    """What happens along the temperature at one value of the parameter.

    Attributes
    ----------
    label : str
        One of ``CLASSES``.
    reason : str
        The evidence in words.
    temperature, temperature_err : float
        Of the transition: equal height extrapolated in 1/N [3]_ where it is first-order, the
        crossing of the Binder ratios [2]_ where it is continuous, else the peak of chi at the
        largest size.  The error includes the drift with size, see ``temperature_shift``.
    temperature_shift : float
        What the temperature changed when the largest size N_S was added; NaN with two sizes.  If
        the rest falls as 1/N^2 it is shift N_1/(N_S - N_1) [N_1: the third largest]; for the
        crossing, whose rest falls at least as 1/N, it is shift N_2/(N_S - N_2) [N_2: the second
        largest].  This rest, with the error of the shift, is added to the error in quadrature;
        with two sizes a quarter of the distance to the peak of chi is, which is a guess.
    sizes : dict of ndarray, shape (S,)
        ``heat_capacity_temperature``, ``heat_capacity_peak``, ``susceptibility_temperature``,
        ``susceptibility_peak``, ``barrier`` and ``barrier_temperature`` of every size, each with
        ``_err``.
    growth, growth_err : float
        y of the peak of chi, between the two largest sizes.
    binder_crossing, binder_crossing_err : float
        Of the two largest sizes; NaN: none.
    coexistence : tuple of float
        Temperatures between which +Phi and -Phi coexist; NaN: none.
    coexistence_end, coexistence_end_err : float
        Where the barriers between +Phi and -Phi of the two largest sizes cross: the upper end.
    """

    label: str
    reason: str
    temperature: float = math.nan
    temperature_err: float = math.nan
    temperature_shift: float = math.nan
    sizes: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    growth: float = math.nan
    growth_err: float = math.nan
    binder_crossing: float = math.nan
    binder_crossing_err: float = math.nan
    coexistence: tuple[float, float] = (math.nan, math.nan)
    coexistence_end: float = math.nan
    coexistence_end_err: float = math.nan


@dataclasses.dataclass(frozen=True)
class _Evidence:
    """Peaks, barriers and growth of every size, as the rule asks for them; S sizes ascending."""

    n_sites_s: np.ndarray
    chi_sb: list[Peak]
    barrier_s: list[EqualHeight]

    def growth(self, s: int) -> tuple[float, float]:
        """Exponent of the peak of chi between the sizes s - 1 and s, with its error."""
        ratio = math.log(self.n_sites_s[s] / self.n_sites_s[s - 1])
        value, error = _with_error(lambda a, b: np.log(b / a) / ratio,
                                   self.chi_sb[s - 1].height_b, self.chi_sb[s].height_b)
        return float(value), float(error)

    def barrier(self, s: int) -> tuple[float, float]:
        """Barrier of one size, with its error."""
        rows_b = self.barrier_s[s].barrier_b
        return float(rows_b[0]), float(jackknife_error(rows_b[1:]))

    def extrapolated(self, s: int) -> tuple[float, float]:
        """Temperature of equal height extrapolated in 1/N from the sizes s - 1 and s."""
        small, large = self.n_sites_s[s - 1], self.n_sites_s[s]
        rows = [self.barrier_s[k].temperature_b for k in (s - 1, s)]
        if np.isnan(rows[0]).any():  # one well at the smaller size: no two phases yet
            return float(rows[1][0]), float(jackknife_error(rows[1][1:]))
        value, error = _with_error(lambda a, b: (large * b - small * a) / (large - small), *rows)
        return float(value), float(error)


def transition(data_s: list[Reweighted]) -> Transition:
    """Locate and classify the transition along the temperature, by the rule of this module.

    Parameters
    ----------
    data_s : list of Reweighted
        Sizes in ascending order.
    """
    left_out = []
    while len(data_s) > 2 and not data_s[-1].is_evidence:
        left_out.append(f"N = {data_s[-1].n_sites} left out: {_doubt(data_s)}")
        data_s = data_s[:-1]
    chi = [peak(data, "susceptibility") for data in data_s]
    heat = [peak(data, "heat_capacity") for data in data_s]
    if not (chi[-1].found and all(p.found for p in chi)):
        return _add_coexistence(Transition(
            "undecided", "the susceptibility has no peak inside the range of temperatures"), data_s)
    barriers = [equal_height(data, p) for data, p in zip(data_s, chi)]
    evidence = _Evidence(np.array([data.n_sites for data in data_s], float), chi, barriers)
    sizes: dict[str, np.ndarray] = {}
    for name, rows in (("susceptibility", chi), ("heat_capacity", heat)):
        _put(sizes, f"{name}_temperature", [p.temperature_b for p in rows])
        _put(sizes, f"{name}_peak", [p.height_b for p in rows])
    _put(sizes, "barrier", [b.barrier_b for b in barriers])
    _put(sizes, "barrier_temperature", [b.temperature_b for b in barriers])
    crossings = [_binder_crossing(data_s[s - 1], data_s[s], chi[s])
                 for s in range(1, len(data_s))]
    label, reason = _judge(evidence, crossings, _doubt(data_s), data_s[-1].lattice)
    if len(data_s) == 2 and label in ("first-order", "continuous"):
        left_out.append("two sizes: the drift in the error of T is a guess")
    reason = "; ".join([reason, *left_out])
    where = _with_drift(label, evidence, _where(label, evidence, crossings))
    growth = evidence.growth(len(data_s) - 1) if len(data_s) > 1 else (math.nan, math.nan)
    last = crossings[-1] if crossings else (math.nan, math.nan)
    return _add_coexistence(Transition(label, reason, *where, sizes, *growth, *last), data_s)


def _put(sizes, name, rows_sb) -> None:
    sizes[name] = np.array([rows_b[0] for rows_b in rows_sb])
    sizes[f"{name}_err"] = np.array([float(jackknife_error(rows_b[1:])) for rows_b in rows_sb])


def _binder_crossing(small: Reweighted, large: Reweighted, chi: Peak) -> tuple[float, float]:
    """Crossing of the Binder ratios inside the peak of chi of the larger size."""
    T_t = _around(chi, small, 81)
    return crossing(T_t, small.curves(T_t)["binder"], large.curves(T_t)["binder"])


def _doubt(data_s: list[Reweighted]) -> str:
    """Why the two largest sizes are no evidence; empty where they are."""
    if not all(data.starts_agree for data in data_s[-2:]):
        return "ladders begun ordered and at random disagree"
    fewest = min(data.independent for data in data_s[-2:])
    if fewest < INDEPENDENT:
        return f"{fewest:.0f} independent samples at one temperature, {INDEPENDENT:.0f} are wanted"
    return ""


def _judge(evidence: _Evidence, crossings, doubt: str, lattice: bool) -> tuple[str, str]:
    """The class and the evidence in words."""
    last = len(evidence.n_sites_s) - 1
    if last < 1:
        return "undecided", "one size only"
    y, s = evidence.growth(last)
    words = [f"peak of chi grows as N^{format_error(y, s)}"]
    barriers = np.array([evidence.barrier(k) for k in range(last + 1)])
    growth = barrier_growth(evidence.n_sites_s, barriers[:, 0], barriers[:, 1], lattice)
    words.append(growth.reason)
    if doubt:
        return "undecided", f"{doubt}; " + ", ".join(words)
    crossover = y + SIGMAS * s < LEAST_GROWTH
    label = label_of(growth, False, crossover)
    if label != "undecided":
        return label, ", ".join(words)
    x, x_err = crossings[-1]
    crosses = math.isfinite(x) and math.isfinite(x_err)
    words.append(f"Binder ratios cross at T = {format_error(x, x_err)}" if crosses
                 else "Binder ratios do not cross inside the peak")
    falls = False
    if last > 1:
        earlier, earlier_err = evidence.growth(last - 1)
        falls = earlier - y > max(SIGMAS * math.hypot(s, earlier_err), DRIFT)
        words.append(f"before as N^{format_error(earlier, earlier_err)}")
    slow = LEAST_GROWTH + SIGMAS * s < y < 1.0 - SIGMAS * s
    return label_of(growth, slow and crosses and not falls), ", ".join(words)


def _where(label: str, evidence: _Evidence, crossings) -> list[tuple[float, float]]:
    """Temperature with error, with every size added in turn."""
    if label == "first-order":
        return [evidence.extrapolated(s) for s in range(1, len(evidence.n_sites_s))]
    if label == "continuous":
        return crossings
    return [(float(p.temperature_b[0]), float(jackknife_error(p.temperature_b[1:])))
            for p in evidence.chi_sb]


def _with_drift(label: str, evidence: _Evidence, where: list[tuple[float, float]]
                ) -> tuple[float, float, float]:
    """Temperature, its error with the drift in it, and the change by the largest size."""
    value, error = where[-1]
    n_sites_s = evidence.n_sites_s
    if len(n_sites_s) == 2 and label in ("first-order", "continuous"):
        error = math.hypot(error, _GUESS * (value - float(evidence.chi_sb[-1].temperature_b[0])))
    shift = value - where[-2][0] if len(where) > 1 else math.nan
    if math.isfinite(shift) and len(n_sites_s) > 2:
        before = n_sites_s[-3 if label == "first-order" else -2]
        rest = before / (n_sites_s[-1] - before)
        error = math.hypot(error, rest * math.hypot(shift, error, where[-2][1]))
    return value, error, shift


def _add_coexistence(found: Transition, data_s: list[Reweighted]) -> Transition:
    """Where +Phi and -Phi coexist: the barrier between them grows with size."""
    if len(data_s) < 2 or not all(data.symmetric for data in data_s):
        return found
    small, large = data_s[-2:]
    T_t = np.linspace(*large.range, 81)
    small_tb, large_tb = (symmetric_barrier(data, T_t) for data in (small, large))
    known = np.isfinite(small_tb).all(axis=1) & np.isfinite(large_tb).all(axis=1)
    if known.sum() < 2:
        return found
    growth_t, error_t = _with_error(lambda a, b: b - a, small_tb[known], large_tb[known])
    end, end_err = crossing(T_t[known], small_tb[known], large_tb[known])
    below = T_t[known] < end
    if not math.isfinite(end) or not (growth_t[below] > SIGMAS * error_t[below]).any():
        return found
    shrinks = T_t[known][below][growth_t[below] < -SIGMAS * error_t[below]]
    low = max(shrinks, default=large.range[0])
    return dataclasses.replace(found, coexistence=(float(low), end), coexistence_end=end,
                               coexistence_end_err=end_err)


# --- phases ---------------------------------------------------------------------------------------


def phases(small: Reweighted, large: Reweighted, temperatures_t: np.ndarray) -> np.ndarray:
    """Which phase is stable at each temperature: indices into ``PHASES``, shape (T,).

    - positive, negative: the sign of <Phi>, where Phi has both signs and its energy is not
      symmetric (in a field): no symmetry is left that could be broken;
    - disordered: else, and <|Phi|> falls at least as N^(-1/4) between two sizes (it falls as
      N^(-1/2) far above a transition);
    - ordered: else.
    """
    a, b = (data.curves(temperatures_t) for data in (small, large))
    if large.signed and not large.symmetric:
        return np.where(b["order_parameter"][:, 0] > 0.0, 2, 3)
    ratio = math.log(large.n_sites / small.n_sites)
    falls_t = -np.log(b["order_parameter_abs"][:, 0] / a["order_parameter_abs"][:, 0]) / ratio
    return np.where(falls_t >= 0.25, 0, 1)


# --- planning a scan ------------------------------------------------------------------------------


def _window(small: Reweighted) -> tuple[float, float]:
    """Temperatures at which a larger system is worth its time."""
    low, high = small.range
    chi = peak(small, "susceptibility")
    if small.symmetric or not chi.found:
        return low, high
    width = _WIDTHS * (chi.high - chi.low)
    return max(low, chi.low - width), min(high, chi.high + width)


def rungs(small: Reweighted, n_sites: int) -> np.ndarray:
    r"""Temperatures at which exchanges of a larger system are accepted, from a smaller one.

    Where Phi is symmetric they span the range of the smaller system, since +Phi and -Phi coexist
    below a transition; else only the peak of its susceptibility and 1.5 widths on both sides, for
    which fewer of them do.  Neighbours are :math:`\int \sqrt{N C(T)}\, dT/T \le` ``RUNG`` standard
    deviations of the energy apart, with the heat capacity C a site of the smaller system.

    Parameters
    ----------
    small : Reweighted
    n_sites : int
        N of the larger system.

    Returns
    -------
    ndarray, shape (K,)
    """
    T_t = np.linspace(*_window(small), 401)
    C_t = small.curves(T_t)["heat_capacity"][:, 0]
    speed_t = np.sqrt(n_sites * C_t) / T_t
    speed_t += speed_t.mean() / 4.0  # at first-order peaks C moves and narrows with size
    along_t = np.concatenate([[0.0], np.cumsum(0.5 * (speed_t[1:] + speed_t[:-1]))]) * (
        T_t[1] - T_t[0])
    n = max(_FEWEST_RUNGS, 1 + math.ceil(along_t[-1] / RUNG))
    return np.interp(np.linspace(0.0, along_t[-1], n), along_t, T_t).round(6)


def too_high(series: list[Series], n_sites: int) -> bool:
    r"""Whether a larger system would have too few independent samples to be evidence.

    The time between visits of two phases grows as the exponential of the barrier, and a barrier
    grows as :math:`N^x`: x is taken from the two largest sizes so far, and is 1 at most.
    """
    if len(series) < 2:
        return False
    data_s = [Reweighted(one) for one in series[-2:]]
    chi_s = [peak(data, "susceptibility") for data in data_s]
    if not data_s[-1].is_evidence:
        return True
    if not all(chi.found for chi in chi_s):
        return False
    before, barrier = (float(equal_height(d, chi).barrier_b[0]) for d, chi in zip(data_s, chi_s))
    if barrier == 0.0:
        return False
    sites = data_s[-1].n_sites
    x = 1.0 if before == 0.0 else math.log(barrier / before) / math.log(sites / data_s[0].n_sites)
    more = barrier * ((n_sites / sites) ** min(max(x, LEAST_GROWTH), 1.0) - 1.0)
    return data_s[-1].independent * math.exp(-more) < INDEPENDENT


@dataclasses.dataclass(frozen=True)
class Column:
    """All that is known at one value of the parameter; S sizes, T temperatures.

    Attributes
    ----------
    transition : Transition
    n_sites_s : ndarray, shape (S,)
    temperatures_t : ndarray, shape (T,)
    curves : dict of ndarray, shape (S, T)
        Every one of ``CURVES``, with ``_err``.
    phase_t : ndarray, shape (T,)
        Indices into ``PHASES``; -1 with one size.
    """

    transition: Transition
    n_sites_s: np.ndarray
    temperatures_t: np.ndarray
    curves: dict[str, np.ndarray]
    phase_t: np.ndarray


def analyse(series: list[Series], n_grid: int = 121) -> Column:
    """Transition, curves and phases at one value of the parameter, from series of every size."""
    data_s = [Reweighted(one) for one in series]
    T_t = np.linspace(*data_s[0].range, n_grid)
    curves: dict[str, np.ndarray] = {}
    rows_s = [data.curves(T_t) for data in data_s]
    for data, rows in zip(data_s, rows_s):
        outside_t = (T_t < data.range[0]) | (T_t > data.range[1])
        for curve in rows.values():
            curve[outside_t] = np.nan
    for name in CURVES:
        curves[name] = np.array([rows[name][:, 0] for rows in rows_s])
        curves[f"{name}_err"] = np.array([jackknife_error(rows[name][:, 1:], axis=1)
                                          for rows in rows_s])
    phase_t = np.full(n_grid, -1)
    if len(data_s) > 1:  # beyond the range of the larger sizes: as at its end
        phase_t = phases(data_s[-2], data_s[-1], np.clip(T_t, *data_s[-1].range))
    return Column(transition(data_s), np.array([data.n_sites for data in data_s]), T_t, curves,
                  phase_t)


# --- groups of the run file -----------------------------------------------------------------------

_UNITS = {"energy": "energy per site", "heat_capacity": "1 per site", "order_parameter": "1",
          "order_parameter_abs": "1", "susceptibility": "1 per energy", "binder": "1"}
_OF_SIZES = {
    "heat_capacity_temperature": ("energy", "temperature of the peak of C"),
    "heat_capacity_peak": ("1 per site", "height of the peak of C"),
    "susceptibility_temperature": ("energy", "temperature of the peak of chi"),
    "susceptibility_peak": ("1 per energy", "height of the peak of chi"),
    "barrier": ("nat", "barrier of -ln P(Phi) at equal height; 0: one well"),
    "barrier_temperature": ("energy", "temperature of equal height; NaN: one well"),
}
_OF_VALUES = {
    "temperature": ("energy", "temperature of the transition, or of the peak of chi"),
    "growth": ("1", "exponent y of the peak of chi, N^y, between the two largest sizes"),
    "binder_crossing": ("energy", "crossing of the Binder ratios of the two largest sizes"),
    "coexistence_end": ("energy", "upper end of the coexistence of +Phi and -Phi"),
}


def diagram_groups(name: str, values_v: np.ndarray, columns: list[Column],
                   sizes_s: list[int]) -> dict[str, Group]:
    """Groups ``phase_diagram`` (curves and phases) and ``transitions`` of a run file.

    Parameters
    ----------
    name : str
        The second parameter.
    values_v : ndarray, shape (V,)
        Its values.
    columns : list of Column
        What is known at each.
    sizes_s : list of int
        L or N; a column without the largest ones has NaN there.
    """
    n_sizes = len(sizes_s)

    def padded(x_s, shape=()):
        full = np.full((n_sizes, *shape), np.nan)
        full[: len(x_s)] = x_s
        return full

    plane, found = Group(), Group()
    for group in (plane, found):
        group.add("value", values_v, "value", "1", f"value of {name}")
        group.add("size", sizes_s, "size", "1", "linear size L, or N")
        group.attributes["parameter"] = name
    T_t = columns[0].temperatures_t
    plane.add("temperature", T_t, "temperature", "energy", "temperature")
    for curve in CURVES:
        for suffix, text in (("", ""), ("_err", "standard error of ")):
            rows = [padded(c.curves[curve + suffix], T_t.shape) for c in columns]
            plane.add(curve + suffix, rows, ("value", "size", "temperature"), _UNITS[curve],
                      text + curve.replace("_", " ") + ", reweighted")
    plane.add("phase", [c.phase_t for c in columns], ("value", "temperature"), "1",
              "phase: index into the attribute phases; -1: not known")
    plane.attributes["phases"] = list(PHASES)
    transitions = [c.transition for c in columns]
    found.add("label", [CLASSES.index(t.label) for t in transitions], "value", "1",
              "class: index into the attribute classes")
    found.attributes.update({"classes": list(CLASSES), "least_growth": LEAST_GROWTH,
                             "reasons": [t.reason for t in transitions]})
    for key, (unit, text) in _OF_VALUES.items():
        found.add(key, [getattr(t, key) for t in transitions], "value", unit, text)
        found.add(f"{key}_err", [getattr(t, f"{key}_err") for t in transitions], "value", unit,
                  f"standard error of {key}")
    found.add("temperature_shift", [t.temperature_shift for t in transitions], "value", "energy",
              "change of the temperature when the largest size was added")
    low_v, high_v = np.array([t.coexistence for t in transitions]).T
    found.add("coexistence_low", low_v, "value", "energy", "+Phi and -Phi coexist from this T ...")
    found.add("coexistence_high", high_v, "value", "energy", "... to this; NaN: nowhere")
    for key, (unit, text) in _OF_SIZES.items():
        for suffix, more in (("", ""), ("_err", "standard error of ")):
            rows = [padded(t.sizes.get(key + suffix, [])) for t in transitions]
            found.add(key + suffix, rows, ("value", "size"), unit, more + text)
    return {"phase_diagram": plane, "transitions": found}
