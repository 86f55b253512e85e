"""The maximum of a curve that was measured at a few places, with errors over replicas."""

import numpy as np

from phasegrok.statistics import jackknife_error

_SPARSE = 0.1  # of the highest value: below it, a point says nothing of the maximum


def maximum(place_t: np.ndarray, mean_t: np.ndarray, left_out_nt: np.ndarray, floor: float,
            what: str) -> tuple[float, float, float, float]:
    """Place and height of the maximum of a positive mean curve.

    The vertex of a cubic (from seven points on, of fourth order) through the logarithms of the
    points about the highest that are above a part of it, two at least on each side: noise of one
    point does not make the maximum, as it does where the largest value is taken.  Errors are a
    jackknife with the same points.

    Parameters
    ----------
    place_t : ndarray, shape (T,)
        Ascending, in the variable in which the curve is smooth, such as ln t.
    mean_t : ndarray, shape (T,)
        The curve.
    left_out_nt : ndarray, shape (n, T)
        The curve with one replica, or one sample, left out each.
    floor : float
        Part of the highest value from which on points enter.
    what : str
        Names the curve in the sentence of an error.

    Returns
    -------
    place, place_err, height, height_err : float

    Raises
    ------
    ValueError
        A maximum at an end, fewer than five points, or points too far apart for a maximum.
    """
    top, last = int(np.argmax(mean_t)), len(mean_t) - 1
    if last < 4:
        raise ValueError(f"{what}: give at least five points, not {len(mean_t)}")
    if not 0 < top < last:
        raise ValueError(f"{what}: the maximum is at the {'first' if top == 0 else 'last'} point; "
                         "give points on both sides of it")
    below = mean_t < floor * mean_t[top]
    before, after = np.flatnonzero(below[:top]), np.flatnonzero(below[top:])
    low = max(min(before[-1] + 1 if len(before) else 0, top - 2), 0)
    high = min(max(top + after[0] - 1 if len(after) else last, top + 2), last)
    low, high = min(low, high - 4), max(high, low + 4)
    part = slice(int(low), int(high) + 1)
    rows = np.vstack([mean_t[part], left_out_nt[:, part]])
    if not (rows > _SPARSE * rows[0].max()).all():
        raise ValueError(f"{what}: no more than a few points make the maximum; give points that "
                         "are closer to each other, or more replicas")
    u_t = place_t[part] - place_t[top]
    u_b, log_height_b = _vertices(u_t, np.log(rows), 4 if len(u_t) > 6 else 3)
    height_b = np.exp(log_height_b)
    u_err, height_err = (float(jackknife_error(v_b[1:])) for v_b in (u_b, height_b))
    return float(place_t[top] + u_b[0]), u_err, float(height_b[0]), height_err


def _vertices(u_t, rows_bt, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Maxima of polynomials through rows of values: on a grid, then by parabolas."""
    scale = np.abs(u_t).max()
    c = np.polynomial.polynomial.polyfit(u_t / scale, rows_bt.T, order)
    grid = np.linspace(u_t[0], u_t[-1], 401) / scale
    value_bg = np.polynomial.polynomial.polyval(grid, c)
    g_b = np.clip(np.argmax(value_bg, axis=1), 1, len(grid) - 2)
    a, b, d = (value_bg[np.arange(len(g_b)), g_b + s] for s in (-1, 0, 1))
    bend = np.minimum(a - 2.0 * b + d, -1e-300)
    shift_b = np.clip(0.5 * (a - d) / bend, -1.0, 1.0)
    return (scale * (grid[g_b] + shift_b * (grid[1] - grid[0])),
            b - 0.125 * (a - d) ** 2 / bend * (np.abs(shift_b) < 1.0))
