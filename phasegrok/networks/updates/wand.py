"""Wang-Landau molecular dynamics (Zhang et al., arXiv 2505.11411): BAOAB in U = x + W(x), x = ln E.

Each step adds a deposit to W at the x it is at, of a height that is constant at first and falls as
one over the time later.  The Wang-Landau estimate of the entropy of x is (x + W(x))/T.  No step is
ever rejected, so that the estimate is biased by the finite step.  Without deposits it samples
exp(-x/T) = E^(-1/T); without noise as well it is descent in ln E with momentum.
"""

from typing import NamedTuple

import numpy as np

from phasegrok.networks.compiled.kernels import inner
from phasegrok.networks.updates import baoab
from phasegrok.systems.discrete import behaviour

_NIL = 1e-300  # a loss below has the ln of this one


class WanD(NamedTuple):
    """Settings of Wang-Landau molecular dynamics; W has ``x_bins + 1`` nodes in ``x_range``."""

    weight_decay: float
    friction: float
    deposit: float
    deposit_steps: int
    x_range: tuple[float, float]


@behaviour(WanD)
def step(update, at, energy, k, lr, T):
    g, bias, E = at.grad, at.state.bias, max(energy[0], _NIL)
    x, (low, high) = np.log(E), update.x_range
    height = update.deposit * min(1.0, update.deposit_steps / (k + 1.0))
    if height > 0.0:
        deposit(bias, x, low, high, height)
    factor = g.dtype.type(force_factor(bias, x, low, high) / E)
    for i in range(g.shape[0]):
        g[i] *= factor
    baoab.leap(update, at, k, lr, T)
    return energy, False


behaviour(WanD)(baoab.free_step)


def tensor_step(update, at) -> None:
    """The same of all replicas of a ``stack_torch.Stack``."""
    import torch  # only where an engine in PyTorch asks

    (low, high), n = update.x_range, at.bias.shape[1] - 1
    energy = at.energy.clamp(min=_NIL)
    place = (torch.log(energy) - low) / (high - low) * n
    inside = (place >= 0.0) & (place < n)
    left = place.floor().clamp(0, n - 1).nan_to_num().to(torch.int64)
    nodes = torch.stack([left, left + 1], dim=1)
    share = torch.stack([left + 1 - place, place - left], dim=1)
    share = torch.where(inside[:, None], share, 0.0)
    height = update.deposit * (update.deposit_steps / (at.k + 1).double()).clamp(max=1.0)
    at.bias.scatter_add_(1, nodes, height * share)
    slope = (torch.gradient(at.bias, dim=1)[0].gather(1, nodes) * share).sum(dim=1)
    at.g *= ((1.0 + slope * n / (high - low)) / energy)[:, None]
    baoab.tensor_step(update, at)


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
