"""Wang-Landau molecular dynamics (Zhang et al., arXiv 2505.11411): BAOAB in U = x + W(x), x = ln E.

Each step adds a deposit to W at the x it is at, of a height that is constant at first and falls as
one over the time later.  The Wang-Landau estimate of the entropy of x is (x + W(x))/T.  No step is
ever rejected, so that the estimate is biased by the finite step.  Without deposits it samples
exp(-x/T) = E^(-1/T); without noise as well it is descent in ln E with momentum.
"""

import numpy as np

from phasegrok.networks.compiled.kernels import inner


@inner
def deposit(bias, x, low, high, height):
    """Add to W at the nodes a tent of this height, two intervals wide, with its top at x.

    Beyond the range nothing is added.
    """
    n = bias.shape[0] - 1
    place = (x - low) / (high - low) * n
    if not 0.0 <= place < n:
        return
    k = int(place)
    bias[k] += height * (k + 1 - place)
    bias[k + 1] += height * (place - k)


@inner
def force_factor(bias, x, low, high):
    """d(x + W)/dx, from central differences at the nodes, linear between them.

    Beyond the range W is taken to be flat.
    """
    n = bias.shape[0] - 1
    place = (x - low) / (high - low) * n
    if not 0.0 <= place < n:
        return 1.0
    k = int(place)
    spacing = (high - low) / n
    slopes = (
        (bias[k + 1] - bias[max(k - 1, 0)]) / (k + 1 - max(k - 1, 0)),
        (bias[min(k + 2, n)] - bias[k]) / (min(k + 2, n) - k),
    )
    return 1.0 + (slopes[0] * (k + 1 - place) + slopes[1] * (place - k)) / spacing


@inner
def bias_force(g, bias, energy, k, c):
    """Wang-Landau deposit at x = ln E, and the gradient of E turned into that of x + W(x)."""
    x = np.log(max(energy, 1e-300))
    height = c.deposit * min(1.0, c.deposit_steps / (k + 1.0))
    if height > 0.0:
        deposit(bias, x, c.x_low, c.x_high, height)
    factor = g.dtype.type(force_factor(bias, x, c.x_low, c.x_high) / max(energy, 1e-300))
    for i in range(g.shape[0]):
        g[i] *= factor
