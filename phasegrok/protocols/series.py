"""Canonical sampling that keeps the time series of E and Phi, for reweighting both together.

Otherwise as :mod:`phasegrok.protocols.canonical`: the same replicas, dynamics, replica exchange and
evidence of equilibration, but no overlaps.  Replica r of every temperature belongs to ladder r, and
exchanges are only within a ladder: ladders are the independent blocks of every jackknife.
"""

import dataclasses
from typing import Any

import numpy as np

from phasegrok.groups import Group
from phasegrok.protocols import canonical

MOST_SAMPLES = 3_000_000
"""Samples of E and Phi that are kept, of all temperatures and replicas: 24 MB."""


@dataclasses.dataclass
class State(canonical.State):
    """The state of canonical sampling and what was measured on the way; K rungs, R replicas."""

    every: int  # sweeps between samples that are kept
    energy_krt: np.ndarray  # float32 (K, R, n): E of the whole system
    phi_krt: np.ndarray  # float32 (K, R, n): Phi, intensive


@dataclasses.dataclass(frozen=True)
class Series(canonical.Canonical):
    """Protocol: canonical sampling that keeps E and Phi of every replica; see ``Canonical``.

    With many sweeps every second, third, ... one is kept, so that the series fit into memory.
    """

    def _every(self) -> int:
        measured = self.sweeps - self._equilibration()
        return max(1, -(-measured * len(self.temperatures) * self.replicas // MOST_SAMPLES))

    def _n_kept(self, every: int) -> int:
        return max(0, self.sweeps - self._equilibration()) // every

    def _n_levels(self) -> int:
        """No histograms: the series say more."""
        return 0

    def _paired(self) -> bool:
        """No overlaps either."""
        return False

    def memory(self) -> int:
        """Bytes of the state, and as much again for its checkpoint."""
        kept = self._n_kept(self._every())
        return super().memory() + 16 * len(self.temperatures) * self.replicas * kept

    def init(self, seed: int) -> State:
        """Replicas as in ``Canonical``, and empty series."""
        start = super().init(seed)
        every = self._every()
        shape = (len(self.temperatures), self.replicas, self._n_kept(every))
        return State(**{f.name: getattr(start, f.name) for f in dataclasses.fields(start)},
                     every=every, energy_krt=np.zeros(shape, dtype=np.float32),
                     phi_krt=np.zeros(shape, dtype=np.float32))

    def restore(self, saved: dict[str, Any]) -> State:
        """The state of a checkpoint, with room for the samples of a longer run."""
        state = State(**saved)
        lacking = max(0, self._n_kept(state.every) - state.energy_krt.shape[2])
        for name in ("energy_krt", "phi_krt"):
            room = ((0, 0), (0, 0), (0, lacking))
            setattr(state, name, np.pad(getattr(state, name), room))
        return state

    def _record(self, state: canonical.State, k: int, first: int, energy_rt: np.ndarray,
                phi_rt: np.ndarray) -> None:
        """Keep the sweeps of a stretch, the first of which is number ``first`` after
        equilibration (from 1), that are multiples of ``every``."""
        assert isinstance(state, State)
        number = np.arange(first, first + energy_rt.shape[1])
        kept = np.flatnonzero((number > 0) & (number % state.every == 0))
        place = number[kept] // state.every - 1
        kept, place = (x[place < state.energy_krt.shape[2]] for x in (kept, place))
        state.energy_krt[k][:, place] = energy_rt[:, kept]
        state.phi_krt[k][:, place] = phi_rt[:, kept] / self.system.order_unit

    def result(self, state: canonical.State) -> dict[str, Group]:
        """Groups of canonical sampling, and ``series``."""
        assert isinstance(state, State)
        groups = super().result(state)
        n = min(state.energy_krt.shape[2],
                max(0, state.sweeps - self._equilibration()) // state.every)
        lowest = float(self.system.order_levels()[0] / self.system.order_unit)
        group = Group(attributes={
            "every": state.every, "n_sites": self.system.n_sites, "symmetric": self._even(),
            "order_parameter_zero": max(0.0, lowest)})
        group.add("temperature", state.temperatures, "temperature", "energy", "temperature")
        group.add("replica", np.arange(self.replicas), "replica", "1",
                  "replica; 2 m and 2 m + 1 started ordered for odd m, at random for even m")
        group.add("sweep", state.every * np.arange(1, n + 1), "sweep", "sweeps",
                  "sweep after equilibration")
        dims = ("temperature", "replica", "sweep")
        group.add("energy", state.energy_krt[..., :n], dims, "energy", "E of the whole system")
        group.add("order_parameter", state.phi_krt[..., :n], dims, "1", "order parameter")
        return groups | {"series": group}
