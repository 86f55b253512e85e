"""Generalised hybrid Monte Carlo of the weights, which has no error of the finite step.

Horowitz, Phys. Lett. B 268, 247 (1991).  With unit masses, c = 1 - ``friction`` and
U = E + wd |theta|^2 / 2:

    v <- c v + sqrt(T (1 - c^2)) xi, one leapfrog step, accepted with probability
    min(1, exp(-(change of U + v^2/2)/T)); on rejection the old weights, and v reversed
"""

import numpy as np

from phasegrok.networks.compiled.kernels import inner
from phasegrok.networks.training.state import ACCEPTED
from phasegrok.networks.updates.common import norm_of
from phasegrok.rng import fill_normal, uniform


@inner
def mix_velocity(v, xi, friction, T):
    """v <- c v + sqrt(T (1 - c^2)) xi with c = 1 - friction."""
    real = v.dtype.type
    c, s = real(1.0 - friction), real(np.sqrt(T * friction * (2.0 - friction)))
    for i in range(v.shape[0]):
        v[i] = c * v[i] + s * xi[i]


@inner
def energy_with_velocity(energy, theta, m, wd):
    """E + wd |theta|^2 / 2 + |m|^2 / 2, which a step of the flow keeps."""
    return energy + 0.5 * wd * norm_of(theta) ** 2 + 0.5 * norm_of(m) ** 2


@inner
def propose(theta, grad, m, energy, lr, T, constants, noise, before, kept, rng):
    """First half of a step of generalised hybrid Monte Carlo, up to the new weights.

    Keeps in ``before`` and ``kept`` what a rejection restores, and returns the energy with that of
    the velocities.
    """
    c = constants
    fill_normal(rng, noise)
    mix_velocity(m, noise, c.friction, T)
    real = theta.dtype.type
    half, step, wd = real(0.5 * lr), real(lr), real(c.wd)
    total = energy_with_velocity(energy[0], theta, m, c.wd)
    for i in range(theta.shape[0]):
        before[i] = theta[i]
        kept[0, i] = grad[i]
        kept[1, i] = m[i]
        m[i] -= half * (grad[i] + wd * theta[i])
        theta[i] += step * m[i]
    return total


@inner
def decide(theta, grad, m, energy, proposed, total, lr, T, constants, before, kept, rng, counters):
    """Second half of the step, with the gradient and energy of the proposed weights.

    Returns the energy it ends at; ``grad`` is then the gradient there.  A proposal with an energy
    that is not finite is rejected.
    """
    c, real = constants, theta.dtype.type
    half, wd = real(0.5 * lr), real(c.wd)
    for i in range(theta.shape[0]):
        m[i] -= half * (grad[i] + wd * theta[i])
    after = energy_with_velocity(proposed[0], theta, m, c.wd)
    if uniform(rng) < np.exp(min(0.0, (total - after) / T)):  # NaN is not accepted
        counters[ACCEPTED] += 1
        return proposed
    for i in range(theta.shape[0]):
        theta[i] = before[i]
        grad[i] = kept[0, i]
        m[i] = -kept[1, i]
    return energy
