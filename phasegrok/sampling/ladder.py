"""Time series of E and Phi on ladders of temperatures, for reweighting both together.

R independent ladders of K rungs: replica r of every rung belongs to ladder r, and exchanges are
only within a ladder.  Ladders are therefore the independent blocks of every jackknife.  Half of
them start ordered and half at random.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from phasegrok.dynamics.replicas import Engine, Replicas
from phasegrok.rng import streams
from phasegrok.runfile import Group
from phasegrok.sampling.canonical import _fill_uniform
from phasegrok.systems.discrete import n_values, prepare, value_of

STRIDE = 10
"""Sweeps between two attempts to exchange; the total is rounded up to a multiple."""

EVERY = 5
"""Sweeps between two measurements."""


@dataclasses.dataclass
class State(Replicas):
    """Replicas at every temperature and their series; K rungs, R ladders."""

    sweeps: int
    energy_krt: np.ndarray  # float32 (K, R, measurements): E of the whole system
    phi_krt: np.ndarray  # the same of Phi, intensive
    exchange_rng: np.ndarray  # uint64 (4,)
    attempts: np.ndarray  # (K - 1, 2): attempted and accepted exchanges


def even(system) -> bool:
    """Whether the energy is the same with every spin reversed, seen on random configurations."""
    local = [int(value_of(system, k)) for k in range(n_values(system))]
    if {*local} != {-value for value in local}:
        return False
    cache = np.zeros(system.cache_size, dtype=np.int64)
    for sigma in np.random.default_rng(0).choice(np.array(local, np.int8), (8, system.n_sites)):
        energy, reversed_ = (prepare(system, s, cache)[0] for s in (sigma, -sigma))
        if not math.isclose(energy, reversed_, rel_tol=1e-9, abs_tol=1e-9):
            return False
    return True


@dataclasses.dataclass(frozen=True)
class Ladder:
    """Protocol: series of E and Phi at a set of temperatures, with replica exchange.

    Parameters
    ----------
    engine : Engine
        What moves the replicas, with one system.
    temperatures : tuple of float
        T in units of energy, ascending and positive.
    replicas : int
        R independent ladders.
    sweeps, equilibration : int
        Sweeps of every replica in total, and those of them that are not measured.
    """

    engine: Engine
    temperatures: tuple[float, ...]
    replicas: int
    sweeps: int
    equilibration: int
    unit: str = dataclasses.field(default="sweeps", init=False)

    @property
    def system(self):
        """The system."""
        return self.engine.systems[0]

    def total(self) -> int:
        """Sweeps of every replica."""
        return -(-self.sweeps // STRIDE) * STRIDE

    def done(self, state: State) -> int:
        """Sweeps made."""
        return state.sweeps

    def memory(self) -> int:
        """Bytes of the state, and as much again for its checkpoint."""
        replica = self.system.n_sites + 8 * self.system.cache_size + 8 * self._measurements()
        return 2 * len(self.temperatures) * self.replicas * replica

    def _unmeasured(self) -> int:
        return -(-self.equilibration // STRIDE) * STRIDE

    def _measurements(self) -> int:
        return max(0, self.total() - self._unmeasured()) // EVERY

    def init(self, seed: int) -> State:
        """Ladders r with odd r start ordered, the others at random."""
        k, r = len(self.temperatures), self.replicas
        start = self.engine.start(seed, "ladder", np.arange(r) % 2 == 1, k)
        series = np.zeros((2, k, r, self._measurements()), dtype=np.float32)
        return State(
            **{f.name: getattr(start, f.name) for f in dataclasses.fields(Replicas)},
            sweeps=0, energy_krt=series[0], phi_krt=series[1],
            exchange_rng=streams(seed, "exchange", 1)[0],
            attempts=np.zeros((max(k - 1, 0), 2), dtype=np.int64))

    def restore(self, saved: dict[str, Any]) -> State:
        """The state of a checkpoint, with room for the measurements of a longer run."""
        state = State(**saved)
        lacking = self._measurements() - state.energy_krt.shape[2]
        room = ((0, 0), (0, 0), (0, max(0, lacking)))
        state.energy_krt, state.phi_krt = np.pad(state.energy_krt, room), np.pad(
            state.phi_krt, room)
        return state

    def advance(self, state: State, n: int) -> None:
        """Advance every replica by ``n`` sweeps, rounded up to strides."""
        energy_rt, phi_rt = np.empty((2, self.replicas, STRIDE))
        for _ in range(min(-(-n // STRIDE), (self.total() - state.sweeps) // STRIDE)):
            first = (state.sweeps - self._unmeasured()) // EVERY
            for k, temperature in enumerate(self.temperatures):
                self.engine.advance(state, k, temperature, STRIDE, energy_rt, phi_rt)
                if first >= 0:
                    at = slice(first, first + STRIDE // EVERY)
                    state.energy_krt[k, :, at] = energy_rt[:, EVERY - 1 :: EVERY]
                    state.phi_krt[k, :, at] = (
                        phi_rt[:, EVERY - 1 :: EVERY] / self.system.order_unit)
            state.sweeps += STRIDE
            self._exchange(state)

    def _exchange(self, state: State) -> None:
        """Attempt to exchange every second pair of neighbouring rungs, even and odd in turn."""
        beta = 1.0 / np.array(self.temperatures)
        chance = np.empty(self.replicas)
        for k in range(state.sweeps // STRIDE % 2, len(beta) - 1, 2):
            _fill_uniform(state.exchange_rng, chance)
            gain = (beta[k] - beta[k + 1]) * (state.energy[k] - state.energy[k + 1])
            accepted = chance < np.exp(np.minimum(gain, 0.0))
            self.engine.exchange(state, k, accepted)
            state.attempts[k] += len(accepted), accepted.sum()

    def status(self, state: State) -> str:
        """Energies at both ends of the ladder, and exchanges."""
        n = self.system.n_sites
        rate = state.attempts[:, 1] / np.maximum(state.attempts[:, 0], 1)
        low = rate.min() if len(rate) else 0.0
        return (f"E/N {state.energy[0].mean() / n:.4g} .. {state.energy[-1].mean() / n:.4g}, "
                f"exchanges {low:.2f} at least")

    def result(self, state: State) -> dict[str, Group]:
        """Group ``series``: E and Phi of every measurement so far."""
        made = max(0, state.sweeps - self._unmeasured()) // EVERY
        group = Group()
        group.add("temperature", np.array(self.temperatures), "temperature", "energy",
                  "temperature")
        group.add("ladder", np.arange(self.replicas), "ladder", "1",
                  "independent ladder; odd ones started ordered")
        group.add("time", EVERY * (1 + np.arange(made)), "time", "sweeps",
                  "sweeps since the end of equilibration")
        dims = ("temperature", "ladder", "time")
        group.add("energy", state.energy_krt[:, :, :made], dims, "energy",
                  "energy of the whole system")
        group.add("order_parameter", state.phi_krt[:, :, :made], dims, "1", "order parameter")
        group.add("pair", np.sqrt(np.array(self.temperatures[1:]) * self.temperatures[:-1]),
                  "pair", "energy", "geometric mean of neighbouring temperatures")
        group.add("acceptance", state.attempts[:, 1] / np.maximum(state.attempts[:, 0], 1), "pair",
                  "1", "share of accepted exchanges")
        levels = self.system.order_levels() / self.system.order_unit
        group.attributes.update({
            "dynamics": self.engine.name, "replicas": self.replicas, "sweeps": state.sweeps,
            "equilibration_sweeps": self._unmeasured(), "n_sites": self.system.n_sites,
            "symmetric": even(self.system), "order_parameter_zero": max(0.0, float(levels[0]))})
        return {"series": group}
