"""Training of all replicas of a network at once with PyTorch, on a CPU or on a CUDA device.

The steps are those of ``phasegrok.networks.training.kernel``: the same initial weights,
minibatches, filters, evaluations and events, so that in float64 the curves are those of the
compiled engine up to rounding.  Weights of R replicas are rows of one tensor; energies and
gradients are those of one replica under ``torch.func.vmap``, updates the ``tensor_step`` of each
file of ``phasegrok.networks.updates``.

On a CUDA device a step is captured once as a CUDA graph and replayed, which leaves one launch of
the several hundred; evaluations are made outside of it.  On a CPU the compiled engine is several
times faster; this one is there to be tested.

The noise is drawn by a hash of replica, step and weight (:func:`normals`), so it has no state, and
does not depend on how replicas are stacked or runs are cut up.  It is not that of the compiled
engine: noisy runs of the two agree in law only.

A replica that has had its event, or whose loss or weights are not finite, stays where it is.  Runs
cut into any blocks give the same bits on one device, stacked in the same way.
"""

import math
import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from phasegrok.compiled import kernel, n_threads, over_threads
from phasegrok.networks.kinds import pytorch_of
from phasegrok.networks.network import Network
from phasegrok.networks.training import kernel as trainer
from phasegrok.networks.training.settings import Settings, rates, temperatures
from phasegrok.networks.training.state import (
    ACCEPTED,
    BROKEN,
    CROSSING,
    EVALUATED,
    EVENT,
    HELD,
    NOT_FINITE,
    RUNNING,
    STATUS,
    STEP,
    Event,
)
from phasegrok.networks.updates.filters import filter_of, tensor_filter
from phasegrok.networks.updates.fixed_norm import tensor_rescale
from phasegrok.networks.updates.own import Instances, Own
from phasegrok.networks.updates.own import check as check_own
from phasegrok.networks.updates.table import row_of, update_of
from phasegrok.normals import SPLITMIX

if TYPE_CHECKING:
    from phasegrok.networks.training.ensemble_state import EnsembleState

Keep = Callable[..., None]  # what is done with evaluations and norms of updates
CPU_BYTES = 2**30  # of a stack: one replica keeps a core busy, more of them need memory only
_CUDA_SHARE = 0.6  # of the device's memory for a stack; the rest is for evaluations and fragments
_WARM_UP = 3  # steps on a side stream before a capture, as PyTorch's notes on CUDA graphs prescribe

_GOLDEN, _MIX_1, _MIX_2 = (c - 2**64 for c in SPLITMIX)  # as signed numbers


def words(key_r: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
    """Words ``i`` (n,) of the splitmix64 streams that begin at ``key_r`` (R,): (R, n) int64."""
    x = key_r[:, None] + (i + 1) * _GOLDEN
    x = (x ^ _shift(x, 30)) * _MIX_1
    x = (x ^ _shift(x, 27)) * _MIX_2
    return x ^ _shift(x, 31)


def _shift(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Shift to the right that brings in zeros; that of signed numbers brings in the sign."""
    return (x >> bits) & (2 ** (64 - bits) - 1)


def normals(key_r: torch.Tensor, k: torch.Tensor, n: int) -> torch.Tensor:
    """Standard normal variates of step k, (R, n) float64, by the method of Box and Muller.

    Parameters
    ----------
    key_r : (R,) int64 tensor
        What tells the replicas apart.
    k : int64 scalar tensor
    n : int
        Variates of a replica.
    """
    half = (n + 1) // 2
    i = torch.arange(2 * half, device=key_r.device) + 2 * half * k
    u = _shift(words(key_r, i), 11).double() * 2.0**-53
    radius, angle = torch.sqrt(-2.0 * torch.log1p(-u[:, :half])), 2.0 * math.pi * u[:, half:]
    return torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)[:, :n]


def uniforms(key_r: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """A uniform variate of step k for each replica, (R,) float64, from streams of their own."""
    return _shift(words(~key_r, k.reshape(1)), 11)[:, 0].double() * 2.0**-53


@kernel
def shuffle(order, rng, running):
    """Begin an epoch in the replicas that run, with the compiled engine's orders of pairs."""
    for r in range(order.shape[0]):
        if running[r]:
            trainer.shuffle(order[r], rng[r])


class Trainer:
    """Training of an ensemble on one device: as many replicas are stacked at once as fit.

    On a CPU a stack runs on one core, and there are as many stacks as cores.

    Parameters
    ----------
    system : Network
    settings : Settings
        ``device`` says where: "cpu" or "cuda".
    replicas : int
        Of the ensemble.
    event : Event
        What the replicas wait for.
    """

    def __init__(self, system: Network, settings: Settings, replicas: int, event: Event):
        self.system, self.settings, self.event = system, settings, event
        self.device = torch.device(settings.device)
        fit = max(1, int(self._limit() / self._bytes_of_one()))
        cores = n_threads() if self.device.type == "cpu" else 1
        self.size = math.ceil(replicas / max(math.ceil(replicas / fit), min(cores, replicas)))
        self._workers = min(cores, math.ceil(replicas / self.size))
        self.stacks: list[Stack] = []

    def _limit(self) -> float:
        if self.device.type == "cuda":
            return _CUDA_SHARE * torch.cuda.get_device_properties(self.device).total_memory
        return CPU_BYTES

    def _bytes_of_one(self) -> int:
        """Of one replica: weights, what belongs to them, and what a gradient keeps on its way."""
        s, n, itemsize = self.settings, self.system.n_parameters, self.system.dtype.itemsize
        kept: dict[int, int] = {}

        def keep(x):
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        theta = torch.zeros(n, dtype=_dtype(self.system), device=self.device, requires_grad=True)
        inputs, targets = (torch.tensor(x[: _batch(self.system, s)], device=self.device)
                           for x in self.system.train)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            energy = pytorch_of(self.system).energy(self.system, theta, inputs, targets)
        del energy
        filtered = 16 if s.filter != "none" else 0  # mu and what it was
        window = s.filter_window * itemsize if s.filter == "ma" else 0
        # theta, m, v, what they were, and the gradient; activations, their gradients, and as much
        # between them
        return n * (7 * itemsize + filtered + window) + 3 * sum(kept.values())

    def memory(self) -> int:
        """Bytes of this process's memory, beside the state, that the stacks take."""
        on_host = self.device.type == "cpu"
        return self._workers * self.size * self._bytes_of_one() if on_host else 0

    def advance(self, state: "EnsembleState", n: int, keep: "Keep") -> None:
        """Advance the replicas of an ensemble that run by ``n`` steps, in place.

        Evaluations and norms of updates go to ``keep(replicas, step, name=rows, ...)``; replicas
        end as in ``kernel.advance``.
        """
        running = state.counters[:, STATUS] == RUNNING
        parts = [part for part in self._parts(state) if running[part].any()]
        self._over_stacks(parts, lambda stack, part: stack.advance(state, part, n, keep))

    def evaluate(self, state: "EnsembleState", keep: "Keep") -> None:
        """Evaluate the present weights of all replicas that are finite; the state stays as it is.

        Evaluations go to ``keep`` as those of ``advance``.
        """
        self._over_stacks(self._parts(state), lambda stack, part: stack.evaluate(state, part, keep))

    def _parts(self, state: "EnsembleState") -> list[slice]:
        """Replicas that are stacked at once."""
        n = len(state.counters)
        return [slice(first, min(first + self.size, n)) for first in range(0, n, self.size)]

    def _over_stacks(self, parts: list[slice], what: Callable[["Stack", slice], None]) -> None:
        if not self.stacks:
            self.stacks = [Stack(self.system, self.settings, self.size, self.event)
                           for _ in range(self._workers)]

        @torch.no_grad()
        def run(worker):
            torch.set_num_threads(1)  # of this thread: each has a number of its own
            for part in parts[worker :: self._workers]:
                what(self.stacks[worker], part)

        with one_thread():
            over_threads(run, self._workers)


@contextmanager
def one_thread():
    """Threads of one product would wait for each other, and its last digits depend on them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _batch(system: Network, settings: Settings) -> int:
    """Pairs of a step."""
    n_train = len(system.train.targets)
    return settings.batch if 0 < settings.batch < n_train else n_train


class Stack:
    """Replicas stacked on one device: the tensors and the captured steps that stay there.

    Parameters
    ----------
    system : Network
    settings : Settings
    size : int
        Replicas at once; rows that are not needed stay where they are.
    event : Event
        What they wait for.

    Attributes
    ----------
    theta, m, v : (size, n_parameters) tensors
        Weights and moments.
    g : (size, n_parameters) tensor
        Gradient of the energy, of this step; the filter and the update may change it.
    energy : (size,) float64 tensor
    mu, window, bias, norm : tensors
        As in ``state.State``, with the replicas as first axis.
    k, lr, T : scalar tensors
        Step, its learning rate and temperature.
    noisy : bool
        Whether T is ever above zero.
    alive : (size,) bool tensor
        Which replicas run.
    instances : Instances or None
        Of an optimiser of the user's own.
    """

    def __init__(self, system: Network, settings: Settings, size: int, event: Event):
        self.system, self.settings, self.size, self.event = system, settings, size, event
        self.device = torch.device(settings.device)
        self.update, self.filter = update_of(settings), filter_of(settings)
        self._tensor_step = tensor_step_of(self.update)
        self._keeps_gradient = row_of(settings).monte_carlo
        self.noisy = settings.temperature > 0.0 or settings.final_temperature > 0.0
        self._module = pytorch_of(system)
        self._batch = _batch(system, settings)
        self._whole = self._batch == len(system.train.targets)
        self._train, self._test = (
            tuple(torch.tensor(x, device=self.device) for x in data)
            for data in (system.train, system.test))
        self._allocate()
        self.instances = Instances(self.update, self) if isinstance(self.update, Own) else None
        rest = 0 if self._whole else len(system.train.targets) % self._batch
        self._chosen = {b: torch.zeros(size, b, dtype=torch.int64, device=self.device)
                        for b in (self._batch, rest) if b}
        with torch.no_grad():  # no replica runs yet, so that nothing moves
            self._steps = {b: self._captured(b) for b in self._chosen}

    def _allocate(self) -> None:
        s, r, n = self.settings, self.size, self.system.n_parameters
        real = _dtype(self.system)

        def zeros(*shape, dtype=real):
            return torch.zeros(*shape, dtype=dtype, device=self.device)

        self.theta, self.m, self.v, self.g = (zeros(r, n) for _ in range(4))
        self.mu = zeros(r, n if s.filter != "none" else 0, dtype=torch.float64)
        self.window = zeros(r, *((s.filter_window, n) if s.filter == "ma" else (0, 0)))
        self.norm = zeros(r, 1, dtype=torch.float64)
        self.bias = zeros(r, s.x_bins + 1 if s.optimiser == "wand" else 0, dtype=torch.float64)
        self.energy = zeros(r, dtype=torch.float64)
        self.accepted = zeros(r, dtype=torch.int64)
        self.key = zeros(r, dtype=torch.int64)
        self.k = zeros((), dtype=torch.int64)
        self.lr, self.T = (zeros((), dtype=torch.float64) for _ in range(2))
        self.alive = zeros(r, dtype=torch.bool)
        self.broken = torch.full_like(self.key, -1)
        self.order = zeros(r, 0 if self._whole else len(self._train[1]), dtype=torch.int64)

        def energy(theta, inputs, targets):
            return self._module.energy(self.system, theta, inputs, targets)

        self._alone = torch.func.grad_and_value(energy)
        axis = None if self._whole else 0
        self._gradient = torch.func.vmap(torch.func.grad_and_value(energy), (0, axis, axis))
        self._data = self._train  # of this step

    def _captured(self, b: int):
        """The step on ``b`` pairs, as one call."""
        if self.device.type != "cuda" or self.instances is not None:
            return lambda: self._step(b)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                self._step(b)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step(b)
        return graph.replay

    # --- one step, on the device alone ------------------------------------------------------------

    def _step(self, b: int) -> None:
        """Step k -> k + 1 of those that run; the rest stays where it is."""
        self._data = self._train if self._whole else tuple(x[self._chosen[b]] for x in self._train)
        if not self._keeps_gradient:
            self._find_gradient()
        self._stop_unless(torch.isfinite(self.energy), self.k)
        moving = [self.theta, self.m, self.v, self.mu, self.bias]
        if self._keeps_gradient:
            moving += [self.g, self.energy]
        before = [x.clone() for x in moving]
        tensor_filter(self.filter, self)
        self._tensor_step(self.update, self)
        if self.settings.fixed_norm:
            tensor_rescale(self)
        for x, old in zip(moving, before):
            x.copy_(self.where_alive(x, old))
        self.k += 1
        self._stop_unless(torch.isfinite(self.theta).all(dim=1), self.k)

    def _find_gradient(self) -> None:
        for x, new in zip((self.g, self.energy), self.gradient(self.theta)):
            x.copy_(new)

    def _stop_unless(self, fine: torch.Tensor, step: torch.Tensor) -> None:
        self.broken.copy_(torch.where(self.alive & ~fine, step, self.broken))
        self.alive &= fine

    # what updates ask for

    def gradient(self, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradient (size, n_parameters) and energy (size,) of this step's data at other weights."""
        return self._gradient(theta, *self._data)

    def gradient_of(self, r: int, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradient (n_parameters,) and energy of replica ``r`` at weights (n_parameters,)."""
        return self._alone(theta, *(x if self._whole else x[r] for x in self._data))

    def noise(self) -> torch.Tensor:
        """Standard normal variates of this step, one for each weight."""
        return normals(self.key, self.k, self.system.n_parameters).to(self.theta.dtype)

    def uniforms(self) -> torch.Tensor:
        """A uniform variate of this step for each replica, (size,) float64."""
        return uniforms(self.key, self.k)

    def norm_of(self, x: torch.Tensor) -> torch.Tensor:
        """Norm of every row, (size, 1) float64."""
        return _norm(x)

    def where_alive(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """``x`` in the replicas that run, ``other`` in those that have ended."""
        return torch.where(self.alive if x.ndim == 1 else self.alive[:, None], x, other)

    # --- blocks of steps --------------------------------------------------------------------------

    def advance(self, state: "EnsembleState", part: slice, n: int, keep: Keep) -> None:
        """Advance one part of an ensemble by ``n`` steps, in place."""
        k = self._load(state, part)
        steps = np.arange(k, k + n)
        lr, T = rates(self.settings, steps), temperatures(self.settings, steps)
        for now in range(k, k + n + 1):
            due = now % self.settings.eval_every == 0
            if due:
                self._evaluate(state, part, now, keep)
            running = state.counters[part, STATUS] == RUNNING
            if now == k + n or not running.any():
                break
            before = self.theta.clone() if due else None
            self.lr.fill_(lr[now - k])
            self.T.fill_(T[now - k])
            self._steps[self._batch if self._whole else self._choose(state, part, now)]()
            if before is not None:
                self._keep_moves(part, now, running, before, keep)
        self._learn(state, part, now)
        self._store(state, part)

    def _pairs(self, state: "EnsembleState", part: slice):
        """What is on the device and in the state: (rows of a tensor, array) of each."""
        for name in ("theta", "m", "v", "mu", "window", "bias"):
            yield getattr(self, name)[: part.stop - part.start], getattr(state, name)[part]

    def _load(self, state: "EnsembleState", part: slice) -> int:
        """Bring a part of the ensemble to the device; returns the step of those that run."""
        for tensor, array in self._pairs(state, part):
            tensor.copy_(torch.from_numpy(array))
        rows, counters = part.stop - part.start, state.counters[part]
        if self.instances is not None:
            self.instances.load(state, part)
        self.norm[:rows].copy_(torch.from_numpy(state.norm[part]))
        self.broken.fill_(-1)
        self._tell_who_runs(state, part)
        self._load_order(state, part)
        steps = np.unique(counters[counters[:, STATUS] == RUNNING, STEP])
        if len(steps) != 1:
            raise ValueError(f"replicas that run together are at different steps: {steps}")
        self.k.fill_(int(steps[0]))
        self.accepted.zero_()
        if self._keeps_gradient:
            self._find_gradient()
        return int(steps[0])

    def _load_order(self, state: "EnsembleState", part: slice) -> None:
        rows = part.stop - part.start
        self.key[:rows].copy_(torch.from_numpy(state.rng[part, 0].view(np.int64)))
        if not self._whole:
            self.order[:rows].copy_(torch.from_numpy(state.order[part]))

    def _tell_who_runs(self, state: "EnsembleState", part: slice) -> None:
        running = state.counters[part, STATUS] == RUNNING
        self.alive.fill_(False)
        self.alive[: len(running)].copy_(torch.from_numpy(running))

    def _store(self, state: "EnsembleState", part: slice) -> None:
        for tensor, array in self._pairs(state, part):
            array[...] = tensor.cpu().numpy()
        if self.instances is not None:
            self.instances.store(state, part)
        accepted = self.accepted[: part.stop - part.start].cpu().numpy()
        state.counters[part, ACCEPTED] += accepted

    def _learn(self, state: "EnsembleState", part: slice, k: int) -> np.ndarray:
        """Write the step k of those that run, and who broke before; returns which rows run."""
        counters = state.counters[part]
        broken = self.broken[: len(counters)].cpu().numpy()
        running = counters[:, STATUS] == RUNNING
        counters[running, STEP] = k
        new = running & (broken >= 0)
        for place in (STEP, BROKEN):
            counters[new, place] = broken[new]
        counters[new, STATUS] = NOT_FINITE
        return running & ~new

    def _choose(self, state: "EnsembleState", part: slice, k: int) -> int:
        """Lay out the minibatches of step k; returns how many pairs each has."""
        n_all = len(self._train[1])
        first = k % math.ceil(n_all / self._batch) * self._batch
        if first == 0:
            shuffle(state.order[part], state.rng[part], self._learn(state, part, k))
            self._load_order(state, part)
        b = min(self._batch, n_all - first)
        self._chosen[b].copy_(self.order[:, first : first + b])
        return b

    # --- evaluations ------------------------------------------------------------------------------

    def losses(self, inputs: torch.Tensor,
               targets: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Mean loss and order parameter of every replica on a data set, (size,) each."""
        variance = targets.double().var(dim=0, correction=0).mean()  # for regressions

        def one(theta, x, y):
            return torch.stack(self._module.scores(self.system, theta, x, y, variance)).sum(dim=1)

        total = torch.zeros(self.size, 2, dtype=torch.float64, device=self.device)
        for x, y in zip(inputs.split(self._batch), targets.split(self._batch)):  # as much as a step
            total += torch.func.vmap(one, (0, None, None))(self.theta, x, y)
        loss, accuracy = (total / len(targets)).T.cpu().numpy()
        return loss, accuracy

    def evaluate(self, state: "EnsembleState", part: slice, keep: Keep) -> None:
        """Evaluate the present weights of those that are finite, and hand them to ``keep``."""
        fine = state.counters[part, STATUS] != NOT_FINITE
        self.theta[: len(fine)].copy_(torch.from_numpy(state.theta[part]))
        self._hand_over(part.start, np.flatnonzero(fine), None, keep)

    def _hand_over(self, start: int, rows: np.ndarray, k: int | None, keep: Keep):
        """Losses, order parameters and norms of ``rows`` to ``keep``; returns those of the sets."""
        train, test = self.losses(*self._train), self.losses(*self._test)
        keep(start + rows, k, train_loss=train[0][rows], test_loss=test[0][rows],
             train_accuracy=train[1][rows], test_accuracy=test[1][rows],
             norms=self._norms(self.theta)[rows])
        return train, test

    def _norms(self, x: torch.Tensor) -> np.ndarray:
        """Norm of every matrix of every replica."""
        norms = [_norm(part) for part in x.tensor_split(self.system.ends[:-1].tolist(), dim=1)]
        return torch.cat(norms, dim=1).cpu().numpy()

    def _keep_moves(self, part: slice, k: int, running: np.ndarray, before: torch.Tensor,
                    keep: Keep) -> None:
        """The norm of the update k -> k + 1 of the replicas that made it."""
        rows = np.flatnonzero(running & (self.broken[: len(running)].cpu().numpy() != k))
        keep(part.start + rows, k, moved=self._norms(self.theta - before)[rows])

    def _evaluate(self, state: "EnsembleState", part: slice, k: int, keep: Keep) -> None:
        """Write one evaluation and watch for the event, as ``kernel._record`` does."""
        counters, event = state.counters[part], self.event
        rows = np.flatnonzero(self._learn(state, part, k) & (counters[:, EVALUATED] != k))
        if len(rows) == 0:
            return
        train, test = self._hand_over(part.start, rows, k, keep)
        counters[rows, EVALUATED] = k
        held = np.where(test[1][rows] >= event.threshold, counters[rows, HELD] + 1, 0)
        counters[rows, HELD] = held
        crossed = rows[(held == event.hold) & (counters[rows, CROSSING] < 0)]
        counters[crossed, CROSSING] = k - (event.hold - 1) * self.settings.eval_every
        if event.stop:
            counters[crossed, STATUS] = EVENT
        broken = rows[~np.isfinite(train[0][rows])]
        counters[broken, STATUS] = NOT_FINITE
        counters[broken, BROKEN] = k
        self._tell_who_runs(state, part)


def check(system: Network, settings: Settings) -> None:
    """Refuse a network or an update that this engine does not have.

    Raises
    ------
    ValueError
        One sentence that says what it lacks.
    """
    pytorch_of(system)
    update = update_of(settings)
    tensor_step_of(update)
    if isinstance(update, Own):
        check_own(update, system)


def tensor_step_of(update):
    """The function in PyTorch beside the class of an update.

    Raises
    ------
    ValueError
        Where its file has none.
    """
    module = sys.modules[type(update).__module__]
    if not hasattr(module, "tensor_step"):
        raise ValueError(f"{module.__name__} has no tensor_step: set training.engine to compiled")
    return module.tensor_step


def _dtype(system: Network) -> torch.dtype:
    return torch.float64 if system.dtype == np.float64 else torch.float32


def _norm(x: torch.Tensor) -> torch.Tensor:
    """Norm of every row, (R, 1) float64."""
    return torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float64)
