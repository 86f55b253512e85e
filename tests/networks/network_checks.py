"""What the tests of all networks share: gradients, their errors, and minibatches."""

from typing import NamedTuple

import numpy as np

from phasegrok.networks import engine as networks
from phasegrok.networks.training import kernel as trainer


def compiled_gradient(system, theta, chosen=slice(None), work=None):
    """Energy, order parameter and gradient of ``chosen`` training patterns, by the kernels."""
    gradient = np.full_like(theta, np.nan)
    data = networks.data(system, system.train.inputs[chosen], system.train.targets[chosen])
    E, order = networks.energy_and_gradient(
        system.matrices(theta), system.matrices(gradient), data,
        work or networks.workspace(system),
    )  # fmt: skip
    return E, order, gradient


def relative_errors(system, gradient, reference):
    """Largest difference in each matrix over the largest entry of the reference."""
    both = zip(system.layout, system.views(gradient), system.views(reference))
    return {name: float(np.abs(x - y).max() / np.abs(y).max()) for name, x, y in both}


def minibatches(system, settings, rng, steps):
    """Indices of the patterns of each step, by the rule of the kernel: read off the state."""
    state = trainer.init(system, settings, rng)
    n = len(system.train.targets)
    per_epoch = -(-n // settings.batch)
    for k in range(steps):
        trainer.advance(system, settings, state, 1)
        first = k % per_epoch * settings.batch
        yield state.order[first : first + settings.batch].copy()


class Lost(NamedTuple):
    """An update whose file has no step."""

    weight_decay: float
