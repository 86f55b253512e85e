"""Training on a sphere: after every step theta is scaled back to the norm of its start.

Omnigrok: Liu et al., arXiv 2210.01117, sec. 3.

    theta <- |theta_0| theta / |theta|
"""

import numpy as np

from phasegrok.dynamics.ghmc import sum_of_squares
from phasegrok.networks.compiled.kernels import inner


@inner
def rescale(theta, norm):
    """Scale the weights to a norm."""
    factor = norm / np.sqrt(sum_of_squares(theta))
    real = theta.dtype.type
    for i in range(theta.shape[0]):
        theta[i] = real(factor * theta[i])


def tensor_rescale(at) -> None:
    """The same of all replicas of a ``stack_torch.Stack``."""
    at.theta.copy_(at.norm / at.norm_of(at.theta) * at.theta)
