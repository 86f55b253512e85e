"""A lattice gas on the periodic square lattice: particles that attract, and that no move makes.

E = -epsilon sum_<ij> n_i n_j with n_i in {0, 1} and the number of particles fixed.  A move
exchanges two neighbouring sites (Kawasaki, Phys. Rev. 145 (1966) 224), so that particles diffuse,
or, with ``exchange = "any"``, any two sites: another dynamics of the same equilibrium, which it
reaches sooner.  With n = (1 + s)/2 it is the Ising model of coupling epsilon/4 at fixed
magnetisation: at half filling it separates into a dense and a dilute phase below
T_c = epsilon / (2 ln(1 + sqrt 2)) = .56730 epsilon (Lee and Yang, Phys. Rev. 87 (1952) 410), and
its domains grow as t^(1/3).

The order parameter is the amplitude of the longest wave of the density.  Along x, with square
waves instead of cosine and sine, it is |A| + |B|, where A counts particles in one half of the
lattice less those in the other, and B does so for halves that are shifted by L/4; Phi is the larger
of those along x and y.  A slab of half the lattice has Phi = n, the number of particles, wherever
it lies; a small droplet has n to 2 n; a gas has about 1.6 sqrt n.
"""

from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import gammaln

from phasegrok.compiled import kernel
from phasegrok.rng import below
from phasegrok.systems.discrete import behaviour
from phasegrok.systems.ising import MAX_CELLS, too_many_levels

_LARGEST = 212  # pairs of sites are numbered in 31 bits


class Parameters(BaseModel):
    """Parameters of the lattice gas on the periodic square lattice."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    L: int = Field(ge=4, le=4096, multiple_of=4,
                   description="linear size in sites, a multiple of 4")
    density: float = Field(0.5, gt=0.0, lt=1.0, description="particles a site, rounded to a whole "
                           "number of particles")
    epsilon: float = Field(1.0, gt=0.0, description="energy that two neighbours gain")
    exchange: Literal["neighbours", "any"] = Field(
        "neighbours", description="sites that a move exchanges: neighbours, as particles diffuse, "
        "or any two, which come to equilibrium sooner")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Quenched arrays of the system: none here."""
        return {}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Linear size L."""
        return self.L

    def build(self, arrays: dict[str, np.ndarray]) -> "LatticeGas":
        """The system on which kernels run."""
        n = self.L * self.L
        if self.exchange == "any" and self.L > _LARGEST:
            raise ValueError(f"any two sites are exchanged for L up to {_LARGEST}: take neighbours")
        return LatticeGas(self.L, min(max(round(self.density * n), 1), n - 1), self.epsilon,
                          self.exchange == "any")


class LatticeGas(NamedTuple):
    """Particles on L x L sites, site x + L y.

    Places of moves are the bonds, 2 i to the right of site i and 2 i + 1 above it; or all pairs.
    """

    L: int
    particles: int
    epsilon: float
    any_two: bool

    @property
    def n_sites(self) -> int:
        """Number of sites N."""
        return self.L * self.L

    @property
    def cache_size(self) -> int:
        """A and B along x, and along y."""
        return 4

    @property
    def log_n_states(self) -> float:
        """ln of the ways to put the particles on the sites."""
        n, k = self.n_sites, self.particles
        return float(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))

    @property
    def order_unit(self) -> float:
        """Particles: Phi over them lies in [0, 2]."""
        return float(self.particles)

    @property
    def order_merge(self) -> int:
        """Neighbouring values of Phi that the effective potential takes together: 1."""
        return 1

    def energy_levels(self) -> np.ndarray:
        """-epsilon times 2 n, 2 n - 1, ..., 0 bonds of n particles (the lowest do not occur).

        Raises
        ------
        ValueError
            If the system is too large.
        """
        if 2 * self.particles >= MAX_CELLS:
            raise too_many_levels(self)
        return -self.epsilon * np.arange(2.0 * self.particles, -1.0, -1.0)

    @property
    def energy_step(self) -> float:
        """Distance of levels."""
        return self.epsilon

    def energy_bounds(self) -> tuple[float, float]:
        """No energy is below the first or above the second."""
        return -2.0 * self.epsilon * self.particles, 0.0

    def order_levels(self) -> np.ndarray:
        """0, 2, ..., 2 n of n particles (some do not occur)."""
        return np.arange(0, 2 * self.particles + 1, 2, dtype=float)

    def known_cells(self) -> list[tuple[float, float]]:
        """At half filling, the slabs of half the lattice."""
        n = self.particles
        return [(-self.epsilon * (2.0 * n - self.L), float(n))] if 2 * n == self.n_sites else []

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """The share ``phi`` of the particles in a slab, column by column, the others at random."""
        in_slab = min(max(round(phi * self.particles), 0), self.particles)
        columns = np.arange(self.n_sites).reshape(self.L, self.L).T.ravel()
        sigma = np.zeros(self.n_sites, dtype=np.int8)
        sigma[columns[:in_slab]] = 1
        sigma[rng.permutation(columns[in_slab:])[: self.particles - in_slab]] = 1
        return sigma


@behaviour(LatticeGas)
def draw(system, sigma, rng):
    for i in range(sigma.shape[0]):
        sigma[i] = 1 if i < system.particles else 0
    for i in range(sigma.shape[0] - 1, 0, -1):
        k = below(rng, i + 1)
        sigma[i], sigma[k] = sigma[k], sigma[i]


@kernel(allocates=False)
def _waves(system, i):
    """Signs of the four square waves at site i."""
    L, x, y = system.L, i % system.L, i // system.L
    return (1 if 2 * x < L else -1, 1 if L <= 4 * x < 3 * L else -1,
            1 if 2 * y < L else -1, 1 if L <= 4 * y < 3 * L else -1)


@kernel(allocates=False)
def _amplitude(a, b, c, d):
    return float(max(abs(a) + abs(b), abs(c) + abs(d)))


@behaviour(LatticeGas)
def prepare(system, sigma, cache):
    L, pairs = system.L, 0
    cache[:] = 0
    for i in range(sigma.shape[0]):
        if sigma[i]:
            x = i % L
            pairs += sigma[i - x + (x + 1) % L] + sigma[(i + L) % sigma.shape[0]]
            wave = _waves(system, i)
            for k in range(4):
                cache[k] += wave[k]
    return -system.epsilon * pairs, _amplitude(cache[0], cache[1], cache[2], cache[3])


@behaviour(LatticeGas)
def n_values(system):
    return 2


@behaviour(LatticeGas)
def value_of(system, k):
    return k


@behaviour(LatticeGas)
def n_places(system, sigma):
    n = sigma.shape[0]
    return n * n if system.any_two else 2 * n


@behaviour(LatticeGas)
def propose(system, sigma, place, rng):
    return 1


@behaviour(LatticeGas)
def present(system, sigma, place):
    return 0


@kernel(allocates=False)
def _around(system, sigma, i):
    """Particles beside site i."""
    L, n = system.L, system.L * system.L
    x = i % L
    return (np.int64(sigma[i - x + (x + 1) % L]) + sigma[i - x + (x + L - 1) % L]
            + sigma[(i + L) % n] + sigma[(i + n - L) % n])


@kernel(allocates=False)
def _are_neighbours(system, i, k):
    L = system.L
    x, y = abs(i % L - k % L), abs(i // L - k // L)
    return min(x, L - x) + min(y, L - y) == 1


@kernel(allocates=False)
def _ends(system, place):
    """The two sites of a bond, or of a pair."""
    L = system.L
    if system.any_two:
        return place // (L * L), place % (L * L)
    i = place // 2
    if place % 2 == 0:
        x = i % L
        return i, i - x + (x + 1) % L
    return i, (i + L) % (L * L)


@kernel(allocates=False)
def _jump(system, sigma, place, value):
    """Where a particle leaves and where it goes to; the same site twice where nothing moves."""
    i, k = _ends(system, place)
    if value == 0 or sigma[i] == sigma[k]:
        return i, i
    return (i, k) if sigma[i] == 1 else (k, i)


@behaviour(LatticeGas)
def energy_change(system, sigma, cache, place, value):
    here, there = _jump(system, sigma, place, value)
    if here == there:
        return 0.0
    beside = np.int64(_are_neighbours(system, here, there)) if system.any_two else 1
    return -system.epsilon * (_around(system, sigma, there) - beside
                              - _around(system, sigma, here))


@behaviour(LatticeGas)
def order_change(system, sigma, cache, place, value):
    here, there = _jump(system, sigma, place, value)
    u, v = _waves(system, here), _waves(system, there)
    return _amplitude(cache[0] + v[0] - u[0], cache[1] + v[1] - u[1], cache[2] + v[2] - u[2],
                      cache[3] + v[3] - u[3]) - _amplitude(cache[0], cache[1], cache[2], cache[3])


@behaviour(LatticeGas)
def assign(system, sigma, cache, place, value):
    here, there = _jump(system, sigma, place, value)
    if here != there:
        u, v = _waves(system, here), _waves(system, there)
        for wave in range(4):
            cache[wave] += v[wave] - u[wave]
        sigma[here], sigma[there] = 0, 1


@behaviour(LatticeGas)
def energy_cell(system, energy):
    return int(energy / system.epsilon + 2.0 * system.particles + 0.5)


@behaviour(LatticeGas)
def order_cell(system, phi):
    return int(0.5 * phi + 0.5)
