"""Training of a network by AdamW or a relative, with noise; blocks of steps inside one kernel.

One step k -> k + 1 of the weights theta, with gradient g of the energy (Loshchilov and Hutter,
arXiv 1711.05101, algorithm 2, in the form of ``torch.optim.AdamW``):

    lr_k  = lr min(1, (k + 1) / warmup)
    theta <- (1 - lr_k wd) theta
    m     <- beta_1 m + (1 - beta_1) g,      v <- beta_2 v + (1 - beta_2) g^2
    theta <- theta - lr_k m / (1 - beta_1^(k+1)) / (sqrt(v / (1 - beta_2^(k+1))) + epsilon)
    theta <- theta + sqrt(2 lr_k T) xi,      xi ~ N(0, 1) for each weight (only where T > 0)

The noise sets the temperature T, the decay the width of the prior (its rate is lr wd a step); with
the preconditioner of Adam T is the strength of the noise and not exactly that of a Gibbs measure.

``Settings.optimiser`` puts Adam with coupled decay or SGD with momentum in the place of AdamW,
``filter`` a filter of the gradient before it, and ``fixed_norm`` keeps the weights on a sphere: the
equations are at the head of ``phasegrok.dynamics.optimisers``.  The noise is the same for these.
With SGD without momentum or filter, on all pairs, it makes Langevin dynamics in the energy
E + wd |theta|^2 / 2 at T, to first order in lr (SGLD); with momentum that at (1 - momentum) T.

Further updates are dynamics with velocities (unit masses), in which lr is the step of time and
``friction`` the share of the velocity that is lost in a step; they sample the same density
exp(-E/T - wd |theta|^2 / 2T) (``baoab``, ``ghmc``), or that of WanD, in ln E (``wand``): the
equations are at the head of ``phasegrok.dynamics.langevin_steps``.  T may follow a schedule,

    T_k = T (1 - s) + T_final s,    or  T (T_final / T)^s,    s = min(1, k / anneal_steps).

The gradient is that of the whole training set, or with ``batch`` that of one minibatch: the pairs
(patterns of a regression) are shuffled at the start of each epoch and taken in turn, the last
minibatch being what is left.

A run is exactly resumable: cut into any blocks it gives the same bits.  The kernel holds no lock,
so that replicas run in threads, one a core, each with its own ``Scratch``; run them under
``phasegrok.systems.network_kernels.single_threaded_blas``.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from phasegrok.compiled import kernel
from phasegrok.dynamics.langevin_steps import (
    baoab_step,
    deposit,
    force_factor,
    halve_kick,
    mix_velocity,
)
from phasegrok.dynamics.optimisers import (
    ADAM,
    ADAMW,
    BAOAB,
    FILTERS,
    GHMC,
    LAMBDA,
    NO_FILTER,
    OPTIMISERS,
    SGD,
    VELOCITIES,
    WAND,
    add_decay,
    filter_gradient,
    norm_of,
    rescale,
    sgd_step,
)
from phasegrok.rng import below, fill_normal, uniform
from phasegrok.systems.network_kernels import Pairs, Patterns, inner
from phasegrok.systems.networks import (
    data,
    energy_and_gradient,
    losses,
    losses_again,
    take,
    workspace,
)
from phasegrok.systems.tasks import Network

# Moments and weights below this are set to zero.  Those of a weight without gradient decay for
# ever, and below 1e-38 a float32 is denormal, which slows every step several times; moments are nil
# beside epsilon, and weights in any sum.
_NIL = 1e-30

RUNNING, EVENT, NOT_FINITE = 0, 1, 2
STATUS_NAMES = ("running", "event", "not finite")
STEP, EVALUATED, HELD, CROSSING, STATUS, BROKEN, ACCEPTED = range(7)  # of State.counters
ANNEAL = ("none", "linear", "exponential")
_CONSTANT, _LINEAR, _EXPONENTIAL = range(3)


class Settings(BaseModel):
    """An optimiser with weight noise, on the whole training set or on minibatches."""

    model_config = ConfigDict(extra="forbid")

    optimiser: Literal["adamw", "adam", "sgd", "baoab", "ghmc", "wand"] = Field(
        "adamw", description="the update")
    learning_rate: float = Field(
        1e-3, gt=0.0, description="learning rate lr, per step; step of time where there are "
        "velocities"
    )
    weight_decay: float = Field(
        1.0, ge=0.0, description="weight decay wd; adamw: weights shrink by lr wd a step; adam, "
        "sgd: wd theta is added to the gradient"
    )
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="of sgd")
    beta_1: float = Field(0.9, ge=0.0, lt=1.0, description="memory of the gradient's mean, a step")
    beta_2: float = Field(0.98, ge=0.0, lt=1.0, description="memory of its square, a step")
    epsilon: float = Field(1e-8, gt=0.0, description="added to the root of the second moment")
    batch: int = Field(0, ge=0, description="pairs of a minibatch; 0: the whole training set")
    warmup: int = Field(10, ge=0, description="steps in which the learning rate rises linearly")
    temperature: float = Field(
        0.0, ge=0.0, description="T of the weight noise, variance 2 lr T a step; in units of energy"
    )
    anneal: Literal["none", "linear", "exponential"] = Field("none", description="schedule of T")
    final_temperature: float = Field(0.0, ge=0.0, description="T at the end of the schedule")
    anneal_steps: int = Field(1, ge=1, description="steps of the schedule")
    friction: float = Field(0.1, gt=0.0, le=1.0, description="velocity lost a step, baoab to wand")
    deposit: float = Field(
        1e-3, ge=0.0, description="wand: height of a deposit at first, in units of ln E; 0: none"
    )
    deposit_steps: int = Field(
        10_000, ge=1, description="wand: steps after which deposits fall as one over the time"
    )
    x_range: tuple[float, float] = Field((-20.0, 3.0), description="wand: x = ln E of the deposits")
    x_bins: int = Field(230, ge=4, description="wand: intervals of x")
    eval_every: int = Field(10, ge=1, description="steps between evaluations; step 0 is the first")
    filter: Literal["none", "ema", "ma"] = Field("none", description="filter of the gradient")
    filter_alpha: float = Field(0.98, ge=0.0, lt=1.0, description="memory of the ema, a step")
    filter_window: int = Field(100, ge=1, description="gradients in the ma")
    filter_lambda: float | None = Field(
        None, ge=0.0, description="strength lambda; None: 2 for ema, 5 for ma"
    )
    initial_scale: float = Field(1.0, gt=0.0, description="factor of all weights at the start")
    fixed_norm: bool = Field(False, description="keep the norm of theta at that of the start")
    event_threshold: float | None = Field(
        None, gt=0.0, le=1.0, description="test accuracy at which the network has generalised"
    )
    event_hold: int = Field(
        1, ge=1, description="consecutive evaluations at or above the threshold that make the event"
    )
    stop_at_event: bool = Field(True, description="end the run when the event has happened")
    engine: Literal["compiled", "torch"] = Field(
        "compiled", description="of an ensemble: this module, or torch_trainer")
    device: Literal["cpu", "cuda"] = Field("cpu", description="of the engine torch")

    @model_validator(mode="after")
    def _fit_together(self):
        T, last = self.temperature, self.final_temperature
        if self.optimiser in VELOCITIES and self.fixed_norm:
            raise ValueError(f"{self.optimiser} has velocities, which leave the sphere: leave out "
                             "fixed_norm")
        if self.optimiser == "ghmc" and (self.batch or self.filter != "none"):
            raise ValueError("ghmc needs the gradient of the whole training set as it is: leave "
                             "out batch and filter")
        if self.optimiser == "ghmc" and T == 0.0:
            raise ValueError("ghmc needs a temperature above zero")
        if self.anneal == "exponential" and not min(T, last) > 0.0:
            raise ValueError("an exponential schedule begins and ends above zero temperature")
        if not self.x_range[0] < self.x_range[1]:
            raise ValueError("x_range must ascend")
        return self


@dataclass
class State:
    """State of a run; writing its arrays is the checkpoint.

    Attributes
    ----------
    theta, m, v : (n_parameters,) arrays
        Weights and the two moments of the gradient.
    rng : (4,) uint64 array
        State of the generator.
    counters : (7,) int64 array
        Steps done, last step evaluated, consecutive evaluations at the threshold, crossing step,
        status, step at which loss or weights ceased to be finite (-1: none), proposals of ghmc
        that were accepted.
    order : (n_train,) int64 array
        Training pairs in the order of the present epoch; empty without minibatches.
    mu : (n_parameters,) float64 array
        What the filter averages (``optimisers.filter_gradient``); empty without a filter.
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
        return State(*(x.copy() for x in vars(self).values()))


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


class _Constants(NamedTuple):
    lr: float
    wd: float
    beta_1: float
    beta_2: float
    epsilon: float
    batch: int
    warmup: int
    temperature: float
    eval_every: int
    threshold: float
    hold: int
    stop: bool
    scheme: int  # place in OPTIMISERS
    momentum: float
    filter: int  # place in FILTERS
    alpha: float
    strength: float
    fixed_norm: bool
    anneal: int  # place in ANNEAL
    final_temperature: float
    anneal_steps: int
    friction: float
    deposit: float
    deposit_steps: int
    x_low: float
    x_high: float


@inner
def adamw_step(theta, g, m, v, k, lr, wd, beta_1, beta_2, epsilon):
    """Step k -> k + 1 of AdamW on flat arrays, in place (equations at the head of the module).

    Returns
    -------
    n_broken : int
        Number of weights that are not finite afterwards.
    """
    real = theta.dtype.type
    shrink, rate = real(1.0 - lr * wd), real(lr / (1.0 - beta_1 ** (k + 1.0)))
    b_1, c_1, b_2, c_2 = real(beta_1), real(1.0 - beta_1), real(beta_2), real(1.0 - beta_2)
    root, eps = real(1.0 / np.sqrt(1.0 - beta_2 ** (k + 1.0))), real(epsilon)
    nil, zero = real(_NIL), real(0.0)
    n_broken = 0
    for i in range(theta.shape[0]):
        m_i = b_1 * m[i] + c_1 * g[i]
        v_i = b_2 * v[i] + c_2 * g[i] * g[i]
        m_i = zero if abs(m_i) < nil else m_i
        v_i = zero if v_i < nil else v_i
        x = shrink * theta[i] - rate * m_i / (root * np.sqrt(v_i) + eps)
        m[i] = m_i
        v[i] = v_i
        theta[i] = zero if abs(x) < nil else x
        n_broken += x - x != zero
    return n_broken


@inner
def _add_noise(theta, noise, rng, deviation):
    fill_normal(rng, noise)
    scale = theta.dtype.type(deviation)
    for i in range(theta.shape[0]):
        theta[i] += scale * noise[i]


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
def temperature_at(c, k):
    """T of step k."""
    s = min(1.0, k / c.anneal_steps)
    if c.anneal == _LINEAR:
        return (1.0 - s) * c.temperature + s * c.final_temperature
    if c.anneal == _EXPONENTIAL:
        return c.temperature * (c.final_temperature / c.temperature) ** s
    if c.anneal != _CONSTANT:
        raise ValueError("no such schedule of the noise: write it in trainer.temperature_at")
    return c.temperature


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
        raise ValueError("no kernel of this update: call it in trainer._update")
    if T > 0.0 and (c.scheme == ADAMW or c.scheme == ADAM or c.scheme == SGD):
        _add_noise(theta, noise, rng, np.sqrt(2.0 * lr * T))
    if c.fixed_norm:
        n_broken += rescale(theta, norm[0])
    return n_broken


@inner
def _energy_with_velocity(energy, theta, m, wd):
    return energy + 0.5 * wd * norm_of(theta) ** 2 + 0.5 * norm_of(m) ** 2


@inner
def _propose(theta, grad, m, energy, lr, T, constants, noise, before, kept, rng):
    """First half of a step of generalised hybrid Monte Carlo, up to the new weights.

    Keeps in ``before`` and ``kept`` what a rejection restores, and returns the energy with that of
    the velocities.
    """
    c = constants
    fill_normal(rng, noise)
    mix_velocity(m, noise, c.friction, T)
    real = theta.dtype.type
    half, step, wd = real(0.5 * lr), real(lr), real(c.wd)
    total = _energy_with_velocity(energy[0], theta, m, c.wd)
    for i in range(theta.shape[0]):
        before[i] = theta[i]
        kept[0, i] = grad[i]
        kept[1, i] = m[i]
        m[i] -= half * (grad[i] + wd * theta[i])
        theta[i] += step * m[i]
    return total


@inner
def _decide(theta, grad, m, energy, proposed, total, lr, T, constants, before, kept, rng, counters):
    """Second half of the step, with the gradient and energy of the proposed weights.

    Returns the energy it ends at; ``grad`` is then the gradient there.  A proposal with an energy
    that is not finite is rejected.
    """
    c, real = constants, theta.dtype.type
    half, wd = real(0.5 * lr), real(c.wd)
    for i in range(theta.shape[0]):
        m[i] -= half * (grad[i] + wd * theta[i])
    after = _energy_with_velocity(proposed[0], theta, m, c.wd)
    if uniform(rng) < np.exp(min(0.0, (total - after) / T)):  # NaN is not accepted
        counters[ACCEPTED] += 1
        return proposed
    for i in range(theta.shape[0]):
        theta[i] = before[i]
        grad[i] = kept[0, i]
        m[i] = -kept[1, i]
    return energy


@inner
def _bias_force(g, bias, energy, k, c):
    """Wang-Landau deposit at x = ln E, and the gradient of E turned into that of x + W(x)."""
    x = np.log(max(energy, 1e-300))
    height = c.deposit * min(1.0, c.deposit_steps / (k + 1.0))
    if height > 0.0:
        deposit(bias, x, c.x_low, c.x_high, height)
    factor = g.dtype.type(force_factor(bias, x, c.x_low, c.x_high) / max(energy, 1e-300))
    for i in range(g.shape[0]):
        g[i] *= factor


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
    constants : _Constants
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
            total = _propose(theta, scratch.gradient, m, energy, lr, T, constants, scratch.noise,
                             scratch.before, scratch.kept, rng)
            proposed = energy_and_gradient(w, g, scratch.train, scratch.work)
            energy = _decide(theta, scratch.gradient, m, energy, proposed, total, lr, T, constants,
                             scratch.before, scratch.kept, rng, counters)
            known, n_broken = True, 0
        else:
            if constants.scheme == WAND:
                _bias_force(scratch.gradient, bias, energy[0], k, constants)
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


def constants_of(settings: Settings) -> _Constants:
    """The settings as kernels take them."""
    s = settings
    threshold = np.inf if s.event_threshold is None else s.event_threshold
    strength = LAMBDA[s.filter] if s.filter_lambda is None else s.filter_lambda
    return _Constants(
        s.learning_rate, s.weight_decay, s.beta_1, s.beta_2, s.epsilon, s.batch, s.warmup,
        s.temperature, s.eval_every, float(threshold), s.event_hold, s.stop_at_event,
        OPTIMISERS.index(s.optimiser), s.momentum, FILTERS.index(s.filter), s.filter_alpha,
        strength, s.fixed_norm, ANNEAL.index(s.anneal), s.final_temperature, s.anneal_steps,
        s.friction, s.deposit, s.deposit_steps, *s.x_range,
    )  # fmt: skip
