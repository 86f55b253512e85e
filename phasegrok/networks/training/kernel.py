"""Training of a network by AdamW or a relative, with noise; blocks of steps inside one kernel.

One step k -> k + 1 of the weights theta, with gradient g of the energy and
lr_k = lr min(1, (k + 1) / warmup), is that of ``phasegrok.networks.updates.adamw``, and then

    theta <- theta + sqrt(2 lr_k T) xi,      xi ~ N(0, 1) for each weight (only where T > 0)

The noise sets the temperature T, the decay the width of the prior (its rate is lr wd a step); with
the preconditioner of Adam T is the strength of the noise and not exactly that of a Gibbs measure.

``Settings.optimiser`` puts Adam with coupled decay or SGD with momentum in the place of AdamW,
``filter`` a filter of the gradient before it, and ``fixed_norm`` keeps the weights on a sphere:
each file of ``phasegrok.networks.updates`` has its equation.  The noise is the same for these.
With SGD without momentum or filter, on all pairs, it makes Langevin dynamics in the energy
E + wd |theta|^2 / 2 at T, to first order in lr (SGLD); with momentum that at (1 - momentum) T.

Further updates are dynamics with velocities (unit masses), in which lr is the step of time and
``friction`` the share of the velocity that is lost in a step; they sample the same density
exp(-E/T - wd |theta|^2 / 2T) (``baoab``, ``ghmc``), or that of WanD, in ln E (``wand``).  T may
follow a schedule,

    T_k = T (1 - s) + T_final s,    or  T (T_final / T)^s,    s = min(1, k / anneal_steps).

The gradient is that of the whole training set, or with ``batch`` that of one minibatch: the pairs
(patterns of a regression) are shuffled at the start of each epoch and taken in turn, the last
minibatch being what is left.

A run is exactly resumable: cut into any blocks it gives the same bits.  The kernel holds no lock,
so that replicas run in threads, one a core, each with its own ``Scratch``; run them under
``phasegrok.networks.compiled.kernels.single_threaded_blas``.
"""

from dataclasses import replace

import numpy as np

from phasegrok.compiled import kernel
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
from phasegrok.networks.training.settings import Settings, constants_of, temperature_at
from phasegrok.networks.training.state import (
    BROKEN,
    CROSSING,
    EVALUATED,
    EVENT,
    HELD,
    NOT_FINITE,
    RUNNING,
    STATUS,
    STATUS_NAMES,
    STEP,
    Curves,
    Scratch,
    State,
)
from phasegrok.networks.updates.adamw import adamw_step
from phasegrok.networks.updates.baoab import baoab_step, halve_kick
from phasegrok.networks.updates.common import add_decay, add_noise, rescale
from phasegrok.networks.updates.filters import NO_FILTER, filter_gradient
from phasegrok.networks.updates.ghmc import decide, propose
from phasegrok.networks.updates.sgd import sgd_step
from phasegrok.networks.updates.table import ADAM, ADAMW, BAOAB, GHMC, SGD, VELOCITIES, WAND
from phasegrok.networks.updates.wand import bias_force
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
        total = 0.0
        for i in range(begin, ends[k]):
            total += np.float64(theta[i]) * np.float64(theta[i])
        out[k] = np.sqrt(total)
        begin = ends[k]


@inner
def _record(theta, counters, constants, train, test, ends, curves, row):
    """Write one evaluation and watch for the event and for numbers that are not finite."""
    step = counters[STEP]
    curves.step[row] = step
    curves.train_loss[row], curves.train_accuracy[row] = train
    curves.test_loss[row], curves.test_accuracy[row] = test
    _norms(theta, ends, curves.norms[row])
    counters[EVALUATED] = step
    counters[HELD] = counters[HELD] + 1 if test[1] >= constants.threshold else 0
    if counters[HELD] == constants.hold and counters[CROSSING] < 0:
        counters[CROSSING] = step - (constants.hold - 1) * constants.eval_every
        if constants.stop:
            counters[STATUS] = EVENT


@inner
def _update(theta, g, m, v, mu, window, norm, k, lr, T, constants, noise, rng):
    """Step k -> k + 1, noise included; returns how many weights are not finite."""
    c = constants
    if c.filter != NO_FILTER:
        filter_gradient(c.filter, g, mu, window, k, c.alpha, c.strength)
    wd = c.wd
    if c.scheme != ADAMW:
        if c.wd > 0.0:
            add_decay(theta, g, c.wd)
        wd = 0.0
    if c.scheme == BAOAB or c.scheme == WAND:
        if k == 0:
            halve_kick(g)
        if T > 0.0:
            fill_normal(rng, noise)
        else:
            noise[:] = 0.0
        n_broken = baoab_step(theta, g, m, noise, lr, c.friction, T)
    elif c.scheme == ADAMW or c.scheme == ADAM:
        n_broken = adamw_step(theta, g, m, v, k, lr, wd, c.beta_1, c.beta_2, c.epsilon)
    elif c.scheme == SGD:
        n_broken = sgd_step(theta, g, m, lr, c.momentum)
    else:
        raise ValueError("no kernel of this update: call it in kernel._update")
    if T > 0.0 and (c.scheme == ADAMW or c.scheme == ADAM or c.scheme == SGD):
        add_noise(theta, noise, rng, np.sqrt(2.0 * lr * T))
    if c.fixed_norm:
        n_broken += rescale(theta, norm[0])
    return n_broken


@inner
def _record_move(theta, before, ends, curves, row, k):
    """Norm of the update of each matrix in step k, from the weights kept before it."""
    for i in range(theta.shape[0]):
        before[i] = theta[i] - before[i]
    curves.moved_step[row] = k
    _norms(before, ends, curves.moved[row])


@kernel
def train(w, g, theta, m, v, rng, counters, order, mu, window, norm, bias, n_steps, constants,
          scratch, curves):
    """Advance a run by ``n_steps`` steps, or to its event, or to the first number not finite.

    Parameters
    ----------
    w, g : Matrices
        Views of ``theta`` and of ``scratch.gradient``.
    theta, m, v, rng, counters, order, mu, window, norm, bias : arrays
        Those of a ``State``, changed in place.
    n_steps : int
    constants : Constants
    scratch : Scratch
    curves : Curves
        Room for the evaluations of the block.

    Returns
    -------
    rows, moves : int
        Numbers of evaluations and of norms of updates that were written.
    """
    end = counters[STEP] + n_steps
    rows, moves = np.int64(0), np.int64(0)  # a plain 0 would compile what they go to twice
    whole, energy = order.shape[0] == 0, (0.0, 0.0)
    monte_carlo, known = constants.scheme == GHMC, False
    while counters[STATUS] == RUNNING:
        k = counters[STEP]
        due = k % constants.eval_every == 0 and counters[EVALUATED] != k
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
            _record(theta, counters, constants, energy, test, scratch.ends, curves, rows)
            rows += 1
        if not whole and k < end and counters[STATUS] == RUNNING:
            batch = _minibatch(k, constants.batch, order, rng, scratch.train, scratch.batch)
            energy = energy_and_gradient(w, g, batch, scratch.work)
        if not np.isfinite(energy[0]):
            counters[STATUS] = NOT_FINITE
            counters[BROKEN] = k
        if k == end or counters[STATUS] != RUNNING:
            break
        lr = constants.lr * (min(1.0, (k + 1.0) / constants.warmup) if constants.warmup else 1.0)
        T = temperature_at(constants, k)
        watched = k % constants.eval_every == 0  # the update is measured
        if monte_carlo:
            total = propose(theta, scratch.gradient, m, energy, lr, T, constants, scratch.noise,
                             scratch.before, scratch.kept, rng)
            proposed = energy_and_gradient(w, g, scratch.train, scratch.work)
            energy = decide(theta, scratch.gradient, m, energy, proposed, total, lr, T, constants,
                             scratch.before, scratch.kept, rng, counters)
            known, n_broken = True, 0
        else:
            if constants.scheme == WAND:
                bias_force(scratch.gradient, bias, energy[0], k, constants)
            if watched:
                for i in range(theta.shape[0]):
                    scratch.before[i] = theta[i]
            n_broken = _update(theta, scratch.gradient, m, v, mu, window, norm, k, lr, T,
                               constants, scratch.noise, rng)
        if watched:
            _record_move(theta, scratch.before, scratch.ends, curves, moves, k)
            moves += 1
        counters[STEP] = k + 1
        if n_broken:
            counters[STATUS] = NOT_FINITE
            counters[BROKEN] = k + 1
    return rows, moves


def init(system: Network, settings: Settings, rng: np.ndarray) -> State:
    """Draw the weights and start the counters.

    Parameters
    ----------
    system : Network
    settings : Settings
        Says how large the weights are, and whether there are minibatches and a filter.
    rng : (4,) uint64 array
        State of the generator (``phasegrok.rng.streams``); it is copied.
    """
    rng = np.array(rng, dtype=np.uint64)
    theta = system.initial(rng)
    theta *= theta.dtype.type(settings.initial_scale)
    counters = np.array([0, -1, 0, -1, RUNNING, -1, 0], dtype=np.int64)
    n = len(system.labels_train)
    order = np.arange(n if 0 < settings.batch < n else 0)
    mu = np.zeros(0 if settings.filter == "none" else theta.size)
    window = np.zeros((settings.filter_window, theta.size) if settings.filter == "ma" else (0, 0),
                      theta.dtype)
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    if settings.optimiser in VELOCITIES:
        draws = np.empty(theta.size)
        fill_normal(rng, draws)
        m[:] = np.sqrt(settings.temperature) * draws
    norm = np.array([np.linalg.norm(theta.astype(float))])
    bias = np.zeros(settings.x_bins + 1 if settings.optimiser == "wand" else 0)
    return State(theta, m, v, rng, counters, order, mu, window, norm, bias)


def scratch(system: Network) -> Scratch:
    """Data and arrays to work in for ``advance``; make one a thread."""
    ends = [offset + int(np.prod(shape)) for offset, shape in system.layout.values()]
    train = system.pairs_train, system.labels_train
    return Scratch(
        train=data(system, *train),
        test=data(system, system.pairs_test, system.labels_test),
        batch=data(system, *train),
        gradient=np.zeros(system.n_parameters, system.dtype),
        noise=np.zeros(system.n_parameters, system.dtype),
        before=np.zeros(system.n_parameters, system.dtype),
        kept=np.zeros((2, system.n_parameters), system.dtype),
        ends=np.array(ends, dtype=np.int64),
        work=workspace(system),
    )


def advance(
    system: Network,
    settings: Settings,
    state: State,
    n_steps: int,
    room: Scratch | None = None,
) -> Curves:
    """Advance ``state`` in place by ``n_steps`` steps of training, and return its evaluations.

    Evaluations are made where the step is a multiple of ``eval_every``, step 0 included, each once;
    other steps are for ``evaluate``.  The run ends early at the event (``stop_at_event``) or where
    the loss or a weight is not finite; ``state.status`` says which, and a run that has ended stays
    where it is.

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
    n = n_steps // settings.eval_every + 2
    curves = Curves(
        np.zeros(n, np.int64), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n),
        np.zeros((n, len(system.layout))), np.zeros(n, np.int64), np.zeros((n, len(system.layout))),
    )  # fmt: skip
    rows, moves = train(
        system.matrices(state.theta), system.matrices(room.gradient),
        state.theta, state.m, state.v, state.rng, state.counters, state.order,
        state.mu, state.window, state.norm, state.bias, n_steps, constants_of(settings), room,
        curves,
    )  # fmt: skip
    return Curves(*(x[:rows] for x in curves[:6]), *(x[:moves] for x in curves[6:]))


def evaluate(system: Network, settings: Settings, state: State,
             room: Scratch | None = None) -> Curves:
    """Evaluate the present weights, whatever the step, and leave the state as it is.

    Returns
    -------
    curves : Curves
        One row; NaN where the run is not finite.
    """
    looked = replace(state, counters=state.counters.copy())  # no step: nothing else is written
    looked.counters[[EVALUATED, STATUS]] = -1, RUNNING
    curves = advance(system, settings.model_copy(update={"eval_every": 1}), looked, 0, room)
    if state.status == STATUS_NAMES[NOT_FINITE]:
        for x in curves[1:6]:
            x[:] = np.nan
    return curves
