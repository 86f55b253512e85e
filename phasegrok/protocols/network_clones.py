"""Clones of one checkpoint of a network: when they generalise."""

import dataclasses
import math

import numpy as np

from phasegrok.groups import Group
from phasegrok.networks.compiled.cold import compile_apart
from phasegrok.networks.training import kernel as trainer
from phasegrok.networks.training.ensemble_state import EnsembleState
from phasegrok.networks.training.settings import Settings
from phasegrok.networks.training.state import (
    BROKEN,
    CROSSING,
    EVALUATED,
    HELD,
    STEP,
    State,
)
from phasegrok.protocols.ensemble import Ensemble
from phasegrok.rng import streams


@dataclasses.dataclass(frozen=True)
class NetworkClones(Ensemble):
    """Protocol: waiting times of clones of one checkpoint under weight noise.

    The checkpoint is the first evaluation of a noise-free run at which the train accuracy reaches
    ``plateau_accuracy``; clones go on from its weights and moments with noise of variance 2 lr T a
    step.  ``temperature`` 0 and one clone is the noise-free run.

    Parameters
    ----------
    system : Network
    settings : Settings
        With ``temperature``.
    replicas : int
        Number of clones.
    steps : int
        Censored after this many steps.
    event : Event
        What they wait for.
    plateau_accuracy : float
        Train accuracy that makes the checkpoint.
    search_steps : int
        Steps within which the checkpoint must be reached.
    start : callable, optional
        Gives theta of the checkpoint, which is not searched for then; called when the run begins.
    """

    plateau_accuracy: float = 0.99
    search_steps: int = 10_000

    replica_is = "clone of the checkpoint"
    events = ("checkpoint", "event")

    def _seen(self, state: EnsembleState) -> np.ndarray:
        return np.stack([np.ones(self.replicas, bool), state.counters[:, CROSSING] >= 0], axis=1)

    def init(self, seed: int) -> EnsembleState:
        """Find the checkpoint and copy it.

        Raises
        ------
        ValueError
            If the plateau is not reached within ``search_steps``, or the event comes before it.
        """
        quiet = self.settings.model_copy(update={"temperature": 0.0})
        rng = streams(seed, ["training"], 1)
        if self.start is None:
            first, optimiser = self._found(quiet, rng)
        else:
            first, optimiser = trainer.init(self.system, quiet, rng[0], self.start()), None
        first.counters[EVALUATED] = -1  # the clones record the checkpoint too
        first.counters[HELD] = 0
        key = ["clones", self.settings.temperature]
        state = self.begin(first, streams(seed, key, self.replicas))
        if optimiser is not None:
            state.optimiser = np.repeat(optimiser, self.replicas, axis=0)
        self._take(state, np.arange(self.replicas))
        if self.start is not None:
            self._refuse_event(state)
        return state

    def _found(self, quiet: Settings, rng: np.ndarray) -> tuple[State, np.ndarray]:
        """The checkpoint, searched for without noise, and the state of an own optimiser there."""
        quiet = quiet.model_copy(update={"snapshots": "none"})
        every = quiet.eval_every
        one = Ensemble(self.system, quiet, 1, self.search_steps + 2 * every, self.event)
        if quiet.engine == "compiled":
            compile_apart(self.system, quiet)
        found = one.begin(trainer.init(self.system, quiet, rng[0]), rng)
        state = found.replica(0)
        while True:
            one.advance(found, every)
            if state.status == "event":
                raise ValueError(self._too_early(state))
            if state.status != "running" or state.step > self.search_steps:
                raise ValueError(
                    f"no plateau: by step {state.step} the run was {state.status!r} and the "
                    f"train accuracy had not reached {self.plateau_accuracy:g}; raise "
                    "training.steps or lower waiting_times.plateau_accuracy"
                )
            if found.train_accuracy[0, state.step // every] >= self.plateau_accuracy:
                return state, found.optimiser

    def _too_early(self, state: State) -> str:
        """The sentence on an event before the checkpoint."""
        step = state.crossing_step
        where = "at the start" if step == 0 else f"at step {step}"
        lower = "" if step == 0 else ", or lower waiting_times.plateau_accuracy"
        return (f"the event is there {where}, before a train accuracy of "
                f"{self.plateau_accuracy:g}, so that clones have nothing to wait for: give "
                f"another [event]{lower}")

    def _refuse_event(self, state: EnsembleState) -> None:
        order = self._order(state)[1][0]
        if not order < self.event.threshold:
            raise ValueError(f"at the weights of training.start_from the event's observable is "
                             f"{order:g}, and the event is at {self.event.threshold:g}: give a "
                             "checkpoint before it")

    def result(self, state: EnsembleState) -> dict[str, Group]:
        """Group ``waiting_times``: a time for each clone, censored or not; and the curves."""
        crossing = state.counters[:, CROSSING]
        crossed = crossing >= 0
        last = state.counters[:, STEP]
        broken = self._broken(state)
        phi, end, what = self._order(state)
        time = (np.where(crossed, crossing, last) - state.start_step).astype(float)
        mean, spread, transit, plateau = self._plateau(state, time, phi)
        group = Group()
        group.add("clone", np.arange(self.replicas), "clone", "1", "clone of the checkpoint")
        group.add("step", state.grid, "step", "steps",
                  "steps since the checkpoint")
        group.add("time", time, "clone", "steps", "waiting time (censored: the limit)")
        group.add("censored", ~crossed, "clone", "1", "1 where the event had not happened")
        group.add("transit", np.where(crossed, transit, np.nan), "clone", "steps",
                  "time from the last visit to the clone's mean order parameter to the event")
        group.add("plateau_mean", mean, "clone", "1", f"mean {what} before the event")
        group.add("plateau_std", spread, "clone", "1",
                  f"standard deviation of the {what} before the event")
        group.add("plateau_train_accuracy", plateau, "clone", "1",
                  "mean train accuracy before the event")
        group.add("final_order_parameter", end, "clone", "1", f"{what} at the last step")
        group.add("broken_step", broken, "clone", "steps",
                  "step at which loss or weights ceased to be finite; NaN: never")
        group.add("test_accuracy", state.test_accuracy, ("clone", "step"), "1", "test accuracy")
        group.add("train_accuracy", state.train_accuracy, ("clone", "step"), "1",
                  "train accuracy")
        self._add_observables(group, state, ("clone", "step"))
        group.attributes.update({
            "temperature": self.settings.temperature,
            "threshold": self.event.threshold,
            "hold": float((self.event.hold - 1) * self.settings.eval_every),
            "limit": float(self.steps),
            "start_order_parameter": float(phi[0, 0]),
            "checkpoint_step": state.start_step,
            "ended": self.replicas - len(self._active(state)),
            "broken_replicas": int(np.isfinite(broken).sum()),
            "rule": "clones of one checkpoint; only the thermal noise differs" + (
                ", and the order of minibatches" if state.order.size else ""),
        })
        return {"waiting_times": group, **self._weights(state)}

    def _order(self, state: EnsembleState) -> tuple[np.ndarray, np.ndarray, str]:
        """What the event is seen in: curves of the clones, values at the last step, its name."""
        if not self.event.observable:
            return state.test_accuracy, self._end(state)["test_accuracy"], "test accuracy"
        place = [f.name for f in self.observables].index(self.event.observable)
        f, fine = self.observables[place], state.counters[:, BROKEN] < 0
        end = [f(self.system, theta) if whole else np.nan
               for theta, whole in zip(state.theta, fine)]
        return state.observed[..., place], np.array(end), f.name

    def _plateau(self, state: EnsembleState, time, phi_r):
        """Mean and spread of Phi before the event, transit time, train accuracy."""
        n = self.replicas
        mean, spread, transit, train = (np.full(n, math.nan) for _ in range(4))
        step = state.grid
        for k in range(n):
            phi = phi_r[k]
            before = np.isfinite(phi) & (step < max(time[k], 1.0))
            if not np.isfinite(phi).any():
                continue
            mean[k], spread[k] = phi[before].mean(), phi[before].std()
            train[k] = state.train_accuracy[k, before].mean()
            mean_so_far = np.cumsum(np.nan_to_num(phi)) / np.arange(1, len(phi) + 1)
            home = step[before & (phi <= mean_so_far)]
            transit[k] = time[k] - (home[-1] if len(home) else 0.0)
        return mean, spread, transit, train
