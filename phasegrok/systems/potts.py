"""The q-state Potts model on the periodic square lattice.

E = -sum_<ij> delta(s_i, s_j), colours 0..q-1; the order parameter is the largest colour fraction
max_c n_c / N, in [1/q, 1].
"""

import math
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.rng import below
from phasegrok.systems.discrete import behaviour
from phasegrok.systems.ising import lattice_bonds


class Parameters(BaseModel):
    """Parameters of the Potts model on the periodic square lattice."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    L: int = Field(ge=3, le=4096, description="linear size in sites; L = 2 would double the bonds")
    q: int = Field(ge=2, le=100, description="number of colours")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Quenched arrays of the system: none here."""
        return {}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Linear size L."""
        return self.L

    def build(self, arrays: dict[str, np.ndarray]) -> "Potts2D":
        """The system on which kernels run."""
        bonds = lattice_bonds(self.L, 2)
        ends = np.concatenate([bonds[:, 0], bonds[:, 1]])
        others = np.concatenate([bonds[:, 1], bonds[:, 0]])
        order = np.argsort(ends, kind="stable")
        return Potts2D(others[order].reshape(-1, 4).astype(np.int32), self.q)


class Potts2D(NamedTuple):
    """Potts spins; ``neighbour`` has the four neighbours of each site, ``cache`` counts colours."""

    neighbour: np.ndarray
    q: int

    @property
    def n_sites(self) -> int:
        """Number of sites N."""
        return len(self.neighbour)

    @property
    def cache_size(self) -> int:
        """One count a colour."""
        return self.q

    @property
    def log_n_states(self) -> float:
        """N ln q."""
        return self.n_sites * math.log(self.q)

    @property
    def order_unit(self) -> float:
        """The largest colour fraction is intensive already."""
        return 1.0

    @property
    def order_merge(self) -> int:
        """Neighbouring fractions that the effective potential takes together: 1."""
        return 1

    def energy_levels(self) -> np.ndarray:
        """E = -2N, -2N + 1, ..., 0 (some near the ends do not occur)."""
        return np.arange(-2 * self.n_sites, 1, dtype=float)

    def order_levels(self) -> np.ndarray:
        """Largest colour fraction: from ceil(N/q)/N to 1 in steps of 1/N."""
        n = self.n_sites
        return np.arange(-(-n // self.q), n + 1) / n

    def known_cells(self) -> list[tuple[float, float]]:
        """The q ground states: one colour everywhere."""
        return [(-2.0 * self.n_sites, 1.0)]

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """A fraction ``phi`` of the sites, at random, in colour 0; the others in equal shares."""
        n = self.n_sites
        n_zero = round(phi * n)
        sigma = np.zeros(n, dtype=np.int8)
        places = rng.permutation(n)[n_zero:]
        sigma[places] = 1 + np.arange(len(places)) % (self.q - 1)
        return sigma


@behaviour(Potts2D)
def draw(system, sigma, rng):
    for i in range(sigma.shape[0]):
        sigma[i] = below(rng, system.q)


@behaviour(Potts2D)
def prepare(system, sigma, cache):
    cache[:] = 0
    bonds = 0
    for i in range(sigma.shape[0]):
        cache[sigma[i]] += 1
        for k in range(4):
            if sigma[system.neighbour[i, k]] == sigma[i]:
                bonds += 1
    largest = 0
    for colour in range(system.q):
        largest = max(largest, cache[colour])
    return -0.5 * bonds, largest / sigma.shape[0]


@behaviour(Potts2D)
def n_values(system):
    return system.q


@behaviour(Potts2D)
def value_of(system, k):
    return k


@behaviour(Potts2D)
def energy_change(system, sigma, cache, site, value):
    bonds = 0
    for k in range(4):
        colour = sigma[system.neighbour[site, k]]
        bonds += int(colour == sigma[site]) - int(colour == value)
    return float(bonds)


@behaviour(Potts2D)
def order_change(system, sigma, cache, site, value):
    before = 0
    after = 0
    for colour in range(system.q):
        count = cache[colour]
        before = max(before, count)
        after = max(after, count + int(colour == value) - int(colour == sigma[site]))
    return (after - before) / sigma.shape[0]


@behaviour(Potts2D)
def assign(system, sigma, cache, site, value):
    cache[sigma[site]] -= 1
    cache[value] += 1
    sigma[site] = value


@behaviour(Potts2D)
def energy_cell(system, energy):
    return int(energy + 2.0 * system.neighbour.shape[0] + 0.5)


@behaviour(Potts2D)
def order_cell(system, phi):
    n = system.neighbour.shape[0]
    return int(phi * n + 0.5) - (n + system.q - 1) // system.q
