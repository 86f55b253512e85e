"""Generalised hybrid Monte Carlo of the weights, which has no error of the finite step.

Horowitz, Phys. Lett. B 268, 247 (1991).  With unit masses, c = 1 - ``friction`` and
U = E + wd |theta|^2 / 2:

    v <- c v + sqrt(T (1 - c^2)) xi, one leapfrog step, accepted with probability
    min(1, exp(-(change of U + v^2/2)/T)); on rejection the old weights, and v reversed
"""

from typing import NamedTuple

import numpy as np

from phasegrok.networks.compiled.kernels import inner
from phasegrok.networks.engine import energy_and_gradient
from phasegrok.networks.training.state import ACCEPTED
from phasegrok.networks.updates.common import norm_of
from phasegrok.rng import fill_normal, uniform
from phasegrok.systems.discrete import behaviour


class GHMC(NamedTuple):
    """Settings of generalised hybrid Monte Carlo."""

    weight_decay: float
    friction: float = 0.1


@behaviour(GHMC)
def step(update, at, energy, k, lr, T):
    total = _propose(update, at, energy, lr, T)
    proposed = energy_and_gradient(at.w, at.g, at.data, at.scratch.work)
    return _decide(update, at, energy, proposed, total, lr, T), True


@inner
def _energy_with_velocity(energy, theta, m, wd):
    """E + wd |theta|^2 / 2 + |m|^2 / 2, which a step of the flow keeps."""
    return energy + 0.5 * wd * norm_of(theta) ** 2 + 0.5 * norm_of(m) ** 2


@inner
def _propose(update, at, energy, lr, T):
    """First half of a step, up to the new weights; returns the energy with that of velocities.

    Keeps in ``before`` and ``kept`` what a rejection restores.
    """
    theta, grad, m, noise = at.state.theta, at.grad, at.state.m, at.scratch.noise
    before, kept = at.scratch.before, at.scratch.kept
    fill_normal(at.state.rng, noise)
    real = theta.dtype.type
    friction = update.friction
    c, s = real(1.0 - friction), real(np.sqrt(T * friction * (2.0 - friction)))
    for i in range(theta.shape[0]):
        m[i] = c * m[i] + s * noise[i]
    half, step, wd = real(0.5 * lr), real(lr), real(update.weight_decay)
    total = _energy_with_velocity(energy[0], theta, m, update.weight_decay)
    for i in range(theta.shape[0]):
        before[i] = theta[i]
        kept[0, i] = grad[i]
        kept[1, i] = m[i]
        m[i] -= half * (grad[i] + wd * theta[i])
        theta[i] += step * m[i]
    return total


@inner
def _decide(update, at, energy, proposed, total, lr, T):
    """Second half of the step, with the gradient and energy of the proposed weights.

    Returns the energy it ends at; ``grad`` is then the gradient there.  A proposal with an energy
    that is not finite is rejected.
    """
    theta, grad, m = at.state.theta, at.grad, at.state.m
    before, kept = at.scratch.before, at.scratch.kept
    real = theta.dtype.type
    half, wd = real(0.5 * lr), real(update.weight_decay)
    for i in range(theta.shape[0]):
        m[i] -= half * (grad[i] + wd * theta[i])
    after = _energy_with_velocity(proposed[0], theta, m, update.weight_decay)
    if uniform(at.state.rng) < np.exp(min(0.0, (total - after) / T)):  # NaN is not accepted
        at.state.counters[ACCEPTED] += 1
        return proposed
    for i in range(theta.shape[0]):
        theta[i] = before[i]
        grad[i] = kept[0, i]
        m[i] = -kept[1, i]
    return energy


def tensor_step(update, at) -> None:
    """The same of all replicas of a ``stack_torch.Stack``."""
    import torch  # only where an engine in PyTorch asks

    h, T, wd, memory = at.lr, at.T, update.weight_decay, 1.0 - update.friction

    def total(energy, theta, v):
        return energy + (0.5 * wd * at.norm_of(theta) ** 2 + 0.5 * at.norm_of(v) ** 2)[:, 0]

    v = memory * at.m + torch.sqrt(T * (1.0 - memory**2)) * at.noise()
    half = v - 0.5 * h * (at.g + wd * at.theta)
    theta = at.theta + h * half
    g, energy = at.gradient(theta)
    end = half - 0.5 * h * (g + wd * theta)
    change = total(energy, theta, end) - total(at.energy, at.theta, v)
    taken = at.uniforms() < torch.exp((-change / T).clamp(max=0.0))
    at.accepted += taken & at.alive
    for x, new, old in ((at.theta, theta, at.theta), (at.m, end, -v), (at.g, g, at.g)):
        x.copy_(torch.where(taken[:, None], new, old))
    at.energy.copy_(torch.where(taken, energy, at.energy))
