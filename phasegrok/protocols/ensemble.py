"""Replicas of a network in training: how they advance, and what is recorded of them.

Replicas run one a core, or with the engine torch stacked on one device.  A replica whose loss or
weights are not finite stops where it is, is recorded, and does not stop the others.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np

from phasegrok.compiled import n_threads, over_threads
from phasegrok.groups import Group
from phasegrok.networks.compiled.cold import compile_apart
from phasegrok.networks.compiled.kernels import single_threaded_blas
from phasegrok.networks.network import Network
from phasegrok.networks.training import kernel as trainer
from phasegrok.networks.training.ensemble_state import EnsembleState
from phasegrok.networks.training.observables import observables_of
from phasegrok.networks.training.settings import Settings
from phasegrok.networks.training.snapshots import snapshot_group, snapshot_steps
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
    STEP,
    Curves,
    Event,
    State,
)

_CURVES = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
_BY_MATRIX = ("norms", "moved")
_COPIES = 5  # of the snapshots while a run file is written: its image, the state packed, and theirs


def _rows(grid: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of the steps are on the grid, and their places there."""
    kept = np.isin(step, grid)
    return kept, np.searchsorted(grid, step[kept])


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """What training and clones share: advancing replicas and recording their curves."""

    system: Network
    settings: Settings
    replicas: int
    steps: int
    event: Event = NO_EVENT
    start: Callable[[], np.ndarray] | None = dataclasses.field(default=None, kw_only=True)
    unit: str = dataclasses.field(default="steps", init=False)

    replica_is: ClassVar[str] = "replica"
    events: ClassVar[tuple[str, ...]] = ()  # at which there may be snapshots

    @functools.cached_property
    def stacked(self):
        """What advances replicas that are stacked, with the engine torch."""
        from phasegrok.networks.training.stack_torch import (
            Trainer,  # PyTorch only where it is asked for
        )

        return Trainer(self.system, self.settings, self.replicas, self._engine_event)

    @functools.cached_property
    def observables(self):
        """Functions of the user's own that are called at evaluations."""
        return observables_of(self.settings)

    @property
    def _engine_event(self) -> Event:
        """What the engines watch for: they know the test accuracy, and no other observable."""
        return NO_EVENT if self.event.observable else self.event

    def memory(self) -> int:
        """Bytes of the state: weights, moments, what a filter keeps, the order, and the curves.

        With the engine torch on a CPU, those of the replicas that are stacked at once as well; with
        snapshots, those of the copies of them that are made where a run file is written.
        """
        itemsize = self.system.dtype.itemsize
        n = self.system.n_parameters
        curves = 8 * len(self._grid()) * (
            4 + 2 * len(self.system.layout) + len(self.settings.observables))
        kept = 8 if self.settings.filter != "none" else 0
        if self.settings.filter == "ma":
            kept += self.settings.filter_window * itemsize
        stacked = self.stacked.memory() if self.settings.engine == "torch" else 0
        stacked += (1 + _COPIES) * self.snapshot_bytes()
        return stacked + self.replicas * (n * (4 * itemsize + kept)
                                          + 8 * len(self.system.train.targets) + curves)

    def snapshot_bytes(self) -> int:
        """Bytes of the weights that snapshots keep."""
        each = self.system.n_parameters * self.system.dtype.itemsize
        return len(self.snapshot_at()) * self.replicas * each

    def snapshot_at(self) -> np.ndarray:
        """Steps since the start of the snapshots, (S,); -1: at an event."""
        if self.settings.snapshots == "events":
            return np.full(len(self.events), -1)
        return snapshot_steps(self.settings.snapshots, self.steps)

    def _grid(self) -> np.ndarray:
        """Steps at which the curves are kept: all evaluations."""
        return np.arange(0, self.steps + 1, self.settings.eval_every)

    def begin(self, first: State, rng: np.ndarray) -> EnsembleState:
        """Replicas that all start from ``first`` with their own generators."""
        r, grid, at = self.replicas, self._grid(), self.snapshot_at()

        def copies(array):
            return np.repeat(array[None], r, axis=0)

        curves = {name: np.full((r, len(grid)), np.nan) for name in _CURVES}
        curves |= {name: np.full((r, len(grid), len(self.system.layout)), np.nan)
                   for name in _BY_MATRIX}
        return EnsembleState(
            theta=copies(first.theta), m=copies(first.m), v=copies(first.v), rng=rng,
            counters=copies(first.counters), order=copies(first.order), mu=copies(first.mu),
            window=copies(first.window), norm=copies(first.norm), bias=copies(first.bias),
            grid=grid, clock=np.full((r, 4), np.nan), start_step=first.step, snapshot_at=at,
            snapshot_step=np.full((len(at), r), np.nan),
            snapshots=np.full((len(at), r, first.theta.size), np.nan, first.theta.dtype),
            observed=np.full((r, len(grid), len(self.settings.observables)), np.nan), **curves)

    def restore(self, saved: dict) -> EnsembleState:
        """The state of a checkpoint, with the grid of a run that may have been extended.

        Snapshots that were due by then stay, and those of the extended run are due from there on.
        """
        grid = self._grid()
        old, new = np.isin(saved["grid"], grid), np.isin(grid, saved["grid"])
        of_replicas = len(saved["counters"]), len(saved["grid"])
        saved.setdefault("observed", np.full((*of_replicas, 0), np.nan))
        for name in (*_CURVES, *_BY_MATRIX, "observed"):
            kept = saved[name]
            saved[name] = np.full((len(kept), len(grid), *kept.shape[2:]), np.nan)
            saved[name][:, new] = kept[:, old]
        saved["grid"] = grid
        self._renew_snapshots(saved)
        state = EnsembleState(**saved)
        self._take(state, self._active(state))
        return state

    def _renew_snapshots(self, saved: dict) -> None:
        """Leave out snapshots that are not due yet, and put in those of the run as it is now."""
        if "snapshots" not in saved:  # the state of an earlier version
            theta = saved["theta"]
            saved |= {"snapshot_at": np.zeros(0, np.int64),
                      "snapshot_step": np.zeros((0, len(theta))),
                      "snapshots": np.zeros((0, *theta.shape), theta.dtype)}
        reached = saved["counters"][:, STEP].max() - saved["start_step"]
        at, now = saved["snapshot_at"], self.snapshot_at()
        kept = at[at <= reached]
        new = now[(now >= reached) & ~np.isin(now, kept)]
        rows = np.flatnonzero(at <= reached)
        saved["snapshot_at"] = np.append(kept, new)
        for name in ("snapshot_step", "snapshots"):
            old = saved[name]
            saved[name] = np.full((len(kept) + len(new), *old.shape[1:]), np.nan, old.dtype)
            saved[name][: len(kept)] = old[rows]

    def total(self) -> int:
        """Steps of a replica."""
        return self.steps

    def _active(self, state: EnsembleState) -> np.ndarray:
        steps = state.counters[:, STEP] - state.start_step
        running = state.counters[:, STATUS] == RUNNING
        return np.flatnonzero(running & (steps < self.steps))

    def done(self, state: EnsembleState) -> int:
        """Steps made by the slowest replica that still runs; ``total`` when all have ended."""
        active = self._active(state)
        if len(active) == 0:
            return self.steps
        return int(state.counters[active, STEP].min()) - state.start_step

    def advance(self, state: EnsembleState, n: int) -> None:
        """Advance every replica that runs by up to ``n`` steps."""
        if not self.observables:
            self._advance(state, n)
            return
        every = self.settings.eval_every
        end = self.done(state) + n
        while len(active := self._active(state)):  # the blocks of an engine end at evaluations
            now = self.done(state)
            step = now + state.start_step
            unseen = step % every == 0 and (state.counters[active, EVALUATED] != step).any()
            if now >= end and not unseen:
                return
            held = state.counters[:, HELD].copy()
            self._advance(state, 0 if unseen else min(end - now, every - step % every))
            self._observe(state, active, held)

    def _observe(self, state: EnsembleState, replicas: np.ndarray, held: np.ndarray) -> None:
        """Call the observables of those that were evaluated just now, and watch for their event.

        ``held`` are the counters of the event before, which the engines do not know.
        """
        counters, event = state.counters, self.event
        seen = replicas[(counters[replicas, EVALUATED] == counters[replicas, STEP])
                        & (counters[replicas, BROKEN] < 0)]
        if event.observable:
            counters[:, HELD] = held
        if len(seen) == 0:
            return
        values = np.array([[f(self.system, state.theta[k]) for f in self.observables]
                           for k in seen])
        kept, row = _rows(state.grid, counters[seen, STEP] - state.start_step)
        state.observed[seen[kept], row] = values[kept]
        if not event.observable:
            return
        place = [f.name for f in self.observables].index(event.observable)
        counters[seen, HELD] = np.where(values[:, place] >= event.threshold, held[seen] + 1, 0)
        crossed = seen[(counters[seen, HELD] == event.hold) & (counters[seen, CROSSING] < 0)]
        counters[crossed, CROSSING] = (
            counters[crossed, STEP] - (event.hold - 1) * self.settings.eval_every)
        if event.stop:
            counters[crossed, STATUS] = EVENT
        self._take(state, crossed)

    def _advance(self, state: EnsembleState, n: int) -> None:
        if self.settings.engine == "torch":
            begin = self.done(state)
            for stop in self._cuts(state, begin, min(begin + n, self.steps)):
                active = self._active(state)
                self.stacked.advance(state, stop - begin, functools.partial(self._keep_step, state))
                self._take(state, active)
                begin = self.done(state)
                if begin != stop:  # all have ended
                    break
            return
        compile_apart(self.system, self.settings)
        active = self._active(state)
        groups = np.array_split(active, min(len(active), n_threads()))

        def run(g):
            room = trainer.scratch(self.system)
            for k in groups[g]:
                self._advance_one(state, int(k), n, room)

        with single_threaded_blas():
            over_threads(run, len(groups))

    def _end(self, state: EnsembleState) -> dict[str, np.ndarray]:
        """Curves and norms at the present step, a row a replica; NaN where it is not finite.

        The step need not be one of the evaluations.  The state stays as it is: a run that is
        extended goes on as if it had not been looked at.
        """
        found = {name: np.full(self.replicas, np.nan) for name in _CURVES}
        found["norms"] = np.full((self.replicas, len(self.system.layout)), np.nan)
        if self.settings.engine == "torch":
            def keep(replicas, _step, **values):
                for name, x in values.items():
                    found[name][replicas] = x

            self.stacked.evaluate(state, keep)
            return found
        compile_apart(self.system, self.settings)
        groups = np.array_split(np.arange(self.replicas), min(self.replicas, n_threads()))

        def run(g):
            room = trainer.scratch(self.system)
            for k in groups[g]:
                curves = trainer.evaluate(self.system, self.settings, state.replica(k), room)
                for name, x in found.items():
                    x[k] = getattr(curves, name)[0]

        with single_threaded_blas():
            over_threads(run, len(groups))
        return found

    def _advance_one(self, state: EnsembleState, k: int, n: int, room) -> None:
        replica = state.replica(k)
        begin = replica.step - state.start_step
        for stop in self._cuts(state, begin, min(begin + n, self.steps)):
            self._keep(state, k, trainer.advance(self.system, self.settings, replica, stop - begin,
                                                 room, self._engine_event))
            self._take(state, np.array([k]))
            if replica.status != "running":
                break
            begin = stop

    def _cuts(self, state: EnsembleState, begin: int, end: int) -> Iterator[int]:
        """Where a block of steps is cut to look for snapshots: steps since the start, then end."""
        if self.settings.snapshots == "events":
            every, first = self.settings.eval_every, state.start_step + begin
            yield from range(-(-first // every) * every - state.start_step, end, every)
        else:
            at = state.snapshot_at
            yield from at[(begin < at) & (at < end)].tolist()
        yield end

    def _take(self, state: EnsembleState, replicas: np.ndarray) -> None:
        """Keep the weights of replicas that are at a snapshot."""
        if len(state.snapshot_at) == 0:
            return
        step = state.counters[replicas, STEP] - state.start_step
        due_sr = state.snapshot_at[:, None] == step
        if self.settings.snapshots == "events":
            due_sr = self._seen(state)[replicas].T
        due_sr &= np.isnan(state.snapshot_step[:, replicas])
        due_sr &= state.counters[replicas, STATUS] != NOT_FINITE
        for s, r in zip(*np.nonzero(due_sr)):
            state.snapshot_step[s, replicas[r]] = step[r]
            state.snapshots[s, replicas[r]] = state.theta[replicas[r]]

    def _seen(self, state: EnsembleState) -> np.ndarray:
        """Which of the ``events`` each replica has had, (R, events)."""
        return np.zeros((len(state.counters), len(self.events)), bool)

    def _weights(self, state: EnsembleState) -> dict[str, Group]:
        """Group ``weights``, where a snapshot was taken."""
        if not np.isfinite(state.snapshot_step).any():
            return {}
        names = np.array(self.events) if self.settings.snapshots == "events" else state.snapshot_at
        return {"weights": snapshot_group(self.system, names, state.snapshot_step,
                                          state.snapshots, self.replica_is)}

    def _keep(self, state: EnsembleState, k: int, curves: Curves) -> None:
        """Read the clock of the k-th replica, and keep what is on the grid."""
        for step, *accuracy in zip(curves.step, curves.train_accuracy, curves.test_accuracy):
            self._watch(state.clock[k : k + 1], step, *accuracy)
        kept, row = _rows(state.grid, curves.step - state.start_step)
        for name in (*_CURVES, "norms"):
            getattr(state, name)[k, row] = getattr(curves, name)[kept]
        kept, row = _rows(state.grid, curves.moved_step - state.start_step)
        state.moved[k, row] = curves.moved[kept]

    def _keep_step(self, state: EnsembleState, replicas: np.ndarray, step: int, **values) -> None:
        """The same of one step of many replicas: curves by name, a row a replica."""
        if "train_accuracy" in values:
            clock = state.clock[replicas]
            self._watch(clock, step, values["train_accuracy"], values["test_accuracy"])
            state.clock[replicas] = clock
        kept, row = _rows(state.grid, np.array([step - state.start_step]))
        if kept[0]:
            for name, x in values.items():
                getattr(state, name)[replicas, row[0]] = x

    def _add_observables(self, group: Group, state: EnsembleState, dims: tuple[str, str]) -> None:
        for k, f in enumerate(self.observables):
            x = state.observed[..., k]
            group.add(f.name, x, dims, f.unit, f.text)
            there = np.isfinite(x)
            n = there.sum(axis=0)
            mean = np.where(there, x, 0.0).sum(axis=0) / np.maximum(n, 1)
            square = np.where(there, x - mean, 0.0) ** 2
            error = np.sqrt(square.sum(axis=0) / np.maximum(n * (n - 1.0), 1.0))
            mean, error = np.where(n > 0, mean, np.nan), np.where(n > 1, error, np.nan)
            group.add(f"{f.name}_mean", mean, dims[1:], f.unit,
                      f"mean over the replicas that were there: {f.text}")
            group.add(f"{f.name}_mean_err", error, dims[1:], f.unit,
                      f"standard error of {f.name}_mean; NaN: fewer than two")

    def _watch(self, clock: np.ndarray, step, train, test) -> None:
        """Read the clocks (R, 4) at an evaluation of R replicas; only training has them."""

    def status(self, state: EnsembleState) -> str:
        """One phrase for the progress display."""
        last = max(0, int(np.searchsorted(state.grid, self.done(state))) - 1)
        train, test = state.train_accuracy[:, last], state.test_accuracy[:, last]
        if not np.isfinite(train).any():
            return f"{self.replicas} replicas"
        return (f"accuracy: train {np.nanmean(train):.2f}, test {np.nanmean(test):.2f}, "
                f"{len(self._active(state))} running")

    def _broken(self, state: EnsembleState) -> np.ndarray:
        return np.where(state.counters[:, BROKEN] >= 0,
                        state.counters[:, BROKEN].astype(float), np.nan)
