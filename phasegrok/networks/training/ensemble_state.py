"""The state of many replicas of a network in training."""

import dataclasses

import numpy as np

from phasegrok.networks.training.state import State


@dataclasses.dataclass
class EnsembleState:
    """Replicas: weights, moments, generators, counters, and the curves recorded so far."""

    theta: np.ndarray  # (R, n)
    m: np.ndarray  # (R, n)
    v: np.ndarray  # (R, n)
    rng: np.ndarray  # (R, 4) uint64
    counters: np.ndarray  # (R, 7) int64, see ``state.State``
    order: np.ndarray  # (R, n_train) int64, or (R, 0) without minibatches
    mu: np.ndarray  # (R, n), or (R, 0) without a filter of the gradient
    window: np.ndarray  # (R, w, n), or (R, 0, 0) without a moving average
    norm: np.ndarray  # (R, 1) of theta at the start
    bias: np.ndarray  # (R, nodes) of wand, or (R, 0)
    grid: np.ndarray  # (K,) int64 steps since the start at which the curves are kept
    clock: np.ndarray  # (R, 4) steps, NaN: 99 % train, 50 % test, since when
    # 95 % test, and 95 % held
    train_loss: np.ndarray  # (R, K), NaN where not reached
    test_loss: np.ndarray
    train_accuracy: np.ndarray
    test_accuracy: np.ndarray
    norms: np.ndarray  # (R, K, matrices)
    moved: np.ndarray  # (R, K, matrices) norm of the update that follows
    start_step: int
    snapshot_at: np.ndarray  # (S,) int64 steps since the start; -1: at an event
    snapshot_step: np.ndarray  # (S, R) steps since the start of those taken, NaN: not reached
    snapshots: np.ndarray  # (S, R, n) weights there
    observed: np.ndarray  # (R, K, observables), NaN where not reached
    optimiser: np.ndarray = dataclasses.field(  # (R, bytes) of a user's own, see ``updates.own``
        default_factory=lambda: np.zeros((0, 0), np.uint8))

    def replica(self, k: int) -> State:
        """The k-th replica as views: advancing it advances this state."""
        return State(self.theta[k], self.m[k], self.v[k], self.rng[k], self.counters[k],
                           self.order[k], self.mu[k], self.window[k], self.norm[k], self.bias[k])
