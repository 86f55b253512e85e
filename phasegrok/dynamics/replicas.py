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
from typing import Protocol

import numpy as np

from phasegrok.compiled import kernel
from phasegrok.dynamics.single_flip import DYNAMICS, sweeps
from phasegrok.rng import streams
from phasegrok.systems.discrete import draw_and_prepare


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
