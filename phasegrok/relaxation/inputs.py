"""What laws are fitted to, checked: points with errors, and curves of independent replicas."""

import numpy as np


def points(x_k, y_k, y_err_k, fewest: int, what: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points with errors, in ascending order of x.

    Parameters
    ----------
    x_k, y_k, y_err_k : array_like, shape (K,)
        Places, all positive and different; values; and their standard errors, all positive.
    fewest : int
        Points needed.
    what : str
        Names x and y in the sentence of an error.

    Raises
    ------
    ValueError
        Shapes that differ, values that are not finite, errors or places that are not positive,
        a place that is given twice, or too few points.
    """
    x_k, y_k, y_err_k = (np.asarray(v, dtype=float) for v in (x_k, y_k, y_err_k))
    if x_k.ndim != 1 or not x_k.shape == y_k.shape == y_err_k.shape:
        raise ValueError(f"{what}: give three arrays of one length, not of shapes {x_k.shape}, "
                         f"{y_k.shape} and {y_err_k.shape}")
    if not (np.isfinite(x_k).all() and np.isfinite(y_k).all() and np.isfinite(y_err_k).all()):
        raise ValueError(f"{what}: leave out points that are not finite")
    if not ((x_k > 0.0).all() and (y_err_k > 0.0).all()):
        raise ValueError(f"{what}: leave out points that are not at a positive place or have no "
                         "positive error")
    if len(np.unique(x_k)) < len(x_k):
        raise ValueError(f"{what}: average points of the same place to one")
    if len(x_k) < fewest:
        raise ValueError(f"{what}: give at least {fewest} points, not {len(x_k)}")
    order = np.argsort(x_k)
    return x_k[order], y_k[order], y_err_k[order]


def curves(time_t, value_rt, fewest: int, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Curves of independent replicas.

    Parameters
    ----------
    time_t : array_like, shape (T,)
        Ascending.
    value_rt : array_like, shape (R, T)
        A curve of each replica.
    fewest : int
        Times needed.
    what : str
        Names the curves in the sentence of an error.

    Raises
    ------
    ValueError
        Shapes that do not fit, values that are not finite, times that do not ascend, fewer than
        three replicas, or too few times.
    """
    time_t, value_rt = np.asarray(time_t, dtype=float), np.asarray(value_rt, dtype=float)
    if time_t.ndim != 1 or value_rt.ndim != 2 or value_rt.shape[1] != len(time_t):
        raise ValueError(f"{what}: give times (T,) and a row for each replica (R, T), not "
                         f"{time_t.shape} and {value_rt.shape}")
    if not (np.isfinite(time_t).all() and np.isfinite(value_rt).all()):
        raise ValueError(f"{what}: leave out times and replicas that are not finite")
    if not (np.diff(time_t) > 0.0).all():
        raise ValueError(f"{what}: sort the times so that they ascend, each once")
    if len(value_rt) < 3:
        raise ValueError(f"{what}: give at least three replicas, as errors come from their "
                         f"scatter, not {len(value_rt)}")
    if len(time_t) < fewest:
        raise ValueError(f"{what}: give at least {fewest} times, not {len(time_t)}")
    return time_t, value_rt


def without_each(value_r: np.ndarray) -> np.ndarray:
    """Means with one replica left out each, the shape of ``value_r``."""
    return (value_r.sum(axis=0) - value_r) / (len(value_r) - 1)
