"""First passages of continuous systems: clones of one metastable state that differ in their noise.

One chain from the prior is prepared below a wall, which no unit crosses.  Clones of its last state,
with velocities and noise of their own, follow the GHMC of :mod:`phasegrok.dynamics.langevin` until
the |order parameter| of a unit reaches a threshold beyond the wall.
"""

import dataclasses
from typing import Any

import numpy as np

from phasegrok.compiled import n_threads, over_threads
from phasegrok.dynamics.langevin import ghmc_until, prior_below
from phasegrok.groups import Group
from phasegrok.rng import fill_normal, streams
from phasegrok.systems.continuous import for_kernels


@dataclasses.dataclass
class State:
    """Clones: where they are, and when they crossed."""

    xi: np.ndarray  # (C, n)
    v: np.ndarray  # (C, n)
    rng: np.ndarray  # (C, 4)
    steps: np.ndarray  # (C,) made so far
    crossed: np.ndarray  # (C,) bool


@dataclasses.dataclass(frozen=True)
class Escape:
    """Protocol: waiting times of clones of one prepared state.

    Parameters
    ----------
    system : ContinuousSystem
        What moves.
    step, friction : float
        Of GHMC.
    wall : float
        |order parameter| that no unit reaches in the preparation.
    threshold : float
        Largest |order parameter| of a unit at which the event happens.
    clones : int
        Clones.
    limit : int
        Steps after which a clone is censored.
    preparation : int
        Steps of the preparation.
    """

    system: Any
    step: float
    friction: float
    wall: float
    threshold: float
    clones: int
    limit: int
    preparation: int
    unit: str = dataclasses.field(default="steps", init=False)

    def total(self) -> int:
        """Most steps of a clone."""
        return self.limit

    def done(self, state: State) -> int:
        """Steps made, those of a clone that has crossed counted as all; mean over clones."""
        return int(np.where(state.crossed, self.limit, state.steps).sum()) // self.clones

    def _waiting(self, state: State) -> np.ndarray:
        return np.flatnonzero(~state.crossed & (state.steps < self.limit))

    def memory(self) -> int:
        """Bytes of the state, and as much again for its checkpoint."""
        return 32 * self.clones * self.system.n_coordinates

    def _rooms(self) -> tuple[np.ndarray, np.ndarray]:
        return (np.empty((4, self.system.n_coordinates)), np.empty((self.system.n_units, 2)))

    def init(self, seed: int) -> State:
        """Prepare one state, and copies of it with velocities of their own.

        Raises
        ------
        ValueError
            If the prior has no state below the wall.
        """
        from phasegrok.networks.compiled.kernels import single_threaded_blas

        rng = streams(seed, ["escape", self.step], self.clones + 1)
        v = np.empty((self.clones + 1, self.system.n_coordinates))
        for k in range(self.clones + 1):
            fill_normal(rng[k], v[k])
        with single_threaded_blas():
            xi = prior_below(self.system, self.wall, rng[-1])
            system, work = for_kernels(self.system)
            ghmc_until(system, self.step, self.friction, self.wall, np.inf, self.preparation, xi,
                       v[-1], rng[-1], work, *self._rooms())
        return State(np.tile(xi, (self.clones, 1)), v[:-1].copy(), rng[:-1].copy(),
                     np.zeros(self.clones, np.int64), np.zeros(self.clones, bool))

    def restore(self, saved: dict[str, Any]) -> State:
        """The state of a checkpoint."""
        return State(**saved)

    def advance(self, state: State, n: int) -> None:
        """Advance every clone that still waits by ``n`` steps."""
        from phasegrok.networks.compiled.kernels import single_threaded_blas

        waiting = self._waiting(state)
        groups = np.array_split(waiting, min(max(1, len(waiting)), n_threads()))
        systems = [for_kernels(self.system) for _ in groups]

        def run(g):
            (system, work), rooms = systems[g], self._rooms()
            for k in groups[g]:
                most = int(min(n, self.limit - state.steps[k]))
                made = ghmc_until(system, self.step, self.friction, np.inf, self.threshold, most,
                                  state.xi[k], state.v[k], state.rng[k], work, *rooms)
                state.crossed[k] = made >= 0
                state.steps[k] += made if made >= 0 else most

        with single_threaded_blas():
            over_threads(run, len(groups))

    def status(self, state: State) -> str:
        """How many have crossed."""
        return f"{int(state.crossed.sum())} of {self.clones} crossed"

    def result(self, state: State) -> dict[str, Group]:
        """Group ``waiting_times``: a time for each clone, censored or not."""
        group = Group(attributes={
            "threshold": self.threshold, "wall": self.wall, "limit": self.limit * self.step,
            "time_unit": "time", "step": self.step, "friction": self.friction,
            "preparation": self.preparation,
            "rule": "clones of one checkpoint; only the thermal noise differs"})
        group.add("clone", np.arange(self.clones), "clone", "1", "clone of the checkpoint")
        group.add("time", self.step * state.steps, "clone", "1",
                  "waiting time, in units in which the prior relaxes (censored: watched so long)")
        group.add("censored", ~state.crossed, "clone", "1", "1 where the event was not seen")
        return {"waiting_times": group}
