"""Ising spins on the square lattice in the form that single-flip kernels move fastest."""

from typing import NamedTuple

import numpy as np

from phasegrok.systems.discrete import behaviour, spins
from phasegrok.systems.ising import Ising


@spins
class FourNeighbours(NamedTuple):
    """Ising spins with four bonds of one coupling each: what :class:`Ising` is on a square lattice.

    The same system for kernels in which sums of floats and the general loop over bonds would be
    most of the time.  Energies and order parameters are integers here, the numbers of their cells;
    it has no levels of its own.
    """

    neighbour: np.ndarray  # four of site i at 4 i
    step: np.ndarray  # (5,) int64: cells by which the energy changes if a spin +1 with 0..4
    # neighbours up is flipped
    J: float
    h: float
    energy_start: float
    energy_step: float

    @classmethod
    def of(cls, system) -> "FourNeighbours | None":
        """The twin of a system, or None where it is not of this kind."""
        if not isinstance(system, Ising) or not np.all(np.diff(system.first) == 4) or (
                np.any(system.coupling != system.coupling[0])) or system.energy_step == 0.0:
            return None
        J, h = float(system.coupling[0]), system.h
        change = 2.0 * (J * np.arange(-4, 5, 2) + h) / system.energy_step
        return cls(system.neighbour, np.rint(change).astype(np.int64), J, h, system.energy_start,
                   system.energy_step)


@behaviour(FourNeighbours)
def prepare(system, sigma, cache):
    energy = 0.0
    magnetisation = 0
    for i in range(sigma.shape[0]):
        magnetisation += int(sigma[i])
        for k in range(4 * i, 4 * i + 4):
            energy -= 0.5 * system.J * sigma[i] * sigma[system.neighbour[k]]
    energy -= system.h * magnetisation
    return (int((energy - system.energy_start) / system.energy_step + 0.5),
            (magnetisation + sigma.shape[0]) // 2)


@behaviour(FourNeighbours)
def energy_change(system, sigma, cache, site, value):
    k = 4 * site
    around = (int(sigma[system.neighbour[k]]) + int(sigma[system.neighbour[k + 1]])
              + int(sigma[system.neighbour[k + 2]]) + int(sigma[system.neighbour[k + 3]]))
    return ((int(sigma[site]) - value) >> 1) * system.step[(around + 4) >> 1]


@behaviour(FourNeighbours)
def order_change(system, sigma, cache, site, value):
    return (value - int(sigma[site])) >> 1


@behaviour(FourNeighbours)
def assign(system, sigma, cache, site, value):
    sigma[site] = value


@behaviour(FourNeighbours)
def energy_cell(system, energy):
    return energy


@behaviour(FourNeighbours)
def order_cell(system, phi):
    return phi
