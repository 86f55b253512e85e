"""A ladder of temperatures in the lanes of words, and what every flip would do.

At each inverse temperature stands one word of spins a site, 64 replicas.  After each sweep the
sites of every lane are counted by their *class*: what their flip would change of the energy of the
bonds and, in a field or where the magnetisation is wanted, the direction of the spin.  The counts
are those of N attempted moves, of which a sweep itself makes one a site: they are added up by the
cell of the landscape that the lane is in, and give the density of states
(:mod:`phasegrok.thermodynamics.transitions`).

Then lanes of neighbouring rungs exchange their configurations, lane by lane, by masks (Hukushima
and Nemoto, J. Phys. Soc. Jpn. 65 (1996) 1604).

What makes the sweeps and the counts is a *mover*, a NamedTuple with versions of :func:`sweep` and
:func:`count`: :class:`Checkerboard` for lattices with two sublattices and bonds between nearest
neighbours, here, and :class:`phasegrok.dynamics.multi_spin_graph.Graph` for any other graph.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from phasegrok.compiled import kernel
from phasegrok.dynamics import multi_spin_kernels as kernels
from phasegrok.dynamics.multi_spin_random import BLOCK, DIGITS, LANES, Rates, aligned, rates
from phasegrok.rng import uniform
from phasegrok.systems.discrete import behaviour, generic

CLASSES = 7  # of a checkerboard: n = 0..6 unsatisfied bonds
# rows of what is tallied: the three binary digits of n, and their products; spins up
_ONES, _TWOS, _FOURS, _THREES, _FIVES, _SIXES, _OWN = range(7)
_PRODUCTS = 6
_NONE = np.uint64(0)
_BIT = np.uint64(1)
_LOWEST, _HIGHEST = 1, 2  # the end of the ladder where a configuration was last
_HEAT_BATH_BELOW = 2.0


class Rungs(NamedTuple):
    """Inverse temperatures and flip probabilities of K rungs, ascending in beta."""

    beta: np.ndarray  # (K,)
    digits: np.ndarray  # (K, rows, DIGITS) uint64: probabilities strictly between 0 and 1
    steps: np.ndarray  # (K, rows, DIGITS) uint64
    rest: np.ndarray  # (K, rows) uint64
    row: np.ndarray  # (K, rows) int64
    number: np.ndarray  # (K,) int64: how many of the rows there are
    pattern: np.ndarray  # (K,) int64: which of the tables has the rows that are 0 or 1
    tables: np.ndarray  # (patterns, rows BLOCK) uint64

    def own_tables(self) -> "Rungs":
        """The same with tables of its own, which a sweep fills: one a thread."""
        tables = aligned(self.tables.size).reshape(self.tables.shape)
        tables[:] = self.tables
        return self._replace(tables=tables)


class Cells(NamedTuple):
    """Energy and cell of the landscape of a lane, from its sites by class and its m spins up."""

    share: np.ndarray  # (classes,): energy of its bonds that a site has, half of each
    h: float  # E = sum of the shares - h (2 m - N)
    start: float  # energy of the first cell
    step: float
    n_order: int  # 1, or N + 1: cells of the order parameter at each energy


class Counts(NamedTuple):
    """What a ladder has counted; C cells, K rungs."""

    attempts: np.ndarray  # (C, classes) int64
    visits: np.ndarray  # (K, C) int64, or (1, C): of all rungs
    seen: np.ndarray  # (C,) uint64: lanes that were there
    energy: np.ndarray  # (K, 64): sum of E over the sweeps of each lane
    exchanges: np.ndarray  # (K - 1, 65) int64: accepted ones of each lane, and how often attempted
    trips: np.ndarray  # (64,) int64: passages of configurations from end to end and back


class Scratch(NamedTuple):
    """Room to work in for one ladder."""

    tally: np.ndarray
    room: np.ndarray
    rows: np.ndarray
    tallied: np.ndarray  # (rows, 64) int64
    sites: np.ndarray  # (classes, 64) int64: sites by class
    up: np.ndarray  # (64,) int64: spins up
    cell: np.ndarray  # (64,) int64


@generic
def sweep(mover, words, state, compared, table, room):
    """One attempted update of every site in all lanes.

    Parameters
    ----------
    mover : NamedTuple
    words : (N,) uint64
        Configurations, changed in place.
    state : (STATE,) uint64
        Generators, changed in place.
    compared, table : Rates and uint64 array
        Of the flip probabilities, by row.
    room : uint64 array
        To work in.
    """
    raise NotImplementedError("for compiled code")


@generic
def count(mover, words, scratch):
    """Sites of each lane by class into ``scratch.sites``: of spins down (or all), then of spins up;
    and where those are told apart, spins up into ``scratch.up``."""
    raise NotImplementedError("for compiled code")


def flip_probabilities(change_r: np.ndarray, beta: float, largest: float) -> np.ndarray:
    """Probability of each flip, given by its change of energy, at an inverse temperature.

    Metropolis, but heat bath where ``|beta| largest < 2``: at infinite temperature Metropolis would
    flip every spin in every sweep, and forget nothing.
    """
    x = beta * change_r
    if abs(beta) * largest < _HEAT_BATH_BELOW:
        return 1.0 / (1.0 + np.exp(x))
    return np.exp(-np.maximum(x, 0.0))


def rungs(beta_k: np.ndarray, change_r: np.ndarray, possible_r: np.ndarray) -> Rungs:
    """Rungs at inverse temperatures ``beta_k`` of the flips of each row that is possible."""
    largest = float(np.abs(change_r[possible_r]).max())
    n_rows = len(change_r)
    digits, steps = np.zeros((2, len(beta_k), n_rows, DIGITS), dtype=np.uint64)
    rest = np.zeros((len(beta_k), n_rows), dtype=np.uint64)
    row = np.zeros((len(beta_k), n_rows), dtype=np.int64)
    number = np.zeros(len(beta_k), dtype=np.int64)
    tables: dict[bytes, np.ndarray] = {}
    pattern = np.zeros(len(beta_k), dtype=np.int64)
    for k, beta in enumerate(beta_k):
        p = np.where(possible_r, flip_probabilities(change_r, float(beta), largest), 0.0)
        compared, table = rates(p)
        m = number[k] = len(compared.row)
        digits[k, :m], steps[k, :m] = compared.digits, compared.steps
        rest[k, :m], row[k, :m] = compared.rest, compared.row
        key = np.ascontiguousarray(table[::BLOCK]).tobytes() + compared.row.tobytes()
        tables.setdefault(key, table)
        pattern[k] = list(tables).index(key)
    return Rungs(np.asarray(beta_k, dtype=float), digits, steps, rest, row, number, pattern,
                 np.stack(list(tables.values())))


@kernel(allocates=False)
def tally_rows(tally, used, rows, filled):
    """Add the words of the rows that are ``used`` to their tallies."""
    depth = tally.shape[1] // kernels.COLUMNS - kernels.SPARE
    for r in range(used.shape[0]):
        if used[r]:
            words, n = rows[r * BLOCK : (r + 1) * BLOCK], kernels.whole_chunks(filled)
            words[filled:n] = _NONE
            kernels.tally_words(tally[r], depth, words, n)


@kernel(allocates=False)
def sum_up(tally, used, tallied):
    """Set bits of each lane in the rows that are ``used``, from their tallies."""
    depth = tally.shape[1] // kernels.COLUMNS - kernels.SPARE
    tallied[:] = 0
    for r in range(used.shape[0]):
        if used[r]:
            kernels.lane_counts(tally[r], depth, 1, tallied[r])


@kernel(allocates=False)
def _energies(cells, n_sites, work, energy_l):
    """E and cell of each lane."""
    kernels.wide_vectors()
    for lane in range(LANES):
        energy_l[lane] = 0.0
    for c in range(work.sites.shape[0]):
        for lane in range(LANES):
            energy_l[lane] += cells.share[c] * float(work.sites[c, lane])
    if cells.h != 0.0:
        for lane in range(LANES):
            energy_l[lane] -= cells.h * float(2 * work.up[lane] - n_sites)
    for lane in range(LANES):
        work.cell[lane] = int((energy_l[lane] - cells.start) / cells.step + 0.5)
    if cells.n_order > 1:
        for lane in range(LANES):
            work.cell[lane] = work.cell[lane] * cells.n_order + work.up[lane]


@kernel(allocates=False)
def _record(cells, n_sites, k, counts, energy_l, work):
    """E of each lane, and its sites by class added to its cell."""
    _energies(cells, n_sites, work, energy_l)
    row = k if counts.visits.shape[0] > 1 else 0
    for lane in range(LANES):
        c = work.cell[lane]
        for s in range(work.sites.shape[0]):
            counts.attempts[c, s] += work.sites[s, lane]
        counts.visits[row, c] += 1
        counts.seen[c] |= _BIT << np.uint64(lane)
        counts.energy[k, lane] += energy_l[lane]


@kernel(allocates=False)
def _exchange(words_kn, beta_k, k, energy_kl, walker_kl, exchanges, rng):
    """Exchange lanes of rungs k and k + 1 with the probability of detailed balance."""
    mask, difference = _NONE, beta_k[k] - beta_k[k + 1]
    for lane in range(LANES):
        gain = difference * (energy_kl[k, lane] - energy_kl[k + 1, lane])
        if gain >= 0.0 or uniform(rng) < math.exp(gain):
            mask |= _BIT << np.uint64(lane)
            exchanges[k, lane] += 1
            energy_kl[k, lane], energy_kl[k + 1, lane] = energy_kl[k + 1, lane], energy_kl[k, lane]
            walker_kl[k, lane], walker_kl[k + 1, lane] = walker_kl[k + 1, lane], walker_kl[k, lane]
    exchanges[k, LANES] += 1
    low, high = words_kn[k], words_kn[k + 1]
    for j in range(low.shape[0]):
        changed = (low[j] ^ high[j]) & mask
        low[j] ^= changed
        high[j] ^= changed


@kernel(allocates=False)
def _note_ends(walker_kl, end_kl, trips):
    """Count passages of configurations from one end of the ladder to the other and back."""
    last = walker_kl.shape[0] - 1
    for lane in range(LANES):
        first, other = walker_kl[0, lane], walker_kl[last, lane]
        if end_kl[first, lane] == _HIGHEST:
            trips[lane] += 1
        end_kl[first, lane] = _LOWEST
        if end_kl[other, lane] == _LOWEST:
            end_kl[other, lane] = _HIGHEST


@kernel(allocates=False)
def advance(words_kn, mover, state, rng, ladder, cells, counts, energy_kl, walker_kl, end_kl, done,
            n_sweeps, work):
    """Advance a ladder by sweeps, over which its rungs take turns; after the last they exchange.

    Parameters
    ----------
    words_kn : (K, N) uint64
        Configurations in the order of the mover, changed in place.
    mover : NamedTuple
    state, rng : uint64 arrays
        Generators of the variates in lanes, and of the exchanges.
    ladder : Rungs
    cells : Cells
    counts : Counts
        Added to.
    energy_kl : (K, 64)
        E of every lane, as it was last counted.
    walker_kl, end_kl : (K, 64) int64
        Configuration at each rung, and the end where each configuration was last.
    done, n_sweeps : int
        Sweeps made so far, and to be made.
    work : Scratch
    """
    n_rungs, n_sites = words_kn.shape
    for t in range(done, done + n_sweeps):
        k = t % n_rungs
        m = ladder.number[k]
        compared = Rates(ladder.digits[k, :m], ladder.steps[k, :m], ladder.rest[k, :m],
                         ladder.row[k, :m])
        sweep(mover, words_kn[k], state, compared, ladder.tables[ladder.pattern[k]], work.room)
        count(mover, words_kn[k], work)
        _record(cells, n_sites, k, counts, energy_kl[k], work)
        if k == n_rungs - 1 and n_rungs > 1:
            for pair in range((t // n_rungs) % 2, n_rungs - 1, 2):
                _exchange(words_kn, ladder.beta, pair, energy_kl, walker_kl, counts.exchanges, rng)
            _note_ends(walker_kl, end_kl, counts.trips)


# --- two sublattices ------------------------------------------------------------------------------


class Checkerboard(NamedTuple):
    """Lattices of even size, one sublattice after the other."""

    lattice: Any  # kernels.Lattice
    signs: np.ndarray  # (2, z, N/2) uint64, or (2, z, 0)
    field: bool  # whether flip probabilities depend on the spin
    by_spin: bool  # whether spins up and down are counted apart
    used: np.ndarray  # (7 or 13,) bool: rows to be tallied

    @classmethod
    def of(cls, lattice, signs: np.ndarray, z: int, field: bool, by_spin: bool) -> "Checkerboard":
        """For sites with z = 2, 4 or 6 neighbours."""
        used = np.array([True, z > 1, z > 3, z > 2, z > 4, z > 5])
        used = np.concatenate([used, [by_spin], used]) if by_spin else np.append(used, False)
        return cls(lattice, signs, field, by_spin, used)

    def scratch(self, n: int) -> Scratch:
        """Room to work in, for configurations of n words."""
        return scratch(n, len(self.used), CLASSES * (1 + self.by_spin))


@behaviour(Checkerboard, "sweep")
def _sweep_sublattices(mover, words, state, compared, table, room):
    for parity in range(2):
        kernels.update_sublattice(words, parity, mover.lattice, mover.signs, state, compared, table,
                                  room, mover.field)


@kernel(allocates=False)
def _products(rows, n, by_spin):
    """Rows of products of the digits of n = 0..6 and, with ``by_spin``, those of spins up alone."""
    kernels.wide_vectors()
    for j in range(n):
        ones, twos, fours = rows[j], rows[BLOCK + j], rows[2 * BLOCK + j]
        rows[_THREES * BLOCK + j] = ones & twos
        rows[_FIVES * BLOCK + j] = ones & fours
        rows[_SIXES * BLOCK + j] = twos & fours
    if by_spin:
        for r in range(_PRODUCTS):
            for j in range(n):
                own = rows[_OWN * BLOCK + j]
                rows[(_OWN + 1 + r) * BLOCK + j] = rows[r * BLOCK + j] & own


@kernel(allocates=False)
def _classes_of(tallied, first, total_l, sites):
    """Sites of each lane with n = 0..6, of ``total_l`` in all, from the tallies of products."""
    kernels.wide_vectors()
    for lane in range(LANES):
        threes, fives = tallied[first + _THREES, lane], tallied[first + _FIVES, lane]
        sixes = tallied[first + _SIXES, lane]
        one = tallied[first + _ONES, lane] - threes - fives
        two = tallied[first + _TWOS, lane] - threes - sixes
        four = tallied[first + _FOURS, lane] - fives - sixes
        sites[0, lane] = total_l[lane] - one - two - threes - four - fives - sixes
        sites[1, lane], sites[2, lane], sites[3, lane] = one, two, threes
        sites[4, lane], sites[5, lane], sites[6, lane] = four, fives, sixes


@behaviour(Checkerboard, "count")
def _count_sublattices(mover, words, scratch):
    kernels.wide_vectors()
    n, filled = words.shape[0] // 2, 0
    tally, rows = scratch.tally, scratch.rows
    tally[:] = _NONE
    for parity in range(2):
        mine = words[parity * n : (parity + 1) * n]
        other = words[(1 - parity) * n : (2 - parity) * n]
        place = np.int64(0)
        while place < n:
            m = min(kernels.to_end_of_run(mover.lattice, place), BLOCK - filled)
            own = mine[place : place + m]
            kernels.count_unsatisfied(own, other, np.int64(parity), mover.lattice, mover.signs,
                                      place, rows[filled:], scratch.room)
            kernels.copy_words(own, rows[_OWN * BLOCK + filled :])
            place += m
            filled += m
            if filled == BLOCK or (parity == 1 and place == n):
                _products(rows, filled, mover.by_spin)
                tally_rows(tally, mover.used, rows, filled)
                filled = 0
    sum_up(tally, mover.used, scratch.tallied)
    _by_class(scratch.tallied, mover.by_spin, words.shape[0], scratch.sites, scratch.up)


@kernel(allocates=False)
def _by_class(tallied, by_spin, n_sites, sites, up_l):
    """Sites by class from the tallies of digits and products, which are changed."""
    if by_spin:
        for lane in range(LANES):
            up_l[lane] = tallied[_OWN, lane]
        _classes_of(tallied, _OWN + 1, up_l, sites[CLASSES:])
        for r in range(_PRODUCTS):
            for lane in range(LANES):
                tallied[r, lane] -= tallied[_OWN + 1 + r, lane]
        for lane in range(LANES):
            tallied[_OWN, lane] = n_sites - up_l[lane]
    else:
        tallied[_OWN] = n_sites
    _classes_of(tallied, 0, tallied[_OWN], sites)


@kernel
def _counted(mover, words, work):
    count(mover, words, work)


def counted(mover, words: np.ndarray) -> np.ndarray:
    """Sites of each lane by class, (classes, 64): of spins down (or all), then of spins up."""
    work = mover.scratch(len(words))
    _counted(mover, words, work)
    return work.sites


def scratch(n: int, n_rows: int, n_classes: int) -> Scratch:
    """Room to work in for configurations of n words, with rows to tally and classes."""
    tally, room = kernels.scratch(n)
    return Scratch(
        aligned(n_rows * tally.shape[1]).reshape(n_rows, -1), room, aligned(n_rows * BLOCK),
        np.zeros((n_rows, LANES), dtype=np.int64), np.zeros((n_classes, LANES), dtype=np.int64),
        np.zeros(LANES, dtype=np.int64), np.zeros(LANES, dtype=np.int64),
    )  # fmt: skip
