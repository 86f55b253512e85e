"""Particles in urns: E = sum over urns of e(n), n the particles in it; any particle may jump."""

import math
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.rng import below
from phasegrok.systems.discrete import behaviour


class Parameters(BaseModel):
    """N particles, which are told apart, in urns."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    N: int = Field(ge=4, le=4000, description="particles")
    urns: int | None = Field(None, ge=2, le=200, description="urns; none: by density")
    density: float = Field(1.0, gt=0.0, description="particles an urn, where urns are not given")
    law: Literal["free", "empty", "condensing"] = Field(
        description="free: e = 0; empty: e(0) = -1; condensing: b ln n - ln n!, for which "
        "occupations have weights n^-b at T = 1")
    b: float = Field(4.0, gt=0.0, description="of condensing")
    order: Literal["first", "empty", "largest"] = Field(
        description="share of the particles in the first urn, of the urns that are empty, or of "
        "the particles in the fullest")

    def disorder(self, rows):
        """No quenched arrays."""
        return {}

    def size(self, arrays):
        """Number of particles."""
        return self.N

    def build(self, arrays):
        """The system on which kernels run."""
        n = np.arange(self.N + 1.0)
        if self.law == "free":
            e = np.zeros(self.N + 1)
        elif self.law == "empty":
            e = np.where(n == 0.0, -1.0, 0.0)
        else:
            e = np.array([self.b * math.log(max(k, 1.0)) - math.lgamma(k + 1.0) for k in n])
        urns = self.urns or max(2, round(self.N / self.density))
        if urns > 200:
            raise ValueError(f"{urns} urns: at most 200")
        return Urns(self.N, urns, e, ("first", "empty", "largest").index(self.order))


class Urns(NamedTuple):
    """``cache`` counts the particles of each urn."""

    n_particles: int
    urns: int
    e: np.ndarray
    order: int

    @property
    def n_sites(self):
        return self.n_particles

    @property
    def cache_size(self):
        return self.urns

    @property
    def log_n_states(self):
        return self.n_particles * math.log(self.urns)

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
        n = self.urns if self.order == 1 else self.n_particles
        return np.arange(n + 1) / n

    def known_cells(self):
        return []

    def configuration(self, phi, rng):
        """The share phi in the first urn and equal shares in the others; or equal shares."""
        first = round(phi * self.n_particles) if self.order == 0 else 0
        sigma = np.zeros(self.n_particles, dtype=np.int8)
        rest = self.n_particles - first
        if self.order == 0:
            sigma[first:] = 1 + np.arange(rest) % (self.urns - 1)
        else:
            sigma[:] = np.arange(rest) % self.urns
        return (sigma - 100).astype(np.int8)


@behaviour(Urns)
def draw(system, sigma, rng):
    for i in range(sigma.shape[0]):
        sigma[i] = below(rng, system.urns) - 100


@behaviour(Urns)
def prepare(system, sigma, cache):
    for u in range(system.urns):
        cache[u] = 0
    for i in range(sigma.shape[0]):
        cache[sigma[i] + 100] += 1
    energy, found = 0.0, 0
    for u in range(system.urns):
        energy += system.e[cache[u]]
        if system.order == 1:
            found += int(cache[u] == 0)
        elif system.order == 2:
            found = max(found, cache[u])
    if system.order == 0:
        return energy, cache[0] / system.n_particles
    return energy, found / (system.urns if system.order == 1 else system.n_particles)


@behaviour(Urns)
def n_values(system):
    return system.urns


@behaviour(Urns)
def value_of(system, k):
    return k - 100


@behaviour(Urns)
def energy_change(system, sigma, cache, site, value):
    if value == sigma[site]:
        return 0.0
    here, there = cache[sigma[site] + 100], cache[value + 100]
    return (system.e[here - 1] - system.e[here]) + (system.e[there + 1] - system.e[there])


@behaviour(Urns)
def order_change(system, sigma, cache, site, value):
    here, there = sigma[site] + 100, value + 100
    if here == there:
        return 0.0
    if system.order == 0:
        return (int(there == 0) - int(here == 0)) / system.n_particles
    if system.order == 1:
        return (int(cache[here] == 1) - int(cache[there] == 0)) / system.urns
    before, after = 0, 0
    for u in range(system.urns):
        before = max(before, cache[u])
        after = max(after, cache[u] - int(u == here) + int(u == there))
    return (after - before) / system.n_particles


@behaviour(Urns)
def assign(system, sigma, cache, site, value):
    cache[sigma[site] + 100] -= 1
    cache[value + 100] += 1
    sigma[site] = value


@behaviour(Urns)
def energy_cell(system, energy):
    return 0


@behaviour(Urns)
def order_cell(system, phi):
    return int(phi * (system.urns if system.order == 1 else system.n_particles) + 0.5)
