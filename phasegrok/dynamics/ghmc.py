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
from phasegrok.rng import fill_normal, uniform


class Splitting(NamedTuple):
    """What a step depends on, besides the energy."""

    h: float  # step of time
    keep: float  # c, the share of the velocity that a step keeps
    T: float  # temperature, in units of E
    mass: float  # m
    omega: float  # frequency of the prior; 0: none


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
    s, real = splitting, x.dtype.type
    keep, new = real(s.keep), real(math.sqrt(s.T / s.mass * (1.0 - s.keep * s.keep)))
    half, turn = real(0.5 * s.h / s.mass), real(math.cos(s.omega * s.h))
    go = real(math.sin(s.omega * s.h) / s.omega if s.omega > 0.0 else s.h)
    back = real(s.omega * math.sin(s.omega * s.h))
    fill_normal(rng, noise)
    squares, speeds = 0.0, 0.0
    for i in range(x.shape[0]):
        x_i, v_i = x[i], keep * v[i] + new * noise[i]
        kept[0, i], kept[1, i], noise[i] = x_i, g[i], -v_i
        squares += np.float64(x_i) * np.float64(x_i)
        speeds += np.float64(v_i) * np.float64(v_i)
        v_i -= half * g[i]
        x[i] = turn * x_i + go * v_i
        v[i] = turn * v_i - back * x_i
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
    half = x.dtype.type(0.5 * s.h / s.mass)
    squares, speeds = 0.0, 0.0
    for i in range(x.shape[0]):
        v_i = v[i] - half * g[i]
        v[i] = v_i
        squares += np.float64(x[i]) * np.float64(x[i])
        speeds += np.float64(v_i) * np.float64(v_i)
    change += 0.5 * s.mass * (speeds + s.omega * s.omega * squares) - before
    return math.isfinite(change) and (change <= 0.0 or uniform(rng) < math.exp(-change / s.T))


@kernel(allocates=False, **NOT_FROM_PYTHON)
def reject(x, v, g, kept, noise):
    """Back to the x and gradient before the step, with v reversed."""
    for i in range(x.shape[0]):
        x[i], g[i], v[i] = kept[0, i], kept[1, i], noise[i]
