"""Ising spins: periodic lattices, spin glasses, and any graph given as a list of bonds.

E = -sum_ij J_ij s_i s_j - h sum_i s_i over the bonds, and the order parameter is the magnetisation
M = sum_i s_i.  The chain, the square and the simple cubic lattice have one coupling J between
nearest neighbours and, but for the chain, one coupling J2 between next-nearest ones; the couplings
of the Edwards-Anderson model (J. Phys. F 5 (1975) 965) are drawn, and are quenched.  A graph may
have local fields besides (:mod:`phasegrok.systems.ising_in_fields`).
"""

import math
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.systems.bonds import instance
from phasegrok.systems.discrete import (
    DiscreteSystem,
    NoLevels,
    behaviour,
    spins,
    spins_with_magnetisation,
)

MAX_CELLS = 200_000
FINEST = 1e-3  # of the largest change of energy: levels that are finer and too many are none
_MOST_MULTIPLES = 10**9  # a smaller common step is an accident of rounding
_MOST_STRENGTHS = 64  # with more different couplings, energies have no large common step


class _Lattice(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Quenched arrays of the system: none here."""
        return {}


class ChainParameters(_Lattice):
    """Parameters of the periodic Ising chain; with heat bath, Glauber's chain."""

    N: int = Field(ge=3, le=2**24, description="number of spins")
    J: float = Field(1.0, description="coupling, in units of energy; negative: antiferromagnet")
    h: float = Field(0.0, description="field, in units of energy")

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Number of spins N."""
        return self.N

    def build(self, arrays: dict[str, np.ndarray]) -> "Ising":
        """The system on which kernels run."""
        bonds = lattice_bonds(self.N, 1)
        return _graph(self.N, bonds, np.full(self.N, self.J), self.h, self.N, 1)


class Lattice2DParameters(_Lattice):
    """Parameters of the Ising model on the periodic square lattice."""

    L: int = Field(ge=3, le=4096, description="linear size in sites; L = 2 would double the bonds")
    J: float = Field(1.0, description="coupling, in units of energy; negative: antiferromagnet")
    J2: float = Field(0.0, description="coupling along the diagonals, in units of energy")
    h: float = Field(0.0, description="field, in units of energy")

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Linear size L."""
        return self.L

    def build(self, arrays: dict[str, np.ndarray]) -> "Ising":
        """The system on which kernels run."""
        return _lattice(self, 2)


class Lattice3DParameters(_Lattice):
    """Parameters of the Ising model on the periodic simple cubic lattice."""

    L: int = Field(ge=3, le=512, description="linear size in sites; L = 2 would double the bonds")
    J: float = Field(1.0, description="coupling, in units of energy; negative: antiferromagnet")
    J2: float = Field(0.0, description="coupling along the face diagonals, in units of energy")
    h: float = Field(0.0, description="field, in units of energy")

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Linear size L."""
        return self.L

    def build(self, arrays: dict[str, np.ndarray]) -> "Ising":
        """The system on which kernels run."""
        return _lattice(self, 3)


class EdwardsAndersonParameters(BaseModel):
    """Parameters of the Edwards-Anderson spin glass; its couplings are drawn, or read from a file.

    A file has rows ``site_a, site_b, J`` with every bond of the lattice once; the number of a site
    is x + L y (+ L^2 z), or one more where sites count from 1.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    L: int = Field(ge=3, le=4096, description="linear size in sites; L = 2 would double the bonds")
    dimension: Literal[2, 3] = Field(description="2: square lattice, 3: simple cubic lattice")
    couplings: Literal["binary", "gaussian"] = Field(
        "binary", description="J_ij = +-J with equal chance, or normal with variance J^2")
    J: float = Field(1.0, gt=0.0, description="scale of the couplings, in units of energy")
    h: float = Field(0.0, description="field, in units of energy")
    disorder_seed: int = Field(1, ge=0, description="seed of the couplings")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Couplings in the order of :func:`lattice_bonds`, shape (dimension N,)."""
        bonds = lattice_bonds(self.L, self.dimension)
        if rows is not None:
            found = instance(rows, self.L**self.dimension)
            if np.any(found.fields):
                raise ValueError("edwards-anderson has one field h and no local ones, i, i, h: "
                                 "take the kind ising-graph")
            return {"couplings": _couplings_of(found.bonds, bonds)}
        rng = np.random.default_rng(np.random.SeedSequence(self.disorder_seed))
        if self.couplings == "gaussian":
            return {"couplings": self.J * rng.standard_normal(len(bonds))}
        return {"couplings": self.J * (2.0 * rng.integers(0, 2, len(bonds)) - 1.0)}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Linear size L."""
        return self.L

    def build(self, arrays: dict[str, np.ndarray]) -> "Ising":
        """The system on which kernels run."""
        bonds = lattice_bonds(self.L, self.dimension)
        return _graph(self.L**self.dimension, bonds, arrays["couplings"], self.h,
                      self.L, self.dimension)


class GraphParameters(BaseModel):
    """Parameters of Ising spins on a graph; its bonds and local fields are read from a file.

    Rows are ``site_a, site_b, J``, or ``i, i, h`` of a local field; see
    :mod:`phasegrok.systems.bonds`.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    h: float = Field(0.0, description="field on every site, in units of energy; local ones add up")
    n_sites: int | None = Field(None, ge=2, le=2**24, description="number of spins, if some have "
                                "no bond; none: as many as the file has, each with a bond")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Bonds as rows ``site_a, site_b, J`` with sites from 0, and fields (N,) if there are."""
        if rows is None:
            raise ValueError('needs [data] file = "..." with rows site_a, site_b, J')
        found = instance(rows, self.n_sites)
        if np.any(found.fields):
            return {"bonds": found.bonds, "fields": found.fields}
        return {"bonds": found.bonds}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Number of sites."""
        if self.n_sites is not None:
            return self.n_sites
        if "fields" in arrays:  # a site may have a field and no bond
            return len(arrays["fields"])
        return int(arrays["bonds"][:, :2].max()) + 1

    def build(self, arrays: dict[str, np.ndarray]) -> "DiscreteSystem":
        """The system on which kernels run."""
        from phasegrok.systems.ising_in_fields import IsingInFields

        bonds, fields = arrays["bonds"], arrays.get("fields")
        pairs = bonds[:, :2].astype(np.int64)
        spins = _graph(self.size(arrays), pairs, bonds[:, 2].copy(), self.h, 0, 0, fields)
        return spins if fields is None else IsingInFields(spins, np.ascontiguousarray(fields))


@spins
class Ising(NamedTuple):
    """Ising spins: neighbours and couplings of site i at ``first[i]:first[i+1]``.

    Site x + L y + L^2 z of a periodic lattice of ``dimension`` 1, 2 or 3; both are 0 for a graph.
    """

    first: np.ndarray
    neighbour: np.ndarray
    coupling: np.ndarray
    h: float
    energy_start: float
    energy_step: float
    n_energies: int
    ferromagnet: bool
    L: int
    dimension: int

    @property
    def n_sites(self) -> int:
        """Number of spins N."""
        return len(self.first) - 1

    @property
    def cache_size(self) -> int:
        """No derived integers are kept (one unused word)."""
        return 1

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
        """Energies of the landscape's cells: all that can occur, equidistant.

        Raises
        ------
        NoLevels
            If couplings and field have no large common step.
        ValueError
            If the system is too large.
        """
        if self.energy_step == 0.0:
            raise NoLevels("couplings and field have no large common step, so there are no energy "
                           "levels: choose them as multiples of a common value")
        if self.n_energies > MAX_CELLS:
            raise too_many_levels(self)
        return self.energy_start + self.energy_step * np.arange(self.n_energies)

    def energy_bounds(self) -> tuple[float, float]:
        """No energy is below the first or above the second: all bonds, and the field, satisfied."""
        largest = 0.5 * float(np.abs(self.coupling).sum()) + abs(self.h) * self.n_sites
        return -largest, largest

    def order_levels(self) -> np.ndarray:
        """M = -N, -N + 2, ..., N."""
        return np.arange(-self.n_sites, self.n_sites + 1, 2, dtype=float)

    def known_cells(self) -> list[tuple[float, float]]:
        """Ground states known beforehand: all spins parallel, where no coupling is negative."""
        if not self.ferromagnet:
            return []
        n = self.n_sites
        pair = -0.5 * float(self.coupling.sum())
        if self.h == 0.0:
            return [(pair, float(-n)), (pair, float(n))]
        return [(pair - abs(self.h) * n, math.copysign(n, self.h))]

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """Spins at random sites with magnetisation ``phi`` a spin."""
        return spins_with_magnetisation(self.n_sites, phi, rng)


def too_many_levels(system) -> ValueError:
    """The error of a system with levels whose number is beyond a landscape."""
    lowest, highest = system.energy_bounds()
    number = (highest - lowest) / system.energy_step + 1.0
    return ValueError(f"{system.n_sites} sites have {number:.3g} energy levels, more than "
                      f"{MAX_CELLS}: take a smaller system, or count energies in bins with "
                      "--set density_of_states.bin_width=WIDTH")


def lattice_bonds(L: int, dimension: int) -> np.ndarray:
    """Nearest-neighbour bonds of the periodic lattice of L^dimension sites, shape (dimension N, 2).

    Site x + L y + L^2 z has its bonds towards +x, +y and +z at rows dimension * site + 0, 1, 2.
    """
    here = np.arange(L**dimension)
    ends = [_shifted(here, L, [int(k == axis) for k in range(dimension)])
            for axis in range(dimension)]
    return np.stack([np.stack([here, there], 1) for there in ends], 1).reshape(-1, 2)


def sites_ahead(L: int, dimension: int) -> np.ndarray:
    """The next site of each along +x, +y, ..., int64 (N, dimension)."""
    return np.ascontiguousarray(
        lattice_bonds(L, dimension)[:, 1].reshape(-1, dimension).astype(np.int64))


def diagonal_bonds(L: int, dimension: int) -> np.ndarray:
    """Next-nearest-neighbour bonds (distance sqrt 2): 2 a site in two dimensions, 6 in three."""
    here = np.arange(L**dimension)
    steps = [[0] * dimension for _ in range(dimension * (dimension - 1))]
    pairs = [(a, b) for a in range(dimension) for b in range(a + 1, dimension)]
    for k, (a, b) in enumerate(pairs):
        for sign, step in ((1, steps[2 * k]), (-1, steps[2 * k + 1])):
            step[a], step[b] = 1, sign
    return np.concatenate([np.stack([here, _shifted(here, L, step)], 1) for step in steps])


def _shifted(site: np.ndarray, L: int, step: list[int]) -> np.ndarray:
    """Number of the site that lies ``step`` away along each axis, with periodic ends."""
    there = np.zeros_like(site)
    for axis, by in enumerate(step):
        there += (site // L**axis + by) % L * L**axis
    return there


def _couplings_of(rows: np.ndarray, bonds: np.ndarray) -> np.ndarray:
    """The couplings in ``rows`` in the order of the lattice's ``bonds``."""
    n_sites = int(bonds.max()) + 1
    if rows[:, :2].max() >= n_sites or len(rows) != len(bonds):
        raise ValueError(f"the lattice has {len(bonds)} bonds between {n_sites} sites; the bond "
                         f"list has {len(rows)} bonds between {int(rows[:, :2].max()) + 1}")

    def key(pairs):
        low, high = np.sort(pairs.astype(np.int64), axis=1).T
        return low * n_sites + high

    given = key(rows[:, :2])
    order = np.argsort(given)
    place = np.minimum(np.searchsorted(given[order], key(bonds)), len(bonds) - 1)
    missing = given[order][place] != key(bonds)
    if missing.any():
        a, b = bonds[missing][0]
        raise ValueError(f"the bond list has no bond between the neighbours {a} and {b}")
    return rows[order[place], 2]


def common_step(values) -> float:
    """Largest number of which all ``values`` are integer multiples (0 if all vanish).

    Ratios to the largest value are taken as fractions with denominators up to a million.

    Raises
    ------
    ValueError
        If there is no such number: a value is not a multiple to nine digits.
    """
    values = np.abs(np.asarray(values, dtype=float))
    largest = float(values.max())
    if largest == 0.0:
        return 0.0
    step = Fraction(0)
    for value in values:
        fraction = Fraction(float(value / largest)).limit_denominator(10**6)
        step = Fraction(
            math.gcd(step.numerator * fraction.denominator, fraction.numerator * step.denominator),
            step.denominator * fraction.denominator,
        )
    multiples = values / (largest * float(step))
    if np.any(np.abs(multiples - multiples.round()) > 1e-9 * np.maximum(multiples, 1.0)):
        raise ValueError("couplings and field have no common step")
    if step < Fraction(1, _MOST_MULTIPLES):
        raise ValueError("couplings and field have no common step")
    return largest * float(step)


def _lattice(parameters, dimension: int) -> Ising:
    """Uniform J between nearest and J2 between next-nearest neighbours of a periodic lattice."""
    L = parameters.L
    bonds = lattice_bonds(L, dimension)
    couplings = np.full(len(bonds), parameters.J)
    if parameters.J2 != 0.0:
        diagonals = diagonal_bonds(L, dimension)
        bonds = np.concatenate([bonds, diagonals])
        couplings = np.concatenate([couplings, np.full(len(diagonals), parameters.J2)])
    return _graph(L**dimension, bonds, couplings, parameters.h, L, dimension)


def _graph(n_sites, pairs, couplings, h, L, dimension, fields=None) -> Ising:
    """Spins with their bonds; local ``fields`` (N,) enter the energy levels alone."""
    ends = np.concatenate([pairs[:, 0], pairs[:, 1]])
    others = np.concatenate([pairs[:, 1], pairs[:, 0]])
    order = np.argsort(ends, kind="stable")
    first = np.zeros(n_sites + 1, dtype=np.int64)
    np.cumsum(np.bincount(ends, minlength=n_sites), out=first[1:])
    bound = float(np.abs(couplings).sum())
    # a flip changes the pair energy by twice the local field, in which each strength |J| counts an
    # even number of times where every site has an even number of such bonds, as on a lattice
    strengths, which = np.unique(np.abs(couplings), return_inverse=True)
    strengths_h, sum_h, bound_h = _fields(h, fields, n_sites)
    changes = [2.0 * strength for strength in strengths_h[:_MOST_STRENGTHS]]
    for k, strength in enumerate(strengths[:_MOST_STRENGTHS]):
        degree = np.bincount(pairs[which == k].ravel(), minlength=n_sites)
        changes.append((4.0 if np.all(degree % 2 == 0) else 2.0) * strength)
    largest = bound + bound_h
    start = -largest
    try:
        if max(len(strengths), len(strengths_h)) > _MOST_STRENGTHS:
            raise ValueError(f"more than {_MOST_STRENGTHS} different couplings or fields")
        step = common_step(changes)
        if step > 0.0:  # every energy is that of parallel spins plus a multiple of the step
            parallel = -float(couplings.sum()) - sum_h
            start = parallel - step * math.floor((parallel + largest) / step + 1e-9)
            count = math.floor((largest - start) / step + 1e-9) + 1
        else:
            step, count = 1.0, 1
        if count > MAX_CELLS and step < FINEST * np.abs(changes).max():
            step = 0.0
    except ValueError:
        step, count = 0.0, MAX_CELLS + 1
    return Ising(
        first=first,
        neighbour=others[order].astype(np.int32),
        coupling=np.concatenate([couplings, couplings])[order],
        h=float(h),
        energy_start=start,
        energy_step=step,  # 0: there are no levels
        n_energies=min(count, MAX_CELLS + 1),
        ferromagnet=bool(np.all(couplings >= 0.0)),
        L=L,
        dimension=dimension,
    )


def _fields(h: float, fields: np.ndarray | None, n_sites: int) -> tuple[np.ndarray, float, float]:
    """Sizes |h + h_i| that occur, and the sums of h + h_i and of its size over all sites."""
    if fields is None:
        return np.array([abs(h)]), h * n_sites, abs(h) * n_sites
    both = h + fields
    return np.unique(np.abs(both)), float(both.sum()), float(np.abs(both).sum())


@behaviour(Ising)
def prepare(system, sigma, cache):
    energy = 0.0
    magnetisation = 0
    for i in range(sigma.shape[0]):
        magnetisation += int(sigma[i])
        for k in range(system.first[i], system.first[i + 1]):
            energy -= 0.5 * system.coupling[k] * sigma[i] * sigma[system.neighbour[k]]
    return energy - system.h * magnetisation, float(magnetisation)


@behaviour(Ising)
def energy_change(system, sigma, cache, site, value):
    field = system.h
    for k in range(system.first[site], system.first[site + 1]):
        field += system.coupling[k] * sigma[system.neighbour[k]]
    return (sigma[site] - value) * field


@behaviour(Ising)
def order_change(system, sigma, cache, site, value):
    return float(value - sigma[site])


@behaviour(Ising)
def assign(system, sigma, cache, site, value):
    sigma[site] = value


@behaviour(Ising)
def energy_cell(system, energy):
    return int((energy - system.energy_start) / system.energy_step + 0.5)


@behaviour(Ising)
def order_cell(system, phi):
    return int((phi + (system.first.shape[0] - 1)) * 0.5 + 0.5)
