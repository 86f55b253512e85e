"""Random words for multi-spin coding: Bernoulli variates of given probabilities in every bit.

A bit of a word is a lane.  The uniform variate u of each lane is made digit by digit, one random
word a digit, and [u < p] is found for several p at once.  After ``DIGITS`` binary digits a lane in
2^DIGITS still agrees with p; it is decided by a 64-bit variate of its own.  Every lane of every
word is therefore independent of all others, and p is exact to 2^-(DIGITS + 64).

The words come from ``GENERATORS`` interleaved generators xoshiro256++ (Blackman and Vigna, ACM
Trans. Math. Softw. 47 (2021) 36), laid out so that the compiler advances several with one
instruction, and those of the last decisions from one more.
"""

import contextlib
from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic

from phasegrok.compiled import kernel
from phasegrok.rng import next_word

LANES = 64  # bits of a word
GENERATORS = 128
DIGITS = 14  # each more costs time for all lanes, each less doubles the lanes decided singly
STATE = 4 * GENERATORS + 4  # words: the interleaved generators, then that of single lanes
WORDS = (DIGITS + 1) * GENERATORS  # room to work in
BLOCK = 512  # variates made at once, so that they stay in the first cache
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_NONE = np.uint64(0)
_ONE = np.uint64(1)


def aligned(n: int) -> np.ndarray:
    """Array of n words that begins where the widest vectors are read in one piece."""
    raw = np.zeros(n + 7, dtype=np.uint64)
    return raw[(-raw.ctypes.data // 8) % 8 :][:n]


def generators(streams: np.ndarray) -> np.ndarray:
    """Interleaved generators seeded from streams.

    Parameters
    ----------
    streams : (n, 4) uint64
        From ``phasegrok.rng.streams``.

    Returns
    -------
    state : (n, STATE) uint64
    """
    rows = [np.random.SeedSequence([int(word) for word in row]).generate_state(STATE, np.uint64)
            for row in streams]
    return np.array(rows, dtype=np.uint64).reshape(-1, STATE)


class Rates(NamedTuple):
    """Probabilities 0 < p < 1 in the form with which uniform variates are compared."""

    digits: np.ndarray  # (n, DIGITS) uint64, binary digits from the top, as words of equal bits
    steps: np.ndarray  # (n, DIGITS) uint64, where digit k differs from digit k + 1 (0 at the end)
    rest: np.ndarray  # (n,) uint64, what remains of p, in units of 2^-(DIGITS + 64)
    row: np.ndarray  # (n,) int64, row of the table that the variates fill


def rates(probability_r: np.ndarray) -> tuple[Rates, np.ndarray]:
    """Comparison and table for the probabilities of all rows.

    Rows whose probability is 0 or 1 are filled here, once.

    Parameters
    ----------
    probability_r : (rows,) float
        p in [0, 1] of each row.

    Returns
    -------
    rates : Rates
    table : (rows BLOCK,) uint64
    """
    row = np.flatnonzero((probability_r > 0.0) & (probability_r < 1.0))
    scaled = np.ldexp(probability_r[row], DIGITS)
    leading = np.floor(scaled).astype(np.int64)
    bits = leading[:, None] >> np.arange(DIGITS - 1, -1, -1) & 1
    digits = np.where(bits == 1, ALL, _NONE)
    steps = digits ^ np.pad(digits[:, 1:], ((0, 0), (0, 1)))
    rest = np.ldexp(scaled - leading, 64).astype(np.uint64)
    table = aligned(len(probability_r) * BLOCK)
    table[:] = np.repeat(np.where(probability_r >= 1.0, ALL, _NONE), BLOCK)
    return Rates(digits, steps, rest, row), table


@intrinsic
def wide_vectors(_context):
    """Let the compiler use the widest vectors of the processor in the kernel that calls this.

    By itself LLVM keeps to 256 bits where 512 would slow down floating-point code; words gain by
    a third.  Without such vectors in the processor it changes nothing.
    """

    def generate(context, builder, _signature, _arguments):
        # llvmlite's own ``add`` knows enumerated attributes only; if its attributes cease to be a
        # set, kernels are slower and the same
        with contextlib.suppress(TypeError):
            set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), generate


@kernel(inline="always", allocates=False)
def _rotate(x, k):
    return (x << np.uint64(k)) | (x >> np.uint64(64 - k))


@kernel(allocates=False)
def _next_words(lanes, words, n):
    """``DIGITS`` words of each of the first n generators, word k of j at GENERATORS k + j."""
    wide_vectors()
    for j in range(n):
        a, b = lanes[j], lanes[GENERATORS + j]
        c, d = lanes[2 * GENERATORS + j], lanes[3 * GENERATORS + j]
        for k in range(DIGITS):
            words[k * GENERATORS + j] = _rotate(a + d, 23) + a
            t = b << np.uint64(17)
            c ^= a
            d ^= b
            b ^= c
            a ^= d
            c ^= t
            d = _rotate(d, 45)
        lanes[j], lanes[GENERATORS + j] = a, b
        lanes[2 * GENERATORS + j], lanes[3 * GENERATORS + j] = c, d


@kernel(allocates=False)
def _compare(words, digits, steps, below, open_, n):
    """[u < p] by the first digits, and where those are equal; returns the union of the latter.

    With e_k the lanes whose first k digits are equal, [u < p] is the sum over k of p_k e_{k-1} -
    p_k e_k; summed by parts, each digit costs one operation more than e_k itself.
    """
    wide_vectors()
    union = _NONE
    for j in range(n):
        less, equal = digits[0], ALL
        for k in range(DIGITS):
            equal &= ~(words[k * GENERATORS + j] ^ digits[k])
            less ^= equal & steps[k]
        below[j], open_[j] = less, equal
        union |= equal
    return union


@kernel(allocates=False)
def _decide(below, open_, rest, rng, n):
    """Decide the lanes that the first digits left open, one by one."""
    open_[n : -(-n // 4) * 4] = _NONE
    for begin in range(0, n, 4):
        if open_[begin] | open_[begin + 1] | open_[begin + 2] | open_[begin + 3] == _NONE:
            continue
        for j in range(begin, min(n, begin + 4)):
            left = open_[j]
            while left != _NONE:
                lane = left & (~left + _ONE)
                if next_word(rng) < rest:
                    below[j] |= lane
                left ^= lane


@kernel(allocates=False)
def fill_bernoulli(state, rates, table, words, n):
    """Fill the first n words of rows of ``table``, row r_l with bits set with probability p_l.

    One uniform variate a lane serves all l: bits of different l are nested but for the last digits,
    those of different words and lanes are independent.

    Parameters
    ----------
    state : (STATE,) uint64
        Generators, changed in place.
    rates : Rates
    table : (rows, BLOCK) uint64, flat
    words : (WORDS,) uint64
        Room to work in.
    n : int
        At most ``BLOCK``.
    """
    lanes, single = state[: 4 * GENERATORS], state[4 * GENERATORS :]
    open_ = words[DIGITS * GENERATORS :]
    for begin in range(0, n, GENERATORS):
        m = min(GENERATORS, n - begin)
        _next_words(lanes, words, m)
        for level in range(rates.row.shape[0]):
            place = rates.row[level] * BLOCK + begin
            below = table[place : place + m]
            digits, steps = rates.digits[level], rates.steps[level]
            if _compare(words, digits, steps, below, open_, m) != _NONE:
                _decide(below, open_, rates.rest[level], single, m)


@kernel(allocates=False)
def fill_below(state, limit, out, words, n):
    """Fill ``out[:n]`` with uniform integers in 0..limit-1, limit < 2^31 (bias limit/2^32)."""
    begin = 0
    while begin < n:
        _next_words(state, words, GENERATORS)
        m = min(n - begin, DIGITS * GENERATORS)
        for j in range(m):
            out[begin + j] = ((words[j] >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32)
        begin += m


@kernel(allocates=False)
def fill_words(rng, out):
    """Fill ``out`` with random words of the generator ``rng`` (uint64[4])."""
    for j in range(out.shape[0]):
        out[j] = next_word(rng)
