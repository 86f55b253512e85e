"""The East model: free sites whose dynamics is held up by their left neighbours.

E = J sum_i n_i with n_i in {0, 1} on a ring; the order parameter is the density of excitations
n = (1/N) sum_i n_i.  A site may change only while its left neighbour is excited, n_{i-1} = 1.  The
constraint does not depend on the site itself, so that detailed balance holds and the statics is
that of independent sites, <n> = 1/(1 + exp(J/T)) -- but for the state without excitations, which
can neither be left nor reached: no run starts there.  (Jaeckle and Eisinger, Z. Phys. B 84 (1991)
115; Ritort and Sollich, Adv. Phys. 52 (2003) 219.)

Densities of states count every state: Wang-Landau sampling needs no dynamics and moves freely.
"""

import math
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.rng import next_word
from phasegrok.systems.discrete import behaviour


class Parameters(BaseModel):
    """Parameters of the East model."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    N: int = Field(ge=2, le=2**24, description="number of sites on the ring")
    J: float = Field(1.0, gt=0.0, description="energy of an excitation, the unit of energy")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Quenched arrays of the system: none here."""
        return {}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Number of sites N."""
        return self.N

    def build(self, arrays: dict[str, np.ndarray]) -> "East":
        """The system on which kernels run."""
        return East(self.N, self.J)


class East(NamedTuple):
    """The number of sites on the ring, and the energy of an excitation."""

    n_ring: int
    J: float

    @property
    def n_sites(self) -> int:
        """Number of sites N."""
        return self.n_ring

    @property
    def cache_size(self) -> int:
        """No derived integers are kept (one unused word)."""
        return 1

    @property
    def log_n_states(self) -> float:
        """N ln 2: the state without excitations is counted."""
        return self.n_ring * math.log(2.0)

    @property
    def order_unit(self) -> float:
        """The density is intensive already."""
        return 1.0

    @property
    def order_merge(self) -> int:
        """Neighbouring densities that the effective potential takes together: 1."""
        return 1

    def energy_levels(self) -> np.ndarray:
        """E = 0, J, ..., N J."""
        return self.J * np.arange(self.n_ring + 1)

    def order_levels(self) -> np.ndarray:
        """n = 0, 1/N, ..., 1."""
        return np.arange(self.n_ring + 1) / self.n_ring

    def known_cells(self) -> list[tuple[float, float]]:
        """The ground state, and all sites excited."""
        return [(0.0, 0.0), (self.J * self.n_ring, 1.0)]

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """Excitations of density ``phi``, at random sites, and at least one."""
        sigma = np.zeros(self.n_ring, dtype=np.int8)
        sigma[rng.permutation(self.n_ring)[: max(1, round(phi * self.n_ring))]] = 1
        return sigma


@behaviour(East)
def draw(system, sigma, rng):
    excited = False
    while not excited:  # uniform over all states but the isolated one
        for i in range(sigma.shape[0]):
            sigma[i] = next_word(rng) >> np.uint64(63)
            excited = excited or sigma[i] == 1


@behaviour(East)
def prepare(system, sigma, cache):
    excitations = 0
    for i in range(sigma.shape[0]):
        excitations += sigma[i]
    return system.J * excitations, excitations / sigma.shape[0]


@behaviour(East)
def n_values(system):
    return 2


@behaviour(East)
def value_of(system, k):
    return k


@behaviour(East)
def energy_change(system, sigma, cache, site, value):
    return system.J * (value - sigma[site])


@behaviour(East)
def order_change(system, sigma, cache, site, value):
    return (value - sigma[site]) / sigma.shape[0]


@behaviour(East)
def assign(system, sigma, cache, site, value):
    sigma[site] = value


@behaviour(East)
def allowed(system, sigma, cache, site):
    left = site - 1 if site > 0 else sigma.shape[0] - 1
    return sigma[left] == 1


@behaviour(East)
def energy_cell(system, energy):
    return int(energy / system.J + 0.5)


@behaviour(East)
def order_cell(system, phi):
    return int(phi * system.n_ring + 0.5)
