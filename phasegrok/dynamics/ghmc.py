r"""Generalised hybrid Monte Carlo: velocities, a prior, and no error of the finite step.

Horowitz, Phys. Lett. B 268, 247 (1991).  Of the energy E(x) and velocities v,

.. math:: H = E(x) + m\omega^2 |x|^2/2 + m |v|^2/2 , \qquad P(x, v) \propto e^{-H/T} ,

with the frequency :math:`\omega \ge 0` of the prior (0: none).  One step of time h:

1. :math:`v \to c v + \sqrt{(T/m)(1 - c^2)}\,\eta`, with :math:`\eta` standard normal,
2. half a kick, :math:`v \to v - (h/2m)\nabla E`,
3. the exact flow of the prior, which rotates (x, v) by the angle :math:`\omega h`:
   :math:`x' = x \cos\omega h + v\,\sin(\omega h)/\omega`,
   :math:`v' = v \cos\omega h - \omega x \sin\omega h`; a drift x' = x + h v where
   :math:`\omega = 0`,
4. half a kick at the new x,
5. accepted with probability :math:`\min(1, e^{-\Delta H/T})`, :math:`\Delta H` the change over 2
   to 4; else the old x, and v reversed.  A change that is not finite is rejected.

The energy and its gradient are the caller's, so that a system and a network move by the same
kernels: :func:`propose`, the gradient at the new x, :func:`accept`, and :func:`reject` where it was
not.  Arrays are flat, float64 or float32; sums are float64.
"""

import math
from typing import NamedTuple

import numpy as np

from phasegrok.compiled import NOT_FROM_PYTHON, kernel
from phasegrok.rng import fill_noise, uniform

_BLOCK = 1024


class Splitting(NamedTuple):
    """What a step depends on, besides the energy."""

    h: float  # step of time
    keep: float  # c, the share of the velocity that a step keeps
    T: float  # temperature, in units of E
    mass: float  # m
    omega: float  # frequency of the prior; 0: none


@kernel(allocates=False, **NOT_FROM_PYTHON)
def sum_of_squares(x):
    """Sum of the squares of a flat array of floats, in float64, by eight sums that run abreast."""
    a, b, c, d, e, f, g, h = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    whole = x.shape[0] - x.shape[0] % 8
    for i in range(0, whole, 8):
        a += np.float64(x[i]) * np.float64(x[i])
        b += np.float64(x[i + 1]) * np.float64(x[i + 1])
        c += np.float64(x[i + 2]) * np.float64(x[i + 2])
        d += np.float64(x[i + 3]) * np.float64(x[i + 3])
        e += np.float64(x[i + 4]) * np.float64(x[i + 4])
        f += np.float64(x[i + 5]) * np.float64(x[i + 5])
        g += np.float64(x[i + 6]) * np.float64(x[i + 6])
        h += np.float64(x[i + 7]) * np.float64(x[i + 7])
    for i in range(whole, x.shape[0]):
        a += np.float64(x[i]) * np.float64(x[i])
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


# Loops over two or three arrays, within a block that stays in the nearest cache: of more, LLVM does
# not find out that they do not overlap, and takes one number at a time.


@kernel(allocates=False, **NOT_FROM_PYTHON)
def copy(x, to):
    """Copy a flat array."""
    for i in range(x.shape[0]):
        to[i] = x[i]


@kernel(allocates=False, **NOT_FROM_PYTHON)
def refresh(s, v, noise):
    """v <- c v + sqrt((T/m) (1 - c^2)) noise, and the noise becomes -v."""
    real = v.dtype.type
    keep, new = real(s.keep), real(math.sqrt(s.T / s.mass * (1.0 - s.keep * s.keep)))
    for i in range(v.shape[0]):
        v_i = keep * v[i] + new * noise[i]
        v[i], noise[i] = v_i, -v_i


@kernel(allocates=False, **NOT_FROM_PYTHON)
def kick(s, v, g):
    """Half a kick, v <- v - (h/2m) g."""
    half = v.dtype.type(0.5 * s.h / s.mass)
    for i in range(v.shape[0]):
        v[i] -= half * g[i]


@kernel(allocates=False, **NOT_FROM_PYTHON)
def _kick_and_flow(s, x, v, g):
    """Half a kick, then the exact flow of the prior."""
    real = x.dtype.type
    half, turn = real(0.5 * s.h / s.mass), real(math.cos(s.omega * s.h))
    go = real(math.sin(s.omega * s.h) / s.omega if s.omega > 0.0 else s.h)
    back = real(s.omega * math.sin(s.omega * s.h))
    for i in range(x.shape[0]):
        x_i, v_i = x[i], v[i] - half * g[i]
        x[i] = turn * x_i + go * v_i
        v[i] = turn * v_i - back * x_i


@kernel(allocates=False, **NOT_FROM_PYTHON)
def propose(splitting, x, v, g, kept, noise, rng):
    """Move x to the proposal, by the first half of a step.

    Parameters
    ----------
    splitting : Splitting
    x, v : (n,) arrays
        State; v is left before its second half kick.
    g : (n,) array
        Gradient of E at x.
    kept, noise : (2, n) and (n,) arrays
        Take what a rejection restores: x, g and the reversed v.
    rng : (4,) uint64

    Returns
    -------
    before : float
        H - E, once v is refreshed.
    """
    s = splitting
    fill_noise(rng, noise)
    squares, speeds = 0.0, 0.0
    for first in range(0, x.shape[0], _BLOCK):
        end = min(first + _BLOCK, x.shape[0])
        x_b, v_b, g_b = x[first:end], v[first:end], g[first:end]
        copy(x_b, kept[0, first:end])
        copy(g_b, kept[1, first:end])
        refresh(s, v_b, noise[first:end])
        squares += sum_of_squares(x_b)
        speeds += sum_of_squares(v_b)
        _kick_and_flow(s, x_b, v_b, g_b)
    return 0.5 * s.mass * (speeds + s.omega * s.omega * squares)


@kernel(allocates=False, **NOT_FROM_PYTHON)
def accept(splitting, x, v, g, change, before, rng):
    """Second half kick, and the Metropolis test.

    Parameters
    ----------
    splitting : Splitting
    x, v, g : (n,) arrays
        The proposal, and the gradient of E there.
    change : float
        E of the proposal less E before.
    before : float
        From :func:`propose`.
    rng : (4,) uint64

    Returns
    -------
    accepted : bool
        Where False, the caller must call :func:`reject`.
    """
    s = splitting
    squares, speeds = 0.0, 0.0
    for first in range(0, x.shape[0], _BLOCK):
        end = min(first + _BLOCK, x.shape[0])
        v_b = v[first:end]
        kick(s, v_b, g[first:end])
        squares += sum_of_squares(x[first:end])
        speeds += sum_of_squares(v_b)
    change += 0.5 * s.mass * (speeds + s.omega * s.omega * squares) - before
    return math.isfinite(change) and (change <= 0.0 or uniform(rng) < math.exp(-change / s.T))


@kernel(allocates=False, **NOT_FROM_PYTHON)
def reject(x, v, g, kept, noise):
    """Back to the x and gradient before the step, with v reversed."""
    for i in range(x.shape[0]):
        x[i], g[i], v[i] = kept[0, i], kept[1, i], noise[i]
