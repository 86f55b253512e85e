"""Multi-spin coding of the East model: 64 replicas in the bits of words, at random sites.

The engine for a ring of sites with E = J sum_i n_i, each of which may change only while its left
neighbour is excited (Jaeckle and Eisinger, Z. Phys. B 84 (1991) 115).  As for spins at random
sites, the lanes of a word share the sites, not the variates.
"""

import dataclasses
from typing import Any, Literal

import numpy as np

from phasegrok.compiled import over_threads
from phasegrok.dynamics import multi_spin_kernels as kernels
from phasegrok.dynamics.multi_spin import WORTH_A_THREAD, Words, bits_of, lane_masks
from phasegrok.dynamics.multi_spin_random import (
    LANES,
    STATE,
    aligned,
    fill_words,
    generators,
    rates,
)
from phasegrok.dynamics.replicas import Replicas
from phasegrok.rng import streams


def flip_probabilities(J: float, dynamics: str, temperature: float) -> np.ndarray:
    """Probability that a free site flips, (excited, not excited), J > 0.

    Metropolis: 1 and exp(-J/T); heat bath: 1/(1 + exp(-J/T)) and 1/(1 + exp(J/T)).
    """
    up = np.exp(-J / temperature) if temperature > 0.0 else 0.0
    return np.array([1.0, up] if dynamics == "metropolis" else [1.0 / (1.0 + up), up / (1.0 + up)])


@dataclasses.dataclass(frozen=True)
class MultiSpinEast(Words):
    """Dynamics of R replicas of the East model, in words (K, W, N): bit set, site excited.

    Replica 64 w + b is bit b of word w; lanes beyond the R replicas run along unseen.

    Parameters
    ----------
    systems : tuple of one system
        With ``n_sites`` and ``J``.
    dynamics : {"metropolis", "heat-bath"}
    """

    systems: tuple[Any]
    dynamics: Literal["metropolis", "heat-bath"]

    @property
    def name(self) -> str:
        """Dynamics and order of updates."""
        return f"{self.dynamics}, random sites, shared by 64 lanes"

    def start(self, seed: int, point, ordered_r: np.ndarray, n_rungs: int) -> Replicas:
        """K rungs of R replicas: those with ``ordered_r`` have all sites excited, the others are
        drawn uniformly among all states but the isolated one without excitations."""
        ordered_r = np.asarray(ordered_r, dtype=bool)
        R, N = len(ordered_r), self.systems[0].n_sites
        rows = streams(seed, point, n_rungs * -(-R // LANES))
        drawn = np.zeros((len(rows), N), dtype=np.uint64)
        for row, words in zip(rows, drawn):
            fresh = np.empty(N, dtype=np.uint64)
            while (empty := ~np.bitwise_or.reduce(words)) != 0:
                fill_words(row, fresh)
                words[:] |= fresh & empty
        configurations = drawn.reshape(n_rungs, -1, N)
        configurations |= lane_masks(ordered_r)[:, None]
        excited_r = np.array([self.unpacked(a)[:R].sum(axis=1, dtype=np.int64)
                              for a in configurations])
        return Replicas(configurations, np.zeros((n_rungs, R, 0), dtype=np.int64),
                        self.systems[0].J * excited_r, excited_r / N,
                        generators(rows).reshape(n_rungs, -1, STATE))

    def advance(self, replicas: Replicas, k: int, temperature: float, n_sweeps: int,
                energy_rt: np.ndarray, phi_rt: np.ndarray) -> None:
        """Advance rung k by ``n_sweeps`` sweeps; record E and the density after each in float64
        (R, n) arrays, or record nothing where these have shape (R, 0)."""
        if n_sweeps == 0:
            return
        R, (W, N) = replicas.energy.shape[1], replicas.configurations.shape[1:]
        p = flip_probabilities(self.systems[0].J, self.dynamics, temperature)
        recorded = energy_rt.shape[1] > 0
        counts = np.zeros((W, n_sweeps if recorded else 1, LANES), dtype=np.int64)

        def advance_word(w):
            compared, table = rates(p)
            tally, room = kernels.scratch(N)
            words, state = aligned(N), aligned(STATE)
            words[:], state[:] = replicas.configurations[k, w], replicas.rng[k, w]
            kernels.east(words, state, compared, table, tally, room, n_sweeps, counts[w])
            replicas.configurations[k, w], replicas.rng[k, w] = words, state

        if W * N * n_sweeps < WORTH_A_THREAD:
            for w in range(W):
                advance_word(w)
        else:
            over_threads(advance_word, W)
        excited_rt = counts.swapaxes(1, 2).reshape(W * LANES, -1)[:R]
        if recorded:
            energy_rt[:], phi_rt[:] = self.systems[0].J * excited_rt, excited_rt / N
        replicas.energy[k] = self.systems[0].J * excited_rt[:, -1]
        replicas.phi[k] = excited_rt[:, -1] / N

    def unpacked(self, a: np.ndarray) -> np.ndarray:
        """int8 occupations of each lane (the first R are the replicas) of ``configurations[k]``."""
        return bits_of(a).reshape(-1, self.systems[0].n_sites).astype(np.int8)
