"""What several updates share: decay, norms, the sphere."""

import numpy as np

from phasegrok.networks.compiled.kernels import inner
from phasegrok.rng import fill_normal


@inner
def add_decay(theta, g, wd):
    """Coupled weight decay: the gradient of wd |theta|^2 / 2."""
    wd = theta.dtype.type(wd)
    for i in range(theta.shape[0]):
        g[i] += wd * theta[i]


@inner
def norm_of(theta):
    """Euclidean norm, summed in float64."""
    total = 0.0
    for i in range(theta.shape[0]):
        total += np.float64(theta[i]) * np.float64(theta[i])
    return np.sqrt(total)


@inner
def rescale(theta, norm):
    """Scale the weights to a norm; returns how many are not finite."""
    factor = norm / norm_of(theta)
    real = theta.dtype.type
    n_broken = 0
    for i in range(theta.shape[0]):
        x = real(factor * theta[i])
        theta[i] = x
        n_broken += x - x != 0
    return n_broken


@inner
def add_noise(theta, noise, rng, deviation):
    """Add normal noise of this standard deviation to each weight."""
    fill_normal(rng, noise)
    scale = theta.dtype.type(deviation)
    for i in range(theta.shape[0]):
        theta[i] += scale * noise[i]
