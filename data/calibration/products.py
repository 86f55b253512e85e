"""Spins with couplings of several: E = -sum_a J_a prod_(i in a) s_i - h sum_i s_i."""

import math
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.systems.discrete import behaviour, spins, spins_with_magnetisation


class Parameters(BaseModel):
    """Square plaquettes, triangles of the triangular lattice, or random sets of three."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    sets: Literal["plaquettes", "triangles", "xorsat"]
    L: int = Field(ge=4, le=100, description="L^2 spins; triangles: a multiple of 3")
    h: float = Field(0.0, description="field")
    order: Literal["satisfied", "magnetisation"] = "satisfied"
    disorder_seed: int = Field(1, ge=0, description="seed of random sets")

    def disorder(self, rows):
        """Sets (A, k), and the sets of each spin (N, c)."""
        n, L = self.L**2, self.L
        x, y = np.arange(n) % L, np.arange(n) // L

        def site(dx, dy):
            return (x + dx) % L + L * ((y + dy) % L)

        if self.sets == "plaquettes":
            sets = np.stack([site(0, 0), site(1, 0), site(0, 1), site(1, 1)], axis=1)
        elif self.sets == "triangles":
            if L % 3:
                raise ValueError("triangles: L is a multiple of 3")
            sets = np.concatenate([np.stack([site(0, 0), site(1, 0), site(0, 1)], axis=1),
                                   np.stack([site(1, 0), site(0, 1), site(1, 1)], axis=1)])
        else:
            sets = _three_regular(n, np.random.default_rng(self.disorder_seed))
        order = np.argsort(sets.ravel(), kind="stable")
        of = (order // sets.shape[1]).reshape(n, -1)
        return {"sets": sets.astype(np.int64), "of": of.astype(np.int64)}

    def size(self, arrays):
        """Linear size."""
        return self.L

    def build(self, arrays):
        """The system on which kernels run."""
        return Products(arrays["sets"], arrays["of"], self.h, self.order == "satisfied")


def _three_regular(n, rng):
    """n sets of three spins, each spin in three; J_a = 1 by the gauge of a planted solution."""
    members = rng.permutation(np.repeat(np.arange(n), 3)).reshape(-1, 3)
    for _ in range(10_000):
        ordered = np.sort(members, axis=1)
        bad = np.flatnonzero((ordered[:, 0] == ordered[:, 1]) | (ordered[:, 1] == ordered[:, 2]))
        if not len(bad):
            return members
        for b in bad:
            other, i, k = rng.integers(n), rng.integers(3), rng.integers(3)
            members[b, i], members[other, k] = members[other, k], members[b, i]
    raise ValueError("no sets of three different spins were found")


@spins
class Products(NamedTuple):
    """Sets of spins, the sets of each spin, the field; Phi is the satisfied share, or M/N."""

    sets: np.ndarray
    of: np.ndarray
    h: float
    satisfied: bool

    @property
    def n_sites(self):
        return len(self.of)

    @property
    def cache_size(self):
        return 1

    @property
    def log_n_states(self):
        return self.n_sites * math.log(2.0)

    @property
    def order_unit(self):
        return 1.0

    @property
    def order_merge(self):
        return 1

    def energy_levels(self):
        """None that a landscape is made of: clones alone run on this system."""
        raise ValueError("no landscape")

    def order_levels(self):
        if self.satisfied:
            return np.arange(len(self.sets) + 1) / len(self.sets)
        return (2.0 * np.arange(self.n_sites + 1) - self.n_sites) / self.n_sites

    def known_cells(self):
        return []

    def configuration(self, phi, rng):
        """Random spins of mean phi; of triangles at -1/3 the ground state of two sublattices."""
        L = round(self.n_sites**0.5)
        i = np.arange(self.n_sites)
        if self.sets.shape[1] == 3 and not self.satisfied and abs(phi + 1.0 / 3.0) < 0.01:
            return np.where((i % L - i // L) % 3 == 0, 1, -1).astype(np.int8)
        return spins_with_magnetisation(self.n_sites, 0.0 if self.satisfied else phi, rng)


@behaviour(Products)
def prepare(system, sigma, cache):
    total = 0
    for a in range(system.sets.shape[0]):
        product = 1
        for k in range(system.sets.shape[1]):
            product *= sigma[system.sets[a, k]]
        total += product
    m = 0
    for i in range(sigma.shape[0]):
        m += sigma[i]
    n_sets = system.sets.shape[0]
    phi = 0.5 * (total + n_sets) / n_sets if system.satisfied else m / sigma.shape[0]
    return -float(total) - system.h * m, phi


@behaviour(Products)
def energy_change(system, sigma, cache, site, value):
    if value == sigma[site]:
        return 0.0
    total = 0
    for c in range(system.of.shape[1]):
        product = 1
        for k in range(system.sets.shape[1]):
            product *= sigma[system.sets[system.of[site, c], k]]
        total += product
    return 2.0 * total - system.h * (value - sigma[site])


@behaviour(Products)
def order_change(system, sigma, cache, site, value):
    if value == sigma[site]:
        return 0.0
    if not system.satisfied:
        return (value - sigma[site]) / sigma.shape[0]
    total = 0
    for c in range(system.of.shape[1]):
        product = 1
        for k in range(system.sets.shape[1]):
            product *= sigma[system.sets[system.of[site, c], k]]
        total += product
    return -float(total) / system.sets.shape[0]


@behaviour(Products)
def assign(system, sigma, cache, site, value):
    sigma[site] = value


@behaviour(Products)
def energy_cell(system, energy):
    return 0


@behaviour(Products)
def order_cell(system, phi):
    if system.satisfied:
        return int(phi * system.sets.shape[0] + 0.5)
    return int(0.5 * (phi + 1.0) * system.of.shape[0] + 0.5)
