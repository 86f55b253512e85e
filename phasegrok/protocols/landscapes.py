"""Landscapes of many samples of the Ising perceptron, and Gibbs averages at T = 0 from them."""

import dataclasses
import math
from typing import Any

import numpy as np

from phasegrok.groups import Group
from phasegrok.protocols.wang_landau import WangLandau
from phasegrok.rng import point_seed
from phasegrok.thermodynamics.zero_temperature import gibbs


@dataclasses.dataclass
class LandscapesState:
    """What is known of each sample."""

    log_g: np.ndarray  # (S, P + 1, N + 1), of (E, R ascending)
    complete: np.ndarray  # (S,)
    seed: int
    samples: int


@dataclasses.dataclass(frozen=True)
class Landscapes:
    """Protocol: ln g(E, R) of samples of the Ising perceptron, one after the other.

    Parameters
    ----------
    samplers : tuple of WangLandau
        One a sample, of E and R.
    """

    samplers: tuple[WangLandau, ...]
    unit: str = dataclasses.field(default="samples", init=False)

    def total(self) -> int:
        """Samples."""
        return len(self.samplers)

    def done(self, state: LandscapesState) -> int:
        """Samples that are finished."""
        return state.samples

    def _levels(self) -> tuple[int, int]:
        """P + 1 and N + 1."""
        system = self.samplers[0].system
        return len(system.energy_levels()), len(system.order_levels())

    def memory(self) -> int:
        """Bytes of the state, and as much again for its checkpoint."""
        return 16 * len(self.samplers) * math.prod(self._levels())

    def init(self, seed: int) -> LandscapesState:
        """Nothing known."""
        n = len(self.samplers)
        return LandscapesState(np.full((n, *self._levels()), -np.inf), np.zeros(n, bool), seed, 0)

    def restore(self, saved: dict[str, Any]) -> LandscapesState:
        """The state of a checkpoint."""
        return LandscapesState(**saved)

    def advance(self, state: LandscapesState, n: int) -> None:
        """Sample the landscape of ``n`` more samples."""
        for k in range(state.samples, min(self.total(), state.samples + n)):
            sampler = self.samplers[k]
            inner = sampler.init(point_seed(state.seed, f"sample {k}"))
            while sampler.done(inner) < sampler.total():
                sampler.advance(inner, sampler.total())
            density = sampler.result(inner)["density_of_states"]
            log_g = np.nan_to_num(density["log_g"], nan=-np.inf)
            energy = np.rint(density["energy"]).astype(int)
            state.log_g[k][energy] = log_g
            state.complete[k] = bool(density.attributes["complete"])
            state.samples = k + 1

    def status(self, state: LandscapesState) -> str:
        """How many landscapes are complete."""
        return f"{int(state.complete.sum())} of {state.samples} landscapes complete"

    def result(self, state: LandscapesState) -> dict[str, Group]:
        """Group ``landscapes``: ln g, Gibbs averages at T = 0, coexistence, of each sample."""
        n, N = state.samples, self._levels()[1] - 1
        if n < 2:
            return {}
        group = Group()
        R = 1.0 - 2.0 * np.arange(N, -1, -1) / N
        log_g = state.log_g[:n]
        group.add("sample", np.arange(n), "sample", "1", "teacher and patterns")
        group.add("energy", np.arange(log_g.shape[1]), "energy", "1", "misclassified patterns")
        group.add("order_parameter", R, "order_parameter", "1", "R")
        group.add("log_g", log_g, ("sample", "energy", "order_parameter"), "nat",
                  "ln of the number of students, -inf where none was seen")
        group.add("complete", state.complete[:n], "sample", "1", "whether ln g is to be believed")
        for name, (values, unit, text) in gibbs(log_g, R).items():
            known = state.complete[:n] if name == "coexistence" else True
            group.add(name, np.where(known, values, np.nan), "sample", unit, text)
        return {"landscapes": group}
