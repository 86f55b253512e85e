"""Dynamics of the weights of a network with velocities, in kernels: BAOAB, GHMC, WanD.

Masses are one, h is the step of time, c_f (``friction``) the share of the velocity that a step
loses, c = 1 - c_f, and g the gradient of the potential U.  A stationary state has the density
exp(-U/T) of the weights; for ``baoab`` up to the finite step, for ``ghmc`` exactly.

    BAOAB (Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34), both kicks at one place:
        v <- v - h g,  theta <- theta + h v / 2,  v <- c v + sqrt(T (1 - c^2)) xi,
        theta <- theta + h v / 2                                (the first kick is a half one)
    GHMC (Horowitz, Phys. Lett. B 268, 247 (1991)):
        v <- c v + sqrt(T (1 - c^2)) xi, one leapfrog step, accepted with probability
        min(1, exp(-(change of U + v^2/2)/T)); on rejection the old weights, and v reversed
    WanD (Zhang et al., arXiv 2505.11411): BAOAB in U = x + W(x), x = ln E, where each step adds a
        deposit to W at the x it is at, of a height that is constant at first and falls as one over
        the time later.  The Wang-Landau estimate of the entropy of x is (x + W(x))/T.  No step is
        ever rejected, so that the estimate is biased by the finite step.

Without deposits WanD samples exp(-x/T) = E^(-1/T); without noise as well it is descent in ln E with
momentum.
"""

import numpy as np

from phasegrok.systems.network_kernels import inner


@inner
def halve_kick(g):
    """The kick of the first step of BAOAB, which begins between two kicks, is a half one."""
    half = g.dtype.type(0.5)
    for i in range(g.shape[0]):
        g[i] *= half


@inner
def mix_velocity(v, xi, friction, T):
    """v <- c v + sqrt(T (1 - c^2)) xi with c = 1 - friction."""
    real = v.dtype.type
    c, s = real(1.0 - friction), real(np.sqrt(T * friction * (2.0 - friction)))
    for i in range(v.shape[0]):
        v[i] = c * v[i] + s * xi[i]


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


@inner
def deposit(bias, x, low, high, height):
    """Add to W at the nodes a tent of this height, two intervals wide, with its top at x.

    Beyond the range nothing is added.
    """
    n = bias.shape[0] - 1
    place = (x - low) / (high - low) * n
    if not 0.0 <= place < n:
        return
    k = int(place)
    bias[k] += height * (k + 1 - place)
    bias[k + 1] += height * (place - k)


@inner
def force_factor(bias, x, low, high):
    """d(x + W)/dx, from central differences at the nodes, linear between them.

    Beyond the range W is taken to be flat.
    """
    n = bias.shape[0] - 1
    place = (x - low) / (high - low) * n
    if not 0.0 <= place < n:
        return 1.0
    k = int(place)
    spacing = (high - low) / n
    slopes = (
        (bias[k + 1] - bias[max(k - 1, 0)]) / (k + 1 - max(k - 1, 0)),
        (bias[min(k + 2, n)] - bias[k]) / (min(k + 2, n) - k),
    )
    return 1.0 + (slopes[0] * (k + 1 - place) + slopes[1] * (place - k)) / spacing
