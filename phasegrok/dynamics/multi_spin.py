"""Multi-spin coding: 64 replicas, disorder samples or slabs of one lattice in the bits of words.

The engine for Ising spins on chains, square and simple cubic lattices with couplings +-J between
nearest neighbours.  A kernel updates a site in all lanes by logical operations on words (Creutz,
Bhanot and Neuberger; Jacobs and Rebbi, J. Comput. Phys. 41 (1981) 203); each lane has uniform
variates of its own, so that every replica follows the single-site dynamics exactly.

Two orders of updates, which are different dynamics:

random-site
    N sites a sweep, drawn with replacement, the physical dynamics.  The lanes of a word share the
    sites, not the variates: replicas are independent given the sites, and each alone is unbiased.
checkerboard
    One sublattice after the other.  Same equilibrium, other times; on lattices of even size.
"""

import dataclasses
import functools
from typing import Literal

import numpy as np

from phasegrok.compiled import over_threads
from phasegrok.dynamics import multi_spin_kernels as kernels
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
from phasegrok.systems.ising import Ising

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_TIE = 1e-12  # at T = 0, energies nearer than this are equal, as in the general dynamics
WORTH_A_THREAD = 50_000  # updates of a word; to start threads takes as long as some thousand
_STRIPES = 128  # sizes that are multiples of this have 64 slabs of even thickness


def fits(systems: tuple[Ising, ...], order: str = "random-site") -> str:
    """Why the systems cannot be moved by :class:`MultiSpin`, in one sentence; empty if they can."""
    first = systems[0]
    if not isinstance(first, Ising) or first.dimension == 0:
        return "multi-spin coding needs a periodic chain, square or simple cubic lattice"
    z = 2 * first.dimension
    strength = abs(first.coupling[0])
    for system in systems:
        if (system.L, system.dimension, system.h) != (first.L, first.dimension, first.h):
            return "samples in the lanes of a word need the same lattice and the same field"
        if np.any(np.diff(system.first) != z):
            return "multi-spin coding needs bonds between nearest neighbours only"
        if np.any(np.abs(system.coupling) != strength):
            return "multi-spin coding needs couplings +J and -J of one strength"
    if order == "checkerboard" and first.L % 2:
        return f"the checkerboard order needs an even size, not {first.L}"
    return ""


def flip_probabilities(
    J: float, h: float, z: int, dynamics: str, temperature: float
) -> np.ndarray:
    """Probability that a spin with n unsatisfied of z bonds flips, (2, 8): spin up, spin down.

    The flip changes the energy by dE = 2 J (z - 2 n) + 2 h s.  Metropolis: min(1, exp(-dE/T)); heat
    bath: 1/(1 + exp(dE/T)), at T = 0 one half where dE = 0.
    """
    n = np.arange(8)
    change = 2.0 * J * (z - 2 * n) + 2.0 * h * np.array([[1.0], [-1.0]])
    if temperature > 0.0:
        if dynamics == "metropolis":
            p = np.exp(-np.maximum(change, 0.0) / temperature)
        else:
            p = 1.0 / (1.0 + np.exp(np.minimum(change / temperature, 700.0)))
    elif dynamics == "metropolis":
        p = np.where(change < _TIE, 1.0, 0.0)
    else:
        p = np.where(change < -_TIE, 1.0, np.where(change < _TIE, 0.5, 0.0))
    return np.where(n <= z, p, 0.0)


def _lattice(L: int, dimension: int, thickness: int, checkerboard: bool) -> kernels.Lattice:
    """Rows and neighbours of a lattice, or of slabs of ``thickness`` along its last axis."""
    extent = [L] * (dimension - 2) + [thickness] * (dimension > 1)
    rows = np.arange(int(np.prod(extent)), dtype=np.int64)
    beside, turn = np.zeros((2, len(rows), 2 * len(extent)), dtype=np.int64)
    odd, stride = np.zeros_like(rows), 1
    for axis, size in enumerate(extent):
        at = rows // stride % size
        for k, step in ((2 * axis, -1), (2 * axis + 1, 1)):
            beside[:, k] = rows + ((at + step) % size - at) * stride
            if size < L:
                turn[:, k] = (at + step) // size
        odd += at
        stride *= size
    run, steps = np.ones_like(rows), beside - rows[:, None]
    for r in range(len(rows) - 2, -1, -1):
        if np.all(steps[r] == steps[r + 1]) and np.all(turn[r] == turn[r + 1]):
            run[r] = run[r + 1] + 1
    return kernels.Lattice(
        L // 2 if checkerboard else L, run, beside, turn, odd % 2,
        _neighbours(L, dimension).astype(np.int32).ravel() if not checkerboard
        else np.zeros(0, dtype=np.int32),
    )  # fmt: skip


def _neighbours(L: int, dimension: int) -> np.ndarray:
    """Sites at -x, +x, -y, ... of each site, shape (N, 2 dimension)."""
    site = np.arange(L**dimension)
    columns = []
    for axis in range(dimension):
        at = site // L**axis % L
        columns += [site + ((at + step) % L - at) * L**axis for step in (-1, 1)]
    return np.stack(columns, 1)


def _places(L: int, n: int) -> np.ndarray:
    """Sites (of a slab of n sites) in checkerboard order: even x + y + z first, (2, n/2)."""
    site = np.arange(n)
    parity = (site % L + site // L % L + site // (L * L)) % 2
    return np.stack([np.flatnonzero(parity == 0), np.flatnonzero(parity == 1)])


def packed(bits: np.ndarray) -> np.ndarray:
    """Words of the bits (..., 64, n), shape (..., n): lane b is bit b."""
    octets = np.packbits(np.moveaxis(bits, -2, -1), axis=-1, bitorder="little")
    return np.ascontiguousarray(octets).view("<u8")[..., 0].astype(np.uint64)


def bits_of(words: np.ndarray) -> np.ndarray:
    """Bits (..., 64, n) of words (..., n)."""
    octets = np.ascontiguousarray(words, dtype="<u8")[..., None].view(np.uint8)
    return np.moveaxis(np.unpackbits(octets, axis=-1, bitorder="little"), -1, -2)


class Words:
    """What engines with 64 lanes a word have in common: overlaps and exchange of lanes."""

    systems: tuple

    def overlap(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Overlap q = sum_i s_i s'_i / N of each lane (the first R are the replicas), or stripes'
        replica, of ``configurations[k]``."""
        N = self.systems[0].n_sites
        if a.shape[1] < N:
            return 1.0 - 2.0 * np.bitwise_count(a ^ b).sum(axis=1, dtype=np.int64) / N
        tally, room = kernels.scratch(N)
        differing = np.zeros((len(a), LANES), dtype=np.int64)
        for w in range(len(a)):
            kernels.count_lanes(a[w] ^ b[w], tally, room, differing[w])
        return 1.0 - 2.0 * differing.ravel() / N

    def neighbours(self, a: np.ndarray) -> np.ndarray:
        """``a`` with the replicas 2 m and 2 m + 1 exchanged."""
        if a.shape[1] < self.systems[0].n_sites:
            order = np.arange(len(a)) ^ 1
            return a[np.where(order < len(a), order, order - 1)]
        even = np.uint64(0x5555555555555555)
        return (a & even) << np.uint64(1) | a >> np.uint64(1) & even

    def exchange(self, replicas: Replicas, k: int, accepted_r: np.ndarray) -> None:
        """Exchange configurations, E and M of rungs k and k + 1 where ``accepted_r``."""
        accepted_r = np.asarray(accepted_r, dtype=bool)
        low, high = replicas.configurations[k], replicas.configurations[k + 1]
        if low.shape[1] < self.systems[0].n_sites:
            mask = np.where(accepted_r, _ALL, np.uint64(0))
        else:
            mask = lane_masks(accepted_r)
        difference = (low ^ high) & mask[:, None]
        low ^= difference
        high ^= difference
        for values in (replicas.energy, replicas.phi):
            values[k : k + 2, accepted_r] = values[k : k + 2, accepted_r][::-1]


@dataclasses.dataclass(frozen=True)
class MultiSpin(Words):
    """Single-site dynamics of S samples of Ising spins, 64 lanes at a time.

    Configurations are words (K, W, N), replica 64 w + b in bit b of word w; lanes beyond the R
    replicas run along unseen.  In checkerboard order, fewer than 64 replicas of a lattice whose
    size is a multiple of 128 are kept as stripes instead, (K, R, N/64): lane b is the slab with
    N b/64 <= site < N (b + 1)/64.  The order of sites in a word's row is that of
    :mod:`phasegrok.dynamics.multi_spin_kernels`; :meth:`unpacked` undoes it.

    Parameters
    ----------
    systems : tuple of Ising
        S samples that :func:`fits`.
    dynamics : {"metropolis", "heat-bath"}
    order : {"random-site", "checkerboard"}

    Raises
    ------
    ValueError
        Where the systems do not fit, with the reason.
    """

    systems: tuple[Ising, ...]
    dynamics: Literal["metropolis", "heat-bath"]
    order: Literal["random-site", "checkerboard"]

    def __post_init__(self):
        reason = fits(self.systems, self.order)
        if reason:
            raise ValueError(reason)

    @property
    def name(self) -> str:
        """Dynamics and order of updates."""
        sites = "random sites, shared by 64 lanes" if self.order == "random-site" else self.order
        return f"{self.dynamics}, {sites}"

    @property
    def _checkerboard(self) -> bool:
        return self.order == "checkerboard"

    @functools.cached_property
    def _uniform(self) -> bool:
        J = self.systems[0].coupling[0]
        return all(bool(np.all(system.coupling == J)) for system in self.systems)

    @functools.cached_property
    def _kept(self) -> dict:
        """Lattices and signs by shape of the configurations: made once, not part of the state."""
        return {}

    def lattice_of(self, n: int) -> kernels.Lattice:
        """The lattice for rows of n words."""
        if ("lattice", n) not in self._kept:
            system = self.systems[0]
            thickness = system.L * n // system.n_sites
            self._kept["lattice", n] = _lattice(
                system.L, system.dimension, thickness, self._checkerboard
            )
        return self._kept["lattice", n]

    def _negative(self, s: int) -> np.ndarray:
        """Whether the bonds of sample s towards -x, +x, -y, ... are negative, (N, z)."""
        system = self.systems[s]
        there = _neighbours(system.L, system.dimension)
        listed = system.neighbour.reshape(there.shape)
        negative = system.coupling.reshape(there.shape) < 0.0
        out = np.zeros(there.shape, dtype=bool)
        for k in range(there.shape[1]):  # the list has each neighbour once
            out |= negative[:, k, None] & (listed[:, k, None] == there)
        return out

    def _signs(self, n: int, n_replicas: int) -> list[np.ndarray]:
        """Words of the lanes in which each bond is negative: one array, or one for each word."""
        if ("signs", n, n_replicas) not in self._kept:
            self._kept["signs", n, n_replicas] = [
                self._in_order(words) for words in self._sign_words(n, n_replicas)
            ]
        return self._kept["signs", n, n_replicas]

    def _sign_words(self, n: int, n_replicas: int):
        """The same as (n, z) words in the order of sites."""
        N, z = self.systems[0].n_sites, 2 * self.systems[0].dimension
        if self._uniform:
            yield np.zeros((0, z), dtype=np.uint64)
        elif n < N:
            for s in range(len(self.systems)):
                yield packed(self._negative(s).reshape(LANES, -1)).reshape(n, z)
        elif len(self.systems) == 1:
            yield np.where(self._negative(0), _ALL, np.uint64(0))
        else:
            sample_r = np.arange(n_replicas) // (n_replicas // len(self.systems))
            for first in range(0, n_replicas, LANES):
                words = np.zeros((n, z), dtype=np.uint64)
                samples = sample_r[first : first + LANES]
                for s in np.unique(samples):
                    lanes = np.bitwise_or.reduce(
                        np.uint64(1) << np.flatnonzero(samples == s).astype(np.uint64))
                    words |= np.where(self._negative(s), lanes, np.uint64(0))
                yield words

    def _in_order(self, words: np.ndarray) -> np.ndarray:
        """Sign words in the order in which the kernels read them."""
        if not self._checkerboard:
            return words.ravel()
        if len(words) == 0:
            return np.zeros((2, words.shape[1], 0), dtype=np.uint64)
        places = _places(self.systems[0].L, len(words))
        out = words[places].transpose(0, 2, 1).copy()
        even = places % self.systems[0].L % 2 == 0  # its neighbour in the same column is at +x
        out[:, :2] = np.where(even[:, None], out[:, 1::-1], out[:, :2])
        return out

    def signs_of(self, n: int, n_replicas: int, w: int) -> np.ndarray:
        """Signs of the bonds for the row of n words number w, as the kernels read them."""
        signs = self._signs(n, n_replicas)
        if n < self.systems[0].n_sites:
            return signs[w // (n_replicas // len(self.systems)) if len(signs) > 1 else 0]
        return signs[w if len(signs) > 1 else 0]

    def start(self, seed: int, point, ordered_r: np.ndarray, n_rungs: int) -> Replicas:
        """K rungs of R replicas: those with ``ordered_r`` have all spins up (for a spin glass too,
        whose ground states are not known), the others are drawn uniformly."""
        ordered_r = np.asarray(ordered_r, dtype=bool)
        R, system = len(ordered_r), self.systems[0]
        stripes = (self._checkerboard and R < LANES and system.dimension > 1
                   and system.L % _STRIPES == 0)
        W = R if stripes else -(-R // LANES)
        n = system.n_sites // LANES if stripes else system.n_sites
        rows = streams(seed, point, n_rungs * W)
        drawn = np.zeros((n_rungs * W, n), dtype=np.uint64)
        for row, words in zip(rows, drawn):
            fill_words(row, words)  # leaves the stream behind its words, for the generators
        configurations = drawn.reshape(n_rungs, W, n)
        if stripes:
            configurations[:, ordered_r] = _ALL
        else:
            configurations |= lane_masks(ordered_r)[:, None]
        replicas = Replicas(
            configurations, np.zeros((n_rungs, R, 0), dtype=np.int64),
            np.zeros((n_rungs, R)), np.zeros((n_rungs, R)),
            generators(rows).reshape(n_rungs, W, -1),
        )  # fmt: skip
        for k in range(n_rungs):
            self._measure(replicas, k)
        return replicas

    def _measure(self, replicas: Replicas, k: int) -> None:
        """E and M of rung k from its configurations."""
        R = replicas.energy.shape[1]
        W, n = replicas.configurations.shape[1:]
        tally, room = kernels.scratch(n)
        measure = (kernels.measure_sublattices if self._checkerboard else kernels.measure_sites)
        counts = np.zeros((W, 1, 2, LANES), dtype=np.int64)
        for w in range(W):
            measure(replicas.configurations[k, w], self.lattice_of(n), self.signs_of(n, R, w),
                    tally, room, counts[w, 0, 0], counts[w, 0, 1])
        energy_rt, phi_rt = self._energy_and_order(counts, n, R)
        replicas.energy[k], replicas.phi[k] = energy_rt[:, 0], phi_rt[:, 0]

    def _energy_and_order(self, counts, n: int, R: int) -> tuple[np.ndarray, np.ndarray]:
        """E and M, (R, t), from spins up and unsatisfied bonds (W, t, 2, 64)."""
        system = self.systems[0]
        N, n_bonds = system.n_sites, system.n_sites * system.dimension
        if n < N:
            up, unsatisfied = np.moveaxis(counts.sum(axis=3), 2, 0)
        else:
            up, unsatisfied = np.moveaxis(counts, 2, 0).swapaxes(2, 3).reshape(2, -1,
                                                                              counts.shape[1])
        phi_rt = 2.0 * up[:R] - N
        return -self.strength * (n_bonds - 2.0 * unsatisfied[:R]) - system.h * phi_rt, phi_rt

    @property
    def strength(self) -> float:
        """J of equal couplings, or |J|."""
        J = float(self.systems[0].coupling[0])
        return J if self._uniform else abs(J)

    def advance(self, replicas: Replicas, k: int, temperature: float, n_sweeps: int,
                energy_rt: np.ndarray, phi_rt: np.ndarray) -> None:
        """Advance rung k by ``n_sweeps`` sweeps; record E and M after each in float64 (R, n)
        arrays, or record nothing where these have shape (R, 0)."""
        if n_sweeps == 0:
            return
        system = self.systems[0]
        R = replicas.energy.shape[1]
        W, n = replicas.configurations.shape[1:]
        p = flip_probabilities(self.strength, system.h, 2 * system.dimension, self.dynamics,
                               temperature)
        sweep = kernels.checkerboard if self._checkerboard else kernels.random_sites
        recorded = energy_rt.shape[1] > 0
        counts = np.zeros((W, n_sweeps if recorded else 1, 2, LANES), dtype=np.int64)
        lattice, signs = self.lattice_of(n), [self.signs_of(n, R, w) for w in range(W)]

        def advance_word(w):
            compared, table = rates(p.ravel() if system.h != 0.0 else p[0])
            tally, room = kernels.scratch(n)
            words, state = aligned(n), aligned(STATE)
            words[:], state[:] = replicas.configurations[k, w], replicas.rng[k, w]
            sweep(words, lattice, signs[w], state, compared, table, system.h != 0.0, tally, room,
                  n_sweeps, counts[w])
            replicas.configurations[k, w], replicas.rng[k, w] = words, state

        if W * n * n_sweeps < WORTH_A_THREAD:
            for w in range(W):
                advance_word(w)
        else:
            over_threads(advance_word, W)
        energies, magnetisations = self._energy_and_order(counts, n, R)
        if recorded:
            energy_rt[:], phi_rt[:] = energies, magnetisations
        replicas.energy[k], replicas.phi[k] = energies[:, -1], magnetisations[:, -1]

    def unpacked(self, a: np.ndarray) -> np.ndarray:
        """int8 spins of each lane (the first R are the replicas), or stripes' replica, of
        ``configurations[k]``, in the order of sites."""
        system = self.systems[0]
        bits = bits_of(a)
        spins = np.empty(bits.shape, dtype=np.int8)
        order = _places(system.L, a.shape[1]).ravel() if self._checkerboard else slice(None)
        spins[..., order] = 2 * bits.astype(np.int8) - 1
        return spins.reshape(-1, system.n_sites)


def lane_masks(chosen_r: np.ndarray) -> np.ndarray:
    """Words with the bits of the chosen replicas, shape (W,)."""
    lanes = np.zeros(-(-len(chosen_r) // LANES) * LANES, dtype=bool)
    lanes[: len(chosen_r)] = chosen_r
    return packed(lanes.reshape(-1, LANES, 1))[:, 0]
