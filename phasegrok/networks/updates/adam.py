"""Adam: adaptive moments, with the weight decay in the gradient (``torch.optim.Adam``).

Kingma and Ba, arXiv 1412.6980, algorithm 1:

    g     <- g + wd theta
    m     <- beta1 m + (1 - beta1) g,      v <- beta2 v + (1 - beta2) g^2
    theta <- theta - lr_k m / (1 - beta1^(k+1)) / (sqrt(v / (1 - beta2^(k+1))) + epsilon)
    theta <- theta + sqrt(2 lr_k T) xi
"""

from typing import NamedTuple

from phasegrok.networks.updates.adamw import adaptive_step, tensor_adaptive_step
from phasegrok.networks.updates.common import add_decay, add_noise, add_tensor_noise
from phasegrok.systems.discrete import behaviour


class Adam(NamedTuple):
    """Settings of Adam."""

    weight_decay: float
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-8


@behaviour(Adam)
def step(update, at, energy, k, lr, T):
    add_decay(at.state.theta, at.grad, update.weight_decay)
    adaptive_step(update, at, k, lr, 0.0)
    add_noise(at, lr, T)
    return energy, False


def tensor_step(update, at) -> None:
    """The same of all replicas of a ``stack_torch.Stack``."""
    at.g.add_(at.theta, alpha=update.weight_decay)
    tensor_adaptive_step(update, at)
    add_tensor_noise(at)
