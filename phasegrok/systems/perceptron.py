"""The Ising perceptron learning from a teacher.

A student w in {-1, 1}^N classifies patterns xi^mu in {-1, 1}^N by sign(w . xi^mu); the teacher w*
gave the labels.  E = number of misclassified patterns; the order parameter is the overlap
R = w . w* / N in [-1, 1].  (Gyorgyi, Phys. Rev. A 41 (1990) 7097; Seung, Sompolinsky and Tishby,
Phys. Rev. A 45 (1992) 6056.)
"""

import math
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.systems.discrete import behaviour, spins, spins_with_magnetisation


class Parameters(BaseModel):
    """Parameters of the Ising perceptron; teacher and patterns are drawn, or read from a file."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    N: int = Field(ge=3, le=10_001, description="number of weights, odd so that no field is zero")
    P: int = Field(ge=1, le=100_000, description="number of patterns")
    disorder_seed: int = Field(1, ge=0, description="seed of the teacher and the patterns")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Teacher (first row) and patterns, shape (P + 1, N), entries +-1."""
        if self.N % 2 == 0:
            raise ValueError(f"N = {self.N} is even: choose an odd N, so that no field is zero")
        if rows is None:
            # w -> w w*, xi -> xi w* is a symmetry, but the teacher is drawn all the same
            rng = np.random.default_rng(np.random.SeedSequence(self.disorder_seed))
            rows = 2.0 * rng.integers(0, 2, size=(self.P + 1, self.N)) - 1.0
        if rows.shape != (self.P + 1, self.N):
            raise ValueError(
                f"the patterns file has shape {rows.shape}, but N = {self.N} and P = {self.P} "
                f"need {self.P + 1} rows (teacher first) of {self.N}"
            )
        if not np.all(np.abs(rows) == 1.0):
            raise ValueError("an entry of the patterns file is neither +1 nor -1")
        return {"patterns": rows.astype(np.int8)}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Number of weights N."""
        return self.N

    def build(self, arrays: dict[str, np.ndarray]) -> "Perceptron":
        """The system on which kernels run."""
        teacher = arrays["patterns"][0].astype(np.int64)
        patterns = arrays["patterns"][1:].astype(np.int64)
        labels = np.sign(patterns @ teacher)
        aligned = (patterns * labels[:, None]).T
        return Perceptron(np.ascontiguousarray(aligned, dtype=np.int64), teacher)


@spins
class Perceptron(NamedTuple):
    """Patterns times their labels, shape (N, P), and the teacher; ``cache`` has the P fields.

    With xi' = label xi, pattern mu is misclassified where the field w . xi'^mu is negative.
    """

    aligned: np.ndarray
    teacher: np.ndarray

    @property
    def n_sites(self) -> int:
        """Number of weights N."""
        return self.aligned.shape[0]

    @property
    def cache_size(self) -> int:
        """One field a pattern."""
        return self.aligned.shape[1]

    @property
    def log_n_states(self) -> float:
        """N ln 2."""
        return self.n_sites * math.log(2.0)

    @property
    def order_unit(self) -> float:
        """The overlap is intensive already."""
        return 1.0

    @property
    def order_merge(self) -> int:
        """A flip changes all fields by 2, so potentials at odd and even distance alternate: 2."""
        return 2

    def energy_levels(self) -> np.ndarray:
        """Misclassified patterns: 0, 1, ..., P."""
        return np.arange(self.cache_size + 1, dtype=float)

    def order_levels(self) -> np.ndarray:
        """R = -1, -1 + 2/N, ..., 1."""
        n = self.n_sites
        return (2.0 * np.arange(n + 1) - n) / n

    def known_cells(self) -> list[tuple[float, float]]:
        """The teacher, and its opposite, which is wrong on every pattern."""
        return [(0.0, 1.0), (float(self.cache_size), -1.0)]

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """A student with overlap ``phi``, otherwise random."""
        aligned = spins_with_magnetisation(self.n_sites, phi, rng)
        return (aligned * self.teacher).astype(np.int8)


@behaviour(Perceptron)
def prepare(system, sigma, cache):
    cache[:] = 0
    overlap = 0
    for i in range(sigma.shape[0]):
        overlap += sigma[i] * system.teacher[i]
        for mu in range(cache.shape[0]):
            cache[mu] += sigma[i] * system.aligned[i, mu]
    errors = 0
    for mu in range(cache.shape[0]):
        errors += int(cache[mu] < 0)
    return float(errors), overlap / sigma.shape[0]


@behaviour(Perceptron)
def energy_change(system, sigma, cache, site, value):
    step = np.int64(value - sigma[site])
    change = 0
    for mu in range(cache.shape[0]):
        field = cache[mu]
        change += int(field + step * system.aligned[site, mu] < 0) - int(field < 0)
    return float(change)


@behaviour(Perceptron)
def order_change(system, sigma, cache, site, value):
    return (value - sigma[site]) * system.teacher[site] / sigma.shape[0]


@behaviour(Perceptron)
def assign(system, sigma, cache, site, value):
    step = np.int64(value - sigma[site])
    for mu in range(cache.shape[0]):
        cache[mu] += step * system.aligned[site, mu]
    sigma[site] = value


@behaviour(Perceptron)
def energy_cell(system, energy):
    return int(energy + 0.5)


@behaviour(Perceptron)
def order_cell(system, phi):
    return int((phi + 1.0) * system.aligned.shape[0] / 2.0 + 0.5)
