"""The Blume-Capel model: spins 1 on the periodic square lattice, with a crystal field.

E = -J sum_<ij> s_i s_j + D sum_i s_i^2 - h sum_i s_i with s_i in {-1, 0, 1}; the order parameter is
the magnetisation M = sum_i s_i.  At J = 1, h = 0 a line of Ising transitions ends in the
tricritical point D = 1.9660(1), T = 0.6080(1) (Kwak, Jeong, Lee and Kim, Phys. Rev. E 92 (2015)
022134); from there to D = 2, T = 0 the transition is of first order.  (Blume, Phys. Rev. 141 (1966)
517; Capel, Physica 32 (1966) 966.)
"""

import math
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.rng import below
from phasegrok.systems.discrete import NoLevels, behaviour
from phasegrok.systems.ising import FINEST, MAX_CELLS, common_step, too_many_levels


class Parameters(BaseModel):
    """Parameters of the Blume-Capel model on the periodic square lattice."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    L: int = Field(ge=3, le=4096, description="linear size in sites; L = 2 would double the bonds")
    J: float = Field(1.0, description="coupling, in units of energy; negative: antiferromagnet")
    D: float = Field(description="crystal field, in units of energy; positive: favours s = 0")
    h: float = Field(0.0, description="field, in units of energy")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Quenched arrays of the system: none here."""
        return {}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Linear size L."""
        return self.L

    def build(self, arrays: dict[str, np.ndarray]) -> "BlumeCapel":
        """The system on which kernels run."""
        site = np.arange(self.L * self.L, dtype=np.int32).reshape(self.L, self.L)
        around = [np.roll(site, shift, axis).ravel() for axis in (0, 1) for shift in (1, -1)]
        return BlumeCapel(np.stack(around, axis=1), self.J, self.D, self.h, *self._levels())

    def _levels(self) -> tuple[float, float, int]:
        """Lowest level, spacing and number of levels between rigorous bounds of the energy.

        E is the sum over the 2N bonds of -J s s' + (D/4)(s^2 + s'^2) - (h/4)(s + s'), so that the
        least and the greatest of the nine values of one bond bound it.
        """
        lowest, highest = _bounds(self.L * self.L, self.J, self.D, self.h)
        none = 0.0, 0.0, MAX_CELLS + 1
        try:
            step = common_step([self.J, self.D, self.h])
        except ValueError:
            return none
        if step == 0.0:
            return 0.0, 1.0, 1
        first = math.ceil(lowest / step - 1e-9)
        last = math.floor(highest / step + 1e-9)
        if last - first >= MAX_CELLS and step < FINEST * max(map(abs, (self.J, self.D, self.h))):
            return none
        return first * step, step, last - first + 1


def _bounds(n_sites: int, J: float, D: float, h: float) -> tuple[float, float]:
    """No energy is below the first or above the second, that of the best or the worst bond."""
    s, t = np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0])
    bond = -J * s * t + D / 4.0 * (s**2 + t**2) - h / 4.0 * (s + t)
    return 2.0 * n_sites * float(bond.min()), 2.0 * n_sites * float(bond.max())


class BlumeCapel(NamedTuple):
    """Spins 1; ``neighbour`` has the four neighbours of each site."""

    neighbour: np.ndarray
    J: float
    D: float
    h: float
    energy_start: float
    energy_step: float
    n_energies: int

    @property
    def n_sites(self) -> int:
        """Number of sites N."""
        return len(self.neighbour)

    @property
    def cache_size(self) -> int:
        """No derived integers are kept (one unused word)."""
        return 1

    @property
    def log_n_states(self) -> float:
        """N ln 3."""
        return self.n_sites * math.log(3.0)

    @property
    def order_unit(self) -> float:
        """N: M/N lies in [-1, 1]."""
        return float(self.n_sites)

    @property
    def order_merge(self) -> int:
        """Neighbouring values of M that the effective potential takes together: 1."""
        return 1

    def energy_levels(self) -> np.ndarray:
        """Multiples of the common step of J, D and h (some do not occur).

        Raises
        ------
        NoLevels
            If there is no large common step.
        ValueError
            If the system is too large.
        """
        if self.energy_step == 0.0:
            raise NoLevels("J, D and h have no large common step, so there are no energy levels: "
                           "choose them as multiples of a common value")
        if self.n_energies > MAX_CELLS:
            raise too_many_levels(self)
        return self.energy_start + self.energy_step * np.arange(self.n_energies)

    def energy_bounds(self) -> tuple[float, float]:
        """No energy is below the first or above the second."""
        return _bounds(self.n_sites, self.J, self.D, self.h)

    def order_levels(self) -> np.ndarray:
        """M = -N, -N + 1, ..., N."""
        return np.arange(-self.n_sites, self.n_sites + 1, dtype=float)

    def known_cells(self) -> list[tuple[float, float]]:
        """Ground states of the ferromagnet: the best of all up, all down and all zero."""
        if self.J < 0.0:
            return []
        n = self.n_sites
        aligned = -2.0 * self.J + self.D
        uniform = {-1.0: aligned + self.h, 0.0: 0.0, 1.0: aligned - self.h}
        lowest = min(uniform.values())
        return [(n * e, n * s) for s, e in uniform.items() if e <= lowest + 1e-9 * abs(self.J)]

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """As few parallel spins at random sites as make the magnetisation; the others are 0."""
        n = self.n_sites
        sigma = np.zeros(n, dtype=np.int8)
        sigma[rng.permutation(n)[: round(abs(phi) * n)]] = math.copysign(1.0, phi)
        return sigma


@behaviour(BlumeCapel)
def draw(system, sigma, rng):
    for i in range(sigma.shape[0]):
        sigma[i] = below(rng, 3) - 1


@behaviour(BlumeCapel)
def prepare(system, sigma, cache):
    pairs = 0
    squares = 0
    magnetisation = 0
    for i in range(sigma.shape[0]):
        s = np.int64(sigma[i])
        squares += s * s
        magnetisation += s
        for k in range(4):
            pairs += s * sigma[system.neighbour[i, k]]
    energy = -0.5 * system.J * pairs + system.D * squares - system.h * magnetisation
    return energy, float(magnetisation)


@behaviour(BlumeCapel)
def n_values(system):
    return 3


@behaviour(BlumeCapel)
def value_of(system, k):
    return k - 1


@behaviour(BlumeCapel)
def energy_change(system, sigma, cache, site, value):
    around = 0
    for k in range(4):
        around += sigma[system.neighbour[site, k]]
    s = np.int64(sigma[site])
    step = value - s
    return -(system.J * around + system.h) * step + system.D * (value * value - s * s)


@behaviour(BlumeCapel)
def order_change(system, sigma, cache, site, value):
    return float(value - sigma[site])


@behaviour(BlumeCapel)
def assign(system, sigma, cache, site, value):
    sigma[site] = value


@behaviour(BlumeCapel)
def energy_cell(system, energy):
    return int((energy - system.energy_start) / system.energy_step + 0.5)


@behaviour(BlumeCapel)
def order_cell(system, phi):
    return int(phi + system.neighbour.shape[0] + 0.5)
