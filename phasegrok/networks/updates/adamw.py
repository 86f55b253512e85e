"""AdamW: adaptive moments with decoupled weight decay.

One step k -> k + 1 of the weights theta, with the gradient g (Loshchilov and Hutter, arXiv
1711.05101, algorithm 2, in the form of ``torch.optim.AdamW``):

    theta <- (1 - lr_k wd) theta
    m     <- beta1 m + (1 - beta1) g,      v <- beta2 v + (1 - beta2) g^2
    theta <- theta - lr_k m / (1 - beta1^(k+1)) / (sqrt(v / (1 - beta2^(k+1))) + epsilon)
    theta <- theta + sqrt(2 lr_k T) xi
"""

from typing import NamedTuple

import numpy as np

from phasegrok.networks.compiled.kernels import inner
from phasegrok.networks.updates.common import add_noise, add_tensor_noise
from phasegrok.systems.discrete import behaviour

# Moments and weights below this are set to zero.  Those of a weight without gradient decay for
# ever, and below 1e-38 a float32 is denormal, which slows every step several times; moments are nil
# beside epsilon, and weights in any sum.
_NIL = 1e-30


class AdamW(NamedTuple):
    """Settings of AdamW."""

    weight_decay: float
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-8


@behaviour(AdamW)
def step(update, at, energy, k, lr, T):
    adaptive_step(update, at, k, lr, update.weight_decay)
    add_noise(at, lr, T)
    return energy, False


@behaviour(AdamW)
def free_step(update, h, T, k):
    return 1.0 - h * update.weight_decay, 0.0, 0.0, 0.0, np.sqrt(2.0 * h * T), 0.0


def tensor_step(update, at) -> None:
    """The same of all replicas of a ``stack_torch.Stack``."""
    at.theta *= 1.0 - at.lr * update.weight_decay
    tensor_adaptive_step(update, at)
    add_tensor_noise(at)


@inner
def adaptive_step(update, at, k, lr, wd):
    """The step of AdamW without noise, and with wd = 0 that of Adam."""
    theta, g, m, v = at.state.theta, at.grad, at.state.m, at.state.v
    beta1, beta2 = update.beta1, update.beta2
    real = theta.dtype.type
    shrink, rate = real(1.0 - lr * wd), real(lr / (1.0 - beta1 ** (k + 1.0)))
    b_1, c_1, b_2, c_2 = real(beta1), real(1.0 - beta1), real(beta2), real(1.0 - beta2)
    root, eps = real(1.0 / np.sqrt(1.0 - beta2 ** (k + 1.0))), real(update.epsilon)
    nil, zero = real(_NIL), real(0.0)
    for i in range(theta.shape[0]):
        m_i = b_1 * m[i] + c_1 * g[i]
        v_i = b_2 * v[i] + c_2 * g[i] * g[i]
        m_i = zero if abs(m_i) < nil else m_i
        v_i = zero if v_i < nil else v_i
        x = shrink * theta[i] - rate * m_i / (root * np.sqrt(v_i) + eps)
        m[i] = m_i
        v[i] = v_i
        theta[i] = zero if abs(x) < nil else x


def tensor_adaptive_step(update, at) -> None:
    """The same of all replicas of a ``stack_torch.Stack``, without decay."""
    at.m.lerp_(at.g, 1.0 - update.beta1)
    at.v.mul_(update.beta2).addcmul_(at.g, at.g, value=1.0 - update.beta2)
    k = (at.k + 1).double()
    root = ((1.0 - update.beta2**k) ** -0.5).to(at.v.dtype)
    rate = (at.lr / (1.0 - update.beta1**k)).to(at.v.dtype)
    at.theta -= rate * at.m / (root * at.v.sqrt() + update.epsilon)
