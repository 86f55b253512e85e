"""A discrete system whose energies are counted in bins of equal width.

Normal couplings, or a field without a common step with them, leave energies without levels: nearly
every state has its own.  Then a cell of the landscape is a bin of energies.  Attempted transitions
and visits estimate the number of states of a bin as they do that of a level, whatever the cells.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from phasegrok.rng import streams
from phasegrok.systems import discrete
from phasegrok.systems.discrete import NoLevels, behaviour

MAX_BINS = 200_000
_BINS_A_SPREAD = 32  # relative error of Z at T = spread: (1/32)^2 / 24
_DRAWS = 256  # configurations from which the spread of E is taken


class Binned(NamedTuple):
    """The system ``inner`` with bins of width ``width``, the first centred on ``start``."""

    inner: Any
    start: float
    width: float
    n_bins: int

    @property
    def n_sites(self) -> int:
        """Number of sites N."""
        return self.inner.n_sites

    @property
    def cache_size(self) -> int:
        """Derived integers of the system itself."""
        return self.inner.cache_size

    @property
    def log_n_states(self) -> float:
        """ln of the total number of states."""
        return self.inner.log_n_states

    @property
    def order_unit(self) -> float:
        """What Phi is divided by to become intensive."""
        return self.inner.order_unit

    @property
    def order_merge(self) -> int:
        """Neighbouring values of Phi that the potential takes together."""
        return self.inner.order_merge

    def energy_levels(self) -> np.ndarray:
        """Centres of the bins."""
        return self.start + self.width * np.arange(self.n_bins)

    def order_levels(self) -> np.ndarray:
        """Phi of the cells, as the system has them."""
        return self.inner.order_levels()

    def known_cells(self) -> list[tuple[float, float]]:
        """(E, Phi) of states known beforehand."""
        return self.inner.known_cells()

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """A configuration of the system with a given order parameter."""
        return self.inner.configuration(phi, rng)


def counted(system, width: float = 0.0):
    """A system as its states are counted: by levels, or where it has none, or if asked, in bins.

    Parameters
    ----------
    system : NamedTuple
        A discrete system.
    width : float
        Of the bins, in units of energy; 0: levels, or bins of a 32nd of the spread of E over all
        states.

    Raises
    ------
    ValueError
        If the levels or the bins are too many, or it knows neither levels nor bounds.
    """
    if not width:
        try:
            system.energy_levels()
        except NoLevels:
            return _binned(system, _spread(system) / _BINS_A_SPREAD)
        return system
    return _binned(system, width)


def _binned(system, width: float) -> Binned:
    if not hasattr(system, "energy_bounds"):
        raise ValueError("energies without levels are counted in bins between energy_bounds(), "
                         "(lowest, highest), which this system does not have")
    lowest, highest = system.energy_bounds()
    if not width > 0.0:
        raise ValueError("all states have the same energy: nothing to count in bins")
    if highest - lowest > MAX_BINS * width:
        raise ValueError(f"more than {MAX_BINS} bins of width {width:g} between {lowest:g} and "
                         f"{highest:g}: give a larger bin_width")
    # half a bin of room at either end for rounding
    n_bins = math.ceil((highest - lowest) / width) + 1
    return Binned(system, 0.5 * (lowest + highest - (n_bins - 1) * width), width, n_bins)


def _spread(system) -> float:
    """Standard deviation of E over states drawn uniformly."""
    rng = streams(0, "spread", 1)[0]
    sigma = np.zeros(system.n_sites, dtype=np.int8)
    cache, values = np.zeros(system.cache_size, dtype=np.int64), np.zeros(2)
    energies = np.empty(_DRAWS)
    for k in range(_DRAWS):
        discrete.draw_and_prepare(system, True, sigma, cache, values, rng)
        energies[k] = values[0]
    return float(energies.std())


@behaviour(Binned)
def draw(system, sigma, rng):
    discrete.draw(system.inner, sigma, rng)


@behaviour(Binned)
def prepare(system, sigma, cache):
    return discrete.prepare(system.inner, sigma, cache)


@behaviour(Binned)
def n_values(system):
    return discrete.n_values(system.inner)


@behaviour(Binned)
def value_of(system, k):
    return discrete.value_of(system.inner, k)


@behaviour(Binned)
def n_places(system, sigma):
    return discrete.n_places(system.inner, sigma)


@behaviour(Binned)
def propose(system, sigma, place, rng):
    return discrete.propose(system.inner, sigma, place, rng)


@behaviour(Binned)
def present(system, sigma, place):
    return discrete.present(system.inner, sigma, place)


@behaviour(Binned)
def energy_change(system, sigma, cache, place, value):
    return discrete.energy_change(system.inner, sigma, cache, place, value)


@behaviour(Binned)
def order_change(system, sigma, cache, place, value):
    return discrete.order_change(system.inner, sigma, cache, place, value)


@behaviour(Binned)
def assign(system, sigma, cache, place, value):
    discrete.assign(system.inner, sigma, cache, place, value)


@behaviour(Binned)
def energy_cell(system, energy):
    return int((energy - system.start) / system.width + 0.5)


@behaviour(Binned)
def order_cell(system, phi):
    return discrete.order_cell(system.inner, phi)
