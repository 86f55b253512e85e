"""Replicas: many copies of a discrete system at one or several temperatures, moved together.

An *engine* moves replicas.  The engines differ in dynamics and in how a configuration is kept, and
have one interface (:class:`Engine`), so that sampling, replica exchange and quenches are written
once.  Here is the engine for every discrete system, one site and one replica at a time;
:mod:`phasegrok.dynamics.multi_spin` has 64 replicas in the bits of a word and
:mod:`phasegrok.dynamics.clusters` flips clusters.

Replicas at several temperatures are rungs: ``K`` rungs of ``R`` replicas.  With disorder, replica r
belongs to sample ``r // (R // S)`` of S samples.
"""

import dataclasses
import functools
from typing import Protocol

import numpy as np

from phasegrok.compiled import kernel, n_threads, over_threads
from phasegrok.dynamics.local_fields import SiteUpdates
from phasegrok.dynamics.single_flip import DYNAMICS, sweeps
from phasegrok.rng import streams
from phasegrok.systems.discrete import draw_and_prepare
from phasegrok.systems.ising import Ising
from phasegrok.systems.overlaps import overlap

WORTH_A_THREAD = 300_000  # updates; to start threads takes as long as a few thousand


@dataclasses.dataclass
class Replicas:
    """K rungs of R replicas: a plain dataclass of arrays, which is its own checkpoint.

    Attributes
    ----------
    configurations : ndarray
        int8 (K, R, N), one local state a site; or uint64 (K, W, N), replica 64 w + b in bit b of
        word w (bit set: spin up).
    cache : int64 (K, R, C)
        Derived integers of the system; C = 0 for an engine that has none.
    energy, phi : float64 (K, R)
        E and the order parameter of every replica, as the system defines them.
    rng : uint64 (K, G, ...)
        Generator states, G = R or W of them at each rung.
    """

    configurations: np.ndarray
    cache: np.ndarray
    energy: np.ndarray
    phi: np.ndarray
    rng: np.ndarray


class Engine(Protocol):
    """What moves replicas.

    An engine is a frozen dataclass that holds the systems: S samples of one family, of equal
    N and lattice.
    """

    @property
    def systems(self) -> tuple:
        """One system a disorder sample."""

    @property
    def name(self) -> str:
        """Dynamics and order of updates as they are named in the run file."""

    def start(self, seed: int, point, ordered_r: np.ndarray, n_rungs: int) -> Replicas:
        """K rungs of R replicas; those with ``ordered_r`` in a ground-state-like configuration,
        the others drawn uniformly.  ``R = len(ordered_r)`` is a multiple of S."""

    def advance(self, replicas: Replicas, k: int, temperature: float, n_sweeps: int,
                energy_rt: np.ndarray, phi_rt: np.ndarray) -> None:
        """Advance rung k by ``n_sweeps`` sweeps; record E and Phi after each in float64 (R, n)
        arrays, or record nothing where these have shape (R, 0)."""

    def overlap(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Overlap q in [-1, 1] of the configurations of each replica in ``a`` and ``b`` (both
        ``configurations[k]``), shape (R,): sum_i s_i s'_i / N for spins."""

    def neighbours(self, a: np.ndarray) -> np.ndarray:
        """``a`` with the replicas 2 m and 2 m + 1 exchanged, for overlaps within pairs."""

    def exchange(self, replicas: Replicas, k: int, accepted_r: np.ndarray) -> None:
        """Exchange the configurations (with cache, E, Phi) of rungs k and k + 1 for the replicas
        with ``accepted_r``; generators stay at their rung."""

    def unpacked(self, a: np.ndarray) -> np.ndarray:
        """int8 (R, N) local states of ``configurations[k]``."""


@kernel(allocates=False)
def _move(system, heat_bath, temperature, n_sweeps, sigma_rn, cache_rc, values_r2, rng_r4,
          energy_rt, phi_rt):
    """Advance the replicas of one sample; ``values_r2`` has E and Phi of each."""
    for r in range(sigma_rn.shape[0]):
        sweeps(system, heat_bath, temperature, n_sweeps, sigma_rn[r], cache_rc[r], values_r2[r],
               rng_r4[r], energy_rt[r], phi_rt[r])


class Rows:
    """What engines with one row of numbers a replica have in common."""

    systems: tuple

    @property
    def name(self) -> str:
        """Dynamics and order of updates; each engine says its own."""
        return type(self).__name__

    def _system_of(self, r: int, n_replicas: int):
        return self.systems[r * len(self.systems) // n_replicas]

    def unpacked(self, a: np.ndarray) -> np.ndarray:
        """The states themselves, (R, n)."""
        return a

    def overlap(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Overlap of each replica in ``a`` and ``b``; see :mod:`phasegrok.systems.overlaps`."""
        return overlap(self.systems[0], self.unpacked(a), self.unpacked(b))

    def neighbours(self, a: np.ndarray) -> np.ndarray:
        """``a`` with the replicas 2 m and 2 m + 1 exchanged."""
        return a[np.arange(len(a)) ^ 1]


class LocalStates(Rows):
    """What engines with one int8 local state a site have in common."""

    @property
    def _stream(self) -> str:
        """What the engine's random numbers are drawn for."""
        return self.name

    def start(self, seed: int, point, ordered_r: np.ndarray, n_rungs: int) -> Replicas:
        """Configurations of all replicas; see :class:`Engine`."""
        n_replicas, first = len(ordered_r), self.systems[0]
        shape = (n_rungs, n_replicas)
        rng = np.stack([streams(seed, [point, self._stream, k], n_replicas)
                        for k in range(n_rungs)])
        sigma = np.zeros((*shape, first.n_sites), dtype=np.int8)
        cache = np.zeros((*shape, first.cache_size), dtype=np.int64)
        values = np.zeros((*shape, 2))
        for k, r in np.ndindex(*shape):
            system = self._system_of(r, n_replicas)
            if ordered_r[r]:
                sigma[k, r] = system.configuration(1.0, np.random.default_rng(0))
            draw_and_prepare(system, not ordered_r[r], sigma[k, r], cache[k, r], values[k, r],
                             rng[k, r])
        return Replicas(sigma, cache, values[:, :, 0].copy(), values[:, :, 1].copy(), rng)

    def exchange(self, replicas: Replicas, k: int, accepted_r: np.ndarray) -> None:
        """Exchange rungs ``k`` and ``k + 1`` where accepted; see :class:`Engine`."""
        for array in (replicas.configurations, replicas.cache, replicas.energy, replicas.phi):
            array[k, accepted_r], array[k + 1, accepted_r] = (
                array[k + 1, accepted_r], array[k, accepted_r])

    def put(self, replicas: Replicas, k: int, sigma_rn: np.ndarray) -> None:
        """Give the replicas of rung ``k`` the local states ``sigma_rn``, int8 (R, N)."""
        values = np.zeros(2)
        for r, sigma in enumerate(sigma_rn):
            replicas.configurations[k, r] = sigma
            draw_and_prepare(self._system_of(r, len(sigma_rn)), False,
                             replicas.configurations[k, r], replicas.cache[k, r], values,
                             replicas.rng[k, r])
            replicas.energy[k, r], replicas.phi[k, r] = values


@dataclasses.dataclass(frozen=True)
class SingleFlip(LocalStates):
    """Engine for every discrete system: one site of one replica at a time, at random sites.

    Parameters
    ----------
    systems : tuple
        One system a disorder sample.
    dynamics : str
        ``metropolis`` or ``heat-bath``.
    """

    systems: tuple
    dynamics: str

    @property
    def name(self) -> str:
        """Dynamics and order of updates."""
        return f"{self.dynamics}, random sites"

    @functools.cached_property
    def _updates(self) -> list[SiteUpdates]:
        """The faster kernel of Ising spins, one a sample."""
        return [SiteUpdates(system, self.dynamics) for system in self.systems]

    def advance(self, replicas: Replicas, k: int, temperature: float, n_sweeps: int,
                energy_rt: np.ndarray, phi_rt: np.ndarray) -> None:
        """Advance rung ``k``; see :class:`Engine`."""
        n_replicas = replicas.energy.shape[1]
        values = np.stack([replicas.energy[k], replicas.phi[k]], axis=1)
        heat_bath = bool(DYNAMICS[self.dynamics])
        per_sample = n_replicas // len(self.systems)
        small = n_replicas * n_sweeps * self.systems[0].n_sites < WORTH_A_THREAD
        size = per_sample if small else max(1, min(per_sample, -(-n_replicas // n_threads())))
        chunks = [slice(a, min(a + size, b)) for b in range(per_sample, n_replicas + 1, per_sample)
                  for a in range(b - per_sample, b, size)]

        def move(chunk):
            system = self._system_of(chunk.start, n_replicas)
            if isinstance(system, Ising):
                updates = self._updates[chunk.start * len(self.systems) // n_replicas]
                for r in range(chunk.start, chunk.stop):
                    updates.advance(temperature, n_sweeps, replicas.configurations[k, r],
                                    replicas.cache[k, r], values[r], replicas.rng[k, r],
                                    energy_rt[r], phi_rt[r])
                return
            _move(system, heat_bath, temperature, n_sweeps,
                  replicas.configurations[k, chunk], replicas.cache[k, chunk], values[chunk],
                  replicas.rng[k, chunk], energy_rt[chunk], phi_rt[chunk])

        if small:
            for chunk in chunks:
                move(chunk)
        else:
            over_threads(lambda c: move(chunks[c]), len(chunks))
        replicas.energy[k], replicas.phi[k] = values.T
