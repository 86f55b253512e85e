"""Fully connected spin glasses: the Sherrington-Kirkpatrick model and three-spin interactions.

E = -sum_{i1 < ... < ip} J_{i1...ip} s_i1 ... s_ip - h sum_i s_i with independent couplings of mean
0 and variance J^2 p!/(2 N^(p-1)); the order parameter is the magnetisation M = sum_i s_i.  p = 2 is
the Sherrington-Kirkpatrick model (Phys. Rev. Lett. 35 (1975) 1792; variance J^2/N), p = 3 has the
random first-order transition of structural glasses (Gardner, Nucl. Phys. B 257 (1985) 747).

Couplings are kept as integers in a unit of energy, so that the local fields are exact sums however
long a run is: a proposal costs O(1), an accepted flip O(N^(p-1)).  Couplings with a common step
(+-J, say) are multiples of it; others are rounded to a 2^-36th of the power of two above the
largest, and the energy is that of the rounded couplings.
"""

import math
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.systems.bonds import without_counts
from phasegrok.systems.discrete import NoLevels, behaviour, spins, spins_with_magnetisation
from phasegrok.systems.ising import FINEST, MAX_CELLS, common_step, too_many_levels

# of the largest coupling: fields of 2^16 terms fit int64, and E is an exact double
_FIXED_POINT_BITS = 36
_MOST_STRENGTHS = 64  # with more different couplings, energies have no large common step


class _FullyConnected(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    couplings: Literal["gaussian", "binary"] = Field(
        "gaussian", description="normal, or of equal size and either sign with equal chance")
    J: float = Field(1.0, gt=0.0, description="scale of the couplings, in units of energy")
    h: float = Field(0.0, description="field, in units of energy")
    disorder_seed: int = Field(1, ge=0, description="seed of the couplings")
    p: ClassVar[int]
    N: int

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Couplings of all sets i1 < ... < ip in lexicographic order, shape (binom(N, p),).

        A file has rows ``i1, ..., ip, J`` with sites from 0, or from 1 where none is 0 and one
        is N; sets that are missing have no coupling.
        """
        number = math.comb(self.N, self.p)
        if rows is not None:
            return {"couplings": _couplings_of(rows, self.N, self.p)}
        rng = np.random.default_rng(np.random.SeedSequence(self.disorder_seed))
        scale = self.J * math.sqrt(math.factorial(self.p) / (2.0 * self.N ** (self.p - 1)))
        if self.couplings == "gaussian":
            return {"couplings": scale * rng.standard_normal(number)}
        return {"couplings": scale * (2.0 * rng.integers(0, 2, number) - 1.0)}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Number of spins N."""
        return self.N

    def build(self, arrays: dict[str, np.ndarray]) -> "FullyConnected":
        """The system on which kernels run."""
        couplings = arrays["couplings"]
        unit, multiples, has_step = _in_units(couplings)
        tensor = np.zeros((self.N,) * self.p, dtype=np.int64)
        for sites in _arrangements(_sets(self.N, self.p)):
            tensor[sites] = multiples
        start, step, n_energies = _levels(multiples, unit, self.h, self.N, self.p, has_step)
        return FullyConnected(tensor.reshape(self.N, -1), self.p, unit, self.h,
                              start, step, n_energies)


class SherringtonKirkpatrickParameters(_FullyConnected):
    """Parameters of the Sherrington-Kirkpatrick model; couplings are drawn, or read from a file."""

    p: ClassVar[int] = 2
    N: int = Field(ge=3, le=4000, description="number of spins; memory is 8 N^2 bytes")


class ThreeSpinParameters(_FullyConnected):
    """Parameters of the fully connected p = 3 model; couplings are drawn, or read from a file."""

    p: ClassVar[int] = 3
    N: int = Field(ge=4, le=200, description="number of spins; memory is 8 N^3 bytes")


@spins
class FullyConnected(NamedTuple):
    """Couplings J_{i j...} / ``unit``, shape (N, N^(p-1)), zero where two indices agree.

    ``cache`` has the local fields of all spins without h, in the same unit.
    """

    multiples: np.ndarray
    p: int
    unit: float
    h: float
    energy_start: float
    energy_step: float
    n_energies: int

    @property
    def n_sites(self) -> int:
        """Number of spins N."""
        return len(self.multiples)

    @property
    def cache_size(self) -> int:
        """One field a spin."""
        return len(self.multiples)

    @property
    def log_n_states(self) -> float:
        """N ln 2."""
        return self.n_sites * math.log(2.0)

    @property
    def order_unit(self) -> float:
        """N: M/N lies in [-1, 1]."""
        return float(self.n_sites)

    @property
    def order_merge(self) -> int:
        """Neighbouring values of M that the effective potential takes together: 1."""
        return 1

    def energy_levels(self) -> np.ndarray:
        """Equidistant energies of couplings with a common step (some do not occur).

        Raises
        ------
        NoLevels
            If couplings and field have no common step, as normal couplings have none.
        ValueError
            If the system is too large.
        """
        if self.energy_step == 0.0:
            raise NoLevels(
                "couplings and field have no large common step, so there are no energy levels: "
                'set couplings = "binary" and h = 0'
            )
        if self.n_energies > MAX_CELLS:
            raise too_many_levels(self)
        return self.energy_start + self.energy_step * np.arange(self.n_energies)

    def energy_bounds(self) -> tuple[float, float]:
        """No energy is below the first or above the second.

        The couplings, as a matrix of N rows, stretch a vector by their largest singular value at
        most; all couplings satisfied is another bound.
        """
        matrix = self.unit * self.multiples
        norm = math.sqrt(max(0.0, float(np.linalg.eigvalsh(matrix @ matrix.T)[-1])))
        largest = min(norm * self.n_sites ** (0.5 * self.p) * (1.0 + 1e-9),
                      float(np.abs(matrix).sum())) / math.factorial(self.p)
        largest += abs(self.h) * self.n_sites
        return -largest, largest

    def order_levels(self) -> np.ndarray:
        """M = -N, -N + 2, ..., N."""
        return np.arange(-self.n_sites, self.n_sites + 1, 2, dtype=float)

    def known_cells(self) -> list[tuple[float, float]]:
        """No ground state is known beforehand."""
        return []

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """Spins at random sites with magnetisation ``phi`` a spin."""
        return spins_with_magnetisation(self.n_sites, phi, rng)


def _sets(N: int, p: int) -> tuple[np.ndarray, ...]:
    """All i1 < ... < ip of 0..N-1 in lexicographic order, one array an index."""
    if p == 2:
        return np.triu_indices(N, 1)
    i = np.arange(N)
    return np.nonzero((i[:, None, None] < i[:, None]) & (i[:, None] < i))


def _arrangements(sites: tuple[np.ndarray, ...]):
    """The orders in which a coupling is looked up."""
    if len(sites) == 2:
        i, j = sites
        return [(i, j), (j, i)]
    i, j, k = sites
    return [(i, j, k), (i, k, j), (j, i, k), (j, k, i), (k, i, j), (k, j, i)]


def _couplings_of(rows: np.ndarray, N: int, p: int) -> np.ndarray:
    """The couplings of a data file in the order of :func:`_sets`, zero where there is no row."""
    if rows.ndim != 2 or rows.shape[1] != p + 1:
        raise ValueError(f"a list of couplings has {p} columns of sites and one of J, "
                         f"not shape {rows.shape}")
    if p == 2:
        counted, rows = without_counts(rows)
        if counted not in (None, N):
            raise ValueError(f"the first row says {counted} sites, but N = {N}")
    sites = rows[:, :p]
    if np.any(sites != np.floor(sites)) or np.any(sites < 0) or np.any(sites > N):
        raise ValueError(f"site numbers in a list of couplings are integers from 0 to {N - 1}, or "
                         f"from 1 to {N}")
    if sites.max() == N:
        if sites.min() == 0:
            raise ValueError(f"a site is called {N}, but N = {N} sites from 0 are called 0 to "
                             f"{N - 1}")
        sites = sites - 1
    sites = np.sort(sites.astype(np.int64), axis=1)
    if np.any(np.diff(sites, axis=1) == 0):
        raise ValueError("a coupling joins a site with itself")
    if not np.all(np.isfinite(rows)):
        raise ValueError("a coupling in the list is not a finite number")
    if not np.any(rows[:, p]):
        raise ValueError("all couplings in the list are zero")
    key = np.ravel_multi_index(tuple(sites.T), (N,) * p)
    if len(np.unique(key)) < len(key):
        raise ValueError("a coupling appears twice: give each set of sites once")
    dense = np.zeros(N**p)
    dense[key] = rows[:, p]
    return dense[np.ravel_multi_index(_sets(N, p), (N,) * p)]


def _in_units(couplings: np.ndarray) -> tuple[float, np.ndarray, bool]:
    """A unit of energy, the couplings as multiples of it, and whether it is their common step."""
    strengths = np.unique(np.abs(couplings))
    if len(strengths) <= _MOST_STRENGTHS:
        try:
            unit = common_step(strengths)
        except ValueError:
            unit = 0.0
        if strengths[-1] <= MAX_CELLS * unit:
            return unit, np.round(couplings / unit).astype(np.int64), True
    unit = 2.0 ** (math.ceil(math.log2(strengths[-1])) - _FIXED_POINT_BITS)
    return unit, np.round(couplings / unit).astype(np.int64), False


def _levels(multiples, unit, h, N, p, has_step) -> tuple[float, float, int]:
    """Lowest level, spacing and number of levels; spacing 0 where there is no common step."""
    none = 0.0, 0.0, MAX_CELLS + 1
    if not has_step:
        return none
    # a flip changes the energy by twice the local field, which is even if it sums an even number
    # of odd couplings
    even = math.comb(N - 1, p - 1) % 2 == 0 and bool(np.all(multiples % 2 == 1))
    try:
        step = common_step([(4.0 if even else 2.0) * unit, 2.0 * h])
    except ValueError:
        return none
    parallel = -unit * float(multiples.sum()) - h * N
    largest = unit * float(np.abs(multiples).sum()) + abs(h) * N
    start = parallel - step * math.floor((parallel + largest) / step + 1e-9)
    count = math.floor((largest - start) / step + 1e-9) + 1
    change = max(4.0 * unit * float(np.abs(multiples).max()), 2.0 * abs(h))
    if count > MAX_CELLS and step < FINEST * change:
        return none
    return start, step, count


@behaviour(FullyConnected)
def prepare(system, sigma, cache):
    n = sigma.shape[0]
    total = 0
    magnetisation = 0
    for i in range(n):
        cache[i] = 0
        if system.p == 2:
            for j in range(n):
                cache[i] += system.multiples[i, j] * sigma[j]
        else:
            for j in range(n):
                for k in range(j + 1, n):
                    cache[i] += system.multiples[i, j * n + k] * sigma[j] * sigma[k]
        total += cache[i] * sigma[i]
        magnetisation += sigma[i]
    energy = -system.unit * (total // system.p) - system.h * magnetisation
    return energy, float(magnetisation)


@behaviour(FullyConnected)
def energy_change(system, sigma, cache, site, value):
    return (sigma[site] - value) * (system.unit * cache[site] + system.h)


@behaviour(FullyConnected)
def order_change(system, sigma, cache, site, value):
    return float(value - sigma[site])


@behaviour(FullyConnected)
def assign(system, sigma, cache, site, value):
    n = sigma.shape[0]
    step = np.int64(value - sigma[site])
    if step == 0:
        return
    if system.p == 2:
        for i in range(n):
            cache[i] += step * system.multiples[site, i]
    else:
        for i in range(n):
            change = 0
            for k in range(n):
                coupling = system.multiples[site, i * n + k]
                change += coupling if sigma[k] > 0 else -coupling
            cache[i] += step * change
    sigma[site] = value


@behaviour(FullyConnected)
def energy_cell(system, energy):
    return int((energy - system.energy_start) / system.energy_step + 0.5)


@behaviour(FullyConnected)
def order_cell(system, phi):
    return int((phi + system.multiples.shape[0]) / 2.0 + 0.5)
