"""The networks that are trained, under one set of names.

Kernels of ``phasegrok.networks.training.kernel`` are written once; which network's energy they
compile in follows from the type of its workspace, and what a minibatch is from the type of the
data.  From Python the same names run compiled as well.
"""

import sys

import numpy as np
from numba.extending import overload

from phasegrok.compiled import IN_KERNELS, kernel
from phasegrok.networks.compiled.kernels import Pairs, Patterns, pairs, patterns
from phasegrok.networks.kinds import kernels_of
from phasegrok.networks.network import Network

# as the kernels themselves: contraction is the one fast-math flag that repeats to the last bit


def workspace(system: Network):
    """Scratch arrays for the energy of ``system``, one a thread; raises as ``kernels_of``."""
    return kernels_of(system).workspace(system)


def data(system: Network, inputs: np.ndarray, targets: np.ndarray) -> Pairs | Patterns:
    """Arrays for the kernels of inputs and targets, those of ``system`` or a part of them."""
    if np.issubdtype(inputs.dtype, np.integer):
        return pairs(inputs, targets)
    return patterns(inputs, targets, system.dtype)


def energy_and_gradient(w, g, data, work):
    """Energy E of a data set and its gradient in all weights.

    Parameters
    ----------
    w : Matrices
        The weights (``system.matrices(theta)``).
    g : Matrices
        Receives the gradient.
    data : Pairs or Patterns
        The training set, or a part of it.
    work : Workspace

    Returns
    -------
    energy : float
        Mean loss; NaN or infinite where an output is.
    order : float
        Share of the pairs whose right class has the largest logit; of a regression the explained
        variance, one less the mean squared error over the variance of the targets.
    """
    return _compiled_energy_and_gradient(w, g, data, work)


def losses(w, data, work):
    """Mean loss and order parameter of a data set: ``energy_and_gradient`` without the gradient."""
    return _compiled_losses(w, data, work)


def losses_again(w, data, work):
    """``losses`` of further data with the weights of the last call; from kernels only."""
    raise NotImplementedError("for compiled code")


def take(order, first, n, train, batch):
    """Patterns order[first:first+n] of ``train``, in the room ``batch``; from kernels only."""
    raise NotImplementedError("for compiled code")


def _engine(work):
    """Module of a workspace, while a kernel is compiled.

    The overloads below call its kernels, which Numba then takes from its cache: their functions
    would be compiled, with all that they call, in every kernel that uses them.
    """
    return sys.modules[work.instance_class.__module__]


@overload(energy_and_gradient, strict=False, jit_options=IN_KERNELS)
def _energy_and_gradient(w, g, data, work):
    compiled = _engine(work).energy_and_gradient_inner
    return lambda w, g, data, work: compiled(w, g, data, work)


@overload(losses, strict=False, jit_options=IN_KERNELS)
def _losses(w, data, work):
    compiled = _engine(work).losses_inner
    return lambda w, data, work: compiled(w, data, work)


@overload(losses_again, strict=False, jit_options=IN_KERNELS)
def _losses_again(w, data, work):
    compiled = _engine(work).losses_from_tables
    return lambda w, data, work: compiled(w, data, work)


@overload(take, strict=False, jit_options=IN_KERNELS)
def _take(order, first, n, train, batch):
    if train.instance_class is Pairs:
        def of_pairs(order, first, n, train, batch):
            for i in range(n):
                batch.a[i] = train.a[order[first + i]]
                batch.b[i] = train.b[order[first + i]]
                batch.labels[i] = train.labels[order[first + i]]
            return Pairs(batch.a[:n], batch.b[:n], batch.labels[:n])

        return of_pairs

    def of_patterns(order, first, n, train, batch):
        for i in range(n):
            batch.x[i] = train.x[order[first + i]]
            batch.y[i] = train.y[order[first + i]]
        return Patterns(batch.x[:n], batch.y[:n], train.variance)

    return of_patterns


@kernel
def _compiled_energy_and_gradient(w, g, data, work):
    return energy_and_gradient(w, g, data, work)


@kernel
def _compiled_losses(w, data, work):
    return losses(w, data, work)
