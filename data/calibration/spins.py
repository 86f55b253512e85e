"""Ising spins on drawn graphs: rows (site, site, J) and (site, site, h) of the kind ising-graph."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.systems.ising import GraphParameters, lattice_bonds


class Parameters(BaseModel):
    """A graph of N spins; every coupling is J or falls off with distance."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    graph: Literal["regular", "long-range", "annni", "square", "cubic"]
    N: int = Field(ge=8, le=10_000, description="spins; of a lattice a square or a cube")
    J: float = Field(1.0, gt=0.0, description="coupling")
    h: float = Field(0.0, description="field")
    degree: int = Field(3, ge=2, le=10, description="regular: bonds of a site")
    sigma: float = Field(0.5, gt=0.0, description="long-range: J(r) falls off as r^-(1 + sigma), "
                         "and all bonds of a site add up to J")
    kappa: float = Field(0.0, ge=0.0, description="annni: second neighbours have -kappa J")
    staggered: float = Field(0.0, description="square: field of alternating sign; with spins of "
                             "one sublattice counted upside down, an antiferromagnet in a field")
    random_field: float = Field(0.0, ge=0.0, description="standard deviation of local fields")
    disorder_seed: int = Field(1, ge=0, description="seed of graph and fields")

    def disorder(self, rows):
        """Bonds and fields."""
        rng = np.random.default_rng(self.disorder_seed)
        site = np.arange(self.N)
        if self.graph == "regular":
            pairs = _regular(self.N, self.degree, rng)
            J = np.full(len(pairs), self.J)
        elif self.graph == "long-range":
            pairs = np.stack(np.triu_indices(self.N, 1), axis=1)
            r = pairs[:, 1] - pairs[:, 0]
            J = np.minimum(r, self.N - r) ** -(1.0 + self.sigma)
            J *= self.J * self.N / (2.0 * J.sum())
        elif self.graph == "annni":
            pairs = np.concatenate([np.stack([site, (site + d) % self.N], axis=1) for d in (1, 2)])
            J = np.repeat([self.J, -self.kappa * self.J], self.N)
        else:
            dimension = 2 if self.graph == "square" else 3
            L = round(self.N ** (1.0 / dimension))
            if L**dimension != self.N:
                raise ValueError(f"N = {self.N} is no power {dimension} of a whole number")
            pairs = lattice_bonds(L, dimension)
            J = np.full(len(pairs), self.J)
        keep = J != 0.0
        rows = np.column_stack([pairs[keep], J[keep]])
        fields = self.random_field * rng.standard_normal(self.N)
        if self.staggered:
            L = round(self.N**0.5)
            fields += self.staggered * (1.0 - 2.0 * ((site % L + site // L) % 2))
        if np.any(fields):
            rows = np.concatenate([rows, np.column_stack([site, site, fields])])
        return self._graph().disorder(rows)

    def _graph(self):
        return GraphParameters(h=self.h, n_sites=self.N)

    def size(self, arrays):
        """Number of spins."""
        return self.N

    def build(self, arrays):
        """The system on which kernels run."""
        return self._graph().build(arrays)


def _regular(n, degree, rng):
    """A simple random graph of equal degrees: pairs of half edges, mended by exchanges."""
    ends = rng.permutation(np.repeat(np.arange(n), degree)).reshape(-1, 2)
    for _ in range(10_000):
        low, high = ends.min(axis=1), ends.max(axis=1)
        _, first = np.unique(low * n + high, return_index=True)
        bad = np.setdiff1d(np.arange(len(ends)), first)
        bad = np.union1d(bad, np.flatnonzero(low == high))
        if not len(bad):
            return ends
        for b in bad:
            other = rng.integers(len(ends))
            ends[b, 1], ends[other, 1] = ends[other, 1], ends[b, 1]
    raise ValueError("no simple graph was found")
