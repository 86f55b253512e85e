"""One walker on a grid with walls, a step at a time, or among traps that leave through one hub."""

import math
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.rng import below
from phasegrok.systems.discrete import behaviour


class Parameters(BaseModel):
    """A box of L sites a side; beyond ``door`` sites of its upper corner lies the hole."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    place: Literal["box", "traps"] = "box"
    L: int = Field(ge=2, le=200, description="sites a side; traps: their number")
    dimension: int = Field(1, ge=1, le=40, description="of the box; traps: 1")
    order: Literal["x", "hole"] = Field("x", description="x/(L - 1), or 1 in the hole: all "
                                        "coordinates at least L - door; traps: depth")
    door: int = Field(1, ge=1, description="sites a side of the hole")
    sink: float = Field(0.0, ge=0.0, description="depth of the hole in energy")
    disorder_seed: int = Field(1, ge=0, description="seed of the depths of traps")

    def disorder(self, rows):
        """Depths of traps, exponential with mean 1; trap 0 is the hub."""
        depth = np.random.default_rng(self.disorder_seed).exponential(1.0, self.L)
        depth[0] = 0.0
        return {"depth": depth}

    def size(self, arrays):
        """Linear size."""
        return self.L

    def build(self, arrays):
        """The system on which kernels run."""
        return Walker(self.L, 1 if self.place == "traps" else self.dimension,
                      self.L - self.door if self.order == "hole" else self.L, self.sink,
                      self.place == "traps", self.order == "hole", arrays["depth"])


class Walker(NamedTuple):
    """Coordinates 0 ... L - 1 are kept less 100; places are steps up and down, or traps."""

    L: int
    dimension: int
    edge: int
    sink: float
    traps: bool
    hole: bool
    depth: np.ndarray

    @property
    def n_sites(self):
        return self.dimension

    @property
    def cache_size(self):
        return 1

    @property
    def log_n_states(self):
        return self.dimension * math.log(self.L)

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
        if self.traps:
            return np.sort(self.depth)
        return np.arange(2.0) if self.hole else np.arange(self.L) / (self.L - 1)

    def known_cells(self):
        return []

    def configuration(self, phi, rng):
        """At the lower corner, or the hub."""
        return np.full(self.dimension, -100, dtype=np.int8)


@behaviour(Walker)
def draw(system, sigma, rng):
    for i in range(sigma.shape[0]):
        sigma[i] = below(rng, system.L) - 100


@behaviour(Walker)
def prepare(system, sigma, cache):
    if system.traps:
        return -system.depth[sigma[0] + 100], system.depth[sigma[0] + 100]
    cache[0] = 0  # coordinates beyond the edge
    for i in range(sigma.shape[0]):
        cache[0] += int(sigma[i] + 100 >= system.edge)
    inside = 1.0 if system.hole and cache[0] == sigma.shape[0] else 0.0
    return -system.sink * inside, inside if system.hole else (sigma[0] + 100) / (system.L - 1)


@behaviour(Walker)
def n_values(system):
    return system.L


@behaviour(Walker)
def value_of(system, k):
    return k - 100


@behaviour(Walker)
def n_places(system, sigma):
    return system.L if system.traps else 2 * sigma.shape[0]


@behaviour(Walker)
def propose(system, sigma, place, rng):
    return 1


@behaviour(Walker)
def present(system, sigma, place):
    return 0


@behaviour(Walker)
def energy_change(system, sigma, cache, place, value):
    if value == 0:
        return 0.0
    if system.traps:
        here = sigma[0] + 100
        there = place if here == 0 else (0 if place == here else here)
        return system.depth[here] - system.depth[there]
    if not system.hole:
        return 0.0
    here = sigma[place // 2] + 100
    there = here + 1 - 2 * (place % 2)
    if there < 0 or there >= system.L:
        return 0.0
    beyond = cache[0] + int(there >= system.edge) - int(here >= system.edge)
    n = sigma.shape[0]
    return -system.sink * (int(beyond == n) - int(cache[0] == n))


@behaviour(Walker)
def order_change(system, sigma, cache, place, value):
    if value == 0:
        return 0.0
    if system.traps:
        here = sigma[0] + 100
        there = place if here == 0 else (0 if place == here else here)
        return system.depth[there] - system.depth[here]
    here = sigma[place // 2] + 100
    there = here + 1 - 2 * (place % 2)
    if there < 0 or there >= system.L:
        return 0.0
    if not system.hole:
        return (there - here) / (system.L - 1) if place < 2 else 0.0
    beyond = cache[0] + int(there >= system.edge) - int(here >= system.edge)
    n = sigma.shape[0]
    return float(int(beyond == n) - int(cache[0] == n))


@behaviour(Walker)
def assign(system, sigma, cache, place, value):
    if value == 0:
        return
    if system.traps:
        here = sigma[0] + 100
        if here == 0:
            sigma[0] = place - 100
        elif place == here:
            sigma[0] = -100
        return
    here = sigma[place // 2] + 100
    there = here + 1 - 2 * (place % 2)
    if there < 0 or there >= system.L:
        return
    cache[0] += int(there >= system.edge) - int(here >= system.edge)
    sigma[place // 2] = there - 100


@behaviour(Walker)
def energy_cell(system, energy):
    return 0


@behaviour(Walker)
def order_cell(system, phi):
    if system.traps:
        k = 0
        for j in range(system.L):
            k += int(system.depth[j] < phi - 1e-12)
        return k
    return int(phi + 0.5) if system.hole else int(phi * (system.L - 1) + 0.5)
