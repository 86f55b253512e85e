"""Training curves of independent initialisations of a network."""

import dataclasses

import numpy as np

from phasegrok.groups import Group
from phasegrok.networks.compiled.cold import compile_apart
from phasegrok.networks.training import kernel as trainer
from phasegrok.networks.training.ensemble_state import EnsembleState
from phasegrok.networks.training.state import (
    ACCEPTED,
    CROSSING,
    STEP,
)
from phasegrok.networks.updates.free_diffusion import free_norm
from phasegrok.networks.updates.table import row_of
from phasegrok.protocols.ensemble import Ensemble
from phasegrok.rng import streams

MEMORISED, HALF, GENERALISED = 0.99, 0.5, 0.95  # train accuracy, then test accuracies of the clock

@dataclasses.dataclass(frozen=True)
class Training(Ensemble):
    """Protocol: training curves of independent initialisations.

    Curves are kept at evaluations on a grid that is even at first and logarithmic later; the times
    to memorise and to generalise are read from every evaluation.

    Parameters
    ----------
    system : Network
    settings : Settings
    replicas : int
        Independent initialisations; the split into train and test set is the same.
    steps : int
        Steps of each.
    event : Event
        What a replica waits for, and whether it ends there.
    hold : float
        Steps over which 95 % test accuracy must last to count as generalised.
    seed : int, optional
        Seed of the weights, in place of that of the run.
    per_decade : int
        Points of the curves in a decade of steps; 0: every evaluation.
    start : callable, optional
        Gives theta with which all replicas start, in place of weights that are drawn; called when
        the run begins.
    """

    hold: float = 50.0
    seed: int | None = None
    per_decade: int = 100

    replica_is = "initialisation"
    events = ("memorisation", "half", "generalisation")

    def _grid(self) -> np.ndarray:
        every = super()._grid()
        if self.per_decade == 0 or len(every) == 1:
            return every
        decade = np.floor(self.per_decade * np.log10(np.maximum(1, every)) + 1e-9)
        first = np.flatnonzero(np.diff(decade, prepend=-1.0))  # the first of each interval
        return every[np.union1d(first, [0, len(every) - 1])]

    def _watch(self, clock: np.ndarray, step, train, test) -> None:
        memorised, half, since, full = clock.T  # views

        def first(times, reached):
            times[np.isnan(times) & reached] = step

        first(memorised, train >= MEMORISED)
        first(half, test >= HALF)
        above = test >= GENERALISED
        since[np.broadcast_to(~above, since.shape)] = np.nan
        first(since, above)
        held = np.isnan(full) & (step - since >= self.hold)
        full[held] = since[held]

    def _seen(self, state: EnsembleState) -> np.ndarray:
        return np.isfinite(state.clock[:, [0, 1, 3]])

    def init(self, seed: int) -> EnsembleState:
        """Draw the weights of every replica."""
        if self.settings.engine == "compiled":
            compile_apart(self.system, self.settings)
        rng = streams(seed if self.seed is None else self.seed, ["training"], self.replicas)
        theta = None if self.start is None else self.start()
        firsts = [trainer.init(self.system, self.settings, row, theta) for row in rng]
        state = self.begin(firsts[0], np.stack([first.rng for first in firsts]))
        for k, first in enumerate(firsts):
            state.theta[k], state.norm[k] = first.theta, first.norm
        self._take(state, np.arange(self.replicas))
        return state

    def result(self, state: EnsembleState) -> dict[str, Group]:
        """Group ``training``: curves, norms, times to memorise and to generalise; ``weights``."""
        names = list(self.system.layout)
        group = Group()
        group.add("replica", np.arange(self.replicas), "replica", "1", "initialisation")
        group.add("step", state.grid, "step", "steps", "training step")
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
        group.add("update_norm", state.moved, ("replica", "step", "matrix"), "1",
                  "Euclidean norm of the update that follows of each weight matrix")
        self._add_observables(group, state, ("replica", "step"))
        end = self._end(state)
        group.add("final_step", state.counters[:, STEP], "replica", "steps",
                  "last step of the replica")
        for name, (unit, text) in texts.items():
            group.add(f"final_{name}", end[name], "replica", unit, f"{text}, at its last step")
        group.add("final_weight_norm", end["norms"], ("replica", "matrix"), "1",
                  "Euclidean norm of each weight matrix, at the last step")
        self._add_diffusion(group, state)
        self._add_times(group, state, end)
        if self.event.observable:
            crossing = state.counters[:, CROSSING].astype(float)
            group.add("event_step", np.where(crossing < 0, np.nan, crossing), "replica", "steps",
                      f"first step of {self.event.observable} >= {self.event.threshold:g} held "
                      f"over {self.event.hold} evaluations; NaN: never")
        group.attributes["broken_replicas"] = int(np.isfinite(self._broken(state)).sum())
        group.attributes["steps"] = self.steps
        row = row_of(self.settings)
        if row.monte_carlo:
            steps = np.maximum(1, state.counters[:, STEP])
            group.add("acceptance", state.counters[:, ACCEPTED] / steps, "replica", "1",
                      "share of the proposals that were accepted")
        if row.velocities:
            group.add("kinetic_temperature", np.mean(state.m.astype(float) ** 2, axis=1), "replica",
                      "1", "mean square velocity at the end; T where the step is small enough")
        if state.bias.size:
            self._add_bias(group, state)
        return {"training": group, **self._weights(state)}

    def _add_bias(self, group: Group, state: EnsembleState) -> None:
        s = self.settings
        group.add("x", np.linspace(*s.x_range, s.x_bins + 1), "x", "nat", "ln of the train loss")
        group.add("deposits", state.bias, ("replica", "x"), "1",
                  "Wang-Landau bias W(x), in units of x")

    def _add_diffusion(self, group: Group, state: EnsembleState) -> None:
        """Beside the norm, where there is noise, that of weights that feel the noise alone."""
        free = free_norm(self.settings, self.system.n_parameters, state.norm[:, 0], state.grid)
        if free is not None:
            group.add("free_norm", free, ("replica", "step"), "1", "root of the mean square norm "
                      "of all weights without the force of the loss: free diffusion, with decay")
            last = state.counters[:, STEP]
            steps, row = np.unique(last, return_inverse=True)
            ends = free_norm(self.settings, self.system.n_parameters, state.norm[:, 0], steps)
            assert ends is not None  # as ``free``
            group.add("final_free_norm", ends[np.arange(self.replicas), row], "replica", "1",
                      "free_norm at the last step of the replica")

    def _add_times(self, group: Group, state: EnsembleState, end: dict[str, np.ndarray]) -> None:
        clock, last = state.clock.copy(), state.counters[:, STEP]
        for k in range(self.replicas):  # the last step is an evaluation of this run, as any other
            self._watch(clock[k : k + 1], last[k], end["train_accuracy"][k],
                        end["test_accuracy"][k])
        memorised, half, _, full = clock.T
        group.add("memorisation_step", memorised, "replica", "steps",
                  "first step with 99 % train accuracy; NaN: never")
        group.add("generalisation_step_50", half, "replica", "steps",
                  "first step with 50 % test accuracy; NaN: never")
        group.add("generalisation_step_95", full, "replica", "steps",
                  f"first step of 95 % test accuracy held over {self.hold:g} steps; NaN: never")
        group.add("broken_step", self._broken(state), "replica", "steps",
                  "step at which loss or weights ceased to be finite; NaN: never")
