"""Training of a network: blocks of steps of one replica inside one kernel.

A step k -> k + 1 has the gradient of the energy, its filter (``updates.filters``), the update with
its decay and noise (a file of ``phasegrok.networks.updates`` each, with the equation on top), and
at a fixed norm the way back to the sphere.  The noise sets the temperature T, the decay the width
of the prior; with the preconditioner of Adam T is the strength of the noise and not exactly that of
a Gibbs measure.  Rate and temperature of each step follow the schedules of
``phasegrok.networks.training.settings``.

The gradient is that of the whole training set, or with ``batch`` that of one minibatch: the pairs
(patterns of a regression) are shuffled at the start of each epoch and taken in turn, the last
minibatch being what is left.

The kernel is compiled once for each kind of network, update and filter.  A run is exactly
resumable: cut into any blocks it gives the same bits.  The kernel holds no lock, so that replicas
run in threads, one a core, each with its own ``Scratch``; run them under
``phasegrok.networks.compiled.kernels.single_threaded_blas``.
"""

from typing import NamedTuple

import numpy as np

from phasegrok.compiled import kernel
from phasegrok.dynamics.ghmc import sum_of_squares
from phasegrok.networks.compiled.kernels import inner
from phasegrok.networks.engine import (
    data,
    energy_and_gradient,
    losses,
    losses_again,
    take,
    workspace,
)
from phasegrok.networks.network import Network
from phasegrok.networks.training.settings import Settings, rates, temperatures
from phasegrok.networks.training.state import (
    BROKEN,
    CROSSING,
    EVALUATED,
    EVENT,
    HELD,
    NO_EVENT,
    NOT_FINITE,
    RUNNING,
    STATUS,
    STATUS_NAMES,
    STEP,
    At,
    Curves,
    Event,
    Scratch,
    State,
)
from phasegrok.networks.updates.common import filter_gradient, step
from phasegrok.networks.updates.filters import filter_of
from phasegrok.networks.updates.fixed_norm import rescale
from phasegrok.networks.updates.table import row_of, update_of
from phasegrok.rng import below, fill_normal


@inner
def shuffle(order, rng):
    """Draw an order of the pairs (Fisher and Yates)."""
    for i in range(order.shape[0] - 1, 0, -1):
        j = below(rng, i + 1)
        order[i], order[j] = order[j], order[i]


@inner
def _minibatch(k, n, order, rng, train, batch):
    """Data of step k, with an order drawn anew where an epoch begins."""
    n_all = order.shape[0]
    first = k % (-(-n_all // n)) * n
    if first == 0:
        shuffle(order, rng)
    now = min(n, n_all - first)
    return take(order, first, now, train, batch)


@inner
def _norms(theta, ends, out):
    begin = 0
    for k in range(ends.shape[0]):
        out[k] = np.sqrt(sum_of_squares(theta[begin : ends[k]]))
        begin = ends[k]


class _Plan(NamedTuple):
    """What the kernel reads of the settings and the event, beside the update and the filter."""

    batch: int
    fixed_norm: bool
    eval_every: int
    threshold: float
    hold: int
    stop: bool


@inner
def _record(theta, counters, plan, train, test, ends, curves, row):
    """Write one evaluation and watch for the event and for numbers that are not finite."""
    step = counters[STEP]
    curves.step[row] = step
    curves.train_loss[row], curves.train_accuracy[row] = train
    curves.test_loss[row], curves.test_accuracy[row] = test
    _norms(theta, ends, curves.norms[row])
    counters[EVALUATED] = step
    counters[HELD] = counters[HELD] + 1 if test[1] >= plan.threshold else 0
    if counters[HELD] == plan.hold and counters[CROSSING] < 0:
        counters[CROSSING] = step - (plan.hold - 1) * plan.eval_every
        if plan.stop:
            counters[STATUS] = EVENT


@inner
def _all_finite(theta):
    n_broken = 0
    for i in range(theta.shape[0]):
        n_broken += theta[i] - theta[i] != 0
    return n_broken == 0


@inner
def _record_move(theta, before, ends, curves, row, k):
    """Norm of the update of each matrix in step k, from the weights kept before it."""
    for i in range(theta.shape[0]):
        before[i] = theta[i] - before[i]
    curves.moved_step[row] = k
    _norms(before, ends, curves.moved[row])


@kernel
def train(w, g, state, n_steps, update, filter_, plan, lr, T, scratch, curves):
    """Advance a run by ``n_steps`` steps, or to its event, or to the first number not finite.

    Parameters
    ----------
    w, g : Matrices
        Views of ``state.theta`` and of ``scratch.gradient``.
    state : State
        Changed in place.
    n_steps : int
    update, filter_ : NamedTuple
        Of ``updates.table`` and ``updates.filters``.
    plan : _Plan
    lr, T : (n_steps,) arrays
        Learning rate and temperature of each step.
    scratch : Scratch
    curves : Curves
        Room for the evaluations of the block.

    Returns
    -------
    rows, moves : int
        Numbers of evaluations and of norms of updates that were written.
    """
    theta, counters, order = state.theta, state.counters, state.order
    begin = counters[STEP]
    end = begin + n_steps
    rows, moves = np.int64(0), np.int64(0)  # a plain 0 would compile what they go to twice
    whole, energy, known = order.shape[0] == 0, (0.0, 0.0), False
    while counters[STATUS] == RUNNING:
        k = counters[STEP]
        due = k % plan.eval_every == 0 and counters[EVALUATED] != k
        if k == end and not due:
            break
        if whole and not known:
            energy = energy_and_gradient(w, g, scratch.train, scratch.work)
        elif due and not whole:
            energy = losses(w, scratch.train, scratch.work)
        if due:
            if known:
                test = losses(w, scratch.test, scratch.work)
            else:  # what depends on the weights alone is still that of this step
                test = losses_again(w, scratch.test, scratch.work)
            _record(theta, counters, plan, energy, test, scratch.ends, curves, rows)
            rows += 1
        data = scratch.train
        if not whole and k < end and counters[STATUS] == RUNNING:
            data = _minibatch(k, plan.batch, order, state.rng, scratch.train, scratch.batch)
            energy = energy_and_gradient(w, g, data, scratch.work)
        if not np.isfinite(energy[0]):
            counters[STATUS] = NOT_FINITE
            counters[BROKEN] = k
        if k == end or counters[STATUS] != RUNNING:
            break
        watched = k % plan.eval_every == 0  # the update is measured
        if watched:
            for i in range(theta.shape[0]):
                scratch.before[i] = theta[i]
        filter_gradient(filter_, scratch.gradient, state, k)
        at = At(w, g, scratch.gradient, state, data, scratch)
        energy, known = step(update, at, energy, k, lr[k - begin], T[k - begin])
        if plan.fixed_norm:
            rescale(theta, state.norm[0])
        if watched:
            _record_move(theta, scratch.before, scratch.ends, curves, moves, k)
            moves += 1
        counters[STEP] = k + 1
        if not _all_finite(theta):
            counters[STATUS] = NOT_FINITE
            counters[BROKEN] = k + 1
    return rows, moves


def init(system: Network, settings: Settings, rng: np.ndarray,
         theta: np.ndarray | None = None) -> State:
    """Draw the weights and start the counters.

    Parameters
    ----------
    system : Network
    settings : Settings
        Says how large the weights are, and whether there are minibatches and a filter.
    rng : (4,) uint64 array
        State of the generator (``phasegrok.rng.streams``); it is copied.
    theta : (n_parameters,) array, optional
        Weights to start with, in place of those drawn; they are copied.
    """
    rng = np.array(rng, dtype=np.uint64)
    theta = system.initial(rng) if theta is None else theta.astype(system.dtype)
    theta *= theta.dtype.type(settings.initial_scale)
    counters = np.array([0, -1, 0, -1, RUNNING, -1, 0], dtype=np.int64)
    n = len(system.train.targets)
    order = np.arange(n if 0 < settings.batch < n else 0)
    mu = np.zeros(0 if settings.filter == "none" else theta.size)
    window = np.zeros((settings.filter_window, theta.size) if settings.filter == "ma" else (0, 0),
                      theta.dtype)
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    if row_of(settings).velocities:
        draws = np.empty(theta.size)
        fill_normal(rng, draws)
        m[:] = np.sqrt(settings.temperature) * draws
    norm = np.array([np.linalg.norm(theta.astype(float))])
    bias = np.zeros(settings.x_bins + 1 if settings.optimiser == "wand" else 0)
    return State(theta, m, v, rng, counters, order, mu, window, norm, bias)


def scratch(system: Network) -> Scratch:
    """Data and arrays to work in for ``advance``; make one a thread."""
    return Scratch(
        train=data(system, *system.train),
        test=data(system, *system.test),
        batch=data(system, *system.train),
        gradient=np.zeros(system.n_parameters, system.dtype),
        noise=np.zeros(system.n_parameters, system.dtype),
        before=np.zeros(system.n_parameters, system.dtype),
        kept=np.zeros((2, system.n_parameters), system.dtype),
        ends=system.ends,
        work=workspace(system),
    )


def advance(system: Network, settings: Settings, state: State, n_steps: int,
            room: Scratch | None = None, event: Event = NO_EVENT) -> Curves:
    """Advance ``state`` in place by ``n_steps`` steps of training, and return its evaluations.

    Evaluations are made where the step is a multiple of ``eval_every``, step 0 included, each once;
    other steps are for ``evaluate``.  The run ends early at the event or where the loss or a weight
    is not finite; ``state.status`` says which, and a run that has ended stays where it is.

    Parameters
    ----------
    system : Network
    settings : Settings
    state : State
        Changed in place.
    n_steps : int
        Further steps, not the total.
    room : Scratch, optional
        From ``scratch(system)``; made anew if not given.
    event : Event, optional
        What the run waits for; nothing if not given.

    Returns
    -------
    curves : Curves

    Raises
    ------
    ValueError
        Where ``n_steps`` is negative.
    """
    if n_steps < 0:
        raise ValueError(f"n_steps = {n_steps} is negative")
    room = scratch(system) if room is None else room
    plan = _Plan(settings.batch, settings.fixed_norm, settings.eval_every, event.threshold,
                 event.hold, event.stop)
    n, k = n_steps // settings.eval_every + 2, state.step + np.arange(n_steps)
    curves = Curves(
        np.zeros(n, np.int64), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n),
        np.zeros((n, len(system.layout))), np.zeros(n, np.int64), np.zeros((n, len(system.layout))),
    )  # fmt: skip
    rows, moves = train(
        system.matrices(state.theta), system.matrices(room.gradient), state, n_steps,
        update_of(settings), filter_of(settings), plan, rates(settings, k),
        temperatures(settings, k), room, curves)
    return Curves(*(x[:rows] for x in curves[:6]), *(x[:moves] for x in curves[6:]))


def evaluate(system: Network, settings: Settings, state: State,
             room: Scratch | None = None) -> Curves:
    """Evaluate the present weights, whatever the step, and leave the state as it is.

    Returns
    -------
    curves : Curves
        One row; NaN where the run is not finite.
    """
    looked = state._replace(counters=state.counters.copy())  # no step: nothing else is written
    looked.counters[[EVALUATED, STATUS]] = -1, RUNNING
    curves = advance(system, settings.model_copy(update={"eval_every": 1}), looked, 0, room)
    if state.status == STATUS_NAMES[NOT_FINITE]:
        for x in curves[1:6]:
            x[:] = np.nan
    return curves
