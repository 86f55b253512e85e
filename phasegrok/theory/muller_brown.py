r"""The potential of Mueller and Brown: a particle in the plane, with three wells and two passes.

.. math:: E(x, y) = s\sum_k A_k e^{a_k u_k^2 + b_k u_k v_k + c_k v_k^2},\qquad
          u_k = x - X_k,\; v_k = y - Y_k

[1]_, with minima -146.70 at (-.558, 1.442), -108.17 at (.623, .028) and -80.77 at (-.050, .467),
and saddle points -40.66 at (-.822, .624) and -72.25 at (.212, .293), in units of the scale s.  The
order parameter is y - x: along each line on which it is constant at the value of a saddle point
(``PASSES``), the saddle point is lowest, so that these lines divide the wells.

Averages are integrals over the plane.  Mean first-passage times of :math:`dx = -\nabla E\,dt +
\sqrt{2T}\,dW` are the solution of the backward equation, for jumps between the neighbours of a grid
with rates :math:`(T/h^2) e^{-(E' - E)/2T}`: they have detailed balance, and the error is of order
:math:`h^2`.

References
----------
.. [1] K. Mueller and L. D. Brown, Theor. Chim. Acta 53 (1979) 75.
"""

import functools
import math

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

TERMS = np.array([  # A, a, b, c, X, Y
    [-200.0, -1.0, 0.0, -10.0, 1.0, 0.0],
    [-100.0, -1.0, 0.0, -10.0, 0.0, 0.5],
    [-170.0, -6.5, 11.0, -6.5, -0.5, 1.5],
    [15.0, 0.7, 0.6, 0.7, -1.0, 1.0]])
LOWEST = -146.6996
"""Energy of the deepest well, rounded down."""
UPPER, LOWER = (-0.55822363, 1.44172584), (0.6234994, 0.02803776)
"""Minima of the two deep wells, of which the upper one is deeper."""
PASSES = (0.08050174, 1.44631436)
"""y - x of the saddle points, between the lower and the middle well and between that and the upper.
"""

_BOX = ((-2.5, 1.8), (-1.2, 2.9))  # of passages
_GRIDS = (200, 400)  # nodes along an edge, from which passages are extrapolated
_COLDEST, _HOTTEST = 5.0, 50.0  # at scale 1, that this box and these grids are good for
_FAR, _NODES = 4.2, 1201  # half the edge of the square of averages, around (-.3, .7)
_PASS, _HIGH = -40.0, 25.0  # energy of the higher pass; how far above it, in units of T, paths go
_CURVATURE = 4100.0  # largest, of the deepest well
_NARROWEST = 2.0  # nodes in the width of that well
_NOTHING = 1e-12  # of the weight at the edge


def potential(x, y, scale: float = 1.0):
    """E, elementwise."""
    return scale * sum(A * np.exp(a * (x - X) ** 2 + b * (x - X) * (y - Y) + c * (y - Y) ** 2)
                       for A, a, b, c, X, Y in TERMS)


def on_the_line(phi: float) -> np.ndarray:
    """The point with y - x = ``phi`` on the straight line through the minima of both deep wells."""
    lower, upper = np.array(LOWER), np.array(UPPER)
    low, high = lower[1] - lower[0], upper[1] - upper[0]
    return lower + (upper - lower) * (phi - low) / (high - low)


@functools.lru_cache(maxsize=256)
def averages(T: float, scale: float = 1.0) -> dict[str, float]:
    """Mean energy, heat capacity, mean of y - x, and the share of each well at temperature T.

    Raises
    ------
    ValueError
        Where T is so low or so high that the grid does not hold the weight.
    """
    x, y = (centre + np.linspace(-_FAR, _FAR, _NODES) for centre in (-0.3, 0.7))
    spacing = x[1] - x[0]
    E = potential(x[:, None], y, scale)
    weight = np.exp(-(E - scale * LOWEST) / T)
    edge = max(weight[0].max(), weight[-1].max(), weight[:, 0].max(), weight[:, -1].max())
    if edge > _NOTHING or math.sqrt(T / (scale * _CURVATURE)) < _NARROWEST * spacing:
        raise ValueError(f"T = {T:g}: the grid does not hold the weight")
    weight /= weight.sum()
    phi = y - x[:, None]
    mean = float((weight * E).sum())
    # of a diagonal of the grid, which stands for phi +- h/2, the part beyond the pass
    lower, upper = (float((weight * np.clip(sign * (phi - at) / spacing + 0.5, 0.0, 1.0)).sum())
                    for sign, at in zip((-1.0, 1.0), PASSES))
    return {"energy": mean, "heat_capacity": float((weight * (E - mean) ** 2).sum()) / T**2,
            "order_parameter": float((weight * phi).sum()),
            "lower_well": lower, "middle_well": 1.0 - lower - upper, "upper_well": upper}


def first_passage(T: float, start: float, threshold: float, scale: float = 1.0) -> float:
    """Mean time from ``on_the_line(start)`` until y - x is ``threshold`` or more.

    Raises
    ------
    ValueError
        If the start lies beyond the threshold, or T is too high for the box of the grid or too low
        for its spacing.
    """
    if not start < threshold:
        raise ValueError("the start lies beyond the threshold")
    if not _COLDEST * scale <= T <= _HOTTEST * scale:
        raise ValueError(f"T = {T:g}: the grid does not hold the weight")
    coarse, fine = (on_grid(n, _BOX, T / scale, threshold, start) for n in _GRIDS)
    return (fine + (fine - coarse) / 3.0) / scale


@functools.lru_cache(maxsize=64)
def on_grid(n: int, box: tuple, T: float, threshold: float, start: float) -> float:
    """As `first_passage` at scale 1, on n x n nodes of a box, between nodes linear."""
    x, y = (np.linspace(low, high, n) for low, high in box)
    h, k = x[1] - x[0], y[1] - y[0]
    E, phi = potential(x[:, None], y).ravel(), y - x[:, None]
    reached = E < _PASS + _HIGH * T
    number = np.arange(n * n).reshape(n, n)
    rows, columns, rates = [], [], []
    for axis, spacing in ((0, h), (1, k)):
        a, b = np.delete(number, -1, axis).ravel(), np.delete(number, 0, axis).ravel()
        a, b = (nodes[reached[a] & reached[b]] for nodes in (a, b))
        for i, j in ((a, b), (b, a)):
            rows.append(i)
            columns.append(j)
            rates.append(T / spacing**2 * np.exp(-(E[j] - E[i]) / (2.0 * T)))
    i, j, rate = map(np.concatenate, (rows, columns, rates))
    inside = np.flatnonzero((phi.ravel() < threshold) & reached)
    G = sparse.csr_matrix((rate, (i, j)), shape=(n * n, n * n))
    G -= sparse.diags(np.asarray(G.sum(axis=1)).ravel())
    time = np.zeros(n * n)
    time[inside] = spsolve(G[inside][:, inside].tocsc(), -np.ones(len(inside)))
    x_start, y_start = on_the_line(start)
    p, q = (x_start - x[0]) / h, (y_start - y[0]) / k
    i, j = int(p), int(q)
    p, q = p - i, q - j
    corners = time.reshape(n, n)[i : i + 2, j : j + 2]
    return float(np.array([1.0 - p, p]) @ corners @ np.array([1.0 - q, q]))
