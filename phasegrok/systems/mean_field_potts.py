"""The mean-field Potts model: every site sees the colour counts of all.

E = -(J/N) sum_{i<j} delta(s_i, s_j) = -(J/2N) (sum_c n_c^2 - N) with n_c sites of colour c in
0..q-1; the order parameter is the largest colour fraction max_c n_c / N, in [1/q, 1].  For q > 2
the transition is of first order, at T = J (q-2) / (2 (q-1) ln(q-1)) as N -> infinity, and the
disordered phase is metastable down to J/q.  (Wu, Rev. Mod. Phys. 54 (1982) 235, section I.C.)
"""

import math
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.systems import potts
from phasegrok.systems.discrete import behaviour
from phasegrok.systems.ising import MAX_CELLS


class Parameters(BaseModel):
    """Parameters of the mean-field Potts model."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    N: int = Field(ge=2, le=1_000_000, description="number of sites")
    q: int = Field(ge=2, le=100, description="number of colours")
    J: float = Field(1.0, gt=0.0, description="coupling, in units of energy")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Quenched arrays of the system: none here."""
        return {}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Number of sites N."""
        return self.N

    def build(self, arrays: dict[str, np.ndarray]) -> "MeanFieldPotts":
        """The system on which kernels run."""
        return MeanFieldPotts(self.N, self.q, self.J)


class MeanFieldPotts(NamedTuple):
    """Colours that all see each other; ``cache`` counts the sites of each colour."""

    n_spins: int
    q: int
    J: float

    @property
    def n_sites(self) -> int:
        """Number of sites N."""
        return self.n_spins

    @property
    def cache_size(self) -> int:
        """One count a colour."""
        return self.q

    @property
    def log_n_states(self) -> float:
        """N ln q."""
        return self.n_spins * math.log(self.q)

    @property
    def order_unit(self) -> float:
        """The largest colour fraction is intensive already."""
        return 1.0

    @property
    def order_merge(self) -> int:
        """Neighbouring fractions that the effective potential takes together: 1."""
        return 1

    def energy_levels(self) -> np.ndarray:
        """Equidistant by J/N from the ground state up, for sum_c n_c^2 has the parity of N.

        Some do not occur; the highest has colours in equal shares.

        Raises
        ------
        ValueError
            If there are too many for a landscape.
        """
        n, (share, rest) = self.n_spins, divmod(self.n_spins, self.q)
        least_squares = (self.q - rest) * share**2 + rest * (share + 1) ** 2
        number = (n * n - least_squares) // 2 + 1
        if number > MAX_CELLS:
            raise ValueError(f"{number} energy levels are too many for a landscape: the limit is "
                             f"{MAX_CELLS}; choose a smaller N")
        return self.J * (np.arange(number) / n - 0.5 * (n - 1))

    def order_levels(self) -> np.ndarray:
        """Largest colour fraction: from ceil(N/q)/N to 1 in steps of 1/N."""
        n = self.n_spins
        return np.arange(-(-n // self.q), n + 1) / n

    def known_cells(self) -> list[tuple[float, float]]:
        """The q ground states: one colour everywhere."""
        return [(-0.5 * self.J * (self.n_spins - 1), 1.0)]

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """A fraction ``phi`` of the sites, at random, in colour 0; the others in equal shares."""
        sigma = np.zeros(self.n_spins, dtype=np.int8)
        places = rng.permutation(self.n_spins)[round(phi * self.n_spins) :]
        sigma[places] = 1 + np.arange(len(places)) % (self.q - 1)
        return sigma


# colours and their counts are those of the lattice model
for _function in (potts.draw, potts.n_values, potts.value_of, potts.order_change, potts.assign):
    behaviour(MeanFieldPotts)(_function)


@behaviour(MeanFieldPotts)
def prepare(system, sigma, cache):
    cache[:] = 0
    for i in range(sigma.shape[0]):
        cache[sigma[i]] += 1
    squares = 0
    largest = 0
    for colour in range(system.q):
        squares += cache[colour] * cache[colour]
        largest = max(largest, cache[colour])
    n = system.n_spins
    return -0.5 * system.J * (squares - n) / n, largest / n


@behaviour(MeanFieldPotts)
def energy_change(system, sigma, cache, site, value):
    if value == sigma[site]:
        return 0.0
    return -system.J * (cache[value] - cache[sigma[site]] + 1) / system.n_spins


@behaviour(MeanFieldPotts)
def energy_cell(system, energy):
    n = system.n_spins
    return int((energy / system.J + 0.5 * (n - 1)) * n + 0.5)


@behaviour(MeanFieldPotts)
def order_cell(system, phi):
    n = system.n_spins
    return int(phi * n + 0.5) - (n + system.q - 1) // system.q
