"""Smoothed -ln P(Phi) of time series: two wells of equal height, and +Phi and -Phi."""

import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from phasegrok.thermodynamics.curves import Reweighted
from phasegrok.thermodynamics.effective_potential import persistent_minima
from phasegrok.thermodynamics.peaks import Peak

_GRID = 81  # points at which a potential is evaluated
_BANDWIDTH = 0.12  # of the kernel, in standard deviations of the distribution at the peak ...
_OF_WELL = 0.3  # ... and of the narrower of two wells, where there are two


class SmoothPotential:
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

    def __call__(self, temperatures_r) -> np.ndarray:
        """The potential of each row at its own temperature, nats, shape (rows, G)."""
        p_rf = self.data.p_phi(np.asarray(temperatures_r))
        narrow, wide = (np.log(np.maximum(p_rf @ kernel, 1e-300)) for kernel in self._kernels)
        return wide - 2.0 * narrow


def _deviation(x_f: np.ndarray, p_f: np.ndarray) -> float:
    if not p_f.sum() > 0.0:
        return 0.0
    mean = p_f @ x_f / p_f.sum()
    return math.sqrt(float(p_f @ (x_f - mean) ** 2 / p_f.sum()))


@dataclasses.dataclass(frozen=True)
class EqualHeight:
    """Two wells of the potential of Phi at the temperature at which they are equally deep.

    ``barrier_r`` is 0, and the temperature NaN, where there is one well at every temperature of
    the peak.
    """

    temperature_r: np.ndarray
    barrier_r: np.ndarray


def equal_height(data: Reweighted, within: Peak, n_scan: int = 49) -> EqualHeight:
    """Barrier between two phases of equal height, sought at the temperatures of a peak.

    A barrier that is not higher than its error is given as it is, not as none: whether it stands
    out is judged with those of other sizes (`order.barrier_growth`), whose growth begins with it.
    (Curie-Weiss spins with J2 = J3 = 1 at h = 0.2 and 0.3, where transitions are first-order, N of
    32 to 64 or to 128: of 96 data sets of 640 and 3200 samples a temperature 38 were first-order,
    the others continuous or undecided, and 31 where such a barrier counted as none.)
    """
    scan_t = within.around(n_scan, data)
    smooth = SmoothPotential(data, float(within.temperature_r[0]))
    rows = len(within.temperature_r)
    none = EqualHeight(np.full(rows, np.nan), np.zeros(rows))
    best, divide = _jump([smooth(T)[0] for T in scan_t])
    if divide == 0:
        return none
    smooth = SmoothPotential(data, float(scan_t[best]), float(smooth.x_g[divide]))

    def difference(T_r):
        V_rg = smooth(T_r)
        return V_rg[:, divide:].min(axis=1) - V_rg[:, :divide].min(axis=1)

    T_r = _bisect(difference, np.full(rows, scan_t[0]), np.full(rows, scan_t[-1]))
    if np.isnan(T_r[0]):  # one of the wells is the deeper everywhere
        return none
    V_rg = smooth(T_r)
    depth_r = np.maximum(V_rg[:, divide:].min(axis=1), V_rg[:, :divide].min(axis=1))
    top_r = np.array([_pass(V_g, divide) for V_g in V_rg])
    return EqualHeight(T_r, np.maximum(top_r - depth_r, 0.0))


def _jump(V_tg: list[np.ndarray]) -> tuple[int, int]:
    """Temperature at which the deepest point jumps over a pass, and the pass; (0, 0) if nowhere.

    Of several the one over the highest pass.
    """
    best, at, highest = 0, 0, 0.0
    for t, (V_g, next_g) in enumerate(pairwise(V_tg)):
        minima = persistent_minima(V_g)
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


def _bisect(function: Callable, low_r: np.ndarray, high_r: np.ndarray) -> np.ndarray:
    """Root of each row by bisection; NaN where the sign is the same at both ends."""
    sign_r = np.sign(function(low_r))
    bad = sign_r * np.sign(function(high_r)) > 0.0
    for _ in range(24):
        middle_r = 0.5 * (low_r + high_r)
        left = np.sign(function(middle_r)) == sign_r
        low_r, high_r = np.where(left, middle_r, low_r), np.where(left, high_r, middle_r)
    return np.where(bad, np.nan, 0.5 * (low_r + high_r))


def symmetric_barrier(data: Reweighted, temperatures_t: np.ndarray) -> np.ndarray:
    """Barrier between +Phi and -Phi at each temperature, nats, shape (rows, T).

    The wells have equal weight by symmetry.  NaN where Phi = 0 was hardly ever seen: the barrier
    is then larger than the run can measure.
    """
    barrier_tr = []
    for T in temperatures_t:
        V_rg = SmoothPotential(data, float(T))(T)
        barrier_tr.append(V_rg[:, 0] - V_rg.min(axis=1))
    known = np.array(barrier_tr).T
    return np.where(known < math.log(data.independent), known, np.nan)
