"""Energies of single states, with moves of single spins: random ones, and number partitioning."""

import math
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.systems.discrete import behaviour, spins, spins_with_magnetisation


class Parameters(BaseModel):
    """E of each of the 2^N states; Phi = -E/N."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    law: Literal["random", "partition"] = Field(
        description="random: normal with variance N/2; partition: |sum_i a_i s_i|/sqrt(N), a_i "
        "uniform in [0, 1]")
    N: int = Field(ge=4, le=18, description="spins")
    disorder_seed: int = Field(1, ge=0, description="seed of the energies")

    def disorder(self, rows):
        """Energies, shape (2^N,)."""
        rng = np.random.default_rng(self.disorder_seed)
        if self.law == "random":
            return {"E": math.sqrt(self.N / 2.0) * rng.standard_normal(2**self.N)}
        a = rng.uniform(size=self.N)
        bits = (np.arange(2**self.N)[:, None] >> np.arange(self.N)) & 1
        return {"E": np.abs((2.0 * bits - 1.0) @ a) / math.sqrt(self.N)}

    def size(self, arrays):
        """Number of spins."""
        return self.N

    def build(self, arrays):
        """The system on which kernels run."""
        return Levels(self.N, arrays["E"])


@spins
class Levels(NamedTuple):
    """``cache`` keeps the number of the state."""

    n_spins: int
    E: np.ndarray

    @property
    def n_sites(self):
        return self.n_spins

    @property
    def cache_size(self):
        return 1

    @property
    def log_n_states(self):
        return self.n_spins * math.log(2.0)

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
        return np.sort(-self.E / self.n_spins)

    def known_cells(self):
        return []

    def configuration(self, phi, rng):
        """Spins at random."""
        return spins_with_magnetisation(self.n_spins, 0.0, rng)


@behaviour(Levels)
def prepare(system, sigma, cache):
    cache[0] = 0
    for i in range(sigma.shape[0]):
        if sigma[i] == 1:
            cache[0] += 1 << i
    return system.E[cache[0]], -system.E[cache[0]] / system.n_spins


@behaviour(Levels)
def energy_change(system, sigma, cache, site, value):
    if value == sigma[site]:
        return 0.0
    there = cache[0] + ((1 << site) if value == 1 else -(1 << site))
    return system.E[there] - system.E[cache[0]]


@behaviour(Levels)
def order_change(system, sigma, cache, site, value):
    if value == sigma[site]:
        return 0.0
    there = cache[0] + ((1 << site) if value == 1 else -(1 << site))
    return (system.E[cache[0]] - system.E[there]) / system.n_spins


@behaviour(Levels)
def assign(system, sigma, cache, site, value):
    if value != sigma[site]:
        cache[0] += (1 << site) if value == 1 else -(1 << site)
        sigma[site] = value


@behaviour(Levels)
def energy_cell(system, energy):
    return 0


@behaviour(Levels)
def order_cell(system, phi):
    k = 0
    for j in range(system.E.shape[0]):
        k += int(-system.E[j] / system.n_spins < phi - 1e-12)
    return k
