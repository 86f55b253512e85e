"""Ising spins on the square lattice in the form that single-flip kernels move fastest."""

from typing import NamedTuple

import numpy as np

from phasegrok.systems.discrete import behaviour, spins
from phasegrok.systems.ising import Ising


@spins
class FourNeighbours(NamedTuple):
    """Ising spins with four bonds of one coupling each: what :class:`Ising` is on a square lattice.

    The same system for kernels in which the general loop over bonds would be most of the time;
    it has no levels of its own.
    """

    neighbour: np.ndarray  # four of site i at 4 i
    J: float
    h: float
    energy_start: float
    cells_per_energy: float

    @classmethod
    def of(cls, system) -> "FourNeighbours | None":
        """The twin of a system, or None where it is not of this kind."""
        if not isinstance(system, Ising) or not np.all(np.diff(system.first) == 4) or (
                np.any(system.coupling != system.coupling[0])):
            return None
        return cls(system.neighbour, float(system.coupling[0]), system.h, system.energy_start,
                   1.0 / system.energy_step)


@behaviour(FourNeighbours)
def prepare(system, sigma, cache):
    energy = 0.0
    magnetisation = 0
    for i in range(sigma.shape[0]):
        magnetisation += int(sigma[i])
        for k in range(4 * i, 4 * i + 4):
            energy -= 0.5 * system.J * sigma[i] * sigma[system.neighbour[k]]
    return energy - system.h * magnetisation, float(magnetisation)


@behaviour(FourNeighbours)
def energy_change(system, sigma, cache, site, value):
    k = 4 * site
    around = (int(sigma[system.neighbour[k]]) + int(sigma[system.neighbour[k + 1]])
              + int(sigma[system.neighbour[k + 2]]) + int(sigma[system.neighbour[k + 3]]))
    return (int(sigma[site]) - value) * (system.J * around + system.h)


@behaviour(FourNeighbours)
def order_change(system, sigma, cache, site, value):
    return float(value - sigma[site])


@behaviour(FourNeighbours)
def assign(system, sigma, cache, site, value):
    sigma[site] = value


@behaviour(FourNeighbours)
def energy_cell(system, energy):
    return int((energy - system.energy_start) * system.cells_per_energy + 0.5)


@behaviour(FourNeighbours)
def order_cell(system, phi):
    return int((phi + system.neighbour.shape[0] // 4) * 0.5 + 0.5)
