"""Ensembles of networks in training: independent initialisations, or clones of one checkpoint.

Replicas run one a core.  A replica whose loss or weights are not finite stops where it is, is
recorded, and does not stop the others.
"""

import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from phasegrok.compiled import cache_directory, n_threads, over_threads
from phasegrok.dynamics import trainer
from phasegrok.relaxation.waiting_times import first_step, sustained_step
from phasegrok.rng import streams
from phasegrok.runfile import Group
from phasegrok.systems import KINDS, parameters_class
from phasegrok.systems.network_kernels import single_threaded_blas
from phasegrok.systems.tasks import Network

MEMORISED = 0.99  # train accuracy
_CURVES = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")


_ready: set[str] = set()  # kinds and precisions whose kernels this process loads from the cache
_TRANSFORMER: dict[str, Any] = dict(operation="-", p=5, train_fraction=0.5, d_model=8, heads=2,
                                    mlp=8)
# a small system of each kind
_SMALL: dict[str, dict[str, Any]] = {
    "modular-transformer": _TRANSFORMER,
    "modular-decoder": _TRANSFORMER,
    "modular-mlp": dict(operation="-", p=5, train_fraction=0.5, hidden=[8]),
    "regression-mlp": dict(layers=[2, 4, 1], n=8, n_test=8),
    "committee-machine": dict(D=3, N=4, n=8, n_test=8),
}
_COMPILE = """
import sys
from phasegrok.dynamics.training import compile_here
print("compiling kernels (once; they are cached for later runs) ...", file=sys.stderr, flush=True)
compile_here(*sys.argv[1:])
"""


def _kind(system: Network) -> str:
    """Kind of ``system``, also where a card's own code derives its parameters."""
    kinds = {path: kind for kind, path in KINDS.items()}
    paths = (f"{cls.__module__}:{cls.__name__}" for cls in type(system.parameters).__mro__)
    return next(kinds[path] for path in paths if path in kinds)


def compile_here(kind: str, precision: str) -> None:
    """Compile the training kernels of a kind at a precision: two steps of a small system."""
    parameters = parameters_class(kind)(**_SMALL[kind], precision=precision)
    system = parameters.build(parameters.disorder(None))
    settings = trainer.Settings(temperature=1e-3)
    trainer.advance(system, settings, trainer.init(system, settings, streams(1, [], 1)[0]), 2)


def compile_apart(system: Network) -> None:
    """Compile the training kernels in a process of their own, where they are not cached yet.

    The process that compiles these kernels gives other last digits than those that load them from
    the cache; a run that began in it could not be resumed bit for bit.
    """
    kind, precision = _kind(system), system.parameters.precision
    name = f"training-{kind}-{precision}"
    marker = cache_directory() / f"{name}.ready"
    if name not in _ready and not marker.exists():
        root = str(Path(trainer.__file__).resolve().parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        subprocess.run([sys.executable, "-c", _COMPILE, kind, precision], check=True,
                       env=os.environ | {"PYTHONPATH": path})
        marker.touch()
    _ready.add(name)


@dataclasses.dataclass
class State:
    """Replicas: weights, moments, generators, counters, and the curves recorded so far."""

    theta: np.ndarray  # (R, n)
    m: np.ndarray  # (R, n)
    v: np.ndarray  # (R, n)
    rng: np.ndarray  # (R, 4) uint64
    counters: np.ndarray  # (R, 6) int64, see trainer.State
    order: np.ndarray  # (R, n_train) int64, or (R, 0) without minibatches
    mu: np.ndarray  # (R, n), or (R, 0) without a filter of the gradient
    window: np.ndarray  # (R, w, n), or (R, 0, 0) without a moving average
    norm: np.ndarray  # (R, 1) of theta at the start
    train_loss: np.ndarray  # (R, K), NaN where not reached
    test_loss: np.ndarray
    train_accuracy: np.ndarray
    test_accuracy: np.ndarray
    norms: np.ndarray  # (R, K, matrices)
    start_step: int

    def replica(self, k: int) -> trainer.State:
        """The k-th replica as views: advancing it advances this state."""
        return trainer.State(self.theta[k], self.m[k], self.v[k], self.rng[k], self.counters[k],
                           self.order[k], self.mu[k], self.window[k], self.norm[k])


@dataclasses.dataclass(frozen=True)
class _Ensemble:
    """What training and clones share: advancing replicas and recording their curves."""

    system: Network
    settings: trainer.Settings
    replicas: int
    steps: int
    unit: str = dataclasses.field(default="steps", init=False)

    def memory(self) -> int:
        """Bytes of the state: weights, moments, what a filter keeps, the order, and the curves."""
        itemsize = self.system.dtype.itemsize
        n = self.system.n_parameters
        curves = 8 * self._rows() * (4 + len(self.system.layout))
        kept = 8 if self.settings.filter != "none" else 0
        if self.settings.filter == "ma":
            kept += self.settings.filter_window * itemsize
        return self.replicas * (n * (4 * itemsize + kept) + 8 * len(self.system.labels_train)
                                + curves)

    def _rows(self) -> int:
        return self.steps // self.settings.eval_every + 1

    def _begin(self, first: trainer.State, rng: np.ndarray) -> State:
        """Replicas that all start from ``first`` with their own generators."""
        r, k = self.replicas, self._rows()

        def copies(array):
            return np.repeat(array[None], r, axis=0)

        curves = {name: np.full((r, k), np.nan) for name in _CURVES}
        norms = np.full((r, k, len(self.system.layout)), np.nan)
        return State(theta=copies(first.theta), m=copies(first.m), v=copies(first.v), rng=rng,
                     counters=copies(first.counters), order=copies(first.order),
                     mu=copies(first.mu), window=copies(first.window), norm=copies(first.norm),
                     norms=norms, start_step=first.step, **curves)

    def restore(self, saved: dict) -> State:
        """The state of a checkpoint; room for further evaluations where the run was extended."""
        missing: dict[str, tuple] = {
            "order": ((0,), np.int64), "mu": ((0,), float), "norm": ((1,), float),
            "window": ((0, 0), self.system.dtype)}  # from older checkpoints
        for name, (shape, dtype) in missing.items():
            saved.setdefault(name, np.zeros((self.replicas, *shape), dtype))
        extra = self._rows() - saved["train_loss"].shape[1]
        if extra > 0:
            for name in (*_CURVES, "norms"):
                width = [(0, 0), (0, extra)] + [(0, 0)] * (saved[name].ndim - 2)
                saved[name] = np.pad(saved[name], width, constant_values=np.nan)
        return State(**saved)

    def total(self) -> int:
        """Steps of a replica."""
        return self.steps

    def _active(self, state: State) -> np.ndarray:
        steps = state.counters[:, trainer._STEP] - state.start_step
        running = state.counters[:, trainer._STATUS] == trainer.RUNNING
        return np.flatnonzero(running & (steps < self.steps))

    def done(self, state: State) -> int:
        """Steps made by the slowest replica that still runs; ``total`` when all have ended."""
        active = self._active(state)
        if len(active) == 0:
            return self.steps
        return int(state.counters[active, trainer._STEP].min()) - state.start_step

    def advance(self, state: State, n: int) -> None:
        """Advance every replica that runs by up to ``n`` steps."""
        compile_apart(self.system)
        active = self._active(state)
        groups = np.array_split(active, min(len(active), n_threads()))

        def run(g):
            room = trainer.scratch(self.system)
            for k in groups[g]:
                self._advance_one(state, int(k), n, room)

        with single_threaded_blas():
            over_threads(run, len(groups))

    def _advance_one(self, state: State, k: int, n: int, room) -> None:
        replica = state.replica(k)
        left = self.steps - (replica.step - state.start_step)
        curves = trainer.advance(self.system, self.settings, replica,
                               min(n, left), room)
        # an end of a block is not evaluated unless it is on the grid, so rows are on the grid
        row = (curves.step - state.start_step) // self.settings.eval_every
        for name in _CURVES:
            getattr(state, name)[k, row] = getattr(curves, name)
        state.norms[k, row] = curves.norms

    def status(self, state: State) -> str:
        """One phrase for the progress display."""
        last = max(0, self.done(state) // self.settings.eval_every - 1)
        train, test = state.train_accuracy[:, last], state.test_accuracy[:, last]
        if not np.isfinite(train).any():
            return f"{self.replicas} replicas"
        return (f"accuracy: train {np.nanmean(train):.2f}, test {np.nanmean(test):.2f}, "
                f"{len(self._active(state))} running")

    def _broken(self, state: State) -> np.ndarray:
        return np.where(state.counters[:, trainer._BROKEN] >= 0,
                        state.counters[:, trainer._BROKEN].astype(float), np.nan)


@dataclasses.dataclass(frozen=True)
class Training(_Ensemble):
    """Protocol: training curves of independent initialisations.

    Parameters
    ----------
    system : Network
    settings : trainer.Settings
    replicas : int
        Independent initialisations; the split into train and test set is the same.
    steps : int
        Steps of each.
    hold : float
        Steps over which 95 % test accuracy must last to count as generalised.
    seed : int, optional
        Seed of the weights, in place of that of the run.
    """

    hold: float = 50.0
    seed: int | None = None

    def init(self, seed: int) -> State:
        """Draw the weights of every replica."""
        compile_apart(self.system)
        rng = streams(seed if self.seed is None else self.seed, ["training"], self.replicas)
        firsts = [trainer.init(self.system, self.settings, row)
                  for row in rng]
        state = self._begin(firsts[0], np.stack([first.rng for first in firsts]))
        for k, first in enumerate(firsts):
            state.theta[k], state.norm[k] = first.theta, first.norm
        return state

    def result(self, state: State) -> dict[str, Group]:
        """Group ``training``: curves, norms, times to memorise and to generalise."""
        names = list(self.system.layout)
        step = np.arange(self._rows()) * self.settings.eval_every
        group = Group()
        group.add("replica", np.arange(self.replicas), "replica", "1", "initialisation")
        group.add("step", step, "step", "steps", "training step")
        group.add("matrix", np.array(names), "matrix", "1", "weight matrix")
        unit, loss = self.system.loss_name
        texts = {"train_loss": (unit, f"{loss} of the train set"),
                 "test_loss": (unit, f"{loss} of the test set"),
                 "train_accuracy": ("1", f"{self.system.order_name} on the train set"),
                 "test_accuracy": ("1", f"{self.system.order_name} on the test set")}
        for name, (unit, text) in texts.items():
            group.add(name, getattr(state, name), ("replica", "step"), unit, text)
        group.add("weight_norm", state.norms, ("replica", "step", "matrix"), "1",
                  "Euclidean norm of each weight matrix")
        self._add_times(group, state, step)
        group.attributes["broken_replicas"] = int(np.isfinite(self._broken(state)).sum())
        group.attributes["steps"] = self.steps
        return {"training": group}

    def _add_times(self, group: Group, state: State, step: np.ndarray) -> None:
        replicas = range(self.replicas)
        memorised = [first_step(step, state.train_accuracy[k], MEMORISED) for k in replicas]
        half = [first_step(step, state.test_accuracy[k], 0.5) for k in replicas]
        full = [sustained_step(step, state.test_accuracy[k], 0.95, self.hold) for k in replicas]
        group.add("memorisation_step", memorised, "replica", "steps",
                  "first step with 99 % train accuracy; NaN: never")
        group.add("generalisation_step_50", half, "replica", "steps",
                  "first step with 50 % test accuracy; NaN: never")
        group.add("generalisation_step_95", full, "replica", "steps",
                  f"first step of 95 % test accuracy held over {self.hold:g} steps; NaN: never")
        group.add("broken_step", self._broken(state), "replica", "steps",
                  "step at which loss or weights ceased to be finite; NaN: never")


@dataclasses.dataclass(frozen=True)
class NetworkClones(_Ensemble):
    """Protocol: waiting times of clones of one checkpoint under weight noise.

    The checkpoint is the first evaluation of a noise-free run at which the train accuracy reaches
    ``plateau_accuracy``; clones go on from its weights and moments with noise of variance 2 lr T a
    step.  ``temperature`` 0 and one clone is the noise-free run.

    Parameters
    ----------
    system : Network
    settings : trainer.Settings
        With ``temperature``, ``event_threshold`` and ``event_hold``.
    replicas : int
        Number of clones.
    steps : int
        Censored after this many steps.
    plateau_accuracy : float
        Train accuracy that makes the checkpoint.
    search_steps : int
        Steps within which the checkpoint must be reached.
    """

    plateau_accuracy: float = 0.99
    search_steps: int = 10_000

    def init(self, seed: int) -> State:
        """Find the checkpoint and copy it.

        Raises
        ------
        ValueError
            If the plateau is not reached within ``search_steps``, or the event comes before it.
        """
        quiet = self.settings.model_copy(update={"temperature": 0.0})
        rng = streams(seed, ["training"], 1)[0]
        compile_apart(self.system)
        state = trainer.init(self.system, quiet, rng)
        room = trainer.scratch(self.system)
        with single_threaded_blas():
            while True:
                curves = trainer.advance(self.system, quiet, state,
                                       quiet.eval_every, room)
                if state.status != "running" or state.step > self.search_steps:
                    raise ValueError(
                        f"no plateau: by step {state.step} the run was {state.status!r} and the "
                        f"train accuracy had not reached {self.plateau_accuracy:g}; raise "
                        "training.steps or lower waiting_times.plateau_accuracy"
                    )
                if len(curves.step) and curves.train_accuracy[-1] >= self.plateau_accuracy:
                    break
        state.counters[trainer._EVALUATED] = -1  # the clones record the checkpoint too
        state.counters[trainer._HELD] = 0
        key = ["clones", self.settings.temperature]
        return self._begin(state, streams(seed, key, self.replicas))

    def result(self, state: State) -> dict[str, Group]:
        """Group ``waiting_times``: a time for each clone, censored or not; and the curves."""
        crossing = state.counters[:, trainer._CROSSING]
        crossed = crossing >= 0
        last = state.counters[:, trainer._STEP]
        broken = self._broken(state)
        time = (np.where(crossed, crossing, last) - state.start_step).astype(float)
        start_phi = float(state.test_accuracy[0, 0])
        mean, spread, transit, plateau, final = self._plateau(state, time)
        group = Group()
        group.add("clone", np.arange(self.replicas), "clone", "1", "clone of the checkpoint")
        group.add("step", np.arange(self._rows()) * self.settings.eval_every, "step", "steps",
                  "steps since the checkpoint")
        group.add("time", time, "clone", "steps", "waiting time (censored: the limit)")
        group.add("censored", ~crossed, "clone", "1", "1 where the event had not happened")
        group.add("transit", np.where(crossed, transit, np.nan), "clone", "steps",
                  "time from the last visit to the clone's mean order parameter to the event")
        group.add("plateau_mean", mean, "clone", "1", "mean test accuracy before the event")
        group.add("plateau_std", spread, "clone", "1",
                  "standard deviation of the test accuracy before the event")
        group.add("plateau_train_accuracy", plateau, "clone", "1",
                  "mean train accuracy before the event")
        group.add("final_order_parameter", final, "clone", "1", "test accuracy at the end")
        group.add("broken_step", broken, "clone", "steps",
                  "step at which loss or weights ceased to be finite; NaN: never")
        group.add("test_accuracy", state.test_accuracy, ("clone", "step"), "1", "test accuracy")
        group.add("train_accuracy", state.train_accuracy, ("clone", "step"), "1",
                  "train accuracy")
        group.attributes.update({
            "temperature": self.settings.temperature,
            "threshold": self.settings.event_threshold,
            "hold": float((self.settings.event_hold - 1) * self.settings.eval_every),
            "limit": float(self.steps),
            "start_order_parameter": start_phi,
            "checkpoint_step": state.start_step,
            "ended": self.replicas - len(self._active(state)),
            "broken_replicas": int(np.isfinite(broken).sum()),
            "rule": "clones of one checkpoint; only the thermal noise differs" + (
                ", and the order of minibatches" if state.order.size else ""),
        })
        return {"waiting_times": group}

    def _plateau(self, state: State, time):
        """Mean and spread of Phi before the event, transit time, train accuracy, last Phi."""
        n = self.replicas
        mean, spread, transit, train, final = (np.full(n, math.nan) for _ in range(5))
        step = np.arange(self._rows()) * self.settings.eval_every
        for k in range(n):
            phi = state.test_accuracy[k]
            before = np.isfinite(phi) & (step < max(time[k], 1.0))
            if not np.isfinite(phi).any():
                continue
            mean[k], spread[k] = phi[before].mean(), phi[before].std()
            train[k] = state.train_accuracy[k, before].mean()
            final[k] = phi[np.isfinite(phi)][-1]
            mean_so_far = np.cumsum(np.nan_to_num(phi)) / np.arange(1, len(phi) + 1)
            home = step[before & (phi <= mean_so_far)]
            transit[k] = time[k] - (home[-1] if len(home) else 0.0)
        return mean, spread, transit, train, final
