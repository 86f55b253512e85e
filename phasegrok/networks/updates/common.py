"""What updates share: the functions that each has a version of, decay, noise.

``behaviour`` registers the versions by the class of an update.
"""

import numpy as np

from phasegrok.networks.compiled.kernels import inner
from phasegrok.rng import fill_noise
from phasegrok.systems.continuous import with_blas
from phasegrok.systems.discrete import GENERIC


@with_blas
def step(update, at, energy, k, lr, T):
    """Step k -> k + 1 of the weights ``at.state.theta``, in place, noise included.

    Parameters
    ----------
    update : NamedTuple
        One of ``updates.table``.
    at : At
        With the gradient of ``at.data``, which a step may change.
    energy : (float, float)
        Loss and order parameter of ``at.data`` before the step.
    k : int
    lr, T : float
        Learning rate and temperature of this step.

    Returns
    -------
    energy : (float, float)
        Of the weights after the step, where it is known.
    known : bool
        Whether it is; ``at.grad`` is then the gradient there.
    """
    raise NotImplementedError("for compiled code")


@with_blas
def filter_gradient(filter_, g, state, k):
    """Add what a filter makes of the gradients up to that of step k to ``g``, in place."""
    raise NotImplementedError("for compiled code")


@with_blas
def free_step(update, h, T, k):
    """The step of a weight x and its velocity u that feel no loss.

    Returns (xx, xu, ux, uu, nx, nu): x' = xx x + xu u + nx xi and u' = ux x + uu u + nu xi, with
    one standard normal xi.
    """
    raise NotImplementedError("for compiled code")


def has(function, update) -> bool:
    """Whether an update (or a filter) has a version of ``step`` or of another function here."""
    return type(update) in GENERIC[function.__name__]


@inner
def add_decay(theta, g, wd):
    """Coupled weight decay: the gradient of wd |theta|^2 / 2."""
    if wd > 0.0:
        wd = theta.dtype.type(wd)
        for i in range(theta.shape[0]):
            g[i] += wd * theta[i]


@inner
def add_noise(at, lr, T):
    """Add sqrt(2 lr T) xi to the weights, xi ~ N(0, 1) for each; without noise nothing is drawn."""
    if T > 0.0:
        theta, noise = at.state.theta, at.scratch.noise
        fill_noise(at.state.rng, noise)
        scale = theta.dtype.type(np.sqrt(2.0 * lr * T))
        for i in range(theta.shape[0]):
            theta[i] += scale * noise[i]


def add_tensor_noise(at) -> None:
    """``add_noise`` of all replicas of a ``stack_torch.Stack``."""
    if at.noisy:
        at.theta += (2.0 * at.lr * at.T).sqrt() * at.noise()


