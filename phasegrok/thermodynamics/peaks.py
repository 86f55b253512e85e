"""Peaks of a curve of one size, and crossings of the curves of two, with errors."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from phasegrok.statistics import jackknife_error
from phasegrok.thermodynamics.curves import Reweighted

_PEAK_GRID = 161  # temperatures at which a maximum is sought, before it is refined


@dataclass(frozen=True)
class Peak:
    """The highest maximum of a curve inside the range; rows as in `Reweighted`.

    Attributes
    ----------
    temperature_r, height_r : ndarray, shape (rows,)
        NaN where the curve of any row is highest at an end of the range.
    low, high : float
        Where the curve has half of its height, or the ends of the range.
    """

    temperature_r: np.ndarray
    height_r: np.ndarray
    low: float
    high: float

    @property
    def found(self) -> bool:
        """Whether there is one."""
        return bool(np.isfinite(self.temperature_r).all())

    def around(self, n: int, *data: Reweighted) -> np.ndarray:
        """Temperatures of the peak, and as far beyond on both sides, that all of the data cover.

        Small systems are critical, or have wells of equal height, beside the peak of chi.
        """
        width = self.high - self.low
        low = max(self.low - width, *(d.range[0] for d in data))
        return np.linspace(low, min(self.high + width, *(d.range[1] for d in data)), n)


def peak(data: Reweighted, name: str) -> Peak:
    """The highest maximum of a curve: on a grid, then by parabolas through ever nearer points."""
    T_t = data.grid(_PEAK_GRID)
    curve_rt = data.averages(T_t)[name]
    top_r = np.argmax(curve_rt, axis=1)
    if ((top_r == 0) | (top_r == _PEAK_GRID - 1)).any():
        missing = np.full(len(curve_rt), np.nan)
        return Peak(missing, missing, *data.range)
    row, step = np.arange(len(curve_rt)), T_t[1] - T_t[0]
    temperature_r = T_t[top_r] + step * _vertex([curve_rt[row, top_r + s] for s in (-1, 0, 1)])
    for _ in range(4):
        step /= 4.0
        near = [data.averages_of_rows(temperature_r + s * step)[name] for s in (-1, 0, 1)]
        temperature_r = temperature_r + step * np.clip(_vertex(near), -2.0, 2.0)
    height_r = data.averages_of_rows(temperature_r)[name]
    top, is_low_t = top_r[0], curve_rt[0] < 0.5 * height_r[0]
    below, above = np.flatnonzero(is_low_t[:top]), np.flatnonzero(is_low_t[top:])
    low = T_t[below[-1]] if below.size else T_t[0]
    high = T_t[top + above[0]] if above.size else T_t[-1]
    return Peak(temperature_r, height_r, float(low), float(high))


def _vertex(y_sr) -> np.ndarray:
    """Place of the vertex of a parabola through three points, in spacings from the middle."""
    bend = y_sr[0] - 2.0 * y_sr[1] + y_sr[2]
    slope = 0.5 * (y_sr[2] - y_sr[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bend < 0.0, -slope / bend, np.sign(slope))


@dataclass(frozen=True)
class Paired:
    """What follows from two sizes, which are independent.

    Attributes
    ----------
    value : float or ndarray
        From all data.
    small_b, large_b : ndarray
        With each block of the smaller, or of the larger size left out.
    """

    value: np.ndarray
    small_b: np.ndarray
    large_b: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """Jackknife error, of both sizes."""
        return np.hypot(jackknife_error(self.small_b), jackknife_error(self.large_b))


def paired(function: Callable, small_r: np.ndarray, large_r: np.ndarray) -> Paired:
    """A function of the rows of two sizes, with errors from the blocks of each in turn."""
    return Paired(function(small_r[:1], large_r[:1])[0], function(small_r[1:], large_r[:1]),
                  function(small_r[:1], large_r[1:]))


def crossing(temperatures_t: np.ndarray, small_rt: np.ndarray, large_rt: np.ndarray) -> Paired:
    """Temperature at which the curve of the larger size falls below that of the smaller one.

    Parameters
    ----------
    temperatures_t : ndarray, shape (T,)
        Ascending; roots are interpolated linearly.
    small_rt, large_rt : ndarray, shape (rows, T)
        Binder ratios, or barriers, of both sizes.

    Returns
    -------
    Paired
        NaN where there is none.  Of several the one that divides best where the larger size is
        above from where it is below: deep in an ordered phase both Binder ratios are 2/3 and cross
        at random.  With a block left out it is the nearest one to that.
    """
    difference_t = large_rt[0] - small_rt[0]
    falls_t = _falls(temperatures_t, difference_t)
    near = math.nan
    if falls_t.size:
        before = [np.nansum(np.clip(difference_t[temperatures_t <= T], 0.0, None)) - np.nansum(
            np.clip(difference_t[temperatures_t > T], None, 0.0)) for T in falls_t]
        near = float(falls_t[np.argmax(before)])

    def root(a_rt, b_rt):
        return np.array([_nearest(_falls(temperatures_t, y_t), near) for y_t in b_rt - a_rt])

    return paired(root, small_rt, large_rt)


def _falls(x_t: np.ndarray, y_t: np.ndarray) -> np.ndarray:
    """Where a curve falls through zero."""
    i = np.flatnonzero((y_t[:-1] > 0.0) & (y_t[1:] <= 0.0))
    return x_t[i] + (x_t[i + 1] - x_t[i]) * y_t[i] / (y_t[i] - y_t[i + 1])


def _nearest(x_i: np.ndarray, near: float) -> float:
    """The nearest of several places; NaN where there is none."""
    return float(x_i[np.argmin(np.abs(x_i - near))]) if x_i.size and near == near else math.nan
