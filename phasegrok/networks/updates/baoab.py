"""BAOAB: dynamics of the weights with velocities and noise.

Masses are one, h = lr is the step of time, c_f (``friction``) the share of the velocity that a step
loses, c = 1 - c_f, and g the gradient of the potential U = E + wd |theta|^2 / 2.  A stationary
state has the density exp(-U/T) of the weights, up to the finite step (Leimkuhler and Matthews,
Appl. Math. Res. Express 2013, 34), with both kicks at one place:

    v <- v - h g,  theta <- theta + h v / 2,  v <- c v + sqrt(T (1 - c^2)) xi,
    theta <- theta + h v / 2                                    (the first kick is a half one)
"""

from typing import NamedTuple

import numpy as np

from phasegrok.networks.compiled.kernels import inner
from phasegrok.networks.updates.common import add_decay
from phasegrok.rng import fill_noise
from phasegrok.systems.discrete import behaviour


class BAOAB(NamedTuple):
    """Settings of BAOAB."""

    weight_decay: float
    friction: float = 0.1


@behaviour(BAOAB)
def step(update, at, energy, k, lr, T):
    leap(update, at, k, lr, T)
    return energy, False


@behaviour(BAOAB)
def free_step(update, h, T, k):
    f, kick = 1.0 - update.friction, h * update.weight_decay * (0.5 if k == 0 else 1.0)
    noise = np.sqrt(T * (1.0 - f * f))
    # kick by the decay, half a step, noise, half a step:
    # x' = x + (h/2)(1 + f)(u - kick x) + (h/2) noise;  u' = f (u - kick x) + noise
    along = 0.5 * h * (1.0 + f)
    return 1.0 - along * kick, along, -f * kick, f, 0.5 * h * noise, noise


def tensor_step(update, at) -> None:
    """The same of all replicas of a ``stack_torch.Stack``."""
    memory = 1.0 - update.friction
    kick = at.lr * (1.0 - 0.5 * (at.k == 0))
    at.m -= kick * at.g.add(at.theta, alpha=update.weight_decay)
    at.theta += 0.5 * at.lr * at.m
    at.m.mul_(memory).add_((at.T * (1.0 - memory**2)).sqrt() * at.noise())
    at.theta += 0.5 * at.lr * at.m


@inner
def leap(update, at, k, h, T):
    """The step, with the force that ``at.grad`` holds."""
    theta, g, v, xi = at.state.theta, at.grad, at.state.m, at.scratch.noise
    add_decay(theta, g, update.weight_decay)
    if T > 0.0:
        fill_noise(at.state.rng, xi)
    else:
        xi[:] = 0.0
    real = theta.dtype.type
    kick, half = real(h if k > 0 else 0.5 * h), real(0.5 * h)
    c = real(1.0 - update.friction)
    s = real(np.sqrt(T * update.friction * (2.0 - update.friction)))
    for i in range(theta.shape[0]):
        u = v[i] - kick * g[i]
        x = theta[i] + half * u
        u = c * u + s * xi[i]
        v[i] = u
        theta[i] = x + half * u
