"""Lion: the sign of a momentum, with decoupled decay.

Chen et al., arXiv 2302.06675, algorithm 2:

    theta <- (1 - lr_k wd) theta - lr_k sign(beta1 m + (1 - beta1) g) + sqrt(2 lr_k T) xi
    m     <- beta2 m + (1 - beta2) g

All weights move by the same distance lr_k: the paper takes a rate three to ten times smaller than
that of AdamW, and a decay as many times larger.
"""

from typing import NamedTuple

import numpy as np

from phasegrok.networks.updates.common import add_noise, add_tensor_noise
from phasegrok.systems.discrete import behaviour


class Lion(NamedTuple):
    """Settings of Lion."""

    weight_decay: float
    beta1: float = 0.9
    beta2: float = 0.99


@behaviour(Lion)
def step(update, at, energy, k, lr, T):
    theta, g, m = at.state.theta, at.grad, at.state.m
    real = theta.dtype.type
    shrink, rate = real(1.0 - lr * update.weight_decay), real(lr)
    b_1, c_1 = real(update.beta1), real(1.0 - update.beta1)
    b_2, c_2 = real(update.beta2), real(1.0 - update.beta2)
    nil, zero = real(1e-30), real(0.0)
    for i in range(theta.shape[0]):
        theta[i] = shrink * theta[i] - rate * np.sign(b_1 * m[i] + c_1 * g[i])
        m_i = b_2 * m[i] + c_2 * g[i]
        m[i] = zero if abs(m_i) < nil else m_i  # denormal numbers would slow every step
    add_noise(at, lr, T)
    return energy, False


def tensor_step(update, at) -> None:
    """The same of all replicas of a ``stack_torch.Stack``."""
    at.theta *= 1.0 - at.lr * update.weight_decay
    at.theta -= at.lr * at.m.lerp(at.g, 1.0 - update.beta1).sign()
    at.m.lerp_(at.g, 1.0 - update.beta2)
    add_tensor_noise(at)
