"""The Curie-Weiss model: every spin sees only the magnetisation.

E = -N (h m + (J2/2) m^2 + J3 m^3), m = (1/N) sum_i s_i; the order parameter is m, in [-1, 1].
"""

import math
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.systems.discrete import behaviour, spins, spins_with_magnetisation

_SAME_LEVEL = 1e-9  # energies nearer than this are one level (rounding of E is 1e-13)


class Parameters(BaseModel):
    """Parameters of the Curie-Weiss model."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    N: int = Field(ge=2, le=100_000, description="number of spins")
    h: float = Field(0.0, description="field, in units of energy")
    J2: float = Field(0.0, description="two-body coupling, in units of energy")
    J3: float = Field(0.0, description="three-body coupling, in units of energy")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Quenched arrays of the system: none here."""
        return {}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Number of spins N."""
        return self.N

    def build(self, arrays: dict[str, np.ndarray]) -> "CurieWeiss":
        """The system on which kernels run."""
        m = (2.0 * np.arange(self.N + 1) - self.N) / self.N
        energy_M = -self.N * (self.h * m + 0.5 * self.J2 * m**2 + self.J3 * m**3)
        energies = np.sort(energy_M)
        levels = energies[np.concatenate([[True], np.diff(energies) > _SAME_LEVEL])]
        return CurieWeiss(self.N, energy_M, levels)


@spins
class CurieWeiss(NamedTuple):
    """Curie-Weiss spins: E of each number of up spins, and its distinct values ascending."""

    n_spins: int
    energy_M: np.ndarray
    levels: np.ndarray

    @property
    def n_sites(self) -> int:
        """Number of spins N."""
        return self.n_spins

    @property
    def cache_size(self) -> int:
        """The number of up spins."""
        return 1

    @property
    def log_n_states(self) -> float:
        """N ln 2."""
        return self.n_spins * math.log(2.0)

    @property
    def order_unit(self) -> float:
        """m is intensive already."""
        return 1.0

    @property
    def order_merge(self) -> int:
        """Neighbouring values of m that the effective potential takes together: 1."""
        return 1

    def energy_levels(self) -> np.ndarray:
        """The distinct energies, ascending (not equidistant)."""
        return self.levels

    def order_levels(self) -> np.ndarray:
        """m = -1, -1 + 2/N, ..., 1."""
        return (2.0 * np.arange(self.n_spins + 1) - self.n_spins) / self.n_spins

    def known_cells(self) -> list[tuple[float, float]]:
        """The ground states."""
        lowest = np.flatnonzero(self.energy_M <= self.energy_M.min() + _SAME_LEVEL)
        m = self.order_levels()
        return [(float(self.energy_M[k]), float(m[k])) for k in lowest]

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """Spins at random sites with magnetisation ``phi`` a spin."""
        return spins_with_magnetisation(self.n_spins, phi, rng)


@behaviour(CurieWeiss)
def prepare(system, sigma, cache):
    n_up = 0
    for i in range(sigma.shape[0]):
        n_up += int(sigma[i] == 1)
    cache[0] = n_up
    return system.energy_M[n_up], (2.0 * n_up - system.n_spins) / system.n_spins


@behaviour(CurieWeiss)
def energy_change(system, sigma, cache, site, value):
    n_up = cache[0]
    return system.energy_M[n_up + (value - sigma[site]) // 2] - system.energy_M[n_up]


@behaviour(CurieWeiss)
def order_change(system, sigma, cache, site, value):
    return (value - sigma[site]) / system.n_spins


@behaviour(CurieWeiss)
def assign(system, sigma, cache, site, value):
    cache[0] += (value - sigma[site]) // 2
    sigma[site] = value


@behaviour(CurieWeiss)
def energy_cell(system, energy):
    low = 0
    high = system.levels.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        if 0.5 * (system.levels[middle] + system.levels[middle + 1]) < energy:
            low = middle + 1
        else:
            high = middle
    return low


@behaviour(CurieWeiss)
def order_cell(system, phi):
    return int((phi + 1.0) * system.n_spins / 2.0 + 0.5)
