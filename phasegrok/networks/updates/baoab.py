"""BAOAB: dynamics of the weights with velocities and noise.

Masses are one, h is the step of time, c_f (``friction``) the share of the velocity that a step
loses, c = 1 - c_f, and g the gradient of the potential U.  A stationary state has the density
exp(-U/T) of the weights, up to the finite step (Leimkuhler and Matthews, Appl. Math. Res. Express
2013, 34), with both kicks at one place:

    v <- v - h g,  theta <- theta + h v / 2,  v <- c v + sqrt(T (1 - c^2)) xi,
    theta <- theta + h v / 2                                    (the first kick is a half one)
"""

import numpy as np

from phasegrok.networks.compiled.kernels import inner


@inner
def halve_kick(g):
    """The kick of the first step of BAOAB, which begins between two kicks, is a half one."""
    half = g.dtype.type(0.5)
    for i in range(g.shape[0]):
        g[i] *= half


@inner
def baoab_step(theta, g, v, xi, h, friction, T):
    """One step; returns how many weights are not finite afterwards."""
    real = theta.dtype.type
    step, half, zero = real(h), real(0.5 * h), real(0.0)
    c, s = real(1.0 - friction), real(np.sqrt(T * friction * (2.0 - friction)))
    n_broken = 0
    for i in range(theta.shape[0]):
        u = v[i] - step * g[i]
        x = theta[i] + half * u
        u = c * u + s * xi[i]
        x += half * u
        v[i] = u
        theta[i] = x
        n_broken += x - x != zero
    return n_broken
