"""Sharpness-aware minimisation: descent by the gradient at the worst weights nearby.

Foret et al., arXiv 2010.01412, eqs. 2 and 3, with gradient descent with momentum (``updates.sgd``)
as the base:

    g <- grad E(theta + rho g / |g|),  on the same pairs
    g <- g + wd theta,    m <- momentum m + g,    theta <- theta - lr_k m + sqrt(2 lr_k T) xi

A step costs two gradients.
"""

from typing import NamedTuple

import numpy as np

from phasegrok.dynamics.ghmc import sum_of_squares
from phasegrok.networks.engine import energy_and_gradient
from phasegrok.networks.updates.common import add_noise, add_tensor_noise
from phasegrok.networks.updates.sgd import descend, tensor_descend
from phasegrok.systems.discrete import behaviour

_NIL = 1e-12  # added to the norm of the gradient, as in the authors' code


class SAM(NamedTuple):
    """Settings of sharpness-aware minimisation."""

    weight_decay: float
    momentum: float = 0.9
    rho: float = 0.05


@behaviour(SAM)
def step(update, at, energy, k, lr, T):
    theta, g, here = at.state.theta, at.grad, at.scratch.kept[0]
    distance = theta.dtype.type(update.rho / (np.sqrt(sum_of_squares(g)) + _NIL))
    for i in range(theta.shape[0]):
        here[i] = theta[i]
        theta[i] += distance * g[i]
    energy_and_gradient(at.w, at.g, at.data, at.scratch.work)
    for i in range(theta.shape[0]):
        theta[i] = here[i]
    descend(update, at, lr)
    add_noise(at, lr, T)
    return energy, False


def tensor_step(update, at) -> None:
    """The same of all replicas of a ``stack_torch.Stack``."""
    distance = (update.rho / (at.norm_of(at.g) + _NIL)).to(at.g.dtype)
    at.g.copy_(at.gradient(at.theta + distance * at.g)[0])
    tensor_descend(update, at)
    add_tensor_noise(at)
