"""Ising spins on any graph in the lanes of words, one site after the other.

Couplings are multiples of a common unit, J_ij = unit w_ij.  The flip of spin i changes the energy
of its bonds by 2 s_i sum_j J_ij s_j = 2 unit (W_i - 2 u_i), with W_i the sum of its |w_ij| and u_i
that of its unsatisfied bonds.  The *class* of a site is W - W_i + 2 u_i with the largest W of all
sites, divided by the largest common factor of what it can be, so that sites of one class have one
change, whatever their degree.  The class is added up bit by bit for all lanes at once, and selects
for each lane one of the words of Bernoulli variates that were made for every class.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from phasegrok.compiled import kernel
from phasegrok.dynamics import multi_spin_kernels as kernels
from phasegrok.dynamics.multi_spin_ladder import Scratch, count, scratch, sum_up, tally_rows
from phasegrok.dynamics.multi_spin_random import ALL, BLOCK, LANES, fill_below, fill_bernoulli
from phasegrok.systems.discrete import behaviour
from phasegrok.systems.ising import Ising, common_step

MOST_BITS = 5  # of a class
_STAGE = 128  # sites whose variates are made at once, so that all classes' stay in the first cache
_NONE = np.uint64(0)


class Graph(NamedTuple):
    """Bonds of site i at ``first[i]:first[i + 1]``."""

    first: np.ndarray  # (N + 1,) int64
    neighbour: np.ndarray  # int32
    negative: np.ndarray  # uint64: all bits where the coupling is negative
    weight: np.ndarray  # int64: what the bond adds to the class if it is not satisfied
    base: np.ndarray  # (N,) int64: class without unsatisfied bonds
    n_bits: int
    field: bool
    by_spin: bool
    used: np.ndarray  # (n_classes or twice, and 1) bool

    @classmethod
    def of(cls, system: Ising, by_spin: bool) -> "Graph":
        """The mover of a system that :func:`fits`."""
        classes = _classes(system)
        used = np.full(classes.number * (1 + by_spin) + 1, True)
        used[-1] = by_spin
        return cls(
            system.first, system.neighbour, np.where(system.coupling < 0.0, ALL, _NONE),
            classes.weight, classes.base, max(1, (classes.number - 1).bit_length()),
            system.h != 0.0, by_spin, used)

    def scratch(self, n: int) -> Scratch:
        """Room to work in, for configurations of n words."""
        return scratch(n, len(self.used), len(self.used) - 1)


class _Classes(NamedTuple):
    """Classes of the sites of a system."""

    weight: np.ndarray  # what each bond adds if it is not satisfied
    base: np.ndarray  # (N,): class of a site without unsatisfied bonds
    number: int  # that can occur
    first: float  # alignment s_i sum_j J_ij s_j of class 0
    step: float  # what one class takes away from it


def _classes(system: Ising) -> _Classes:
    strength = np.abs(system.coupling)
    unit = common_step(strength)
    w = np.rint(strength / unit).astype(np.int64) if unit > 0.0 else np.zeros(len(strength), int)
    total = np.zeros(system.n_sites, dtype=np.int64)
    np.add.at(total, _ends(system), w)
    lacking = total.max() - total
    factor = math.gcd(*map(int, np.unique(2 * w)), *map(int, np.unique(lacking))) or 1
    largest = int((lacking + 2 * total).max()) // factor
    return _Classes(2 * w // factor, lacking // factor, largest + 1, unit * float(total.max()),
                    unit * factor)


def _ends(system: Ising) -> np.ndarray:
    """Site of each bond in the list of bonds of all sites."""
    return np.repeat(np.arange(system.n_sites), np.diff(system.first))


def alignments(system: Ising) -> np.ndarray:
    """s_i sum_j J_ij s_j of the sites of each class; a flip changes E of the bonds by twice it."""
    classes = _classes(system)
    return classes.first - classes.step * np.arange(classes.number)


def fits(system: Ising) -> str:
    """Why a system cannot be moved by :class:`Graph`, in one sentence; empty if it can."""
    try:
        n_classes = len(alignments(system))
    except ValueError:
        return "its couplings have no common step"
    if n_classes > 2**MOST_BITS:
        return (f"a flip can change the energy of the bonds by {n_classes} values, at most "
                f"{2**MOST_BITS} are counted")
    return ""


def two_sublattices(system: Ising) -> bool:
    """Whether all bonds are between two sets of sites: then g(E) = g(-E) without a field.

    The double cover of a connected graph has two components if the graph has no odd circle.
    """
    n = system.n_sites
    here, there = _ends(system), system.neighbour
    cover = sparse.csr_matrix((np.ones(len(here)), (here, there + n)), shape=(2 * n, 2 * n))
    plain = sparse.csr_matrix((np.ones(len(here)), (here, there)), shape=(n, n))
    return (connected_components(cover, directed=False)[0]
            == 2 * connected_components(plain, directed=False)[0])


@kernel(allocates=False)
def _add(digits, n_bits, x, weight):
    """Add ``weight`` in the lanes of x."""
    for b in range(n_bits):
        if (weight >> b) & 1:
            carry = x
            for c in range(b, n_bits):
                both = digits[c] & carry
                digits[c] ^= carry
                carry = both


@kernel(allocates=False)
def _digits(graph, words, site, digits):
    """Bits of the class of a site in each lane."""
    own = words[site]
    for b in range(graph.n_bits):
        digits[b] = ALL if (graph.base[site] >> b) & 1 else _NONE
    for k in range(graph.first[site], graph.first[site + 1]):
        x = own ^ words[graph.neighbour[k]] ^ graph.negative[k]
        _add(digits, graph.n_bits, x, graph.weight[k])


@kernel(allocates=False)
def _chosen(table, first, j, digits, n_bits, room):
    """In each lane the word of its class, of the words j of the rows from ``first`` on."""
    half = 1 << (n_bits - 1)
    for i in range(half):
        zero, one = table[(first + 2 * i) * BLOCK + j], table[(first + 2 * i + 1) * BLOCK + j]
        room[i] = kernels.select(digits[0], one, zero)
    for b in range(1, n_bits):
        half >>= 1
        for i in range(half):
            room[i] = kernels.select(digits[b], room[2 * i + 1], room[2 * i])
    return room[0]


@behaviour(Graph, "sweep")
def _sweep_sites(mover, words, state, compared, table, room):
    n = words.shape[0]
    digits, chosen = room[:8], room[8:64]
    for begin in range(0, n, _STAGE):
        m = min(_STAGE, n - begin)
        fill_bernoulli(state, compared, table, room[7 * BLOCK :], m)
        for j in range(m):
            site = begin + j
            _digits(mover, words, site, digits)
            flips = _chosen(table, 0, j, digits, mover.n_bits, chosen)
            if mover.field:
                down = _chosen(table, 1 << mover.n_bits, j, digits, mover.n_bits, chosen)
                flips = kernels.select(words[site], flips, down)
            words[site] ^= flips


@kernel(allocates=False)
def _indicate(digits, n_bits, n_classes, n, rows, own, by_spin):
    """Rows of the classes: set where the digits are those of the class."""
    kernels.wide_vectors()
    for c in range(n_classes):
        for j in range(n):
            rows[c * BLOCK + j] = ALL
        for b in range(n_bits):
            flip = _NONE if (c >> b) & 1 else ALL
            for j in range(n):
                rows[c * BLOCK + j] &= digits[b * BLOCK + j] ^ flip
        if by_spin:
            for j in range(n):
                rows[(n_classes + c) * BLOCK + j] = rows[c * BLOCK + j] & own[j]
                rows[c * BLOCK + j] &= ~own[j]


@behaviour(Graph, "count")
def _count_sites(mover, words, scratch):
    n, n_rows = words.shape[0], mover.used.shape[0]
    n_classes = scratch.sites.shape[0] // (2 if mover.by_spin else 1)
    digits = scratch.room[6 * BLOCK : 6 * BLOCK + 8]
    scratch.tally[:] = _NONE
    for begin in range(0, n, BLOCK):
        m = min(BLOCK, n - begin)
        for j in range(m):
            _digits(mover, words, begin + j, digits)
            for b in range(mover.n_bits):
                scratch.room[b * BLOCK + j] = digits[b]
        own = words[begin : begin + m]
        _indicate(scratch.room, mover.n_bits, n_classes, m, scratch.rows, own, mover.by_spin)
        kernels.copy_words(own, scratch.rows[(n_rows - 1) * BLOCK :])
        tally_rows(scratch.tally, mover.used, scratch.rows, m)
    sum_up(scratch.tally, mover.used, scratch.tallied)
    for c in range(scratch.sites.shape[0]):
        for lane in range(LANES):
            scratch.sites[c, lane] = scratch.tallied[c, lane]
    for lane in range(LANES):
        scratch.up[lane] = scratch.tallied[n_rows - 1, lane]


# --- at fixed magnetisation -----------------------------------------------------------------------


class Pairs(NamedTuple):
    """Exchanges of the spins of two sites drawn at random: the magnetisation of a lane stays."""

    graph: Graph

    @classmethod
    def of(cls, system: Ising) -> "Pairs":
        """The mover of a system that :func:`fits`; it counts spins up and down apart."""
        return cls(Graph.of(system, True))

    def scratch(self, n: int) -> Scratch:
        """Room to work in, for configurations of n words."""
        return self.graph.scratch(n)


def pair_changes(system: Ising) -> np.ndarray:
    """Change of E by the exchange of two unlike spins whose classes add up to 0, 1, ..."""
    classes = _classes(system)
    return 2.0 * (2.0 * classes.first - classes.step * np.arange(2 * classes.number - 1))


@kernel(allocates=False)
def _add_all_but(graph, words, site, other, digits, n_bits):
    """Add the class of a site without its bonds to another one, and return their weight."""
    own, between = words[site], np.int64(0)
    _add(digits, n_bits, ALL, graph.base[site])
    for k in range(graph.first[site], graph.first[site + 1]):
        if graph.neighbour[k] == other:
            between += graph.weight[k]
        else:
            x = own ^ words[graph.neighbour[k]] ^ graph.negative[k]
            _add(digits, n_bits, x, graph.weight[k])
    return between


@behaviour(Pairs, "sweep")
def _sweep_pairs(mover, words, state, compared, table, room):
    # N / 2 exchanges; the bond between two neighbours stays as it is: its weight makes up for what
    # either site alone would gain by it
    graph, n_bits = mover.graph, mover.graph.n_bits + 1
    digits, chosen = room[:8], room[8:72]
    sites = room[2 * BLOCK : 3 * BLOCK]
    n_pairs = (words.shape[0] + 1) // 2
    for begin in range(0, n_pairs, _STAGE):
        m = min(_STAGE, n_pairs - begin)
        fill_below(state, words.shape[0], sites, room[7 * BLOCK :], 2 * m)
        fill_bernoulli(state, compared, table, room[7 * BLOCK :], m)
        for j in range(m):
            a, b = np.int64(sites[2 * j]), np.int64(sites[2 * j + 1])
            for d in range(n_bits):
                digits[d] = _NONE
            between = _add_all_but(graph, words, a, b, digits, n_bits)
            _add_all_but(graph, words, b, a, digits, n_bits)
            _add(digits, n_bits, ALL, between)
            flips = _chosen(table, 0, j, digits, n_bits, chosen) & (words[a] ^ words[b])
            words[a] ^= flips
            words[b] ^= flips


@behaviour(Pairs, "count")
def _count_pairs(mover, words, scratch):
    count(mover.graph, words, scratch)
