"""Ising spins: the periodic square lattice, and any graph given as a list of bonds.

E = -J sum_<ij> s_i s_j - h sum_i s_i (lattice), E = -sum_ij J_ij s_i s_j - h sum_i s_i (graph);
the order parameter is the magnetisation M = sum_i s_i.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.systems.discrete import behaviour, draw_spins, spins_with_magnetisation

MAX_CELLS = 200_000


class Lattice2DParameters(BaseModel):
    """Parameters of the Ising model on the periodic square lattice."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    L: int = Field(ge=3, le=4096, description="linear size in sites; L = 2 would double the bonds")
    J: float = Field(1.0, description="coupling, in units of energy; negative: antiferromagnet")
    h: float = Field(0.0, description="field, in units of energy")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Quenched arrays of the system: none here."""
        return {}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Linear size L."""
        return self.L

    def build(self, arrays: dict[str, np.ndarray]) -> "Ising":
        """The system on which kernels run."""
        bonds = square_lattice_bonds(self.L)
        couplings = np.full(len(bonds), self.J)
        return _graph(self.L * self.L, bonds, couplings, self.h, uniform=True)


class GraphParameters(BaseModel):
    """Parameters of Ising spins on a graph; the bonds come from the card's data file."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    h: float = Field(0.0, description="field, in units of energy")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """The bond list ``site_a, site_b, J`` as read from the data file, checked."""
        if rows is None:
            raise ValueError('needs [data] file = "..." with rows site_a, site_b, J')
        if rows.ndim != 2 or rows.shape[1] != 3:
            raise ValueError(
                f"a bond list has three columns site_a, site_b, J, not shape {rows.shape}"
            )
        sites = rows[:, :2]
        if np.any(sites != np.floor(sites)) or np.any(sites < 0):
            raise ValueError("site numbers in a bond list are integers from 0")
        if np.any(sites[:, 0] == sites[:, 1]):
            raise ValueError("a bond joins a site with itself")
        if not np.all(np.isfinite(rows)):
            raise ValueError("a coupling in the bond list is not a finite number")
        if sites.max() > 100 * (len(rows) + 10):
            raise ValueError(f"a site has number {sites.max():.0f} with {len(rows)} bonds only: "
                             "number the sites from 0 without large gaps")
        pairs = np.sort(sites.astype(np.int64), axis=1)
        if len(np.unique(pairs, axis=0)) < len(pairs):
            raise ValueError("a bond appears twice: give each pair of sites once, couplings added")
        return {"bonds": rows.astype(float)}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Number of sites."""
        return int(arrays["bonds"][:, :2].max()) + 1

    def build(self, arrays: dict[str, np.ndarray]) -> "Ising":
        """The system on which kernels run."""
        bonds = arrays["bonds"]
        pairs = bonds[:, :2].astype(np.int64)
        return _graph(self.size(arrays), pairs, bonds[:, 2].copy(), self.h, uniform=False)


class Ising(NamedTuple):
    """Ising spins: neighbours and couplings of site i at ``first[i]:first[i+1]``."""

    first: np.ndarray
    neighbour: np.ndarray
    coupling: np.ndarray
    h: float
    energy_start: float
    energy_step: float
    n_energies: int
    ferromagnet: bool

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
        """Energies of the landscape's cells: all that can occur, equidistant."""
        if self.n_energies > MAX_CELLS:
            raise ValueError(
                f"more than {MAX_CELLS} energy levels: couplings and field have no large common "
                "step; choose them as multiples of a common value, or take h = 0 and --joint"
            )
        return self.energy_start + self.energy_step * np.arange(self.n_energies)

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


def square_lattice_bonds(L: int) -> np.ndarray:
    """Bonds (right, down) of the periodic square lattice, site y L + x; shape (2 L^2, 2)."""
    y, x = np.divmod(np.arange(L * L), L)
    right = y * L + (x + 1) % L
    down = ((y + 1) % L) * L + x
    here = np.arange(L * L)
    return np.stack([np.stack([here, right], 1), np.stack([here, down], 1)], 1).reshape(-1, 2)


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
    return largest * float(step)


def _graph(n_sites, pairs, couplings, h, uniform) -> Ising:
    ends = np.concatenate([pairs[:, 0], pairs[:, 1]])
    others = np.concatenate([pairs[:, 1], pairs[:, 0]])
    order = np.argsort(ends, kind="stable")
    first = np.zeros(n_sites + 1, dtype=np.int64)
    np.cumsum(np.bincount(ends, minlength=n_sites), out=first[1:])
    bound = float(np.abs(couplings).sum())
    # a flip changes the pair energy by twice the local field, which on the square lattice is even
    changes = [4.0 * couplings[0]] if uniform else 2.0 * np.unique(couplings)
    start = -bound - abs(h) * n_sites
    try:
        step = common_step([*changes, 2.0 * h])
        count = round(-2.0 * start / step) + 1 if step > 0.0 else 1
    except ValueError:
        step, count = 0.0, MAX_CELLS + 1  # dynamics run; a landscape is refused
    return Ising(
        first=first,
        neighbour=others[order].astype(np.int32),
        coupling=np.concatenate([couplings, couplings])[order],
        h=float(h),
        energy_start=start,
        energy_step=step if step > 0.0 else 1.0,
        n_energies=count,
        ferromagnet=bool(np.all(couplings >= 0.0)),
    )


@behaviour(Ising)
def draw(system, sigma, rng):
    draw_spins(sigma, rng)


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
def n_values(system):
    return 2


@behaviour(Ising)
def value_of(system, k):
    return 2 * k - 1


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
    return int((phi + (system.first.shape[0] - 1)) / 2.0 + 0.5)
