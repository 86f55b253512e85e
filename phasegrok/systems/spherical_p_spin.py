r"""The spherical p-spin glass with p = 3: real spins of fixed total length, coupled in threes.

.. math:: E = -\sum_{i<j<k} J_{ijk}\,s_i s_j s_k , \qquad \sum_i s_i^2 = N ,

with independent normal couplings of variance J^2 p!/(2 N^(p-1)) = 3 J^2/N^2 (Crisanti and Sommers,
Z. Phys. B 87 (1992) 341): above T_d = .6124 J a liquid, below T_K = .5861 J a glass, between an
exponential number of states (:mod:`phasegrok.theory.spherical_p_spin`, of infinite N and J = 1).

*Planting* at a temperature T' draws a state s' first, and then couplings of mean
(3 J^2/N^2) s'_i s'_j s'_k/T'.  Where s' has the density

.. math:: \exp\Big[\frac{3 J^2}{2 N^2 T'^2}\sum_{i<j<k} (s'_i s'_j s'_k)^2\Big]

on the sphere, both together have the weight of the couplings times e^(-E(s')/T'): of every set of
couplings s' is a state in equilibrium at T', at any N, and the sets occur as often as drawn alone
times Z(T')/<Z(T')>.  At T' >= T_K this factor is nearly the same for all of them, so that they are
those of the glass (Krzakala and Zdeborova, Phys. Rev. Lett. 102 (2009) 238701).
"""

import math
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from phasegrok.systems.hamiltonian import behaviour

_DRAWN_AT_ONCE = 256  # states, of which a hundredth is kept at T_K


class Parameters(BaseModel):
    """Parameters of the spherical glass with three-spin couplings, which are drawn."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    N: int = Field(ge=4, le=256, description="number of spins; memory is 4 N^3 bytes")
    J: float = Field(1.0, gt=0.0, description="scale of the couplings, in units of energy")
    planted_temperature: float | None = Field(None, gt=0.0, description="T of the planted state, "
                                              "T_K = .5861 J or above; none: no planted state")
    disorder_seed: int = Field(1, ge=0, description="seed of the couplings and the planted state")

    @model_validator(mode="after")
    def _not_frozen(self):
        from phasegrok.theory.spherical_p_spin import static_temperature

        T = self.planted_temperature
        if T is not None and T < static_temperature() * self.J:
            raise ValueError(f"planted_temperature = {T:g}: below T_K = "
                             f"{static_temperature() * self.J:.4g} planted couplings are not those "
                             "of the glass")
        return self

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Couplings of all i < j < k in lexicographic order, and the planted state (N,) if any."""
        if rows is not None:
            raise ValueError("couplings are drawn: leave out [data]")
        rng = np.random.default_rng(np.random.SeedSequence(self.disorder_seed))
        variance = 3.0 * self.J**2 / self.N**2
        couplings = math.sqrt(variance) * rng.standard_normal(math.comb(self.N, 3))
        if self.planted_temperature is None:
            return {"couplings": couplings}
        planted = planted_state(self.N, 0.5 * variance / self.planted_temperature**2, rng)
        i, j, k = _triples(self.N)
        couplings += variance / self.planted_temperature * planted[i] * planted[j] * planted[k]
        return {"couplings": couplings, "planted": planted}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Number of spins N."""
        return self.N

    def build(self, arrays: dict[str, np.ndarray]) -> "SphericalPSpin":
        """The system on which kernels run."""
        tensor = np.zeros((self.N,) * 3)
        i, j, k = _triples(self.N)
        for sites in ((i, j, k), (i, k, j), (j, i, k), (j, k, i), (k, i, j), (k, j, i)):
            tensor[sites] = arrays["couplings"]
        return SphericalPSpin(tensor[np.triu_indices(self.N, 1)],
                              arrays.get("planted", np.ones(self.N)))


def _triples(N: int) -> tuple[np.ndarray, ...]:
    """All i < j < k of 0..N-1 in lexicographic order."""
    i = np.arange(N)
    return np.nonzero((i[:, None, None] < i[:, None]) & (i[:, None] < i))


def squared_triples(x_rn: np.ndarray) -> np.ndarray:
    """sum_{i<j<k} (s_i s_j s_k)^2 of states (R, N) on the sphere, by Newton's identity; it is the
    variance of E over the couplings in units of that of one, and largest where all s_i^2 = 1."""
    N, square = x_rn.shape[1], x_rn**2
    return (N**3 - 3.0 * N * (square**2).sum(axis=1) + 2.0 * (square**3).sum(axis=1)) / 6.0


def planted_state(N: int, weight: float, rng: np.random.Generator) -> np.ndarray:
    """A state on the sphere of density exp(``weight`` :func:`squared_triples`), by rejection."""
    while True:
        x_rn = on_sphere(rng.standard_normal((_DRAWN_AT_ONCE, N)))
        log_share = weight * (squared_triples(x_rn) - math.comb(N, 3))
        kept = np.flatnonzero(np.log1p(-rng.random(_DRAWN_AT_ONCE)) < log_share)
        if len(kept):
            return x_rn[kept[0]]


def on_sphere(x: np.ndarray) -> np.ndarray:
    """Vectors along the last axis, of length sqrt(N)."""
    return x * (math.sqrt(x.shape[-1]) / np.linalg.norm(x, axis=-1, keepdims=True))


class SphericalPSpin(NamedTuple):
    """Row of a pair i < j: its couplings J_ijk with all k, zero where two indices agree."""

    couplings: np.ndarray  # (N (N - 1)/2, N)
    reference: np.ndarray  # (N,) the planted state or (1, ..., 1), of length sqrt(N)

    @property
    def n_coordinates(self) -> int:
        """Number of spins N."""
        return len(self.reference)

    @property
    def n_sites(self) -> int:
        """Number of spins N."""
        return len(self.reference)

    @property
    def order_unit(self) -> float:
        """N: the overlap with the reference lies in [-1, 1]."""
        return float(self.n_sites)

    @property
    def lowest(self) -> float:
        """No energy is below: 6 E is at most the largest singular value of the tensor of all J_ijk,
        as a matrix of N rows, times |s|^3."""
        square = 2.0 * self.couplings.T @ self.couplings  # both orders of a pair
        norm = math.sqrt(max(0.0, float(np.linalg.eigvalsh(square)[-1])))
        return -norm * self.n_sites**1.5 / 6.0 * (1.0 + 1e-9)

    def start(self, rng: np.random.Generator) -> np.ndarray:
        """A point of the sphere at random."""
        return on_sphere(rng.standard_normal(self.n_sites))

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """Overlap ``phi`` with the reference, at random else; at 1 the reference itself."""
        phi = min(max(phi, -1.0), 1.0)
        across = rng.standard_normal(self.n_sites)
        across -= across @ self.reference / self.n_sites * self.reference
        return on_sphere(phi * self.reference + math.sqrt(1.0 - phi**2) * on_sphere(across))

    def vectors(self, x_rn: np.ndarray) -> np.ndarray:
        """The spins themselves."""
        return x_rn


@behaviour(SphericalPSpin)
def spheres(system):
    return system.reference.shape[0], math.sqrt(system.reference.shape[0])


@behaviour(SphericalPSpin)
def energy_gradient(system, x, slope):
    n, row = x.shape[0], 0
    couplings = system.couplings
    slope[:] = 0.0
    for i in range(n):
        j = i + 1
        while j + 4 <= n:  # rows abreast: slope is loaded and stored once for four
            a, b, c, d = x[i] * x[j], x[i] * x[j + 1], x[i] * x[j + 2], x[i] * x[j + 3]
            for k in range(n):
                slope[k] -= (a * couplings[row, k] + b * couplings[row + 1, k]
                             ) + (c * couplings[row + 2, k] + d * couplings[row + 3, k])
            j += 4
            row += 4
        while j < n:
            a = x[i] * x[j]
            for k in range(n):
                slope[k] -= a * couplings[row, k]
            j += 1
            row += 1
    energy = 0.0
    for k in range(n):
        energy += slope[k] * x[k]
    return energy / 3.0


@behaviour(SphericalPSpin)
def order_parameter(system, x):
    overlap = 0.0
    for i in range(x.shape[0]):
        overlap += x[i] * system.reference[i]
    return overlap
