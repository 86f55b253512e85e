"""Gradient descent with momentum, and decay in the gradient (``torch.optim.SGD``).

    g <- g + wd theta,    m <- momentum m + g,    theta <- theta - lr_k m + sqrt(2 lr_k T) xi

Without momentum or filter, on all pairs, it makes Langevin dynamics in the energy
E + wd |theta|^2 / 2 at T, to first order in lr (SGLD); with momentum that at (1 - momentum) T.
"""

from typing import NamedTuple

import numpy as np

from phasegrok.networks.compiled.kernels import inner
from phasegrok.networks.updates.common import add_decay, add_noise, add_tensor_noise
from phasegrok.systems.discrete import behaviour


class SGD(NamedTuple):
    """Settings of gradient descent."""

    weight_decay: float
    momentum: float = 0.9


@behaviour(SGD)
def step(update, at, energy, k, lr, T):
    descend(update, at, lr)
    add_noise(at, lr, T)
    return energy, False


@behaviour(SGD)
def free_step(update, h, T, k):
    wd, memory = update.weight_decay, update.momentum  # u' = memory u + wd x;  x' = x - h u'
    return 1.0 - h * wd, -h * memory, wd, memory, np.sqrt(2.0 * h * T), 0.0


def tensor_step(update, at) -> None:
    """The same of all replicas of a ``stack_torch.Stack``."""
    tensor_descend(update, at)
    add_tensor_noise(at)


@inner
def descend(update, at, lr):
    """The step without noise, by the gradient that ``at.grad`` holds."""
    theta, g, m = at.state.theta, at.grad, at.state.m
    add_decay(theta, g, update.weight_decay)
    real = theta.dtype.type
    rate, momentum, nil, zero = real(lr), real(update.momentum), real(1e-30), real(0.0)
    for i in range(theta.shape[0]):  # what is below nil is nil in any sum, and denormal soon
        m_i = momentum * m[i] + g[i]
        m_i = zero if abs(m_i) < nil else m_i
        x = theta[i] - rate * m_i
        m[i] = m_i
        theta[i] = zero if abs(x) < nil else x


def tensor_descend(update, at) -> None:
    """``descend`` of all replicas of a ``stack_torch.Stack``."""
    at.m.mul_(update.momentum).add_(at.g.add(at.theta, alpha=update.weight_decay))
    at.theta -= at.lr * at.m
