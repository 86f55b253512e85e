"""Kernels of multi-spin coding: the same site of 64 lattices in the bits of one word.

Bits are spins (set: up), and all lanes of a word are updated by the same logical operations: the
number n of unsatisfied bonds of a site is added up bit by bit in three words, and selects for each
lane one of the words of Bernoulli variates that were made for every n.

Two orders of updates, with a layout of the words each:

random-site
    Site x + L y + L^2 z at place x + L y + L^2 z.
checkerboard
    The sublattice of even x + y + z, then the odd one; a row of either holds its sites of equal
    y and z in the order of x, at place x // 2 + (L/2) (y + L z).

With stripes the lanes are 64 slabs of one lattice, cut across its last axis; a slab's first and
last rows have their neighbours in the lanes beside, so those words are seen turned by one bit.
"""

from typing import NamedTuple

import numpy as np

from phasegrok.compiled import kernel
from phasegrok.dynamics.multi_spin_random import (
    BLOCK,
    WORDS,
    aligned,
    fill_below,
    fill_bernoulli,
    wide_vectors,
)

_ONES, _TWOS, _FOURS, _OWN, _OTHER, _STAGE_A, _STAGE_B = range(7)  # rows of the room to work in
ROOM = 7 * BLOCK + WORDS
COLUMNS = 16  # of a tally: they are added in the end, which fewer make short, and vectors many
CHUNK = 8 * COLUMNS  # words of which each column takes eight at once
SPARE = 5  # planes of a tally beyond those that its columns fill: log2(COLUMNS) + 1
_SPREAD = np.array([[byte >> bit & 1 for bit in range(8)] for byte in range(256)],
                   dtype=np.uint8).view(np.uint64).ravel()
"""Word whose byte k is bit k of each byte."""
_BYTE = np.uint64(255)
_NONE = np.uint64(0)
_BIT = np.uint64(1)


class Lattice(NamedTuple):
    """Rows of words along x; in checkerboard order, those of one sublattice."""

    length: int  # words a row
    run: np.ndarray  # (rows,) int64: rows from here on whose neighbours lie at equal distances
    beside: np.ndarray  # (rows, 2 dimension - 2) int64: rows at -y, +y, -z, +z
    turn: np.ndarray  # the same shape, int64: 1, -1 where that row is in the next, previous lane
    odd: np.ndarray  # (rows,) int64: parity of y + z
    neighbour: np.ndarray  # (N 2 dimension,) int32: sites at -x, +x, -y, ...; random-site order


@kernel(inline="always", allocates=False)
def _majority(a, b, c):
    return (a & b) | (c & (a | b))


@kernel(inline="always", allocates=False)
def select(which, one, zero):
    """``one`` in the lanes of ``which``, ``zero`` in the others."""
    return zero ^ (which & (zero ^ one))


@kernel(inline="always", allocates=False)
def _by_count(ones, twos, fours, t0, t1, t2, t3, t4, t5, t6):
    """Of the words t_n, in each lane that of n = ones + 2 twos + 4 fours."""
    low = select(twos, select(ones, t3, t2), select(ones, t1, t0))
    high = select(twos, t6, select(ones, t5, t4))
    return select(fours, high, low)


@kernel(allocates=False)
def _flip(own, counts, table, field):
    """Flip the spins whose variate says so; in a field it depends on the spin too."""
    wide_vectors()
    for j in range(own.shape[0]):
        ones, twos, fours = counts[j], counts[BLOCK + j], counts[2 * BLOCK + j]
        flips = _by_count(
            ones, twos, fours, table[j], table[BLOCK + j], table[2 * BLOCK + j],
            table[3 * BLOCK + j], table[4 * BLOCK + j], table[5 * BLOCK + j], table[6 * BLOCK + j],
        )  # fmt: skip
        if field:
            down = _by_count(
                ones, twos, fours, table[8 * BLOCK + j], table[9 * BLOCK + j],
                table[10 * BLOCK + j], table[11 * BLOCK + j], table[12 * BLOCK + j],
                table[13 * BLOCK + j], table[14 * BLOCK + j],
            )  # fmt: skip
            flips = select(own[j], flips, down)
        own[j] ^= flips


@kernel(allocates=False)
def _count_first(own, x, y, counts):
    wide_vectors()
    for j in range(own.shape[0]):
        a, b = own[j] ^ x[j], own[j] ^ y[j]
        counts[j] = a ^ b
        counts[BLOCK + j] = a & b
        counts[2 * BLOCK + j] = _NONE


@kernel(allocates=False)
def _count_next(own, x, y, counts):
    wide_vectors()
    for j in range(own.shape[0]):
        a, b = own[j] ^ x[j], own[j] ^ y[j]
        ones, twos = counts[j], counts[BLOCK + j]
        carry = _majority(a, b, ones)
        counts[j] = a ^ b ^ ones
        counts[BLOCK + j] = twos ^ carry
        counts[2 * BLOCK + j] |= twos & carry


@kernel(allocates=False)
def _turned(x, turn, out):
    """The words ``x``, each lane that of the next (turn 1) or the previous lane (turn -1)."""
    if turn > 0:
        for j in range(x.shape[0]):
            out[j] = (x[j] >> np.uint64(1)) | (x[j] << np.uint64(63))
    else:
        for j in range(x.shape[0]):
            out[j] = (x[j] << np.uint64(1)) | (x[j] >> np.uint64(63))


@kernel(allocates=False)
def _signed(x, signs, out):
    wide_vectors()
    for j in range(x.shape[0]):
        out[j] = x[j] ^ signs[j]


@kernel(allocates=False)
def _shifted(row, begin, step, out):
    """``out[j] = row[begin + j + step]`` with periodic ends, step 1 or -1."""
    n, length = out.shape[0], row.shape[0]
    if step > 0:
        inner = min(n, length - 1 - begin)
        copy_words(row[begin + 1 : begin + 1 + inner], out)
        if inner < n:
            out[n - 1] = row[0]
    else:
        out[0] = row[begin - 1] if begin > 0 else row[length - 1]
        copy_words(row[begin : begin + n - 1], out[1:])


@kernel(allocates=False)
def _beside_along_x(words, first, lattice, parity, out):
    """The words at x + 1 or x - 1 of those from ``first`` on that do not share their place.

    In checkerboard order (``parity`` of the sublattice of the sites) the rows alternate; in that of
    the sites (``parity`` -1) it is x + 1.
    """
    length, done = lattice.length, 0
    while done < out.shape[0]:
        r, begin = (first + done) // length, (first + done) % length
        m = min(length - begin, out.shape[0] - done)
        step = 1 if parity < 0 or (lattice.odd[r] + parity) % 2 == 1 else -1
        _shifted(words[r * length : (r + 1) * length], begin, step, out[done : done + m])
        done += m


@kernel(allocates=False)
def _pair(own, other, parity, lattice, signs, here, axis, room):
    """The two neighbours along ``axis`` of the words of a sublattice from ``here`` on."""
    n, length = own.shape[0], lattice.length
    stage_a = room[_STAGE_A * BLOCK : _STAGE_A * BLOCK + n]
    stage_b = room[_STAGE_B * BLOCK : _STAGE_B * BLOCK + n]
    r = here // length
    if axis == 0:
        x = other[here : here + n]
        _beside_along_x(other, here, lattice, parity, stage_b)
        y = stage_b
    else:
        at_x = here + (lattice.beside[r, 2 * axis - 2] - r) * length
        at_y = here + (lattice.beside[r, 2 * axis - 1] - r) * length
        x, y = other[at_x : at_x + n], other[at_y : at_y + n]
        if lattice.turn[r, 2 * axis - 2] != 0:
            _turned(x, lattice.turn[r, 2 * axis - 2], stage_a)
            x = stage_a
        if lattice.turn[r, 2 * axis - 1] != 0:
            _turned(y, lattice.turn[r, 2 * axis - 1], stage_b)
            y = stage_b
    if signs.shape[2] > 0:
        _signed(x, signs[parity, 2 * axis, here : here + n], stage_a)
        _signed(y, signs[parity, 2 * axis + 1, here : here + n], stage_b)
        x, y = stage_a, stage_b
    return x, y


@kernel(allocates=False)
def count_unsatisfied(own, other, parity, lattice, signs, here, counts, room):
    """Unsatisfied bonds of the words ``own`` of one run of rows, the first of them at ``here``."""
    x, y = _pair(own, other, parity, lattice, signs, here, 0, room)
    _count_first(own, x, y, counts)
    for axis in range(1, lattice.beside.shape[1] // 2 + 1):
        x, y = _pair(own, other, parity, lattice, signs, here, axis, room)
        _count_next(own, x, y, counts)


@kernel(allocates=False)
def to_end_of_run(lattice, place):
    """Words from here to the end of the rows whose neighbours lie at the same distances."""
    r = place // lattice.length
    return (r + lattice.run[r]) * lattice.length - place


@kernel(allocates=False)
def update_sublattice(words, parity, lattice, signs, state, rates, table, room, field):
    """One attempted update of every site of a sublattice."""
    wide_vectors()
    n = words.shape[0] // 2
    mine, other = words[parity * n : (parity + 1) * n], words[(1 - parity) * n : (2 - parity) * n]
    place, end = np.int64(0), 0  # a plain 0 would be a type of its own for what is called
    while place < n:
        if place == end:
            end = min(n, place + BLOCK)
            fill_bernoulli(state, rates, table, room[7 * BLOCK :], end - place)
            first = place
        m = min(to_end_of_run(lattice, place), end - place)
        own = mine[place : place + m]
        count_unsatisfied(own, other, parity, lattice, signs, place, room, room)
        _flip(own, room, table[place - first :], field)
        place += m


@kernel(inline="always", allocates=False)
def whole_chunks(n):
    """n words rounded up to whole chunks."""
    return -(-n // CHUNK) * CHUNK


@kernel(allocates=False)
def tally_words(planes, depth, words, n):
    """Add the bits of the first n words (multiples of ``CHUNK``) to counters, bit p of column j and
    each lane in planes[p, j].

    Eight words of a column at a time go through carry-save adders, and what they carry, which takes
    the place of the first of them, through all planes.
    """
    wide_vectors()
    for begin in range(0, n, CHUNK):
        chunk = words[begin : begin + CHUNK]
        for j in range(COLUMNS):
            ones, twos, fours = planes[j], planes[COLUMNS + j], planes[2 * COLUMNS + j]
            a, b = chunk[j], chunk[COLUMNS + j]
            t1 = _majority(ones, a, b)
            ones ^= a ^ b
            a, b = chunk[2 * COLUMNS + j], chunk[3 * COLUMNS + j]
            t2 = _majority(ones, a, b)
            ones ^= a ^ b
            f1 = _majority(twos, t1, t2)
            twos ^= t1 ^ t2
            a, b = chunk[4 * COLUMNS + j], chunk[5 * COLUMNS + j]
            t1 = _majority(ones, a, b)
            ones ^= a ^ b
            a, b = chunk[6 * COLUMNS + j], chunk[7 * COLUMNS + j]
            t2 = _majority(ones, a, b)
            ones ^= a ^ b
            f2 = _majority(twos, t1, t2)
            twos ^= t1 ^ t2
            chunk[j] = _majority(fours, f1, f2)
            planes[j], planes[COLUMNS + j], planes[2 * COLUMNS + j] = ones, twos, fours ^ f1 ^ f2
        for p in range(3, depth):
            plane = planes[p * COLUMNS : (p + 1) * COLUMNS]
            for j in range(COLUMNS):
                carry = chunk[j]
                chunk[j] = plane[j] & carry
                plane[j] ^= carry


@kernel(allocates=False)
def lane_counts(planes, depth, weight, counts):
    """Add ``weight`` times the counters, summed over columns, to the count of each lane."""
    wide_vectors()
    half = COLUMNS // 2
    while half > 0:
        for j in range(half):
            planes[depth * COLUMNS + j] = _NONE  # what is carried; becomes the highest plane
        for p in range(depth):
            for j in range(half):
                x, y = planes[p * COLUMNS + j], planes[p * COLUMNS + half + j]
                carry = planes[depth * COLUMNS + j]
                planes[p * COLUMNS + j] = x ^ y ^ carry
                planes[depth * COLUMNS + j] = _majority(x, y, carry)
        depth += 1
        half //= 2
    for first in range(0, depth, 8):
        for octet in range(8):
            # bits of eight planes of a lane side by side: a byte for each of eight lanes
            lanes = _NONE
            for p in range(first, min(first + 8, depth)):
                byte = np.int64((planes[p * COLUMNS] >> np.uint64(8 * octet)) & _BYTE)
                lanes |= _SPREAD[byte] << np.uint64(p - first)
            for k in range(8):
                counts[8 * octet + k] += np.int64((lanes >> np.uint64(8 * k)) & _BYTE) * (
                    weight << first)


@kernel(allocates=False)
def _tally_rows(tally, rows, room, filled):
    """Tally the first rows of the room, each with words up to ``filled``."""
    depth = tally.shape[1] // COLUMNS - SPARE
    for q in range(rows):
        words = room[q * BLOCK : (q + 1) * BLOCK]
        n = whole_chunks(filled)
        words[filled:n] = _NONE
        tally_words(tally[q], depth, words, n)


@kernel(allocates=False)
def _sum_up(tally, weights, up, unsatisfied):
    """Spins up and unsatisfied bonds of each lane from the tallies: ones, twos, fours, spins..."""
    depth = tally.shape[1] // COLUMNS - SPARE
    up[:] = 0
    unsatisfied[:] = 0
    for q in range(tally.shape[0]):
        lane_counts(tally[q], depth, weights[q], unsatisfied if q < _OWN else up)


@kernel(allocates=False)
def measure_sublattices(words, lattice, signs, tally, room, up, unsatisfied):
    """Spins up and unsatisfied bonds of each lane: every bond has one end in the odd sublattice."""
    wide_vectors()
    n = words.shape[0] // 2
    even, odd = words[:n], words[n:]
    tally[:] = _NONE
    place, filled = np.int64(0), 0
    while place < n:
        m = min(to_end_of_run(lattice, place), BLOCK - filled)
        own = odd[place : place + m]
        count_unsatisfied(own, even, np.int64(1), lattice, signs, place, room[filled:], room)
        copy_words(own, room[_OWN * BLOCK + filled :])
        copy_words(even[place : place + m], room[_OTHER * BLOCK + filled :])
        place += m
        filled += m
        if filled == BLOCK or place == n:
            _tally_rows(tally, 5, room, filled)
            filled = 0
    _sum_up(tally, (1, 2, 4, 1, 1), up, unsatisfied)


@kernel(allocates=False)
def copy_words(source, out):
    """``out[:len(source)] = source``."""
    wide_vectors()
    for j in range(source.shape[0]):
        out[j] = source[j]


@kernel(allocates=False)
def checkerboard(words, lattice, signs, state, rates, table, field, tally, room, n_sweeps, counts):
    """Advance 64 lanes by sweeps of one attempted update of every site, even sublattice first.

    Parameters
    ----------
    words : (n,) uint64
        Configuration in checkerboard order, changed in place.
    lattice : Lattice
    signs : (2, 2 dimension, n/2) uint64, or (2, 2 dimension, 0)
        Lanes in which the bond to each neighbour of each site of a sublattice is negative.
    state : (STATE,) uint64
        Generators, changed in place.
    rates, table : Rates and (8 BLOCK,) or, with a field, (16 BLOCK,) uint64
        Of the flip probabilities, at n = 0..7 unsatisfied bonds of a spin up, then of one down.
    field : bool
        Whether those depend on the spin.
    tally, room : uint64 arrays
        To work in.
    n_sweeps : int
    counts : (rows, 2, 64) int64
        Spins up and unsatisfied bonds after the last ``rows`` of the sweeps, filled.
    """
    wide_vectors()
    for t in range(n_sweeps):
        for parity in range(2):
            update_sublattice(words, parity, lattice, signs, state, rates, table, room, field)
        record = t - n_sweeps + counts.shape[0]
        if record >= 0:
            measure_sublattices(
                words, lattice, signs, tally, room, counts[record, 0], counts[record, 1]
            )


@kernel(allocates=False)
def measure_sites(words, lattice, signs, tally, room, up, unsatisfied):
    """The same for words in the order of sites: every site has a bond along each axis."""
    wide_vectors()
    n, axes = words.shape[0], lattice.beside.shape[1] // 2 + 1
    tally[:] = _NONE
    place, filled = np.int64(0), 0
    while place < n:
        m = min(to_end_of_run(lattice, place), BLOCK - filled)
        own = words[place : place + m]
        stage = room[_STAGE_A * BLOCK : _STAGE_A * BLOCK + m]
        counts = room[filled:]
        counts[:m] = _NONE
        counts[BLOCK : BLOCK + m] = _NONE
        for axis in range(axes):
            if axis == 0:
                _beside_along_x(words, place, lattice, -1, stage)
            else:
                r = place // lattice.length
                there = place + (lattice.beside[r, 2 * axis - 1] - r) * lattice.length
                copy_words(words[there : there + m], stage)
            if signs.shape[0] > 0:
                for j in range(m):
                    stage[j] ^= signs[2 * axes * (place + j) + 2 * axis + 1]
            _count_one(own, stage, counts)
        copy_words(own, room[_OWN * BLOCK + filled :])
        place += m
        filled += m
        if filled == BLOCK or place == n:
            room[_FOURS * BLOCK : (_FOURS + 1) * BLOCK] = _NONE
            _tally_rows(tally, 4, room, filled)
            filled = 0
    _sum_up(tally, (1, 2, 4, 1, 0), up, unsatisfied)


@kernel(allocates=False)
def _count_one(own, x, counts):
    wide_vectors()
    for j in range(own.shape[0]):
        a, ones = own[j] ^ x[j], counts[j]
        counts[j] = a ^ ones
        counts[BLOCK + j] |= a & ones


@kernel(allocates=False)
def _update_sites(words, sites, neighbour, signs, z, table, field, n):
    """Attempted updates of ``sites[:n]``, one after the other."""
    for u in range(n):
        site = sites[u]
        own = words[site]
        ones, twos, fours = _NONE, _NONE, _NONE
        for k in range(z * site, z * site + z):
            x = own ^ words[neighbour[k]]
            if signs.shape[0] > 0:
                x ^= signs[k]
            carry = ones & x
            ones ^= x
            fours |= twos & carry
            twos ^= carry
        flips = _by_count(
            ones, twos, fours, table[u], table[BLOCK + u], table[2 * BLOCK + u],
            table[3 * BLOCK + u], table[4 * BLOCK + u], table[5 * BLOCK + u], table[6 * BLOCK + u],
        )  # fmt: skip
        if field:
            down = _by_count(
                ones, twos, fours, table[8 * BLOCK + u], table[9 * BLOCK + u],
                table[10 * BLOCK + u], table[11 * BLOCK + u], table[12 * BLOCK + u],
                table[13 * BLOCK + u], table[14 * BLOCK + u],
            )  # fmt: skip
            flips = select(own, flips, down)
        words[site] = own ^ flips


@kernel(allocates=False)
def random_sites(words, lattice, signs, state, rates, table, field, tally, room, n_sweeps, counts):
    """Advance 64 lanes by sweeps of N attempted updates at sites drawn with replacement.

    The lanes share the sites; each has its own uniform variates.  Parameters are those of
    :func:`checkerboard`, but for ``signs``: (2 dimension N,) uint64 beside ``lattice.neighbour``,
    or (0,).
    """
    wide_vectors()
    n = words.shape[0]
    z = lattice.beside.shape[1] + 2
    sites = room[_STAGE_B * BLOCK : 7 * BLOCK]
    for t in range(n_sweeps):
        for begin in range(0, n, BLOCK):
            m = min(BLOCK, n - begin)
            fill_below(state, n, sites, room[7 * BLOCK :], m)
            fill_bernoulli(state, rates, table, room[7 * BLOCK :], m)
            _update_sites(words, sites, lattice.neighbour, signs, z, table, field, m)
        record = t - n_sweeps + counts.shape[0]
        if record >= 0:
            measure_sites(words, lattice, signs, tally, room, counts[record, 0], counts[record, 1])


@kernel(allocates=False)
def count_lanes(words, tally, room, counts):
    """Number of set bits of each lane in the flat array ``words``, into ``counts`` (64,) int64."""
    wide_vectors()
    depth = tally.shape[1] // COLUMNS - SPARE
    tally[0] = _NONE
    for begin in range(0, words.shape[0], BLOCK):
        m = min(BLOCK, words.shape[0] - begin)
        copy_words(words[begin : begin + m], room)
        n = whole_chunks(m)
        room[m:n] = _NONE
        tally_words(tally[0], depth, room, n)
    counts[:] = 0
    lane_counts(tally[0], depth, 1, counts)


@kernel(allocates=False)
def _update_east(words, sites, table, n):
    """Attempted updates of ``sites[:n]`` in the lanes in which the left neighbour is excited."""
    last = words.shape[0] - 1
    for u in range(n):
        site = np.int64(sites[u])
        own, left = words[site], words[site - 1 if site > 0 else last]
        words[site] = own ^ (left & select(own, table[u], table[BLOCK + u]))


@kernel(allocates=False)
def east(words, state, rates, table, tally, room, n_sweeps, counts):
    """Advance 64 lanes of the East model by sweeps of N attempted updates at common random sites.

    Parameters
    ----------
    words : (N,) uint64
        Configurations, bit set: site excited; changed in place.
    state : (STATE,) uint64
        Generators, changed in place.
    rates, table : Rates and (2 BLOCK,) uint64
        Of the flip probabilities of an excited site, and of one that is not.
    tally, room : uint64 arrays
        To work in.
    n_sweeps : int
    counts : (rows, 64) int64
        Excitations after the last ``rows`` of the sweeps, filled.
    """
    n = words.shape[0]
    sites = room[_STAGE_B * BLOCK : 7 * BLOCK]
    for t in range(n_sweeps):
        for begin in range(0, n, BLOCK):
            m = min(BLOCK, n - begin)
            fill_below(state, n, sites, room[7 * BLOCK :], m)
            fill_bernoulli(state, rates, table, room[7 * BLOCK :], m)
            _update_east(words, sites, table, m)
        record = t - n_sweeps + counts.shape[0]
        if record >= 0:
            count_lanes(words, tally, room, counts[record])


def scratch(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Tally and room for configurations of n words; make them one a thread."""
    blocks = -(-n // BLOCK)
    depth = max(3, (blocks * (BLOCK // COLUMNS)).bit_length())
    return aligned(5 * (depth + SPARE) * COLUMNS).reshape(5, -1), aligned(ROOM)
