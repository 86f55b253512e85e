"""First passages of continuous systems: clones of one metastable state that differ in their noise.

A chain from the prior is prepared with the event closed: whenever a unit reaches the threshold, the
chain goes back to where it was some steps before and draws a new velocity.  Clones of its last
state, with their own velocities and noise, follow the GHMC of :mod:`phasegrok.dynamics.langevin`
until the largest |order parameter| of a unit reaches the threshold.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from phasegrok.compiled import kernel, n_threads, over_threads
from phasegrok.dynamics.langevin import _ghmc
from phasegrok.rng import fill_normal, streams
from phasegrok.runfile import Group
from phasegrok.systems.continuous import gradient, units

_BACK = 100  # steps after which the preparation keeps where it is


@kernel
def _largest(system, xi, work, order):
    """Largest |order parameter| of a unit."""
    units(system, xi, work, order)
    most = 0.0
    for k in range(order.shape[0]):
        most = max(most, abs(order[k, 0]))
    return most


@kernel
def _prepare(system, h, friction, threshold, n_steps, xi, v, rng, work, room, order):
    """Chain of ``n_steps`` that never reaches the threshold; returns how often it went back."""
    slope, fresh, old_xi, old_slope, kept = room[0], room[1], room[2], room[3], room[4]
    energy = gradient(system, xi, work, slope)
    kept[:] = xi
    back = 0
    for step in range(n_steps):
        energy, _ = _ghmc(system, xi, v, slope, old_xi, old_slope, fresh, energy, rng, h, friction,
                          work)
        if _largest(system, xi, work, order) >= threshold:
            back += 1
            xi[:] = kept
            fill_normal(rng, v)
            energy = gradient(system, xi, work, slope)
        elif step % _BACK == 0:
            kept[:] = xi
    return back


@kernel
def _wait(system, h, friction, threshold, n_steps, xi, v, rng, work, room, order):
    """Steps until the threshold, or -1 if it is not reached in ``n_steps``."""
    slope, fresh, old_xi, old_slope = room[0], room[1], room[2], room[3]
    energy = gradient(system, xi, work, slope)
    for step in range(n_steps):
        energy, _ = _ghmc(system, xi, v, slope, old_xi, old_slope, fresh, energy, rng, h, friction,
                          work)
        if _largest(system, xi, work, order) >= threshold:
            return step + 1
    return -1


@dataclasses.dataclass
class State:
    """Clones: where they are, and when they crossed."""

    xi: np.ndarray  # (C, n)
    v: np.ndarray  # (C, n)
    rng: np.ndarray  # (C, 4)
    steps: np.ndarray  # (C,) made so far
    crossed: np.ndarray  # (C,) bool
    back: int
    start: float


@dataclasses.dataclass(frozen=True)
class Escape:
    """Protocol: waiting times of clones of one prepared state.

    Parameters
    ----------
    system : ContinuousSystem
        What moves.
    step, friction : float
        Of GHMC.
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
    threshold: float
    clones: int
    limit: int
    preparation: int
    unit: str = dataclasses.field(default="steps", init=False)

    def total(self) -> int:
        """Most steps of a clone."""
        return self.limit

    def done(self, state: State) -> int:
        """Steps made by the clones that still wait; all of them where none does."""
        waiting = ~state.crossed & (state.steps < self.limit)
        return int(state.steps[waiting].min()) if waiting.any() else self.limit

    def memory(self) -> int:
        """Bytes of the state, and as much again for its checkpoint."""
        return 32 * self.clones * self.system.n_coordinates

    def _rooms(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return (np.empty(self.system.work_size), np.empty((5, self.system.n_coordinates)),
                np.empty((self.system.n_units, 2)))

    def init(self, seed: int) -> State:
        """Prepare one state, and copies of it with velocities of their own."""
        from phasegrok.systems.transformer_compiled import single_threaded_blas

        n = self.system.n_coordinates
        rng = streams(seed, ["escape", self.step], self.clones + 1)
        xi, v = np.empty((2, n))
        work, room, order = self._rooms()
        with single_threaded_blas():
            for _ in range(1000):
                fill_normal(rng[-1], xi)
                if _largest(self.system, xi, work, order) < self.threshold:
                    break
            fill_normal(rng[-1], v)
            back = _prepare(self.system, self.step, self.friction, self.threshold,
                            self.preparation, xi, v, rng[-1], work, room, order)
            start = _largest(self.system, xi, work, order)
        velocities = np.empty((self.clones, n))
        for k in range(self.clones):
            fill_normal(rng[k], velocities[k])
        return State(np.tile(xi, (self.clones, 1)), velocities, rng[: self.clones].copy(),
                     np.zeros(self.clones, np.int64), np.zeros(self.clones, bool), int(back),
                     float(start))

    def restore(self, saved: dict[str, Any]) -> State:
        """The state of a checkpoint."""
        return State(**saved)

    def advance(self, state: State, n: int) -> None:
        """Advance every clone that still waits by ``n`` steps."""
        from phasegrok.systems.transformer_compiled import single_threaded_blas

        waiting = np.flatnonzero(~state.crossed & (state.steps < self.limit))
        groups = np.array_split(waiting, min(max(1, len(waiting)), n_threads()))

        def run(g):
            work, room, order = self._rooms()
            for k in groups[g]:
                most = int(min(n, self.limit - state.steps[k]))
                made = _wait(self.system, self.step, self.friction, self.threshold, most,
                             state.xi[k], state.v[k], state.rng[k], work, room, order)
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
            "threshold": self.threshold, "limit": float(self.limit), "time_unit": "steps",
            "step": self.step, "start_order_parameter": state.start,
            "preparation": self.preparation, "turned_back": state.back,
            "rule": "clones of one checkpoint; only the thermal noise differs"})
        ended = state.crossed | (state.steps >= self.limit)
        group.attributes["ended"] = int(ended.sum())
        group.add("clone", np.arange(self.clones), "clone", "1", "clone of the checkpoint")
        group.add("time", state.steps.astype(float), "clone", "steps",
                  "waiting time (censored: the limit)")
        group.add("censored", ~state.crossed, "clone", "1", "1 where the event had not happened")
        return {"waiting_times": group}


def slope(barrier_k: np.ndarray, tau_k: np.ndarray, tau_err_k: np.ndarray) -> tuple[float, float]:
    """Slope of ln tau against the barrier with its error, widened by the scatter about the line.

    nan where fewer than three points are known.
    """
    known = np.isfinite(barrier_k) & np.isfinite(tau_k) & (tau_err_k > 0.0)
    if known.sum() < 3:
        return math.nan, math.nan
    x, y, error = barrier_k[known], np.log(tau_k[known]), tau_err_k[known] / tau_k[known]
    weight = 1.0 / error**2
    mean = (weight @ x) / weight.sum()
    spread = weight @ (x - mean) ** 2
    value = float(weight @ ((x - mean) * y) / spread)
    rest = y - (weight @ y) / weight.sum() - value * (x - mean)
    chi2 = float(weight @ rest**2) / (len(x) - 2)
    return value, math.sqrt(max(1.0, chi2) / spread)
