"""Free sites that change only beside excited ones: the models of Fredrickson and Andersen."""

import math
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.rng import next_word
from phasegrok.systems.discrete import behaviour
from phasegrok.systems.ising import lattice_bonds


class Parameters(BaseModel):
    """A site may change while at least ``needed`` of its neighbours are excited."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    L: int = Field(ge=3, le=4096, description="linear size")
    dimension: int = Field(1, ge=1, le=3, description="of the lattice")
    needed: int = Field(1, ge=1, le=3, description="excited neighbours")

    def disorder(self, rows):
        """No quenched arrays."""
        return {}

    def size(self, arrays):
        """Linear size."""
        return self.L

    def build(self, arrays):
        """The system on which kernels run."""
        bonds = lattice_bonds(self.L, self.dimension)
        ends = np.concatenate([bonds[:, 0], bonds[:, 1]])
        others = np.concatenate([bonds[:, 1], bonds[:, 0]])
        order = np.argsort(ends, kind="stable")
        return Facilitated(others[order].reshape(-1, 2 * self.dimension).astype(np.int32),
                           self.needed)


class Facilitated(NamedTuple):
    """Neighbours of each site; E = sum_i n_i, Phi its density."""

    neighbour: np.ndarray
    needed: int

    @property
    def n_sites(self):
        return len(self.neighbour)

    @property
    def cache_size(self):
        return 1

    @property
    def log_n_states(self):
        return self.n_sites * math.log(2.0)

    @property
    def order_unit(self):
        return 1.0

    @property
    def order_merge(self):
        return 1

    def energy_levels(self):
        return np.arange(self.n_sites + 1.0)

    def order_levels(self):
        return np.arange(self.n_sites + 1) / self.n_sites

    def known_cells(self):
        return [(0.0, 0.0), (float(self.n_sites), 1.0)]

    def configuration(self, phi, rng):
        """Excitations of density phi at random sites, in pairs where two neighbours are needed."""
        sigma = np.zeros(self.n_sites, dtype=np.int8)
        sigma[rng.permutation(self.n_sites)[: max(1, round(phi * self.n_sites))]] = 1
        return sigma


@behaviour(Facilitated)
def draw(system, sigma, rng):
    for i in range(sigma.shape[0]):
        sigma[i] = next_word(rng) >> np.uint64(63)


@behaviour(Facilitated)
def prepare(system, sigma, cache):
    excited = 0
    for i in range(sigma.shape[0]):
        excited += sigma[i]
    return float(excited), excited / sigma.shape[0]


@behaviour(Facilitated)
def n_values(system):
    return 2


@behaviour(Facilitated)
def value_of(system, k):
    return k


@behaviour(Facilitated)
def energy_change(system, sigma, cache, site, value):
    return float(value - sigma[site])


@behaviour(Facilitated)
def order_change(system, sigma, cache, site, value):
    return (value - sigma[site]) / sigma.shape[0]


@behaviour(Facilitated)
def assign(system, sigma, cache, site, value):
    sigma[site] = value


@behaviour(Facilitated)
def allowed(system, sigma, cache, site):
    excited = 0
    for k in range(system.neighbour.shape[1]):
        excited += sigma[system.neighbour[site, k]]
    return excited >= system.needed


@behaviour(Facilitated)
def energy_cell(system, energy):
    return int(energy + 0.5)


@behaviour(Facilitated)
def order_cell(system, phi):
    return int(phi * system.neighbour.shape[0] + 0.5)
