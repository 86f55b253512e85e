"""The state of one replica in training, and what is kept of its course."""

import math
from typing import Any, NamedTuple

import numpy as np

from phasegrok.networks.compiled.kernels import Pairs, Patterns

RUNNING, EVENT, NOT_FINITE = 0, 1, 2
STATUS_NAMES = ("running", "event", "not finite")
STEP, EVALUATED, HELD, CROSSING, STATUS, BROKEN, ACCEPTED = range(7)  # of State.counters


class State(NamedTuple):
    """State of a run; writing its arrays is the checkpoint.

    Attributes
    ----------
    theta, m, v : (n_parameters,) arrays
        Weights and the moments of an update: averages of the gradient, or velocities.
    rng : (4,) uint64 array
        State of the generator.
    counters : (7,) int64 array
        Steps done, last step evaluated, consecutive evaluations at the threshold, crossing step,
        status, step at which loss or weights ceased to be finite (-1: none), proposals of ghmc
        that were accepted.
    order : (n_train,) int64 array
        Training pairs in the order of the present epoch; empty without minibatches.
    mu : (n_parameters,) float64 array
        What the filter averages (``updates.filters``); empty without a filter.
    window : (w, n_parameters) array
        The last gradients; of no rows but for the moving average.
    norm : (1,) float64 array
        Norm of theta at the start.
    bias : (x_bins + 1,) float64 array
        W at the nodes of x (wand); empty for the other updates.
    """

    theta: np.ndarray
    m: np.ndarray
    v: np.ndarray
    rng: np.ndarray
    counters: np.ndarray
    order: np.ndarray
    mu: np.ndarray
    window: np.ndarray
    norm: np.ndarray
    bias: np.ndarray

    @property
    def step(self) -> int:
        """Number of steps done."""
        return int(self.counters[STEP])

    @property
    def status(self) -> str:
        """One of "running", "event", "not finite"."""
        return STATUS_NAMES[self.counters[STATUS]]

    @property
    def crossing_step(self) -> int | None:
        """Step of the first of the evaluations whose accuracy then held; None before the event."""
        step = int(self.counters[CROSSING])
        return None if step < 0 else step

    @property
    def broken_step(self) -> int | None:
        """Step whose loss or weights are not finite; None while all is well."""
        step = int(self.counters[BROKEN])
        return None if step < 0 else step

    def copy(self) -> "State":
        """An independent copy, for clones; give each its own ``rng``."""
        return State(*(x.copy() for x in self))


class Event(NamedTuple):
    """What a run waits for: that an observable is >= ``threshold`` in ``hold`` evaluations."""

    threshold: float = math.inf
    hold: int = 1  # consecutive evaluations
    stop: bool = True  # the run ends there
    observable: str = ""  # one of the settings' observables; empty: the test accuracy


NO_EVENT = Event()


class Curves(NamedTuple):
    """Evaluations, one row each: losses, accuracies, Euclidean norm of every matrix.

    Of a regression the losses are mean squared errors, and the accuracies explained variances.
    """

    step: np.ndarray  # (n,) int64
    train_loss: np.ndarray  # (n,)
    test_loss: np.ndarray  # (n,)
    train_accuracy: np.ndarray  # (n,)
    test_accuracy: np.ndarray  # (n,)
    norms: np.ndarray  # (n, number of matrices), in the order of ``system.layout``
    moved_step: np.ndarray  # (m,) int64 step k of each row of ``moved``
    moved: np.ndarray  # (m, number of matrices) norm of the update k -> k + 1 of each matrix


class Scratch(NamedTuple):
    """What a run needs beside its state: data, and arrays to work in; make one a thread."""

    train: Pairs | Patterns
    test: Pairs | Patterns
    batch: Pairs | Patterns  # room for one minibatch
    gradient: np.ndarray  # (n_parameters,)
    noise: np.ndarray  # (n_parameters,)
    before: np.ndarray  # (n_parameters,) weights before a step
    kept: np.ndarray  # (2, n_parameters) gradient and velocity that a rejection restores
    ends: np.ndarray  # (number of matrices,) where each matrix ends in theta
    work: Any  # Workspace of the network


class At(NamedTuple):
    """Where a step of one replica begins, for the kernels of updates."""

    w: Any  # Matrices: views of state.theta
    g: Any  # Matrices: views of ``grad``
    grad: np.ndarray  # (n_parameters,) gradient of ``data``, filtered
    state: State
    data: Pairs | Patterns  # of this step: the training set, or a minibatch
    scratch: Scratch
