"""Generalised hybrid Monte Carlo of the weights, which has no error of the finite step.

The splitting of ``phasegrok.dynamics.ghmc`` with unit masses and the prior that the decay makes,
omega = sqrt(wd), so that the decay alone is a rotation: with h = lr, c = 1 - ``friction``

    v <- c v + sqrt(T (1 - c^2)) xi,   v <- v - h g / 2,   (theta, v) turned by omega h,
    v <- v - h g / 2,   accepted with min(1, exp(-(change of E + wd |theta|^2/2 + |v|^2/2)/T));

on rejection the old weights, and v reversed.
"""

import math
from typing import NamedTuple

import numpy as np

from phasegrok.dynamics.ghmc import Splitting, accept, propose, reject
from phasegrok.networks.engine import energy_and_gradient
from phasegrok.networks.training.state import ACCEPTED
from phasegrok.systems.discrete import behaviour


class GHMC(NamedTuple):
    """Settings of generalised hybrid Monte Carlo."""

    weight_decay: float
    friction: float = 0.1


@behaviour(GHMC)
def step(update, at, energy, k, lr, T):
    theta, v, g, rng = at.state.theta, at.state.m, at.grad, at.state.rng
    kept, noise = at.scratch.kept, at.scratch.noise
    splitting = Splitting(lr, 1.0 - update.friction, T, 1.0, np.sqrt(update.weight_decay))
    before = propose(splitting, theta, v, g, kept, noise, rng)
    proposed = energy_and_gradient(at.w, at.g, at.data, at.scratch.work)
    if accept(splitting, theta, v, g, proposed[0] - energy[0], before, rng):
        at.state.counters[ACCEPTED] += 1
        return proposed, True
    reject(theta, v, g, kept, noise)
    return energy, True


def tensor_step(update, at) -> None:
    """The same of all replicas of a ``stack_torch.Stack``."""
    h, T, wd, memory = at.lr, at.T, update.weight_decay, 1.0 - update.friction
    omega = math.sqrt(wd)

    def total(energy, theta, v):
        return energy + (0.5 * wd * at.norm_of(theta) ** 2 + 0.5 * at.norm_of(v) ** 2)[:, 0]

    v = memory * at.m + (T * (1.0 - memory**2)).sqrt() * at.noise()
    half = v - 0.5 * h * at.g
    cos, sin = (omega * h).cos(), (omega * h).sin()
    theta = cos * at.theta + (sin / omega if omega > 0.0 else h) * half
    g, energy = at.gradient(theta)
    end = cos * half - omega * sin * at.theta - 0.5 * h * g
    change = total(energy, theta, end) - total(at.energy, at.theta, v)
    taken = at.uniforms() < (-change / T).clamp(max=0.0).exp()
    at.accepted += taken & at.alive
    for x, new, old in ((at.theta, theta, at.theta), (at.m, end, -v), (at.g, g, at.g)):
        x.copy_(new.where(taken[:, None], old))
    at.energy.copy_(energy.where(taken, at.energy))
