"""Ising spins on a graph in local fields: E = -sum_ij J_ij s_i s_j - sum_i (h + h_i) s_i.

The faster kernels of Ising spins know one field for all sites, so local fields make another type,
which only the kernels that are written for every discrete system take.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from phasegrok.systems import discrete
from phasegrok.systems.discrete import behaviour, spins


@spins
class IsingInFields(NamedTuple):
    """Spins with their bonds, uniform field and energy levels, and the local fields h_i, (N,)."""

    spins: Any  # an Ising, whose file imports this one
    field: np.ndarray

    @property
    def n_sites(self) -> int:
        """Number of spins N."""
        return self.spins.n_sites

    @property
    def cache_size(self) -> int:
        """No derived integers are kept (one unused word)."""
        return self.spins.cache_size

    @property
    def log_n_states(self) -> float:
        """N ln 2."""
        return self.spins.log_n_states

    @property
    def order_unit(self) -> float:
        """N: M/N lies in [-1, 1]."""
        return self.spins.order_unit

    @property
    def order_merge(self) -> int:
        """Neighbouring values of M that the effective potential takes together: 1."""
        return self.spins.order_merge

    def energy_levels(self) -> np.ndarray:
        """Energies of the landscape's cells, equidistant (some do not occur)."""
        return self.spins.energy_levels()

    def order_levels(self) -> np.ndarray:
        """M = -N, -N + 2, ..., N."""
        return self.spins.order_levels()

    def known_cells(self) -> list[tuple[float, float]]:
        """All spins along the fields, where no coupling is negative and no two fields differ."""
        h = self.spins.h + self.field
        if not self.spins.ferromagnet or (np.any(h > 0.0) and np.any(h < 0.0)):
            return []
        energy = -0.5 * float(self.spins.coupling.sum()) - float(np.abs(h).sum())
        if not np.any(h):
            return [(energy, -self.order_unit), (energy, self.order_unit)]
        return [(energy, math.copysign(self.order_unit, float(h.sum())))]

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """Spins at random sites with magnetisation ``phi`` a spin."""
        return self.spins.configuration(phi, rng)


@behaviour(IsingInFields)
def prepare(system, sigma, cache):
    energy, magnetisation = discrete.prepare(system.spins, sigma, cache)
    for i in range(sigma.shape[0]):
        energy -= system.field[i] * sigma[i]
    return energy, magnetisation


@behaviour(IsingInFields)
def energy_change(system, sigma, cache, site, value):
    change = discrete.energy_change(system.spins, sigma, cache, site, value)
    return change + (sigma[site] - value) * system.field[site]


@behaviour(IsingInFields)
def order_change(system, sigma, cache, site, value):
    return discrete.order_change(system.spins, sigma, cache, site, value)


@behaviour(IsingInFields)
def assign(system, sigma, cache, site, value):
    discrete.assign(system.spins, sigma, cache, site, value)


@behaviour(IsingInFields)
def energy_cell(system, energy):
    return discrete.energy_cell(system.spins, energy)


@behaviour(IsingInFields)
def order_cell(system, phi):
    return discrete.order_cell(system.spins, phi)
