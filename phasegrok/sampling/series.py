"""Canonical sampling that keeps the time series of E and Phi, for reweighting with covariances.

Otherwise as :mod:`phasegrok.sampling.canonical`: the same replicas, dynamics, replica exchange and
evidence of equilibration.
"""

import dataclasses
from typing import Any

import numpy as np

from phasegrok.runfile import Group
from phasegrok.sampling import canonical

MOST_SAMPLES = 1_500_000
"""Samples of E and Phi that are kept, of all temperatures and replicas: 24 MB."""


@dataclasses.dataclass
class State(canonical.State):
    """The state of canonical sampling and what was measured on the way; K rungs, R replicas."""

    energy_krt: np.ndarray  # (K, R, n): E of the whole system, every so many sweeps
    phi_krt: np.ndarray  # (K, R, n): Phi, intensive


@dataclasses.dataclass(frozen=True)
class Series(canonical.Canonical):
    """Protocol: canonical sampling that keeps E and Phi of every replica; see ``Canonical``.

    With many sweeps every second, third, ... one is kept, so that the series fit into memory.
    """

    @property
    def every(self) -> int:
        """Sweeps between samples that are kept."""
        measured = self.sweeps - self._equilibration()
        return max(1, -(-measured * len(self.temperatures) * self.replicas // MOST_SAMPLES))

    def _n_kept(self) -> int:
        return max(0, self.sweeps - self._equilibration()) // self.every

    def _n_levels(self) -> int:
        """No histograms: the series say more."""
        return 0

    def memory(self) -> int:
        """Bytes of the state, and as much again for its checkpoint."""
        return super().memory() + 32 * len(self.temperatures) * self.replicas * self._n_kept()

    def init(self, seed: int) -> State:
        """Replicas as in ``Canonical``, and empty series."""
        start = super().init(seed)
        shape = (len(self.temperatures), self.replicas, self._n_kept())
        return State(**{f.name: getattr(start, f.name) for f in dataclasses.fields(start)},
                     energy_krt=np.zeros(shape), phi_krt=np.zeros(shape))

    def restore(self, saved: dict[str, Any]) -> State:
        """The state of a checkpoint."""
        return State(**saved)

    def _record(self, state: canonical.State, k: int, first: int, energy_rt: np.ndarray,
                phi_rt: np.ndarray) -> None:
        """Keep the sweeps of a stretch, the first of which is number ``first`` after
        equilibration (from 1), that are multiples of ``every``."""
        assert isinstance(state, State)
        number = np.arange(first, first + energy_rt.shape[1])
        kept = np.flatnonzero((number > 0) & (number % self.every == 0))
        place = number[kept] // self.every - 1
        kept, place = kept[place < self._n_kept()], place[place < self._n_kept()]
        state.energy_krt[k][:, place] = energy_rt[:, kept]
        state.phi_krt[k][:, place] = phi_rt[:, kept] / self.system.order_unit

    def result(self, state: canonical.State) -> dict[str, Group]:
        """Groups of canonical sampling, and ``series``."""
        assert isinstance(state, State)
        groups = super().result(state)
        n = min(self._n_kept(), max(0, state.sweeps - self._equilibration()) // self.every)
        group = Group(attributes={"every": self.every, "n_sites": self.system.n_sites})
        group.add("temperature", state.temperatures, "temperature", "energy", "temperature")
        group.add("replica", np.arange(self.replicas), "replica", "1", "replica")
        group.add("sweep", self.every * np.arange(1, n + 1), "sweep", "sweeps",
                  "sweep after equilibration")
        dims = ("temperature", "replica", "sweep")
        group.add("energy", state.energy_krt[..., :n], dims, "energy", "E of the whole system")
        group.add("order_parameter", state.phi_krt[..., :n], dims, "1", "order parameter")
        return groups | {"series": group}
