"""The peers' side of bench_metropolis.py: mcising, peapods, and textbook loops in Numba.

    pip install --no-deps mcising==1.1.0 peapods==0.2.0 && pip install networkx pandas

Neither is needed by phasegrok.  All attempt N updates a sweep with min(1, exp(-dE/T)); mcising and
peapods go through the sites in sequence.  Both are called as their own users would for speed: one
call for many sweeps, in one thread, without measurements unless the row says so.
"""

import math
import os
import warnings

os.environ["RAYON_NUM_THREADS"] = "1"  # of peapods; read when it is loaded

import numba
import numpy as np


class McIsing:
    """One square lattice of mcising, from a random start."""

    name = "mcising 1.1.0"

    def __init__(self, L, temperature, measured):
        from mcising._core import IsingSimulation

        self.simulation = IsingSimulation(L, 1.0, 0.0, 0.0, 0.0, 1, "metropolis", "square")
        self.n_sites, self.temperature, self.measured = L * L, temperature, measured

    def advance(self, n):
        """n sweeps, with E and M after each where ``measured``."""
        if self.measured:
            self.simulation.production_sweeps(
                n, 1, temperature=self.temperature, store_configs=False
            )
        else:
            self.simulation.sweep(n, temperature=self.temperature)

    def energies(self, n, temperature):
        """E/N after each of n sweeps."""
        found = self.simulation.production_sweeps(
            n, 1, temperature=temperature, store_configs=False
        )
        return np.array(found["energies"])


class Peapods:
    """Lattices of peapods with the couplings of a system of ours, from random starts."""

    name = "peapods 0.2.0"

    def __init__(self, system, temperature):
        self.system, self.n_sites = system, system.n_sites
        self.model = self._model(temperature)

    def _model(self, temperature):
        import peapods

        system = self.system
        there = [_forward(system.L, system.dimension, axis) for axis in range(system.dimension)]
        listed = system.neighbour.reshape(system.n_sites, -1)
        coupling = system.coupling.reshape(system.n_sites, -1)
        # the last axis of its lattices is our x, and its couplings are ordered like the axes
        columns = [np.sum(coupling * (listed == there[axis][:, None]), axis=1)
                   for axis in reversed(range(system.dimension))]
        shape = (system.L,) * system.dimension
        return peapods.Ising(shape, couplings=np.stack(columns, 1).reshape(*shape, len(shape)),
                             temperatures=np.array([temperature]), n_replicas=1)

    def advance(self, n):
        """n sweeps; all warm-up, so that nothing is measured."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its means of no values
            self.model.sample(n, sequential=True, warmup_ratio=1.0)

    def energies(self, n, temperature):
        """E/N, means of 20 runs of n/20 sweeps: it gives no series.  Its sign is the opposite."""
        model = self._model(temperature)  # its temperature is fixed, so equilibrate this one too
        model.sample(60, sequential=True, warmup_ratio=0.0)
        return np.array([-model.sample(n // 20, sequential=True, warmup_ratio=0.0)["energies"][0]
                         for _ in range(20)])


def _forward(L, dimension, axis):
    site = np.arange(L**dimension)
    at = site // L**axis % L
    return site + ((at + 1) % L - at) * L**axis


class Textbook:
    """The loop of a lecture, compiled by Numba: a table of exponentials, int8 spins."""

    def __init__(self, L, temperature, random_sites):
        self.name = "textbook Numba loop" + (", random sites" if random_sites else "")
        self.sigma = np.where(np.random.default_rng(1).random((L, L)) < 0.5, 1, -1).astype(np.int8)
        self.n_sites, self.temperature = L * L, temperature
        self.loop = _random_sweeps if random_sites else _sequential_sweeps

    def advance(self, n):
        """n sweeps."""
        self.loop(self.sigma, self.temperature, n)

    def energies(self, n, temperature):
        """E/N after each of n sweeps."""
        out = np.empty(n)
        for t in range(n):
            self.loop(self.sigma, temperature, 1)
            s = self.sigma.astype(float)
            out[t] = -np.mean(s * (np.roll(s, 1, 0) + np.roll(s, 1, 1)))
        return out


# The update stands in both loops: as a function of its own it made them three times slower.  Numba
# compiles the legacy functions of numpy.random, with a generator of its own.
@numba.njit
def _sequential_sweeps(sigma, temperature, n):
    L = sigma.shape[0]
    weight = np.array([math.exp(-2.0 * k / temperature) for k in range(5)])
    for _ in range(n):
        for y in range(L):
            for x in range(L):
                field = sigma[y, x - 1 if x > 0 else L - 1] + sigma[y, x + 1 if x < L - 1 else 0]
                field += sigma[y - 1 if y > 0 else L - 1, x] + sigma[y + 1 if y < L - 1 else 0, x]
                half = sigma[y, x] * field
                if half <= 0 or np.random.random() < weight[half]:  # noqa: NPY002
                    sigma[y, x] = -sigma[y, x]


@numba.njit
def _random_sweeps(sigma, temperature, n):
    L = sigma.shape[0]
    weight = np.array([math.exp(-2.0 * k / temperature) for k in range(5)])
    for _ in range(n * L * L):
        y, x = np.random.randint(0, L), np.random.randint(0, L)  # noqa: NPY002
        field = sigma[y, x - 1 if x > 0 else L - 1] + sigma[y, x + 1 if x < L - 1 else 0]
        field += sigma[y - 1 if y > 0 else L - 1, x] + sigma[y + 1 if y < L - 1 else 0, x]
        half = sigma[y, x] * field
        if half <= 0 or np.random.random() < weight[half]:  # noqa: NPY002
            sigma[y, x] = -sigma[y, x]
